// A worker that pushes to a queue whose lock somebody else has: locked.mjs PATH, with a limit of a minute.
import { parentPort, workerData } from "node:worker_threads";
import { openQueue } from "emmap";

const queue = openQueue(workerData.path, { lockTimeout: 60_000 });
const told = new Int32Array(workerData.shared);
parentPort.postMessage("open");
Atomics.wait(told, 0, 0);
queue.push("from the worker");
Atomics.store(told, 0, 2);
