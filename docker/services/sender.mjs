// A program of host-a. It pushes numbers to a queue of its host, which a relay brings to host-b. SIGUSR2 ends the numbers.
import { setTimeout as sleep } from "node:timers/promises";
import { openQueue } from "emmap";

const BURST = 10;

let ending = false;
process.on("SIGUSR2", () => {
  ending = true;
});
for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(0));

const queue = openQueue(`${process.env.FOLDER ?? "/data"}/out.q`, { values: "json", mode: 0o660 });
let n = 0;
while (!ending) {
  queue.pushMany(Array.from({ length: BURST }, () => ({ n: n++ })));
  await sleep(5);
}
queue.push({ end: n });
console.log(`sender: pushed ${n} numbers`);
