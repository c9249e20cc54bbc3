// Limits of a process on the size of files, on descriptors and on address space. Each ends in an error, which leaves nothing.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { examineAll } from "../support/examination.mjs";
import { resourcesOf } from "../support/proc.mjs";
import { withFolder } from "../support/processes.mjs";

export const title = "limits on file size, descriptors and address space";
export const shortSeconds = 0;

const PAGE = 4096;
const GIGABYTE = 2 ** 30;

export const run = (how) =>
  withFolder((folder) =>
    examineAll(
      "limits of a process",
      how,
      () => ({}),
      async (examination) => {
        // The process that maps the files exists once a file is open.
        await examination.fine(`open first ${join(folder, "first")} write create shared size=8`);
        const mapper = examination.testee.mapper();
        await fileSize(examination, folder, mapper);
        await descriptors(examination, folder, mapper);
        await addressSpace(examination, folder, mapper);
        await examination.fine("patomic_add first 0 1");
        await examination.fine("close first", "ok");
      },
    ),
  );

/** Runs `body` while the process has this soft limit. */
async function limited(pid, name, value, body) {
  const limit = (to) => execFileSync("prlimit", ["--pid", String(pid), `--${name}=${to}:`]);
  limit(value);
  try {
    await body();
  } finally {
    // The hard limit stays as it was.
    const [, hard] = new RegExp(`^${LIMITS[name]}\\s+\\S+\\s+(\\S+)`, "m").exec(
      readFileSync(`/proc/${pid}/limits`, "utf8"),
    );
    limit(hard);
  }
}

const LIMITS = { fsize: "Max file size", nofile: "Max open files", as: "Max address space" };

/** As a fault that leaves the file as it is. */
async function inVain(examination, path, request, expected) {
  const before = readFileSync(path);
  await examination.fault(request, expected);
  if (!before.equals(readFileSync(path))) examination.lose(`${request.slice(0, 40)} has changed the file`);
}

/** The kernel would end a process that goes beyond it. */
async function fileSize(examination, folder, mapper) {
  const path = (name) => join(folder, name);
  const message = "ab".repeat(3000);
  await examination.fine(`open f ${path("file")} write create shared size=${2 * PAGE}`);
  await examination.fine(`queue_open q ${path("queue")} size=${2 * PAGE} max_inc_size=${PAGE}`);
  await examination.fine(`blocks_open b ${path("blocks")} 3000 0 size=${2 * PAGE} max_inc_size=${PAGE}`);
  await examination.fine(`queue_push q ${message}`, "ok");
  await examination.fine(`queue_push q ${message}`, "ok");
  let address = await examination.fine(`block_store b ${message}`);
  while (statSync(path("blocks")).size < 16 * PAGE)
    address = await examination.fine(`block_store b ${message}`);
  await limited(mapper, "fsize", 2 * PAGE, async () => {
    await inVain(examination, path("file"), `resize f ${2 * PAGE + 1}`, "error efbig");
    await inVain(examination, path("queue"), `queue_push q ${message}`, "error efbig");
    let answer = "ok";
    let before;
    for (let i = 0; answer.startsWith("ok") && i < 100; i++) {
      before = readFileSync(path("blocks"));
      answer = await examination.testee.ask(`block_store b ${message}`);
    }
    if (!before.equals(readFileSync(path("blocks")))) examination.lose("the storage has changed");
    await inVain(examination, path("blocks"), `block_store b ${message}`, "error efbig");
    await examination.fault(`open g ${path("no")} write create shared size=${2 * PAGE + 1}`, "error efbig");
    await examination.fault(`counters_open g ${path("no")} ${PAGE}`, "error efbig");
    await examination.fault(`queue_open g ${path("no")} size=${3 * PAGE}`, "error efbig");
    await examination.fault(`blocks_open g ${path("no")} 8 0 size=${3 * PAGE}`, "error efbig");
    if (existsSync(path("no"))) examination.lose("a file is there although it could not be made");
    await examination.fine("queue_peek_front q", `ok ${message}`);
    await examination.fine(`block_read b ${address.slice("ok ".length)}`, `ok ${message}`);
  });
  await examination.fine(`resize f ${3 * PAGE}`);
  await examination.fine(`queue_push q ${message}`, "ok");
  await examination.fine("queue_length q", "ok 3");
  await examination.fine(`block_store b ${message}`);
  for (const file of ["f", "q", "b"]) await examination.fine(`close ${file}`, "ok");
  for (const name of ["file", "queue", "blocks"]) rmSync(path(name));
}

async function descriptors(examination, folder, mapper) {
  const path = (name) => join(folder, name);
  await examination.fine(`queue_open q ${path("queue")} max_inc_size=${PAGE}`);
  const taken = new Set(readdirSync(`/proc/${mapper}/fd`).map(Number));
  let free = 0;
  while (taken.has(free)) free++;
  await limited(mapper, "nofile", free, async () => {
    for (const opener of [
      "open g P write create shared size=8",
      "counters_open g P 4",
      "queue_open g P",
      "blocks_open g P 8 0",
    ])
      await examination.fault(opener.replace("P", path("no")), "error emfile");
    await examination.fault(`open g - anon write size=8`, "error emfile");
    if (existsSync(path("no"))) examination.lose("a file is there although it could not be made");
    // An open file needs no more descriptors, even if it grows.
    await examination.fine(`queue_push q ${"ab".repeat(3 * PAGE)}`, "ok");
    await examination.fine("resize first 100", "ok 100");
    await examination.fine("resize first 8", "ok 8");
  });
  await examination.fine(`open g ${path("now")} write create shared size=8`);
  await examination.fine("queue_length q", "ok 1");
  for (const file of ["g", "q"]) await examination.fine(`close ${file}`, "ok");
  for (const name of ["queue", "now"]) rmSync(path(name));
}

async function addressSpace(examination, folder, mapper) {
  const path = (name) => join(folder, name);
  writeFileSync(path("large"), "x");
  truncateSync(path("large"), GIGABYTE);
  await examination.fine(`open f ${path("file")} write create shared noreserve size=${PAGE}`);
  await examination.fine("pwrite f 0 abcd", "ok");
  await limited(mapper, "as", resourcesOf(mapper).addressSpace + GIGABYTE / 8, async () => {
    await examination.fault(`open g ${path("large")} read shared`, "error enomem");
    for (const opener of [
      `open g ${path("no")} write create shared noreserve size=${GIGABYTE}`,
      `counters_open g ${path("no")} ${GIGABYTE / 8} noreserve`,
      `queue_open g ${path("no")} noreserve size=${GIGABYTE}`,
      `blocks_open g ${path("no")} 64 0 noreserve size=${GIGABYTE}`,
      `open g - anon write size=${GIGABYTE}`,
    ])
      await examination.fault(opener, "error enomem");
    if (existsSync(path("no"))) examination.lose("a file is there although it could not be made");
    await inVain(examination, path("file"), `resize f ${GIGABYTE}`, "error enomem");
    const longer = `open g ${path("file")} write shared noreserve size=${GIGABYTE}`;
    await inVain(examination, path("file"), longer, "error enomem");
    await examination.fine("pread f 0 2", "ok abcd");
    await examination.fine(`resize f ${2 * PAGE}`, `ok ${2 * PAGE}`);
  });
  await examination.fine(`open g ${path("large")} read shared`, `ok existed ${GIGABYTE}`);
  for (const file of ["f", "g"]) await examination.fine(`close ${file}`, "ok");
  for (const name of ["file", "large"]) rmSync(path(name));
}
