// Finds keys of a map that are one term in Erlang, but two values in JavaScript: `1` and `1n`, or two equal tuples. A
// BEAM refuses a map with such keys.

import { Buffer } from "node:buffer";
import { createHash } from "node:crypto";
import { types } from "node:util";
import { Atom, OwnAtom } from "./atoms.js";
import { BitString, Float, Fun, ImproperList, Opaque, Pid, Port, Reference, Tuple } from "./terms.js";

/** The options of the encoder that decide which term a value becomes. */
export interface Writing {
  /** Strings and property names are lists of characters. */
  readonly lists: boolean;
  /** Property names are atoms. */
  readonly atomKeys: boolean;
  readonly nullAtom: Atom;
}

/** Kinds of keys. Two keys of one kind are equal in JavaScript if they are in Erlang. */
const KIND_STRING = 1;
const KIND_NUMBER = 2;
const KIND_BIGINT = 4;
const KIND_ATOM = 8;
const KIND_BOOLEAN = 16;
const KIND_OTHER = 32;

function kindOf(key: unknown): number {
  switch (typeof key) {
    case "string":
      return KIND_STRING;
    case "number":
      return KIND_NUMBER;
    case "bigint":
      return KIND_BIGINT;
    case "boolean":
      return KIND_BOOLEAN;
    default:
      return key instanceof OwnAtom ? KIND_ATOM : KIND_OTHER;
  }
}

/** True if a `Map` with the keys at the even places of `pairs` could have a key twice for Erlang. */
export function mayRepeat(pairs: readonly unknown[]): boolean {
  let kinds = 0;
  for (let at = 0; at < pairs.length; at += 2) kinds |= kindOf(pairs[at]);
  return (
    (kinds & KIND_OTHER) !== 0 ||
    (kinds & (KIND_NUMBER | KIND_BIGINT)) === (KIND_NUMBER | KIND_BIGINT) ||
    (kinds & (KIND_ATOM | KIND_BOOLEAN)) === (KIND_ATOM | KIND_BOOLEAN)
  );
}

/**
 * Compares the keys of the maps of one term. It takes time in proportion to the term, however deep maps are nested as
 * keys of maps: the text of a key is made once, for its own map, and is a part of the texts of the keys around it.
 */
export class KeyComparison {
  declare private readonly writing: Writing;
  /** The texts of keys that contain other values. */
  declare private readonly texts: Map<unknown, string>;

  constructor(writing: Writing) {
    this.writing = writing;
    this.texts = new Map();
  }

  /** True if two of the keys at the even places of `pairs` are the same term. The maps inside of them come before. */
  repeats(pairs: readonly unknown[]): boolean {
    if (pairs.length < 4) return false;
    const binaries = onlyBinaries(pairs);
    if (binaries !== undefined) return binariesRepeat(binaries);
    const seen = new Set<string>();
    for (let at = 0; at < pairs.length; at += 2) seen.add(this.identity(pairs[at]));
    return seen.size * 2 !== pairs.length;
  }

  /** A text for a term: equal for equal terms, and different for different ones. Nesting costs heap and not stack. */
  private identity(key: unknown): string {
    const { writing, texts } = this;
    const around: Container[] = [];
    let value = key;
    for (;;) {
      let text = texts.get(value);
      if (text === undefined) {
        const inside = contents(value, writing);
        if (inside === undefined) text = shortened(leaf(value, writing));
        else if (inside.items.length === 0) text = closed(inside);
        else around.push(inside);
      }
      for (;;) {
        const container = around[around.length - 1];
        if (container === undefined) {
          if (typeof key === "object") texts.set(key, text as string);
          return text as string;
        }
        if (text !== undefined) container.texts.push(text);
        if (container.texts.length < container.items.length) {
          value = container.items[container.texts.length];
          break;
        }
        around.pop();
        text = closed(container);
      }
    }
  }
}

/**
 * The keys that are Buffers; undefined if there are others than Buffers and atoms. Different atoms are different terms.
 */
function onlyBinaries(pairs: readonly unknown[]): Buffer[] | undefined {
  const binaries: Buffer[] = [];
  for (let at = 0; at < pairs.length; at += 2) {
    const key = pairs[at];
    if (Buffer.isBuffer(key)) binaries.push(key);
    else if (!(key instanceof OwnAtom)) return undefined;
  }
  return binaries;
}

/** Up to this number each binary is compared with each other one. */
const FEW = 8;

/** True if two of the binaries are equal. */
export function binariesRepeat(binaries: readonly Buffer[]): boolean {
  const count = binaries.length;
  if (count > FEW)
    return new Set(binaries.map((bytes) => shortened(bytes.toString("latin1")))).size !== count;
  for (let one = 1; one < count; one++) {
    const bytes = binaries[one] as Buffer;
    const { length } = bytes;
    for (let other = 0; other < one; other++) {
      const before = binaries[other] as Buffer;
      if (before.length === length && before[0] === bytes[0] && before.equals(bytes)) return true;
    }
  }
  return false;
}

/** A container whose text is being made. */
interface Container {
  readonly open: string;
  readonly items: readonly unknown[];
  readonly isMap: boolean;
  readonly texts: string[];
}

/**
 * A longer text is replaced by its digest: nesting would repeat it at each level, and the engine hashes a text of more
 * than 16,383 characters by its length alone.
 */
const LONG_TEXT = 256;

function shortened(text: string): string {
  return text.length > LONG_TEXT
    ? `digest ${createHash("sha256").update(text, "utf16le").digest("hex")}`
    : text;
}

function closed({ open, texts, isMap }: Container): string {
  let inside = texts;
  if (isMap) {
    inside = [];
    for (let at = 0; at < texts.length; at += 2) inside.push(`${texts[at]}=${texts[at + 1]}`);
    inside.sort(); // the pairs of a map have no order
  }
  return shortened(`${open}${inside.join(",")})`);
}

function contents(value: unknown, writing: Writing): Container | undefined {
  const container = (open: string, items: readonly unknown[], isMap = false): Container => ({
    open,
    items,
    isMap,
    texts: [],
  });
  if (typeof value === "string")
    return writing.lists
      ? container(
          "list(",
          Array.from(value, (character) => character.codePointAt(0)),
        )
      : undefined;
  if (typeof value !== "object" || value === null) return undefined;
  if (value instanceof Tuple) return container("tuple(", value.elements);
  // Array.from makes undefined of holes.
  if (Array.isArray(value)) return container("list(", Array.from(value));
  if (value instanceof ImproperList) return container("improper(", [...value.elements, value.tail]);
  if (types.isMap(value)) return container("map(", [...value].flat(1), true);
  if (
    types.isUint8Array(value) ||
    value instanceof Atom ||
    value instanceof AtomText ||
    value instanceof Float ||
    value instanceof BitString ||
    value instanceof Opaque
  )
    return undefined;
  const pairs: unknown[] = [];
  for (const name of Object.keys(value))
    pairs.push(
      writing.atomKeys ? atomText(name) : Buffer.from(name),
      (value as Record<string, unknown>)[name],
    );
  return container("map(", pairs, true);
}

/** The text of an atom, in the place of a value. */
class AtomText {
  declare readonly text: string;
  constructor(text: string) {
    this.text = text;
  }
}

function atomText(name: string): AtomText {
  return new AtomText(`atom ${JSON.stringify(name)}`);
}

function leaf(value: unknown, writing: Writing): string {
  switch (typeof value) {
    case "number":
      return Number.isSafeInteger(value) ? `${value}` : floatText(value);
    case "bigint":
      // Decimal digits of a long integer would take more than linear time.
      return BigInt.asIntN(54, value) === value ? `${value}` : `big ${value.toString(16)}`;
    case "string":
      return bytesText("binary", Buffer.from(value));
    case "boolean":
    case "undefined":
      return atomText(`${value}`).text;
  }
  if (value === null) return atomText(writing.nullAtom.name).text;
  if (value instanceof AtomText) return value.text;
  if (value instanceof Atom) return atomText(value.name).text;
  if (value instanceof Float) return floatText(value.value);
  if (types.isUint8Array(value)) return bytesText("binary", value);
  if (value instanceof BitString) return bytesText(`bits ${value.lastBits}`, value.bytes);
  // The same identifier can have different tags.
  if (value instanceof Pid)
    return `pid ${JSON.stringify(value.node.name)} ${value.id} ${value.serial} ${value.creation}`;
  if (value instanceof Port) return `port ${JSON.stringify(value.node.name)} ${value.id} ${value.creation}`;
  if (value instanceof Reference)
    return `reference ${JSON.stringify(value.node.name)} ${value.ids.join(" ")} ${value.creation}`;
  if (value instanceof Fun && value.external)
    return `fun ${JSON.stringify([value.module.name, value.function?.name, value.arity])}`;
  if (value instanceof Opaque) return bytesText("opaque", value.bytes);
  return `other ${typeof value}`; // which the encoder refuses
}

/** Minus zero is another float than zero, as in OTP 27 and later. */
function floatText(value: number): string {
  return `float ${Object.is(value, -0) ? "-0" : value}`;
}

function bytesText(kind: string, bytes: Uint8Array): string {
  return `${kind} ${bytes.length}:${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString("latin1")}`;
}
