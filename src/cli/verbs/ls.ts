// emmap ls
import { basename } from "node:path";
import { troubleOf } from "../health.js";
import { kindOf } from "../kinds/index.js";
import { inspectListed, isNameLost, listed } from "../listing.js";
import { type Common, type Result, report } from "../output.js";
import { bytes, plural, safe, table } from "../text.js";

interface Options extends Common {
  recursive?: boolean;
  all?: boolean;
}

const HEAD = ["NAME", "KIND", "SIZE>", "CONTENTS>", "OPEN>", "WAITING>", "STATE"];

function look(paths: string[], options: Options): Result {
  const rows: string[][] = [];
  const values: object[] = [];
  let lost = 0;
  for (const each of listed(paths, options.recursive)) {
    const found = inspectListed(each, undefined, options.all);
    const { path } = each;
    if (found === undefined) {
      if (isNameLost(path)) lost++;
      continue;
    }
    const trouble = troubleOf(found, path);
    const open =
      found.sharing === "live"
        ? String(found.writers.length)
        : found.sharing === "none"
          ? "0"
          : found.sharing;
    values.push({ path, ...found, ...(trouble === undefined ? {} : { state: trouble }) });
    rows.push([
      safe(paths.length === 1 && !options.recursive && !each.named ? basename(path) : path),
      found.kind,
      bytes(found.size),
      kindOf(found.kind).contents(found),
      open ?? "?",
      String(found.waiters ?? "-"),
      trouble ?? "",
    ]);
  }
  if (lost > 0) process.stderr.write(`emmap: ${plural(lost, "file")} left out: the name is not UTF-8\n`);
  return { text: rows.length === 0 ? "There are no files of emmap here." : table(HEAD, rows), values };
}

export const ls = (paths: string[], options: Options): Promise<void> =>
  report(options, () => look(paths.length === 0 ? ["."] : paths, options));
