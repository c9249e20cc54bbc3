// Signals of faults in other memory than emmap's, together with emmap's own. Each test runs in a process of its own.
import { spawn } from "node:child_process";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

// A module with a page of memory, and a function that loads the word at an address.
const LOADER = "0061736d0100000001060160017f017f030201000503010001070801046c6f616400000a0901070020002802000b";

/** The process's output, and the status or signal of its end. */
async function run(body: string): Promise<{ printed: string; ended: number | string | null }> {
  const code = `
    const { open } = require(${PACKAGE});
    const { truncateSync } = require("node:fs");
    const { Worker } = require("node:worker_threads");
    const path = process.env.FILE_PATH;
    /** A file that another process truncates, and the result of reading it then. */
    function fault(name = path) {
      const file = open(name, { write: true, create: true, size: 65536 });
      truncateSync(name, 100);
      try {
        file.pread(32768, 1);
      } catch (error) {
        return error.code;
      } finally {
        file.close();
      }
    }
    const { load } = new WebAssembly.Instance(
      new WebAssembly.Module(Buffer.from("${LOADER}", "hex")),
    ).exports;
    /** The error of a load beyond the memory of WebAssembly. */
    function trap() {
      try {
        return load(65536 * 2);
      } catch (error) {
        return error instanceof WebAssembly.RuntimeError ? "trap" : error;
      }
    }
    ${body}`;
  const child = spawn(process.execPath, ["-e", code], {
    env: { ...process.env, FILE_PATH: freshPath(), NODE_OPTIONS: "" },
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  let printed = "";
  child.stdout.setEncoding("utf8").on("data", (text) => (printed += text));
  return new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve({ printed: printed.trim(), ended: signal ?? status }));
  });
}

test("WebAssembly traps as ever before faults, between them and after them", async () => {
  const { printed, ended } = await run(`
    const seen = [trap(), load(0)];
    for (let i = 0; i < 200; i++) seen.push(trap(), fault());
    seen.push(trap(), load(65532));
    const count = (what) => seen.filter((each) => each === what).length;
    console.log(count("trap"), count("EFAULT"), count(0), seen.length);`);
  expect({ printed, ended }).toEqual({ printed: "202 200 2 404", ended: 0 });
});

test("WebAssembly traps in one thread while another one faults", async () => {
  const { printed, ended } = await run(`
    const worker = new Worker(
      \`const { open } = require(${PACKAGE.replaceAll("\\", "\\\\")});
       const { truncateSync } = require("node:fs");
       const { parentPort } = require("node:worker_threads");
       let faults = 0;
       let over = false;
       parentPort.once("message", () => { over = true; parentPort.postMessage(faults); });
       const path = process.env.FILE_PATH;
       (function round() {
         const file = open(path, { write: true, create: true, size: 65536 });
         truncateSync(path, 100);
         try { file.pread(32768, 1); } catch (error) { if (error.code === "EFAULT") faults++; }
         file.close();
         if (faults === 20) parentPort.postMessage("at work");
         if (!over) setImmediate(round);
       })();\`,
      { eval: true },
    );
    worker.once("message", () => {
      let traps = 0;
      for (let i = 0; i < 3000; i++) if (trap() === "trap") traps++;
      worker.once("message", (faults) => console.log(traps, faults > 20 || faults));
      worker.postMessage("enough");
    });`);
  expect({ printed, ended }).toEqual({ printed: "3000 true", ended: 0 });
});

test("a listener for SIGBUS from before the first file still hears of signals that are sent, and of no fault", async () => {
  const { printed, ended } = await run(`
    let heard = 0;
    const waiting = setInterval(() => {}, 1000);
    process.on("SIGBUS", () => {
      heard++;
      console.log(heard, fault());
      clearInterval(waiting);
    });
    console.log(fault(), heard);
    process.kill(process.pid, "SIGBUS");`);
  expect({ printed, ended }).toEqual({ printed: "EFAULT 0\n1 EFAULT", ended: 0 });
});

test("a listener for SIGBUS from after the first file hears of signals that are sent", async () => {
  const { printed, ended } = await run(`
    console.log(fault());
    const waiting = setInterval(() => {}, 1000);
    process.on("SIGBUS", () => {
      console.log("heard");
      clearInterval(waiting);
    });
    process.kill(process.pid, "SIGBUS");`);
  expect({ printed, ended }).toEqual({ printed: "EFAULT\nheard", ended: 0 });
});

test("without a listener SIGBUS ends the process, as it always did", async () => {
  const { printed, ended } = await run(`
    console.log(fault());
    process.kill(process.pid, "SIGBUS");
    setInterval(() => {}, 1000);`);
  expect({ printed, ended }).toEqual({ printed: "EFAULT", ended: "SIGBUS" });
});

test.each([10, 100, 1000])(
  "%i files that another process truncates under their views read as zeros",
  async (files) => {
    const { printed, ended } = await run(`
    const { spawnSync } = require("node:child_process");
    const { mkdirSync } = require("node:fs");
    mkdirSync(path);
    const pages = 2100;
    const names = Array.from({ length: ${files} }, (_, each) => path + "/" + each);
    const views = names.map((name) => {
      const file = open(name, { write: true, create: true, noreserve: true, size: 4096 * pages });
      return file.view();
    });
    const cut = "const { truncateSync } = require('node:fs'); for (const name of process.argv.slice(1)) truncateSync(name, 100);";
    spawnSync(process.execPath, ["-e", cut, ...names], { stdio: "inherit" });
    let sum = 0;
    for (const view of views) for (let page = 1; page < pages; page += 2) sum += view[4096 * page];
    const { readFileSync } = require("node:fs");
    const mappings = readFileSync("/proc/self/maps", "latin1").split("\\n").length;
    console.log(views.length, sum, mappings < 30000);
    require("node:fs").rmSync(path, { recursive: true });`);
    expect({ printed, ended }).toEqual({ printed: `${files} 0 true`, ended: 0 });
  },
);
