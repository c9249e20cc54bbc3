// Installs what the benchmarks compare with. A peer that can't be had here is left out, and the report says so.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
/** Those that are compiled, and what then exists. */
const COMPILED = {
  "better-sqlite3": "build/Release/better_sqlite3.node",
  ems: "build/Release/ems.node",
  "mmap-io": "build/Release/mmap-io.node",
  "shm-typed-array": "build/Release/shm.node",
};

/** Other releases of Node, which the tests have as well. */
const releases = join(here, "../test/node-releases");

function npm(folder, args, environment) {
  const { status, stderr } = spawnSync("npm", [...args, "--prefix", folder], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  return status === 0 ? undefined : stderr;
}

/** Downloads the peers; compiles those that need it unless `quick`. Nothing runs that a package would run by itself. */
export function installPeers(quick) {
  const lock = join(here, "package-lock.json");
  const installed = join(here, "node_modules", ".package-lock.json");
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    const failure = npm(here, INSTALL, {});
    if (failure !== undefined) throw new Error(`npm ci failed:\n${failure}`);
  }
  if (quick) return;
  if (!existsSync(join(releases, "node_modules")) && npm(releases, INSTALL, {}) !== undefined)
    console.error("what needs Node 26 is left out: it could not be installed");
  // With the headers that came with this Node, where they did.
  const prefix = resolve(process.execPath, "..", "..");
  const headers = existsSync(join(prefix, "include/node/common.gypi")) ? { npm_config_nodedir: prefix } : {};
  // mmap-io asks for C++11, with which Node's headers can't be compiled any more; the last word is the environment's.
  const environment = { ...headers, CXXFLAGS: "-std=gnu++17" };
  for (const [name, product] of Object.entries(COMPILED)) {
    if (existsSync(join(here, "node_modules", name, product))) continue;
    console.log(`building ${name} …`);
    if (npm(here, ["rebuild", name, "--build-from-source"], environment) !== undefined)
      console.error(`${name} is left out: it could not be built`);
  }
}
