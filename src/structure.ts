import { addon, type NativeFile } from "./addon.js";

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
   * Resolves when all that was done until now is on the disk, where a power cut leaves it. Once it has failed it fails
   * until the file is opened anew.
   */
  async sync(): Promise<void> {
    await addon.sync(this.native);
  }

  /** As {@link sync}, but for metadata that is not needed to read the contents back. */
  async datasync(): Promise<void> {
    await addon.datasync(this.native);
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
