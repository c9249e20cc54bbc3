// Where results go: text for people, JSON for scripts, once or again and again.
import { writeSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { Failure, Status } from "./failure.js";
import { json } from "./text.js";

/** The options that every verb has. */
export interface Common {
  json?: boolean | undefined;
  /** Seconds between two results; true: 2. */
  watch?: string | true | undefined;
}

/** A result in both forms. A list is one line of JSON for each element, unless it is watched. */
export interface Result {
  text: string;
  values: unknown[];
}

/** The reader of a pipe may have seen enough. A full disk is a failure. */
export function endWithReader(): void {
  process.stdout.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE") process.exit(Status.ok);
    process.stderr.write(`emmap: standard output: ${error.message}\n`);
    process.exit(Status.failed);
  });
}

/** How long a write waits for a slow reader before it tries again, in ms. */
const READER = 10;

const idle = new Int32Array(new SharedArrayBuffer(4));

/**
 * Writes, and returns when standard output has accepted all bytes: for a verb that removes what it prints. Otherwise it throws,
 * with the status of a program that SIGPIPE ends if the reader is gone.
 */
export function writeOut(bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(1, bytes, at);
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code === "EAGAIN") Atomics.wait(idle, 0, 0, READER);
      else if (code === "EPIPE") throw new Failure("the reader of the output is gone", Status.noReader);
      else throw new Failure(`standard output: ${message}`);
    }
  }
}

export function print(text: string): void {
  process.stdout.write(text.endsWith("\n") ? text : `${text}\n`);
}

export function seconds(given: string | true | undefined, usual: number): number {
  const value = given === undefined || given === true ? usual : Number(given);
  if (!(value >= 0.05))
    throw new Failure(`--watch takes seconds, from 0.05 on, and not ${given}`, Status.usage);
  return value;
}

function show({ text, values }: Result, asJson: boolean | undefined): void {
  if (asJson) for (const value of values) print(json(value));
  else if (text !== "") print(text);
}

/** Shows a result; with --watch again and again. On a terminal each one replaces the last. */
export async function report(options: Common, make: () => Result | Promise<Result>): Promise<void> {
  if (options.watch === undefined) return show(await make(), options.json);
  const pause = seconds(options.watch, 2) * 1000;
  for (;;) {
    const result = await make();
    if (!options.json && process.stdout.isTTY) process.stdout.write("\x1b[H\x1b[2J");
    // One line each time, so that a reader knows what belongs together.
    if (options.json) print(json(result.values.length === 1 ? result.values[0] : result.values));
    else show(result, false);
    await sleep(pause);
  }
}
