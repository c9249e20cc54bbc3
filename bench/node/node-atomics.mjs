// counters.add beside Node's other ways to add to a number that threads or processes share.
//
//   make && node bench/node/node-atomics.mjs [--quick]

import { rmSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { open, openCounters } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { startRedis } from "../harness/redis.mjs";
import { kept, race, raceAsync } from "../harness/rounds.mjs";

const require = createRequire(import.meta.url);
const records = section("Node atomics");

const counters = openCounters(join(folder, "counters"), 8);
const file = open(join(folder, "file"), { write: true, create: true, size: 4096 });
/** The same counters through the addon alone. */
const { addon } = require("../../dist/addon.js");
const { countersOptions } = require("../../dist/options.js");
const handle = addon.counters_open(join(folder, "counters"), countersOptions({}), 8n);
const shared = new BigInt64Array(new SharedArrayBuffer(64));

function ems() {
  // It keeps its shared memory there, and does not delete it.
  process.on("exit", () => rmSync("/dev/shm/EMS_MainDomain", { force: true }));
  // It prints its missing features to standard output.
  const { log } = console;
  console.log = () => {};
  try {
    return require("ems")(1, false, "user").new({
      dimensions: [8],
      heapSize: 0,
      useMap: false,
      filename: join(folder, "ems"),
      persist: true,
      useExisting: false,
      mlock: 0,
      doDataFill: true,
      dataFill: 0,
      doSetFEtags: true,
      setFEtags: "full",
    });
  } finally {
    console.log = log;
  }
}

const ours = (times) => {
  for (let i = 0; i < times; i++) kept.value = counters.add(0, 1n);
};
const emsArray = await able(records, "ems", ems);
const ratio = race({
  ours,
  number(times) {
    for (let i = 0; i < times; i++) kept.value = counters.add(0, 1);
  },
  file(times) {
    for (let i = 0; i < times; i++) kept.value = file.add(64, 1n);
  },
  shared(times) {
    for (let i = 0; i < times; i++) kept.value = Atomics.add(shared, 0, 1n);
  },
  native(times) {
    for (let i = 0; i < times; i++) kept.value = addon.counter_add(handle, 0n, 1n);
  },
  ...(emsArray && {
    ems(times) {
      for (let i = 0; i < times; i++) kept.value = emsArray.faa(0, 1);
    },
  }),
});
const floor = "Atomics.add on a SharedArrayBuffer";
const faster = { sense: "times as fast" };
records.ratio("Node counters.add", ratio("ours", "shared"), floor, { limit: "at most 1.2" });
records.ratio("Node counters.add of a number", ratio("number", "shared"), floor);
records.ratio("Node MappedFile.add", ratio("file", "shared"), floor);
records.ratio("Node counters.add", ratio("native", "ours"), "a Node-API call for each add", faster);
if (emsArray) records.ratio("Node counters.add", ratio("ems", "ours"), "fetch-and-add of ems", faster);

const redis = await able(records, "Redis", () => startRedis(folder));
if (redis) {
  const { client, close } = redis;
  const ratio = await raceAsync(
    {
      ours,
      async redis(times) {
        for (let i = 0; i < times; i++) kept.value = await client.incr("counter");
      },
      async pipelined(times) {
        const all = [];
        for (let i = 0; i < times * 100; i++) all.push(client.incr("counter"));
        kept.value = await Promise.all(all);
      },
    },
    { rounds: 101 },
  );
  records.ratio("Node counters.add", ratio("redis", "ours"), "Redis INCR over a unix socket", faster);
  records.ratio(
    "Node counters.add",
    ratio("pipelined", "ours") / 100,
    "Redis INCR, pipelined by 100",
    faster,
  );
  await close();
}
addon.close(handle);
counters.close();
file.close();
