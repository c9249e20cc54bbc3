// A table beside counters, a Map, Redis, and the stores of rate limiters in one process.
//
//   make && node bench/node/table.mjs [--quick]

import { join } from "node:path";
import { openCounters, openTable } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { startRedis } from "../harness/redis.mjs";
import { kept, QUICK, race, raceAsync, shuffled } from "../harness/rounds.mjs";

const records = section("Tables");

/** Keys of 20 bytes in a random order. */
function keysOf(count) {
  const numbers = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(Math.random() * (i + 1));
    [numbers[i], numbers[j]] = [numbers[j], numbers[i]];
  }
  // In the order in which they are used, and each whole, so that the caches miss in the table and not in the keys.
  return Array.from(numbers, (number) =>
    Buffer.from(`client-${String(number).padStart(13, "0")}`).toString("latin1"),
  );
}

function filled(name, capacity, keys) {
  const table = openTable(join(folder, name), { capacity });
  for (const key of keys) table.add(key, 0, 1n);
  return table;
}

/** A contestant that uses one key after the other. */
function each(keys, use) {
  let next = 0;
  return (times) => {
    for (let i = 0; i < times; i++) {
      kept.value = use(keys[next]);
      if (++next === keys.length) next = 0;
    }
  };
}

const keys = keysOf(100_000);
const table = filled("table", 120_000, keys);
const counters = openCounters(join(folder, "counters"), 8);
const entry = table.entry(keys[0]);
const entries = race({
  ours(times) {
    for (let i = 0; i < times; i++) kept.value = entry.add(0, 1n);
  },
  counters(times) {
    for (let i = 0; i < times; i++) kept.value = counters.add(0, 1n);
  },
});
records.ratio("Node entry.add", entries("ours", "counters"), "counters.add", { limit: "at most 1.2" });

const map = new Map(keys.map((key) => [key, 1n]));
const inMap = (key) => {
  const value = map.get(key) + 1n;
  map.set(key, value);
  return value;
};
const adds = race({ ours: each(keys, (key) => table.add(key, 0, 1n)), map: each(keys, inMap) });
records.ratio("Node table.add, 100,000 keys", adds("ours", "map"), "a Map look-up and add", {
  limit: "at most 5",
});

const redis = await able(records, "Redis", () => startRedis(folder));
if (redis) {
  const { client, close } = redis;
  let next = 0;
  const ratio = await raceAsync(
    {
      ours: each(keys, (key) => table.add(key, 0, 1n)),
      async redis(times) {
        for (let i = 0; i < times; i++) kept.value = await client.incr(keys[next++ % keys.length]);
      },
    },
    { rounds: 101 },
  );
  records.ratio("Node table.add, 100,000 keys", ratio("redis", "ours"), "Redis INCR over a unix socket", {
    sense: "times as fast",
    limit: "at least 50",
  });
  await close();
}

const few = keysOf(1000);
const limits = filled("limits", 2000, []);
const limit = { limit: 1_000_000, windowMs: 3_600_000 };
const peers = {};
const flexible = await able(records, "rate-limiter-flexible", () => import("rate-limiter-flexible"));
if (flexible) {
  const { RateLimiterMemory } = flexible;
  const limiter = new RateLimiterMemory({ points: limit.limit, duration: limit.windowMs / 1000 });
  let next = 0;
  peers["rate-limiter-flexible's memory store"] = async (times) => {
    for (let i = 0; i < times; i++) kept.value = await limiter.consume(few[next++ % few.length]);
  };
}
const express = await able(records, "express-rate-limit", () => import("express-rate-limit"));
if (express) {
  const store = new express.MemoryStore();
  store.init(limit);
  let next = 0;
  peers["express-rate-limit's memory store"] = async (times) => {
    for (let i = 0; i < times; i++) kept.value = await store.increment(few[next++ % few.length]);
  };
  process.once("exit", () => store.shutdown());
}
const hits = await raceAsync({ ours: each(few, (key) => limits.hit(key, limit)), ...peers }, { rounds: 101 });
for (const peer of Object.keys(peers))
  records.ratio("Node table.hit", hits("ours", peer), peer, { limit: "at most 1" });

/** The time of an addition in tables of these sizes and fillings, beside the smallest that is a tenth full. */
const shapes = {
  "1,000 keys, 10 % full": [1000, 0.1],
  "1,000 keys, 85 % full": [1000, 0.85],
  "1,000,000 keys, 10 % full": [1_000_000, 0.1],
  "1,000,000 keys, 85 % full": [1_000_000, 0.85],
};
const tables = Object.entries(shapes).map(([name, [capacity, full]]) => {
  const some = keysOf(QUICK ? Math.min(capacity * full, 10_000) : capacity * full);
  // In another order than they are used in, since the units of a new table follow each other.
  return [name, some, filled(name, capacity, shuffled(some))];
});
const [smallest, ...larger] = Object.keys(shapes);
const [, smallestKeys, smallestTable] = tables[0];

/** Bytes of a key's unit, and of buckets for each key that there is room for. */
const UNIT = 64;
const BUCKET = 2.5;

/**
 * The floor of a larger table: an addition in the smallest one; then a load from memory as large as the buckets, and an atomic addition in
 * memory as large as the units with keys, in a place that follows from the load. No index can do without these two accesses.
 */
function withMisses(capacity, count) {
  const units = new Int32Array(new SharedArrayBuffer(count * UNIT));
  const buckets = new Int32Array(new SharedArrayBuffer(capacity * BUCKET));
  // Touched, since a page that was never written is no memory yet.
  units.fill(1);
  buckets.fill(1);
  buckets.fill(0);
  const unitAt = Uint32Array.from(keysOf(count), (key) => Number(key.slice(7)) * (UNIT / 4));
  const bucketAt = Uint32Array.from({ length: count }, () => Math.floor(Math.random() * buckets.length));
  let next = 0;
  let place = 0;
  return (times) => {
    for (let i = 0; i < times; i++) {
      kept.value = smallestTable.add(smallestKeys[next], 0, 1n);
      if (++next === smallestKeys.length) next = 0;
      kept.value = Atomics.add(units, unitAt[place] + buckets[bucketAt[place]], 1);
      if (++place === count) place = 0;
    }
  };
}

const contestants = tables.map(([name, some, each_]) => [name, each(some, (key) => each_.add(key, 0, 1n))]);
const floors = larger.map((name) => {
  const [capacity, full] = shapes[name];
  return [
    `${smallest} and the misses of a bucket and a unit of ${name}`,
    withMisses(capacity, capacity * full),
  ];
});
/** What growing costs a Map of the same keys, which has the misses of its entries and keys. */
const maps = [tables[0], tables.at(-1)].map(([name, some]) => {
  const own = new Map(shuffled(some).map((key) => [key, 1n]));
  return [`a Map as of ${name}`, each(some, (key) => own.set(key, own.get(key) + 1n))];
});
const flat = race(Object.fromEntries([...contestants, ...floors, ...maps]));
for (const [i, name] of larger.entries()) {
  const [floor] = floors[i];
  records.ratio(`Node table.add, ${name}`, flat(name, smallest), smallest, { limit: "at most 2", floor });
  records.ratio(floor, flat(floor, smallest), smallest);
}

const [[fewInMap], [manyInMap]] = maps;
records.ratio(manyInMap, flat(manyInMap, fewInMap), fewInMap);

for (const [, , each_] of tables) each_.close();
limits.close();
counters.close();
table.close();
