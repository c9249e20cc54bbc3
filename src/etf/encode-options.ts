// The options of encode.
import { atom } from "./atoms.js";
import type { Writing } from "./keys.js";
import { checkNames, optionError } from "./options.js";

/** How {@link encode} writes values. */
export interface EncodeOptions {
  /**
   * `"json"`: values are written as `JSON.stringify` takes them, and `decode` with the same option gives them back.
   * Erlang sees maps with binaries as keys, lists, binaries, numbers, `true`, `false` and `null`. As in JSON, `toJSON`
   * is called; `undefined` and functions are left out of objects, and become `null` in arrays; NaN becomes `null`.
   * Values that JSON would damage are an error: a `Map`, a `Set`, typed arrays, bigints. Default `"term"`.
   */
  readonly values?: "term" | "json" | undefined;
  /** JavaScript strings: as binaries of UTF-8, or as lists of characters. Default `"binary"`. */
  readonly strings?: "binary" | "list" | undefined;
  /** The property names of plain objects: as binaries, or as atoms. Default `"binary"`. */
  readonly keys?: "binary" | "atom" | undefined;
  /** The name of the atom for `null`; in Elixir it is `nil`. Default `"null"`. */
  readonly null?: string | undefined;
  /**
   * Compress with zlib: `true` as `term_to_binary(Term, [compressed])` does, or a level from 0 (none) to 9. A term that
   * would become longer is not compressed. Default `false`.
   */
  readonly compressed?: boolean | number | undefined;
  /**
   * As OTP's `minor_version`. 2 writes every atom in UTF-8. 1 writes an atom as ATOM_EXT in Latin-1 where that is
   * possible, as `term_to_binary/1` does before OTP 26. Default 2.
   */
  readonly minorVersion?: 1 | 2 | undefined;
}

/** The options in the form that the encoder uses. @internal */
export interface Settings extends Writing {
  readonly json: boolean;
  readonly level: number;
  readonly latin1: boolean;
}

const NULL = atom("null");
const NAMES = new Set(["values", "strings", "keys", "null", "compressed", "minorVersion"]);
/** @internal */
export const DEFAULTS = encodeSettings({});

/** Checks the options. @internal */
export function encodeSettings(options: EncodeOptions): Settings {
  checkNames(options, NAMES);
  const { values, strings, keys, compressed = false, minorVersion = 2 } = options;
  if (values !== undefined && values !== "term" && values !== "json") throw optionError("values", values);
  if (strings !== undefined && strings !== "binary" && strings !== "list")
    throw optionError("strings", strings);
  if (keys !== undefined && keys !== "binary" && keys !== "atom") throw optionError("keys", keys);
  if (minorVersion !== 1 && minorVersion !== 2) throw optionError("minorVersion", minorVersion);
  const level = compressed === true ? 6 : compressed === false ? 0 : compressed;
  if (!Number.isInteger(level) || level < 0 || level > 9) throw optionError("compressed", compressed);
  if (options.null !== undefined && typeof options.null !== "string") throw optionError("null", options.null);
  return {
    json: values === "json",
    lists: strings === "list",
    atomKeys: keys === "atom",
    nullAtom: options.null === undefined ? NULL : atom(options.null),
    level,
    latin1: minorVersion === 1,
  };
}
