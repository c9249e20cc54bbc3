import { Buffer } from "node:buffer";
import { markAsUntransferable } from "node:worker_threads";

/** The class of all Buffers. Its constructor takes less than half the time of `subarray` and `Buffer.from`. */
export const BufferView = (
  Buffer as unknown as {
    [Symbol.species]: new (bytes: ArrayBufferLike, start: number, length: number) => Buffer;
  }
)[Symbol.species];

/**
 * Buffers up to here share memory with their neighbours, as those of `Buffer.allocUnsafe` do: memory of its own for each takes
 * three times as long, and one that outlives its message keeps no more alive than any small Buffer does.
 */
export const SHARED = 2 * 1024;

/** How much memory is shared: more makes allocations rarer, and lets a forgotten Buffer keep more. */
const POOL_SIZE = 8 * 1024;

/** Memory that small Buffers are cut from. */
export class Pool {
  declare readonly bytes: Buffer;
  /** Asked for once for each pool, since the getter leaves compiled code. */
  declare readonly buffer: ArrayBufferLike;
  declare used: number;

  constructor() {
    this.bytes = Buffer.allocUnsafeSlow(POOL_SIZE);
    this.buffer = this.bytes.buffer;
    this.used = 0;
    // Like Node's own, it stays here: who transferred one binary to a worker would take all others along.
    markAsUntransferable(this.buffer);
  }

  /** A Buffer of what was written from `used` to `end`. */
  take(end: number): Buffer {
    const start = this.used;
    this.used = end;
    return new BufferView(this.buffer, start, end - start);
  }
}

/** Memory that the next term overwrites, for those who copy at once. Takes the place of a pool. */
export class Scratch extends Pool {
  /** Of each length that was asked for: making one costs as much as encoding a small term. */
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
