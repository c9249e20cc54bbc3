// A process dies in the middle of an operation and leaves a forked child, which lives on with everything that a child
// inherits. The next process does not wait for the child.
import { existsSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";
import { STRUCTURES } from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";
import { pointsWithLock, untilTheyWait, Victim } from "../support/victim.mjs";
import { waited } from "../support/waits.mjs";

export const title = "kill -9 of a process whose forked child lives on";

const DOORS = ["node", "nif", "port"];
const KINDS = ["queue", "blocks"];

/** A point at which the file is open and the lock is not taken yet. */
const FIRST_PAUSE = 2;

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const party = { victim: new Victim(), path: join(folder, "file") };
    const testees = DOORS.map((door) => new Testee(door));
    const forked = DOORS.map((door) => new Row("kill -9 that leaves a forked child", door));
    const cloned = DOORS.map((door) => new Row("the same past fork's handlers: until the child ends", door));
    const end = Date.now() + seconds * 1000;
    do
      for (const kind of KINDS) {
        const points = await pointsWithLock(party.victim, kind, party.path);
        for (const [i, testee] of testees.entries())
          for (const pause of points.values()) {
            // The child was forked in the middle of the operation, or before, with the file open.
            for (const earlier of [pause, FIRST_PAUSE])
              forked[i].count(await succeed(kind, earlier, pause, testee, party));
            cloned[i].count(await outlast(kind, pause, testee, party));
          }
        say(`${points.size} points at which ${STRUCTURES[kind].title} is locked`);
      }
    while (Date.now() < end);
    return [...forked, ...cloned];
  }, MEMORY);
}

function isAlive(pid) {
  return existsSync(`/proc/${pid}`);
}

/** The victim's child lives, and no process waits for it. */
async function succeed(kind, earlier, pause, testee, { victim, path }) {
  const report = await victim.order("fork", "fork", earlier, kind, pause, path);
  // The child lets go of the files when it runs for the first time.
  const [, waitMs] = await waited(testee, () => testee.must(STRUCTURES[kind].open(path)), [report.offspring]);
  const lived = isAlive(report.offspring);
  return { ...(await finish(kind, report, lived, testee, path, () => victim.order("bury"))), waitMs };
}

/** The victim's child keeps the lock, as docs/security.md says. No other process gets the lock before the child ends. */
async function outlast(kind, pause, testee, { victim, path }) {
  const report = await victim.order("fork", "clone", pause, kind, pause, path);
  const opened = testee.must(STRUCTURES[kind].open(path));
  await untilTheyWait();
  await Promise.all([victim.order("bury"), opened]);
  return finish(kind, report, true, testee, path);
}

async function finish(kind, report, survived, testee, path, bury = async () => {}) {
  const lost = await STRUCTURES[kind].recover(testee, report);
  await STRUCTURES[kind].use(testee);
  await testee.must("close f");
  await bury();
  rmSync(path);
  return { lost, survived: survived && lost === 0 };
}
