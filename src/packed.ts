import { markAsUntransferable } from "node:worker_threads";
import { BufferView } from "./etf/pool.js";

/** What the addon puts one behind another: parts, each behind its length in 32 bits. What is returned shares its memory. */
export function unpack(packed: Buffer): Buffer[] {
  // Who transferred one part to a worker would take all others along.
  const { buffer, byteOffset } = packed;
  markAsUntransferable(buffer);
  const parts: Buffer[] = [];
  for (let at = 0; at < packed.length; ) {
    const start = at + 4;
    at = start + packed.readUInt32LE(at);
    parts.push(new BufferView(buffer, byteOffset + start, at - start));
  }
  return parts;
}
