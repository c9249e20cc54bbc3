// A process that dies, stops or forks between two given stores: see native/test/victim.c.
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

/** musl's headers come first. Of the other headers only the kernel's and cmocka's are used. */
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
  /** A victim with this C library; `wrapper` is a prefix that runs a command. */
  constructor({ library = "glibc", wrapper = [] } = {}) {
    const [command, ...args] = [...wrapper, PROGRAMS[library]()];
    super(command, args);
  }

  async order(...words) {
    return JSON.parse(await this.ask(words.join(" ")));
  }
}

/** The lock for changes of a queue or storage, and for creating counters: native/core/lock.h. */
const STRUCTURE_LOCK = (1n << 62n) + 2n;

const LOCKS = "/proc/locks";

function locksOn(path) {
  if (!existsSync(LOCKS)) throw new NotPossible(`who holds a lock can't be seen without ${LOCKS}`);
  const { ino } = statSync(path);
  return readFileSync(LOCKS, "utf8")
    .split("\n")
    .filter((line) => line.includes("OFDLCK") && line.split(/\s+/).some((word) => word.endsWith(`:${ino}`)));
}

/** The place of the lock word in a live folder's state, and the bits that name an owner: native/core/live_layout.h. */
const LOCK_WORD = 64;
const OWNER = 0x3fffffff;

function hasOwner(state) {
  const word = existsSync(state) ? readFileSync(state).subarray(LOCK_WORD, LOCK_WORD + 4) : "";
  return word.length === 4 && (new Uint32Array(Uint8Array.from(word).buffer)[0] & OWNER) !== 0;
}

/** Whether a process holds the lock for changes of the file, in the kernel or in the live folder. */
export function isHeld(path) {
  const inKernel = (line) =>
    !line.includes("->") && line.includes(" WRITE ") && line.includes(` ${STRUCTURE_LOCK} `);
  return locksOn(path).some(inKernel) || hasOwner(`${path}-live/state`);
}

/** Resolves when the processes with requests that need a lock are certainly waiting for it. */
export const untilTheyWait = () => sleep(20);

/** For each point at which the script, on a new file, holds that lock: its name, and the first pause there. */
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
