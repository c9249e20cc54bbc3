// Consumers: they take messages, call a handler, and acknowledge or release by its result.
import { setMaxListeners } from "node:events";
import { setTimeout as sleep, setImmediate as turn } from "node:timers/promises";
import { checkOptions, rangeError, typeError } from "./arguments.js";
import { reasonOf } from "./dead-letter.js";
import { checkDelay, type Delivery, MAX_DELAY } from "./delivery.js";
import { EmmapError, type EmmapErrorCode } from "./error.js";
import { isPromise } from "./promises.js";

/** The wait between two attempts at a message: {@link ProcessOptions.backoff}. All times are in milliseconds. */
export interface Backoff {
  /** The delay after the first attempt. Default 1000. */
  readonly initial?: number | undefined;
  /** How many times longer each delay is than the one before. Default 2. */
  readonly factor?: number | undefined;
  /** The longest delay. Default 300,000, which is 5 minutes. */
  readonly max?: number | undefined;
  /**
   * The share of each delay that is random, so that messages that failed together do not come back together. With 0.2,
   * the default, a delay of 1000 ms is between 800 and 1200.
   */
  readonly jitter?: number | undefined;
}

/** The options of {@link Queue.process}. An unknown option is an error. */
export interface ProcessOptions<Letters = unknown> {
  /** The most messages that the consumer has in hand at a time. Default 1. */
  concurrency?: number | undefined;
  /**
   * The most deliveries of a message, deaths of consumers included; then it goes to `deadLetters`. Default 5 with
   * `deadLetters`. Without `deadLetters` the default is no limit: a message is tried until an attempt succeeds.
   */
  maxAttempts?: number | undefined;
  /**
   * The delays before further attempts, or a function that returns each delay in milliseconds, from 0 to 1e15. If it
   * throws or returns anything else, that is an `error` event, and the message gets the default delay.
   */
  backoff?: Backoff | ((attempt: number, error: unknown) => number) | undefined;
  /** The queue that gets a {@link DeadLetter} for each message that is given up. */
  deadLetters?: Letters | undefined;
  /** When it is aborted, the consumer stops as by {@link Consumer.stop}. */
  signal?: AbortSignal | undefined;
  /**
   * Is called for every event that a person would log. Without this option errors of the queue become warnings of the
   * process, and all other events are dropped.
   */
  onEvent?: ((event: ConsumerEvent) => void) | undefined;
}

/**
 * An event of a consumer:
 * - `started`: the handler is about to be called; an `attempt` above 1 is a redelivery.
 * - `done`: the handler succeeded, and the message is gone.
 * - `failed`: the handler failed, and the message comes back after `delay` milliseconds.
 * - `dead`: the handler failed for the last time, and the message went to the dead letters.
 * - `error`: the queue or the function `backoff` failed; the consumer goes on.
 */
export type ConsumerEvent =
  | { readonly type: "started" | "done"; readonly delivery: Delivery<unknown> }
  | {
      readonly type: "failed";
      readonly delivery: Delivery<unknown>;
      readonly error: unknown;
      readonly delay: number;
    }
  | { readonly type: "dead"; readonly delivery: Delivery<unknown>; readonly error: unknown }
  | { readonly type: "error"; readonly error: unknown };

/** The second argument of a {@link Handler}. */
export interface HandlerContext<Message> {
  /** How often the message was delivered, this time included: 1, 2, … */
  readonly attempt: number;
  /** Is aborted when the handler loses the message: {@link Consumer.stop} gave it back, or the queue is closed. */
  readonly signal: AbortSignal;
  /**
   * The delivery. If the handler ends it itself, the handler's result does not count. A release at the last attempt
   * puts the message among the dead letters.
   */
  readonly delivery: Delivery<Message>;
}

/** Works on a message. If it returns, or its promise is fulfilled, the message is acknowledged. If it throws, the message is released. */
export type Handler<Message> = (message: Message, context: HandlerContext<Message>) => unknown;

/** The options of {@link Consumer.stop}. */
export interface StopOptions {
  /** Milliseconds after which messages in hand go back to the queue. Default: never; all handlers end first. */
  timeout?: number | undefined;
}

/** The queue, as a consumer sees it. @internal */
export interface Source {
  /** A message; null: there is none now. Does not wait for a lock. From an attempt on the delivery has the bytes. */
  takeNow(keepFrom: number): Delivery<unknown> | null;
  /** Resolves when there may be a message. */
  wait(signal: AbortSignal): Promise<unknown>;
  /** Puts a message among the dead letters, and does not end its delivery; undefined: there are none. */
  readonly bury: ((delivery: Delivery<unknown>, error: unknown) => void) | undefined;
  /** The consumer has ended. */
  ended(): void;
}

/** Errors of the queue that end without help of this process. The consumer tries again. */
const PASSING = new Set<EmmapErrorCode>([
  "ETIMEDOUT",
  "EBUSY",
  "EAGAIN",
  "ENOMEM",
  "ENOSPC",
  "EDQUOT",
  "EMFILE",
  "ENFILE",
  "EMMAP_FULL",
]);
/** The milliseconds between two tries. */
const PAUSE = 1000;
/** How long it goes on before other work of the process gets its turn, in ms. */
const TURN = 5;
/** The longest time of a timer. */
const MAX_TIMEOUT = 2 ** 31 - 1;
const ATTEMPTS = 5;

const OPTIONS: ReadonlySet<string> = new Set<keyof ProcessOptions>([
  "concurrency",
  "maxAttempts",
  "backoff",
  "deadLetters",
  "signal",
  "onEvent",
]);
const BACKOFF_OPTIONS: ReadonlySet<string> = new Set<keyof Backoff>(["initial", "factor", "max", "jitter"]);

type Delays = (attempt: number, error: unknown) => number;

function isPassing(error: unknown): boolean {
  return error instanceof EmmapError && PASSING.has(error.code);
}

function positive(value: unknown, name: string): number {
  if (typeof value !== "number") throw typeError(name, "of type number", value);
  if (!(Number.isInteger(value) || value === Number.POSITIVE_INFINITY) || value < 1)
    throw rangeError(name, "an integer of 1 or more", value);
  return value;
}

function toDelays(backoff: ProcessOptions["backoff"] = {}): Delays {
  if (typeof backoff === "function") return backoff;
  if (typeof backoff !== "object" || backoff === null)
    throw typeError("options.backoff", "an object or a function", backoff);
  checkOptions(backoff, BACKOFF_OPTIONS);
  const { initial = 1000, factor = 2, max = 300_000, jitter = 0.2 } = backoff;
  for (const [name, value] of Object.entries({ factor, jitter })) {
    if (typeof value !== "number") throw typeError(`options.backoff.${name}`, "of type number", value);
    if (!(value >= 0)) throw rangeError(`options.backoff.${name}`, "0 or more", value);
  }
  if (jitter > 1) throw rangeError("options.backoff.jitter", "from 0 to 1", jitter);
  checkDelay(initial, "options.backoff.initial");
  checkDelay(max, "options.backoff.max");
  return (attempt) => {
    // 0 times an infinite factor is no number.
    const delay = Math.min(max, initial * factor ** (attempt - 1) || 0);
    return Math.min(MAX_DELAY, delay * (1 + jitter * (2 * Math.random() - 1)));
  };
}

const defaultDelay = toDelays();

/** Puts a message among the dead letters, and ends its delivery. If one of the two fails, call it again for the rest. */
type Bury = (error: unknown) => void;

function toBury({ bury }: Source, delivery: Delivery<unknown>): Bury {
  let isBuried = false;
  return (error) => {
    if (!isBuried) bury?.(delivery, error);
    isBuried = true;
    delivery.ack();
  };
}

/** Its text is the reason in the dead letter, the same as in Erlang. */
function released(): Error {
  return Object.assign(new Error("the handler released the message"), { name: "" });
}

let consume: (source: Source, handler: Handler<unknown>, options: ProcessOptions) => Consumer;

/**
 * Works on the messages of a queue, until it is stopped: the result of {@link Queue.process}. It keeps the process
 * alive while it waits for messages: see {@link Queue.unref}.
 */
export class Consumer {
  /**
   * Is fulfilled when the consumer has stopped, or the queue was closed, and nothing is in hand. Is rejected with an
   * error of the queue that does not pass, such as EFAULT or ESTALE; the consumer has stopped then. If no code handles
   * the rejection, it ends the process, as every unhandled rejection does.
   */
  readonly finished: Promise<void>;
  readonly #source: Source;
  readonly #handler: Handler<unknown>;
  readonly #concurrency: number;
  readonly #maxAttempts: number;
  readonly #backoff: Delays;
  readonly #onEvent: ((event: ConsumerEvent) => void) | undefined;
  readonly #inHand = new Set<Delivery<unknown>>();
  /** Aborted when the consumer takes no more messages. */
  readonly #stopping = new AbortController();
  /** Aborted when the handlers have lost their messages. */
  readonly #givenUp = new AbortController();
  #failure: { readonly error: unknown } | undefined;
  /** Called when a message is not in hand any more. */
  #freed = (): void => {};
  #timer: NodeJS.Timeout | undefined;
  /** When the timer ends. */
  #deadline = Number.POSITIVE_INFINITY;

  private constructor(source: Source, handler: Handler<unknown>, options: ProcessOptions) {
    if (typeof handler !== "function") throw typeError("handler", "of type function", handler);
    checkOptions(options, OPTIONS);
    const { concurrency = 1, backoff, signal, onEvent } = options;
    const { maxAttempts = source.bury ? ATTEMPTS : Number.POSITIVE_INFINITY } = options;
    if (signal !== undefined && !(signal instanceof AbortSignal))
      throw typeError("options.signal", "an AbortSignal", signal);
    if (onEvent !== undefined && typeof onEvent !== "function")
      throw typeError("options.onEvent", "of type function", onEvent);
    this.#source = source;
    this.#handler = handler;
    this.#concurrency = positive(concurrency, "options.concurrency");
    this.#maxAttempts = positive(maxAttempts, "options.maxAttempts");
    this.#backoff = toDelays(backoff);
    this.#onEvent = onEvent;
    // Each handler may listen to it.
    setMaxListeners(0, this.#givenUp.signal);
    const stop = () => void this.stop();
    signal?.addEventListener("abort", stop);
    if (signal?.aborted) this.#stopping.abort();
    this.finished = this.#run().finally(() => {
      signal?.removeEventListener("abort", stop);
      source.ended();
    });
  }

  static {
    consume = (source, handler, options) => new Consumer(source, handler, options);
  }

  /** The number of messages in hand. */
  get inHand(): number {
    return this.#inHand.size;
  }

  /**
   * Takes no further message, and waits until the handlers have ended. After `timeout` milliseconds the messages that
   * are still in hand go back to the head of the queue, and the handlers' signal is aborted; the attempt does not
   * count. The queue stays open. After several calls the earliest end holds.
   * @returns {@link finished}
   */
  stop({ timeout = Number.POSITIVE_INFINITY }: StopOptions = {}): Promise<void> {
    if (typeof timeout !== "number") throw typeError("options.timeout", "of type number", timeout);
    if (!(timeout >= 0)) throw rangeError("options.timeout", "0 or more", timeout);
    this.#stopping.abort();
    const deadline = performance.now() + timeout;
    if (timeout <= MAX_TIMEOUT && this.#inHand.size > 0 && deadline < this.#deadline) {
      this.#deadline = deadline;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#giveBack(), timeout);
    }
    return this.finished;
  }

  /** The queue is about to be closed, which releases all messages in hand. @internal */
  closing(): void {
    this.#stopping.abort();
    for (const delivery of this.#inHand) delivery.bury = undefined;
    this.#givenUp.abort();
    this.#freed();
  }

  async #run(): Promise<void> {
    const { signal } = this.#stopping;
    // Nothing happens before the caller has the consumer.
    await Promise.resolve();
    for (let since = performance.now(); !signal.aborted; ) {
      if (this.#inHand.size >= this.#concurrency) {
        await this.#change();
        continue;
      }
      try {
        const delivery = this.#source.takeNow(this.#maxAttempts);
        if (delivery !== null) void this.#work(delivery);
        else await this.#source.wait(signal);
      } catch (error) {
        if (signal.aborted) break;
        if (!isPassing(error)) this.#fail(error);
        else await this.#pause(error, signal);
      }
      if (performance.now() - since < TURN) continue;
      await turn();
      since = performance.now();
    }
    while (this.#inHand.size > 0 && !this.#givenUp.signal.aborted) await this.#change();
    clearTimeout(this.#timer);
    if (this.#failure !== undefined) throw this.#failure.error;
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#freed = resolve;
    });
  }

  async #work(delivery: Delivery<unknown>): Promise<void> {
    this.#inHand.add(delivery);
    const bury = toBury(this.#source, delivery);
    try {
      const failure = await this.#attempt(delivery, bury);
      if (failure === undefined) await this.#end(delivery, () => delivery.ack(), { type: "done", delivery });
      else if (delivery.attempt < this.#maxAttempts) await this.#retry(delivery, failure.error);
      else {
        const { error } = failure;
        await this.#end(delivery, () => bury(error), { type: "dead", delivery, error });
      }
    } catch (error) {
      this.#fail(error);
      this.#abandon(delivery);
    } finally {
      this.#inHand.delete(delivery);
      this.#freed();
    }
  }

  /** Calls the handler. Resolves to how it failed. */
  async #attempt(delivery: Delivery<unknown>, bury: Bury): Promise<{ readonly error: unknown } | undefined> {
    const { attempt } = delivery;
    let wish: Error | undefined;
    try {
      // Consumers that die with a message would otherwise do so for ever.
      if (attempt > this.#maxAttempts) throw new Error(`no consumer has ended attempt ${attempt - 1}`);
      this.#tell({ type: "started", delivery });
      if (attempt === this.#maxAttempts) {
        delivery.bury = () => {
          wish = released();
          bury(wish);
          this.#tell({ type: "dead", delivery, error: wish });
        };
      }
      const result = this.#handler(delivery.message, { attempt, signal: this.#givenUp.signal, delivery });
      if (isPromise(result)) await result;
      return undefined;
    } catch (error) {
      return { error: wish ?? error };
    } finally {
      delivery.bury = undefined;
    }
  }

  async #retry(delivery: Delivery<unknown>, error: unknown): Promise<void> {
    const delay = this.#delay(delivery.attempt, error);
    await this.#end(delivery, () => delivery.release(delay), { type: "failed", delivery, error, delay });
  }

  #delay(attempt: number, error: unknown): number {
    try {
      return checkDelay(this.#backoff(attempt, error), "backoff()");
    } catch (cause) {
      this.#tell({ type: "error", error: new Error(`backoff gave no delay: ${reasonOf(cause)}`, { cause }) });
      return defaultDelay(attempt, error);
    }
  }

  /** Ends a delivery that is still the handler's. Tries again as long as the queue can't do it. */
  async #end(delivery: Delivery<unknown>, action: () => void, event: ConsumerEvent): Promise<void> {
    while (!delivery.ended && !this.#givenUp.signal.aborted) {
      try {
        action();
      } catch (error) {
        if (isPassing(error)) {
          await this.#pause(error, this.#givenUp.signal);
          continue;
        }
        if ((error as { code?: unknown }).code !== "EINVAL") throw error;
        // Queue.releaseAll has taken the message away.
        return this.#tell({ type: "error", error });
      }
      this.#tell(event);
    }
  }

  /** Leaves the message to others. */
  #abandon(delivery: Delivery<unknown>): void {
    try {
      delivery[Symbol.dispose]();
    } catch (error) {
      this.#tell({ type: "error", error });
    }
  }

  /** Puts all messages back, the first one last: each becomes the first of the queue. */
  #giveBack(): void {
    for (const delivery of [...this.#inHand].reverse()) {
      try {
        if (!delivery.ended) delivery.putBack();
      } catch (error) {
        this.#tell({ type: "error", error });
      }
    }
    this.closing();
  }

  /** Ends the consumer with an error. */
  #fail(error: unknown): void {
    this.#failure ??= { error };
    this.#stopping.abort();
  }

  async #pause(error: unknown, signal: AbortSignal): Promise<void> {
    this.#tell({ type: "error", error });
    await sleep(PAUSE, undefined, { signal }).catch(() => {});
  }

  #tell(event: ConsumerEvent): void {
    try {
      if (this.#onEvent !== undefined) this.#onEvent(event);
      else if (event.type === "error") process.emitWarning(event.error as Error);
    } catch (error) {
      // As an error of a listener: it must not change what happens to the message.
      queueMicrotask(() => {
        throw error;
      });
    }
  }
}

/** @internal */
export function createConsumer<Message>(
  source: Source,
  handler: Handler<Message>,
  options: ProcessOptions,
): Consumer {
  return consume(source, handler as Handler<unknown>, options);
}
