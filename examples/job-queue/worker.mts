// A Node worker that takes the jobs of producer.escript. Start as many as you like:
//
//   node worker.mts /tmp/jobs
//
// A worker that is killed loses nothing: its jobs go to others at once. So every job is done at least once. A job that fails
// three times goes to the dead letters. SIGTERM and SIGINT end the worker when its present jobs are done.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openQueue } from "emmap";
import { atom, tuple } from "emmap/etf";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node worker.mts FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

/** The producer's term `{resize, Id, Name, Width}` in Node: a tuple is an array, and an atom its name. */
type Job = [kind: string, id: number, file: unknown, width: unknown];

const jobs = openQueue<Job>(join(folder, "jobs.q"), { values: "json" });
const results = openQueue(join(folder, "results.q"));

/** Does the work of a job; put yours here. */
async function resize(file: unknown, width: unknown): Promise<number> {
  if (typeof file !== "string" || typeof width !== "number") throw new TypeError("no such picture");
  await sleep(1);
  return 3 * width;
}

const consumer = jobs.process(
  async ([, id, file, width], { attempt }) => {
    if (attempt > 1) console.log(`job ${id} again`);
    results.push(tuple(atom("done"), id, await resize(file, width)));
  },
  {
    concurrency: 4,
    maxAttempts: 3,
    backoff: { initial: 10 },
    deadLetters: openQueue(join(folder, "failed.q")),
  },
);
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => consumer.stop());
console.log("ready");
