// The output of a benchmark program: one JSON record a line and nothing else. run.mjs gathers the records of all programs.
//
// A ratio is our time divided by the peer's: less than 1 is faster. It may have a limit, for example "at most 1.2". With a
// limit as "at least 10", and with the sense "times as fast", the ratio is the peer's time divided by ours. No record has a
// bare time, because that holds for one machine only. The times of a peer that cannot run here are recorded: `theirs` is
// its time as a multiple of the `yardstick`'s time, and the ratio is our multiple divided by `theirs`.

const print = (record) => process.stdout.write(`${JSON.stringify(record)}\n`);

/** Prints the records of one section of the report. */
export function section(section) {
  return {
    /** `more` may have a limit or a sense. With a limit, `floor` may name the operation that bounds this one. */
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
    /** A remark for the reader, for example that a peer is missing, and why. */
    note(text) {
      print({ kind: "note", section, text });
    },
  };
}

/** Returns the result of `make`. If it fails, prints a note that the peer is left out, with the reason. */
export async function able(records, peer, make) {
  try {
    return await make();
  } catch (error) {
    const reason = error.message.split("\n")[0].replaceAll(/(?:\/[^\s/'"]+)+\//g, "");
    records.note(`${peer} is left out: ${reason}`);
    return undefined;
  }
}
