// Pushes numbers once each, in pairs, and goes on where the last process of its kind has ended. Usage: producer.mjs PATH
import { openQueue } from "emmap";

const origin = Buffer.alloc(16, 7);
const queue = openQueue(process.argv[2], { values: "json" });
let number = queue.pushOnce(origin, 0, []);
console.log("ready");
for (;;) {
  number++;
  queue.pushOnce(origin, number, [2 * Number(number) - 1, 2 * Number(number)]);
}
