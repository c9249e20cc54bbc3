// emmap metrics
import { readMetrics } from "../../metrics.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { json, safe, table } from "../text.js";
import { chosen } from "../words.js";

const VERBS = ["text", "ls"] as const;

function listAll(path: string): Result {
  using file = readMetrics(path);
  const values = file.samples();
  return {
    text: table(
      ["METRIC", "LABELS", "VALUE>"],
      values.map(({ name, labels, value }) => [
        name,
        Object.entries(labels)
          .map(([label, each]) => `${label}=${json(each)}`)
          .join(" "),
        String(value),
      ]),
    ),
    values,
  };
}

/** For Prometheus; with --json the same as `ls`. */
async function text(path: string): Promise<Result> {
  using file = readMetrics(path);
  const found = await file.text();
  return {
    text: process.stdout.isTTY ? found.split("\n").map(safe).join("\n") : found,
    values: file.samples(),
  };
}

export async function metrics(path: string, verb: string, options: Common): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("metrics", path);
  return report(options, () => (what === "ls" ? listAll(path) : text(path)));
}
