// A Node worker that takes the jobs of producer.escript. Start as many as you like, each under a name of its own:
//
//   node worker.mjs /tmp/jobs ann
//
// What it has in hand is in a queue too, its own. A job goes there before it leaves the common one, and stays until its
// result is on the way: a worker that was killed, and is started again under its name, goes on with it. So every job is done
// at least once. SIGTERM and SIGINT end the worker after the job that it is at.
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { EMPTY, openQueue } from "emmap";
import { atom, tuple } from "emmap/etf";

const [folder, name] = process.argv.slice(2);
if (name === undefined) {
  console.error("usage: node worker.mjs FOLDER NAME");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });

const decode = { atoms: "string", binaries: "string" };
const jobs = openQueue(join(folder, "jobs.q"), { decode });
const results = openQueue(join(folder, "results.q"));
const inHand = openOwn();

/** The worker's own queue: EBUSY if another worker has the same name. */
function openOwn() {
  try {
    return openQueue(join(folder, `worker-${name}.q`), { decode, exclusive: true });
  } catch (error) {
    if (error.code !== "EBUSY") throw error;
    console.error(`a worker called ${name} is running already`);
    process.exit(1);
  }
}

/** Moves a job into our hand; false if there is none. */
function take() {
  try {
    return jobs.tryPop((job) => {
      inHand.push(job);
      return true;
    }, false);
  } catch (error) {
    if (error.code === "EBUSY") return false; // another worker is just taking one
    throw error;
  }
}

/** Until there may be a job, or we are told to stop. */
async function untilThereIsOne() {
  try {
    await jobs.wait({ signal: stopping.signal });
  } catch (error) {
    if (!stopping.signal.aborted) throw error;
  }
}

/** Does the job's work; this is where yours would stand. */
async function resize(file, width) {
  if (typeof file !== "string" || !Number.isInteger(width)) throw new TypeError("no such picture");
  await sleep(1);
  return 3 * width;
}

async function perform([, id, ...parameters]) {
  try {
    results.push(tuple(atom("done"), id, await resize(...parameters)));
  } catch (error) {
    results.push(tuple(atom("failed"), id, error.message));
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
    await untilThereIsOne();
  }
}
for (const queue of [jobs, results, inHand]) queue.close();
console.log(`${done} jobs done`);
