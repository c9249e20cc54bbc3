import { truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, expectTypeOf, test } from "vitest";
import { type Cell, type EmmapError, openCell } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

test("readers see the last published value, and the same object until it changes", () => {
  const path = freshPath();
  using writer = openCell<{ on: number }>(path, { maxBytes: 1000, values: "json" });
  using reader = openCell<{ on: number }>(path, { read: true, values: "json" });
  expect(reader.get()).toBeUndefined();
  expect(reader.version).toBe(0);
  for (let on = 1; on < 10; on++) {
    writer.publish({ on });
    const value = reader.get();
    expect(value).toEqual({ on });
    expect(reader.get()).toBe(value);
    expect(reader.version).toBe(on);
  }
});

test("a value can be a term, JSON or bytes, of any length up to maxBytes", () => {
  using terms = openCell(freshPath(), { maxBytes: 100 });
  terms.publish([1, "two", { three: 3n }]);
  expect(terms.get()).toHaveLength(3);
  using raw = openCell(freshPath(), { maxBytes: 10_000, raw: true });
  expectTypeOf(raw).toEqualTypeOf<Cell<Uint8Array | string, Buffer>>();
  const values = [0, 1, 7, 9999, 10_000, 5].map((length) => Buffer.alloc(length, length));
  for (const value of values) {
    raw.publish(value);
    expect(raw.get()).toEqual(value);
  }
  const first = raw.get();
  raw.publish("text");
  expect(first).toEqual(values.at(-1));
  expect(raw.get()?.toString()).toBe("text");
  expect(thrownBy(() => raw.publish(Buffer.alloc(10_001))).code).toBe("EINVAL");
  expect(raw.get()?.toString()).toBe("text");
});

test("a cell is opened as what it is, and by its options", () => {
  const path = freshPath();
  expect(thrownBy(() => openCell(path)).code).toBe("EINVAL");
  openCell(path, { maxBytes: 10 }).close();
  openCell(path).close();
  expect(thrownBy(() => openCell(path, { maxBytes: 11 })).code).toBe("EINVAL");
  expect(thrownBy(() => openCell(path, { size: 4096 } as object)).message).toContain(
    '"size" is not one for cells',
  );
  using reader = openCell(path, { read: true });
  expect(thrownBy(() => reader.publish(1)).code).toBe("EACCES");
  writeFileSync(path, "no cell at all");
  expect(thrownBy(() => openCell(path, { maxBytes: 10 })).code).toBe("EMMAP_CORRUPT");
});

test("a value that can't be shown is an error with its bytes, and the next one is not", () => {
  const path = freshPath();
  using raw = openCell(path, { maxBytes: 100, raw: true });
  using json = openCell(path, { values: "json" });
  raw.publish("no term");
  const error = thrownBy(() => json.get()) as EmmapError;
  expect(error.code).toBe("EMMAP_BAD_TERM");
  expect(error.bytes?.toString()).toBe("no term");
  expect(thrownBy(() => json.get()).code).toBe("EMMAP_BAD_TERM");
  json.publish(["fine"]);
  expect(json.get()).toEqual(["fine"]);
});

test("changed resolves with the next publish, at once if there was one, and false when the time is over", async () => {
  const path = freshPath();
  using writer = openCell(path, { maxBytes: 100, values: "json" });
  using reader = openCell(path, { values: "json" });
  expect(await reader.changed({ timeout: 20 })).toBe(false);
  const change = reader.changed();
  await sleep(10);
  writer.publish(1);
  expect(await change).toBe(true);
  expect(await reader.changed()).toBe(true);
  expect(reader.get()).toBe(1);
  expect(await reader.changed({ timeout: 5 })).toBe(false);
  const abort = new AbortController();
  const aborted = reader.changed({ signal: abort.signal });
  abort.abort(new Error("enough"));
  await expect(aborted).rejects.toThrow("enough");
});

test("a wait ends when the cell is closed", async () => {
  const cell = openCell(freshPath(), { maxBytes: 100 });
  const change = cell.changed();
  cell.close();
  await expect(change).rejects.toMatchObject({ code: "EMMAP_CLOSED" });
  expect(thrownBy(() => cell.get()).code).toBe("EMMAP_CLOSED");
  expect(thrownBy(() => cell.version).code).toBe("EMMAP_CLOSED");
});

test("after a truncation each operation is EFAULT", () => {
  const path = freshPath();
  using cell = openCell(path, { maxBytes: 20_000, values: "json" });
  cell.publish("value");
  expect(cell.get()).toBe("value");
  truncateSync(path, 0);
  expect(thrownBy(() => cell.publish("other")).code).toBe("EFAULT");
  expect(thrownBy(() => cell.get()).code).toBe("EFAULT");
});

test("the value outlives its publishers, a copy has it, and reopen finds it", async () => {
  const path = freshPath();
  {
    using cell = openCell(path, { maxBytes: 100, values: "json" });
    cell.publish("kept");
    await cell.sync();
    await cell.backup(`${path}.copy`);
  }
  for (const name of [path, `${path}.copy`]) {
    using cell = openCell(name, { values: "json" });
    expect(cell.get()).toBe("kept");
    using again = cell.reopen();
    expect(again.get()).toBe("kept");
    expect(cell.closed).toBe(true);
  }
});

test("no reader sees half a value while another thread publishes", async () => {
  const path = freshPath();
  using cell = openCell<string[]>(path, { maxBytes: 40_000, values: "json" });
  cell.publish([]);
  const worker = new Worker(
    `const { openCell } = require(${PACKAGE});
     const cell = openCell(${JSON.stringify(path)}, { values: "json" });
     for (let i = 0; i < 3000; i++) cell.publish(Array(i % 1000).fill("value " + i));
     cell.close();`,
    { eval: true },
  );
  const ended = new Promise((resolve) => worker.once("exit", resolve));
  let versions = 0;
  while (cell.version < 3001) {
    const value = cell.get() as string[];
    expect(new Set(value).size).toBeLessThan(2);
    expect(value.length).toBe(value.length === 0 ? 0 : Number(value[0]?.slice(6)) % 1000);
    versions++;
    if (versions % 50 === 0) await sleep(1);
  }
  await ended;
  expect(versions).toBeGreaterThan(1);
});
