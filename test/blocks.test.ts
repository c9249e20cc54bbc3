import { copyFileSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { openBlockStorage } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const fixtures = join(__dirname, "../native/test/fixtures");

/** A copy of a file that emmap 2.1.3 wrote. */
function fixture(name: string): string {
  const path = freshPath(name);
  copyFileSync(join(fixtures, name), path);
  return path;
}

/** Block `n` of blocks.bin: a 32-bit number and zeros. */
function block22(n: number): Buffer {
  const block = Buffer.alloc(22);
  block.writeUInt32BE(n);
  return block;
}

test("a stored block is read, until it is freed", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 8 });
  const address = blocks.store("12345678");
  expect(blocks.read(address)?.toString()).toBe("12345678");
  expect([blocks.free(address), blocks.free(address), blocks.read(address)]).toEqual([true, false, null]);
});

test("the storage of emmap 2.1.3 holds what it was told to store", () => {
  using blocks = openBlockStorage(fixture("blocks.bin"));
  const expected = readFileSync(join(fixtures, "blocks.addresses.txt"), "utf8")
    .trim()
    .split("\n")
    .map((line) => line.split(" ").map(Number) as [number, number]);
  expect(new Map([...blocks])).toEqual(new Map(expected.map(([address, n]) => [address, block22(n)])));
  expect([blocks.blockSize, blocks.count(), blocks.capacity]).toEqual([22, 86, 262_144]);
});

test("the same calls make the bytes that emmap 2.1.3 makes", () => {
  const path = freshPath();
  using blocks = openBlockStorage(path, { blockSize: 22, size: 4096 });
  const addresses = Array.from({ length: 100 }, (_, i) => blocks.store(block22(i + 1)));
  for (let i = 7; i <= 100; i += 7) blocks.free(addresses[i - 1] as number);
  expect(readFileSync(path)).toEqual(readFileSync(join(fixtures, "blocks.bin")));
});

test("consecutive blocks are spread over the tree, as in emmap", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 8 });
  const block = Buffer.alloc(8);
  expect(blocks.storeMany([block, block, block])).toEqual([0, 4096, 8192]);
});

test("many are freed together or not at all", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 4 });
  const addresses = blocks.storeMany(["aaaa", "bbbb", "cccc"]);
  expect(blocks.freeMany([...addresses, 99])).toBe(false);
  expect(blocks.count()).toBe(3);
  expect(blocks.freeMany(addresses)).toBe(true);
  expect(blocks.count()).toBe(0);
});

test("an address that is out of range is no block, and never another one", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 4 });
  blocks.store("aaaa");
  for (const address of [262_144, 2n ** 32n, 2n ** 64n - 1n, -1, 1])
    expect([blocks.read(address), blocks.free(address)]).toEqual([null, false]);
  expect(blocks.count()).toBe(1);
});

test("the number of levels sets the capacity, and a full storage says so", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 1, levels: 2 });
  expect(blocks.capacity).toBe(4096);
  blocks.storeMany(Array.from({ length: 4096 }, () => "x"));
  expect(thrownBy(() => blocks.store("x")).code).toBe("EMMAP_FULL");
});

test("the file says how many levels a storage has", () => {
  const path = freshPath();
  const of = (options: object) => openBlockStorage(path, { blockSize: 8, ...options });
  {
    using blocks = of({ levels: 2 });
    expect(blocks.store("12345678")).toBe(0);
  }
  {
    using blocks = of({});
    expect(blocks.levels).toBe(2);
    expect(blocks.store("abcdefgh")).toBe(64);
    expect(blocks.read(0)?.toString()).toBe("12345678");
  }
  const other = thrownBy(() => of({ levels: 3 }));
  expect(other.code).toBe("EINVAL");
  expect(other.message).toContain("another number of levels");
});

test("another block size is told from a file that is no storage", () => {
  const other = thrownBy(() => openBlockStorage(fixture("blocks.bin"), { blockSize: 23 }));
  expect(other.code).toBe("EINVAL");
  expect(other.message).toContain("another block size");
  const none = thrownBy(() => openBlockStorage(fixture("queue.bin"), { blockSize: 22 }));
  expect(none.code).toBe("EMMAP_CORRUPT");
  expect(none.message).toContain("not a block storage");
});

test("the space of freed blocks is given back", () => {
  const path = freshPath();
  const taken = () => statSync(path).blocks * 512;
  using blocks = openBlockStorage(path, { blockSize: 16384 });
  const addresses = blocks.storeMany(Array.from({ length: 640 }, (_, i) => Buffer.alloc(16384, i)));
  const { size } = statSync(path);
  blocks.freeMany(addresses.slice(1));
  expect(taken()).toBeLessThan(2 ** 20);
  blocks.freeMany(blocks.storeMany(Array.from({ length: 100 }, () => Buffer.alloc(16384))));
  const before = taken();
  expect(blocks.compact()).toBe(before - taken());
  expect(taken()).toBeLessThan(2 ** 18);
  expect(statSync(path).size).toBe(size);
  expect([...blocks].map(([address]) => address)).toEqual([0]);
});

test("two handles share one storage, across growth", () => {
  const path = freshPath();
  using one = openBlockStorage(path, { blockSize: 1000, size: 2000 });
  using other = openBlockStorage(path);
  const addresses = Array.from({ length: 200 }, (_, i) => one.store(Buffer.alloc(1000, i)));
  addresses.forEach((address, i) => {
    expect(other.read(address)?.[999]).toBe(i);
  });
});

test("iteration copies few long blocks at a time", () => {
  const blockSize = 2 ** 20;
  using blocks = openBlockStorage(freshPath(), { blockSize });
  blocks.storeMany(Array.from({ length: 20 }, (_, i) => Buffer.alloc(blockSize, i)));
  const before = process.memoryUsage().arrayBuffers;
  const [, first] = blocks.entries().next().value ?? [];
  expect(first?.length).toBe(blockSize);
  expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(8 * blockSize);
  expect([...blocks].map(([, block]) => block[0]).sort((a, b) => Number(a) - Number(b))).toEqual([
    ...Array(20).keys(),
  ]);
});

test("repair, whole or in steps, changes nothing in a sound storage", () => {
  const path = fixture("blocks-deep.bin");
  using blocks = openBlockStorage(path);
  blocks.repair();
  let steps = 0;
  for (const _ of blocks.repairInSteps(1000)) {
    steps++;
    blocks.free(blocks.store(Buffer.alloc(8)));
  }
  expect(steps).toBeGreaterThan(1);
  expect(blocks.count()).toBe(5000);
});

test("bad arguments are named", () => {
  expect(thrownBy(() => openBlockStorage(freshPath())).code).toBe("EINVAL");
  const impossible = freshPath();
  expect(thrownBy(() => openBlockStorage(impossible, { blockSize: 8, levels: 6 })).code).toBe("EINVAL");
  for (const levels of [2 ** 32 + 2, 2 ** 40 + 3, 2 - 2 ** 32, -1])
    expect(thrownBy(() => openBlockStorage(impossible, { blockSize: 8, levels })).code).toBe("EINVAL");
  for (const blockSize of [2 ** 32, 2 ** 32 + 8, 2 ** 53 - 1, -8])
    expect(thrownBy(() => openBlockStorage(impossible, { blockSize })).code).toBe("EINVAL");
  expect(existsSync(impossible)).toBe(false);
  expect(thrownBy(() => openBlockStorage(fixture("blocks.bin"), { blockSize: 23 })).code).toBe("EINVAL");
  using blocks = openBlockStorage(freshPath(), { blockSize: 8 });
  expect(thrownBy(() => blocks.store("1234567")).code).toBe("EINVAL");
  expect(thrownBy(() => blocks.read("0" as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  for (const none of [5, {}, 1n, null, undefined, () => 1])
    for (const call of [() => blocks.storeMany(none as never), () => blocks.freeMany(none as never)])
      expect(thrownBy(call).code).toBe("ERR_INVALID_ARG_TYPE");
});

test("a foreign file is refused and left as it was", () => {
  const path = freshPath();
  writeFileSync(path, "somebody's notes, which are no storage of blocks");
  expect(thrownBy(() => openBlockStorage(path, { blockSize: 8 })).code).toMatch(/EMMAP_CORRUPT|EINVAL/);
  expect(readFileSync(path, "utf8")).toBe("somebody's notes, which are no storage of blocks");
});

test("a closed storage says so", () => {
  const blocks = openBlockStorage(freshPath(), { blockSize: 8 });
  blocks.close();
  expect(thrownBy(() => blocks.store("12345678")).code).toBe("EMMAP_CLOSED");
  expect(inspect(blocks)).toContain("closed: true");
});

test("a number of blocks that is none repairs nothing", () => {
  using blocks = openBlockStorage(freshPath(), { blockSize: 8 });
  for (const number of [-1, -(2n ** 63n), 2n ** 63n, 2n ** 64n - 1n])
    expect(thrownBy(() => [...blocks.repairInSteps(number)])).toMatchObject({ code: "EINVAL" });
  expect([...blocks.repairInSteps(0)]).toEqual([]);
});
