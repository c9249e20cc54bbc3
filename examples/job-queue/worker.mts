// A Node worker that takes the jobs of producer.escript. Start as many as you like, each under a name of its own:
//
//   node worker.mts /tmp/jobs ann
//
// The worker puts its job into a queue of its own before it removes it from the common queue, and keeps it there until it has
// pushed the result. A worker that was killed, and is started again under its name, goes on with that job. So every job is
// done at least once. SIGTERM and SIGINT end the worker after its present job.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EMPTY, EmmapError, openQueue, type Queue } from "emmap";
import { atom, tuple } from "emmap/etf";

const [folder, name] = process.argv.slice(2);
if (folder === undefined || name === undefined) {
  console.error("usage: node worker.mts FOLDER NAME");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

/** As Node sees what the producer pushes, `{resize, Id, Name, Width}`: a tuple is an array, and an atom its name. */
type Job = [kind: string, id: number, file: unknown, width: unknown];

const jobs = openQueue<Job>(join(folder, "jobs.q"), { values: "json" });
const results = openQueue(join(folder, "results.q"));
const inHand = openOwn(join(folder, `worker-${name}.q`));

function isBusy(error: unknown): boolean {
  return error instanceof EmmapError && error.code === "EBUSY";
}

/** Opens the worker's own queue: EBUSY if another worker has the same name. */
function openOwn(path: string): Queue<Job, Job> {
  try {
    return openQueue<Job>(path, { values: "json", exclusive: true });
  } catch (error) {
    if (!isBusy(error)) throw error;
    console.error(`a worker called ${name} is running already`);
    process.exit(1);
  }
}

/** Moves a job into the worker's own queue; false if there is none. */
function take(): boolean {
  try {
    return jobs.tryPop((job) => {
      inHand.push(job);
      return true;
    }, false);
  } catch (error) {
    if (isBusy(error)) return false; // another worker is taking one
    throw error;
  }
}

/** Waits until there may be a job, or the worker is told to stop. */
async function waitForJob(): Promise<void> {
  try {
    await jobs.wait({ signal: stopping.signal });
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
}

/** Does the work of a job; put yours here. */
async function resize(file: unknown, width: unknown): Promise<number> {
  if (typeof file !== "string" || typeof width !== "number") throw new TypeError("no such picture");
  await sleep(1);
  return 3 * width;
}

async function perform([, id, file, width]: Job): Promise<void> {
  try {
    results.push(tuple(atom("done"), id, await resize(file, width)));
  } catch (error) {
    results.push(tuple(atom("failed"), id, String(error)));
  }
}

const stopping = new AbortController();
for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, () => stopping.abort());

console.log(inHand.isEmpty() ? "ready" : "ready, and going on with the job that was in hand");
let done = 0;
while (!stopping.signal.aborted) {
  const job = inHand.peek();
  if (job !== EMPTY) {
    await perform(job);
    inHand.pop();
    done++;
  } else if (!take()) {
    await waitForJob();
  }
}
for (const queue of [jobs, results, inHand]) queue.close();
console.log(`${done} jobs done`);
