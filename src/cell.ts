import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import { type Integer, toBigInt } from "./arguments.js";
import type { Decoded, DecodeOptions, Json } from "./etf/decode-options.js";
import type { Term } from "./etf/terms.js";
import { FORMAT_OPTIONS, type Format, formatOf } from "./message-format.js";
import { type Opened, openFile } from "./opening.js";
import { type CountersOptions, cellOptions, toPath } from "./options.js";
import type { JsonQueueOptions, QueueOptions, RawQueueOptions } from "./queue-options.js";
import { refusalOf } from "./refusal.js";
import type { WaitOptions } from "./wait.js";
import { WaitableFile } from "./waitable-file.js";

/** How to open the file of a cell. Without `read` and `write` it is opened for writing, and created if it does not exist. */
interface CellFileOptions extends Omit<CountersOptions, "shared" | "grow"> {
  /** The most bytes of a value: up to 2^30. A new cell needs it; for an existing one the file says it. */
  maxBytes?: Integer | undefined;
}

type FormatOf<Options> = Pick<
  Options,
  Extract<keyof Options, "raw" | "values" | "decode" | "encode" | "maxInflatedSize">
>;

/** How to open a cell with a term: the file, and how terms are shown and written, as for a queue. */
export type CellOptions<O extends DecodeOptions = DecodeOptions> = CellFileOptions &
  FormatOf<QueueOptions<O>>;
/** How to open a cell with a value of JSON: see {@link JsonQueueOptions}. */
export type JsonCellOptions = CellFileOptions & FormatOf<JsonQueueOptions>;
/** How to open a cell with bytes. */
export type RawCellOptions = CellFileOptions & FormatOf<RawQueueOptions>;

/** The place of the version in the file. */
const VERSION = 64n;
/** Stands in for the version's halves if the runtime cannot show them: then every get calls the core. */
const NO_WORDS = new Uint32Array(0);
const FIRST_ROOM = 4096;

let create: <In, Out>(opened: Opened, format: Format<In, Out>) => Cell<In, Out>;

/**
 * A file with one value that threads, processes and runtimes share, for example a configuration. {@link openCell} makes
 * one. A value is published whole: a reader takes no lock, waits for nobody, and never sees half a value. If a process is
 * killed while it publishes, the value is the one before or the new one. After {@link sync} a power cut keeps the last
 * synced value or a later one.
 *
 * Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, `EFAULT` after another process has
 * truncated the file, and `EMMAP_CORRUPT` if the file is damaged. Other errors stand at each method.
 */
export class Cell<In = Term, Out = Decoded> extends WaitableFile {
  /** @internal */
  protected override readonly native: NativeFile;
  readonly #format: Format<In, Out>;
  /** The low and the high half of the version, in the file's memory. */
  readonly #words: Uint32Array;
  /** The version of the value that `get` returned last; -1: none. */
  #low = -1;
  #high = -1;
  #value: Out | undefined;
  #room = Buffer.alloc(FIRST_ROOM);
  /** The version that the core read last, even if the value could not be decoded. */
  readonly #version = new BigUint64Array(1) as BigUint64Array & [bigint];
  readonly #halves = new Uint32Array(this.#version.buffer);

  private constructor(opened: Opened, format: Format<In, Out>) {
    super(opened, addon.describe(opened.native));
    this.native = opened.native;
    this.#format = format;
    const words = addon.pread_direct(opened.native, VERSION, 8n, false);
    this.#words = words === undefined ? NO_WORDS : new Uint32Array(words);
  }

  static {
    create = (opened, format) => new Cell(opened, format);
  }

  /** @internal */
  protected override fromOpened(opened: Opened): Cell<In, Out> {
    return new Cell(opened, this.#format);
  }

  /**
   * Publishes a value, and ends waits for it in all processes.
   * @throws EINVAL if it takes more than `maxBytes` bytes; EACCES; ETIMEDOUT if another process is publishing and
   * stopped; an `EtfError` if the value is no term, or one that {@link get} would refuse
   */
  publish(value: In): void {
    const bytes = this.#format.encodeTransient(value);
    try {
      addon.cell_publish(this.native, bytes);
    } catch (error) {
      // After a fault the words may be any.
      this.#low = -1;
      throw error;
    }
  }

  /**
   * The last published value; undefined if nothing was published. Until another value is published, each call returns the
   * same object, and costs two loads from memory. Do not change the object.
   * @throws `EMMAP_BAD_TERM` if the value is no term, and `EMMAP_REFUSED` if the options of this cell refuse it
   */
  get(): Out | undefined {
    const words = this.#words;
    // After a close there are no words. After a fault they are 0, and so the version of no value.
    return words[0] === this.#low && words[1] === this.#high ? (this.#value as Out) : this.#read();
  }

  #read(): Out | undefined {
    let length = addon.cell_get(this.native, this.#room, this.#version);
    while (length !== null && length < 0) {
      this.#room = Buffer.alloc(-length);
      length = addon.cell_get(this.native, this.#room, this.#version);
    }
    const value = length === null ? undefined : this.#decode(this.#room.subarray(0, length));
    this.#low = length === null ? -1 : (this.#halves[0] as number);
    this.#high = this.#halves[1] as number;
    this.#value = value;
    return value;
  }

  #decode(bytes: Buffer): Out {
    try {
      return this.#format.decode(this.#format.needsOwn ? Buffer.from(bytes) : bytes, this.#format.needsOwn);
    } catch (cause) {
      throw refusalOf("value", this.#format.term, this.path, bytes, cause);
    }
  }

  /** The number of values published so far: another version is another value. */
  get version(): number {
    return addon.cell_version(this.native);
  }

  /**
   * Resolves to true as soon as the value is no longer the one that {@link get} returned last, which can be at once; to
   * false when the timeout is over. It polls nothing.
   *
   * ```ts
   * for (let flags = cell.get(); ; flags = cell.get()) {
   *   use(flags);
   *   await cell.changed({ signal });
   * }
   * ```
   *
   * Rejects with the signal's reason when the signal is aborted; with ENOMEM beyond 1024 waits in the process, of all its files.
   * So let many tasks share one wait. Waiting keeps the process alive; see {@link unref}.
   */
  async changed(options: WaitOptions = {}): Promise<boolean> {
    return await this.waits.version(this.#version[0], options);
  }

  /** @internal */
  protected override release(): void {
    this.#value = undefined;
    if (this.#words !== NO_WORDS) addon.revoke(this.#words.buffer as ArrayBuffer);
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    return `Cell ${inspect(closed ? { path, closed } : { path, version: this.version }, options)}`;
  }
}

/**
 * Opens a cell, or creates one that is empty.
 *
 * ```ts
 * using flags = openCell<Record<string, number>>("flags.cell", { maxBytes: 65_536, values: "json" });
 * flags.publish({ "new-checkout": 25 });
 * flags.get()?.["new-checkout"]; // 25, in every process that has the file open
 * ```
 *
 * Values are Erlang terms, JSON or bytes, as the messages of {@link openQueue}. A type `T` is not checked: others may
 * publish values of another type. The file takes four times `maxBytes`.
 *
 * @throws {EmmapError} as {@link open}; EINVAL for another `maxBytes` than the file's, and without `maxBytes` for a new
 * file; EMMAP_CORRUPT for a file that is no cell, which stays as it was
 */
export function openCell(path: PathLike, options: RawCellOptions): Cell<Uint8Array | string, Buffer>;
export function openCell(path: PathLike, options: JsonCellOptions): Cell<Term, Json>;
export function openCell<T>(path: PathLike, options: JsonCellOptions): Cell<T, T>;
export function openCell<const O extends DecodeOptions = Record<never, never>>(
  path: PathLike,
  options?: CellOptions<O>,
): Cell<Term, Decoded<O>>;
export function openCell<T>(path: PathLike, options?: CellOptions<DecodeOptions>): Cell<T, T>;
export function openCell(path: PathLike, options: object = {}): unknown {
  const [format, { maxBytes = 0, ...rest }] = formatOf<CellFileOptions>(options);
  const native = cellOptions(rest, [...FORMAT_OPTIONS, "maxBytes"]);
  return create(
    openFile(["cell_open", toPath(path), native, toBigInt(maxBytes, "options.maxBytes")]),
    format,
  );
}
