// Finishes dist after tsc.
//
// Marks dist/esm as ECMAScript modules, for bundlers. Node uses the CommonJS modules in dist for import too, so that a process
// has each module once. Removes the types of modules that no public type mentions, and most of the modules' indentation.
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const dist = fileURLToPath(new URL("../dist", import.meta.url));
writeFileSync(join(dist, "esm/package.json"), '{ "type": "module" }\n');

const files = (ending) =>
  readdirSync(dist, { recursive: true })
    .filter((name) => name.endsWith(ending))
    .map((name) => join(dist, name));

const mentioned = new Set();
function mention(path) {
  if (mentioned.has(path) || !existsSync(path)) return;
  mentioned.add(path);
  for (const [, name] of readFileSync(path, "utf8").matchAll(/(?:from |import\()"(\..*?)"/g))
    mention(resolve(path, "..", name.replace(/js$/, "d.ts")));
}
for (const name of ["index.d.ts", "etf/index.d.ts", "express-rate-limit.d.ts"]) mention(join(dist, name));
for (const path of files(".d.ts")) {
  if (mentioned.has(path)) continue;
  rmSync(path);
  rmSync(`${path}.map`);
}

// Four spaces a level are a tenth of the modules' size. Lines within template strings stay as they are.
const isInTemplate = (line) => (line.match(/`/g)?.length ?? 0) % 2 === 1;
for (const path of [...files(".js"), ...files(".mjs")]) {
  const lines = readFileSync(path, "utf8").split("\n");
  if (lines.some(isInTemplate)) continue;
  const indented = lines.map((line) => line.replace(/^ +/, (spaces) => " ".repeat(spaces.length / 4)));
  writeFileSync(path, indented.join("\n"));
}
