// The two forms of messages, and of the value of a cell: terms, and bytes.
import { toBytes, typeError, valueError } from "./arguments.js";
import { checkMemory, decodeFirst, partDecoder } from "./etf/decode.js";
import { type DecodeOptions, decodeSettings } from "./etf/decode-options.js";
import { encodeTransient, encodeWith } from "./etf/encode.js";
import { type EncodeOptions, encodeSettings } from "./etf/encode-options.js";
import { Budget, MAX_INFLATED_SIZE } from "./etf/measure.js";
import { mayWaitInside } from "./lock-waits.js";
import { mapParts, unpack } from "./packed.js";
import type { QueueOptions } from "./queue-options.js";

/** How a queue turns values into bytes and back. */
export interface Format<In, Out> {
  encode(value: In): Uint8Array;
  /** As `encode`, but the next call may overwrite the bytes. */
  encodeTransient(value: In): Uint8Array;
  /** `decode` needs bytes that nobody else uses: its result may be a view of them, or it may call code of the user. */
  readonly needsOwn: boolean;
  /** The memory that the messages of one call may take. */
  budget(): Budget;
  /** Set if `decode` calls code of the user. Throws if the message cannot be decoded, without calling that code. */
  readonly check: ((bytes: Buffer) => unknown) | undefined;
  /** `own`: nobody else uses the bytes. Counts the message in the budget. */
  decode(bytes: Buffer, own: boolean, budget?: Budget): Out;
  /** Decodes all messages of a packed answer: see {@link unpack}. Counts them in the budget. */
  decodeAll(packed: Buffer, budget: Budget): Out[];
  /**
   * The term as `encode` without options writes it, whatever the options of this format are; of a queue of bytes, the
   * bytes. Throws an `EtfError` if they are no term, or one that is too large.
   */
  term(bytes: Buffer): unknown;
}

export const rawFormat: Format<Uint8Array | string, Buffer> = {
  encode: toBytes,
  encodeTransient: toBytes,
  needsOwn: false,
  budget: () => new Budget(Number.POSITIVE_INFINITY),
  check: undefined,
  decode: (bytes, own) => (own ? bytes : Buffer.from(bytes)),
  decodeAll: (packed) => unpack(packed).map((bytes) => Buffer.from(bytes)),
  term: (bytes) => bytes,
};

/** Throws for wrong options, before any message is taken. */
export function termFormat(decoding: DecodeOptions, encoding: EncodeOptions): Format<unknown, unknown> {
  const { atoms, binaries, maxInflatedSize = MAX_INFLATED_SIZE } = decoding;
  const calls = typeof atoms === "function";
  const views = binaries === "view";
  const shown = decodeSettings(calls ? { ...decoding, atoms: mayWaitInside(atoms) } : decoding);
  const plain = calls ? decodeSettings({ ...decoding, atoms: "atom" }) : shown;
  const any = decodeSettings({ maxInflatedSize });
  const written = encodeSettings(encoding);
  // Padding follows the term.
  const decode = (bytes: Buffer, _own: boolean, budget?: Budget): unknown =>
    decodeFirst(bytes, shown, budget);
  // A message that pop would refuse never gets into the queue.
  const checked = (message: Buffer): Buffer => {
    checkMemory(message, maxInflatedSize);
    return message;
  };
  return {
    encode: (term) => checked(encodeWith(term, written)),
    encodeTransient: (term) => checked(encodeTransient(term, written)),
    // A view lives longer than the bytes. A function for atoms may use the queue, which overwrites them.
    needsOwn: views || calls,
    budget: () => new Budget(maxInflatedSize),
    check: calls ? (bytes) => decodeFirst(bytes, plain) : undefined,
    decode,
    decodeAll: (packed, budget) =>
      views
        ? unpack(packed).map((bytes) => decode(bytes, true, budget))
        : mapParts(packed, partDecoder(packed, shown, budget)),
    term: (bytes) => decodeFirst(bytes, any),
  };
}

/** The codec's options: those that are given for the file, and its own. */
function together<Options extends object>(what: string, common: Options, own: Options | undefined): Options {
  if (own === undefined) return common;
  if (typeof own !== "object" || own === null) throw typeError(`options.${what}`, "an object", own);
  const given = Object.entries(common).filter(([, value]) => value !== undefined);
  for (const [name] of given)
    if ((own as Record<string, unknown>)[name] !== undefined)
      throw valueError(`The option "${name}" is given twice, also in "${what}"`);
  return { ...own, ...Object.fromEntries(given) };
}

/** The options that {@link formatOf} takes. */
export const FORMAT_OPTIONS: readonly string[] = ["raw", "values", "decode", "encode", "maxInflatedSize"];

/** The format that the options of a queue or cell ask for, and the other options. */
export function formatOf<Rest>(options: object): [format: Format<never, unknown>, rest: Rest] {
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const {
    raw = false,
    values,
    decode,
    encode,
    maxInflatedSize,
    ...rest
  } = options as Omit<QueueOptions<DecodeOptions>, "raw" | "values"> & { raw?: boolean; values?: "json" };
  if (typeof raw !== "boolean") throw typeError("options.raw", "of type boolean", raw);
  if (raw && [values, decode, encode, maxInflatedSize].some((option) => option !== undefined))
    throw valueError(
      "The options values, decode, encode and maxInflatedSize are for queues of terms, and raw is for bytes",
    );
  const common: DecodeOptions = { values, maxInflatedSize };
  const format: Format<never, unknown> = raw
    ? rawFormat
    : termFormat(together("decode", common, decode), together<EncodeOptions>("encode", { values }, encode));
  return [format, rest as Rest];
}
