// Acts as a user who has nothing but the packages: makes empty folders and runs programs in them.
import { execFileSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { delimiter, join, resolve } from "node:path";
import { onTestFinished } from "vitest";

/** The repository. A user does not have it. */
export const root = resolve(__dirname, "../../..");

/** An empty folder. The caller removes it. */
export const emptyFolder = (): string => mkdtempSync(join(tmpdir(), "emmap-package-"));

/** An empty folder, which is deleted when the test ends. */
export function freshFolder(): string {
  const folder = emptyFolder();
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program, and returns its output. If it fails, the error has the output. */
export function run(program: string, args: string[], cwd: string, more: NodeJS.ProcessEnv = {}): string {
  // npm and vitest pass their settings on to their child processes. A user's folder must not get them.
  const own = Object.entries(process.env).filter(
    ([name]) => !/^(npm_|vitest|node_env|node_options)/i.test(name),
  );
  const env = { ...Object.fromEntries(own), ...more };
  try {
    return execFileSync(program, args, { cwd, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  } catch (error) {
    const { message, stdout, stderr } = error as Error & { stdout?: string; stderr?: string };
    throw new Error(`${program} ${args.join(" ")} failed: ${message}\n${stdout}\n${stderr}`);
  }
}

/** The error of running it. */
export function failure(program: string, args: string[], cwd: string, more: NodeJS.ProcessEnv = {}): string {
  try {
    run(program, args, cwd, more);
  } catch (error) {
    return (error as Error).message;
  }
  throw new Error(`${program} ${args.join(" ")} did not fail`);
}

/** A program of this repository's development dependencies. */
export const tool = (name: string): string => join(root, "node_modules", ".bin", name);

/** npm's description of the package that it packed into `folder`. */
export interface Packed {
  filename: string;
  size: number;
  unpackedSize: number;
  files: { path: string; mode: number; size: number }[];
}

/** Packs the npm package of `source` into `folder`, as publishing does. */
export function packNpm(folder: string, source = root): Packed {
  const [packed] = JSON.parse(run("npm", ["pack", "--json", "--pack-destination", folder], source)) as [
    Packed,
  ];
  return { ...packed, filename: join(folder, packed.filename) };
}

/** Makes `folder` a project that has the packed package installed, and nothing else. */
export function installNpm(tarball: string, folder: string, more: NodeJS.ProcessEnv = {}): void {
  writeFileSync(join(folder, "package.json"), '{ "private": true }');
  run("npm", ["install", "--offline", "--no-audit", "--no-fund", tarball], folder, more);
}

/** Links a package of the repository into a project, as if it had been installed. */
export function lend(folder: string, name: string): void {
  const path = join(folder, "node_modules", name);
  mkdirSync(resolve(path, ".."), { recursive: true });
  if (!existsSync(path)) symlinkSync(join(root, "node_modules", name), path);
}

/** A PATH with these programs and no others. */
export function pathOf(folder: string, programs: string[]): string {
  // The Erlang package has a folder bin of its own.
  const bin = join(folder, "programs");
  mkdirSync(bin);
  const { PATH = "" } = process.env;
  for (const program of programs) {
    const found = PATH.split(delimiter)
      .map((place) => join(place, program))
      .find(existsSync);
    if (found === undefined) throw new Error(`there is no ${program}`);
    symlinkSync(found, join(bin, program));
  }
  return bin;
}

/** Installs the development dependencies of a folder beside the tests. */
export function installBeside(name: string, ...options: string[]): string {
  const folder = join(root, "test/packages", name);
  const modules = join(folder, "node_modules");
  const lock = join(folder, "package-lock.json");
  const installed = join(modules, "installed-lock.json");
  if (!existsSync(installed) || readFileSync(installed, "utf8") !== readFileSync(lock, "utf8")) {
    run("npm", ["ci", "--no-audit", "--no-fund", ...options], folder);
    writeFileSync(installed, readFileSync(lock));
  }
  return modules;
}
