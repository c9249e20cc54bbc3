// Runs the tests of the TypeScript API with the same addon on every Node release that it supports.
import { spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(dirname(fileURLToPath(import.meta.url)), "..");
const releases = join(root, "test", "node-releases");
const aliases = Object.keys(JSON.parse(readFileSync(join(releases, "package.json"), "utf8")).dependencies);

if (process.platform !== "linux" || process.arch !== "x64") {
  console.error(
    `the other releases of Node are installed as linux-x64, and this is ${process.platform}-${process.arch}`,
  );
  process.exit(1);
}

const binaryOf = (alias) => join(releases, "node_modules", alias, "bin", "node");

function run(command, args) {
  const { status } = spawnSync(command, args, { cwd: root, stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
}

if (!aliases.every((alias) => existsSync(binaryOf(alias))))
  run("npm", ["ci", "--prefix", releases, "--no-audit", "--no-fund"]);

const vitest = join(root, "node_modules", "vitest", "vitest.mjs");
// These tests do not depend on the release that runs them.
const leaveOut = ["--exclude", "test/etf/**"];
for (const node of [process.execPath, ...aliases.map(binaryOf)]) {
  const { stdout } = spawnSync(node, ["--version"], { encoding: "utf8" });
  console.log(`\nNode ${stdout.trim()}`);
  run(node, [vitest, "run", "--reporter=dot", ...leaveOut]);
}
