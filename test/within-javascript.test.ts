// Counters and small reads call no native operation.
import { beforeEach, expect, test, vi } from "vitest";
import { open, openCounters } from "../src";
import type * as addon from "../src/addon";
import { freshPath, pattern, patternFile } from "./support/files";

const TO_OPEN = vi.hoisted(() => [
  "open",
  "counters_open",
  "describe",
  "file_control",
  "close",
  "revoke",
  "moved",
  "createError",
]);
const crossings = vi.hoisted((): string[] => []);

vi.mock("../src/addon", async (original) => {
  const real = await original<typeof addon>();
  const counted = Object.entries(real.addon).map(([name, operation]) => [
    name,
    TO_OPEN.includes(name)
      ? operation
      : (...operands: unknown[]) => {
          crossings.push(name);
          return Reflect.apply(operation, real.addon, operands);
        },
  ]);
  return { addon: Object.fromEntries(counted) };
});

/** The native calls since the last time: the number of loans, and the names of all others. */
function called() {
  const all = crossings.splice(0);
  return {
    loans: all.filter((name) => name === "pread_direct").length,
    others: all.filter((name) => name !== "pread_direct"),
  };
}

beforeEach(() => void crossings.splice(0));

test("counters", () => {
  using counters = openCounters(freshPath(), 2);
  counters.add(0, 5);
  counters.sub(0, 1n);
  counters.set(0, 9);
  counters.compareExchange(0, 9, 8);
  expect([counters.get(0), ...counters]).toEqual([8n, 8n, 0n]);
  expect(called()).toEqual({ loans: 1, others: [] });
  expect(() => counters.get(2)).toThrow("EINVAL"); // the core answers a call out of bounds
  expect(called()).toEqual({ loans: 0, others: ["counter_get"] });
});

test("small reads and writes, at a position and at the cursor", () => {
  using file = open(patternFile(100), { write: true });
  file.pwrite(90, "line\nrest");
  file.write(Buffer.from("ab"));
  expect(file.pread(2, 64)).toEqual(pattern(100).subarray(2, 66));
  expect(file.read(88)).toEqual(pattern(100).subarray(2, 90));
  expect(file.readLine()?.toString()).toBe("line\n");
  expect(called()).toEqual({ loans: 1, others: [] });
});

test("atomics", () => {
  using file = open("", { anon: true, write: true, size: 64 });
  file.store(8, 5);
  file.add(8, 1);
  file.sub(8, 2);
  file.or(8, 8);
  file.and(8, 12);
  file.xor(8, 1);
  file.exchange(8, -1);
  file.compareExchange(8, -1, 7);
  expect(file.load(8)).toBe(7n);
  expect(called()).toEqual({ loans: 1, others: [] });
});

test("what lies far into a large file", () => {
  const size = 9 * 2 ** 30;
  using file = open(freshPath(), { write: true, create: true, size });
  expect(called()).toEqual({ loans: 0, others: [] }); // V8 would collect in vain for a file that nobody uses
  expect(file.load(0)).toBe(0n);
  expect(called().others).toEqual(["patomic_load"]);
  for (const position of [3 * 2 ** 30, 5 * 2 ** 30 + 8, size - 64]) {
    file.pwrite(position, "far");
    expect(file.pread(position, 3)?.toString()).toBe("far");
    file.store(position + 8, 1);
    expect([file.add(position + 8, 2), file.load(position + 8)]).toEqual([1n, 3n]);
  }
  const count = 2 ** 27 + 8;
  using counters = openCounters(freshPath(), count);
  for (const index of [2 ** 27 - 1, 2 ** 27, count - 1]) {
    counters.add(index, index);
    expect(counters.get(index)).toBe(BigInt(index));
  }
  expect(called().others).toEqual([]);
  expect(() => counters.get(count)).toThrow("EINVAL");
});
