import { Buffer } from "node:buffer";
import { truncated } from "./extent.js";
import { Pool, SHARED } from "./pool.js";

/** Short inputs share one copy, from which their binaries are cut. */
let pool = new Pool();

/** A copy of the bytes of an input from `start` to `end`. */
export class Slab {
  declare readonly bytes: Buffer;
  declare readonly buffer: ArrayBufferLike;
  declare readonly start: number;
  declare readonly end: number;
  /** The difference between a place in `bytes` and `buffer` and the same place in the input. */
  declare readonly shift: number;

  /** Copies from `start` to at least `end`. */
  constructor(input: Buffer, start: number, end: number) {
    // A user's function for atoms may have closed the file that the input is a view of.
    if (end > input.length) throw truncated(start, "bytes that are gone");
    if (end - start > SHARED) {
      this.bytes = Buffer.allocUnsafeSlow(end - start);
      this.buffer = this.bytes.buffer;
      this.start = start;
      this.end = end;
      this.shift = -start;
      input.copy(this.bytes, 0, start, end);
      return;
    }
    // A short input is copied whole: to make a view of a part of it costs more.
    const whole = input.length <= SHARED;
    const from = whole ? 0 : start;
    const size = Math.min(input.length - from, SHARED);
    // Not POOL_SIZE: on Node 22 `transfer` can detach the memory, and then the length is 0.
    if (size > pool.bytes.length - pool.used) pool = new Pool();
    const { bytes, buffer, used } = pool;
    this.bytes = bytes;
    this.buffer = buffer;
    this.start = from;
    this.end = from + size;
    this.shift = used - from;
    if (whole) bytes.set(input, used);
    else input.copy(bytes, used, from, from + size);
    pool.used = used + size;
  }
}
