import { isUtf8 } from "node:buffer";
import { inspect } from "node:util";
import { u8 } from "./bytes.js";
import { EtfError } from "./errors.js";
import { Tag } from "./tags.js";

const MAX_CHARACTERS = 255;

/** What the interning needs from the class without making the constructor public. */
let create: (name: string, wire: Uint8Array) => Atom;

/**
 * An Erlang atom. There is one `Atom` of each name in a process, so atoms compare with `===` and work as keys of a
 * `Map`. Get one with {@link atom}. `true` and `false` are JavaScript booleans when decoded.
 */
export class Atom {
  readonly name: string;
  /** Its bytes as a term: SMALL_ATOM_UTF8_EXT or ATOM_UTF8_EXT. @internal */
  readonly wire: Uint8Array;

  private constructor(name: string, wire: Uint8Array) {
    this.name = name;
    this.wire = wire;
  }

  static {
    create = (name, wire) => new Atom(name, wire);
  }

  /** The name, unquoted. */
  toString(): string {
    return this.name;
  }

  toJSON(): string {
    return this.name;
  }

  [inspect.custom](_depth: number, options: { stylize(text: string, style: string): string }): string {
    return options.stylize(quoted(this.name), "symbol");
  }
}

/** The name as Erlang source has it. */
export function quoted(name: string): string {
  return /^[a-zß-öø-ÿ][\w@À-ÖØ-öø-ÿ]*$/.test(name) ? name : `'${name.replace(/[\\']/g, "\\$&")}'`;
}

// Names that nobody holds any longer leave the table, so that a peer that sends ever new atoms fills no memory.
const table = new Map<string, WeakRef<Atom>>();
const collected = new FinalizationRegistry<string>((name) => {
  if (table.get(name)?.deref() === undefined) table.delete(name);
});

/**
 * The atom called `name`.
 *
 * @throws EtfError `ETF_LIMIT` if the name has more than 255 characters, `ETF_UNENCODABLE` if it has a lone surrogate.
 */
export function atom(name: string): Atom {
  const known = table.get(name)?.deref();
  if (known !== undefined) return known;
  const made = create(name, wireOf(name));
  table.set(name, new WeakRef(made));
  collected.register(made, name);
  return made;
}

function wireOf(name: string): Uint8Array {
  const text = Buffer.from(name, "utf8");
  if (name.length > MAX_CHARACTERS && [...name].length > MAX_CHARACTERS) {
    throw new EtfError("ETF_LIMIT", `an atom has at most ${MAX_CHARACTERS} characters`);
  }
  if (!wellFormed(name)) throw new EtfError("ETF_UNENCODABLE", "the name of an atom has a lone surrogate");
  const header =
    text.length < 256 ? [Tag.SmallAtomUtf8, text.length] : [Tag.AtomUtf8, text.length >> 8, text.length];
  const wire = new Uint8Array(header.length + text.length);
  wire.set(header);
  wire.set(text, header.length);
  return wire;
}

/** Whether UTF-8 can hold `text`. */
export function wellFormed(text: string): boolean {
  return !/\p{Surrogate}/u.test(text);
}

// The weak table costs a string and a `deref` for each look-up. Short ASCII names, nearly all there are, are found by
// their bytes in a table of fixed size first; it keeps alive at most one atom a slot.
const SLOTS = 2048;
const MAX_SHORT = 48;
const recent: (Atom | undefined)[] = new Array(SLOTS).fill(undefined);

/** The atom whose name is the ASCII or UTF-8 bytes from `start` to `end`, which lie inside `bytes`. */
export function atomFromUtf8(bytes: Buffer, start: number, end: number): Atom {
  const length = end - start;
  if (length > MAX_SHORT) return atomFromLongUtf8(bytes, start, end);
  let hash = length;
  for (let at = start; at < end; at++) hash = (Math.imul(hash, 31) + u8(bytes, at)) | 0;
  const slot = (hash ^ (hash >>> 11)) & (SLOTS - 1);
  const candidate = recent[slot];
  if (candidate !== undefined) {
    const name = candidate.name;
    if (name.length === length) {
      let at = 0;
      // A UTF-8 byte over 127 may equal a Latin-1 character that it does not stand for.
      while (at < length && name.charCodeAt(at) === u8(bytes, start + at) && u8(bytes, start + at) < 128)
        at++;
      if (at === length) return candidate;
    }
  }
  const found = atomFromLongUtf8(bytes, start, end);
  recent[slot] = found;
  return found;
}

function atomFromLongUtf8(bytes: Buffer, start: number, end: number): Atom {
  // Copied first: another process may rewrite a mapping between the check and the reading.
  const copy = Buffer.from(bytes.subarray(start, end));
  if (!isUtf8(copy)) throw new EtfError("ETF_MALFORMED", "the name of an atom is not UTF-8", start);
  return named(copy.toString("utf8"), start);
}

/** As {@link atomFromUtf8}, for the tags of old releases, whose names are Latin-1. */
export function atomFromLatin1(bytes: Buffer, start: number, end: number): Atom {
  return named(bytes.toString("latin1", start, end), start);
}

function named(name: string, start: number): Atom {
  try {
    return atom(name);
  } catch (error) {
    if (error instanceof EtfError) throw new EtfError(error.code, error.message, start);
    throw error;
  }
}
