// Compiles native/addon for this machine and puts the result where src/addon.ts looks for it. Needs node-gyp beside
// this package or above it, a C11 and a C++17 compiler, make and Python 3. V=1 in the environment shows the commands.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, realpathSync, renameSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");

function nodeGyp() {
  try {
    const require = createRequire(import.meta.url);
    return join(dirname(require.resolve("node-gyp/package.json")), "bin", "node-gyp.js");
  } catch {
    console.error("Building the addon needs a package: npm install --save-dev node-gyp");
    process.exit(1);
  }
}

/** Compiles the addon in `folder` for `arch`, and puts it into the package as prebuilds/<name>/emmap.node. */
export function build(name, folder = join(root, "native", "addon"), arch = process.arch, env = {}) {
  // Uses the headers that came with this Node, if it has some; otherwise node-gyp downloads them.
  const prefix = resolve(process.execPath, "..", "..");
  const nodedir = existsSync(join(prefix, "include", "node", "common.gypi")) ? [`--nodedir=${prefix}`] : [];

  const loud = process.env.V === "1" ? ["--verbose"] : ["--loglevel=error"];
  const args = [nodeGyp(), "rebuild", "--jobs=2", `--arch=${arch}`, ...loud, ...nodedir];
  const built = spawnSync(process.execPath, args, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
  if (built.status !== 0) process.exit(built.status ?? 1);

  const target = join(root, "prebuilds", name);
  mkdirSync(target, { recursive: true });
  // Renames the new file: a running process may have the old one mapped.
  copyFileSync(join(folder, "build", "Release", "emmap.node"), join(target, "emmap.node.new"));
  renameSync(join(target, "emmap.node.new"), join(target, "emmap.node"));
  console.log(`built ${join(target, "emmap.node")}`);
}

const musl = process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime;
/** The name of this machine's platform. */
export const here = `${process.platform}-${process.arch}${musl ? "-musl" : ""}`;

if (realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) build(here);
