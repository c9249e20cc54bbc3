// Electron allows no ArrayBuffers over foreign memory. Then everything except views works, through the core.
import { expect, test, vi } from "vitest";
import { open, openCounters } from "../src";
import type * as addon from "../src/addon";
import { thrownBy } from "./support/errors";
import { freshPath, pattern, patternFile } from "./support/files";

vi.mock("../src/addon", async (original) => {
  const real = await original<typeof addon>();
  return { addon: { ...real.addon, pread_direct: () => undefined, file_control: () => undefined } };
});

test("reads and writes go to the core", () => {
  using file = open(patternFile(100), { write: true });
  expect(file.pread(10, 20)).toEqual(pattern(100).subarray(10, 30));
  expect([file.pread(90, 20)?.length, file.pread(100, 1)]).toEqual([10, null]);
  file.pwrite(0, "ab\ncd");
  expect([file.readLine()?.toString(), file.read(2)?.toString()]).toEqual(["ab\n", "cd"]);
  file.write(new Uint8Array(new SharedArrayBuffer(2)).fill(9));
  expect([file.position(0, "cur"), file.pread(5, 2)]).toEqual([7, Buffer.from([9, 9])]);
  expect(file.resize(200)).toBe(200);
  expect(file.pread(0, 5)?.toString()).toBe("ab\ncd");
});

test("atomics go to the core", () => {
  using file = open("", { anon: true, write: true, size: 64 });
  file.store(8, 5);
  const answers = [
    file.add(8, 1),
    file.sub(8, 2),
    file.or(8, 8),
    file.and(8, 12),
    file.xor(8, 1),
    file.exchange(8, -1),
    file.compareExchange(8, -1, 2n ** 63n),
    file.load(8),
  ];
  expect(answers).toEqual([5n, 6n, 4n, 12n, 12n, 13n, -1n, -(2n ** 63n)]);
});

test("counters go to the core", () => {
  using counters = openCounters(freshPath(), 2);
  const answers = [
    counters.add(0, 5),
    counters.sub(0, 1),
    counters.set(0, 9),
    counters.compareExchange(0, 9, 8),
  ];
  expect(answers).toEqual([0n, 5n, 4n, 9n]);
  expect([...counters]).toEqual([8n, 0n]);
});

test("a view is not supported, and says why", () => {
  using file = open(patternFile(64), { write: true });
  for (const call of [() => file.view(), () => file.view(0, 8), () => file.bigInt64Array(0, 1)])
    expect(thrownBy(call)).toMatchObject({
      code: "ENOTSUP",
      errno: -95,
      message: expect.stringContaining("runtime"),
    });
  expect(thrownBy(() => file.view(0, 65))).toMatchObject({ code: "EINVAL" });
});

test("after close everything is closed", () => {
  const file = open(patternFile(64), { write: true });
  file.close();
  for (const call of [() => file.pread(0, 1), () => file.add(0, 1), () => file.view(), () => file.readLine()])
    expect(thrownBy(call)).toMatchObject({ code: "EMMAP_CLOSED" });
});
