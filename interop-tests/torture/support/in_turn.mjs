// Faults that count for themselves, one after the other.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { withFolder } from "./processes.mjs";

/**
 * Does each of the faults, by name, again and again for so many seconds, once at least. One is given a folder of its own
 * and answers { hits, wrong, said }: how often it happened, what was not as it should be, and what to say of it, if anything.
 */
export function inTurn(faults, { runtime, titleOf = (name) => name }, { seconds, say }) {
  return withFolder(async (folder) => {
    const rows = Object.keys(faults).map((name) => ({
      fault: titleOf(name),
      runtime,
      hits: 0,
      survived: 0,
      lost: 0,
      worstWaitMs: null,
    }));
    const end = Date.now() + 1000 * seconds;
    do {
      for (const [i, [name, fault]] of Object.entries(faults).entries()) {
        const { hits, wrong, said } = await fault(mkdtempSync(join(folder, "files-")));
        rows[i].hits += hits;
        rows[i].survived += wrong.length === 0 ? hits : 0;
        rows[i].lost += wrong.length;
        for (const line of said === undefined ? wrong : [said, ...wrong]) say(`${name}: ${line}`);
      }
    } while (Date.now() < end);
    return rows;
  });
}
