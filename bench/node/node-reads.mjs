// Reads and writes of a mapped file on Node beside those of node:fs, of other modules that share memory, and of plain
// Buffers. Buffers are the floor.
//
//   make && node bench/node/node-reads.mjs [--quick]
//
// A contestant that reads a copy returns a new Buffer, as pread does. All use SPAN bytes that have been touched before, so
// that no page fault is timed.

import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { open } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { kept, QUICK, race } from "../harness/rounds.mjs";

const [KIB, MIB] = [2 ** 10, 2 ** 20];
const SPAN = QUICK ? 32 * MIB : 64 * MIB;
const SIZES = QUICK ? [8, 4 * KIB, MIB] : [8, 64, 512, 4 * KIB, 64 * KIB, MIB, 16 * MIB];
/** A power of two, so that a mask replaces a division. */
const PLACES = 4096;

const require = createRequire(import.meta.url);
const records = section("Node reads and writes");

const path = join(folder, "file");
const file = open(path, { write: true, create: true, size: SPAN });
file.view().fill(1);
const view = file.view();
const descriptor = openSync(path, "r+");
const memory = Buffer.alloc(SPAN, 1);

// --- The rows of the targets ----------------------------------------------------------------------------------

{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) kept.value = Buffer.from(view.subarray(0, 64));
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.pread(0, 64);
    },
    fs(times) {
      for (let i = 0; i < times; i++) {
        const copy = Buffer.allocUnsafe(64);
        readSync(descriptor, copy, 0, 64, 0);
        kept.value = copy;
      }
    },
  });
  records.ratio("Node pread 64 B copy", ratio("ours", "floor"), "Buffer.from(view.subarray())", {
    limit: "at most 1.3",
  });
  records.ratio("Node pread 64 B copy", ratio("ours", "fs"), "fs.readSync", { limit: "at most 0.25" });
}
{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) {
        const copy = Buffer.allocUnsafe(MIB);
        view.copy(copy, 0, 0, MIB);
        kept.value = copy;
      }
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.pread(0, MIB);
    },
  });
  records.ratio("Node pread 1 MiB copy", ratio("ours", "floor"), "allocating and copying the same bytes", {
    limit: "at most 1.1",
  });
}
{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) kept.value = view.subarray(4096, 8192);
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.view(4096, 4096);
    },
  });
  records.ratio("Node view 4 KiB, a direct read", ratio("ours", "floor"), "subarray", {
    limit: "at most 1.3",
  });
}

// --- By size --------------------------------------------------------------------------------------------------

/** Shared memory as a Buffer. JavaScript reads and writes it by itself. */
const buffers = {
  "shm-typed-array": await able(records, "shm-typed-array", () => {
    const shm = require("shm-typed-array");
    const name = `/emmap-bench-${process.pid}`;
    const shared = shm.createPosix(name, SPAN, "Buffer");
    process.on("exit", () => shm.destroy(name));
    return shared.fill(1);
  }),
  "mmap-io": await able(records, "mmap-io", () => {
    const { default: io = require("mmap-io") } = require("mmap-io");
    return io.map(SPAN, io.PROT_READ | io.PROT_WRITE, io.MAP_SHARED, descriptor, 0);
  }),
};
const others = Object.entries(buffers).filter(([, buffer]) => buffer);

/** The positions of operations on `size` bytes: one after the other, or random. */
function places(size, order) {
  const count = Math.floor(SPAN / size);
  const at = (i) => (order === "sequential" ? i % count : Math.floor(Math.random() * count)) * size;
  return Float64Array.from({ length: PLACES }, (_, i) => at(i));
}

function reading(from, size, at) {
  return (times) => {
    for (let i = 0; i < times; i++) {
      const place = at[i & (PLACES - 1)];
      const copy = Buffer.allocUnsafe(size);
      from.copy(copy, 0, place, place + size);
      kept.value = copy;
    }
  };
}

const reads = (size, at) => ({
  floor: reading(memory, size, at),
  emmap(times) {
    for (let i = 0; i < times; i++) kept.value = file.pread(at[i & (PLACES - 1)], size);
  },
  "fs.readSync"(times) {
    for (let i = 0; i < times; i++) {
      const copy = Buffer.allocUnsafe(size);
      readSync(descriptor, copy, 0, size, at[i & (PLACES - 1)]);
      kept.value = copy;
    }
  },
  ...Object.fromEntries(others.map(([name, buffer]) => [name, reading(buffer, size, at)])),
});

function writing(to, bytes, at) {
  return (times) => {
    for (let i = 0; i < times; i++) bytes.copy(to, at[i & (PLACES - 1)]);
  };
}

function writes(size, at) {
  const bytes = Buffer.alloc(size, 2);
  return {
    floor: writing(memory, bytes, at),
    emmap(times) {
      for (let i = 0; i < times; i++) file.pwrite(at[i & (PLACES - 1)], bytes);
    },
    "fs.writeSync"(times) {
      for (let i = 0; i < times; i++) writeSync(descriptor, bytes, 0, size, at[i & (PLACES - 1)]);
    },
    ...Object.fromEntries(others.map(([name, buffer]) => [name, writing(buffer, bytes, at)])),
  };
}

function showing(from, size, at) {
  return (times) => {
    for (let i = 0; i < times; i++) {
      const place = at[i & (PLACES - 1)];
      kept.value = from.subarray(place, place + size);
    }
  };
}

const views = (size, at) => ({
  floor: showing(memory, size, at),
  emmap(times) {
    for (let i = 0; i < times; i++) kept.value = file.view(at[i & (PLACES - 1)], size);
  },
  ...Object.fromEntries(others.map(([name, buffer]) => [name, showing(buffer, size, at)])),
});

function bySize(chart, y, contestants, order) {
  const lines = new Map();
  for (const size of SIZES) {
    const all = contestants(size, places(size, order));
    const ratio = race(all, { rounds: 41, warmMs: 80 });
    for (const name of Object.keys(all).slice(1))
      lines.set(name, [...(lines.get(name) ?? []), [size, ratio(name, "floor")]]);
  }
  for (const [name, points] of lines) records.series(chart, name, points, { x: "bytes at once", y });
}

const COPY = "times allocating and Buffer.copy";
bySize("Copies read one after the other", COPY, reads, "sequential");
bySize("Copies read anywhere", COPY, reads, "random");
bySize("Direct reads one after the other", "times subarray", views, "sequential");
bySize("Direct reads anywhere", "times subarray", views, "random");
bySize("Writes one after the other", "times Buffer.copy", writes, "sequential");
bySize("Writes anywhere", "times Buffer.copy", writes, "random");

closeSync(descriptor);
file.close();
