// Costs that must not grow with the number, on Node: of counters in a file, messages in a queue, blocks in a storage.
//
//   make && node bench/node/flat.mjs [--quick]
//
// Each operation works at one place of its file, so that no file has more cache misses than another. A long queue moves
// its messages to the front of the file now and then: at most four bytes for each byte popped since. That happens in few
// rounds, and so it is not in their median.

import { join } from "node:path";
import { openBlockStorage, openCounters, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { kept, QUICK, race } from "../harness/rounds.mjs";

const records = section("Scaling");
const LIMIT = "at most 1.2";
const options = { rounds: 101, warmMs: 200 };

/** Contestants by size. The ratios are to the first one. */
function compare(operation, x, contestants) {
  const amounts = [...contestants.keys()];
  const ratio = race(Object.fromEntries(contestants), options);
  const least = amounts[0];
  const points = amounts.map((amount) => [amount, ratio(amount, least)]);
  records.series(`By ${x}`, operation, points, { x, y: `times the same with ${least}` });
  const most = amounts.at(-1);
  const there = `${operation}, ${most.toLocaleString("en")} ${x}`;
  records.ratio(there, ratio(most, least), `the same with ${least}`, { limit: LIMIT });
}

const byAmount = (amounts, make) => new Map(amounts.map((amount) => [amount, make(amount)]));

compare(
  "Node counters.add",
  "counters",
  byAmount([8, 1024, 2 ** 20], (count) => {
    const counters = openCounters(join(folder, `counters-${count}`), count);
    return (times) => {
      for (let i = 0; i < times; i++) kept.value = counters.add(count - 1, 1n);
    };
  }),
);

const message = Buffer.alloc(48, 1);
for (const [name, more] of [
  ["Node push + pop, shared", {}],
  ["Node push + pop, exclusive", { write: true, create: true, exclusive: true }],
])
  compare(
    name,
    "messages waiting",
    byAmount(QUICK ? [1, 1000] : [1, 100, 10_000, 1_000_000], (length) => {
      const queue = openQueue(join(folder, `queue-${more.exclusive ?? false}-${length}`), {
        raw: true,
        ...more,
      });
      const messages = new Array(Math.min(length, 1000)).fill(message);
      for (let i = 0; i < length; i += messages.length) queue.pushMany(messages);
      return (times) => {
        for (let i = 0; i < times; i++) {
          queue.push(message);
          kept.value = queue.pop();
        }
      };
    }),
  );

const block = Buffer.alloc(64, 1);
for (const [name, more] of [
  ["Node store + free, shared", {}],
  ["Node store + free, exclusive", { write: true, create: true, exclusive: true }],
])
  compare(
    name,
    "blocks stored",
    byAmount(QUICK ? [1, 4096] : [1, 4096, 131_072, 262_143], (count) => {
      const blocks = openBlockStorage(join(folder, `blocks-${more.exclusive ?? false}-${count}`), {
        blockSize: block.length,
        ...more,
      });
      for (let stored = 0; stored < count; ) {
        const some = Math.min(count - stored, 4096);
        blocks.storeMany(new Array(some).fill(block));
        stored += some;
      }
      return (times) => {
        for (let i = 0; i < times; i++) kept.value = blocks.free(blocks.store(block));
      };
    }),
  );
records.note(
  "A long queue moves its messages to the front of the file now and then: at most four bytes for each byte popped since. That happens in few rounds, and so it is not in their median.",
);
