// Refuses to pack a package without the addon for one of its platforms, or with one that would not load there. With --here
// only the addon for this machine is required; addons for other platforms may be missing.
// Usage: node scripts/check-prebuilds.mjs [--here] [FOLDER of the addons]
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { oldestGlibc, targets } from "./addon-targets.mjs";
import { here } from "./build-addon.mjs";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const { values: options, positionals } = parseArgs({
  options: { here: { type: "boolean" } },
  allowPositionals: true,
});
const prebuilds = resolve(positionals[0] ?? join(root, "prebuilds"));

function readelf(path) {
  const args = ["--wide", "--file-header", "--dynamic", "--dyn-syms", path];
  return execFileSync("readelf", args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
}

const all = (text, pattern) => [...text.matchAll(pattern)].map(([, found]) => found);

/** The source with the latest change. */
function newestSource() {
  const rooms = ["core", "include", "addon"].map((name) => join(root, "native", name)).filter(existsSync);
  return rooms
    .flatMap((room) =>
      readdirSync(room, { withFileTypes: true }).map((entry) => [entry, join(room, entry.name)]),
    )
    .filter(([entry]) => entry.isFile())
    .map(([, path]) => ({ path, time: statSync(path).mtimeMs }))
    .reduce((newest, source) => (source.time > newest.time ? source : newest), { path: "", time: 0 });
}

/** The faults of the addon at `path`. */
function faults(path, { machine, libraries }) {
  if (!existsSync(path)) return ["is missing"];
  const elf = readelf(path);
  const found = [];
  const source = newestSource();
  if (statSync(path).mtimeMs < source.time) found.push(`is older than ${source.path}`);
  const own = /Machine: +(.*)/.exec(elf)?.[1];
  if (own !== machine) found.push(`is for ${own}`);
  for (const library of all(elf, /\(NEEDED\).*\[(.*)\]/g))
    if (!libraries.includes(library)) found.push(`needs ${library}`);
  for (const symbol of new Set(all(elf, / UND (\S+@GLIBC_\S+)/g)))
    if (!libraries.includes("libc.so.6")) found.push(`needs ${symbol}`);
    else if (later(/@GLIBC_(\S+)/.exec(symbol)[1], oldestGlibc))
      found.push(`needs ${symbol}, and Node 20 runs on glibc ${oldestGlibc}: see native/addon/glibc.h`);
  for (const symbol of all(elf, / (?:GLOBAL|WEAK) +DEFAULT +(?!UND)\S+ (\S+)/g))
    if (!/^(napi_register_module|node_api_module_get_api_version)_v\d+$/.test(symbol))
      found.push(`exports ${symbol}`);
  return found;
}

/** True if version `a` of glibc 2 is later than `b`. */
const later = (a, b) => Number(a.split(".")[1]) > Number(b.split(".")[1]);

let wrong = false;
for (const target of targets) {
  const path = join(prebuilds, target.name, "emmap.node");
  if (options.here && target.name !== here && !existsSync(path)) continue;
  for (const fault of faults(path, target)) {
    wrong = true;
    console.error(`${path} ${fault}`);
  }
}
if (wrong) {
  console.error("Build all of them with: npm run build:prebuilds");
  if (options.here) console.error(`Or remove those for other platforms from ${prebuilds}`);
  process.exit(1);
}
