// Makes JavaScript values of a term's bytes.
import { Buffer, isUtf8 } from "node:buffer";
import { type Atom, atom, atomFromLatin1, atomFromUtf8, OwnAtom } from "./atoms.js";
import { bigOf, doubleAt, i32, u8, u16, u31 } from "./bytes.js";
import type { Settings } from "./decode-options.js";
import { type EtfError, etfError } from "./errors.js";
import { opaqueEnd, truncated } from "./extent.js";
import { binariesRepeat, KeyComparison, type Writing } from "./keys.js";
import { TERM_SIZE } from "./measure.js";
import { BufferView, SHARED } from "./pool.js";
import { Slab } from "./slab.js";
import { Tag, VERSION } from "./tags.js";
import {
  BitString,
  Float,
  ImproperList,
  NewFun,
  NewLocalTerm,
  NewNativeRecord,
  NewPid,
  NewPort,
  NewReference,
  OwnBitString,
  OwnFloat,
  OwnOpaque,
  Tuple,
} from "./terms.js";

/** A constant of this module, since engines compile a call to it better than one to an import. */
const View = BufferView;

export function trailing(count: number, offset: number): EtfError {
  return etfError("ETF_TRAILING", `${count} bytes follow the term`, offset);
}

// biome-ignore lint/suspicious/noConstEnum: compared for every term
const enum Kind {
  Root,
  Tuple,
  List,
  /** A list whose tail comes next, as the last of its items. */
  Tail,
  Map,
}

/** A container that is open while one inside of it is decoded. */
class Frame {
  declare readonly outer: Frame | undefined;
  declare readonly kind: Kind;
  declare readonly items: unknown[];
  declare readonly filled: number;
  declare readonly count: number;
  declare readonly end: number;

  constructor(
    outer: Frame | undefined,
    kind: Kind,
    items: unknown[],
    filled: number,
    count: number,
    end: number,
  ) {
    this.outer = outer;
    this.kind = kind;
    this.items = items;
    this.filled = filled;
    this.count = count;
    this.end = end;
  }
}

/**
 * Positions stay below 2^31, since the engine then computes with them as 32-bit integers. A larger term counts as
 * truncated.
 */
const MAX_END = 0x7fffffff;

const NOTHING: unknown[] = [];
/** Decoded keys are compared as they are. */
const DECODED: Writing = { lists: false, atomKeys: false, nullAtom: atom("null") };

const TRUE = atom("true");
const FALSE = atom("false");

/** Up to this length an array is allocated at once; a longer one grows with its elements. */
const PREALLOCATED = 1 << 16;

/** Up to this length a loop makes a string faster than a call into the runtime does. */
const LOOP_TEXT = 16;

export class Decoder {
  // The fields of the language itself, and its private methods, would cost a tenth of the time that a short message
  // takes: so the fields are only declared, and the methods private to TypeScript alone.
  declare private readonly bytes: Buffer;
  declare private readonly settings: Settings;
  declare private readonly consumed: number | undefined;
  declare private slab: Slab | undefined;
  declare private keys: KeyComparison | undefined;
  declare private pos: number;
  /** Where the input ends. */
  declare private end: number;

  constructor(bytes: Buffer, pos: number, settings: Settings, consumed: number | undefined) {
    this.bytes = bytes;
    this.end = Math.min(bytes.length, MAX_END) | 0;
    this.settings = settings;
    this.consumed = consumed;
    this.slab = undefined;
    this.keys = undefined;
    this.pos = pos;
  }

  /** The number of bytes of the input that were used. */
  get after(): number {
    return this.consumed ?? this.pos;
  }

  /** Throws if bytes follow an inflated term. */
  atEnd(): void {
    const left = this.bytes.length - this.pos;
    if (this.consumed !== undefined && left > 0) throw trailing(left, this.pos);
  }

  /**
   * Decodes the term that lies between `begin` and `end`. Undefined, which no term decodes to: the term is wrong, or
   * needs a decoder of its own.
   */
  part(begin: number, end: number): unknown {
    const bytes = this.bytes;
    if (end > MAX_END || end - begin < 2 || bytes[begin] !== VERSION) return undefined;
    if ((end - begin) * (TERM_SIZE - 1) > this.settings.maxInflatedSize) return undefined;
    const tag = bytes[begin + 1];
    if (tag === Tag.Compressed || tag === Tag.Local) return undefined;
    this.keys = undefined;
    this.pos = begin + 1;
    this.end = end;
    try {
      return this.next();
    } catch {
      return undefined;
    }
  }

  /**
   * Decodes the next term. There is no recursion: nesting costs heap and not stack, and the BEAM sets no limit to it.
   *
   * Every term takes at least one byte. So an element ends before `limit`, which leaves one byte for each later element
   * of its container and of the containers around it. A count that is larger than the bytes left is an error at once,
   * and all open containers together never claim more elements than there are bytes.
   */
  next(): unknown {
    const bytes = this.bytes;
    const settings = this.settings;
    const { atomNames, json } = settings;
    let pos = this.pos;
    let outer: Frame | undefined;
    let kind = Kind.Root;
    let items = NOTHING;
    let filled = 0;
    let count = 1;
    let limit = this.end; // of the next element
    let end = limit; // of the container

    for (;;) {
      let value: unknown;
      let opened = Kind.Root;
      let size = 0;
      if (pos >= limit) throw truncated(pos, "a term");
      const tag = bytes[pos] as number;
      switch (tag) {
        case Tag.SmallInteger:
          if (limit - pos < 2) throw truncated(pos, "an integer");
          value = bytes[pos + 1] as number;
          pos += 2;
          break;
        case Tag.Integer:
          if (limit - pos < 5) throw truncated(pos, "an integer");
          value = i32(bytes, pos + 1);
          pos += 5;
          break;
        case Tag.SmallBig:
          if (limit - pos < 3) throw truncated(pos, "an integer");
          value = this.integer(pos + 2, bytes[pos + 1] as number, limit);
          pos = this.pos;
          break;
        case Tag.SmallAtomUtf8: {
          if (limit - pos < 2) throw truncated(pos, "an atom");
          const start = pos + 2;
          const length = bytes[pos + 1] as number;
          if (length > limit - start) throw truncated(pos, "an atom");
          pos = start + length;
          value = atomFromUtf8(bytes, start, pos);
          if (value === TRUE) value = true;
          else if (value === FALSE) value = false;
          else if (atomNames !== undefined) value = atomNames((value as Atom).name);
          break;
        }
        case Tag.Atom: {
          if (limit - pos < 3) throw truncated(pos, "an atom");
          const start = pos + 3;
          const length = u16(bytes, pos + 1);
          if (length > limit - start) throw truncated(pos, "an atom");
          pos = start + length;
          value = atomFromLatin1(bytes, start, pos);
          if (value === TRUE) value = true;
          else if (value === FALSE) value = false;
          else if (atomNames !== undefined) value = atomNames((value as Atom).name);
          break;
        }
        case Tag.Nil:
          value = [];
          pos += 1;
          break;
        case Tag.Binary: {
          if (limit - pos < 5) throw truncated(pos, "a binary");
          const start = pos + 5;
          const length = u31(bytes, pos + 1);
          if (length > limit - start) throw truncated(pos, "a binary");
          pos = start + length;
          value = this.binary(start, pos);
          break;
        }
        case Tag.NewFloat:
          if (limit - pos < 9) throw truncated(pos, "a float");
          value = this.float(doubleAt(bytes, pos + 1), pos);
          pos += 9;
          break;
        case Tag.SmallTuple:
          if (limit - pos < 2) throw truncated(pos, "a tuple");
          size = bytes[pos + 1] as number;
          pos += 2;
          if (size === 0) value = json ? [] : new Tuple([]);
          else opened = Kind.Tuple;
          break;
        case Tag.LargeTuple:
          if (limit - pos < 5) throw truncated(pos, "a tuple");
          size = u31(bytes, pos + 1);
          pos += 5;
          if (size === 0) value = json ? [] : new Tuple([]);
          else opened = Kind.Tuple;
          break;
        case Tag.List:
          if (limit - pos < 5) throw truncated(pos, "a list");
          size = u31(bytes, pos + 1);
          pos += 5;
          if (size === 0) continue; // an empty list with a tail is the tail
          opened = Kind.List;
          break;
        case Tag.Map:
          if (limit - pos < 5) throw truncated(pos, "a map");
          size = u31(bytes, pos + 1);
          pos += 5;
          if (size > (limit - pos) >> 1) throw announced(2 * size, limit - pos, pos);
          size <<= 1;
          if (size === 0) value = settings.objects ? {} : new Map();
          else opened = Kind.Map;
          break;
        default:
          value = this.leaf(tag, pos, limit);
          pos = this.pos;
      }

      if (opened !== Kind.Root) {
        const tail = opened === Kind.List ? 1 : 0;
        if (size > limit - pos - tail) throw announced(size + tail, limit - pos, pos);
        outer = new Frame(outer, kind, items, filled, count, end);
        kind = opened;
        items = arrayFor(size);
        filled = 0;
        count = size;
        end = limit;
        limit = end - size - tail + 1;
        continue;
      }

      // Puts the value into its container. A container that is complete is the next value.
      for (;;) {
        if (kind === Kind.Root) {
          this.pos = pos;
          return value;
        }
        items[filled++] = value;
        limit++;
        if (filled < count) break;
        if (kind === Kind.Tuple) {
          value = json ? items : new Tuple(items);
        } else if (kind === Kind.Map) {
          value = settings.objects ? this.object(items, pos) : this.map(items, pos);
        } else if (kind === Kind.Tail) {
          value = new ImproperList(items, items.pop());
        } else {
          // The tail, for which `limit` has left at least one byte.
          let tail = bytes[pos] as number;
          size = 0;
          while (tail === Tag.List && size === 0) {
            if (end - pos < 6) throw truncated(pos, "a list");
            size = u31(bytes, pos + 1);
            pos += 5;
            if (size >= end - pos) throw announced(size + 1, end - pos, pos);
            tail = bytes[pos] as number;
          }
          if (size > 0) {
            // A tail that is a list continues this list.
            count += size;
            limit = end - size;
            break;
          }
          if (tail === Tag.Nil) {
            pos += 1;
          } else if (tail === Tag.String) {
            for (const byte of this.bytesOfString(pos, end)) items.push(byte);
            pos = this.pos;
          } else {
            kind = Kind.Tail;
            count = filled + 1;
            limit = end;
            break;
          }
          value = items;
        }
        const frame = outer as Frame;
        outer = frame.outer;
        kind = frame.kind;
        items = frame.items;
        filled = frame.filled;
        count = frame.count;
        end = frame.end;
        // Computed, not kept in the frame: frames are most of the memory that a decode allocates.
        limit = end - count + filled + (kind === Kind.List ? 0 : 1);
      }
    }
  }

  /** Decodes a rarer term that contains no others. Sets `pos` to its end. */
  private leaf(tag: number, pos: number, limit: number): unknown {
    const bytes = this.bytes;
    switch (tag) {
      case Tag.LargeBig: {
        if (limit - pos < 6) throw truncated(pos, "an integer");
        return this.integer(pos + 5, u31(bytes, pos + 1), limit);
      }
      case Tag.String: {
        if (!this.settings.charStrings) return this.bytesOfString(pos, limit);
        const end = this.stringEnd(pos, limit);
        return bytes.toString("latin1", pos + 3, end);
      }
      case Tag.SmallAtom: {
        if (limit - pos < 2) throw truncated(pos, "an atom");
        const end = this.advance(pos, pos + 2 + u8(bytes, pos + 1), limit, "an atom");
        return this.atom(atomFromLatin1(bytes, pos + 2, end));
      }
      case Tag.AtomUtf8: {
        if (limit - pos < 3) throw truncated(pos, "an atom");
        const end = this.advance(pos, pos + 3 + u16(bytes, pos + 1), limit, "an atom");
        return this.atom(atomFromUtf8(bytes, pos + 3, end));
      }
      case Tag.Float: {
        const end = this.advance(pos, pos + 32, limit, "a float");
        return this.float(textFloat(bytes.toString("latin1", pos + 1, end)), pos);
      }
      case Tag.BitBinary:
        return this.bitString(pos, limit);
      case Tag.NewPid:
      case Tag.Pid: {
        const slab = this.opaque(pos, limit);
        return new NewPid(slab.bytes, pos + slab.shift, this.pos + slab.shift);
      }
      case Tag.V4Port:
      case Tag.NewPort:
      case Tag.Port: {
        const slab = this.opaque(pos, limit);
        return new NewPort(slab.bytes, pos + slab.shift, this.pos + slab.shift);
      }
      case Tag.NewerReference:
      case Tag.NewReference:
      case Tag.Reference: {
        const slab = this.opaque(pos, limit);
        return new NewReference(slab.bytes, pos + slab.shift, this.pos + slab.shift);
      }
      case Tag.NewFun:
      case Tag.Export: {
        const slab = this.opaque(pos, limit);
        return new NewFun(slab.bytes, pos + slab.shift, this.pos + slab.shift);
      }
      case Tag.Record: {
        const slab = this.opaque(pos, limit);
        return new NewNativeRecord(slab.bytes, pos + slab.shift, this.pos + slab.shift);
      }
      case Tag.Local:
        // Only the runtime that wrote it knows where it ends: it is all the bytes.
        if (pos !== 1 || this.consumed !== undefined) break;
        this.pos = bytes.length;
        return new NewLocalTerm(Buffer.from(bytes.subarray(pos)), 0, bytes.length - pos);
    }
    throw etfError("ETF_TAG", `no term has tag ${tag}`, pos);
  }

  /** Sets `pos` to `end`, if that is within `limit`. */
  private advance(pos: number, end: number, limit: number, what: string): number {
    if (end > limit) throw truncated(pos, what);
    this.pos = end;
    return end;
  }

  private atom(value: Atom): unknown {
    if (value === TRUE) return true;
    if (value === FALSE) return false;
    const { atomNames } = this.settings;
    return atomNames === undefined ? value : atomNames(value.name);
  }

  private float(value: number, pos: number): number | Float {
    if (!Number.isFinite(value)) throw etfError("ETF_MALFORMED", "a float that is no finite number", pos);
    return Number.isSafeInteger(value) && !this.settings.plainFloats ? new Float(value) : value;
  }

  /** The integer with its sign byte at `pos`, then `length` bytes, the least significant first. */
  private integer(pos: number, length: number, limit: number): number | bigint {
    const bytes = this.bytes;
    const end = this.advance(pos, pos + 1 + length, limit, "an integer");
    const negative = u8(bytes, pos) !== 0;
    if (length <= 8) {
      let low = 0;
      let high = 0;
      for (let at = end - 1; at > pos + 4; at--) high = (high << 8) | u8(bytes, at);
      for (let at = Math.min(end - 1, pos + 4); at > pos; at--) low = (low << 8) | u8(bytes, at);
      high >>>= 0;
      low >>>= 0;
      if (high < 0x200000) {
        const value = high * 0x100000000 + low;
        return negative && value !== 0 ? -value : value;
      }
      return negative ? -bigOf(high, low) : bigOf(high, low);
    }
    if (length > MAX_BIGINT_BYTES) {
      throw etfError(
        "ETF_LIMIT",
        `an integer of ${length} bytes, JavaScript has at most ${MAX_BIGINT_BYTES}`,
        pos,
      );
    }
    const magnitude = BigInt(
      `0x${Buffer.from(bytes.subarray(pos + 1, end))
        .reverse()
        .toString("hex")}`,
    );
    const value = negative ? -magnitude : magnitude;
    // Leading zeros can make a long integer small.
    return magnitude <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  private stringEnd(pos: number, limit: number): number {
    if (limit - pos < 3) throw truncated(pos, "a string");
    return this.advance(pos, pos + 3 + u16(this.bytes, pos + 1), limit, "a string");
  }

  private bytesOfString(pos: number, limit: number): number[] {
    const bytes = this.bytes;
    const end = this.stringEnd(pos, limit);
    const list: number[] = new Array(end - pos - 3);
    for (let at = pos + 3; at < end; at++) list[at - pos - 3] = u8(bytes, at);
    return list;
  }

  private binary(start: number, end: number): Buffer | string {
    const { textBinaries, views } = this.settings;
    if (textBinaries) return this.text(start, end);
    if (!views) return this.copy(start, end);
    const bytes = this.bytes;
    if (end > bytes.length) throw truncated(start, "bytes that are gone");
    return new View(bytes.buffer, bytes.byteOffset + start, end - start);
  }

  private text(start: number, end: number): Buffer | string {
    const bytes = this.bytes;
    if (end - start <= LOOP_TEXT) {
      let text = "";
      for (let at = start; at < end; at++) {
        const byte = u8(bytes, at);
        if (byte > 127) return this.longText(start, end);
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return this.longText(start, end);
  }

  private longText(start: number, end: number): Buffer | string {
    // Copied before it is checked: another process may write to a mapping between the check and the use.
    const copy = this.copy(start, end);
    return isUtf8(copy) ? copy.toString("utf8") : copy;
  }

  /** A Buffer with a copy of the bytes from `start` to `end`. */
  private copy(start: number, end: number): Buffer {
    const slab = this.slabOf(start, end);
    return new View(slab.buffer, start + slab.shift, end - start);
  }

  private slabOf(start: number, end: number): Slab {
    const slab = this.slab;
    if (slab !== undefined && end <= slab.end && start >= slab.start) return slab;
    this.slab = new Slab(this.bytes, start, end);
    return this.slab;
  }

  private bitString(pos: number, limit: number): BitString | Buffer | string {
    if (limit - pos < 6) throw truncated(pos, "a bitstring");
    const length = u31(this.bytes, pos + 1);
    const bits = u8(this.bytes, pos + 5);
    const end = this.advance(pos, pos + 6 + length, limit, "a bitstring");
    if (bits === 8 || (bits === 0 && length === 0)) return this.binary(pos + 6, end);
    if (bits > 8 || bits === 0 || length === 0) {
      throw etfError("ETF_MALFORMED", `a bitstring of ${length} bytes, the last with ${bits} bits`, pos);
    }
    return new BitString(this.copy(pos + 6, end), bits);
  }

  /**
   * A copy of the pid, port, reference, fun or record at `pos`. The caller makes the object: one `new` for all classes
   * is slow.
   */
  private opaque(pos: number, limit: number): Slab {
    const slab = this.slabOf(pos, limit - pos <= SHARED ? limit : opaqueEnd(this.bytes, pos, limit));
    const shift = slab.shift;
    let end: number;
    try {
      // Checks the copy and not the input, which may be a mapping that changes.
      end = opaqueEnd(slab.bytes, pos + shift, Math.min(limit, slab.end) + shift);
    } catch {
      opaqueEnd(this.bytes, pos, limit); // throws with the offset in the input
      throw etfError("ETF_MALFORMED", "bytes that change", pos);
    }
    this.pos = end - shift;
    return slab;
  }

  private map(items: unknown[], pos: number): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    const length = items.length;
    let objects = 0;
    for (let at = 0; at < length; at += 2) {
      const key = items[at];
      if (typeof key === "object" && !(key instanceof OwnAtom)) objects++;
      map.set(key, items[at + 1]);
    }
    if (map.size * 2 !== length || (objects > 1 && this.repeats(items)))
      throw etfError("ETF_MALFORMED", "a map has a key twice", pos);
    return map;
  }

  /** Whether two keys are the same term although they are different keys of a `Map`. */
  private repeats(items: readonly unknown[]): boolean {
    const binaries: Buffer[] = [];
    const others: unknown[] = [];
    for (let at = 0; at < items.length; at += 2) {
      const key = items[at];
      if (Buffer.isBuffer(key)) binaries.push(key);
      else if (
        key instanceof OwnFloat ||
        key instanceof OwnBitString ||
        key instanceof OwnOpaque ||
        (this.settings.exact && typeof key === "object" && !(key instanceof OwnAtom))
      )
        others.push(key, undefined);
    }
    if (binariesRepeat(binaries)) return true;
    if (others.length === 0) return false;
    this.keys ??= new KeyComparison(DECODED);
    return this.keys.repeats(others);
  }

  private object(items: unknown[], pos: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (let at = 0; at < items.length; at += 2) {
      const key = propertyName(items[at], pos);
      if (Object.hasOwn(object, key)) throw etfError("ETF_MALFORMED", `a map has the key ${key} twice`, pos);
      if (key === "__proto__") {
        // An assignment would set the prototype.
        Object.defineProperty(object, key, {
          value: items[at + 1],
          configurable: true,
          enumerable: true,
          writable: true,
        });
      } else {
        object[key] = items[at + 1];
      }
    }
    return object;
  }
}

/**
 * An array for `size` elements of any kind. The engine takes an empty array for one of small integers and converts it
 * later; `undefined` as an element prevents that. The literals save a call.
 */
function arrayFor(size: number): unknown[] {
  switch (size) {
    case 1:
      return [undefined];
    case 2:
      return [undefined, undefined];
    case 3:
      return [undefined, undefined, undefined];
    case 4:
      return [undefined, undefined, undefined, undefined];
  }
  const array: unknown[] = new Array(Math.min(size, PREALLOCATED));
  array[0] = undefined;
  return array;
}

function announced(terms: number, left: number, pos: number): EtfError {
  return etfError("ETF_TRUNCATED", `${terms} terms announced, ${left} bytes left for them`, pos);
}

/** V8's limit of 2^30 bits. */
const MAX_BIGINT_BYTES = 1 << 27;

/** The number of a FLOAT_EXT, which is text as C's `printf("%.20e")` writes it, padded with zeros. NaN: it is not. */
function textFloat(text: string): number {
  const zero = text.indexOf("\0");
  const digits = zero === -1 ? text : text.slice(0, zero);
  return /^[+-]?\d+\.\d+(e[+-]?\d+)?$/i.test(digits) ? Number(digits) : Number.NaN;
}

function propertyName(key: unknown, pos: number): string {
  if (typeof key === "string") return key;
  if (typeof key === "number" || typeof key === "bigint" || typeof key === "boolean") return String(key);
  if (Buffer.isBuffer(key) && isUtf8(key)) return key.toString("utf8");
  if (key instanceof OwnAtom) return key.name;
  throw etfError("ETF_MALFORMED", "a map with a key that is no property name", pos);
}
