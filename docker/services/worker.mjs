// The worker takes the gateways' jobs and answers them. It refuses the jobs of tenants that are over their share, and
// stores a result for each other job. Environment: FOLDER has the shared files.
//
// A kill at any instruction loses nothing. A job leaves the queue when it is done, and the counter `handled` counts it
// just before. So a kill leaves at most one job in doubt, which is still the first in the queue. The worker does it
// again if `handled` does not count it. It marks the answer `again`; the gateway drops it if it has that answer already.

import { setImmediate as turn } from "node:timers/promises";
import { EMPTY, openBlockStorage, openCounters, openQueue } from "emmap";
import { atom, tuple } from "emmap/etf";
import {
  answersFile,
  BLOCK_SIZE,
  COUNTERS,
  COUNTERS_FILE,
  counterOf,
  FILE_MODE,
  GATEWAYS,
  JOBS_FILE,
  RESULTS_FILE,
  WORKER,
} from "./layout.mjs";
import { Limiter } from "./limiter.mjs";
import { resultOf } from "./results.mjs";

const counters = openCounters(COUNTERS_FILE, COUNTERS, { mode: FILE_MODE });
const jobs = openQueue(JOBS_FILE, { size: 65536, mode: FILE_MODE });
const results = openBlockStorage(RESULTS_FILE, { blockSize: BLOCK_SIZE, mode: FILE_MODE });
const answers = new Map(
  GATEWAYS.map((gateway) => [gateway, openQueue(answersFile(gateway), { size: 65536, mode: FILE_MODE })]),
);
const limiter = new Limiter(counters);
const say = (text) => console.log(`${WORKER}: ${text}`);

const FIRST = atom("first");
const AGAIN = atom("again");
const LIMITED = atom("limited");

let first = true;
let done = 0;

function handle(job) {
  const [, { name: gateway }, n, tenant, mark] = job;
  const handled = counterOf(gateway, "handled");
  const ahead = n - Number(counters.get(handled));
  if (ahead === 1) {
    const outcome = decide(gateway, n, tenant);
    answers.get(gateway).push(tuple(atom("answer"), atom(gateway), n, outcome, first ? AGAIN : FIRST));
    counters.set(handled, n);
  } else if (ahead === 0 && (mark === AGAIN || first)) {
    // A killed gateway sends its last job again, and a killed worker may have handled this one before.
    counters.add(counterOf(gateway, "again"), 1);
  } else if (ahead > 1) {
    counters.add(counterOf(gateway, "lost"), ahead - 1);
    counters.set(handled, n);
    say(`job ${n} of ${gateway} came ${ahead - 1} too early`);
  } else {
    counters.add(counterOf(gateway, "doubled"), 1);
    say(`job ${n} of ${gateway} came twice`);
  }
  first = false;
  done++;
}

function decide(gateway, n, tenant) {
  if (!limiter.allows(tenant)) {
    counters.add(counterOf(WORKER, "limited"), 1);
    return LIMITED;
  }
  return tuple(atom("served"), results.store(resultOf(gateway, n, tenant)));
}

const ending = new AbortController();
process.on("SIGTERM", () => ending.abort());

/** Resolves when there may be a job, when the time is over, or on SIGTERM. */

async function untilThereIsOne(timeout) {
  try {
    await jobs.wait({ timeout, signal: ending.signal });
  } catch (error) {
    if (!ending.signal.aborted) throw error;
  }
}

const start = counters.add(counterOf(WORKER, "starts"), 1) + 1n;
say(
  `start ${start}: going on after ${GATEWAYS.map((g) => `${g}'s job ${counters.get(counterOf(g, "handled"))}`).join(", ")}`,
);
counters.set(counterOf(WORKER, "heartbeat"), Math.floor(Date.now() / 1000));

let second = Date.now() + 1000;
while (!ending.signal.aborted) {
  for (let i = 0; i < 100 && jobs.tryPop(handle) !== EMPTY; i++);
  const now = Date.now();
  limiter.look(now);
  if (now >= second) {
    counters.set(counterOf(WORKER, "heartbeat"), Math.floor(now / 1000));
    if (done > 0)
      say(`${done} jobs in the last second; over their share: ${limiter.over.join(", ") || "none"}`);
    done = 0;
    second = now + 1000;
  }
  await (jobs.isEmpty() ? untilThereIsOne(second - now) : turn());
}
