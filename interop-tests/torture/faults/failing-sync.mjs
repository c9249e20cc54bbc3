// A disk that can't write: every sync reports that the bytes are not safe.
import { rmSync, statSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "../support/compile.mjs";
import { examineAll } from "../support/examination.mjs";
import { withFolder } from "../support/processes.mjs";

export const title = "a disk that fails to write out";
export const shortSeconds = 0;

const source = fileURLToPath(new URL("../support/failing_sync.c", import.meta.url));

/** The system calls that fail, each with the operation that makes it. */
const FAILING = [
  ["msync", "sync"],
  ["msync", "datasync"],
  ["fsync", "sync"],
  ["fdatasync", "datasync"],
  ["fsync_directory", "sync"],
  ["sync_file_range", "flush"],
];
const ERRORS = ["EIO", "ENOSPC", "EDQUOT"];

const OPENERS = {
  file: (path) => `open f ${path} write create shared size=64`,
  counters: (path) => `counters_open f ${path} 8`,
  queue: (path) => `queue_open f ${path}`,
  blocks: (path) => `blocks_open f ${path} 8 0`,
};

export const run = (how) =>
  withFolder((folder) => {
    const orders = join(folder, "orders");
    const library = compile("failing_sync.so", [source], "-shared", "-fPIC", "-ldl");
    const environment = { LD_PRELOAD: library, EMMAP_FAILING_SYNC: orders };
    return examineAll(
      "a disk that fails to write out",
      how,
      () => ({ environment }),
      (examination) => failEach(examination, folder, orders),
    );
  });

async function failEach(examination, folder, orders) {
  const path = join(folder, "file");
  const hits = `${orders}.hits`;
  for (const opener of Object.values(OPENERS))
    for (const [call, operation] of FAILING)
      for (const error of ERRORS) {
        const expected = `error ${error.toLowerCase()}`;
        await examination.fine(opener(path));
        writeFileSync(orders, `${call} ${constants.errno[error]}`);
        await examination.fault(`${operation} f`, expected);
        if (statSync(hits, { throwIfNoEntry: false })?.size !== 1)
          examination.lose(`${call} has not failed once`);
        rmSync(orders);
        rmSync(hits, { force: true });
        // The kernel reports it once, and may have dropped the bytes that it could not write.
        if (operation !== "flush")
          for (const later of ["sync", "datasync"]) await examination.fault(`${later} f`, expected);
        await examination.fine("close f", "ok");
        await examination.fine(opener(path));
        for (const again of ["flush", "datasync", "sync"]) await examination.fine(`${again} f`, "ok");
        await examination.fine("close f", "ok");
        rmSync(path);
      }
}
