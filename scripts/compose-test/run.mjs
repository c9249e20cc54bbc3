import { spawn } from "node:child_process";
import { createInterface } from "node:readline";

/** A command that did not end well. */
export class Failed extends Error {
  constructor(command, args, how, output) {
    super(`${command} ${args.join(" ")} ended with ${how}${output ? `\n${output.trim()}` : ""}`);
    this.output = output;
  }
}

/** Runs a command to its end and gives what it printed. Options: env, cwd, and show: let people see it as it comes. */
export function run(command, args, { show = false, ...options } = {}) {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
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
      if (status === 0) resolve(out.trim());
      else reject(new Failed(command, args, signal ?? `status ${status}`, show ? "" : all));
    });
  });
}

/** Whether a command ends well. */
export const works = (command, args, options) =>
  run(command, args, options).then(
    () => true,
    () => false,
  );

/** Starts a command and hands each line that it prints to `onLine`. Gives the child. */
export function follow(command, args, onLine, options = {}) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
  child.on("error", (error) => onLine(`${command}: ${error.message}`));
  for (const stream of [child.stdout, child.stderr]) createInterface({ input: stream }).on("line", onLine);
  return child;
}
