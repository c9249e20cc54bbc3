// Copies of mapped bytes.

/** From this size on an allocation may fail. */
const REFUSABLE_FROM = 65_536;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;

/**
 * A copy of the bytes; undefined if there is no memory for it. A short one is cut from the pool of Buffer, since it
 * costs more to allocate than to copy.
 */
export function copyOf(bytes: Uint8Array, index: number, length: number): Buffer | undefined {
  const copy = length <= REFUSABLE_FROM ? Buffer.allocUnsafe(length) : allocate(length);
  copy?.set(new Uint8Array(bytes.buffer, bytes.byteOffset + index, length));
  return copy;
}

/** The length of the line that begins at `index`, with its `\n`; 0 or less: the line does not end in `bytes`. */
export function lineLength(bytes: Uint8Array, index: number): number {
  return bytes.indexOf(LINE_FEED, index) + 1 - index;
}

/** A copy of a line that ends in `\n`, without the `\r` of `\r\n`. */
export function lineOf(bytes: Uint8Array, index: number, length: number): Buffer | undefined {
  if (length < 2 || bytes[index + length - 2] !== CARRIAGE_RETURN) return copyOf(bytes, index, length);
  const line = copyOf(bytes, index, length - 1);
  if (line !== undefined) line[length - 2] = LINE_FEED;
  return line;
}

function allocate(length: number): Buffer | undefined {
  try {
    return Buffer.allocUnsafe(length);
  } catch {
    return undefined;
  }
}
