// Names of options: one that is misspelled is told from the one that was meant.

/** What both ways of spelling have in common. */
const plain = (name: string): string => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/** How many letters have to be put in, left out, changed or swapped with the next one to make `a` of `b`. */
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

/** What is wrong with the option `name`, where there are only these: with the one that was probably meant. */
export function unknownOption(name: string, names: Iterable<string>): string {
  const given = plain(name);
  let best = "";
  // A third of the letters may be wrong, and what begins in the same way is the same: readOnly is read.
  let least = Math.floor(given.length / 3) + 1;
  for (const each of names) {
    const known = plain(each);
    const prefix = given.startsWith(known) || (given.length > 2 && known.startsWith(given));
    const steps = Math.min(distance(given, known), prefix ? 1.5 : Number.POSITIVE_INFINITY);
    if (steps < least) [best, least] = [each, steps];
  }
  return best === "" ? `There is no option "${name}"` : `Misspelled option "${name}" should be "${best}"`;
}

/** The first of the options' names that is none of `names`. */
export function firstUnknown(options: object, names: ReadonlySet<string>): string | undefined {
  for (const name in options) if (!names.has(name)) return name;
  return undefined;
}
