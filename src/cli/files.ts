// Paths: the files of a folder, and what a mistyped path may have meant.
import { readdirSync } from "node:fs";
import { basename, dirname, join } from "node:path";

/** The number of letters to change, add, leave out or swap to make one word of the other. */
export function distance(one: string, other: string): number {
  let before: number[] = [];
  let last = Array.from({ length: other.length + 1 }, (_, at) => at);
  for (let i = 1; i <= one.length; i++) {
    const row = [i];
    for (let j = 1; j <= other.length; j++) {
      const same = one[i - 1] === other[j - 1];
      let least = Math.min(
        (last[j] as number) + 1,
        (row[j - 1] as number) + 1,
        (last[j - 1] as number) + (same ? 0 : 1),
      );
      if (i > 1 && j > 1 && one[i - 1] === other[j - 2] && one[i - 2] === other[j - 1])
        least = Math.min(least, (before[j - 2] as number) + 1);
      row.push(least);
    }
    before = last;
    last = row;
  }
  return last[other.length] as number;
}

/** The name in the path's folder that is most like the path's; undefined: none is like it. */
export function similarTo(path: string): string | undefined {
  const folder = dirname(path);
  const name = basename(path);
  let best: string | undefined;
  let least = Math.max(2, Math.ceil(name.length / 3)) + 1;
  try {
    for (const each of readdirSync(folder)) {
      if (each.endsWith("-live")) continue;
      const steps = distance(name.toLowerCase(), each.toLowerCase());
      if (steps < least) {
        least = steps;
        best = each;
      }
    }
  } catch {
    return undefined;
  }
  return best === undefined ? undefined : join(folder, best);
}

/** Beside a queue lie its messages in hand and the numbers of its relays, in files of their own. */
const BESIDE = ["-taken", "-relayed"];

const isLive = (name: string): boolean => name.endsWith("-live") || name.endsWith("-live.new");

/**
 * The regular files in a folder, in the order of their names. Symbolic links, live folders and what lies beside a queue are
 * left out.
 */
export function* filesIn(folder: string, recursive = false): Generator<string, void, undefined> {
  const entries = readdirSync(folder, { withFileTypes: true });
  const names = new Set(entries.map(({ name }) => name));
  const isBeside = (name: string): boolean =>
    BESIDE.some((suffix) => name.endsWith(suffix) && names.has(name.slice(0, -suffix.length)));
  for (const entry of entries.sort((one, other) => (one.name < other.name ? -1 : 1))) {
    const path = join(folder, entry.name);
    if (entry.isFile()) {
      if (!isBeside(entry.name)) yield path;
    } else if (recursive && entry.isDirectory() && !isLive(entry.name)) {
      try {
        yield* filesIn(path, true);
      } catch {
        // This user may not look into it, or it is gone.
      }
    }
  }
}
