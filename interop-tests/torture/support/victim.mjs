// A process that dies, stops or forks between two stores, where it is told to: see native/test/victim.c.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { compileWith, coreLibrary } from "./compile.mjs";
import { Peer } from "./processes.mjs";
import { NotPossible } from "./report.mjs";

const room = fileURLToPath(new URL("../../../native/test", import.meta.url));
const PROGRAM = "build/plain/victim";

const PROGRAMS = {
  glibc() {
    execFileSync("make", ["--silent", "-C", room, PROGRAM], { stdio: ["ignore", "ignore", "inherit"] });
    return join(room, PROGRAM);
  },
  musl: muslVictim,
};

/** Whether a victim can be built with this C library here. */
export const hasLibrary = (library) =>
  library === "glibc" || spawnSync("musl-gcc", ["--version"], { stdio: "ignore" }).status === 0;

/** musl's headers come first; of the others only the kernel's and cmocka's are looked for. */
function muslVictim() {
  const machine = execFileSync("cc", ["-print-multiarch"], { encoding: "utf8" }).trim();
  const headers = [`/usr/include/${machine}`, "/usr/include"].flatMap((path) => ["-idirafter", path]);
  const flags = ["-DEMMAP_PAUSE_POINTS", "-ffunction-sections", ...headers];
  const sources = [
    ...["victim.c", "support.c"].map((name) => join(room, name)),
    fileURLToPath(new URL("cmocka.c", import.meta.url)),
    coreLibrary({ compiler: "musl-gcc", flags, name: "musl" }),
  ];
  const includes = [`-I${join(room, "../core")}`, `-I${room}`];
  const link = ["-static", "-Wl,--gc-sections"];
  return compileWith("musl-gcc", "victim-musl", sources, "-O3", ...flags, ...includes, ...link);
}

export class Victim extends Peer {
  /** With this C library; `wrapper` is a command that runs the one behind it. */
  constructor({ library = "glibc", wrapper = [] } = {}) {
    const [command, ...args] = [...wrapper, PROGRAMS[library]()];
    super(command, args);
  }

  async order(...words) {
    return JSON.parse(await this.ask(words.join(" ")));
  }
}

/** Under which a queue's or storage's changes are made, and counters created: native/core/lock.h. */
const STRUCTURE_LOCK = (1n << 62n) + 2n;

const LOCKS = "/proc/locks";

function locksOn(path) {
  if (!existsSync(LOCKS)) throw new NotPossible(`who holds a lock can't be seen without ${LOCKS}`);
  const { ino } = statSync(path);
  return readFileSync(LOCKS, "utf8")
    .split("\n")
    .filter((line) => line.includes("OFDLCK") && line.split(/\s+/).some((word) => word.endsWith(`:${ino}`)));
}

/** Where the lock word is in a live folder's state, and its bits that name an owner: native/core/live_layout.h. */
const LOCK_WORD = 64;
const OWNER = 0x3fffffff;

function hasOwner(state) {
  const word = existsSync(state) ? readFileSync(state).subarray(LOCK_WORD, LOCK_WORD + 4) : "";
  return word.length === 4 && (new Uint32Array(Uint8Array.from(word).buffer)[0] & OWNER) !== 0;
}

/** Whether somebody holds the lock under which the file's structure is changed, in the kernel or in the live folder. */
export function isHeld(path) {
  const inKernel = (line) =>
    !line.includes("->") && line.includes(" WRITE ") && line.includes(` ${STRUCTURE_LOCK} `);
  return locksOn(path).some(inKernel) || hasOwner(`${path}-live/state`);
}

/** Resolves when whoever was asked for something that needs a lock has long begun to wait for it. */
export const untilTheyWait = () => sleep(20);

/** Of each point at which the script, on a new file, holds that lock: its name and the first pause that is there. */
export async function pointsWithLock(victim, script, path) {
  const points = new Map();
  const met = new Set();
  for (let pause = 1; ; pause++) {
    const { point } = await victim.order("stop", script, pause, path);
    if (point !== null && !met.has(point) && isHeld(path)) points.set(point, pause);
    met.add(point);
    if (point !== null) await victim.order("kill");
    for (const made of [path, `${path}-live`]) rmSync(made, { force: true, recursive: true });
    if (point === null) return points;
  }
}
