import { spawn } from "node:child_process";
import { once } from "node:events";
import { truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { open, openCounters, type WaitOptions } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));
const HIGH = 2n ** 32n;

function create(size = 4096) {
  return open(freshPath(), { write: true, create: true, size, shared: true });
}

async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => `resolved with ${String(value)}`,
    (error: unknown) => error,
  );
}

test("a word that holds another value is not waited for", async () => {
  using file = create();
  file.store(8, HIGH);
  expect(await file.wait(8, 0)).toBe("not-equal");
  expect(await file.wait(8, HIGH + 1n, { timeout: 0 })).toBe("not-equal");
  expect(await file.wait(8, HIGH, { timeout: 0 })).toBe("timed-out");
});

test("a wait ends when its time is over, and not before", async () => {
  using file = create();
  const before = performance.now();
  expect(await file.wait(8, 0, { timeout: 30 })).toBe("timed-out");
  expect(performance.now() - before).toBeGreaterThanOrEqual(29);
});

test("a notify wakes as many as it says, at once and when they sleep", async () => {
  using file = create();
  for (const pause of [0, 5]) {
    const waits = Array.from({ length: 5 }, () => file.wait(16, 0n));
    if (pause > 0) await sleep(pause);
    expect(file.notify(8)).toBe(0);
    expect(file.notify(16, 0)).toBe(0);
    expect(file.notify(16, 2)).toBe(2);
    expect(file.notify(16)).toBe(3);
    expect(await Promise.all(waits)).toEqual(Array(5).fill("ok"));
    expect(file.notify(16)).toBe(0);
  }
});

test("a wait ends with the change, and all 64 bits count", async () => {
  using file = create();
  for (const change of [1n, HIGH, -(2n ** 63n)]) {
    const value = file.load(8);
    const waiting = file.wait(8, value, { timeout: Infinity });
    await sleep(2);
    file.add(8, change);
    file.notify(8, 1n);
    expect(await waiting).toBe("ok");
  }
});

test("a change that nobody notifies of is seen", async () => {
  using file = create();
  const waiting = file.wait(8, 0n);
  await sleep(2);
  file.store(8, HIGH);
  expect(await waiting).toBe("ok");
});

test("counters wait by their index", async () => {
  using counters = openCounters(freshPath(), 4);
  const waiting = counters.wait(3, 0);
  expect([counters.notify(2), counters.notify(3, 1)]).toEqual([0, 1]);
  expect(await waiting).toBe("ok");
  counters.add(3, 5);
  expect(await counters.wait(3, 0)).toBe("not-equal");
  expect(await counters.wait(3, 5, { timeout: 1 })).toBe("timed-out");
  expect(await rejectionOf(counters.wait(4, 0))).toMatchObject({ code: "EINVAL", operation: "counter_wait" });
  expect(thrownBy(() => counters.notify(4))).toMatchObject({ code: "EINVAL", operation: "counter_notify" });
});

test("a read-only handle waits and notifies", async () => {
  const path = freshPath();
  using file = open(path, { write: true, create: true, size: 64, shared: true });
  using reader = open(path);
  const waiting = reader.wait(8, 0n);
  await sleep(5);
  expect(file.notify(8)).toBe(1);
  expect(await waiting).toBe("ok");
  const other = file.wait(8, 0n);
  expect(reader.notify(8)).toBe(1);
  expect(await other).toBe("ok");
});

test("closing the file rejects", async () => {
  const file = create();
  const waits = [file.wait(8, 0), file.wait(16, 0, { timeout: 60_000 })];
  await sleep(2);
  file.close();
  for (const wait of waits)
    expect(await rejectionOf(wait)).toMatchObject({
      name: "EmmapError",
      code: "EMMAP_CLOSED",
      path: file.path,
    });
  expect(await rejectionOf(file.wait(8, 0))).toMatchObject({ code: "EMMAP_CLOSED", operation: "wait" });
  expect(thrownBy(() => file.notify(8))).toMatchObject({ code: "EMMAP_CLOSED", operation: "notify" });
});

test("a signal rejects with its reason, and the notify goes to another", async () => {
  using file = create();
  const reason = new Error("enough");
  expect(await rejectionOf(file.wait(8, 0, { signal: AbortSignal.abort(reason) }))).toBe(reason);
  const controller = new AbortController();
  const aborted = file.wait(8, 0, { signal: controller.signal });
  const other = file.wait(8, 0);
  await sleep(2);
  controller.abort(reason);
  expect(await rejectionOf(aborted)).toBe(reason);
  expect(file.notify(8, 1)).toBe(1);
  expect(await other).toBe("ok");
  expect(await rejectionOf(file.wait(8, 0, { signal: AbortSignal.timeout(5) }))).toMatchObject({
    name: "TimeoutError",
  });
});

test("a truncated file, and one that becomes shorter, reject", async () => {
  const path = freshPath();
  using file = open(path, { write: true, create: true, size: 65_536, shared: true });
  const shortened = file.wait(16_384, 0);
  await sleep(2);
  file.resize(8192);
  expect(await rejectionOf(shortened)).toMatchObject({ code: "EINVAL" });
  const truncated = file.wait(4096, 0);
  await sleep(2);
  truncateSync(path, 0);
  expect(await rejectionOf(truncated)).toMatchObject({ code: "EFAULT", path });
});

test("a file that grows goes on", async () => {
  using file = create(4096);
  const waiting = file.wait(8, 0);
  await sleep(2);
  file.resize(1 << 20);
  expect(file.notify(8)).toBe(1);
  expect(await waiting).toBe("ok");
});

test("wrong arguments are refused", async () => {
  using file = create();
  const wait = (position: unknown, expected: unknown, options?: unknown) =>
    rejectionOf(file.wait(position as number, expected as number, options as WaitOptions));
  expect(await wait(4, 0)).toMatchObject({ code: "EMMAP_ALIGNMENT" });
  expect(await wait(4096, 0)).toMatchObject({ code: "EINVAL" });
  expect(await wait("8", 0)).toMatchObject({ code: "ERR_INVALID_ARG_TYPE" });
  expect(await wait(8, 2n ** 64n)).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
  expect(await wait(8, 0, { timeout: -1 })).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
  expect(await wait(8, 0, { timeout: Number.NaN })).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
  expect(await wait(8, 0, { timeout: "1" })).toMatchObject({ code: "ERR_INVALID_ARG_TYPE" });
  expect(await wait(8, 0, { signal: {} })).toMatchObject({ code: "ERR_INVALID_ARG_TYPE" });
  expect(await wait(8, 0, { timeOut: 1 })).toMatchObject({ code: "ERR_INVALID_ARG_VALUE" });
  expect(thrownBy(() => file.notify(8, -1))).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
  expect(thrownBy(() => file.notify(4))).toMatchObject({ code: "EMMAP_ALIGNMENT" });
  using own = open(freshPath(), { write: true, create: true, size: 64, private: true });
  expect(await rejectionOf(own.wait(8, 0))).toMatchObject({ code: "EINVAL" });
});

test("more waits than there may be are refused, and the others go on", async () => {
  using file = create();
  const waits = Array.from({ length: 1024 }, () => file.wait(8, 0));
  expect(await rejectionOf(file.wait(8, 0))).toMatchObject({ code: "ENOMEM" });
  file.store(8, 1);
  file.notify(8);
  expect(new Set(await Promise.all(waits))).toEqual(new Set(["ok"]));
});

test("a worker and the main thread hand over to each other", async () => {
  using counters = openCounters(freshPath(), 2);
  const rounds = 500;
  const worker = new Worker(
    `const { openCounters } = require(${PACKAGE});
     const counters = openCounters(require("node:worker_threads").workerData, 2);
     (async () => {
       for (let round = 0n; round < ${rounds}n; round++) {
         while (counters.get(0) === round) await counters.wait(0, round);
         counters.add(1, 1n);
         counters.notify(1);
       }
     })();`,
    { eval: true, workerData: counters.path },
  );
  const exit = once(worker, "exit");
  for (let round = 0n; round < rounds; round++) {
    counters.add(0, 1n);
    counters.notify(0);
    while (counters.get(1) === round) await counters.wait(1, round);
  }
  expect(await exit).toEqual([0]);
});

test("workers that wait are terminated at once, and hear of nothing afterwards", async () => {
  const path = freshPath();
  using file = open(path, { write: true, create: true, size: 64, shared: true });
  for (let round = 0; round < 20; round++) {
    const worker = new Worker(
      `const { open } = require(${PACKAGE});
       const { parentPort, workerData } = require("node:worker_threads");
       const file = open(workerData, { write: true, shared: true });
       for (let i = 0; i < 10; i++) file.wait(8, 0n);
       parentPort.postMessage("waits");`,
      { eval: true, workerData: path },
    );
    await once(worker, "message");
    const before = performance.now();
    // The notify comes as the worker ends.
    if (round % 2 === 1) file.notify(8);
    await worker.terminate();
    expect(performance.now() - before).toBeLessThan(1000);
  }
  await expect.poll(() => file.notify(8)).toBe(0);
});

async function endOf(code: string): Promise<[number | null, number]> {
  const child = spawn(process.execPath, ["-e", code], { stdio: ["ignore", "pipe", "inherit"] });
  const exit = once(child, "exit");
  let said = 0;
  child.stdout.once("data", () => {
    said = performance.now();
  });
  const [status] = await exit;
  return [status, performance.now() - said];
}

test("a process that waits may exit, and one that does not exit is kept alive", async () => {
  const path = JSON.stringify(freshPath());
  const opened = `const file = require(${PACKAGE}).open(${path}, { write: true, create: true, size: 64, shared: true });`;
  const [status, time] = await endOf(
    `${opened} for (let i = 0; i < 50; i++) file.wait(8, 0n);
     setTimeout(() => { console.log("exits"); process.exit(7); }, 20);`,
  );
  expect(status).toBe(7);
  expect(time).toBeLessThan(2000);
  const [kept] = await endOf(
    `${opened} file.wait(8, 0n, { timeout: 100 }).then((result) => { process.exitCode = result === "timed-out" ? 3 : 4; });
     console.log("waits");`,
  );
  expect(kept).toBe(3);
  const [left] = await endOf(
    `${opened} const controller = new AbortController();
     file.wait(8, 0n, { signal: controller.signal }).catch(() => { process.exitCode = 5; });
     setTimeout(() => controller.abort(), 10); console.log("waits");`,
  );
  expect(left).toBe(5);
});
