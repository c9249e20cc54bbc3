// The options of decode, and the types of its results.
import type { Atom } from "./atoms.js";
import { etfError } from "./errors.js";
import { MAX_INFLATED_SIZE } from "./measure.js";
import { checkNames, optionError } from "./options.js";
import type {
  BitString,
  Float,
  Fun,
  ImproperList,
  LocalTerm,
  NativeRecord,
  Pid,
  Port,
  Reference,
  Tuple,
} from "./terms.js";

/** How {@link decode} shows terms. */
export interface DecodeOptions {
  /**
   * `"json"`: plain objects, arrays, strings, numbers, booleans and `null`, for terms that `encode` wrote with the same
   * option. Of the terms that Erlang wrote, the atoms `null` and `nil` become `null`, other atoms become their names,
   * and tuples become arrays. A term that JSON cannot hold (a binary that is not UTF-8, an integer beyond 2^53, a pid)
   * is shown as without this option. The other options take precedence over this one. Default `"term"`.
   */
  readonly values?: "term" | "json" | undefined;
  /**
   * Atoms other than `true` and `false`: as {@link Atom}, as their names, or as the result of a function that gets the
   * name: `(name) => (name === "nil" ? null : atom(name))`. Default `"atom"`.
   */
  readonly atoms?: "atom" | "string" | ((name: string) => unknown) | undefined;
  /**
   * Maps: as `Map`, or as plain objects. For objects every key has to be an atom, an integer or a binary of UTF-8.
   * Default `"map"`.
   */
  readonly maps?: "map" | "object" | undefined;
  /**
   * Lists of bytes in their short form, STRING_EXT: as arrays, or as strings of characters 0 to 255. The BEAM sends
   * `"text"` in this form, but also `[1, 2]`. Default `"list"`.
   */
  readonly strings?: "list" | "string" | undefined;
  /**
   * Binaries: as a `Buffer` with a copy of the bytes; as a view, which shares its memory with the input (for a
   * compressed term, with its inflated bytes); or as a string if they are UTF-8, else as a `Buffer`. Default
   * `"buffer"`.
   */
  readonly binaries?: "buffer" | "view" | "string" | undefined;
  /**
   * Floats that are integers, such as 1.0, which a plain number would send back as an integer: as {@link Float}, or as
   * a number nevertheless. Default `"exact"`.
   */
  readonly floats?: "exact" | "number" | undefined;
  /**
   * The memory that a term may take beyond its bytes. It is counted before the term is made: 16 bytes for each term in it
   * and for each character of a string, and the bytes of binaries and integers. The option is also the limit for the
   * inflated bytes of a compressed term. `Infinity`: no limit. Default 64 MiB, as Erlang's `max_inflated_size`.
   */
  readonly maxInflatedSize?: number | undefined;
  /** Bytes that follow the term: an error, or ignored. Default `"error"`. */
  readonly trailing?: "error" | "ignore" | undefined;
}

/** A value of JSON. */
export type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

/** The values that {@link decode} can return with the options `O`. */
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

/** The options in the form that the decoder uses. @internal */
export interface Settings {
  /** Tuples are shown as arrays. */
  readonly json: boolean;
  readonly atomNames: ((name: string) => unknown) | undefined;
  readonly objects: boolean;
  readonly charStrings: boolean;
  readonly views: boolean;
  readonly textBinaries: boolean;
  readonly plainFloats: boolean;
  readonly maxInflatedSize: number;
  readonly ignoreTrailing: boolean;
  /** Two different terms never look the same. */
  readonly exact: boolean;
}

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
/** @internal */
export const DEFAULTS = decodeSettings({});

const jsonAtom = (name: string): unknown => (name === "null" || name === "nil" ? null : name);

/** Checks the options. @internal */
export function decodeSettings(options: DecodeOptions): Settings {
  checkNames(options, NAMES);
  const json = choice("values", options.values, "term", "json");
  const { atoms = json ? jsonAtom : undefined, maxInflatedSize = MAX_INFLATED_SIZE } = options;
  const { maps = json ? "object" : undefined, floats = json ? "number" : undefined } = options;
  const { strings, binaries = json ? "string" : undefined } = options;
  if (
    maxInflatedSize !== Number.POSITIVE_INFINITY &&
    !(Number.isSafeInteger(maxInflatedSize) && maxInflatedSize >= 0)
  )
    throw etfError("ETF_OPTION", "maxInflatedSize is an integer of 0 or more, or Infinity");
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

/** True for `other`, false for `usual`. */
function choice(option: string, value: string | undefined, usual: string, other: string): boolean {
  if (value === undefined || value === usual) return false;
  if (value === other) return true;
  throw optionError(option, value);
}
