#!/usr/bin/env node
// The command `emmap`.
import { explain } from "./failure.js";
import { endWithReader } from "./output.js";
import { program } from "./program.js";
import { safe } from "./text.js";

endWithReader();
program()
  .parseAsync()
  .catch((error: unknown) => {
    const { message, status } = explain(error);
    process.stderr.write(`emmap: ${safe(message)}\n`);
    process.exitCode = status;
  });
