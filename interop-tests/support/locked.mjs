// A worker that pushes to a queue while another process has its lock: locked.mjs PATH. Its limit is a minute.
import { parentPort, workerData } from "node:worker_threads";
import { openQueue } from "emmap";

const queue = openQueue(workerData.path, { lockTimeout: 60_000 });
const told = new Int32Array(workerData.shared);
parentPort.postMessage("open");
Atomics.wait(told, 0, 0);
queue.push("from the worker");
Atomics.store(told, 0, 2);
