// A kind of file: see kind.ts.
import { bytes, plural } from "../text.js";
import type { Kind } from "./kind.js";

export const blocks: Kind = {
  name: "blocks",
  amount: (found) => found.blocks,
  contents: (found) =>
    found.blocks === undefined ? `blocks of ${bytes(found.block_size ?? 0)}B` : plural(found.blocks, "block"),
  facts: (found) => [
    ["blocks", `${found.blocks ?? "?"} of ${found.block_size} bytes each; room for ${found.capacity ?? "?"}`],
    ["levels", String(found.levels ?? "not told by the file")],
    ...(found.unfinished
      ? [["unfinished", "a change that the next writer completes"] as [string, string]]
      : []),
    ...(found.synced ? [["synced", "yes: its blocks survive a power cut"] as [string, string]] : []),
  ],
};
