// Follows a queue: gives the messages that are pushed, each once, also when others empty the queue or move its messages.
import { createHash } from "node:crypto";
import { setTimeout as sleep } from "node:timers/promises";
import { addon, type NativeFile } from "../../addon.js";
import { openFile } from "../../opening.js";
import { unpack } from "../../packed.js";
import { BEGINNING, type Place, QueueReader } from "../../queue-reader.js";
import { inspect, type Writer } from "../inspect.js";
import { done } from "../sample.js";

/** How often a reader, which nobody wakes, looks for new messages, in ms. */
const LOOK = 100;
/** The messages of a step. */
const STEP = 64;
/** So many of the last messages are compared to find the place again. */
const COMPARED = 1000;
/** How many bytes a message takes in the file besides its own. */
const FRAME = 8;

const digest = (message: Buffer): string => createHash("sha1").update(message).digest("base64");

/** A message that was seen. */
interface Seen {
  digest: string;
  /** Its bytes in the file. */
  size: number;
}

class Follower {
  readonly #native: NativeFile;
  readonly #reader: QueueReader;
  #place: Place = BEGINNING;
  /** The last messages seen, as far as they were in the queue at the last look. */
  #seen: Seen[] = [];
  #writers: Writer[] = [];

  constructor(readonly path: string) {
    this.#native = openFile(["queue_open", path, ["read", null]]).native;
    this.#reader = new QueueReader(this.#native);
  }

  /** New messages; none if it has caught up. */
  next(): Buffer[] {
    let messages: Buffer[];
    try {
      messages = this.#step();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESTALE") throw error;
      messages = this.#again();
    }
    for (const each of messages.slice(-COMPARED))
      this.#seen.push({ digest: digest(each), size: each.length + FRAME });
    if (messages.length === 0) this.#forget();
    this.#seen = this.#seen.slice(-COMPARED);
    return messages;
  }

  #step(): Buffer[] {
    const packed = this.#reader.step(false, STEP, this.#place, true);
    if (packed === null) return [];
    this.#place = this.#reader.place;
    return unpack(packed);
  }

  /** Forgets the messages that others have removed. The writers' counts are read later: a pop in between counts for neither. */
  #forget(): void {
    const { head, tail } = addon.queue_info(this.#native);
    let room = tail - head;
    const first = this.#seen.findLastIndex(({ size }) => {
      room -= size;
      return room < 0;
    });
    this.#seen.splice(0, first + 1);
    this.#writers = inspect(this.path, "brief").writers;
  }

  /**
   * The new messages of a queue that was emptied, or whose messages moved, so that the place is lost. The messages behind
   * those that were seen are new ones. Equal messages are told apart by what the writers have popped.
   */
  #again(): Buffer[] {
    const [, popped] = done(this.#writers, inspect(this.path, "brief").writers);
    let all: Buffer[] = [];
    this.#place = BEGINNING;
    for (;;) {
      try {
        const messages = this.#step();
        if (messages.length === 0) break;
        all.push(...messages);
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== "ESTALE") throw error;
        all = [];
        this.#place = BEGINNING;
      }
    }
    return all.slice(lengthOfSeen(this.#seen, all.map(digest), popped));
  }
}

/** How many of the messages were seen: they end with the last ones seen. */
function lengthOfSeen(seen: readonly Seen[], digests: readonly string[], popped: number): number {
  const endsAt = (end: number): boolean => {
    for (let back = 1; back <= Math.min(seen.length, end); back++)
      if (seen.at(-back)?.digest !== digests[end - back]) return false;
    return true;
  };
  if (seen.length === 0) return 0;
  const left = seen.length < COMPARED ? Math.max(0, seen.length - popped) : digests.length;
  const expected = Math.min(left, digests.length);
  for (let end = expected; end > 0; end--) if (endsAt(end)) return end;
  // All were popped, as the writers say. Otherwise a writer has counted early, or released messages came back to the front.
  if (left === 0) return 0;
  for (let end = expected + 1; end <= digests.length; end++) if (endsAt(end)) return end;
  return 0;
}

/** Gives `show` the last messages, and then new ones as they are pushed, as far as they are still there at a look. */
export async function follow(
  path: string,
  limit: number,
  show: (messages: readonly Buffer[]) => void,
): Promise<void> {
  const follower = new Follower(path);
  let last: Buffer[] = [];
  for (let messages = follower.next(); messages.length > 0; messages = follower.next())
    last = [...last, ...messages].slice(-Math.max(limit, 1));
  show(limit > 0 ? last : []);
  for (;;) {
    const messages = follower.next();
    if (messages.length > 0) show(messages);
    else await sleep(LOOK);
  }
}
