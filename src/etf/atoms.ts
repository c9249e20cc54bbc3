import { Buffer, isUtf8 } from "node:buffer";
import { inspect } from "node:util";
import { brand } from "./brand.js";
import { i32, u8 } from "./bytes.js";
import { argumentError, EtfError, etfError } from "./errors.js";
import { Tag } from "./tags.js";

const MAX_CHARACTERS = 255;

/** The constructor, which is not public: every atom has to be in the table. */
let create: (name: string, wire: Uint8Array) => Atom;

/**
 * An Erlang atom; {@link atom} gives it. There is one `Atom` of each name, so `===` compares atoms, and they can be
 * keys of a `Map`. If a process has loaded the package twice, each copy has its own: compare these by `name`. The atoms
 * `true` and `false` are decoded as booleans.
 */
export class Atom {
  /** The name, unquoted. */
  declare readonly name: string;
  /** The atom as a term: SMALL_ATOM_UTF8_EXT or ATOM_UTF8_EXT. @internal */
  declare readonly wire: Uint8Array;

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

  /** The name, unquoted. */
  toJSON(): string {
    return this.name;
  }

  /** @internal */
  [inspect.custom](_depth: number, options: { stylize(text: string, style: string): string }): string {
    return options.stylize(quoted(this.name), "symbol");
  }
}

/** @internal */
export const OwnAtom = brand(Atom, "Atom");

/** The name as it stands in Erlang source. */
export function quoted(name: string): string {
  return /^[a-zß-öø-ÿ][\w@À-ÖØ-öø-ÿ]*$/.test(name) ? name : `'${name.replace(/[\\']/g, "\\$&")}'`;
}

// An atom that nobody uses any more leaves the table, so that a peer cannot fill the memory with new names.
const table = new Map<string, WeakRef<Atom>>();
const collected = new FinalizationRegistry<string>((name) => {
  if (table.get(name)?.deref() === undefined) table.delete(name);
});

/**
 * Returns the atom with this name.
 *
 * @throws EtfError `ETF_LIMIT` if the name has more than 255 characters, `ETF_UNENCODABLE` if it has a lone surrogate.
 */
export function atom(name: string): Atom {
  if (typeof name !== "string") throw argumentError("TYPE", "the name of an atom is a string");
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
    throw etfError("ETF_LIMIT", `an atom has at most ${MAX_CHARACTERS} characters`);
  }
  if (!wellFormed(name)) throw etfError("ETF_UNENCODABLE", "the name of an atom has a lone surrogate");
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

// A look-up in the weak table costs a string and a `deref`. So a name is looked up by its bytes first, in a table of
// fixed size, which keeps at most one atom in each slot alive.
const SLOTS = 2048;
const recent: (Entry | undefined)[] = new Array(SLOTS).fill(undefined);

/** An atom with the first and last bytes of its name, which are all of a name of up to eight bytes. */
class Entry {
  declare readonly atom: Atom;
  declare readonly length: number;
  declare readonly head: number;
  declare readonly tail: number;
  /** The name has the same bytes in Latin-1 as in UTF-8. */
  declare readonly isAscii: boolean;

  constructor(atom: Atom, length: number, head: number, tail: number) {
    this.atom = atom;
    this.length = length;
    this.head = head;
    this.tail = tail;
    this.isAscii = atom.name.length === length;
  }
}

/** The first four bytes of a name, or all of a shorter one. */
function headOf(bytes: Uint8Array, start: number, length: number): number {
  if (length >= 4) return i32(bytes, start);
  let head = 0;
  for (let at = 0; at < length; at++) head = (head << 8) | u8(bytes, start + at);
  return head;
}

/** The last four bytes of a name, which overlap the first four in a name of less than eight. */
function tailOf(bytes: Uint8Array, start: number, length: number): number {
  return length > 4 ? i32(bytes, start + length - 4) : 0;
}

function slotOf(head: number, tail: number, length: number): number {
  const hash = Math.imul(head, 0x9e3779b1) ^ Math.imul(tail + length, 0x85ebca6b);
  return (hash ^ (hash >>> 16)) & (SLOTS - 1);
}

/** The entry for the name between `start` and `end`, which lie inside `bytes`. */
function recentOf(bytes: Buffer, start: number, end: number): Entry | undefined {
  const length = end - start;
  const head = headOf(bytes, start, length);
  const tail = tailOf(bytes, start, length);
  const entry = recent[slotOf(head, tail, length)];
  if (entry === undefined || entry.head !== head || entry.tail !== tail || entry.length !== length)
    return undefined;
  if (length <= 8) return entry;
  const wire = entry.atom.wire;
  const shift = wire.length - end;
  const last = end - 4;
  let at = start + 4;
  while (at < last && bytes[at] === wire[at + shift]) at++;
  return at === last ? entry : undefined;
}

/** The atom whose name is the UTF-8 between `start` and `end`, which lie inside `bytes`. */
export function atomFromUtf8(bytes: Buffer, start: number, end: number): Atom {
  const entry = recentOf(bytes, start, end);
  if (entry !== undefined) return entry.atom;
  const found = atomFromNewUtf8(bytes, start, end);
  remember(found);
  return found;
}

// With the atom's own bytes, not those that were looked up: in a mapping they may have changed meanwhile.
function remember(atom: Atom): void {
  const wire = atom.wire;
  const start = wire[0] === Tag.SmallAtomUtf8 ? 2 : 3;
  const length = wire.length - start;
  const head = headOf(wire, start, length);
  const tail = tailOf(wire, start, length);
  recent[slotOf(head, tail, length)] = new Entry(atom, length, head, tail);
}

function atomFromNewUtf8(bytes: Buffer, start: number, end: number): Atom {
  // Copied before it is checked: another process may write to a mapping between the check and the use.
  const copy = Buffer.from(bytes.subarray(start, end));
  if (!isUtf8(copy)) throw etfError("ETF_MALFORMED", "the name of an atom is not UTF-8", start);
  return named(copy.toString("utf8"), start);
}

/** As {@link atomFromUtf8}, for a name in Latin-1, which OTP before 26 sends where possible. */
export function atomFromLatin1(bytes: Buffer, start: number, end: number): Atom {
  const entry = recentOf(bytes, start, end);
  if (entry?.isAscii) return entry.atom;
  const found = named(bytes.toString("latin1", start, end), start);
  remember(found);
  return found;
}

function named(name: string, start: number): Atom {
  try {
    return atom(name);
  } catch (error) {
    if (error instanceof EtfError) throw etfError(error.code, error.message, start);
    throw error;
  }
}
