import { chmodSync, existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, test } from "vitest";
import { open, openBlockStorage, openCounters, openQueue } from "../src";
import { thrownBy } from "./support/errors";
import { descriptorsOf, freshPath, mappingsOf, pattern, patternFile } from "./support/files";

test("a file is created with the size asked for, and is there the second time", () => {
  const path = freshPath();
  using created = open(path, { write: true, create: true, size: 4096 });
  using again = open(path, { write: true, create: true, size: 4096 });
  expect([created.existed, again.existed, created.size, statSync(path).size]).toEqual([
    false,
    true,
    4096,
    4096,
  ]);
});

test("without options a file is read whole, and not changed", () => {
  const path = patternFile(1000);
  using file = open(path);
  expect(file.size).toBe(1000);
  expect(file.pread(0, 5000)).toEqual(pattern(1000));
});

test("write reads as well", () => {
  using file = open(patternFile(), { write: true });
  expect(file.pread(10, 3)).toEqual(Buffer.from([10, 11, 12]));
});

test("a path may be a file URL", () => {
  using file = open(pathToFileURL(patternFile(16)));
  expect(file.size).toBe(16);
});

test("writes are shared unless private is asked for", () => {
  const path = patternFile(16);
  using shared = open(path, { write: true });
  using own = open(path, { write: true, private: true });
  shared.pwrite(0, "shared");
  own.pwrite(8, "private");
  expect(readFileSync(path).subarray(0, 6).toString()).toBe("shared");
  expect(readFileSync(path)).toEqual(Buffer.concat([Buffer.from("shared"), pattern(16).subarray(6)]));
  expect(own.pread(8, 7)?.toString()).toBe("private");
});

test("shared may be said, also of a file that is only read", () => {
  using file = open(patternFile(16), { read: true, shared: true });
  expect(file.pread(1, 1)).toEqual(Buffer.from([1]));
});

test("an offset of any byte is where position 0 is, and a length ends the mapping", () => {
  using file = open(patternFile(), { write: true, offset: 1003, length: 10 });
  expect(file.size).toBe(10);
  expect(file.pread(0, 100)).toEqual(pattern(4096).subarray(1003, 1013));
});

test("anon is memory without a file", () => {
  using file = open("ignored", { anon: true, write: true, size: 4096 });
  file.pwrite(0, "here");
  expect([file.path, file.size, file.pread(0, 4)?.toString()]).toEqual(["", 4096, "here"]);
  expect(existsSync("ignored")).toBe(false);
});

test("autoUnlink removes the file when it is closed", () => {
  const path = freshPath();
  const file = open(path, { write: true, create: true, size: 16, autoUnlink: true });
  expect(existsSync(path)).toBe(true);
  file.close();
  expect(existsSync(path)).toBe(false);
});

test("truncate empties the file first", () => {
  const path = patternFile();
  using file = open(path, { write: true, truncate: true, size: 8 });
  expect(file.pread(0, 8)).toEqual(Buffer.alloc(8));
  expect(statSync(path).size).toBe(8);
});

test("mode is exact, whatever the umask", () => {
  const path = freshPath();
  using _file = open(path, { write: true, create: true, size: 8, mode: 0o666 });
  expect(statSync(path).mode & 0o7777).toBe(0o666);
});

/** The permission bits of the file that `create` makes with this umask. */
function bitsOf(umask: number, create: (path: string) => { close(): void }): number {
  const path = freshPath();
  const before = process.umask(umask);
  try {
    create(path).close();
  } finally {
    process.umask(before);
  }
  return statSync(path).mode & 0o7777;
}

type Create = (path: string, mode?: { mode: number }) => { close(): void };
const CREATORS: [string, Create][] = [
  ["a file", (path, mode) => open(path, { write: true, create: true, size: 8, ...mode })],
  ["a file of counters", (path, mode) => openCounters(path, 1, mode)],
  ["a queue", (path, mode) => openQueue(path, mode)],
  ["a block storage", (path, mode) => openBlockStorage(path, { blockSize: 8, ...mode })],
];

test.each(CREATORS)(
  "%s that is created belongs to its user alone, unless another mode is given, which is exact",
  (_, create) => {
    for (const umask of [0, 0o022, 0o077]) {
      expect(bitsOf(umask, (path) => create(path))).toBe(0o600);
      for (const mode of [0o660, 0o644, 0o640])
        expect(bitsOf(umask, (path) => create(path, { mode }))).toBe(mode);
    }
  },
);

test("a file that exists keeps its mode", () => {
  const path = patternFile();
  chmodSync(path, 0o640);
  open(path, { write: true, create: true, size: 8, mode: 0o600 }).close();
  expect(statSync(path).mode & 0o7777).toBe(0o640);
});

test("exclusive keeps other writers out, and is refused where there is one", () => {
  const path = patternFile();
  const file = open(path, { write: true, exclusive: true });
  expect(() => open(path, { write: true })).toThrow(expect.objectContaining({ code: "EBUSY" }));
  file.close();
  using _other = open(path, { write: true });
  expect(() => open(path, { write: true, exclusive: true })).toThrow(
    expect.objectContaining({ code: "EBUSY" }),
  );
});

test("options that could have no effect in Node are none, and undefined ones are ignored", () => {
  for (const name of ["fit", "nocache", "uninitialized", "debug", "nolock"])
    expect(() => open(patternFile(), { [name]: true } as object)).toThrow(`option "${name}"`);
  using file = open(patternFile(), {
    read: true,
    write: undefined,
    populate: true,
    nonblock: true,
    noreserve: true,
    create: false,
    maxIncSize: 4096,
    size: undefined,
  });
  expect(file.size).toBe(4096);
});

test("an option that is misspelled is told which one was meant", () => {
  const path = patternFile();
  const loose = (call: (path: string, options: never) => unknown, options: object): string =>
    thrownBy(() => call(path, options as never)).message;
  const meant: [string, string][] = [
    ["readonly", "read"],
    ["readOnly", "read"],
    ["wirte", "write"],
    ["fixedsize", "fixedSize"],
    ["max_inc_size", "maxIncSize"],
    ["auto-unlink", "autoUnlink"],
    ["huge_2mb", "huge2mb"],
    ["lenght", "length"],
  ];
  for (const [name, right] of meant)
    expect(loose(open, { [name]: true })).toBe(`Misspelled option "${name}" should be "${right}"`);
  expect(loose(open, { whatever: 1 })).toBe('There is no option "whatever"');
  expect(loose(openQueue, { deocde: {} })).toBe('Misspelled option "deocde" should be "decode"');
  expect(loose(openQueue, { lockTimeOut: 1 })).toBe(
    'Misspelled option "lockTimeOut" should be "lockTimeout"',
  );
  expect(loose(openBlockStorage, { blocksize: 8 })).toBe(
    'Misspelled option "blocksize" should be "blockSize"',
  );
  expect(loose((at, options) => openCounters(at, 1, options), { growing: true })).toContain('"grow"');
  using file = open(path);
  expect(thrownBy(() => file.view(0, 1, { ownbuffer: true } as object)).message).toContain('"ownBuffer"');
});

test("a path may be a Buffer, of any bytes, as fs takes them", async () => {
  const plain = freshPath();
  using made = open(Buffer.from(plain), { write: true, create: true, size: 8 });
  expect([made.path, statSync(plain).size]).toEqual([plain, 8]);
  const odd = Buffer.concat([Buffer.from(plain), Buffer.from([0xff, 0xfe])]);
  using counters = openCounters(odd, 2);
  counters.add(0, 3);
  await counters.backup(Buffer.concat([odd, Buffer.from([0x80])]));
  expect(readFileSync(Buffer.concat([odd, Buffer.from([0x80])])).readBigInt64LE(16)).toBe(3n);
  using again = counters.reopen();
  expect([again.get(0), existsSync(odd), again.path.startsWith(plain)]).toEqual([3n, true, true]);
  const folder = process.cwd();
  process.chdir(dirname(plain));
  const relative = odd.subarray(Buffer.byteLength(dirname(plain)) + 1);
  using here = openQueue(Buffer.concat([relative, Buffer.from("q")]));
  process.chdir(folder);
  here.push(1);
  using there = here.reopen();
  expect(there.pop()).toBe(1);
  expect(thrownBy(() => open(Buffer.from("a\0b"))).code).toBe("ERR_INVALID_ARG_VALUE");
});

test("sizes may be bigints", () => {
  using file = open(freshPath(), { write: true, create: true, size: 4096n });
  expect(file.size).toBe(4096);
});

test("what is no option, path or set of options is named", () => {
  const loose = open as (path: unknown, options?: unknown) => unknown;
  const path = patternFile();
  expect(() => loose(path, { wriet: true })).toThrow(/wriet/);
  expect(() => loose(path, { write: 1 })).toThrow(/options\.write.*boolean/);
  expect(() => loose(path, { size: -1 })).toThrow(/options\.size/);
  expect(() => loose(path, { constructor: true })).toThrow(/constructor/);
  expect(() => loose(path, null)).toThrow(/options/);
  expect(() => loose(5)).toThrow(/path/);
  expect(() => loose("a\0b")).toThrow(/null bytes/);
});

test("a failed open leaves neither file, descriptor nor mapping", () => {
  const path = freshPath();
  expect(() => open(path, { write: true, create: true })).toThrow();
  expect([existsSync(path), descriptorsOf(path), mappingsOf(path)]).toEqual([false, 0, 0]);
});

test("close gives the descriptor and the mapping back at once, and may be called again", () => {
  const path = patternFile();
  const file = open(path, { write: true });
  expect([descriptorsOf(path), mappingsOf(path)]).toEqual([1, 1]);
  file.close();
  file.close();
  expect([file.closed, file.size, descriptorsOf(path), mappingsOf(path)]).toEqual([true, 0, 0, 0]);
});

test("many files may be open at once", () => {
  const paths = Array.from({ length: 100 }, () => patternFile(64));
  const files = paths.map((path) => open(path, { write: true }));
  for (const [index, file] of files.entries()) file.pwrite(0, [String(index)].join());
  for (const file of files) file.close();
  expect(paths.map((path, index) => readFileSync(path).toString("utf8", 0, String(index).length))).toEqual(
    paths.map((_, index) => String(index)),
  );
});

test("a file that was empty can be given a size", () => {
  const path = freshPath();
  writeFileSync(path, "");
  using file = open(path, { write: true, size: 10 });
  expect([file.size, file.existed]).toEqual([10, true]);
});

test("shared can be said to be unsafe, of files and counters alone", () => {
  const path = freshPath();
  using file = open(path, { write: true, create: true, size: 4096, shared: "unsafe" });
  file.pwrite(0, "hello");
  using reader = open(path, { read: true, shared: "unsafe" });
  expect(String(reader.pread(0, 5))).toBe("hello");
  using counters = openCounters(`${path}.counters`, 2, { shared: "unsafe" });
  expect(counters.add(0, 1n)).toBe(0n);
  expect(() => open(path, { shared: "safe" as never })).toThrow('must be a boolean or "unsafe"');
  for (const shared of [true, false, "safe"])
    expect(() => openCounters(path, 1, { shared: shared as never })).toThrow(TypeError);
  expect(() => openQueue(`${path}.queue`, { shared: "unsafe" } as never)).toThrow(TypeError);
  expect(() => openBlockStorage(`${path}.blocks`, { blockSize: 8, shared: "unsafe" } as never)).toThrow(
    TypeError,
  );
});
