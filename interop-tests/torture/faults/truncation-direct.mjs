// This process truncates a file under code of other processes that accesses the memory directly. Such code gets no error
// there, and no process may end.
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { Peer, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";

export const title = "truncating a file under direct accesses";
export const shortSeconds = 3;

const SIZE = 262_144;
const LEAST = 5;
const PAGE = 4096;
const beside = (name) => fileURLToPath(new URL(`../support/${name}`, import.meta.url));
const libraries = beside("../../../erlang/_build/default/lib");

/** The command for each runtime's program, its request, and the number of its threads that open the file. */
const RUNTIMES = {
  Node: {
    threads: 1,
    start: () => new Peer(process.execPath, [beside("direct.mjs"), "0"]),
    requests: (path) => [`${path} no`, `${path} yes`],
  },
  "Node, workers": {
    threads: 3,
    start: () => new Peer(process.execPath, [beside("direct.mjs"), "2"]),
    requests: (path) => [`${path} no`, `${path} yes`],
  },
  "BEAM, NIF": {
    threads: 1,
    start: () => new Peer("escript", [beside("direct.escript"), "6"], { ERL_LIBS: libraries }),
    requests: (path) => [path],
  },
};

/** Truncates the file once its first words say that each thread has touched all of it so often. */
async function truncateWhenTouched(path, size, threads, times, over) {
  for (;;) {
    const bytes = readFileSync(path);
    const passes = Array.from({ length: threads }, (_, thread) => bytes.readBigInt64LE(8 * thread));
    if (passes.every((each) => each >= times)) break;
    if (over.yes) return;
    await sleep(1);
  }
  truncateSync(path, size);
}

async function torture(runtime, path, seconds, say) {
  const { threads, start, requests } = RUNTIMES[runtime];
  const random = randomNumbers(2);
  const peer = start();
  const end = Date.now() + 1000 * seconds;
  let hits = 0;
  let touched = 0;
  do {
    for (const request of requests(path)) {
      writeFileSync(path, Buffer.alloc(SIZE));
      const over = { yes: false };
      const answer = peer.ask(request).finally(() => {
        over.yes = true;
      });
      // Sometimes to 0 bytes, sometimes to less than a page.
      const left = [0, PAGE, random(SIZE / 2), 100][random(4)];
      await truncateWhenTouched(path, left, threads, 1 + random(5), over);
      const [outcome, times] = (await answer).split(" ");
      if (outcome !== "ok") throw new Error(`${runtime}: ${outcome} ${times}`);
      touched += Number(times);
      hits++;
      rmSync(path);
    }
  } while (hits < LEAST || Date.now() < end);
  const how = await peer.finish();
  say(`${runtime}: ${hits} truncations under ${touched} direct accesses`);
  return {
    fault: "truncation under direct accesses",
    runtime,
    hits,
    survived: how === 0 ? hits : 0,
    lost: 0,
    worstWaitMs: null,
  };
}

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const rows = [];
    for (const runtime of Object.keys(RUNTIMES))
      rows.push(await torture(runtime, join(folder, "file"), seconds / Object.keys(RUNTIMES).length, say));
    return rows;
  });
}
