// A message is removed only when the caller has it. So a pop without memory for it leaves it.
import { execFileSync, spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { openQueue } from "../src";
import { freshPath } from "./support/files";

const MIB = 1024 * 1024;
const SIZE = 96 * MIB;
/** The free memory in MiB: from less than the message up to some copies of it. */
const SPARE = [60, 150, 240, 330];

const prlimit = (() => {
  try {
    execFileSync("prlimit", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

const program = (take: string, raw: boolean): string => `
const { openQueue } = require(${JSON.stringify(require.resolve("../dist/index.js"))});
const { execFileSync } = require("node:child_process");
const { readFileSync } = require("node:fs");
const [path, spare] = process.argv.slice(1);
const queue = openQueue(path, ${raw ? "{ raw: true }" : "{}"});
if (queue.length() !== 1) process.exit(3);
const mapped = 1024 * Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "utf8"))[1]);
execFileSync("prlimit", ["--pid", String(process.pid), "--as=" + (mapped + spare * ${MIB})]);
let got;
try {
  ${take}
} catch (error) {
  execFileSync("true");
  if (!(error instanceof RangeError) && error.code !== "ENOMEM") throw error;
  got = error.name;
}
console.log(typeof got === "string" ? got : String(got?.length));
`;

const ways: [string, string, boolean][] = [
  ["pop", "got = queue.pop()", false],
  ["pop of bytes", "got = queue.pop()", true],
  ["popBytes", "got = queue.popBytes()", false],
  ["popMany", "got = queue.popMany(2)[0]", false],
  ["tryPop", "queue.tryPop((message) => { got = message; })", false],
  ["iteration", "for (const message of queue) got = message", false],
  ["peek", "got = queue.peek()", false],
];

describe.runIf(process.platform === "linux" && prlimit)("where memory is short by a copy", () => {
  test.each(ways)("%s ends neither the process nor a message", { timeout: 120_000 }, (name, take, raw) => {
    const path = freshPath();
    using queue = openQueue(path, { raw: true });
    using terms = openQueue(path);
    let failed = 0;
    for (const spare of SPARE) {
      if (queue.isEmpty()) terms.push(Buffer.alloc(SIZE, 7));
      const child = spawnSync(process.execPath, ["-e", program(take, raw), path, String(spare)], {
        encoding: "utf8",
      });
      const outcome = `${child.status} ${child.stdout.trim()}`;
      expect(outcome, `${name}, ${spare} MiB: ${child.stderr}`).toMatch(/^0 (RangeError|EmmapError|\d+)$/);
      const got = /^0 \d/.test(outcome);
      if (!got) failed++;
      const stays = !got || name === "iteration" || name === "peek";
      expect(queue.length(), `${name}, ${spare} MiB: ${outcome}`).toBe(stays ? 1 : 0);
    }
    expect(failed).toBeGreaterThan(0);
    expect(failed).toBeLessThan(SPARE.length);
  });
});

test("popMany removes nothing before it has decoded all", { timeout: 60_000 }, () => {
  const path = freshPath();
  using queue = openQueue(path);
  for (let i = 0; i < 200; i++) queue.push(Array.from({ length: 60_000 }, () => 300));
  const popAll = `
    const { openQueue } = require(${JSON.stringify(require.resolve("../dist/index.js"))});
    openQueue(process.argv[1], { maxInflatedSize: 2 ** 40 }).popMany(200);`;
  const child = spawnSync(process.execPath, ["--max-old-space-size=32", "-e", popAll, path]);
  expect([child.status, child.signal]).not.toEqual([0, null]);
  expect(String(child.stderr)).toMatch(/heap out of memory/);
  expect(queue.length()).toBe(200);
});
