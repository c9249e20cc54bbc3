// Consumers: queue.process.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { describe, expect, expectTypeOf, test, vi } from "vitest";
import {
  type Consumer,
  type ConsumerEvent,
  type DeadLetter,
  type Delivery,
  openQueue,
  type Queue,
} from "../src";
import { atom, tuple } from "../src/etf";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));
const AT_ONCE = { backoff: () => 0 };

function create(options: { exclusive?: true } = {}): Queue<unknown, unknown> {
  return openQueue<unknown>(freshPath(), { ...options, values: "json" });
}

const numbers = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    (value) => `resolved with ${String(value)}`,
    (error: unknown) => error,
  );

/** Resolves when the queue has no message left, and none in hand. */
async function drained(queue: Queue<never, unknown>): Promise<void> {
  await vi.waitFor(() => expect([queue.isEmpty(), queue.inHand()]).toEqual([true, []]), { timeout: 20_000 });
}

test.each([{}, { exclusive: true as const }])(
  "each message goes to the handler once, in order: %o",
  async (options) => {
    using queue = create(options);
    queue.pushMany(numbers(100));
    const seen: unknown[] = [];
    const consumer = queue.process(async (message, { attempt }) => {
      if (seen.length % 3 === 0) await sleep(0);
      seen.push(message);
      expect(attempt).toBe(1);
    });
    for (let i = 100; i < 150; i++) {
      queue.push(i);
      await sleep(i % 2);
    }
    await drained(queue);
    await consumer.stop();
    expect(seen).toEqual(numbers(150));
    expect(consumer.inHand).toBe(0);
  },
);

test("a handler that returns no promise is enough", async () => {
  using queue = create();
  queue.pushMany(numbers(10_000));
  let sum = 0;
  const consumer = queue.process((message) => {
    sum += message as number;
  });
  await drained(queue);
  expect(sum).toBe((9999 * 10_000) / 2);
  await consumer.stop();
});

test("thirty at a time take a thirtieth of the time, and no more than that are in hand", async () => {
  using queue = create();
  queue.pushMany(numbers(300));
  let most = 0;
  const done = new Set<unknown>();
  const begun = performance.now();
  const consumer = queue.process(
    async (message) => {
      most = Math.max(most, consumer.inHand);
      await sleep(20);
      done.add(message);
    },
    { concurrency: 30 },
  );
  await vi.waitFor(() => expect(done.size).toBe(300), { interval: 5 });
  expect(performance.now() - begun).toBeLessThan(2000);
  expect(most).toBe(30);
  await consumer.stop();
});

describe("a handler that fails", () => {
  test("gets the message again, after delays that grow", async () => {
    using queue = create();
    queue.push("job");
    const events: ConsumerEvent[] = [];
    const consumer = queue.process(
      (_, { attempt }) => {
        if (attempt < 4) throw new Error(`attempt ${attempt}`);
      },
      { backoff: { initial: 10, factor: 3, max: 50, jitter: 0 }, onEvent: (event) => events.push(event) },
    );
    await drained(queue);
    await consumer.stop();
    expect(events.filter(({ type }) => type !== "started")).toMatchObject([
      {
        type: "failed",
        delay: 10,
        error: { message: "attempt 1" },
        delivery: { attempt: 1, message: "job" },
      },
      { type: "failed", delay: 30, error: { message: "attempt 2" } },
      { type: "failed", delay: 50 },
      { type: "done", delivery: { attempt: 4 } },
    ]);
    expect(events.filter(({ type }) => type === "started")).toHaveLength(4);
  });

  test("does not hold up others", async () => {
    using queue = create();
    queue.pushMany(numbers(20));
    const done: unknown[] = [];
    const consumer = queue.process(
      async (message) => {
        if (message === 0) throw new Error("always");
        done.push(message);
      },
      { backoff: { initial: 60_000 } },
    );
    await vi.waitFor(() => expect(done).toEqual(numbers(20).slice(1)));
    await consumer.stop();
    expect(queue.inHand()).toMatchObject([{ released: true, attempt: 1 }]);
  });

  test.each([
    ["a negative number", () => -1, "from 0 to 1e15"],
    ["NaN", () => Number.NaN, "from 0 to 1e15"],
    ["Infinity", () => Number.POSITIVE_INFINITY, "from 0 to 1e15"],
    ["too much", () => 1e15 + 1, "from 0 to 1e15"],
    ["a text", () => "1" as never, "of type number"],
    ["an exception", () => expect.fail("no delay"), "no delay"],
  ])("comes back after the default delay if backoff gives %s", async (_, backoff, text) => {
    using queue = create();
    queue.push("job");
    const events: ConsumerEvent[] = [];
    const consumer = queue.process(() => Promise.reject(new Error("no")), {
      backoff,
      onEvent: (event) => events.push(event),
    });
    await vi.waitFor(() => expect(events).toHaveLength(3));
    await consumer.stop();
    expect(events).toMatchObject([
      { type: "started" },
      { type: "error", error: { message: expect.stringContaining(text) } },
      { type: "failed", delay: expect.any(Number), error: { message: "no" } },
    ]);
    const [{ due, since, ...rest } = expect.fail("gone")] = queue.inHand();
    expect(rest).toMatchObject({ released: true, attempt: 1 });
    expect(Number(due) - Number(since)).toBeGreaterThanOrEqual(800);
    expect(Number(due) - Number(since)).toBeLessThan(10_000);
  });

  test("comes back after the longest delay at most", async () => {
    using queue = create();
    queue.push("job");
    const consumer = queue.process(() => Promise.reject(new Error("no")), {
      backoff: { initial: 1e15, max: 1e15 },
    });
    await vi.waitFor(() => expect(queue.inHand()).toMatchObject([{ released: true }]));
    await consumer.stop();
    expect(queue.inHand()[0]?.due?.getUTCFullYear()).toBeGreaterThan(20_000);
  });

  test("spreads delays by a fifth", async () => {
    using queue = create();
    queue.pushMany(numbers(50));
    const delays: number[] = [];
    const consumer = queue.process(() => Promise.reject(new Error("no")), {
      onEvent: (event) => event.type === "failed" && delays.push(event.delay),
    });
    await vi.waitFor(() => expect(delays).toHaveLength(50));
    await consumer.stop();
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(800);
    expect(Math.max(...delays)).toBeLessThanOrEqual(1200);
    expect(new Set(delays).size).toBeGreaterThan(10);
  });
});

describe("dead letters", () => {
  test("get a message after maxAttempts", async () => {
    using queue = create();
    using deadLetters = openQueue<DeadLetter<unknown>>(freshPath(), { values: "json" });
    queue.pushMany([{ picture: "cat.png", width: null }, "next"]);
    const events: ConsumerEvent[] = [];
    const before = Date.now();
    const consumer = queue.process(
      async (message) => {
        if (message === "next") return;
        Object.assign(message as object, { changed: true });
        throw new TypeError("no such picture");
      },
      { ...AT_ONCE, maxAttempts: 3, deadLetters, onEvent: (event) => events.push(event) },
    );
    await drained(queue);
    await consumer.stop();
    const letter = deadLetters.pop() as DeadLetter<unknown>;
    expect(letter).toEqual({
      message: { picture: "cat.png", width: null },
      reason: "TypeError: no such picture",
      attempts: 3,
      at: expect.any(Number),
    });
    expect(letter.at).toBeGreaterThanOrEqual(before);
    expect(deadLetters.isEmpty()).toBe(true);
    expect(events.map(({ type }) => type)).toEqual([
      ...["started", "failed", "started", "failed", "started", "dead", "started", "done"],
    ]);
  });

  test("get terms as they were pushed, whatever the queue shows", async () => {
    const path = freshPath();
    using terms = openQueue(path);
    using queue = openQueue(path, { decode: { atoms: () => "an atom", maps: "object" } });
    using deadLetters = openQueue(freshPath(), { raw: true });
    using letters = openQueue(deadLetters.path);
    const term = tuple(atom("job"), new Map([[atom("key"), 1.5]]), Buffer.from("x"));
    terms.push(term);
    const consumer = queue.process(() => Promise.reject(new Error("no")), { maxAttempts: 1, deadLetters });
    await drained(queue);
    await consumer.stop();
    const letter = letters.pop() as Map<Buffer, unknown>;
    const entries = [...letter].map(([key, value]) => [String(key), value]);
    expect(Object.fromEntries(entries)).toMatchObject({
      message: term,
      reason: Buffer.from("Error: no"),
      attempts: 1,
    });
  });

  test("get a message that can't be decoded as its bytes, and the next message is not held up", async () => {
    const path = freshPath();
    using raw = openQueue(path, { raw: true });
    using queue = openQueue(path);
    using deadLetters = openQueue<DeadLetter<unknown>>(freshPath(), { decode: { maps: "object" } });
    raw.push("no term.");
    queue.push(1);
    const seen: unknown[] = [];
    const consumer = queue.process((message) => seen.push(message), {
      ...AT_ONCE,
      maxAttempts: 2,
      deadLetters,
    });
    await drained(queue);
    await consumer.stop();
    expect(seen).toEqual([1]);
    expect(deadLetters.pop()).toMatchObject({ message: Buffer.from("no term."), attempts: 2 });
  });

  test("get a message whose consumers die with it", async () => {
    using queue = create();
    using deadLetters = openQueue<DeadLetter<unknown>>(freshPath(), { values: "json" });
    queue.push("poison");
    for (let attempt = 1; attempt <= 2; attempt++) {
      const program = `
        const { openQueue } = require(${PACKAGE});
        const queue = openQueue(${JSON.stringify(queue.path)}, { values: "json" });
        const deadLetters = openQueue(${JSON.stringify(deadLetters.path)});
        queue.process(() => process.kill(process.pid, "SIGKILL"), { maxAttempts: 2, deadLetters });`;
      expect(await once(spawn(process.execPath, ["-e", program], { stdio: "inherit" }), "exit")).toEqual([
        null,
        "SIGKILL",
      ]);
    }
    const consumer = queue.process(() => expect.fail("called"), { maxAttempts: 2, deadLetters });
    await drained(queue);
    await consumer.stop();
    expect(deadLetters.pop()).toMatchObject({
      message: "poison",
      reason: "Error: no consumer has ended attempt 2",
      attempts: 3,
    });
  });

  test.each([
    ["an unpaired surrogate", () => new SyntaxError("\ud83d is no JSON"), "SyntaxError: \ufffd is no JSON"],
    ["a long text", () => "\u{1f600}".repeat(5_000_000), `${"\u{1f600}".repeat(4093)}...`],
    ["the longest text", () => "x".repeat(4096), "x".repeat(4096)],
    ["no text", () => Object.create(null), "[Object: null prototype] {}"],
    [
      "a text that throws",
      () => ({ toString: () => expect.fail("no") }),
      expect.stringContaining("toString"),
    ],
    ["undefined", () => undefined, "undefined"],
    ["a symbol", () => Symbol("no"), "Symbol(no)"],
  ])("tell an error with %s", async (_, error, reason) => {
    using queue = create();
    using deadLetters = openQueue<DeadLetter<unknown>>(freshPath(), { values: "json" });
    queue.push("job");
    const consumer = queue.process(() => Promise.reject(error()), { maxAttempts: 1, deadLetters });
    await drained(queue);
    await consumer.stop();
    expect(deadLetters.pop()).toMatchObject({ message: "job", reason });
  });

  test("get a message that the handler of the last attempt releases", async () => {
    using queue = create();
    using deadLetters = openQueue<DeadLetter<unknown>>(freshPath(), { values: "json" });
    queue.push("job");
    const events: ConsumerEvent[] = [];
    const attempts: number[] = [];
    const consumer = queue.process(
      (_, { attempt, delivery }) => {
        attempts.push(attempt);
        delivery.release(1);
        expect(delivery.ended).toBe(true);
        expect(thrownBy(() => delivery.release()).code).toBe("EINVAL");
        throw new Error("does not count");
      },
      { maxAttempts: 3, deadLetters, onEvent: (event) => events.push(event) },
    );
    await vi.waitFor(() => expect(deadLetters.isEmpty()).toBe(false));
    await drained(queue);
    await consumer.stop();
    expect(deadLetters.popMany(2)).toMatchObject([
      { message: "job", reason: "the handler released the message", attempts: 3 },
    ]);
    expect(attempts).toEqual([1, 2, 3]);
    expect(events.map(({ type }) => type)).toEqual(["started", "started", "started", "dead"]);
  });

  test("that are full keep a message that was released until they have room", async () => {
    using queue = create();
    using deadLetters = openQueue<unknown>(freshPath(), { size: 256, fixedSize: true, values: "json" });
    const filler = "x".repeat(200);
    deadLetters.push(filler);
    queue.push("job");
    const events: ConsumerEvent[] = [];
    const consumer = queue.process((_, { delivery }) => delivery.release(), {
      maxAttempts: 1,
      deadLetters,
      onEvent: (event) => events.push(event),
    });
    await vi.waitFor(() => expect(events).toContainEqual(expect.objectContaining({ type: "error" })));
    expect(consumer.inHand).toBe(1);
    expect(deadLetters.pop()).toBe(filler);
    await consumer.stop();
    expect(deadLetters.pop()).toMatchObject({ reason: "the handler released the message" });
    expect(events.at(-1)).toMatchObject({ type: "dead" });
  });

  test("do not get a message that was released after it was given back", async () => {
    using queue = create();
    using deadLetters = openQueue(freshPath());
    queue.push("job");
    const errors: unknown[] = [];
    const consumer = queue.process(
      (_, { signal, delivery }) =>
        new Promise<void>((resolve) => {
          signal.addEventListener("abort", () => {
            errors.push(thrownBy(() => delivery.release()).code);
            resolve();
          });
        }),
      { maxAttempts: 1, deadLetters },
    );
    await vi.waitFor(() => expect(consumer.inHand).toBe(1));
    await consumer.stop({ timeout: 1 });
    expect([errors, deadLetters.isEmpty(), queue.pop()]).toEqual([["EINVAL"], true, "job"]);
  });

  test("that are closed end the consumer, and the message stays", async () => {
    using queue = create();
    const deadLetters = openQueue(freshPath());
    queue.push("job");
    deadLetters.close();
    const consumer = queue.process(() => Promise.reject(new Error("no")), { maxAttempts: 1, deadLetters });
    expect(await rejectionOf(consumer.finished)).toMatchObject({
      code: "EMMAP_CLOSED",
      operation: "queue_push",
    });
    expect(queue.pop()).toBe("job");
  });

  test("that are full are asked again", async () => {
    using queue = create();
    using deadLetters = openQueue(freshPath(), { size: 128, fixedSize: true });
    deadLetters.push("x".repeat(60));
    queue.push("job");
    const events: ConsumerEvent[] = [];
    const consumer = queue.process(() => Promise.reject(new Error("no")), {
      maxAttempts: 1,
      deadLetters,
      onEvent: (event) => events.push(event),
    });
    await vi.waitFor(() => expect(events).toContainEqual(expect.objectContaining({ type: "error" })));
    expect(consumer.inHand).toBe(1);
    deadLetters.purge();
    await consumer.stop();
    expect(events.at(-1)).toMatchObject({ type: "dead" });
    expect(queue.isEmpty()).toBe(true);
  });
});

describe("stop", () => {
  /** A consumer that has two messages in hand, whose handlers wait. */
  async function busy(queue: Queue<unknown, unknown>, options = {}) {
    queue.pushMany(["a", "b", "c"]);
    const ends: (() => void)[] = [];
    const aborted: unknown[] = [];
    const consumer = queue.process(
      (message, { signal }) => {
        signal.addEventListener("abort", () => aborted.push(message));
        return new Promise<void>((resolve) => ends.push(resolve));
      },
      { concurrency: 2, ...options },
    );
    await vi.waitFor(() => expect(ends).toHaveLength(2));
    return { consumer, ends, aborted };
  }

  test("waits for the messages in hand, and takes no more", async () => {
    using queue = create();
    const { consumer, ends } = await busy(queue);
    let stopped = false;
    const stopping = consumer.stop().then(() => (stopped = true));
    ends[1]?.();
    await sleep(20);
    expect([stopped, consumer.inHand]).toEqual([false, 1]);
    ends[0]?.();
    await stopping;
    expect([...queue]).toEqual(["c"]);
    expect(queue.inHand()).toEqual([]);
    expect(consumer.stop()).toBe(consumer.finished);
  });

  test("gives the messages in hand back after a time, in order, and the attempt does not count", async () => {
    using queue = create();
    const { consumer, ends, aborted } = await busy(queue);
    await consumer.stop({ timeout: 30 });
    expect(aborted).toEqual(["a", "b"]);
    expect([...queue]).toEqual(["a", "b", "c"]);
    const deliveries = numbers(3).map(() => queue.tryTake() as Delivery<unknown>);
    expect(deliveries.map(({ message, attempt }) => [message, attempt])).toEqual([
      ["a", 1],
      ["b", 1],
      ["c", 1],
    ]);
    // The handlers end late, and nothing happens.
    for (const end of ends) end();
    await sleep(1);
    for (const delivery of deliveries) delivery.ack();
  });

  test("ends at the earliest time of several calls", async () => {
    for (const [first, second] of [
      [30, undefined],
      [undefined, 30],
      [60_000, 30],
      [30, 60_000],
    ]) {
      using queue = create();
      const { consumer } = await busy(queue);
      void consumer.stop({ timeout: first });
      await consumer.stop({ timeout: second });
      expect(queue.length()).toBe(3);
    }
  });

  test("is what the signal does", async () => {
    using queue = create();
    const controller = new AbortController();
    const { consumer, ends } = await busy(queue, { signal: controller.signal });
    controller.abort();
    for (const end of ends) end();
    await consumer.finished;
    expect([...queue]).toEqual(["c"]);
    const late = queue.process(() => expect.fail("called"), { signal: controller.signal });
    await late.finished;
  });

  test("ends a consumer that waits", async () => {
    using queue = create();
    const consumer = queue.process(() => expect.fail("called"));
    await sleep(10);
    await consumer.stop();
  });

  test("does not happen by itself: closing the queue ends all consumers, and releases what they have", async () => {
    const queue = create();
    const { consumer, ends, aborted } = await busy(queue);
    const other = queue.process(() => new Promise(() => {}));
    await sleep(10);
    queue.close();
    await Promise.all([consumer.finished, other.finished]);
    expect(aborted).toEqual(["a", "b"]);
    for (const end of ends) end();
    await sleep(1);
    using again = openQueue<unknown>(queue.path, { values: "json" });
    expect(again.popMany(5)).toEqual(["a", "b", "c"]);
  });
});

test("several consumers on one handle, and on others, share the messages", async () => {
  using queue = create();
  using other = openQueue<unknown>(queue.path, { values: "json" });
  const seen: unknown[] = [];
  const by = new Set<number>();
  const consumers = [queue, queue, other].map((each, i) =>
    each.process(
      async (message, { attempt }) => {
        by.add(i);
        await sleep(0);
        if (attempt === 1 && (message as number) % 7 === 0) throw new Error("once more");
        seen.push(message);
      },
      { concurrency: 4, ...AT_ONCE },
    ),
  );
  for (const i of numbers(500)) {
    queue.push(i);
    if (i % 11 === 0) await sleep(0);
  }
  await drained(queue);
  await Promise.all(consumers.map((consumer) => consumer.stop()));
  expect(seen.sort((a, b) => Number(a) - Number(b))).toEqual(numbers(500));
  expect(by.size).toBe(3);
});

test("a handler may end its delivery itself", async () => {
  using queue = create();
  queue.pushMany(["later", "now"]);
  const seen: unknown[] = [];
  const consumer = queue.process((message, { attempt, delivery }) => {
    seen.push(message);
    if (message === "later" && attempt === 1) delivery.release(20);
    else delivery.ack();
  });
  await drained(queue);
  await vi.waitFor(() => expect(seen).toEqual(["later", "now", "later"]));
  await consumer.stop();
});

test("releaseAll takes the messages away from handlers, which is no end of the consumer", async () => {
  using queue = create();
  queue.push("job");
  const events: ConsumerEvent[] = [];
  const ends: (() => void)[] = [];
  const consumer = queue.process(() => new Promise<void>((resolve) => ends.push(resolve)), {
    onEvent: (event) => events.push(event),
  });
  await vi.waitFor(() => expect(ends).toHaveLength(1));
  expect(queue.releaseAll()).toBe(1);
  ends[0]?.();
  await vi.waitFor(() => expect(ends).toHaveLength(2));
  ends[1]?.();
  await drained(queue);
  await consumer.stop();
  expect(events.map(({ type }) => type)).toEqual(["started", "error", "started", "done"]);
});

describe("errors of the queue", () => {
  test("that do not pass end the consumer", async () => {
    using queue = create();
    const consumer = queue.process(() => {});
    await sleep(5);
    rmSync(queue.path);
    expect(await rejectionOf(consumer.finished)).toMatchObject({ code: "ESTALE" });
  });

  test("that nobody sees end the process", async () => {
    const program = `
      const queue = require(${PACKAGE}).openQueue(${JSON.stringify(freshPath())});
      queue.process(() => {});
      setTimeout(() => require("node:fs").rmSync(queue.path), 10);`;
    const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "ignore", "pipe"] });
    let errors = "";
    child.stderr.on("data", (text) => (errors += text));
    expect(await once(child, "close")).toEqual([1, null]);
    expect(errors).toContain("ESTALE");
  });

  test("about the file of messages in hand are its errors too", async () => {
    using queue = create();
    mkdirSync(`${queue.path}-taken`);
    queue.push(1);
    const consumer = queue.process(() => {});
    expect(await rejectionOf(consumer.finished)).toMatchObject({ operation: "queue_take" });
    expect(queue.pop()).toBe(1);
  });
});

test("an onEvent that throws is an uncaught exception, and the message is done", async () => {
  const path = freshPath();
  using queue = openQueue(path);
  queue.push(1);
  const program = `
    const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)});
    process.on("uncaughtException", (error) => console.log(error.message));
    const consumer = queue.process(() => {}, { onEvent: ({ type }) => { throw new Error(type); } });
    setTimeout(() => consumer.stop(), 50);`;
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  child.stdout.on("data", (text) => (output += text));
  await once(child, "close");
  expect(output).toBe("started\ndone\n");
  expect(queue.isEmpty()).toBe(true);
});

test("a child that is killed while it works loses nothing", async () => {
  const path = freshPath();
  using queue = openQueue<number>(path, { values: "json" });
  queue.pushMany(numbers(200));
  const child = spawn(process.execPath, [
    "-e",
    `const { setTimeout: sleep } = require("node:timers/promises");
     const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)}, { values: "json" });
     let count = 0;
     queue.process(() => sleep(1).then(() => ++count === 20 && console.log("works")), { concurrency: 10 });`,
  ]);
  await once(child.stdout, "data");
  child.kill("SIGKILL");
  await once(child, "exit");
  const left = queue.length();
  expect(left).toBeLessThan(200);
  const again = new Map<number, number>();
  const consumer = queue.process((message, { attempt }) => {
    again.set(message, attempt);
  });
  await drained(queue);
  await consumer.stop();
  const redelivered = [...again.values()].filter((attempt) => attempt > 1).length;
  expect(redelivered).toBeGreaterThan(0);
  expect(redelivered).toBeLessThanOrEqual(10);
  // All that were not acknowledged came again, and no others: the last ones never came before.
  expect(
    numbers(200)
      .slice(-(again.size - redelivered))
      .every((each) => again.has(each)),
  ).toBe(true);
});

test("a worker that is terminated while it works loses nothing", async () => {
  const path = freshPath();
  using queue = openQueue<number>(path, { values: "json" });
  queue.push(1);
  const worker = new Worker(
    `const { parentPort } = require("node:worker_threads");
     const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)}, { values: "json" });
     queue.process(() => { parentPort.postMessage("works"); return new Promise(() => {}); });`,
    { eval: true },
  );
  await once(worker, "message");
  await worker.terminate();
  expect(await queue.take({ timeout: 1000 })).toMatchObject({ message: 1, attempt: 2 });
});

test("a consumer keeps the process alive until it is stopped, unless it is told not to", async () => {
  const program = (rest: string) => `
    const queue = require(${PACKAGE}).openQueue(${JSON.stringify(freshPath())});
    const consumer = queue.process(() => { console.log("works"); consumer.stop(); });
    ${rest}`;
  for (const [rest, expected] of [
    ["setTimeout(() => queue.push(1), 50).unref();", "works\n"],
    ["queue.unref();", ""],
  ] as const) {
    const child = spawn(process.execPath, ["-e", program(rest)], { stdio: ["ignore", "pipe", "inherit"] });
    let output = "";
    child.stdout.on("data", (text) => (output += text));
    await once(child, "close");
    expect(output).toBe(expected);
  }
});

test("wrong options are refused", () => {
  using queue = create();
  using deadLetters = create();
  const codeOf = (...args: unknown[]) => thrownBy(() => queue.process(...(args as [never]))).code;
  expect(codeOf(1)).toBe("ERR_INVALID_ARG_TYPE");
  const handler = () => {};
  for (const options of [
    null,
    { concurrency: "1" },
    { deadLetters: "dead.q" },
    { signal: {} },
    { onEvent: 1 },
    { backoff: 1 },
    { backoff: { initial: "1" } },
  ])
    expect([options, codeOf(handler, options)]).toEqual([options, "ERR_INVALID_ARG_TYPE"]);
  for (const options of [
    { concurrency: 0 },
    { concurrency: 1.5 },
    { maxAttempts: 0, deadLetters },
    { backoff: { factor: -1 } },
    { backoff: { jitter: 2 } },
    { backoff: { initial: Number.NaN } },
    { backoff: { max: 1e16 } },
  ])
    expect([options, codeOf(handler, options)]).toEqual([options, "ERR_OUT_OF_RANGE"]);
  for (const options of [{ maxAttempts: 3 }, { bogus: 1 }, { backof: 1 }, { backoff: { intial: 1 } }])
    expect([options, codeOf(handler, options)]).toEqual([options, "ERR_INVALID_ARG_VALUE"]);
});

test("the types of messages flow into handlers", async () => {
  interface Job {
    picture: string;
  }
  using jobs = openQueue<Job>(freshPath(), { values: "json" });
  using deadLetters = openQueue<DeadLetter<Job>>(freshPath(), { values: "json" });
  const consumer = jobs.process(
    (job, { delivery, attempt, signal }) => {
      expectTypeOf(job).toEqualTypeOf<Job>();
      expectTypeOf(delivery).toEqualTypeOf<Delivery<Job>>();
      expectTypeOf(attempt).toEqualTypeOf<number>();
      expectTypeOf(signal).toEqualTypeOf<AbortSignal>();
    },
    { deadLetters },
  );
  expectTypeOf(consumer).toEqualTypeOf<Consumer>();
  await consumer.stop();
});

test("the queue for dead letters is one that dead letters fit in", () => {
  interface Job {
    picture: string;
  }
  type Options = NonNullable<Parameters<Queue<Job, Job>["process"]>[1]>["deadLetters"];
  expectTypeOf<Queue<DeadLetter<Job>, DeadLetter<Job>>>().toExtend<Options>();
  expectTypeOf<Queue<DeadLetter<unknown>, DeadLetter<unknown>>>().toExtend<Options>();
  const terms = () => openQueue(freshPath());
  const json = () => openQueue(freshPath(), { values: "json" });
  const unknown = () => openQueue<unknown>(freshPath());
  const raw = () => openQueue(freshPath(), { raw: true });
  expectTypeOf<ReturnType<typeof terms>>().toExtend<Options>();
  expectTypeOf<ReturnType<typeof json>>().toExtend<Options>();
  expectTypeOf<ReturnType<typeof unknown>>().toExtend<Options>();
  expectTypeOf<ReturnType<typeof raw>>().toExtend<Options>();
  expectTypeOf<Queue<string, string>>().not.toExtend<Options>();
  expectTypeOf<Queue<Job, Job>>().not.toExtend<Options>();
  expectTypeOf<Queue<DeadLetter<number>, DeadLetter<number>>>().not.toExtend<Options>();
});
