// How long a process waits, on a machine that may be overloaded.
import { readdirSync, readFileSync } from "node:fs";
import { descendantsOf } from "./proc.mjs";

/** The milliseconds for which threads of these processes were ready to run, and had no processor. */
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

/** The processes behind each testee that answer. A testee keeps them once it has opened a file. */
const processes = new WeakMap();

function processesOf(testee) {
  if (!processes.has(testee)) processes.set(testee, [process.pid, testee.pid, ...descendantsOf(testee.pid)]);
  return processes.get(testee);
}

/**
 * Resolves to the result of `ask`, which asks the testee, and the milliseconds of the wait: for a lock or a message, for
 * example, but not for a processor that others were using. `others` are other processes that the testee waits for.
 */
export async function waited(testee, ask, others = []) {
  const pids = [...processesOf(testee), ...others];
  const missed = turnsMissed(pids);
  const begun = performance.now();
  const answer = await ask();
  const elapsed = performance.now() - begun;
  return [answer, Math.max(0, elapsed - (turnsMissed(pids) - missed))];
}
