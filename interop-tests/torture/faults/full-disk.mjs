// A full disk: an operation that needs room is refused, and the files stay as they were.
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { examineAll } from "../support/examination.mjs";
import { onDisk, requireMounts, seenBy } from "../support/mounts.mjs";
import { withFolder } from "../support/processes.mjs";

export const title = "filling the disk";
export const shortSeconds = 0;

const DISK = 1 << 20;
const MUCH = 4 << 20;
const PAGE = 4096;
const FULL = "error enospc";

const message = (number, length) =>
  number
    .toString(16)
    .padStart(8, "0")
    .repeat(length / 4);

export function run(how) {
  return withFolder(async (folder) => {
    requireMounts(folder);
    return examineAll(
      "a full disk",
      how,
      () => ({ wrapper: onDisk(folder, DISK) }),
      (examination) => fill(examination, folder),
    );
  });
}

async function fill(examination, folder) {
  const { testee } = examination;
  // The first answer says that the disk is mounted and the runtime up.
  await examination.fine(`open f ${folder}/first write create shared size=8`);
  await examination.fine("close f", "ok");
  const disk = {
    path: (name) => `${folder}/${name}`,
    seen: (name) => seenBy(testee.pid, `${folder}/${name}`),
  };
  await create(examination, disk);
  await resize(examination, disk);
  await growQueue(examination, disk);
  await growStorage(examination, disk);
  await writeToHoles(examination, disk);
}

async function create(examination, { path, seen }) {
  const openers = {
    file: `open f ${path("file")} write create shared size=${MUCH}`,
    counters: `counters_open f ${path("counters")} ${MUCH / 8}`,
    queue: `queue_open f ${path("queue")} size=${MUCH}`,
    blocks: `blocks_open f ${path("blocks")} 64 0 size=${MUCH}`,
  };
  for (const [name, opener] of Object.entries(openers)) {
    await examination.fault(opener, FULL);
    if (existsSync(seen(name))) examination.lose(`${name} is there although it could not be made`);
  }
}

/** Does operations that hit the full disk, twice, and checks that the file stays as it was. */
async function inVain(examination, file, ...requests) {
  for (const request of requests) {
    const before = readFileSync(file);
    await examination.fault(request, FULL);
    if (!before.equals(readFileSync(file))) examination.lose(`${request.slice(0, 40)} has changed the file`);
  }
}

async function resize(examination, { path, seen }) {
  const size = 65_536;
  await examination.fine(`open f ${path("file")} write create shared size=${size}`);
  await examination.fine(`pwrite f 0 ${message(1, size)}`, "ok");
  await inVain(examination, seen("file"), `resize f ${MUCH}`, `resize f ${DISK}`);
  await inVain(examination, seen("file"), `open g ${path("file")} write create shared size=${MUCH}`);
  await examination.fine("size f", `ok ${size}`);
  await examination.fine(`pread f ${size - 8} 8`, `ok ${message(1, 8)}`);
  await examination.fine("close f", "ok");
  rmSync(seen("file"));
}

async function growQueue(examination, { path, seen }) {
  const { testee } = examination;
  const length = 8000;
  await examination.fine(`queue_open q ${path("queue")} size=${PAGE} max_inc_size=${PAGE}`);
  let pushed = 0;
  let answer = "ok";
  for (; answer === "ok" && pushed * length < 2 * DISK; pushed += answer === "ok" ? 1 : 0)
    answer = await testee.ask(`queue_push q ${message(pushed, length)}`);
  if (answer !== FULL)
    examination.lose(`a queue on a disk of ${DISK} bytes took ${pushed} messages: ${answer}`);
  const another = message(pushed, length);
  await inVain(
    examination,
    seen("queue"),
    `queue_push q ${another}`,
    `queue_push_many q ${another} ${another}`,
  );
  await examination.fine("queue_length q", `ok ${pushed}`);
  // Removing a message makes room in the file for another one.
  await examination.fine("queue_pop q", `ok ${message(0, length)}`);
  await examination.fine(`queue_push q ${another}`, "ok");
  for (let number = 1; number <= pushed; number++)
    await examination.fine("queue_pop q", `ok ${message(number, length)}`);
  await examination.fine("queue_pop q", "eof");
  await examination.fine("close q", "ok");
  rmSync(seen("queue"));
}

async function growStorage(examination, { path, seen }) {
  const { testee } = examination;
  const length = 2000;
  await examination.fine(`blocks_open b ${path("blocks")} ${length} 0 size=${PAGE} max_inc_size=${PAGE}`);
  const addresses = [];
  let answer;
  for (;;) {
    answer = await testee.ask(`block_store b ${message(addresses.length, length)}`);
    if (!answer.startsWith("ok ") || addresses.length * length > 2 * DISK) break;
    addresses.push(answer.slice("ok ".length));
  }
  if (answer !== FULL) examination.lose(`a storage took ${addresses.length} blocks: ${answer}`);
  const another = message(addresses.length, length);
  await inVain(
    examination,
    seen("blocks"),
    `block_store b ${another}`,
    `block_store_many b ${another} ${another}`,
  );
  await examination.fine("blocks_count b", `ok ${addresses.length}`);
  for (const [number, address] of addresses.entries())
    await examination.fine(`block_read b ${address}`, `ok ${message(number, length)}`);
  await examination.fine(`block_free b ${addresses[0]}`, "ok");
  await examination.fine(`block_store b ${another}`, `ok ${addresses[0]}`);
  await examination.fine("close b", "ok");
  rmSync(seen("blocks"));
}

/** Pages without reserved space: one that was never written, and one that was punched out. */
async function writeToHoles(examination, { path, seen }) {
  const size = 16 * PAGE;
  await examination.fine(`open sparse ${path("sparse")} write create shared noreserve size=${size}`);
  await examination.fine(`open f ${path("punched")} write create shared size=${size}`);
  await examination.fine(`pwrite f ${8 * PAGE} ${message(1, 100)}`, "ok");
  execFileSync("fallocate", [
    "--punch-hole",
    "--offset",
    `${8 * PAGE}`,
    "--length",
    `${PAGE}`,
    seen("punched"),
  ]);
  fillUp(seen("filler"));
  await examination.fault(`pwrite sparse ${8 * PAGE} ff`, "error efault");
  await examination.fault("pread sparse 0 1", "error efault");
  await examination.fine(`pread f ${7 * PAGE} 1`, "ok 00");
  await examination.fault(`patomic_add f ${8 * PAGE} 1`, "error efault");
  await examination.fault("pread f 0 1", "error efault");
  rmSync(seen("filler"));
  await examination.fault("pread f 0 1", "error efault");
  await examination.fine("close f", "ok");
  await examination.fine(`open f ${path("punched")} write create shared size=${size}`);
  await examination.fine(`pwrite f ${8 * PAGE} ${message(2, 100)}`, "ok");
  await examination.fine("close f", "ok");
  await examination.fine("close sparse", "ok");
  for (const name of ["sparse", "punched"]) rmSync(seen(name));
}

/** Takes the rest of the disk, to the last page. */
function fillUp(path) {
  for (const size of [PAGE * 16, PAGE]) {
    try {
      for (;;) writeFileSync(path, Buffer.alloc(size), { flag: "a" });
    } catch (error) {
      if (error.code !== "ENOSPC") throw error;
    }
  }
}
