// The judge of the random run finds every kind of fault.
import { expect, test } from "vitest";
import { type Block, judge, type Message } from "./support/judge.mjs";

const verdict = (logs: string[][], left: Message[] = [], blocks: Block[] = []): string[] =>
  judge(
    logs.map((lines, player) => [player, lines.map((line) => `${line}\n`).join("")]),
    left,
    blocks,
  ).wrong;

const TWO = ["push 0 2", "pushed"];

test("nothing is wrong where all is there once", () => {
  expect(verdict([TWO, ["pop", "popped 0 0"]], [[0, 1]])).toEqual([]);
  expect(verdict([["store 0", "stored 7"]], [], [[7, 0, 0]])).toEqual([]);
});

test("operations that a dead player had begun may have been done or not", () => {
  expect(verdict([["push 0 1"]])).toEqual([]);
  expect(verdict([["push 0 1"]], [[0, 0]])).toEqual([]);
  expect(verdict([TWO, ["pop"]], [[0, 1]])).toEqual([]);
  expect(verdict([TWO, ["take", "taken 0 0"]], [[0, 1]])).toEqual([]);
  expect(
    verdict(
      [TWO, ["take", "taken 0 0"]],
      [
        [0, 0],
        [0, 1],
      ],
    ),
  ).toEqual([]);
  expect(verdict([["store 0"]], [], [[7, 0, 0]])).toEqual([]);
  expect(verdict([["store 0", "stored 7", "free 0"]])).toEqual([]);
});

test.each<[string, string[][], Message[], Block[]]>([
  ["message 0 0 is lost", [TWO], [[0, 1]], []],
  ["message 0 1 is lost", [["push 0 3", "pushed"], ["pop"]], [[0, 2]], []],
  [
    "message 0 0 is there 2 times",
    [
      ["push 0 1", "pushed", "pop", "popped 0 0"],
      ["pop", "popped 0 0"],
    ],
    [],
    [],
  ],
  ["message 5 0 was never pushed", [], [[5, 0]], []],
  ["message 0 0 is behind one that was pushed later", [[...TWO, "pop", "popped 0 1"]], [[0, 0]], []],
  ["0: 0 0 came after 1", [[...TWO, "pop", "popped 0 1", "pop", "popped 0 0"]], [], []],
  ["block 0 0 is not at 7", [["store 0", "stored 7"]], [], []],
  ["block 0 0 is not at 7", [["store 0", "stored 7"]], [], [[8, 0, 0]]],
  [
    "block 0 0 is there twice",
    [["store 0", "stored 7"]],
    [],
    [
      [8, 0, 0],
      [7, 0, 0],
    ],
  ],
  ["block 0 0 was freed", [["store 0", "stored 7", "free 0", "freed"]], [], [[7, 0, 0]]],
  ["block 5 0 was never stored", [], [], [[7, 5, 0]]],
  ["0: wrong block 7 0", [["wrong block 7 0"]], [], []],
])("%s", (fault, logs, left, blocks) => {
  expect(verdict(logs, left, blocks)).toContain(fault);
});
