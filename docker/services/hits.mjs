// The counters of the two hosts together. Each host adds to its own files; its node exchanges them with the other host's.
import { setTimeout as sleep } from "node:timers/promises";
import { openClusterCounters } from "emmap";

/** The counters: what the sender has pushed, what the collector has taken, what the nodes have added. */
export const PUSHED = 0;
export const TAKEN = 1;

const WAIT_MS = 60_000;

/** Resolves when `done` returns true; rejects if that takes too long. */
async function until(done, what) {
  for (const since = Date.now(); !done(); await sleep(50))
    if (Date.now() - since > WAIT_MS) throw new Error(`waited ${WAIT_MS / 1000} s for ${what}`);
}

/** Opens them. The host's node makes the folder, with the rights for the programs of the host. */
export async function openHits(folder) {
  let hits;
  await until(() => {
    try {
      hits = openClusterCounters(`${folder}/hits`);
      return true;
    } catch (error) {
      if (error.code !== "ENOENT") throw error;
      return false;
    }
  }, "the node to make the counters");
  return hits;
}

/** Prints the counters when both programs have added so many: what the other host has added comes a moment later. */
export async function sayHits(name, hits, count) {
  const sums = () => [...hits].join(" ");
  const done = () => [PUSHED, TAKEN].every((index) => hits.get(index) === BigInt(count));
  await until(done, `${count} ${count}`).catch((error) => {
    throw new Error(`${error.message}; the counters are ${sums()}`);
  });
  console.log(`${name}: counters ${sums()}`);
}
