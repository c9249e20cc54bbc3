import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, onTestFinished, test } from "vitest";
import { EmmapError, open, openBlockStorage, openCounters, openQueue } from "../src";
import { freshPath, patternFile } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

test("a backup of every kind of file can be opened as what it is", async () => {
  const path = freshPath();
  const folder = dirname(path);
  const to = (name: string): string => join(folder, name);

  const plain = patternFile(100_000);
  chmodSync(plain, 0o640);
  using file = open(plain, { write: true });
  file.pwrite(5, "hello");
  await file.backup(pathToFileURL(to("file")));
  expect(readFileSync(to("file"))).toEqual(readFileSync(plain));
  expect(statSync(to("file")).mode & 0o7777).toBe(0o640);

  using counters = openCounters(to("counters"), 3);
  counters.add(2, 42n);
  await counters.backup(to("counters.copy"));
  counters.add(2, 1n);
  using countersCopy = openCounters(to("counters.copy"));
  expect([...countersCopy]).toEqual([0n, 0n, 42n]);

  using queue = openQueue(to("queue"));
  queue.pushMany([1, "two", [3]]);
  queue.pop();
  using reader = openQueue(to("queue"), { read: true });
  for (const each of [queue, reader]) {
    await each.backup(to("queue.copy"));
    using copy = openQueue(to("queue.copy"));
    expect(copy.popMany(10).map(String)).toEqual(["two", "3"]);
    rmSync(to("queue.copy"));
  }
  expect(queue.length()).toBe(2);

  using blocks = openBlockStorage(to("blocks"), { blockSize: 4 });
  const addresses = blocks.storeMany(["aaaa", "bbbb", "cccc"]);
  blocks.free(addresses[1] as number);
  await blocks.backup(to("blocks.copy"));
  using blocksCopy = openBlockStorage(to("blocks.copy"), { blockSize: 4 });
  expect([...blocksCopy].map(([address, bytes]) => [address, String(bytes)])).toEqual([
    [addresses[0], "aaaa"],
    [addresses[2], "cccc"],
  ]);
});

test("a backup replaces nothing, and says where it was to go", async () => {
  const path = freshPath();
  const to = join(dirname(path), "copy");
  const queue = openQueue(path);
  symlinkSync("nowhere", to);
  for (const taken of [path, to])
    await expect(queue.backup(taken)).rejects.toMatchObject({
      code: "EEXIST",
      path: taken,
      dest: taken,
      message: expect.stringContaining(`lstat '${taken}'`),
    });
  const missing = join(dirname(path), "missing", "copy");
  await expect(queue.backup(missing)).rejects.toMatchObject({
    code: "ENOENT",
    message: `ENOENT: no such file or directory, open '${missing}'`,
    path: missing,
    dest: missing,
  });
  await expect(queue.backup(to)).rejects.toBeInstanceOf(EmmapError);
  await expect(queue.backup(5 as never)).rejects.toThrow(TypeError);
  queue.close();
  await expect(queue.backup(join(dirname(path), "other"))).rejects.toMatchObject({
    code: "EMMAP_CLOSED",
    path,
  });
  expect(readdirSync(dirname(path)).sort()).toEqual(["copy", "file.bin", "file.bin-live"]);
});

test("a backup is made beside producers and consumers that are killed at work", {
  timeout: 60_000,
}, async () => {
  const path = freshPath();
  const to = join(dirname(path), "copy");
  using queue = openQueue(path);
  queue.push(-1);
  const source = `
    const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)});
    process.stdout.write("up");
    for (;;) {
      for (let i = 0; i < 20; i++) {
        const last = queue.peekBack();
        if (queue.length() < 300) queue.pushMany([last + 1, last + 2]);
      }
      while (queue.length() > 100) queue.popMany(2);
    }`;
  let made = 0;
  for (let round = 0; round < 8; round++) {
    const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
    onTestFinished(() => void child.kill("SIGKILL"));
    const exit = once(child, "exit");
    await once(child.stdout, "data");
    for (let i = 0; i < 6; i++) {
      await queue.backup(to);
      if (i === 3) child.kill("SIGKILL");
      using copy = openQueue(to);
      const messages = copy.popMany(1000) as number[];
      expect(messages).toEqual(messages.map((_, at) => (messages[0] as number) + at));
      expect(messages.length).toBeGreaterThan(0);
      made++;
      rmSync(to);
    }
    await exit;
  }
  expect(made).toBe(48);
});

test("a process that is killed while it makes a backup leaves a whole one, or none", {
  timeout: 60_000,
}, async () => {
  const path = freshPath();
  const folder = dirname(path);
  const to = join(folder, "copy");
  using queue = openQueue(path);
  queue.pushMany(Array.from({ length: 5000 }, (_, i) => i));
  const source = `
    const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)});
    const { renameSync } = require("node:fs");
    process.stdout.write("up");
    (async () => {
      for (;;) {
        await queue.backup(${JSON.stringify(to)});
        renameSync(${JSON.stringify(to)}, ${JSON.stringify(`${to}.last`)});
      }
    })();`;
  for (let round = 0; round < 10; round++) {
    const child = spawn(process.execPath, ["-e", source], { stdio: ["ignore", "pipe", "inherit"] });
    const exit = once(child, "exit");
    await once(child.stdout, "data");
    await expect.poll(() => existsSync(`${to}.last`)).toBe(true);
    child.kill("SIGKILL");
    await exit;
    for (const name of readdirSync(folder).filter(
      (each) => !each.startsWith("file.bin") && !each.endsWith("-live"),
    )) {
      expect(["copy", "copy.last"]).toContain(name);
      using copy = openQueue(join(folder, name));
      expect(copy.length()).toBe(5000);
      rmSync(join(folder, name));
    }
  }
  queue.push(5000);
  expect(queue.length()).toBe(5001);
});

test("a file knows whether its path still means it", () => {
  const path = freshPath();
  const kinds = [
    () => open(path, { write: true, create: true, size: 4096 }),
    () => openCounters(path, 2),
    () => openQueue(path),
    () => openBlockStorage(path, { blockSize: 8 }),
  ];
  for (const make of kinds) {
    rmSync(path, { force: true });
    const file = make();
    expect(file.isCurrent()).toBe(true);
    renameSync(path, `${path}.old`);
    expect(file.isCurrent()).toBe(false);
    const other = make();
    expect(file.isCurrent()).toBe(false);
    expect(other.isCurrent()).toBe(true);
    renameSync(`${path}.old`, path);
    expect([file.isCurrent(), other.isCurrent()]).toEqual([true, false]);
    file.close();
    other.close();
    expect(() => file.isCurrent()).toThrow(expect.objectContaining({ code: "EMMAP_CLOSED" }));
  }
  using memory = open("", { anon: true, write: true, size: 4096 });
  expect(memory.isCurrent()).toBe(true);
});

test("a relative path is that of the folder that was the current one", () => {
  const path = freshPath();
  const before = process.cwd();
  try {
    process.chdir(dirname(path));
    using queue = openQueue("file.bin");
    process.chdir("/");
    expect(queue.isCurrent()).toBe(true);
    rmSync(path);
    expect(queue.isCurrent()).toBe(false);
  } finally {
    process.chdir(before);
  }
});

test("a file is opened again as it was, from what the path means now", () => {
  const path = freshPath();
  const kinds = [
    () => open(path, { write: true, create: true, truncate: true, size: 4096 }),
    () => openCounters(path, 2),
    () => openQueue(path, { decode: { atoms: "string" } }),
    () => openBlockStorage(path, { blockSize: 8 }),
  ];
  for (const make of kinds) {
    rmSync(path, { force: true });
    const file = make();
    renameSync(path, `${path}.old`);
    expect(() => file.reopen()).toThrow(expect.objectContaining({ code: "ENOENT" }));
    expect([file.closed, file.isCurrent()]).toEqual([false, false]);
    expect(existsSync(path)).toBe(false);
    const other = make();
    const again = file.reopen();
    expect(again).toBeInstanceOf(file.constructor);
    expect([again.closed, again.isCurrent(), other.isCurrent()]).toEqual([false, true, true]);
    again.close();
    other.close();
  }
  using file = open(path, { write: true, create: true, truncate: true, size: 4096 });
  file.pwrite(0, "kept");
  using again = file.reopen();
  expect(String(again.pread(0, 4))).toBe("kept");
  expect(file.closed).toBe(true);
  const memory = open("", { anon: true, write: true, size: 4096 });
  expect(() => memory.reopen()).toThrow(expect.objectContaining({ code: "ENOTSUP" }));
  expect(memory.closed).toBe(false);
  memory.close();
});

test("a consumer whose queue was replaced is told so, or follows", async () => {
  const path = freshPath();
  const replaced = (): void => {
    using queue = openQueue(`${path}.new`);
    queue.push("new");
    renameSync(`${path}.new`, path);
  };
  using waits = openQueue(path);
  using follows = openQueue(path, { follow: true });
  using reads = openQueue(path, { follow: true, read: true });
  using blocks = openBlockStorage(`${path}.blocks`, { blockSize: 8 });
  expect([waits.pop(null), follows.pop(null), reads.peek(null)]).toEqual([null, null, null]);
  replaced();
  rmSync(`${path}.blocks`);
  await expect(waits.sync()).rejects.toMatchObject({ code: "ESTALE", path });
  await expect
    .poll(() => {
      try {
        return waits.pop();
      } catch (error) {
        return (error as EmmapError).code;
      }
    })
    .toBe("ESTALE");
  await expect.poll(() => String(reads.peek(null))).toBe("new");
  await expect.poll(() => String(follows.pop(null))).toBe("new");
  follows.push("again");
  using again = waits.reopen();
  expect(String(again.pop())).toBe("again");
  await expect
    .poll(() => {
      try {
        return blocks.count();
      } catch (error) {
        return (error as EmmapError).code;
      }
    })
    .toBe("ESTALE");
  expect(() => open(path, { follow: true } as never)).toThrow(
    expect.objectContaining({ code: "ERR_INVALID_ARG_VALUE" }),
  );
});

test("a file that can't be opened again stays open, exclusive or not", () => {
  const path = freshPath();
  using queue = openQueue(path, { exclusive: true });
  queue.push("old");
  renameSync(path, `${path}.old`);
  expect(() => queue.reopen()).toThrow(expect.objectContaining({ code: "ENOENT" }));
  // Another handle opens the new file; the old handle does not stop it.
  const other = openQueue(path, { exclusive: true });
  expect(() => queue.reopen()).toThrow(expect.objectContaining({ code: "EBUSY" }));
  expect(queue.peek()).toEqual(Buffer.from("old"));
  other.push("new");
  other.close();
  const again = queue.reopen();
  expect([queue.closed, String(again.peek())]).toEqual([true, "new"]);
  // This handle would stop itself, so it is closed first.
  using same = again.reopen();
  expect([again.closed, String(same.pop())]).toEqual([true, "new"]);
  expect(() => openQueue(path)).toThrow(expect.objectContaining({ code: "EBUSY" }));
  using closed = same.reopen();
  closed.close();
  using afterwards = closed.reopen();
  expect(afterwards.isEmpty()).toBe(true);
  const once = open(`${path}.once`, { write: true, create: true, size: 8, autoUnlink: true });
  expect(() => once.reopen()).toThrow(expect.objectContaining({ code: "ENOENT" }));
  expect(once.closed).toBe(true);
});

test("a mapping at an address is closed before it is opened again there", () => {
  const path = patternFile(4096);
  const address = 0x2000_0000_0000n;
  const file = open(path, { write: true, shared: true, fixed: true, address });
  using again = file.reopen();
  expect([file.closed, again.size]).toEqual([true, 4096]);
});

test("a call that goes over to another queue or storage answers from that one", async () => {
  const path = freshPath();
  using queue = openQueue(path, { follow: true });
  using blocks = openBlockStorage(`${path}.blocks`, { blockSize: 4, follow: true });
  expect([queue.pop(null), blocks.count()]).toEqual([null, 0]);
  rmSync(path);
  rmSync(`${path}.blocks`);
  {
    using newQueue = openQueue(path);
    newQueue.push("new");
    using newBlocks = openBlockStorage(`${path}.blocks`, { blockSize: 4 });
    newBlocks.store("new.");
  }
  await new Promise((done) => setTimeout(done, 1200));
  expect([String(queue.pop()), blocks.count()]).toEqual(["new", 1]);
});

test("a sync of any file says that its path means another", async () => {
  for (const make of [
    (path: string) => open(path, { write: true, create: true, size: 4096, shared: true }),
    (path: string) => openCounters(path, 2),
    (path: string) => openQueue(path),
    (path: string) => openBlockStorage(path, { blockSize: 8 }),
  ]) {
    const path = freshPath();
    using file = make(path);
    await file.sync();
    renameSync(path, `${path}.old`);
    await expect(file.sync()).rejects.toMatchObject({ code: "ESTALE", path });
    using other = make(path);
    await expect(file.datasync()).rejects.toMatchObject({ code: "ESTALE", path });
    await other.sync();
  }
  const path = patternFile(8);
  using alone = open(path, { write: true, private: true });
  rmSync(path);
  await alone.sync();
});
