import { writeFileSync } from "node:fs";
import { expect, test } from "vitest";
import { open } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath, pattern, patternFile } from "./support/files";

test("reads follow each other to the end", () => {
  using file = open(patternFile(100));
  expect(file.read(60)).toEqual(pattern(100).subarray(0, 60));
  expect(file.read(60)).toEqual(pattern(100).subarray(60));
  expect(file.read(1)).toBeNull();
  expect(file.read(0)).toBeNull();
  file.position(5);
  expect(file.read(0)).toEqual(Buffer.alloc(0));
});

test("writes follow each other, and one that would pass the end writes and moves nothing", () => {
  using file = open(patternFile(10), { write: true });
  file.write("abcd");
  file.write(Buffer.from("efgh"));
  expect(thrownBy(() => file.write("ijk"))).toMatchObject({ code: "EINVAL", operation: "write" });
  expect(file.position(0, "cur")).toBe(8);
  expect(file.pread(0, 10)?.toString("latin1")).toBe("abcdefgh\x08\x09");
});

test("position counts from the beginning, the cursor and the end", () => {
  using file = open(patternFile(100));
  expect(file.position(10)).toBe(10);
  expect(file.position(5, "cur")).toBe(15);
  expect(file.position(-5n, "cur")).toBe(10);
  expect(file.position(-1, "eof")).toBe(99);
  expect(file.read(5)).toEqual(Buffer.from([99]));
});

test("the cursor may be past the end, where nothing is read, and stays where a move fails", () => {
  using file = open(patternFile(100));
  expect(file.position(2 ** 40 + 7)).toBe(2 ** 40 + 7);
  expect([file.read(1), file.readLine()]).toEqual([null, null]);
  expect(thrownBy(() => file.position(-1))).toMatchObject({ code: "EINVAL" });
  expect(file.position(0, "cur")).toBe(2 ** 40 + 7);
});

test("positioned reads and writes leave the cursor alone", () => {
  using file = open(patternFile(100), { write: true });
  file.position(7);
  file.pread(50, 10);
  file.pwrite(60, "x");
  expect(file.position(0, "cur")).toBe(7);
});

test("a carriage return before the line feed is left out, and no other", () => {
  const path = freshPath();
  writeFileSync(path, "two\r\n\r\nkept\r\r\nlast\r");
  using file = open(path);
  const lines = [1, 2, 3, 4, 5].map(() => file.readLine()?.toString());
  expect(lines).toEqual(["two\n", "\n", "kept\r\n", "last\r", undefined]);
  file.position(4);
  expect(file.readLine()?.toString()).toBe("\n");
});

test("lines keep their line feed, and the last may have none", () => {
  const path = freshPath();
  writeFileSync(path, "one\n\nthree");
  using file = open(path);
  const lines = [file.readLine(), file.readLine(), file.readLine(), file.readLine()];
  expect(lines.map((line) => line?.toString())).toEqual(["one\n", "\n", "three", undefined]);
});

test("truncate ends the file at the cursor", () => {
  using file = open(patternFile(100), { write: true });
  file.position(10);
  file.truncate();
  expect([file.size, file.pread(0, 100)]).toEqual([10, pattern(10)]);
});
