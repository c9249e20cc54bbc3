import { readFileSync, truncateSync } from "node:fs";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { type Counters, type EmmapError, type MappedFile, open, openCounters } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath, pattern, patternFile } from "./support/files";

const MIN = -(2n ** 63n);
const MAX = 2n ** 63n - 1n;
const LOW = 0x1020n;

function words(): MappedFile {
  return open("", { anon: true, write: true, size: 4096 });
}

/** Uses the same word in both ways: JavaScript serves a number, the core a bigint. */
const positions = [
  ["in JavaScript", 64],
  ["in the core", 64n],
] as const;

const operations: [
  "add" | "sub" | "and" | "or" | "xor" | "exchange",
  (word: bigint, operand: bigint) => bigint,
][] = [
  ["add", (word, operand) => word + operand],
  ["sub", (word, operand) => word - operand],
  ["and", (word, operand) => word & operand],
  ["or", (word, operand) => word | operand],
  ["xor", (word, operand) => word ^ operand],
  ["exchange", (_, operand) => operand],
];

for (const [place, position] of positions) {
  test.each(operations)(`%s answers the old value and stores the new one, ${place}`, (operation, model) => {
    using file = words();
    for (const before of [0n, LOW, -1n, MIN, MAX])
      for (const operand of [0n, 1n, -1n, LOW, MIN, MAX, 2n ** 63n, 2n ** 64n - 1n]) {
        file.store(position, before);
        expect(file[operation](position, operand)).toBe(before);
        expect(file.load(position)).toBe(BigInt.asIntN(64, model(before, operand)));
      }
  });

  test(`compareExchange stores only over what was expected, ${place}`, () => {
    using file = words();
    file.store(position, -1);
    expect(file.compareExchange(position, 5, 6)).toBe(-1n);
    expect(file.load(position)).toBe(-1n);
    expect(file.compareExchange(position, 2n ** 64n - 1n, MIN)).toBe(-1n);
    expect(file.load(position)).toBe(MIN);
    expect(file.compareExchange(position, MIN, 7)).toBe(MIN);
    expect(file.load(position)).toBe(7n);
  });

  test(`numbers are taken for the bigints that they are, ${place}`, () => {
    using file = words();
    for (const number of [0, 1, -1, 127, 128, -129, 2 ** 31, -(2 ** 40), Number.MAX_SAFE_INTEGER]) {
      file.store(position, number);
      expect(file.load(position)).toBe(BigInt(number));
    }
  });
}

test("words are native-endian, and the file's own", () => {
  const path = patternFile(64);
  using file = open(path, { write: true });
  file.store(8, 0x0102030405060708n);
  expect(file.pread(8, 8)?.readBigInt64LE()).toBe(0x0102030405060708n);
  expect(file.add(8, -1)).toBe(0x0102030405060708n);
});

test.each([0.5, 4, 4.5, -8, 4092, 4096, Number.NaN, 2 ** 40])("there is no word at %d", (position) => {
  using file = words();
  const error = thrownBy(() => file.add(position, 1));
  expect(["EINVAL", "EMMAP_ALIGNMENT", "ERR_OUT_OF_RANGE"]).toContain(error.code);
  expect(file.pread(0, 4096)).toEqual(Buffer.alloc(4096));
});

test("an address that is a multiple of 8 in the file is aligned, whatever the offset", () => {
  using file = open(patternFile(), { write: true, offset: 4 });
  file.store(4, 99);
  expect(file.load(4)).toBe(99n);
  expect(thrownBy(() => file.load(8))).toMatchObject({ code: "EMMAP_ALIGNMENT" });
  const view = file.bigInt64Array(4, 2);
  expect(Atomics.add(view, 0, 1n)).toBe(99n);
  expect(file.load(4)).toBe(100n);
});

test("a word past the last whole one is none", () => {
  using file = open(patternFile(20), { write: true });
  expect(file.load(8)).toBe(0x0f0e0d0c0b0a0908n);
  expect(thrownBy(() => file.load(16))).toMatchObject({ code: "EINVAL" });
});

test("a read-only file can be loaded from, and not changed", () => {
  using file = open(patternFile(64));
  expect(file.load(0)).toBe(0x0706050403020100n);
  for (const call of [() => file.add(0, 1), () => file.store(0, 1), () => file.compareExchange(0, 1, 2)])
    expect(thrownBy(call)).toMatchObject({ code: "EACCES" });
  expect(file.load(0)).toBe(0x0706050403020100n);
});

test.each<[string, (file: MappedFile) => unknown]>([
  ["a read by the core", (file) => file.pread(8192n, 8n)],
  ["a read that is cut at the end", (file) => file.pread(8192, 1e6)],
  ["an atomic operation of the core", (file) => file.load(8192n)],
  ["a look at a view", (file) => file.view()[9000]],
])("after a fault met by %s nothing is stored either", (_, meet) => {
  for (const store of [
    (file: MappedFile) => file.pwrite(0, "changed?"),
    (file: MappedFile) => file.write("changed?"),
    (file: MappedFile) => file.store(0, 1),
    (file: MappedFile) => file.add(0, 1),
    (file: MappedFile) => file.compareExchange(0, pattern(8).readBigInt64LE(0), 1),
  ]) {
    const path = patternFile(16_384);
    using file = open(path, { write: true });
    truncateSync(path, 4096);
    try {
      meet(file);
    } catch (error) {
      expect((error as EmmapError).code).toBe("EFAULT");
    }
    expect(thrownBy(() => store(file)).code).toBe("EFAULT");
    expect(readFileSync(path)).toEqual(pattern(4096));
  }
});

test.each<[string, (counters: Counters) => unknown]>([
  ["the core", (counters) => counters.get(1500n)],
  ["printing them", (counters) => inspect(counters, { maxArrayLength: null })],
])("after a fault met by %s no counter changes", (_, meet) => {
  using counters = openCounters(freshPath(), 2000);
  counters.set(0, 7);
  truncateSync(counters.path, 4096);
  try {
    meet(counters);
  } catch (error) {
    expect((error as EmmapError).code).toBe("EFAULT");
  }
  expect(thrownBy(() => counters.add(0, 1)).code).toBe("EFAULT");
  expect(readFileSync(counters.path).readBigInt64LE(16)).toBe(7n);
});

test("a position that is no integer is none, however small", () => {
  using file = open(patternFile(), { write: true });
  for (const position of [5e-324, 0.5, -0.5, Number.NaN])
    expect(thrownBy(() => file.add(position, 1)).code).toBe("ERR_OUT_OF_RANGE");
  expect(readFileSync(file.path)).toEqual(pattern(4096));
});

test("after a fault nothing reaches the pages that are still there", () => {
  const path = patternFile(8192);
  using file = open(path, { write: true });
  using counters = openCounters(freshPath("counters.bin"), 1000);
  truncateSync(path, 4096);
  truncateSync(counters.path, 4096);
  expect(thrownBy(() => file.add(4096, 1)).code).toBe("EFAULT");
  expect(thrownBy(() => counters.add(999, 1)).code).toBe("EFAULT");
  expect(thrownBy(() => file.add(0, 1)).code).toBe("EFAULT");
  expect(thrownBy(() => file.pwrite(8, "changed?")).code).toBe("EFAULT");
  expect(thrownBy(() => counters.add(0, 1)).code).toBe("EFAULT");
  expect(readFileSync(path).subarray(0, 4096)).toEqual(pattern(4096));
  expect(readFileSync(counters.path).readBigInt64LE(16)).toBe(0n);
});
