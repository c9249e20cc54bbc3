// Numbers in bytes. The caller checks the index. The functions are small and call little, since an engine inlines only
// so much into one function.

export function u8(bytes: Uint8Array, at: number): number {
  return bytes[at] as number;
}

export function u16(bytes: Uint8Array, at: number): number {
  return (u8(bytes, at) << 8) | u8(bytes, at + 1);
}

export function i32(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  );
}

export function u32(bytes: Uint8Array, at: number): number {
  return i32(bytes, at) >>> 0;
}

/** As {@link u32}, but at most 2^31 - 1: a small integer for the engine, and larger than any input. */
export function u31(bytes: Uint8Array, at: number): number {
  const value = i32(bytes, at);
  return value < 0 ? 0x7fffffff : value;
}

export function putU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}

const scratch = new DataView(new ArrayBuffer(8));

/** The double of eight big-endian bytes. */
export function doubleAt(bytes: Uint8Array, at: number): number {
  scratch.setInt32(0, i32(bytes, at));
  scratch.setInt32(4, i32(bytes, at + 4));
  return scratch.getFloat64(0);
}

/** Writes `value` as eight big-endian bytes. */
export function putDouble(bytes: Uint8Array, at: number, value: number): void {
  scratch.setFloat64(0, value);
  putU32(bytes, at, scratch.getUint32(0));
  putU32(bytes, at + 4, scratch.getUint32(4));
}

/** The unsigned integer whose halves are `high` and `low`. */
export function bigOf(high: number, low: number): bigint {
  scratch.setUint32(0, high);
  scratch.setUint32(4, low);
  return scratch.getBigUint64(0);
}
