// Processes that don't see each other, and have the same process id, exclude each other all the same.
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { withFolder } from "../support/processes.mjs";
import { NotPossible } from "../support/report.mjs";
import { RUNTIMES, Worker } from "../support/workers.mjs";

export const title = "working from PID namespaces of their own";

const UNSHARE = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL"];
const BATCH = 500;

export async function run({ seconds, say }) {
  const tried = spawnSync(UNSHARE[0], [...UNSHARE.slice(1), "true"], { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`this user may make no PID namespaces: ${tried.stderr ?? tried.error}`.trim());
  return withFolder((folder) => exclude(join(folder, "queue"), seconds, say));
}

async function exclude(path, seconds, say) {
  const workers = RUNTIMES.map((runtime) => new Worker(runtime, UNSHARE));
  const places = await Promise.all(workers.map((worker) => worker.do("whereabouts")));
  const namespaces = new Set(places.map(({ words: [, namespace] }) => namespace));
  const apart = namespaces.size === workers.length && places.every(({ words: [pid] }) => pid === "1");
  say(`in ${[...namespaces].join(", ")}, process id 1 in each`);

  const rows = RUNTIMES.map((runtime) => ({
    fault: "in a PID namespace of its own",
    runtime,
    hits: 0,
    survived: 0,
    lost: 0,
    worstWaitMs: null,
  }));
  const end = Date.now() + seconds * 1000;
  do {
    await traffic(workers, path, rows, apart);
    await exclusive(workers, path, rows, apart);
  } while (Date.now() < end);
  return rows;
}

/** Everybody pushes and pops at once: each message comes out once. */
async function traffic(workers, path, rows, apart) {
  await Promise.all(workers.map((worker) => worker.do("queue", path, 4096)));
  await Promise.all(workers.map((worker, i) => worker.do("push", path, i * BATCH, BATCH)));
  const popped = await Promise.all(workers.map((worker) => worker.do("pop", path)));
  await Promise.all(workers.map((worker) => worker.do("close", path)));
  const times = new Map();
  for (const number of popped.flatMap(({ words }) => words.map(Number)))
    times.set(number, (times.get(number) ?? 0) + 1);
  rows.forEach((row, i) => {
    const own = Array.from({ length: BATCH }, (_, n) => i * BATCH + n);
    const lost = own.filter((number) => times.get(number) !== 1).length;
    row.lost += lost;
    row.hits += apart ? 1 : 0;
    row.survived += lost === 0 ? 1 : 0;
  });
}

/** Who has the queue for itself has it so for the others too. */
async function exclusive(workers, path, rows, apart) {
  for (const [i, owner] of workers.entries()) {
    await owner.do("queue", path, 4096, "exclusive");
    const others = workers.filter((worker) => worker !== owner);
    const answers = await Promise.all(
      others.map((worker) => worker.do("queue", path, 4096).catch((error) => error)),
    );
    await owner.do("close", path);
    rows[i].hits += apart ? 1 : 0;
    rows[i].survived += answers.every((answer) => answer.code === "ebusy") ? 1 : 0;
  }
}
