// How long somebody waits, on a machine that may have more to do than it can.
import { readdirSync, readFileSync } from "node:fs";
import { descendantsOf } from "./proc.mjs";

/** Milliseconds in which a thread of one of these processes could have run, but it was not its turn. */
function turnsMissed(pids) {
  let nanoseconds = 0;
  for (const pid of pids)
    for (const task of readdirSync(`/proc/${pid}/task`)) {
      try {
        nanoseconds += Number(readFileSync(`/proc/${pid}/task/${task}/schedstat`, "latin1").split(" ")[1]);
      } catch {
        // The thread has ended meanwhile, or this kernel does not count.
      }
    }
  return nanoseconds / 1e6;
}

/** Of each testee the processes that answer; it keeps those that it has once it has opened something. */
const processes = new WeakMap();

function processesOf(testee) {
  if (!processes.has(testee)) processes.set(testee, [process.pid, testee.pid, ...descendantsOf(testee.pid)]);
  return processes.get(testee);
}

/**
 * Resolves to what `ask`, which asks the testee, resolves to, and the milliseconds that it had to wait for it: for a
 * lock or a message, say, but not for a processor that others were using. `others` are processes that it waits for,
 * besides its own.
 */
export async function waited(testee, ask, others = []) {
  const pids = [...processesOf(testee), ...others];
  const missed = turnsMissed(pids);
  const begun = performance.now();
  const answer = await ask();
  const elapsed = performance.now() - begun;
  return [answer, Math.max(0, elapsed - (turnsMissed(pids) - missed))];
}
