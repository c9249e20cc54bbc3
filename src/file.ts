import type { PathLike } from "node:fs";
import { constants } from "node:os";
import { type InspectOptions, inspect } from "node:util";
import { addon } from "./addon.js";
import { type Bytes, type Integer, toBigInt, toBytes, typeError, valueError } from "./arguments.js";
import { backup } from "./backup.js";
import { createError } from "./error.js";
import { unknownOption } from "./etf/options.js";
import { Handle, isSound } from "./handle.js";
import { type Opened, type Origin, openFile } from "./opening.js";
import { type OpenOptions, openOptions, toPath } from "./options.js";
import { toCount, type WaitOptions, type WaitResult, Waits } from "./wait.js";
import { byteIndex, bytesAt, wordIndex, wordsAt } from "./windows.js";

/** Where {@link MappedFile.position} counts from: the beginning, the cursor or the end of the file. */
export type Whence = "bof" | "cur" | "eof";

/** How a range will be used: see {@link MappedFile.advise}. */
export type Advice = "normal" | "sequential" | "random" | "noReuse" | "willNeed" | "dontNeed";

/** What {@link MappedFile.view} and {@link MappedFile.bigInt64Array} give. */
export interface ViewOptions {
  /**
   * The view has an ArrayBuffer of its own, of just its bytes: `view.buffer` shows no others, and `structuredClone` and
   * `postMessage` copy no others. It takes some microseconds more. Default `false`: all views share one ArrayBuffer, which
   * is the whole mapping.
   */
  ownBuffer?: boolean | undefined;
}

const WHENCES: readonly Whence[] = ["bof", "cur", "eof"];
const ADVICES: readonly Advice[] = ["normal", "sequential", "random", "noReuse", "willNeed", "dontNeed"];
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
const INVALID = "invalid argument";

function choice<Name extends string>(names: readonly Name[], name: Name, argument: string): number {
  const index = names.indexOf(name);
  if (typeof name !== "string") throw typeError(argument, `one of ${names.join(", ")}`, name);
  if (index < 0) throw valueError(`The argument "${argument}" must be one of ${names.join(", ")}`);
  return index;
}

/**
 * A file mapped into memory. {@link open} makes one.
 *
 * Positions and lengths are bytes, counted from the option `offset`. They may be numbers or bigints; from 2^63 up,
 * and below 0, they are `EINVAL`. 64-bit operands are bigints from -2^63 to 2^64-1, or safe integers; results are
 * signed bigints, and arithmetic wraps. Copying reads and atomics at a position that is a number do not leave JavaScript,
 * but for what reaches across a multiple of a GiB, for atomics where `offset` is no multiple of 8, and, of a mapping of
 * more than 32 MiB, for the first one.
 *
 * Besides what it lists, every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, and with
 * `EFAULT` when another process truncated the file under the mapping.
 *
 * A file belongs to the thread that opened it; other workers open it for themselves. One that is never closed is
 * closed when it is garbage-collected.
 */
export class MappedFile {
  readonly #handle: Handle;
  #waits: Waits | undefined;
  readonly #origin: Origin;
  readonly #direct: boolean;

  private constructor({ native, origin }: Opened, direct: boolean) {
    this.#handle = new Handle(native, direct);
    this.#origin = origin;
    this.#direct = direct;
  }

  /** The same as the function {@link open}. */
  static open(path: PathLike, options: OpenOptions = {}): MappedFile {
    const opened = openFile(["open", toPath(path), openOptions(options)]);
    return new MappedFile(opened, options.direct === true);
  }

  /** The path, as it was given to open; `""` with `anon`. */
  get path(): string {
    return this.#handle.path;
  }

  /** True if the file was there before it was opened. */
  get existed(): boolean {
    return this.#handle.existed;
  }

  /** Bytes that are mapped; 0 once the file is closed. What others have added at the end counts after {@link follow}. */
  get size(): number {
    return this.#handle.size;
  }

  /** True once the file is closed. */
  get closed(): boolean {
    return this.#handle.closed;
  }

  /**
   * Copies up to `length` bytes at `position`; fewer at the end of the file.
   * @returns the bytes, which are the caller's; `null` at or past the end
   * @throws ENOMEM where there is no memory for them
   */
  pread(position: Integer, length: Integer): Buffer | null {
    const handle = this.#handle;
    const bytes = bytesAt(handle.bytes, position, length);
    if (bytes !== undefined) {
      const copy = copyOf(bytes, byteIndex(position), length as number);
      if (copy !== undefined && handle.usable) return copy;
    }
    return addon.pread(handle.native, toBigInt(position, "position"), toBigInt(length, "length"));
  }

  /**
   * Writes all of the bytes at `position`, or none. The file does not grow by itself. The bytes may be a {@link view} of
   * the same file that overlaps with where they go: they are written as they were before the call.
   * @throws EACCES for a read-only file, EINVAL where the write would pass the end
   */
  pwrite(position: Integer, bytes: Bytes): void {
    const handle = this.#handle;
    const from = bytes instanceof Uint8Array ? bytes : toBytes(bytes);
    const to = bytesAt(handle.writableBytes, position, from.length);
    if (to !== undefined && handle.alone && handle.usable) {
      to.set(from, byteIndex(position));
      if (handle.usable) return;
    }
    addon.pwrite(handle.native, toBigInt(position, "position"), toBytes(from));
  }

  /**
   * Copies up to `length` bytes at the cursor and moves it behind them.
   * @returns the bytes, which are the caller's; `null` at the end
   * @throws ENOMEM where there is no memory for them; the cursor stays
   */
  read(length: Integer): Buffer | null {
    const handle = this.#handle;
    const { cursor } = handle;
    const bytes = bytesAt(handle.bytes, cursor, length);
    if (bytes !== undefined) {
      const copy = copyOf(bytes, byteIndex(cursor), length as number);
      if (copy !== undefined && handle.usable) {
        handle.cursor = cursor + (length as number);
        return copy;
      }
    }
    return addon.read(handle.native, toBigInt(length, "length"));
  }

  /**
   * Copies from the cursor to the next `\n`, which belongs to the line, or to the end, and moves the cursor. Of `\r\n` the
   * `\r` is left out, as Erlang's `file:read_line` does.
   * @returns the line, which is the caller's; `null` at the end
   * @throws ENOMEM where there is no memory for it; the cursor stays
   */
  readLine(): Buffer | null {
    const handle = this.#handle;
    const { cursor } = handle;
    const bytes = bytesAt(handle.bytes, cursor, 1);
    if (bytes !== undefined) {
      const begin = byteIndex(cursor);
      const length = bytes.indexOf(LINE_FEED, begin) + 1 - begin;
      if (length > 0) {
        const line = lineOf(bytes, begin, length);
        if (line !== undefined && handle.usable) {
          handle.cursor = cursor + length;
          return line;
        }
      }
    }
    return addon.read_line(handle.native);
  }

  /**
   * Writes all of the bytes at the cursor and moves it behind them, or writes none.
   * @throws as {@link pwrite}
   */
  write(bytes: Bytes): void {
    const handle = this.#handle;
    const from = bytes instanceof Uint8Array ? bytes : toBytes(bytes);
    const { cursor } = handle;
    const to = bytesAt(handle.writableBytes, cursor, from.length);
    if (to !== undefined && handle.alone && handle.usable) {
      to.set(from, byteIndex(cursor));
      if (handle.usable) {
        handle.cursor = cursor + from.length;
        return;
      }
    }
    addon.write(handle.native, toBytes(from));
  }

  /**
   * Moves the cursor to `offset`, counted from `whence`. It may be set past the end, where a read answers `null`.
   * @returns where the cursor is now
   * @throws EINVAL where that would be below 0
   */
  position(offset: Integer, whence: Whence = "bof"): number {
    return addon.position(this.#handle.native, toBigInt(offset, "offset"), choice(WHENCES, whence, "whence"));
  }

  /**
   * Adds to the word at `position`. This and the other atomic operations are sequentially consistent between all
   * threads and processes that share the file.
   * @returns what the word held before
   * @throws EMMAP_ALIGNMENT unless `offset` + `position` is a multiple of 8; EACCES for a read-only file; EINVAL
   * where the word is not wholly within the file
   */
  add(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.add(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_add(handle.native, toBigInt(position, "position"), operand);
  }

  /** Subtracts from the word at `position`. Returns and throws as {@link add}. */
  sub(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.sub(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_sub(handle.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise and. Returns and throws as {@link add}. */
  and(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.and(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_and(handle.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise or. Returns and throws as {@link add}. */
  or(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.or(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_or(handle.native, toBigInt(position, "position"), operand);
  }

  /** Bitwise exclusive or. Returns and throws as {@link add}. */
  xor(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.xor(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_xor(handle.native, toBigInt(position, "position"), operand);
  }

  /** Stores `value`. Returns and throws as {@link add}. */
  exchange(position: Integer, value: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.exchange(words, wordIndex(word), operand);
      if (isSound(control)) return old;
    }
    return addon.patomic_exchange(handle.native, toBigInt(position, "position"), operand);
  }

  /**
   * Stores `replacement` if the word holds `expected`. It did if what is returned is `expected`, as a signed
   * number. Returns and throws as {@link add}.
   */
  compareExchange(position: Integer, expected: Integer, replacement: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const old64 = toBigInt(expected, "expected");
    const new64 = toBigInt(replacement, "replacement");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      const old = Atomics.compareExchange(words, wordIndex(word), old64, new64);
      if (isSound(control)) return old;
    }
    return addon.patomic_compare_exchange(handle.native, toBigInt(position, "position"), old64, new64);
  }

  /** What the word at `position` holds. Works on a read-only file. Throws as {@link add}. */
  load(position: Integer): bigint {
    const handle = this.#handle;
    const { control } = handle;
    const word = wordOf(position);
    const words = wordsAt(handle.words, word);
    if (words !== undefined) {
      const value = Atomics.load(words, wordIndex(word));
      if (isSound(control)) return value;
    }
    return addon.patomic_load(handle.native, toBigInt(position, "position"));
  }

  /** Stores `value`. Throws as {@link add}. */
  store(position: Integer, value: Integer): void {
    const handle = this.#handle;
    const { control } = handle;
    const operand = toBigInt(value, "value");
    const word = wordOf(position);
    const words = wordsAt(handle.writableWords, word);
    if (words !== undefined && isSound(control)) {
      Atomics.store(words, wordIndex(word), operand);
      if (isSound(control)) return;
    }
    addon.patomic_store(handle.native, toBigInt(position, "position"), operand);
  }

  /**
   * Waits while the word at `position` holds `expected`: until it holds another value, or somebody calls {@link notify} on
   * it, in this process or another one, on Node or BEAM. Nothing blocks, and a wait uses no processor time. All 64 bits
   * count. Load the word, decide by its value to wait, wait with that value as `expected`, and load again:
   *
   * ```ts
   * for (let value = file.load(0); value < 10n; value = file.load(0)) await file.wait(0, value);
   * ```
   *
   * A wait keeps the process alive, as an open socket does. It works on a file that is open for reading only. A change
   * that nobody notifies of ends it within 100 ms. 1024 waits may go on in a process at a time.
   *
   * Rejects with the signal's reason when that is aborted; with EMMAP_CLOSED when the file is closed; EFAULT when
   * another process truncates it; EMMAP_ALIGNMENT and EINVAL as {@link add}, and EINVAL when the file becomes shorter than
   * the word and for a writable file that is `private`; ENOMEM beyond 1024 waits.
   */
  async wait(position: Integer, expected: Integer, options: WaitOptions = {}): Promise<WaitResult> {
    const value = toBigInt(expected, "expected");
    return await this.#waiting().word("wait", toBigInt(position, "position"), value, options);
  }

  #waiting(): Waits {
    this.#waits ??= new Waits(this.#handle.native, this.path);
    return this.#waits;
  }

  /** Lets the process end although somebody waits for a word of this file: see {@link ref}. */
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
   * Wakes those who {@link wait} for the word at `position`, in all processes; who has waited longest comes first. Store
   * another value first: then each wait for another value ends, also one that begins in the same moment. A notify that
   * changes nothing reaches all waits of this process, and those of others that are some 50 µs old.
   * @param count how many at the most; all if not given
   * @returns how many
   * @throws EMMAP_ALIGNMENT, EINVAL as {@link add}
   */
  notify(position: Integer, count: Integer = Number.POSITIVE_INFINITY): number {
    return addon.notify(this.#handle.native, toBigInt(position, "position"), toCount(count));
  }

  /**
   * A Buffer over the mapping itself: it shows what others write, and what is written to it goes to the file (for
   * a read-only file it stays in this mapping). Reads of it are not checked: when another process truncates the
   * file they are zeros, and the next method of the file throws `EFAULT`.
   *
   * Closing the file empties it (its length becomes 0), unless the file was opened with `direct`. Its memory is
   * given back when the last view of the mapping is collected. A view keeps all of the mapping from shrinking.
   *
   * **Not for `postMessage` and `structuredClone` as it is**: they copy the ArrayBuffer of a view, and that is the whole
   * mapping, however short the view. Ask for `ownBuffer`, or send what {@link pread} answers. The copy is no view: it
   * shows nothing that is written later.
   *
   * @param position where it begins; 0 if not given
   * @param length its bytes; all to the end if not given
   * @throws EINVAL where it would pass the end; ENOTSUP where the runtime has no such buffers (Electron), or none
   * that are so large (Node 20: 4 GiB)
   */
  view(position: Integer = 0, length?: Integer, options?: ViewOptions): Buffer {
    const handle = this.#handle;
    if (
      options === undefined &&
      Number.isInteger(position) &&
      Number.isInteger(length) &&
      (position as number) >= 0 &&
      (length as number) > 0 &&
      (length as number) <= handle.size - (position as number) &&
      handle.usable
    )
      return handle.view(position as number, length as number);
    const begin = this.#inside(position, "position");
    const run =
      length === undefined ? handle.size - begin : this.#inside(length, "length", handle.size - begin);
    const own = ownsBuffer(options);
    return run === 0 ? Buffer.alloc(0) : handle.view(begin, run, own);
  }

  /**
   * The `count` words from `position` on, as {@link view} shows the bytes. `Atomics` works on it.
   * @param count how many; all to the end if not given
   * @throws EMMAP_ALIGNMENT unless `offset` + `position` is a multiple of 8; as {@link view}
   */
  bigInt64Array(position: Integer = 0, count?: Integer, options?: ViewOptions): BigInt64Array {
    const handle = this.#handle;
    const begin = this.#inside(position, "position");
    const most = Math.floor((handle.size - begin) / 8);
    const run = count === undefined ? most : this.#inside(count, "count", most);
    const own = ownsBuffer(options);
    if (run === 0) return new BigInt64Array(0);
    this.load(begin); // the core says whether it is aligned
    return handle.words64(begin, run, own);
  }

  /** `value`, which has to be from 0 to `limit` for a view of the mapping to be possible. */
  #inside(value: Integer, name: string, limit: number = this.#handle.size): number {
    const handle = this.#handle;
    if (!handle.usable) this.#check();
    const number = toBigInt(value, name);
    if (number >= 0n && number <= BigInt(limit)) return Number(number);
    const reason = `the view would pass the end: ${name} is ${number}, and at most ${limit} is there`;
    throw createError(constants.errno.EINVAL, "EINVAL", INVALID, "view", undefined, handle.path, reason);
  }

  /** Throws if the file is closed or faulted. */
  #check(): void {
    addon.size(this.#handle.native);
  }

  /**
   * Changes the file's size. Growing never shrinks a file that somebody else has made larger: all of it is mapped
   * then. Views keep showing the mapping that they were made from.
   * @param size in bytes; if not given, or 0, twice as much, or `maxIncSize` more
   * @returns the size after it
   * @throws EACCES for a read-only file; EMMAP_FIXED_SIZE; ENOSPC; EBUSY where it would shrink a mapping that has
   * a view
   */
  resize(size: Integer = 0): number {
    const wanted = toBigInt(size, "size");
    return this.#handle.remap((native) => addon.resize(native, wanted));
  }

  /**
   * Maps what others have added at the end of the file.
   * @returns the size after it
   */
  follow(): number {
    return this.#handle.remap((native) => addon.follow(native));
  }

  /** Ends the file at the cursor. Throws as {@link resize}, and EINVAL at cursor 0 or past the end. */
  truncate(): void {
    this.#handle.remap((native) => addon.truncate(native));
  }

  /** Reserves disk space for a range. Throws EACCES; EINVAL past the end or for length 0; ENOSPC. */
  allocate(position: Integer, length: Integer): void {
    addon.allocate(this.#handle.native, toBigInt(position, "position"), toBigInt(length, "length"));
  }

  /** Tells the kernel how a range will be used. Length 0: to the end. A range past the end is cut. */
  advise(position: Integer, length: Integer, advice: Advice): void {
    addon.advise(
      this.#handle.native,
      toBigInt(position, "position"),
      toBigInt(length, "length"),
      choice(ADVICES, advice, "advice"),
    );
  }

  /** Starts to write changes to the disk, and does not wait for it. */
  flush(): void {
    addon.flush(this.#handle.native);
  }

  /**
   * Resolves when all that was written is on the disk, the directory entry of a created file included. Once the disk has
   * failed it fails until the file is opened anew.
   * @throws ESTALE, of a shared mapping, if the path means another file now, or none: the bytes are on the disk, but nobody
   * who opens the path finds them; see {@link isCurrent} and {@link reopen}
   */
  async sync(): Promise<void> {
    await addon.sync(this.#handle.native);
  }

  /** As {@link sync}, but for metadata that is not needed to read the bytes back. */
  async datasync(): Promise<void> {
    await addon.datasync(this.#handle.native);
  }

  /**
   * Opens the file again as it was opened, and closes this one: after `EFAULT` or `ESTALE`, or to go over to what the path
   * means now. Nothing is created or truncated this time, the cursor is at the start, and what a private mapping held is lost.
   * If the open fails, this file stays open. Three kinds of file are closed before the open: one with `autoUnlink`, which
   * is deleted then (ENOENT); and, if the path still means it, one that is `exclusive`, or `fixed` at an address.
   * @throws as the function that opened it; ENOENT; ENOTSUP for memory without a file
   */
  reopen(): MappedFile {
    return new MappedFile(this.#origin.reopen(this), this.#direct);
  }

  /**
   * Whether the path that it was opened by still means this file: false once that was deleted, or another one was put or
   * renamed there. {@link reopen} opens what is there now. Memory without a file is always current.
   */
  isCurrent(): boolean {
    return addon.is_current(this.#handle.native);
  }

  /**
   * Makes a copy under the name `to`, which is on the disk when the promise resolves. It is of the bytes
   * that are mapped, 64 KiB at a time: what several such pieces have in common holds only if nobody writes meanwhile. The copy has the file's permission bits, and appears whole or not at all.
   * @throws EEXIST where there is anything of that name; what open, write, fsync and link say
   */
  async backup(to: PathLike): Promise<void> {
    await backup(this.#handle.native, to);
  }

  /**
   * Closes the file. Views become empty, unless it was opened with `direct`. Memory is unmapped at once if there
   * are no views, or else when the last one is collected: a thread of zlib or fs may still be at work on one.
   * Closing again does nothing.
   */
  close(): void {
    this.#handle.close();
  }

  /** Closes the file: `using file = open(…)`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, size, existed, closed, cursor, writable } = this.#handle;
    const about = closed ? { path, closed } : { path, size, position: cursor, writable, existed };
    return `MappedFile ${inspect(about, options)}`;
  }
}

function ownsBuffer(options: ViewOptions | undefined): boolean {
  if (options === undefined) return false;
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const { ownBuffer = false, ...others } = options;
  for (const name in others) throw valueError(unknownOption(name, ["ownBuffer"]));
  if (typeof ownBuffer !== "boolean") throw typeError("options.ownBuffer", "of type boolean", ownBuffer);
  return ownBuffer;
}

/** More than this may fail to be allocated. */
const ALLOCATED_WITH_CARE = 65_536;

/** From the pool that Buffer keeps, where it is small: allocating costs more than copying. */
function copyOf(bytes: Uint8Array, index: number, length: number): Buffer | undefined {
  const copy = length <= ALLOCATED_WITH_CARE ? Buffer.allocUnsafe(length) : allocate(length);
  copy?.set(new Uint8Array(bytes.buffer, bytes.byteOffset + index, length));
  return copy;
}

/** A copy of a line that ends in `\n`, without the `\r` of `\r\n`. */
function lineOf(bytes: Uint8Array, index: number, length: number): Buffer | undefined {
  if (length < 2 || bytes[index + length - 2] !== CARRIAGE_RETURN) return copyOf(bytes, index, length);
  const line = copyOf(bytes, index, length - 1);
  if (line !== undefined) line[length - 2] = LINE_FEED;
  return line;
}

/** undefined where there is no memory: the core then says so. */
function allocate(length: number): Buffer | undefined {
  try {
    return Buffer.allocUnsafe(length);
  } catch {
    return undefined;
  }
}

/** The number of the word at `position`; no integer where no word begins there, or where `position` is a bigint. */
function wordOf(position: Integer): number {
  return Number.isInteger(position) ? (position as number) / 8 : Number.NaN;
}

/**
 * Opens and maps a file. Without options it is opened for reading; the mapping is shared unless `private` is
 * given.
 *
 * ```ts
 * using file = open("state.bin", { write: true, create: true, size: 4096 });
 * file.pwrite(0, "hello");
 * file.add(8, 1n);
 * ```
 *
 * @throws {EmmapError} what open and mmap say; EISDIR for a directory; ENODEV for what is no regular file; EINVAL
 * for options that contradict each other, or lack what they need, and for an empty file without a size; EBUSY if
 * another opener is exclusive
 */
export function open(path: PathLike, options: OpenOptions = {}): MappedFile {
  return MappedFile.open(path, options);
}
