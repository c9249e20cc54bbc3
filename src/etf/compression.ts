// A compressed term is 131, 80, the inflated size, and a zlib stream of the term without its 131.

import { deflateSync, inflateSync } from "node:zlib";
import { putU32, u32 } from "./bytes.js";
import { etfError } from "./errors.js";
import { Tag, VERSION } from "./tags.js";

const HEADER = 6;

/** One byte inflates to at most 1032 bytes. */
const MAX_RATIO = 1032;
const CHUNK = 64 * 1024;

interface Inflated {
  /** The term, from its tag on. */
  bytes: Buffer;
  /** The number of bytes of the header and the stream. */
  consumed: number;
}

/** Inflates `bytes`, which begin with 131 and 80, if the size in the header is at most `max`. */
export function inflate(bytes: Buffer, max: number): Inflated {
  if (bytes.length <= HEADER)
    throw etfError("ETF_TRUNCATED", "the bytes end inside the header of a compressed term", 2);
  const size = u32(bytes, 2);
  if (size > max)
    throw etfError("ETF_LIMIT", `a compressed term of ${size} bytes, more than the ${max} allowed`, 2);
  const stream = bytes.subarray(HEADER);
  if (size > stream.length * MAX_RATIO) {
    throw etfError("ETF_INFLATE", `${stream.length} compressed bytes cannot make the claimed ${size}`, 2);
  }
  let inflated: { buffer: Buffer; engine: { bytesWritten: number } };
  try {
    inflated = inflateSync(stream, {
      info: true,
      maxOutputLength: Math.max(size, 1),
      // With one byte more zlib sees the end of the stream in the first chunk.
      chunkSize: Math.max(64, Math.min(size + 1, CHUNK)),
    }) as unknown as typeof inflated;
  } catch (cause) {
    const detail = (cause as NodeJS.ErrnoException).code ?? String(cause);
    const why = detail === "ERR_BUFFER_TOO_LARGE" ? `they make more than the claimed ${size}` : detail;
    throw etfError("ETF_INFLATE", `the compressed bytes cannot be inflated: ${why}`, HEADER, { cause });
  }
  if (inflated.buffer.length !== size) {
    throw etfError(
      "ETF_INFLATE",
      `the compressed bytes make ${inflated.buffer.length}, not the claimed ${size}`,
      2,
    );
  }
  return { bytes: inflated.buffer, consumed: HEADER + inflated.engine.bytesWritten };
}

/** Compresses `term`, which begins with 131; undefined if it would become longer. */
export function deflate(term: Buffer, level: number): Buffer | undefined {
  const stream = deflateSync(term.subarray(1), { level });
  if (HEADER + stream.length > term.length) return undefined;
  const bytes = Buffer.allocUnsafe(HEADER + stream.length);
  bytes[0] = VERSION;
  bytes[1] = Tag.Compressed;
  putU32(bytes, 2, term.length - 1);
  bytes.set(stream, HEADER);
  return bytes;
}
