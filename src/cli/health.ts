// What is wrong with a file or its users, in one sentence, and who is to blame.
import type { Inspection, Writer } from "./inspect.js";
import { commandOf, hasOpen, stateOf } from "./processes.js";
import { cut, plural, span } from "./text.js";

/** How long a first message may stay before a queue counts as stuck, in seconds. */
const PATIENCE = 5;

/** What several looks have shown. */
export interface History {
  /** Seconds since the first message has been the first one, at least. */
  oldest?: number | undefined;
  /** Seconds since this handle has had the lock without any change of its counts, at least. */
  locked?: number | undefined;
}

/** The state of a writer's process: "stopped", "running"; undefined: it is not in this namespace, or not for this user. */
export function stateOfWriter(writer: Pick<Writer, "process">, path: string): string | undefined {
  const state = stateOf(writer.process)?.state;
  return state !== undefined && hasOpen(writer.process, path) ? state : undefined;
}

/** A process for people: "process 4242 (node worker.js)". */
export function nameOf(writer: Pick<Writer, "process" | "program">, path: string): string {
  const command = hasOpen(writer.process, path) ? commandOf(writer.process) : undefined;
  // The folders of the program and of its files say little, and take the room of the names.
  const short = command?.replace(/^\S*\/|(?<=\s)\/\S*\//g, "") ?? (writer.program || "unknown");
  return `process ${writer.process} (${cut(short, 40)})`;
}

const isIdle = (state: string | undefined): boolean => state === "stopped" || state === "traced";

function ofLock(found: Inspection, path: string, { locked = 0 }: History): string | undefined {
  if (found.lock === "abandoned") return "its lock's owner has died; the next writer takes it over";
  if (found.lock !== "held") return undefined;
  const holder = found.writers.find((each) => each.has_lock);
  if (holder === undefined)
    return locked > 1 ? `another handle has had the lock for ${span(locked)}` : undefined;
  const state = stateOfWriter(holder, path);
  if (isIdle(state)) return `${nameOf(holder, path)} is ${state} and has the lock`;
  return locked > 1 ? `${nameOf(holder, path)} has had the lock for ${span(locked)}` : undefined;
}

function ofQueue(found: Inspection, path: string, { oldest = 0 }: History): string | undefined {
  const popping = found.writers.find((each) => each.is_popping);
  if (popping !== undefined) {
    const state = stateOfWriter(popping, path);
    if (isIdle(state)) return `${nameOf(popping, path)} is ${state} and has the first message`;
    if (oldest > PATIENCE) return `${nameOf(popping, path)} has had the first message for ${span(oldest)}`;
  }
  const keeping = found.writers.find((each) => (each.in_hand ?? 0) > 0 && isIdle(stateOfWriter(each, path)));
  if (keeping !== undefined)
    return `${nameOf(keeping, path)} is ${stateOfWriter(keeping, path)} and has ${plural(keeping.in_hand ?? 0, "message")} in hand`;
  if (found.kind !== "queue" || found.head === found.tail) return undefined;
  const consumers = found.writers.filter((each) => each.popped > 0 || each.waiting > 0);
  const stopped = consumers.find((each) => isIdle(stateOfWriter(each, path)));
  if (stopped !== undefined && consumers.length === 1)
    return `its consumer, ${nameOf(stopped, path)}, is stopped`;
  if (oldest <= PATIENCE) return undefined;
  const since = `no message was taken for ${span(oldest)}`;
  if (found.sharing === "none") return `${since}: nobody has it open for writing`;
  if (found.sharing !== "live") return since;
  const [consumer] = consumers;
  return consumer === undefined
    ? `${since}: no handle has ever taken one`
    : `${since}, last perhaps by ${nameOf(consumer, path)}`;
}

/** What only its owner can judge: a copy has its own messages in hand, and a queue that was made anew those of the former one. */
export const doubtOf = (found: Inspection, path: string): string | undefined =>
  found.taken_elsewhere
    ? `the messages in ${path}-taken were last used with another file: right for a copy that was restored; delete them if the queue was made anew`
    : undefined;

/** The worst thing about a file; undefined: nothing is wrong. */
export function troubleOf(found: Inspection, path: string, history: History = {}): string | undefined {
  if (found.damage !== undefined) return `damaged at ${found.damage_offset}: ${found.damage}`;
  return (
    ofLock(found, path, history) ??
    ofQueue(found, path, history) ??
    found.trouble ??
    (found.unfinished && found.lock !== "held"
      ? "a change was not finished; the next writer completes it"
      : undefined) ??
    doubtOf(found, path)
  );
}

/** What tells that a holder of the lock has done something since. */
export const holderKey = (found: Inspection): string | undefined => {
  if (found.lock !== "held") return undefined;
  const holder = found.writers.find((each) => each.has_lock);
  return `${holder?.process}.${holder?.since}.${holder?.pushed}.${holder?.popped}.${found.head}.${found.tail}`;
};
