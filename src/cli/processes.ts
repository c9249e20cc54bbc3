// The processes that have a file open, as /proc shows them. Only root, and the user of a process, see its files.
import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { basename } from "node:path";
import { safe } from "./text.js";

export interface Process {
  process: number;
  program: string;
  /** The command line; missing where it may not be read. */
  command?: string;
  /** "running", "sleeping", "stopped" and so on. */
  state: string;
  /** When the process began, in ms since 1970. */
  since?: number;
  /** It has the file open for writing. */
  writes: boolean;
}

const STATES: Record<string, string> = {
  R: "running",
  S: "sleeping",
  D: "waiting for a disk",
  T: "stopped",
  t: "traced",
  Z: "dead",
  X: "dead",
  I: "idle",
};

const TICKS = 100; // of Linux, in a second, for programs

function bootTime(): number | undefined {
  const found = /^btime (\d+)/m.exec(readFileSync("/proc/stat", "latin1"));
  return found === null ? undefined : Number(found[1]) * 1000;
}

/** State and begin of a process; undefined: it is gone, or there is no /proc. */
export function stateOf(id: number): { state: string; since?: number } | undefined {
  try {
    const stat = readFileSync(`/proc/${id}/stat`, "latin1");
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
    const boot = bootTime();
    const state = STATES[fields[0] as string] ?? (fields[0] as string);
    return boot === undefined ? { state } : { state, since: boot + (Number(fields[19]) * 1000) / TICKS };
  } catch {
    return undefined;
  }
}

export function commandOf(id: number): string | undefined {
  try {
    const command = safe(
      readFileSync(`/proc/${id}/cmdline`, "utf8").replace(/\0+$/, "").replaceAll("\0", " "),
    );
    return command === "" ? undefined : command;
  } catch {
    return undefined;
  }
}

/** The process of the BEAM node that a port program serves. */
export function clientOf(id: number): number | undefined {
  const found = /^\S*\bemmap_port\S* .*--client=(\d+)/.exec(commandOf(id) ?? "");
  return found === null ? undefined : Number(found[1]);
}

/** The name of the program, as a handle has it in its slot. */
function programOf(id: number): string {
  try {
    return safe(basename(readlinkSync(`/proc/${id}/exe`)));
  } catch {
    return safe(readFileSync(`/proc/${id}/comm`, "utf8").trimEnd());
  }
}

interface Identity {
  dev: number;
  ino: number;
}

const isSame = (one: Identity, other: Identity): boolean => one.dev === other.dev && one.ino === other.ino;

/** Whether the process has the file open; and whether for writing. */
function opens(id: number, file: Identity): { writes: boolean } | undefined {
  let found: { writes: boolean } | undefined;
  for (const each of readdirSync(`/proc/${id}/fd`)) {
    const path = `/proc/${id}/fd/${each}`;
    try {
      // Another name may lead to the file, but not from another kind of descriptor.
      if (!readlinkSync(path).startsWith("/") || !isSame(statSync(path), file)) continue;
      const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/${id}/fdinfo/${each}`, "latin1"));
      const writes = flags !== null && (Number.parseInt(flags[1] as string, 8) & 3) !== 0;
      found = { writes: writes || (found?.writes ?? false) };
    } catch {
      // The descriptor is closed by now.
    }
  }
  return found;
}

/** Whether the process of this id has the file open. False also for one whose files this user may not see. */
export function hasOpen(id: number, path: string): boolean {
  try {
    return opens(id, statSync(path)) !== undefined;
  } catch {
    return false;
  }
}

/** The processes that have the file open. undefined: this system does not tell. */
export function processesOf(path: string): Process[] | undefined {
  let ids: string[];
  const file = statSync(path);
  try {
    ids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  } catch {
    return undefined;
  }
  const found: Process[] = [];
  for (const name of ids) {
    const id = Number(name);
    if (id === process.pid) continue;
    try {
      const open = opens(id, file);
      if (open === undefined) continue;
      const command = commandOf(id);
      found.push({
        process: id,
        program: programOf(id),
        ...(command === undefined ? {} : { command }),
        ...(stateOf(id) ?? { state: "dead" }),
        writes: open.writes,
      });
    } catch {
      // Another user's process, or one that has ended.
    }
  }
  return found;
}
