// What files did in the last minutes, for the page.
import type { Sample } from "../sample.js";

/** How many looks are kept. */
const KEPT = 150;

/** The numbers of the last looks, the oldest first; null: not known. */
export interface Past {
  depth: (number | null)[];
  pushed: number[];
  popped: number[];
}

const digit = (number: number): number => Math.round(number * 10) / 10;

export class History {
  readonly #files = new Map<string, Past>();

  note(samples: readonly Sample[]): void {
    const seen = new Set<string>();
    for (const { path, amount, pushed, popped } of samples) {
      seen.add(path);
      let past = this.#files.get(path);
      if (past === undefined) {
        past = { depth: [], pushed: [], popped: [] };
        this.#files.set(path, past);
      }
      past.depth.push(amount ?? null);
      past.pushed.push(digit(pushed));
      past.popped.push(digit(popped));
      for (const each of [past.depth, past.pushed, past.popped]) if (each.length > KEPT) each.shift();
    }
    for (const path of this.#files.keys()) if (!seen.has(path)) this.#files.delete(path);
  }

  of(path: string): Past {
    return this.#files.get(path) ?? { depth: [], pushed: [], popped: [] };
  }
}
