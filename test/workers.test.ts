import { once } from "node:events";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { open, openCounters } from "../src";
import { collectUntil } from "./support/collect";
import { descriptorsOf, freshPath, mappingsOf, patternFile } from "./support/files";

// Workers run JavaScript: the built package, over the same addon.
const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

/** A worker that runs `body`, which can use emmap, the path in `workerData`, and `post`. */
function start(path: string, body: string): Worker {
  const code = `
    const { open, openCounters } = require(${PACKAGE});
    const { parentPort, workerData: path } = require("node:worker_threads");
    const post = (message, transfer) => parentPort.postMessage(message, transfer);
    ${body}`;
  return new Worker(code, { eval: true, workerData: path });
}

async function answerOf(worker: Worker): Promise<unknown> {
  const [message] = await once(worker, "message");
  return message;
}

/** Call it before you await anything that may end the worker. */
async function exitOf(worker: Worker): Promise<number> {
  const [status] = await once(worker, "exit");
  return status;
}

test("two workers and the main thread add to the same counter, and nothing is lost", async () => {
  const path = freshPath();
  using counters = openCounters(path, 2);
  const body = `
    const counters = openCounters(path, 2);
    parentPort.once("message", () => {
      for (let i = 0; i < 100000; i++) counters.add(1, 1n);
      counters.close();
      post("done");
      parentPort.close();
    });
    post("ready");`;
  const workers = [start(path, body), start(path, body)];
  await Promise.all(workers.map(answerOf));
  const done = Promise.all(workers.map(answerOf));
  for (const worker of workers) worker.postMessage("go");
  for (let i = 0; i < 100_000; i++) counters.add(1, 1);
  await done;
  expect([...counters]).toEqual([0n, 300_000n]);
});

test("a file that one thread writes is read by the others", async () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  const worker = start(
    path,
    `const file = open(path, { write: true });
     file.pwrite(0, "from the worker");
     post(file.pread(100, 4).toString());`,
  );
  file.pwrite(100, "main");
  expect(await answerOf(worker)).toBe("main");
  expect(file.pread(0, 15)?.toString()).toBe("from the worker");
});

test("errors in a worker are whole", async () => {
  const worker = start(
    freshPath(),
    `try { open(path); } catch (error) { post({ ...error, name: error.name }); }`,
  );
  expect(await answerOf(worker)).toMatchObject({ code: "ENOENT", syscall: "open", name: "EmmapError" });
});

test("two hundred workers that end, or are terminated, with files open leave nothing", async () => {
  const path = patternFile(65_536);
  const body = `
    const files = Array.from({ length: 3 }, () => open(path, { write: true }));
    globalThis.kept = [files, files[0].view(), files[1].bigInt64Array(), files[2]];
    files[2].view(0, 8);
    files[2].close();
    files[0].add(8, 1n);
    files[0].sync();
    post("ready");
    if (Atomics.load(files[0].bigInt64Array(), 0) & 1n) setInterval(() => files[1].add(16, 1), 1);`;
  using file = open(path, { write: true });
  file.store(0, 0);
  file.store(8, 0);
  for (let round = 0; round < 100; round++) {
    file.xor(0, 1);
    const workers = [start(path, body), start(path, body)];
    const exits = workers.map(exitOf);
    await Promise.all(workers.map(answerOf));
    if (round % 2 === 0) await Promise.all(workers.map((worker) => worker.terminate()));
    await Promise.all(exits);
  }
  expect(file.load(8)).toBe(200n);
  expect([descriptorsOf(path), mappingsOf(path)]).toEqual([1, 1]);
});

test("a worker that is terminated in the middle of its work leaves nothing", async () => {
  const path = patternFile(65_536);
  for (let round = 0; round < 20; round++) {
    const worker = start(
      path,
      `post("ready");
       for (;;) {
         const file = open(path, { write: true });
         file.view().fill(1);
         file.add(0, 1n);
         file.sync();
         file.resize();
         if (file.size > 1 << 20) { file.close(); open(path, { write: true }).resize(65536); }
       }`,
    );
    await answerOf(worker);
    await worker.terminate();
  }
  await collectUntil(() => descriptorsOf(path) + mappingsOf(path) === 0);
});

test("the addon may be loaded by workers alone, one after the other, and faults are still caught", async () => {
  const path = patternFile(16_384);
  for (let round = 0; round < 5; round++) {
    const worker = start(
      path,
      `const file = open(path, { write: true });
       file.resize(16384);
       require("node:fs").truncateSync(path, 4096);
       try { file.pread(12000, 8); } catch (error) { post(error.code); }`,
    );
    const exit = exitOf(worker);
    expect(await answerOf(worker)).toBe("EFAULT");
    await exit;
  }
});

test("memory that a worker gave away with transfer() outlives it", async () => {
  const path = patternFile(4096);
  const worker = start(
    path,
    `const { buffer } = open(path, { write: true }).view();
     const given = buffer.transfer ? buffer.transfer() : new Uint8Array(buffer).slice().buffer;
     post(given, [given]);`,
  );
  const exit = exitOf(worker);
  const given = (await answerOf(worker)) as ArrayBuffer;
  await exit;
  await collectUntil(() => true);
  expect(new Uint8Array(given)[250]).toBe(250);
});
