// emmap check
import { constants, copyFileSync, existsSync, statSync } from "node:fs";
import { explain, Failure, Status } from "../failure.js";
import { doubtOf } from "../health.js";
import { inspect } from "../inspect.js";
import { type Common, type Result, report } from "../output.js";
import { plural, safe } from "../text.js";

interface Options extends Common {
  repair?: boolean;
  kind?: string;
}

interface Verdict {
  path: string;
  kind: string;
  sound: boolean;
  note?: string;
  damage?: string;
  offset?: number;
  beside?: string;
  repair?: string;
  /** Messages in hand. */
  saved?: number;
  lost?: number;
  backup?: string;
  busy?: string;
}

/** Kinds whose files begin with a name of the kind. Damaged files of these may look like a queue or a block storage. */
const KNOWN_BY_NAME: ReadonlySet<string> = new Set(["counters", "cell", "table", "metrics"]);

/** What only structures have beside them. */
const BESIDE = ["-live", "-taken"];
const LOST_KIND =
  "the files beside it are those of a queue, a storage, a table or a cell, but its first bytes are damaged. Give --kind";

/** Reads the whole file, without a lock. */
async function examine(path: string, asKind: string | undefined): Promise<Verdict> {
  const found = inspect(path, "check");
  const kind = asKind ?? found.kind;
  // Its first bytes are whole. A repair as another kind would destroy it.
  if (KNOWN_BY_NAME.has(found.kind) && kind !== found.kind && !(found.kind === "metrics" && kind === "table"))
    throw new Failure(`${path} is of kind ${found.kind}, and not of kind ${kind}`, Status.usage);
  if (kind === "plain" && BESIDE.some((end) => existsSync(path + end)))
    return { path, kind, sound: false, damage: LOST_KIND, offset: 0 };
  if (kind === found.kind && found.damage !== undefined)
    return {
      path,
      kind,
      sound: false,
      damage: found.damage,
      ...(found.damage_offset === undefined ? {} : { offset: found.damage_offset }),
      ...(found.damaged_beside === undefined ? {} : { beside: `${path}${found.damaged_beside}` }),
    };
  const doubt = kind === found.kind ? doubtOf(found, path) : undefined;
  const sound = { path, kind, sound: true, ...(doubt === undefined ? {} : { note: doubt }) };
  // The core has read all but the texts that describe metrics.
  if (kind === found.kind && kind !== "metrics") return sound;
  try {
    const inside = (await import("../more.js")).insideOf(kind);
    inside.reader(path).close();
    inside.check?.(path);
    return sound;
  } catch (error) {
    const { code, offset, message } = error as { code?: string; offset?: number; message: string };
    if (code !== "EMMAP_CORRUPT" && code !== "EINVAL") throw error;
    return { path, kind, sound: false, damage: message, ...(offset === undefined ? {} : { offset }) };
  }
}

const FOLDER = "folder";
const UNREADABLE = "unreadable";

/** One of several, `*` for example: a file that cannot be read does not keep the others from a verdict. */
async function examineOne(path: string, asKind: string | undefined): Promise<Verdict> {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return { path, kind: FOLDER, sound: true };
  try {
    return await examine(path, asKind);
  } catch (error) {
    return { path, kind: UNREADABLE, sound: false, damage: explain(error).message };
  }
}

/** The name of a backup that is free. */
function free(path: string): string {
  for (let number = 1; ; number++) {
    const name = `${path}.damaged${number === 1 ? "" : `-${number}`}`;
    if (!existsSync(name)) return name;
  }
}

/** The bytes as they are: a damaged file has no moment that a better copy could show. */
function keep(path: string): string {
  const backup = free(path);
  copyFileSync(path, backup, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
  return backup;
}

/** The queue itself is sound, and goes on while this file is repaired. */
async function repairBeside(verdict: Verdict, beside: string): Promise<Verdict> {
  const { repairInHand } = await import("../more.js");
  const backup = keep(beside);
  try {
    const { saved, lost } = repairInHand(verdict.path);
    const repair = `${plural(saved, "message")} in hand saved, ${lost} lost; the backup has their bytes`;
    return { ...verdict, repair, saved, lost, backup };
  } catch (error) {
    const { message, status } = explain(error);
    if (status === Status.busy) return { ...verdict, busy: message, backup };
    const away = `Close all handles of the queue, which itself is sound, and move ${safe(beside)} away: its messages are lost to the queue`;
    return { ...verdict, repair: `failed: ${message}. ${away}`, backup };
  }
}

async function repair(verdict: Verdict): Promise<Verdict> {
  if (verdict.beside !== undefined) return repairBeside(verdict, verdict.beside);
  const mend = (await import("../more.js")).insideOf(verdict.kind).repair;
  if (mend === undefined) return { ...verdict, repair: "none: there is no repair for this kind" };
  const backup = keep(verdict.path);
  // Released messages go with those of the queue.
  const beside = `${verdict.path}-taken`;
  if (verdict.kind === "queue" && existsSync(beside)) keep(beside);
  try {
    return { ...verdict, repair: mend(verdict.path), backup };
  } catch (error) {
    const { message, status } = explain(error);
    return status === Status.busy
      ? { ...verdict, busy: message, backup }
      : { ...verdict, repair: `failed: ${message}`, backup };
  }
}

const SKIPPED: Record<string, string> = {
  plain: "which has no format to check",
  [FOLDER]: "which is not checked",
};

function sentence(verdict: Verdict): string {
  const { path, kind, sound, note, damage, offset, beside, backup, busy } = verdict;
  const lines = [
    `${safe(path)}: ${kind}, ${kind === UNREADABLE ? "NOT CHECKED" : sound ? (SKIPPED[kind] ?? "sound") : "DAMAGED"}`,
  ];
  if (note !== undefined) lines.push(`  note: ${safe(note)}`);
  if (kind === UNREADABLE) lines.push(`  ${damage}`);
  else if (!sound)
    lines.push(`  at ${offset ?? "?"}${beside === undefined ? "" : ` of ${safe(beside)}`}: ${damage}`);
  if (backup !== undefined) lines.push(`  its bytes are kept in ${safe(backup)}`);
  if (busy !== undefined) lines.push(`  not repaired: ${busy}`);
  if (verdict.repair !== undefined) lines.push(`  repair: ${verdict.repair}`);
  return lines.join("\n");
}

async function look(files: readonly string[], options: Options): Promise<Result> {
  let worst: number = Status.ok;
  const verdicts: Verdict[] = [];
  for (const path of files) {
    const verdict =
      files.length > 1 ? await examineOne(path, options.kind) : await examine(path, options.kind);
    verdicts.push(
      !verdict.sound && verdict.kind !== UNREADABLE && options.repair ? await repair(verdict) : verdict,
    );
  }
  for (const { sound, busy, repair: done } of verdicts) {
    if (busy !== undefined) worst = Status.busy;
    else if (!sound && (done === undefined || /^(none|failed):/.test(done)) && worst === Status.ok)
      worst = Status.failed;
  }
  process.exitCode = worst;
  return { text: verdicts.map(sentence).join("\n"), values: verdicts };
}

export async function check(files: string[], options: Options): Promise<void> {
  if (options.repair && options.watch !== undefined)
    throw new Failure("--repair is done once: leave --watch out", Status.usage);
  return report(options, () => look(files, options));
}
