import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openQueue } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

test("a program that a killed process had started keeps no lock of its files", async () => {
  const path = freshPath();
  const parent = spawn(
    process.execPath,
    [
      "-e",
      `const queue = require(${PACKAGE}).openQueue(${JSON.stringify(path)}, { exclusive: true });
       queue.push("first");
       const child = require("node:child_process").spawn("sleep", ["1000"], { detached: true, stdio: "ignore" });
       console.log(child.pid);`,
    ],
    { stdio: ["ignore", "pipe", "inherit"] },
  );
  const exit = once(parent, "exit");
  const [line] = await once(parent.stdout, "data");
  const child = Number(line);
  onTestFinished(() => void process.kill(child, "SIGKILL"));
  expect(thrownBy(() => openQueue(path))).toMatchObject({ code: "EBUSY" });
  parent.kill("SIGKILL");
  await exit;
  expect(process.kill(child, 0)).toBe(true);
  using queue = openQueue(path, { exclusive: true });
  expect(String(queue.pop())).toBe("first");
});

test("a process that starts others while it works loses none of its locks", async () => {
  using queue = openQueue(freshPath(), { exclusive: true });
  const started = Array.from({ length: 20 }, () => {
    queue.push("before");
    const exit = once(spawn("true", { stdio: "ignore" }), "exit");
    queue.push("after");
    return exit;
  });
  await Promise.all(started);
  expect(queue.length).toBe(40);
  expect(thrownBy(() => openQueue(queue.path))).toMatchObject({ code: "EBUSY" });
});
