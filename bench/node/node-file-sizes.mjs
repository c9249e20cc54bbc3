// The cost of an operation in a larger file, beside the same operation in a file of 64 KiB; on this release of Node and on
// Node 26.
//
//   make && node bench/node/node-file-sizes.mjs [--quick]
//
// The files are sparse. The operations use 16 pages of each file, either the first ones or some all over the file. So the
// number of pages, and of cache misses, is the same for all files.

import { closeSync, ftruncateSync, openSync, readSync } from "node:fs";
import { join } from "node:path";
import { open } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { release, runOnNode26 } from "../harness/node-26.mjs";
import { section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const [KIB, MIB, GIB] = [2 ** 10, 2 ** 20, 2 ** 30];
const SIZES = [64 * KIB, MIB, 64 * MIB, GIB, 4 * GIB, 8 * GIB];
const PAGES = 16;
const SMALL = Buffer.alloc(64, 3);
const PAGE = Buffer.alloc(4096, 3);

const records = section("Node reads and writes");

const files = SIZES.map((size) => {
  const path = join(folder, `sparse-${size}`);
  const descriptor = openSync(path, "w+");
  ftruncateSync(descriptor, size);
  return { size, descriptor, mapped: open(path, { write: true }) };
});

const pageAt = (position) => position - (position % 4096);

const OPERATIONS = {
  "pread 8 B": (mapped, at) => (times) => {
    for (let i = 0; i < times; i++) kept.value = mapped.pread(at[i % PAGES], 8);
  },
  "pread 64 B": (mapped, at) => (times) => {
    for (let i = 0; i < times; i++) kept.value = mapped.pread(at[i % PAGES], 64);
  },
  "pwrite 64 B": (mapped, at) => (times) => {
    for (let i = 0; i < times; i++) mapped.pwrite(at[i % PAGES], SMALL);
  },
  // Reads of a whole page stay within one of the 16 pages.
  "pread 4 KiB"(mapped, at) {
    const pages = at.map(pageAt);
    return (times) => {
      for (let i = 0; i < times; i++) kept.value = mapped.pread(pages[i % PAGES], 4096);
    };
  },
  "pwrite 4 KiB"(mapped, at) {
    const pages = at.map(pageAt);
    return (times) => {
      for (let i = 0; i < times; i++) mapped.pwrite(pages[i % PAGES], PAGE);
    };
  },
  add: (mapped, at) => (times) => {
    for (let i = 0; i < times; i++) kept.value = mapped.add(at[i % PAGES], 1n);
  },
  "view 64 B": (mapped, at) => (times) => {
    for (let i = 0; i < times; i++) kept.value = mapped.view(at[i % PAGES], 64);
  },
  "fs.readSync 64 B": (_, at, descriptor) => (times) => {
    for (let i = 0; i < times; i++) {
      const copy = Buffer.allocUnsafe(64);
      readSync(descriptor, copy, 0, 64, at[i % PAGES]);
      kept.value = copy;
    }
  },
};

function measure(where, pageOf, limit) {
  const chart = `By the file's size, in ${where}, on Node ${release}`;
  for (const [name, operation] of Object.entries(OPERATIONS)) {
    const contestants = files.map(({ size, mapped, descriptor }) => {
      // Each is in another cache line of its page, so that they do not share cache sets.
      const at = Float64Array.from({ length: PAGES }, (_, i) => pageOf(i, size / 4096) * 4096 + i * 64);
      return [size, operation(mapped, at, descriptor)];
    });
    const ratio = race(Object.fromEntries(contestants), { rounds: 61, warmMs: 80 });
    const points = SIZES.map((size) => [size, ratio(size, SIZES[0])]);
    records.series(chart, name, points, { x: "the file's bytes", y: "times the same in a file of 64 KiB" });
    if (limit === undefined || name.startsWith("fs.")) continue;
    const there = `Node ${release}: ${name} in 8 GiB, in ${where}`;
    records.ratio(there, ratio(8 * GIB, SIZES[0]), "the same in a file of 64 KiB", { limit });
  }
}

measure("its first 16 pages", (i) => i);
// Not a power of two apart: the places must differ in the bits by which caches and predictors are indexed.
const spread = (i, pages) => Math.floor((i * (pages - 1)) / (PAGES - 1));
measure("16 pages all over it", spread, "at most 1.2");
for (const { mapped, descriptor } of files) {
  mapped.close();
  closeSync(descriptor);
}
if (release < 26 && !runOnNode26()) records.note("There is no Node 26 here.");
