import { OpenFile } from "./open-file.js";
import { Waits } from "./wait.js";

/** A file that programs can wait for: for its words, counters, messages or value. */
export abstract class WaitableFile extends OpenFile {
  #waits: Waits | undefined;

  /** @internal */
  protected get waits(): Waits {
    this.#waits ??= new Waits(this.native, this.path);
    return this.#waits;
  }

  /** Lets the process end while waits on this file go on. {@link ref} undoes it. */
  unref(): this {
    this.waits.keepAlive(false);
    return this;
  }

  /** Waits on this file keep the process alive again, as open sockets do. This is the default. */
  ref(): this {
    this.waits.keepAlive(true);
    return this;
  }
}
