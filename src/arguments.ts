// The types of arguments. The core judges whether a number makes sense.
import { inspect } from "node:util";
import { firstUnknown, unknownOption } from "./etf/options.js";

/** A 64-bit number: a bigint from -2^63 to 2^64-1, or a `number` that is a safe integer. */
export type Integer = number | bigint;

const MIN_INT64 = -(2n ** 63n);
const MAX_UINT64 = 2n ** 64n - 1n;

/** Bytes to write: those of a view as they are in memory, or a string as UTF-8. */
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

/** Throws if the options are no object, or if one has another name. */
export function checkOptions(options: object, names: ReadonlySet<string>, argument = "options"): void {
  if (typeof options !== "object" || options === null) throw typeError(argument, "an object", options);
  const name = firstUnknown(options, names);
  if (name !== undefined) throw valueError(unknownOption(name, names));
}

/** The number as a bigint whose low 64 bits are the operand. */
export function toBigInt(value: Integer, name: string): bigint {
  if (typeof value === "bigint") {
    // Compiled code does this without a call, while the comparisons of bigints below are calls.
    if (BigInt.asIntN(64, value) === value) return value;
    if (value >= MIN_INT64 && value <= MAX_UINT64) return value;
    throw rangeError(name, "from -2^63 to 2^64-1", value);
  }
  if (Number.isSafeInteger(value)) return BigInt(value);
  if (typeof value !== "number") throw typeError(name, "of type number or bigint", value);
  throw rangeError(name, "a safe integer, or a bigint", value);
}

/** The bytes for the addon, copied only if they must be. */
export function toBytes(bytes: Bytes): Uint8Array {
  if (typeof bytes === "string") return Buffer.from(bytes);
  if (!ArrayBuffer.isView(bytes))
    throw typeError("bytes", "a string, a Buffer, a TypedArray or a DataView", bytes);
  const view = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  // Node-API gives no pointer to shared memory.
  return view.buffer instanceof ArrayBuffer ? view : Uint8Array.from(view);
}

/** The values, each as `map` makes it. */
export function toArray<Value, Result>(
  values: Iterable<Value>,
  name: string,
  map: (value: Value) => Result,
): Result[] {
  if (typeof (values as Partial<Iterable<Value>> | null | undefined)?.[Symbol.iterator] !== "function")
    throw typeError(name, "iterable", values);
  return Array.from(values, (value) => map(value));
}
