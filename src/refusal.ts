import { messageError } from "./error.js";
import { EtfError } from "./etf/errors.js";

/**
 * The error for bytes of a file that could not be decoded. `checkTerm` throws an `EtfError` if they are no term at all.
 */
export function refusalOf(
  what: string,
  checkTerm: (bytes: Buffer) => unknown,
  path: string,
  bytes: Buffer,
  cause: unknown,
): unknown {
  // No memory or no stack: nothing is wrong with the bytes.
  if (!(cause instanceof EtfError)) return cause;
  let code: "EMMAP_BAD_TERM" | "EMMAP_REFUSED" = "EMMAP_REFUSED";
  let why = `a ${what}'s term is too large`;
  if (cause.code !== "ETF_LIMIT") {
    why = `a ${what}'s term can't be shown as the options say`;
    try {
      checkTerm(bytes);
    } catch (error) {
      if (!(error instanceof EtfError)) return error;
      if (error.code !== "ETF_LIMIT") [code, why] = ["EMMAP_BAD_TERM", `a ${what} is no term`];
    }
  }
  return messageError(code, why, "decode", path, bytes, cause);
}
