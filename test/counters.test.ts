import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCounters, openQueue } from "../src";
import { thrownBy } from "./support/errors";
import { descriptorsOf, freshPath, mappingsOf } from "./support/files";

const fixture = join(__dirname, "fixtures", "counters.bin");
const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;

test("counters written by emmap 2.1.3 are read", () => {
  const path = freshPath();
  copyFileSync(fixture, path);
  using counters = openCounters(path);
  expect([...counters]).toEqual([42n, -7n, MAX, MIN]);
  expect([counters.length, counters.existed]).toEqual([4, true]);
});

test("the same calls write the same bytes as emmap 2.1.3", () => {
  const path = freshPath();
  const counters = openCounters(path, 4);
  counters.set(0, 42);
  counters.set(1, -7);
  counters.set(2, MAX);
  counters.set(3, MIN);
  counters.close();
  expect(readFileSync(path)).toEqual(readFileSync(fixture));
});

test("new counters are 0, and a file without a count has one", () => {
  using eight = openCounters(freshPath(), 8);
  using one = openCounters(freshPath());
  expect([...eight]).toEqual(Array(8).fill(0n));
  expect([eight.existed, one.length]).toEqual([false, 1]);
});

test("every operation answers what the counter held before", () => {
  using counters = openCounters(freshPath(), 2);
  expect(counters.add(1, 5n)).toBe(0n);
  expect(counters.sub(1, 7)).toBe(5n);
  expect(counters.set(1, 2n ** 64n - 2n)).toBe(-2n);
  expect(counters.compareExchange(1, 3, 4)).toBe(-2n);
  expect(counters.compareExchange(1, -2n, 9)).toBe(-2n);
  expect([...counters]).toEqual([0n, 9n]);
});

test("an index that is a bigint is one", () => {
  using counters = openCounters(freshPath(), 2);
  counters.set(1n, 3);
  expect(counters.add(1n, 4)).toBe(3n);
  expect(counters.sub(1n, 1)).toBe(7n);
  expect(counters.compareExchange(1n, 6, 8)).toBe(6n);
  expect(counters.get(1n)).toBe(8n);
});

test("counters wrap", () => {
  using counters = openCounters(freshPath(), 1);
  counters.set(0, MAX);
  counters.add(0, 1);
  expect(counters.get(0)).toBe(MIN);
  counters.sub(0, 1);
  expect(counters.get(0)).toBe(MAX);
});

test("counters outlive the process's handle, and may be opened many times", async () => {
  const path = freshPath();
  const first = openCounters(path, 2);
  using second = openCounters(path, 2);
  first.add(0, 10);
  second.add(0, 20);
  await first.sync();
  await second.datasync();
  first.flush();
  first.close();
  expect(second.get(0)).toBe(30n);
});

test("read-only counters can be read, and not changed", () => {
  const path = freshPath();
  copyFileSync(fixture, path);
  using counters = openCounters(path, 4, { read: true });
  expect(counters.get(0)).toBe(42n);
  expect(thrownBy(() => counters.add(0, 1))).toMatchObject({
    code: "EACCES",
    operation: "counter_add",
    path,
  });
  expect(readFileSync(path)).toEqual(readFileSync(fixture));
});

test("reading creates nothing", () => {
  expect(thrownBy(() => openCounters(freshPath(), 4, { read: true }))).toMatchObject({ code: "ENOENT" });
});

test("a corrupt file is named with where", () => {
  const path = freshPath();
  copyFileSync(__filename, path);
  expect(thrownBy(() => openCounters(path, 4))).toMatchObject({ code: "EMMAP_CORRUPT", path, offset: 0 });
});

test("an option that is not one for counters is named", () => {
  const loose = openCounters as (path: string, count: number, options: object) => unknown;
  expect(() => loose(freshPath(), 4, { offset: 8 })).toThrow(/offset/);
  expect(() => loose(freshPath(), 4, { nothing: true })).toThrow(/nothing/);
});

test("close unmaps at once, and everything after it says so", () => {
  const path = freshPath();
  const counters = openCounters(path, 4);
  counters.close();
  counters.close();
  expect([counters.closed, counters.length, mappingsOf(path), descriptorsOf(path)]).toEqual([true, 4, 0, 0]);
  for (const call of [
    () => counters.add(0, 1),
    () => counters.sub(0, 1),
    () => counters.set(0, 1),
    () => counters.get(0),
    () => counters.compareExchange(0, 1, 1),
    () => counters.flush(),
    () => [...counters],
  ])
    expect(thrownBy(call)).toMatchObject({ code: "EMMAP_CLOSED", path });
});

test("counters become more with grow, and another number is said", () => {
  const path = freshPath();
  using few = openCounters(path, 2);
  few.add(1, 5n);
  expect(() => openCounters(path, 3)).toThrow("the file has another number of counters: 2, not 3");
  using more = openCounters(path, 1000, { grow: true });
  expect([more.length, few.length]).toEqual([1000, 2]);
  expect([more.get(1), more.get(999)]).toEqual([5n, 0n]);
  few.add(1, 1n);
  more.add(999, 7n);
  expect(more.get(1)).toBe(6n);
  expect(() => few.get(2)).toThrow(expect.objectContaining({ code: "EINVAL" }));
  using again = openCounters(path).reopen();
  expect(again.get(999)).toBe(7n);
  expect(openCounters(path, 5, { grow: true }).length).toBe(1000);
  expect(() => openCounters(path, 2000, { grow: true, read: true })).toThrow(
    expect.objectContaining({ code: "EINVAL" }),
  );
  expect(() => openQueue(`${path}.queue`, { grow: true } as never)).toThrow(TypeError);
});
