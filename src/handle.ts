// A file's memory as JavaScript sees it, so that most operations need no call into native code.
import { constants } from "node:buffer";
import { constants as os } from "node:os";
import { addon, type NativeFile } from "./addon";
import { createError } from "./error";

/** Where in the words of emmap_control things are. */
export const STATUS = 0;
const CURSOR_LOW = 2;
const CURSOR_HIGH = 3;

const NO_BYTES = new Uint8Array(0);
const NO_WORDS = new BigInt64Array(0);
/** For a runtime that can't show us the real ones: never usable, so that everything asks the core. */
const NO_CONTROL = Uint32Array.of(1, 0, 0, 0);

/**
 * The arrays are what an operation may use directly. They are empty as soon as anything is not plainly fine
 * (closed, read-only, misaligned, no external buffers): an index is then out of their bounds, and the operation
 * asks the core, whose answer is the error. So decisions are made once, there.
 */
export class Handle {
  readonly #native: NativeFile;
  readonly path: string;
  readonly existed: boolean;
  readonly writable: boolean;
  /** Bytes mapped; 0 when closed. */
  size = 0;
  closed = false;

  /** The mapping, or as much of its beginning as an ArrayBuffer can hold. Never handed out. */
  bytes: Uint8Array = NO_BYTES;
  writableBytes: Uint8Array = NO_BYTES;
  words: BigInt64Array = NO_WORDS;
  writableWords: BigInt64Array = NO_WORDS;
  /** The words of emmap_control. `control[STATUS]` is 0 as long as what is read or written is the file's. */
  readonly control: Uint32Array;
  /**
   * All of the mapping as views show it, until the current job ends: finding it again through a WeakRef costs as
   * much as the view that is made from it.
   */
  shownNow: Buffer | undefined;

  readonly #offset: number;
  readonly #direct: boolean;
  /** What lies under `bytes`. Its loan has to end before the file can shrink. */
  #memory: ArrayBuffer | undefined;
  /** The mapping as views show it, for as long as one is alive. */
  #shown: WeakRef<ArrayBuffer> | undefined;
  /** All buffers that views may still use, of earlier mappings too. */
  #lent: WeakRef<ArrayBuffer>[] = [];

  constructor(native: NativeFile, direct: boolean) {
    const about = addon.describe(native);
    this.#native = native;
    this.path = about.path;
    this.existed = about.existed;
    this.writable = about.writable;
    this.#offset = about.offset;
    this.#direct = direct;
    const control = addon.control(native);
    this.control = control === undefined ? NO_CONTROL : new Uint32Array(control);
    this.#reach();
  }

  /**
   * The core's file. Whoever asks for it met something that is not plainly fine; if that was a fault, nothing is any
   * more, and no later operation may reach the pages that are still there.
   */
  get native(): NativeFile {
    if (!this.usable) this.#clear();
    return this.#native;
  }

  /** False once the file is closed, or a page of it went away. */
  get usable(): boolean {
    return this.control[STATUS] === 0;
  }

  /** The core's cursor. Only this thread uses it. */
  get cursor(): number {
    return (this.control[CURSOR_HIGH] as number) * 2 ** 32 + (this.control[CURSOR_LOW] as number);
  }

  set cursor(position: number) {
    this.control[CURSOR_LOW] = position >>> 0;
    this.control[CURSOR_HIGH] = position / 2 ** 32;
  }

  /** Takes hold of the mapping that the core has now. */
  #reach(): void {
    this.size = addon.describe(this.#native).size;
    if (!this.usable) return;
    const length = Math.min(this.size, constants.MAX_LENGTH);
    const memory = addon.lend(this.#native, 0n, BigInt(length), false);
    if (memory === undefined) return;
    this.#memory = memory;
    this.bytes = new Uint8Array(memory);
    // A mapping begins on a page, so position 0 is as aligned as its offset in the file.
    if (this.#offset % 8 === 0) this.words = new BigInt64Array(memory, 0, Math.floor(length / 8));
    if (!this.writable) return;
    this.writableBytes = this.bytes;
    this.writableWords = this.words;
  }

  #clear(): void {
    this.bytes = this.writableBytes = NO_BYTES;
    this.words = this.writableWords = NO_WORDS;
  }

  #letGo(): void {
    this.#clear();
    this.#shown = this.shownNow = undefined;
    if (this.#memory !== undefined) addon.revoke(this.#memory);
    this.#memory = undefined;
  }

  /** Runs `change`, which may replace the mapping. */
  remap<Result>(change: () => Result): Result {
    if (this.closed) return change();
    this.#letGo();
    try {
      return change();
    } finally {
      this.#reach();
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

  /** A Buffer over bytes of the mapping, all of which are there. */
  view(position: number, length: number): Buffer {
    const shown = this.#showAll();
    if (shown !== undefined) return shown.subarray(position, position + length);
    return Buffer.from(this.#lend(position, length));
  }

  /** The same for 64-bit words that begin at an aligned address. */
  words64(position: number, count: number): BigInt64Array {
    const shown = this.#offset % 8 === 0 ? this.#showAll() : undefined;
    if (shown !== undefined) return new BigInt64Array(shown.buffer as ArrayBuffer, position, count);
    return new BigInt64Array(this.#lend(position, count * 8), 0, count);
  }

  /** All of the mapping, in the one buffer that all views share; undefined where it is too large for that. */
  #showAll(): Buffer | undefined {
    if (this.size > constants.MAX_LENGTH) return undefined;
    if (this.shownNow?.length) return this.shownNow;
    let memory = this.#shown?.deref();
    // Its length is 0 where the user transferred it away.
    if (!memory?.byteLength) {
      memory = this.#lend(0, this.size);
      this.#shown = new WeakRef(memory);
    }
    this.shownNow = Buffer.from(memory);
    queueMicrotask(() => {
      this.shownNow = undefined;
    });
    return this.shownNow;
  }

  #lend(position: number, length: number): ArrayBuffer {
    if (length > constants.MAX_LENGTH)
      throw this.#unsupported(`this release of Node has no buffers over ${constants.MAX_LENGTH} bytes`);
    const memory = addon.lend(this.#native, BigInt(position), BigInt(length), true);
    if (memory === undefined) throw this.#unsupported("this runtime has no buffers over mapped memory");
    watchTransfer(memory);
    this.#lent = this.#lent.filter((lent) => lent.deref() !== undefined);
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
