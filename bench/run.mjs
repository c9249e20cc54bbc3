// `make bench`: all benchmarks, one after the other, and what came of their targets: ratios, with the least and the most
// of several processes beside their median, and never a bare time. `--quick` is `make bench-smoke`:
// short runs, which show that every benchmark works and whose figures mean little, beside no target; and nothing is
// compiled for it.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(fileURLToPath(import.meta.url));
const quick = process.argv.includes("--quick");
/** How the same code is compiled and laid out differs from process to process, and a ratio with it. */
const PROCESSES = 3;
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

/** A benchmark's ratios. */
function ratios(output) {
  const lines = output.matchAll(/^ {2}(\S.*?) +([\d.]+) x (.*?)(?: \((at (?:most|least)) ([\d.]+)\))?$/gm);
  return [...lines].map(([, name, ratio, peer, side, limit]) => ({
    name,
    ratio: Number(ratio),
    peer,
    side,
    limit,
  }));
}

/** Those of the codec for which there are targets: its table has the others' times as multiples of its own. */
function codecRatios(output) {
  const rows = output.matchAll(/^mix of the next six +(\w+) .*? ns +([\d.]+) x +([\d.]+) x/gm);
  return [...rows].flatMap(([, direction, json, erlang]) => {
    const of = (peer) => `${peer}, message mix, ${direction === "both" ? "encode + decode" : direction}`;
    return [
      { name: of("erlang_js"), ratio: Number(erlang), peer: "emmap/etf", side: "at least", limit: "5" },
      { name: of("JSON"), ratio: Number(json), peer: "emmap/etf", side: "at least", limit: "0.5" },
    ];
  });
}

function run(command, script) {
  const { status, stdout } = spawnSync(command, [join(here, script), ...flags], {
    stdio: ["ignore", "pipe", "inherit"],
    encoding: "utf8",
  });
  if (status === 0) return stdout;
  console.error(`${script} ended with ${status}\n${stdout ?? ""}`);
  process.exit(1);
}

const digits = (ratio) => ratio.toFixed(ratio < 0.1 ? 4 : 2);

/** The same benchmark in several processes: the median, with the least and the most. */
function summary(runs) {
  return runs[0].map(({ name, peer, side, limit }, i) => {
    const all = runs.map((rows) => rows[i].ratio).sort((x, y) => x - y);
    return { name, peer, side, limit, ratio: all[all.length >> 1], least: all[0], most: all.at(-1) };
  });
}

function row({ name, peer, side, limit, ratio, least, most }) {
  const range = least === most ? "" : `${digits(least)} to ${digits(most)}`;
  const met = side === "at most" ? ratio <= Number(limit) : ratio >= Number(limit);
  const target = quick || limit === undefined ? "" : `${side} ${limit}`.padEnd(14) + (met ? "met" : "missed");
  return `  ${`${name}, beside ${peer}`.padEnd(70)} ${`${digits(ratio)} x`.padStart(10)}  ${range.padEnd(18)}${target}`.trimEnd();
}

installPeers();
const targets = [];
for (const [title, command, script] of BENCHMARKS) {
  console.log(`\n${title}\n`);
  const codec = script === "etf.mjs";
  const outputs = Array.from({ length: quick || codec ? 1 : PROCESSES }, () => run(command, script));
  const rows = summary(outputs.map(codec ? codecRatios : ratios));
  // Of the codec's table all but its own times.
  if (codec) console.log(outputs[0].replace(/^(.{30}) +(?:\d+ ns|emmap\/etf)/gm, "$1"));
  else {
    const remarks = outputs[0].match(/^ {2}.* is left out.*$/gm) ?? [];
    console.log([...rows.map(row), ...remarks].join("\n"));
  }
  targets.push(...rows.filter(({ limit }) => limit !== undefined));
}
if (!quick) console.log(`\nTargets\n\n${targets.map(row).join("\n")}`);
