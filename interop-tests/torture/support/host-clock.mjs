// The clocks of hosts on one machine: they are hours apart, and a wall clock can be set.
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { compile } from "./compile.mjs";
import { NotPossible } from "./report.mjs";

const HOUR = 3600;

/** A prefix that runs a command in a time namespace, whose monotonic clocks are ahead. It ends with the process that started it. */
const inTime = (seconds) => [
  ...["unshare", "--time", "--monotonic", String(seconds), "--boottime", String(seconds)],
  ...["--fork", "--kill-child=SIGKILL"],
];

const source = fileURLToPath(new URL("set_clock.c", import.meta.url));

/** The clocks of a host: `wrapper` is a command that runs the one behind it with them. */
export class HostClock {
  #path;
  /** By how many ms the wall clock is ahead of this machine's. */
  ahead;
  /** By how many ms the monotonic clock is. It is not set: no clock of that kind is. */
  monotonicAhead;

  constructor(folder, number) {
    this.#path = join(folder, `clock-${number}`);
    this.monotonicAhead = (number - 1) * 1000 * HOUR * 1000;
    this.set((number - 2) * 7);
  }

  get wrapper() {
    const library = compile("set_clock.so", [source], "-shared", "-fPIC", "-ldl");
    return [
      "env",
      `LD_PRELOAD=${library}`,
      `EMMAP_CLOCK=${this.#path}`,
      ...inTime(this.monotonicAhead / 1000),
    ];
  }

  /** Sets the wall clock so many hours ahead of this machine's. Its programs see that at once. */
  set(hours) {
    // Into the same file: they have it mapped.
    const flag = this.ahead === undefined ? "w" : "r+";
    writeFileSync(this.#path, BigInt64Array.of(BigInt(hours * HOUR)), { flag });
    this.ahead = hours * HOUR * 1000;
  }
}

/** Throws where this user or kernel has no time namespaces. */
export function requireClocks() {
  const [command, ...args] = [...inTime(HOUR), "true"];
  const tried = spawnSync(command, args, { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`this user may make no time namespaces: ${tried.stderr || tried.error}`.trim());
}
