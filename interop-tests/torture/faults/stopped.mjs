// A process is stopped while it holds a lock. No process takes the lock from it, however long it is stopped: others wait, and
// when it goes on, they go on.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";
import { block, message, popAll, STRUCTURES, walkAll } from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";
import { pointsWithLock, Victim } from "../support/victim.mjs";

export const title = "SIGSTOP of a process that holds a lock, while others wait";

const DOORS = ["node", "nif", "port"];

/** The operations of the others meanwhile, on the open file, each with a number of its own. */
const WORK = {
  counters: () => "counter_add f 1 1",
  queue: (number) => `queue_push f ${message(number)}`,
  blocks: (number) => `block_store f ${block(number)}`,
};

const SCRIPTS = { counters: "counters", queue: "queue-traffic", blocks: "blocks-traffic" };

/** How many messages the victim's traffic leaves in the queue, by itself. */
const left = ({ begun: { first, next } }) => next - first;

/** How many of the victim's and the others' additions, messages or blocks are not there exactly once. */
const LOST = {
  async counters(testee, { begun }, numbers) {
    const [, count] = (await testee.must("counter_get f 1")).split(" ");
    return Math.abs(begun.count + numbers.length - Number(count));
  },
  async queue(testee, report, numbers) {
    // The victim may have popped others' messages in place of its own.
    const found = await popAll(testee);
    const twice = found.length - new Set(found).size;
    return twice + Math.abs(left(report) + numbers.length - found.length);
  },
  async blocks(testee, { stored }, numbers) {
    const found = new Map(await walkAll(testee));
    const victims = Object.entries(stored).filter(
      ([number, address]) => found.get(address) !== Number(number),
    );
    const theirs = numbers.filter((number) => ![...found.values()].includes(number));
    return (
      victims.length + theirs.length + Math.abs(Object.keys(stored).length + numbers.length - found.size)
    );
  },
};

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const victim = new Victim();
    const testees = DOORS.map((door) => new Testee(door));
    const rows = DOORS.map((door) => new Row("waiting for a stopped process", door));
    const path = join(folder, "file");
    const points = [];
    for (const kind of Object.keys(SCRIPTS))
      for (const [point, pause] of await pointsWithLock(victim, SCRIPTS[kind], path))
        points.push({ kind, pause, point });
    // Shorter than every lock_timeout.
    const stopMs = Math.min((seconds * 1000) / points.length, 2000);
    for (const { kind, pause, point } of points) {
      const outcomes = await stop(kind, pause, path, victim, testees, stopMs);
      rmSync(path);
      for (const [i, outcome] of outcomes.entries()) rows[i].count(outcome);
      say(`${point}: stopped for ${Math.round(stopMs)} ms, ${outcomes.length} others waited`);
    }
    return rows;
  }, MEMORY);
}

async function stop(kind, pause, path, victim, testees, stopMs) {
  await victim.order("stop", SCRIPTS[kind], pause, path);
  const numbers = testees.map((_, i) => 1000 + i);
  let through = 0;
  const all = testees.map(async (testee, i) => {
    await testee.must(STRUCTURES[kind].open(path));
    await testee.must(WORK[kind](numbers[i]));
    through++;
  });
  await sleep(stopMs);
  const early = through;
  const [report] = await Promise.all([victim.order("continue"), ...all]);
  const lost = await LOST[kind](testees[0], report, numbers);
  for (const testee of testees) await testee.must("close f");
  return testees.map(() => ({ survived: early === 0, lost }));
}
