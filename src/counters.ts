import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Integer, toBigInt } from "./arguments.js";
import { isSound, Mapping } from "./mapping.js";
import { type Opened, openFile } from "./opening.js";
import { type CountersOptions, countersOptions, toPath } from "./options.js";
import { toCount, type WaitOptions, type WaitResult } from "./wait.js";
import { WaitableFile } from "./waitable-file.js";
import { wordIndex, wordsAt } from "./windows.js";

/** Bytes before the first counter. */
const HEADER = 16;
const NO_CELLS = new BigInt64Array(0);

/** An operation of the addon on the counter of an index. */
type Operation = (native: NativeFile, index: bigint, ...operands: bigint[]) => bigint;

/**
 * 64-bit counters in a file that threads, processes and runtimes share. {@link openCounters} makes one. Iterating gives
 * the values.
 *
 * Indexes are from 0. Operands are bigints from -2^63 to 2^64-1, or safe integers. Counters are signed, and wrap. Every
 * operation is atomic and sequentially consistent. It does not leave JavaScript if the index is a number.
 *
 * Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, and with `EFAULT` after another process
 * has truncated the file. Other errors stand at each method.
 */
export class Counters extends WaitableFile {
  readonly #mapping: Mapping;
  /** {@link Mapping.control}. Read before an atomic operation, which would delay the read. */
  readonly #control: Uint32Array;
  /** The number of counters. */
  readonly length: number;
  /** The first windows, a step nearer than those of the mapping: most files have no other. */
  #cells: BigInt64Array;
  #writableCells: BigInt64Array;

  private constructor(opened: Opened) {
    const about = addon.describe(opened.native);
    super(opened, about);
    const mapping = new Mapping(opened.native, about, HEADER);
    this.#mapping = mapping;
    this.#control = mapping.control;
    this.length = about.counters;
    void mapping.native; // makes the windows of a large file too
    this.#cells = mapping.words[0] ?? NO_CELLS;
    this.#writableCells = mapping.writableWords[0] ?? NO_CELLS;
  }

  /** The same as the function {@link openCounters}. */
  static open(path: PathLike, count: Integer = 0, options: CountersOptions = {}): Counters {
    const native = countersOptions(options);
    return new Counters(openFile(["counters_open", toPath(path), native, toBigInt(count, "count")]));
  }

  /** @internal */
  protected override fromOpened(opened: Opened): Counters {
    return new Counters(opened);
  }

  /** As {@link Mapping.native}: after a fault it takes the cells away too. @internal */
  protected override get native(): NativeFile {
    if (!this.#mapping.usable) this.#cells = this.#writableCells = NO_CELLS;
    return this.#mapping.native;
  }

  /** Calls the core. If the core meets a fault, the cells are gone afterwards. */
  #call(
    operation: "counter_add" | "counter_sub" | "counter_set" | "counter_get" | "counter_compare_exchange",
    index: Integer,
    ...operands: bigint[]
  ): bigint {
    const { native } = this;
    try {
      return (addon[operation] as Operation)(native, toBigInt(index, "index"), ...operands);
    } finally {
      void this.native;
    }
  }

  #at(index: Integer): BigInt64Array | undefined {
    const cells = this.#cells;
    return isIndex(cells, index) ? cells : wordsAt(this.#mapping.words, index as number);
  }

  #writableAt(index: Integer): BigInt64Array | undefined {
    const cells = this.#writableCells;
    return isIndex(cells, index) ? cells : wordsAt(this.#mapping.writableWords, index as number);
  }

  /**
   * Adds to a counter.
   * @returns the value before
   * @throws EINVAL for an index beyond the last, EACCES for a read-only file
   */
  add(index: Integer, value: Integer): bigint {
    const operand = toBigInt(value, "value");
    const control = this.#control;
    const cells = this.#writableAt(index);
    if (cells !== undefined) {
      const old = Atomics.add(cells, wordIndex(index as number), operand);
      if (isSound(control)) return old;
    }
    return this.#call("counter_add", index, operand);
  }

  /** Subtracts from a counter. Returns and throws as {@link add}. */
  sub(index: Integer, value: Integer): bigint {
    const operand = toBigInt(value, "value");
    const control = this.#control;
    const cells = this.#writableAt(index);
    if (cells !== undefined) {
      const old = Atomics.sub(cells, wordIndex(index as number), operand);
      if (isSound(control)) return old;
    }
    return this.#call("counter_sub", index, operand);
  }

  /** Sets a counter. Returns and throws as {@link add}. */
  set(index: Integer, value: Integer): bigint {
    const operand = toBigInt(value, "value");
    const control = this.#control;
    const cells = this.#writableAt(index);
    if (cells !== undefined) {
      const old = Atomics.exchange(cells, wordIndex(index as number), operand);
      if (isSound(control)) return old;
    }
    return this.#call("counter_set", index, operand);
  }

  /** Returns a counter. Works on a read-only file. Throws EINVAL for an index beyond the last. */
  get(index: Integer): bigint {
    const control = this.#control;
    const cells = this.#at(index);
    if (cells !== undefined) {
      const value = Atomics.load(cells, wordIndex(index as number));
      if (isSound(control)) return value;
    }
    return this.#call("counter_get", index);
  }

  /**
   * Sets a counter to `replacement` if it holds `expected`. It did so if the result is `expected`, as a signed number.
   * Returns and throws as {@link add}.
   */
  compareExchange(index: Integer, expected: Integer, replacement: Integer): bigint {
    const old64 = toBigInt(expected, "expected");
    const new64 = toBigInt(replacement, "replacement");
    const control = this.#control;
    const cells = this.#writableAt(index);
    if (cells !== undefined) {
      const old = Atomics.compareExchange(cells, wordIndex(index as number), old64, new64);
      if (isSound(control)) return old;
    }
    return this.#call("counter_compare_exchange", index, old64, new64);
  }

  /**
   * Waits while a counter holds `expected`: until it holds another value, or until somebody calls {@link notify} on it,
   * in this process or another one, on Node or BEAM. Resolves and rejects as {@link MappedFile.wait}, and with EINVAL
   * for an index beyond the last.
   *
   * ```ts
   * let jobs = counters.get(0);
   * if ((await counters.wait(0, jobs, { timeout: 1000 })) !== "timed-out") jobs = counters.get(0);
   * ```
   */
  async wait(index: Integer, expected: Integer, options: WaitOptions = {}): Promise<WaitResult> {
    const value = toBigInt(expected, "expected");
    return await this.waits.word("counter_wait", toBigInt(index, "index"), value, options);
  }

  /**
   * Wakes waits for a counter, in all processes, as {@link MappedFile.notify} does: change the counter first.
   * @param count the most waits to wake; all if not given
   * @returns the number of waits that it woke
   * @throws EINVAL for an index beyond the last
   */
  notify(index: Integer, count: Integer = Number.POSITIVE_INFINITY): number {
    return addon.counter_notify(this.native, toBigInt(index, "index"), toCount(count));
  }

  /** The values of the counters, each read when its turn comes. */
  *[Symbol.iterator](): Generator<bigint, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }

  /** @internal */
  protected override release(): void {
    this.#cells = this.#writableCells = NO_CELLS;
    this.#mapping.release();
  }

  /** All counters in one array, where the runtime has arrays of that size. */
  #allCells(): BigInt64Array {
    const { buffer, byteOffset } = this.#cells;
    return new BigInt64Array(buffer, byteOffset, Math.floor((buffer.byteLength - byteOffset) / 8));
  }

  /** @internal */
  [inspect.custom](depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    const { writable, usable } = this.#mapping;
    if (closed || depth < 0 || !usable)
      return `Counters(${this.length}) ${inspect({ path, closed }, options)}`;
    const values = this.#allCells();
    try {
      return `Counters(${this.length}) ${inspect({ path, writable, values }, options)}`;
    } finally {
      void this.native;
    }
  }
}

function isIndex(cells: BigInt64Array, index: Integer): boolean {
  return Number.isInteger(index) && (index as number) >= 0 && (index as number) < cells.length;
}

/**
 * Opens a file of counters, or creates one with all counters at 0. The mapping is always shared.
 *
 * ```ts
 * using counters = openCounters("counters.bin", 8);
 * counters.add(0, 5n);
 * ```
 *
 * @param count the number of counters; if not given, or 0, the file's number, and 1 for a new file
 * @throws {EmmapError} as {@link open}; EINVAL for a file with another number of counters, which the message says (see
 * the option `grow`); EMMAP_CORRUPT for a file that does not hold counters, which stays as it was
 */
export function openCounters(path: PathLike, count: Integer = 0, options: CountersOptions = {}): Counters {
  return Counters.open(path, count, options);
}
