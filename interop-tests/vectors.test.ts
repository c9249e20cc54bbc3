// Sends the same operations through every door. The answers and the bytes of the files must be the same. vectors.json has the
// operations; testees/README.md describes them.
//
// Bytes are written as 'text' or hexadecimal; 00*16 is a run, and + joins them. A file is written as its bytes, as "@name" for
// a fixture of emmap 2.1.3, as "sha256 DIGEST SIZE" if it is long, or as null if it does not exist. With
// "others write PATH POSITION BYTES" and "others truncate PATH SIZE" another process changes a file meanwhile.
import { type ChildProcess, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface, type Interface } from "node:readline";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ebin } from "./support/runtimes";
import { compile, coreLibrary } from "./torture/support/compile.mjs";
import vectors from "./vectors.json";

interface Vector {
  name: string;
  /** The files before. */
  given?: Record<string, string>;
  /** Requests and the answers to them. */
  steps: [request: string, answer: string][];
  /** The files afterwards. */
  files?: Record<string, string | null>;
}

const root = join(__dirname, "..");
const testees = join(__dirname, "testees");
const DOORS = ["core", "node", "nif", "port"] as const;
type Door = (typeof DOORS)[number];

const folder = mkdtempSync(join(tmpdir(), "emmap-vectors-"));
const core = compile("testee", [join(testees, "core.c"), coreLibrary()]);

const COMMANDS: Record<Door, [string, ...string[]]> = {
  core: [core],
  node: [process.execPath, join(testees, "node.mjs")],
  nif: ["escript", join(testees, "beam.escript"), ebin, "nif"],
  port: ["escript", join(testees, "beam.escript"), ebin, "port"],
};

/** A testee's process, which gets one line at a time. */
class Testee {
  readonly folder: string;
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  readonly #reader: Interface;
  #errors = "";

  constructor(door: Door) {
    this.folder = join(folder, door);
    mkdirSync(this.folder);
    const [command, ...args] = COMMANDS[door];
    this.#child = spawn(command, args, { cwd: this.folder, stdio: ["pipe", "pipe", "pipe"] });
    this.#reader = createInterface({ input: this.#child.stdout as NodeJS.ReadableStream });
    this.#lines = this.#reader[Symbol.asyncIterator]();
    this.#child.stderr?.on("data", (text) => {
      this.#errors += text;
    });
  }

  async ask(request: string): Promise<string> {
    const answered = this.#lines.next();
    this.#child.stdin?.write(`${request}\n`);
    const { value, done } = await answered;
    return done ? `the testee has ended: ${this.#errors}` : value;
  }

  /** Ends it, and resolves to its status. */
  async end(): Promise<number | null> {
    const ended = new Promise<number | null>((resolve) => this.#child.on("close", resolve));
    this.#child.stdin?.end();
    return this.#child.exitCode ?? ended;
  }

  kill(): void {
    this.#child.kill("SIGKILL");
  }
}

const hex = (text: string): string =>
  text
    .split("+")
    .map((part) => {
      const [unit, times] = part.split("*") as [string, string?];
      const digits = unit.replace(/^'(.*)'$/, (_, characters) =>
        Buffer.from(JSON.parse(`"${characters}"`), "latin1").toString("hex"),
      );
      return digits.repeat(Number(times ?? 1));
    })
    .join("");

/** A request or answer in the testees' form. */
const spell = (line: string): string =>
  line
    .split(/ (?=(?:[^']*'[^']*')*[^']*$)/)
    .map((word) => (/['*+]/.test(word) ? hex(word) : word))
    .join(" ");

function contents(description: string): Buffer {
  return description.startsWith("@")
    ? readFileSync(join(root, "native/test/fixtures", description.slice(1)))
    : Buffer.from(hex(description), "hex");
}

function somebodyElse(path: string, [what, , position, bytes]: string[]): void {
  if (what === "truncate") {
    truncateSync(path, Number(position));
    return;
  }
  const file = openSync(path, "r+");
  writeSync(file, Buffer.from(bytes as string, "hex"), 0, null, Number(position));
  closeSync(file);
}

/** The answers of a testee to a vector's requests. */
async function answers(testee: Testee, vector: Vector): Promise<string[]> {
  for (const [name, description] of Object.entries(vector.given ?? {}))
    writeFileSync(join(testee.folder, name), contents(description));
  const found: string[] = [];
  for (const [request] of vector.steps) {
    const line = spell(request);
    if (line.startsWith("others ")) {
      const [, ...words] = line.split(" ");
      somebodyElse(join(testee.folder, words[1] as string), words);
      found.push("ok");
    } else {
      found.push(await testee.ask(line));
    }
  }
  return found;
}

function bytesOf(path: string, expected: string): string {
  const bytes = readFileSync(path);
  if (expected.startsWith("sha256 "))
    return `sha256 ${createHash("sha256").update(bytes).digest("hex")} ${bytes.length}`;
  return bytes.toString("hex");
}

function expectedBytes(description: string): string {
  return description.startsWith("sha256 ") ? description : contents(description).toString("hex");
}

afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.each(DOORS)("%s", (door) => {
  let testee: Testee;
  beforeAll(() => {
    testee = new Testee(door);
  });
  afterAll(() => testee.kill());

  test.each(vectors as unknown as Vector[])("$name", async (vector) => {
    const found = await answers(testee, vector);
    // Each beside its request, so that a difference says where.
    const pairs = vector.steps.map(([request], i) => [request, found[i]]);
    expect(pairs).toEqual(vector.steps.map(([request, answer]) => [request, spell(answer)]));
    for (const [name, description] of Object.entries(vector.files ?? {})) {
      const path = join(testee.folder, name);
      // A file with auto_unlink may be removed shortly after its close, because ERTS releases resources later.
      if (description === null) await expect.poll(() => existsSync(path)).toBe(false);
      else expect([name, bytesOf(path, description)]).toEqual([name, expectedBytes(description)]);
    }
  });

  test("the testee ends well", async () => {
    expect(await testee.end()).toBe(0);
  });
});
