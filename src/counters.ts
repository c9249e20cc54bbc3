import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Integer, toBigInt } from "./arguments.js";
import { backup } from "./backup.js";
import type { MappedFile } from "./file.js";
import { Handle, isSound } from "./handle.js";
import { type Opened, type Origin, openFile } from "./opening.js";
import { type CountersOptions, countersOptions, toPath } from "./options.js";
import { toCount, type WaitOptions, type WaitResult, Waits } from "./wait.js";
import { wordIndex, wordsAt } from "./windows.js";

/** Bytes before the first counter. */
const HEADER = 16;
const NO_CELLS = new BigInt64Array(0);

/** An operation of the addon that has an index. */
type Operation = (native: NativeFile, index: bigint, ...operands: bigint[]) => bigint;

/**
 * 64-bit counters in a file that other threads, processes and runtimes share. {@link openCounters} makes one.
 *
 * Indexes are from 0. Operands are bigints from -2^63 to 2^64-1, or safe integers; counters are signed, and wrap.
 * Every operation is atomic and sequentially consistent, and, where the index is a number, does not leave JavaScript.
 *
 * Besides what it lists, every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, and with
 * `EFAULT` when another process truncated the file. Iterating gives the values.
 */
export class Counters {
  readonly #handle: Handle;
  /** {@link Handle.control}. Looked up before an atomic operation, which holds back the loads that come after it. */
  readonly #control: Uint32Array;
  /** How many counters there are. */
  readonly length: number;
  /** The first windows, a step nearer than the handle's: most files have no other. */
  #cells: BigInt64Array;
  #writableCells: BigInt64Array;

  readonly #origin: Origin;
  #waits: Waits | undefined;

  private constructor({ native, origin }: Opened) {
    const handle = new Handle(native, false, HEADER);
    this.#handle = handle;
    this.#origin = origin;
    this.#control = handle.control;
    this.length = addon.describe(native).counters;
    void handle.native; // large files too are lent now
    this.#cells = handle.words[0] ?? NO_CELLS;
    this.#writableCells = handle.writableWords[0] ?? NO_CELLS;
  }

  /** The same as the function {@link openCounters}. */
  static open(path: PathLike, count: Integer = 0, options: CountersOptions = {}): Counters {
    const native = countersOptions(options);
    return new Counters(openFile(["counters_open", toPath(path), native, toBigInt(count, "count")]));
  }

  /** As {@link Handle.native}, with the same consequence here. */
  get #native(): NativeFile {
    if (!this.#handle.usable) this.#cells = this.#writableCells = NO_CELLS;
    return this.#handle.native;
  }

  /** What the core answers. A fault that it meets is known here then, too: no view of the counters could meet another. */
  #ask(
    operation: "counter_add" | "counter_sub" | "counter_set" | "counter_get" | "counter_compare_exchange",
    index: Integer,
    ...operands: bigint[]
  ): bigint {
    const native = this.#native;
    try {
      return (addon[operation] as Operation)(native, toBigInt(index, "index"), ...operands);
    } finally {
      void this.#native;
    }
  }

  #at(index: Integer): BigInt64Array | undefined {
    const cells = this.#cells;
    return isIndex(cells, index) ? cells : wordsAt(this.#handle.words, index as number);
  }

  #writableAt(index: Integer): BigInt64Array | undefined {
    const cells = this.#writableCells;
    return isIndex(cells, index) ? cells : wordsAt(this.#handle.writableWords, index as number);
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
    const operand = toBigInt(value, "value");
    const control = this.#control;
    const cells = this.#writableAt(index);
    if (cells !== undefined) {
      const old = Atomics.add(cells, wordIndex(index as number), operand);
      if (isSound(control)) return old;
    }
    return this.#ask("counter_add", index, operand);
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
    return this.#ask("counter_sub", index, operand);
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
    return this.#ask("counter_set", index, operand);
  }

  /** What a counter holds. Works on a read-only file. Throws EINVAL for an index beyond the last. */
  get(index: Integer): bigint {
    const control = this.#control;
    const cells = this.#at(index);
    if (cells !== undefined) {
      const value = Atomics.load(cells, wordIndex(index as number));
      if (isSound(control)) return value;
    }
    return this.#ask("counter_get", index);
  }

  /**
   * Sets a counter to `replacement` if it holds `expected`. It did if what is returned is `expected`, as a signed
   * number. Returns and throws as {@link add}.
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
    return this.#ask("counter_compare_exchange", index, old64, new64);
  }

  /**
   * Waits while a counter holds `expected`: until it holds another value, or somebody calls {@link notify} on it, in this
   * process or another one, on Node or BEAM. Resolves and rejects as {@link MappedFile.wait}; EINVAL for an index beyond the
   * last.
   *
   * ```ts
   * let jobs = counters.get(0);
   * if ((await counters.wait(0, jobs, { timeout: 1000 })) !== "timed-out") jobs = counters.get(0);
   * ```
   */
  async wait(index: Integer, expected: Integer, options: WaitOptions = {}): Promise<WaitResult> {
    const value = toBigInt(expected, "expected");
    return await this.#waiting().word("counter_wait", toBigInt(index, "index"), value, options);
  }

  #waiting(): Waits {
    this.#waits ??= new Waits(this.#native, this.path);
    return this.#waits;
  }

  /** Lets the process end although somebody waits for a counter of this file: see {@link ref}. */
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
   * Wakes those who {@link wait} for a counter, in all processes, as {@link MappedFile.notify}: change it first.
   * @param count how many at the most; all if not given
   * @returns how many
   * @throws EINVAL for an index beyond the last
   */
  notify(index: Integer, count: Integer = Number.POSITIVE_INFINITY): number {
    return addon.counter_notify(this.#native, toBigInt(index, "index"), toCount(count));
  }

  /** The counters' values, each read when its turn comes. */
  *[Symbol.iterator](): Generator<bigint, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }

  /** Starts to write changes to the disk, and does not wait for it. */
  flush(): void {
    addon.flush(this.#native);
  }

  /**
   * Resolves when all that was added is on the disk. Once the disk has failed it fails until the file is opened anew.
   * @throws ESTALE if the path means another file now, or none; see {@link isCurrent} and {@link reopen}
   */
  async sync(): Promise<void> {
    await addon.sync(this.#native);
  }

  /** As {@link sync}, but for metadata that is not needed to read the counters back. */
  async datasync(): Promise<void> {
    await addon.datasync(this.#native);
  }

  /**
   * Opens the file again as it was opened, and closes this one: after `EFAULT` or `ESTALE`, or to go over to what the path
   * means now. Nothing is created or truncated this time. If the open fails, these counters stay open; but `exclusive`
   * ones are closed before the open if the path still means them, and those with `autoUnlink` always.
   * @throws as the function that opened it; ENOENT; ENOTSUP for memory without a file
   */
  reopen(): Counters {
    return new Counters(this.#origin.reopen(this));
  }

  /**
   * Whether the path that it was opened by still means this file: false once that was deleted, or another one was put or
   * renamed there. {@link reopen} opens what is there now.
   */
  isCurrent(): boolean {
    return addon.is_current(this.#native);
  }

  /**
   * Makes a copy under the name `to`, which is on the disk when the promise resolves. Each counter is
   * copied as it is when its turn comes. The copy has the file's permission bits, and appears whole or not at all.
   * @throws EEXIST where there is anything of that name; what open, write, fsync and link say
   */
  async backup(to: PathLike): Promise<void> {
    await backup(this.#native, to);
  }

  /** Closes the file and unmaps it. Closing again does nothing. */
  close(): void {
    this.#cells = this.#writableCells = NO_CELLS;
    this.#handle.close();
  }

  /** Closes the file: `using counters = openCounters(…)`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** More than a window of them, where the runtime has such arrays. */
  #allCells(): BigInt64Array {
    const { buffer, byteOffset } = this.#cells;
    return new BigInt64Array(buffer, byteOffset, Math.floor((buffer.byteLength - byteOffset) / 8));
  }

  /** @internal */
  [inspect.custom](depth: number, options: InspectOptions): string {
    const { path, writable, closed, usable } = this.#handle;
    if (closed || depth < 0 || !usable)
      return `Counters(${this.length}) ${inspect({ path, closed }, options)}`;
    const values = this.#allCells();
    try {
      return `Counters(${this.length}) ${inspect({ path, writable, values }, options)}`;
    } finally {
      void this.#native;
    }
  }
}

function isIndex(cells: BigInt64Array, index: Integer): boolean {
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
 * @throws {EmmapError} as {@link open}; EINVAL for a file with another number of counters, which the
 * message says (see the option `grow`); EMMAP_CORRUPT for one
 * that is no file of counters, which is left as it was
 */
export function openCounters(path: PathLike, count: Integer = 0, options: CountersOptions = {}): Counters {
  return Counters.open(path, count, options);
}
