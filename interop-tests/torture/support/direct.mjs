// Touches the memory of a file directly, in this thread and in as many workers as it is told, until the file faults.
// The answer to a line `PATH DIRECT`, where DIRECT is yes or no, is `ok` and how often memory was touched.
import { createHash } from "node:crypto";
import { closeSync, openSync, writeSync } from "node:fs";
import { createInterface } from "node:readline";
import { promisify } from "node:util";
import { isMainThread, parentPort, Worker, workerData } from "node:worker_threads";
import { deflateRaw } from "node:zlib";
import { open } from "emmap";

const PAGE = 4096;
const WORDS = PAGE / 8;

/** Ways to read and write memory, with compiled code and without; each a page at a time. */
const TOUCHES = [
  (bytes, _, page) => bytes[page * PAGE + 100],
  (bytes, _, page) => {
    bytes[page * PAGE + 101] = page;
  },
  (_, words, page) => Atomics.add(words, page * WORDS + 3, 1n),
  (_, words, page) => words[page * WORDS + 4]++,
  (bytes, _, page) => bytes.readDoubleLE(page * PAGE + 40),
  (bytes, _, page) => bytes.fill(7, page * PAGE + 200, page * PAGE + 300),
  (bytes, _, page) => bytes.subarray(page * PAGE, (page + 1) * PAGE).indexOf("nowhere"),
  (bytes, _, page) => bytes.toString("latin1", page * PAGE, (page + 1) * PAGE),
  (bytes, _, page) => Buffer.from(bytes.subarray(page * PAGE, (page + 1) * PAGE)),
  (bytes, _, page) => bytes.copy(bytes, page * PAGE + 400, page * PAGE + 500, page * PAGE + 600),
  (bytes, _, page) =>
    bytes.compare(bytes, page * PAGE, page * PAGE + 50, page * PAGE + 50, page * PAGE + 100),
  (bytes, _, page) =>
    createHash("md5")
      .update(bytes.subarray(page * PAGE, (page + 1) * PAGE))
      .digest(),
];

const codeOf = (call) => {
  try {
    call();
    return undefined;
  } catch (error) {
    return error.code;
  }
};

function demand(what, condition) {
  if (!condition) throw new Error(`not so: ${what}`);
}

async function touchUntilFault(path, direct, thread) {
  const file = open(path, { write: true, direct });
  const bytes = file.view();
  const words = file.bigInt64Array();
  const pages = bytes.length / PAGE;
  const sink = openSync(`${path}.copy`, "w");
  const other = open("", { anon: true, write: true, size: bytes.length });
  let touched = 0;
  const pass = async () => {
    for (const touch of TOUCHES) for (let page = 0; page < pages; page++) touch(bytes, words, page);
    touched += TOUCHES.length * pages;
    // The kernel itself meets the lost page: an error, and no signal.
    const code = codeOf(() => writeSync(sink, bytes, 0, bytes.length, 0));
    demand(`writing a view is fine or EFAULT, not ${code}`, code === undefined || code === "EFAULT");
    // A fault of one file in the middle of a write to another.
    other.pwrite(0, bytes);
    // In a thread that the core has never seen.
    await promisify(deflateRaw)(bytes, { level: 1 });
    // The process that truncates waits for this.
    Atomics.add(words, thread, 1n);
  };
  const faulted = () => codeOf(() => file.pread(0, 1));
  while (faulted() === undefined) await pass();
  for (let i = 0; i < 3; i++) await pass();
  demand("the file is EFAULT", faulted() === "EFAULT");
  demand("an atomic is EFAULT", codeOf(() => file.add(8, 1)) === "EFAULT");
  demand("a view is EFAULT", codeOf(() => file.view()) === "EFAULT");
  file.close();
  demand("a view's length after close", bytes.length === (direct ? pages * PAGE : 0));
  if (direct) await pass();
  closeSync(sink);
  other.close();
  return touched;
}

if (isMainThread) {
  const workers = Number(process.argv[2]);
  for await (const line of createInterface({ input: process.stdin })) {
    const [path, direct] = line.split(" ");
    const others = Array.from({ length: workers }, (_, i) => {
      const data = { path, direct: direct === "yes", thread: i + 1 };
      const worker = new Worker(new URL(import.meta.url), { workerData: data });
      return new Promise((resolve, reject) => {
        worker.on("message", resolve);
        worker.on("error", reject);
      });
    });
    const each = await Promise.all([touchUntilFault(path, direct === "yes", 0), ...others]);
    const touched = each.reduce((sum, one) => sum + one, 0);
    console.log(`ok ${touched}`);
  }
} else {
  parentPort.postMessage(await touchUntilFault(workerData.path, workerData.direct, workerData.thread));
}
