// A mapping as arrays that operations may use directly, each over one window of it.
//
// Compiled code works best on arrays whose indexes are small integers, and no array of Node 20 goes over 4 GiB. What
// reaches from one window into the next is left to the core.
import type { Integer } from "./arguments.js";

/** Bytes of a window; the last one may have fewer. */
const WINDOW = 2 ** 30;
const WORDS = WINDOW / 8;

/** The windows of `memory`, whose elements have `width` bytes. */
export function windowsOf<Window>(
  memory: ArrayBuffer,
  width: number,
  View: new (memory: ArrayBuffer, begin: number, length: number) => Window,
): Window[] {
  return Array.from({ length: Math.ceil(memory.byteLength / WINDOW) }, (_, index) => {
    const begin = index * WINDOW;
    return new View(memory, begin, Math.floor(Math.min(WINDOW, memory.byteLength - begin) / width));
  });
}

/** The window that has `length` bytes at `position`; undefined where none has, and for length 0. */
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

/** The window that has the word of that number; undefined where none has, and for what is no number of a word. */
export function wordsAt(windows: readonly BigInt64Array[], word: number): BigInt64Array | undefined {
  if (!Number.isSafeInteger(word)) return undefined;
  const window = windows[(word / WORDS) | 0];
  return window !== undefined && word >= 0 && wordIndex(word) < window.length ? window : undefined;
}

/** Where in its window a byte is. */
export function byteIndex(position: Integer): number {
  return (position as number) & (WINDOW - 1);
}

/** Where in its window a word is. */
export function wordIndex(word: number): number {
  return word & (WORDS - 1);
}
