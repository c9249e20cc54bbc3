// Options by their names in JavaScript, and how the core calls them.
import { isUtf8 } from "node:buffer";
import type { PathLike } from "node:fs";
import { fileURLToPath } from "node:url";
import { types } from "node:util";
import type { NativeOptions, NativePath } from "./addon.js";
import { type Integer, rangeError, toBigInt, typeError, valueError } from "./arguments.js";
import { unknownOption } from "./etf/options.js";

/** How to open a file. Unless said otherwise an option is off; unknown ones are an error. */
export interface OpenOptions {
  /** Open for reading. This is what happens without `write`, too. */
  read?: boolean | undefined;
  /** Open for writing, and reading. */
  write?: boolean | undefined;
  /** Create the file if it is missing; `existed` tells. Needs `write` and a `size` or `length`. */
  create?: boolean | undefined;
  /** Empty the file first. Needs `write`. Without a `size` or `length` the file keeps its size. */
  truncate?: boolean | undefined;
  /**
   * Writes reach the file, and everybody who has it mapped. The default. It is `ENOTSUP` on a file system that does not show
   * all who open the file the same memory, unless it is `"unsafe"`: see docs/file-systems.md.
   */
  shared?: boolean | "unsafe" | undefined;
  /** Writes stay in this mapping and are lost when it goes. */
  private?: boolean | undefined;
  /** As `shared`, and the kernel refuses flags that it does not know. */
  sharedValidate?: boolean | undefined;
  /** Views outlive {@link MappedFile.close}: the memory stays until the last one is collected. */
  direct?: boolean | undefined;
  /** No file: memory that lives as long as the mapping. The path is ignored. Needs `write` and a `size`. */
  anon?: boolean | undefined;
  /** Remove the file when it is closed, if the path still leads to it. Views keep the memory. */
  autoUnlink?: boolean | undefined;
  /** Map at `address` exactly; `EEXIST` if something is there. */
  fixed?: boolean | undefined;
  /** Where to map: a hint, unless `fixed`. A multiple of the page size. */
  address?: Integer | undefined;
  /** Never change the file's size once it is open; {@link MappedFile.resize} is `EMMAP_FIXED_SIZE`. */
  fixedSize?: boolean | undefined;
  /** Nobody else may have the file open for writing: `EBUSY` for them, or here. Needs `write`. */
  exclusive?: boolean | undefined;
  /** Reserve no disk space: growing makes a sparse file, and a full disk is `EFAULT` later. */
  noreserve?: boolean | undefined;
  /** Read all pages in now. This may take long. */
  populate?: boolean | undefined;
  /** With `populate`: only pages that are in memory already. */
  nonblock?: boolean | undefined;
  /** For persistent memory (`MAP_SYNC`); `ENOTSUP` on other storage. */
  sync?: boolean | undefined;
  /** Huge pages: with `anon`, or for a file on hugetlbfs. */
  hugetlb?: boolean | undefined;
  /** Huge pages of 2 MiB. */
  huge2mb?: boolean | undefined;
  /** Huge pages of 1 GiB. */
  huge1gb?: boolean | undefined;
  /** Permission bits of a created file, exact whatever the umask: 0 to 0o7777. Without it 0o600: nobody else's. */
  mode?: number | undefined;
  /** The file is grown to at least `offset` + `size` bytes before it is mapped. Below 2^63. */
  size?: Integer | undefined;
  /** Where in the file position 0 is, in bytes: any byte below 2^63. */
  offset?: Integer | undefined;
  /** Bytes to map. Without it all to the end of the file. Below 2^63. */
  length?: Integer | undefined;
  /** {@link MappedFile.resize} without a size doubles up to this many bytes, then adds them: 64 MiB. */
  maxIncSize?: Integer | undefined;
  /**
   * For how many milliseconds an operation waits for a lock that another process has, one that is stopped for example:
   * 5000. Then it throws `ETIMEDOUT`, and nothing has been done. 0: it tries once. `Infinity` is no limit.
   */
  lockTimeout?: number | undefined;
}

/** How to open a file of counters. With neither `read` nor `write` it is for writing, and created if missing. */
export type CountersOptions = Pick<
  OpenOptions,
  "read" | "write" | "create" | "exclusive" | "noreserve" | "populate" | "nonblock" | "mode" | "lockTimeout"
> & {
  /**
   * At least as many counters: a file that has fewer gets as many, the new ones 0, and one that has more is opened with all.
   * Those who have it open go on with as many as they had.
   */
  grow?: boolean | undefined;
  /** Also on a file system that does not show all who open the file the same memory: see docs/file-systems.md. */
  shared?: "unsafe" | undefined;
};

/** How to open a queue or a block storage. With neither `read` nor `write` it is for writing, and created if missing. */
export interface StructureOptions extends Omit<CountersOptions, "shared" | "grow"> {
  /** Bytes of a file that is created: 4096. One that is there is opened as it is. */
  size?: Integer | undefined;
  /** Never let the file grow: `EMMAP_FULL` when there is no room. */
  fixedSize?: boolean | undefined;
  /** The file doubles up to this many bytes, then they are added: 64 MiB. */
  maxIncSize?: Integer | undefined;
  /**
   * Go over to another file that the path comes to mean, where nothing is found in this one any more, and wait for one where
   * there is none. Without it that is `ESTALE`. It is looked for once a second at most.
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

const STRUCTURE_OPTIONS: ReadonlySet<string> = new Set<string>([
  ...[...COUNTERS_OPTIONS].filter((name) => name !== "shared" && name !== "grow"),
  "size",
  "fixedSize",
  "maxIncSize",
  "follow",
]);

/** Those of {@link open}. */
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
      if (typeof value !== "boolean") throw typeError(`options.${name}`, "of type boolean", value);
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
  // What is read of a private mapping that nobody writes to is what is read of a shared one, and only a private
  // one can be shown in a buffer, which JavaScript can't make read-only.
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
    throw valueError('The option "shared" of counters, which always are, can only be "unsafe"');
  return toNative(options, COUNTERS_OPTIONS, "counters");
}

/** The options of {@link openQueue} and {@link openBlockStorage} for the core. @internal */
export function structureOptions(
  options: StructureOptions,
  what: string,
  more: readonly string[],
): NativeOptions {
  return toNative(options, new Set([...STRUCTURE_OPTIONS, ...more]), what);
}

/** Not `instanceof`: it may be one of another context of V8. */
function isUrl(path: unknown): path is URL {
  return typeof path === "object" && path !== null && "href" in path && "protocol" in path;
}

/** The path as the core takes it: a string, unless it is bytes that are no UTF-8. @internal */
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
