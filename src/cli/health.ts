// What is wrong with a file or its users, in one sentence, and who is to blame.
import type { Inspection, Writer } from "./inspect.js";
import { clientOf, commandOf, hasOpen, stateOf } from "./processes.js";
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

function name(id: number, command: string | undefined, program: string): string {
  // The folders of the program and of its files say little, and take the room of the names.
  const short = command?.replace(/^\S*\/|(?<=\s)\/\S*\//g, "") ?? (program || "unknown");
  return `process ${id} (${cut(short, 40)})`;
}

/** A process for people: "process 4242 (node worker.js)". */
export const nameOf = (writer: Pick<Writer, "process" | "program">, path: string): string =>
  name(writer.process, hasOpen(writer.process, path) ? commandOf(writer.process) : undefined, writer.program);

/** "process 4242 (node worker.js) is stopped", of a writer or of the BEAM node that it serves; undefined: neither is. */
function idleOf(writer: Writer, path: string): string | undefined {
  const state = stateOfWriter(writer, path);
  if (state === undefined) return undefined;
  if (isIdle(state)) return `${nameOf(writer, path)} is ${state}`;
  const client = clientOf(writer.process);
  const clientState = client === undefined ? undefined : stateOf(client)?.state;
  return client !== undefined && isIdle(clientState)
    ? `${name(client, commandOf(client), "beam")} is ${clientState}`
    : undefined;
}

const isIdle = (state: string | undefined): boolean => state === "stopped" || state === "traced";

/** Messages of handles that are gone: the next consumer gets them. */
const orphans = ({ in_hand = 0, writers, sharing }: Inspection): number =>
  sharing === "live" || sharing === "none"
    ? Math.max(0, in_hand - writers.reduce((sum, each) => sum + (each.in_hand ?? 0), 0))
    : 0;

/** Whether a consumer would get a message now. */
export const hasMessage = (found: Inspection): boolean =>
  found.kind === "queue" &&
  (found.head !== found.tail ||
    ((found.released ?? 0) > 0 && (found.due ?? 0) <= Date.now()) ||
    orphans(found) > 0);

function ofLock(found: Inspection, path: string, { locked = 0 }: History): string | undefined {
  if (found.lock === "abandoned") return "its lock's owner has died; the next writer takes it over";
  if (found.lock !== "held") return undefined;
  const holder = found.writers.find((each) => each.has_lock);
  if (holder === undefined)
    return locked > 1 ? `another handle has had the lock for ${span(locked)}` : undefined;
  const idle = idleOf(holder, path);
  if (idle !== undefined) return `${idle} and has the lock`;
  return locked > 1 ? `${nameOf(holder, path)} has had the lock for ${span(locked)}` : undefined;
}

function ofQueue(found: Inspection, path: string, { oldest = 0 }: History): string | undefined {
  const popping = found.writers.find((each) => each.is_popping);
  if (popping !== undefined) {
    const idle = idleOf(popping, path);
    if (idle !== undefined) return `${idle} and has the first message`;
    if (oldest > PATIENCE) return `${nameOf(popping, path)} has had the first message for ${span(oldest)}`;
  }
  for (const each of found.writers) {
    const idle = (each.in_hand ?? 0) > 0 ? idleOf(each, path) : undefined;
    if (idle !== undefined) return `${idle} and has ${plural(each.in_hand ?? 0, "message")} in hand`;
  }
  if (!hasMessage(found)) return undefined;
  const consumers = found.writers.filter((each) => each.popped > 0 || each.waiting > 0);
  const stopped = consumers.flatMap((each) => idleOf(each, path) ?? []);
  const [idle] = stopped;
  if (idle !== undefined && stopped.length === consumers.length)
    return stopped.length === 1
      ? `its consumer, ${idle.replace(/ is (\w+)$/, ", is $1")}`
      : `its ${stopped.length} consumers are stopped: ${idle}, for example`;
  if (oldest <= PATIENCE) return undefined;
  const since = `no message was taken for ${span(oldest)}`;
  if (found.sharing === "none") return `${since}: nobody has it open for writing`;
  if (found.sharing !== "live") return since;
  if (idle !== undefined) return `${since}, and a consumer, ${idle}`;
  const [consumer] = consumers;
  return consumer === undefined
    ? `${since}: none of the handles that are open has ever taken one`
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
