// bench/report/report.md and its charts, from what all programs printed.

import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { chart, labelOf } from "./chart.mjs";
import { digits, groupBy, met, oursOf, senseOf } from "./results.mjs";

/** The report's sections in their order, and what a reader has to know of each. */
const SECTIONS = {
  "Node atomics": "One thread adds to one 64-bit word, again and again.",
  "Node reads and writes":
    "The bytes are in memory: it is the way to them that is measured, not a disk. `Buffer.copy` between two Buffers is the same move without a file; their memory may be further away than the pages of a small file.",
  "BEAM atomics and reads": "The same operations through the NIF and through the port program.",
  "BEAM beside emmap 2.x":
    "emmap 2.x can't be run here. Its times were measured once, each together with OTP's `counters:add` in the same node, and are recorded in `rounds.erl` as multiples of that; ours are measured beside `counters:add` now. A ratio is our multiple to emmap 2.x's. [The architecture](../../docs/architecture.md#speed-beside-emmap-2x) says what a difference buys.",
  Port: "An echo program answers each frame with the frame: what a port costs in any case. It sleeps until the next one comes; emmap_port looks out for it for a while first, and so does another echo, where the rows say so.",
  Queues:
    "A message is pushed and the oldest one popped while others wait in between; or pushed by BEAM and popped by Node, which does nothing else but to take, every millisecond, what has gathered. How long a message is on its way is measured with Node asking for the next one again and again, where a socket wakes it.",
  Waiting:
    "Both processes sleep until the other one wakes them, and a millisecond passes between two turns. Of words: a change, a notify, and back.",
  "Block storages": "A block of 64 bytes is stored, read and freed while a thousand others are there.",
  "The codec": "A message as bytes and back. JSON has strings and arrays where it has no atoms and tuples.",
  Scaling: "Costs relative to one process, or to the smallest file: what grows is not flat.",
  "Opening, closing and memory": "What a file costs besides its operations.",
};

/** Operations that were measured beside the same several peers make a table of their own from this many on. */
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

/** Beside a peer that can't be run, whose time is recorded as a multiple of a yardstick's. */
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

/** A target that is missed, with the floor that forbids it where one was measured. */
function missed({ section, beside, floor }, records) {
  const found = records.find(
    (record) => record.section === section && record.beside === beside && record.operation === floor,
  );
  return found === undefined ? "**missed**" : `**missed**: ${floor}: ${times(found)}`;
}

/** Writes report.md and charts/ into a folder. `machine` says where it was measured. */
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
    "`make bench` wrote this page: everything was measured in one run on one machine, each thing beside what one would",
    "use instead or beside what it can't do without. There are only ratios here, because a bare time says more about",
    "a machine than about a program. A ratio is of times measured right after each other, most within milliseconds, the",
    "median of many such pairs in each of several processes; where those differ, the least and the most of them are given.",
    "",
    "*n* × means that it takes *n* times as long as what it stands beside: less than 1 is faster. Where it says",
    '"times as fast", more is faster.',
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
