// Waits until counter 1 shows that all PARTIES have arrived. Then adds 1 to counter 0, TIMES times.
// Usage, as a process or a worker: adder.mjs PATH TIMES PARTIES
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters } from "emmap";

const [path, times, parties] = process.argv.slice(2);
const counters = openCounters(path);
counters.add(1, 1);
while (counters.get(1) < BigInt(parties)) await sleep(1);
for (let i = 0; i < Number(times); i++) counters.add(0, 1);
counters.close();
