import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { onTestFinished } from "vitest";

/** The compiled Erlang application. */
export const ebin = join(__dirname, "../../erlang/_build/default/lib/emmap/ebin");

/** The two backends of a BEAM node. */
export const backends = ["nif", "port"] as const;
export type Backend = (typeof backends)[number];

/** The path of a script beside this file. */
export const script = (name: string): string => join(__dirname, name);

/** An empty folder, which is deleted when the test ends. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "emmap-interop-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Runs a program to its end. Rejects with its standard error if its status is not 0. */
export function run(command: string, args: string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"] });
    // The program must not outlive a test that fails or times out.
    onTestFinished(() => void child.kill("SIGKILL"));
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (err += text));
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (status === 0) resolve(out.trim());
      else reject(new Error(`${command} ${args.join(" ")} ended with ${signal ?? status}\n${out}${err}`));
    });
  });
}

/** Runs a script of this folder in a Node process of its own. */
export const node = (name: string, ...args: string[]): Promise<string> =>
  run(process.execPath, [script(name), ...args]);

/** Runs a script of this folder in a BEAM node of its own, with emmap on its path and `backend` chosen. */
export const beam = (backend: Backend, name: string, ...args: string[]): Promise<string> =>
  run("escript", [script(name), ebin, backend, ...args]);

/** Runs a script of this folder in a worker thread of this process. */
export function worker(name: string, ...args: string[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const thread = new Worker(script(name), { argv: args });
    onTestFinished(() => void thread.terminate());
    thread.on("error", reject);
    thread.on("exit", (status) =>
      status === 0 ? resolve() : reject(new Error(`the worker ended with ${status}`)),
    );
  });
}
