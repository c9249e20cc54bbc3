import { appendFileSync, readFileSync, statSync, truncateSync } from "node:fs";
import { expect, test } from "vitest";
import { open } from "../src";
import { collectUntil } from "./support/collect";
import { thrownBy } from "./support/errors";
import { mappingsOf, pattern, patternFile } from "./support/files";

test("a file that has grown can be used to its new end", () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  expect(file.resize(10_000)).toBe(10_000);
  file.pwrite(9_996, "tail");
  file.add(9_984, 5);
  expect([file.size, statSync(path).size, file.pread(0, 4096)?.equals(pattern(4096))]).toEqual([
    10_000,
    10_000,
    true,
  ]);
  expect(readFileSync(path).toString("latin1", 9_996)).toBe("tail");
});

test("without a size it doubles, up to steps of maxIncSize", () => {
  using file = open(patternFile(4096), { write: true, maxIncSize: 8192 });
  expect([file.resize(), file.resize(), file.resize(), file.resize(0)]).toEqual([
    8192, 16_384, 24_576, 32_768,
  ]);
});

test("a file can shrink, and what was cut off is gone", () => {
  const path = patternFile(8192);
  using file = open(path, { write: true });
  expect(file.resize(100)).toBe(100);
  expect([file.pread(0, 8192), statSync(path).size]).toEqual([pattern(100), 100]);
  expect(file.pread(100, 1)).toBeNull();
});

test("a view keeps its mapping when the file grows, and both show the same bytes", () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  const view = file.view();
  file.resize(8192);
  expect(view.length).toBe(4096);
  file.pwrite(0, "new");
  expect(view.toString("latin1", 0, 3)).toBe("new");
  view.write("old");
  expect(file.pread(0, 3)?.toString()).toBe("old");
  expect(file.view().length).toBe(8192);
});

test("a live view keeps the file from shrinking, and a collected one does not", async () => {
  using file = open(patternFile(8192), { write: true });
  let view: Buffer | undefined = file.view(8000, 10);
  expect(thrownBy(() => file.resize(4096))).toMatchObject({ code: "EBUSY", operation: "resize" });
  expect([file.size, view[0]]).toEqual([8192, 8000 % 251]);
  expect(file.add(0, 1)).toBe(0x0706050403020100n);
  view = undefined;
  await collectUntil(() => {
    try {
      return file.resize(4096) === 4096;
    } catch {
      return false;
    }
  });
});

test("a resize that fails leaves the file as it was, and usable", () => {
  const path = patternFile(64);
  using file = open(path, { write: true, fixedSize: true });
  expect(thrownBy(() => file.resize(128))).toMatchObject({ code: "EMMAP_FIXED_SIZE" });
  expect(thrownBy(() => file.resize(2n ** 62n))).toMatchObject({ code: "EMMAP_FIXED_SIZE" });
  const { size } = file;
  file.resize(size);
  expect(file.size).toBe(size);
  expect(file.pread(0, 64)).toEqual(pattern(64));
  expect(file.load(8)).toBe(0x0f0e0d0c0b0a0908n);
  expect(mappingsOf(path)).toBe(1);
});

test("a size that no file can have is refused", () => {
  using file = open(patternFile(64), { write: true });
  expect(["EFBIG", "ENOSPC", "ENOMEM"]).toContain(thrownBy(() => file.resize(2n ** 63n - 1n)).code);
  expect([file.size, file.pread(0, 64)]).toEqual([64, pattern(64)]);
});

test("growing never shrinks what somebody else has made larger", () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  using other = open(path, { write: true });
  other.resize(16_384);
  other.pwrite(16_000, "theirs");
  expect(file.resize(8192)).toBe(16_384);
  expect(file.pread(16_000, 6)?.toString()).toBe("theirs");
});

test("follow maps what was added at the end, by whom ever", () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  appendFileSync(path, "appended");
  expect([file.size, file.follow(), file.size]).toEqual([4096, 4104, 4104]);
  expect(file.pread(4096, 100)?.toString()).toBe("appended");
  expect(file.follow()).toBe(4104);
});

test("old mappings go when their views are gone", async () => {
  const path = patternFile(4096);
  using file = open(path, { write: true });
  let views = [file.view()];
  for (let size = 8192; size <= 65_536; size *= 2) {
    file.resize(size);
    views.push(file.view());
  }
  expect(views.map((view) => view.length)).toEqual([4096, 8192, 16_384, 32_768, 65_536]);
  expect(mappingsOf(path)).toBeGreaterThan(1);
  views = [];
  await collectUntil(() => mappingsOf(path) === 1);
});

test("a file that another process truncated is EFAULT, and stays so", () => {
  const path = patternFile(16_384);
  using file = open(path, { write: true });
  const view = file.view();
  truncateSync(path, 4096);
  expect(file.pread(0, 4)).toEqual(pattern(4));
  expect(view[10_000]).toBe(0);
  for (const call of [
    () => file.pread(0, 4),
    () => file.pwrite(0, "x"),
    () => file.read(1),
    () => file.readLine(),
    () => file.write("x"),
    () => file.add(0, 1),
    () => file.load(0),
    () => file.view(),
  ])
    expect(thrownBy(call)).toMatchObject({ code: "EFAULT", path });
  expect(readFileSync(path).subarray(8)).toEqual(pattern(4096).subarray(8));
});

test.each([
  ["pread", (file: ReturnType<typeof open>) => file.pread(12_000, 64)],
  ["pwrite", (file: ReturnType<typeof open>) => file.pwrite(12_000, "lost")],
  ["add", (file: ReturnType<typeof open>) => file.add(12_000, 1)],
  ["load", (file: ReturnType<typeof open>) => file.load(12_000)],
])("%s on a page that went away is EFAULT itself", (_, call) => {
  const path = patternFile(16_384);
  using file = open(path, { write: true });
  truncateSync(path, 4096);
  expect(thrownBy(() => call(file))).toMatchObject({ code: "EFAULT" });
});
