import { Buffer, isUtf8 } from "node:buffer";
import { types } from "node:util";
import { type Atom, atom, atomFromLatin1, atomFromUtf8, OwnAtom } from "./atoms.js";
import { bigOf, doubleAt, i32, u8, u16, u31, u32 } from "./bytes.js";
import { inflate } from "./compression.js";
import { type EtfError, etfError } from "./errors.js";
import { opaqueEnd, truncated } from "./extent.js";
import { binariesRepeat, repeats, type Writing } from "./keys.js";
import { fits, MAX_INFLATED_SIZE, TERM_SIZE } from "./measure.js";
import { firstUnknown, unknownOption } from "./options.js";
import { BufferView, Pool, SHARED } from "./pool.js";
import { Tag, VERSION } from "./tags.js";
import {
  BitString,
  Float,
  type Fun,
  ImproperList,
  type LocalTerm,
  type NativeRecord,
  NewFun,
  NewLocalTerm,
  NewNativeRecord,
  NewPid,
  NewPort,
  NewReference,
  OwnBitString,
  OwnFloat,
  OwnOpaque,
  type Pid,
  type Port,
  type Reference,
  Tuple,
} from "./terms.js";

/** How {@link decode} shows terms. */
export interface DecodeOptions {
  /**
   * `"json"`: plain objects, arrays, strings, numbers, booleans and `null`, as `encode` with the same option was given them. Of
   * what Erlang wrote `null` and `nil` are null, other atoms their names, and tuples arrays; what JSON has nothing for, such as
   * binaries that are not UTF-8, integers beyond 2^53 and pids, appears as without it. The other options go before it. Default
   * `"term"`.
   */
  readonly values?: "term" | "json" | undefined;
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
  /**
   * How much more memory than its bytes a term may take, counted before it is made: 16 bytes for each term in it and each
   * character of a string, and the bytes of binaries and integers. A compressed term may also not inflate to more bytes than
   * that. Default 64 MiB, as Erlang's `max_inflated_size`.
   */
  readonly maxInflatedSize?: number | undefined;
  /** Bytes that follow the term: an error, or ignored. Default `"error"`. */
  readonly trailing?: "error" | "ignore" | undefined;
}

/** What JSON can hold. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** What {@link decode} returns: every kind of term, as the options `O` show them. */
export type Decoded<O extends DecodeOptions = Record<never, never>> = O["values"] extends "json"
  ? Json
  : DecodedTerm<O>;
type DecodedTerm<O extends DecodeOptions> =
  | number
  | bigint
  | boolean
  | Pid
  | Port
  | Reference
  | Fun
  | NativeRecord
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
  /** The term. */
  readonly term: Decoded<O>;
  /** Where in the input it ended, the version byte counted. */
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
  const settings = options === undefined ? DEFAULTS : decodeSettings(options);
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
  const decoder = start(asBuffer(bytes), options === undefined ? DEFAULTS : decodeSettings(options));
  const term = decoder.next() as Decoded<O>;
  return { term, bytesRead: decoder.after };
}

/** The term that `bytes` begin with, by options that were looked at before. @internal */
export function decodeFirst(bytes: Buffer, settings: Settings): unknown {
  return start(bytes, settings).next();
}

/**
 * As {@link decodePrefix} of many inputs in one, each behind its length in 32 bits, the least significant first: with no
 * Buffer and no decoder for each. What is thrown says where in its own input the term is wrong. @internal
 */
export function decodeParts(parts: Buffer, settings: Settings): unknown[] {
  const decoder = new Decoder(parts, 0, settings, undefined);
  const terms: unknown[] = [];
  for (let at = 0; at < parts.length; ) {
    const begin = at + 4;
    at = begin + parts.readUInt32LE(at);
    terms.push(decoder.part(begin, at) ?? start(parts.subarray(begin, at), settings).next());
  }
  return terms;
}

function trailing(count: number, offset: number): EtfError {
  return etfError("ETF_TRAILING", `${count} bytes follow the term`, offset);
}

function asBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  if (types.isUint8Array(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw new TypeError("decode takes a Buffer or a Uint8Array");
}

/** What the options say. @internal */
export interface Settings {
  /** Tuples are arrays. */
  readonly json: boolean;
  readonly atomNames: ((name: string) => unknown) | undefined;
  readonly objects: boolean;
  readonly charStrings: boolean;
  readonly views: boolean;
  readonly textBinaries: boolean;
  readonly plainFloats: boolean;
  readonly maxInflatedSize: number;
  readonly ignoreTrailing: boolean;
  /** Whether two terms that are not the same never look the same. */
  readonly exact: boolean;
}

/** How {@link repeats} is to take what was decoded. */
const DECODED: Writing = { lists: false, atomKeys: false, nullAtom: atom("null") };

const NAMES = new Set([
  "values",
  "atoms",
  "maps",
  "strings",
  "binaries",
  "floats",
  "maxInflatedSize",
  "trailing",
]);
const DEFAULTS = decodeSettings({});

const jsonAtom = (name: string): unknown => (name === "null" || name === "nil" ? null : name);

/** Looks at the options. @internal */
export function decodeSettings(options: DecodeOptions): Settings {
  const name = firstUnknown(options, NAMES);
  if (name !== undefined) throw etfError("ETF_OPTION", unknownOption(name, NAMES));
  const json = choice("values", options.values, "term", "json");
  const { atoms = json ? jsonAtom : undefined, maxInflatedSize = MAX_INFLATED_SIZE } = options;
  const { maps = json ? "object" : undefined, floats = json ? "number" : undefined } = options;
  const { strings, binaries = json ? "string" : undefined } = options;
  if (!(maxInflatedSize >= 0)) throw etfError("ETF_OPTION", "maxInflatedSize is a number of bytes");
  return {
    json,
    atomNames:
      typeof atoms === "function"
        ? atoms
        : choice("atoms", atoms, "atom", "string")
          ? (name) => name
          : undefined,
    objects: choice("maps", maps, "map", "object"),
    charStrings: choice("strings", strings, "list", "string"),
    views: binaries === "view",
    textBinaries: binaries !== "view" && choice("binaries", binaries, "buffer", "string"),
    plainFloats: choice("floats", floats, "exact", "number"),
    maxInflatedSize,
    ignoreTrailing: choice("trailing", options.trailing, "error", "ignore"),
    exact:
      (atoms === undefined || atoms === "atom") &&
      maps !== "object" &&
      strings !== "string" &&
      binaries !== "string" &&
      floats !== "number",
  };
}

/** Whether `value` is `other` and not `usual`. */
function choice(option: string, value: string | undefined, usual: string, other: string): boolean {
  if (value === undefined || value === usual) return false;
  if (value === other) return true;
  throw etfError("ETF_OPTION", `option ${option} is not ${String(value)}`);
}

function start(input: Buffer, settings: Settings): Decoder {
  if (input.length < 2) throw truncated(input.length, "a term");
  if (u8(input, 0) !== VERSION) {
    throw etfError("ETF_VERSION", `a term begins with ${VERSION}, not ${u8(input, 0)}`, 0);
  }
  const max = settings.maxInflatedSize;
  if (u8(input, 1) !== Tag.Compressed) {
    if (input.length * (TERM_SIZE - 1) > max) measured(input, 1, max + input.length);
    return new Decoder(input, 1, settings, undefined);
  }
  const { bytes, consumed } = inflate(input, max);
  if (bytes.length * TERM_SIZE > max + input.length) measured(bytes, 0, max + input.length);
  return new Decoder(bytes, 0, settings, consumed);
}

/**
 * Throws if `decode` refuses the message of a queue for the memory that its term takes, with `max` as `maxInflatedSize`.
 * The message is as {@link encode} makes it; zeros follow it where it is stored, and count.
 */
export function checkMemory(message: Buffer, max: number): void {
  const stored = message.length + (message.length % 8);
  let term = message;
  if (message[1] === Tag.Compressed) {
    const size = u32(message, 2);
    if (size <= max && size * TERM_SIZE <= max + stored) return;
    if (size > max) throw tooMuch(max);
    term = inflate(message, max).bytes;
  } else if (stored * (TERM_SIZE - 1) <= max) return;
  if (!fits(term, term === message ? 1 : 0, term.length, max + stored)) throw tooMuch(max);
}

function tooMuch(max: number): EtfError {
  return etfError("ETF_LIMIT", `the term takes more memory than maxInflatedSize, ${max} bytes, allows`);
}

function measured(bytes: Buffer, start: number, allowed: number): void {
  if (!fits(bytes, start, bytes.length, allowed))
    throw etfError("ETF_LIMIT", `a term that takes more than the ${allowed} bytes allowed`, start);
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
 * Positions stay below 2^31, for the engine computes with them as 32-bit integers then: a term that is larger counts as cut.
 */
const MAX_END = 0x7fffffff;

const NOTHING: unknown[] = [];
const TRUE = atom("true");
const FALSE = atom("false");

/** Arrays of this many elements are allocated at once, longer ones grow as their elements arrive. */
const PREALLOCATED = 1 << 16;

/** Short texts are put together faster by a loop than by a call into the runtime. */
const LOOP_TEXT = 16;

/** Binaries are cut from copies of the input, which short ones share. */
let pool = new Pool();

/** A constant of this module: engines compile a call to it better than one to an import. */
const View = BufferView;

/** A copy of the bytes of an input from `start` to `end`. */
class Slab {
  declare readonly bytes: Buffer;
  declare readonly buffer: ArrayBufferLike;
  declare readonly start: number;
  declare readonly end: number;
  /** What to add to an index of the input for one of `bytes` and of `buffer`. */
  declare readonly shift: number;

  /** Copies from `start` to at least `end`. */
  constructor(input: Buffer, start: number, end: number) {
    // A function of the caller that is given atoms may have closed what the bytes belong to.
    if (end > input.length) throw truncated(start, "bytes that are gone");
    if (end - start > SHARED) {
      this.bytes = Buffer.allocUnsafeSlow(end - start);
      this.buffer = this.bytes.buffer;
      this.start = start;
      this.end = end;
      this.shift = -start;
      input.copy(this.bytes, 0, start, end);
      return;
    }
    // A short input is copied from its beginning, which spares making a view of a part of it.
    const whole = input.length <= SHARED;
    const from = whole ? 0 : start;
    const size = Math.min(input.length - from, SHARED);
    // The length, which is 0 once somebody has detached the memory: Node 22 lets `transfer` do that.
    if (size > pool.bytes.length - pool.used) pool = new Pool();
    const { bytes, buffer, used } = pool;
    this.bytes = bytes;
    this.buffer = buffer;
    this.start = from;
    this.end = from + size;
    this.shift = used - from;
    if (whole) bytes.set(input, used);
    else input.copy(bytes, used, from, from + size);
    pool.used = used + size;
  }
}

class Decoder {
  // Fields are declared and methods private to TypeScript alone: what the language itself does for either costs a tenth of
  // the time that a short message takes.
  declare private readonly bytes: Buffer;
  declare private readonly settings: Settings;
  declare private readonly consumed: number | undefined;
  declare private slab: Slab | undefined;
  declare private pos: number;
  /** Where the input ends. */
  declare private end: number;

  constructor(bytes: Buffer, pos: number, settings: Settings, consumed: number | undefined) {
    this.bytes = bytes;
    this.end = Math.min(bytes.length, MAX_END) | 0;
    this.settings = settings;
    this.consumed = consumed;
    this.slab = undefined;
    this.pos = pos;
  }

  /** How many bytes of the input were used. */
  get after(): number {
    return this.consumed ?? this.pos;
  }

  /** Throws if an inflated term is followed by something. */
  atEnd(): void {
    const left = this.bytes.length - this.pos;
    if (this.consumed !== undefined && left > 0) throw trailing(left, this.pos);
  }

  /**
   * The term of the input that lies from `begin` to `end` of the bytes; undefined, which is no term, where something is
   * special about it or wrong.
   */
  part(begin: number, end: number): unknown {
    const bytes = this.bytes;
    if (end > MAX_END || end - begin < 2 || bytes[begin] !== VERSION) return undefined;
    if ((end - begin) * (TERM_SIZE - 1) > this.settings.maxInflatedSize) return undefined;
    const tag = bytes[begin + 1];
    if (tag === Tag.Compressed || tag === Tag.Local) return undefined;
    this.pos = begin + 1;
    this.end = end;
    try {
      return this.next();
    } catch {
      return undefined;
    }
  }

  /**
   * Reads a term without recursion, so that nesting costs heap, as the BEAM allows, and not stack. An element may not
   * use the bytes that its later siblings and those of its ancestors need at least, one each: `limit` is where
   * these begin. So no claimed count, nor all of those of open containers together, can pass the bytes there are.
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
          if (size === 0) continue; // then it is what its tail is
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

      // Gives the value to its container; if that is complete, it is the next value.
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
          // The tail. The element before it has left it one byte at least.
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
            // A list in the place of the tail goes on with this one.
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
        // Derived rather than kept: frames are most of what a decode allocates.
        limit = end - count + filled + (kind === Kind.List ? 0 : 1);
      }
    }
  }

  /** The rarer terms that contain no others. Leaves `pos` behind the term. */
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
        // What follows is known to the runtime that wrote it, so it can't be told from what comes after.
        if (pos !== 1 || this.consumed !== undefined) break;
        this.pos = bytes.length;
        return new NewLocalTerm(Buffer.from(bytes.subarray(pos)), 0, bytes.length - pos);
    }
    throw etfError("ETF_TAG", `no term has tag ${tag}`, pos);
  }

  /** Moves on to `end`, if that is not too far. */
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

  /** The integer whose sign byte is at `pos` and is followed by `length` bytes, the least significant first. */
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
    // Copied first: another process may rewrite a mapping between the check and the reading.
    const copy = this.copy(start, end);
    return isUtf8(copy) ? copy.toString("utf8") : copy;
  }

  /** The bytes from `start` to `end`, as a Buffer that does not alias the input. */
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

  /** A copy that holds the pid, port, reference, fun or record at `pos`. Not made here: one `new` for all classes is dear. */
  private opaque(pos: number, limit: number): Slab {
    const slab = this.slabOf(pos, limit - pos <= SHARED ? limit : opaqueEnd(this.bytes, pos, limit));
    const shift = slab.shift;
    let end: number;
    try {
      // What is kept is what is checked: the input may be a mapping that changes.
      end = opaqueEnd(slab.bytes, pos + shift, Math.min(limit, slab.end) + shift);
    } catch {
      opaqueEnd(this.bytes, pos, limit); // says where in the input
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

  /** Whether two keys that JavaScript tells apart are the same term. */
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
    return binariesRepeat(binaries) || repeats(others, DECODED);
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
 * An array for `size` elements of any kind. An engine that takes it for one of small integers first would convert it later,
 * and would have to expect every kind wherever elements are stored: `undefined` tells. The literals spare a call.
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
  if (key instanceof OwnAtom) return key.name;
  throw etfError("ETF_MALFORMED", "a map with a key that is no property name", pos);
}
