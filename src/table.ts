import { isUtf8 } from "node:buffer";
import type { PathLike } from "node:fs";
import { type InspectOptions, inspect } from "node:util";
import { addon, type NativeFile } from "./addon.js";
import {
  type Bytes,
  checkOptions,
  type Integer,
  rangeError,
  toBigInt,
  toBytes,
  typeError,
} from "./arguments.js";
import { isSound, Mapping } from "./mapping.js";
import { OpenFile } from "./open-file.js";
import { type Opened, openFile } from "./opening.js";
import { type CountersOptions, tableOptions, toPath } from "./options.js";
import { unpack } from "./packed.js";
import { wordIndex, wordsAt } from "./windows.js";

/** How to open a table. Without `read` and `write` it is opened for writing, and created if it does not exist. */
export interface TableOptions extends Omit<CountersOptions, "shared" | "grow"> {
  /**
   * The number of keys of up to 38 bytes that the table has room for. A longer key takes the place of two, or of more. A
   * new table needs it; for an existing one the file says it. A million keys take 64 MiB.
   */
  capacity?: Integer | undefined;
  /** The most bytes of a key: up to 1024. Default 64. */
  keyBytes?: Integer | undefined;
  /** The words of a key: up to 64. Default 2. */
  words?: Integer | undefined;
}

/** A limit, and the cost of a hit: see {@link Table.hit}. */
export interface Limit {
  /** The most that is allowed in a window: below 2^24. */
  limit: number;
  /** The length of a window in milliseconds. A key has one: the first hit with another one begins anew. */
  windowMs: number;
  /** The use of this hit: below 2^24. Default 1. A negative cost takes back earlier use in this window. */
  cost?: number | undefined;
  /**
   * The window slides: the use in the window before counts in proportion to the part of it that the sliding window still
   * covers. Otherwise windows follow each other, the same for all keys.
   */
  sliding?: boolean | undefined;
  /**
   * If the table is full and nothing has expired, the hit looks at 512 entries, and takes the place of the one that
   * expires first. The next hit looks at the next ones. Without this option it throws `EMMAP_FULL`.
   */
  evict?: boolean | undefined;
}

/** The result of a hit. */
export interface Hit {
  /** True if the hit is allowed, and counted. A hit that is not allowed uses nothing. */
  readonly allowed: boolean;
  /** The use in the window, this hit included if it is allowed. */
  readonly used: number;
  /** The rest of the limit. */
  readonly remaining: number;
  /** Milliseconds to the end of the window. */
  readonly resetMs: number;
}

/** emmap_table_flag of the core. */
const SLIDING = 1;
const EVICT = 2;
/** Of a unit (docs/formats.md): the offset of its first word, in words. The generation is right before it. */
const FIRST_WORD = 1;
const STEP = 64n;
const NO_CELLS = new BigInt64Array(0);
const NO_HALVES = new Uint32Array(0);

let create: (opened: Opened) => Table;
let createEntry: (table: Table, key: string | Uint8Array) => TableEntry;
let find: (entry: TableEntry) => void;

function toKey(key: Bytes): string | Uint8Array {
  return typeof key === "string" ? key : toBytes(key);
}

/** The core judges whether the key has such a word. */
function toWord(word: number): number {
  return typeof word === "number" && word >>> 0 === word ? word : integer(word, "word");
}

const LIMIT_NAMES: ReadonlySet<string> = new Set<keyof Limit>([
  "limit",
  "windowMs",
  "cost",
  "sliding",
  "evict",
]);

function flag(value: unknown, name: string, bit: number): number {
  if (value === undefined || value === false) return 0;
  if (value !== true) throw typeError(name, "of type boolean", value);
  return bit;
}

/**
 * A file of keys with 64-bit words, which threads, processes and runtimes share: counters with names, and rate limits.
 * {@link openTable} makes one.
 *
 * A key is bytes, or a string, whose UTF-8 is the key. A look-up compares keys, and never only their hashes. Words are numbered
 * from 0. They are signed, and wrap; operands are as those of {@link Counters}. A key that is not in the table has words of
 * 0. Inserting, deleting and setting take a lock of the file; looking up, adding and hitting an existing key take none.
 *
 * Every method may throw an {@link EmmapError} with `EMMAP_CLOSED` after close, `EFAULT` after another process has truncated
 * the file, `EMMAP_CORRUPT` if the file is damaged, `EINVAL` for an empty key, for one longer than `keyBytes` and for a word
 * past the last, and `EACCES` if it would change a read-only file. Other errors stand at each method.
 */
export class Table extends OpenFile {
  readonly #mapping: Mapping;
  /** The numbers of {@link hit}, in and out. The addon keeps their address. */
  readonly #numbers: Float64Array;
  /** The limit that was checked last; at first one that no caller has. */
  #limit: Limit = { limit: 0, windowMs: 0 };
  readonly #place = new Float64Array(2);
  /** The windows of words as halves, by window. */
  readonly #halves = new Map<BigInt64Array, Uint32Array>();
  /** The number of keys that the table has room for: see {@link TableOptions}. */
  readonly capacity: number;
  /** The most bytes of a key. */
  readonly keyBytes: number;
  /** The words of a key. */
  readonly words: number;

  private constructor(opened: Opened) {
    const about = addon.describe(opened.native);
    super(opened, about);
    this.#mapping = new Mapping(opened.native, about);
    const { capacity, keyBytes, words } = addon.table_info(opened.native);
    this.capacity = capacity;
    this.keyBytes = keyBytes;
    this.words = words;
    this.#numbers = addon.table_numbers(opened.native);
  }

  static {
    create = (opened) => new Table(opened);
  }

  /** @internal */
  protected override fromOpened(opened: Opened): Table {
    return new Table(opened);
  }

  /** @internal */
  protected override get native(): NativeFile {
    return this.#mapping.native;
  }

  /** The number of keys, expired ones included. */
  get size(): number {
    return addon.table_size(this.native);
  }

  /**
   * Makes a damaged table sound. Of two entries of one key one stays, and an entry whose key is damaged goes. Others may use the
   * table meanwhile, but wait to insert and to delete.
   */
  repair(): void {
    addon.table_repair(this.native);
  }

  /**
   * Adds to a word of a key, and inserts the key if it is not there.
   * @returns the value before
   * @throws EMMAP_FULL; ETIMEDOUT if another process has the lock and is stopped
   */
  add(key: Bytes, word: number, value: Integer): bigint {
    return addon.table_add(this.native, toKey(key), toWord(word), toBigInt(value, "value"));
  }

  /** Sets a word of a key. Returns and throws as {@link add}. */
  set(key: Bytes, word: number, value: Integer): bigint {
    return addon.table_set(this.native, toKey(key), toWord(word), toBigInt(value, "value"));
  }

  /** A word of a key; undefined if there is no such key. */
  get(key: Bytes, word = 0): bigint | undefined {
    return addon.table_get(this.native, toKey(key), toWord(word));
  }

  /**
   * Sets a word of a key to `replacement` if it holds `expected`. It did so if the result is `expected`, as a signed number.
   * Returns and throws as {@link add}.
   */
  compareExchange(key: Bytes, word: number, expected: Integer, replacement: Integer): bigint {
    return addon.table_compare_exchange(
      this.native,
      toKey(key),
      toWord(word),
      toBigInt(expected, "expected"),
      toBigInt(replacement, "replacement"),
    );
  }

  /**
   * Deletes a key. An addition at the same time comes before the deletion and is lost, or comes after it and inserts the key
   * again.
   * @returns false if there was no such key
   */
  delete(key: Bytes): boolean {
    return addon.table_delete(this.native, toKey(key));
  }

  /**
   * Counts a hit on a limit, in one atomic step across all processes of both runtimes.
   *
   * ```ts
   * const { allowed, resetMs } = table.hit(request.ip, { limit: 100, windowMs: 60_000 });
   * ```
   *
   * It uses words 0 and 1 of the key, which nothing else should change. An entry that a hit has inserted expires at the end of
   * its window, a sliding one a window later. Then another key may take its place. The clock is the system's time: if it is
   * set back by more than a window, limits begin anew; if it is set forward, the current windows end.
   * @throws EMMAP_FULL if the table is full and nothing has expired: see {@link Limit.evict}; EINVAL for a table with one word
   */
  hit(key: Bytes, limit: Limit): Hit {
    // Most callers have one object for all hits.
    if (limit !== this.#limit) {
      checkOptions(limit, LIMIT_NAMES, "limit");
      this.#limit = limit;
    }
    const { cost = 1 } = limit;
    const most = natural(limit.limit, "limit.limit");
    const windowMs = natural(limit.windowMs, "limit.windowMs");
    const use = integer(cost, "limit.cost");
    const flags = flag(limit.sliding, "limit.sliding", SLIDING) | flag(limit.evict, "limit.evict", EVICT);
    const bytes = toKey(key);
    // Last: until here a getter of the caller may hit, too.
    const numbers = this.#numbers;
    numbers[0] = most;
    numbers[1] = windowMs;
    numbers[2] = use;
    numbers[3] = flags;
    const allowed = addon.table_hit(this.native, bytes);
    return {
      allowed,
      used: numbers[0] as number,
      remaining: numbers[1] as number,
      resetMs: numbers[2] as number,
    };
  }

  /**
   * A handle of a key, which it inserts if it is not there. The handle's operations do not look for the key again, and so cost
   * as little as those of {@link Counters}.
   */
  entry(key: Bytes): TableEntry {
    return createEntry(this, typeof key === "string" ? key : Uint8Array.from(toBytes(key)));
  }

  /** Looks for the words of an entry. @internal */
  place(key: string | Uint8Array): {
    cells: BigInt64Array;
    halves: Uint32Array;
    first: number;
    generation: number;
  } {
    addon.table_find(this.native, key, this.#place);
    const [position, generation] = this.#place as unknown as [number, number];
    const word = position / 8 + FIRST_WORD;
    const windows = this.#mapping.writableWords;
    const first = wordIndex(word);
    const cells = wordsAt(windows, word);
    // A unit of an odd size may cross the end of a window of 1 GiB.
    if (cells === undefined || first < FIRST_WORD || first + this.words > cells.length)
      return { cells: NO_CELLS, halves: NO_HALVES, first: 0, generation };
    let halves = this.#halves.get(cells);
    if (halves === undefined) {
      halves = new Uint32Array(cells.buffer, cells.byteOffset, 2 * cells.length);
      this.#halves.set(cells, halves);
    }
    return { cells, halves, first, generation };
  }

  /** See {@link Mapping.control}. @internal */
  get control(): Uint32Array {
    return this.#mapping.control;
  }

  /**
   * All keys with their words, in no order. A key that is not UTF-8 is a Buffer. An entry that is inserted or deleted
   * meanwhile may come or not; every other entry comes once.
   */
  *entries(): Generator<[key: string | Buffer, words: bigint[]], void, undefined> {
    const size = 8 * this.words;
    for (const packed of this.packed(STEP)) {
      for (const entry of unpack(packed)) {
        const key = entry.subarray(size);
        const words = Array.from({ length: this.words }, (_, word) => entry.readBigInt64LE(8 * word));
        yield [isUtf8(key) ? key.toString() : Buffer.from(key), words];
      }
    }
  }

  /** All entries, so many in a Buffer: each behind its length in 32 bits, words and key. @internal */
  *packed(step: bigint): Generator<Buffer, void, undefined> {
    const place = new BigUint64Array(1);
    for (let packed = addon.table_walk(this.native, step, place); packed !== null; ) {
      yield packed;
      packed = addon.table_walk(this.native, step, place);
    }
  }

  /** As {@link entries}. */
  [Symbol.iterator](): Generator<[key: string | Buffer, words: bigint[]], void, undefined> {
    return this.entries();
  }

  /** @internal */
  protected override release(): void {
    this.#halves.clear();
    this.#mapping.release();
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    const { path, closed, capacity, keyBytes, words } = this;
    const shown = closed ? { path, closed } : { path, size: this.size, capacity, keyBytes, words };
    return `Table ${inspect(shown, options)}`;
  }
}

/**
 * A key of a table, which {@link Table.entry} makes. When the key is deleted, the next addition inserts it again. A handle may
 * be kept as long as the table is open.
 */
export class TableEntry {
  readonly #table: Table;
  /** The key. */
  readonly key: string | Uint8Array;
  readonly #control: Uint32Array;
  readonly #words: number;
  #cells: BigInt64Array = NO_CELLS;
  #halves: Uint32Array = NO_HALVES;
  /** The index of word 0 in the cells. */
  #first = 0;
  /** The index of the generation in the halves. */
  #at = 0;
  #generation = 0;

  private constructor(table: Table, key: string | Uint8Array) {
    this.#table = table;
    this.key = key;
    this.#control = table.control;
    this.#words = table.words;
    find(this);
  }

  static {
    createEntry = (table, key) => new TableEntry(table, key);
    find = (entry) => {
      const { cells, halves, first, generation } = entry.#table.place(entry.key);
      entry.#cells = cells;
      entry.#halves = halves;
      entry.#first = first;
      entry.#at = 2 * first - 1;
      entry.#generation = generation;
    };
  }

  /** As {@link Table.add}. */
  add(word: number, value: Integer): bigint {
    const operand = toBigInt(value, "value");
    const cells = this.#cells;
    const halves = this.#halves;
    if (
      typeof word === "number" &&
      word >>> 0 === word &&
      word < this.#words &&
      halves[this.#at] === this.#generation
    ) {
      const old = Atomics.add(cells, this.#first + word, operand);
      // In between the key may have been deleted, and its place given to another one: see table.h in the core.
      if (halves[this.#at] === this.#generation) {
        if (isSound(this.#control)) return old;
      } else {
        Atomics.sub(cells, this.#first + word, operand);
      }
    }
    const old = this.#table.add(this.key, word, operand);
    find(this);
    return old;
  }

  /** A word, as {@link Table.get}. */
  get(word = 0): bigint | undefined {
    const halves = this.#halves;
    if (
      typeof word === "number" &&
      word >>> 0 === word &&
      word < this.#words &&
      halves[this.#at] === this.#generation
    ) {
      const value = Atomics.load(this.#cells, this.#first + word);
      if (halves[this.#at] === this.#generation && isSound(this.#control)) return value;
    }
    return this.#table.get(this.key, word);
  }

  /** As {@link Table.set}. It takes the lock of the file, since a store cannot be undone. */
  set(word: number, value: Integer): bigint {
    return this.#table.set(this.key, word, value);
  }

  /** As {@link Table.compareExchange}. It takes the lock of the file. */
  compareExchange(word: number, expected: Integer, replacement: Integer): bigint {
    return this.#table.compareExchange(this.key, word, expected, replacement);
  }
}

function integer(value: unknown, name: string): number {
  if (typeof value !== "number") throw typeError(name, "of type number", value);
  if (!Number.isSafeInteger(value)) throw rangeError(name, "a safe integer", value);
  return value;
}

function natural(value: unknown, name: string): number {
  const number = integer(value, name);
  if (number < 0) throw rangeError(name, "0 or more", value);
  return number;
}

/**
 * Opens a table, or creates one that is empty.
 *
 * ```ts
 * using table = openTable("clients.table", { capacity: 100_000 });
 * table.add("ann", 0, 1); // returns the value before
 * table.hit("10.0.0.1", { limit: 100, windowMs: 60_000 }).allowed;
 * ```
 *
 * @throws {EmmapError} as {@link open}; EINVAL for numbers out of range, other ones than the file's, and no capacity for a new
 * file; EMMAP_CORRUPT for a file that is no table, which stays as it was
 */
export function openTable(path: PathLike, options: TableOptions = {}): Table {
  const native = tableOptions(options, ["capacity", "keyBytes", "words"]);
  const { capacity = 0, keyBytes = 0, words = 0 } = options;
  return create(
    openFile([
      "table_open",
      toPath(path),
      native,
      toBigInt(capacity, "options.capacity"),
      toBigInt(keyBytes, "options.keyBytes"),
      toBigInt(words, "options.words"),
    ]),
  );
}
