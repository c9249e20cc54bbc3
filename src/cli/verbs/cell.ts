// emmap cell
import { openCell } from "../../cell.js";
import { Failure, Status } from "../failure.js";
import { inspectAs } from "../inspect.js";
import { type Common, print, type Result, report } from "../output.js";
import { type Form, line, parsed, payloadOf, value } from "../terms.js";
import { json } from "../text.js";
import { chosen } from "../words.js";

interface Options extends Common {
  as: Form;
}

const VERBS = ["get", "watch", "publish"] as const;

function shown(path: string, bytes: Buffer | undefined, version: number, form: Form): Result {
  if (bytes === undefined) throw new Failure(`nothing was published in ${path}`, Status.nothing);
  return { text: line(bytes, form), values: [{ version, value: value(bytes) }] };
}

function get(path: string, form: Form): Result {
  using file = openCell(path, { read: true, raw: true });
  return shown(path, file.get(), file.version, form);
}

function writeRaw(path: string): void {
  using file = openCell(path, { read: true, raw: true });
  const bytes = file.get();
  if (bytes === undefined) throw new Failure(`nothing was published in ${path}`, Status.nothing);
  process.stdout.write(payloadOf(bytes));
}

/** Shows each value that is there when it looks. Sleeps until there is another one. */
async function watch(path: string, options: Options): Promise<void> {
  using file = openCell(path, { read: true, raw: true });
  for (;;) {
    const bytes = file.get();
    if (bytes !== undefined) {
      const { text, values } = shown(path, bytes, file.version, options.as);
      print(options.json ? json(values[0]) : text);
    }
    await file.changed();
  }
}

function publish(path: string, word: string, form: Form): Result {
  const bytes = parsed(word, form);
  using file = openCell(path, { write: true, raw: true });
  file.publish(bytes);
  return { text: "", values: [{ version: file.version }] };
}

export async function cell(path: string, verb: string, words: string[], options: Options): Promise<void> {
  const what = chosen(verb, VERBS);
  inspectAs("cell", path);
  if (words.length !== (what === "publish" ? 1 : 0))
    throw new Failure(`${what} takes ${what === "publish" ? "a value" : "nothing more"}`, Status.usage);
  if (what === "publish")
    return report({ json: options.json }, () => publish(path, words[0] as string, options.as));
  if (what === "watch") return watch(path, options);
  if (options.as === "raw") return writeRaw(path);
  return report(options, () => get(path, options.as));
}
