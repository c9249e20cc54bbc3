// A file's memory as JavaScript sees it, so that most operations need no call into native code.
import { constants } from "node:buffer";
import { constants as os } from "node:os";
import { addon, type NativeFile } from "./addon.js";
import { createError } from "./error.js";
import { windowsOf } from "./windows.js";

/** Where in the words of emmap_control things are. */
const STATUS = 0;
const ALIASES = 1;
const CURSOR_LOW = 2;
const CURSOR_HIGH = 3;

/** Bytes that one buffer shows to users: all of the mapping, where the runtime has buffers that large. */
const SPAN = 2 ** Math.floor(Math.log2(constants.MAX_LENGTH));
/**
 * As many are lent at once; what lies behind them, on Node 20 beyond 32 GiB, goes through the core. V8 takes
 * each for memory that a collection could free, and collects.
 */
const SPANS_AT_ONCE = 8;
/**
 * A mapping of more bytes is lent when the first operation asks for it, which goes through the core: then not who opens and
 * closes a large file pays for V8's collection, only who works on it.
 */
const LENT_WHEN_OPENED = 32 * 2 ** 20;
/** For a runtime that can't show us the real ones: never usable, so that everything asks the core. */
const NO_CONTROL = Uint32Array.of(1, 0, 0, 0);

/**
 * The windows are what an operation may use directly. There are none as soon as anything is not plainly fine
 * (closed, read-only, misaligned, no external buffers): the operation then asks the core, whose answer is the error.
 * So decisions are made once, there.
 */
export class Handle {
  readonly #native: NativeFile;
  readonly path: string;
  readonly existed: boolean;
  readonly writable: boolean;
  /** Bytes mapped; 0 when closed. */
  size = 0;
  closed = false;

  /** The mapping from `start` on, in windows. Never handed out. */
  bytes: readonly Uint8Array[] = [];
  writableBytes: readonly Uint8Array[] = [];
  words: readonly BigInt64Array[] = [];
  writableWords: readonly BigInt64Array[] = [];
  /** The words of emmap_control: see {@link isSound}. */
  readonly control: Uint32Array;
  /**
   * The spans of the mapping as views show them, until the current job ends: finding one again through a WeakRef costs
   * as much as the view that is made from it.
   */
  #shownNow: Buffer[] = [];

  readonly #aligned: boolean;
  readonly #direct: boolean;
  readonly #start: number;
  /** The windows are those of the mapping that the core has now, as far as there are any. */
  #reached = false;
  /** What lies under the windows. Its loans have to end before the file can shrink. */
  readonly #memory: ArrayBuffer[] = [];
  /** The spans of the mapping as views show them, each for as long as one is alive. */
  #shown: WeakRef<ArrayBuffer>[] = [];
  /** All buffers that views may still use, of earlier mappings too. */
  #lent: WeakRef<ArrayBuffer>[] = [];
  /** When there are so many, those that are gone are taken out: a small part of what making them costs. */
  #lentBound = 16;

  /** @param start position at which the windows begin, a multiple of 8 */
  constructor(native: NativeFile, direct: boolean, start = 0) {
    const about = addon.describe(native);
    this.#native = native;
    this.path = about.path;
    this.existed = about.existed;
    this.writable = about.writable;
    // A number above the safe integers may be a rounded one: it is for the core to say.
    this.#aligned = Number.isSafeInteger(about.offset) && about.offset % 8 === 0;
    this.#direct = direct;
    this.#start = start;
    const control = addon.file_control(native);
    this.control = control === undefined ? NO_CONTROL : new Uint32Array(control);
    this.#measure();
  }

  /**
   * The core's file. Whoever asks for it met something that is not plainly fine; if that was a fault, nothing is any
   * more. What is stored looks for one before, too: no later operation may change the pages that are still there.
   */
  get native(): NativeFile {
    if (!this.usable) this.#clear();
    else if (!this.#reached) this.#reach();
    return this.#native;
  }

  /** False once the file is closed, or a page of it went away. */
  get usable(): boolean {
    return isSound(this.control);
  }

  /**
   * False while the process has further mappings of the file, of another handle or of an earlier size: bytes that lie
   * there may be bytes of this mapping, which a copy by address does not see.
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

  /** The mapping is the one that the core has now. */
  #measure(): void {
    this.size = addon.describe(this.#native).size;
    this.#reached = false;
    if (this.usable && this.size <= LENT_WHEN_OPENED) this.#reach();
  }

  /** Takes hold of it. */
  #reach(): void {
    this.#reached = true;
    const end = Math.min(this.size, this.#start + SPANS_AT_ONCE * SPAN);
    for (let position = this.#start; position < end; position += SPAN) {
      const length = Math.min(SPAN, end - position);
      const memory = addon.pread_direct(this.#native, BigInt(position), BigInt(length), false);
      if (memory === undefined) return;
      this.#memory.push(memory);
    }
    this.bytes = this.#memory.flatMap((memory) => windowsOf(memory, 1, Uint8Array));
    // A mapping begins on a page, so position 0 is as aligned as its offset in the file.
    if (this.#aligned) this.words = this.#memory.flatMap((memory) => windowsOf(memory, 8, BigInt64Array));
    if (!this.writable) return;
    this.writableBytes = this.bytes;
    this.writableWords = this.words;
  }

  #clear(): void {
    this.bytes = this.writableBytes = [];
    this.words = this.writableWords = [];
  }

  #letGo(): void {
    this.#clear();
    this.#shown = [];
    this.#shownNow = [];
    for (const memory of this.#memory.splice(0)) addon.revoke(memory);
  }

  /** Runs `change`, which may replace the mapping: it has to do without our loans. */
  remap<Result>(change: (native: NativeFile) => Result): Result {
    if (this.closed) return change(this.#native);
    this.#letGo();
    try {
      return change(this.#native);
    } finally {
      this.#measure();
    }
  }

  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.#letGo();
    if (!this.#direct) for (const lent of this.#lent.splice(0)) withTarget(lent, addon.revoke);
    if (this.control !== NO_CONTROL) addon.revoke(this.control.buffer as ArrayBuffer);
    addon.close(this.#native);
    this.size = 0;
  }

  /** A Buffer over bytes of the mapping, all of which are there; with an ArrayBuffer of its own, if asked for. */
  view(position: number, length: number, own = false): Buffer {
    const shown = own ? undefined : this.#shownAt(position, length);
    if (shown === undefined) return Buffer.from(this.#lend(position, length));
    const begin = inSpan(position);
    return shown.subarray(begin, begin + length);
  }

  /** The same for 64-bit words that begin at an aligned address. */
  words64(position: number, count: number, own: boolean): BigInt64Array {
    const shown = this.#aligned && !own ? this.#shownAt(position, count * 8) : undefined;
    if (shown === undefined) return new BigInt64Array(this.#lend(position, count * 8), 0, count);
    return new BigInt64Array(shown.buffer as ArrayBuffer, inSpan(position), count);
  }

  /** The one buffer that all views of a span share; undefined for what reaches from one span into the next. */
  #shownAt(position: number, length: number): Buffer | undefined {
    const span = Math.floor(position / SPAN);
    const now = this.#shownNow[span];
    if (now !== undefined && length <= now.length - inSpan(position)) return now;
    const begin = span * SPAN;
    const end = Math.min(begin + SPAN, this.size);
    if (position + length > end) return undefined;
    let memory = this.#shown[span]?.deref();
    // Its length is 0 where the user transferred it away.
    if (!memory?.byteLength) {
      memory = this.#lend(begin, end - begin);
      this.#shown[span] = new WeakRef(memory);
    }
    const shown = Buffer.from(memory);
    if (this.#shownNow.length === 0)
      queueMicrotask(() => {
        this.#shownNow = [];
      });
    this.#shownNow[span] = shown;
    return shown;
  }

  #lend(position: number, length: number): ArrayBuffer {
    if (length > constants.MAX_LENGTH)
      throw this.#unsupported(`this release of Node has no buffers over ${constants.MAX_LENGTH} bytes`);
    const memory = addon.pread_direct(this.#native, BigInt(position), BigInt(length), true);
    if (memory === undefined) throw this.#unsupported("this runtime has no buffers over mapped memory");
    watchTransfer(memory);
    if (this.#lent.length >= this.#lentBound) {
      this.#lent = this.#lent.filter((lent) => lent.deref() !== undefined);
      this.#lentBound = 2 * this.#lent.length + 16;
    }
    this.#lent.push(new WeakRef(memory));
    return memory;
  }

  #unsupported(reason: string): Error {
    return createError(
      os.errno.ENOTSUP,
      "ENOTSUP",
      "operation not supported",
      "view",
      undefined,
      this.path,
      reason,
    );
  }
}

/** Whether what is read or written is the file's. */
export function isSound(control: Uint32Array): boolean {
  return control[STATUS] === 0;
}

/** Where in its span a byte is. */
function inSpan(position: number): number {
  return position - Math.floor(position / SPAN) * SPAN;
}

function withTarget<Target extends WeakKey>(
  reference: WeakRef<Target>,
  action: (target: Target) => void,
): void {
  const target = reference.deref();
  if (target !== undefined) action(target);
}

/**
 * Node transfers no buffer over foreign memory to another thread, but `ArrayBuffer.prototype.transfer` moves the
 * memory to one that it does transfer. Nothing tells the native code of it but this.
 */
function watchTransfer(memory: ArrayBuffer): void {
  for (const name of ["transfer", "transferToFixedLength"] as const) {
    const transfer = (memory as unknown as Record<string, unknown>)[name];
    if (typeof transfer !== "function") continue;
    Object.defineProperty(memory, name, {
      configurable: true,
      writable: true,
      value(this: ArrayBuffer, ...length: unknown[]): unknown {
        addon.moved(this);
        return Reflect.apply(transfer, this, length);
      },
    });
  }
}
