// The costs of a mapped file on Node besides its operations: opening, closing and resizing it, the process's memory after
// many operations, and the garbage collections that a large mapping causes.
//
//   make && node bench/node/lifecycle.mjs [--quick]
//
// A measurement of memory has a process of its own: this program, started again with `--alone NAME`.

import { spawnSync } from "node:child_process";
import { closeSync, ftruncateSync, openSync, readFileSync, readSync } from "node:fs";
import { join } from "node:path";
import { PerformanceObserver, performance } from "node:perf_hooks";
import { setImmediate as immediate, setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { open, openBlockStorage, openCounters, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { kept, QUICK, race } from "../harness/rounds.mjs";

const [KIB, MIB, GIB] = [2 ** 10, 2 ** 20, 2 ** 30];
const OPERATIONS = QUICK ? 20_000 : 1_000_000;
const records = section("Opening, closing and memory");
const named = (name) => join(folder, name);
const create = (name, size) => open(named(name), { write: true, create: true, noreserve: true, size });

// --- Alone in a process ---------------------------------------------------------------------------------------

const bytes = Buffer.alloc(64, 1);

/** Operations by name. Each is set up once and then done many times. */
const REPEATED = {
  "pread 64 B"() {
    const file = create("file", MIB);
    return () => file.pread(0, 64);
  },
  "view 64 B"() {
    const file = create("file", MIB);
    return () => file.view(0, 64);
  },
  "counters.add"() {
    const counters = openCounters(named("counters"), 8);
    return () => counters.add(0, 1n);
  },
  "queue push + pop"() {
    const queue = openQueue(named("queue"), { size: MIB, write: true, create: true, exclusive: true });
    return () => {
      queue.push("a message of some length");
      return queue.pop();
    };
  },
  "block store + free"() {
    const blocks = openBlockStorage(named("blocks"), { blockSize: 64 });
    return () => blocks.free(blocks.store(bytes));
  },
  "open + close": () => {
    create("file", MIB);
    return () => open(named("file"), { write: true }).close();
  },
  "fs.readSync 64 B"() {
    create("file", MIB).close();
    const descriptor = openSync(named("file"), "r");
    return () => readSync(descriptor, Buffer.allocUnsafe(64), 0, 64, 0);
  },
};

/** The resident bytes of the process, after a garbage collection. */
async function resident() {
  for (let i = 0; i < 4; i++) {
    globalThis.gc();
    await sleep(5);
  }
  return process.memoryUsage.rss();
}

/** The memory of the process after all operations, divided by that after a twentieth of them. */
async function growth(name) {
  const operation = REPEATED[name]();
  const some = async (times) => {
    for (let i = 0; i < times; i++) {
      kept.value = operation();
      // Where a server comes back to its event loop too.
      if (i % 1000 === 999) await immediate();
    }
    return resident();
  };
  const before = await some(OPERATIONS / 20);
  return (await some(OPERATIONS - OPERATIONS / 20)) / before;
}

/** Time and collections of making garbage while a mapping of this many bytes has a view; 0: no mapping. */
async function collections(size) {
  const file = size > 0 ? create("file", size) : undefined;
  const view = file?.view();
  let count = 0;
  let pauses = 0;
  new PerformanceObserver((list) => {
    for (const { duration } of list.getEntries()) {
      count++;
      pauses += duration;
    }
  }).observe({ entryTypes: ["gc"] });
  const begin = performance.now();
  const live = new Array(10_000).fill(undefined);
  for (let i = 0; i < OPERATIONS * 4; i++) {
    live[i % live.length] = {
      i,
      text: `value ${i}`,
      buffer: i % 16 === 0 ? Buffer.allocUnsafe(256) : undefined,
    };
    if (i % 10_000 === 0) await sleep(0);
  }
  const time = performance.now() - begin;
  await sleep(10);
  kept.value = [live, view?.length];
  return { time, count, pauses };
}

/** The number of mappings that still exist, of many that nobody closed. */
async function forgotten() {
  const FILES = QUICK ? 20 : 400;
  create("file", 256 * MIB).close();
  const mapped = () => readFileSync("/proc/self/maps", "utf8").split(named("file")).length - 1;
  let most = 0;
  for (let i = 0; i < FILES; i++) {
    kept.value = open(named("file"), { write: true }).view(0, 1);
    // A server returns to its event loop meanwhile.
    for (let n = 0; n < 2000; n++) kept.value = { n, text: `value ${n}` };
    await sleep(0);
    most = Math.max(most, mapped());
  }
  return most / FILES;
}

const ALONE = {
  growth,
  collections: (size) => collections(Number(size)),
  forgotten,
};

function alone(...args) {
  const { status, stdout } = spawnSync(
    process.execPath,
    ["--expose-gc", fileURLToPath(import.meta.url), ...(QUICK ? ["--quick"] : []), "--alone", ...args],
    { stdio: ["ignore", "pipe", "inherit"], encoding: "utf8" },
  );
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}`);
  return JSON.parse(stdout);
}

const [task, ...args] = process.argv.slice(process.argv.indexOf("--alone") + 1);
if (process.argv.includes("--alone")) {
  console.log(JSON.stringify(await ALONE[task](...args)));
  process.exit();
}

// --- Opening, closing and resizing ----------------------------------------------------------------------------

create("file", MIB).close();
openCounters(named("counters"), 8).close();
openQueue(named("queue"), { size: MIB }).close();
const opening = (openIt) => (times) => {
  for (let i = 0; i < times; i++) openIt().close();
};
{
  const ratio = race(
    {
      fs(times) {
        for (let i = 0; i < times; i++) closeSync(openSync(named("file"), "r+"));
      },
      reading(times) {
        for (let i = 0; i < times; i++) kept.value = readFileSync(named("file"));
      },
      file: opening(() => open(named("file"), { write: true })),
      counters: opening(() => openCounters(named("counters"))),
      queue: opening(() => openQueue(named("queue"))),
    },
    { rounds: 101 },
  );
  const floor = "fs.openSync + fs.closeSync";
  records.ratio("Node open + close", ratio("file", "fs"), floor);
  records.ratio("Node openCounters + close", ratio("counters", "fs"), floor);
  records.ratio("Node openQueue + close", ratio("queue", "fs"), floor);
  records.ratio("Node open + close, 1 MiB", ratio("file", "reading"), "fs.readFileSync, 1 MiB");
}
{
  const sizes = [64 * KIB, MIB, 64 * MIB, GIB, 8 * GIB];
  for (const size of sizes) create(`open-${size}`, size).close();
  const ways = {
    "Node open + close": (path) => open(path, { write: true }),
    "Node open + pread + close"(path) {
      const file = open(path, { write: true });
      kept.value = file.pread(0, 64);
      return file;
    },
  };
  for (const [name, openIt] of Object.entries(ways)) {
    const contestants = sizes.map((size) => [size, opening(() => openIt(named(`open-${size}`)))]);
    const ratio = race(Object.fromEntries(contestants), { rounds: 101 });
    records.series(
      "Opening and closing a file, by its size",
      name,
      sizes.map((size) => [size, ratio(size, sizes[0])]),
      { x: "the file's bytes", y: "times the same with 64 KiB" },
    );
    records.ratio(`${name}, 8 GiB`, ratio(8 * GIB, sizes[0]), "the same with 64 KiB", {
      ...(name === "Node open + close" && { limit: "at most 1.2" }),
    });
  }
  records.note(
    "V8 counts a mapping that JavaScript accesses as memory that a collection could free. For a large one it begins a collection, with the first operation on the file and not when the file is opened.",
  );
}
{
  const file = create("resized", MIB);
  const reserving = open(named("reserved"), { write: true, create: true, size: MIB });
  const descriptor = openSync(named("truncated"), "w+");
  const resizing = (resize) => (times) => {
    for (let i = 0; i < times; i++) {
      resize(2 * MIB);
      resize(MIB);
    }
  };
  const ratio = race(
    {
      fs: resizing((size) => ftruncateSync(descriptor, size)),
      file: resizing((size) => file.resize(size)),
      reserving: resizing((size) => reserving.resize(size)),
    },
    { rounds: 101 },
  );
  const peer = "fs.ftruncateSync, twice";
  records.ratio("Node resize, 1 MiB longer and back, noreserve", ratio("file", "fs"), peer);
  records.ratio("Node resize, 1 MiB longer and back, disk space reserved", ratio("reserving", "fs"), peer);
  file.close();
  reserving.close();
  closeSync(descriptor);
}

// --- Memory ---------------------------------------------------------------------------------------------------

for (const name of Object.keys(REPEATED))
  records.ratio(
    `memory of a Node process after ${OPERATIONS.toLocaleString("en")} × ${name}`,
    alone("growth", name),
    "its memory after a twentieth of them",
  );

{
  const [none, large] = [alone("collections", "0"), alone("collections", String(3 * GIB))];
  const peer = "the same with nothing mapped";
  records.ratio("making garbage while 3 GiB are mapped and viewed", large.time / none.time, peer);
  records.ratio("collections while 3 GiB are mapped and viewed", large.count / none.count, peer);
  records.ratio("time in those collections", large.pauses / none.pauses, peer);
}
records.ratio(
  "mappings of 256 MiB that are there at once, of files that nobody closes",
  alone("forgotten"),
  "all of them",
);
