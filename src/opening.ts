import { constants } from "node:os";
import { resolve } from "node:path";
import { addon, type NativeFile, type NativeOptions, type NativePath } from "./addon.js";
import { createError, EmmapError } from "./error.js";

/** A function of the addon that opens a file, and its arguments. */
export type Opener =
  | [operation: "open", path: NativePath, options: NativeOptions]
  | [operation: "counters_open", path: NativePath, options: NativeOptions, count: bigint]
  | [operation: "queue_open", path: NativePath, options: NativeOptions]
  | [operation: "blocks_open", path: NativePath, options: NativeOptions, blockSize: bigint, levels: bigint]
  | [operation: "cell_open", path: NativePath, options: NativeOptions, maxBytes: bigint]
  | [operation: "table_open", path: NativePath, options: NativeOptions, ...shape: TableShape];

type TableShape = [capacity: bigint, keyBytes: bigint, words: bigint];

/** A file, and how it was opened. */
export interface Opened {
  readonly native: NativeFile;
  readonly origin: Origin;
}

export function openFile(opener: Opener): Opened {
  return { native: openNative(opener), origin: new Origin(opener) };
}

function openNative([operation, ...operands]: Opener): NativeFile {
  return (addon[operation] as (...operands: unknown[]) => NativeFile)(...operands);
}

const has = (options: NativeOptions, name: string): boolean =>
  options.some((each, i) => i % 2 === 0 && each === name);

/** The way a file was opened, and can be opened again. */
export class Origin {
  readonly #opener: Opener;

  constructor(opener: Opener) {
    const [operation, path, options, ...numbers] = opener;
    // The current folder may change until then.
    let from = path;
    if (typeof path === "string") from = has(options, "anon") ? path : resolve(path);
    else if (path[0] !== 47) from = Buffer.concat([Buffer.from(`${process.cwd()}/`), path]);
    this.#opener = [operation, from, options, ...numbers] as Opener;
  }

  /**
   * Opens the path again, without creating or truncating anything, and then closes the old file. If the open fails, the
   * old file stays open, unless it had to be closed first: see {@link isInTheWay}.
   */
  reopen(old: Reopened): Opened {
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
    // Without either option the core would create the file.
    const again =
      operation === "open" || has(kept, "read") || has(kept, "write") ? kept : [...kept, "write", null];
    const opener = [operation, path, again, ...numbers] as Opener;
    // To close it later would delete the new file.
    if (has(options, "auto_unlink")) old.close();
    return { native: openBeside(old, opener), origin: new Origin(opener) };
  }
}

/** A file that is opened again. */
interface Reopened {
  readonly closed: boolean;
  close(): void;
  isCurrent(): boolean;
}

function openBeside(old: Reopened, opener: Opener): NativeFile {
  let native: NativeFile;
  try {
    native = openNative(opener);
  } catch (error) {
    if (!isInTheWay(old, opener[2], error)) throw error;
    old.close();
    return openNative(opener);
  }
  old.close();
  return native;
}

/**
 * True if the file cannot be opened before the old one is closed: that is exclusive and the same file, or at the
 * address.
 */
function isInTheWay(old: Reopened, options: NativeOptions, error: unknown): boolean {
  const code = error instanceof EmmapError ? error.code : undefined;
  if (old.closed) return false;
  if (code === "EEXIST") return has(options, "fixed");
  return code === "EBUSY" && has(options, "exclusive") && old.isCurrent();
}
