// A kind of file: see kind.ts.
import type { Inspection } from "../inspect.js";
import { plural } from "../text.js";
import type { Kind } from "./kind.js";

const unfinished = (found: Inspection): [string, string][] =>
  found.unfinished ? [["unfinished", "a change that the next one completes"]] : [];

export const table: Kind = {
  name: "table",
  amount: (found) => found.keys,
  contents: ({ keys = 0 }) => plural(keys, "key"),
  facts: (found) => [
    [
      "keys",
      `${found.keys} of ${found.capacity}, of up to ${plural(found.key_bytes ?? 0, "byte")} and ${plural(found.words ?? 0, "word")} each`,
    ],
    ...unfinished(found),
  ],
};

/** Metrics are a table, whose keys are metrics and series. */
export const metrics: Kind = {
  ...table,
  name: "metrics",
  facts: (found) => [
    ["keys", `${found.keys} of ${found.capacity}: metrics, series, and counts of them`],
    ...unfinished(found),
  ],
};
