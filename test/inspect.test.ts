import { inspect } from "node:util";
import { expect, test } from "vitest";
import { open, openCounters } from "../src";
import { freshPath, patternFile } from "./support/files";

const wide = { breakLength: Number.POSITIVE_INFINITY };

test("a file shows its path, size, cursor and what may be done with it", () => {
  const path = patternFile(64);
  const file = open(path, { write: true });
  file.position(8);
  expect(inspect(file, wide)).toBe(
    `MappedFile { path: '${path}', size: 64, position: 8, writable: true, existed: true }`,
  );
  file.close();
  expect(inspect(file, wide)).toBe(`MappedFile { path: '${path}', closed: true }`);
});

test("counters show their values", () => {
  const path = freshPath();
  const counters = openCounters(path, 2);
  counters.add(1, 7);
  expect(inspect(counters, wide)).toBe(
    `Counters(2) { path: '${path}', writable: true, values: BigInt64Array(2) [ 0n, 7n ] }`,
  );
  counters.close();
  expect(inspect(counters, wide)).toBe(`Counters(2) { path: '${path}', closed: true }`);
});

test("inside other things they are shown the same way", () => {
  const path = patternFile(8);
  using file = open(path);
  expect(inspect({ file }, wide)).toContain("MappedFile { path: ");
});
