import { Buffer } from "node:buffer";
import { inspect } from "node:util";
import { type Atom, atomFromLatin1, atomFromUtf8, quoted } from "./atoms.js";
import { brand } from "./brand.js";
import { i32, u8, u16, u32 } from "./bytes.js";
import { argumentError } from "./errors.js";
import { Tag } from "./tags.js";

/** A value that {@link encode} accepts. docs/etf.md says which term each becomes. */
export type Term =
  | number
  | bigint
  | boolean
  | string
  | null
  | undefined
  | Atom
  | Float
  | Uint8Array
  | BitString
  | Tuple
  | ImproperList
  | Pid
  | Port
  | Reference
  | Fun
  | NativeRecord
  | LocalTerm
  | readonly Term[]
  | ReadonlyMap<Term, Term>
  | PlainObject;

/**
 * An object of properties. Its type may be an interface, which TypeScript does not accept for `{ [key: string]: Term
 * }`: so `encode` checks the properties, and not the compiler. Functions, dates, promises, sets and generators are not
 * plain objects.
 */
export interface PlainObject {
  /** A property, which is a {@link Term}. */
  // biome-ignore lint/suspicious/noExplicitAny: an interface has no index signature of another type
  readonly [key: string]: any;
  /** Functions have it. */
  readonly [Symbol.hasInstance]?: never;
  /** Sets and generators have it. */
  readonly [Symbol.iterator]?: never;
  /** Dates have it. */
  readonly [Symbol.toPrimitive]?: never;
  /** Promises and ArrayBuffers have it. */
  readonly [Symbol.toStringTag]?: never;
}

interface InspectOptions {
  stylize(text: string, style: string): string;
}
type Inspect = (value: unknown, options: object) => string;

/** An Erlang tuple. Iterates as an array does: `const [tag, value] = tuple`, or typed, `= tuple.elements`. */
export class Tuple<Elements extends readonly unknown[] = readonly Term[]> {
  /** The elements, in order. */
  declare readonly elements: Elements;

  /** Uses `elements` without a copy. */
  constructor(elements: Elements) {
    this.elements = elements;
  }

  /** The number of elements. */
  get length(): Elements["length"] {
    return this.elements.length;
  }

  /** The elements, in order. */
  [Symbol.iterator](): IterableIterator<Elements[number]> {
    return this.elements[Symbol.iterator]() as IterableIterator<Elements[number]>;
  }

  /** As an array. */
  toJSON(): Elements {
    return this.elements;
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptions, print: Inspect): string {
    return depth !== null && depth < 0 ? "{...}" : `{${printed(this.elements, depth, options, print)}}`;
  }
}

/** Makes a tuple of these elements. */
export function tuple<const Elements extends readonly unknown[]>(...elements: Elements): Tuple<Elements> {
  return new Tuple(elements);
}

/**
 * A float that a plain number would make an integer of: `new Float(1)` is encoded as `1.0`, and `1.0` is decoded as a
 * `Float`, so that it goes back as a float. In arithmetic, and in `<` and `>`, it is its number.
 */
export class Float {
  /** The number. */
  declare readonly value: number;

  /** Makes the float of this number. */
  constructor(value: number) {
    this.value = value;
  }

  /** The number, for arithmetic and comparisons. */
  valueOf(): number {
    return this.value;
  }

  /** As Erlang prints it, with a fraction: `1.0`. */
  toString(): string {
    const text = Object.is(this.value, -0) ? "-0" : String(this.value);
    return Number.isInteger(this.value) && !text.includes("e") ? `${text}.0` : text;
  }

  /** The number. */
  toJSON(): number {
    return this.value;
  }

  /** @internal */
  [inspect.custom](_depth: number, options: InspectOptions): string {
    return options.stylize(this.toString(), "number");
  }
}

/** A list with a tail that is not a list: `[1, 2 | tail]`. */
export class ImproperList<Element = Term, Tail = Term> {
  /** The elements before the tail: at least one. */
  declare readonly elements: readonly Element[];
  /** The tail: not a list. */
  declare readonly tail: Tail;

  /**
   * Uses `elements` without a copy.
   *
   * @throws TypeError if there are no elements, or the tail is a list.
   */
  constructor(elements: readonly Element[], tail: Tail) {
    if (elements.length === 0)
      throw argumentError("VALUE", "an improper list has at least one element before its tail");
    if (Array.isArray(tail) || tail instanceof ImproperList) {
      throw argumentError("VALUE", "the tail of an improper list is not a list");
    }
    this.elements = elements;
    this.tail = tail;
  }

  /** @internal */
  [inspect.custom](depth: number | null, options: InspectOptions, print: Inspect): string {
    if (depth !== null && depth < 0) return "[...]";
    const tail = printed([this.tail], depth, options, print);
    return `[${printed(this.elements, depth, options, print)} | ${tail}]`;
  }
}

/** A bitstring whose length is not a multiple of eight. */
export class BitString {
  /** The bytes. The bits of the last byte are its upper ones; the lower ones are 0. */
  declare readonly bytes: Buffer;
  /** The number of bits in the last byte: 1 to 7. */
  declare readonly lastBits: number;

  /**
   * Uses `bytes` without a copy, if the unused bits of the last byte are 0; otherwise a copy where they are.
   *
   * @throws TypeError if there is no byte, or `lastBits` is not 1 to 7.
   */
  constructor(bytes: Buffer, lastBits: number) {
    if (bytes.length === 0 || !Number.isInteger(lastBits) || lastBits < 1 || lastBits > 7) {
      throw argumentError("VALUE", "a bit string has at least one byte, and 1 to 7 bits in the last");
    }
    const last = u8(bytes, bytes.length - 1);
    const clean = last & (0xff00 >> lastBits);
    this.bytes = clean === last ? bytes : Buffer.from(bytes);
    if (clean !== last) this.bytes[bytes.length - 1] = clean;
    this.lastBits = lastBits;
  }

  /** Its length in bits. */
  get bitLength(): number {
    return this.bytes.length * 8 - 8 + this.lastBits;
  }

  /** @internal */
  [inspect.custom](): string {
    const last = this.bytes.length - 1;
    const whole = [...this.bytes.subarray(0, last)].map((byte) => `${byte},`).join("");
    return `<<${whole}${u8(this.bytes, last) >> (8 - this.lastBits)}:${this.lastBits}>>`;
  }
}

/**
 * A term that only a BEAM can use. Here it can be kept, compared, printed, and sent back as the same bytes.
 */
export abstract class Opaque {
  /** Bytes with the term in external form, and maybe others. @internal */
  declare protected readonly slab: Buffer;
  /** Where the tag is. @internal */
  declare protected readonly start: number;
  /** Where the term ends. @internal */
  declare protected readonly end: number;

  /** For the decoder. The bytes are checked, and do not change any more. */
  protected constructor(slab: Buffer, start: number, end: number) {
    this.slab = slab;
    this.start = start;
    this.end = end;
  }

  /** The term in external form, from its tag on. Do not change it. */
  get bytes(): Buffer {
    return this.slab.subarray(this.start, this.end);
  }

  /** As Erlang's shell prints it, or similar. */
  abstract toString(): string;

  /** @internal */
  [inspect.custom](_depth: number | null, options: InspectOptions): string {
    return options.stylize(this.toString(), "special");
  }

  /** @internal */
  protected get tag(): number {
    return u8(this.slab, this.start);
  }
}

/** A process identifier. */
export class Pid extends Opaque {
  /** The node that it belongs to. */
  get node(): Atom {
    return atomAt(this.slab, this.start + 1);
  }
  /** The number of the process in its node. */
  get id(): number {
    return u32(this.slab, this.#numbers());
  }
  /** Counts how often the numbers began again. */
  get serial(): number {
    return u32(this.slab, this.#numbers() + 4);
  }
  /** The start of the node that it belongs to. */
  get creation(): number {
    return creationAt(this.slab, this.#numbers() + 8, this.tag === Tag.Pid);
  }
  /** As Erlang's shell prints it, with the name of the node. */
  override toString(): string {
    return `#Pid<${this.node.name}.${this.id}.${this.serial}>`;
  }
  #numbers(): number {
    return atomEnd(this.slab, this.start + 1);
  }
}

/** A port identifier. */
export class Port extends Opaque {
  /** The node that it belongs to. */
  get node(): Atom {
    return atomAt(this.slab, this.start + 1);
  }
  /** The number of the port in its node. */
  get id(): bigint {
    const at = this.#numbers();
    return this.tag === Tag.V4Port ? this.slab.readBigUInt64BE(at) : BigInt(u32(this.slab, at));
  }
  /** The start of the node that it belongs to. */
  get creation(): number {
    return creationAt(this.slab, this.#numbers() + (this.tag === Tag.V4Port ? 8 : 4), this.tag === Tag.Port);
  }
  /** As Erlang's shell prints it, with the name of the node. */
  override toString(): string {
    return `#Port<${this.node.name}.${this.id}>`;
  }
  #numbers(): number {
    return atomEnd(this.slab, this.start + 1);
  }
}

/** A reference: of a call, a monitor, a timer, an alias. */
export class Reference extends Opaque {
  /** The node that made it. */
  get node(): Atom {
    return atomAt(this.slab, this.#nodeStart());
  }
  /** The words of its identifier, in the order of the bytes. */
  get ids(): number[] {
    const tag = this.tag;
    const after = atomEnd(this.slab, this.#nodeStart());
    if (tag === Tag.Reference) return [u32(this.slab, after)];
    const first = after + (tag === Tag.NewerReference ? 4 : 1);
    return Array.from({ length: u16(this.slab, this.start + 1) }, (_, index) =>
      u32(this.slab, first + 4 * index),
    );
  }
  /** The start of the node that it belongs to. */
  get creation(): number {
    const tag = this.tag;
    const after = atomEnd(this.slab, this.#nodeStart());
    return creationAt(this.slab, tag === Tag.Reference ? after + 4 : after, tag !== Tag.NewerReference);
  }
  /** As Erlang's shell prints it, with the name of the node. */
  override toString(): string {
    return `#Ref<${[this.node.name, ...this.ids].join(".")}>`;
  }
  #nodeStart(): number {
    return this.start + (this.tag === Tag.Reference ? 1 : 3);
  }
}

/** Tag, size, arity, MD5 of the module, index, number of free variables. @internal */
export const FUN_HEADER = 1 + 4 + 1 + 16 + 4 + 4;

/** A fun: an external one, `fun Module:Function/Arity`, or a local one with its variables. */
export class Fun extends Opaque {
  /** True for `fun Module:Function/Arity`. */
  get external(): boolean {
    return this.tag === Tag.Export;
  }
  /** Its module. */
  get module(): Atom {
    return atomAt(this.slab, this.#moduleStart());
  }
  /** The name of the function; undefined for a local fun. */
  get function(): Atom | undefined {
    return this.external ? atomAt(this.slab, atomEnd(this.slab, this.#moduleStart())) : undefined;
  }
  /** The number of its arguments. */
  get arity(): number {
    if (!this.external) return u8(this.slab, this.start + 5);
    const at = atomEnd(this.slab, atomEnd(this.slab, this.#moduleStart()));
    return u8(this.slab, at) === Tag.SmallInteger ? u8(this.slab, at + 1) : i32(this.slab, at + 1);
  }
  /** As Erlang's shell prints it; a local fun with its module and index. */
  override toString(): string {
    const name = this.function;
    if (name !== undefined) return `fun ${quoted(this.module.name)}:${quoted(name.name)}/${this.arity}`;
    return `#Fun<${this.module.name}.${u32(this.slab, this.start + 22)}>`;
  }
  #moduleStart(): number {
    return this.start + (this.external ? 1 : FUN_HEADER);
  }
}

/** Tag, number of fields, flags. @internal */
export const RECORD_HEADER = 1 + 4 + 1;

/** A native record of OTP 29 and later, `#Module:Name{…}`; it is not a tuple. */
export class NativeRecord extends Opaque {
  /** The module that defines it. */
  get module(): Atom {
    return atomAt(this.slab, this.start + RECORD_HEADER);
  }
  /** Its name in that module. */
  get name(): Atom {
    return atomAt(this.slab, atomEnd(this.slab, this.start + RECORD_HEADER));
  }
  /** The number of fields. */
  get size(): number {
    return u32(this.slab, this.start + 1);
  }
  /** Its name, without its fields. */
  override toString(): string {
    return `#${quoted(this.module.name)}:${quoted(this.name.name)}{...}`;
  }
}

/**
 * A term of `term_to_binary(Term, [local])` of OTP 26 and later. Only the runtime that wrote it can read it. It is
 * always a whole message, and never part of another term.
 */
export class LocalTerm extends Opaque {
  /** Its length, since nothing else is known. */
  override toString(): string {
    return `#Local<${this.end - this.start} bytes>`;
  }
}

interface Maker<Instance> {
  new (slab: Buffer, start: number, end: number): Instance;
}

// Their constructors are for the decoder alone.
/** @internal */
export const NewPid = Pid as unknown as Maker<Pid>;
/** @internal */
export const NewPort = Port as unknown as Maker<Port>;
/** @internal */
export const NewReference = Reference as unknown as Maker<Reference>;
/** @internal */
export const NewFun = Fun as unknown as Maker<Fun>;
/** @internal */
export const NewNativeRecord = NativeRecord as unknown as Maker<NativeRecord>;
/** @internal */
export const NewLocalTerm = LocalTerm as unknown as Maker<LocalTerm>;

/** @internal */
export const OwnTuple = brand<Tuple>(Tuple, "Tuple");
/** @internal */
export const OwnFloat = brand(Float, "Float");
/** @internal */
export const OwnImproperList = brand<ImproperList>(ImproperList, "ImproperList");
/** @internal */
export const OwnBitString = brand(BitString, "BitString");
/** @internal */
export const OwnOpaque = brand(Opaque, "Opaque");
/** @internal */
export const OwnLocalTerm = brand(LocalTerm, "LocalTerm");
brand(Pid, "Pid");
brand(Port, "Port");
brand(Reference, "Reference");
brand(Fun, "Fun");
brand(NativeRecord, "NativeRecord");

function printed(
  elements: readonly unknown[],
  depth: number | null,
  options: object,
  print: Inspect,
): string {
  const inner = { ...options, depth: depth === null ? null : depth - 1 };
  return elements.map((element) => print(element, inner)).join(", ");
}

function atomAt(bytes: Buffer, at: number): Atom {
  const tag = u8(bytes, at);
  const start = at + (tag === Tag.SmallAtomUtf8 || tag === Tag.SmallAtom ? 2 : 3);
  const end = atomEnd(bytes, at);
  const utf8 = tag === Tag.SmallAtomUtf8 || tag === Tag.AtomUtf8;
  return utf8 ? atomFromUtf8(bytes, start, end) : atomFromLatin1(bytes, start, end);
}

function atomEnd(bytes: Buffer, at: number): number {
  const tag = u8(bytes, at);
  const short = tag === Tag.SmallAtomUtf8 || tag === Tag.SmallAtom;
  return short ? at + 2 + u8(bytes, at + 1) : at + 3 + u16(bytes, at + 1);
}

function creationAt(bytes: Buffer, at: number, short: boolean): number {
  return short ? u8(bytes, at) : u32(bytes, at);
}
