// The bell of a queue: a descriptor by which a wait for a message is woken. The event loop watches it as a socket, so no
// thread has to wake first.
import type { Socket } from "node:net";
import { addon, type NativeFile } from "./addon.js";

/** The object that a socket refers to. It does not refer to the queue, so that the queue may be collected. */
interface Rung {
  by: (() => void) | undefined;
}

/** Each socket ends with its queue, closed or collected. */
const sockets = new FinalizationRegistry<Socket>((socket) => socket.destroy());

/** Undefined: here waits have threads. Bun and Deno make no socket of a FIFO, and an older Node has no such function. */
const net =
  "bun" in process.versions || "deno" in process.versions
    ? undefined
    : process.getBuiltinModule?.("node:net");

function watch(native: NativeFile, rung: Rung): Socket | undefined {
  const fd = net === undefined ? null : addon.queue_wait_descriptor(native);
  if (net === undefined || fd === null) return undefined;
  const callback = (): boolean => {
    rung.by?.();
    return true;
  };
  // The types of Node 20 do not have the option onread.
  const options = { fd, writable: false, onread: { buffer: Buffer.alloc(64), callback } };
  const socket = new net.Socket(options);
  // If the bell fails, a woken wait still ends within 100 ms.
  socket.on("error", () => {});
  // The wait itself keeps the process alive.
  return socket.unref();
}

/** Wakes one wait at a time. @internal */
export class Bell {
  readonly #rung: Rung = { by: undefined };
  readonly #socket: Socket | undefined;

  constructor(native: NativeFile) {
    this.#socket = watch(native, this.#rung);
    if (this.#socket !== undefined) sockets.register(this, this.#socket, this);
  }

  /** True if it can wake a wait now. */
  get isFree(): boolean {
    return this.#socket !== undefined && !this.#socket.destroyed && this.#rung.by === undefined;
  }

  /** Calls `by` each time the bell rings; with undefined nothing. */
  wake(by: (() => void) | undefined): void {
    this.#rung.by = by;
  }

  close(): void {
    this.#socket?.destroy();
    sockets.unregister(this);
  }
}
