// What the core finds of a file from outside.
import { addon } from "../addon.js";
import { Failure, missing, Status } from "./failure.js";

/** A handle that may write a queue or block storage, as it describes itself. */
export interface Writer {
  /** The process id, as the process itself sees it. */
  process: number;
  program: string;
  /** When it opened the file, in ms since 1970. */
  since: number;
  pushed: number;
  popped: number;
  /** Changes that found the lock taken. */
  waited: number;
  /** Waits for a message that have not ended. */
  waiting: number;
  /** Messages that the handles of its process have in hand; missing: the queue never had any in hand. */
  in_hand?: number;
  has_lock: boolean;
  is_popping: boolean;
}

/** The facts of a file, with the names that they have everywhere. Facts of other kinds are there too. */
export interface Inspection {
  kind: string;
  size: number;
  disk: number;
  mode: number;
  sharing?: "none" | "shared" | "exclusive" | "kernel" | "live";
  lock?: "free" | "held" | "abandoned";
  lock_awaited?: boolean;
  waiters?: number;
  trouble?: string;
  damage?: string;
  damage_offset?: number;
  /** The damaged file is the one beside, whose name has this at its end. */
  damaged_beside?: string;
  /** The messages in hand were used last with another file than this one. */
  taken_elsewhere?: boolean;
  counters?: number;
  capacity?: number;
  head?: number;
  tail?: number;
  length?: number;
  block_size?: number;
  levels?: number;
  blocks?: number;
  max_bytes?: number;
  version?: number;
  value_bytes?: number;
  keys?: number;
  key_bytes?: number;
  words?: number;
  in_hand?: number;
  released?: number;
  /** When the next released message may be delivered, in ms since 1970; 0: at once. */
  due?: number;
  synced?: boolean;
  unfinished?: boolean;
  writers: Writer[];
}

export type Effort = "brief" | "count" | "check";

export function inspect(path: string, effort: Effort = "count"): Inspection {
  try {
    return addon.inspect(path, effort) as unknown as Inspection;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") throw missing(path);
    if (code === "EISDIR") throw new Failure(`${path} is a folder`, Status.usage);
    throw new Failure(`${path}: ${(error as Error).message}`);
  }
}

/** The inspection of a file that has to be of this kind, or of one of these others that are files of it too. */
export function inspectAs(kind: string, path: string, ...others: string[]): Inspection {
  const found = inspect(path, "brief");
  if (found.kind === kind || others.includes(found.kind)) return found;
  const what =
    found.kind === "plain" ? "no file of a kind that emmap knows, or damaged" : `of kind ${found.kind}`;
  throw new Failure(`${path} is not of kind ${kind}: it is ${what}`, Status.usage);
}
