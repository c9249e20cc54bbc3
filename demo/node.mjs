// The Node half of `make demo`. Usage: node node.mjs FIXTURE COUNTERS ROUNDS ADDS
// Prints one JSON object a line, for run.mjs to show.
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters } from "emmap";
import { ARRIVED, BEAM, FINISHED, NODE, TOTAL } from "./layout.mjs";

const [fixture, path, rounds, adds] = process.argv.slice(2);

const say = (message) =>
  console.log(JSON.stringify(message, (_, v) => (typeof v === "bigint" ? String(v) : v)));

const upstream = openCounters(fixture);
say({ event: "fixture", values: [...upstream] });
upstream.close();

const counters = openCounters(path);
counters.add(ARRIVED, 1);
while (counters.get(ARRIVED) < 2n) await sleep(1);

for (let round = 0; round < Number(rounds); round++) {
  for (let i = 0; i < Number(adds); i++) {
    counters.add(TOTAL, 1);
    counters.add(NODE, 1);
  }
  say({
    event: "progress",
    mine: counters.get(NODE),
    theirs: counters.get(BEAM),
    total: counters.get(TOTAL),
  });
  await sleep(30);
}

counters.add(FINISHED, 1);
while (counters.get(FINISHED) < 2n) await sleep(1);
say({ event: "final", values: [counters.get(TOTAL), counters.get(BEAM), counters.get(NODE)] });
counters.close();
