// A process that survives a thousand faults, one after the other, leaks nothing.
import { rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { resourcesOf } from "../support/proc.mjs";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { DOORS, Testee } from "../support/testee.mjs";

export const title = "truncating a thousand files, one after the other, under one process";
export const shortSeconds = 1;

const PAGE = 4096;
const SIZE = 64 * PAGE;
const FAULTS = 1000;
/** For so many faults caches and heaps may still grow. */
const WARM_UP = 200;
/** The most growth of each resource without a leak. A thousand files' mappings are 256 MiB. */
const SLACK = { descriptors: 20, mappings: 50, addressSpace: 128 << 20, memory: 64 << 20 };
const GIVE_UP_MS = 10_000;

async function faultOnce(testee, path) {
  await testee.must(`open f ${path} write create shared size=${SIZE}`);
  truncateSync(path, 100);
  // Each missing page is replaced by a page of its own.
  const reads = [1, 20, 60].map((page) => `pread f ${page * PAGE} 1`);
  const answers = await Promise.all(testee.askAll([...reads, "close f"]));
  rmSync(path);
  return answers.pop() === "ok" && answers.every((answer) => answer === "error efault");
}

const leaked = (before, now) => Object.keys(SLACK).filter((name) => now[name] - before[name] > SLACK[name]);

async function torture(door, path, seconds, say) {
  const testee = new Testee(door);
  let survived = 0;
  for (let i = 0; i < WARM_UP; i++) await faultOnce(testee, path);
  const mapper = testee.mapper();
  const before = resourcesOf(mapper);
  const end = Date.now() + 1000 * seconds;
  let hits = 0;
  do {
    if (await faultOnce(testee, path)) survived++;
    hits++;
  } while (hits < FAULTS || Date.now() < end);
  // Garbage collection may take a moment.
  let kept = leaked(before, resourcesOf(mapper));
  for (const patience = Date.now() + GIVE_UP_MS; kept.length > 0 && Date.now() < patience; ) {
    await sleep(50);
    kept = leaked(before, resourcesOf(mapper));
  }
  say(`${DOORS[door]}: ${hits} faulted files; leaked: ${kept.join(", ") || "nothing"}`);
  if (kept.length > 0) say(JSON.stringify({ before, now: resourcesOf(mapper) }));
  const how = await testee.finish();
  return {
    fault: "a thousand truncations in a row",
    runtime: DOORS[door],
    hits,
    survived: how === 0 ? survived : 0,
    lost: kept.length,
    worstWaitMs: null,
  };
}

export function run({ seconds, say }) {
  const doors = Object.keys(DOORS);
  return withFolder(async (folder) => {
    const rows = [];
    for (const door of doors)
      rows.push(await torture(door, join(folder, "file"), seconds / doors.length, say));
    return rows;
  }, MEMORY);
}
