// Deliveries: messages that are taken, and acknowledged or released.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdirSync, openSync, writeFileSync, writeSync } from "node:fs";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describe, expect, expectTypeOf, test } from "vitest";
import { type Delivery, EMPTY, openQueue, type Queue } from "../src";
import { atom, type Json } from "../src/etf";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

const create = (options: { exclusive?: true } = {}): Queue<unknown, unknown> =>
  openQueue<unknown>(freshPath(), { ...options, values: "json" });

/** Takes the first message, which has to be there. */
function taken<Out>(queue: Queue<never, Out>): Delivery<Out> {
  const delivery = queue.tryTake();
  if (delivery === null) throw new Error("there is no message");
  return delivery;
}

const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => `resolved with ${String(value)}`,
    (error: unknown) => error,
  );

test.each([{}, { exclusive: true as const }])(
  "a message in hand is nobody else's, and gone when it is acknowledged: %o",
  (options) => {
    using queue = create(options);
    queue.pushMany([1, 2]);
    const first = taken(queue);
    expect([first.message, first.attempt, first.ended]).toEqual([1, 1, false]);
    expect([queue.length(), queue.peek()]).toEqual([1, 2]);
    first.ack();
    expect(first.ended).toBe(true);
    expect(queue.pop()).toBe(2);
    expect(queue.tryTake()).toBe(null);
    expect(thrownBy(() => first.ack())).toMatchObject({ code: "EINVAL", operation: "queue_ack" });
    expect(thrownBy(() => first.release())).toMatchObject({ code: "EINVAL", operation: "queue_release" });
  },
);

test("a released message comes before the others, and counts its attempts", () => {
  using queue = create();
  queue.pushMany([1, 2, 3]);
  const [first, second] = [taken(queue), taken(queue)];
  second.release();
  first.release();
  expect([queue.length(), queue.peek()]).toEqual([3, 1]);
  for (const [message, attempt] of [
    [1, 2],
    [2, 2],
    [3, 1],
  ]) {
    const delivery = taken(queue);
    expect([delivery.message, delivery.attempt]).toEqual([message, attempt]);
    delivery.ack();
  }
});

test("pop, popMany and receive get released messages too", async () => {
  using queue = create();
  queue.pushMany([1, 2, 3]);
  for (let i = 0; i < 3; i++) taken(queue);
  expect(queue.isEmpty()).toBe(true);
  queue.close();
  using again = openQueue<unknown>(queue.path, { values: "json" });
  expect(again.pop()).toBe(1);
  expect(await again.receive()).toBe(2);
  expect(again.popMany(5)).toEqual([3]);
});

test.each([{}, { decode: { atoms: (name: string) => name } }])(
  "popMany goes from released messages to the others: %#",
  (options) => {
    using queue = openQueue(freshPath(), options);
    queue.pushMany(Array.from({ length: 10 }, (_, i) => i));
    const deliveries = Array.from({ length: 3 }, () => taken(queue));
    for (const delivery of deliveries) delivery.release();
    expect(queue.popMany(2)).toEqual([0, 1]);
    expect(queue.popMany(20)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
    queue.pushMany([1, 1, 1]);
    taken(queue).release();
    expect([...queue.popMany(20), ...queue.popMany(20)]).toEqual([1, 1, 1]);
  },
);

test("popMany stops before a released message that is refused", () => {
  using queue = openQueue(freshPath());
  using strict = openQueue(queue.path, { maxInflatedSize: 100 });
  queue.pushMany([1, Array(1000).fill(0), 2]);
  for (const delivery of [taken(queue), taken(queue)]) delivery.release();
  expect(strict.popMany(5)).toEqual([1]);
  expect(thrownBy(() => strict.popMany(5)).code).toBe("EMMAP_REFUSED");
  expect(queue.popMany(5)).toHaveLength(2);
});

test("a delay holds, for a new handle too", async () => {
  const queue = create();
  queue.push(1);
  taken(queue).release(60);
  const released = Date.now();
  expect(queue.tryTake()).toBe(null);
  expect(await queue.take({ timeout: 0 })).toBe(null);
  queue.close();
  using again = openQueue<unknown>(queue.path, { values: "json" });
  const delivery = await again.take();
  expect(Date.now() - released).toBeGreaterThanOrEqual(59);
  expect([delivery.message, delivery.attempt]).toEqual([1, 2]);
});

test("a delay is a number of milliseconds", () => {
  using queue = create();
  queue.push(1);
  const delivery = taken(queue);
  for (const delay of [-1, Number.NaN, 1e15 + 1, Number.POSITIVE_INFINITY])
    expect(thrownBy(() => delivery.release(delay)).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => delivery.release("1" as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  delivery.release(1e15);
  expect(queue.inHand()).toMatchObject([{ released: true, process: 0, program: "" }]);
  expect(queue.inHand()[0]?.due?.getTime()).toBeGreaterThan(1e15);
});

test("using releases a delivery that was not ended", () => {
  using queue = create();
  queue.push(1);
  {
    using job = taken(queue);
    expect(job.message).toBe(1);
  }
  {
    using job = taken(queue);
    expect(job.attempt).toBe(2);
    job.ack();
  }
  expect(queue.isEmpty()).toBe(true);
  queue.push(2);
  {
    using _ = taken(queue);
    queue.close();
  }
});

test("take waits for a push, a release and a close of another handle", async () => {
  using queue = create();
  const other = openQueue<unknown>(queue.path, { values: "json" });
  const pushed = queue.take();
  other.push(1);
  const first = await pushed;
  const released = queue.take();
  await sleep(1);
  first.release();
  (await released).ack();
  queue.push(2);
  taken(other);
  const closed = queue.take();
  await sleep(1);
  other.close();
  expect(await closed).toMatchObject({ message: 2, attempt: 2 });
});

test("take ends with the time, the signal, and the queue", async () => {
  const queue = create();
  expect(await queue.take({ timeout: 20 })).toBe(null);
  const reason = new Error("enough");
  const controller = new AbortController();
  const aborted = queue.take({ signal: controller.signal });
  controller.abort(reason);
  expect(await rejectionOf(aborted)).toBe(reason);
  expect(await rejectionOf(queue.take({ timeout: -1 }))).toBeInstanceOf(RangeError);
  const closed = queue.take();
  queue.close();
  expect(await rejectionOf(closed)).toMatchObject({ code: "EMMAP_CLOSED" });
});

test("each message goes to one of many takers", async () => {
  using queue = create();
  const got: unknown[] = [];
  const takers = Array.from({ length: 20 }, async () => {
    for (;;) {
      using job = await queue.take();
      if (job.message === "stop") return job.ack();
      if (job.attempt === 1 && (job.message as number) % 3 === 0) continue;
      got.push(job.message);
      job.ack();
    }
  });
  for (let i = 0; i < 1000; i++) {
    queue.push(i);
    if (i % 7 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  for (const _ of takers) queue.push("stop");
  await Promise.all(takers);
  expect(got.sort((a, b) => Number(a) - Number(b))).toEqual(Array.from({ length: 1000 }, (_, i) => i));
  expect(queue.info()).toMatchObject({ inHand: 0, released: 0 });
});

test("a message that can't be decoded is taken, and can be ended", () => {
  using raw = openQueue(freshPath(), { raw: true });
  using queue = openQueue(raw.path);
  using strict = openQueue(raw.path, { maxInflatedSize: 10 });
  raw.push("no term.");
  const bad = taken(queue);
  expect(thrownBy(() => bad.message)).toMatchObject({
    code: "EMMAP_BAD_TERM",
    bytes: Buffer.from("no term."),
  });
  bad.release();
  taken(queue).ack();
  queue.push([1, 2, 3]);
  const refused = taken(strict);
  expect(thrownBy(() => refused.message).code).toBe("EMMAP_REFUSED");
  refused.release();
  expect(taken(queue).message).toEqual([1, 2, 3]);
});

test("a function of the user's for atoms may use the queue, and throw", () => {
  const path = freshPath();
  const options = {
    decode: {
      atoms: (name: string): unknown => {
        if (name === "bad") throw new Error("no such atom");
        return [name, queue.tryTake()?.message];
      },
    },
  };
  const queue = openQueue(path, options);
  queue.pushMany([atom("one"), 2, atom("bad")]);
  expect(taken(queue).message).toEqual(["one", 2]);
  const error = thrownBy(() => taken(queue).message) as { code?: unknown; cause?: unknown };
  expect(error).toMatchObject({ code: "EMMAP_BAD_TERM", cause: { message: "no such atom" } });
  queue.close();
});

test("long messages, and views, are not overwritten by the next take", () => {
  const path = freshPath();
  using queue = openQueue(path, { decode: { binaries: "view" } });
  using raw = openQueue(path, { raw: true });
  const messages = [10, 3000, 5000, 100_000].map((length, i) => Buffer.alloc(length, i + 1));
  queue.pushMany([...messages, ...messages]);
  expect(messages.map(() => taken(queue)).map(({ message }) => message)).toEqual(messages);
  const bytes = messages.map(() => taken(raw)).map(({ message }) => message);
  expect(bytes.map((each) => each.length >= 10)).toEqual([true, true, true, true]);
  expect(new Set(bytes.map((each) => each.at(-100 % each.length) ?? each[8])).size).toBeGreaterThan(1);
});

describe("a loop over deliveries", () => {
  test("hands out one after the other, and releases the last one when it is left", async () => {
    using queue = create();
    queue.pushMany([1, 2, 3, 4]);
    const kept: Delivery<unknown>[] = [];
    for await (const job of queue.deliveries()) {
      if (job.message === 1) job.ack();
      else if (job.message === 2) kept.push(job);
      else break;
    }
    expect(kept[0]?.ended).toBe(false);
    const failed = (async () => {
      for await (const job of queue.deliveries()) throw new Error(`failed at ${job.message}`);
    })();
    expect(await rejectionOf(failed)).toMatchObject({ message: "failed at 3" });
    expect(taken(queue)).toMatchObject({ message: 3, attempt: 3 });
    expect(queue.info()).toMatchObject({ inHand: 2, released: 0 });
  });

  test("ends with the signal's reason, and lets other work run", async () => {
    using queue = create();
    const controller = new AbortController();
    const reason = new Error("enough");
    const looping = (async () => {
      for await (const job of queue.deliveries({ signal: controller.signal })) job.release();
    })();
    queue.push(1);
    await sleep(20);
    controller.abort(reason);
    expect(await rejectionOf(looping)).toBe(reason);
    expect(queue.length()).toBe(1);
  });
});

describe("who has what in hand", () => {
  test("inHand lists it, for readers too", () => {
    using queue = create();
    expect([queue.inHand(), queue.info().inHand]).toEqual([[], 0]);
    queue.pushMany(["one", "two", "three"]);
    const before = Date.now();
    const [one, two] = [taken(queue), taken(queue)];
    two.release(60_000);
    using reader = openQueue(queue.path, { read: true });
    const [first, second] = reader.inHand().sort((a, b) => Number(a.released) - Number(b.released));
    expect(first).toMatchObject({
      released: false,
      due: null,
      attempt: 1,
      process: process.pid,
      alive: true,
    });
    expect(first?.since.getTime()).toBeGreaterThanOrEqual(before);
    expect(first?.program).not.toBe("");
    expect(second).toMatchObject({ released: true, attempt: 1 });
    expect(second?.due?.getTime()).toBeGreaterThan(before + 59_000);
    expect(reader.info()).toMatchObject({ inHand: 1, released: 1 });
    one.ack();
  });

  test("repair keeps the sound messages in hand of a damaged file", () => {
    const path = freshPath();
    {
      using queue = openQueue(path);
      queue.pushMany([1, 2, 3]);
      for (let i = 0; i < 3; i++) queue.tryTake();
    }
    const file = openSync(`${path}-taken`, "r+");
    writeSync(file, Buffer.from([255, 255, 255, 255]), 0, 4, 69632 + 256 + 64); // the length of 2
    closeSync(file);
    using queue = openQueue(path);
    expect(thrownBy(() => queue.tryTake()).code).toBe("EMMAP_CORRUPT");
    expect(queue.repair()).toBe(1);
    expect(queue.repair()).toBe(0);
    expect([queue.tryTake()?.message, queue.tryTake()?.message, queue.tryTake()]).toEqual([1, 3, null]);
    using reader = openQueue(path, { read: true });
    expect(thrownBy(() => reader.repair()).code).toBe("EACCES");
  });

  test("releaseAll puts everything back into the queue's file", () => {
    using queue = create();
    queue.pushMany([1, 2, 3, 4]);
    taken(queue).release(60_000);
    const mine = taken(queue);
    expect(queue.releaseAll()).toBe(2);
    expect([...queue]).toEqual([1, 2, 3, 4]);
    expect(thrownBy(() => mine.ack()).code).toBe("EINVAL");
    using other = openQueue<unknown>(queue.path, { values: "json" });
    taken(other);
    expect(thrownBy(() => queue.releaseAll()).code).toBe("EBUSY");
  });
});

test("a damaged file of messages in hand is an error of take, and not of pop", () => {
  const queue = create();
  queue.pushMany([1, 2]);
  taken(queue);
  queue.close();
  writeFileSync(`${queue.path}-taken`, "no such file of emmap's".repeat(10_000));
  using again = openQueue<unknown>(queue.path, { values: "json" });
  expect(thrownBy(() => again.tryTake()).code).toBe("EMMAP_CORRUPT");
  expect(thrownBy(() => again.inHand()).code).toBe("EMMAP_CORRUPT");
  expect(again.pop()).toBe(2);
});

describe("tryPop", () => {
  test("keeps nobody out", async () => {
    using queue = create();
    using other = openQueue<unknown>(queue.path, { values: "json" });
    queue.pushMany([1, 2, 3]);
    let fail = (_: Error): void => {};
    const first = queue.tryPop(() => new Promise((_, reject) => (fail = reject))) as Promise<unknown>;
    expect(other.pop()).toBe(2);
    expect(other.tryPop((message) => message)).toBe(3);
    expect(other.tryPop((message) => message)).toBe(EMPTY);
    fail(new Error("mine"));
    expect(await rejectionOf(first)).toMatchObject({ message: "mine" });
    expect(taken(other)).toMatchObject({ message: 1, attempt: 1 });
  });

  test("runs with thirty at a time", async () => {
    using queue = create();
    queue.pushMany(Array.from({ length: 300 }, (_, i) => i));
    const begun = performance.now();
    const done: unknown[] = [];
    const lanes = Array.from({ length: 30 }, async () => {
      const work = async (message: unknown) => {
        await sleep(20);
        done.push(message);
        return true;
      };
      while ((await queue.tryPop(work)) === true);
    });
    await Promise.all(lanes);
    expect(new Set(done).size).toBe(300);
    expect(performance.now() - begun).toBeLessThan(2000);
  });

  const fails: [string, (queue: Queue<unknown, unknown>) => void][] = [
    ["is damaged", (queue) => writeFileSync(`${queue.path}-taken`, "x".repeat(200_000))],
    ["is a folder", (queue) => mkdirSync(`${queue.path}-taken`)],
  ];
  test.each(fails)("pops in two steps where the file of messages in hand %s", async (_, spoil) => {
    using queue = create();
    queue.pushMany([1, 2]);
    spoil(queue);
    let fulfil = (_: unknown): void => {};
    const first = queue.tryPop(() => new Promise((resolve) => (fulfil = resolve))) as Promise<unknown>;
    expect(thrownBy(() => queue.pop()).code).toBe("EBUSY");
    expect(queue.peek()).toBe(1);
    fulfil("done");
    expect(await first).toBe("done");
    expect(
      thrownBy(() =>
        queue.tryPop(() => {
          throw new Error("mine");
        }),
      ).message,
    ).toBe("mine");
    expect(queue.pop()).toBe(2);
  });

  test("pops in two steps in a folder that can't be written", () => {
    const path = freshPath();
    const folder = dirname(path);
    // Root may write to every folder, so a child becomes nobody. It may not read the package afterwards.
    const { stdout, stderr } = spawnSync(
      process.execPath,
      [
        "-e",
        `const { openQueue } = require(${PACKAGE});
         const { chmodSync, chownSync, existsSync } = require("node:fs");
         const [path, folder] = ${JSON.stringify([path, folder])};
         const NOBODY = 65534;
         if (process.getuid() === 0) {
           chownSync(folder, NOBODY, NOBODY);
           process.setgroups([]);
           process.setgid(NOBODY);
           process.setuid(NOBODY);
         }
         const queue = openQueue(path, { values: "json" });
         queue.push(1);
         chmodSync(folder, 0o500);
         console.log(queue.tryPop((message) => message), existsSync(path + "-taken"));
         chmodSync(folder, 0o700);`,
      ],
      { encoding: "utf8" },
    );
    expect([stdout, stderr]).toEqual(["1 false\n", ""]);
  });
});

test("a child that is killed with messages in hand loses none, and they come within 100 ms", async () => {
  const path = freshPath();
  using queue = openQueue<number>(path, { values: "json" });
  queue.pushMany([1, 2, 3]);
  const child = spawn(process.execPath, [
    "-e",
    `const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)}, { values: "json" });
     queue.tryTake().ack();
     queue.tryTake();
     queue.tryTake();
     console.log("has them");
     setInterval(() => {}, 1000);`,
  ]);
  await once(child.stdout, "data");
  expect(queue.inHand().map((each) => [each.process, each.alive])).toEqual([
    [child.pid, true],
    [child.pid, true],
  ]);
  const waiting = queue.take();
  await sleep(50);
  child.kill("SIGKILL");
  await once(child, "exit");
  const killed = performance.now();
  expect(await waiting).toMatchObject({ message: 2, attempt: 2 });
  // 100 ms, and some for a busy machine.
  expect(performance.now() - killed).toBeLessThan(300);
  expect(taken(queue)).toMatchObject({ message: 3, attempt: 2 });
  expect(queue.tryTake()).toBe(null);
});

test("a worker that is terminated with messages in hand loses none", async () => {
  const path = freshPath();
  using queue = openQueue(path);
  queue.pushMany([1, 2]);
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)});
     const kept = queue.tryTake();
     parentPort.postMessage("has it");
     queue.take().then(() => queue.take());`,
    { eval: true },
  );
  await once(worker, "message");
  const waiting = queue.take();
  await sleep(10);
  await worker.terminate();
  const [first, second] = [await waiting, await queue.take({ timeout: 1000 })];
  expect([first.message, second?.message].sort()).toEqual([1, 2]);
});

test("the types of messages flow through", () => {
  interface Job {
    picture: string;
  }
  using jobs = openQueue<Job>(freshPath(), { values: "json" });
  using values = openQueue(freshPath(), { values: "json" });
  expectTypeOf(jobs.tryTake()).toEqualTypeOf<Delivery<Job> | null>();
  expectTypeOf(values.tryTake()).toEqualTypeOf<Delivery<Json> | null>();
  const compiled = async () => {
    expectTypeOf(await jobs.take()).toEqualTypeOf<Delivery<Job>>();
    expectTypeOf(await jobs.take({ timeout: 1 })).toEqualTypeOf<Delivery<Job> | null>();
    for await (const job of jobs.deliveries()) expectTypeOf(job.message).toEqualTypeOf<Job>();
  };
  expect(compiled).toBeTypeOf("function");
});
