import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";

const demo = join(__dirname, "../build/examples/demo/run.mjs");

test("the demo ends well when both runtimes agree, and prints plain lines where there is no terminal", () => {
  const { status, stdout } = spawnSync(process.execPath, [demo], { encoding: "utf8" });
  expect(stdout).toContain("Both runtimes agree.");
  expect(stdout).toMatch(/BEAM \(process \d+\) {2}added +60,000/);
  expect(stdout).not.toContain("\x1b[");
  expect(status).toBe(0);
});

test("the demo fails when one runtime can't do its part", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [demo], {
    encoding: "utf8",
    env: { ...process.env, PATH: "/nonexistent" },
  });
  expect(stderr).toContain("escript");
  expect(stdout).toContain("The runtimes do not agree.");
  expect(status).toBe(1);
});
