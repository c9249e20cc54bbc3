// Compiles the addons of the npm package, each in a copy of the sources, and checks them.
import { cpSync, mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { targets } from "./addon-targets.mjs";
import { build } from "./build-addon.mjs";

const native = join(resolve(dirname(fileURLToPath(import.meta.url)), ".."), "native");
const copy = mkdtempSync(join(tmpdir(), "emmap-prebuilds-"));
process.on("exit", () => rmSync(copy, { recursive: true, force: true }));

// Where native/addon/binding.gyp reads the version.
cpSync(join(native, "..", "package.json"), join(copy, "package.json"));

for (const { name, arch, env, kernelHeaders = [] } of targets) {
  for (const part of ["include", "core", "addon"])
    cpSync(join(native, part), join(copy, name, part), {
      recursive: true,
      filter: (path) => path !== join(native, "addon", "build"),
    });
  mkdirSync(join(copy, name, "kernel"));
  for (const path of kernelHeaders) symlinkSync(path, join(copy, name, "kernel", basename(path)));
  // Removes the symbol table, which only debuggers use, and which is as long as the code.
  build(name, join(copy, name, "addon"), arch, { ...env, LDFLAGS: "-Wl,--strip-all" });
}

await import("./check-prebuilds.mjs");
