// A kind of file: see kind.ts.
import { plural } from "../text.js";
import type { Kind } from "./kind.js";

export const counters: Kind = {
  name: "counters",
  amount: (found) => found.counters,
  contents: (found) => plural(found.counters ?? 0, "counter"),
  facts: (found) => [["counters", String(found.counters ?? "?")]],
};
