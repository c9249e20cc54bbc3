import { addon, type Description, type NativeFile } from "./addon.js";
import { SPAN, windowsOf } from "./windows.js";

/** The words of emmap_control. */
const STATUS = 0;
const ALIASES = 1;
const CURSOR_LOW = 2;
const CURSOR_HIGH = 3;

/**
 * The most spans that windows lie over; on Node 20 the core alone sees bytes beyond 32 GiB. V8 counts each span as
 * memory that a collection could free, and collects.
 */
const MOST_SPANS = 8;
/**
 * A larger mapping gets its windows only when the first operation needs them. So a process pays for V8's collection only
 * if it works on a large file, and not if it opens and closes one.
 */
const MAPPED_WHEN_OPENED = 32 * 2 ** 20;
/** Stands in for the control words if the runtime cannot show them: then every operation goes through the core. */
const NO_CONTROL = Uint32Array.of(1, 0, 0, 0);

/**
 * The mapping of a file, for operations that work on its memory directly.
 *
 * There are windows only while nothing is special: the file is open, sound, writable or only read, aligned. In every
 * other case an operation finds no window and calls the core, which decides and gives the error. So each decision is
 * made once.
 */
export class Mapping {
  readonly #native: NativeFile;
  readonly writable: boolean;
  /** Position 0 has an address that is a multiple of 8. */
  readonly aligned: boolean;
  /** Bytes that are mapped; 0 once the file is closed. */
  size = 0;

  /** The mapping from `start` on, in windows. Users never get them. */
  bytes: readonly Uint8Array[] = [];
  writableBytes: readonly Uint8Array[] = [];
  words: readonly BigInt64Array[] = [];
  writableWords: readonly BigInt64Array[] = [];
  /** The words of emmap_control: see {@link isSound}. */
  readonly control: Uint32Array;

  readonly #start: number;
  /** The windows show the core's current mapping. */
  #isMapped = false;
  /** The memory under the windows. It is given back before the file can shrink. */
  readonly #spans: ArrayBuffer[] = [];

  /** @param start the position where the windows begin, a multiple of 8 */
  constructor(native: NativeFile, { writable, offset, size }: Description, start = 0) {
    this.#native = native;
    this.writable = writable;
    // A number above the safe integers may be rounded. A mapping begins on a page, so its position 0 is as aligned as
    // its offset in the file.
    this.aligned = Number.isSafeInteger(offset) && offset % 8 === 0;
    this.#start = start;
    const control = addon.file_control(native);
    this.control = control === undefined ? NO_CONTROL : new Uint32Array(control);
    this.#show(size);
  }

  /**
   * The core's file, for operations that found no window. After a fault it takes the windows away, so that no later
   * operation changes pages that are still there.
   */
  get native(): NativeFile {
    if (!this.usable) this.#clear();
    else if (!this.#isMapped) this.#mapWindows();
    return this.#native;
  }

  /** False once the file is closed, or after a fault. */
  get usable(): boolean {
    return isSound(this.control);
  }

  /**
   * True if the process has no other mapping of the file, of another handle or of an earlier size. Otherwise bytes at
   * another address may be bytes of this mapping, and a copy in JavaScript would not notice the overlap.
   */
  get alone(): boolean {
    return this.control[ALIASES] === 0;
  }

  /** The core's cursor. Only this thread uses it. */
  get cursor(): number {
    return (this.control[CURSOR_HIGH] as number) * 2 ** 32 + (this.control[CURSOR_LOW] as number);
  }

  set cursor(position: number) {
    this.control[CURSOR_LOW] = position >>> 0;
    this.control[CURSOR_HIGH] = position / 2 ** 32;
  }

  #show(size: number): void {
    this.size = size;
    this.#isMapped = false;
    if (this.usable && size <= MAPPED_WHEN_OPENED) this.#mapWindows();
  }

  #mapWindows(): void {
    this.#isMapped = true;
    const end = Math.min(this.size, this.#start + MOST_SPANS * SPAN);
    for (let position = this.#start; position < end; position += SPAN) {
      const length = Math.min(SPAN, end - position);
      const span = addon.pread_direct(this.#native, BigInt(position), BigInt(length), false);
      if (span === undefined) return;
      this.#spans.push(span);
    }
    this.bytes = this.#spans.flatMap((span) => windowsOf(span, 1, Uint8Array));
    if (this.aligned) this.words = this.#spans.flatMap((span) => windowsOf(span, 8, BigInt64Array));
    if (!this.writable) return;
    this.writableBytes = this.bytes;
    this.writableWords = this.words;
  }

  #clear(): void {
    this.bytes = this.writableBytes = [];
    this.words = this.writableWords = [];
  }

  #unmapWindows(): void {
    this.#clear();
    for (const span of this.#spans.splice(0)) addon.revoke(span);
  }

  /** Runs `change`, which may replace the mapping. Takes the windows away before, and shows the current mapping afterwards. */
  remap<Result>(change: (native: NativeFile) => Result): Result {
    this.#unmapWindows();
    try {
      return change(this.#native);
    } finally {
      this.#show(addon.describe(this.#native).size);
    }
  }

  /** Gives all memory back, before the file is closed. */
  release(): void {
    this.#unmapWindows();
    if (this.control !== NO_CONTROL) addon.revoke(this.control.buffer as ArrayBuffer);
    this.size = 0;
  }
}

/** True if the bytes that were read or written are those of the file. */
export function isSound(control: Uint32Array): boolean {
  return control[STATUS] === 0;
}
