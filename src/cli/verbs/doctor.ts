// emmap doctor
import { accessSync, constants, readdirSync, readFileSync, rmSync, statfsSync, statSync } from "node:fs";
import { arch, platform, release } from "node:os";
import { join } from "node:path";
import { EMPTY, openQueue, type Queue } from "../../queue.js";
import { VERSION } from "../../version.js";
import { Failure, missing, Status } from "../failure.js";
import { filesIn } from "../files.js";
import { doubtOf } from "../health.js";
import { inspect } from "../inspect.js";
import { print } from "../output.js";
import { json, plural, safe } from "../text.js";

/** A check and its answer. `means` and `mend` are for people who meet it for the first time. */
interface Finding {
  check: string;
  state: "ok" | "note" | "bad";
  found: string;
  means?: string;
  mend?: string;
}

const environment: { EMMAP_LIVE?: string } = process.env;

const ok = (check: string, found: string): Finding => ({ check, state: "ok", found });
const note = (check: string, found: string, means: string, mend: string): Finding => ({
  check,
  state: "note",
  found,
  means,
  mend,
});
const bad = (check: string, found: string, means: string, mend: string): Finding => ({
  check,
  state: "bad",
  found,
  means,
  mend,
});

const read = (path: string): string | undefined => {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return undefined;
  }
};

function runtime(): Finding {
  const where = `emmap ${VERSION}, Node ${process.versions.node}, ${platform()} on ${arch()}`;
  return Number(process.versions.node.split(".")[0]) >= 20
    ? ok("runtime", where)
    : bad("runtime", where, "emmap is made for Node 20 and later", "use a later release of Node");
}

function kernel(): Finding {
  if (platform() !== "linux")
    return note(
      "kernel",
      `${platform()} ${release()}`,
      "without futexes a process that waits looks again after 0.2 to 100 ms",
      "nothing to do: it is slower, and as safe; Linux is what emmap is tested on",
    );
  const [major = 0, minor = 0] = release().split(".").map(Number);
  return major > 5 || (major === 5 && minor >= 16)
    ? ok("kernel", `Linux ${release()}, which wakes those who wait for a word (futex_waitv)`)
    : note(
        "kernel",
        `Linux ${release()}`,
        "before 5.16 a process that waits for a word looks again some times a second",
        "update the kernel if wake-ups have to be fast",
      );
}

const FILE_SYSTEMS: Record<number, string> = {
  61267: "ext4",
  1481003842: "xfs",
  2435016766: "btrfs",
  16914836: "tmpfs",
  2035054128: "overlay",
  26985: "nfs",
  4283649346: "cifs",
  4266872130: "smb",
  1702057286: "fuse",
  16914839: "9p",
  801189825: "zfs",
};

function fileSystem(folder: string): Finding {
  const { type, bavail, bsize } = statfsSync(folder);
  const name = FILE_SYSTEMS[type] ?? `type 0x${type.toString(16)}`;
  const room = `${name}, ${Math.floor((bavail * bsize) / 2 ** 20)} MiB free`;
  if (bavail * bsize < 16 * 2 ** 20)
    return bad(
      "file system",
      room,
      "a queue that has to grow fails with ENOSPC",
      "make room, or use another disk",
    );
  return ok("file system", room);
}

/** Opens a queue twice, as two processes do. Both are closed, and the files removed, when `use` has ended. */
async function withQueue<Value>(
  folder: string,
  use: (
    path: string,
    one: Queue<Uint8Array | string, Buffer>,
    other: Queue<Uint8Array | string, Buffer>,
  ) => Value,
): Promise<Awaited<Value>> {
  const path = join(folder, `.emmap-doctor-${process.pid}`);
  try {
    using one = openQueue(path, { write: true, create: true, size: 4096, raw: true });
    using other = openQueue(path, { write: true, raw: true });
    return await use(path, one, other);
  } finally {
    rmSync(path, { force: true });
    rmSync(`${path}-live`, { recursive: true, force: true });
  }
}

async function sharing(folder: string): Promise<Finding[]> {
  try {
    return await withQueue(folder, async (path, one, other) => {
      one.push("ping");
      const seen = other.pop();
      const memory =
        seen !== EMPTY && seen.subarray(0, 4).toString() === "ping"
          ? ok("shared memory", "two handles of one file see the same bytes")
          : bad(
              "shared memory",
              "two handles see different bytes",
              "processes would lose each other's messages",
              "put the files on a local disk: docs/file-systems.md",
            );
      const { sharing: way } = inspect(path, "brief");
      const locks =
        way === "live"
          ? ok("locks", "in memory, through a live folder beside the file")
          : note(
              "locks",
              way === "kernel" ? "the kernel's, since no live folder can be made" : "none",
              "queues and block storages work, and each operation takes two system calls more",
              environment.EMMAP_LIVE === "off"
                ? "EMMAP_LIVE=off is set in the environment: unset it"
                : "give this user the right to create folders beside the files",
            );
      return [memory, locks, await wakeUp(one, other)];
    });
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return [
      bad(
        "shared memory",
        safe(message),
        code === "ENOTSUP"
          ? "on this file system processes do not see each other's bytes"
          : "no queue can be opened here",
        code === "ENOTSUP"
          ? "put the files on a local disk: docs/file-systems.md"
          : "see the error: rights, room, or limits",
      ),
    ];
  }
}

async function wakeUp(
  one: Queue<Uint8Array | string, Buffer>,
  other: Queue<Uint8Array | string, Buffer>,
): Promise<Finding> {
  const times: number[] = [];
  for (let i = 0; i < 5; i++) {
    const received = other.receive({ timeout: 2000 });
    await new Promise((resolve) => setTimeout(resolve, 20));
    const begin = performance.now();
    one.push("ping");
    if ((await received) === EMPTY)
      return bad(
        "wake-ups",
        "a waiting consumer got no message",
        "consumers that wait would sleep on",
        "report this with the output of emmap doctor --json",
      );
    times.push(performance.now() - begin);
  }
  const median = times.sort((a, b) => a - b)[2] as number;
  return median < 50
    ? ok("wake-ups", `a push wakes a waiting consumer in ${median.toFixed(2)} ms`)
    : note(
        "wake-ups",
        `a push reaches a waiting consumer after ${Math.round(median)} ms`,
        "the consumer is not woken: it looks 12 times a second",
        "allow futex in the sandbox, or update the kernel",
      );
}

function limits(): Finding[] {
  const findings: Finding[] = [];
  const files = /^Max open files +(\S+)/m.exec(read("/proc/self/limits") ?? "")?.[1];
  if (files !== undefined)
    findings.push(
      Number(files) < 1024
        ? note(
            "open files",
            files,
            "each open file takes a descriptor, and a queue two",
            "raise the limit: ulimit -n",
          )
        : ok("open files", `${files} a process`),
    );
  const maps = Number(read("/proc/sys/vm/max_map_count"));
  if (maps > 0)
    findings.push(
      maps < 8192
        ? note(
            "mappings",
            String(maps),
            "each open file takes one, and a truncated file more",
            "sysctl -w vm.max_map_count=65530",
          )
        : ok("mappings", `${maps} a process`),
    );
  return findings;
}

function rights(folder: string): Finding {
  try {
    accessSync(folder, constants.W_OK | constants.X_OK);
    return ok("rights", `this user may create files in ${safe(folder)}`);
  } catch {
    return note(
      "rights",
      `this user may not create files in ${safe(folder)}`,
      "existing files can be used, by the kernel's locks; new ones cannot be made",
      "give the user write permission for the folder",
    );
  }
}

/** The files that are there: whether this user may use them, and with the others. */
function present(folder: string): Finding[] {
  const findings: Finding[] = [];
  let ours = 0;
  for (const path of filesIn(folder)) {
    let trouble: string | undefined;
    let doubt: string | undefined;
    try {
      const found = inspect(path, "brief");
      if (found.kind === "plain") continue;
      ours++;
      trouble = found.damage ?? found.trouble;
      doubt = doubtOf(found, path);
    } catch (error) {
      trouble = (error as NodeJS.ErrnoException).code === undefined ? (error as Error).message : undefined;
    }
    if (trouble !== undefined)
      findings.push(
        bad(
          "file",
          `${safe(path)}: ${trouble}`,
          "new writers may be refused, or the file is damaged",
          `emmap info ${safe(path)}; emmap check ${safe(path)}; docs/live.md`,
        ),
      );
    else if (doubt !== undefined)
      findings.push(
        note(
          "file",
          safe(doubt),
          "consumers of this queue may get messages of another one",
          `docs/job-queues.md; look at them: emmap info ${safe(path)}`,
        ),
      );
  }
  findings.unshift(ok("files", `${plural(ours, "file")} of emmap in ${safe(folder)}`));
  for (const name of readdirSync(folder))
    if (name.endsWith("-live") && !exists(join(folder, name.slice(0, -5))))
      findings.push(
        note(
          "live folder",
          safe(name),
          "its file is gone",
          `remove it if no process uses it: rm -r ${safe(join(folder, name))}`,
        ),
      );
  return findings;
}

function exists(path: string): boolean {
  try {
    statSync(path);
    return true;
  } catch {
    return false;
  }
}

function container(): Finding[] {
  const own = read("/proc/self/cgroup") ?? "";
  const inside =
    exists("/.dockerenv") || exists("/run/.containerenv") || /docker|kubepods|containerd/.test(own);
  return inside
    ? [
        note(
          "container",
          "this is one",
          "process ids are those of this container; other containers have others",
          "mount the folder that has the files, not single files: docs/live.md",
        ),
      ]
    : [];
}

const MARKS = { ok: "ok  ", note: "note", bad: "BAD " } as const;

export async function doctor(folder: string, options: { json?: boolean }): Promise<void> {
  if (!exists(folder)) throw missing(folder);
  if (!statSync(folder).isDirectory()) throw new Failure(`${folder} is no folder`, Status.usage);
  const writable = rights(folder);
  const findings = [
    runtime(),
    kernel(),
    ...container(),
    fileSystem(folder),
    writable,
    ...(writable.state === "ok" ? await sharing(folder) : []),
    ...limits(),
    ...present(folder),
  ];
  for (const finding of findings) {
    const { check, state, found, means, mend } = finding;
    if (options.json) print(json(finding));
    else {
      print(`${MARKS[state]} ${check.padEnd(14)} ${found}`);
      if (means !== undefined) print(`${" ".repeat(20)}That means: ${means}.`);
      if (mend !== undefined) print(`${" ".repeat(20)}To mend it: ${mend}.`);
    }
  }
  process.exitCode = findings.some(({ state }) => state === "bad") ? Status.failed : Status.ok;
}
