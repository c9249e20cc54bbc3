// emmap table
import { openTable } from "../../table.js";
import { Failure, Status } from "../failure.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { table as columns } from "../text.js";
import { chosen, count, exact, integer, keyOf } from "../words.js";

interface Options extends Common {
  count?: string;
  word?: string;
}

const VERBS = ["ls", "get", "add", "set", "delete"] as const;

/** A key of bytes is given as it is shown. */
const toKey = (word: string): string | Buffer =>
  /^0x([0-9a-f]{2})+$/.test(word) ? Buffer.from(word.slice(2), "hex") : word;

function listSome(path: string, limit: number): Result {
  using file = openTable(path, { read: true });
  const values: { key: string; words: (number | string)[] }[] = [];
  for (const [key, words] of file) {
    if (values.length >= limit) break;
    values.push({ key: typeof key === "string" ? key : keyOf(key), words: words.map(exact) });
  }
  return {
    text: columns(
      ["KEY", ...Array.from({ length: file.words }, (_, word) => `WORD ${word}>`)],
      values.map(({ key, words }) => [keyOf(key), ...words.map(String)]),
    ),
    values,
  };
}

const absent = (key: string): Failure => new Failure(`there is no key ${key}`, Status.nothing);

function get(path: string, key: string, word: number): Result {
  using file = openTable(path, { read: true });
  const value = file.get(toKey(key), word);
  if (value === undefined) throw absent(key);
  return { text: String(value), values: [{ key, value: exact(value) }] };
}

function change(path: string, what: "add" | "set", key: string, word: number, operand: bigint): Result {
  using file = openTable(path, { write: true });
  const before = file[what](toKey(key), word, operand);
  const value = BigInt.asIntN(64, what === "add" ? before + operand : operand);
  return { text: String(value), values: [{ key, value: exact(value), before: exact(before) }] };
}

function remove(path: string, key: string): Result {
  using file = openTable(path, { write: true });
  if (!file.delete(toKey(key))) throw absent(key);
  return { text: "", values: [{ deleted: key }] };
}

export async function table(path: string, verb: string, words: string[], options: Options): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("table", path, "metrics");
  const wanted = { ls: 0, get: 1, delete: 1, add: 2, set: 2 }[what];
  if (words.length !== wanted)
    throw new Failure(`${what} takes ${["no key", "a key", "a key and a number"][wanted]}`, Status.usage);
  const [key, operand] = words as [string, string];
  const word = count(options.word, 0);
  const once = { json: options.json };
  switch (what) {
    case "ls": {
      const limit = count(options.count, 10);
      return report(options, () => listSome(path, limit));
    }
    case "get":
      return report(options, () => get(path, key, word));
    case "delete":
      return report(once, () => remove(path, key));
    default: {
      const number = integer(operand);
      return report(once, () => change(path, what, key, word, number));
    }
  }
}
