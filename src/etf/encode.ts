import type { Buffer } from "node:buffer";
import { DEFAULTS, type EncodeOptions, encodeSettings, type Settings } from "./encode-options.js";
import { Encoder } from "./encoder.js";
import { Pool, Scratch } from "./pool.js";
import type { Term } from "./terms.js";

// An encoder takes the pool and gives it back. One that starts while another is at work, in a getter of a value, makes
// its own.
let pool: Pool | undefined;
let scratch: Pool | undefined;

/**
 * Encodes `term` in the external term format. The first byte is the version byte, 131.
 *
 * Values of another copy of the package, or of another context of V8 (`node:vm`, Jest), are encoded as those of this
 * one.
 *
 * @throws EtfError `ETF_UNENCODABLE` for a value that no term stands for, with its `path`: NaN, functions, symbols,
 * instances of classes that the codec does not know, and a `Map` with two keys that Erlang takes for one, such as `1`
 * and `1n`. `ETF_CYCLE` for a value that contains itself. `ETF_LIMIT`.
 */
export function encode(term: Term, options?: EncodeOptions): Buffer {
  // Not with encodeWith: the engine then has one call less to inline where an encode stands beside a decode.
  const encoder = new Encoder(options === undefined ? DEFAULTS : encodeSettings(options), pool ?? new Pool());
  pool = undefined;
  try {
    return encoder.message(term);
  } finally {
    pool ??= encoder.done();
  }
}

/** As {@link encode}, with options that were checked before. @internal */
export function encodeWith(term: unknown, settings: Settings): Buffer {
  const encoder = new Encoder(settings, pool ?? new Pool());
  pool = undefined;
  try {
    return encoder.message(term);
  } finally {
    pool ??= encoder.done();
  }
}

/** As {@link encodeWith}, but the next call overwrites the bytes. @internal */
export function encodeTransient(term: unknown, settings: Settings): Buffer {
  const own = scratch ?? new Scratch();
  const encoder = new Encoder(settings, own);
  scratch = undefined;
  try {
    return encoder.message(term);
  } finally {
    encoder.done();
    scratch = own;
  }
}
