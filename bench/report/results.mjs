// Joins the records of several runs: the median of each ratio, and its least and most.

const median = (values) => values.toSorted((x, y) => x - y)[values.length >> 1];

/** The records that a program printed. */
export function parse(output) {
  return output
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));
}

const sameOf = ({ kind, section, operation, beside, chart, line, text }) =>
  JSON.stringify([kind, section, operation, beside, chart, line, text]);

const merge = {
  ratio(records) {
    const ratios = records.map(({ ratio }) => ratio);
    return { ratio: median(ratios), least: Math.min(...ratios), most: Math.max(...ratios) };
  },
  percentiles(records) {
    return Object.fromEntries(
      ["p50", "p99", "p999"].map((name) => [name, median(records.map((record) => record[name]))]),
    );
  },
  series(records) {
    const xs = [...new Set(records.flatMap(({ points }) => points.map(([x]) => x)))].sort((a, b) => a - b);
    const ys = (x) => records.flatMap(({ points }) => points.filter((point) => point[0] === x));
    return { points: xs.map((x) => [x, median(ys(x).map(([, y]) => y))]) };
  },
  note: () => ({}),
};

/** One record for each kind, section, operation and peer, in the order of their first records. */
export function together(records) {
  const same = groupBy(records, sameOf);
  return [...same.values()].map((group) => ({ ...group[0], ...merge[group[0].kind](group) }));
}

export function groupBy(values, keyOf) {
  const groups = new Map();
  for (const value of values) {
    const key = keyOf(value);
    groups.set(key, [...(groups.get(key) ?? []), value]);
  }
  return groups;
}

export const senseOf = ({ sense, limit }) =>
  sense ?? (limit?.startsWith("at least") ? "times as fast" : "times the time");

/** Our multiple of the yardstick, if the record has a peer's. */
export const oursOf = ({ ratio, theirs }) => ratio * theirs;

export function met({ ratio, limit }) {
  const [, side, value] = /^at (most|least) ([\d.]+)$/.exec(limit);
  return side === "most" ? ratio <= Number(value) : ratio >= Number(value);
}

/** Three significant digits, without needless zeros. */
export function digits(ratio) {
  if (ratio >= 100) return Math.round(ratio).toLocaleString("en");
  if (ratio >= 10) return ratio.toFixed(1);
  return ratio >= 0.1 ? ratio.toFixed(2) : ratio.toPrecision(2);
}
