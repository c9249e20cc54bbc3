// A rate limit that any number of processes apply together, without asking anybody: one 64-bit word in a mapped file for
// each client, changed by compare-and-swap. limiter.escript does the same in Erlang, on the same file.
//
// The word is the moment up to which the client's requests are paid for, in microseconds since 1970. A request costs one
// interval, and is refused where that would take the moment further than `burst` intervals ahead of now. This is the generic
// cell rate algorithm, which needs no timer and no state but that word. A process that dies leaves nothing to clean up.
import { crc32 } from "node:zlib";
import { type MappedFile, open } from "emmap";

/** Two clients whose words coincide share a limit: take many more words than there are clients at a time. */
const WORDS = 65_536;

export class RateLimiter {
  readonly #file: MappedFile;
  readonly #interval: bigint;
  readonly #window: bigint;

  /** At most `burst` requests at once, and `perSecond` in the long run. All who share the file have to say the same. */
  constructor(path: string, { perSecond, burst }: { perSecond: number; burst: number }) {
    this.#interval = BigInt(Math.round(1e6 / perSecond));
    this.#window = this.#interval * BigInt(burst);
    this.#file = open(path, { write: true, create: true, size: 8 * WORDS });
  }

  /** Whether the client may make a request now. If so, it has made one. */
  take(client: string): boolean {
    const position = 8 * (crc32(client) % WORDS);
    const now = BigInt(Date.now()) * 1000n;
    const limit = now + this.#window;
    for (;;) {
      const paid = this.#file.load(position);
      // Beyond the limit is a moment that was written before the clock was set back.
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
