// The names of options, and suggestions for misspelled ones.
import { type EtfError, etfError } from "./errors.js";

/** The name without case and separators. */
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** The number of letters to insert, delete, change or swap with the next one to make `a` of `b`. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let row = Array.from({ length: b.length + 1 }, (_, at) => at);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1] ? 0 : 1;
      const least = Math.min(row[j] as number, next[j - 1] as number) + 1;
      next[j] = Math.min(least, (row[j - 1] as number) + same);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        next[j] = Math.min(next[j] as number, (before[j - 2] as number) + 1);
    }
    before = row;
    row = next;
  }
  return row[b.length] as number;
}

/** The error message for the option `name`, which is none of `names`: it suggests the most similar one. */
export function unknownOption(name: string, names: Iterable<string>): string {
  const given = plain(name);
  let best = "";
  // Up to a third of the letters may be wrong. A name that begins with another is similar to it: readOnly to read.
  let least = Math.floor(given.length / 3) + 1;
  for (const each of names) {
    const known = plain(each);
    const prefix = given.startsWith(known) || (given.length > 2 && known.startsWith(given));
    const steps = Math.min(distance(given, known), prefix ? 1.5 : Number.POSITIVE_INFINITY);
    if (steps < least) [best, least] = [each, steps];
  }
  return best === "" ? `There is no option "${name}"` : `Misspelled option "${name}" should be "${best}"`;
}

/** The first option that is none of `names`. */
export function firstUnknown(options: object, names: ReadonlySet<string>): string | undefined {
  for (const name in options) if (!names.has(name)) return name;
  return undefined;
}

/** Checks that the options are an object that has only these names. */
export function checkNames(options: object, names: ReadonlySet<string>): void {
  if (typeof options !== "object" || options === null)
    throw etfError("ETF_OPTION", "the options are not an object");
  const name = firstUnknown(options, names);
  if (name !== undefined) throw etfError("ETF_OPTION", unknownOption(name, names));
}

/** The error for an option of a wrong value. */
export function optionError(option: string, value: unknown): EtfError {
  const shown = typeof value === "object" && value !== null ? "an object" : String(value);
  return etfError("ETF_OPTION", `option ${option} is not ${shown}`);
}
