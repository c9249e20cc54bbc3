import type { PathLike } from "node:fs";
import { addon, type Description, type NativeFile } from "./addon.js";
import { EmmapError } from "./error.js";
import type { Opened, Origin } from "./opening.js";
import { toPath } from "./options.js";

/**
 * A handle that may write a queue, block storage, cell or table, and shares it: {@link OpenFile.writers}. The handle's process
 * wrote these facts.
 */
export interface Writer {
  /** The process id, as the process itself sees it. */
  readonly process: number;
  /** The program's name. */
  readonly program: string;
  /** The time when the handle opened the file. */
  readonly since: Date;
  /** True if the handle has the file's lock. */
  readonly hasLock: boolean;
  /** The number of its operations that found the lock taken. */
  readonly waited: number;
  /** The number of messages that it pushed. */
  readonly pushed: number;
  /** The number of messages that it removed, not counting those of {@link Queue.purge} and {@link Queue.erase}. */
  readonly popped: number;
}

/** The methods of all open files. */
export abstract class OpenFile {
  /** @internal */
  protected abstract readonly native: NativeFile;
  readonly #origin: Origin;
  readonly #about: Description;
  #closed = false;

  /** @internal */
  protected constructor({ origin }: Opened, about: Description) {
    this.#origin = origin;
    this.#about = about;
  }

  /** The path that was given to open; `""` with `anon`. */
  get path(): string {
    return this.#about.path;
  }

  /** True if the file existed before it was opened. */
  get existed(): boolean {
    return this.#about.existed;
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
   * Resolves when all changes until now are on the disk, where a power cut leaves them. For a new file this includes
   * its directory entry. After the disk has failed once, it fails until the file is opened again.
   * @throws ESTALE, of a shared mapping, if the path names another file now, or none: the changes are on the disk, but
   * a process that opens the path does not find them. See {@link isCurrent} and {@link reopen}.
   */
  async sync(): Promise<void> {
    await addon.sync(this.native);
  }

  /** As {@link sync}, but leaves out metadata that is not needed to read the file. */
  async datasync(): Promise<void> {
    await addon.datasync(this.native);
  }

  /**
   * True if the path that the file was opened by still names this file. False after the file was deleted, or after
   * another file was put or renamed there; {@link reopen} opens that file. Always true for memory without a file.
   */
  isCurrent(): boolean {
    return addon.is_current(this.native);
  }

  /**
   * Opens the path again, with the same options, and closes this file. Use it after `EFAULT` or `ESTALE`, or to switch to
   * the file that the path names now. It creates and truncates nothing. The cursor of a {@link MappedFile} is at the
   * start again, and the changes of a private mapping are lost.
   *
   * If the open fails, this file stays open, with two exceptions. A file with `autoUnlink` is closed first, which
   * deletes it. A file that is `exclusive`, or `fixed` at an address, is closed first if the path still names it.
   * @throws as the function that opened the file; ENOENT if there is no file; ENOTSUP for memory without a file
   */
  reopen(): this {
    return this.fromOpened(this.#origin.reopen(this)) as this;
  }

  /**
   * The handles that share a queue, block storage, cell or table for writing, of all processes and runtimes. The call takes
   * no lock, and so tells which process has the lock while others get `ETIMEDOUT`. It works with `read`, too.
   *
   * The list is empty for files without a live folder (docs/live.md): plain files, counters, `exclusive` ones, and files
   * whose writers use the kernel's locks.
   */
  writers(): Writer[] {
    return addon.writers(this.native).map((writer) => ({ ...writer, since: new Date(writer.since) }));
  }

  /** @internal */
  protected abstract fromOpened(opened: Opened): OpenFile;

  /**
   * Makes a copy under the name `to`. When the promise resolves, the copy is on the disk. It has the file's permission
   * bits, and appears whole or not at all.
   *
   * - A {@link MappedFile}: the mapped bytes, copied 64 KiB at a time. Bytes of different pieces belong together only
   *   if nobody writes meanwhile.
   * - {@link Counters}: each counter as it is when its turn comes.
   * - A {@link Queue} or {@link BlockStorage}: its messages or blocks of one moment, in a file of no more than they
   *   need. Others wait while the contents are copied in memory, which takes as much memory, but never for the disk.
   *   They do not wait for a file opened with `read`; it throws EAGAIN if others change the file all the time.
   * - A {@link Cell}: its value. A {@link Table}: its entries of one moment, or with `read` each entry as it is when its
   *   turn comes.
   * @throws EEXIST if the name exists; the errors of open, write, fsync and link
   */
  async backup(to: PathLike): Promise<void> {
    const path = toPath(to);
    try {
      await addon.backup(this.native, path);
    } catch (error) {
      if (error instanceof EmmapError) error.dest = String(path);
      throw error;
    }
  }

  /**
   * Closes the file; its contents stay. The views of a {@link MappedFile} become empty, unless it was opened with
   * `direct`. The memory is unmapped at once if there is no view. Otherwise it is unmapped when the last view is
   * collected, because a thread of zlib or fs may still use the view. Closing again does nothing.
   */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.release();
    addon.close(this.native);
  }

  /** Gives back the memory that JavaScript sees. @internal */
  protected release(): void {}

  /** Closes the file, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/** The methods that queues and block storages share. */
export type Structure = OpenFile;
