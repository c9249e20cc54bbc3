import { brand } from "./brand.js";

/**
 * What went wrong, for programs.
 *
 * Decoding: `ETF_VERSION` the first byte is not 131 · `ETF_TRUNCATED` the bytes end, or claim more than they hold ·
 * `ETF_TAG` no such tag · `ETF_MALFORMED` the tag is known, its content is not possible · `ETF_TRAILING` bytes after the
 * term · `ETF_INFLATE` the compressed bytes are broken or not of the size they claim.
 *
 * Encoding: `ETF_UNENCODABLE` a value that no term stands for · `ETF_CYCLE` a value that contains itself.
 *
 * Both: `ETF_LIMIT` larger than the format, the runtime or an option allows · `ETF_OPTION` an option has no such value.
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

let create: (code: EtfErrorCode, message: string, offset?: number, options?: ErrorOptions) => EtfError;

/** The one error that this codec throws. `instanceof` knows those of other copies of the package in the process, too. */
export class EtfError extends Error {
  /** `"EtfError"`. */
  override readonly name = "EtfError";
  /** What went wrong: match on it. */
  readonly code: EtfErrorCode;
  /**
   * Where in the input decoding stopped, counted from its first byte; in a compressed term from the byte
   * that follows the header, once inflated. Undefined when the error is not about input bytes.
   */
  readonly offset: number | undefined;
  /** With `ETF_UNENCODABLE`: where in the value it is, as `$.users[0].name`. A `Map`'s key is its text. */
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
