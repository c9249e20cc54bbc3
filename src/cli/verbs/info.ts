// emmap info
import { setTimeout as sleep } from "node:timers/promises";
import { handTable } from "../hand.js";
import { holderKey, nameOf, stateOfWriter, troubleOf } from "../health.js";
import { type Inspection, inspect } from "../inspect.js";
import { kindOf } from "../kinds/index.js";
import { type Common, type Result, report } from "../output.js";
import { type Process, processesOf } from "../processes.js";
import { bytes, plural, safe, table } from "../text.js";

/** How long a lock is watched before its holder is said to keep it, in ms. */
const WATCH = 120;

const time = (ms: number): string => {
  const date = new Date(ms);
  return Number.isNaN(date.getTime()) ? "?" : date.toISOString().replace(/\.\d+Z$/, "Z");
};

const SHARING: Record<string, string> = {
  none: "nobody has it open for writing",
  shared: "open for writing",
  exclusive: "open for writing by an exclusive handle",
  kernel: "open for writing; its writers use the kernel's locks",
};

function sharing(found: Inspection): string {
  if (found.sharing === "live")
    return `${plural(found.writers.length, "handle")} may write, through the live folder`;
  return SHARING[found.sharing ?? ""] ?? "not known: this file system has no locks";
}

function lock(found: Inspection, path: string): string {
  const holder = found.writers.find((each) => each.has_lock);
  const awaited = found.lock_awaited ? "; others wait for it" : "";
  if (found.lock === "held" && holder !== undefined) {
    const state = stateOfWriter(holder, path);
    return `held by ${nameOf(holder, path)}${state === undefined ? "" : `, which is ${state}`}${awaited}`;
  }
  return `${found.lock === "abandoned" ? "left by a process that died; the next writer takes it over" : found.lock}${awaited}`;
}

function writersTable(found: Inspection, path: string, processes: readonly Process[]): string {
  const head = [
    "PROCESS>",
    "PROGRAM",
    "SINCE",
    "PUSHED>",
    "POPPED>",
    "WAITED>",
    "WAITING>",
    "NOW",
    "COMMAND",
  ];
  return table(
    head,
    found.writers.map((each) => [
      String(each.process),
      each.program || "?",
      time(each.since),
      String(each.pushed),
      String(each.popped),
      String(each.waited),
      String(each.waiting),
      [
        stateOfWriter(each, path) ?? "?",
        each.has_lock ? "has the lock" : "",
        each.is_popping ? "has the first message" : "",
      ]
        .filter((word) => word !== "")
        .join(", "),
      processes.find(({ process }) => process === each.process)?.command ?? "",
    ]),
  );
}

function text(
  path: string,
  found: Inspection,
  processes: Process[] | undefined,
  trouble: string | undefined,
): string {
  const kind = kindOf(found.kind);
  const facts: [string, string][] = [
    ...(trouble === undefined ? [] : ([["TROUBLE", trouble]] as [string, string][])),
    ...kind.facts(found),
    [
      "size",
      `${found.size} bytes, ${bytes(found.disk)}B of them on the disk; mode ${found.mode.toString(8)}`,
    ],
    ["in use", sharing(found)],
    ...(found.lock === undefined ? [] : ([["lock", lock(found, path)]] as [string, string][])),
    ...(found.waiters === undefined
      ? []
      : ([["waiting", `${plural(found.waiters, "wait")} for a message`]] as [string, string][])),
  ];
  const lines = [
    `${safe(path)}: ${found.kind}`,
    ...facts.map(([label, fact]) => `  ${label.padEnd(9)} ${fact}`),
  ];
  if (found.writers.length > 0)
    lines.push("", "Handles that may write:", writersTable(found, path, processes ?? []));
  const others = (processes ?? []).filter(
    ({ process }) => !found.writers.some((each) => each.process === process),
  );
  if (others.length > 0)
    lines.push(
      "",
      found.writers.length > 0 ? "Other processes that have it open:" : "Processes that have it open:",
      table(
        ["PROCESS>", "PROGRAM", "SINCE", "MAY", "NOW", "COMMAND"],
        others.map((each) => [
          String(each.process),
          each.program,
          each.since === undefined ? "?" : time(each.since),
          each.writes ? "write" : "read",
          each.state,
          each.command ?? "",
        ]),
      ),
    );
  return lines.join("\n");
}

async function look(files: readonly string[]): Promise<Result> {
  const texts: string[] = [];
  const values: object[] = [];
  for (const path of files) {
    let found = inspect(path);
    let locked: number | undefined;
    const key = holderKey(found);
    if (key !== undefined) {
      await sleep(WATCH);
      found = inspect(path);
      // The sentence names whole seconds; a shorter watch only shows that nothing moves.
      if (holderKey(found) === key) locked = WATCH / 1000;
    }
    const processes = processesOf(path);
    const inHand =
      (found.in_hand ?? 0) + (found.released ?? 0) > 0
        ? (await import("../more.js")).inHandIfSound(path)
        : [];
    texts.push(text(path, found, processes, troubleOf(found, path, { locked })));
    if (inHand.length > 0) texts.push(`Messages in hand, and released ones:\n${handTable(inHand)}`);
    values.push({
      path,
      ...found,
      ...(processes === undefined ? {} : { processes }),
      ...(inHand.length === 0 ? {} : { deliveries: inHand }),
    });
  }
  return { text: texts.join("\n\n"), values };
}

export const info = (files: string[], options: Common): Promise<void> => report(options, () => look(files));
