// `make demo`: a BEAM node and a Node process on one file. Exit status 0 only if everything agreed.
import { type ChildProcess, spawn } from "node:child_process";
import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { extname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { openCounters } from "emmap";
import { COUNTERS } from "./layout.mts";

const ROUNDS = 60;
const ADDS = 1_000;
const root = fileURLToPath(new URL(".", import.meta.resolve("emmap/package.json")));
const ebin = join(root, "erlang/_build/default/lib/emmap/ebin");
const fixture = join(root, "test/fixtures/counters.bin");
const beamHalf = join(root, "examples/demo/beam.escript");
// TypeScript, or what it was compiled to.
const nodeHalf = fileURLToPath(new URL(`node${extname(import.meta.url)}`, import.meta.url));
// What emmap 2.1.3 was told to write there.
const fixtureValues = ["42", "-7", "9223372036854775807", "-9223372036854775808"];

const folder = mkdtempSync(join(tmpdir(), "emmap-demo-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));
const upstream = join(folder, "upstream.bin");
copyFileSync(fixture, upstream);
openCounters(join(folder, "counters.bin"), COUNTERS).close();

/** A line that a half prints. */
type Message =
  | { event: "progress"; mine: string; theirs: string; total: string }
  | { event: "fixture" | "final" | "terms" | "block"; values: string[] };

const children: ChildProcess[] = [];

/** Starts one half and hands each line it prints to `onMessage`; resolves to whether it ended well. */
function start(
  command: string,
  args: string[],
  onMessage: (message: Message, pid: number | undefined) => void,
): Promise<boolean> {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  children.push(child);
  createInterface({ input: child.stdout }).on("line", (line) => onMessage(JSON.parse(line), child.pid));
  return new Promise((resolve) => {
    child.on("error", (error) => {
      console.error(`${command}: ${error.message}`);
      resolve(false);
    });
    child.on("close", (status) => {
      // The other half would wait for this one for ever.
      if (status !== 0) for (const other of children) other.kill();
      resolve(status === 0);
    });
  });
}

/** One line for each half, drawn anew in place on a terminal, printed now and then elsewhere. */
class Progress {
  readonly #lines = new Map<string, string>();
  #drawn = 0;

  show(name: string, line: string, round: number): void {
    this.#lines.set(name, line);
    if (!process.stdout.isTTY) {
      if (round % 20 === 0) console.log(line);
      return;
    }
    const up = this.#drawn > 0 ? `\x1b[${this.#drawn}A` : "";
    process.stdout.write(up + [...this.#lines.values()].map((text) => `\x1b[2K${text}\n`).join(""));
    this.#drawn = this.#lines.size;
  }
}

const count = (text: string): string => Number(text).toLocaleString("en").padStart(8);
const progress = new Progress();

type Name = "BEAM" | "Node";
interface Half {
  other: Name;
  round: number;
  /** What it found, by the event that it told it in. */
  found: { [event: string]: string[] };
}
const halves: Record<Name, Half> = {
  BEAM: { other: "Node", round: 0, found: {} },
  Node: { other: "BEAM", round: 0, found: {} },
};

function listen(name: Name): (message: Message, pid: number | undefined) => void {
  const half = halves[name];
  return (message, pid) => {
    if (message.event === "progress") {
      half.round++;
      const line =
        `  ${name} (process ${pid})  added ${count(message.mine)},` +
        ` reads ${count(message.theirs)} of ${half.other}'s and ${count(message.total)} in all`;
      progress.show(name, line, half.round);
    } else {
      half.found[message.event] = message.values;
    }
  };
}

console.log(
  `A BEAM node and a Node process each add ${(ROUNDS * ADDS).toLocaleString("en")} to one file's counters:`,
);
const numbers = [String(ROUNDS), String(ADDS)];
const endedWell = await Promise.all([
  start("escript", [beamHalf, ebin, upstream, folder, ...numbers], listen("BEAM")),
  start(process.execPath, [nodeHalf, upstream, folder, ...numbers], listen("Node")),
]);

let agreed = endedWell.every(Boolean);

/** Shows the values that each half found, beside the right ones. */
function check(title: string, event: string, expected: string[] | Record<Name, string[]>): void {
  console.log(`\n${title}`);
  for (const name of ["BEAM", "Node"] as const) {
    const wanted = Array.isArray(expected) ? expected : expected[name];
    const found = halves[name].found[event];
    const fine = JSON.stringify(found) === JSON.stringify(wanted);
    agreed &&= fine;
    console.log(
      `  ${name} reads ${found?.join("  ") ?? "nothing"}  ${fine ? "as it should" : `not ${wanted.join("  ")}`}`,
    );
  }
}

check(
  "The final values (in all, BEAM's, Node's):",
  "final",
  [2 * ROUNDS * ADDS, ROUNDS * ADDS, ROUNDS * ADDS].map(String),
);
check("A counters file written by emmap 2.1.3:", "fixture", fixtureValues);
check("Terms that the other one pushed into a queue:", "terms", {
  BEAM: ['{job,42,<<"resize">>}', "18446744073709551616", "1.0", "#{state => done}", "[1,2|3]"],
  Node: [
    "{job, 43, <Buffer 72 6f 74 61 74 65>}",
    "-18446744073709551616n",
    "2.5",
    "Map(1) { state => done }",
    "[a, b | c]",
  ],
});
check("A block that the other one stored, found by the address that came through the queue:", "block", {
  BEAM: ["a block that Node stored"],
  Node: ["a block that BEAM stored"],
});

console.log(agreed ? "\nBoth runtimes agree." : "\nThe runtimes do not agree.");
process.exitCode = agreed ? 0 : 1;
