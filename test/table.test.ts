import { spawn } from "node:child_process";
import { truncateSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Worker } from "node:worker_threads";
import { expect, test } from "vitest";
import { openTable } from "../src";
import { give, peer } from "./cli/support";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

test("keys have words, which all handles share", () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 1000 });
  using other = openTable(path);
  expect(other).toMatchObject({ capacity: 1000, keyBytes: 64, words: 2, size: 0 });
  expect(table.get("ann")).toBeUndefined();
  expect(table.add("ann", 0, 5)).toBe(0n);
  expect(other.add("ann", 0, 2n)).toBe(5n);
  expect(other.set("ann", 1, -1)).toBe(0n);
  expect(table.get("ann")).toBe(7n);
  expect(table.get("ann", 1)).toBe(-1n);
  expect(table.compareExchange("ann", 0, 8, 9)).toBe(7n);
  expect(table.compareExchange("ann", 0, 7, 9)).toBe(7n);
  expect(table.compareExchange("bob", 0, 1, 2)).toBe(0n);
  expect(table.size).toBe(1);
  expect(table.delete("bob")).toBe(false);
  expect(other.delete("ann")).toBe(true);
  expect(table.get("ann")).toBeUndefined();
});

test("keys are strings or bytes, of up to keyBytes", () => {
  using table = openTable(freshPath(), { capacity: 100, keyBytes: 100, words: 3 });
  const keys = ["a", "ü".repeat(50), Buffer.from([0, 255, 0]), new Uint16Array([1, 2])];
  for (const [index, key] of keys.entries()) table.set(key, 2, index);
  expect(table.get(Buffer.from("a"), 2)).toBe(0n);
  expect(thrownBy(() => table.add("x".repeat(101), 0, 1)).code).toBe("EINVAL");
  expect(thrownBy(() => table.add("x".repeat(5000), 0, 1)).code).toBe("EINVAL");
  expect(thrownBy(() => table.add("", 0, 1)).code).toBe("EINVAL");
  for (const word of [3, -1, 2 ** 40]) expect(thrownBy(() => table.add("a", word, 1)).code).toBe("EINVAL");
  expect(thrownBy(() => table.add("a", 0, "1" as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(thrownBy(() => table.add(5 as never, 0, 1)).code).toBe("ERR_INVALID_ARG_TYPE");
  const found = new Map([...table].map(([key, words]) => [String(key), words]));
  expect(found.get("ü".repeat(50))).toEqual([0n, 0n, 1n]);
  expect([...table.entries()].filter(([key]) => typeof key !== "string")).toEqual([
    [Buffer.from([0, 255, 0]), [0n, 0n, 2n]],
  ]);
  expect(found.size).toBe(4);
});

test("a string is the key of its UTF-8, at any length and with any character at any place", () => {
  using table = openTable(freshPath(), { capacity: 2000, keyBytes: 300 });
  const bytes = (key: string) => new Uint8Array(Buffer.from(key));
  const keys = Array.from({ length: 80 }, (_, length) => "0123456789abcdef".repeat(5).slice(0, length + 1));
  // The last three have A as the low byte of their UTF-16.
  for (const text of keys.slice(0, 20))
    for (const other of ["B", "\0", "\x7f", "\x80", "ü", "\u0141", "\u4141", "\ud83d\ude41"])
      for (let at = 0; at < text.length; at += 3) keys.push(text.slice(0, at) + other + text.slice(at + 1));
  const all = new Set(keys);
  for (const key of all) expect(table.add(key, 0, 1)).toBe(0n);
  for (const key of all) expect(table.add(bytes(key), 0, 1)).toBe(1n);
  // Half of a pair is no character.
  table.add("a\ud83d", 0, 7);
  expect(table.get(bytes("a\ufffd"))).toBe(7n);
  expect(table.size).toBe(all.size + 1);
});

test("a hit in a getter of another hit changes neither", () => {
  using table = openTable(freshPath(), { capacity: 10 });
  const inner = { limit: 1, windowMs: 3_600_000 };
  const limit = {
    limit: 100,
    get windowMs() {
      expect(table.hit("inner", inner)).toMatchObject({ used: 1, remaining: 0 });
      return 3_600_000;
    },
  };
  expect(table.hit("outer", limit)).toMatchObject({ allowed: true, used: 1, remaining: 99 });
});

test("a word or a limit of a wrong value is refused, and changes nothing", () => {
  using table = openTable(freshPath(), { capacity: 100 });
  const entry = table.entry("a");
  const limit = { limit: 5, windowMs: 1000 };
  // Before any limit was checked.
  expect(thrownBy(() => table.hit("h", undefined as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  const wrong: [string, unknown[]][] = [
    ["ERR_OUT_OF_RANGE", [Number.NaN, Number.POSITIVE_INFINITY, 0.5, -0.5, 1e20]],
    ["ERR_INVALID_ARG_TYPE", ["0", null, 0n, true, Symbol("0"), {}]],
  ];
  for (const [code, values] of wrong)
    for (const value of values) {
      const word = value as number;
      const calls = [
        () => table.add("a", word, 1),
        () => table.set("a", word, 1),
        () => table.get("a", word),
        () => table.compareExchange("a", word, 0, 1),
        () => entry.add(word, 1),
        () => entry.get(word),
        () => table.hit("h", { ...limit, limit: word }),
        () => table.hit("h", { ...limit, windowMs: word }),
        () => table.hit("h", { ...limit, cost: word }),
      ];
      for (const call of calls) expect(thrownBy(call).code).toBe(code);
    }
  for (const options of [{ sliding: "no" }, { evict: 1 }, { sliding: null }])
    expect(thrownBy(() => table.hit("h", { ...limit, ...options } as never)).code).toBe(
      "ERR_INVALID_ARG_TYPE",
    );
  expect(thrownBy(() => table.hit("h", { ...limit, windowMS: 1 } as never)).message).toMatch("windowMs");
  for (const options of [null, undefined, 5])
    expect(thrownBy(() => table.hit("h", options as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect([table.get("a"), table.get("h"), table.hit("h", limit).used]).toEqual([0n, undefined, 1]);
});

test("entries give every key once", () => {
  using table = openTable(freshPath(), { capacity: 5000 });
  for (let i = 0; i < 3000; i++) table.add(`key ${i}`, 0, i);
  const all = [...table];
  expect(all).toHaveLength(3000);
  expect(new Set(all.map(([key]) => key)).size).toBe(3000);
  for (const [key, [word]] of all) expect(key).toBe(`key ${word}`);
});

test("an entry adds without looking again, and inserts its key again after a delete", () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 10 });
  using other = openTable(path);
  const entry = table.entry("ann");
  expect(table.size).toBe(1);
  expect(entry.add(0, 1)).toBe(0n);
  expect(entry.add(1, 5n)).toBe(0n);
  expect(entry.get()).toBe(1n);
  expect(entry.get(1)).toBe(5n);
  expect(other.add("ann", 0, 1)).toBe(1n);
  expect(other.delete("ann")).toBe(true);
  expect(entry.get()).toBeUndefined();
  for (let i = 0; i < 200; i++) {
    other.add(`another ${i}`, 0, 100);
    expect(entry.add(0, 1)).toBe(i === 0 ? 0n : BigInt(i));
    other.delete(`another ${i}`);
  }
  expect(other.get("ann")).toBe(200n);
  expect(entry.set(0, 7)).toBe(200n);
  expect(entry.compareExchange(0, 7, 8)).toBe(7n);
  expect(thrownBy(() => entry.add(2, 1)).code).toBe("EINVAL");
  table.close();
  expect(thrownBy(() => entry.add(0, 1)).code).toBe("EMMAP_CLOSED");
});

test("hits are limited in their window, and full is an error or the end of another entry", () => {
  using table = openTable(freshPath(), { capacity: 3 });
  const limit = { limit: 3, windowMs: 2 ** 39 };
  const hits = Array.from({ length: 5 }, () => table.hit("ann", limit));
  expect(hits.map(({ allowed }) => allowed)).toEqual([true, true, true, false, false]);
  expect(hits.map(({ used }) => used)).toEqual([1, 2, 3, 3, 3]);
  expect(hits.map(({ remaining }) => remaining)).toEqual([2, 1, 0, 0, 0]);
  expect(hits[0]?.resetMs).toBeGreaterThan(0);
  expect(table.hit("bob", { ...limit, cost: 4 }).allowed).toBe(false);
  expect(table.hit("bob", { ...limit, cost: 3, sliding: true }).allowed).toBe(true);
  expect(table.hit("bob", { ...limit, cost: -2, sliding: true }).used).toBe(1);
  table.hit("carl", limit);
  expect(thrownBy(() => table.hit("dora", limit)).code).toBe("EMMAP_FULL");
  expect(table.hit("dora", { ...limit, evict: true }).allowed).toBe(true);
  expect(table.size).toBe(3);
  expect(thrownBy(() => table.hit("ann", { limit: 2 ** 24, windowMs: 1 })).code).toBe("EINVAL");
  expect(thrownBy(() => table.hit("ann", { limit: -1, windowMs: 1 })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => table.hit("ann", { limit: "1" as never, windowMs: 1 })).code).toBe(
    "ERR_INVALID_ARG_TYPE",
  );
});

test("a table is opened as what it is, and by its options", () => {
  const path = freshPath();
  expect(thrownBy(() => openTable(path)).code).toBe("EINVAL");
  openTable(path, { capacity: 10, keyBytes: 20, words: 1 }).close();
  expect(thrownBy(() => openTable(path, { capacity: 11, keyBytes: 20, words: 1 })).code).toBe("EINVAL");
  expect(thrownBy(() => openTable(path, { size: 1 } as object)).message).toContain("not one for tables");
  using reader = openTable(path, { read: true });
  expect(thrownBy(() => reader.add("a", 0, 1)).code).toBe("EACCES");
  expect(thrownBy(() => reader.entry("a")).code).toBe("EACCES");
  writeFileSync(path, "no table at all".repeat(1000));
  expect(thrownBy(() => openTable(path, { capacity: 10 })).code).toBe("EMMAP_CORRUPT");
});

test("after a truncation each operation is EFAULT", () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 10_000 });
  const entry = table.entry("a");
  truncateSync(path, 0);
  expect(thrownBy(() => entry.add(0, 1)).code).toBe("EFAULT");
  expect(thrownBy(() => table.add("a", 0, 1)).code).toBe("EFAULT");
  expect(thrownBy(() => [...table]).code).toBe("EFAULT");
});

test("a copy has all keys, and reopen finds them", async () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 100 });
  table.add("ann", 0, 5);
  await table.sync();
  await table.backup(`${path}.copy`);
  using copy = openTable(`${path}.copy`);
  expect([...copy]).toEqual([["ann", [5n, 0n]]]);
  using again = table.reopen();
  expect(again.get("ann")).toBe(5n);
});

test("additions of all threads count, while keys come and go", async () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 100 });
  const program = `
    const { workerData } = require("node:worker_threads");
    const { openTable } = require(${PACKAGE});
    const table = openTable(${JSON.stringify(path)});
    const entries = Array.from({ length: 10 }, (_, i) => table.entry("key " + i));
    const mine = table.entry("mine " + workerData);
    for (let i = 0; i < 100_000; i++) {
      entries[i % 10].add(0, 1);
      if (i % 10 === 0) table.add("key 0", 1, 1);
      if (i % 7 === 0) mine.add(0, 1);
      if (i % 70 === 0) table.delete("mine " + workerData);
    }
    table.delete("mine " + workerData);
    table.close();`;
  const workers = Array.from({ length: 3 }, (_, i) => new Worker(program, { eval: true, workerData: i }));
  const ends = workers.map((worker) => new Promise((resolve) => worker.once("exit", resolve)));
  expect(await Promise.all(ends)).toEqual([0, 0, 0]);
  expect(new Map([...table] as [string, bigint[]][])).toEqual(
    new Map(Array.from({ length: 10 }, (_, i) => [`key ${i}`, [30_000n, i === 0 ? 30_000n : 0n]])),
  );
});

test("a hit that waits for the lock keeps its numbers", async () => {
  const path = freshPath();
  using table = openTable(path, { capacity: 10 });
  const holder = await peer(
    `const t = emmap.openTable(${JSON.stringify(path)}); t.add("a", 0, 1)`,
    dirname(path),
  );
  give(path, holder.pid as number, "lock");
  // This thread waits for the lock meanwhile.
  spawn("sh", ["-c", `sleep 0.5; kill -9 ${holder.pid}`]);
  expect(table.hit("new", { limit: 1, windowMs: 3_600_000 })).toMatchObject({ allowed: true, used: 1 });
});
