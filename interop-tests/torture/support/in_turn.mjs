// Faults that count their own results, one after the other.
import { mkdtempSync } from "node:fs";
import { join } from "node:path";
import { withFolder } from "./processes.mjs";

/**
 * Does each of the named faults again and again for so many seconds, and at least once. A fault gets a folder of its own and
 * resolves to { hits, wrong, said }: how often it happened, the errors found, and lines for the user, if any.
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
