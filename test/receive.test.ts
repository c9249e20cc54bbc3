import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, readdirSync, readlinkSync, renameSync, rmSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { EMPTY, openQueue } from "../src";
import { atom } from "../src/etf";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

function create(exclusive = true) {
  return openQueue<unknown>(freshPath(), { size: 4096, exclusive, values: "json" });
}

async function rejectionOf(promise: Promise<unknown>): Promise<unknown> {
  return await promise.then(
    (value) => `resolved with ${String(value)}`,
    (error: unknown) => error,
  );
}

test("a message that is there is received at once, in its turn", async () => {
  using queue = create();
  queue.push(1);
  queue.push(2);
  expect(await queue.receive({ timeout: 0 })).toBe(1);
  expect(await queue.receive()).toBe(2);
});

test.each([true, false])("who waits receives what is pushed: exclusive %s", async (exclusive) => {
  using queue = create(exclusive);
  for (let i = 0; i < 50; i++) {
    const receiving = queue.receive({ timeout: 10_000 });
    await sleep(i % 3);
    queue.push(i);
    expect(await receiving).toBe(i);
  }
});

test("a message of another handle is received", async () => {
  using queue = create(false);
  using other = openQueue<unknown>(queue.path, { values: "json" });
  for (let i = 0; i < 5; i++) {
    const receiving = queue.receive({ timeout: 10_000 });
    await sleep(i);
    other.push(i);
    expect(await receiving).toBe(i);
  }
});

test("without a message it is EMPTY when the time is over, and not before", async () => {
  using queue = create();
  expect(await queue.receive({ timeout: 0 })).toBe(EMPTY);
  for (const timeout of [30, 150]) {
    const before = performance.now();
    expect(await queue.receive({ timeout })).toBe(EMPTY);
    expect(performance.now() - before).toBeGreaterThanOrEqual(timeout - 1);
  }
});

test("null is a message", async () => {
  using queue = create();
  const receiving = queue.receive();
  queue.push(null);
  expect(await receiving).toBe(null);
});

test("bad options are refused", async () => {
  using queue = create();
  queue.push("kept");
  expect(await rejectionOf(queue.receive(null as unknown as object))).toBeInstanceOf(TypeError);
  for (const timeout of [-1, Number.NaN])
    expect(await rejectionOf(queue.receive({ timeout }))).toBeInstanceOf(RangeError);
  expect(await rejectionOf(queue.receive({ timeout: "1" as unknown as number }))).toBeInstanceOf(TypeError);
  expect(await rejectionOf(queue.receive({ signal: {} as AbortSignal }))).toBeInstanceOf(TypeError);
  const unknown = { timeOut: 1 } as object;
  const misspelled = { code: "ERR_INVALID_ARG_VALUE", message: expect.stringContaining('"timeout"') };
  expect(await rejectionOf(queue.receive(unknown))).toMatchObject(misspelled);
  expect(await rejectionOf(queue.wait(unknown))).toMatchObject(misspelled);
  expect(await rejectionOf(queue.messages({ timeout: 1 } as object).next())).toMatchObject({
    code: "ERR_INVALID_ARG_VALUE",
  });
  expect(queue.pop()).toBe("kept");
});

/** The FIFOs that this process has open. */
const fifos = () =>
  readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).includes("-live/bell.");
    } catch {
      return false;
    }
  }).length;

const showsDescriptors = existsSync("/proc/self/fd");
if (!showsDescriptors)
  console.warn("NOT TESTED: that a bell goes with its queue, since there is no /proc/self/fd");

test.skipIf(!showsDescriptors)("a queue's bell goes with the queue, closed or collected", async () => {
  const before = fifos();
  const queue = create(false);
  const other = openQueue<unknown>(queue.path, { values: "json" });
  const receiving = queue.receive();
  expect(fifos()).toBe(before + 2);
  expect(readdirSync(`${queue.path}-live`).sort()).toEqual(["bell.0", "state"]);
  other.push(1);
  expect(await receiving).toBe(1);
  queue.close();
  expect(readdirSync(`${queue.path}-live`)).toEqual(["state"]);
  // The other handle keeps the bell open that it rang.
  other.close();
  await expect.poll(fifos).toBe(before);
  await (async () => {
    const left = openQueue(queue.path);
    await left.receive({ timeout: 10 });
  })();
  expect(fifos()).toBe(before + 2);
  await expect
    .poll(
      () => {
        global.gc?.();
        return fifos();
      },
      { timeout: 10_000 },
    )
    .toBe(before);
});

test("of several waits of one queue each gets a message", async () => {
  using queue = create(false);
  using other = openQueue<unknown>(queue.path, { values: "json" });
  for (let round = 0; round < 20; round++) {
    const all = [1, 2, 3].map(() => queue.receive({ timeout: 10_000 }));
    other.pushMany([1, 2, 3]);
    expect((await Promise.all(all)).sort()).toEqual([1, 2, 3]);
  }
});

test("a wait by the bell that is aborted passes its message on", async () => {
  using queue = create(false);
  using other = openQueue<unknown>(queue.path, { values: "json" });
  for (let round = 0; round < 20; round++) {
    const abort = new AbortController();
    const aborted = rejectionOf(queue.receive({ signal: abort.signal }));
    const receiving = other.receive({ timeout: 10_000 });
    queue.push(round);
    abort.abort(new Error("aborted"));
    const first = await aborted;
    if (first instanceof Error) expect(await receiving).toBe(round);
    else {
      other.push("end");
      expect(await receiving).toBe("end");
    }
  }
});

test("one that follows is told that the new file is in use under another name", async () => {
  const path = freshPath();
  using queue = openQueue(path, { follow: true });
  using other = openQueue(`${path}.new`);
  const receiving = rejectionOf(queue.receive({ timeout: 10_000 }));
  other.push("new");
  renameSync(`${path}.new`, path);
  expect(await receiving).toMatchObject({ code: "ESTALE" });
  other.close();
  await sleep(1000);
  expect(await queue.receive({ timeout: 10_000 })).toEqual(Buffer.from("new"));
});

test("a function of the user's is called where it may wait, and one that throws does not end it", async () => {
  const path = freshPath();
  using other = openQueue(path, { size: 4096 });
  const atoms = (name: string): string => (other.isEmpty() ? name : `${name} and others`);
  using queue = openQueue(path, { decode: { atoms } });
  queue.push(atom("one"));
  expect(await queue.receive()).toBe("one");
  queue.push(atom("two"));
  let fail = (_: Error): void => {};
  const taking = queue.tryPop(() => new Promise((_, reject) => (fail = reject))) as Promise<unknown>;
  expect(await queue.receive({ timeout: 20 })).toBe(EMPTY);
  fail(new Error("no"));
  await rejectionOf(taking);
  expect(await queue.receive()).toBe("two");
});

test("a queue whose file another one has replaced says so to who waits", async () => {
  using queue = create(false);
  const receiving = queue.receive({ timeout: 10_000 });
  rmSync(queue.path);
  expect(await rejectionOf(receiving)).toMatchObject({ code: "ESTALE" });
});

test("a queue whose file is truncated says so to who waits", async () => {
  using queue = create(false);
  const receiving = queue.receive({ timeout: 10_000 });
  truncateSync(queue.path, 0);
  expect(await rejectionOf(receiving)).toMatchObject({ code: "EFAULT" });
});

test("a signal ends it with its reason, and no message is lost", async () => {
  using queue = create();
  const controller = new AbortController();
  const receiving = queue.receive({ signal: controller.signal });
  const reason = new Error("enough");
  controller.abort(reason);
  queue.push(1);
  expect(await rejectionOf(receiving)).toBe(reason);
  expect(await rejectionOf(queue.receive({ signal: controller.signal }))).toBe(reason);
  expect(queue.pop()).toBe(1);
});

test("a signal in the moment of a push loses nothing", async () => {
  using queue = create();
  let received = 0;
  for (let i = 0; i < 200; i++) {
    const controller = new AbortController();
    const receiving = queue.receive({ signal: controller.signal }).catch(() => EMPTY);
    if (i % 2 === 0) await sleep(0);
    queue.push(i);
    if (i % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
    controller.abort();
    if ((await receiving) !== EMPTY) received++;
  }
  expect(queue.length() + received).toBe(200);
});

test.each([true, false])("closing the queue ends it: exclusive %s", async (exclusive) => {
  const queue = create(exclusive);
  const receiving = queue.receive();
  await sleep(1);
  queue.close();
  expect(await rejectionOf(receiving)).toMatchObject({ code: "EMMAP_CLOSED", path: queue.path });
  expect(await rejectionOf(queue.receive())).toMatchObject({ code: "EMMAP_CLOSED" });
});

test("each message goes to one of many who wait", async () => {
  using queue = create();
  const received: number[] = [];
  const receivers = Array.from({ length: 20 }, async () => {
    for (;;) {
      const message = await queue.receive();
      if (message === "stop") return;
      received.push(message as number);
    }
  });
  for (let i = 0; i < 1000; i++) {
    queue.push(i);
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const _ of receivers) queue.push("stop");
  await Promise.all(receivers);
  expect(received.sort((a, b) => a - b)).toEqual(Array.from({ length: 1000 }, (_, i) => i));
});

test("a message that somebody takes out is received when it is put back", async () => {
  using queue = create();
  queue.push("first");
  let fail = (_: Error): void => {};
  const taking = queue.tryPop(() => new Promise((_, reject) => (fail = reject))) as Promise<unknown>;
  const receiving = queue.receive();
  await sleep(1);
  fail(new Error("no"));
  expect(await rejectionOf(taking)).toMatchObject({ message: "no" });
  expect(await receiving).toBe("first");
});

test.each([true, false])("a wait takes no message: exclusive %s", async (exclusive) => {
  using queue = create(exclusive);
  expect(await queue.wait({ timeout: 0 })).toBe("timed-out");
  const waiting = queue.wait();
  queue.push("first");
  expect(await waiting).toBe("ok");
  expect(await queue.wait({ timeout: 0 })).toBe("ok");
  expect(queue.pop()).toBe("first");
  const reason = new Error("enough");
  expect(await rejectionOf(queue.wait({ signal: AbortSignal.abort(reason) }))).toBe(reason);
  const late = queue.wait();
  queue.close();
  expect(await rejectionOf(late)).toMatchObject({ code: "EMMAP_CLOSED" });
});

test("who waits and takes by tryPop takes all messages, one after the other", async () => {
  using queue = create();
  const taken: unknown[] = [];
  const takers = Array.from({ length: 5 }, async () => {
    while (taken.length < 100) {
      if ((await queue.wait({ timeout: 20 })) === "ok") queue.tryPop((message) => taken.push(message));
    }
  });
  for (let i = 0; i < 100; i++) {
    queue.push(i);
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await Promise.all(takers);
  expect(taken).toEqual(Array.from({ length: 100 }, (_, i) => i));
});

test("a loop over the messages waits for them, and takes no other when it is left", async () => {
  using queue = create();
  const pushing = (async () => {
    for (let i = 0; i < 10; i++) {
      queue.push(i);
      await sleep(1);
    }
  })();
  const received: unknown[] = [];
  for await (const message of queue.messages()) {
    received.push(message);
    if (received.length === 5) break;
  }
  await pushing;
  expect(received).toEqual([0, 1, 2, 3, 4]);
  expect([...queue]).toEqual([5, 6, 7, 8, 9]);
});

test("a loop over the messages ends with the signal's reason", async () => {
  using queue = create();
  const controller = new AbortController();
  const reason = new Error("enough");
  const looping = (async () => {
    for await (const _ of queue.messages({ signal: controller.signal })) queue.push(1);
  })();
  queue.push(1);
  // The loop never finds the queue empty, and lets this run nevertheless.
  await sleep(20);
  controller.abort(reason);
  expect(await rejectionOf(looping)).toBe(reason);
});

async function outputOf(source: string): Promise<string> {
  const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (data) => {
    output += data;
  });
  await once(child, "close");
  return output;
}

/** A new queue, and a receiver. */
const opens = () =>
  `const { openQueue } = require(${PACKAGE});
   const queue = openQueue(${JSON.stringify(freshPath())}, { size: 4096, exclusive: true });`;

test("waiting keeps the process alive, unless it is told not to", async () => {
  const waits = () => `${opens()} queue.receive().then((message) => console.log("received", message));`;
  expect(await outputOf(`${waits()} setTimeout(() => queue.push(1), 50);`)).toBe("received 1\n");
  expect(await outputOf(`${waits()} queue.unref();`)).toBe("");
  expect(await outputOf(`${opens()} queue.unref(); queue.receive();`)).toBe("");
  expect(await outputOf(`${waits()} queue.unref().ref(); setTimeout(() => queue.push(2), 50).unref();`)).toBe(
    "received 2\n",
  );
});

test("a worker that waits ends when it is told to, and leaves the message", async () => {
  const path = freshPath();
  using queue = openQueue(path, { size: 4096 });
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)});
     queue.receive();
     parentPort.postMessage("waits");`,
    { eval: true },
  );
  await once(worker, "message");
  await worker.terminate();
  queue.push(1);
  expect(queue.pop()).toBe(1);
});
