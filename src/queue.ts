import type { PathLike } from "node:fs";
import { type InspectOptions, inspect, types } from "node:util";
import { addon, type Copied, type NativeFile } from "./addon.js";
import { rangeError, toBytes, typeError, valueError } from "./arguments.js";
import { EmmapError, messageError } from "./error.js";
import { checkMemory, decodeFirst, partDecoder } from "./etf/decode.js";
import { type Decoded, type DecodeOptions, decodeSettings, type Json } from "./etf/decode-options.js";
import { encodeTransient, encodeWith } from "./etf/encode.js";
import { type EncodeOptions, encodeSettings } from "./etf/encode-options.js";
import { EtfError } from "./etf/errors.js";
import { MAX_INFLATED_SIZE } from "./etf/measure.js";
import type { Term } from "./etf/terms.js";
import { type Opened, type Origin, openFile } from "./opening.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { mapParts, unpack } from "./packed.js";
import { Structure } from "./structure.js";
import { checkWait, type WaitOptions, Waits } from "./wait.js";

/** How to open a queue of terms: as a file, and how terms appear. */
export interface QueueOptions<O extends DecodeOptions = DecodeOptions> extends StructureOptions {
  /** How terms that are popped appear: the options of `emmap/etf`'s `decode`. */
  decode?: O | undefined;
  /** How values that are pushed are written: the options of `emmap/etf`'s `encode`. */
  encode?: EncodeOptions | undefined;
  /**
   * How much more memory than its bytes in the queue a message's term may take, as the option of `emmap/etf`'s `decode`
   * and Erlang's `max_inflated_size`. Default 64 MiB. A message that would take more is refused, and already by `push`.
   */
  maxInflatedSize?: number | undefined;
  /** What messages are: see {@link JsonQueueOptions}. */
  values?: "term" | undefined;
  /** Messages are bytes, not terms. */
  raw?: false | undefined;
}

/** How to open a queue of JSON. */
export interface JsonQueueOptions extends Omit<QueueOptions<DecodeOptions>, "values"> {
  /**
   * What is pushed comes out as it was: strings as strings, objects as plain objects, `null` as `null`; what `JSON.stringify`
   * leaves out is left out. Erlang sees maps, binaries and `null`. See the options `values` of `emmap/etf`.
   */
  values: "json";
}

/**
 * What there is where a queue has no message, and what no message is. A `null` can be a message of JSON, and `undefined` one of
 * terms whose atoms a function shows: either would end a loop that waits for it.
 *
 * ```ts
 * let job: Job | typeof EMPTY;
 * while ((job = jobs.pop()) !== EMPTY) run(job);
 * ```
 *
 * It is a registered symbol, the same in all copies of the package, and counts as true: compare with it.
 */
export const EMPTY: unique symbol = Symbol.for("emmap.EMPTY");

/** How to open a queue of bytes. */
export interface RawQueueOptions extends StructureOptions {
  /**
   * Messages are bytes, not terms. The format does not record how many: a message comes back with up to 7 zeros
   * behind it, unless its length is a multiple of 8.
   */
  raw: true;
}

/** A queue's header, in bytes from the start of the file. */
export interface QueueInfo {
  /** How many bytes of the file the queue may use. */
  readonly size: number;
  /** Where the first message begins. */
  readonly head: number;
  /** Where the last message ends. */
  readonly tail: number;
  /** As `tail`, but on a read-only file, where somebody died while pushing. */
  readonly nextTail: number;
}

/** How a queue turns what users see into bytes and back. */
interface Format<In, Out> {
  encode(value: In): Uint8Array;
  /** Bytes that the next call may overwrite. */
  encodeTransient(value: In): Uint8Array;
  /** Whether what `decode` returns may alias `bytes`, or `decode` may call code of the user's: they are to be its own. */
  readonly needsOwn: boolean;
  /** Where `decode` calls code of the user's: throws if what remains to be done can't be done. */
  readonly check: ((bytes: Buffer) => unknown) | undefined;
  /** `own`: nobody else uses the bytes. */
  decode(bytes: Buffer, own: boolean): Out;
  /** The same of all parts of `packed`: see {@link unpack}. */
  decodeAll(packed: Buffer): Out[];
  /** Throws an `EtfError` if they are no term, or one that is too large, whatever it is shown as. */
  checkTerm(bytes: Buffer): unknown;
}

const rawFormat: Format<Uint8Array | string, Buffer> = {
  encode: toBytes,
  encodeTransient: toBytes,
  needsOwn: false,
  check: undefined,
  decode: (bytes, own) => (own ? bytes : Buffer.from(bytes)),
  decodeAll: (packed) => unpack(packed).map((bytes) => Buffer.from(bytes)),
  checkTerm: () => {},
};

/** What is to be told of the options is told here, before a message is taken out with them. */
function termFormat(decoding: DecodeOptions, encoding: EncodeOptions): Format<unknown, unknown> {
  const { atoms: given } = decoding;
  const shown = decodeSettings(
    typeof given === "function" ? { ...decoding, atoms: waitingAsItLikes(given) } : decoding,
  );
  const written = encodeSettings(encoding);
  const { atoms, binaries, maxInflatedSize = MAX_INFLATED_SIZE } = decoding;
  // Padding follows the term.
  const decode = (bytes: Buffer): unknown => decodeFirst(bytes, shown);
  const views = binaries === "view";
  const calls = typeof atoms === "function";
  const plain = calls ? decodeSettings({ ...decoding, atoms: "atom" }) : shown;
  const any = decodeSettings({ maxInflatedSize });
  // What pop refuses is refused before it is in the queue.
  const checked = (message: Buffer): Buffer => {
    checkMemory(message, maxInflatedSize);
    return message;
  };
  return {
    encode: (term) => checked(encodeWith(term, written)),
    encodeTransient: (term) => checked(encodeTransient(term, written)),
    // A view lives longer than the bytes; a function that is given atoms may use the queue, which overwrites them.
    needsOwn: views || calls,
    check: calls ? (bytes) => decodeFirst(bytes, plain) : undefined,
    decode,
    decodeAll: (packed) =>
      views ? unpack(packed).map(decode) : mapParts(packed, partDecoder(packed, shown)),
    checkTerm: (bytes) => decodeFirst(bytes, any),
  };
}

/** Messages up to this many bytes are read without a Buffer made for each; larger ones are worth one. */
const SCRATCH_SIZE = 4096;

/** Operations of this thread do not wait for locks now. */
let waitsForNobody = false;

function withoutWaiting<T>(operation: () => T): T {
  addon.may_wait(false);
  waitsForNobody = true;
  try {
    return operation();
  } finally {
    waitsForNobody = false;
    addon.may_wait(true);
  }
}

/** A function of the user's as option `atoms`, which may use queues as it likes. */
function waitingAsItLikes(atoms: (name: string) => unknown): (name: string) => unknown {
  return (name) => {
    if (!waitsForNobody) return atoms(name);
    addon.may_wait(true);
    waitsForNobody = false;
    try {
      return atoms(name);
    } finally {
      waitsForNobody = true;
      addon.may_wait(false);
    }
  };
}

/** How long a loop over messages goes on before it gives way to others, in ms. */
const TURN = 5;
/** As much for those that popMany takes out, all together. */
const MANY_SIZE = 65_536;

/** Where a walk goes on: the low 32 bits, and the others. */
type Place = readonly [low: number, high: number];

const BEGINNING: Place = [0, 0];

/** How many messages an iteration takes out of the core at a time, at most. */
const STRIDE = 64;

/** About how many bytes they may be: whoever stops after the first message has copied few others. */
const STRIDE_SIZE = 65_536;

const NO_BYTES = Buffer.alloc(0);

let create: <In, Out>(opened: Opened, format: Format<In, Out>) => Queue<In, Out>;

/**
 * A persistent first-in, first-out queue in a file that threads, processes and runtimes share. {@link openQueue} makes
 * one. Order is kept for each producer, and no message goes to two readers.
 *
 * An operation waits for others that are changing the queue, which takes microseconds unless their process was
 * stopped: after {@link OpenOptions.lockTimeout} it throws `ETIMEDOUT`, with nothing done. With `exclusive` there are no
 * others. Besides what it lists, every method may throw an {@link EmmapError}
 * with `EMMAP_CLOSED` after close, `EFAULT` when another process truncated the file, `EMMAP_CORRUPT` with the `offset`
 * when the file is not sound, and `EACCES` for a read-only file that would have to be changed. What finds no message looks,
 * once a second at most, whether the path still means the file, and throws `ESTALE` where it does not (see `follow` and
 * {@link reopen}); so does {@link sync}.
 *
 * Iterating gives the messages from the first to the last, and leaves them there.
 */
export class Queue<In = Term, Out = Decoded> extends Structure {
  readonly #format: Format<In, Out>;
  readonly #origin: Origin;
  readonly #scratch = Buffer.alloc(SCRATCH_SIZE);
  /** Of each length that was asked for: making one costs as much as decoding a small term. */
  readonly #views: Buffer[] = [];
  /** Where popMany puts what fits: a Buffer for each call costs as much as decoding a dozen small terms. */
  #manyScratch: Buffer | undefined;
  readonly #ticket = new BigUint64Array(1);
  #waits: Waits | undefined;
  /** The ticket of a {@link tryPop} that could not be ended, since there was no stack for that. */
  #left: bigint | undefined;
  /** How many bytes of the scratch buffer are what was the first message when the one before it was popped; 0: none. */
  #ahead = 0;
  /** A message that was removed, and that code of the user's could not be given: it comes before all others. */
  #kept: Buffer | undefined;
  /** What a walk says besides the messages: see the addon's `queueWalk`. */
  readonly #state = new Float64Array(4);

  private constructor({ native, origin }: Opened, format: Format<In, Out>) {
    super(native);
    this.#format = format;
    this.#origin = origin;
  }

  static {
    create = (opened, format) => new Queue(opened, format);
  }

  /**
   * Opens the file again as it was opened, and closes this one: after `EFAULT` or `ESTALE`, or to go over to what the path
   * means now. Nothing is created or truncated this time. If the open fails, this queue stays open; but one that is
   * `exclusive` is closed before the open if the path still means it, and one with `autoUnlink` always.
   * @throws as the function that opened it; ENOENT; ENOTSUP for memory without a file
   */
  reopen(): Queue<In, Out> {
    return create(this.#origin.reopen(this), this.#format);
  }

  /** How many messages there are. Takes time in proportion: the format has no count. */
  length(): number {
    return addon.queue_length(this.native);
  }

  /** True if there is no message. */
  isEmpty(): boolean {
    return addon.queue_is_empty(this.native);
  }

  /** The queue's header. */
  info(): QueueInfo {
    return addon.queue_info(this.native);
  }

  /**
   * Appends a message. When it has returned the message is in the file, once.
   * @throws EMMAP_FULL at 4 GiB or a fixed size; ENOSPC; an `EtfError` for what is no term, and with code `ETF_LIMIT` for a
   * term that {@link pop} would refuse, since it takes more memory than `maxInflatedSize` allows
   */
  push(message: In): void {
    addon.queue_push(this.native, this.#format.encodeTransient(message));
  }

  /** Appends all of the messages at once, or none. Throws as {@link push}. */
  pushMany(messages: Iterable<In>): void {
    addon.queue_push_many(
      this.native,
      Array.from(messages, (message) => this.#format.encode(message)),
    );
  }

  /**
   * Removes the first message and returns it. Without one it is {@link EMPTY}, or `fallback`, if one is given:
   *
   * ```ts
   * for (let job = jobs.pop(); job !== EMPTY; job = jobs.pop()) run(job);
   * ```
   *
   * The message is decoded before it is removed. Where that fails there are three cases:
   * - `EMMAP_BAD_TERM`: it is no term. It is removed, since nobody could ever take it, and `bytes` of the error are what is left
   *   of it. The next call goes on with the next message.
   * - `EMMAP_REFUSED`: it is a term that this queue's options refuse, for it would take too much memory (`maxInflatedSize`) or
   *   can't be shown (a map whose keys are no names, as an object). It stays for those who can take it, and is before all
   *   others; {@link popBytes} removes it.
   * - No memory or no stack is left: the engine's own `RangeError`. It stays.
   *
   * A function as option `atoms` is called after the message was removed, so that it can use the queue. If it throws, that is
   * `EMMAP_BAD_TERM`, and its error the `cause`.
   * @throws EBUSY while somebody, here or elsewhere, is in a {@link tryPop}
   */
  pop(): Out | typeof EMPTY;
  pop<Fallback>(fallback: Fallback): Out | Fallback;
  pop(fallback?: unknown): unknown {
    if (this.#left !== undefined) this.#abort(this.#left);
    const format = this.#format;
    if (format.check !== undefined) {
      try {
        const next = this.#next(true);
        // biome-ignore lint/complexity/noArguments: a rest parameter is an array for each call
        return next === EMPTY && arguments.length > 0 ? fallback : next;
      } catch (cause) {
        throw this.#failed(cause);
      }
    }
    let ahead = this.#ahead;
    this.#ahead = 0;
    // Without the lock the bytes may be torn: what is wrong with them counts when they were read under it.
    for (let certain = false; ; certain = true, ahead = 0) {
      const bytes = ahead > 0 ? this.#scratched(ahead) : this.#first(certain, false);
      // biome-ignore lint/complexity/noArguments: see above
      if (bytes === null) return arguments.length > 0 ? fallback : EMPTY;
      let message: Out;
      try {
        const own = isOwn(bytes);
        message = format.decode(format.needsOwn && !own ? Buffer.from(bytes) : bytes, own);
      } catch (cause) {
        if (!certain) continue;
        const error = this.#refusal(bytes, cause);
        if (isBadTerm(error) && !addon.queue_remove(this.native, bytes)) continue;
        throw error;
      }
      if (this.#remove(bytes)) return message;
    }
  }

  /** Removes the message, if it is still the first one. What is no longer than the scratch buffer is in it. */
  #remove(bytes: Buffer): boolean {
    if (isOwn(bytes)) return addon.queue_remove(this.native, bytes);
    const next = addon.queue_take(this.native, this.#scratch, bytes.length);
    if (next < 0) return false;
    this.#ahead = next;
    return true;
  }

  /**
   * As {@link pop}, for a format that calls code of the user's, in which all methods may be called. `isFirst`: what is no term is
   * removed, for the caller will say so.
   */
  #next(isFirst: boolean): Out | typeof EMPTY {
    let bytes = this.#kept;
    this.#kept = undefined;
    while (bytes === undefined) {
      const first = this.#first(true, true);
      if (first === null) return EMPTY;
      try {
        this.#format.check?.(first);
      } catch (cause) {
        const error = this.#refusal(first, cause);
        if (isFirst && isBadTerm(error) && !addon.queue_remove(this.native, first)) continue;
        throw error;
      }
      if (addon.queue_remove(this.native, first)) bytes = first;
    }
    try {
      return this.#format.decode(bytes, true);
    } catch (cause) {
      this.#kept = bytes;
      throw cause;
    }
  }

  /** What {@link #next} has thrown, with the message that it has removed: what has no room for that stays kept. */
  #failed(cause: unknown): unknown {
    const bytes = this.#kept;
    if (bytes === undefined || isShortage(cause)) return cause;
    const error = messageError(
      "EMMAP_BAD_TERM",
      "a message could not be shown",
      "decode",
      this.path,
      bytes,
      cause,
    );
    this.#kept = undefined;
    return error;
  }

  /** Removes the first message, term or not, and returns its bytes, up to 7 zeros behind them. Without one as {@link pop}. */
  popBytes(): Buffer | typeof EMPTY;
  popBytes<Fallback>(fallback: Fallback): Buffer | Fallback;
  popBytes(fallback?: unknown): unknown {
    if (this.#left !== undefined) this.#abort(this.#left);
    for (;;) {
      const bytes = this.#first(true, true);
      // biome-ignore lint/complexity/noArguments: as in pop
      if (bytes === null) return arguments.length > 0 ? fallback : EMPTY;
      if (addon.queue_remove(this.native, bytes)) return bytes;
    }
  }

  /**
   * Removes up to `limit` messages and returns them, in order; none when there are none. It ends before a message that can't
   * be decoded, which is thrown as by {@link pop} when it comes first. Takes about 64 KiB of messages at a time,
   * between which others may take some.
   */
  popMany(limit: number): Out[] {
    if (!Number.isSafeInteger(limit) || limit < 0)
      throw rangeError("limit", "an integer of 0 or more", limit);
    if (this.#left !== undefined) this.#abort(this.#left);
    const all: Out[] = [];
    if (this.#format.check !== undefined) {
      try {
        while (all.length < limit) {
          const next = this.#next(all.length === 0);
          if (next === EMPTY) break;
          all.push(next);
        }
      } catch (cause) {
        if (all.length === 0) throw this.#failed(cause);
      }
      return all;
    }
    let removed = 0;
    try {
      for (let more = true; more && removed < limit; removed = all.length)
        more = this.#popSome(limit - removed, all);
    } catch (error) {
      if (removed === 0) {
        if (isBadTerm(error) && !addon.queue_remove(this.native, error.bytes)) return this.popMany(limit);
        throw error;
      }
      // What follows those that are removed is still in the queue, and says the same to the next call.
      all.length = removed;
    }
    return all;
  }

  /** Appends to `all` what it removes. False: there is no more to be had. */
  #popSome(limit: number, all: Out[]): boolean {
    const before = all.length;
    for (let most = limit; ; most = Math.max(1, Math.floor(most / 2))) {
      const packed = this.#step(false, most, BEGINNING, this.#format.needsOwn);
      if (packed === null) {
        // Who may not remove anything is told so by an empty queue too.
        if (limit > 0) addon.queue_remove_many(this.native, NO_BYTES, 0n);
        return false;
      }
      const [, found, full] = this.#state as unknown as [number, number, number];
      const messages = this.#decodeSome(packed);
      for (const message of messages) all.push(message);
      if (addon.queue_remove_many(this.native, packed, BigInt(messages.length)))
        return full === 1 && messages.length === found;
      // Others are at it: less can be had before they come.
      all.length = before;
      most = Math.min(most, found);
    }
  }

  /** The messages before the first that is refused. Throws if there are none. */
  #decodeSome(packed: Buffer): Out[] {
    try {
      return this.#format.decodeAll(packed);
    } catch {
      const messages: Out[] = [];
      for (const bytes of unpack(packed)) {
        try {
          messages.push(this.#format.decode(bytes, false));
        } catch (cause) {
          if (messages.length > 0) break;
          throw this.#refusal(bytes, cause);
        }
      }
      return messages;
    }
  }

  /**
   * Removes the first message; where there is none it waits for one. Nothing blocks, and waiting uses no processor time. One
   * message wakes one of those who wait, in all processes that have the queue open, Erlang's `receive_message` among them.
   * Waiting keeps the process alive, as an open socket does: see {@link unref}.
   *
   * Resolves to {@link EMPTY} when `timeout` milliseconds are over, also where a process that is stopped has the lock or is in
   * a {@link tryPop} all the time. Rejects as {@link pop} throws otherwise, with the signal's reason when that is aborted, with
   * EMMAP_CLOSED when the queue is closed, and with ENOMEM beyond 1024 waits in the process. No message is lost by that.
   */
  async receive(options: WaitOptions = {}): Promise<Out | typeof EMPTY> {
    checkWait(options);
    const { timeout = Number.POSITIVE_INFINITY, signal } = options;
    const end = performance.now() + timeout;
    signal?.throwIfAborted();
    for (let left = timeout; ; left = Math.max(0, end - performance.now())) {
      const message = this.#popNow();
      if (message !== EMPTY) return message;
      if (!(await this.#waiting().message({ timeout: left, signal }))) return EMPTY;
    }
  }

  /** As {@link pop}, and without waiting for who has the lock, or is in a {@link tryPop}: {@link EMPTY} then. */
  #popNow(): Out | typeof EMPTY {
    try {
      return withoutWaiting(() => this.pop());
    } catch (error) {
      if (!(error instanceof EmmapError)) throw error;
      if (error.code === "ETIMEDOUT" || error.code === "EBUSY") return EMPTY;
      if (error.code !== "EAGAIN") throw error;
    }
    // It is more than a moment's work.
    return this.pop();
  }

  /**
   * The messages, each removed when it is asked for, without an end: where there is none the loop waits for one, as {@link
   * receive}. A loop that is left takes no other message. Throws the signal's reason when that is aborted.
   *
   * ```ts
   * for await (const job of jobs.messages()) await run(job);
   * ```
   */
  async *messages(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Out, void, undefined> {
    for (let since = performance.now(); ; ) {
      const message = await this.receive(options);
      if (message !== EMPTY) yield message;
      // Where messages do not end others have their turn.
      if (performance.now() - since < TURN) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  }

  /**
   * Waits as {@link receive} and takes no message: for {@link tryPop}, which leaves the message in the queue until its work is
   * done. `"ok"`: there may be a message, `"timed-out"`: there is none.
   *
   * ```ts
   * while ((await jobs.wait()) === "ok") jobs.tryPop(run);
   * ```
   *
   * One message wakes one of those who wait, who is to try and take it: `"ok"` is no promise that nobody was quicker.
   * While somebody is in a {@link tryPop} it may be `"ok"` as well, ten times a second, and `tryPop` throws EBUSY.
   */
  async wait(options: WaitOptions = {}): Promise<"ok" | "timed-out"> {
    return (await this.#waiting().message(options)) ? "ok" : "timed-out";
  }

  #waiting(): Waits {
    this.#waits ??= new Waits(this.native, this.path);
    return this.#waits;
  }

  /** Lets the process end although somebody waits for a message: see {@link ref}. */
  unref(): this {
    this.#waiting().keepAlive(false);
    return this;
  }

  /** Undoes {@link unref}: waits keep the process alive, as open sockets do. */
  ref(): this {
    this.#waiting().keepAlive(true);
    return this;
  }

  /**
   * Gives the first message to `consume`, and removes it when that has returned, or when the promise that it returned
   * is fulfilled. If it throws or rejects, the message stays first in the queue and the error goes to the caller; if
   * this process dies, it stays as well. Meanwhile others may push and look, `consume` too, but `pop`, `purge` and
   * `erase` are EBUSY for everybody. A message that can't be decoded is thrown as by {@link pop}.
   * @returns what `consume` returned; without calling it {@link EMPTY}, or `fallback`, when there is no message
   * @throws EBUSY while somebody is in a `tryPop` already; ETIMEDOUT, also after `consume`, and then the message stays; ESTALE if a writer that takes no locks (the Erlang library
   * emmap 2.x) has removed the message
   */
  tryPop<Result>(consume: (message: Out) => Result): Result | typeof EMPTY;
  tryPop<Result, Fallback>(consume: (message: Out) => Result, fallback: Fallback): Result | Fallback;
  tryPop(consume: (message: Out) => unknown, fallback?: unknown): unknown {
    if (typeof consume !== "function") throw typeError("consume", "of type function", consume);
    if (this.#left !== undefined) this.#abort(this.#left);
    const bytes = this.#copied(addon.queue_pop_begin, this.#format.needsOwn);
    // biome-ignore lint/complexity/noArguments: as in pop
    if (bytes === null) return arguments.length > 1 ? fallback : EMPTY;
    const ticket = this.#ticket[0] as bigint;
    let message: Out | typeof EMPTY = EMPTY;
    let result: unknown;
    try {
      message = this.#decode(bytes, isOwn(bytes));
      result = consume(message);
      if (!isPromise(result)) {
        addon.queue_pop_commit(this.native, ticket);
        return result;
      }
    } catch (error) {
      // Kept in case that there is no stack left for a call: the next operation makes it.
      this.#left = ticket;
      if (message === EMPTY && isBadTerm(error)) {
        addon.queue_pop_commit(this.native, ticket);
        this.#left = undefined;
      } else {
        this.#abort(ticket);
      }
      throw error;
    }
    return this.#settle(result, ticket);
  }

  async #settle<Value>(promise: Value, ticket: bigint): Promise<Awaited<Value>> {
    let value: Awaited<Value>;
    try {
      value = await promise;
    } catch (error) {
      this.#abort(ticket);
      throw error;
    }
    this.#commit(ticket);
    return value;
  }

  #commit(ticket: bigint): void {
    try {
      addon.queue_pop_commit(this.native, ticket);
    } catch (error) {
      // The message is still taken out, and nobody else could have it.
      if ((error as EmmapError).code === "ETIMEDOUT") this.#abort(ticket);
      throw error;
    }
  }

  /** Leaves the message. A queue that was closed meanwhile, and one whose message could not be removed, has left it already. */
  #abort(ticket: bigint): void {
    try {
      if (!this.closed) addon.queue_pop_abort(this.native, ticket);
    } catch (error) {
      if ((error as EmmapError).code !== "EINVAL") throw error;
    }
    this.#left = undefined;
  }

  /** The first message, which stays. Without one as {@link pop}, and one that can't be decoded is thrown so, but stays. */
  peek(): Out | typeof EMPTY;
  peek<Fallback>(fallback: Fallback): Out | Fallback;
  peek(fallback?: unknown): unknown {
    // biome-ignore lint/complexity/noArguments: as in pop
    return this.#look(addon.queue_peek_front, arguments.length > 0 ? fallback : EMPTY);
  }

  /** The last message, which stays. Otherwise as {@link peek}. */
  peekBack(): Out | typeof EMPTY;
  peekBack<Fallback>(fallback: Fallback): Out | Fallback;
  peekBack(fallback?: unknown): unknown {
    // biome-ignore lint/complexity/noArguments: as in pop
    return this.#look(addon.queue_peek_back, arguments.length > 0 ? fallback : EMPTY);
  }

  #look(copy: typeof addon.queue_peek_front, fallback: unknown): unknown {
    const bytes = this.#copied(copy, this.#format.needsOwn);
    return bytes === null ? fallback : this.#decode(bytes, isOwn(bytes));
  }

  /**
   * The messages from the first to the last. They stay; those that others pop meanwhile are passed over.
   * @throws ESTALE when the others have been moved or the queue has been emptied and filled: begin anew, or take a
   * {@link snapshot}, which never is
   */
  [Symbol.iterator](): Generator<Out, void, undefined> {
    return this.#walk(false);
  }

  /** The messages from the last to the first. They stay. */
  reversed(): Generator<Out, void, undefined> {
    return this.#walk(true);
  }

  *#walk(backward: boolean): Generator<Out, void, undefined> {
    let place = BEGINNING;
    for (let limit = 1; ; ) {
      const packed = this.#step(backward, limit, place, true);
      if (packed === null) return;
      place = [this.#state[0] as number, this.#state[3] as number];
      const messages = unpack(packed);
      for (const bytes of messages) yield this.#decode(bytes, false);
      // As many as would be right if those that follow are as long.
      limit = Math.min(2 * limit, STRIDE, Math.ceil((STRIDE_SIZE * messages.length) / packed.length));
    }
  }

  /**
   * Copies of the first `limit` messages, or of all, as they are at one moment; they stay. Others wait while they are copied.
   */
  snapshot(limit: number = Number.MAX_SAFE_INTEGER): Out[] {
    if (!Number.isSafeInteger(limit) || limit < 0)
      throw rangeError("limit", "an integer of 0 or more", limit);
    const packed = this.#atOnce(limit);
    return packed === null ? [] : unpack(packed).map((bytes) => this.#decode(bytes, false));
  }

  /** Removes all messages; the file keeps its size (see {@link compact}). Throws EBUSY as {@link pop}. */
  purge(): void {
    addon.queue_purge(this.native);
  }

  /** As {@link purge}, and also where the queue is no longer sound: it is an empty one afterwards. */
  erase(): void {
    addon.queue_erase(this.native);
  }

  /**
   * Gives disk space that no message needs back to the file system. The file keeps its size, and has holes; a push
   * reserves space again as it needs it. A queue that becomes empty, or whose messages are moved, does the same by itself
   * when 4 MiB and three quarters of it are free, unless it has a fixed size.
   * @returns how many bytes were given back
   * @throws ENOTSUP where the file system can't have holes
   */
  compact(): number {
    return addon.queue_compact(this.native);
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    return `Queue ${inspect(closed ? { path, closed } : { path, ...addon.queue_info(this.native) }, options)}`;
  }

  #first(certain: boolean, own: boolean): Buffer | null {
    return this.#copied(certain ? addon.queue_peek_front : addon.queue_glance_front, own);
  }

  /**
   * What `copy` copies; `own`: into memory that nobody else uses. What is long goes there in any case, which is made here,
   * since the native code can't fail to make it without ending the process.
   */
  #copied(
    copy: (file: NativeFile, room: Buffer, ticket: BigUint64Array) => Copied,
    own: boolean,
  ): Buffer | null {
    let room = this.#scratch;
    this.#ahead = 0;
    for (;;) {
      // Called on the addon, which knows how to make an error.
      const length = copy.call(addon, this.native, room, this.#ticket);
      if (length === null) return null;
      if (length < 0) {
        room = Buffer.allocUnsafeSlow(-length);
      } else if (room === this.#scratch) {
        const bytes = this.#scratched(length);
        return own ? Buffer.from(bytes) : bytes;
      } else {
        return length === room.length ? room : room.subarray(0, length);
      }
    }
  }

  /** The first `limit` messages, packed, of one moment, in memory of their own; null: there are none. */
  #atOnce(limit: number): Buffer | null {
    for (let size = MANY_SIZE; ; size *= 2) {
      const room = Buffer.allocUnsafeSlow(size);
      this.#state.fill(0);
      const length = addon.queue_walk(this.native, false, BigInt(limit), this.#state, room);
      if (length === null || length === 0) return null;
      if (length > 0 && this.#state[2] === 0) return room.subarray(0, length);
      // All of them take no more than this, but others may push meanwhile.
      const { head, tail } = addon.queue_info(this.native);
      size = Math.max(size, -length, tail - head);
    }
  }

  /** A step of a walk: up to `limit` messages, packed; null: there are none. `own` as with {@link #copied}. */
  #step(backward: boolean, limit: number, place: Place, own: boolean): Buffer | null {
    this.#manyScratch ??= Buffer.alloc(MANY_SIZE);
    let room = this.#manyScratch;
    for (;;) {
      this.#state[0] = place[0];
      this.#state[3] = place[1];
      const length = addon.queue_walk(this.native, backward, BigInt(limit), this.#state, room);
      if (length === null) return null;
      if (length < 0) {
        room = Buffer.allocUnsafeSlow(-length);
      } else if (length === 0) {
        return null;
      } else {
        const packed = room.subarray(0, length);
        return own && room === this.#manyScratch ? Buffer.from(packed) : packed;
      }
    }
  }

  /** The first bytes of the scratch buffer. */
  #scratched(length: number): Buffer {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#scratch.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }

  #decode(bytes: Buffer, own: boolean): Out {
    try {
      return this.#format.decode(bytes, own);
    } catch (cause) {
      throw this.#refusal(bytes, cause);
    }
  }

  /** What is said of a message that could not be decoded, and that is still in the queue. */
  #refusal(bytes: Buffer, cause: unknown): unknown {
    // No memory or no stack: nothing is wrong with the message.
    if (!(cause instanceof EtfError)) return cause;
    let code: "EMMAP_BAD_TERM" | "EMMAP_REFUSED" = "EMMAP_REFUSED";
    let why = "a message's term is too large";
    if (cause.code !== "ETF_LIMIT") {
      why = "a message's term can't be shown as the options say";
      try {
        this.#format.checkTerm(bytes);
      } catch (error) {
        if (!(error instanceof EtfError)) return error;
        if (error.code !== "ETF_LIMIT") [code, why] = ["EMMAP_BAD_TERM", "a message is no term"];
      }
    }
    return messageError(code, why, "decode", this.path, bytes, cause);
  }
}

function isBadTerm(error: unknown): error is EmmapError & { bytes: Buffer } {
  return error instanceof EmmapError && error.code === "EMMAP_BAD_TERM";
}

/** No memory or no stack. Not `instanceof`: it may be of another context of V8. */
function isShortage(error: unknown): boolean {
  return types.isNativeError(error) && error.name === "RangeError";
}

/** Whether memory of their own was made for the bytes of a message. */
function isOwn(bytes: Buffer): boolean {
  return bytes.length > SCRATCH_SIZE;
}

/** Whether it is awaited, as a promise is: query builders and promises of other libraries are no `Promise`. */
function isPromise(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/**
 * Opens a queue, or creates one.
 *
 * ```ts
 * interface Job { resize: string; width: number }
 * using jobs = openQueue<Job>("jobs.q", { values: "json" });
 * jobs.push({ resize: "cat.png", width: 42 });
 * for (let job = jobs.pop(); job !== EMPTY; job = jobs.pop()) run(job);
 * ```
 *
 * Messages are Erlang terms: see `emmap/etf` for what becomes what. With `values: "json"` they are what JSON can hold, with
 * `raw` bytes. A type `T` is believed: nobody looks whether the messages that others push are of it.
 *
 * @throws {EmmapError} as {@link open}; EINVAL for a size below 16, EFBIG above 4 GiB; EMMAP_CORRUPT for a file that is no
 * sound queue, which is left as it was
 */
export function openQueue(path: PathLike, options: RawQueueOptions): Queue<Uint8Array | string, Buffer>;
export function openQueue(path: PathLike, options: JsonQueueOptions): Queue<Term, Json>;
export function openQueue<T>(path: PathLike, options: JsonQueueOptions): Queue<T, T>;
export function openQueue<const O extends DecodeOptions = Record<never, never>>(
  path: PathLike,
  options?: QueueOptions<O>,
): Queue<Term, Decoded<O>>;
export function openQueue<T>(path: PathLike, options?: QueueOptions<DecodeOptions>): Queue<T, T>;
export function openQueue(path: PathLike, options: object = {}): unknown {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const {
    raw = false,
    values,
    decode,
    encode: encoding,
    maxInflatedSize,
    ...rest
  } = options as Omit<QueueOptions<DecodeOptions>, "raw" | "values"> & { raw?: boolean; values?: "json" };
  if (typeof raw !== "boolean") throw typeError("options.raw", "of type boolean", raw);
  if (raw && [values, decode, encoding, maxInflatedSize].some((option) => option !== undefined))
    throw valueError(
      "The options values, decode, encode and maxInflatedSize are for queues of terms, and raw is for bytes",
    );
  const format: Format<never, unknown> = raw
    ? rawFormat
    : termFormat(
        { ...(values && { values }), ...decode, ...(maxInflatedSize !== undefined && { maxInflatedSize }) },
        { ...(values && { values }), ...encoding },
      );
  const native = structureOptions(rest, "queues", QUEUE_OPTIONS);
  return create(openFile(["queue_open", toPath(path), native]), format);
}

const QUEUE_OPTIONS = ["raw", "values", "decode", "encode", "maxInflatedSize"];
