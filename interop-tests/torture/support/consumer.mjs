// Takes jobs, which are numbers, and acknowledges them: consumer.mjs FOLDER LANES. deliveries.mjs lists its counters. It says
// "ready", and ends with its input.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters, openQueue } from "emmap";
import { ACKNOWLEDGED, BACK, COUNTS, DELIVERED, RELEASED } from "./deliveries.mjs";

const [folder, lanes] = process.argv.slice(2);
const queue = openQueue(join(folder, "jobs"));
const counts = openCounters(join(folder, "counts"));

async function work() {
  for (;;) {
    const job = await queue.take({ timeout: 1000 });
    if (!job) continue;
    const place = COUNTS + job.message;
    if (counts.add(place, DELIVERED) >= ACKNOWLEDGED) counts.add(BACK, 1);
    if (Math.random() < 0.02) {
      counts.add(RELEASED, 1);
      job.release(Math.random() < 0.5 ? 0 : 5);
    } else {
      if (Math.random() < 0.1) await sleep(2);
      job.ack();
      counts.add(place, ACKNOWLEDGED);
    }
  }
}

for (let i = 0; i < Number(lanes); i++) void work();
process.stdin.on("end", () => process.exit(0));
process.stdin.on("data", () => console.log("ready"));
