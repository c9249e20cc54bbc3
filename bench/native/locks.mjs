// The cost of excluding other processes: the lock word of the live folder beside a kernel's lock, without contention.
//
//   node bench/native/locks.mjs [--quick]

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { folder } from "../harness/folder.mjs";
import { compile, coreLibrary } from "../harness/native.mjs";
import { section } from "../harness/records.mjs";
import { QUICK } from "../harness/rounds.mjs";

const here = import.meta.dirname;
const records = section("Locks between processes");
const COUNT = QUICK ? 10_000 : 1_000_000;
const ROUNDS = QUICK ? 1 : 11;

/** Returns a function that runs a program of this folder and returns nanoseconds. */
function measured(name, ...libraries) {
  const program = compile(join(here, `${name}.c`), ...libraries);
  const file = join(folder, `${name}.file`);
  return () => Number(execFileSync(program, [file, String(COUNT)], { encoding: "utf8" }));
}

const kernel = measured("lock_pair");
const live = measured("live_lock", coreLibrary());

const ratios = Array.from({ length: ROUNDS }, () => live() / kernel()).toSorted((a, b) => a - b);
records.ratio(
  "lock + unlock in the core, uncontended",
  ratios[ROUNDS >> 1],
  "lock + unlock in the kernel (F_OFD_SETLK)",
  {
    // 40 ns beside 417, as measured when it was decided.
    limit: "at most 0.096",
  },
);
