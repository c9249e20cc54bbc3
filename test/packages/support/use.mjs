// Uses each part of the package once, and prints the results.
import { createRequire } from "node:module";
import { basename, dirname } from "node:path";
import { open, openBlockStorage, openCounters, openQueue } from "emmap";

const file = open("state.bin", { write: true, create: true, size: 4096 });
file.pwrite(0, Buffer.from("hello"));
const answers = [file.pread(0, 5).toString(), file.view(0, 5).toString(), file.add(8, 1n), file.load(8)];
await file.sync();
answers.push(file.resize(8192));

const counters = openCounters("counters.bin", 8);
counters.add(0, 5);
answers.push(counters.get(0));

// Long enough for its messages to be moved to the front more than once.
const queue = openQueue("jobs.q", { size: 4096 });
let sum = 0;
for (let i = 0; i < 1000; i++) {
  queue.push(["job", i]);
  if (i % 10 > 0) sum += queue.pop()[1];
}
while (!queue.isEmpty()) sum += queue.pop()[1];
answers.push(sum);

const blocks = openBlockStorage("blocks.bin", { blockSize: 64 });
answers.push(blocks.read(blocks.store(Buffer.alloc(64, 7)))[63]);
try {
  open("missing");
} catch (error) {
  answers.push(error.code);
}
for (const opened of [file, counters, queue, blocks]) opened.close();

const addons = Object.keys(createRequire(import.meta.url).cache).filter((name) => name.endsWith(".node"));
console.log([process.arch, ...addons.map((path) => basename(dirname(path))), ...answers].join(" "));
