// Packed answers of the addon: parts one after the other, each behind its length in 32 bits.
import { markAsUntransferable } from "node:worker_threads";
import { BufferView } from "./etf/pool.js";

/** Calls `make` with the place of each part, and returns its results. */
export function mapParts<Result>(packed: Buffer, make: (begin: number, end: number) => Result): Result[] {
  const results: Result[] = [];
  for (let at = 0; at < packed.length; ) {
    const begin = at + 4;
    at = begin + packed.readUInt32LE(at);
    results.push(make(begin, at));
  }
  return results;
}

/** The parts as Buffers, which share the memory of `packed`. */
export function unpack(packed: Buffer): Buffer[] {
  const { buffer, byteOffset } = packed;
  // To transfer one part to a worker would take all others along.
  markAsUntransferable(buffer);
  return mapParts(packed, (begin, end) => new BufferView(buffer, byteOffset + begin, end - begin));
}
