// Words of a command line.

import { Failure, Status } from "./failure.js";
import { distance } from "./files.js";
import { safe } from "./text.js";

/** The word, if it is one of the names; otherwise the failure says which name was meant. */
export function chosen<const Name extends string>(word: string, names: readonly Name[]): Name {
  if ((names as readonly string[]).includes(word)) return word as Name;
  const near = names
    .map((name) => [distance(word, name), name] as const)
    .sort(([one], [other]) => one - other)[0];
  const hint = near !== undefined && near[0] <= 2 ? `; did you mean ${near[1]}?` : "";
  throw new Failure(`${word} is none of ${names.join(", ")}${hint}`, Status.usage);
}

export function integer(word: string): bigint {
  try {
    if (word.trim() !== "") return BigInt(word);
  } catch {
    // Says it below.
  }
  throw new Failure(`${word} is no integer`, Status.usage);
}

/** A number that JSON holds exactly, else a string. */
export const exact = (value: bigint): number | string =>
  Number.isSafeInteger(Number(value)) ? Number(value) : String(value);

/** A key of a table in one line; bytes that are no UTF-8 as hexadecimal. */
export const keyOf = (key: string | Buffer): string =>
  typeof key === "string" ? safe(key) : `0x${key.toString("hex")}`;

/** A number of things. */
export function count(word: string | undefined, usual: number): number {
  if (word === undefined) return usual;
  const value = Number(integer(word));
  if (value < 0) throw new Failure(`${word} is below 0`, Status.usage);
  return value;
}
