// What waiting costs a push for which nobody waits: beside a push of the same core, compiled without waiting.
//
//   node bench/native/push.mjs [--quick]
//
// The other push is queue_push.c with no_waiting.h: it does not look for a word that says that somebody waits.

import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { folder } from "../harness/folder.mjs";
import { compile, compileOfCore, coreLibrary } from "../harness/native.mjs";
import { section } from "../harness/records.mjs";
import { median, QUICK } from "../harness/rounds.mjs";

const here = import.meta.dirname;
const COUNT = QUICK ? 10_000 : 300_000;
const ROUNDS = QUICK ? 1 : 31;

const library = coreLibrary();
const source = join(here, "push.c");
const without = compileOfCore(
  "queue_push.c",
  "-include",
  join(here, "no_waiting.h"),
  "-Demi_queue_waited=no_queue_waited",
);
const nanoseconds = (program) =>
  Number(execFileSync(program, [join(folder, "pushed"), String(COUNT)], { encoding: "utf8" }));
const waiting = compile(source, library);
const bare = compile(source, without, library);

section("Waiting").ratio(
  "push in the core, nobody waits",
  median(Array.from({ length: ROUNDS }, () => nanoseconds(waiting) / nanoseconds(bare))),
  "a push of the same core, compiled without waiting",
  { limit: "at most 1.03" },
);
