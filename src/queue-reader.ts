import { addon, type Copied, type NativeFile } from "./addon.js";

/** Messages up to this size are copied into a buffer that is used again; a Buffer for each would cost more. */
const SCRATCH_SIZE = 4096;

/** The same for many messages at a time, all together. */
const MANY_SIZE = 65_536;

/** Where a walk goes on: the low 32 bits, and the high ones. */
export type Place = readonly [low: number, high: number];

export const BEGINNING: Place = [0, 0];

/**
 * Copies messages out of a queue, and removes them from it. The bytes stay valid until the next call, unless they are
 * own.
 */
export class QueueReader {
  readonly #native: NativeFile;
  readonly #scratch = Buffer.alloc(SCRATCH_SIZE);
  /** The first bytes of the scratch buffer, by length: to make such a view costs as much as to decode a small term. */
  readonly #views: Buffer[] = [];
  /** A Buffer for each call would cost as much as to decode a dozen small terms. */
  #manyScratch: Buffer | undefined;
  /** The addon stores the ticket of {@link popBegin} here, even if that throws afterwards; 0: no pop has begun. */
  readonly tickets = new BigUint64Array(1) as BigUint64Array & [bigint];
  /** The same for {@link take}, the ticket and the number of the attempt; attempt 0: nothing was taken. */
  readonly delivery = new Float64Array(2) as Float64Array & [ticket: number, attempt: number];
  /** See the addon's `queue_walk`. */
  readonly #state = new Float64Array(4);
  /**
   * The length of the message in the scratch buffer that became the first one by the last removal; 0: there is none.
   */
  #ahead = 0;

  constructor(native: NativeFile) {
    this.#native = native;
  }

  /** The number of messages of the last walk. */
  get count(): number {
    return this.#state[1] as number;
  }

  /** True if the last walk could have copied more messages, had there been room. */
  get hasMore(): boolean {
    return this.#state[2] === 1;
  }

  /** Where the last walk goes on. */
  get place(): Place {
    return [this.#state[0] as number, this.#state[3] as number];
  }

  /** The message that {@link remove} has found behind the removed one, once; undefined: there is none. */
  takeAhead(): Buffer | undefined {
    const ahead = this.#ahead;
    this.#ahead = 0;
    return ahead > 0 ? this.#scratched(ahead) : undefined;
  }

  /**
   * The first message, to remove it. Unless `certain` it is read without the lock where possible, and may be torn. Throws for
   * a handle that may not remove messages, also if there is none.
   */
  first(certain: boolean, own: boolean): Buffer | null {
    if (!certain) return this.#copied(addon.queue_glance_front, own);
    const first = this.peekFront(own);
    if (first === null) addon.queue_remove_many(this.#native, [], 0n, 0n);
    return first;
  }

  peekFront(own: boolean): Buffer | null {
    return this.#copied(addon.queue_peek_front, own);
  }

  peekBack(own: boolean): Buffer | null {
    return this.#copied(addon.queue_peek_back, own);
  }

  popBegin(own: boolean): Buffer | null {
    return this.#copied(addon.queue_pop_begin, own, this.tickets);
  }

  take(own: boolean): Buffer | null {
    return this.#copied(addon.queue_take, own, this.delivery);
  }

  /** Removes a message of {@link first} or {@link takeAhead}, if it is still the first one. */
  remove(bytes: Buffer): boolean {
    if (isOwn(bytes)) return addon.queue_remove(this.#native, bytes);
    // A message that is not longer than the scratch buffer is in it.
    const next = addon.queue_shift(this.#native, this.#scratch, bytes.length);
    if (next < 0) return false;
    this.#ahead = next;
    return true;
  }

  /**
   * Copies one message; null: there is none. `own`: into memory that nobody else uses. A long message always gets
   * memory of its own, which is made here: the native code could not fail to make it without ending the process.
   */
  #copied<Cells>(
    copy: (file: NativeFile, room: Buffer, cells: Cells) => Copied,
    own: boolean,
    cells?: Cells,
  ): Buffer | null {
    let room = this.#scratch;
    this.#ahead = 0;
    for (;;) {
      // Called on the addon, where the native code finds createError.
      const length = copy.call(addon, this.#native, room, cells as Cells);
      if (length === null) return null;
      if (length < 0) {
        room = Buffer.allocUnsafeSlow(-length);
      } else if (room === this.#scratch) {
        const bytes = this.#scratched(length);
        return own ? Buffer.from(bytes) : bytes;
      } else {
        return length === room.length ? room : room.subarray(0, length);
      }
    }
  }

  /** The first `limit` messages of one moment, packed, in memory of their own; null: there are none. */
  snapshot(limit: number): Buffer | null {
    for (let size = MANY_SIZE; ; size *= 2) {
      const room = Buffer.allocUnsafeSlow(size);
      const length = this.#walk(false, limit, BEGINNING, room);
      if (length === null || length === 0) return null;
      if (length > 0 && !this.hasMore) return room.subarray(0, length);
      // All messages together take no more than this, but others may push meanwhile.
      const { head, tail } = addon.queue_info(this.#native);
      size = Math.max(size, -length, tail - head);
    }
  }

  /** One step of a walk: up to `limit` messages, packed; null: there are none. `own` as for one message. */
  step(backward: boolean, limit: number, place: Place, own: boolean): Buffer | null {
    this.#manyScratch ??= Buffer.alloc(MANY_SIZE);
    let room = this.#manyScratch;
    for (;;) {
      const length = this.#walk(backward, limit, place, room);
      if (length === null || length === 0) return null;
      if (length < 0) {
        room = Buffer.allocUnsafeSlow(-length);
      } else {
        const packed = room.subarray(0, length);
        return own && room === this.#manyScratch ? Buffer.from(packed) : packed;
      }
    }
  }

  /** The same messages in memory that no later step overwrites. */
  keep(packed: Buffer): Buffer {
    return packed.buffer === this.#manyScratch?.buffer ? Buffer.from(packed) : packed;
  }

  #walk(backward: boolean, limit: number, place: Place, room: Buffer): Copied {
    this.#state[0] = place[0];
    this.#state[3] = place[1];
    return addon.queue_walk(this.#native, backward, BigInt(limit), this.#state, room);
  }

  /** The first bytes of the scratch buffer. */
  #scratched(length: number): Buffer {
    let view = this.#views[length];
    if (view === undefined) {
      view = this.#scratch.subarray(0, length);
      this.#views[length] = view;
    }
    return view;
  }
}

/** True if a message was copied into memory of its own, since it is long. */
export function isOwn(bytes: Buffer): boolean {
  return bytes.length > SCRATCH_SIZE;
}
