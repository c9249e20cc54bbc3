// Writes JavaScript values as terms.
import { Buffer } from "node:buffer";
import { types } from "node:util";
import { Atom, atom, OwnAtom, wellFormed } from "./atoms.js";
import { putDouble, putU32 } from "./bytes.js";
import { deflate } from "./compression.js";
import type { Settings } from "./encode-options.js";
import { EtfError, etfError } from "./errors.js";
import { checkJson, jsonItems, jsonOf, jsonRoot } from "./json.js";
import { KeyComparison, mayRepeat } from "./keys.js";
import { located } from "./path.js";
import { Pool, SHARED } from "./pool.js";
import { Tag, VERSION } from "./tags.js";
import {
  BitString,
  Float,
  ImproperList,
  LocalTerm,
  NewLocalTerm,
  NewPid,
  Opaque,
  OwnBitString,
  OwnFloat,
  OwnImproperList,
  OwnLocalTerm,
  OwnOpaque,
  OwnTuple,
  Tuple,
} from "./terms.js";
import { isPlain, unencodable } from "./unencodable.js";

const TRUE = atom("true");
const FALSE = atom("false");
const UNDEFINED = atom("undefined");

/** The step after the last item of a container. */
// biome-ignore lint/suspicious/noConstEnum: compared for every container
const enum End {
  Nothing,
  /** Write the tail of a list. */
  List,
  /** Compare the keys of a map. They contain no cycle: they have been written. */
  Keys,
}

/** A container that is open while one inside of it is written. */
class Frame {
  declare readonly outer: Frame | undefined;
  declare readonly source: object | undefined;
  declare readonly items: readonly unknown[];
  declare readonly written: number;
  declare readonly count: number;
  declare readonly end: End;

  constructor(
    outer: Frame | undefined,
    source: object | undefined,
    items: readonly unknown[],
    written: number,
    count: number,
    end: End,
  ) {
    this.outer = outer;
    this.source = source;
    this.items = items;
    this.written = written;
    this.count = count;
    this.end = end;
  }
}

/** Only below this depth is a container looked up among those around it. A cycle gets there soon, other data rarely. */
const TRUSTED_DEPTH = 512;

/** A spare buffer that a term has made larger than this is not kept. */
const KEPT_SIZE = 1024 * 1024;

/** Up to this length a loop copies a string or a binary faster than a call into the runtime does. */
const LOOP_COPY = 24;

/** Strings up to this length reserve the most that they could need. */
const SHORT_STRING = 16 * 1024;

/** A `toJSON` may return new objects without an end, which no look-up finds. */
const MAX_JSON_DEPTH = 1_000_000;

const MAX_U32 = 0xffffffff;

// A term is written into the pool, and the result is a view of that. A term that is too large for the pool moves to the
// spare buffer, and the result is a copy. An encoder takes the spare buffer, so that another that starts meanwhile has
// its own.
let spare: Buffer | undefined;

export class Encoder {
  // Declared fields and no private names of the language itself, as in the decoder: both would cost time.
  declare private readonly settings: Settings;
  /** `out` belongs to it; undefined once the term is too large for it. */
  declare private pool: Pool | undefined;
  declare private out: Buffer;
  declare private pos: number;

  constructor(settings: Settings, pool: Pool) {
    this.settings = settings;
    this.pool = pool;
    this.out = pool.bytes;
    this.pos = pool.used;
  }

  message(root: unknown): Buffer {
    this.term(root);
    const pool = this.pool;
    const bytes = pool === undefined ? copyOf(this.out, this.pos) : pool.take(this.pos);
    const { level } = this.settings;
    return (level > 0 ? deflate(bytes, level) : undefined) ?? bytes;
  }

  /** Gives back the pool; undefined if the term was too large for it. */
  done(): Pool | undefined {
    if (this.pool === undefined && this.out.length <= KEPT_SIZE) spare = this.out;
    return this.pool;
  }

  /** Writes a whole message. There is no recursion: nesting costs heap and not stack. */
  term(root: unknown): void {
    const settings = this.settings;
    this.reserve(1);
    this.out[this.pos++] = VERSION;
    const { json } = settings;
    if (root instanceof OwnLocalTerm) {
      this.raw(root.bytes);
      return;
    }
    let outer: Frame | undefined;
    let source: object | undefined;
    let items: readonly unknown[] = json ? [] : [root];
    let written = 0;
    let count = 1;
    let end = End.Nothing;
    let depth = 0;
    let around: Set<object> | undefined;
    let keys: KeyComparison | undefined;

    try {
      if (json) items = [jsonRoot(root)];
      for (;;) {
        while (written === count) {
          if (end === End.List) {
            this.reserve(1);
            this.out[this.pos++] = Tag.Nil;
          } else if (end === End.Keys) {
            keys ??= new KeyComparison(settings);
            if (keys.repeats(items)) {
              ({ outer, source, items, written } = outer as Frame);
              throw unencodable("a map that has a key twice");
            }
          }
          if (outer === undefined) return;
          if (depth-- > TRUSTED_DEPTH) around?.delete(source as object);
          ({ outer, source, items, written, count, end } = outer);
        }
        const value = items[written++];
        let inside: readonly unknown[];
        let last = End.Nothing;
        switch (typeof value) {
          case "number":
            this.number(value);
            continue;
          case "string":
            if (!settings.lists) {
              this.string(value);
              continue;
            }
            inside = Array.from(value, (character) => character.codePointAt(0));
            if (this.listStart(inside)) continue;
            last = End.List;
            break;
          case "boolean":
            this.atom(value ? TRUE : FALSE);
            continue;
          case "bigint":
            if (json) throw unencodable("a bigint in JSON");
            this.bigint(value);
            continue;
          case "undefined":
            this.atom(json ? settings.nullAtom : UNDEFINED);
            continue;
          case "object": {
            if (value === null) {
              this.atom(settings.nullAtom);
              continue;
            }
            if (json) {
              if (Array.isArray(value)) {
                inside = jsonItems(value);
                if (this.listStart(inside)) continue;
                last = End.List;
              } else {
                inside = this.pairsOfObject(value);
                this.header(Tag.Map, inside.length / 2);
              }
              break;
            }
            if (value instanceof OwnAtom) {
              this.atom(value);
              continue;
            }
            if (value instanceof Uint8Array) {
              this.binary(value);
              continue;
            }
            if (value instanceof OwnTuple) {
              inside = value.elements;
              this.tupleStart(inside.length);
            } else if (Array.isArray(value)) {
              inside = value;
              if (this.listStart(inside)) continue;
              last = End.List;
            } else if (value instanceof Map) {
              inside = pairsOfMap(value);
              if (mayRepeat(inside)) last = End.Keys;
              this.header(Tag.Map, inside.length / 2);
            } else if (value instanceof OwnFloat) {
              this.float(value.value);
              continue;
            } else if (value instanceof OwnOpaque) {
              if (value instanceof OwnLocalTerm) throw unencodable("a local term inside of another");
              this.raw(value.bytes);
              continue;
            } else if (value instanceof OwnBitString) {
              this.bitString(value);
              continue;
            } else if (value instanceof OwnImproperList) {
              inside = [...value.elements, value.tail];
              this.header(Tag.List, inside.length - 1);
            } else if (isPlain(value)) {
              inside = this.pairsOfObject(value);
              this.header(Tag.Map, inside.length / 2);
            } else if (outer === undefined && value instanceof LocalTerm) {
              this.raw(value.bytes);
              return;
            } else {
              inside = [adopted(value)];
            }
            break;
          }
          default:
            throw unencodable(`a ${typeof value}`);
        }

        if (++depth > TRUSTED_DEPTH) {
          around ??= new Set();
          if (around.has(value as object) || (json && depth > MAX_JSON_DEPTH))
            throw etfError("ETF_CYCLE", "a value that contains itself");
          around.add(value as object);
        }
        outer = new Frame(outer, source, items, written, count, end);
        source = value as object;
        items = inside;
        written = 0;
        count = inside.length;
        end = last;
      }
    } catch (error) {
      if (!(error instanceof EtfError) || error.code !== "ETF_UNENCODABLE") throw error;
      throw located(error, new Frame(outer, source, items, written, count, end));
    }
  }

  private reserve(size: number): void {
    const needed = this.pos + size;
    if (needed > this.out.length) this.grow(needed);
  }

  private grow(needed: number): void {
    const begin = this.pool?.used ?? 0;
    const size = needed - begin;
    const from = this.out;
    if (this.pool !== undefined && size <= SHARED) {
      this.pool = new Pool();
      this.out = this.pool.bytes;
    } else {
      this.pool = undefined;
      this.out =
        spare !== undefined && spare.length >= size ? spare : larger(Math.max(size, 2 * from.length));
      spare = undefined;
    }
    // Not when nothing was written yet: the pool may have been detached.
    if (this.pos > begin) from.copy(this.out, 0, begin, this.pos);
    this.pos -= begin;
  }

  private header(tag: Tag, count: number): void {
    if (count > MAX_U32) throw etfError("ETF_LIMIT", `${count} elements in one term`);
    this.reserve(5);
    this.out[this.pos] = tag;
    putU32(this.out, this.pos + 1, count);
    this.pos += 5;
  }

  private number(value: number): void {
    this.reserve(11);
    const out = this.out;
    const pos = this.pos;
    if ((value | 0) === value) {
      if (value >= 0 && value < 256) {
        out[pos] = Tag.SmallInteger;
        out[pos + 1] = value;
        this.pos = pos + 2;
        return;
      }
      out[pos] = Tag.Integer;
      putU32(out, pos + 1, value);
      this.pos = pos + 5;
      return;
    }
    if (!Number.isSafeInteger(value)) {
      this.float(value);
      return;
    }
    let magnitude = Math.abs(value);
    let at = pos + 3;
    while (magnitude > 0) {
      out[at++] = magnitude % 256;
      magnitude = Math.floor(magnitude / 256);
    }
    out[pos] = Tag.SmallBig;
    out[pos + 1] = at - pos - 3;
    out[pos + 2] = value < 0 ? 1 : 0;
    this.pos = at;
  }

  private float(value: number): void {
    if (!Number.isFinite(value)) {
      if (!this.settings.json) throw unencodable(String(value));
      this.atom(this.settings.nullAtom);
      return;
    }
    this.reserve(9);
    this.out[this.pos] = Tag.NewFloat;
    putDouble(this.out, this.pos + 1, value);
    this.pos += 9;
  }

  private bigint(value: bigint): void {
    if (value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER) {
      this.number(Number(value));
      return;
    }
    const negative = value < 0n;
    const digits = (negative ? -value : value).toString(16);
    const length = (digits.length + 1) >> 1;
    this.reserve(6 + length);
    const out = this.out;
    let pos = this.pos;
    if (length < 256) {
      out[pos++] = Tag.SmallBig;
      out[pos++] = length;
    } else {
      out[pos] = Tag.LargeBig;
      putU32(out, pos + 1, length);
      pos += 5;
    }
    out[pos++] = negative ? 1 : 0;
    out.write(digits.length % 2 === 0 ? digits : `0${digits}`, pos, "hex");
    out.subarray(pos, pos + length).reverse();
    this.pos = pos + length;
  }

  private atom(value: Atom): void {
    if (this.settings.latin1 && this.latin1Atom(value.name)) return;
    this.raw(value.wire);
  }

  private latin1Atom(name: string): boolean {
    if (!/^[\0-\xff]*$/.test(name)) return false;
    this.reserve(3 + name.length);
    this.out[this.pos] = Tag.Atom;
    this.out[this.pos + 1] = name.length >> 8;
    this.out[this.pos + 2] = name.length;
    this.pos += 3 + this.out.write(name, this.pos + 3, "latin1");
    return true;
  }

  private raw(bytes: Uint8Array): void {
    const length = bytes.length;
    this.reserve(length);
    const out = this.out;
    const pos = this.pos;
    if (length > LOOP_COPY) out.set(bytes, pos);
    else for (let at = 0; at < length; at++) out[pos + at] = bytes[at] as number;
    this.pos = pos + length;
  }

  private binary(bytes: Uint8Array): void {
    this.header(Tag.Binary, bytes.length);
    this.raw(bytes);
  }

  private bitString(value: BitString): void {
    this.header(Tag.BitBinary, value.bytes.length);
    this.reserve(1);
    this.out[this.pos++] = value.lastBits;
    this.raw(value.bytes);
  }

  private string(text: string): void {
    const length = text.length;
    this.reserve(5 + (length > SHORT_STRING ? Buffer.byteLength(text) : 3 * length));
    const out = this.out;
    const start = this.pos + 5;
    let size = 0;
    if (length <= LOOP_COPY) {
      let code = 0;
      while (size < length) {
        code = text.charCodeAt(size);
        if (code > 127) break;
        out[start + size++] = code;
      }
    }
    if (size < length) {
      size = out.write(text, start, "utf8");
      // One byte for each character: it is ASCII.
      if (size !== length && !wellFormed(text)) throw unencodable("a string with a lone surrogate");
    }
    out[this.pos] = Tag.Binary;
    putU32(out, this.pos + 1, size);
    this.pos = start + size;
  }

  private tupleStart(length: number): void {
    if (length > 255) {
      this.header(Tag.LargeTuple, length);
      return;
    }
    this.reserve(2);
    this.out[this.pos] = Tag.SmallTuple;
    this.out[this.pos + 1] = length;
    this.pos += 2;
  }

  /** Writes the head of a list. True: it has written all of it, since the list is empty or one of bytes. */
  private listStart(list: readonly unknown[]): boolean {
    const length = list.length;
    if (length === 0) {
      this.reserve(1);
      this.out[this.pos++] = Tag.Nil;
      return true;
    }
    if (length < 65536 && this.byteList(list, length)) return true;
    this.header(Tag.List, length);
    return false;
  }

  private byteList(list: readonly unknown[], length: number): boolean {
    if (!isByte(list[0])) return false;
    this.reserve(3 + length);
    const out = this.out;
    const start = this.pos + 3;
    for (let at = 0; at < length; at++) {
      const element = list[at];
      if (!isByte(element)) return false;
      out[start + at] = element;
    }
    out[this.pos] = Tag.String;
    out[this.pos + 1] = length >> 8;
    out[this.pos + 2] = length;
    this.pos = start + length;
    return true;
  }

  private pairsOfObject(value: object): unknown[] {
    const { atomKeys, json, lists } = this.settings;
    const pairs: unknown[] = [];
    if (json) checkJson(value);
    for (const key of Object.keys(value)) {
      let property = (value as Record<string, unknown>)[key];
      if (json) {
        property = jsonOf(property, key);
        if (property === undefined) continue;
      }
      if (lists && !wellFormed(key)) throw unencodable("a property name with a lone surrogate");
      pairs.push(atomKeys ? atom(key) : lists ? Buffer.from(key) : key, property);
    }
    return pairs;
  }
}

function isByte(value: unknown): value is number {
  return typeof value === "number" && (value & 255) === value;
}

function pairsOfMap(map: ReadonlyMap<unknown, unknown>): unknown[] {
  const pairs: unknown[] = [];
  for (const [key, value] of map) pairs.push(key, value);
  return pairs;
}

function larger(size: number): Buffer {
  try {
    return Buffer.allocUnsafeSlow(size);
  } catch (cause) {
    throw etfError("ETF_LIMIT", `no buffer can be had for ${size} bytes`, undefined, { cause });
  }
}

function copyOf(bytes: Buffer, length: number): Buffer {
  const copy = Buffer.allocUnsafeSlow(length);
  bytes.copy(copy, 0, 0, length);
  return copy;
}

/** A value of another copy of the package, or of another context of V8, as one of ours for the same term. */
function adopted(value: object): unknown {
  if (value instanceof Atom) return atom(value.name);
  if (value instanceof Tuple) return new Tuple(value.elements);
  if (value instanceof Float) return new Float(value.value);
  if (value instanceof ImproperList) return new ImproperList(value.elements, value.tail);
  if (value instanceof BitString) return new BitString(value.bytes, value.lastBits);
  if (value instanceof LocalTerm) return new NewLocalTerm(value.bytes, 0, value.bytes.length);
  // Of every other kind only the bytes are written.
  if (value instanceof Opaque) return new NewPid(value.bytes, 0, value.bytes.length);
  if (types.isUint8Array(value)) return Buffer.from(value.buffer, value.byteOffset, value.length);
  if (types.isMap(value)) return new Map(value);
  const prototype = Object.getPrototypeOf(value);
  if (Object.getPrototypeOf(prototype) === null && Object.hasOwn(prototype, "isPrototypeOf"))
    return { ...value };
  throw unencodable(`an instance of ${value.constructor?.name ?? "a class"}`);
}
