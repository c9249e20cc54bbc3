// The testees of ../testees, one for each way to the core, as processes to torture. They get one line or many lines at a time,
// and can run under limits, in a mount namespace, or with a preloaded library.
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { compile, coreLibrary } from "./compile.mjs";
import { portProgramOf } from "./proc.mjs";
import { Peer } from "./processes.mjs";

const root = resolve(fileURLToPath(import.meta.url), "../../../..");
const testees = join(root, "interop-tests/testees");
const ebin = join(root, "erlang/_build/default/lib/emmap/ebin");

/** The ways to the core, and their names in the table. */
export const DOORS = { core: "core", node: "Node", nif: "BEAM, NIF", port: "BEAM, port" };

const COMMANDS = {
  core: () => [coreTestee()],
  node: () => [process.execPath, join(testees, "node.mjs")],
  nif: () => ["escript", join(testees, "beam.escript"), ebin, "nif"],
  port: () => ["escript", join(testees, "beam.escript"), ebin, "port"],
};

const coreTestee = () => compile("testee", [join(testees, "core.c"), coreLibrary()]);

export class Testee extends Peer {
  /** `wrapper` is a prefix that runs a command; `environment` is added to this process's environment. */
  constructor(door, { wrapper = [], environment = {} } = {}) {
    const [command, ...args] = [...wrapper, ...COMMANDS[door]()];
    super(command, args, environment);
  }

  /** As ask. Any other answer than `expected` ends the test. */
  async must(request, expected = /^ok/) {
    const answer = await this.ask(request);
    if (!expected.test(answer)) throw new Error(`${request}: ${answer}`);
    return answer;
  }

  /** The process that maps files: the port program, if there is one, once it has opened a file. */
  mapper() {
    return portProgramOf(this.pid) ?? this.pid;
  }
}
