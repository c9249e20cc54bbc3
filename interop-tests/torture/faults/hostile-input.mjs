// Files and frames of any content: the fuzzers of native/test/fuzz, each for its share of the time.
import { execFile } from "node:child_process";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

export const title = "files and frames of any content";
export const shortSeconds = 4;

const room = fileURLToPath(new URL("../../../native/test/fuzz", import.meta.url));

/** The fuzzers, and the part of emmap that gets their inputs. */
const FUZZERS = {
  queue: "a queue of any content",
  taken: "messages in hand of any content",
  blocks: "a block storage of any content",
  counters: "counters of any content",
  cell: "a cell of any content",
  table: "a table of any content",
  request: "frames of any content",
};

/** The environment without the variables by which a make above tells its submakes what to do. */
const environment = { ...process.env, MAKEFLAGS: "" };
const make = (...args) =>
  promisify(execFile)("make", ["--no-print-directory", "-C", room, ...args], { env: environment });

export async function run({ seconds, say }) {
  await make("build");
  const each = Math.max(1, Math.round(seconds / Object.keys(FUZZERS).length));
  // Each long run has another seed.
  const seed = seconds > shortSeconds ? 0 : 1;
  const rows = [];
  for (const [name, fault] of Object.entries(FUZZERS)) {
    const row = { fault, runtime: name === "request" ? "port program" : "core" };
    try {
      const { stdout } = await make(name, `SECONDS=${each}`, `SEED=${seed}`);
      const hits = Number(/inputs tried: (\d+)/.exec(stdout)?.[1] ?? 0);
      say(`${name}: ${hits} inputs in ${each} seconds`);
      rows.push({ ...row, hits, survived: hits, lost: 0, worstWaitMs: null });
    } catch (error) {
      say(`${name}: ${error.stdout}`);
      rows.push({ ...row, hits: 1, survived: 0, lost: 1, worstWaitMs: null });
    }
  }
  return rows;
}
