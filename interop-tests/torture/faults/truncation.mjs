// This process truncates a file while a testee is in the middle of thousands of operations on it.
import { readFileSync, rmSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { DOORS, Testee } from "../support/testee.mjs";

export const title = "truncating a file under reads, writes, atomics, counters, queues and blocks";
export const shortSeconds = 1;

const SIZE = 262_144;
const PAGE = 4096;
/** Operations under each truncation. */
const BATCH = 2500;
/** The least number of truncations at each door, in `make test` and otherwise. */
const FEW = 25_000;
const MANY = 100_000;

const data = (length) => "a5".repeat(length);

/** For each kind of file: how to open it, the operations on it, and the sizes to which it may be cut. */
const KINDS = {
  bytes: {
    open: (path) => `open f ${path} write create shared size=${SIZE}`,
    cut: (random) => random(SIZE / 2),
    operations: [
      (random) => `pread f ${random(SIZE)} ${1 + random(300)}`,
      // Copies this long take another way through the core.
      (random) => `pread f ${random(SIZE / 2)} ${random(40) ? 10 : 70_000}`,
      (random) => `pwrite f ${random(SIZE - 300)} ${data(1 + random(300))}`,
      (random) => `position f ${random(SIZE)} bof`,
      () => "read f 100",
      // An unwritten file is one long line.
      (random) => (random(40) ? "read f 50" : "read_line f"),
    ],
  },
  words: {
    open: (path) => `open f ${path} write create shared size=${SIZE}`,
    cut: (random) => random(SIZE / 2),
    operations: [
      ...["add", "sub", "and", "or", "xor", "exchange"].map(
        (name) => (random) => `patomic_${name} f ${8 * random(SIZE / 8)} ${random(1000)}`,
      ),
      (random) => `patomic_compare_exchange f ${8 * random(SIZE / 8)} 0 1`,
      (random) => `patomic_load f ${8 * random(SIZE / 8)}`,
    ],
  },
  counters: {
    open: (path) => `counters_open f ${path} ${SIZE / 8}`,
    cut: (random) => random(SIZE / 2),
    operations: [
      (random) => `counter_add f ${random(SIZE / 8)} 1`,
      (random) => `counter_get f ${random(SIZE / 8)}`,
      (random) => `counter_set f ${random(SIZE / 8)} 7`,
    ],
  },
  queue: {
    open: (path) => `queue_open f ${path} size=${SIZE}`,
    // The kernel reports only whole pages. With half a page cut off, a message would become zeros.
    cut: (random) => PAGE * random(16),
    operations: [
      (random) => `queue_push f ${data(1 + random(900))}`,
      (random) => `queue_push f ${data(1 + random(900))}`,
      (random) => `queue_push_many f ${data(1 + random(90))} ${data(1 + random(90))}`,
      () => "queue_pop f",
      () => "queue_pop_many f 3",
      () => "queue_peek_front f",
      () => "queue_peek_back f",
      () => "queue_is_empty f",
      () => "queue_info f",
      (random) => (random(20) ? "queue_length f" : "queue_purge f"),
    ],
  },
  blocks: {
    open: (path) => `blocks_open f ${path} 200 3 size=${SIZE}`,
    cut: (random) => PAGE * random(8),
    operations: [
      () => `block_store f ${data(200)}`,
      () => `block_store_many f ${data(200)} ${data(200)}`,
      (random) => `block_read f ${random(200)}`,
      (random) => `block_free f ${random(200)}`,
      (random) => `block_free f ${random(200)}`,
      (random) => (random(20) ? "blocks_info f" : "blocks_count f"),
    ],
  },
};

/** The answers of an operation on a file that is whole, or was whole when the operation checked it. */
const VALUE = /^(ok\b|eof$|error enoent$)/;
const isFault = (answer) => answer === "error efault";
const isValue = (answer) => answer === "value";
/** Sends all requests at once, and sorts the answers by their meaning. */
const askAll = (testee, requests) =>
  testee.askAll(requests).map(async (answered) => {
    const answer = await answered;
    return VALUE.test(answer) ? "value" : answer;
  });
/** These operations answer from the handle, and do not access the file. */
const KNOWN = /^blocks_info/;

/** One file's life: the number of operations on it, and the wrong answers among them. */
async function truncateOnce(testee, path, kind, random) {
  const { open, cut, operations } = KINDS[kind];
  const some = (count) => Array.from({ length: count }, () => operations[random(operations.length)](random));
  await testee.must(open(path));
  const { size } = statSync(path);
  const requests = some(BATCH);
  const answered = askAll(testee, requests);
  await answered[100 + random(BATCH - 600)];
  truncateSync(path, cut(random));
  const answers = await Promise.all(answered);
  // If all requests were below the cut, more requests follow, because the fault has to happen.
  while (!answers.some(isFault)) {
    const more = some(100);
    requests.push(...more);
    answers.push(...(await Promise.all(askAll(testee, more))));
    if (answers.length > 50 * BATCH) throw new Error(`${kind}: no fault in ${answers.length} operations`);
  }
  const first = answers.findIndex(isFault);

  truncateSync(path, 0);
  truncateSync(path, size);
  const late = some(50);
  requests.push(...late);
  answers.push(...(await Promise.all(askAll(testee, late))));
  const wrong = answers.flatMap((answer, i) =>
    (i < first ? isValue(answer) : isFault(answer) || KNOWN.test(requests[i]))
      ? []
      : [`${requests[i].slice(0, 60)}: ${answer}`],
  );
  if (!readFileSync(path).equals(Buffer.alloc(size)))
    wrong.push(`${kind}: a faulted file has changed the one that grew again`);

  await testee.must("close f", /^ok$/);
  await testee.must(open(path));
  const [again] = await Promise.all(askAll(testee, some(1)));
  if (!isValue(again)) wrong.push(`${kind}, opened anew: ${again}`);
  await testee.must("close f", /^ok$/);
  rmSync(path);
  return { operations: answers.length, wrong };
}

async function torture(door, folder, seconds, say) {
  const random = randomNumbers(1);
  const end = Date.now() + (1000 * seconds) / Object.keys(DOORS).length;
  const least = seconds > shortSeconds ? MANY : FEW;
  const kinds = Object.keys(KINDS);
  let hits = 0;
  let operations = 0;
  const wrong = [];
  const testee = new Testee(door);
  do {
    const one = await truncateOnce(testee, join(folder, `file-${hits}`), kinds[hits % kinds.length], random);
    operations += one.operations;
    wrong.push(...one.wrong);
    hits++;
  } while (operations < least || Date.now() < end);
  const how = await testee.finish();
  if (how !== 0) wrong.push(`the testee ended with ${how}`);
  say(`${DOORS[door]}: ${hits} truncations during ${operations} operations`);
  for (const line of wrong.slice(0, 20)) say(`${DOORS[door]}: ${line}`);
  return {
    fault: "truncation under operations",
    runtime: DOORS[door],
    hits,
    survived: wrong.length === 0 ? hits : 0,
    lost: wrong.length,
    worstWaitMs: null,
  };
}

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const rows = [];
    for (const door of Object.keys(DOORS)) rows.push(await torture(door, folder, seconds, say));
    return rows;
  });
}
