// Looks at files again and again, and what changes between two looks.
import { hasMessage, holderKey, troubleOf } from "./health.js";
import { type Inspection, inspect, type Writer } from "./inspect.js";
import { kindOf } from "./kinds/index.js";
import { inspectListed, type Listed, listed } from "./listing.js";

/** Where no writer keeps the number of messages they are counted, but in no more than this share of the time. */
const SHARE = 0.02;

/** A file at one look. Rates are numbers a second since the last look. */
export interface Sample {
  path: string;
  kind: string;
  size: number;
  /** Messages, blocks, counters or keys, or the version of a cell; missing: not counted. */
  amount?: number;
  /** Bytes of messages. */
  used?: number;
  /** Handles that may write; missing: not known. */
  open?: number;
  waiters?: number;
  /** Messages that consumers have in hand. */
  inHand?: number;
  pushed: number;
  popped: number;
  /** Changes that found the lock taken. */
  waited: number;
  /** How long the first message has been the first one, at least, in seconds. */
  oldest?: number;
  trouble?: string;
  /** Messages pushed and popped, and changes that found the lock taken, since the last look. */
  done: readonly [pushed: number, popped: number, waited: number];
  inspection: Inspection;
}

interface Memory {
  at: number;
  inspection: Inspection;
  /** Since when its first message has been the first one. */
  headSince: number;
  holder: string | undefined;
  holderSince: number;
  /** When the file may be counted again. */
  countAt: number;
}

const keyOf = (writer: Writer): string => `${writer.process}.${writer.since}.${writer.program}`;

function totals(writers: readonly Writer[]): Map<string, [pushed: number, popped: number, waited: number]> {
  const sums = new Map<string, [number, number, number]>();
  for (const each of writers) {
    const [pushed, popped, waited] = sums.get(keyOf(each)) ?? [0, 0, 0];
    sums.set(keyOf(each), [pushed + each.pushed, popped + each.popped, waited + each.waited]);
  }
  return sums;
}

/** What the writers have done between two looks. One that has left in between has taken its last counts along. */
export function done(before: readonly Writer[], now: readonly Writer[]): [number, number, number] {
  const past = totals(before);
  const sum: [number, number, number] = [0, 0, 0];
  for (const [key, counts] of totals(now)) {
    const earlier = past.get(key) ?? [0, 0, 0];
    for (const i of [0, 1, 2] as const) sum[i] += Math.max(0, counts[i] - earlier[i]);
  }
  return sum;
}

/** The offset where an empty queue begins anew. */
const FIRST = 16;

/** Whether the first message can have been the first one all the time. */
function isSameFirst(before: Inspection, now: Inspection, popped: number): boolean {
  if (before.head !== now.head || !hasMessage(before) || popped > 0) return false;
  if (before.released !== now.released || before.in_hand !== now.in_hand) return false;
  // Where no writer counts, a queue that was emptied and filled again looks the same.
  return now.sharing === "live" || now.head !== FIRST || now.tail === before.tail;
}

export class Sampler {
  readonly #memory = new Map<string, Memory>();

  constructor(
    readonly paths: readonly string[],
    readonly recursive = false,
  ) {}

  /** All files, in the order in which they are found. */
  look(now = performance.now()): Sample[] {
    const samples: Sample[] = [];
    const seen = new Set<string>();
    for (const each of listed(this.paths, this.recursive)) {
      const sample = this.#sample(each, now);
      if (sample === undefined) continue;
      seen.add(each.path);
      samples.push(sample);
    }
    for (const path of this.#memory.keys()) if (!seen.has(path)) this.#memory.delete(path);
    return samples;
  }

  #sample(file: Listed, now: number): Sample | undefined {
    const { path } = file;
    const before = this.#memory.get(path);
    let found: Inspection | undefined;
    try {
      found = inspectListed(file, (each) => inspect(each, "brief"));
    } catch {
      return undefined;
    }
    if (found === undefined) return undefined;
    const countAt = this.#count(path, found, before, now);
    const holder = holderKey(found);
    const counts =
      before === undefined ? ([0, 0, 0] as const) : done(before.inspection.writers, found.writers);
    const keeps = before !== undefined && isSameFirst(before.inspection, found, counts[1]);
    const memory: Memory = {
      at: now,
      inspection: found,
      headSince: keeps ? before.headSince : now,
      countAt,
      holder,
      holderSince:
        before !== undefined && holder === before.holder && holder !== undefined ? before.holderSince : now,
    };
    this.#memory.set(path, memory);
    const elapsed = before === undefined ? 0 : (now - before.at) / 1000;
    return describe(path, found, memory, counts, elapsed);
  }

  /**
   * Sets the number of messages or blocks where nobody keeps it, and answers when to count again. Until then the last
   * number is shown.
   */
  #count(path: string, found: Inspection, before: Memory | undefined, now: number): number {
    const isCounted = found.kind === "blocks" || (found.kind === "queue" && found.length === undefined);
    if (!isCounted) return 0;
    const last = before?.inspection;
    const isSame = last?.head === found.head && last?.tail === found.tail && found.writers.length === 0;
    let source = last;
    let countAt = before?.countAt ?? 0;
    if (last === undefined || (!isSame && now >= countAt)) {
      const begin = performance.now();
      source = inspect(path, "count");
      countAt = now + (performance.now() - begin) / SHARE;
    }
    if (source?.length !== undefined) found.length = source.length;
    if (source?.blocks !== undefined) found.blocks = source.blocks;
    return countAt;
  }
}

function describe(
  path: string,
  found: Inspection,
  memory: Memory,
  counts: Sample["done"],
  elapsed: number,
): Sample {
  const rate = (count: number): number => (elapsed === 0 ? 0 : count / elapsed);
  const seconds = (since: number): number | undefined =>
    since === memory.at ? undefined : (memory.at - since) / 1000;
  const isQueue = found.kind === "queue";
  const oldest = hasMessage(found) ? seconds(memory.headSince) : undefined;
  const locked = memory.holder === undefined ? undefined : seconds(memory.holderSince);
  const trouble = troubleOf(found, path, { oldest, locked });
  const amount = kindOf(found.kind).amount(found);
  const open = found.sharing === "live" ? found.writers.length : found.sharing === "none" ? 0 : undefined;
  return {
    path,
    kind: found.kind,
    size: found.size,
    ...(amount === undefined ? {} : { amount }),
    ...(isQueue ? { used: (found.tail ?? 0) - (found.head ?? 0) } : {}),
    ...(open === undefined ? {} : { open }),
    ...(found.waiters === undefined ? {} : { waiters: found.waiters }),
    ...(found.in_hand === undefined ? {} : { inHand: found.in_hand }),
    pushed: rate(counts[0]),
    popped: rate(counts[1]),
    waited: rate(counts[2]),
    done: counts,
    ...(oldest === undefined ? {} : { oldest }),
    ...(trouble === undefined ? {} : { trouble }),
    inspection: found,
  };
}
