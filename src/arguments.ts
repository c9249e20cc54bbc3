// What may be passed where. Whether a number makes sense is for the core to say.
import { inspect } from "node:util";

/** A 64-bit number: a bigint from -2^63 to 2^64-1, or a `number` that is a safe integer. */
export type Integer = number | bigint;

const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;

/** What to write: bytes as they are in memory, or a string, which is written as UTF-8. */
export type Bytes = string | ArrayBufferView;

function describe(value: unknown): string {
  return typeof value === "function"
    ? `function ${value.name}`
    : `${typeof value} (${inspect(value, { depth: 0 })})`;
}

export function typeError(name: string, expected: string, value: unknown): TypeError {
  const error = new TypeError(`The "${name}" argument must be ${expected}. Received ${describe(value)}`);
  return Object.assign(error, { code: "ERR_INVALID_ARG_TYPE" });
}

export function valueError(message: string): TypeError {
  return Object.assign(new TypeError(message), { code: "ERR_INVALID_ARG_VALUE" });
}

export function rangeError(name: string, expected: string, value: unknown): RangeError {
  const error = new RangeError(
    `The value of "${name}" is out of range. It must be ${expected}. Received ${inspect(value)}`,
  );
  return Object.assign(error, { code: "ERR_OUT_OF_RANGE" });
}

/** The number as a bigint whose low 64 bits are the operand. */
export function toBigInt(value: Integer, name: string): bigint {
  if (typeof value === "bigint") {
    // Compiled code answers this without a call; the comparisons of large bigints are calls.
    if (BigInt.asIntN(64, value) === value) return value;
    if (value >= MIN_INT64 && value <= MAX_UINT64) return value;
    throw rangeError(name, "from -2^63 to 2^64-1", value);
  }
  if (Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value !== "number") throw typeError(name, "of type number or bigint", value);
  throw rangeError(name, "a safe integer, or a bigint", value);
}

/** The bytes as the native code takes them, without a copy where one can be avoided. */
export function toBytes(bytes: Bytes): Uint8Array {
  if (typeof bytes === "string") return Buffer.from(bytes);
  if (!ArrayBuffer.isView(bytes))
    throw typeError("bytes", "a string, a Buffer, a TypedArray or a DataView", bytes);
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Other threads may write to shared memory meanwhile, which Node-API gives no pointer to.
  return view.buffer instanceof ArrayBuffer ? view : Uint8Array.from(view);
}
