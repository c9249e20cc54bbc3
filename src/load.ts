// Finds the addon and loads it, in the package and in what bundlers make of it.
import { closeSync, existsSync, openSync, readSync } from "node:fs";
import Module from "node:module";
import { basename, dirname, isAbsolute, join } from "node:path";
import { fileURLToPath } from "node:url";
import { VERSION } from "./version.js";

/**
 * The file that this code runs from; undefined where nothing tells. The runtime is asked, not `__filename` or
 * `import.meta.url`: bundlers replace those by the path that the file had where they ran, which on another machine
 * belongs to anybody, or by one that is relative to the current folder.
 */
function ownFile(): string | undefined {
  const name = callerOf() ?? /\(?((?:file:\/\/)?\/[^\n]*?):\d+:\d+\)?$/m.exec(String(new Error().stack))?.[1];
  const path = name?.startsWith("file:") ? fileURLToPath(name) : name;
  return path !== undefined && isAbsolute(path) ? path : undefined;
}

/** The name of the script that this is in; undefined where `Error` is frozen. */
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
 * The folders that may have `prebuilds` in them. Code that is loaded is run: so there is none that depends on the
 * current folder, and none above the one of a bundle, which others may write to.
 */
function folders(file: string | undefined): string[] {
  // The code of an executable that Bun has made is in a file system that exists in its memory only, and that of Node's in
  // a file that was where it was made.
  if (file?.startsWith("/$bunfs/") || isSingleExecutable()) return [dirname(process.execPath)];
  if (file === undefined) return [];
  // In the package this file has its own name, and is in dist or src.
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

/** Where the package is installed for a bundle that has this code in it, as Node finds it for `require("emmap")`. */
function installed(file: string): string[] {
  try {
    return [dirname(Module.createRequire(file).resolve("emmap/package.json"))];
  } catch {
    return [];
  }
}

/**
 * The libcs whose addon may be the right one, as the end of its folder's name; the more likely one first. Only one, if it
 * is certain: an addon for glibc may seem to work on musl.
 */
function libcs(): string[] {
  if (process.platform !== "linux") return [""];
  // An executable names its loader near its beginning. An upgrade may have removed it, and its path may be forbidden.
  const beginning = Buffer.alloc(4096);
  try {
    const executable = openSync("/proc/self/exe", "r");
    try {
      readSync(executable, beginning);
    } finally {
      closeSync(executable);
    }
  } catch {
    // What was not read is zeros.
  }
  if (beginning.includes("/ld-musl-")) return ["-musl"];
  if (beginning.includes("/ld-linux-")) return [""];
  return reportedLibcs();
}

/** What Node reports of itself, as far as it matters here. The property is newer than Node 20's first releases. */
interface Report {
  excludeNetwork?: boolean;
  getReport(): { header: { glibcVersionRuntime?: string } };
}

/** As {@link libcs}, by the process's report, which takes 25 ms. */
function reportedLibcs(): string[] {
  try {
    const report = process.report as unknown as Report;
    const { excludeNetwork } = report;
    // Else it looks up the names of all peers.
    if (excludeNetwork !== undefined) report.excludeNetwork = true;
    const { glibcVersionRuntime } = report.getReport().header;
    if (excludeNetwork !== undefined) report.excludeNetwork = excludeNetwork;
    return glibcVersionRuntime === undefined ? ["-musl", ""] : [""];
  } catch {
    return ["", "-musl"];
  }
}

/** The addon, if it is what this code was written for: one that was copied beside a bundle may be of another release. */
function ofThisVersion(addon: { version?: string }): object {
  const { version = "an earlier one" } = addon;
  if (version === VERSION) return addon;
  throw new Error(`its version of emmap is ${version}, and that of the JavaScript is ${VERSION}`);
}

/** Why loading has failed, with what makes it work. */
function refusal(path: string, cause: NodeJS.ErrnoException, build: string | undefined): Error {
  const { code, message } = cause;
  const wanted = `emmap can't load its native code, ${path}`;
  if (code === "ERR_ACCESS_DENIED")
    return new Error(
      `${wanted}: this process may not read it; start Node with --allow-fs-read=${dirname(path)} and --allow-addons`,
      { cause },
    );
  if (code === "ERR_DLOPEN_DISABLED") {
    const flag = "permission" in process ? "with --allow-addons" : "without --no-addons";
    return new Error(`${wanted}: this process may load none; start Node ${flag}`, { cause });
  }
  if (/NotCapable|PermissionDenied/.test(cause.name) || /--allow-(ffi|read)/.test(message)) {
    const flags = `--allow-ffi and --allow-read=${dirname(path)}`;
    return new Error(`${wanted}: this process may not; start Deno with ${flags}`, { cause });
  }
  const advice = build === undefined ? "" : `; to build it for this system: node ${build}`;
  const why = message.replace(`${path}: `, "");
  return new Error(`${path} can't be loaded: ${why}${advice}`, { cause });
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
        // Not require, nor createRequire imported by its name: bundlers would take that for something to bundle.
        if (existsSync(path)) return ofThisVersion(Module.createRequire(path)(path));
      } catch (cause) {
        failed ??= refusal(path, cause as NodeJS.ErrnoException, buildScript(place));
      }
    }
  if (failed !== undefined) throw failed;
  const [place] = places;
  if (place === undefined)
    throw new Error(
      "emmap can't tell which file it is in, and so not where its native code is: make emmap an external of the bundle",
    );
  const path = join(place, "prebuilds", platforms[0] as string, "emmap.node");
  const build = buildScript(place);
  const advice =
    build === undefined
      ? "this code was bundled without it: copy the package's prebuilds there, or make emmap an external of the bundle and install it beside that"
      : `emmap brings no addon for this platform; build it with: node ${build}`;
  throw new Error(`${path} is missing: ${advice}`);
}

/** What compiles the addon; undefined where it is not there, as in bundles. */
function buildScript(place: string): string | undefined {
  const script = join(place, "scripts", "build-addon.mjs");
  try {
    return existsSync(script) ? script : undefined;
  } catch {
    return undefined;
  }
}
