// A file system becomes read-only: operations that write are refused, and operations that only read work.
import { readFileSync } from "node:fs";
import { examineAll } from "../support/examination.mjs";
import { makeReadOnly, onDisk, requireMounts, seenBy } from "../support/mounts.mjs";
import { withFolder } from "../support/processes.mjs";

export const title = "making the file system read-only";
export const shortSeconds = 0;

const DISK = 1 << 20;
const REFUSED = "error erofs";

export function run(how) {
  return withFolder(async (folder) => {
    requireMounts(folder);
    return examineAll(
      "a read-only file system",
      how,
      () => ({ wrapper: onDisk(folder, DISK) }),
      (examination) => readOnly(examination, folder),
    );
  });
}

async function readOnly(examination, folder) {
  const { testee } = examination;
  const path = (name) => `${folder}/${name}`;
  /** Each file, with the operations that fill it, and those that read it. */
  const files = [
    [
      "file",
      `open f ${path("file")} write create shared size=64`,
      "pwrite f 0 abcd",
      "pread f 0 2",
      "ok abcd",
    ],
    ["counters", `counters_open f ${path("counters")} 4`, "counter_set f 2 7", "counter_get f 2", "ok 7"],
    [
      "queue",
      `queue_open f ${path("queue")}`,
      `queue_push f ${"ab".repeat(8)}`,
      "queue_peek_front f",
      `ok ${"ab".repeat(8)}`,
    ],
    [
      "blocks",
      `blocks_open f ${path("blocks")} 4 3`,
      "block_store f 01020304",
      "block_read f 0",
      "ok 01020304",
    ],
  ];
  for (const [, open, write] of files) {
    await examination.fine(open);
    await examination.fine(write);
    await examination.fine("close f", "ok");
  }
  const contents = () => files.map(([name]) => readFileSync(seenBy(testee.pid, path(name))));
  const before = contents();
  makeReadOnly(testee.pid, folder);

  for (const [name, open, write, read, answer] of files) {
    await examination.fault(open, REFUSED);
    await examination.fault(open.replace(path(name), path(`${name}-to-be`)), REFUSED);
    const reading = open.replace(/ write create| size=\d+/g, "");
    await examination.fine(`${reading} read`);
    await examination.fine(read, answer);
    await examination.fault(write, "error eacces");
    await examination.fine("sync f", "ok");
    await examination.fine("close f", "ok");
  }
  contents().forEach((bytes, i) => {
    if (!bytes.equals(before[i])) examination.lose(`${files[i][0]} has changed`);
  });
}
