// Compiles native/addon and puts the result where src/addon.ts looks for it. Needs node-gyp beside
// this package or above it, a C11 and a C++17 compiler, make and Python 3.
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const addon = join(root, "native", "addon");

function nodeGyp() {
  try {
    const require = createRequire(import.meta.url);
    return join(dirname(require.resolve("node-gyp/package.json")), "bin", "node-gyp.js");
  } catch {
    console.error("Building the addon needs a package: npm install --save-dev node-gyp");
    process.exit(1);
  }
}

// The headers that came with this Node, where they did; node-gyp downloads them otherwise.
const prefix = resolve(process.execPath, "..", "..");
const nodedir = existsSync(join(prefix, "include", "node", "common.gypi")) ? [`--nodedir=${prefix}`] : [];

const built = spawnSync(process.execPath, [nodeGyp(), "rebuild", "--jobs=2", ...nodedir], {
  cwd: addon,
  stdio: "inherit",
});
if (built.status !== 0) process.exit(built.status ?? 1);

const musl =
  process.platform === "linux" && !process.report.getReport().header.glibcVersionRuntime ? "-musl" : "";
const target = join(root, "prebuilds", `${process.platform}-${process.arch}${musl}`);
mkdirSync(target, { recursive: true });
copyFileSync(join(addon, "build", "Release", "emmap.node"), join(target, "emmap.node"));
console.log(`built ${join(target, "emmap.node")}`);
