// emmap backup
import { insideOf } from "../inside.js";
import { inspect } from "../inspect.js";
import { print } from "../output.js";
import { json, safe } from "../text.js";

/** Copies the file to a new name. Nobody waits for it. */
export async function backup(path: string, to: string, options: { json?: boolean }): Promise<void> {
  const { kind } = inspect(path, "brief");
  using file = insideOf(kind).reader(path);
  await file.backup(to);
  print(options.json ? json({ path, to, kind }) : `${safe(path)} (${kind}) is copied to ${safe(to)}`);
}
