// Files that no single typed array covers. Operations go through windows of 1 GiB, and views through buffers of the largest
// size of this release of Node. An access may reach from one into the next.
import { closeSync, ftruncateSync, openSync, readSync } from "node:fs";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { open, openCounters } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const GIB = 2 ** 30;
const SIZE = 9 * GIB;
const EDGES = [1, 2, 4, 8].map((gib) => gib * GIB);

/** A sparse file, and a function that reads it through another descriptor. */
function largeFile(): { path: string; read(position: number, length: number): string } {
  const path = freshPath();
  const descriptor = openSync(path, "w+");
  ftruncateSync(descriptor, SIZE);
  closeSync(descriptor);
  return {
    path,
    read(position, length) {
      const bytes = Buffer.alloc(length);
      const reader = openSync(path, "r");
      readSync(reader, bytes, 0, length, position);
      closeSync(reader);
      return bytes.toString();
    },
  };
}

test.each(EDGES)("bytes around %i", (edge) => {
  const { path, read } = largeFile();
  using file = open(path, { write: true });
  file.pwrite(edge - 3, "across");
  file.pwrite(edge - 9, "before");
  file.pwrite(edge + 3, "after");
  expect(read(edge - 9, 17)).toBe("beforeacrossafter");
  expect(file.pread(edge - 9, 17)?.toString()).toBe("beforeacrossafter");
  expect(file.pread(edge, 3)?.toString()).toBe("oss");
  expect(file.pread(edge - 3, 3)?.toString()).toBe("acr");
  expect(file.view(edge - 3, 6).toString()).toBe("across");
  expect(file.view(edge, 3).toString()).toBe("oss");
});

test.each(EDGES)("words around %i", (edge) => {
  const { path, read } = largeFile();
  using file = open(path, { write: true });
  for (const position of [edge - 8, edge]) {
    file.store(position, 0x41);
    expect([file.add(position, 1), file.load(position)]).toEqual([0x41n, 0x42n]);
  }
  expect(read(edge - 8, 16)).toBe("B\0\0\0\0\0\0\0B\0\0\0\0\0\0\0");
  expect([...file.bigInt64Array(edge - 8, 2)]).toEqual([0x42n, 0x42n]);
  expect(thrownBy(() => file.add(edge + 4, 1)).code).toBe("EMMAP_ALIGNMENT");
});

test.each(EDGES)("the cursor passes %i", (edge) => {
  using file = open(largeFile().path, { write: true });
  file.position(edge - 4);
  file.write("one\n");
  file.write("a line\n");
  file.position(edge - 6);
  file.write("<>");
  expect(file.position(0, "cur")).toBe(edge - 4);
  expect(file.read(6)?.toString()).toBe("one\na ");
  expect(file.readLine()?.toString()).toBe("line\n");
  file.position(edge - 3);
  file.write("across an edge\n");
  file.position(edge - 3);
  expect(file.readLine()?.toString()).toBe("across an edge\n");
  expect(file.position(0, "cur")).toBe(edge + 12);
});

test("positions past the end, below 0 and beyond what a number holds are refused, not taken modulo anything", () => {
  using file = open(largeFile().path, { write: true });
  file.pwrite(0, "first");
  for (const position of [SIZE, SIZE + GIB, 2 ** 53 - 1, 2n ** 62n])
    expect(file.pread(position, 5)).toBe(null);
  for (const position of [SIZE - 4, SIZE, 2 ** 52, 2n ** 62n])
    expect(thrownBy(() => file.pwrite(position, "beyond")).code).toBe("EINVAL");
  for (const position of [-GIB, -8]) {
    expect(thrownBy(() => file.pread(position, 5)).code).toBe("EINVAL");
    expect(thrownBy(() => file.add(position, 1)).code).toBe("EINVAL");
  }
  for (const position of [2 ** 53, 2 ** 62, 2 ** 63, 1e300])
    for (const call of [() => file.pread(position, 5), () => file.add(position, 1)])
      expect(thrownBy(call).code).toBe("ERR_OUT_OF_RANGE");
  file.position(2n ** 62n);
  expect([file.read(5), file.readLine()]).toEqual([null, null]);
  expect(thrownBy(() => file.write("beyond")).code).toBe("EINVAL");
  expect(file.pread(0, 5)?.toString()).toBe("first");
});

test("views in the same part of the file share its buffer", () => {
  using file = open(largeFile().path, { write: true });
  for (const position of [0, 5 * GIB, SIZE - 64])
    expect(file.view(position, 8).buffer).toBe(file.view(position + 16, 8).buffer);
});

test("closing empties the views of all parts", () => {
  const file = open(largeFile().path, { write: true });
  const views = [0, 4 * GIB - 4, 5 * GIB, SIZE - 8].map((position) => file.view(position, 8));
  file.close();
  expect(views.map((view) => view.length)).toEqual([0, 0, 0, 0]);
});

test("a file that grows and shrinks past an edge", () => {
  using file = open(freshPath(), { write: true, create: true, size: GIB - 4096 });
  file.resize(GIB + 4096);
  file.pwrite(GIB + 4000, "new");
  expect(file.pread(GIB + 4000, 3)?.toString()).toBe("new");
  file.resize(GIB);
  expect(file.pread(GIB + 4000, 3)).toBe(null);
  expect(file.pread(GIB - 1, 9)?.length).toBe(1);
});

test("counters by the hundred million", () => {
  const count = 2 ** 27 + 8;
  using counters = openCounters(freshPath(), count);
  const indexes = [0, 2 ** 27 - 3, 2 ** 27 - 2, 2 ** 27 - 1, 2 ** 27, count - 1];
  for (const index of indexes) counters.add(index, index + 1);
  for (const index of indexes) {
    expect(counters.get(BigInt(index))).toBe(BigInt(index + 1)); // through the core
    expect(counters.get(index)).toBe(BigInt(index + 1));
  }
  for (const index of [count, 2 ** 28, 2 ** 32, 2 ** 52, -1, -(2 ** 27)])
    expect(thrownBy(() => counters.add(index, 1)).code).toBe("EINVAL");
  expect(inspect(counters)).toContain(`BigInt64Array(${count})`);
});
