// The counters of a cluster on Node, beside those of one machine.
//
//   make && node bench/node/cluster.mjs [--quick]

import { join } from "node:path";
import { openClusterCounters, openCounters } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const records = section("Many machines");

const local = openCounters(join(folder, "local"), 8);
const cluster = openClusterCounters(join(folder, "cluster"), 8);
const ratio = race({
  clusterAdd(times) {
    for (let i = 0; i < times; i++) kept.value = cluster.add(0, 1n);
  },
  add(times) {
    for (let i = 0; i < times; i++) kept.value = local.add(0, 1n);
  },
  clusterGet(times) {
    for (let i = 0; i < times; i++) kept.value = cluster.get(0);
  },
  get(times) {
    for (let i = 0; i < times; i++) kept.value = local.get(0);
  },
});
records.ratio("Node openClusterCounters(…).add", ratio("clusterAdd", "add"), "counters.add", {
  limit: "at most 1.1",
});
records.ratio("Node openClusterCounters(…).get", ratio("clusterGet", "get"), "counters.get", {
  limit: "at most 2.2",
});
cluster.close();
local.close();
