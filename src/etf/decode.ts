import { isUtf8 } from "node:buffer";
import { Atom, atomFromLatin1, atomFromUtf8, FALSE, TRUE } from "./atoms.js";
import { bigOf, doubleOf, i32, u8, u16, u32 } from "./bytes.js";
import { inflate } from "./compression.js";
import { EtfError } from "./errors.js";
import { opaqueEnd, truncated } from "./extent.js";
import { Tag, VERSION } from "./tags.js";
import { BitString, Float, Fun, ImproperList, LocalTerm, Pid, Port, Reference, Tuple } from "./terms.js";

/** How {@link decode} shows terms. */
export interface DecodeOptions {
  /**
   * Atoms other than `true` and `false`: as {@link Atom}, as their names, or as what a function makes of the name, say
   * `(name) => (name === "nil" ? null : atom(name))`. Default `"atom"`.
   */
  readonly atoms?: "atom" | "string" | ((name: string) => unknown) | undefined;
  /**
   * Maps: as `Map`, or as plain objects, for which every key has to be an atom, an integer or a binary of UTF-8.
   * Default `"map"`.
   */
  readonly maps?: "map" | "object" | undefined;
  /**
   * Lists of bytes in their short form, STRING_EXT, as the BEAM sends `"text"` but also `[1, 2]`: as arrays, or as strings
   * of characters 0 to 255. Default `"list"`.
   */
  readonly strings?: "list" | "string" | undefined;
  /**
   * Binaries: as a `Buffer` of their own; as a view that aliases the input (or, of a compressed term, what it inflated
   * to); or as a string where they are UTF-8, else as a `Buffer`. Default `"buffer"`.
   */
  readonly binaries?: "buffer" | "view" | "string" | undefined;
  /**
   * Floats that a plain number would not carry back as floats, such as 1.0: as {@link Float}, or as the number
   * nevertheless. Default `"exact"`.
   */
  readonly floats?: "exact" | "number" | undefined;
  /** How many bytes a compressed term may inflate to. Default 64 MiB. */
  readonly maxInflatedSize?: number | undefined;
  /** Bytes that follow the term: an error, or ignored. Default `"error"`. */
  readonly trailing?: "error" | "ignore" | undefined;
}

/** What {@link decode} returns: every kind of term, as the options `O` show them. */
export type Decoded<O extends DecodeOptions = Record<never, never>> =
  | number
  | bigint
  | boolean
  | Pid
  | Port
  | Reference
  | Fun
  | BitString
  | LocalTerm
  | DecodedAtom<O>
  | DecodedBinary<O>
  | (O["floats"] extends "number" ? never : Float)
  | (O["strings"] extends "string" ? string : never)
  | (O["maps"] extends "object" ? DecodedObject<O> : DecodedMap<O>)
  | DecodedList<O>
  | DecodedTuple<O>
  | DecodedImproperList<O>;

type DecodedAtom<O extends DecodeOptions> = O["atoms"] extends "string"
  ? string
  : O["atoms"] extends (name: string) => infer Shown
    ? Shown
    : Atom;
type DecodedBinary<O extends DecodeOptions> = O["binaries"] extends "string" ? string | Buffer : Buffer;
interface DecodedList<O extends DecodeOptions> extends Array<Decoded<O>> {}
interface DecodedTuple<O extends DecodeOptions> extends Tuple<Decoded<O>[]> {}
interface DecodedMap<O extends DecodeOptions> extends Map<Decoded<O>, Decoded<O>> {}
interface DecodedImproperList<O extends DecodeOptions> extends ImproperList<Decoded<O>, Decoded<O>> {}
interface DecodedObject<O extends DecodeOptions> {
  [key: string]: Decoded<O>;
}

/** A term, and how many bytes of the input it took. */
export interface Prefix<O extends DecodeOptions = Record<never, never>> {
  readonly term: Decoded<O>;
  readonly bytesRead: number;
}

/**
 * The term that `bytes` hold. Reads `bytes` where they are, without a copy of the whole; what it returns is a copy, unless
 * an option asks for views. The bytes may be a mapping that other processes write to: the result is then whatever
 * was read, or an error, and nothing worse.
 *
 * @throws EtfError if `bytes` are not one whole term; see {@link EtfErrorCode}.
 */
export function decode<const O extends DecodeOptions = Record<never, never>>(
  bytes: Uint8Array,
  options?: O,
): Decoded<O> {
  const input = asBuffer(bytes);
  const settings = options === undefined ? DEFAULTS : settingsOf(options);
  const decoder = start(input, settings);
  const term = decoder.next();
  if (!settings.ignoreTrailing) {
    decoder.atEnd();
    if (decoder.after < input.length) throw trailing(input.length - decoder.after, decoder.after);
  }
  return term as Decoded<O>;
}

/**
 * As {@link decode}, for bytes that go on after the term: says how many belonged to it.
 *
 * @throws EtfError if `bytes` do not begin with a whole term.
 */
export function decodePrefix<const O extends DecodeOptions = Record<never, never>>(
  bytes: Uint8Array,
  options?: O,
): Prefix<O> {
  const decoder = start(asBuffer(bytes), options === undefined ? DEFAULTS : settingsOf(options));
  const term = decoder.next() as Decoded<O>;
  return { term, bytesRead: decoder.after };
}

function trailing(count: number, offset: number): EtfError {
  return new EtfError("ETF_TRAILING", `${count} bytes follow the term`, offset);
}

function asBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  if (bytes instanceof Uint8Array) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw new TypeError("decode takes a Buffer or a Uint8Array");
}

interface Settings {
  readonly atomNames: ((name: string) => unknown) | undefined;
  readonly objects: boolean;
  readonly charStrings: boolean;
  readonly views: boolean;
  readonly textBinaries: boolean;
  readonly plainFloats: boolean;
  readonly maxInflatedSize: number;
  readonly ignoreTrailing: boolean;
}

const DEFAULTS = settingsOf({});

function settingsOf(options: DecodeOptions): Settings {
  const { atoms, maxInflatedSize = 64 * 1024 * 1024 } = options;
  if (!(maxInflatedSize >= 0)) throw new EtfError("ETF_OPTION", "maxInflatedSize is a number of bytes");
  return {
    atomNames:
      typeof atoms === "function"
        ? atoms
        : choice("atoms", atoms, "atom", "string")
          ? (name) => name
          : undefined,
    objects: choice("maps", options.maps, "map", "object"),
    charStrings: choice("strings", options.strings, "list", "string"),
    views: options.binaries === "view",
    textBinaries: options.binaries !== "view" && choice("binaries", options.binaries, "buffer", "string"),
    plainFloats: choice("floats", options.floats, "exact", "number"),
    maxInflatedSize,
    ignoreTrailing: choice("trailing", options.trailing, "error", "ignore"),
  };
}

/** Whether `value` is `other` and not `usual`. */
function choice(option: string, value: string | undefined, usual: string, other: string): boolean {
  if (value === undefined || value === usual) return false;
  if (value === other) return true;
  throw new EtfError("ETF_OPTION", `option ${option} is not ${String(value)}`);
}

function start(input: Buffer, settings: Settings): Decoder {
  if (input.length < 2) throw truncated(input.length, "a term");
  if (u8(input, 0) !== VERSION) {
    throw new EtfError("ETF_VERSION", `a term begins with ${VERSION}, not ${u8(input, 0)}`, 0);
  }
  if (u8(input, 1) !== Tag.Compressed) return new Decoder(input, 1, settings);
  const { bytes, consumed } = inflate(input, settings.maxInflatedSize);
  return new Decoder(bytes, 0, settings, consumed);
}

// biome-ignore lint/suspicious/noConstEnum: compared for every term
const enum Kind {
  Root,
  Tuple,
  List,
  /** A list whose tail is to come, as the last of its items. */
  Tail,
  Map,
}

/** A container that waits for the one inside it. */
class Frame {
  constructor(
    readonly outer: Frame | undefined,
    readonly kind: Kind,
    readonly items: unknown[],
    readonly filled: number,
    readonly count: number,
    readonly limit: number,
    readonly end: number,
  ) {}
}

const NOTHING: unknown[] = [];

/** Arrays of this many elements are allocated at once, longer ones grow as their elements arrive. */
const PREALLOCATED = 1 << 16;

/** Binaries up to here are copied faster by a loop than by a call into the runtime. */
const LOOP_COPY = 16;

/**
 * Inputs up to here are copied as a whole if they hold binaries. Node takes such copies from its pool, so that a binary
 * which outlives its message keeps no more memory alive than any small Buffer does.
 */
const MAX_SLAB = Buffer.poolSize >>> 1;

class Decoder {
  readonly #bytes: Buffer;
  readonly #settings: Settings;
  readonly #consumed: number | undefined;
  #slab: Buffer | undefined;
  #pos: number;

  constructor(bytes: Buffer, pos: number, settings: Settings, consumed?: number) {
    this.#bytes = bytes;
    this.#settings = settings;
    this.#consumed = consumed;
    this.#pos = pos;
  }

  /** How many bytes of the input were used. */
  get after(): number {
    return this.#consumed ?? this.#pos;
  }

  /** Throws if an inflated term is followed by something. */
  atEnd(): void {
    const left = this.#bytes.length - this.#pos;
    if (this.#consumed !== undefined && left > 0) throw trailing(left, this.#pos);
  }

  /**
   * Reads a term without recursion, so that nesting costs heap, as the BEAM allows, and not stack. An element may not
   * use the bytes that its later siblings and those of its ancestors need at least, one each: `limit` is where
   * these begin. So no claimed count, nor all of those of open containers together, can pass the bytes there are.
   */
  next(): unknown {
    const bytes = this.#bytes;
    const settings = this.#settings;
    let pos = this.#pos;
    let outer: Frame | undefined;
    let kind = Kind.Root;
    let items = NOTHING;
    let filled = 0;
    let count = 0;
    let limit = bytes.length; // of the next element
    let end = limit; // of the container

    for (;;) {
      let value: unknown;
      let opened = Kind.Root;
      let size = 0;
      if (pos >= limit) throw truncated(pos, "a term");
      const tag = u8(bytes, pos);
      switch (tag) {
        case Tag.SmallInteger:
          if (limit - pos < 2) throw truncated(pos, "an integer");
          value = u8(bytes, pos + 1);
          pos += 2;
          break;
        case Tag.Integer:
          if (limit - pos < 5) throw truncated(pos, "an integer");
          value = i32(bytes, pos + 1);
          pos += 5;
          break;
        case Tag.SmallAtomUtf8: {
          if (limit - pos < 2) throw truncated(pos, "an atom");
          const start = pos + 2;
          pos = start + u8(bytes, pos + 1);
          if (pos > limit) throw truncated(start - 2, "an atom");
          value = this.#atom(atomFromUtf8(bytes, start, pos));
          break;
        }
        case Tag.Nil:
          value = [];
          pos += 1;
          break;
        case Tag.Binary: {
          if (limit - pos < 5) throw truncated(pos, "a binary");
          const start = pos + 5;
          pos = start + u32(bytes, pos + 1);
          if (pos > limit) throw truncated(start - 5, "a binary");
          value = this.#binary(start, pos);
          break;
        }
        case Tag.NewFloat:
          if (limit - pos < 9) throw truncated(pos, "a float");
          value = this.#float(doubleOf(i32(bytes, pos + 1), i32(bytes, pos + 5)), pos);
          pos += 9;
          break;
        case Tag.SmallTuple:
          if (limit - pos < 2) throw truncated(pos, "a tuple");
          size = u8(bytes, pos + 1);
          pos += 2;
          if (size === 0) value = new Tuple([]);
          else opened = Kind.Tuple;
          break;
        case Tag.LargeTuple:
          if (limit - pos < 5) throw truncated(pos, "a tuple");
          size = u32(bytes, pos + 1);
          pos += 5;
          if (size === 0) value = new Tuple([]);
          else opened = Kind.Tuple;
          break;
        case Tag.List:
          if (limit - pos < 5) throw truncated(pos, "a list");
          size = u32(bytes, pos + 1);
          pos += 5;
          if (size === 0) continue; // then it is what its tail is
          opened = Kind.List;
          break;
        case Tag.Map:
          if (limit - pos < 5) throw truncated(pos, "a map");
          size = 2 * u32(bytes, pos + 1);
          pos += 5;
          if (size === 0) value = settings.objects ? {} : new Map();
          else opened = Kind.Map;
          break;
        default:
          value = this.#leaf(tag, pos, limit);
          pos = this.#pos;
      }

      if (opened !== Kind.Root) {
        const needed = opened === Kind.List ? size + 1 : size;
        if (needed > limit - pos) throw announced(needed, limit - pos, pos);
        outer = new Frame(outer, kind, items, filled, count, limit, end);
        kind = opened;
        items = size <= PREALLOCATED ? new Array(size) : [];
        filled = 0;
        count = size;
        end = limit;
        limit = end - needed + 1;
        continue;
      }

      // Gives the value to its container; if that is complete, it is the next value.
      for (;;) {
        if (kind === Kind.Root) {
          this.#pos = pos;
          return value;
        }
        items[filled++] = value;
        limit++;
        if (filled < count) break;
        if (kind === Kind.Tuple) {
          value = new Tuple(items);
        } else if (kind === Kind.Map) {
          value = settings.objects ? this.#object(items, pos) : this.#map(items, pos);
        } else if (kind === Kind.Tail) {
          value = new ImproperList(items, items.pop());
        } else {
          // The tail. The element before it has left it one byte at least.
          let tail = u8(bytes, pos);
          size = 0;
          while (tail === Tag.List && size === 0) {
            if (end - pos < 6) throw truncated(pos, "a list");
            size = u32(bytes, pos + 1);
            pos += 5;
            if (size >= end - pos) throw announced(size + 1, end - pos, pos);
            tail = u8(bytes, pos);
          }
          if (size > 0) {
            // A list in the place of the tail goes on with this one.
            count += size;
            limit = end - size;
            break;
          }
          if (tail === Tag.Nil) {
            pos += 1;
          } else if (tail === Tag.String) {
            for (const byte of this.#bytesOfString(pos, end)) items.push(byte);
            pos = this.#pos;
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
        limit = frame.limit;
        end = frame.end;
      }
    }
  }

  /** The rarer terms that contain no others. Leaves `#pos` behind the term. */
  #leaf(tag: number, pos: number, limit: number): unknown {
    const bytes = this.#bytes;
    switch (tag) {
      case Tag.SmallBig: {
        if (limit - pos < 3) throw truncated(pos, "an integer");
        return this.#integer(pos + 2, u8(bytes, pos + 1), limit);
      }
      case Tag.LargeBig: {
        if (limit - pos < 6) throw truncated(pos, "an integer");
        return this.#integer(pos + 5, u32(bytes, pos + 1), limit);
      }
      case Tag.String: {
        if (!this.#settings.charStrings) return this.#bytesOfString(pos, limit);
        const end = this.#stringEnd(pos, limit);
        return bytes.toString("latin1", pos + 3, end);
      }
      case Tag.SmallAtom: {
        if (limit - pos < 2) throw truncated(pos, "an atom");
        const end = this.#advance(pos, pos + 2 + u8(bytes, pos + 1), limit, "an atom");
        return this.#atom(atomFromLatin1(bytes, pos + 2, end));
      }
      case Tag.Atom: {
        if (limit - pos < 3) throw truncated(pos, "an atom");
        const end = this.#advance(pos, pos + 3 + u16(bytes, pos + 1), limit, "an atom");
        return this.#atom(atomFromLatin1(bytes, pos + 3, end));
      }
      case Tag.AtomUtf8: {
        if (limit - pos < 3) throw truncated(pos, "an atom");
        const end = this.#advance(pos, pos + 3 + u16(bytes, pos + 1), limit, "an atom");
        return this.#atom(atomFromUtf8(bytes, pos + 3, end));
      }
      case Tag.Float: {
        const end = this.#advance(pos, pos + 32, limit, "a float");
        return this.#float(textFloat(bytes.toString("latin1", pos + 1, end)), pos);
      }
      case Tag.BitBinary:
        return this.#bitString(pos, limit);
      case Tag.NewPid:
      case Tag.Pid:
        return this.#opaque(Pid, pos, limit);
      case Tag.V4Port:
      case Tag.NewPort:
      case Tag.Port:
        return this.#opaque(Port, pos, limit);
      case Tag.NewerReference:
      case Tag.NewReference:
      case Tag.Reference:
        return this.#opaque(Reference, pos, limit);
      case Tag.NewFun:
      case Tag.Export:
        return this.#opaque(Fun, pos, limit);
      case Tag.Local:
        // What follows is known to the runtime that wrote it, so it can't be told from what comes after.
        if (pos !== 1 || this.#consumed !== undefined) break;
        this.#pos = bytes.length;
        return new LocalTerm(this.#ownCopy(pos, bytes.length), 0, bytes.length - pos);
    }
    throw new EtfError("ETF_TAG", `no term has tag ${tag}`, pos);
  }

  /** Moves on to `end`, if that is not too far. */
  #advance(pos: number, end: number, limit: number, what: string): number {
    if (end > limit) throw truncated(pos, what);
    this.#pos = end;
    return end;
  }

  #atom(atom: Atom): unknown {
    if (atom === TRUE) return true;
    if (atom === FALSE) return false;
    const { atomNames } = this.#settings;
    return atomNames === undefined ? atom : atomNames(atom.name);
  }

  #float(value: number, pos: number): number | Float {
    if (!Number.isFinite(value)) throw new EtfError("ETF_MALFORMED", "a float that is no finite number", pos);
    return Number.isSafeInteger(value) && !this.#settings.plainFloats ? new Float(value) : value;
  }

  /** The integer whose sign byte is at `pos` and is followed by `length` bytes, the least significant first. */
  #integer(pos: number, length: number, limit: number): number | bigint {
    const bytes = this.#bytes;
    const end = this.#advance(pos, pos + 1 + length, limit, "an integer");
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
      throw new EtfError(
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

  #stringEnd(pos: number, limit: number): number {
    if (limit - pos < 3) throw truncated(pos, "a string");
    return this.#advance(pos, pos + 3 + u16(this.#bytes, pos + 1), limit, "a string");
  }

  #bytesOfString(pos: number, limit: number): number[] {
    const bytes = this.#bytes;
    const end = this.#stringEnd(pos, limit);
    const list: number[] = new Array(end - pos - 3);
    for (let at = pos + 3; at < end; at++) list[at - pos - 3] = u8(bytes, at);
    return list;
  }

  #binary(start: number, end: number): Buffer | string {
    const { textBinaries, views } = this.#settings;
    if (textBinaries) return this.#text(start, end);
    return views ? this.#bytes.subarray(start, end) : this.#copy(start, end);
  }

  #text(start: number, end: number): Buffer | string {
    const bytes = this.#bytes;
    if (end - start <= LOOP_COPY) {
      let text = "";
      for (let at = start; at < end; at++) {
        const byte = u8(bytes, at);
        if (byte > 127) return this.#longText(start, end);
        text += String.fromCharCode(byte);
      }
      return text;
    }
    return this.#longText(start, end);
  }

  #longText(start: number, end: number): Buffer | string {
    // Copied first: another process may rewrite a mapping between the check and the reading.
    const copy = this.#copy(start, end);
    return isUtf8(copy) ? copy.toString("utf8") : copy;
  }

  /** The bytes from `start` to `end`, as a Buffer that does not alias the input. */
  #copy(start: number, end: number): Buffer {
    if (this.#bytes.length <= MAX_SLAB && (this.#slab !== undefined || end - start > LOOP_COPY)) {
      return this.#wholeCopy().subarray(start, end);
    }
    return this.#ownCopy(start, end);
  }

  #ownCopy(start: number, end: number): Buffer {
    const bytes = this.#bytes;
    const length = end - start;
    const copy = Buffer.allocUnsafe(length);
    if (length > LOOP_COPY) bytes.copy(copy, 0, start, end);
    else for (let at = 0; at < length; at++) copy[at] = u8(bytes, start + at);
    return copy;
  }

  /** One copy of a short input serves all of its binaries, at half the price of a copy for each. */
  #wholeCopy(): Buffer {
    if (this.#slab === undefined) {
      this.#slab = Buffer.allocUnsafe(this.#bytes.length);
      this.#bytes.copy(this.#slab);
    }
    return this.#slab;
  }

  #bitString(pos: number, limit: number): BitString | Buffer | string {
    if (limit - pos < 6) throw truncated(pos, "a bitstring");
    const length = u32(this.#bytes, pos + 1);
    const bits = u8(this.#bytes, pos + 5);
    const end = this.#advance(pos, pos + 6 + length, limit, "a bitstring");
    if (bits === 8 || (bits === 0 && length === 0)) return this.#binary(pos + 6, end);
    if (bits > 8 || bits === 0 || length === 0) {
      throw new EtfError("ETF_MALFORMED", `a bitstring of ${length} bytes, the last with ${bits} bits`, pos);
    }
    return new BitString(this.#copy(pos + 6, end), bits);
  }

  #opaque<T>(type: new (slab: Buffer, start: number, end: number) => T, pos: number, limit: number): T {
    // What is kept was checked after it was copied: a mapping may change in between.
    if (this.#bytes.length <= MAX_SLAB) {
      const slab = this.#wholeCopy();
      this.#pos = opaqueEnd(slab, pos, limit);
      return new type(slab, pos, this.#pos);
    }
    const end = opaqueEnd(this.#bytes, pos, limit);
    const own = this.#ownCopy(pos, end);
    if (opaqueEnd(own, 0, own.length) !== own.length)
      throw new EtfError("ETF_MALFORMED", "bytes that change", pos);
    this.#pos = end;
    return new type(own, 0, own.length);
  }

  #map(items: unknown[], pos: number): Map<unknown, unknown> {
    const map = new Map<unknown, unknown>();
    for (let at = 0; at < items.length; at += 2) map.set(items[at], items[at + 1]);
    if (map.size * 2 !== items.length) throw new EtfError("ETF_MALFORMED", "a map has a key twice", pos);
    return map;
  }

  #object(items: unknown[], pos: number): Record<string, unknown> {
    const object: Record<string, unknown> = {};
    for (let at = 0; at < items.length; at += 2) {
      const key = propertyName(items[at], pos);
      if (Object.hasOwn(object, key))
        throw new EtfError("ETF_MALFORMED", `a map has the key ${key} twice`, pos);
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

function announced(terms: number, left: number, pos: number): EtfError {
  return new EtfError("ETF_TRUNCATED", `${terms} terms announced, ${left} bytes left for them`, pos);
}

/** V8's limit of 2^30 bits. */
const MAX_BIGINT_BYTES = 1 << 27;

/** FLOAT_EXT has its number as C's `printf("%.20e")` writes it, with zeros behind. NaN if it has not. */
function textFloat(text: string): number {
  const zero = text.indexOf("\0");
  const digits = zero === -1 ? text : text.slice(0, zero);
  return /^[+-]?\d+\.\d+(e[+-]?\d+)?$/i.test(digits) ? Number(digits) : Number.NaN;
}

function propertyName(key: unknown, pos: number): string {
  if (typeof key === "string") return key;
  if (typeof key === "number" || typeof key === "bigint" || typeof key === "boolean") return String(key);
  if (Buffer.isBuffer(key) && isUtf8(key)) return key.toString("utf8");
  if (key instanceof Atom) return key.name;
  throw new EtfError("ETF_MALFORMED", "a map with a key that is no property name", pos);
}
