import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon";
import { type Integer, toBigInt } from "./arguments";
import { Handle, STATUS } from "./handle";
import { type CountersOptions, countersOptions, toPath } from "./options";

/** Bytes before the first counter. */
const HEADER = 16;

/**
 * 64-bit counters in a file that other threads, processes and runtimes share. {@link openCounters} makes one.
 *
 * Indexes are from 0. Operands are bigints from -2^63 to 2^64-1, or safe integers; counters are signed, and wrap.
 * Every operation is atomic and sequentially consistent, and does not leave JavaScript.
 *
 * Besides what it lists, every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, and with
 * `EFAULT` when another process truncated the file. Iterating gives the values.
 */
export class Counters {
  readonly #handle: Handle;
  /** How many counters there are. */
  readonly length: number;
  readonly #control: Uint32Array;
  #cells: BigInt64Array;
  #writableCells: BigInt64Array;

  private constructor(handle: Handle, length: number) {
    this.#handle = handle;
    this.#control = handle.control;
    this.length = length;
    this.#cells = handle.words.subarray(HEADER / 8);
    this.#writableCells = handle.writableWords.subarray(HEADER / 8);
  }

  /** The same as the function {@link openCounters}. */
  static open(path: string | URL, count: Integer = 0, options: CountersOptions = {}): Counters {
    const native = addon.open(
      "counters_open",
      toPath(path),
      countersOptions(options),
      toBigInt(count, "count"),
    );
    return new Counters(new Handle(native, false), addon.describe(native).counters);
  }

  /** As {@link Handle.native}, with the same consequence here. */
  get #native(): NativeFile {
    const native = this.#handle.native;
    if (!this.#handle.usable) this.#cells = this.#writableCells = this.#handle.words;
    return native;
  }

  /** The path, as it was given to open. */
  get path(): string {
    return this.#handle.path;
  }

  /** True if the file was there before it was opened. */
  get existed(): boolean {
    return this.#handle.existed;
  }

  /** True once the file is closed. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /**
   * Adds to a counter.
   * @returns what it held before
   * @throws EINVAL for an index beyond the last, EACCES for a read-only file
   */
  add(index: Integer, value: Integer): bigint {
    const cells = this.#writableCells;
    const operand = toBigInt(value, "value");
    if (isIndex(cells, index)) {
      const old = Atomics.add(cells, index, operand);
      if (this.#control[STATUS] === 0) return old;
    }
    return addon.counterAdd(this.#native, toBigInt(index, "index"), operand);
  }

  /** Subtracts from a counter. Returns and throws as {@link add}. */
  sub(index: Integer, value: Integer): bigint {
    const cells = this.#writableCells;
    const operand = toBigInt(value, "value");
    if (isIndex(cells, index)) {
      const old = Atomics.sub(cells, index, operand);
      if (this.#control[STATUS] === 0) return old;
    }
    return addon.counterSub(this.#native, toBigInt(index, "index"), operand);
  }

  /** Sets a counter. Returns and throws as {@link add}. */
  set(index: Integer, value: Integer): bigint {
    const cells = this.#writableCells;
    const operand = toBigInt(value, "value");
    if (isIndex(cells, index)) {
      const old = Atomics.exchange(cells, index, operand);
      if (this.#control[STATUS] === 0) return old;
    }
    return addon.counterSet(this.#native, toBigInt(index, "index"), operand);
  }

  /** What a counter holds. Works on a read-only file. Throws EINVAL for an index beyond the last. */
  get(index: Integer): bigint {
    const cells = this.#cells;
    if (isIndex(cells, index)) {
      const value = Atomics.load(cells, index);
      if (this.#control[STATUS] === 0) return value;
    }
    return addon.counterGet(this.#native, toBigInt(index, "index"));
  }

  /**
   * Sets a counter to `replacement` if it holds `expected`. It did if what is returned is `expected`, as a signed
   * number. Returns and throws as {@link add}.
   */
  compareExchange(index: Integer, expected: Integer, replacement: Integer): bigint {
    const cells = this.#writableCells;
    const old64 = toBigInt(expected, "expected");
    const new64 = toBigInt(replacement, "replacement");
    if (isIndex(cells, index)) {
      const old = Atomics.compareExchange(cells, index, old64, new64);
      if (this.#control[STATUS] === 0) return old;
    }
    return addon.counterCompareExchange(this.#native, toBigInt(index, "index"), old64, new64);
  }

  /** The counters' values, each read when its turn comes. */
  *[Symbol.iterator](): Generator<bigint, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }

  /** Starts to write changes to the disk, and does not wait for it. */
  flush(): void {
    addon.flush(this.#native);
  }

  /** Resolves when all that was added is on the disk. Once it has failed it fails until the file is opened anew. */
  async sync(): Promise<void> {
    await addon.sync(this.#native);
  }

  /** As {@link sync}, but for metadata that is not needed to read the counters back. */
  async datasync(): Promise<void> {
    await addon.datasync(this.#native);
  }

  /** Closes the file and unmaps it. Closing again does nothing. */
  close(): void {
    this.#handle.close();
    this.#cells = this.#writableCells = this.#handle.words;
  }

  /** Closes the file: `using counters = openCounters(…)`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](depth: number, options: InspectOptions): string {
    const { path, writable, closed, usable } = this.#handle;
    if (closed || depth < 0 || !usable)
      return `Counters(${this.length}) ${inspect({ path, closed }, options)}`;
    return `Counters(${this.length}) ${inspect({ path, writable, values: this.#cells }, options)}`;
  }
}

function isIndex(cells: BigInt64Array, index: Integer): index is number {
  return Number.isInteger(index) && (index as number) >= 0 && (index as number) < cells.length;
}

/**
 * Opens a file of counters, or creates one with all of them 0. The mapping is always shared.
 *
 * ```ts
 * using counters = openCounters("counters.bin", 8);
 * counters.add(0, 5n);
 * ```
 *
 * @param count how many; if not given, or 0, as many as the file has, and 1 when it is created
 * @throws {EmmapError} as {@link open}; EINVAL for a file with another number of counters; EMMAP_CORRUPT for one
 * that is no file of counters, which is left as it was
 */
export function openCounters(
  path: string | URL,
  count: Integer = 0,
  options: CountersOptions = {},
): Counters {
  return Counters.open(path, count, options);
}
