// emmap table
import { openTable } from "../../table.js";
import { Failure, Status } from "../failure.js";
import { inspectAs } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { table as columns, plural } from "../text.js";
import { chosen, count, exact, integer, keyOf } from "../words.js";

interface Options extends Common {
  count?: string;
  word?: string;
  hex?: boolean;
}

const VERBS = ["ls", "get", "add", "set", "delete"] as const;

/** A key for JSON. */
const named = (key: string | Buffer): string => (typeof key === "string" ? key : keyOf(key));

/** A key of a table from the user's word. A text may begin with 0x too, so only the option says that it is hexadecimal. */
function toKey(word: string, hex: boolean): string | Buffer {
  if (!hex) return word;
  if (!/^(0x)?([0-9a-f]{2})+$/i.test(word)) throw new Failure(`${word} is not hexadecimal`, Status.usage);
  return Buffer.from(word.replace(/^0x/i, ""), "hex");
}

function listSome(path: string, limit: number, hex: boolean): Result {
  using file = openTable(path, { read: true });
  const values: { key: string; words: (number | string)[] }[] = [];
  for (const [key, words] of file) {
    if (values.length >= limit) break;
    values.push({ key: named(hex ? Buffer.from(key) : key), words: words.map(exact) });
  }
  const text = columns(
    ["KEY", ...Array.from({ length: file.words }, (_, word) => `WORD ${word}>`)],
    values.map(({ key, words }) => [keyOf(key), ...words.map(String)]),
  );
  const more = file.size - values.length;
  return { text: more > 0 ? `${text}\n${plural(more, "more key")}: see -n` : text, values };
}

const absent = (key: string | Buffer): Failure =>
  new Failure(`there is no key ${keyOf(key)}`, Status.nothing);

function get(path: string, key: string | Buffer, word: number): Result {
  using file = openTable(path, { read: true });
  const value = file.get(key, word);
  if (value === undefined) throw absent(key);
  return { text: String(value), values: [{ key: named(key), value: exact(value) }] };
}

type Operation = "add" | "set";

function change(path: string, what: Operation, key: string | Buffer, word: number, operand: bigint): Result {
  using file = openTable(path, { write: true });
  const before = file[what](key, word, operand);
  const value = BigInt.asIntN(64, what === "add" ? before + operand : operand);
  return { text: String(value), values: [{ key: named(key), value: exact(value), before: exact(before) }] };
}

function remove(path: string, key: string | Buffer): Result {
  using file = openTable(path, { write: true });
  if (!file.delete(key)) throw absent(key);
  return { text: "", values: [{ deleted: named(key) }] };
}

export async function table(path: string, verb: string, words: string[], options: Options): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("table", path, "metrics");
  const wanted = { ls: 0, get: 1, delete: 1, add: 2, set: 2 }[what];
  if (words.length !== wanted)
    throw new Failure(`${what} takes ${["no key", "a key", "a key and a number"][wanted]}`, Status.usage);
  const [name = "", operand = ""] = words;
  const hex = options.hex === true;
  const key = what === "ls" ? name : toKey(name, hex);
  const word = count(options.word, 0);
  const once = { json: options.json };
  switch (what) {
    case "ls": {
      const limit = count(options.count, 10);
      return report(options, () => listSome(path, limit, hex));
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
