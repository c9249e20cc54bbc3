// What a benchmark program prints, one JSON record a line and nothing else: run.mjs gathers them from all programs.
//
// A ratio is that of our time to the peer's, less than 1 where we are faster. Its limit is "at most 1.2"; or "at least
// 10", where, as with the sense "times as fast", the ratio is that of the peer's time to ours. No record has a bare
// time: it would say something about one machine only. A peer that can't be run is recorded: `theirs` is its time as a
// multiple of the `yardstick`'s, and the ratio that of our multiple to it.

const print = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);

/** Prints the records of one section of the report. */
export function section(section) {
  return {
    /** `more` may have a limit or a sense; with a limit, as `floor`, the operation beside the same peer that bounds it. */
    ratio(operation, ratio, beside, more = {}) {
      print({ kind: "ratio", section, operation, beside, ratio, ...more });
    },
    /** Ratios to the peer's percentiles: { p50, p99, p999 }. */
    percentiles(operation, percentiles, beside) {
      print({ kind: "percentiles", section, operation, beside, ...percentiles });
    },
    /** A line of a chart: [x, ratio] pairs. */
    series(chart, line, points, axes) {
      print({ kind: "series", section, chart, line, points, ...axes });
    },
    /** What a reader has to know besides: a peer that is missing, and why. */
    note(text) {
      print({ kind: "note", section, text });
    },
  };
}

/** What `make` answers; or undefined, and a note that the peer is left out and why. */
export async function able(records, peer, make) {
  try {
    return await make();
  } catch (error) {
    const reason = error.message.split("\n")[0].replaceAll(/(?:\/[^\s/'"]+)+\//g, "");
    records.note(`${peer} is left out: ${reason}`);
    return undefined;
  }
}
