import { type InspectOptions, inspect } from "node:util";
import { addon, type Copied, type NativeFile, type Opener } from "./addon.js";
import { rangeError, toBytes, typeError, valueError } from "./arguments.js";
import { EmmapError } from "./error.js";
import { type Decoded, type DecodeOptions, decodeParts, decodePrefix } from "./etf/decode.js";
import { type EncodeOptions, encode, encodeTransient } from "./etf/encode.js";
import { EtfError } from "./etf/errors.js";
import type { Term } from "./etf/terms.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { unpack } from "./packed.js";
import { Origin } from "./reopen.js";
import { Structure } from "./structure.js";

/** How to open a queue of terms: as a file, and how terms appear. */
export interface QueueOptions<O extends DecodeOptions = DecodeOptions> extends StructureOptions {
  /** How terms that are popped appear: the options of `emmap/etf`'s `decode`. */
  decode?: O | undefined;
  /** How values that are pushed are written: the options of `emmap/etf`'s `encode`. */
  encode?: EncodeOptions | undefined;
  /**
   * How much more memory than its bytes in the queue a message's term may take, as the option of `emmap/etf`'s `decode`
   * and Erlang's `max_inflated_size`. Default 64 MiB. A message that would take more is refused.
   */
  maxInflatedSize?: number | undefined;
  /** Messages are bytes, not terms. */
  raw?: false | undefined;
}

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
}

const rawFormat: Format<Uint8Array | string, Buffer> = {
  encode: toBytes,
  encodeTransient: toBytes,
  needsOwn: false,
  check: undefined,
  decode: (bytes, own) => (own ? bytes : Buffer.from(bytes)),
  decodeAll: (packed) => unpack(packed).map((bytes) => Buffer.from(bytes)),
};

function termFormat<O extends DecodeOptions>(
  decoding: O | undefined,
  encoding: EncodeOptions | undefined,
): Format<Term, Decoded<O>> {
  // Their own: what is decided here by them holds, whatever becomes of the caller's.
  const decodeOptions = decoding && { ...decoding };
  const encodeOptions = encoding && { ...encoding };
  // Wrong options are refused here, before a message is taken out with them.
  decodePrefix(encode(0, encodeOptions), decodeOptions);
  // Padding follows the term.
  const decode = (bytes: Buffer): Decoded<O> => decodePrefix(bytes, decodeOptions).term as Decoded<O>;
  const views = decodeOptions?.binaries === "view";
  const calls = typeof decodeOptions?.atoms === "function";
  const plain = { ...decodeOptions, atoms: "atom" } as const;
  return {
    encode: (term) => encode(term, encodeOptions),
    encodeTransient: (term) => encodeTransient(term, encodeOptions),
    // A view lives longer than the bytes; a function that is given atoms may use the queue, which overwrites them.
    needsOwn: views || calls,
    check: calls ? (bytes) => decodePrefix(bytes, plain) : undefined,
    decode,
    decodeAll: (packed) =>
      views ? unpack(packed).map(decode) : (decodeParts(packed, decodeOptions) as Decoded<O>[]),
  };
}

/** Messages up to this many bytes are read without a Buffer made for each; larger ones are worth one. */
const SCRATCH_SIZE = 4096;

/** As much for those that popMany takes out, all together. */
const MANY_SIZE = 65_536;

/** Where a walk goes on: the low 32 bits, and the others. */
type Place = readonly [low: number, high: number];

const BEGINNING: Place = [0, 0];

/** How many messages an iteration takes out of the core at a time, at most. */
const STRIDE = 64;

/** About how many bytes they may be: whoever stops after the first message has copied few others. */
const STRIDE_SIZE = 65_536;

const EMPTY = Buffer.alloc(0);

/** No message, where a message may be anything. */
const NONE = Symbol();

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
  /** Of a {@link tryPop} that could not be ended, since there was no stack for that; 0: none. */
  #left = 0n;
  /** A message that was removed, and that code of the user's could not be given: it comes before all others. */
  #kept: Buffer | undefined;
  /** What a walk says besides the messages: see the addon's `queueWalk`. */
  readonly #state = new Float64Array(4);

  /** @internal */
  constructor(native: NativeFile, format: Format<In, Out>, origin: Origin) {
    super(native);
    this.#format = format;
    this.#origin = origin;
  }

  /**
   * Opens the file again as it was opened, and closes this one: after `EFAULT` or `ESTALE`, or to go over to what the path
   * means now. Nothing is created or truncated this time.
   * @throws as the function that opened it; ENOENT; ENOTSUP for memory without a file
   */
  reopen(): Queue<In, Out> {
    const { native, origin } = this.#origin.reopen(() => this.close());
    return new Queue(native, this.#format, origin);
  }

  /** How many messages there are. Takes time in proportion: the format has no count. */
  get length(): number {
    return addon.queueLength(this.native);
  }

  /** True if there is no message. */
  get isEmpty(): boolean {
    return addon.queueIsEmpty(this.native);
  }

  /** The queue's header. */
  get info(): QueueInfo {
    return addon.queueInfo(this.native);
  }

  /**
   * Appends a message. When it has returned the message is in the file, once.
   * @throws EMMAP_FULL at 4 GiB or a fixed size; ENOSPC; an `EtfError` for what is no term
   */
  push(message: In): void {
    addon.queuePush(this.native, this.#format.encodeTransient(message));
  }

  /** Appends all of the messages at once, or none. Throws as {@link push}. */
  pushMany(messages: Iterable<In>): void {
    addon.queuePushMany(
      this.native,
      Array.from(messages, (message) => this.#format.encode(message)),
    );
  }

  /**
   * Removes the first message and returns it; null when there is none.
   *
   * The message is decoded before it is removed: if that fails, for whatever reason, it is still the first one. An
   * `EMMAP_CORRUPT` whose `cause` is an `EtfError` says that it is refused: it is no term, or its term would take too much
   * memory (`maxInflatedSize`). Its bytes are the `messages` of the error, and {@link popBytes} removes it. Where there is no
   * memory or stack left, the engine's own `RangeError` says so.
   *
   * A function as option `atoms` is called after the message was removed, so that it can use the queue. If it throws, its
   * error is the `cause`, and the bytes are the `messages` too.
   * @throws EBUSY while somebody, here or elsewhere, is in a {@link tryPop}
   */
  pop(): Out | null {
    if (this.#left !== 0n) this.#abort(this.#left);
    const format = this.#format;
    if (format.check !== undefined) {
      try {
        const next = this.#next();
        return next === NONE ? null : next;
      } catch (cause) {
        throw this.#failed(cause);
      }
    }
    // Without the lock the bytes may be torn: what is wrong with them counts when they were read under it.
    for (let certain = false; ; certain = true) {
      const bytes = this.#first(certain, format.needsOwn);
      if (bytes === null) return null;
      let message: Out;
      try {
        message = format.decode(bytes, isOwn(bytes));
      } catch (cause) {
        if (!certain) continue;
        throw this.#refusal(bytes, cause);
      }
      if (addon.queueRemove(this.native, bytes)) return message;
    }
  }

  /** As {@link pop}, for a format that calls code of the user's, in which all methods may be called. */
  #next(): Out | typeof NONE {
    let bytes = this.#kept;
    this.#kept = undefined;
    while (bytes === undefined) {
      const first = this.#first(true, true);
      if (first === null) return NONE;
      try {
        this.#format.check?.(first);
      } catch (cause) {
        throw this.#refusal(first, cause);
      }
      if (addon.queueRemove(this.native, first)) bytes = first;
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
    if (this.#kept === undefined) return cause;
    const error = this.#refusal(this.#kept, cause);
    if (error !== cause) this.#kept = undefined;
    return error;
  }

  /** Removes the first message, term or not, and returns its bytes, up to 7 zeros behind them; null when there is none. */
  popBytes(): Buffer | null {
    if (this.#left !== 0n) this.#abort(this.#left);
    for (;;) {
      const bytes = this.#first(true, true);
      if (bytes === null || addon.queueRemove(this.native, bytes)) return bytes;
    }
  }

  /**
   * Removes up to `limit` messages and returns them, in order; none when there are none. It ends before a message that is
   * refused, which is thrown as by {@link pop} when it comes first, and stays. Takes about 64 KiB of messages at a time,
   * between which others may take some.
   */
  popMany(limit: number): Out[] {
    if (!Number.isSafeInteger(limit) || limit < 0)
      throw rangeError("limit", "an integer of 0 or more", limit);
    if (this.#left !== 0n) this.#abort(this.#left);
    const all: Out[] = [];
    if (this.#format.check !== undefined) {
      try {
        while (all.length < limit) {
          const next = this.#next();
          if (next === NONE) break;
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
      if (removed === 0) throw error;
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
        if (limit > 0) addon.queueRemoveMany(this.native, EMPTY, 0n);
        return false;
      }
      const [, found, full] = this.#state as unknown as [number, number, number];
      const messages = this.#decodeSome(packed);
      for (const message of messages) all.push(message);
      if (addon.queueRemoveMany(this.native, packed, BigInt(messages.length)))
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
   * Gives the first message to `consume`, and removes it when that has returned, or when the promise that it returned
   * is fulfilled. If it throws or rejects, the message stays first in the queue and the error goes to the caller; if
   * this process dies, it stays as well. Meanwhile others may push and look, `consume` too, but `pop`, `purge` and
   * `erase` are EBUSY for everybody.
   * @returns what `consume` returned; null, without calling it, when there is no message
   * @throws EBUSY while somebody is in a `tryPop` already; ETIMEDOUT, also after `consume`, and then the message stays; ESTALE if a writer that takes no locks (the Erlang library
   * emmap 2.x) has removed the message
   */
  tryPop<Result>(consume: (message: Out) => Result): Result | null {
    if (typeof consume !== "function") throw typeError("consume", "of type function", consume);
    if (this.#left !== 0n) this.#abort(this.#left);
    const bytes = this.#copied(addon.queuePopBegin, this.#format.needsOwn);
    if (bytes === null) return null;
    const ticket = this.#ticket[0] as bigint;
    let result: Result;
    try {
      result = consume(this.#decode(bytes, isOwn(bytes)));
      if (!isPromise(result)) {
        addon.queuePopCommit(this.native, ticket);
        return result;
      }
    } catch (error) {
      // Kept in case that there is no stack left for a call: the next operation makes it.
      this.#left = ticket;
      this.#abort(ticket);
      throw error;
    }
    return this.#settle(result, ticket) as Result;
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
      addon.queuePopCommit(this.native, ticket);
    } catch (error) {
      // The message is still taken out, and nobody else could have it.
      if ((error as EmmapError).code === "ETIMEDOUT") this.#abort(ticket);
      throw error;
    }
  }

  /** Leaves the message. A queue that was closed meanwhile, and one whose message could not be removed, has left it already. */
  #abort(ticket: bigint): void {
    try {
      if (!this.closed) addon.queuePopAbort(this.native, ticket);
    } catch (error) {
      if ((error as EmmapError).code !== "EINVAL") throw error;
    }
    this.#left = 0n;
  }

  /** The first message, which stays; null when there is none. */
  peek(): Out | null {
    const bytes = this.#copied(addon.queuePeekFront, this.#format.needsOwn);
    return bytes === null ? null : this.#decode(bytes, isOwn(bytes));
  }

  /** The last message, which stays; null when there is none. */
  peekBack(): Out | null {
    const bytes = this.#copied(addon.queuePeekBack, this.#format.needsOwn);
    return bytes === null ? null : this.#decode(bytes, isOwn(bytes));
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
    addon.queuePurge(this.native);
  }

  /** As {@link purge}, and also where the queue is no longer sound: it is an empty one afterwards. */
  erase(): void {
    addon.queueErase(this.native);
  }

  /**
   * Gives disk space that no message needs back to the file system. The file keeps its size, and has holes; a push
   * reserves space again as it needs it. A queue that becomes empty, or whose messages are moved, does the same by itself
   * when 4 MiB and three quarters of it are free, unless it has a fixed size.
   * @returns how many bytes were given back
   * @throws ENOTSUP where the file system can't have holes
   */
  compact(): number {
    return addon.queueCompact(this.native);
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    return `Queue ${inspect(closed ? { path, closed } : { path, ...addon.queueInfo(this.native) }, options)}`;
  }

  #first(certain: boolean, own: boolean): Buffer | null {
    return this.#copied(certain ? addon.queuePeekFront : addon.queueGlanceFront, own);
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
      const length = addon.queueWalk(this.native, false, BigInt(limit), this.#state, room);
      if (length === null || length === 0) return null;
      if (length > 0 && this.#state[2] === 0) return room.subarray(0, length);
      // All of them take no more than this, but others may push meanwhile.
      const { head, tail } = addon.queueInfo(this.native);
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
      const length = addon.queueWalk(this.native, backward, BigInt(limit), this.#state, room);
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
    if (cause instanceof RangeError) return cause;
    const { path } = this;
    const large = cause instanceof EtfError && cause.code === "ETF_LIMIT";
    const error = new EmmapError(
      `EMMAP_CORRUPT: a message is ${large ? "too large a term" : "no term"}, decode '${path}'`,
      { code: "EMMAP_CORRUPT", syscall: "decode", path },
    );
    error.cause = cause;
    error.messages = [Buffer.from(bytes)];
    return error;
  }
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
 * using queue = openQueue("jobs.q", { size: 1 << 20 });
 * queue.push(["resize", 42]);
 * const job = queue.pop();
 * ```
 *
 * Messages are Erlang terms: see `emmap/etf` for what becomes what. With `raw` they are bytes.
 *
 * @throws {EmmapError} as {@link open}; EINVAL for a size below 16, EFBIG above 4 GiB; EMMAP_CORRUPT for a file that is no
 * sound queue, which is left as it was
 */
export function openQueue(path: string | URL, options: RawQueueOptions): Queue<Uint8Array | string, Buffer>;
export function openQueue<const O extends DecodeOptions = Record<never, never>>(
  path: string | URL,
  options?: QueueOptions<O>,
): Queue<Term, Decoded<O>>;
export function openQueue<O extends DecodeOptions>(
  path: string | URL,
  options: QueueOptions<O> | RawQueueOptions = {},
): unknown {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const {
    raw = false,
    decode,
    encode: encoding,
    maxInflatedSize,
    ...rest
  } = options as QueueOptions<O> & { raw?: boolean };
  if (typeof raw !== "boolean") throw typeError("options.raw", "of type boolean", raw);
  if (raw && (decode !== undefined || encoding !== undefined || maxInflatedSize !== undefined))
    throw valueError(
      "The options decode, encode and maxInflatedSize are for queues of terms, and raw is for bytes",
    );
  const format: Format<never, unknown> = raw
    ? rawFormat
    : termFormat(maxInflatedSize === undefined ? decode : { ...decode, maxInflatedSize }, encoding);
  const opener: Opener = ["queue_open", toPath(path), structureOptions(rest, "queues")];
  return new Queue(addon.open(...opener), format, new Origin(opener));
}
