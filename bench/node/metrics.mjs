// The scrape of 100,000 series.
//
//   make && node bench/node/metrics.mjs [--quick]

import { join } from "node:path";
import { counter, openMetrics } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { kept, QUICK, raceAsync } from "../harness/rounds.mjs";

const records = section("Tables");

const SERIES = QUICK ? 10_000 : 100_000;
const TARGET_MS = 50;
const metrics = openMetrics(
  join(folder, "metrics"),
  { requests_total: counter({ labels: ["route", "status"], maxSeries: SERIES }) },
  { capacity: SERIES + 100 },
);
for (let i = 0; i < SERIES; i++)
  metrics.requests_total.labels({ route: `/shop/department-${i >> 2}`, status: 200 + (i & 3) }).add(i * 7);

/** The least processor time of a scrape in several, in ms: other work of the machine only makes it longer. */
async function leastTime() {
  let least = Number.POSITIVE_INFINITY;
  for (let round = 0; round < 20; round++) {
    const before = process.cpuUsage();
    kept.value = await metrics.text();
    const { user, system } = process.cpuUsage(before);
    least = Math.min(least, (user + system) / 1000);
  }
  return least;
}

const lines = (await metrics.text()).trimEnd().split("\n");
const ready = lines
  .slice(1)
  .map((line) => [line.slice(0, line.lastIndexOf(" ") + 1), Number(line.split(" ").at(-1))]);
const scrapes = await raceAsync(
  {
    async ours() {
      kept.value = await metrics.text();
    },
    async floor() {
      kept.value = `${lines[0]}\n${ready.map(([prefix, number]) => prefix + number).join("\n")}\n`;
    },
  },
  { rounds: 51 },
);
const floor = "the same text from ready strings and numbers";
records.ratio(`Node metrics.text, ${SERIES.toLocaleString("en")} series`, scrapes("ours", "floor"), floor);
records.ratio(
  `Node metrics.text, ${SERIES.toLocaleString("en")} series`,
  (await leastTime()) / TARGET_MS,
  `${TARGET_MS} ms of processor time`,
  { limit: "at most 1", floor },
);
metrics.close();
