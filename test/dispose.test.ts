import { expect, test } from "vitest";
import { type Counters, type MappedFile, open, openCounters } from "../src";
import { freshPath, mappingsOf, patternFile } from "./support/files";

test("using closes a file when its block ends, by an exception too", () => {
  const path = patternFile(16);
  let kept: MappedFile | undefined;
  expect(() => {
    using file = open(path);
    kept = file;
    throw new Error("out of here");
  }).toThrow("out of here");
  expect([kept?.closed, mappingsOf(path)]).toEqual([true, 0]);
});

test("using closes counters", () => {
  const path = freshPath();
  let kept: Counters;
  {
    using counters = openCounters(path, 2);
    kept = counters;
  }
  expect([kept.closed, mappingsOf(path)]).toEqual([true, 0]);
});

test("what was closed can be disposed of", () => {
  using file = open(patternFile(16));
  file.close();
  expect(file.closed).toBe(true);
});
