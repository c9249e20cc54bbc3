import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { open } from "../src";
import { thrownBy } from "./support/errors";
import { pattern, patternFile } from "./support/files";

test.each([1, 8, 63, 64, 2047, 2048, 4095, 4096])("%i bytes are read as they are in the file", (length) => {
  using file = open(patternFile(4096));
  expect(file.pread(0, length)).toEqual(pattern(4096).subarray(0, length));
  expect(file.pread(4096 - length, length)).toEqual(pattern(4096).subarray(4096 - length));
});

test("a read is cut at the end, and null from there on", () => {
  using file = open(patternFile(100));
  expect(file.pread(96, 100)).toEqual(pattern(100).subarray(96));
  expect([file.pread(100, 1), file.pread(101, 1), file.pread(100, 0)]).toEqual([null, null, null]);
  expect(file.pread(0, 0)).toEqual(Buffer.alloc(0));
  expect(file.pread(2 ** 52, 2 ** 52)).toBeNull();
});

test("positions and lengths may be bigints", () => {
  using file = open(patternFile(100), { write: true });
  expect(file.pread(5n, 2n)).toEqual(Buffer.from([5, 6]));
  file.pwrite(5n, "x");
  expect(file.pread(5, 1)?.toString()).toBe("x");
});

test("what was read is a copy: neither side sees what the other writes", () => {
  using file = open(patternFile(100), { write: true });
  const copy = file.pread(0, 4) as Buffer;
  file.pwrite(0, "abcd");
  expect(copy).toEqual(Buffer.from([0, 1, 2, 3]));
  copy.fill(0xff);
  expect(file.pread(0, 4)?.toString()).toBe("abcd");
});

test("a megabyte goes in and out", () => {
  using file = open("", { anon: true, write: true, size: 2 ** 20 });
  const bytes = pattern(2 ** 20);
  file.pwrite(0, bytes);
  expect(file.pread(0, 2 ** 20)?.equals(bytes)).toBe(true);
});

test("whatever is bytes can be written", () => {
  const path = patternFile(100);
  using file = open(path, { write: true });
  const shared = new Uint8Array(new SharedArrayBuffer(2));
  shared.set([7, 8]);
  file.pwrite(0, "é");
  file.pwrite(2, Buffer.from([1, 2]));
  file.pwrite(4, new Uint16Array([0x0403]));
  file.pwrite(6, new DataView(Uint8Array.from([0, 5, 6, 0]).buffer, 1, 2));
  file.pwrite(8, shared);
  file.pwrite(10, "");
  expect(readFileSync(path).subarray(0, 11)).toEqual(Buffer.from([0xc3, 0xa9, 1, 2, 3, 4, 5, 6, 7, 8, 10]));
});

test("a write that would pass the end writes nothing", () => {
  const path = patternFile(100);
  using file = open(path, { write: true });
  expect(thrownBy(() => file.pwrite(96, "12345"))).toMatchObject({
    code: "EINVAL",
    operation: "pwrite",
    path,
  });
  expect(readFileSync(path)).toEqual(pattern(100));
  file.pwrite(95, "12345");
  expect(readFileSync(path).toString("latin1", 95)).toBe("12345");
});

test("shared memory can be written where the core has to be asked", () => {
  using file = open(patternFile(100), { write: true });
  const shared = new Uint8Array(new SharedArrayBuffer(2)).fill(9);
  file.pwrite(50n, shared);
  expect(file.pread(50, 2)).toEqual(Buffer.from([9, 9]));
  expect(() => file.pwrite(99, shared)).toThrow(expect.objectContaining({ code: "EINVAL" }));
});

test("a view of the file can be written to the file", () => {
  using file = open(patternFile(100), { write: true });
  file.pwrite(1, file.view(0, 50));
  expect(file.pread(0, 52)).toEqual(Buffer.from([0, ...pattern(50), 51]));
});

test("a subclass that lies about its length writes no more than it has", () => {
  class Liar extends Uint8Array {
    override get length(): number {
      return 90;
    }
  }
  const path = patternFile(100);
  using file = open(path, { write: true });
  file.pwrite(0, new Liar([1, 2]));
  expect(readFileSync(path)).toEqual(Buffer.from([1, 2, ...pattern(100).subarray(2)]));
});

test("two handles see each other's writes at once", () => {
  const path = patternFile(100);
  using one = open(path, { write: true });
  using other = open(path);
  one.pwrite(20, "seen");
  expect(other.pread(20, 4)?.toString()).toBe("seen");
});

test("allocate, advise, flush, sync and datasync work on a range or the file", async () => {
  const path = patternFile(8192);
  using file = open(path, { write: true });
  file.allocate(0, 8192);
  for (const advice of ["normal", "sequential", "random", "noReuse", "willNeed", "dontNeed"] as const)
    file.advise(0, 0, advice);
  file.pwrite(0, "durable");
  file.flush();
  await file.sync();
  await file.datasync();
  expect(readFileSync(path).toString("latin1", 0, 7)).toBe("durable");
});

test("a sync that close overtakes ends, and one after close is refused", async () => {
  const file = open(patternFile(8192), { write: true });
  const syncs = Array.from({ length: 20 }, () => file.sync());
  file.close();
  const results = await Promise.allSettled(syncs);
  for (const result of results)
    if (result.status === "rejected") expect(result.reason).toMatchObject({ code: "EMMAP_CLOSED" });
  await expect(file.sync()).rejects.toMatchObject({ code: "EMMAP_CLOSED", operation: "sync" });
});

describe("bytes of the file itself are written as they were before the call", () => {
  const SIZE = 500_000;
  const LENGTHS = [100, 5000, 65_536, 65_537, 150_000];

  test.each(["a view", "a view of another handle", "a view from before a resize"])("%s", (origin) => {
    using file = open(patternFile(SIZE), { write: true });
    using another = open(file.path, { write: true });
    const view = (origin === "a view of another handle" ? another : file).view();
    if (origin === "a view from before a resize") file.resize(2 * SIZE);
    for (const length of LENGTHS)
      for (const [from, to] of [
        [1000, 1001],
        [1001, 1000],
        [1000, 1000 + Math.floor(length / 2)],
        [length, Math.floor(length / 3)],
      ] as const)
        for (const write of [
          (bytes: Buffer) => file.pwrite(to, bytes),
          (bytes: Buffer) => file.pwrite(BigInt(to), bytes),
          (bytes: Buffer) => {
            file.position(to);
            file.write(bytes);
          },
        ]) {
          const expected = pattern(SIZE);
          file.pwrite(0, expected);
          expected.copyWithin(to, from, from + length);
          write(view.subarray(from, from + length));
          expect(file.pread(0, SIZE)?.equals(expected), `${length} bytes from ${from} to ${to}`).toBe(true);
        }
  });
});
