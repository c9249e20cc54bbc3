// Reads and writes on Node 26 beside a mapping that a program makes itself: it calls mmap with node:ffi.
//
//   make && node bench/node/node-ffi.mjs [--quick]
//
// On another release of Node the program starts itself again on Node 26.

import { closeSync, openSync } from "node:fs";
import { join } from "node:path";
import { open } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { release, runOnNode26 } from "../harness/node-26.mjs";
import { able, section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const records = section("Node reads and writes");
const [PROTECTION_READ_WRITE, MAP_SHARED] = [3, 1];
const SPAN = 2 ** 20;

if (release < 26) {
  if (!runOnNode26()) records.note("node:ffi is left out: there is no Node 26 here.");
  process.exit();
}

const path = join(folder, "file");
const file = open(path, { write: true, create: true, size: SPAN });
const descriptor = openSync(path, "r+");
const peer = "a mapping made with node:ffi, on Node 26";

const bytes = await able(records, "node:ffi", async () => {
  const { dlopen, toBuffer } = await import("node:ffi");
  const { functions } = dlopen(null, {
    mmap: { arguments: ["pointer", "u64", "i32", "i32", "i32", "i64"], return: "pointer" },
  });
  const address = functions.mmap(0n, BigInt(SPAN), PROTECTION_READ_WRITE, MAP_SHARED, descriptor, 0n);
  return toBuffer(address, SPAN, false);
});
if (bytes) {
  const words = new BigInt64Array(bytes.buffer, bytes.byteOffset, 8);
  for (const size of [64, 4096, SPAN]) {
    const name = size === SPAN ? "1 MiB" : size === 4096 ? "4 KiB" : "64 B";
    const source = Buffer.alloc(size, 1);
    const read = race(
      {
        ours(times) {
          for (let i = 0; i < times; i++) kept.value = file.pread(0, size);
        },
        ffi(times) {
          for (let i = 0; i < times; i++) {
            const copy = Buffer.allocUnsafe(size);
            bytes.copy(copy, 0, 0, size);
            kept.value = copy;
          }
        },
      },
      { rounds: 101, warmMs: 200 },
    );
    records.ratio(`Node pread ${name} copy`, read("ours", "ffi"), peer);
    const write = race(
      {
        ours(times) {
          for (let i = 0; i < times; i++) file.pwrite(0, source);
        },
        ffi(times) {
          for (let i = 0; i < times; i++) source.copy(bytes, 0);
        },
      },
      { rounds: 101, warmMs: 200 },
    );
    records.ratio(`Node pwrite ${name}`, write("ours", "ffi"), peer);
  }
  for (const size of [64, 4096]) {
    const view = race(
      {
        ours(times) {
          for (let i = 0; i < times; i++) kept.value = file.view(0, size);
        },
        ffi(times) {
          for (let i = 0; i < times; i++) kept.value = bytes.subarray(0, size);
        },
      },
      { rounds: 101, warmMs: 200 },
    );
    records.ratio(`Node view ${size === 64 ? "64 B" : "4 KiB"}`, view("ours", "ffi"), `subarray of ${peer}`);
  }
  const add = race(
    {
      ours(times) {
        for (let i = 0; i < times; i++) kept.value = file.add(0, 1n);
      },
      ffi(times) {
        for (let i = 0; i < times; i++) kept.value = Atomics.add(words, 0, 1n);
      },
    },
    { rounds: 101, warmMs: 200 },
  );
  records.ratio("Node MappedFile.add", add("ours", "ffi"), peer);
}
file.close();
closeSync(descriptor);
