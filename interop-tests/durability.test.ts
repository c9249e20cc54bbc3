// Checks the system calls of sync and datasync and their order with strace: through every door, for every kind of file.
import { spawn, spawnSync } from "node:child_process";
import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { type Backend, backends, ebin, freshFolder, run, script } from "./support/runtimes";
import { compile, coreLibrary } from "./torture/support/compile.mjs";

const testees = join(__dirname, "testees");
const DOORS = ["core", "node", "nif", "port"] as const;
type Door = (typeof DOORS)[number];

const STRACE = ["-f", "-y", "-e", "trace=openat,mmap,msync,fsync,fdatasync"];

const tried = spawnSync("strace", ["-f", "-o", "/dev/null", "true"], { encoding: "utf8" });
const hindrance = tried.status === 0 ? null : `${tried.error?.message ?? tried.stderr}`.trim();

/** False, with a message: this user or container may not trace its own processes. */
function traceable(): boolean {
  if (hindrance === null) return true;
  console.warn(
    `NOT TESTED: which system calls sync makes, since strace can trace nothing here: ${hindrance}`,
  );
  return false;
}

function command(door: Door): [string, ...string[]] {
  if (door === "core") return [compile("testee", [join(testees, "core.c"), coreLibrary()])];
  if (door === "node") return [process.execPath, join(testees, "node.mjs")];
  return ["escript", join(testees, "beam.escript"), ebin, door];
}

/** Sends the lines to a testee, and resolves to its answers. */
function traced(
  trace: string,
  [program, ...args]: [string, ...string[]],
  lines: string[],
): Promise<string[]> {
  return new Promise((resolve, reject) => {
    const child = spawn("strace", [...STRACE, "-o", trace, program, ...args]);
    let out = "";
    let err = "";
    child.stdout.setEncoding("utf8").on("data", (text) => (out += text));
    child.stderr.setEncoding("utf8").on("data", (text) => (err += text));
    child.on("error", reject);
    child.on("close", (status) =>
      status === 0 ? resolve(out.trimEnd().split("\n")) : reject(new Error(`status ${status}\n${out}${err}`)),
    );
    child.stdin.end(lines.map((line) => `${line}\n`).join(""));
  });
}

/** The calls of a trace in the order of their returns, each on one line. */
function calls(trace: string): string[] {
  const begun = new Map<string, string>();
  const whole: string[] = [];
  for (const line of readFileSync(trace, "latin1").split("\n")) {
    const [, thread, text] = /^(\d+) +(.*)$/.exec(line) ?? [];
    if (!thread || !text) continue;
    const resumed = /^<\.\.\. \w+ resumed>(.*)$/.exec(text);
    // strace puts a space before this word, which a call on one line does not have.
    const [, beginning] = /^(.*) <unfinished \.\.\.>$/.exec(text) ?? [];
    if (beginning !== undefined) begun.set(thread, beginning);
    else whole.push(resumed ? `${begun.get(thread)}${resumed[1]}` : text);
  }
  return whole;
}

const MARK = "mark-";

/** The calls on files in `folder` from each mark to the next. */
function sections(trace: string, folder: string): string[][] {
  const mapped = new Map<string, string>();
  const found: string[][] = [[]];
  const name = (path: string): string => path.slice(folder.length + 1);
  const note = (call: string): void => void found.at(-1)?.push(call);
  for (const call of calls(trace)) {
    const [, mappedPath, address] = /^mmap\(.*, \d+<(.*)>, .*\) += (0x\w+)$/.exec(call) ?? [];
    const [, synced, flags, outcome] = /^msync\((0x\w+), \d+, (\w+)\) += (.*)$/.exec(call) ?? [];
    const [, how, path, result] = /^(fsync|fdatasync)\(\d+<(.*)>\) += (.*)$/.exec(call) ?? [];
    const [, opened, mode, fd] = /^openat\(.*, "(.*)", (\S+)(?:, \d+)?\) += (-?\d+)/.exec(call) ?? [];
    if (mappedPath && address) mapped.set(address, mappedPath);
    else if (synced && mapped.get(synced)?.startsWith(folder))
      note(`msync ${name(mapped.get(synced) as string)} ${flags} ${outcome}`);
    else if (path?.startsWith(folder)) note(`${how} ${name(path)} ${result}`);
    else if (opened?.startsWith(join(folder, MARK))) found.push([]);
    else if (opened?.includes("-live"))
      continue; // Nothing in the live folder has to survive.
    else if (opened?.startsWith(`${folder}/`) && mode?.includes("O_DIRECTORY"))
      note(`open ${name(opened)} ${Number(fd) >= 0 ? "ok" : fd}`);
  }
  return found;
}

const KINDS: Record<string, (path: string) => string> = {
  file: (path) => `open f ${path} write create shared size=10000`,
  counters: (path) => `counters_open f ${path} 8`,
  queue: (path) => `queue_open f ${path}`,
  blocks: (path) => `blocks_open f ${path} 8 0`,
};

const written = (kind: string, call: string): string[] => [
  `msync ${kind}/file MS_SYNC 0`,
  `${call} ${kind}/file 0`,
];
const entry = (kind: string): string[] => [`open ${kind} ok`, `fsync ${kind} 0`];

test.each(DOORS)(
  "sync writes out the bytes, then the size, then a new file's directory entry: %s",
  async (door) => {
    if (!traceable()) return;
    const folder = freshFolder();
    const lines: string[] = [];
    const answers: RegExp[] = [];
    const expected: string[][] = [[]];
    const ask = (line: string, answer = /^ok/): void => {
      lines.push(line);
      answers.push(answer);
    };
    const mark = (calls: string[]): void => {
      ask(`open mark ${join(folder, MARK)}${lines.length} read`, /^error enoent$/);
      expected.push(calls);
    };
    for (const [kind, opening] of Object.entries(KINDS)) {
      const path = join(folder, kind, "file");
      mkdirSync(join(folder, kind));
      ask(opening(path));
      mark([...written(kind, "fsync"), ...entry(kind)]);
      ask("sync f");
      mark(written(kind, "fsync"));
      ask("sync f");
      mark(written(kind, "fdatasync"));
      ask("datasync f");
      mark([]);
      ask("close f");
      ask(opening(path));
      mark(written(kind, "fsync"));
      ask("sync f");
      mark([]);
      ask("close f");
    }
    mkdirSync(join(folder, "new"));
    ask(`queue_open f ${join(folder, "new", "file")}`);
    mark([...written("new", "fdatasync"), ...entry("new")]);
    ask("datasync f");
    mark([]);
    const trace = join(folder, "trace");
    const got = await traced(trace, command(door), lines);
    expect(got.map((answer, i) => answers[i]?.test(answer) || `${lines[i]}: ${answer}`)).toEqual(
      answers.map(() => true),
    );
    expect(sections(trace, folder)).toEqual(expected);
  },
);

test.each(backends)(
  "emmap:sync and file:sync make the same calls, and so do both datasync: %s",
  async (backend: Backend) => {
    if (!traceable()) return;
    const folder = freshFolder();
    mkdirSync(join(folder, "new"));
    const trace = join(folder, "trace");
    await run("strace", [
      ...[...STRACE, "-o", trace],
      ...[
        "escript",
        script("sync_user.escript"),
        ebin,
        backend,
        join(folder, "new", "file"),
        join(folder, MARK),
      ],
    ]);
    expect(sections(trace, folder)).toEqual([
      [],
      [...written("new", "fdatasync"), ...entry("new")],
      written("new", "fsync"),
      written("new", "fdatasync"),
      written("new", "fsync"),
      [],
    ]);
  },
);
