// One Node process of scaling.mjs: reads `WORK TIMES` lines, does the work TIMES times, and prints when it began and ended,
// in nanoseconds of the clock that all processes share. For `share MILLISECONDS` it pushes and pops for so long, and prints
// how often it did.

import { join } from "node:path";
import { createInterface } from "node:readline";
import { atom, tuple } from "../../dist/etf/index.mjs";
import { openCounters, openQueue } from "../../dist/index.mjs";

const [folder, number] = process.argv.slice(2);
const counters = openCounters(join(folder, "counters"));
const queue = openQueue(join(folder, "queue"));
/** How often a process pushes and pops before it looks at the clock. */
const AT_ONCE = 10;
/** Counters are two cache lines apart, since processors fetch lines in pairs. */
const own = Number(number) * 16;

const add = (index) => (times) => {
  for (let i = 0; i < times; i++) counters.add(index, 1n);
};
const works = {
  one: add(0),
  own: add(own),
  queue(times) {
    for (let i = times; i > 0; i--) {
      queue.push(tuple(atom("job"), i));
      if (queue.pop(null) === null) throw new Error("a message is missing");
    }
  },
};

function share(milliseconds) {
  const end = performance.now() + milliseconds;
  let count = 0;
  for (; performance.now() < end; count += AT_ONCE) works.queue(AT_ONCE);
  return count;
}

console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [work, times] = line.split(" ");
  if (work === "share") {
    console.log(String(share(Number(times))));
    continue;
  }
  const begin = process.hrtime.bigint();
  works[work](Number(times));
  console.log(`${begin} ${process.hrtime.bigint()}`);
}
