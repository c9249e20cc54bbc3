// Programs in C beside the core.
import { execFileSync } from "node:child_process";
import { basename, dirname, extname, join } from "node:path";
import { folder } from "./folder.mjs";

const native = join(import.meta.dirname, "../../native");
const FLAGS = ["-O3", "-std=c11", "-pthread", "-D_XOPEN_SOURCE=700"];
const INCLUDE = [`-I${join(native, "include")}`, `-I${join(native, "core")}`];

/** Builds the core's library, and returns its path. */
export function coreLibrary() {
  const makefile = join(native, "core/core.mk");
  execFileSync("make", ["-s", "-j2", "-f", makefile, `BUILD=${folder}`], {
    stdio: ["ignore", "ignore", "inherit"],
  });
  return join(folder, "libemmap_core.a");
}

/** Compiles a program, and returns its path. The flags may name other objects and libraries. */
export function compile(source, ...more) {
  const program = join(folder, basename(source, extname(source)) + more.length);
  execFileSync("cc", [...FLAGS, ...INCLUDE, `-I${dirname(source)}`, "-o", program, source, ...more]);
  return program;
}

/** Compiles one file of the core with other flags, and returns the object's path. */
export function compileOfCore(name, ...more) {
  const object = join(folder, `${name}.special.o`);
  execFileSync("cc", [
    ...FLAGS,
    ...INCLUDE,
    "-fPIC",
    "-c",
    "-o",
    object,
    join(native, "core", name),
    ...more,
  ]);
  return object;
}
