import { brand } from "./etf/brand.js";

/**
 * What went wrong, for programs: the name of an errno, or one of emmap's own codes. `UNKNOWN` is an errno without a name here;
 * `errno` tells which.
 */
export type EmmapErrorCode =
  | "EMMAP_BADARG"
  | "EMMAP_CLOSED"
  | "EMMAP_ALIGNMENT"
  | "EMMAP_FULL"
  | "EMMAP_FIXED_SIZE"
  | "EMMAP_CORRUPT"
  | "EMMAP_BAD_TERM"
  | "EMMAP_REFUSED"
  | "UNKNOWN"
  | "EPERM"
  | "ENOENT"
  | "EINTR"
  | "EIO"
  | "ENXIO"
  | "E2BIG"
  | "EBADF"
  | "EAGAIN"
  | "ENOMEM"
  | "EACCES"
  | "EFAULT"
  | "EBUSY"
  | "EEXIST"
  | "EXDEV"
  | "ENODEV"
  | "ENOTDIR"
  | "EISDIR"
  | "EINVAL"
  | "ENFILE"
  | "EMFILE"
  | "ENOTTY"
  | "ETXTBSY"
  | "EFBIG"
  | "ENOSPC"
  | "ESPIPE"
  | "EROFS"
  | "EMLINK"
  | "EPIPE"
  | "EDOM"
  | "ERANGE"
  | "EDEADLK"
  | "ENAMETOOLONG"
  | "ENOLCK"
  | "ENOSYS"
  | "ENOTEMPTY"
  | "ELOOP"
  | "EPROTO"
  | "EBADMSG"
  | "EOVERFLOW"
  | "ENOTSUP"
  | "EDQUOT"
  | "ESTALE"
  | "ECONNABORTED"
  | "ENOBUFS"
  | "ENOTCONN"
  | "ETIMEDOUT"
  | "ECANCELED"
  | "EUCLEAN"
  | "EREMOTEIO"
  | "ENOMEDIUM"
  | "EMEDIUMTYPE"
  | "ENOKEY"
  | "EKEYEXPIRED"
  | "EKEYREVOKED"
  | "EKEYREJECTED"
  | "EHWPOISON"
  | "UNKNOWN"
  | "OK";

let create: (message: string, details: Details) => EmmapError;

type Details = Pick<EmmapError, "code" | "errno" | "syscall" | "operation" | "path" | "offset">;

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
 * | `EMMAP_BAD_TERM` | a message of a queue is no term. `bytes` has it: see {@link Queue.pop} |
 * | `EMMAP_REFUSED` | a message is a term that the queue's options refuse. It stays, and `bytes` has it: see {@link Queue.pop} |
 *
 * Arguments of a wrong type are a `TypeError` with code `ERR_INVALID_ARG_TYPE`, an unknown option one with
 * `ERR_INVALID_ARG_VALUE`, and numbers that can't be what they should a `RangeError` with `ERR_OUT_OF_RANGE`.
 */
export class EmmapError extends Error {
  /** The error's name: an errno's (`"ENOENT"`), or one of emmap's own (`"EMMAP_CLOSED"`). */
  readonly code: EmmapErrorCode;
  /** The errno, negative as in Node's own errors; missing for emmap's own codes. */
  declare readonly errno?: number;
  /** The system call that failed; missing where none did. */
  declare readonly syscall?: string;
  /** The operation of emmap that failed, as the core calls it: `"open"`, `"queue_push"`. */
  readonly operation: string;
  /** The file's path, as it was given to open; of `backup`, where the trouble is with the copy, the copy's path. */
  declare readonly path?: string;
  /** Of `backup`: the copy's path. */
  declare dest?: string;
  /** With `EMMAP_CORRUPT`: where in the file, in bytes. */
  declare readonly offset?: number;
  /** With `EMMAP_BAD_TERM` and `EMMAP_REFUSED`: the message, with up to 7 zeros behind it. */
  declare bytes?: Buffer;

  private constructor(message: string, details: Details) {
    super(message);
    this.code = details.code;
    this.operation = details.operation;
    if (details.syscall !== undefined) this.syscall = details.syscall;
    if (details.errno !== undefined) this.errno = details.errno;
    if (details.path !== undefined) this.path = details.path;
    if (details.offset !== undefined) this.offset = details.offset;
  }

  static {
    create = (message, details) => new EmmapError(message, details);
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

/** Makes an error from what the core says. The native code calls this: see `error_factory` there. @internal */
export function createError(
  number: number,
  code: EmmapErrorCode,
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
  const error = create(`${code}: ${description}, ${where}${why}`, {
    code,
    operation,
    ...(syscall !== undefined && { syscall }),
    ...(number < FIRST_OWN_ERROR && { errno: -number }),
    ...(path !== undefined && { path }),
    ...(offset !== undefined && { offset }),
  });
  Error.captureStackTrace(error, createError);
  return error;
}

/** The error for a message that could not be decoded. @internal */
export function messageError(
  code: "EMMAP_BAD_TERM" | "EMMAP_REFUSED",
  why: string,
  operation: string,
  path: string,
  bytes: Uint8Array,
  cause: unknown,
): EmmapError {
  const error = create(`${code}: ${why}, ${operation} '${path}'`, { code, operation, path });
  error.cause = cause;
  error.bytes = Buffer.from(bytes);
  return error;
}
