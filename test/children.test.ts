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
  expect(queue.length()).toBe(40);
  expect(thrownBy(() => openQueue(queue.path))).toMatchObject({ code: "EBUSY" });
});

test.each([
  ["small files", "open(path, { write: true, create: true, size: 4096 })"],
  ["large files", "open(path, { write: true, create: true, noreserve: true, size: 2 ** 30 })"],
  ["queues", "openQueue(path)"],
])("%s that nobody closes are closed before descriptors run out", async (_, opened) => {
  const program = `
    const { open, openQueue } = require(${PACKAGE});
    const path = ${JSON.stringify(freshPath())};
    (async () => {
      for (let i = 0; i < 5000; i++) {
        ${opened};
        if (i % 50 === 0) await new Promise((resolve) => setImmediate(resolve));
      }
      console.log("opened all");
    })();`;
  const child = spawn("sh", ["-c", 'ulimit -n 1024; exec "$0" -e "$1"', process.execPath, program], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  let said = "";
  child.stdout.on("data", (text) => {
    said += text;
  });
  expect(await once(child, "close")).toEqual([0, null]);
  expect(said).toBe("opened all\n");
});
