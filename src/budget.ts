import { type PathLike, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { type Counters, openCounters } from "./counters.js";

/** The words of leased.bin. The first one has the end of the lease, and in its lowest bits how many hits are left. */
const LEASE = 0;
const BOOT = 1;
const BITS = 24n;
const MOST = (1n << BITS) - 1n;

/** The boot of this machine to which its clock belongs, as emmap_budget.erl names it. */
function bootOfMachine(): bigint {
  try {
    const id = readFileSync("/proc/sys/kernel/random/boot_id", "utf8");
    return BigInt(`0x${id.slice(0, 8)}${id.slice(9, 13)}`);
  } catch {
    return 0n;
  }
}

/**
 * This host's part of a strict limit for many machines. {@link openBudget} makes one.
 *
 * A BEAM node of the host leases blocks of the limit (`emmap_budget` in Erlang). In no window of time all hosts together have more
 * hits than the limit.
 */
export class Budget {
  readonly #lease: Counters;
  readonly #boot = bootOfMachine();
  /** The folder. */
  readonly path: string;

  private constructor(path: string, lease: Counters) {
    this.path = path;
    this.#lease = lease;
  }

  /** The same as the function {@link openBudget}. */
  static open(folder: PathLike): Budget {
    const path = typeof folder === "string" || Buffer.isBuffer(folder) ? folder : fileURLToPath(folder);
    const file =
      typeof path === "string" ? `${path}/leased.bin` : Buffer.concat([path, Buffer.from("/leased.bin")]);
    return new Budget(String(path), openCounters(file, 2, { write: true }));
  }

  /** Takes a hit from the block that this host has leased, without a message. False: there is none at present. */
  hit(): boolean {
    const lease = this.#lease;
    for (;;) {
      const word = lease.get(LEASE);
      if ((word & MOST) === 0n) return false;
      if (lease.compareExchange(LEASE, word, word - 1n) !== word) continue;
      // After the exchange: a process that was stopped in between must not use a lease that is over.
      const now = process.hrtime.bigint() / 1_000_000n;
      return now < word >> BITS && lease.get(BOOT) === this.#boot;
    }
  }

  /** How many hits are left of the block. */
  get left(): number {
    const word = this.#lease.get(LEASE);
    return process.hrtime.bigint() / 1_000_000n < word >> BITS ? Number(word & MOST) : 0;
  }

  /** True once the file is closed. */
  get closed(): boolean {
    return this.#lease.closed;
  }

  /** Closes the file. Closing again does nothing. */
  close(): void {
    this.#lease.close();
  }

  /** Closes the file, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * Opens this host's part of a strict limit, by the folder of `emmap_budget`: see docs/cluster.md.
 *
 * ```ts
 * using mails = openBudget("/var/lib/app/mails");
 * if (mails.hit()) console.log("one more mail, and no more than the limit on all hosts together");
 * ```
 *
 * @throws {EmmapError} as {@link openCounters}; ENOENT if the host's node has not made the folder yet
 */
export function openBudget(folder: PathLike): Budget {
  return Budget.open(folder);
}
