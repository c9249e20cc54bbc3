// The runtimes under test, each in a process that does with files what it is told.
import { fileURLToPath } from "node:url";
import { Peer } from "./processes.mjs";

const beside = (name) => fileURLToPath(new URL(name, import.meta.url));
const libraries = beside("../../../erlang/_build/default/lib");

/** What a user of emmap may be running. */
export const RUNTIMES = ["Node", "BEAM, NIF", "BEAM, port"];

const COMMANDS = {
  Node: [process.execPath, beside("worker.mjs")],
  "BEAM, NIF": ["escript", beside("worker.escript"), "nif"],
  "BEAM, port": ["escript", beside("worker.escript"), "port"],
};

/** A command that failed; `code` as Erlang has it. */
export class Refused extends Error {
  constructor(line, code) {
    super(`${line}: ${code}`);
    this.code = code;
  }
}

/** See worker.mjs for what it can be told. */
export class Worker {
  #peer;

  /** `prefix`: a command that runs the command that follows it. */
  constructor(runtime, prefix = []) {
    this.runtime = runtime;
    const [command, ...args] = [...prefix, ...COMMANDS[runtime]];
    this.#peer = new Peer(command, args, { ERL_LIBS: libraries });
  }

  /** Resolves to the milliseconds that it took and the words of the answer; rejects with a Refused. */
  async do(...words) {
    const line = words.join(" ");
    const [outcome, first, ...rest] = (await this.#peer.ask(line)).split(" ");
    if (outcome !== "ok") throw new Refused(line, first);
    return { ms: Number(first) / 1000, words: rest };
  }

  kill() {
    return this.#peer.kill();
  }
}
