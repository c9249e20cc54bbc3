// Counts the instructions of the core's hot paths, and compares them with the recorded counts.
//
//   make bench-instructions              compares; ends with status 1 if a path takes over a tenth more than recorded
//   make bench-instructions RECORD=1     records the counts in instructions.json
//
// Record only if you mean the new cost: read which paths take more or fewer instructions than before, and say so in the
// commit that has the new numbers. Do not record a number that you cannot explain. The counts are of one compiler. With
// another release, or on another architecture, nothing is compared.

import { spawnSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const root = join(here, "../..");
const recordedPath = join(here, "instructions.json");
/** The core, compiled as for the NIF and the port program. */
const core = join(root, "erlang/_build/default/lib/emmap/c_src/libemmap_core.a");
const TIMES = 1000;
const MORE = 1.1;

function run(command, args) {
  const { status, signal, error, stdout, stderr } = spawnSync(command, args, { encoding: "utf8" });
  if (status === 0) return stdout;
  throw new Error(`${command} ended with ${error ?? signal ?? status}\n${stderr ?? ""}`);
}

function compiler() {
  const name = /clang/.test(run("cc", ["--version"])) ? "clang" : "gcc";
  const [major] = run("cc", ["-dumpversion"]).trim().split(".");
  return `${name} ${major}, ${process.arch}`;
}

/** Instructions of one call of each hot path. */
function count(folder) {
  const program = join(folder, "instructions");
  const include = `-I${join(root, "native/include")}`;
  run("cc", [
    ..."-std=c11 -O2 -Wall -Wextra -Wpedantic -Werror -pthread".split(" "),
    ...[include, "-o", program, join(here, "instructions.c"), core],
  ]);
  const profile = join(folder, "profile");
  run("valgrind", [
    ...["--tool=callgrind", "--quiet", `--callgrind-out-file=${profile}`],
    ...[program, `${TIMES}`, folder],
  ]);
  const counts = {};
  for (const name of readdirSync(folder).filter((name) => name.startsWith("profile."))) {
    const text = readFileSync(join(folder, name), "utf8");
    const [, path] = /^desc: Trigger: Client Request: (.*)$/m.exec(text) ?? [];
    const [, all] = /^(?:totals|summary): (\d+)/m.exec(text) ?? [];
    if (path !== undefined) counts[path] = Math.round((Number(all) / TIMES) * 10) / 10;
  }
  return counts;
}

const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const now = { compiler: compiler(), instructions: count(folder) };
if (process.argv.includes("--record")) {
  writeFileSync(recordedPath, `${JSON.stringify(now, null, 2)}\n`);
  console.log(`recorded for ${now.compiler}: ${JSON.stringify(now.instructions)}`);
  process.exit(0);
}

const recorded = JSON.parse(readFileSync(recordedPath, "utf8"));
const same = recorded.compiler === now.compiler;
console.log("\nInstructions of the core's hot paths, under callgrind\n");
for (const name of new Set([...Object.keys(recorded.instructions), ...Object.keys(now.instructions)])) {
  const [before, after] = [recorded.instructions[name], now.instructions[name]];
  const grown = same && !(after <= before * MORE);
  const verdict = same ? `recorded ${before}${grown ? ", MORE THAN A TENTH MORE" : ""}` : "";
  console.log(`  ${name.padEnd(20)} ${String(after).padStart(8)}  ${verdict}`);
  if (grown) process.exitCode = 1;
}
if (!same) console.log(`\nNot compared: recorded with ${recorded.compiler}, and this is ${now.compiler}.`);
if (process.exitCode === 1)
  console.error(
    "\nA hot path takes over a tenth more instructions than recorded: see bench/native/instructions.mjs",
  );
