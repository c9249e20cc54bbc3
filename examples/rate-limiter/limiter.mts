// A rate limit that any number of processes apply together. Each client has one 64-bit word in a mapped file, which a
// compare-and-swap changes. limiter.escript does the same in Erlang, on the same file.
//
// The word is the time up to which the client's requests are paid for, in microseconds since 1970. A request adds one interval
// to it. It is refused if the time would then be more than `burst` intervals after now. This is the generic cell rate algorithm.
// It needs no timer, and no state but the word. A process that dies leaves nothing to clean up.
import { crc32 } from "node:zlib";
import { type MappedFile, open } from "emmap";

/** Clients with the same word share a limit. So take many more words than there are clients at a time. */
const WORDS = 65_536;

export class RateLimiter {
  readonly #file: MappedFile;
  readonly #interval: bigint;
  readonly #window: bigint;

  /** At most `burst` requests at once, and `perSecond` in the long run. All programs that share the file must use the same values. */
  constructor(path: string, { perSecond, burst }: { perSecond: number; burst: number }) {
    this.#interval = BigInt(Math.round(1e6 / perSecond));
    this.#window = this.#interval * BigInt(burst);
    this.#file = open(path, { write: true, create: true, size: 8 * WORDS });
  }

  /** Counts a request of the client and returns true, if the client may make one now. */
  take(client: string): boolean {
    const position = 8 * (crc32(client) % WORDS);
    const now = BigInt(Date.now()) * 1000n;
    const limit = now + this.#window;
    for (;;) {
      const paid = this.#file.load(position);
      // A time after the limit was written before the clock was set back.
      const from = paid > now && paid <= limit ? paid : now;
      const until = from + this.#interval;
      if (until > limit) return false;
      if (this.#file.compareExchange(position, paid, until) === paid) return true;
    }
  }

  close(): void {
    this.#file.close();
  }
}
