// Takes a message and keeps it: holder.mjs PATH.
import { openQueue } from "../../dist/index.js";

const queue = openQueue(process.argv[2]);
const job = await queue.take();
process.stdout.write("kept\n");
setInterval(() => job, 1000);
