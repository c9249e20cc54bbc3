// Messages in hand, in a table.
import type { InHand } from "../delivery.js";
import { table } from "./text.js";

const time = (date: Date): string => date.toISOString().replace(/\.\d+Z$/, "Z");

export function handTable(entries: readonly InHand[]): string {
  return table(
    ["SINCE", "ATTEMPT>", "BYTES>", "PROCESS>", "PROGRAM", "STATE"],
    entries.map((each) => [
      time(each.since),
      String(each.attempt),
      String(each.size),
      each.released ? "" : String(each.process),
      each.released ? "" : each.program,
      each.released
        ? `released${each.due === null ? "" : `, due ${time(each.due)}`}`
        : each.alive
          ? "in hand"
          : "its owner has died: the next consumer gets it",
    ]),
  );
}
