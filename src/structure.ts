import type { PathLike } from "node:fs";
import { addon, type NativeFile } from "./addon.js";
import { backup } from "./backup.js";

/** What a queue and a block storage have in common: the file that they are in. */
export abstract class Structure {
  /** @internal */
  protected readonly native: NativeFile;
  #closed = false;
  /** The path, as it was given to open. */
  readonly path: string;
  /** True if the file was there before it was opened. */
  readonly existed: boolean;

  /** @internal */
  protected constructor(native: NativeFile) {
    const about = addon.describe(native);
    this.native = native;
    this.path = about.path;
    this.existed = about.existed;
  }

  /** True once the file is closed. */
  get closed(): boolean {
    return this.#closed;
  }

  /** Starts to write changes to the disk, and does not wait for it. */
  flush(): void {
    addon.flush(this.native);
  }

  /**
   * Resolves when all that was done until now is on the disk, where a power cut leaves it. Once the disk has failed it
   * fails until the file is opened anew.
   * @throws ESTALE if the path means another file now, or none; see {@link isCurrent}
   */
  async sync(): Promise<void> {
    await addon.sync(this.native);
  }

  /** As {@link sync}, but for metadata that is not needed to read the contents back. */
  async datasync(): Promise<void> {
    await addon.datasync(this.native);
  }

  /**
   * Whether the path that it was opened by still means this file: false once that was deleted, or another one was put or
   * renamed there. `reopen` opens what is there now.
   */
  isCurrent(): boolean {
    return addon.is_current(this.native);
  }

  /**
   * Makes a copy under the name `to`, which is on the disk when the promise resolves. It has the
   * messages or blocks as they are at one moment, in a file of no more than they need. Others wait while they are copied
   * in memory, of which that takes as much, and never for the disk. With a file opened to `read` nobody waits, and it is
   * EAGAIN where others change the file all the time. The copy has the file's permission bits, and appears whole or not at all.
   * @throws EEXIST where there is anything of that name; what open, write, fsync and link say
   */
  async backup(to: PathLike): Promise<void> {
    await backup(this.native, to);
  }

  /** Closes the file, which keeps what is in it. Closing again does nothing. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    addon.close(this.native);
  }

  /** Closes the file, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}
