// A new folder for a benchmark's files. It is deleted when the benchmark ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
