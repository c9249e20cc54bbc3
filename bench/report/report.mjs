// Writes bench/report/report.md and its charts from the records of all programs.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chart, labelOf } from "./chart.mjs";
import { digits, groupBy, met, oursOf, senseOf } from "./results.mjs";

/** The report's sections in their order, with a text for the reader of each. */
const SECTIONS = {
  "Node atomics": "One thread adds to one 64-bit word, again and again.",
  "Node reads and writes":
    "The bytes are in memory: the times are of the access, not of a disk. `Buffer.copy` between two Buffers moves the same bytes without a file; their memory may be further away than the pages of a small file.",
  "BEAM atomics and reads": "The same operations through the NIF and through the port program.",
  "BEAM beside emmap 2.x":
    "emmap 2.x cannot run here. Its times were measured once, each together with OTP's `counters:add` in the same node. `rounds.erl` records them as multiples of `counters:add`. This run measured our times beside `counters:add` too. A ratio is our multiple divided by that of emmap 2.x. [The architecture](../../docs/architecture.md#speed-beside-emmap-2x) says what a difference buys.",
  Port: "An echo program answers each frame with the same frame: that is the least cost of a port. It sleeps until the next frame comes. emmap_port spins for a while before it sleeps. In the rows that say so, the echo program spins too.",
  Queues:
    "A process pushes a message and pops the oldest one, with others between them. Or BEAM pushes, and Node pops all messages once a millisecond and does nothing else. For the latency of a message Node polls the queue without a pause; a socket wakes it.",
  Waiting:
    "Each process sleeps until the other one wakes it, and a millisecond passes between two round trips. By words, a round trip is a change and a notify in each direction.",
  "Block storages":
    "A block of 64 bytes is stored, read and freed while the storage holds a thousand others.",
  Tables:
    "Keys have 20 bytes, and come in a random order. A table of a million keys does not fit into the processor's caches.",
  Cells: "A process reads a configuration, which stays the same or was published anew.",
  "The codec": "A message is encoded and decoded. JSON has strings and arrays instead of atoms and tuples.",
  Scaling: "Costs relative to one process, or to the smallest file. A flat line does not grow with the size.",
  "Opening, closing and memory": "The costs of a file besides its operations.",
  "Many machines":
    "Nodes of this machine play hosts, each with files of its own, over Erlang distribution. Counters: times and bytes are beside the figures that they must not exceed, and the nodes do not spin before they sleep (`+sbwt none`). Relays: the distribution alone sends the same batches, and waits for the same answers, but has no queue at either end.",
};

/** At least this many operations beside the same peers make a table of their own. */
const TABLE = 3;

const row = (cells) => `| ${cells.join(" | ")} |`;
const table = (head, rows) => [row(head), row(head.map(() => "---")), ...rows.map(row), ""];
const spread = ({ least, most }) => (least === most ? "" : `${digits(least)} to ${digits(most)}`);
const times = (record) =>
  `${digits(record.ratio)} ${senseOf(record) === "times as fast" ? "times as fast" : "×"}`;

const slug = (text) =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "");

function ratioTables(records) {
  const operations = [...groupBy(records, ({ operation }) => operation).values()];
  const peersOf = (group) => JSON.stringify(group.map((record) => [record.beside, senseOf(record)]));
  const bySet = [...groupBy(operations, peersOf).values()];
  const wide = bySet.filter((groups) => groups.length >= TABLE && groups[0].length > 1);
  const narrow = new Set(bySet.filter((groups) => !wide.includes(groups)).flat(2));
  const rest = records.filter((record) => narrow.has(record));
  return [
    ...(rest.length === 0
      ? []
      : table(
          ["operation", "beside", "ratio", "of several runs"],
          rest.map((record) => [record.operation, record.beside, times(record), spread(record)]),
        )),
    ...wide.flatMap((groups) =>
      table(
        ["operation", ...groups[0].map((record) => `${record.beside}, ${senseOf(record)}`)],
        groups.map((group) => [group[0].operation, ...group.map(({ ratio }) => digits(ratio))]),
      ),
    ),
  ];
}

/** The table for a peer that cannot run here: its time is recorded as a multiple of a yardstick's. */
function recordedTable(records) {
  if (records.length === 0) return [];
  const [{ yardstick, beside }] = records;
  return table(
    ["operation", `emmap, × ${yardstick}`, `${beside}, × ${yardstick}`, "ratio", "of several runs", "target"],
    records.map((record) => [
      record.operation,
      digits(oursOf(record)),
      digits(record.theirs),
      times(record),
      spread(record),
      record.limit ?? "",
    ]),
  );
}

function percentileTable(records) {
  if (records.length === 0) return [];
  return table(
    ["operation", "beside", "median", "99 %", "99.9 %"],
    records.map(({ operation, beside, p50, p99, p999 }) => [
      operation,
      beside,
      ...[p50, p99, p999].map(digits),
    ]),
  );
}

function charts(section, records, folder) {
  return [...groupBy(records, (record) => record.chart)].flatMap(([title, group]) => {
    const name = `${slug(section)}-${slug(title)}.svg`;
    const { x, y } = group[0];
    const lines = group.map(({ line, points }) => [line, points]);
    writeFileSync(join(folder, "charts", name), chart({ title, x, y, lines }));
    const xs = [...new Set(lines.flatMap(([, points]) => points.map(([at]) => at)))].sort((a, b) => a - b);
    const at = (points, value) => points.find((point) => point[0] === value)?.[1];
    const cell = (value) => (value === undefined ? "" : digits(value));
    return [
      `![${title}](charts/${name})`,
      "",
      `<details><summary>as a table: ${y}</summary>`,
      "",
      ...table(
        [x, ...lines.map(([line]) => line)],
        xs.map((value) => [labelOf(x)(value), ...lines.map(([, points]) => cell(at(points, value)))]),
      ),
      "</details>",
      "",
    ];
  });
}

/** The rows of the table of targets. */
export const targets = (records) =>
  records.filter(({ kind, limit }) => kind === "ratio" && limit !== undefined);

/** Text for a missed target, with the measured floor that makes it impossible, if there is one. */
function missed({ section, beside, floor }, records) {
  const found = records.find(
    (record) => record.section === section && record.beside === beside && record.operation === floor,
  );
  return found === undefined ? "**missed**" : `**missed**: ${floor}: ${times(found)}`;
}

/** Writes report.md and charts/ into a folder. `machine` describes the machine. */
export function writeReport(records, machine, folder) {
  rmSync(join(folder, "charts"), { recursive: true, force: true });
  mkdirSync(join(folder, "charts"), { recursive: true });
  const bySection = groupBy(records, ({ section }) => section);
  const names = [...new Set([...Object.keys(SECTIONS), ...bySection.keys()])].filter((name) =>
    bySection.has(name),
  );
  const rows = targets(records).toSorted((a, b) => names.indexOf(a.section) - names.indexOf(b.section));
  const of = (section, kind) => bySection.get(section).filter((record) => record.kind === kind);
  const lines = [
    "# Speed",
    "",
    "`make bench` wrote this page in one run on one machine. It compares each operation with its alternatives, or with a floor:",
    "the work that it cannot do without. The page has only ratios, because a bare time says more about a machine than about a",
    "program. A ratio is of two times measured right after each other, mostly within milliseconds. The table has the median of",
    "many such pairs, over several processes; if the processes differ, it has their least and most too.",
    "",
    '*n* × means *n* times the time of the operation in the column "beside": less than 1 is faster. With "times as fast", more',
    "is faster.",
    "",
    machine,
    "",
    "## Where it must stand",
    "",
    ...table(
      ["operation", "beside", "ratio", "of several runs", "target", ""],
      rows.map((record) => [
        record.operation,
        record.beside,
        times(record),
        spread(record),
        record.limit,
        met(record) ? "met" : missed(record, records),
      ]),
    ),
    ...names.flatMap((section) => [
      `## ${section}`,
      "",
      ...(SECTIONS[section] ? [SECTIONS[section], ""] : []),
      ...ratioTables(of(section, "ratio").filter(({ theirs }) => theirs === undefined)),
      ...recordedTable(of(section, "ratio").filter(({ theirs }) => theirs !== undefined)),
      ...percentileTable(of(section, "percentiles")),
      ...charts(section, of(section, "series"), folder),
      ...of(section, "note").flatMap(({ text }) => [text, ""]),
    ]),
  ];
  writeFileSync(join(folder, "report.md"), `${lines.join("\n").trimEnd()}\n`);
}
