// The worker takes the gateways' jobs and answers them. It refuses the jobs of tenants that are over their share, and
// stores a result for each other job. Environment: FOLDER has the shared files.
//
// A kill at any instruction loses nothing. A job is gone when it is done, and the counter `handled` counts it just
// before. So a kill leaves at most one job in doubt, which is delivered again, as attempt 2. The worker does it again if
// `handled` does not count it. It marks the answer `again`; the gateway drops it if it has that answer already.

import { openBlockStorage, openCounters, openQueue } from "emmap";
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

let done = 0;

function handle(job, { attempt }) {
  limiter.look(Date.now());
  const [, { name: gateway }, n, tenant, mark] = job;
  const handled = counterOf(gateway, "handled");
  const ahead = n - Number(counters.get(handled));
  if (ahead === 1) {
    const outcome = decide(gateway, n, tenant);
    answers.get(gateway).push(tuple(atom("answer"), atom(gateway), n, outcome, attempt > 1 ? AGAIN : FIRST));
    counters.set(handled, n);
  } else if (ahead === 0 && (mark === AGAIN || attempt > 1)) {
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
  done++;
}

function decide(gateway, n, tenant) {
  if (!limiter.allows(tenant)) {
    counters.add(counterOf(WORKER, "limited"), 1);
    return LIMITED;
  }
  return tuple(atom("served"), results.store(resultOf(gateway, n, tenant)));
}

const start = counters.add(counterOf(WORKER, "starts"), 1) + 1n;
say(
  `start ${start}: going on after ${GATEWAYS.map((g) => `${g}'s job ${counters.get(counterOf(g, "handled"))}`).join(", ")}`,
);
counters.set(counterOf(WORKER, "heartbeat"), Math.floor(Date.now() / 1000));

/** A failure ends the service, and messages in hand are delivered to the next one. */
const consumer = jobs.process(handle, {
  onEvent: (event) => {
    if (event.type === "failed" || event.type === "error") throw event.error;
  },
});

const everySecond = setInterval(() => {
  counters.set(counterOf(WORKER, "heartbeat"), Math.floor(Date.now() / 1000));
  if (done > 0)
    say(`${done} jobs in the last second; over their share: ${limiter.over.join(", ") || "none"}`);
  done = 0;
}, 1000);

process.on("SIGTERM", async () => {
  await consumer.stop();
  clearInterval(everySecond);
});
