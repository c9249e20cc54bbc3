import type { PathLike } from "node:fs";
import { type InspectOptions, inspect, types } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Integer, rangeError, toArray, toBigInt, toBytes, typeError, valueError } from "./arguments.js";
import { type Consumer, createConsumer, type Handler, type ProcessOptions } from "./consumer.js";
import { type DeadLetter, deadLetter } from "./dead-letter.js";
import { createDelivery, type Delivery, type InHand, Undecodable } from "./delivery.js";
import { EmmapError, messageError } from "./error.js";
import type { Decoded, DecodeOptions, Json } from "./etf/decode-options.js";
import { EtfError } from "./etf/errors.js";
import type { Budget } from "./etf/measure.js";
import type { Term } from "./etf/terms.js";
import { withoutWaiting } from "./lock-waits.js";
import { FORMAT_OPTIONS, type Format, formatOf } from "./message-format.js";
import type { Writer } from "./open-file.js";
import { type Opened, openFile } from "./opening.js";
import { type StructureOptions, structureOptions, toPath } from "./options.js";
import { mapParts, unpack } from "./packed.js";
import { isPromise } from "./promises.js";
import type { JsonQueueOptions, QueueOptions, RawQueueOptions } from "./queue-options.js";
import { BEGINNING, isOwn, QueueReader } from "./queue-reader.js";
import { refusalOf } from "./refusal.js";
import { checkWait, type WaitOptions } from "./wait.js";
import { WaitableFile } from "./waitable-file.js";

/**
 * The result of a method that finds no message. No message equals it, while `null` can be a message of JSON, and
 * `undefined` the result of a function that shows atoms: either would end a loop too early.
 *
 * ```ts
 * let job: Job | typeof EMPTY;
 * while ((job = jobs.pop()) !== EMPTY) run(job);
 * ```
 *
 * It is a registered symbol, the same in all copies of the package. It is truthy: compare with it.
 */
export const EMPTY: unique symbol = Symbol.for("emmap.EMPTY");

/** A queue's header, in bytes from the start of the file, the queue's writers, and its messages in hand. */
export interface QueueInfo {
  /** The number of bytes of the file that the queue may use. */
  readonly size: number;
  /** Where the first message begins. */
  readonly head: number;
  /** Where the last message ends. */
  readonly tail: number;
  /** The same as `tail`, except on a read-only file after a process has died in a push. */
  readonly nextTail: number;
  /** The handles that share the queue for writing, as {@link OpenFile.writers} lists them. */
  readonly writers: readonly Writer[];
  /** The number of messages in hand: see {@link Queue.inHand}. */
  readonly inHand: number;
  /** The number of released messages, also those that are not due yet. */
  readonly released: number;
}

/** How long {@link Queue.messages} goes on before other work gets its turn, in ms. */
const TURN = 5;

/** The most messages that an iteration copies at a time. */
const STRIDE = 64;

/** About the most bytes that it copies at a time: a loop that ends early has copied few messages too many. */
const STRIDE_SIZE = 65_536;

/** The options of {@link Queue.messages}, which has no end. */
const MESSAGES_OPTIONS: ReadonlySet<string> = new Set(["signal"]);

/** The length of the name under which a producer numbers what it pushes, and the highest number. */
const ORIGIN_SIZE = 16;
const MAX_NUMBER = 2n ** 63n - 1n;

/** How many bytes a message takes in the file besides its own. */
const FRAME = 8;

/** Messages that were decoded and are still in the queue. */
interface Gathered<Out> {
  readonly messages: Out[];
  /** Their bytes, packed; further messages may follow. */
  readonly steps: Buffer[];
  /** Where the last message of the first step ends in the file. */
  readonly end: number;
}

/** The ticket of a message that was taken; or, as a bigint, of a pop in two steps, where taking is not possible. */
type Step = number | bigint;

/** A queue that {@link DeadLetter}s fit in; one of bytes is to read their bytes. */
type LetterQueue<Message> = Queue<DeadLetter<Message>, unknown> | Queue<Uint8Array | string, Buffer>;

/** The last time that a Date holds. */
const MAX_TIME = 8.64e15;

/** The bytes of the file may be damaged. */
const toDate = (time: number): Date => new Date(Math.min(time, MAX_TIME));

let create: <In, Out>(opened: Opened, format: Format<In, Out>) => Queue<In, Out>;

/**
 * A persistent first-in, first-out queue in a file that threads, processes and runtimes share. {@link openQueue} makes
 * one. The messages of one producer stay in order, and no message goes to two consumers. Iterating gives the messages
 * from the first to the last; they stay in the queue. It shows neither messages in hand nor released ones.
 *
 * **Waiting.** An operation waits while another process changes the queue, which takes microseconds unless that process
 * is stopped. After {@link OpenOptions.lockTimeout} it throws `ETIMEDOUT`, and has changed nothing. With `exclusive`
 * there is no other process.
 *
 * **Errors.** Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, `EFAULT` after another
 * process has truncated the file, `EMMAP_CORRUPT` with the `offset` if the file is damaged, and `EACCES` if it would
 * change a read-only file. A method that finds no message checks, at most once a second, whether the path still means
 * the file, and throws `ESTALE` if not (see the option `follow`, and {@link reopen}); {@link sync} does so too. Other
 * errors stand at each method.
 */
export class Queue<In = Term, Out = Decoded> extends WaitableFile {
  /** @internal */
  protected override readonly native: NativeFile;
  readonly #format: Format<In, Out>;
  readonly #reader: QueueReader;
  /** A step of {@link tryPop} or {@link tryTake} that could not be ended, since there was no stack left for a call. */
  #unfinished: Step | undefined;
  /** The consumers that hear when the queue is closed. */
  readonly #consumers = new Set<Consumer>();
  /** A message that {@link pop} has removed when code of the user ran out of stack. It comes before all others. */
  #kept: Buffer | undefined;

  private constructor(opened: Opened, format: Format<In, Out>) {
    super(opened, addon.describe(opened.native));
    this.native = opened.native;
    this.#format = format;
    this.#reader = new QueueReader(opened.native);
  }

  static {
    create = (opened, format) => new Queue(opened, format);
  }

  /** @internal */
  protected override fromOpened(opened: Opened): Queue<In, Out> {
    return new Queue(opened, this.#format);
  }

  /**
   * The number of messages, without those in hand. It takes constant time while all writers share the live folder
   * (docs/live.md). Otherwise it counts, since the file has no count.
   */
  length(): number {
    return addon.queue_length(this.native);
  }

  /** True if there is no message. */
  isEmpty(): boolean {
    return addon.queue_is_empty(this.native);
  }

  /** The queue's header, its writers, and the numbers of messages in hand and released. Throws as {@link inHand}. */
  info(): QueueInfo {
    const header = addon.queue_info(this.native);
    const taken = addon.queue_in_hand(this.native);
    const released = taken.filter((each) => each.released).length;
    return { ...header, writers: this.writers(), inHand: taken.length - released, released };
  }

  /**
   * Appends a message. When the method returns, the message is in the file, once.
   * @throws EMMAP_FULL at 4 GiB or a fixed size; ENOSPC; an `EtfError` if the message is no term, and with code
   * `ETF_LIMIT` if its term takes more memory than `maxInflatedSize`, so that {@link pop} would refuse it
   */
  push(message: In): void {
    addon.queue_push(this.native, this.#format.encodeTransient(message));
  }

  /** Appends all messages at once, or none. Throws as {@link push}. */
  pushMany(messages: Iterable<In>): void {
    addon.queue_push_many(
      this.native,
      toArray(messages, "messages", (message) => this.#format.encode(message)),
    );
  }

  /**
   * Appends all messages at once under a number of their producer, unless this or a higher number was there before. So a
   * producer that was killed during a push tries it again, and the messages are in the queue once:
   *
   * ```ts
   * const origin = readFileSync("producer.id"); // 16 random bytes, which this producer keeps
   * let number = jobs.pushOnce(origin, 0, []); // only asks: the last number that is in the queue
   * for (const batch of batches.slice(Number(number))) jobs.pushOnce(origin, ++number, batch);
   * ```
   *
   * The queue keeps the numbers of the last 2046 origins in a file beside it, `PATH-relayed`. Relays of other hosts use it,
   * too.
   * @param origin 16 bytes that no other producer has
   * @param number from 1 to 2^63-1, or 0, which appends nothing
   * @returns the origin's last number before the call; 0: the queue does not know the origin. The messages were appended if
   * it is below `number`
   * @throws as {@link push}; EMMAP_CORRUPT if another file has the name `PATH-relayed`; ESTALE if the path leads to another
   * file
   */
  pushOnce(origin: Uint8Array, number: Integer, messages: Iterable<In>): bigint {
    if (!types.isUint8Array(origin) || origin.length !== ORIGIN_SIZE)
      throw typeError("origin", `a Uint8Array of ${ORIGIN_SIZE} bytes`, origin);
    const checked = toBigInt(number, "number");
    if (checked < 0n || checked > MAX_NUMBER) throw rangeError("number", "from 0 to 2^63-1", number);
    return addon.queue_push_once(
      this.native,
      toBytes(origin),
      checked,
      toArray(messages, "messages", (message) => this.#format.encode(message)),
    );
  }

  /**
   * Removes the first message and returns it. If there is none, returns {@link EMPTY}, or `fallback` if one is given:
   *
   * ```ts
   * for (let job = jobs.pop(); job !== EMPTY; job = jobs.pop()) run(job);
   * ```
   *
   * The message is decoded before it is removed. If that fails, the error is one of three:
   * - `EMMAP_BAD_TERM`: the message is no term. It is removed, since no consumer could ever take it, and the error's `bytes`
   *   have it. The next call goes on with the next message.
   * - `EMMAP_REFUSED`: the message is a term that the options of this queue refuse. Either the term takes too much memory
   *   (`maxInflatedSize`), or the options cannot show it (for example as an object, if a key of the map is no name). The
   *   message stays the first one, for a consumer that can take it; {@link popBytes} removes it.
   * - The engine's own `RangeError`: no memory or no stack is left. The message stays.
   *
   * A function as option `atoms` is called after the message was removed, so that it can use the queue. If the function
   * throws, the error is `EMMAP_BAD_TERM`, and the function's error is the `cause`.
   * @throws EBUSY while another caller, in any process, is in a pop in two steps: see {@link tryPop}
   */
  pop(): Out | typeof EMPTY;
  pop<Fallback>(fallback: Fallback): Out | Fallback;
  pop(fallback?: unknown): unknown {
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    const format = this.#format;
    const reader = this.#reader;
    if (format.check !== undefined) {
      try {
        const next = this.#next();
        // biome-ignore lint/complexity/noArguments: a rest parameter is an array for each call
        return next === EMPTY && arguments.length > 0 ? fallback : next;
      } catch (cause) {
        throw this.#failed(cause);
      }
    }
    let ahead = reader.takeAhead();
    // Bytes that were read without the lock may be torn: an error counts only when they were read with the lock.
    for (let certain = false; ; certain = true, ahead = undefined) {
      const bytes = ahead ?? reader.first(certain, false);
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
      if (reader.remove(bytes)) return message;
    }
  }

  /** As {@link pop}, for a format that calls code of the user, in which every method may be called. */
  #next(): Out | typeof EMPTY {
    let bytes = this.#kept;
    this.#kept = undefined;
    while (bytes === undefined) {
      const first = this.#reader.first(true, true);
      if (first === null) return EMPTY;
      try {
        this.#format.check?.(first);
      } catch (cause) {
        const error = this.#refusal(first, cause);
        if (isBadTerm(error) && !addon.queue_remove(this.native, first)) continue;
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

  /** The error of {@link #next} for the caller, with the kept message; without it if no stack is left. */
  #failed(cause: unknown): unknown {
    const bytes = this.#kept;
    if (bytes === undefined || isOverflow(cause)) return cause;
    const error = this.#unshown(bytes, cause);
    this.#kept = undefined;
    return error;
  }

  /** The error for a message that code of the user has refused. */
  #unshown(bytes: Buffer, cause: unknown): EmmapError {
    return messageError("EMMAP_BAD_TERM", "a message could not be shown", "decode", this.path, bytes, cause);
  }

  /**
   * Removes the first message, even if it is no term, and returns its bytes, with up to 7 zeros behind them. If there
   * is none it returns as {@link pop}.
   */
  popBytes(): Buffer | typeof EMPTY;
  popBytes<Fallback>(fallback: Fallback): Buffer | Fallback;
  popBytes(fallback?: unknown): unknown {
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    const kept = this.#kept;
    this.#kept = undefined;
    if (kept !== undefined) return kept;
    for (;;) {
      const bytes = this.#reader.first(true, true);
      // biome-ignore lint/complexity/noArguments: as in pop
      if (bytes === null) return arguments.length > 0 ? fallback : EMPTY;
      if (addon.queue_remove(this.native, bytes)) return bytes;
    }
  }

  /**
   * Removes up to `limit` messages and returns them, in order; an empty array if there are none. It stops before a
   * message that cannot be decoded; if that is the first one, it throws as {@link pop}. It also stops before the
   * messages together would take more memory than their bytes and `maxInflatedSize` more.
   *
   * It decodes all messages, and then removes them in one step. Messages that others take meanwhile are not in the
   * result, but it may call a function as option `atoms` for them; that function must not use this queue. If memory is so
   * short that V8 ends the process, no message is lost, but for released ones that the call has removed already: it removes
   * these one by one.
   */
  popMany(limit: number): Out[] {
    checkLimit(limit);
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    if (limit === 0) return [];
    if (this.#kept !== undefined) return [this.pop() as Out];
    const released: Out[] = [];
    const budget = this.#format.budget();
    try {
      for (let most = limit; released.length < limit; ) {
        const { left } = budget;
        const { messages, steps, end } = this.#gather(Math.min(most, limit - released.length), budget);
        const { length } = messages;
        for (let skip = 0, gone = 0; length > 0; skip = gone) {
          // Made before the removal: after it the engine might lack the memory.
          const all = skip + released.length === 0 ? messages : [...released, ...messages.slice(skip)];
          if (addon.queue_remove_many(this.native, steps, BigInt(skip), BigInt(length - skip))) return all;
          // Others have taken the first ones. The rest may be the first ones now.
          gone = countBefore(addon.queue_info(this.native).head, steps, end);
          if (gone <= skip || gone >= length) break;
        }
        budget.left = left;
        if (this.#popReleased(released, budget)) continue;
        if (length === 0) break;
        // Try with fewer, which takes less time.
        most = Math.max(1, Math.floor(length / 2));
      }
    } catch (error) {
      if (released.length === 0) {
        if (isBadTerm(error) && !addon.queue_remove(this.native, error.bytes)) return this.popMany(limit);
        throw error;
      }
      // The message that failed stays in the queue, and the next call throws its error.
    }
    return released;
  }

  /** Decodes the first messages, which stay. So none is lost if the engine lacks memory and ends the process. */
  #gather(limit: number, budget: Budget): Gathered<Out> {
    const reader = this.#reader;
    const messages: Out[] = [];
    const steps: Buffer[] = [];
    let place = BEGINNING;
    let end = 0;
    try {
      for (let more = true; more && messages.length < limit; ) {
        const packed = reader.step(false, limit - messages.length, place, this.#format.needsOwn);
        if (packed === null) break;
        const { count, hasMore } = reader;
        place = reader.place;
        if (steps.length === 0) end = place[0];
        const decoded = this.#decodeSome(packed, budget);
        more = hasMore && decoded.length === count;
        steps.push(more ? reader.keep(packed) : packed);
        for (const message of decoded) messages.push(message);
      }
    } catch (error) {
      if (messages.length === 0) throw error;
    }
    return { messages, steps, end };
  }

  /** Appends a released message to `all` and removes it: it comes first, and a walk does not show it. False: there is none. */
  #popReleased(all: Out[], budget: Budget): boolean {
    const first = this.#reader.first(true, true);
    if (first === null) return false;
    const head = this.#reader.step(false, 1, BEGINNING, false);
    if (head !== null && unpack(head)[0]?.equals(first)) return false;
    const { left } = budget;
    try {
      all.push(this.#format.decode(first, true, budget));
    } catch (cause) {
      throw this.#blame(first, cause);
    }
    if (!addon.queue_remove(this.native, first)) {
      all.pop();
      budget.left = left;
    }
    return true;
  }

  /** Decodes the messages before the first that fails. Throws if that is the first of all. */
  #decodeSome(packed: Buffer, budget: Budget): Out[] {
    const { left } = budget;
    const format = this.#format;
    try {
      if (format.check === undefined) return format.decodeAll(packed, budget);
    } catch {
      budget.left = left;
    }
    const messages: Out[] = [];
    for (const bytes of unpack(packed)) {
      try {
        messages.push(format.decode(bytes, false, budget));
      } catch (cause) {
        if (messages.length > 0) break;
        throw this.#blame(bytes, cause);
      }
    }
    return messages;
  }

  /** The error for a message that could not be decoded: the message is to blame, or a function of the user. */
  #blame(bytes: Buffer, cause: unknown): unknown {
    const { check } = this.#format;
    if (check === undefined) return this.#refusal(bytes, cause);
    try {
      check(bytes);
    } catch (plain) {
      return this.#refusal(bytes, plain);
    }
    return isOverflow(cause) ? cause : this.#unshown(bytes, cause);
  }

  /**
   * Removes the first message and resolves to it; waits for a message if there is none. Waiting blocks nothing and uses
   * no processor time. One message wakes one waiter, in any process that has the queue open; Erlang's `receive_message`
   * waits in the same way. Waiting keeps the process alive, as an open socket does: see {@link unref}.
   *
   * If the consumer dies with the message, the message is lost. With {@link take} another consumer gets it instead.
   *
   * Resolves to {@link EMPTY} when `timeout` milliseconds are over; also if all the time a stopped process has the
   * lock, or another caller is in a pop in two steps. Rejects with the errors of {@link pop}; with the signal's reason
   * when the signal is aborted; with EMMAP_CLOSED when the queue is closed; with ENOMEM beyond 1024 waits in the
   * process. A rejection loses no message.
   */
  async receive(options: WaitOptions = {}): Promise<Out | typeof EMPTY> {
    return await this.#awaited(() => this.pop(), options);
  }

  async #awaited<Got>(get: () => Got | typeof EMPTY, options: WaitOptions): Promise<Got | typeof EMPTY> {
    checkWait(options);
    const { timeout = Number.POSITIVE_INFINITY, signal } = options;
    const end = performance.now() + timeout;
    signal?.throwIfAborted();
    for (let left = timeout; ; left = Math.max(0, end - performance.now())) {
      const got = this.#now(get);
      if (got !== EMPTY) return got;
      if (!(await this.waits.message({ timeout: left, signal }))) return EMPTY;
    }
  }

  /** Gets a message, but does not wait for the lock or the end of a pop in two steps: {@link EMPTY} then. */
  #now<Got>(get: () => Got | typeof EMPTY): Got | typeof EMPTY {
    try {
      return withoutWaiting(get);
    } catch (error) {
      if (!(error instanceof EmmapError)) throw error;
      if (error.code === "ETIMEDOUT" || error.code === "EBUSY") return EMPTY;
      if (error.code !== "EAGAIN") throw error;
    }
    // The lock is free, but the work takes long.
    return get();
  }

  /**
   * Iterates over the messages without an end. Each step removes a message; if there is none it waits, as
   * {@link receive} does. A loop that ends takes no further message. Throws the signal's reason when the signal is aborted.
   *
   * ```ts
   * for await (const job of jobs.messages()) await run(job);
   * ```
   */
  async *messages(options: { signal?: AbortSignal | undefined } = {}): AsyncGenerator<Out, void, undefined> {
    checkWait(options, MESSAGES_OPTIONS);
    for (let since = performance.now(); ; ) {
      const message = await this.receive(options);
      if (message !== EMPTY) yield message;
      // While messages keep coming, other work of the process gets its turn.
      if (performance.now() - since < TURN) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  }

  /**
   * Takes the first message, and waits for one as {@link receive} does. The message is in hand until the delivery is
   * ended; others take the next ones meanwhile. If this process dies before, or the queue is closed, the message is
   * delivered again; a waiting consumer gets it within 100 ms. So every message is delivered until it is acknowledged.
   *
   * ```ts
   * for (;;) {
   *   using job = await jobs.take();
   *   await run(job.message);
   *   job.ack();
   * }
   * ```
   *
   * Messages in hand are in a file of their own beside the queue, which survives all processes (docs/job-queues.md).
   * Resolves to `null` when `timeout` milliseconds are over.
   * @throws as {@link receive}, and as {@link tryTake}; a message that can't be decoded is no error here: see
   * {@link Delivery.message}
   */
  take(options?: WaitOptions & { timeout?: undefined }): Promise<Delivery<Out>>;
  take(options?: WaitOptions): Promise<Delivery<Out> | null>;
  async take(options: WaitOptions = {}): Promise<Delivery<Out> | null> {
    const delivery = await this.#awaited(() => this.#take() ?? EMPTY, options);
    return delivery === EMPTY ? null : delivery;
  }

  /**
   * As {@link take}, but does not wait for a message: `null` if there is none.
   * @throws EMMAP_CORRUPT for a damaged file of messages in hand, without which push and pop go on; EACCES, EROFS,
   * ENOSPC and the like if that file can't be made; EMMAP_FULL for a 1025th handle that takes; EBUSY as {@link pop}
   */
  tryTake(): Delivery<Out> | null {
    return this.#take();
  }

  /** `keepFrom`: the attempt from which on the delivery keeps the message's bytes. */
  #take(keepFrom = Number.POSITIVE_INFINITY): Delivery<Out> | null {
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    const { delivery } = this.#reader;
    delivery[1] = 0;
    try {
      const taken = this.#reader.take(this.#format.needsOwn);
      if (taken === null) return null;
      const ticket = delivery[0];
      const attempt = delivery[1];
      const bytes = attempt < keepFrom ? undefined : Buffer.from(taken);
      return createDelivery(this.native, ticket, attempt, this.#decodeOr(taken), bytes);
    } catch (error) {
      if (delivery[1] !== 0) {
        // If no stack is left for the call below, the next operation gives the message back.
        this.#unfinished = delivery[0];
        this.#giveUp(delivery[0]);
      }
      throw error;
    }
  }

  /** The message, or the error for one that can't be decoded. Throws if no memory or no stack is left. */
  #decodeOr(bytes: Buffer): Out | Undecodable {
    try {
      return this.#format.decode(bytes, isOwn(bytes));
    } catch (cause) {
      if (isShortage(cause)) throw cause;
      if (cause instanceof EtfError) return new Undecodable(this.#refusal(bytes, cause));
      const why = "a message could not be shown";
      return new Undecodable(messageError("EMMAP_BAD_TERM", why, "decode", this.path, bytes, cause));
    }
  }

  /**
   * Iterates over deliveries without an end, as {@link messages} does over messages.
   *
   * ```ts
   * for await (const job of jobs.deliveries()) {
   *   await run(job.message);
   *   job.ack();
   * }
   * ```
   *
   * When the loop is left, by `break` or an error, it releases the delivery of its last step, unless that was ended.
   * Deliveries of earlier steps stay in hand until they are ended.
   */
  async *deliveries(
    options: { signal?: AbortSignal | undefined } = {},
  ): AsyncGenerator<Delivery<Out>, void, undefined> {
    for (let since = performance.now(); ; ) {
      const delivery = await this.take({ signal: options.signal });
      let isLeft = true;
      try {
        yield delivery;
        isLeft = false;
      } finally {
        if (isLeft) delivery[Symbol.dispose]();
      }
      if (performance.now() - since < TURN) continue;
      await new Promise((resolve) => setImmediate(resolve));
      since = performance.now();
    }
  }

  /**
   * Calls `handler` for each message, until the consumer is stopped. When the handler has returned, or its promise is
   * fulfilled, the message is acknowledged. When it fails, the message is released, and delivered again after a delay
   * that grows with each attempt. After `maxAttempts` the message goes to the queue `deadLetters`, as a
   * {@link DeadLetter}. A message that can't be decoded counts as a failed attempt.
   *
   * ```ts
   * const consumer = jobs.process((job) => run(job), { concurrency: 8, deadLetters: openQueue("dead.q") });
   * process.once("SIGTERM", () => consumer.stop());
   * ```
   *
   * Any number of consumers may work on a queue, in this process and in others. A message may be delivered twice, if a
   * process dies at the wrong moment: see docs/job-queues.md.
   */
  process(handler: Handler<Out>, options: ProcessOptions<LetterQueue<Out>> = {}): Consumer {
    if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
    const { maxAttempts } = options;
    const deadLetters: Queue<never, unknown> | undefined = options.deadLetters;
    if (deadLetters !== undefined && !(deadLetters instanceof Queue))
      throw typeError("options.deadLetters", "a Queue", deadLetters);
    if (deadLetters === undefined && maxAttempts !== undefined && maxAttempts !== Number.POSITIVE_INFINITY)
      throw valueError("The option maxAttempts needs deadLetters, where messages go that are given up");
    const consumer = createConsumer(
      {
        takeNow: (keepFrom) => {
          const delivery = this.#now(() => this.#take(keepFrom) ?? EMPTY);
          return delivery === EMPTY ? null : delivery;
        },
        wait: (signal) => this.waits.message({ signal }),
        bury:
          deadLetters &&
          ((delivery, error) => {
            const letter = deadLetter(this.#termOf(delivery.bytes as Buffer), error, delivery.attempt);
            addon.queue_push(deadLetters.native, letter);
          }),
        ended: () => this.#consumers.delete(consumer),
      },
      handler,
      options,
    );
    this.#consumers.add(consumer);
    return consumer;
  }

  /** The message's term; its bytes if it is none. */
  #termOf(bytes: Buffer): unknown {
    try {
      return this.#format.term(bytes);
    } catch (error) {
      if (!(error instanceof EtfError)) throw error;
      return bytes;
    }
  }

  /**
   * Lists the messages in hand of all processes, and the released ones. Takes no lock and changes nothing; it works with
   * `read`, too.
   * @throws EMMAP_CORRUPT if the file of messages in hand is damaged
   */
  inHand(): InHand[] {
    return addon.queue_in_hand(this.native).map((each) => ({
      ...each,
      since: toDate(each.since),
      due: each.due === 0 ? null : toDate(each.due),
    }));
  }

  /**
   * Puts all released messages, and all that this handle has in hand, back into the queue's own file, before its
   * messages, in the order in which they were taken. Delays and attempts are forgotten. Call it before a return to
   * emmap 2.x, which knows no other file.
   * @returns the number of messages
   * @throws EBUSY if another handle has messages in hand; EMMAP_FULL
   */
  releaseAll(): number {
    return addon.queue_release_all(this.native);
  }

  /**
   * Repairs a damaged file of messages in hand, `PATH-taken`. It keeps each message whose bytes are all there. Copy the file
   * before.
   * @returns the number of messages that it had to give up
   * @throws EMMAP_CORRUPT if there is no such message, and the file is as it was; or if the queue itself is damaged: see
   * {@link erase}
   */
  repair(): number {
    return addon.queue_repair(this.native);
  }

  /** @internal */
  protected override release(): void {
    for (const consumer of this.#consumers) consumer.closing();
    this.waits.close();
  }

  /**
   * Waits as {@link receive}, but takes no message: for {@link tryPop} and {@link tryTake}. Resolves to `"ok"` if there
   * may be a message, to `"timed-out"` if there is none.
   *
   * ```ts
   * while ((await jobs.wait()) === "ok") jobs.tryPop(run);
   * ```
   *
   * One message wakes one waiter. `"ok"` does not promise that the message is still there. While another caller is in a
   * pop in two steps, the result may be `"ok"` up to 12 times a second.
   */
  async wait(options: WaitOptions = {}): Promise<"ok" | "timed-out"> {
    return (await this.waits.message(options)) ? "ok" : "timed-out";
  }

  /**
   * Takes the first message, gives it to `consume`, and acknowledges it when `consume` has returned, or when the promise
   * that it returned is fulfilled. If `consume` throws, or its promise is rejected, the message becomes the first one
   * again, and the caller gets the error. If this process dies, the message is delivered again. A message that cannot be
   * decoded is thrown as by {@link pop}.
   *
   * Others take the next messages meanwhile. If messages in hand have no place (see the errors of {@link tryTake}), the
   * call pops in two steps: the message stays in the queue until `consume` has ended, and keeps all consumers out. Then
   * `pop`, `tryPop`, `purge` and `erase` throw EBUSY in every process, and {@link receive} waits.
   *
   * @returns the result of `consume`; if there is no message {@link EMPTY}, or `fallback`, without calling `consume`
   * @throws EBUSY while another caller is in a pop in two steps; ETIMEDOUT, also after `consume`, and then the message stays;
   * ESTALE if a writer that takes no locks (the Erlang library emmap 2.x) has removed the message
   */
  tryPop<Result>(consume: (message: Out) => Result): Result | typeof EMPTY;
  tryPop<Result, Fallback>(consume: (message: Out) => Result, fallback: Fallback): Result | Fallback;
  tryPop(consume: (message: Out) => unknown, fallback?: unknown): unknown {
    if (typeof consume !== "function") throw typeError("consume", "of type function", consume);
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    const { tickets, delivery } = this.#reader;
    tickets[0] = 0n;
    delivery[1] = 0;
    let step: Step | undefined;
    let message: Out | typeof EMPTY = EMPTY;
    try {
      const bytes = this.#begin();
      // biome-ignore lint/complexity/noArguments: as in pop
      if (bytes === null) return arguments.length > 1 ? fallback : EMPTY;
      step = this.#step() as Step;
      message = this.#decode(bytes, isOwn(bytes));
      const result = consume(message);
      if (isPromise(result)) return this.#settle(result, step);
      this.#commit(step);
      return result;
    } catch (error) {
      // #begin may have failed after the addon took the message.
      step ??= this.#step();
      if (step !== undefined) {
        // If no stack is left for the calls below, the next operation gives the message back.
        this.#unfinished = step;
        if (message === EMPTY && (error as { code?: unknown } | undefined)?.code === "EMMAP_BAD_TERM") {
          end(this.native, step, true);
          this.#unfinished = undefined;
        } else this.#giveUp(step);
      }
      throw error;
    }
  }

  /** Takes the first message; where that is not possible, begins a pop in two steps. */
  #begin(): Buffer | null {
    const { needsOwn } = this.#format;
    try {
      return this.#reader.take(needsOwn);
    } catch (error) {
      if (!(error instanceof EmmapError) || error.code === "ETIMEDOUT") throw error;
      return this.#reader.popBegin(needsOwn);
    }
  }

  /** The step that the addon began last; undefined: none. */
  #step(): Step | undefined {
    const { tickets, delivery } = this.#reader;
    if (delivery[1] !== 0) return delivery[0];
    return tickets[0] === 0n ? undefined : tickets[0];
  }

  async #settle<Value>(promise: Value, step: Step): Promise<Awaited<Value>> {
    let value: Awaited<Value>;
    try {
      value = await promise;
    } catch (error) {
      this.#abort(step);
      throw error;
    }
    this.#commit(step);
    return value;
  }

  #commit(step: Step): void {
    try {
      end(this.native, step, true);
    } catch (error) {
      // The step has not ended, and would keep all others from the message.
      if ((error as EmmapError).code === "ETIMEDOUT") this.#abort(step);
      throw error;
    }
  }

  /** Ends a step so that the message stays, also near the end of the stack. */
  #giveUp(step: Step): void {
    this.#unfinished = step;
    try {
      // This needs less stack than #abort.
      end(this.native, step, false);
      this.#unfinished = undefined;
    } catch {
      this.#abort(step);
    }
  }

  /** Leaves the message in the queue. Nothing is left to do after close, and after a commit that has failed. */
  #abort(step: Step): void {
    try {
      if (!this.closed) end(this.native, step, false);
    } catch (error) {
      if ((error as EmmapError).code !== "EINVAL") throw error;
    }
    this.#unfinished = undefined;
  }

  /**
   * Returns the first message, which stays. If there is none it returns as {@link pop}. A message that cannot be
   * decoded is thrown as by {@link pop}, but stays.
   */
  peek(): Out | typeof EMPTY;
  peek<Fallback>(fallback: Fallback): Out | Fallback;
  peek(fallback?: unknown): unknown {
    const bytes = this.#reader.peekFront(this.#format.needsOwn);
    // biome-ignore lint/complexity/noArguments: as in pop
    if (bytes === null) return arguments.length > 0 ? fallback : EMPTY;
    return this.#decode(bytes, isOwn(bytes));
  }

  /** Returns the last message, which stays. Otherwise as {@link peek}. */
  peekBack(): Out | typeof EMPTY;
  peekBack<Fallback>(fallback: Fallback): Out | Fallback;
  peekBack(fallback?: unknown): unknown {
    const bytes = this.#reader.peekBack(this.#format.needsOwn);
    // biome-ignore lint/complexity/noArguments: as in pop
    if (bytes === null) return arguments.length > 0 ? fallback : EMPTY;
    return this.#decode(bytes, isOwn(bytes));
  }

  /**
   * Iterates over the messages from the first to the last. They stay. Messages that others pop meanwhile are skipped.
   * @throws ESTALE if the messages have been moved, or the queue has been emptied and filled, meanwhile: begin again,
   * or take a {@link snapshot}, which never throws it
   */
  [Symbol.iterator](): Generator<Out, void, undefined> {
    return this.#walk(false);
  }

  /** Iterates over the messages from the last to the first. They stay. */
  reversed(): Generator<Out, void, undefined> {
    return this.#walk(true);
  }

  *#walk(backward: boolean): Generator<Out, void, undefined> {
    let place = BEGINNING;
    for (let limit = 1; ; ) {
      const packed = this.#reader.step(backward, limit, place, true);
      if (packed === null) return;
      place = this.#reader.place;
      const messages = unpack(packed);
      for (const bytes of messages) yield this.#decode(bytes, false);
      // The right number if the next messages are as long as these.
      limit = Math.min(2 * limit, STRIDE, Math.ceil((STRIDE_SIZE * messages.length) / packed.length));
    }
  }

  /**
   * Returns copies of the first `limit` messages, or of all, as they are at one moment. The messages stay. Others wait
   * during the copying.
   * @throws {EtfError} with code `ETF_LIMIT` if the messages together take more memory than their bytes and
   * `maxInflatedSize` more: take fewer, or iterate
   */
  snapshot(limit: number = Number.MAX_SAFE_INTEGER): Out[] {
    checkLimit(limit);
    const packed = this.#reader.snapshot(limit);
    if (packed === null) return [];
    const budget = this.#format.budget();
    return unpack(packed).map((bytes) => {
      try {
        return this.#format.decode(bytes, false, budget);
      } catch (cause) {
        throw budget.exceeded ? cause : this.#refusal(bytes, cause);
      }
    });
  }

  /** Removes all messages, but not those in hand. The file keeps its size (see {@link compact}). Throws EBUSY as {@link pop}. */
  purge(): void {
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    addon.queue_purge(this.native);
  }

  /** As {@link purge}, and also repairs a damaged queue: it is empty afterwards. */
  erase(): void {
    if (this.#unfinished !== undefined) this.#abort(this.#unfinished);
    addon.queue_erase(this.native);
  }

  /**
   * Gives the disk space that no message needs back to the file system. The file keeps its size and gets holes; a push
   * reserves space again. When a queue becomes empty, or its messages are moved, this happens by itself if 4 MiB and
   * three quarters of the file are free, unless the file has a fixed size.
   * @returns the number of bytes that it gave back
   * @throws ENOTSUP if the file system cannot have holes
   */
  compact(): number {
    return addon.queue_compact(this.native);
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    return `Queue ${inspect(closed ? { path, closed } : { path, ...addon.queue_info(this.native) }, options)}`;
  }

  #decode(bytes: Buffer, own: boolean): Out {
    try {
      return this.#format.decode(bytes, own);
    } catch (cause) {
      throw this.#refusal(bytes, cause);
    }
  }

  /** The error for a message that could not be decoded and is still in the queue. */
  #refusal(bytes: Buffer, cause: unknown): unknown {
    return refusalOf("message", this.#format.term, this.path, bytes, cause);
  }
}

/** Ends a step: removes the message, or leaves it. */
function end(native: NativeFile, ticket: Step, removes: boolean): void {
  if (typeof ticket === "number")
    removes ? addon.queue_ack(native, ticket) : addon.queue_put_back(native, ticket);
  else removes ? addon.queue_pop_commit(native, ticket) : addon.queue_pop_abort(native, ticket);
}

function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 0) throw rangeError("limit", "an integer of 0 or more", limit);
}

/** The number of messages that lie before `head`. The last one of the first step ends at `end`. */
function countBefore(head: number, steps: Buffer[], end: number): number {
  const sizes = steps.map((packed) => mapParts(packed, (from, to) => to - from + FRAME));
  let at = (sizes[0] ?? []).reduce((begin, size) => begin - size, end);
  let count = 0;
  for (const size of sizes.flat()) {
    at += size;
    if (at > head) break;
    count++;
  }
  return count;
}

function isBadTerm(error: unknown): error is EmmapError & { bytes: Buffer } {
  return error instanceof EmmapError && error.code === "EMMAP_BAD_TERM";
}

/** No memory or no stack is left. Not `instanceof`: the error may be of another context of V8. */
function isShortage(error: unknown): error is Error {
  return types.isNativeError(error) && error.name === "RangeError";
}

/** No stack is left. */
function isOverflow(error: unknown): boolean {
  return isShortage(error) && /^Maximum call stack/.test(error.message);
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
 * Messages are Erlang terms: `emmap/etf` says which value stands for which term. With `values: "json"` they are JSON
 * values, with `raw` bytes. A type `T` is not checked: messages that others push may be of another type.
 *
 * @throws {EmmapError} as {@link open}; EINVAL for a size below 16; EFBIG above 4 GiB; EMMAP_CORRUPT for a file that is
 * no queue, or a damaged one, which stays as it was
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
  const [format, rest] = formatOf<StructureOptions>(options);
  const native = structureOptions(rest, "queues", FORMAT_OPTIONS);
  return create(openFile(["queue_open", toPath(path), native]), format);
}
