import { copyFileSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { describe, expect, test } from "vitest";
import {
  type Delivery,
  EMPTY,
  type JsonQueueOptions,
  open,
  openBlockStorage,
  openCounters,
  openQueue,
  type Queue,
  type QueueOptions,
} from "../src";
import { addon } from "../src/addon";
import {
  atom,
  BitString,
  type DecodeOptions,
  decodePrefix,
  type EncodeOptions,
  encode,
  Float,
  ImproperList,
  type Term,
  tuple,
} from "../src/etf";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

/** A copy of a file that emmap 2.1.3 wrote. */
function fixture(name: string): string {
  const path = freshPath(name);
  copyFileSync(join(__dirname, "../native/test/fixtures", name), path);
  return path;
}

test("terms come out in the order in which they went in", () => {
  using queue = openQueue(freshPath());
  queue.push(1);
  queue.push("two");
  queue.push(tuple(atom("three"), 3n));
  expect([queue.pop(), queue.pop(), queue.pop(), queue.pop()]).toEqual([
    1,
    Buffer.from("two"),
    tuple(atom("three"), 3),
    EMPTY,
  ]);
});

test("a numbered push that is tried again happens once, also after the queue was opened anew", () => {
  const path = freshPath();
  const origin = Buffer.alloc(16, 1);
  const other = new Uint8Array(new SharedArrayBuffer(16)).fill(2);
  {
    using queue = openQueue<string>(path, { values: "json" });
    expect(queue.pushOnce(origin, 0, ["never"])).toBe(0n);
    expect(queue.pushOnce(origin, 1, ["one", "two"])).toBe(0n);
    expect(queue.pushOnce(origin, 1n, ["one", "two"])).toBe(1n);
    expect(queue.pushOnce(other, 2n ** 63n - 1n, ["three"])).toBe(0n);
    expect(queue.pushOnce(other, 1, ["four"])).toBe(2n ** 63n - 1n);
  }
  using queue = openQueue<string>(path, { values: "json" });
  expect(queue.pushOnce(origin, 1, ["one", "two"])).toBe(1n);
  expect(queue.pushOnce(origin, 5, new Set(["five"]))).toBe(1n);
  expect(queue.popMany(9)).toEqual(["one", "two", "three", "five"]);
});

test("a numbered push refuses wrong arguments, and then has pushed nothing", () => {
  using queue = openQueue(freshPath());
  const origin = Buffer.alloc(16, 1);
  for (const wrong of [Buffer.alloc(15), Buffer.alloc(17), "0123456789abcdef", new Uint16Array(8), undefined])
    expect(thrownBy(() => queue.pushOnce(wrong as never, 1, [1]))).toMatchObject({
      code: "ERR_INVALID_ARG_TYPE",
    });
  for (const number of [-1, -1n, 2n ** 63n, 1.5, Number.NaN])
    expect(thrownBy(() => queue.pushOnce(origin, number, [1]))).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
  expect(thrownBy(() => queue.pushOnce(origin, "1" as never, [1]))).toMatchObject({
    code: "ERR_INVALID_ARG_TYPE",
  });
  expect(thrownBy(() => queue.pushOnce(origin, 1, 7 as never))).toMatchObject({
    code: "ERR_INVALID_ARG_TYPE",
  });
  expect(() => queue.pushOnce(origin, 1, [1, Symbol() as never])).toThrow();
  expect(queue.pushOnce(origin, 0, [])).toBe(0n);
  expect(queue.isEmpty()).toBe(true);
  using reader = openQueue(queue.path, { read: true });
  expect(thrownBy(() => reader.pushOnce(origin, 1, [1]))).toMatchObject({
    code: "EACCES",
    operation: "queue_push_once",
  });
});

test("the queue of emmap 2.1.3 holds what it was told to write", () => {
  using queue = openQueue(fixture("queue.bin"));
  expect([...queue]).toEqual([
    atom("hello"),
    0,
    255,
    -1,
    123456789012345678901234567890n,
    3.14,
    Buffer.from("bin"),
    [...Buffer.from("text")],
    [],
    new ImproperList([1, 2], 3),
    tuple(atom("a"), tuple(atom("b"), 1.5)),
    new Map<unknown, unknown>([
      [1, [atom("x")]],
      [atom("k"), Buffer.from("v")],
    ]),
    true,
    atom("nil"),
    new BitString(Buffer.from([0b10100000]), 3),
    atom("åtom"),
    Array.from({ length: 300 }, (_, i) => i + 1),
    [...Buffer.from("x".repeat(500))],
  ]);
  expect(queue.length()).toBe(18);
});

test("a queue that emmap 2.1.3 popped from goes on behind what is gone", () => {
  using queue = openQueue(fixture("queue-popped.bin"));
  expect(queue.popMany(10)).toEqual([3, 4, 5].map((n) => tuple(atom("n"), n)));
});

test("what a writer that died had not committed is not there, and the next message is", () => {
  using queue = openQueue(fixture("queue-torn.bin"));
  queue.push(atom("next"));
  expect([...queue]).toEqual([atom("kept"), atom("next")]);
});

test("the same pushes and pops leave the bytes that emmap 2.1.3 leaves", () => {
  using queue = openQueue(freshPath(), { size: 1024 });
  for (const n of [1, 2, 3, 4, 5]) queue.push(tuple(atom("n"), n));
  queue.popMany(2);
  expect(readFileSync(queue.path)).toEqual(readFileSync(fixture("queue-popped.bin")));
});

test("two handles share one queue", () => {
  const path = freshPath();
  using one = openQueue(path);
  using other = openQueue(path);
  one.push("a");
  expect(other.pop()).toEqual(Buffer.from("a"));
  expect(one.isEmpty()).toBe(true);
});

test("every handle lists those that share the queue for writing", () => {
  const path = freshPath();
  const queue = openQueue(path);
  using reader = openQueue(path, { read: true });
  queue.pushMany([1, 2, 3]);
  expect(queue.pop()).toBe(1);
  const writers = queue.writers();
  expect(writers).toEqual([
    {
      process: process.pid,
      program: expect.any(String),
      since: expect.any(Date),
      hasLock: false,
      waited: 0,
      pushed: 3,
      popped: 1,
    },
  ]);
  expect(Math.abs(Date.now() - Number(writers[0]?.since))).toBeLessThan(60_000);
  expect([reader.writers(), queue.info().writers]).toEqual([writers, writers]);
  queue.close();
  expect(reader.writers()).toEqual([]);
  expect(() => queue.writers()).toThrow(expect.objectContaining({ code: "EMMAP_CLOSED" }));
  using storage = openBlockStorage(freshPath(), { blockSize: 8 });
  expect(storage.writers()).toMatchObject([{ process: process.pid }]);
  using counters = openCounters(freshPath(), 1);
  expect(counters.writers()).toEqual([]);
});

test("many are pushed and popped at once, across growth", () => {
  using queue = openQueue(freshPath(), { size: 64 });
  queue.pushMany(Array.from({ length: 1000 }, (_, i) => i));
  expect(queue.info().size).toBeGreaterThan(64);
  expect(queue.popMany(600)).toEqual(Array.from({ length: 600 }, (_, i) => i));
  expect(queue.length()).toBe(400);
  expect([queue.peek(), queue.peekBack()]).toEqual([600, 999]);
});

test("a message of any size is popped whole", () => {
  using queue = openQueue(freshPath());
  const large = Buffer.alloc(1 << 20, 7);
  queue.push(large);
  expect(large.equals(queue.peek() as Buffer)).toBe(true);
  expect(large.equals(queue.pop() as Buffer)).toBe(true);
});

test("what is popped does not change when the next message is read", () => {
  using queue = openQueue(freshPath(), { decode: { binaries: "buffer" } });
  queue.pushMany(["first!", "second"]);
  const first = queue.pop();
  queue.pop();
  expect(first).toEqual(Buffer.from("first!"));
});

test("views of what is popped are its own", () => {
  using queue = openQueue(freshPath(), { decode: { binaries: "view" } });
  queue.pushMany(["first!", "second"]);
  const first = queue.pop();
  queue.pop();
  expect(first).toEqual(Buffer.from("first!"));
});

test("a compressed message is popped like any other", () => {
  using queue = openQueue(freshPath(), { encode: { compressed: 9 } });
  queue.pushMany(["long ".repeat(100), "x".repeat(1000)]);
  expect([queue.pop(), queue.pop()]).toEqual([
    Buffer.from("long ".repeat(100)),
    Buffer.from("x".repeat(1000)),
  ]);
});

test("a term that is cut does not go on in what was read before it", () => {
  const path = freshPath();
  using raw = openQueue(path, { raw: true });
  const whole = encode("0123456789abcdefghijklmnopqrstuvwxyz");
  raw.push(whole);
  raw.push(whole.subarray(0, 16));
  using queue = openQueue(path);
  expect(queue.pop()).toEqual(Buffer.from("0123456789abcdefghijklmnopqrstuvwxyz"));
  expect(thrownBy(() => queue.pop())).toMatchObject({
    code: "EMMAP_BAD_TERM",
    cause: { code: "ETF_TRUNCATED" },
    bytes: whole.subarray(0, 16),
  });
});

test("iteration leaves the messages, in both directions", () => {
  using queue = openQueue(freshPath());
  const numbers = Array.from({ length: 200 }, (_, i) => i);
  queue.pushMany(numbers);
  expect([...queue]).toEqual(numbers);
  expect([...queue.reversed()]).toEqual(numbers.reverse());
  expect(queue.length()).toBe(200);
});

test("iteration ends where the queue was emptied and filled with messages of the same size, or moved", () => {
  const disturb: Record<string, (queue: Queue) => void> = {
    emptied: (queue) => {
      queue.popMany(10);
      queue.pushMany(Array.from({ length: 10 }, (_, i) => 200 + i));
    },
    purged: (queue) => {
      queue.purge();
      queue.pushMany(Array.from({ length: 10 }, (_, i) => 100 + i));
    },
    moved: (queue) => {
      const { size, tail } = queue.info();
      queue.pushMany(Array.from({ length: Math.floor((size - tail) / 14) }, () => 50));
      queue.popMany(10);
      queue.push(51);
      expect(queue.info().head).toBe(16);
    },
  };
  for (const [what, change] of Object.entries(disturb))
    for (const write of [true, false]) {
      const path = freshPath();
      using queue = openQueue(path);
      using other = openQueue(path, write ? {} : { read: true });
      queue.pushMany(Array.from({ length: 10 }, (_, i) => 100 + i));
      const messages = other[Symbol.iterator]();
      expect([messages.next().value, messages.next().value, messages.next().value]).toEqual([100, 101, 102]);
      change(queue);
      expect({ what, code: thrownBy(() => [...messages]).code }).toEqual({ what, code: "ESTALE" });
    }
});

test("a snapshot is of one moment, and leaves the messages", () => {
  const path = freshPath();
  using queue = openQueue(path);
  expect(queue.snapshot()).toEqual([]);
  const numbers = Array.from({ length: 5000 }, (_, i) => i);
  queue.pushMany(numbers);
  expect(queue.snapshot()).toEqual(numbers);
  expect(queue.snapshot(3)).toEqual([0, 1, 2]);
  expect(queue.snapshot(0)).toEqual([]);
  using reader = openQueue(path, { read: true });
  expect(reader.snapshot(4)).toEqual([0, 1, 2, 3]);
  expect(queue.length()).toBe(5000);
  for (const limit of [-1, 1.5, Number.NaN, 2 ** 53]) expect(() => queue.snapshot(limit)).toThrow(RangeError);
});

test("iteration copies few long messages at a time", () => {
  using queue = openQueue(freshPath(), { raw: true });
  const megabyte = 2 ** 20;
  for (let i = 0; i < 40; i++) queue.push(Buffer.alloc(megabyte, i));
  const copied = (): number => process.memoryUsage().arrayBuffers;
  const before = copied();
  for (const messages of [queue, queue.reversed()])
    for (const message of messages) {
      expect(message.length).toBe(megabyte);
      expect(copied() - before).toBeLessThan(8 * megabyte);
      break;
    }
  expect([...queue].map((message) => message[0])).toEqual([...Array(40).keys()]);
});

test("raw messages are bytes, with up to 7 zeros behind them", () => {
  using queue = openQueue(freshPath(), { raw: true });
  queue.push("12345678");
  queue.push(Buffer.from("123"));
  expect(queue.pop()).toEqual(Buffer.from("12345678"));
  expect(queue.pop()).toEqual(Buffer.from("123\0\0\0"));
});

test("tryPop removes the message when its function has returned", () => {
  using queue = openQueue(freshPath());
  queue.pushMany([1, 2]);
  expect(queue.tryPop((n) => (n as number) * 10)).toBe(10);
  expect([...queue]).toEqual([2]);
});

test("tryPop leaves the message when its function throws", () => {
  using queue = openQueue(freshPath());
  queue.push(1);
  const mine = new Error("mine");
  expect(
    thrownBy(() =>
      queue.tryPop(() => {
        throw mine;
      }),
    ),
  ).toBe(mine);
  expect(queue.pop()).toBe(1);
});

test("tryPop waits for a promise, and leaves the message when it is rejected", async () => {
  using queue = openQueue(freshPath());
  queue.pushMany([1, 2]);
  const first = queue.tryPop(async (n) => n);
  expect(queue.peek()).toBe(2);
  expect(await first).toBe(1);
  await expect(queue.tryPop(() => Promise.reject(new Error("mine")))).rejects.toThrow("mine");
  expect([...queue]).toEqual([2]);
});

test("tryPop waits for whatever can be awaited", async () => {
  using queue = openQueue(freshPath());
  queue.pushMany([1, 2]);
  const query = (then: (fulfil: (value: string) => void, reject: (error: Error) => void) => void) => ({
    then,
  });
  await expect(queue.tryPop(() => query((_, reject) => reject(new Error("mine"))))).rejects.toThrow("mine");
  expect([...queue]).toEqual([1, 2]);
  expect(await queue.tryPop(() => query((fulfil) => fulfil("done")))).toBe("done");
  expect([...queue]).toEqual([2]);
});

test("a function that is given atoms can use the queue", () => {
  const options = { decode: { atoms: (name: string): unknown => [name, queue.pop()] } };
  const queue = openQueue(freshPath(), options);
  queue.push([atom("first"), 1.5]);
  queue.push("x".repeat(100));
  expect(queue.pop()).toEqual([["first", Buffer.from("x".repeat(100))], 1.5]);
  queue.close();
});

test("a function given to tryPop can push to the same queue", () => {
  using queue = openQueue(freshPath(), { size: 64 });
  queue.push(0);
  queue.tryPop(() => queue.pushMany(Array.from({ length: 100 }, (_, i) => i + 1)));
  expect([...queue]).toEqual(Array.from({ length: 100 }, (_, i) => i + 1));
});

test("tryPop does not call its function on an empty queue", () => {
  using queue = openQueue(freshPath());
  expect(queue.tryPop(() => "called")).toBe(EMPTY);
  expect(queue.tryPop(() => "called", 0)).toBe(0);
});

test("a queue that is closed in tryPop keeps the message", () => {
  const path = freshPath();
  const queue = openQueue(path);
  queue.push(1);
  expect(thrownBy(() => queue.tryPop(() => queue.close())).code).toBe("EMMAP_CLOSED");
  using again = openQueue(path);
  expect(again.pop()).toBe(1);
});

test("a queue of fixed size is full, and as it was", () => {
  using queue = openQueue(freshPath(), { size: 64, fixedSize: true });
  queue.push(1);
  expect(thrownBy(() => queue.push("x".repeat(100))).code).toBe("EMMAP_FULL");
  expect([...queue]).toEqual([1]);
});

test("an exclusive queue keeps others out, who find it when it is closed", () => {
  const path = freshPath();
  const mine = openQueue(path, { exclusive: true, write: true, create: true });
  mine.push(1);
  expect(thrownBy(() => openQueue(path)).code).toBe("EBUSY");
  mine.close();
  using yours = openQueue(path);
  expect(yours.pop()).toBe(1);
});

test("a read-only queue can be looked at and not changed", () => {
  const path = freshPath();
  openQueue(path).push(1);
  using queue = openQueue(path, { read: true });
  expect([queue.peek(), queue.length(), [...queue]]).toEqual([1, 1, [1]]);
  expect(thrownBy(() => queue.pop()).code).toBe("EACCES");
});

test.each([{}, { raw: true }, { decode: { atoms: String } }])(
  "a queue that is open for reading can't be popped, also if it is empty: %o",
  async (options) => {
    const path = freshPath();
    openQueue(path).close();
    using queue = openQueue(path, { read: true, ...options } as { read: true });
    const pops = {
      pop: () => queue.pop(),
      popBytes: () => queue.popBytes(),
      popMany: () => queue.popMany(1),
      tryPop: () => queue.tryPop(() => 1),
      tryTake: () => queue.tryTake(),
    };
    for (const [name, pop] of Object.entries(pops))
      expect([name, thrownBy(pop).code]).toEqual([name, "EACCES"]);
    await expect(queue.receive({ timeout: 0 })).rejects.toThrow(expect.objectContaining({ code: "EACCES" }));
  },
);

test("an empty queue takes little of the disk, and so does one that was compacted", () => {
  const path = freshPath();
  const taken = () => statSync(path).blocks * 512;
  const same = (a: unknown, b: unknown) => Buffer.compare(a as Buffer, b as Buffer) === 0;
  using queue = openQueue(path);
  const messages = Array.from({ length: 160 }, (_, i) => Buffer.alloc(65536, i));
  queue.pushMany(messages);
  const { size } = statSync(path);
  expect(taken()).toBeGreaterThan(10 * 2 ** 20);
  expect(queue.popMany(1000).filter((message, i) => same(message, messages[i])).length).toBe(160);
  expect(taken()).toBeLessThan(65536);
  expect(statSync(path).size).toBe(size);
  queue.pushMany(messages);
  for (const message of messages.slice(0, 150)) expect(same(queue.pop(), message)).toBe(true);
  const before = taken();
  expect(queue.compact()).toBe(before - taken());
  expect(taken()).toBeLessThan(2 ** 20);
  expect([...queue].filter((message, i) => same(message, messages[150 + i])).length).toBe(10);
  queue.purge();
});

test("purge removes all messages, erase also what is not sound", () => {
  const path = freshPath();
  using queue = openQueue(path, { size: 4096 });
  queue.pushMany([1, 2, 3]);
  queue.purge();
  expect([queue.isEmpty(), statSync(path).size]).toEqual([true, 4096]);
  queue.push(1);
  using bytes = open(path, { write: true });
  bytes.pwrite(16, Buffer.from([0xff, 0xff, 0xff, 0xff]));
  expect(thrownBy(() => queue.pop())).toMatchObject({ code: "EMMAP_CORRUPT", offset: 16 });
  queue.erase();
  expect(queue.isEmpty()).toBe(true);
});

/** Each way to read the first message. */
const LOOKS: ((queue: Queue<never, unknown>) => unknown)[] = [(queue) => queue.peek(), (queue) => [...queue]];

/** Each way to remove it. */
const WAYS: ((queue: Queue<never, unknown>) => unknown)[] = [
  (queue) => queue.pop(),
  (queue) => queue.popMany(1),
  (queue) => queue.popMany(1000),
  (queue) => queue.tryPop(() => expect.fail("called")),
];

/** Checks that each way refuses the first message, and leaves it. */
function expectRefused(queue: Queue<never, unknown>, cause: string, bytes: Buffer): void {
  const length = queue.length();
  for (const action of [...LOOKS, ...WAYS])
    expect(thrownBy(() => action(queue))).toMatchObject({
      code: "EMMAP_REFUSED",
      cause: { code: cause },
      bytes,
    });
  expect(queue.length()).toBe(length);
}

test("a message that is no term is handed over with the error, and the next one comes after it", () => {
  const path = freshPath();
  using bytes = openQueue(path, { raw: true });
  using queue = openQueue(path);
  for (const options of [
    {},
    { decode: { binaries: "view" } },
    { values: "json" },
    { decode: { atoms: String } },
  ])
    for (const take of WAYS) {
      using reader = openQueue<unknown>(path, options as QueueOptions);
      queue.push(0);
      bytes.pushMany(["not a term at all.......", "12345678"]);
      queue.push(1);
      expect(reader.popMany(10)).toEqual([0]);
      const bad = (text: string) => ({
        code: "EMMAP_BAD_TERM",
        operation: "decode",
        bytes: Buffer.from(text),
      });
      for (const look of LOOKS)
        expect(thrownBy(() => look(reader as never))).toMatchObject(bad("not a term at all......."));
      expect(queue.length()).toBe(3);
      expect(thrownBy(() => take(reader as never))).toMatchObject(bad("not a term at all......."));
      expect(queue.length()).toBe(2);
      expect(thrownBy(() => take(reader as never))).toMatchObject({
        ...bad("12345678"),
        cause: { code: "ETF_VERSION" },
      });
      expect(reader.popMany(10)).toEqual([1]);
    }
});

test("a term that can't be shown as the options say stays for those who can take it", () => {
  const path = freshPath();
  using queue = openQueue(path);
  using objects = openQueue(path, { values: "json" });
  const map = new Map([[tuple(1), 2]]);
  queue.push(map);
  const [message] = openQueue(path, { raw: true });
  expectRefused(objects as never, "ETF_MALFORMED", message as Buffer);
  expect(queue.pop()).toEqual(map);
});

test("popBytes removes what is there, whatever it is", () => {
  const path = freshPath();
  using bytes = openQueue(path, { raw: true });
  using queue = openQueue(path);
  bytes.push("not a term at all.......");
  expect(String(queue.popBytes())).toBe("not a term at all.......");
  expect([queue.popBytes(), queue.popBytes(0)]).toEqual([EMPTY, 0]);
});

describe("no message is taken for emptiness", () => {
  const atoms = (name: string): unknown => (name === "undefined" ? undefined : name === "null" ? null : name);
  const ways: [string, QueueOptions<DecodeOptions> | JsonQueueOptions, unknown[]][] = [
    ["terms", { decode: { atoms } }, [null, undefined, false, 0, []]],
    ["JSON", { values: "json" }, [null, false, 0, "", [], {}]],
  ];
  test.each(ways)("of %s", (_name, options, messages) => {
    using queue = openQueue<unknown>(freshPath(), options as QueueOptions<DecodeOptions>);
    const drained = (): unknown[] => {
      const all: unknown[] = [];
      for (let message = queue.pop(); message !== EMPTY; message = queue.pop()) all.push(message);
      return all;
    };
    queue.pushMany(messages);
    expect([queue.peek(), queue.peekBack()]).toEqual([messages[0], messages.at(-1)]);
    expect(drained()).toEqual(messages);
    for (const fallback of [undefined, null, 7]) {
      expect([queue.pop(fallback), queue.peek(fallback), queue.peekBack(fallback)]).toEqual(
        Array(3).fill(fallback),
      );
      expect(queue.tryPop(() => "called", fallback)).toBe(fallback);
    }
    expect([queue.pop(), queue.peek(), queue.peekBack(), queue.tryPop(String)]).toEqual(Array(4).fill(EMPTY));
    queue.pushMany(messages);
    const taken: unknown[] = [];
    while (queue.tryPop((message) => void taken.push(message)) !== EMPTY);
    expect(taken).toEqual(messages);
  });

  test("and it is one value for all copies of the package", () => {
    expect(EMPTY).toBe(Symbol.for("emmap.EMPTY"));
  });
});

test("what was read ahead is taken only if it is still the first message", () => {
  const path = freshPath();
  using one = openQueue(path);
  using other = openQueue(path);
  one.pushMany([1, 2, 3, 4, 5, 6, 7]);
  expect(one.pop()).toBe(1);
  expect(other.pop()).toBe(2);
  expect([one.peekBack(), one.pop()]).toEqual([7, 3]);
  other.purge();
  other.pushMany(["x", 4]);
  expect([one.pop(), one.pop(), one.pop()]).toEqual([Buffer.from("x"), 4, EMPTY]);
  other.push(Buffer.alloc(5000, 1));
  other.push("after");
  expect([(one.pop() as Buffer).length, one.pop()]).toEqual([5000, Buffer.from("after")]);
  one.pushMany([8, 9]);
  one.pop();
  one.close();
  expect(thrownBy(() => one.pop()).code).toBe("EMMAP_CLOSED");
  expect([other.pop(), other.pop()]).toEqual([9, EMPTY]);
});

test("a message whose term would take too much memory stays", () => {
  const path = freshPath();
  const list = Array.from({ length: 1000 }, () => []);
  using queue = openQueue(path, { maxInflatedSize: 4096 });
  using larger = openQueue(path, { maxInflatedSize: 16 * 1002 });
  using compressing = openQueue(path, { encode: { compressed: true } });
  for (const writer of [larger, compressing]) {
    writer.push(list);
    const [message] = openQueue(path, { raw: true });
    expectRefused(queue as never, "ETF_LIMIT", message as Buffer);
    expect(larger.pop()).toEqual(list);
  }
  for (const bad of [-1, "1", [5], 10n, null, true, 1.5])
    expect(thrownBy(() => openQueue(path, { maxInflatedSize: bad } as object)).code).toBe("ETF_OPTION");
  for (const twice of [
    { maxInflatedSize: 100, decode: { maxInflatedSize: 5 } },
    { values: "json", decode: { values: "term" } },
    { values: "json", encode: { values: "json" } },
  ])
    expect(thrownBy(() => openQueue(path, twice as object))).toMatchObject({
      code: "ERR_INVALID_ARG_VALUE",
      message: expect.stringMatching(/^The option "\w+" is given twice, also in "(decode|encode)"$/),
    });
  for (const none of [{ decode: 5 }, { decode: "x" }, { encode: null }])
    expect(thrownBy(() => openQueue(path, none as object)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(thrownBy(() => openQueue(path, { raw: true, maxInflatedSize: 1 } as object)).code).toBe(
    "ERR_INVALID_ARG_VALUE",
  );
});

test("push refuses what pop would refuse, and nothing else", () => {
  const path = freshPath();
  const values = [
    Array.from({ length: 100 }, () => []),
    "x".repeat(1001),
    "x".repeat(1002),
    Array.from({ length: 300 }, (_, i) => i),
    new Map([[1, ["a", Buffer.alloc(100)]]]),
    2n ** 4000n,
    7,
  ];
  using any = openQueue(path, { maxInflatedSize: Number.MAX_SAFE_INTEGER });
  for (const compressed of [false, true])
    for (const maxInflatedSize of [...Array(120).keys()].map((i) => 17 * i).concat(1e5, Infinity)) {
      using queue = openQueue(path, { maxInflatedSize, encode: { compressed } });
      for (const value of values) {
        let refused: unknown;
        try {
          queue.push(value);
        } catch (error) {
          expect(error).toMatchObject({
            code: "ETF_LIMIT",
            message: `the term takes more memory than maxInflatedSize, ${maxInflatedSize} bytes, allows`,
          });
          expect(thrownBy(() => queue.pushMany([7, value])).code).toBe("ETF_LIMIT");
          expect(queue.isEmpty()).toBe(true);
          refused = error;
          using writer = openQueue(path, {
            maxInflatedSize: Number.MAX_SAFE_INTEGER,
            encode: { compressed },
          });
          writer.push(value);
        }
        if (refused) expect(thrownBy(() => queue.pop()).code).toBe("EMMAP_REFUSED");
        else queue.pop();
        if (refused) any.pop();
        expect(any.isEmpty()).toBe(true);
      }
    }
});

test("a function that is given atoms and throws is handed its message with the error", () => {
  let angry = true;
  const atoms = (name: string): string => {
    if (angry && name === "bad") throw new Error("no");
    return name;
  };
  using queue = openQueue(freshPath(), { decode: { atoms } });
  queue.pushMany([atom("good"), atom("bad"), atom("last"), atom("bad")]);
  expect(queue.popMany(9)).toEqual(["good"]);
  const error = thrownBy(() => queue.popMany(9)) as Error & { bytes: Buffer };
  expect(error).toMatchObject({ code: "EMMAP_BAD_TERM", cause: { message: "no" } });
  expect(decodePrefix(error.bytes).term).toBe(atom("bad"));
  expect(queue.pop()).toBe("last");
  angry = false;
  expect([queue.pop(), queue.pop()]).toEqual(["bad", EMPTY]);
});

test.each([Error, RangeError])(
  "popMany leaves a message that a function refuses with %o in the file",
  (Refusal) => {
    const path = freshPath();
    const atoms = (name: string): string => {
      if (name === "bad") throw new Refusal("no");
      return name;
    };
    const queue = openQueue(path, { decode: { atoms } });
    using other = openQueue(path, { decode: { atoms: "string" } });
    queue.pushMany([atom("one"), atom("bad"), atom("three")]);
    expect(queue.popMany(10)).toEqual(["one"]);
    expect([queue.length(), ...other]).toEqual([2, "bad", "three"]);
    queue.close();
    expect(other.popMany(10)).toEqual(["bad", "three"]);
  },
);

test("pop hands out the message with whatever error a function throws", () => {
  const atoms = (): never => {
    throw new RangeError("no such atom");
  };
  using queue = openQueue(freshPath(), { decode: { atoms } });
  queue.push(atom("bad"));
  const error = thrownBy(() => queue.pop()) as Error & { bytes: Buffer };
  expect(error).toMatchObject({ code: "EMMAP_BAD_TERM", cause: { message: "no such atom" } });
  expect(decodePrefix(error.bytes).term).toBe(atom("bad"));
  expect(queue.isEmpty()).toBe(true);
});

test("popMany returns what is left of its messages when others have taken the first ones", () => {
  for (const taken of [1, 700, 2999, 3000]) {
    const path = freshPath();
    using other = openQueue(path);
    let countdown = 3000;
    const atoms = (name: string): string => {
      if (--countdown === 0) expect(other.popMany(taken)).toHaveLength(taken);
      return name;
    };
    using queue = openQueue(path, { decode: { atoms } });
    const all = Array.from({ length: 3000 }, (_, i) => [i, "x".repeat(i % 90)]);
    queue.pushMany(all.map((message) => [atom("same"), ...message]));
    const popped = queue.popMany(5000).map((message) => (message as unknown[])[1]);
    expect(popped).toEqual(all.slice(taken).map(([i]) => i));
    expect(queue.isEmpty()).toBe(true);
  }
});

/** Calls `action` with about `room` stack frames left. */
function nearTheLimit(room: number, action: () => void): void {
  let depth = 0;
  const dive = (): void => {
    depth++;
    dive();
  };
  try {
    dive();
  } catch {
    // That is how deep it goes.
  }
  const descend = (left: number): void => {
    if (left > 0) descend(left - 1);
    else action();
  };
  try {
    descend(depth - room);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
  }
}

describe("near the end of the stack no message is lost", () => {
  type Numbered = [number, [number], ...unknown[]];
  // The method stores the result without a call, because there may be no room for one.
  interface Taken {
    some: unknown[];
  }
  const popOne = (queue: Queue<Term, unknown>, taken: Taken): void => {
    const message = queue.pop();
    taken.some = [message];
  };
  const ways: [string, DecodeOptions, (queue: Queue<Term, unknown>, taken: Taken) => void][] = [
    ["pop", {}, popOne],
    ["pop with a function", { atoms: (name) => name }, popOne],
    [
      "popMany",
      {},
      (queue, taken) => {
        taken.some = queue.popMany(3);
      },
    ],
    [
      "popBytes",
      {},
      (queue, taken) => {
        taken.some = [queue.popBytes()];
      },
    ],
    [
      "tryPop",
      {},
      (queue, taken) => {
        queue.tryPop((message) => {
          taken.some = [message];
        });
      },
    ],
  ];
  test.each(ways)("%s", (_name, decoding, take) => {
    using queue = openQueue<DecodeOptions>(freshPath(), { decode: decoding });
    const seen = new Set<unknown>();
    let number = 0;
    let failed = 0;
    for (let room = 0; room < 500; room++) {
      while (queue.length() < 3) queue.push([1, [number++], "text", new Map([["key", [2.5, atom("a")]]])]);
      const taken: Taken = { some: [] };
      nearTheLimit(room, () => take(queue as Queue<Term, unknown>, taken));
      if (taken.some.length === 0) failed++;
      for (const message of taken.some) {
        const term = Buffer.isBuffer(message) ? decodePrefix(message).term : message;
        seen.add((term as Numbered)[1][0]);
      }
    }
    expect(failed).toBeGreaterThan(0);
    for (let left = queue.pop(); left !== EMPTY; left = queue.pop()) seen.add((left as Numbered)[1][0]);
    expect([...Array(number).keys()].filter((each) => !seen.has(each))).toEqual([]);
  });
});

/** Calls `action` below `frames` frames; false if there was no room for them or for `action`. */
function below(frames: number, action: () => void): boolean {
  const descend = (left: number): void => {
    if (left === 0) action();
    else descend(left - 1);
  };
  try {
    descend(frames);
    return true;
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    return false;
  }
}

test.each<[string, object]>([
  ["terms", {}],
  ["JSON", { values: "json" }],
  ["terms with a function", { decode: { atoms: (name: string) => name } }],
])(
  "near the end of the stack a take of %s leaves no message in hand without a delivery",
  (_name, options) => {
    using queue = openQueue(freshPath(), options) as Queue<unknown, unknown>;
    let failed = 0;
    const takes = (frames: number): boolean => {
      if (queue.isEmpty()) queue.push(["text", [2.5]]);
      const taken: { delivery: Delivery<unknown> | null } = { delivery: null };
      const isDone = below(frames, () => {
        taken.delivery = queue.tryTake();
      });
      if (!isDone) failed++;
      taken.delivery?.ack();
      // Any operation with enough stack gives back what the failed one has taken.
      queue.pop();
      expect(queue.inHand().filter((each) => !each.released)).toEqual([]);
      return isDone;
    };
    // Compiled code has smaller frames: the place where a take just fails moves, and is looked for again.
    for (let round = 0; round < 5; round++) {
      let least = 0;
      for (let most = 100_000; most - least > 1; ) {
        const middle = (least + most) >> 1;
        if (takes(middle)) least = middle;
        else most = middle;
      }
      for (let frames = least - 100; frames < least + 100; frames++) takes(frames);
    }
    expect(failed).toBeGreaterThan(0);
  },
);

/** Calls `action` where the stack has ended, then with a frame more, and so on. */
function whileUnwinding(action: (frames: number) => void): void {
  let frames = 0;
  const dive = (): void => {
    try {
      dive();
    } catch {
      // There is no stack left.
    }
    try {
      action(frames++);
    } catch {
      // The same.
    }
  };
  dive();
}

describe("near the end of the stack tryPop leaves the queue to others", () => {
  test.each([0, 5000])("with a message of %d bytes", (length) => {
    using queue = openQueue(freshPath());
    using other = openQueue(queue.path);
    queue.push(Buffer.alloc(length));
    let failed = 0;
    let entered = 0;
    for (let at = 0; at < 600; at++) {
      let error: unknown;
      whileUnwinding((frames) => {
        if (frames !== at) return;
        try {
          queue.tryPop(() => {
            entered++;
            throw new Error("consumed");
          });
        } catch (cause) {
          error = cause;
        }
      });
      if (error instanceof RangeError) failed++;
      // If no stack was left to give the message back, the handle's next operation does it. Then nobody is in a tryPop.
      expect(thrownBy(() => queue.tryPop(() => JSON.parse("no"))).name).toBe("SyntaxError");
      expect(thrownBy(() => other.tryPop(() => JSON.parse("no"))).name).toBe("SyntaxError");
    }
    expect(failed).toBeGreaterThan(0);
    expect(entered).toBeGreaterThan(0);
    expect(queue.length()).toBe(1);
  });

  test.each(["pop", "purge", "erase"] as const)("and %s goes on", (operation) => {
    using queue = openQueue(freshPath());
    queue.push("a");
    whileUnwinding((frames) => {
      if (frames < 400)
        queue.tryPop(() => {
          throw new Error("consumed");
        });
    });
    queue[operation]();
    expect(queue.isEmpty()).toBe(true);
  });
});

describe("what one call gathers", () => {
  const list = Array.from({ length: 1000 }, () => []);
  const size = 16 * 1002;
  const ways: [string, EncodeOptions, DecodeOptions][] = [
    ["plain", {}, {}],
    ["compressed", { compressed: true }, {}],
    ["with a function for atoms", {}, { atoms: (name) => name }],
    ["with views", { compressed: true }, { binaries: "view" }],
  ];
  describe.each(ways)("%s", (_, encoding, decoding) => {
    const stored = encode(list, encoding).length;
    const open = (maxInflatedSize: number) =>
      openQueue<DecodeOptions>(freshPath(), { encode: encoding, decode: decoding, maxInflatedSize });

    test("takes no more than its messages have, and the limit", () => {
      // Enough for three, and not quite for four.
      using queue = open(4 * (size - stored) - 64);
      for (let i = 0; i < 10; i++) queue.push(list);
      expect(queue.popMany(100)).toEqual([list, list, list]);
      expect(queue.length()).toBe(7);
      const error = thrownBy(() => queue.snapshot());
      expect([error.code, error.name]).toEqual(["ETF_LIMIT", "EtfError"]);
      expect(queue.length()).toBe(7);
      expect(queue.snapshot(3)).toHaveLength(3);
      expect([...queue]).toHaveLength(7);
      expect([3, 3, 1, 0].map((count) => queue.popMany(100).length === count)).toEqual(Array(4).fill(true));
    });

    test("is at least one message", () => {
      using queue = open(size - stored);
      for (let i = 0; i < 3; i++) queue.push(list);
      for (let i = 0; i < 3; i++) expect(queue.popMany(100)).toEqual([list]);
      expect(queue.popMany(100)).toEqual([]);
    });
  });

  test("is not less where terms are small", () => {
    using queue = openQueue(freshPath(), { maxInflatedSize: 0 });
    const messages = Array.from({ length: 2000 }, () => Buffer.alloc(100));
    using writer = openQueue(queue.path, { raw: true });
    // A term of 116 bytes of memory in a message of 120.
    for (const each of messages) writer.push(Buffer.concat([encode(each), Buffer.alloc(14)]));
    expect(queue.snapshot()).toHaveLength(2000);
    expect(queue.popMany(3000)).toHaveLength(2000);
  });

  test("is one term that is refused as by pop", () => {
    using queue = openQueue(freshPath(), { maxInflatedSize: 100 });
    using writer = openQueue(queue.path);
    writer.push(list);
    expect(thrownBy(() => queue.popMany(2)).code).toBe("EMMAP_REFUSED");
    expect(thrownBy(() => queue.snapshot()).code).toBe("EMMAP_REFUSED");
    expect(queue.length()).toBe(1);
  });
});

test("many messages come out as they would one by one: compressed, long, and of every kind", () => {
  using queue = openQueue(freshPath(), { encode: { compressed: true } });
  using plain = openQueue(queue.path);
  const long = Buffer.alloc(5000, "long");
  const messages = [
    tuple(atom("small"), 1),
    "x".repeat(9000),
    long,
    [1.5, [], new Map([[1, long]])],
    2n ** 70n,
  ];
  queue.pushMany(messages);
  plain.pushMany(messages);
  const alone = [...queue];
  const together = queue.popMany(100);
  expect(together).toEqual(alone);
  expect(together).toHaveLength(2 * messages.length);
  // The returned message belongs to the caller.
  const [first, second] = [together[2], together[7]] as [Buffer, Buffer];
  first.fill(0);
  expect(second.equals(long)).toBe(true);
});

test("a foreign file is refused and left as it was", () => {
  const path = freshPath();
  writeFileSync(path, "this is no queue, but somebody's notes");
  expect(thrownBy(() => openQueue(path)).code).toBe("EMMAP_CORRUPT");
  expect(readFileSync(path, "utf8")).toBe("this is no queue, but somebody's notes");
});

test("terms appear as the options say", () => {
  using queue = openQueue(freshPath(), { decode: { atoms: "string", binaries: "string", maps: "object" } });
  queue.push({ user: atom("ada"), score: new Float(2) });
  expect(queue.pop()).toEqual({ user: "ada", score: new Float(2) });
});

test("options that are changed after opening change nothing", () => {
  const decode: { binaries: "buffer" | "view" } = { binaries: "buffer" };
  using queue = openQueue(freshPath(), { decode });
  queue.push(Buffer.from("mine"));
  decode.binaries = "view";
  const [first] = queue.popMany(1);
  queue.push(Buffer.from("next"));
  queue.popMany(1); // into the memory that a view would show
  expect(first?.toString()).toBe("mine");
});

test("options and arguments of a wrong kind are named", () => {
  expect(thrownBy(() => openQueue(freshPath(), { offset: 1 } as object)).message).toContain('"offset"');
  expect(thrownBy(() => openQueue(freshPath(), { raw: 1 } as object)).code).toBe("ERR_INVALID_ARG_TYPE");
  for (const options of [
    { raw: true, decode: {} },
    { raw: true, encode: {} },
  ])
    expect(thrownBy(() => openQueue(freshPath(), options as object)).code).toBe("ERR_INVALID_ARG_VALUE");
  for (const options of [{ decode: { maps: "maps" } }, { encode: { compressed: 10 } }])
    expect(thrownBy(() => openQueue(freshPath(), options as object)).code).toBe("ETF_OPTION");
  using queue = openQueue(freshPath());
  expect(thrownBy(() => queue.popMany(-1)).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => queue.tryPop(1 as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  for (const none of [5, {}, true, null, undefined, new Date()])
    expect(thrownBy(() => queue.pushMany(none as never)).code).toBe("ERR_INVALID_ARG_TYPE");
});

test("a closed queue says so", () => {
  const queue = openQueue(freshPath());
  queue.close();
  queue.close();
  expect(thrownBy(() => queue.push(1)).code).toBe("EMMAP_CLOSED");
  expect(thrownBy(() => queue.length()).code).toBe("EMMAP_CLOSED");
  expect(inspect(queue)).toContain("closed: true");
});

test("encoded terms can be pushed as they are through a raw queue", () => {
  const path = freshPath();
  using raw = openQueue(path, { raw: true });
  raw.push(encode([1, 2]));
  using terms = openQueue(path);
  expect(terms.pop()).toEqual([1, 2]);
});

test("a walk goes on at no place that no step has answered", () => {
  const native = addon.queue_open(freshPath(), ["write", null, "create", null]);
  const room = Buffer.alloc(1024);
  for (const messages of [0, 1]) {
    for (const [low, high] of [...Array(15).keys()].map((i) => [i + 1, 0]).concat([[16, 2 ** 31]]))
      for (const backward of [false, true]) {
        const state = Float64Array.of(low as number, 0, 0, high as number);
        const error = thrownBy(() => addon.queue_walk(native, backward, 9n, state, room));
        expect({ messages, low, error }).toMatchObject({ error: { code: "ESTALE" } });
      }
    addon.queue_push(native, Buffer.from("message"));
  }
  addon.close(native);
});
