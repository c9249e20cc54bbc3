// A message that was taken, and is in hand until it is acknowledged or released.
import { addon, type NativeFile } from "./addon.js";
import { rangeError, typeError } from "./arguments.js";
import { EmmapError } from "./error.js";

/** A message in hand, or one that was released and waits for its next consumer: {@link Queue.inHand}. */
export interface InHand {
  /** True if the message was released, and no consumer has it. */
  readonly released: boolean;
  /** Of a released message: it is not delivered before this time. `null`: it is due, or in hand. */
  readonly due: Date | null;
  /** How often the message was taken. */
  readonly attempt: number;
  /** The time when it was taken last. */
  readonly since: Date;
  /** The process id of the consumer, as the process itself sees it; 0 for a released message. */
  readonly process: number;
  /** The program of the consumer; `""` for a released message. */
  readonly program: string;
  /** True while the consumer has the queue open. Otherwise the next operation on the queue releases the message. */
  readonly alive: boolean;
  /** The size of the message in bytes. */
  readonly size: number;
}

/** The longest delay in milliseconds, some 31,700 years: the core's EMMAP_DELAY_MAX. @internal */
export const MAX_DELAY = 1e15;

/** @internal */
export function checkDelay(delay: unknown, name: string): number {
  if (typeof delay !== "number") throw typeError(name, "of type number", delay);
  if (!(delay >= 0 && delay <= MAX_DELAY)) throw rangeError(name, "from 0 to 1e15", delay);
  return delay;
}

let create: <Message>(
  native: NativeFile,
  ticket: number,
  attempt: number,
  message: Message | Undecodable,
  bytes: Buffer | undefined,
) => Delivery<Message>;

/** Stands for a message that cannot be decoded. @internal */
export class Undecodable {
  readonly error: unknown;

  constructor(error: unknown) {
    this.error = error;
  }
}

/**
 * A message that {@link Queue.take} has taken. It belongs to the queue's handle until {@link ack} or {@link release}
 * ends the delivery. If the handle is closed or the process dies before that, the message is delivered again, to the
 * next taker. A delivery that is never ended stays in hand as long as the handle is open.
 *
 * With `using` a delivery is released at the end of the block, unless it was ended before:
 *
 * ```ts
 * using job = await jobs.take();
 * await run(job.message);
 * job.ack();
 * ```
 */
export class Delivery<Message> {
  /** How often the message was delivered, this time included: 1, 2, … */
  readonly attempt: number;
  /** The bytes of the message, if the queue has kept them. @internal */
  readonly bytes: Buffer | undefined;
  /** Ends the delivery when the handler of its last attempt releases it. @internal */
  bury: (() => void) | undefined;
  readonly #native: NativeFile;
  readonly #ticket: number;
  readonly #message: Message | Undecodable;
  #ended = false;

  private constructor(
    native: NativeFile,
    ticket: number,
    attempt: number,
    message: Message | Undecodable,
    bytes: Buffer | undefined,
  ) {
    this.attempt = attempt;
    this.bytes = bytes;
    this.#native = native;
    this.#ticket = ticket;
    this.#message = message;
  }

  static {
    create = (native, ticket, attempt, message, bytes) =>
      new Delivery(native, ticket, attempt, message, bytes);
  }

  /**
   * The message.
   * @throws EMMAP_BAD_TERM if it is no term, EMMAP_REFUSED if the queue's options refuse it; the error's `bytes` have
   * it. The delivery can be ended nevertheless.
   */
  get message(): Message {
    if (this.#message instanceof Undecodable) throw this.#message.error;
    return this.#message;
  }

  /** True once the delivery was acknowledged or released. */
  get ended(): boolean {
    return this.#ended;
  }

  /**
   * Acknowledges the message: the work is done, and the message is gone for good.
   * @throws EINVAL if the delivery was ended before; ETIMEDOUT as {@link Queue.pop}: call it again
   */
  ack(): void {
    addon.queue_ack(this.#native, this.#ticket);
    this.#ended = true;
  }

  /**
   * Gives the message back. It is delivered again before those that were pushed later, but not before `delay`
   * milliseconds have passed, at most 1e15. The delay holds even if all processes end meanwhile. The release counts as
   * an attempt: in a {@link Handler} at the last one the message goes to the dead letters.
   * @throws as {@link ack}; ERR_OUT_OF_RANGE for another delay
   */
  release(delay = 0): void {
    const milliseconds = BigInt(Math.ceil(checkDelay(delay, "delay")));
    if (this.bury === undefined || this.#ended) addon.queue_release(this.#native, this.#ticket, milliseconds);
    else this.bury();
    this.#ended = true;
  }

  /** Undoes the take: the message is the first one again, and the attempt does not count. @internal */
  putBack(): void {
    addon.queue_put_back(this.#native, this.#ticket);
    this.#ended = true;
  }

  /** Releases the message unless the delivery was ended, for `using`. */
  [Symbol.dispose](): void {
    try {
      if (!this.#ended) this.release();
    } catch (error) {
      // Closing the queue has released the message.
      if (!(error instanceof EmmapError) || error.code !== "EMMAP_CLOSED") throw error;
    }
  }
}

/** @internal */
export const createDelivery = create;
