// Another process punches holes into a file in use. The lost bytes read as zeros, which is no fault of the memory. They may
// damage a queue or storage; then the answer says so.
import { execFileSync } from "node:child_process";
import { rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { examineAll } from "../support/examination.mjs";
import { withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { NotPossible } from "../support/report.mjs";

export const title = "punching holes into files in use";
export const shortSeconds = 0;

const PAGE = 4096;
const PAGES = 16;
const SIZE = PAGES * PAGE;

function punch(path, from, length) {
  execFileSync("fallocate", ["--punch-hole", "--offset", String(from), "--length", String(length), path]);
}

function requireHoles(folder) {
  const path = join(folder, "probe");
  writeFileSync(path, Buffer.alloc(SIZE));
  try {
    punch(path, 0, PAGE);
  } catch {
    throw new NotPossible(`the file system of ${folder} has no holes to be punched`);
  }
}

export const run = (how) => {
  const random = randomNumbers(3);
  return withFolder(async (folder) => {
    requireHoles(folder);
    return examineAll(
      "a hole in a file in use",
      how,
      () => ({}),
      async (examination) => {
        await plain(examination, join(folder, "file"), random);
        await counters(examination, join(folder, "counters"));
        await queue(examination, join(folder, "queue"), random);
        await blocks(examination, join(folder, "blocks"), random);
      },
    );
  });
};

async function plain(examination, path, random) {
  await examination.fine(`open f ${path} write create shared size=${SIZE}`);
  const page = random(PAGES);
  const filling = Array.from({ length: PAGES }, (_, i) => `pwrite f ${i * PAGE} ${"11".repeat(PAGE)}`);
  await Promise.all(examination.testee.askAll(filling));
  punch(path, page * PAGE, PAGE);
  await examination.fault(`pread f ${page * PAGE} 8`, `ok ${"00".repeat(8)}`);
  await examination.fault(`patomic_add f ${page * PAGE + 8} 5`, "ok 0");
  await examination.fault(`patomic_load f ${page * PAGE + 8}`, "ok 5");
  await examination.fault(`pwrite f ${page * PAGE} ${"22".repeat(PAGE)}`, "ok");
  await examination.fine(`pread f ${page * PAGE} 4`, "ok 22222222");
  await examination.fine(`pread f ${((page + 1) % PAGES) * PAGE} 4`, "ok 11111111");
  await examination.fine("sync f", "ok");
  await examination.fine("close f", "ok");
  rmSync(path);
}

async function counters(examination, path) {
  await examination.fine(`counters_open f ${path} ${SIZE / 8}`);
  const index = PAGE;
  await examination.fine(`counter_set f ${index} 7`);
  punch(path, 8 * index - PAGE, 3 * PAGE);
  await examination.fault(`counter_add f ${index} 1`, "ok 0");
  await examination.fault(`counter_get f ${index}`, "ok 1");
  await examination.fine("close f", "ok");
  rmSync(path);
}

/** The right answers: values, or the error of a damaged structure; of a walk also that it has lost its place. */
const BROKEN = /^(ok\b|eof$|error (corrupt \d+|enoent|full|estale)$)/;

async function structure(examination, requests) {
  for (const request of requests) await examination.fault(request, BROKEN);
}

async function queue(examination, path, random) {
  for (let round = 0; round < 8; round++) {
    await examination.fine(`queue_open f ${path} size=${SIZE}`);
    for (let i = 0; i < 40; i++) await examination.fine(`queue_push f ${"33".repeat(800)}`, "ok");
    punch(path, random(8) * PAGE, PAGE * (1 + random(3)));
    const operations = [
      "queue_pop f",
      "queue_length f",
      "queue_peek_back f",
      `queue_push f ${"44".repeat(9000)}`,
    ];
    await structure(examination, [
      ...operations,
      "queue_walk f forward",
      "queue_walk f backward",
      ...operations,
    ]);
    await structure(examination, [
      "queue_erase f",
      `queue_push f ${"55".repeat(16)}`,
      "queue_pop f",
      "close f",
    ]);
    rmSync(path);
  }
}

async function blocks(examination, path, random) {
  for (let round = 0; round < 8; round++) {
    await examination.fine(`blocks_open f ${path} 400 0 size=${SIZE}`);
    for (let i = 0; i < 100; i++) await examination.fine(`block_store f ${"66".repeat(400)}`);
    punch(path, random(8) * PAGE, PAGE * (1 + random(3)));
    const address = random(100);
    const operations = [
      `block_read f ${address}`,
      `block_store f ${"77".repeat(400)}`,
      `block_free f ${address}`,
    ];
    await structure(examination, [
      ...operations,
      "blocks_count f",
      "blocks_walk f",
      "blocks_repair f 0",
      ...operations,
    ]);
    await structure(examination, ["blocks_count f", "close f"]);
    rmSync(path);
  }
}
