import { constants } from "node:os";
import { resolve } from "node:path";
import { addon, type NativeFile, type NativeOptions, type Opener } from "./addon.js";
import { createError } from "./error.js";

const has = (options: NativeOptions, name: string): boolean =>
  options.some((each, i) => i % 2 === 0 && each === name);

/** How a file was opened, and how to open it again. */
export class Origin {
  readonly #opener: Opener;

  constructor(opener: Opener) {
    const [operation, path, options, ...numbers] = opener;
    // The current folder may be another one by then.
    let from = path;
    if (typeof path === "string") from = has(options, "anon") ? path : resolve(path);
    else if (path[0] !== 47) from = Buffer.concat([Buffer.from(`${process.cwd()}/`), path]);
    this.#opener = [operation, from, options, ...numbers] as Opener;
  }

  /** Opens what is there now. Nothing is created and nothing truncated. `close` lets go of the old file. */
  reopen(close: () => void): { native: NativeFile; origin: Origin } {
    const [operation, path, options, ...numbers] = this.#opener;
    if (has(options, "anon"))
      throw createError(
        constants.errno.ENOTSUP,
        "ENOTSUP",
        "operation not supported",
        "reopen",
        undefined,
        String(path),
        "memory without a file can't be opened again",
      );
    const kept = options.filter((_, i) => !["create", "truncate"].includes(options[i - (i % 2)] as string));
    // What is opened with neither is created.
    const again =
      operation === "open" || has(kept, "read") || has(kept, "write") ? kept : [...kept, "write", null];
    close();
    const opener = [operation, path, again, ...numbers] as Opener;
    return { native: addon.open(...opener), origin: new Origin(opener) };
  }
}
