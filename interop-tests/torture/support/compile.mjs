import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(import.meta.url), "../../../..");
const folder = join(root, "native/test/build/torture");

/** The libraries that this process has built, by their folders. */
const libraries = new Map();

/** Builds libemmap_core.a as the doors link it, or with another compiler and more flags in another folder. Returns its path. */
export function coreLibrary({ compiler = "cc", flags = [], name = "" } = {}) {
  const build = join(folder, name);
  if (!libraries.has(build)) libraries.set(build, buildLibrary(build, compiler, flags));
  return libraries.get(build);
}

function buildLibrary(build, compiler, flags) {
  const makefile = join(root, "native/core/core.mk");
  mkdirSync(build, { recursive: true });
  // One at a time: another run may be building it, too.
  const lock = [join(build, "lock"), "make", "-s", "-j2", "-f", makefile];
  const variables = [`BUILD=${build}`, `CC=${compiler}`, `CFLAGS=${["-Werror", ...flags].join(" ")}`];
  execFileSync("flock", [...lock, ...variables], { stdio: ["ignore", "ignore", "inherit"] });
  return join(build, "libemmap_core.a");
}

/** As `compile`, with this compiler. */
export function compileWith(compiler, name, sources, ...flags) {
  const product = join(folder, name);
  const newest = Math.max(...sources.map((source) => statSync(source).mtimeMs));
  if (existsSync(product) && statSync(product).mtimeMs > newest) return product;
  mkdirSync(dirname(product), { recursive: true });
  // First under a name of its own, because another run may be compiling or using the same program.
  const making = `${product}.${process.pid}`;
  const definitions = ["-D_XOPEN_SOURCE=700", `-I${join(root, "native/include")}`];
  const strict = ["-std=c11", "-O1", "-pthread", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
  execFileSync(compiler, [...strict, ...definitions, ...sources, "-o", making, ...flags]);
  renameSync(making, product);
  return product;
}

/** Compiles C sources to a program or a library, beside the programs of the core's tests. Returns its path. */
export const compile = (name, sources, ...flags) => compileWith("cc", name, sources, ...flags);
