// check over damaged files: those that the fuzzers begin with, those that once found a fault, and sound files that were cut, filled with
// garbage or overwritten, as the torture does it.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openBlockStorage, openCell, openCounters, openQueue, openTable } from "../../src";
import { freshFolder, run } from "./support";

const fuzz = join(__dirname, "../../native/test/fuzz");

const KEYS = Array.from({ length: 60 }, (_, i) =>
  i % 3 === 0 ? `a key longer than a unit has room for, ${i}` : `key ${i}`,
);

/** Makes a sound file, and reads all that there is in one. */
const KINDS: Record<string, { make(path: string): void; read(path: string): void }> = {
  counters: {
    make: (path) => openCounters(path, 16).close(),
    read(path) {
      using file = openCounters(path, 0, { read: true });
      for (const _ of file);
    },
  },
  queue: {
    make(path) {
      using file = openQueue(path, { raw: true, size: 4096 });
      for (let i = 1; i <= 30; i++) file.push(Buffer.alloc(8 * (i % 9) + 8, i));
      file.popMany(5);
    },
    read(path) {
      using file = openQueue(path, { raw: true, read: true });
      for (const _ of file);
      for (const _ of file.reversed());
    },
  },
  blocks: {
    make(path) {
      using file = openBlockStorage(path, { blockSize: 8, levels: 2 });
      for (let i = 0; i < 150; i++) file.store(Buffer.alloc(8, i));
      for (let i = 0; i < 64; i += 3) file.free(i * 64);
    },
    read(path) {
      using file = openBlockStorage(path, { blockSize: 0, read: true });
      for (const _ of file);
      file.count();
    },
  },
  cell: {
    make(path) {
      using file = openCell(path, { maxBytes: 100, raw: true });
      for (let i = 0; i < 5; i++) file.publish(Buffer.alloc(50 + i, i));
    },
    read(path) {
      using file = openCell(path, { raw: true, read: true });
      file.get();
    },
  },
  table: {
    make(path) {
      using file = openTable(path, { capacity: 100 });
      for (const key of KEYS) file.add(key, 0, 1);
      for (const key of KEYS.slice(0, 9)) file.delete(key);
    },
    read(path) {
      using file = openTable(path, { read: true });
      for (const _ of file);
      for (const key of KEYS) file.get(key);
    },
  },
};

/** The contents of the fuzzer's inputs: behind a byte of options and the script, whose length comes before it. */
function* contentsOf(kind: string): Generator<[name: string, content: Buffer], void, undefined> {
  for (const corpus of ["seeds", "regressions"]) {
    const folder = join(fuzz, corpus, kind);
    let names: string[] = [];
    try {
      names = readdirSync(folder);
    } catch {
      // This fuzzer has found nothing yet.
    }
    for (const name of names) {
      const input = readFileSync(join(folder, name));
      yield [name, input.subarray(3 + input.readUInt16LE(1))];
    }
  }
}

/** Numbers that are the same in each run. */
function dice(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}

/** Whether the library finds the file damaged. */
function isRefused(read: (path: string) => void, path: string): boolean {
  try {
    read(path);
    return false;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EMMAP_CORRUPT";
  }
}

test.each(Object.entries(KINDS))(
  "check finds what is damaged in files of the kind %s, and ends well",
  (kind, { make, read }) => {
    const folder = freshFolder();
    const files: string[] = [];
    const put = (name: string, content: Buffer): void => {
      files.push(name);
      writeFileSync(join(folder, name), content);
    };
    for (const [name, content] of contentsOf(kind)) put(`fuzz-${name}`, content);
    const sound = join(folder, "sound");
    make(sound);
    const bytes = readFileSync(sound);
    const roll = dice(21);
    for (let i = 1; i < 8; i++) put(`cut-${i}`, bytes.subarray(0, (bytes.length * i) >> 3));
    for (const length of [1, 64, bytes.length]) {
      const garbage = Buffer.from(bytes);
      for (let i = 0; i < length; i++) garbage[i] = (i * 167 + 91) & 255;
      put(`garbage-${length}`, garbage);
    }
    for (let i = 0; i < 60; i++) {
      const changed = Buffer.from(bytes);
      // Half of them in the header and what follows it.
      const at = roll(i % 2 === 0 ? Math.min(256, bytes.length) : bytes.length);
      for (let byte = at; byte < Math.min(at + 1 + roll(8), bytes.length); byte++)
        changed[byte] = roll(2) === 0 ? 0xff : roll(256);
      put(`overwritten-${i}`, changed);
    }
    const { status, stdout, stderr } = run(["check", "--json", "--kind", kind, "sound", ...files], {
      cwd: folder,
    });
    expect([status, stderr]).toEqual([1, ""]);
    const [whole, ...verdicts] = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    expect(whole).toMatchObject({ path: "sound", kind, sound: true });
    expect(verdicts.map(({ path }) => path)).toEqual(files);
    const missed = files.filter((name, i) => verdicts[i].sound && isRefused(read, join(folder, name)));
    expect(missed).toEqual([]);
    const unsound = verdicts.filter((verdict) => !verdict.sound);
    expect(unsound.length).toBeGreaterThan(15);
    for (const verdict of unsound)
      expect(verdict).toMatchObject({ damage: expect.stringMatching(/./), offset: expect.any(Number) });

    // The other verbs that look survive them too.
    for (const args of [
      ["ls", "--all", "--json"],
      ["info", "--json", ...files],
      ["top", "--once", "--json"],
    ]) {
      const looked = run(args, { cwd: folder });
      expect([args[0], looked.status, looked.stderr]).toEqual([args[0], 0, ""]);
    }
    // And nothing was changed.
    expect(readFileSync(sound)).toEqual(bytes);
  },
  60_000,
);
