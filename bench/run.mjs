// `make bench` runs all benchmarks several times in turn, prints the ratios, and writes report/report.md.
//
//   node bench/run.mjs [--quick] [--only PROGRAM] [--into FOLDER]
//
// `make bench-smoke` uses `--quick`: each benchmark runs once and briefly. That shows that it works; its figures mean
// little. `--only etf.mjs` runs one program. A full run writes its report to bench/report; `--into` names another folder,
// also for a report of a quick run or of one program. The folder keeps each program's records, in records.json: with
// `--only etf.mjs --into bench/report` the other programs' rows of the report stay as they are.

import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem, type } from "node:os";
import { basename, dirname, extname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { folder } from "./harness/folder.mjs";
import { installPeers } from "./harness/peers.mjs";
import { targets, writeReport } from "./report/report.mjs";
import { digits, groupBy, met, oursOf, parse, senseOf, together } from "./report/results.mjs";

const here = dirname(fileURLToPath(import.meta.url));
const { values: options } = parseArgs({
  options: { quick: { type: "boolean" }, only: { type: "string" }, into: { type: "string" } },
});
const { quick, only } = options;
/** Compiled code and its layout differ from process to process, and so do ratios. */
const PASSES = quick ? 1 : 3;

const PROGRAMS = [
  "node/node-atomics.mjs",
  "node/node-reads.mjs",
  "node/node-file-sizes.mjs",
  "node/node-ffi.mjs",
  "beam/beam.escript",
  "beam/port.escript",
  "node/queue.mjs",
  "beam/queue.escript",
  "beam/deliveries.escript",
  "node/blocks.mjs",
  "beam/blocks.escript",
  "node/table.mjs",
  "node/metrics.mjs",
  "beam/table.escript",
  "node/cell.mjs",
  "node/across.mjs",
  "node/wake.mjs",
  "node/deliveries.mjs",
  "native/locks.mjs",
  "native/push.mjs",
  "node/scaling.mjs",
  "node/flat.mjs",
  "beam/flat.escript",
  "node/etf.mjs",
  "node/lifecycle.mjs",
  "node/command.mjs",
  "node/cluster.mjs",
  "beam/cluster.escript",
  "beam/lifecycle.escript",
  "beam/relay.escript",
];
const COMMANDS = { ".mjs": process.execPath, ".escript": "escript" };

// A terminal sends it to the running program too, which ends. This program then ends too, and tidies up.
process.on("SIGINT", () => process.exit(130));

function run(program) {
  const args = [join(here, program), ...(quick ? ["--quick"] : [])];
  const { status, signal, stdout } = spawnSync(COMMANDS[extname(program)], args, {
    stdio: ["ignore", "pipe", "inherit"],
    // Its files are in this program's folder, and are deleted with it even if the program crashes.
    env: { ...process.env, TMPDIR: folder },
    encoding: "utf8",
    maxBuffer: 1 << 26,
  });
  if (status === 0) return parse(stdout);
  console.error(`${program} ended with ${signal ?? status}\n${stdout ?? ""}`);
  return undefined;
}

const said = (command, args) => spawnSync(command, args, { encoding: "utf8" }).stdout ?? "";

/** The machine and the releases, for the report. */
function machine() {
  const otp = said("erl", ["-noshell", "-eval", "io:put_chars(erlang:system_info(otp_release)), halt()."]);
  const [, redis] = /v=([\d.]+)/.exec(said("redis-server", ["--version"])) ?? [];
  const [{ model }] = cpus();
  const memory = Math.round(totalmem() / 2 ** 30);
  const { dependencies } = JSON.parse(readFileSync(join(here, "package.json"), "utf8"));
  const peers = Object.entries(dependencies).map(([name, version]) => `${name} ${version}`);
  return [
    `Measured on ${model.trim()} (${cpus().length} processors, ${memory} GiB), ${type()} ${release()}, Node ${process.versions.node}, Erlang/OTP ${otp}.`,
    `The peers: ${[...peers, ...(redis === undefined ? [] : [`Redis ${redis}`])].join(", ")}.`,
  ].join("\n");
}

function print(record) {
  if (record.kind === "note") return `  ${record.text}`;
  if (record.kind === "series")
    return `  ${record.chart}, ${record.line}: ${record.points.map(([x, y]) => `${x}: ${digits(y)}`).join(", ")}`;
  const name = `  ${`${record.operation}, beside ${record.beside}`.padEnd(76)}`;
  if (record.kind === "percentiles")
    return `${name} median ${digits(record.p50)}, 99 % ${digits(record.p99)}, 99.9 % ${digits(record.p999)}`;
  const { ratio, least, most, limit } = record;
  const faster = senseOf(record) === "times as fast" ? " as fast" : "";
  const range = least === most ? "" : `${digits(least)} to ${digits(most)}`;
  const target = quick || limit === undefined ? "" : `${limit.padEnd(14)}${met(record) ? "met" : "missed"}`;
  const by =
    record.theirs === undefined
      ? ""
      : `  ${digits(oursOf(record))} and ${digits(record.theirs)} x ${record.yardstick}`;
  return `${name} ${`${digits(ratio)} x${faster}`.padEnd(18)}${range.padEnd(18)}${target.padEnd(20)}${by}`.trimEnd();
}

const chosen = PROGRAMS.filter((program) => only === undefined || basename(program) === only);
if (chosen.length === 0) {
  console.error(
    `There is no program ${only}. The programs are ${PROGRAMS.map((program) => basename(program)).join(", ")}.`,
  );
  process.exit(1);
}
installPeers(quick);
const all = new Map(chosen.map((program) => [program, []]));
const failed = new Set();
for (let pass = 1; pass <= PASSES; pass++) {
  for (const program of all.keys()) {
    console.error(`${program} ${PASSES > 1 ? `${pass} of ${PASSES}` : ""}`);
    const records = run(program);
    if (records === undefined) {
      // The other programs are measured all the same: a run takes half an hour.
      failed.add(program);
      all.delete(program);
    } else all.get(program).push(...records);
  }
}
const measured = new Map([...all].map(([program, of]) => [program, together(of)]));
const records = [...measured.values()].flat();
for (const [section, group] of groupBy(records, ({ section }) => section))
  console.log(`\n${section}\n\n${group.map(print).join("\n")}`);
if (!quick) console.log(`\nWhere it must stand\n\n${targets(records).map(print).join("\n")}`);
// A report that is not kept is written too, to test that.

const into = options.into ?? (quick || only !== undefined ? folder : join(here, "report"));
mkdirSync(into, { recursive: true });
const kept = join(into, "records.json");
const before = existsSync(kept) ? JSON.parse(readFileSync(kept, "utf8")) : {};
const now = PROGRAMS.filter((program) => measured.has(program) || program in before).map((program) => [
  program,
  measured.get(program) ?? before[program],
]);
writeFileSync(kept, `${JSON.stringify(Object.fromEntries(now), null, 1)}\n`);
writeReport(
  now.flatMap(([, of]) => of),
  machine(),
  into,
);
if (failed.size > 0) {
  console.error(`Not measured: ${[...failed].join(", ")}`);
  process.exitCode = 1;
}
