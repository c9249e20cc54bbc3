// Prints "waits", and then each message that it receives: receiver.mjs PATH.
import { openQueue } from "../../dist/index.js";

const queue = openQueue(process.argv[2]);
const receiving = queue.messages();
let next = receiving.next();
setImmediate(async () => {
  console.log("waits");
  for (;;) {
    console.log(String((await next).value));
    next = receiving.next();
  }
});
