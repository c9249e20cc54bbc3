// Values that the encoder refuses.
import { type EtfError, etfError } from "./errors.js";

/** An object of properties, and of no class. */
export function isPlain(value: object): boolean {
  const prototype = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

export function unencodable(what: string): EtfError {
  return etfError("ETF_UNENCODABLE", `no term stands for ${what}`);
}
