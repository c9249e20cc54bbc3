// Another process of deliveries.mjs, until its standard input ends.
//
//   deliveries-worker.mjs FOLDER lanes COUNT SLEEP   works on the queue `lanes`, and counts what it has done
//   deliveries-worker.mjs FOLDER hold                takes a message of the queue `redelivered`, and keeps it
//   deliveries-worker.mjs FOLDER bullmq              adds as many jobs to BullMQ's queue as each line of its input says
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters, openQueue } from "../../dist/index.mjs";

const BATCH = 64;
const [folder, what, ...numbers] = process.argv.slice(2);
const input = createInterface({ input: process.stdin });

if (what === "lanes") {
  const [concurrency, milliseconds] = numbers.map(Number);
  const queue = openQueue(join(folder, "lanes"), { values: "json" });
  const done = openCounters(join(folder, "lanes-done"), 1);
  const consumer = queue.process(
    async () => {
      await sleep(milliseconds);
      done.add(0, 1n);
      done.notify(0);
    },
    { concurrency },
  );
  input.on("close", () => consumer.stop());
} else if (what === "hold") {
  await openQueue(join(folder, "redelivered"), { values: "json" }).take();
} else {
  const { Queue } = await import("bullmq");
  const queue = new Queue("jobs", { connection: { path: join(folder, "redis.sock") } });
  await queue.waitUntilReady();
  input.on("line", async (line) => {
    const count = Number(line);
    for (let i = 0; i < count; i += BATCH) {
      const batch = Array.from({ length: Math.min(BATCH, count - i) }, (_, j) => ({
        name: "tick",
        data: i + j,
      }));
      await queue.addBulk(batch);
    }
  });
  input.on("close", () => queue.close());
}
console.log("ready");
