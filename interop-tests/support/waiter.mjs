// Waits until counter 0 is not 0, in COUNT waits at the same time: waiter.mjs PATH COUNT. Prints "waits" when they have begun,
// and at the end the number of waits with the result "ok".
import { openCounters } from "emmap";

const [path, count] = process.argv.slice(2);
const counters = openCounters(path);
const waits = Array.from({ length: Number(count) }, () => counters.wait(0, 0n));
console.log("waits");
const results = await Promise.all(waits);
console.log(results.filter((result) => result === "ok").length);
counters.close();
