// Waits for counter 0 to be another than 0, in so many waits at a time: waiter.mjs PATH COUNT.
// Prints "waits" once it does, and how many have ended with "ok" at the end.
import { openCounters } from "emmap";

const [path, count] = process.argv.slice(2);
const counters = openCounters(path);
const waits = Array.from({ length: Number(count) }, () => counters.wait(0, 0n));
console.log("waits");
const results = await Promise.all(waits);
console.log(results.filter((result) => result === "ok").length);
counters.close();
