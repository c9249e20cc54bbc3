// A fresh folder for a benchmark's files, gone when it ends.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
