// Finds the addon and loads it, in the package and in bundles.
import { closeSync, existsSync, fstatSync, lstatSync, openSync, readSync } from "node:fs";
import Module from "node:module";
import { basename, dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "./version.js";

/**
 * The file that this code runs from; undefined if it cannot be found out. The stack of an error has its name. `__filename`
 * and `import.meta.url` do not help: bundlers replace them by the path on the machine where they ran, which any user may
 * own on another machine, or by a path relative to the current folder.
 */
function ownFile(): string | undefined {
  const name = callerOf() ?? /\(?((?:file:\/\/)?\/[^\n]*?):\d+:\d+\)?$/m.exec(String(new Error().stack))?.[1];
  const path = name?.startsWith("file:") ? fileURLToPath(name) : name;
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

/** The file name of this script; undefined if `Error` is frozen. */
function callerOf(): string | undefined {
  const { prepareStackTrace, stackTraceLimit } = Error;
  try {
    Error.stackTraceLimit = 1;
    Error.prepareStackTrace = (_, sites) => sites[0]?.getFileName();
    const name: unknown = new Error().stack;
    Error.stackTraceLimit = stackTraceLimit;
    Error.prepareStackTrace = prepareStackTrace as NonNullable<typeof prepareStackTrace>;
    return typeof name === "string" ? name : undefined;
  } catch {
    return undefined;
  }
}

/**
 * The folders that may contain `prebuilds`. A loaded addon runs as code. So none of them depends on the current folder,
 * and none lies above the folder of a bundle: others may be able to write there.
 */
function folders(file: string | undefined): string[] {
  // The code of an executable of Bun is in a file system in memory, and that of an executable of Node has the file name
  // of the machine where it was made.
  if (file?.startsWith("/$bunfs/") || isSingleExecutable()) return [dirname(process.execPath)];
  if (file === undefined) return [];
  // In the package this file has its own name, and lies in dist or src.
  const isBundle = !/^load\.[cm]?[jt]s$/.test(basename(file));
  return [isBundle ? dirname(file) : dirname(dirname(file)), ...installed(file)];
}

/** Whether this process is a single executable application of Node. */
function isSingleExecutable(): boolean {
  try {
    return Module.createRequire(process.execPath)("node:sea").isSea() as boolean;
  } catch {
    return false;
  }
}

/** The folder of the installed package, as Node finds it for `require("emmap")` in a bundle. */
function installed(file: string): string[] {
  try {
    return [dirname(Module.createRequire(file).resolve("emmap/package.json"))];
  } catch {
    return [];
  }
}

/**
 * The libcs that the addon may be for, as the end of its folder's name, the more likely one first. If it is certain,
 * only one: an addon for glibc may seem to work on musl.
 */
function libcs(): string[] {
  if (process.platform !== "linux") return [""];
  // An executable names its loader near its beginning. It may have been deleted by an upgrade, or reading it may be
  // forbidden.
  const beginning = Buffer.alloc(4096);
  try {
    const executable = openSync("/proc/self/exe", "r");
    try {
      readSync(executable, beginning);
    } finally {
      closeSync(executable);
    }
  } catch {
    // Then the beginning stays zeros.
  }
  if (beginning.includes("/ld-musl-")) return ["-musl"];
  if (beginning.includes("/ld-linux-")) return [""];
  return reportedLibcs();
}

/** The parts of Node's report that are used here. The first releases of Node 20 have no `excludeNetwork`. */
interface Report {
  excludeNetwork?: boolean;
  getReport(): { header: { glibcVersionRuntime?: string } };
}

/** As {@link libcs}, from the report of the process, which takes 25 ms. */
function reportedLibcs(): string[] {
  try {
    const report = process.report as unknown as Report;
    const { excludeNetwork } = report;
    // Otherwise the report looks up the host names of all connections.
    if (excludeNetwork !== undefined) report.excludeNetwork = true;
    const { glibcVersionRuntime } = report.getReport().header;
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
    return glibcVersionRuntime === undefined ? ["-musl", ""] : [""];
  } catch {
    return ["", "-musl"];
  }
}

/** Returns the addon if it has this version. An addon that was copied beside a bundle may be of another release. */
function ofThisVersion(addon: { version?: string }): object {
  const { version = "an earlier one" } = addon;
  if (version === VERSION) return addon;
  throw new Error(`its version of emmap is ${version}, and that of the JavaScript is ${VERSION}`);
}

/** An error of loading. Its cause, if there is one, is the engine's. */
function loadError(message: string, options?: ErrorOptions): Error {
  return Object.assign(new Error(message, options), { code: "EMMAP_NOT_LOADED" });
}

/** The error for an addon that cannot be loaded, with a way out. */
function refusal(path: string, cause: NodeJS.ErrnoException, build: string | undefined): Error {
  const { code, message } = cause;
  const wanted = `emmap can't load its native code, ${path}`;
  if (code === "ERR_ACCESS_DENIED")
    return loadError(
      `${wanted}: this process may not read it; start Node with --allow-fs-read=${dirname(path)} and --allow-addons`,
      { cause },
    );
  if (code === "EACCES") return loadError(`${wanted}: this user may not read it`, { cause });
  if (code === "ERR_DLOPEN_DISABLED") {
    const flag = "permission" in process ? "with --allow-addons" : "without --no-addons";
    return loadError(`${wanted}: this process may load none; start Node ${flag}`, { cause });
  }
  if (/NotCapable|PermissionDenied/.test(cause.name) || /--allow-(ffi|read)/.test(message)) {
    const flags = `--allow-ffi and --allow-read=${dirname(path)}`;
    return loadError(`${wanted}: this process may not; start Deno with ${flags}`, { cause });
  }
  const advice = build === undefined ? "" : `; to build it for this system: node ${build}`;
  const why = message.replace(`${path}: `, "");
  return loadError(`${path} can't be loaded: ${why}${advice}`, { cause });
}

/** As existsSync, but throws if the path may not be looked at. */
function isThere(path: string): boolean {
  try {
    lstatSync(path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return false;
    throw error;
  }
}

/** The machine of an ELF file (e_machine of elf.h), by `process.arch`. */
const MACHINES: Partial<Record<string, number>> = { x64: 62, arm64: 183 };

/** Throws for an addon that dlopen would misjudge: of another processor, or cut off, which would end the process by SIGBUS. */
function checkElf(path: string): void {
  const fd = openSync(path, "r");
  try {
    const header = Buffer.alloc(64);
    if (readSync(fd, header, 0, 64, 0) < 64 || header.readUInt32BE(0) !== 0x7f454c46) return;
    const machine = MACHINES[process.arch];
    if (machine === undefined) return;
    if (header.readUInt16LE(18) !== machine)
      throw new Error(`it is for another processor than ${process.arch}`);
    const end = Number(header.readBigUInt64LE(40)) + header.readUInt16LE(58) * header.readUInt16LE(60);
    if (fstatSync(fd).size < end) throw new Error("the file is cut off; copy it again");
  } finally {
    closeSync(fd);
  }
}

/** The addon's functions. */
export function load(): object {
  const places = folders(ownFile());
  const platforms = libcs().map((libc) => `${process.platform}-${process.arch}${libc}`);
  let failed: Error | undefined;
  for (const place of places)
    for (const platform of platforms) {
      const path = join(place, "prebuilds", platform, "emmap.node");
      try {
        // Neither require nor an imported createRequire: bundlers would try to bundle the path.
        if (isThere(path)) {
          checkElf(path);
          return ofThisVersion(Module.createRequire(path)(path));
        }
      } catch (cause) {
        failed ??= refusal(path, cause as NodeJS.ErrnoException, buildScript(place));
      }
    }
  if (failed !== undefined) throw failed;
  const [place] = places;
  if (place === undefined)
    throw loadError(
      "emmap can't tell which file it is in, and so cannot find its native code: make emmap an external of the bundle",
    );
  const path = join(place, "prebuilds", platforms[0] as string, "emmap.node");
  const build = buildScript(place);
  const advice =
    build === undefined
      ? "this code was bundled without it: copy the package's prebuilds there, or make emmap an external of the bundle and install it beside that"
      : `emmap brings no addon for this platform; build it with: node ${build}`;
  throw loadError(`${path} is missing: ${advice}`);
}

/** The script that compiles the addon; undefined if it is not there, as beside bundles. */
function buildScript(place: string): string | undefined {
  const script = join(place, "scripts", "build-addon.mjs");
  try {
    return existsSync(script) ? script : undefined;
  } catch {
    return undefined;
  }
}
