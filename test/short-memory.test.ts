// Reads with memory for some of their copies and not for all. Each test runs in a process with a limit of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));
const SIZE = 200 * 2 ** 20;

/** The end of the process, and its output: the number of bytes read, or the error's code. */
async function run(
  prepare: string,
  read: string,
  spare: number,
): Promise<{ printed: string; ended: number | string | null }> {
  const code = `
    const { open, openBlockStorage, openQueue } = require(${PACKAGE});
    const { execFileSync } = require("node:child_process");
    const { readFileSync } = require("node:fs");
    const path = process.env.FILE_PATH;
    const SIZE = ${SIZE};
    ${prepare}
    const used = Number(/VmSize:\\s+(\\d+)/.exec(readFileSync("/proc/self/status", "latin1"))[1]) * 1024;
    execFileSync("prlimit", ["--pid", String(process.pid), "--as=" + (used + ${spare} * 2 ** 20)]);
    let answer;
    try {
      answer = (${read}).length;
    } catch (error) {
      answer = error.code ?? error;
    }
    console.log(answer);`;
  const child = spawn(process.execPath, ["-e", code], {
    env: { ...process.env, FILE_PATH: freshPath(), NODE_OPTIONS: "" },
    stdio: ["ignore", "pipe", "ignore"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ printed: printed.trim(), ended: signal ?? status }));
  });
}

const OPEN = "const file = open(path, { write: true, create: true, noreserve: true, size: SIZE });";
const BLOCKS = `const blocks = openBlockStorage(path, { blockSize: SIZE, levels: 2 });
  const address = blocks.store(Buffer.alloc(SIZE));`;

test.each([
  ["pread", OPEN, "file.pread(0, SIZE)"],
  ["pread, mapped", `${OPEN} file.load(0);`, "file.pread(0, SIZE)"],
  ["read", OPEN, "file.read(SIZE)"],
  ["readLine", OPEN, "file.readLine()"],
  ["blocks.read", BLOCKS, "blocks.read(address)"],
  ["blocks.entries", BLOCKS, "blocks.entries().next().value[1]"],
])(
  "%s answers ENOMEM or all of it, and the process goes on",
  { timeout: 60_000 },
  async (_, prepare, read) => {
    for (const spare of [70, 210, 250, 300, 390, 420, 500]) {
      const { printed, ended } = await run(prepare, read, spare);
      expect(ended, `${spare} MiB to spare`).toBe(0);
      expect(["ENOMEM", String(SIZE)], `${spare} MiB to spare`).toContain(printed);
    }
  },
);

test.each(["file.read(SIZE)", "file.readLine()"])(
  "%s without memory leaves the cursor where it is",
  async (read) => {
    const { printed, ended } = await run(
      OPEN,
      `(() => { try { ${read}; } catch {} return { length: file.position(0, "cur") }; })()`,
      70,
    );
    expect({ printed, ended }).toEqual({ printed: "0", ended: 0 });
  },
);
