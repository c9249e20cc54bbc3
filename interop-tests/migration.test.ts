// What docs/migrating-from-emmap.md shows for production can be copied as it is.
import { copyFileSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openQueue } from "../src";
import { backends, ebin, freshFolder, run } from "./support/runtimes";

const root = join(__dirname, "..");
const page = readFileSync(join(root, "docs/migrating-from-emmap.md"), "utf8");

/** The page's only snippet of a language, without its indentation. */
function snippet(language: string): string {
  const found = new RegExp(`^ {3}\`\`\`${language}\n(.*?)^ {3}\`\`\``, "ms").exec(page)?.[1];
  if (found === undefined) throw new Error(`the page has no ${language}`);
  return found.replace(/^ {3}/gm, "");
}

const runIn = (folder: string, command: string, ...args: string[]): Promise<string> =>
  run("env", ["-C", folder, command, ...args]);

test("Node opens the counters that emmap 2.1.3 wrote", async () => {
  const folder = freshFolder();
  mkdirSync(join(folder, "node_modules"));
  symlinkSync(root, join(folder, "node_modules/emmap"));
  writeFileSync(join(folder, "show.mjs"), snippet("ts"));
  await expect(runIn(folder, process.execPath, "show.mjs")).rejects.toThrow("ENOENT");
  copyFileSync(join(root, "test/fixtures/counters.bin"), join(folder, "counters.bin"));
  expect(await runIn(folder, process.execPath, "show.mjs")).toMatch(/^\[\s*42n,\s*-7n,/);
});

test.each(backends)("the rest of a queue moves to another, over the %s", async (backend) => {
  const folder = freshFolder();
  const [from, to] = ["jobs.q", "jobs-2.q"].map((name) => openQueue(join(folder, name)));
  from?.pushMany([3, 4, 5]);
  to?.pushMany([1, 2]);
  from?.close();
  writeFileSync(
    join(folder, "mover.erl"),
    `-module(mover).\n-export([run/0]).\nrun() -> ok = move("jobs.q", "jobs-2.q").\n${snippet("erlang")}`,
  );
  await runIn(folder, "erlc", "-Werror", "mover.erl");
  const stop = ["-s", "mover", "run", "-s", "init", "stop"];
  await runIn(folder, "erl", "-noinput", "-pa", ebin, "-emmap", "backend", backend, ...stop);
  expect([...(to ?? [])]).toEqual([1, 2, 3, 4, 5]);
  using left = openQueue(join(folder, "jobs.q"));
  expect(left.isEmpty).toBe(true);
  to?.close();
});
