import { brand } from "./etf/brand.js";
import type { OpenOptions } from "./options.js";

/**
 * A failed operation, with the properties that Node's own system errors have. Match on `code`. `instanceof` knows the
 * errors of other copies of the package in this process, too.
 *
 * | `code` | means |
 * | --- | --- |
 * | `ENOENT`, `EACCES`, `EINVAL`, `ENOSPC`, `EBUSY` … | as the system call of that name says; `errno` is set |
 * | `ETIMEDOUT` | another process had a lock all the time: see {@link OpenOptions.lockTimeout}. Nothing was done |
 * | `EFAULT` | the file was truncated, or its storage failed, under the mapping: close it and open it anew |
 * | `EMMAP_CLOSED` | the file was closed |
 * | `EMMAP_ALIGNMENT` | a 64-bit operation on an address that is not a multiple of 8 |
 * | `EMMAP_FIXED_SIZE` | the file would have to change its size, and may not |
 * | `EMMAP_FULL` | there is no room, and the file may not grow |
 * | `EMMAP_CORRUPT` | the file does not hold what it should; it was left as it was |
 * | `EMMAP_BADARG` | an option has no such value |
 *
 * Arguments of a wrong type are a `TypeError` with code `ERR_INVALID_ARG_TYPE`, an unknown option one with
 * `ERR_INVALID_ARG_VALUE`, and numbers that can't be what they should a `RangeError` with `ERR_OUT_OF_RANGE`.
 */
export class EmmapError extends Error {
  /** The error's name: an errno's (`"ENOENT"`), or one of emmap's own (`"EMMAP_CLOSED"`). */
  readonly code: string;
  /** The errno, negative as in Node's own errors; missing for emmap's own codes. */
  declare readonly errno?: number;
  /** The system call that failed, or the operation of emmap where none did. */
  readonly syscall: string;
  /** The file's path, as it was given to open. */
  declare readonly path?: string;
  /** Of `backup`: where the copy was to go. */
  declare dest?: string;
  /** With `EMMAP_CORRUPT`: where in the file, in bytes. */
  declare readonly offset?: number;
  /** When a queue refused a message: its bytes. It is still in the queue. */
  declare messages?: Buffer[];

  /** @internal */
  constructor(message: string, details: Pick<EmmapError, "code" | "errno" | "syscall" | "path" | "offset">) {
    super(message);
    this.code = details.code;
    this.syscall = details.syscall;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.path !== undefined) this.path = details.path;
    if (details.offset !== undefined) this.offset = details.offset;
  }
}

// Not an own property: it would show in every printed error.
Object.defineProperty(EmmapError.prototype, "name", {
  value: "EmmapError",
  configurable: true,
  writable: true,
});

brand(EmmapError, "EmmapError");

/** The core's numbers below this are errno's. */
const FIRST_OWN_ERROR = 4096;

/** Makes an error from what the core says. The native code calls this: see `error_factory` there. */
export function createError(
  number: number,
  code: string,
  description: string,
  operation: string,
  syscall?: string,
  path?: string,
  reason?: string,
  offset?: number,
  found?: number,
  asked?: number,
): EmmapError {
  const call = syscall ?? operation;
  const where = path === undefined ? call : `${call} '${path}'`;
  const numbers = found === undefined ? "" : `: ${found}, not ${asked}`;
  const why = reason === undefined ? "" : `: ${reason}${numbers}`;
  const error = new EmmapError(`${code}: ${description}, ${where}${why}`, {
    code,
    syscall: call,
    ...(number < FIRST_OWN_ERROR && { errno: -number }),
    ...(path !== undefined && { path }),
    ...(offset !== undefined && { offset }),
  });
  Error.captureStackTrace(error, createError);
  return error;
}
