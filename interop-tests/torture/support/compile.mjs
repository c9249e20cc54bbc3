import { execFileSync } from "node:child_process";
import { existsSync, mkdirSync, renameSync, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const root = resolve(fileURLToPath(import.meta.url), "../../../..");

/** Compiles C sources to a program or a library, beside what the core's tests build; the path of it. */
export function compile(name, sources, ...flags) {
  const product = join(root, "native/test/build/torture", name);
  const newest = Math.max(...sources.map((source) => statSync(source).mtimeMs));
  if (existsSync(product) && statSync(product).mtimeMs > newest) return product;
  mkdirSync(dirname(product), { recursive: true });
  // Under a name of its own first: another run may be compiling, or using, the same.
  const making = `${product}.${process.pid}`;
  const definitions = ["-D_XOPEN_SOURCE=700", `-I${join(root, "native/include")}`];
  const strict = ["-std=c11", "-O1", "-pthread", "-Wall", "-Wextra", "-Wpedantic", "-Werror"];
  execFileSync("cc", [...strict, ...definitions, ...sources, "-o", making, ...flags]);
  renameSync(making, product);
  return product;
}
