// Runs the command as users do.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

export const emmap = join(__dirname, "../../dist/cli/emmap.js");
export const library = join(__dirname, "../../dist/index.js");

/** A folder that is removed when the test ends. */
export function freshFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "emmap-cli-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

export interface Ended {
  status: number | null;
  stdout: string;
  stderr: string;
}

export function run(args: readonly string[], options: { cwd?: string; input?: string } = {}): Ended {
  const { status, stdout, stderr } = spawnSync(process.execPath, [emmap, ...args], {
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    ...options,
  });
  return { status, stdout, stderr };
}

/** The output of a run that has to succeed. */
export function output(args: readonly string[], options: { cwd?: string; input?: string } = {}): string {
  const { status, stdout, stderr } = run(args, options);
  if (status !== 0) throw new Error(`status ${status}: ${stderr}${stdout}`);
  return stdout;
}

/** The properties of results that tests look at one by one. */
interface Value {
  path: string;
  check: string;
  key: string;
  sound: boolean;
  state: string;
  message: unknown;
  value: unknown;
  pushed: number;
  popped: number;
  amount: number;
  length: number;
  waiters: number;
  note: string;
  trouble: string;
  writers: { process: number; popped: number }[];
  processes: { process: number; command: string; state: string; writes: boolean }[];
}

/** Its lines as JSON. */
export const values = (args: readonly string[], options: { cwd?: string } = {}): Value[] =>
  output(args, options)
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line));

/**
 * A process that runs this code with the library as `emmap`, and then says "ready". It is killed when the test ends.
 * Handles that are to stay open need a name: others are collected, and closed, at any time.
 */
export async function peer(code: string, cwd: string): Promise<ChildProcess> {
  const child = spawn(
    process.execPath,
    [
      "-e",
      `const emmap = require(${JSON.stringify(library)}); ${code}; console.log("ready"); setInterval(() => {}, 1000);`,
    ],
    { cwd, stdio: ["pipe", "pipe", "inherit"] },
  );
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout as NodeJS.ReadableStream, "data");
  return child;
}

export async function end(child: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  child.kill(signal);
  if (child.exitCode === null && child.signalCode === null) await once(child, "exit");
}

// native/core/live_layout.h.
const LOCK = 64;
const TAKING = 128;
const SLOTS = 4096;
const SLOT = 128;

function change(path: string, position: number, word: number): void {
  const fd = openSync(path, "r+");
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(word);
  writeSync(fd, bytes, 0, 4, position);
  closeSync(fd);
}

/** Lets the process look as if it had the lock of the queue, or its first message in hand. */
export function give(path: string, process: number, what: "lock" | "first message"): void {
  const state = `${path}-live/state`;
  const fd = openSync(state, "r");
  const slot = Buffer.alloc(SLOT);
  for (let index = 0; readSync(fd, slot, 0, SLOT, SLOTS + index * SLOT) === SLOT; index++) {
    if (Number(slot.readBigUInt64LE(8)) !== process || slot.readUInt32LE(4) !== 1) continue;
    change(state, what === "lock" ? LOCK : TAKING, (index + 1) | (slot.readUInt32LE(0) << 12));
    closeSync(fd);
    return;
  }
  throw new Error(`process ${process} has no slot`);
}

/** All bytes of a file. */
export const contents = (path: string): string => readFileSync(path, "latin1");
