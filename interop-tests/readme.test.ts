// What the README shows can be copied as it is, and does what it says.
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCounters } from "../src";
import { backends, ebin, freshFolder, run } from "./support/runtimes";

const root = join(__dirname, "..");
const readme = readFileSync(join(root, "README.md"), "utf8");

function snippet(language: string): string {
  const found = new RegExp(`^\`\`\`${language}\n(.*?)^\`\`\``, "ms").exec(readme)?.[1];
  if (found === undefined) throw new Error(`the README has no ${language}`);
  return found;
}

const runIn = (folder: string, command: string, ...args: string[]): Promise<string> =>
  run("env", ["-C", folder, command, ...args]);

function counted(folder: string): bigint {
  using counters = openCounters(join(folder, "counters.bin"));
  return counters.get(0);
}

test("from TypeScript", async () => {
  const folder = freshFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/emmap"));
  writeFileSync(join(folder, "readme.mjs"), snippet("ts"));
  await runIn(folder, process.execPath, "readme.mjs");
  expect(counted(folder)).toBe(5n);
});

test.each(backends)("from Erlang, over the %s", async (backend) => {
  const folder = freshFolder();
  writeFileSync(
    join(folder, "readme.erl"),
    `-module(readme).\n-export([run/0]).\nrun() ->\n${snippet("erlang")}`,
  );
  await runIn(folder, "erlc", "-Werror", "readme.erl");
  const start = [
    "-noinput",
    "-pa",
    ebin,
    "-emmap",
    "backend",
    backend,
    "-s",
    "readme",
    "run",
    "-s",
    "init",
    "stop",
  ];
  await runIn(folder, "erl", ...start);
  expect(counted(folder)).toBe(5n);
});
