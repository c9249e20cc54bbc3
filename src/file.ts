import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Bytes, type Integer, toBigInt, toBytes, typeError, valueError } from "./arguments.js";
import { copyOf, lineLength, lineOf } from "./copies.js";
import { isSound, Mapping } from "./mapping.js";
import { type Opened, openFile } from "./opening.js";
import { type OpenOptions, openOptions, toPath } from "./options.js";
import { ownsBuffer, type ViewOptions, Views } from "./views.js";
import { toCount, type WaitOptions, type WaitResult } from "./wait.js";
import { WaitableFile } from "./waitable-file.js";
import { byteIndex, bytesAt, wordIndex, wordsAt } from "./windows.js";

/** Where {@link MappedFile.position} counts from: the beginning, the cursor or the end of the file. */
export type Whence = "bof" | "cur" | "eof";

/** How a range will be used: see {@link MappedFile.advise}. */
export type Advice = "normal" | "sequential" | "random" | "noReuse" | "willNeed" | "dontNeed";

const WHENCES: readonly Whence[] = ["bof", "cur", "eof"];
const ADVICES: readonly Advice[] = ["normal", "sequential", "random", "noReuse", "willNeed", "dontNeed"];

function choice<Name extends string>(names: readonly Name[], name: Name, argument: string): number {
  const index = names.indexOf(name);
  if (typeof name !== "string") throw typeError(argument, `one of ${names.join(", ")}`, name);
  if (index < 0) throw valueError(`The argument "${argument}" must be one of ${names.join(", ")}`);
  return index;
}

/**
 * A file that is mapped into memory. {@link open} makes one.
 *
 * **Numbers.** Positions and lengths are in bytes, counted from the option `offset`. They may be numbers or bigints;
 * below 0, and from 2^63 up, they are `EINVAL`. 64-bit operands are bigints from -2^63 to 2^64-1, or safe integers.
 * Results are signed bigints, and arithmetic wraps.
 *
 * **Speed.** Reads that copy, writes and atomic operations do not leave JavaScript if the position is a number.
 * Exceptions are accesses that cross a multiple of a GiB, atomic operations if `offset` is no multiple of 8, and the
 * first access to a mapping of more than 32 MiB.
 *
 * **Errors.** Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, and with `EFAULT` after
 * another process has truncated the file under the mapping. Other errors stand at each method.
 *
 * A file belongs to the thread that opened it; other workers open it themselves. A file that is never closed is closed
 * when it is garbage-collected.
 */
export class MappedFile extends WaitableFile {
  readonly #mapping: Mapping;
  readonly #views: Views;
  readonly #direct: boolean;

  private constructor(opened: Opened, direct: boolean) {
    const { native } = opened;
    const about = addon.describe(native);
    super(opened, about);
    this.#mapping = new Mapping(native, about);
    this.#views = new Views(native, this.#mapping, about.path);
    this.#direct = direct;
  }

  /** The same as the function {@link open}. */
  static open(path: PathLike, options: OpenOptions = {}): MappedFile {
    const opened = openFile(["open", toPath(path), openOptions(options)]);
    return new MappedFile(opened, options.direct === true);
  }

  /** @internal */
  protected override fromOpened(opened: Opened): MappedFile {
    return new MappedFile(opened, this.#direct);
  }

  /** @internal */
  protected override get native(): NativeFile {
    return this.#mapping.native;
  }

  /**
   * Bytes that are mapped; 0 once the file is closed. Bytes that others have added at the end count after {@link
   * follow}.
   */
  get size(): number {
    return this.#mapping.size;
  }

  /**
   * Copies up to `length` bytes at `position`; fewer at the end of the file.
   * @returns the bytes, which belong to the caller; `null` at or past the end
   * @throws ENOMEM if there is no memory for them
   */
  pread(position: Integer, length: Integer): Buffer | null {
    const mapping = this.#mapping;
    const bytes = bytesAt(mapping.bytes, position, length);
    if (bytes !== undefined) {
      const copy = copyOf(bytes, byteIndex(position), length as number);
      if (copy !== undefined && mapping.usable) return copy;
    }
    return addon.pread(mapping.native, toBigInt(position, "position"), toBigInt(length, "length"));
  }

  /**
   * Writes all bytes at `position`, or none. The file does not grow by itself. `bytes` may be a {@link view} of the
   * same file that overlaps with the target: its bytes before the call are written. A write is not atomic for readers:
   * a process that reads meanwhile may see some of the new bytes and some of the old ones.
   * @throws EACCES for a read-only file; EINVAL if the write would pass the end
   */
  pwrite(position: Integer, bytes: Bytes): void {
    const mapping = this.#mapping;
    const from = bytes instanceof Uint8Array ? bytes : toBytes(bytes);
    const to = bytesAt(mapping.writableBytes, position, from.length);
    if (to !== undefined && mapping.alone && mapping.usable) {
      to.set(from, byteIndex(position));
      if (mapping.usable) return;
    }
    addon.pwrite(mapping.native, toBigInt(position, "position"), toBytes(from));
  }

  /**
   * Copies up to `length` bytes at the cursor and moves it behind them.
   * @returns the bytes, which belong to the caller; `null` at the end
   * @throws ENOMEM if there is no memory for them; the cursor stays
   */
  read(length: Integer): Buffer | null {
    const mapping = this.#mapping;
    const { cursor } = mapping;
    const bytes = bytesAt(mapping.bytes, cursor, length);
    if (bytes !== undefined) {
      const copy = copyOf(bytes, byteIndex(cursor), length as number);
      if (copy !== undefined && mapping.usable) {
        mapping.cursor = cursor + (length as number);
        return copy;
      }
    }
    return addon.read(mapping.native, toBigInt(length, "length"));
  }

  /**
   * Copies the bytes from the cursor to the next `\n`, which belongs to the line, or to the end, and moves the cursor
   * behind them. The `\r` of `\r\n` is left out, as Erlang's `file:read_line` does.
   * @returns the line, which belongs to the caller; `null` at the end
   * @throws ENOMEM if there is no memory for it; the cursor stays
   */
  readLine(): Buffer | null {
    const mapping = this.#mapping;
    const { cursor } = mapping;
    const bytes = bytesAt(mapping.bytes, cursor, 1);
    if (bytes !== undefined) {
      const begin = byteIndex(cursor);
      const length = lineLength(bytes, begin);
      const line = length > 0 ? lineOf(bytes, begin, length) : undefined;
      if (line !== undefined && mapping.usable) {
        mapping.cursor = cursor + length;
        return line;
      }
    }
    return addon.read_line(mapping.native);
  }

  /**
   * Writes all bytes at the cursor and moves it behind them, or writes none. As with {@link pwrite}, a process that reads
   * meanwhile may see some of the new bytes and some of the old ones.
   * @throws as {@link pwrite}
   */
  write(bytes: Bytes): void {
    const mapping = this.#mapping;
    const from = bytes instanceof Uint8Array ? bytes : toBytes(bytes);
    const { cursor } = mapping;
    const to = bytesAt(mapping.writableBytes, cursor, from.length);
    if (to !== undefined && mapping.alone && mapping.usable) {
      to.set(from, byteIndex(cursor));
      if (mapping.usable) {
        mapping.cursor = cursor + from.length;
        return;
      }
    }
    addon.write(mapping.native, toBytes(from));
  }

  /**
   * Moves the cursor to `offset`, counted from `whence`. It may go past the end; a read there returns `null`.
   * @returns the cursor
   * @throws EINVAL if the cursor would be below 0
   */
  position(offset: Integer, whence: Whence = "bof"): number {
    return addon.position(this.native, toBigInt(offset, "offset"), choice(WHENCES, whence, "whence"));
  }

  /**
   * Adds to the 64-bit word at `position`. This and the other atomic operations are sequentially consistent between all
   * threads and processes that share the file.
   * @returns the value before the call
   * @throws EMMAP_ALIGNMENT unless `offset` + `position` is a multiple of 8; EACCES for a read-only file; EINVAL if the
   * word is not wholly inside the file
   */
  add(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.add(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_add(mapping.native, toBigInt(position, "position"), operand);
  }

  /** Subtracts from the word at `position`. Returns and throws as {@link add}. */
  sub(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.sub(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_sub(mapping.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise and with the word at `position`. Returns and throws as {@link add}. */
  and(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.and(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_and(mapping.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise or with the word at `position`. Returns and throws as {@link add}. */
  or(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.or(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_or(mapping.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise exclusive or with the word at `position`. Returns and throws as {@link add}. */
  xor(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.xor(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_xor(mapping.native, toBigInt(position, "position"), operand);
  }

  /** Stores `value` in the word at `position`. Returns and throws as {@link add}. */
  exchange(position: Integer, value: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.exchange(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_exchange(mapping.native, toBigInt(position, "position"), operand);
  }

  /**
   * Stores `replacement` if the word holds `expected`. It did so if the result is `expected`, as a signed number.
   * Returns and throws as {@link add}.
   */
  compareExchange(position: Integer, expected: Integer, replacement: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const old64 = toBigInt(expected, "expected");
    const new64 = toBigInt(replacement, "replacement");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.compareExchange(words, wordIndex(word), old64, new64);
      if (isSound(control)) return old;
    }
    return addon.patomic_compare_exchange(mapping.native, toBigInt(position, "position"), old64, new64);
  }

  /** Returns the word at `position`. Works on a read-only file. Throws as {@link add}. */
  load(position: Integer): bigint {
    const mapping = this.#mapping;
    const { control } = mapping;
    const word = wordOf(position);
    const words = wordsAt(mapping.words, word);
    if (words !== undefined) {
      const value = Atomics.load(words, wordIndex(word));
      if (isSound(control)) return value;
    }
    return addon.patomic_load(mapping.native, toBigInt(position, "position"));
  }

  /** Stores `value` in the word at `position`. Throws as {@link add}. */
  store(position: Integer, value: Integer): void {
    const mapping = this.#mapping;
    const { control } = mapping;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(mapping.writableWords, word);
    if (words !== undefined && isSound(control)) {
      Atomics.store(words, wordIndex(word), operand);
      if (isSound(control)) return;
    }
    addon.patomic_store(mapping.native, toBigInt(position, "position"), operand);
  }

  /**
   * Waits while the word at `position` holds `expected`: until it holds another value, or until somebody calls
   * {@link notify} on it, in this process or another one, on Node or BEAM. All 64 bits count. A wait blocks nothing and
   * uses no processor time. Load the word, decide by its value to wait, wait with this value as `expected`, and load
   * again:
   *
   * ```ts
   * for (let value = file.load(0); value < 10n; value = file.load(0)) await file.wait(0, value);
   * ```
   *
   * A wait keeps the process alive, as an open socket does: see {@link unref}. It works on a read-only file. If the
   * word changes without a notify, the wait ends within 100 ms. A process can have 1024 waits at a time.
   *
   * Rejects with the signal's reason when the signal is aborted; with EMMAP_CLOSED when the file is closed; with EFAULT
   * when another process truncates it; with EMMAP_ALIGNMENT and EINVAL as {@link add}; with EINVAL when the file
   * becomes shorter than the word, and for a writable file that is `private`; with ENOMEM beyond 1024 waits.
   */
  async wait(position: Integer, expected: Integer, options: WaitOptions = {}): Promise<WaitResult> {
    const value = toBigInt(expected, "expected");
    return await this.waits.word("wait", toBigInt(position, "position"), value, options);
  }

  /**
   * Wakes waits for the word at `position`, in all processes, the longest one first. Store another value first: then
   * every wait for a different value ends, even one that begins at the same moment. A notify without a change wakes all
   * waits of this process, and those waits of other processes that began at least 50 µs ago.
   * @param count the most waits to wake; all if not given
   * @returns the number of waits that it woke
   * @throws EMMAP_ALIGNMENT, EINVAL as {@link add}
   */
  notify(position: Integer, count: Integer = Number.POSITIVE_INFINITY): number {
    return addon.notify(this.native, toBigInt(position, "position"), toCount(count));
  }

  /**
   * A Buffer over the mapping itself, without a copy. It shows the writes of others. Writes to the Buffer go to the file;
   * of a read-only file they stay in this mapping. Nothing checks a read from the Buffer: after another process has
   * truncated the file, it reads zeros, and the next method of the file throws `EFAULT`.
   *
   * When the file is closed the view becomes empty (length 0), unless the file was opened with `direct`. The memory is
   * given back when the last view of the mapping is collected. While there is a view, the mapping cannot shrink.
   *
   * **Do not give it to `postMessage` or `structuredClone` as it is**: they copy the whole ArrayBuffer under the view,
   * which is the whole mapping. Use `ownBuffer`, or send the result of {@link pread}. A copy does not follow the file.
   *
   * @param position the first byte; 0 if not given
   * @param length the number of bytes; all to the end if not given
   * @throws EINVAL if the view would pass the end; ENOTSUP if the runtime has no such buffers (Electron), or none of
   * this size (Node 20: 4 GiB)
   */
  view(position: Integer = 0, length?: Integer, options?: ViewOptions): Buffer {
    const mapping = this.#mapping;
    const views = this.#views;
    if (
      options === undefined &&
      Number.isInteger(position) &&
      Number.isInteger(length) &&
      (position as number) >= 0 &&
      (length as number) > 0 &&
      (length as number) <= mapping.size - (position as number) &&
      mapping.usable
    )
      return views.bytes(position as number, length as number);
    const begin = views.within(position, "position", mapping.size);
    const most = mapping.size - begin;
    const run = length === undefined ? most : views.within(length, "length", most);
    const own = ownsBuffer(options);
    return run === 0 ? Buffer.alloc(0) : views.bytes(begin, run, own);
  }

  /**
   * As {@link view}, for `count` 64-bit words from `position` on. `Atomics` works on it.
   * @param count the number of words; all to the end if not given
   * @throws EMMAP_ALIGNMENT unless `offset` + `position` is a multiple of 8; as {@link view}
   */
  bigInt64Array(position: Integer = 0, count?: Integer, options?: ViewOptions): BigInt64Array {
    const mapping = this.#mapping;
    const views = this.#views;
    const begin = views.within(position, "position", mapping.size);
    const most = Math.floor((mapping.size - begin) / 8);
    const run = count === undefined ? most : views.within(count, "count", most);
    const own = ownsBuffer(options);
    if (run === 0) return new BigInt64Array(0);
    this.load(begin); // throws if it is not aligned
    return views.words(begin, run, own);
  }

  /** Runs `change`, which may replace the mapping. */
  #remap<Result>(change: (native: NativeFile) => Result): Result {
    if (this.closed) return change(this.native);
    this.#views.forget();
    return this.#mapping.remap(change);
  }

  /**
   * Changes the size of the file. If others have made the file larger than `size`, growing does not shrink it, but maps
   * all of it. Existing views keep showing the earlier mapping.
   * @param size in bytes; if not given, or 0, twice the size, but at most `maxIncSize` more
   * @returns the new size
   * @throws EACCES for a read-only file; EMMAP_FIXED_SIZE; ENOSPC; EBUSY if it would shrink a mapping that has a view
   */
  resize(size: Integer = 0): number {
    const wanted = toBigInt(size, "size");
    return this.#remap((native) => addon.resize(native, wanted));
  }

  /**
   * Maps the bytes that others have added at the end of the file.
   * @returns the new size
   */
  follow(): number {
    return this.#remap((native) => addon.follow(native));
  }

  /** Ends the file at the cursor. Throws as {@link resize}, and EINVAL if the cursor is at 0 or past the end. */
  truncate(): void {
    this.#remap((native) => addon.truncate(native));
  }

  /** Reserves disk space for a range. Throws EACCES; EINVAL past the end or for length 0; ENOSPC. */
  allocate(position: Integer, length: Integer): void {
    addon.allocate(this.native, toBigInt(position, "position"), toBigInt(length, "length"));
  }

  /** Tells the kernel how a range will be used. Length 0 means to the end. A range past the end is cut. */
  advise(position: Integer, length: Integer, advice: Advice): void {
    addon.advise(
      this.native,
      toBigInt(position, "position"),
      toBigInt(length, "length"),
      choice(ADVICES, advice, "advice"),
    );
  }

  /** @internal */
  protected override release(): void {
    if (this.#direct) this.#views.forget();
    else this.#views.revoke();
    this.#mapping.release();
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, existed, closed, size } = this;
    const { cursor, writable } = this.#mapping;
    const about = closed ? { path, closed } : { path, size, position: cursor, writable, existed };
    return `MappedFile ${inspect(about, options)}`;
  }
}

/** The number of the word at `position`; no integer if no word begins there, or if `position` is a bigint. */
function wordOf(position: Integer): number {
  return Number.isInteger(position) ? (position as number) / 8 : Number.NaN;
}

/**
 * Opens and maps a file. Without options it is opened for reading. The mapping is shared, unless `private` is given.
 *
 * ```ts
 * using file = open("state.bin", { write: true, create: true, size: 4096 });
 * file.pwrite(0, "hello");
 * file.add(8, 1n);
 * ```
 *
 * @throws {EmmapError} the errors of open and mmap; EISDIR for a directory; ENODEV for anything else that is not a
 * regular file; EINVAL for options that contradict each other or lack another one, and for an empty file without a
 * size; EBUSY if another handle is exclusive
 */
export function open(path: PathLike, options: OpenOptions = {}): MappedFile {
  return MappedFile.open(path, options);
}
