import { constants } from "node:buffer";
import { constants as os } from "node:os";
import { addon, type NativeFile } from "./addon.js";
import { type Integer, toBigInt, typeError, valueError } from "./arguments.js";
import { createError } from "./error.js";
import { unknownOption } from "./etf/options.js";
import type { Mapping } from "./mapping.js";
import { inSpan, SPAN } from "./windows.js";

/** Options of {@link MappedFile.view} and {@link MappedFile.bigInt64Array}. */
export interface ViewOptions {
  /**
   * The view has an ArrayBuffer of its own, with just its bytes: `view.buffer`, `structuredClone` and `postMessage`
   * show no other bytes. Making such a view takes some microseconds more. Default `false`: all views share one ArrayBuffer
   * over the whole mapping.
   */
  ownBuffer?: boolean | undefined;
}

/** Checks the options, and answers `ownBuffer`. @internal */
export function ownsBuffer(options: ViewOptions | undefined): boolean {
  if (options === undefined) return false;
  if (typeof options !== "object" || options === null) throw typeError("options", "an object", options);
  const { ownBuffer = false, ...others } = options;
  for (const name in others) throw valueError(unknownOption(name, ["ownBuffer"]));
  if (typeof ownBuffer !== "boolean") throw typeError("options.ownBuffer", "of type boolean", ownBuffer);
  return ownBuffer;
}

/** The memory of a mapping that users see: views, and the ArrayBuffers under them. @internal */
export class Views {
  readonly #native: NativeFile;
  readonly #mapping: Mapping;
  readonly #path: string;
  /** The spans that views share, each as long as one of its views is alive. */
  #spans: WeakRef<ArrayBuffer>[] = [];
  /** The same until the current job ends: to find a span by its WeakRef costs as much as to make a view. */
  #spansNow: Buffer[] = [];
  /** All ArrayBuffers that views may still use, those of earlier mappings too. */
  #lent: WeakRef<ArrayBuffer>[] = [];
  /** At this length the collected ones are removed: a small part of the cost of making them. */
  #lentBound = 16;

  constructor(native: NativeFile, mapping: Mapping, path: string) {
    this.#native = native;
    this.#mapping = mapping;
    this.#path = path;
  }

  /**
   * `value` as a number from 0 to `limit`. Throws EINVAL for another one, and the file's error if it is closed or
   * faulted.
   */
  within(value: Integer, name: string, limit: number): number {
    if (!this.#mapping.usable) addon.size(this.#mapping.native); // throws
    const number = toBigInt(value, name);
    if (number >= 0n && number <= BigInt(limit)) return Number(number);
    const reason = `the view would pass the end: ${name} is ${number}, and at most ${limit} is there`;
    throw createError(os.errno.EINVAL, "EINVAL", "invalid argument", "view", undefined, this.#path, reason);
  }

  /** A Buffer over bytes of the mapping, all of which exist. */
  bytes(position: number, length: number, own = false): Buffer {
    const span = own ? undefined : this.#spanOf(position, length);
    if (span === undefined) return Buffer.from(this.#lend(position, length));
    const begin = inSpan(position);
    return span.subarray(begin, begin + length);
  }

  /** The same for 64-bit words from an aligned address on. */
  words(position: number, count: number, own: boolean): BigInt64Array {
    const span = this.#mapping.aligned && !own ? this.#spanOf(position, count * 8) : undefined;
    if (span === undefined) return new BigInt64Array(this.#lend(position, count * 8), 0, count);
    return new BigInt64Array(span.buffer as ArrayBuffer, inSpan(position), count);
  }

  /** The mapping is about to be replaced: views to come need other spans. */
  forget(): void {
    this.#spans = [];
    this.#spansNow = [];
  }

  /** Empties all views. */
  revoke(): void {
    this.forget();
    for (const lent of this.#lent.splice(0)) {
      const memory = lent.deref();
      if (memory !== undefined) addon.revoke(memory);
    }
  }

  /** The span that has these bytes; undefined: they cross the end of one. */
  #spanOf(position: number, length: number): Buffer | undefined {
    const number = Math.floor(position / SPAN);
    const now = this.#spansNow[number];
    if (now !== undefined && length <= now.length - inSpan(position)) return now;
    const begin = number * SPAN;
    const end = Math.min(begin + SPAN, this.#mapping.size);
    if (position + length > end) return undefined;
    let memory = this.#spans[number]?.deref();
    // Its length is 0 if the user has transferred it.
    if (!memory?.byteLength) {
      memory = this.#lend(begin, end - begin);
      this.#spans[number] = new WeakRef(memory);
    }
    const span = Buffer.from(memory);
    if (this.#spansNow.length === 0)
      queueMicrotask(() => {
        this.#spansNow = [];
      });
    this.#spansNow[number] = span;
    return span;
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
    const description = "operation not supported";
    return createError(os.errno.ENOTSUP, "ENOTSUP", description, "view", undefined, this.#path, reason);
  }
}

/**
 * Node does not transfer an ArrayBuffer over foreign memory to another thread. But `ArrayBuffer.prototype.transfer`
 * moves the memory to an ArrayBuffer that Node does transfer, and only this tells the native code.
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
