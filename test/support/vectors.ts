import { execFileSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import type { Counters, MappedFile } from "../../src";
import * as emmap from "../../src";
import { freshPath, pattern } from "./files";

type Argument =
  | string
  | { text: string }
  | { atom: string }
  | { float: number }
  | { nothing: true }
  | { options: Record<string, string | true | { float: number } | { atom: string }> };

/** A case of test/vectors/bad-input.json, which README.md there describes. */
export interface Case {
  name: string;
  setup: string;
  operation: string;
  arguments: Argument[];
  expected: { node: string; erlang: string };
}

const CAMEL_CASE: Record<string, string> = { chmod: "mode", huge_2mb: "huge2mb", huge_1gb: "huge1gb" };

function camelCase(name: string): string {
  return CAMEL_CASE[name] ?? name.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}

function integer(digits: string): number | bigint {
  const value = BigInt(digits);
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

export function decode(argument: Argument): unknown {
  if (typeof argument === "string") return integer(argument);
  if ("text" in argument) return Buffer.from(argument.text);
  if ("atom" in argument) return argument.atom;
  if ("float" in argument) return argument.float;
  if ("nothing" in argument) return undefined;
  return Object.fromEntries(
    Object.entries(argument.options).map(([name, value]) => [
      camelCase(name),
      value === true ? true : decode(value),
    ]),
  );
}

function countersBytes(): Buffer {
  const bytes = Buffer.alloc(48);
  bytes.write("EMMAP01\n");
  bytes.writeBigUInt64LE(4n, 8);
  for (let i = 0; i < 4; i++) bytes.writeBigInt64LE(BigInt(i + 1), 16 + 8 * i);
  return bytes;
}

function withBytes(path: string, bytes: Buffer, mode = 0o644): string {
  writeFileSync(path, bytes);
  chmodSync(path, mode);
  return path;
}

const PATHS: Record<string, (path: string) => void> = {
  missing: () => {},
  unreadable: (path) => withBytes(path, pattern(4096), 0o000),
  unwritable: (path) => withBytes(path, pattern(4096), 0o444),
  empty: (path) => withBytes(path, Buffer.alloc(0)),
  short: (path) => withBytes(path, countersBytes().subarray(0, 20)),
  foreign: (path) => withBytes(path, Buffer.alloc(48, "x")),
  directory: (path) => mkdirSync(path),
  fifo: (path) => execFileSync("mkfifo", [path]),
  plain: (path) => withBytes(path, pattern(4096)),
  counters: (path) => withBytes(path, countersBytes()),
};

const OPENED: Record<string, { path: string; open(path: string): MappedFile | Counters; closed?: true }> = {
  open: { path: "plain", open: (path) => emmap.open(path, { write: true }) },
  "open read-only": { path: "plain", open: (path) => emmap.open(path) },
  closed: { path: "plain", open: (path) => emmap.open(path, { write: true }), closed: true },
  "open at an odd offset": { path: "plain", open: (path) => emmap.open(path, { write: true, offset: 4 }) },
  "open counters": { path: "counters", open: (path) => emmap.openCounters(path, 4) },
  "read-only counters": { path: "counters", open: (path) => emmap.openCounters(path, 4, { read: true }) },
  "closed counters": { path: "counters", open: (path) => emmap.openCounters(path, 4), closed: true },
};

/** The method of a file or counters for an operation of the core. */
export function methodOf(operation: string): string {
  return camelCase(operation.replace(/^(patomic|counter)_/, ""));
}

/** The file at the path: its bytes, its kind, or that there is none. */
export function state(path: string): string {
  if (!existsSync(path)) return "missing";
  const about = statSync(path);
  return about.isFile() ? readFileSync(path).toString("hex") : `mode ${about.mode.toString(8)}`;
}

/** Runs `action` without root's right to open everything. */
function withoutRoot<Result>(path: string, action: () => Result): Result {
  if (process.getuid?.() !== 0) return action();
  chmodSync(dirname(path), 0o755);
  process.seteuid?.(65534);
  try {
    return action();
  } finally {
    process.seteuid?.(0);
  }
}

/** Sets the case up. Returns a function that makes the failing call. */
export function prepare(test: Case): { path: string; call: () => unknown } {
  const path = freshPath();
  const args = test.arguments.map(decode);
  const opened = OPENED[test.setup];
  const make = PATHS[opened?.path ?? test.setup];
  if (make === undefined) throw new Error(`no setup is called ${test.setup}`);
  make(path);
  if (opened !== undefined) {
    const file = opened.open(path);
    if (opened.closed) file.close();
    const method = (file as unknown as Record<string, (...args: unknown[]) => unknown>)[
      methodOf(test.operation)
    ];
    if (method === undefined) throw new Error(`${test.operation} is no operation of ${test.setup}`);
    return { path, call: () => method.apply(file, args) };
  }
  const start = (test.operation === "open" ? emmap.open : emmap.openCounters) as (
    ...args: unknown[]
  ) => unknown;
  const mayNot = test.setup === "unreadable" || test.setup === "unwritable";
  const call = (): unknown => start(path, ...args);
  return { path, call: mayNot ? () => withoutRoot(path, call) : call };
}
