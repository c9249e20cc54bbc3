// The memory of a mapping as arrays that operations use directly.
//
// The addon lends a mapping in spans, each an ArrayBuffer, as large as the runtime allows. Over them lie windows: typed
// arrays of up to a GiB, since compiled code is fastest where indexes are small integers, and no array of Node 20 is
// larger than 4 GiB. An access that crosses the end of a window goes through the core.
import { constants } from "node:buffer";
import type { Integer } from "./arguments.js";

/** The size of a span: a power of two, and more than most mappings have. */
export const SPAN = 2 ** Math.floor(Math.log2(constants.MAX_LENGTH));

/** The place of a byte in its span. */
export function inSpan(position: number): number {
  return position - Math.floor(position / SPAN) * SPAN;
}

/** The size of a window in bytes; the last one may be shorter. */
const WINDOW = 2 ** 30;
const WORDS = WINDOW / 8;

/** The windows over `span`, with elements of `width` bytes. */
export function windowsOf<Window>(
  span: ArrayBuffer,
  width: number,
  View: new (span: ArrayBuffer, begin: number, length: number) => Window,
): Window[] {
  return Array.from({ length: Math.ceil(span.byteLength / WINDOW) }, (_, index) => {
    const begin = index * WINDOW;
    return new View(span, begin, Math.floor(Math.min(WINDOW, span.byteLength - begin) / width));
  });
}

/** The window that has `length` bytes at `position`; undefined if none has, and for length 0. */
export function bytesAt(
  windows: readonly Uint8Array[],
  position: Integer,
  length: Integer,
): Uint8Array | undefined {
  if (!Number.isSafeInteger(position) || !Number.isInteger(length)) return undefined;
  const window = windows[((position as number) / WINDOW) | 0];
  if (window === undefined || (position as number) < 0 || (length as number) <= 0) return undefined;
  return (length as number) <= window.length - byteIndex(position) ? window : undefined;
}

/** The window that has the word of this number; undefined if none has, and for a number that is no word's. */
export function wordsAt(windows: readonly BigInt64Array[], word: number): BigInt64Array | undefined {
  if (!Number.isSafeInteger(word)) return undefined;
  const window = windows[(word / WORDS) | 0];
  return window !== undefined && word >= 0 && wordIndex(word) < window.length ? window : undefined;
}

/** The place of a byte in its window. */
export function byteIndex(position: Integer): number {
  return (position as number) & (WINDOW - 1);
}

/** The place of a word in its window. */
export function wordIndex(word: number): number {
  return word & (WORDS - 1);
}
