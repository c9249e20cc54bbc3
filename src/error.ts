import { brand } from "./etf/brand.js";

/**
 * The error for programs: the name of an errno, or one of emmap's own codes. `UNKNOWN` is an errno that has no name
 * here; `errno` has its number.
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
  | "OK";

let create: (message: string, details: Details) => EmmapError;

type Details = Pick<EmmapError, "code" | "errno" | "syscall" | "operation" | "path" | "offset">;

/**
 * The error of an operation, with the properties that Node's own system errors have. Match on `code`. `instanceof` is
 * also true for errors of other copies of the package in this process.
 *
 * | `code` | means |
 * | --- | --- |
 * | `ENOENT`, `EACCES`, `EINVAL`, `ENOSPC`, `EBUSY` … | the error of a system call; `errno` is set |
 * | `ETIMEDOUT` | another process kept a lock for too long: see {@link OpenOptions.lockTimeout}. Nothing was changed |
 * | `EFAULT` | the file was truncated, or its storage failed, under the mapping: close it and open it again |
 * | `EMMAP_CLOSED` | the file was closed |
 * | `EMMAP_ALIGNMENT` | a 64-bit operation on an address that is not a multiple of 8 |
 * | `EMMAP_FIXED_SIZE` | the operation would change the size of the file, which is fixed |
 * | `EMMAP_FULL` | there is no room, and the file may not grow |
 * | `EMMAP_CORRUPT` | the file is damaged, or of another kind; it stays as it was |
 * | `EMMAP_BADARG` | an option cannot have this value |
 * | `EMMAP_BAD_TERM` | a message of a queue is no term. `bytes` has its bytes: see {@link Queue.pop} |
 * | `EMMAP_REFUSED` | a message is a term that the queue's options refuse. It stays, and `bytes` has its bytes: see {@link Queue.pop} |
 *
 * Wrong arguments throw errors as Node's own: a wrong type a `TypeError` with code `ERR_INVALID_ARG_TYPE`, an unknown
 * option a `TypeError` with code `ERR_INVALID_ARG_VALUE`, and a number out of range a `RangeError` with code
 * `ERR_OUT_OF_RANGE`.
 */
export class EmmapError extends Error {
  /** The name of an errno (`"ENOENT"`), or one of emmap's own codes (`"EMMAP_CLOSED"`). */
  readonly code: EmmapErrorCode;
  /** The errno, negative as in Node's own errors; missing for emmap's own codes. */
  declare readonly errno?: number;
  /** The system call that failed; missing if none did. */
  declare readonly syscall?: string;
  /** The operation of emmap that failed, as the core calls it: `"open"`, `"queue_push"`. */
  readonly operation: string;
  /** The path that was given to open; if `backup` failed at the copy, the path of the copy. */
  declare readonly path?: string;
  /** With `backup`: the path of the copy. */
  declare dest?: string;
  /** With `EMMAP_CORRUPT`: the place of the damage in the file, in bytes. */
  declare readonly offset?: number;
  /** With `EMMAP_BAD_TERM` and `EMMAP_REFUSED`: the bytes of the message, with up to 7 zeros behind them. */
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

// On the prototype: an own property would be printed with every error.
Object.defineProperty(EmmapError.prototype, "name", {
  value: "EmmapError",
  configurable: true,
  writable: true,
});

brand(EmmapError, "EmmapError");

/** Below this the core's error numbers are errno's. @internal */
export const FIRST_OWN_ERROR = 4096;

/** Makes the error for a failure of the core. The addon calls it: see `error_factory` there. @internal */
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
