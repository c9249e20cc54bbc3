import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";

const root = resolve(__dirname, "../..");
const folder = mkdtempSync(join(tmpdir(), "emmap-package-"));
let tarball: string;

/** Runs a program in the user's folder, and returns its output. */
function run(program: string, args: string[], cwd = folder): string {
  // npm passes its settings on to its child processes. A user's folder must not get those of this repository.
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^npm_/i.test(name)));
  try {
    return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { stdout, stderr } = error as { stdout: string; stderr: string };
    throw new Error(`${program} ${args.join(" ")} failed:\n${stdout}\n${stderr}`);
  }
}

function tool(name: string): string {
  return join(root, "node_modules", ".bin", name);
}

beforeAll(() => {
  run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], root);
  tarball = join(folder, readdirSync(folder).find((name) => name.endsWith(".tgz")) as string);
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball]);
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const use = `
  const counters = openCounters("used.bin", 2);
  counters.add(1, 5n);
  const file = open("used.bin");
  console.log(file.load(24), etf.decode(etf.encode([1, "two"])).length);
  file.close();
  counters.close();
  try { open("missing"); } catch (error) { console.log(error instanceof EmmapError, error.code); }`;

test("import works", () => {
  const code = `import { open, openCounters, EmmapError } from "emmap"; import * as etf from "emmap/etf"; ${use}`;
  writeFileSync(join(folder, "use.mjs"), code);
  expect(run(process.execPath, ["use.mjs"])).toBe("5n 2\ntrue ENOENT\n");
});

test("require works", () => {
  rmSync(join(folder, "used.bin"), { force: true });
  const code = `const { open, openCounters, EmmapError } = require("emmap"); const etf = require("emmap/etf"); ${use}`;
  writeFileSync(join(folder, "use.cjs"), code);
  expect(run(process.execPath, ["use.cjs"])).toBe("5n 2\ntrue ENOENT\n");
});

test("import and require give the same classes and functions", () => {
  writeFileSync(
    join(folder, "same.mjs"),
    `import { createRequire } from "node:module";
     import * as imported from "emmap";
     const required = createRequire(import.meta.url)("emmap");
     const names = Object.keys(required).sort();
     console.log(names.join(), names.every((name) => imported[name] === required[name]));
     console.log(Object.keys(imported).filter((name) => !names.includes(name)).join());`,
  );
  const [same, more] = run(process.execPath, ["same.mjs"]).split("\n");
  expect(same).toMatch(/^(?=.*EmmapError)(?=.*MappedFile)(?=.*openCounters).* true$/);
  expect(more).toBe("");
});

test("the publish linters find nothing", () => {
  run(tool("publint"), ["run", "--strict", tarball], root);
  run(tool("attw"), [tarball, "--no-color", "--profile", "node16"], root);
});

test("nothing is built, and nothing else installed, with the package", () => {
  expect(readdirSync(join(folder, "node_modules")).filter((name) => !name.startsWith("."))).toContain(
    "emmap",
  );
  const { scripts, dependencies } = JSON.parse(
    run(process.execPath, ["-p", 'JSON.stringify(require("emmap/package.json"))']),
  );
  expect([scripts.install, scripts.preinstall, scripts.postinstall, dependencies]).toEqual(
    Array(4).fill(undefined),
  );
});

test("where there is no addon, the error says which file is missing and how to build it, and that works", () => {
  const own = join(folder, "node_modules", "emmap");
  rmSync(join(own, "prebuilds"), { recursive: true });
  const load = ["-e", 'require("emmap")'];
  let message = "";
  try {
    run(process.execPath, load);
  } catch (error) {
    message = (error as Error).message;
  }
  expect(message).toContain(join(own, "prebuilds", `${process.platform}-${process.arch}`, "emmap.node"));
  const command = /node (\S+build-addon\.mjs)/.exec(message);
  symlinkSync(join(root, "node_modules", "node-gyp"), join(folder, "node_modules", "node-gyp"));
  run(process.execPath, [command?.[1] as string]);
  run(process.execPath, load);
}, 180_000);
