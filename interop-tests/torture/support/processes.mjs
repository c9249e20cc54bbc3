// Processes that end with the process that started them.
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const running = new Set();
const folders = new Set();

/** Ends all started processes at once, and removes their folders. */
export function endAll() {
  for (const each of running) each.signal("SIGKILL");
  for (const folder of folders) remove(folder);
}

/** A killed process may still write a last file. */
function remove(folder) {
  rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
  folders.delete(folder);
}

/** A folder in memory, if the system has one, so that tests that are not about disks need not wait for a disk. */
export const MEMORY = existsSync("/dev/shm") ? "/dev/shm" : tmpdir();

/** Gives `body` an empty folder. The folder, and all processes that `body` started, are gone afterwards. */
export async function withFolder(body, where = tmpdir()) {
  const folder = mkdtempSync(join(where, "emmap-torture-"));
  folders.add(folder);
  const before = new Set(running);
  try {
    return await body(folder);
  } finally {
    await Promise.all([...running].filter((each) => !before.has(each)).map((each) => each.kill()));
    remove(folder);
  }
}

/** A process, with all that it starts itself, which answers each line of its input with a line. */
export class Peer {
  #child;
  #waiting = [];
  #errors = "";
  #end;

  /** Resolves to the signal or status that the process ended by, once its output has ended too. */
  ended;

  constructor(command, args, environment = {}) {
    this.name = [command, ...args].join(" ");
    // Detached, so that it leads a process group, which can be killed with all that is in it.
    this.#child = spawn(command, args, { env: { ...process.env, ...environment }, detached: true });
    this.#child.stdin.on("error", () => {}); // the process is dead, and `ended` tells
    this.#child.stderr.setEncoding("utf8").on("data", (text) => (this.#errors += text));
    createInterface({ input: this.#child.stdout }).on("line", (line) => this.#waiting.shift()?.resolve(line));
    running.add(this);
    this.ended = new Promise((resolve) => {
      this.#child.on("error", (error) => resolve(error.code));
      this.#child.on("close", (status, signal) => resolve(signal ?? status));
    });
    void this.ended.then((how) => {
      running.delete(this);
      this.#end = how;
      this.#fail();
    });
  }

  #fail() {
    for (const { reject } of this.#waiting.splice(0))
      reject(new Error(`${this.name} ended with ${this.#end}\n${this.#errors}`));
  }

  /** The text of its standard error. */
  get errors() {
    return this.#errors;
  }

  get pid() {
    return this.#child.pid;
  }

  /** Resolves to the answer; rejects if the process ends before. Answers come in the order of the questions. */
  ask(line) {
    return this.askAll([line])[0];
  }

  /** Sends all requests in one write; returns a promise for each answer. */
  askAll(lines) {
    const answers = lines.map(() => {
      const answer = new Promise((resolve, reject) => this.#waiting.push({ resolve, reject }));
      // A caller with several requests may handle only the first failure.
      answer.catch(() => {});
      return answer;
    });
    this.#child.stdin.write(lines.map((line) => `${line}\n`).join(""));
    return answers;
  }

  /** Ends its input; resolves as `ended` does. */
  finish() {
    this.#child.stdin.end();
    return this.ended;
  }

  /** Sends a signal to the process and all that it has started. */
  signal(signal) {
    try {
      process.kill(-this.#child.pid, signal);
    } catch (error) {
      if (error.code !== "ESRCH") throw error;
    }
  }

  async kill() {
    this.signal("SIGKILL");
    return this.ended;
  }
}
