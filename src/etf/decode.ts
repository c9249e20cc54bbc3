import { Buffer } from "node:buffer";
import { types } from "node:util";
import { u8, u32 } from "./bytes.js";
import { inflate } from "./compression.js";
import {
  DEFAULTS,
  type Decoded,
  type DecodeOptions,
  decodeSettings,
  type Settings,
} from "./decode-options.js";
import { Decoder, trailing } from "./decoder.js";
import { argumentError, type EtfError, etfError } from "./errors.js";
import { truncated } from "./extent.js";
import { type Budget, remaining, TERM_SIZE } from "./measure.js";
import { Tag, VERSION } from "./tags.js";

/** A term and its length: the result of {@link decodePrefix}. */
export interface Prefix<O extends DecodeOptions = Record<never, never>> {
  /** The term. */
  readonly term: Decoded<O>;
  /** The number of bytes that the term took, with its version byte. */
  readonly bytesRead: number;
}

/**
 * Decodes one term. The result shares no memory with `bytes`, unless an option asks for views. `bytes` may be a mapping
 * that other processes write to: the result is then made of the bytes that were read, or it is an error.
 *
 * @throws EtfError if `bytes` are not exactly one whole term; see {@link EtfErrorCode}.
 */
export function decode<const O extends DecodeOptions = Record<never, never>>(
  bytes: Uint8Array,
  options?: O,
): Decoded<O> {
  const input = asBuffer(bytes);
  const settings = options === undefined ? DEFAULTS : decodeSettings(options);
  const decoder = start(input, settings);
  const term = decoder.next();
  if (!settings.ignoreTrailing) {
    decoder.atEnd();
    if (decoder.after < input.length) throw trailing(input.length - decoder.after, decoder.after);
  }
  return term as Decoded<O>;
}

/**
 * Decodes the term that `bytes` begin with, and says how many bytes it took. Other bytes may follow it.
 *
 * @throws EtfError if `bytes` do not begin with a whole term.
 */
export function decodePrefix<const O extends DecodeOptions = Record<never, never>>(
  bytes: Uint8Array,
  options?: O,
): Prefix<O> {
  const decoder = start(asBuffer(bytes), options === undefined ? DEFAULTS : decodeSettings(options));
  const term = decoder.next() as Decoded<O>;
  return { term, bytesRead: decoder.after };
}

/**
 * As {@link decodePrefix}, with options that were checked before, and without the length. The term is counted in the
 * budget. @internal
 */
export function decodeFirst(bytes: Buffer, settings: Settings, budget?: Budget): unknown {
  return start(bytes, settings, budget).next();
}

/**
 * Decodes the term between two places of `bytes`, as {@link decodeFirst} does. For many terms in one buffer this takes
 * no Buffer and no decoder for each. An error's offset is counted from the term's first byte. @internal
 */
export function partDecoder(
  bytes: Buffer,
  settings: Settings,
  budget: Budget,
): (begin: number, end: number) => unknown {
  const decoder = new Decoder(bytes, 0, settings, undefined);
  const max = settings.maxInflatedSize;
  return (begin, end) => {
    const term = decoder.part(begin, end);
    if (term === undefined) return start(bytes.subarray(begin, end), settings, budget).next();
    budget.take(max - remaining(bytes, begin + 1, end, max + end - begin));
    return term;
  };
}

function asBuffer(bytes: Uint8Array): Buffer {
  if (Buffer.isBuffer(bytes)) return bytes;
  if (types.isUint8Array(bytes)) return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  throw argumentError("TYPE", "decode takes a Buffer or a Uint8Array");
}

function start(input: Buffer, settings: Settings, budget?: Budget): Decoder {
  if (input.length < 2) throw truncated(input.length, "a term");
  if (u8(input, 0) !== VERSION) {
    throw etfError("ETF_VERSION", `a term begins with ${VERSION}, not ${u8(input, 0)}`, 0);
  }
  const max = settings.maxInflatedSize;
  const allowed = max + input.length;
  if (u8(input, 1) !== Tag.Compressed) {
    if (input.length * (TERM_SIZE - 1) > max) {
      const left = measured(input, 1, allowed);
      budget?.take(max - left);
    } else if (budget !== undefined) {
      // So few bytes take less memory, unless they claim more bytes than there are: then the decoder refuses them.
      const left = remaining(input, 1, input.length, allowed);
      if (left >= 0) budget.take(max - left);
    }
    return new Decoder(input, 1, settings, undefined);
  }
  const { bytes, consumed } = inflate(input, max);
  if (budget !== undefined || bytes.length * TERM_SIZE > allowed) {
    const left = measured(bytes, 0, allowed);
    // A view keeps all inflated bytes.
    budget?.take(max - (settings.views ? Math.min(left, allowed - bytes.length) : left));
  }
  return new Decoder(bytes, 0, settings, consumed);
}

/**
 * Throws if `decode` with this `maxInflatedSize` would refuse a message for the memory that its term takes. The message
 * is as {@link encode} made it; the zeros that follow it in a queue count too. @internal
 */
export function checkMemory(message: Buffer, max: number): void {
  const stored = message.length + (message.length % 8);
  let term = message;
  if (message[1] === Tag.Compressed) {
    const size = u32(message, 2);
    if (size <= max && size * TERM_SIZE <= max + stored) return;
    if (size > max) throw tooMuch(max);
    term = inflate(message, max).bytes;
  } else if (stored * (TERM_SIZE - 1) <= max) return;
  if (remaining(term, term === message ? 1 : 0, term.length, max + stored) < 0) throw tooMuch(max);
}

function tooMuch(max: number): EtfError {
  return etfError("ETF_LIMIT", `the term takes more memory than maxInflatedSize, ${max} bytes, allows`);
}

/** The rest of the allowed bytes of memory after the term. */
function measured(bytes: Buffer, start: number, allowed: number): number {
  const left = remaining(bytes, start, bytes.length, allowed);
  if (left < 0)
    throw etfError("ETF_LIMIT", `a term that takes more than the ${allowed} bytes allowed`, start);
  return left;
}
