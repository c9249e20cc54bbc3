import { brand } from "./brand.js";

/**
 * The error for programs.
 *
 * | `code` | means |
 * | --- | --- |
 * | `ETF_VERSION` | decode: the first byte is not 131 |
 * | `ETF_TRUNCATED` | decode: the bytes end inside the term, or a count is larger than the bytes left |
 * | `ETF_TAG` | decode: unknown tag |
 * | `ETF_MALFORMED` | decode: the tag is known, but its content is impossible |
 * | `ETF_TRAILING` | decode: bytes follow the term |
 * | `ETF_INFLATE` | decode: the compressed bytes are damaged, or have another size than the header says |
 * | `ETF_UNENCODABLE` | encode: no term stands for the value |
 * | `ETF_CYCLE` | encode: a value contains itself |
 * | `ETF_LIMIT` | larger than the format, the runtime or an option allows |
 * | `ETF_OPTION` | an option cannot have this value |
 */
export type EtfErrorCode =
  | "ETF_VERSION"
  | "ETF_TRUNCATED"
  | "ETF_TAG"
  | "ETF_MALFORMED"
  | "ETF_TRAILING"
  | "ETF_INFLATE"
  | "ETF_UNENCODABLE"
  | "ETF_CYCLE"
  | "ETF_LIMIT"
  | "ETF_OPTION";

/** The error for a wrong argument, with the code of Node's own. */
export function argumentError(what: "TYPE" | "VALUE", message: string): TypeError {
  return Object.assign(new TypeError(message), { code: `ERR_INVALID_ARG_${what}` });
}

let create: (code: EtfErrorCode, message: string, offset?: number, options?: ErrorOptions) => EtfError;

/**
 * The error that this codec throws. `instanceof` is also true for errors of other copies of the package in the process.
 */
export class EtfError extends Error {
  /** `"EtfError"`. */
  override readonly name = "EtfError";
  /** The error for programs: match on it. */
  readonly code: EtfErrorCode;
  /**
   * The place in the input where decoding stopped, in bytes; for a compressed term, the place in its inflated bytes.
   * Undefined if the error is not about the input.
   */
  readonly offset: number | undefined;
  /** With `ETF_UNENCODABLE`: the place in the value, as `$.users[0].name`. A key of a `Map` is shown as text. */
  declare readonly path?: string;

  private constructor(code: EtfErrorCode, message: string, offset?: number, options?: ErrorOptions) {
    super(offset === undefined ? message : `${message} (at offset ${offset})`, options);
    this.code = code;
    this.offset = offset;
  }

  static {
    create = (code, message, offset, options) => new EtfError(code, message, offset, options);
  }
}

brand(EtfError, "EtfError");

/** Makes an {@link EtfError}. @internal */
export function etfError(
  code: EtfErrorCode,
  message: string,
  offset?: number,
  options?: ErrorOptions,
): EtfError {
  const error = create(code, message, offset, options);
  Error.captureStackTrace(error, etfError);
  return error;
}
