// The faults, and the table of their results.
import { readdirSync } from "node:fs";
import { fileURLToPath } from "node:url";

const folder = new URL("../faults/", import.meta.url);

/** The longest wait for a dead process, unless the row has another limit. */
export const WAIT_LIMIT_MS = 100;

/** The fault can't be brought about on this machine; the message says why. */
export class NotPossible extends Error {}

export function faultNames() {
  return readdirSync(fileURLToPath(folder))
    .filter((name) => name.endsWith(".mjs"))
    .map((name) => name.slice(0, -".mjs".length))
    .sort();
}

export function loadFault(name) {
  return import(new URL(`${name}.mjs`, folder).href);
}

/** The error of a row; null: none. */
export function shortcoming({
  fault,
  runtime,
  hits,
  survived,
  lost,
  worstWaitMs,
  waitLimitMs = WAIT_LIMIT_MS,
}) {
  const what = `${fault}, ${runtime}`;
  if (hits === 0) return `${what}: never happened`;
  if (survived !== hits) return `${what}: ${hits - survived} of ${hits} not survived`;
  if (lost !== 0) return `${what}: ${lost} lost`;
  if (worstWaitMs !== null && worstWaitMs > waitLimitMs) return `${what}: somebody waited ${worstWaitMs} ms`;
  return null;
}

/** A row for each fault, with the sums over all runtimes. */
export function together(rows) {
  const faults = new Map();
  for (const { runtime, ...row } of rows) {
    const sum = faults.get(row.fault);
    if (sum === undefined) {
      faults.set(row.fault, { ...row, runtime });
      continue;
    }
    sum.runtime += ` · ${runtime}`;
    for (const count of ["hits", "survived", "lost"]) sum[count] += row[count];
    if (row.worstWaitMs !== null) sum.worstWaitMs = Math.max(sum.worstWaitMs ?? 0, row.worstWaitMs);
  }
  return [...faults.values()];
}

/** The rows as a table in Markdown. */
export function report(rows) {
  const titles = ["fault", "runtime", "times hit", "survived", "lost", "worst wait"];
  const lines = rows.map(({ fault, runtime, hits, survived, lost, worstWaitMs }) => [
    fault,
    runtime,
    ...[hits, survived, lost].map((number) => number.toLocaleString("en-US")),
    worstWaitMs === null ? "" : `${worstWaitMs.toFixed(1)} ms`,
  ]);
  const widths = titles.map((title, i) =>
    Math.max(...[title, ...lines.map((line) => line[i])].map((s) => s.length)),
  );
  const row = (cells) =>
    `| ${cells.map((cell, i) => (i < 2 ? cell.padEnd(widths[i]) : cell.padStart(widths[i]))).join(" | ")} |`;
  const rule = `| ${widths.map((width, i) => (i < 2 ? "-".repeat(width) : `${"-".repeat(width - 1)}:`)).join(" | ")} |`;
  return [row(titles), rule, ...lines.map(row)].join("\n");
}
