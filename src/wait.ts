// Waiting for words and messages.
import { constants } from "node:os";
import { addon, type NativeFile, type Settle, type WaitToken } from "./addon.js";
import { checkOptions, type Integer, rangeError, toBigInt, typeError } from "./arguments.js";
import { Bell } from "./bell.js";
import { createError } from "./error.js";

/** How a wait may end early: see {@link MappedFile.wait}. */
export interface WaitOptions {
  /** Milliseconds after which the result is `"timed-out"`. Without it, and with `Infinity`, there is no limit. */
  timeout?: number | undefined;
  /** When the signal is aborted, the promise is rejected with the signal's reason. */
  signal?: AbortSignal | undefined;
}

/**
 * How a wait has ended. `"ok"`: by a notify, or because the word changed. `"not-equal"`: the word held another value
 * when the wait began. `"timed-out"`: the timeout is over.
 */
export type WaitResult = "ok" | "not-equal" | "timed-out";

const OK = 0;
/** The core's EMMAP_NO_LIMIT. */
const NO_LIMIT = 2n ** 64n - 1n;

function toTimeout(timeout: unknown): bigint {
  if (timeout === undefined || timeout === Number.POSITIVE_INFINITY) return NO_LIMIT;
  if (typeof timeout !== "number") throw typeError("options.timeout", "of type number", timeout);
  if (!(timeout >= 0)) throw rangeError("options.timeout", "0 or more", timeout);
  return BigInt(Math.ceil(timeout)) < NO_LIMIT ? BigInt(Math.ceil(timeout)) : NO_LIMIT;
}

function checkSignal(signal: unknown): void {
  if (signal !== undefined && !(signal instanceof AbortSignal))
    throw typeError("options.signal", "an AbortSignal", signal);
}

const WAIT_OPTIONS: ReadonlySet<string> = new Set(["timeout", "signal"] satisfies (keyof WaitOptions)[]);

/** Throws for wrong options. @internal */
export function checkWait(options: WaitOptions, names = WAIT_OPTIONS): void {
  checkOptions(options, names);
  toTimeout(options.timeout);
  checkSignal(options.signal);
}

/** The waits on one file. @internal */
export class Waits {
  readonly #native: NativeFile;
  readonly #path: string;
  readonly #going = new Set<WaitToken>();
  #refs = true;
  #bell: Bell | undefined;

  constructor(native: NativeFile, path: string) {
    this.#native = native;
    this.#path = path;
  }

  /** Sets whether waits keep the process alive, the current ones and later ones. */
  keepAlive(yes: boolean): void {
    this.#refs = yes;
    for (const token of this.#going) addon.wait_ref(token, yes);
  }

  async word(
    operation: "wait" | "counter_wait",
    place: bigint,
    expected: bigint,
    options: WaitOptions,
  ): Promise<WaitResult> {
    return await this.#wait(operation, options, (timeout, settle) =>
      addon[operation](this.#native, place, expected, timeout, settle),
    );
  }

  /** True: a cell has another version. False: the timeout is over. */
  async version(seen: bigint, options: WaitOptions): Promise<boolean> {
    const begin = (timeout: bigint, settle: Settle) => addon.cell_wait(this.#native, seen, timeout, settle);
    return (await this.#wait("cell_wait", options, begin)) !== "timed-out";
  }

  /** True: there may be a message. False: the timeout is over. */
  async message(options: WaitOptions): Promise<boolean> {
    if (options.timeout !== 0) this.#bell ??= new Bell(this.#native);
    const bell = this.#bell?.isFree ? this.#bell : undefined;
    const begin = (timeout: bigint, settle: Settle) => {
      const token = addon.queue_wait(this.#native, timeout, bell !== undefined, settle);
      if (typeof token === "number") return token;
      bell?.wake(() => {
        if (addon.wait_woken(token)) settle(OK, "UNKNOWN", "");
      });
      return token;
    };
    try {
      return (await this.#wait("queue_wait", options, begin)) !== "timed-out";
    } finally {
      bell?.wake(undefined);
    }
  }

  close(): void {
    this.#bell?.close();
  }

  async #wait(
    operation: string,
    options: WaitOptions,
    begin: (timeout: bigint, settle: Settle) => WaitToken | number,
  ): Promise<WaitResult> {
    checkWait(options);
    const timeout = toTimeout(options.timeout);
    const { signal } = options;
    signal?.throwIfAborted();
    let token: WaitToken | number | undefined;
    let abort: (() => void) | undefined;
    try {
      return await new Promise<WaitResult>((resolve, reject) => {
        const settle: Settle = (number, name, message) => {
          if (number === OK) resolve("ok");
          else if (number === constants.errno.ETIMEDOUT) resolve("timed-out");
          else if (number === constants.errno.EAGAIN) resolve("not-equal");
          else reject(createError(number, name, message, operation, undefined, this.#path));
        };
        token = begin(timeout, settle);
        if (typeof token === "number") return settle(token, "UNKNOWN", "");
        const going = token;
        this.#going.add(going);
        if (!this.#refs) addon.wait_ref(going, false);
        abort = () => {
          // If the wait has ended already, it settles, because its wake-up must not be lost.
          if (addon.wait_cancel(going)) reject(signal?.reason);
        };
        signal?.addEventListener("abort", abort);
      });
    } finally {
      this.#going.delete(token as WaitToken);
      if (abort !== undefined) signal?.removeEventListener("abort", abort);
    }
  }
}

/** The number of waits to wake, for the core. @internal */
export function toCount(count: Integer): bigint {
  return count === Number.POSITIVE_INFINITY ? NO_LIMIT : toNatural(toBigInt(count, "count"), count);
}

function toNatural(number: bigint, given: Integer): bigint {
  if (number < 0n) throw rangeError("count", "0 or more", given);
  return number;
}
