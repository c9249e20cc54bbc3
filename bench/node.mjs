// MappedFile and Counters beside what Node itself offers.
//
//   npm run build && node bench/node.mjs [--quick]

import { closeSync, mkdtempSync, openSync, readSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { open, openCounters } from "../dist/index.mjs";
import { section } from "./records.mjs";
import { kept, race } from "./rounds.mjs";

const atomics = section("Node atomics");
const reads = section("Node reads and writes");

const SMALL = 64;
const PAGE = 4096;
const LARGE = 1 << 20;

const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, "file");
const file = open(path, { write: true, create: true, size: 2 * LARGE });
file.view().fill(1);
const view = file.view();
const counters = openCounters(join(folder, "counters"), 8);
const floor = new BigInt64Array(new SharedArrayBuffer(64));
const descriptor = openSync(path, "r");

{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) kept.value = Atomics.add(floor, 0, 1n);
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = counters.add(0, 1n);
    },
  });
  atomics.ratio("counters.add", ratio("ours", "floor"), "Atomics.add on a SharedArrayBuffer", {
    limit: "at most 1.2",
  });
}
{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) kept.value = Buffer.from(view.subarray(0, SMALL));
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.pread(0, SMALL);
    },
    fs(times) {
      for (let i = 0; i < times; i++) {
        const copy = Buffer.allocUnsafe(SMALL);
        readSync(descriptor, copy, 0, SMALL, 0);
        kept.value = copy;
      }
    },
  });
  reads.ratio("pread 64 B", ratio("ours", "floor"), "Buffer.from(view.subarray())", { limit: "at most 1.3" });
  reads.ratio("pread 64 B", ratio("ours", "fs"), "fs.readSync", { limit: "at most 0.25" });
}
{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) {
        const copy = Buffer.allocUnsafe(LARGE);
        view.copy(copy, 0, 0, LARGE);
        kept.value = copy;
      }
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.pread(0, LARGE);
    },
  });
  reads.ratio("pread 1 MiB", ratio("ours", "floor"), "allocating and copying", { limit: "at most 1.1" });
}
{
  const ratio = race({
    floor(times) {
      for (let i = 0; i < times; i++) kept.value = view.subarray(PAGE, 2 * PAGE);
    },
    ours(times) {
      for (let i = 0; i < times; i++) kept.value = file.view(PAGE, PAGE);
    },
  });
  reads.ratio("view 4 KiB", ratio("ours", "floor"), "subarray", { limit: "at most 1.3" });
}
closeSync(descriptor);
counters.close();
file.close();
