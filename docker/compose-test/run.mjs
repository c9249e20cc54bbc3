import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A command that failed. */
export class Failed extends Error {
  constructor(command, args, how, output) {
    super(`${command} ${args.join(" ")} ended with ${how}${output ? `\n${output.trim()}` : ""}`);
    this.output = output;
  }
}

/** The user has interrupted this program and its command. */
class Interrupted extends Error {}

const running = new Set();
const interrupted = new WeakSet();
let stopping = false;

/** Ends the running command. No other starts until `resume`. */
export function interrupt() {
  stopping = true;
  for (const child of running) {
    interrupted.add(child);
    if (child.pid !== undefined) child.kill("SIGTERM");
  }
}

/** Lets commands start again, for the cleanup. */
export function resume() {
  stopping = false;
}

/** Starts a command in a process group of its own, so that ^C does not reach a command that cleans up. */
function start(command, args, options) {
  if (stopping) throw new Interrupted("interrupted");
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options, detached: true });
  running.add(child);
  child.on("error", () => running.delete(child));
  child.on("close", () => running.delete(child));
  return child;
}

/** Runs a command to its end, and returns its output. Options: env, cwd, and show: print the output as it comes. */
export function run(command, args, { show = false, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = start(command, args, options);
    let out = "";
    let all = "";
    child.stdout.setEncoding("utf8").on("data", (text) => {
      out += text;
      all += text;
      if (show) process.stdout.write(text);
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      all += text;
      if (show) process.stdout.write(text);
    });
    child.on("error", reject);
    child.on("close", (status, signal) => {
      if (interrupted.has(child)) reject(new Interrupted("interrupted"));
      else if (status === 0) resolve(out.trim());
      else reject(new Failed(command, args, signal ?? `status ${status}`, show ? "" : all));
    });
  });
}

/** True if the command succeeds. */
export const works = (command, args, options) =>
  run(command, args, options).then(
    () => true,
    (error) => {
      if (error instanceof Interrupted) throw error;
      return false;
    },
  );

/** Starts a command, and calls `onLine` with each line of its output. Returns the child. */
export function follow(command, args, onLine, options = {}) {
  const child = start(command, args, options);
  child.on("error", (error) => onLine(`${command}: ${error.message}`));
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", onLine);
  return child;
}
