// A program of a host, with the host's clocks. It answers each line of its input:
//   hits FOLDER    takes all hits of a budget that there are: their number
//   clocks FOLDER  of a cluster's counters: what the wall clock shows, what the monotonic clock shows, and when the host's node gave its last
//                  sign of life, by the wall clock; all in ms
import { createInterface } from "node:readline";
import { openBudget, openClusterCounters } from "emmap";

const opened = new Map();

/** Undefined: the host's node has not made it yet. */
function openOnce(path, open) {
  try {
    if (!opened.has(path)) opened.set(path, open(path));
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
  }
  return opened.get(path);
}

const ANSWERS = {
  hits(path) {
    const budget = openOnce(path, openBudget);
    let count = 0;
    while (budget?.hit()) count++;
    return [count];
  },
  clocks(path) {
    const beat = openOnce(path, openClusterCounters)?.status().beat;
    return [Date.now(), process.hrtime.bigint() / 1_000_000n, beat?.getTime() ?? 0];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [what, path] = line.split(" ");
  console.log(ANSWERS[what](path).join(" "));
}
