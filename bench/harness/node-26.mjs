// Node 26 for benchmarks of features that only it has; the tests of Node's releases install it.

import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { fileURLToPath } from "node:url";

const binary = fileURLToPath(
  new URL("../../test/node-releases/node_modules/node-26/bin/node", import.meta.url),
);

/** The major number of the release that runs this. */
export const release = Number.parseInt(process.versions.node, 10);

/** Runs this program on Node 26 too; it prints its own records there. False: there is no Node 26. */
export function runOnNode26() {
  if (!existsSync(binary)) return false;
  const args = ["--disable-warning=ExperimentalWarning", ...process.argv.slice(1)];
  const { status } = spawnSync(binary, args, { stdio: "inherit" });
  if (status !== 0) process.exit(status ?? 1);
  return true;
}
