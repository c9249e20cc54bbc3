// `make bench`: all benchmarks, one after the other, and what came of their targets. `--quick` is `make bench-smoke`:
// short runs, which show that every benchmark works and whose figures mean little; and nothing is compiled for it.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes("--quick");
const flags = quick ? ["--quick"] : [];

const BENCHMARKS = [
  ["The codec", process.execPath, "etf.mjs"],
  ["Node: files and counters", process.execPath, "node.mjs"],
  ["Node: queues", process.execPath, "queue.mjs"],
  ["BEAM: files and counters", "escript", "beam.escript"],
  ["BEAM: queues", "escript", "queue.escript"],
];

/** Installs the peers: nothing that they would download or compile, but for better-sqlite3, which is built here. */
function installPeers() {
  const lock = join(here, "package-lock.json");
  const installed = join(here, "node_modules", ".package-lock.json");
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs)
    npm(["ci", "--ignore-scripts", "--no-audit", "--no-fund"], {}, true);
  if (quick || existsSync(join(here, "node_modules/better-sqlite3/build/Release/better_sqlite3.node")))
    return;
  console.log("building better-sqlite3 …");
  // With the headers that came with this Node, where they did.
  const prefix = resolve(process.execPath, "..", "..");
  const headers = existsSync(join(prefix, "include/node/common.gypi")) ? { npm_config_nodedir: prefix } : {};
  npm(["rebuild", "better-sqlite3", "--build-from-source"], headers, false);
}

function npm(args, environment, needed) {
  const { status, stderr } = spawnSync("npm", [...args, "--prefix", here], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  if (status === 0) return;
  console.error(`npm ${args.join(" ")} failed:\n${stderr}`);
  if (needed) process.exit(1);
}

/** The targets in a benchmark's lines: what, the ratio, beside what, and the limit. */
function targets(output) {
  return [...output.matchAll(/^ {2}(\S.*?) +([\d.]+) x (.*) \((at (?:most|least)) ([\d.]+)\)$/gm)].map(
    ([, name, ratio, peer, side, limit]) => ({ name, ratio, peer, side, limit }),
  );
}

/** Those of the codec, whose table has the others' times as multiples of its own. */
function codecTargets(output) {
  const [, json, erlang] = /^mix of the next six +both .* ns +([\d.]+) x +([\d.]+) x/m.exec(output) ?? [];
  return [
    { name: "erlang_js, message mix", ratio: erlang, peer: "emmap/etf", side: "at least", limit: "5" },
    { name: "JSON, message mix", ratio: json, peer: "emmap/etf", side: "at least", limit: "0.5" },
  ];
}

installPeers();
const results = [];
for (const [title, command, script] of BENCHMARKS) {
  console.log(`\n${title}\n`);
  const { status, stdout } = spawnSync(command, [join(here, script), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  process.stdout.write(stdout ?? "");
  if (status !== 0) {
    console.error(`${script} ended with ${status}`);
    process.exit(1);
  }
  results.push(...(script === "etf.mjs" ? codecTargets(stdout) : targets(stdout)));
}

console.log(`\nTargets${quick ? " (short runs: not to be taken at their word)" : ""}\n`);
for (const { name, ratio, peer, side, limit } of results) {
  const met = side === "at most" ? Number(ratio) <= Number(limit) : Number(ratio) >= Number(limit);
  const what = `${name}, beside ${peer}`;
  console.log(
    `  ${what.padEnd(70)} ${`${ratio} x`.padStart(10)}  ${`${side} ${limit}`.padEnd(14)} ${met ? "met" : "missed"}`,
  );
}
