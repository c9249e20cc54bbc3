import { type InspectOptions, inspect } from "node:util";
import { addon, type Message, type NativeFile } from "./addon.js";
import { rangeError, toBytes, typeError, valueError } from "./arguments.js";
import { EmmapError } from "./error.js";
import { type Decoded, type DecodeOptions, decodeParts, decodePrefix } from "./etf/decode.js";
import { type EncodeOptions, encode, encodeTransient } from "./etf/encode.js";
import type { Term } from "./etf/terms.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { unpack } from "./packed.js";
import { Structure } from "./structure.js";

/** How to open a queue of terms: as a file, and how terms appear. */
export interface QueueOptions<O extends DecodeOptions = DecodeOptions> extends StructureOptions {
  /** How terms that are popped appear: the options of `emmap/etf`'s `decode`. */
  decode?: O | undefined;
  /** How values that are pushed are written: the options of `emmap/etf`'s `encode`. */
  encode?: EncodeOptions | undefined;
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
  /** What it returns must not alias `bytes`. */
  decode(bytes: Buffer): Out;
  /** The same of all parts of `packed`: see {@link unpack}. Nor may it alias those. */
  decodeAll(packed: Buffer): Out[];
}

const rawFormat: Format<Uint8Array | string, Buffer> = {
  encode: toBytes,
  encodeTransient: toBytes,
  decode: (bytes) => Buffer.from(bytes),
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
  // A view lives longer than the bytes; a function that is given atoms may use the queue, which overwrites them.
  const copies = decodeOptions?.binaries === "view" || typeof decodeOptions?.atoms === "function";
  // Padding follows the term.
  const decode = (bytes: Buffer): Decoded<O> =>
    decodePrefix(copies ? Buffer.from(bytes) : bytes, decodeOptions).term as Decoded<O>;
  return {
    encode: (term) => encode(term, encodeOptions),
    encodeTransient: (term) => encodeTransient(term, encodeOptions),
    decode,
    decodeAll: (packed) =>
      copies ? unpack(Buffer.from(packed)).map(decode) : (decodeParts(packed, decodeOptions) as Decoded<O>[]),
  };
}

/** Messages up to this many bytes are read without a Buffer made for each; larger ones are worth one. */
const SCRATCH_SIZE = 4096;

/** As much for those that popMany takes out, all together. */
const MANY_SIZE = 65_536;

/** How many messages an iteration takes out of the core at a time, at most. */
const STRIDE = 64;

/** About how many bytes they may be: whoever stops after the first message has copied few others. */
const STRIDE_SIZE = 65_536;

/**
 * A persistent first-in, first-out queue in a file that threads, processes and runtimes share. {@link openQueue} makes
 * one. Order is kept for each producer, and no message goes to two readers.
 *
 * An operation waits for others that are changing the queue, which takes microseconds unless their process was
 * stopped: after {@link OpenOptions.lockTimeout} it throws `ETIMEDOUT`, with nothing done. With `exclusive` there are no
 * others. Besides what it lists, every method may throw an {@link EmmapError}
 * with `EMMAP_CLOSED` after close, `EFAULT` when another process truncated the file, `EMMAP_CORRUPT` with the `offset`
 * when the file is not sound, and `EACCES` for a read-only file that would have to be changed.
 *
 * Iterating gives the messages from the first to the last, and leaves them there.
 */
export class Queue<In = Term, Out = Decoded> extends Structure {
  readonly #format: Format<In, Out>;
  readonly #scratch = Buffer.alloc(SCRATCH_SIZE);
  /** Of each length that was asked for: making one costs as much as decoding a small term. */
  readonly #views: Buffer[] = [];
  /** Where popMany puts what fits: a Buffer for each call costs as much as decoding a dozen small terms. */
  #manyScratch: Buffer | undefined;
  readonly #ticket = new BigUint64Array(1);

  /** @internal */
  constructor(native: NativeFile, format: Format<In, Out>) {
    super(native);
    this.#format = format;
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
   * Removes the first message and returns it; null when there is none. One that is no term is removed too, and is in
   * the `messages` of the error: see {@link tryPop} for a way to leave it.
   * @throws EBUSY while somebody, here or elsewhere, is in a {@link tryPop}
   */
  pop(): Out | null {
    return this.#take(addon.queuePop(this.native, this.#scratch), true);
  }

  /**
   * Removes up to `limit` messages and returns them, in order; none when there are none. Throws as {@link pop}: if one of
   * them is no term, all that were removed are the `messages` of the error.
   */
  popMany(limit: number): Out[] {
    if (!Number.isSafeInteger(limit) || limit < 0)
      throw rangeError("limit", "an integer of 0 or more", limit);
    this.#manyScratch ??= Buffer.alloc(MANY_SIZE);
    const popped = addon.queuePopMany(this.native, BigInt(limit), this.#manyScratch);
    if (popped === 0) return [];
    const packed = typeof popped === "number" ? this.#manyScratch.subarray(0, popped) : popped;
    try {
      return this.#format.decodeAll(packed);
    } catch (cause) {
      throw notATerm(this.path, unpack(Buffer.from(packed)), cause);
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
    const taken = addon.queuePopBegin(this.native, this.#scratch, this.#ticket);
    if (taken === null) return null;
    const ticket = this.#ticket[0] as bigint;
    let result: Result;
    let promised: boolean;
    try {
      result = consume(this.#take(taken, false) as Out);
      promised = isPromise(result);
    } catch (error) {
      this.#abort(ticket);
      throw error;
    }
    if (promised) return this.#settle(result, ticket) as Result;
    this.#commit(ticket);
    return result;
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

  /** Leaves the message. A queue that was closed meanwhile has left it already. */
  #abort(ticket: bigint): void {
    if (!this.closed) addon.queuePopAbort(this.native, ticket);
  }

  /** The first message, which stays; null when there is none. */
  peek(): Out | null {
    return this.#take(addon.queuePeekFront(this.native, this.#scratch), false);
  }

  /** The last message, which stays; null when there is none. */
  peekBack(): Out | null {
    return this.#take(addon.queuePeekBack(this.native, this.#scratch), false);
  }

  /**
   * The messages from the first to the last. They stay; those that others pop meanwhile are passed over.
   * @throws ESTALE when the others have been moved or the queue has been emptied and filled: begin anew
   */
  [Symbol.iterator](): Generator<Out, void, undefined> {
    return this.#walk(false);
  }

  /** The messages from the last to the first. They stay. */
  reversed(): Generator<Out, void, undefined> {
    return this.#walk(true);
  }

  *#walk(backward: boolean): Generator<Out, void, undefined> {
    const place = new BigUint64Array(1);
    for (let limit = 1; ; ) {
      const packed = addon.queueWalk(this.native, backward, BigInt(limit), place);
      if (packed.length === 0) return;
      const messages = unpack(packed);
      for (const bytes of messages) yield this.#decode(bytes, false);
      // As many as would be right if those that follow are as long.
      limit = Math.min(2 * limit, STRIDE, Math.ceil((STRIDE_SIZE * messages.length) / packed.length));
    }
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

  #take(message: Message, removed: boolean): Out | null {
    if (message === null) return null;
    return this.#decode(typeof message === "number" ? this.#scratched(message) : message, removed);
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

  #decode(bytes: Buffer, removed: boolean): Out {
    try {
      return this.#format.decode(bytes);
    } catch (cause) {
      throw notATerm(this.path, removed ? [Buffer.from(bytes)] : [], cause);
    }
  }
}

/** Whether it is awaited, as a promise is: query builders and promises of other libraries are no `Promise`. */
function isPromise(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}

/** What is said of a message that is no term, with what was taken out of the queue, so that nothing is lost. */
function notATerm(path: string, removed: Buffer[], cause: unknown): EmmapError {
  const error = new EmmapError(`EMMAP_CORRUPT: a message is no term, decode '${path}'`, {
    code: "EMMAP_CORRUPT",
    syscall: "decode",
    path,
  });
  error.cause = cause;
  if (removed.length > 0) error.messages = removed;
  return error;
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
  const { raw = false, decode, encode: encoding, ...rest } = options as QueueOptions<O> & { raw?: boolean };
  if (typeof raw !== "boolean") throw typeError("options.raw", "of type boolean", raw);
  if (raw && (decode !== undefined || encoding !== undefined))
    throw valueError("The options decode and encode are for queues of terms, and raw is for bytes");
  const format: Format<never, unknown> = raw ? rawFormat : termFormat(decode, encoding);
  return new Queue(addon.open("queue_open", toPath(path), structureOptions(rest, "queues")), format);
}
