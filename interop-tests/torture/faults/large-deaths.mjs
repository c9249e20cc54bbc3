// A process with much memory is killed while it holds a lock that another process waits for. The kernel releases the lock
// only after it has freed the memory. So the wait grows with the memory. But it must end as soon as the killed process has
// ended.
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { NotPossible, WAIT_LIMIT_MS } from "../support/report.mjs";
import { Row } from "../support/rows.mjs";
import { STRUCTURES } from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";
import { pointsWithLock, untilTheyWait, Victim } from "../support/victim.mjs";
import { waited } from "../support/waits.mjs";

export const title = "kill -9 of a large process that holds a lock";

const DOORS = ["node", "nif", "port"];
const KINDS = ["queue", "blocks"];

/** GiB of memory; the last size only if there is time and memory. */
const SIZES = [1, 4];
const SECONDS_FOR_ALL = 10;

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const sizes = SIZES.filter((_, i) => i === 0 || seconds >= SECONDS_FOR_ALL).filter(hasRoom);
    if (sizes.length === 0) throw new NotPossible("it takes 3 GiB of memory");
    const path = join(folder, "file");
    const victim = new Victim();
    const testees = DOORS.map((door) => new Testee(door));
    await warmUp(testees, path);
    const points = {};
    for (const kind of KINDS) points[kind] = [...(await pointsWithLock(victim, kind, path)).values()];
    const end = Date.now() + 1000 * seconds;
    const rows = [];
    for (const [i, size] of sizes.entries()) {
      await victim.order("weigh", 1024 * size);
      const ends = end - ((sizes.length - 1 - i) * 1000 * seconds) / sizes.length;
      rows.push(...(await ofSize(size, points, ends, { victim, testees, path, say })));
    }
    return rows;
  }, MEMORY);
}

function hasRoom(size) {
  const [, available] = /MemAvailable:\s+(\d+)/.exec(readFileSync("/proc/meminfo", "latin1"));
  return Number(available) / 2 ** 20 > 3 * size;
}

/** The first request to a runtime takes as long as the runtime's start. */
async function warmUp(testees, path) {
  for (const testee of testees) {
    await testee.must(STRUCTURES.file.open(path));
    await testee.must("close f");
  }
  rmSync(path);
}

async function ofSize(size, points, end, { victim, testees, path, say }) {
  const fault = `kill -9 of a process of ${size} GiB that holds a lock`;
  const rows = DOORS.map((door) => new Row(fault, door));
  for (const row of rows) row.waitLimitMs = Number.POSITIVE_INFINITY;
  for (let turn = 0; turn < DOORS.length || Date.now() < end; turn++) {
    const kind = KINDS[turn % KINDS.length];
    const pause = points[kind][(turn >> 1) % points[kind].length];
    const door = turn % DOORS.length;
    rows[door].count(await death(kind, pause, victim, testees[door], path));
    rmSync(path);
  }
  for (const { runtime, hits, worstWaitMs } of rows)
    say(`${size} GiB, ${runtime}: ${hits} deaths, waited for up to ${Math.round(worstWaitMs)} ms`);
  return rows;
}

async function death(kind, pause, victim, testee, path) {
  const { open, recover, use } = STRUCTURES[kind];
  const report = await victim.order("stop", kind, pause, path);
  const opened = testee.must(open(path));
  await untilTheyWait();
  const killed = performance.now();
  const ended = victim.order("kill").then(() => performance.now());
  const [, beyondMs] = await waited(testee, () => Promise.all([ended, opened]));
  const waitMs = performance.now() - killed;
  const lost = await recover(testee, report);
  await use(testee);
  await testee.must("close f");
  return { lost, survived: lost === 0 && beyondMs - ((await ended) - killed) <= WAIT_LIMIT_MS, waitMs };
}
