// Counts the memory of a term before the term is made.

import { u16, u32 } from "./bytes.js";
import { etfError } from "./errors.js";
import { Tag } from "./tags.js";
import { FUN_HEADER } from "./terms.js";

/**
 * The memory of a term without the bytes of binaries and integers, and of each character of a string: about as much as
 * a BEAM needs. No term takes more than this for each byte of its external format.
 */
export const TERM_SIZE = 16;

/** The default of the option, and of Erlang's `max_inflated_size`. */
export const MAX_INFLATED_SIZE = 64 * 1024 * 1024;

/** The end of the name of a node, which is an atom, and of the `numbers` bytes after it. */
function identifierEnd(bytes: Buffer, at: number, numbers: number): number {
  const tag = bytes[at];
  const short = tag === Tag.SmallAtomUtf8 || tag === Tag.SmallAtom;
  return (short ? at + 2 + (bytes[at + 1] as number) : at + 3 + u16(bytes, at + 1)) + numbers;
}

/**
 * The terms that one call gathers. Together they may take as many bytes of memory as their messages have, and `max`
 * more.
 */
export class Budget {
  private readonly max: number;
  /** The memory that terms may still take beyond the bytes of their messages. */
  left: number;
  /** The terms together would take too much. */
  exceeded = false;

  constructor(max: number) {
    this.max = max;
    this.left = max;
  }

  /** Counts a term that takes `excess` bytes more than its message. */
  take(excess: number): void {
    if (excess > this.left) {
      this.exceeded = true;
      throw etfError(
        "ETF_LIMIT",
        `the terms of one call together take more memory than maxInflatedSize, ${this.max} bytes, allows`,
      );
    }
    this.left -= excess;
  }
}

/**
 * The rest of `allowed` bytes of memory after the term between `start` and `end`; negative if the term takes more. Not
 * negative if the bytes are no term: then the decoder gives the error, and allocates nothing for bytes that do not
 * exist.
 */
export function remaining(bytes: Buffer, start: number, end: number, allowed: number): number {
  let left = allowed;
  let at = start;
  for (let pending = 1; pending > 0 && at < end; pending--) {
    left -= TERM_SIZE;
    if (left < 0) return left;
    // A truncated number reads as NaN or as a smaller number, which ends the walk.
    switch (bytes[at]) {
      case Tag.Nil:
        at += 1;
        break;
      case Tag.SmallInteger:
        at += 2;
        break;
      case Tag.Integer:
        at += 5;
        break;
      case Tag.NewFloat:
        at += 9;
        break;
      case Tag.Float:
        at += 32;
        break;
      case Tag.SmallAtomUtf8:
      case Tag.SmallAtom:
        at += 2 + (bytes[at + 1] as number);
        break;
      case Tag.AtomUtf8:
      case Tag.Atom:
        at += 3 + u16(bytes, at + 1);
        break;
      case Tag.String: {
        const length = u16(bytes, at + 1);
        left -= TERM_SIZE * length;
        at += 3 + length;
        break;
      }
      case Tag.Binary: {
        const length = u32(bytes, at + 1);
        left -= length;
        at += 5 + length;
        break;
      }
      case Tag.BitBinary:
      case Tag.LargeBig: {
        const length = u32(bytes, at + 1);
        left -= length;
        at += 6 + length;
        break;
      }
      case Tag.SmallBig: {
        const length = bytes[at + 1] as number;
        left -= length;
        at += 3 + length;
        break;
      }
      case Tag.SmallTuple:
        pending += bytes[at + 1] as number;
        at += 2;
        break;
      case Tag.LargeTuple:
        pending += u32(bytes, at + 1);
        at += 5;
        break;
      case Tag.List:
        pending += u32(bytes, at + 1) + 1;
        at += 5;
        break;
      case Tag.Map:
        pending += 2 * u32(bytes, at + 1);
        at += 5;
        break;
      case Tag.Pid:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 1, 9);
        break;
      case Tag.NewPid:
      case Tag.V4Port:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 1, 12);
        break;
      case Tag.NewPort:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 1, 8);
        break;
      case Tag.Port:
      case Tag.Reference:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 1, 5);
        break;
      case Tag.NewReference:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 3, 1 + 4 * u16(bytes, at + 1));
        break;
      case Tag.NewerReference:
        left -= TERM_SIZE;
        at = identifierEnd(bytes, at + 3, 4 + 4 * u16(bytes, at + 1));
        break;
      case Tag.Export:
        pending += 3;
        at += 1;
        break;
      case Tag.NewFun:
        pending += 4 + u32(bytes, at + FUN_HEADER - 4);
        at += FUN_HEADER;
        break;
      case Tag.Record:
        pending += 2 + 2 * u32(bytes, at + 1);
        at += 6;
        break;
      case Tag.Local:
        // Only the runtime that wrote it can read it.
        return left + TERM_SIZE - TERM_SIZE * (end - at - 1);
      default:
        return left;
    }
  }
  return Number.isNaN(left) ? 0 : left;
}
