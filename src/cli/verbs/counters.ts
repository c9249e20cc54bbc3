// emmap counters
import { openCounters } from "../../counters.js";
import { Failure, Status } from "../failure.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { table } from "../text.js";
import { chosen, exact, integer } from "../words.js";

const VERBS = ["list", "get", "add", "set", "watch"] as const;

function listAll(path: string): Result {
  using file = openCounters(path, 0, { read: true });
  const values = [...file].map((value, index) => ({ index, value: exact(value) }));
  return {
    text: table(
      ["INDEX>", "VALUE>"],
      values.map(({ index, value }) => [String(index), String(value)]),
    ),
    values,
  };
}

function get(path: string, index: number): Result {
  using file = openCounters(path, 0, { read: true });
  const value = file.get(index);
  return { text: String(value), values: [{ index, value: exact(value) }] };
}

function change(path: string, what: "add" | "set", index: number, operand: bigint): Result {
  using file = openCounters(path, 0, { write: true });
  const before = file[what](index, operand);
  const value = what === "add" ? BigInt.asIntN(64, before + operand) : BigInt.asIntN(64, operand);
  return { text: String(value), values: [{ index, value: exact(value), before: exact(before) }] };
}

export async function counters(path: string, verb: string, words: string[], options: Common): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("counters", path);
  const wanted = { list: 0, watch: 0, get: 1, add: 2, set: 2 }[what];
  if (words.length !== wanted)
    throw new Failure(
      `${what} takes ${["no number", "a counter's index", "a counter's index and a number"][wanted]}`,
      Status.usage,
    );
  if (what === "list") return report(options, () => listAll(path));
  if (what === "watch") return report({ watch: true, ...options }, () => listAll(path));
  const index = Number(integer(words[0] as string));
  if (what === "get") return report(options, () => get(path, index));
  const operand = integer(words[1] as string);
  if (BigInt.asIntN(64, operand) !== operand)
    throw new Failure(`${operand} does not fit a counter: it has 64 bits with a sign`, Status.usage);
  return report({ json: options.json }, () => change(path, what, index, operand));
}
