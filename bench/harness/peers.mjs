// Installs the peers, which the benchmarks compare emmap with. The report names a peer that cannot be installed here.

import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const here = dirname(dirname(fileURLToPath(import.meta.url)));
const INSTALL = ["ci", "--ignore-scripts", "--no-audit", "--no-fund"];
/** The peers that are compiled, with a file that then exists. */
const COMPILED = {
  "better-sqlite3": "build/Release/better_sqlite3.node",
  ems: "build/Release/ems.node",
  "mmap-io": "build/Release/mmap-io.node",
  "shm-typed-array": "build/Release/shm.node",
};

/** Other releases of Node, from the tests' folder. */
const releases = join(here, "../test/node-releases");

function npm(folder, args, environment) {
  const { status, stderr } = spawnSync("npm", [...args, "--prefix", folder], {
    env: { ...process.env, ...environment },
    encoding: "utf8",
  });
  return status === 0 ? undefined : stderr;
}

/** Downloads the peers, and compiles some unless `quick`. No install script of a package runs. */
export function installPeers(quick) {
  const lock = join(here, "package-lock.json");
  const installed = join(here, "node_modules", ".package-lock.json");
  if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
    const failure = npm(here, INSTALL, {});
    if (failure !== undefined) throw new Error(`npm ci failed:\n${failure}`);
  }
  if (quick) return;
  if (!existsSync(join(releases, "node_modules")) && npm(releases, INSTALL, {}) !== undefined)
    console.error("Node 26 could not be installed: benchmarks that need it are left out");
  // Uses the headers that came with this Node, if it has some.
  const prefix = resolve(process.execPath, "..", "..");
  const headers = existsSync(join(prefix, "include/node/common.gypi")) ? { npm_config_nodedir: prefix } : {};
  // mmap-io asks for C++11, but Node's headers need a later standard. A flag from the environment comes last, and wins.
  const environment = { ...headers, CXXFLAGS: "-std=gnu++17" };
  for (const [name, product] of Object.entries(COMPILED)) {
    if (existsSync(join(here, "node_modules", name, product))) continue;
    console.log(`building ${name} …`);
    if (npm(here, ["rebuild", name, "--build-from-source"], environment) !== undefined)
      console.error(`${name} is left out: it could not be built`);
  }
}
