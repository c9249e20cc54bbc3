import { existsSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { open } from "../src";
import { collectUntil } from "./support/collect";
import { thrownBy } from "./support/errors";
import { descriptorsOf, freshPath, mappingsOf, pattern, patternFile } from "./support/files";

test("a view shows the written bytes, and writes the bytes that it is given", () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  const view = file.view(100, 10);
  expect(view).toEqual(pattern(4096).subarray(100, 110));
  file.pwrite(100, "in");
  expect(view.toString("latin1", 0, 2)).toBe("in");
  view.write("out", 5);
  expect(readFileSync(path).toString("latin1", 105, 108)).toBe("out");
});

test("without arguments a view is of the whole file, without a length of the rest", () => {
  using file = open(patternFile(4096));
  expect([file.view().length, file.view(4000).length, file.view(4096).length, file.view(7n, 3n)[0]]).toEqual([
    4096, 96, 0, 7,
  ]);
});

test("a view that would pass the end is refused", () => {
  using file = open(patternFile(4096));
  for (const [position, length] of [
    [0, 4097],
    [4090, 7],
    [4097, 0],
    [-1, 1],
    [0, -1],
    [2n ** 64n - 1n, 1],
  ] as const)
    expect(thrownBy(() => file.view(position, length))).toMatchObject({ code: "EINVAL", operation: "view" });
  expect(thrownBy(() => file.bigInt64Array(0, 513))).toMatchObject({ code: "EINVAL" });
  expect(thrownBy(() => file.view(0.5))).toMatchObject({ code: "ERR_OUT_OF_RANGE" });
});

test("Atomics work on a bigInt64Array, and are the file's", () => {
  using file = open(patternFile(4096), { write: true });
  const words = file.bigInt64Array(8, 2);
  file.store(8, 40);
  expect(Atomics.add(words, 0, 2n)).toBe(40n);
  expect([file.load(8), words.length, file.bigInt64Array().length]).toEqual([42n, 2, 512]);
  expect(thrownBy(() => file.bigInt64Array(4, 1))).toMatchObject({ code: "EMMAP_ALIGNMENT" });
});

test("a file at an odd offset has views", () => {
  using file = open(patternFile(4096), { write: true, offset: 1003 });
  expect(file.view(1, 3)).toEqual(pattern(4096).subarray(1004, 1007));
  expect(file.bigInt64Array(5, 2).length).toBe(2);
});

test("bytes written to a view of a read-only file stay in this mapping", () => {
  const path = patternFile(8192);
  using file = open(path);
  const view = file.view();
  view[5000] = 0xff;
  expect([view[5000], readFileSync(path)[5000]]).toEqual([0xff, 5000 % 251]);
  using other = open(path, { write: true });
  other.pwrite(0, "seen");
  expect(view.toString("latin1", 0, 4)).toBe("seen");
});

test("close empties views, and unmaps when the last is collected", async () => {
  const path = patternFile(4096);
  const file = open(path, { write: true });
  let view: Buffer | undefined = file.view(10, 20);
  let words: BigInt64Array | undefined = file.bigInt64Array();
  file.close();
  expect([view.length, view[0], words.length, descriptorsOf(path)]).toEqual([0, undefined, 0, 0]);
  view = words = undefined;
  await collectUntil(() => mappingsOf(path) === 0);
});

test("close without views unmaps at once, also when there have been some", async () => {
  const path = patternFile(4096);
  const file = open(path, { write: true });
  const other = open(path, { write: true });
  await (async () => file.view().fill(1))();
  await collectUntil(() => mappingsOf(path) === 2 && thrownNothing(() => file.resize(2048)));
  file.close();
  expect(mappingsOf(path)).toBe(1);
  other.close();
  expect(mappingsOf(path)).toBe(0);
});

function thrownNothing(action: () => unknown): boolean {
  try {
    action();
    return true;
  } catch {
    return false;
  }
}

test("views of a direct file outlive close, until they are collected", async () => {
  const path = patternFile(4096);
  const file = open(path, { write: true, direct: true });
  let view: Buffer | undefined = file.view(0, 8);
  file.close();
  expect([view, descriptorsOf(path), mappingsOf(path)]).toEqual([pattern(8), 0, 1]);
  view.write("late");
  expect(readFileSync(path).toString("latin1", 0, 4)).toBe("late");
  view = undefined;
  await collectUntil(() => mappingsOf(path) === 0);
});

test("autoUnlink removes the file at close, and a view of a direct file keeps its memory", () => {
  const path = freshPath();
  const file = open(path, { write: true, create: true, size: 4096, direct: true, autoUnlink: true });
  file.pwrite(0, "kept");
  const view = file.view();
  file.close();
  expect(existsSync(path)).toBe(false);
  expect(view.subarray(0, 4).toString()).toBe("kept");
});

test("a file that is forgotten is closed, unless a view needs its memory", async () => {
  const path = patternFile(4096);
  let view: Buffer | undefined = open(path, { write: true }).view(0, 8);
  open(path, { write: true }).add(8, 1);
  await collectUntil(() => descriptorsOf(path) === 0);
  expect(view).toEqual(pattern(8));
  await collectUntil(() => mappingsOf(path) === 1);
  view = undefined;
  await collectUntil(() => mappingsOf(path) === 0);
});

function openAThousandTimes(path: string): void {
  for (let i = 0; i < 1000; i++) {
    const file = open(path, { write: true });
    file.add(0, 1);
    if (i % 3 === 0) file.view();
    if (i % 2 === 0) file.close();
  }
}

test("a thousand files, opened and forgotten or closed, leave nothing", async () => {
  const path = patternFile(4096);
  openAThousandTimes(path);
  await collectUntil(() => descriptorsOf(path) + mappingsOf(path) === 0);
  using file = open(path);
  expect(file.load(0) - 0x0706050403020100n).toBe(1000n);
});

test("a view can't be transferred to another thread, and stays usable", () => {
  using file = open(patternFile(4096), { write: true });
  const { buffer } = file.view();
  try {
    structuredClone(buffer, { transfer: [buffer as ArrayBuffer] });
  } catch (error) {
    expect(error).toHaveProperty("name", "DataCloneError");
  }
  expect(buffer.byteLength).toBe(4096);
  expect(file.view(1, 1)[0]).toBe(1);
});

const { transfer } = ArrayBuffer.prototype as { transfer?: (this: ArrayBufferLike) => ArrayBuffer };

// Node 20 has no such method, and no other way to take a buffer's memory from it.
if (transfer !== undefined)
  test("memory that was transferred to another ArrayBuffer stays until that is gone, after close too", async () => {
    const path = patternFile(4096);
    const file = open(path, { write: true });
    const before = file.view();
    let moved: ArrayBuffer | undefined = transfer.call(before.buffer);
    expect([before.length, moved.byteLength]).toEqual([0, 4096]);
    expect(file.view(3, 1)[0]).toBe(3);
    file.close();
    for (let i = 0; i < 3; i++) await collectUntil(() => true);
    new Uint8Array(moved)[0] = 77;
    expect([readFileSync(path)[0], mappingsOf(path)]).toEqual([77, 1]);
    moved = undefined;
    await collectUntil(() => mappingsOf(path) === 0);
  });

test("memory that a thread of zlib works on is not unmapped by close", async () => {
  const { deflate } = await import("node:zlib");
  for (let round = 0; round < 20; round++) {
    const file = open("", { anon: true, write: true, size: 4 << 20 });
    const done = new Promise<void>((resolve) => deflate(file.view(), () => resolve()));
    file.close();
    await done;
  }
});

test("a view's ArrayBuffer is the whole mapping, unless it has one of its own", () => {
  using file = open(patternFile(8192), { write: true });
  const bytes = [file.view(100, 16), file.view(100, 16, {}), file.view(100, 16, { ownBuffer: true })];
  expect(bytes.map(({ buffer }) => buffer.byteLength)).toEqual([8192, 8192, 16]);
  const words = [file.bigInt64Array(8, 2), file.bigInt64Array(8, 2, { ownBuffer: true })];
  expect(words.map(({ buffer }) => buffer.byteLength)).toEqual([8192, 16]);
  for (const view of bytes) expect(view).toEqual(pattern(8192).subarray(100, 116));
  expect(words[0]).toEqual(words[1]);
  expect(file.view(8000, undefined, { ownBuffer: true }).buffer.byteLength).toBe(192);
});

test("a clone of a view with an ArrayBuffer of its own has no other bytes of the file", async () => {
  using file = open(patternFile(1 << 20), { write: true });
  const view = file.view(5, 16, { ownBuffer: true });
  const words = file.bigInt64Array(16, 1, { ownBuffer: true });
  const { MessageChannel } = await import("node:worker_threads");
  const { port1, port2 } = new MessageChannel();
  const received = new Promise<unknown>((resolve) => {
    port2.once("message", resolve);
  });
  port1.postMessage([view, words]);
  const [sentView, sentWords] = (await received) as [Uint8Array, BigInt64Array];
  port1.close();
  for (const clone of [structuredClone(view), sentView]) {
    expect([clone.buffer.byteLength, Buffer.from(clone)]).toEqual([16, pattern(21).subarray(5)]);
    file.pwrite(5, "changed");
    expect(clone[0]).toBe(5);
    file.pwrite(5, pattern(21).subarray(5));
  }
  expect([sentWords.buffer.byteLength, sentWords[0]]).toEqual([8, file.load(16)]);
});

test("a view with an ArrayBuffer of its own is one of the mapping", async () => {
  const path = patternFile(8192);
  const file = open(path, { write: true });
  let view: Buffer | undefined = file.view(4099, 10, { ownBuffer: true });
  let words: BigInt64Array | undefined = file.bigInt64Array(16, 2, { ownBuffer: true });
  file.pwrite(4099, "in");
  view.write("out", 5);
  expect([view.toString("latin1", 0, 2), file.pread(4104, 3)?.toString()]).toEqual(["in", "out"]);
  file.store(16, 40);
  expect([Atomics.add(words, 0, 2n), file.load(16)]).toEqual([40n, 42n]);
  expect(thrownBy(() => file.resize(4096))).toMatchObject({ code: "EBUSY" });
  file.close();
  expect([view.length, words.length, descriptorsOf(path)]).toEqual([0, 0, 0]);
  view = words = undefined;
  await collectUntil(() => mappingsOf(path) === 0);
});

test("it outlives close where the file is direct, and keeps the written bytes where that is read-only", async () => {
  const path = patternFile(4096);
  const file = open(path, { direct: true });
  let view: Buffer | undefined = file.view(7, 3, { ownBuffer: true });
  view[0] = 0xff;
  expect([file.view(7, 1)[0], readFileSync(path)[7]]).toEqual([0xff, 7]);
  file.close();
  expect([view[0], view[1], mappingsOf(path)]).toEqual([0xff, 8, 1]);
  view = undefined;
  await collectUntil(() => mappingsOf(path) === 0);
});

test("ten thousand of them show the file, and are empty when it is closed", () => {
  const file = open(patternFile(4096), { write: true });
  const views = Array.from({ length: 10_000 }, (_, i) => file.view(i % 4000, 16, { ownBuffer: true }));
  expect(views.every((view, i) => view[0] === (i % 4000) % 251)).toBe(true);
  file.close();
  expect(views.every((view) => view.length === 0)).toBe(true);
});

test("an option that a view does not have is refused", () => {
  using file = open(patternFile(64));
  for (const options of [{ own: true }, { ownBuffer: 1 }, 5, null] as never[])
    for (const call of [() => file.view(0, 8, options), () => file.bigInt64Array(0, 1, options)])
      expect(thrownBy(call).code).toMatch(/^ERR_INVALID_ARG_(TYPE|VALUE)$/);
});

test("many views, used while the collector runs, show the file", async () => {
  using file = open(patternFile(4096), { write: true });
  for (let round = 0; round < 20; round++) {
    const views = Array.from({ length: 200 }, (_, i) => file.view(i, 16));
    await collectUntil(() => true);
    expect(views.every((view, i) => view[0] === i % 251)).toBe(true);
  }
});
