// A kind of file: see kind.ts.
import type { Inspection } from "../inspect.js";
import { bytes, plural } from "../text.js";
import type { Kind } from "./kind.js";

const used = ({ head = 0, tail = 0 }: Inspection): string => `${bytes(tail - head)}B`;

export const queue: Kind = {
  name: "queue",
  amount: (found) => found.length,
  contents: (found) => {
    const inside = found.length === undefined ? used(found) : plural(found.length, "message");
    const { in_hand = 0, released = 0 } = found;
    return `${inside}${in_hand > 0 ? `, ${in_hand} in hand` : ""}${released > 0 ? `, ${released} released` : ""}`;
  },
  facts: (found) => [
    [
      "messages",
      `${found.length ?? "not counted"}, which take ${used(found)} of ${bytes(found.capacity ?? 0)}B`,
    ],
    ...(found.in_hand === undefined
      ? []
      : [["in hand", `${found.in_hand}; ${found.released} released`] as [string, string]]),
    ...(found.synced ? [["synced", "yes: its messages survive a power cut"] as [string, string]] : []),
  ],
};
