// Processes that don't see each other, and have the same process id, exclude each other all the same.
import { readlinkSync } from "node:fs";
import { join } from "node:path";
import { IN_NAMESPACE, requireNamespaces } from "../support/namespaces.mjs";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";
import { message, numberIn } from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";

export const title = "working from PID namespaces of their own";

const DOORS = ["node", "nif", "port"];
const BATCH = 200;

export async function run({ seconds, say }) {
  requireNamespaces();
  return withFolder(async (folder) => {
    const testees = DOORS.map((door) => new Testee(door, { wrapper: IN_NAMESPACE }));
    const rows = DOORS.map((door) => new Row("in a PID namespace of its own", door));
    const end = Date.now() + seconds * 1000;
    do {
      const path = join(folder, "queue");
      await traffic(testees, path, rows);
      await exclusive(testees, path, rows);
    } while (Date.now() < end);
    // A namespace has a name once a process is in it.
    const names = new Set(
      [process, ...testees].map(({ pid }) => readlinkSync(`/proc/${pid}/ns/pid_for_children`)),
    );
    if (names.size <= testees.length) throw new Error("not in namespaces of their own");
    say(`${testees.length} runtimes in namespaces ${[...names].slice(1).join(", ")}`);
    return rows;
  }, MEMORY);
}

/** All push and pop at the same time: each message comes out once. */
async function traffic(testees, path, rows) {
  await Promise.all(testees.map((testee) => testee.must(`queue_open f ${path}`)));
  const popped = await Promise.all(
    testees.map(async (testee, i) => {
      const pushes = Array.from({ length: BATCH }, (_, n) =>
        testee.must(`queue_push f ${message(i * BATCH + n)}`),
      );
      const pops = pushes.map(() => testee.must("queue_pop f", /^(ok|eof)/));
      await Promise.all(pushes);
      return Promise.all(pops);
    }),
  );
  await Promise.all(testees.map((testee) => testee.must("close f")));
  const numbers = popped.flat().filter((answer) => answer !== "eof");
  const times = new Map();
  for (const answer of numbers) {
    const number = numberIn(answer.split(" ")[1]);
    times.set(number, (times.get(number) ?? 0) + 1);
  }
  rows.forEach((row, i) => {
    const own = Array.from({ length: BATCH }, (_, n) => i * BATCH + n);
    row.count({ lost: own.filter((number) => times.get(number) !== 1).length });
  });
}

/** A handle that has the queue exclusively keeps the processes of all namespaces out. */
async function exclusive(testees, path, rows) {
  for (const [i, owner] of testees.entries()) {
    await owner.must(`queue_open f ${path} exclusive`);
    const others = testees.filter((testee) => testee !== owner);
    const answers = await Promise.all(others.map((testee) => testee.ask(`queue_open f ${path}`)));
    await owner.must("close f");
    rows[i].count({ survived: answers.every((answer) => answer.startsWith("error ebusy")) });
  }
}
