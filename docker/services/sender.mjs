// A program of host-a. It pushes numbers to a queue of its host, which a relay brings to host-b, and counts them in the counters of both
// hosts. SIGUSR2 ends the numbers. It ends with status 0 when the counters are exact.
import { setTimeout as sleep } from "node:timers/promises";
import { openQueue } from "emmap";
import { openHits, PUSHED, sayHits, TAKEN } from "./hits.mjs";

const BURST = 10;

let ending = false;
process.on("SIGUSR2", () => {
  ending = true;
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));

const folder = process.env.FOLDER ?? "/data";
const hits = await openHits(folder);
const queue = openQueue(`${folder}/out.q`, { values: "json", mode: 0o660 });
let n = 0;
while (!ending) {
  queue.pushMany(Array.from({ length: BURST }, () => ({ n: n++ })));
  hits.add(PUSHED, BURST);
  if (hits.get(PUSHED) !== BigInt(n) || hits.get(TAKEN) > n)
    throw new Error(`counters ${[...hits].join(" ")} after ${n} numbers`);
  await sleep(5);
}
queue.push({ end: n });
console.log(`sender: pushed ${n} numbers`);
await sayHits("sender", hits, n);
