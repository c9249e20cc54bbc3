// How long the command takes to start, beside Node itself; and what `top` takes of a core while it watches 1,000 files.
//
//   npm run build && node bench/node/command.mjs [--quick]
//
// Each round starts `node -e 0` and a verb, in turn. The ratio is that of the shortest times, since other work of the machine only
// makes a start longer.
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openQueue } from "../../dist/index.mjs";
import { section } from "../harness/records.mjs";

const records = section("The command");

const command = fileURLToPath(new URL("../../dist/cli/emmap.js", import.meta.url));
const QUICK = process.argv.includes("--quick");
const ROUNDS = QUICK ? 3 : 40;
const LIMIT = { limit: "at most 1.5" };

const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
openQueue(join(folder, "jobs.q")).close();

function time(...args) {
  const begin = performance.now();
  const { status } = spawnSync(process.execPath, args, { cwd: folder, stdio: "ignore" });
  if (status !== 0) throw new Error(`${args.join(" ")} ended with ${status}`);
  return performance.now() - begin;
}

const verbs = [["--version"], ["--help"], ["ls"], ["info", "jobs.q"], ["queue", "jobs.q"]];
const shortest = new Map(verbs.map((verb) => [verb, Number.POSITIVE_INFINITY]));
let bare = Number.POSITIVE_INFINITY;
for (let round = 0; round < ROUNDS; round++) {
  bare = Math.min(bare, time("-e", "0"));
  for (const verb of verbs) shortest.set(verb, Math.min(shortest.get(verb), time(command, ...verb)));
}
for (const [verb, ms] of shortest)
  records.ratio(`start of emmap ${verb.join(" ")}`, ms / bare, "node -e 0", verb.length > 1 ? {} : LIMIT);

const FILES = 1000;
const many = join(folder, "many");
mkdirSync(many);
for (let i = 0; i < FILES; i++) openQueue(join(many, `${i}.q`)).close();
const top = spawn(process.execPath, [command, "top", "--json", "--watch", "2", many], {
  stdio: ["ignore", "pipe", "inherit"],
});
/** The processor time of the process so far, in seconds. */
function worked() {
  const fields = readFileSync(`/proc/${top.pid}/stat`, "latin1").split(") ")[1].split(" ");
  return (Number(fields[11]) + Number(fields[12])) / 100;
}
top.stdout.resume();
await once(top.stdout, "data");
const [before, begin] = [worked(), performance.now()];
await sleep(QUICK ? 4000 : 60_000);
const share = (worked() - before) / ((performance.now() - begin) / 1000);
top.kill();
records.ratio("top of 1,000 files, every two seconds", share / 0.02, "2 % of a core", { limit: "at most 1" });
