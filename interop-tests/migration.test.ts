// The programs for production in docs/migrating-from-emmap.md work unchanged.
import { copyFileSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openQueue } from "../src";
import { atom, type Decoded, type Term } from "../src/etf";
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

/** Runs the page's `move("jobs.q", "jobs-2.q")` in a node of its own. */
async function move(folder: string, backend: string): Promise<void> {
  writeFileSync(
    join(folder, "mover.erl"),
    `-module(mover).\n-export([run/0]).\nrun() -> ok = move("jobs.q", "jobs-2.q").\n${snippet("erlang")}`,
  );
  await runIn(folder, "erlc", "-Werror", "mover.erl");
  const stop = ["-s", "mover", "run", "-s", "init", "stop"];
  await runIn(folder, "erl", "-noinput", "-pa", ebin, "-emmap", "backend", backend, ...stop);
}

describe.each(backends)("over the %s", (backend) => {
  const queues = (from: Term[], to: Term[]): string => {
    const folder = freshFolder();
    for (const [name, messages] of Object.entries({ "jobs.q": from, "jobs-2.q": to })) {
      using queue = openQueue(join(folder, name));
      queue.pushMany(messages);
    }
    return folder;
  };
  const messages = (folder: string, name: string): Decoded[] => {
    using queue = openQueue(join(folder, name), { read: true });
    return [...queue];
  };

  test("the rest of a queue moves to another", async () => {
    const folder = queues([3, 4, 5], [1, 2]);
    await move(folder, backend);
    expect(messages(folder, "jobs-2.q")).toEqual([1, 2, 3, 4, 5]);
    expect(messages(folder, "jobs.q")).toEqual([]);
  });

  test("a message that the moving node does not know ends the move, and stays", async () => {
    const unknown = atom("an_atom_that_no_module_has");
    const folder = queues([3, unknown, 5], []);
    await expect(move(folder, backend)).rejects.toThrow("bad_term");
    expect(messages(folder, "jobs-2.q")).toEqual([3]);
    expect(messages(folder, "jobs.q")).toEqual([unknown, 5]);
  });

  test("a wrong path makes no queue", async () => {
    const folder = freshFolder();
    await expect(move(folder, backend)).rejects.toThrow("enoent");
    expect(existsSync(join(folder, "jobs.q"))).toBe(false);
  });
});
