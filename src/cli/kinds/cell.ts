// A kind of file: see kind.ts.
import { bytes } from "../text.js";
import type { Kind } from "./kind.js";

export const cell: Kind = {
  name: "cell",
  amount: (found) => found.version,
  contents: ({ version = 0 }) => (version === 0 ? "nothing published" : `version ${version}`),
  facts: ({ version = 0, value_bytes, max_bytes = 0, synced }) => [
    [
      "value",
      version === 0
        ? `none was published; room for ${bytes(max_bytes)}B`
        : `version ${version}, of ${value_bytes === undefined ? "?" : bytes(value_bytes)}B; room for ${bytes(max_bytes)}B`,
    ],
    ...(synced ? [["synced", "yes: a value survives a power cut"] as [string, string]] : []),
  ],
};
