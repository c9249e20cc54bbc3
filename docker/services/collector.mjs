// A program of host-b. It takes the numbers of host-a's sender out of a queue of its own host, and counts them in the counters of both
// hosts. It ends with status 0 if each number came once, and the counters are exact.
import { EMPTY, openQueue } from "emmap";
import { openHits, sayHits, TAKEN } from "./hits.mjs";

const SAY_EVERY_MS = 1000;

for (const signal of ["SIGTERM", "SIGINT"]) process.on(signal, () => process.exit(1));

const folder = process.env.FOLDER ?? "/data";
const hits = await openHits(folder);
const queue = openQueue(`${folder}/jobs.q`, { values: "json", mode: 0o660 });
const times = [];
let [end, came, doubled, said] = [undefined, 0, 0, 0];
while (end === undefined || came < end) {
  const message = await queue.receive({ timeout: SAY_EVERY_MS });
  if (message?.end !== undefined) end = message.end;
  if (message?.n !== undefined) {
    times[message.n] = (times[message.n] ?? 0) + 1;
    if (times[message.n] === 1) {
      came++;
      hits.add(TAKEN, 1);
    } else doubled++;
  }
  if (Date.now() - said < SAY_EVERY_MS) continue;
  said = Date.now();
  console.log(`collector: ${came} numbers so far`);
}
// What comes twice comes now.
for (let more = queue.pop(); more !== EMPTY; more = queue.pop()) doubled++;
const lost = end - came;
console.log(`collector: ${end} numbers, ${lost} lost, ${doubled} doubled`);
await sayHits("collector", hits, end);
process.exitCode = lost + doubled === 0 ? 0 : 1;
