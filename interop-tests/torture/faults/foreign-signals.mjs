// SIGBUS that is about none of emmap's files: it has its usual effect, also after faults of emmap's files.
import { truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { runs } from "../support/proc.mjs";
import { withFolder } from "../support/processes.mjs";
import { DOORS, Testee } from "../support/testee.mjs";

export const title = "signals of faults that are not ours";
export const shortSeconds = 0;

const SIZE = 65_536;
const GIVE_UP_MS = 10_000;

/** Whether the process that maps files ends by the signal, as it would without mapped files. */
async function endsOfSigbus(door, path) {
  const testee = new Testee(door);
  await testee.must(`open f ${path} write create shared size=${SIZE}`);
  truncateSync(path, 100);
  await testee.must(`pread f ${SIZE / 2} 1`, /^error efault$/);
  const mapper = testee.mapper();
  process.kill(mapper, "SIGBUS");
  if (mapper === testee.pid) return (await testee.ended) === "SIGBUS";
  for (const end = Date.now() + GIVE_UP_MS; runs(mapper); await sleep(5)) if (Date.now() > end) return false;
  // The node of the port program gets an error, and goes on.
  await testee.must("pread f 0 1", /^error port_died$/);
  return (await testee.finish()) === 0;
}

export function run({ seconds, say }) {
  const doors = Object.keys(DOORS);
  return withFolder(async (folder) => {
    const rows = [];
    for (const door of doors) {
      const end = Date.now() + (1000 * seconds) / doors.length;
      const row = {
        fault: "SIGBUS of other memory, passed on",
        runtime: DOORS[door],
        hits: 0,
        survived: 0,
        lost: 0,
      };
      do {
        row.hits++;
        if (await endsOfSigbus(door, join(folder, "file"))) row.survived++;
      } while (Date.now() < end);
      say(`${DOORS[door]}: ${row.survived} of ${row.hits} did what they always did`);
      rows.push({ ...row, worstWaitMs: null });
    }
    return rows;
  });
}
