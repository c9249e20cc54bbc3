// The options of files, their checks, and their names in the core.
import { isUtf8 } from "node:buffer";
import type { PathLike } from "node:fs";
import { fileURLToPath } from "node:url";
import { types } from "node:util";
import type { NativeOptions, NativePath } from "./addon.js";
import { type Integer, rangeError, toBigInt, typeError, valueError } from "./arguments.js";
import { unknownOption } from "./etf/options.js";

/** How to open a file. An option is off unless its text says otherwise. An unknown option is an error. */
export interface OpenOptions {
  /** Open for reading. This is the default. */
  read?: boolean | undefined;
  /** Open for reading and writing. */
  write?: boolean | undefined;
  /** Create the file if it does not exist; see `existed`. Needs `write`, and `size` or `length`. */
  create?: boolean | undefined;
  /** Drop all bytes first. Needs `write`. Without `size` or `length` the file keeps its size. */
  truncate?: boolean | undefined;
  /**
   * Writes reach the file, and every process that has it mapped. This is the default. On a file system that does not
   * give all processes the same memory the open throws `ENOTSUP`, unless the option is `"unsafe"`: see
   * docs/file-systems.md.
   */
  shared?: boolean | "unsafe" | undefined;
  /** Writes stay in this mapping, and are lost when the file is closed. */
  private?: boolean | undefined;
  /** As `shared`, but the kernel refuses flags that it does not know (`MAP_SHARED_VALIDATE`). */
  sharedValidate?: boolean | undefined;
  /** Views stay valid after {@link MappedFile.close}: the memory is given back when the last view is collected. */
  direct?: boolean | undefined;
  /** Map memory without a file. The path is ignored. Needs `write` and `size`. */
  anon?: boolean | undefined;
  /** Delete the file when it is closed, if the path still names it. Views keep the memory. */
  autoUnlink?: boolean | undefined;
  /** Map exactly at `address`; `EEXIST` if something is mapped there. */
  fixed?: boolean | undefined;
  /** The address to map at, a multiple of the page size. A hint, unless `fixed` is given. */
  address?: Integer | undefined;
  /** The size of the file does not change while it is open: {@link MappedFile.resize} throws `EMMAP_FIXED_SIZE`. */
  fixedSize?: boolean | undefined;
  /** Refuse every other handle that may write: the second open throws `EBUSY`. Needs `write`. */
  exclusive?: boolean | undefined;
  /** Reserve no disk space. The file becomes sparse, and if the disk is full later, a write is `EFAULT`. */
  noreserve?: boolean | undefined;
  /** Read all pages from the disk now. This can take long. */
  populate?: boolean | undefined;
  /** With `populate`: map only the pages that are in memory already. */
  nonblock?: boolean | undefined;
  /** For persistent memory (`MAP_SYNC`): `ENOTSUP` on other storage. */
  sync?: boolean | undefined;
  /** Use huge pages: with `anon`, or for a file on hugetlbfs. */
  hugetlb?: boolean | undefined;
  /** Use huge pages of 2 MiB. */
  huge2mb?: boolean | undefined;
  /** Use huge pages of 1 GiB. */
  huge1gb?: boolean | undefined;
  /**
   * Permission bits of a new file, independent of the umask: 0 to 0o7777. Default 0o600: only its owner can open it.
   */
  mode?: number | undefined;
  /** The file grows to at least `offset` + `size` bytes before it is mapped. Below 2^63. */
  size?: Integer | undefined;
  /** The place of position 0 in the file on disk: any byte below 2^63. */
  offset?: Integer | undefined;
  /** The number of bytes to map. Default: all to the end of the file. Below 2^63. */
  length?: Integer | undefined;
  /** {@link MappedFile.resize} without a size doubles the file, but adds at most this many bytes. Default 64 MiB. */
  maxIncSize?: Integer | undefined;
  /**
   * The most milliseconds that an operation waits for a lock of another process, for example of one that is stopped.
   * Then it throws `ETIMEDOUT`, and has changed nothing. 0: it tries once. `Infinity`: no limit. Default 5000.
   */
  lockTimeout?: number | undefined;
}

/**
 * How to open a file of counters. Without `read` and `write` it is opened for writing, and created if it does not
 * exist.
 */
export type CountersOptions = Pick<
  OpenOptions,
  "read" | "write" | "create" | "exclusive" | "noreserve" | "populate" | "nonblock" | "mode" | "lockTimeout"
> & {
  /**
   * The count is a minimum. A file with fewer counters grows, and the new counters are 0. A file with more is opened
   * with all of them. Handles that are open already keep the number of counters that they had.
   */
  grow?: boolean | undefined;
  /** Open it also on a file system that does not give all processes the same memory: see docs/file-systems.md. */
  shared?: "unsafe" | undefined;
};

/**
 * How to open a queue or a block storage. Without `read` and `write` it is opened for writing, and created if it does
 * not exist.
 */
export interface StructureOptions extends Omit<CountersOptions, "shared" | "grow"> {
  /** Bytes of a new file. An existing file keeps its size. Default 4096. */
  size?: Integer | undefined;
  /** The file never grows: `EMMAP_FULL` when there is no room. */
  fixedSize?: boolean | undefined;
  /** When the file grows it doubles, but it grows by at most this many bytes. Default 64 MiB. */
  maxIncSize?: Integer | undefined;
  /**
   * When nothing is left in this file and the path names another file, switch to that file; if the path names no file,
   * wait for one. Without this option such an operation throws `ESTALE`. With it `ESTALE` means that the new file cannot
   * be opened like this one, or is in use under another name. The path is checked at most once a second.
   */
  follow?: boolean | undefined;
}

const FLAGS = {
  read: "read",
  write: "write",
  create: "create",
  truncate: "truncate",
  shared: "shared",
  private: "private",
  sharedValidate: "shared_validate",
  direct: "direct",
  anon: "anon",
  autoUnlink: "auto_unlink",
  fixed: "fixed",
  fixedSize: "fixed_size",
  exclusive: "exclusive",
  follow: "follow",
  grow: "grow",
  noreserve: "noreserve",
  populate: "populate",
  nonblock: "nonblock",
  sync: "sync",
  hugetlb: "hugetlb",
  huge2mb: "huge_2mb",
  huge1gb: "huge_1gb",
} as const;

/** The core's EMMAP_NO_LIMIT. */
const NO_LIMIT = 2n ** 64n - 1n;

const NUMBERS = {
  address: "address",
  mode: "mode",
  size: "size",
  offset: "offset",
  length: "length",
  maxIncSize: "max_inc_size",
  lockTimeout: "lock_timeout",
} as const;

const COUNTERS_OPTIONS: ReadonlySet<string> = new Set<keyof CountersOptions>([
  "read",
  "write",
  "create",
  "exclusive",
  "noreserve",
  "populate",
  "nonblock",
  "mode",
  "lockTimeout",
  "shared",
  "grow",
]);

/** The options of cells and tables, whose size is fixed when they are created. */
const SHAPED_OPTIONS = [...COUNTERS_OPTIONS].filter((name) => name !== "shared" && name !== "grow");

const STRUCTURE_OPTIONS: ReadonlySet<string> = new Set<string>([
  ...SHAPED_OPTIONS,
  "size",
  "fixedSize",
  "maxIncSize",
  "follow",
]);

/** The options of {@link open}. */
const FILE_OPTIONS: ReadonlySet<string> = new Set(
  [...Object.keys(FLAGS), ...Object.keys(NUMBERS)].filter((name) => name !== "follow" && name !== "grow"),
);

function flagName(name: string): string | undefined {
  return Object.hasOwn(FLAGS, name) ? FLAGS[name as keyof typeof FLAGS] : undefined;
}

function numberName(name: string): string | undefined {
  return Object.hasOwn(NUMBERS, name) ? NUMBERS[name as keyof typeof NUMBERS] : undefined;
}

function toNative(options: object, names: ReadonlySet<string>, what: string): NativeOptions {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const native: NativeOptions = [];
  for (const [name, value] of Object.entries(options) as [string, unknown][]) {
    const flag = flagName(name);
    const number = numberName(name);
    if (!names.has(name)) {
      if (flag !== undefined || number !== undefined)
        throw valueError(`The option "${name}" is not one for ${what}`);
      throw valueError(unknownOption(name, names));
    }
    if (value === undefined) continue;
    if (name === "shared" && value === "unsafe") {
      native.push("shared_unsafe", null);
    } else if (flag !== undefined) {
      const expected = name === "shared" ? 'a boolean or "unsafe"' : "of type boolean";
      if (typeof value !== "boolean") throw typeError(`options.${name}`, expected, value);
      if (value) native.push(flag, null);
    } else if (number !== undefined) {
      const noLimit = name === "lockTimeout" && value === Number.POSITIVE_INFINITY;
      const given = noLimit ? NO_LIMIT : toBigInt(value as Integer, `options.${name}`);
      if (given < 0n) throw rangeError(`options.${name}`, "0 or more", value);
      if (name === "mode" && given > 0o7777n) throw rangeError("options.mode", "from 0 to 0o7777", value);
      native.push(number, given);
    }
  }
  return native;
}

/** The options of {@link open} for the core, whose default is a private mapping. @internal */
export function openOptions(options: OpenOptions): NativeOptions {
  const native = toNative(options, FILE_OPTIONS, "files");
  // A read-only file is mapped private, because JavaScript has no read-only buffers: a write to a view must change a page
  // of this process, and not the file. Reads of such a mapping see the file's bytes.
  const sharing =
    options.write || options.hugetlb || options.sync || options.sharedValidate ? "shared" : "private";
  if (options.private) return native;
  if (sharing === "private")
    return [
      ...native.filter((_, i) => !["shared", "shared_unsafe"].includes(native[i - (i % 2)] as string)),
      "private",
      null,
    ];
  return options.shared ? native : [...native, "shared", null];
}

/** The options of {@link openCounters} for the core. @internal */
export function countersOptions(options: CountersOptions): NativeOptions {
  const { shared } = options ?? {};
  if (shared !== undefined && shared !== "unsafe")
    throw valueError('The option "shared" can only be "unsafe" for counters, which are always shared');
  return toNative(options, COUNTERS_OPTIONS, "counters");
}

/** The options of {@link openCell} for the core. @internal */
export function cellOptions(options: object, more: readonly string[]): NativeOptions {
  return toNative(options, new Set([...SHAPED_OPTIONS, ...more]), "cells");
}

/** The options of {@link openTable} for the core, without `own`, which are its arguments. @internal */
export function tableOptions(options: object, own: readonly string[]): NativeOptions {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const rest = Object.fromEntries(Object.entries(options).filter(([name]) => !own.includes(name)));
  return toNative(rest, new Set([...SHAPED_OPTIONS, ...own]), "tables");
}

/** The options of {@link openQueue} and {@link openBlockStorage} for the core. @internal */
export function structureOptions(
  options: StructureOptions,
  what: string,
  more: readonly string[],
): NativeOptions {
  return toNative(options, new Set([...STRUCTURE_OPTIONS, ...more]), what);
}

/** Not `instanceof`: it may be of another context of V8. */
function isUrl(path: unknown): path is URL {
  return typeof path === "object" && path !== null && "href" in path && "protocol" in path;
}

/** The path for the core: a string, or bytes if they are not UTF-8. @internal */
export function toPath(path: PathLike): NativePath {
  let name: unknown = isUrl(path) ? fileURLToPath(path) : path;
  if (types.isUint8Array(name)) {
    const bytes = Buffer.from(name);
    name = isUtf8(bytes) ? bytes.toString() : bytes;
  }
  if (typeof name !== "string" && !Buffer.isBuffer(name))
    throw typeError("path", "of type string or an instance of Buffer or URL", path);
  if (name.includes("\0"))
    throw valueError('The "path" argument must be a string, a Buffer or a URL without null bytes');
  return name;
}
