import { Buffer } from "node:buffer";
import { markAsUntransferable } from "node:worker_threads";

/** The class of Buffers. Its constructor takes less than half the time of `subarray` and `Buffer.from`. */
export const BufferView = (
  Buffer as unknown as {
    [Symbol.species]: new (bytes: ArrayBufferLike, start: number, length: number) => Buffer;
  }
)[Symbol.species];

/**
 * Buffers up to this size share memory with their neighbours, as those of `Buffer.allocUnsafe` do. Memory of its own
 * for each takes three times as long. A Buffer that outlives its message keeps no more memory alive than any small
 * Buffer does.
 */
export const SHARED = 2 * 1024;

/**
 * The size of the shared memory. With more, allocations are rarer, but a Buffer that is never collected keeps more
 * alive.
 */
const POOL_SIZE = 8 * 1024;

/** Memory that small Buffers are cut from. */
export class Pool {
  declare readonly bytes: Buffer;
  /** Kept, since the getter leaves compiled code. */
  declare readonly buffer: ArrayBufferLike;
  declare used: number;

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(POOL_SIZE);
    this.buffer = this.bytes.buffer;
    this.used = 0;
    // As Node's own pool: to transfer one Buffer to a worker would take all others along.
    markAsUntransferable(this.buffer);
  }

  /** A Buffer of the bytes between `used` and `end`. */
  take(end: number): Buffer {
    const start = this.used;
    this.used = end;
    return new BufferView(this.buffer, start, end - start);
  }
}

/** In place of a pool: memory that the next term overwrites. */
export class Scratch extends Pool {
  /** By length: to make a view costs as much as to encode a small term. */
  private readonly views: Buffer[] = [];

  override take(end: number): Buffer {
    let view = this.views[end];
    if (view === undefined) {
      view = new BufferView(this.buffer, 0, end);
      this.views[end] = view;
    }
    return view;
  }
}
