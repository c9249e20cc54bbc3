import { mkdirSync, type PathLike } from "node:fs";
import { fileURLToPath } from "node:url";
import { type InspectOptions, inspect } from "node:util";
import { type Integer, rangeError } from "./arguments.js";
import { type Counters, openCounters } from "./counters.js";

/** The words of status.bin, which the BEAM node sets once a second. */
const BEAT = 0;
const CONNECTED = 1;
const KNOWN = 2;
const STATUS_WORDS = 4;
/** The host's node takes no more. */
const MOST_COUNTERS = 2 ** 24;

/** Options of {@link openClusterCounters}. */
export interface ClusterCountersOptions {
  /** The permission bits of files that are created. Default 0600. The umask does not apply. */
  mode?: number | undefined;
}

/** What the host's BEAM node knows of the other hosts: {@link ClusterCounters.status}. */
export interface ClusterStatus {
  /** The time of the node's last sign of life, which it gives once a second; undefined if it never did. */
  readonly beat: Date | undefined;
  /** The number of other hosts that the node is connected with. */
  readonly connected: number;
  /** The number of other hosts that have taken part, and may have counters that have not come here. */
  readonly known: number;
}

/**
 * Counters of many machines. {@link openClusterCounters} makes one. Iterating gives the values.
 *
 * A BEAM node of the host exchanges them with the other hosts (`emmap_cluster` in Erlang). Additions and looks use files of
 * this host, and wait for no other one. Sums are eventually consistent: what another host has added is here after an
 * interval, and all of it once the hosts have met again after a split.
 *
 * Indexes and operands are those of {@link Counters}. So are the errors. There is no `set` and no `compareExchange`, because
 * no host can change what the others have added.
 */
export class ClusterCounters {
  readonly #own: Counters;
  readonly #others: Counters;
  readonly #status: Counters;
  /** The folder. */
  readonly path: string;
  /** The number of counters. */
  readonly length: number;

  private constructor(path: string, [own, others, status]: [Counters, Counters, Counters]) {
    this.path = path;
    this.#own = own;
    this.#others = others;
    this.#status = status;
    this.length = own.length;
  }

  /** The same as the function {@link openClusterCounters}. */
  static open(folder: PathLike, count: Integer = 0, options: ClusterCountersOptions = {}): ClusterCounters {
    if (Number(count) > MOST_COUNTERS) throw rangeError("count", "at most 2^24", count);
    const path = typeof folder === "string" || Buffer.isBuffer(folder) ? folder : fileURLToPath(folder);
    const files = [
      ["own.bin", count],
      ["others.bin", count],
      ["status.bin", STATUS_WORDS],
    ] as const;
    const create = Number(count) > 0;
    if (create) mkdirSync(path, { recursive: true });
    const opened: Counters[] = [];
    try {
      for (const [name, length] of files) {
        const file =
          typeof path === "string" ? `${path}/${name}` : Buffer.concat([path, Buffer.from(`/${name}`)]);
        const read = name !== "own.bin" && !create;
        opened.push(
          openCounters(file, length, { ...options, create, ...(read ? { read } : { write: true }) }),
        );
      }
    } catch (error) {
      for (const file of opened) file.close();
      throw error;
    }
    return new ClusterCounters(String(path), opened as [Counters, Counters, Counters]);
  }

  /**
   * Adds to a counter. The others see it after an interval.
   * @throws EINVAL for an index beyond the last
   */
  add(index: Integer, value: Integer): void {
    this.#own.add(index, value);
  }

  /** Subtracts from a counter, as {@link add}. */
  sub(index: Integer, value: Integer): void {
    this.#own.sub(index, value);
  }

  /**
   * Returns the sum of what all hosts have added, as far as this host knows.
   * @throws EINVAL for an index beyond the last
   */
  get(index: Integer): bigint {
    return BigInt.asIntN(64, this.#own.get(index) + this.#others.get(index));
  }

  /** The values of the counters, each read when its turn comes. */
  *[Symbol.iterator](): Generator<bigint, void, undefined> {
    for (let index = 0; index < this.length; index++) yield this.get(index);
  }

  /** Tells whether the host's node runs, and sees the other hosts. A limiter may take less risk while it does not. */
  status(): ClusterStatus {
    const beat = Number(this.#status.get(BEAT));
    return {
      beat: beat === 0 ? undefined : new Date(beat),
      connected: Number(this.#status.get(CONNECTED)),
      known: Number(this.#status.get(KNOWN)),
    };
  }

  /** Resolves when all additions of this host until now are on its disk: {@link Counters.sync}. */
  async sync(): Promise<void> {
    await this.#own.sync();
  }

  /** True once the files are closed. */
  get closed(): boolean {
    return this.#own.closed;
  }

  /** Closes the files. The counters keep their values. Closing again does nothing. */
  close(): void {
    for (const file of [this.#own, this.#others, this.#status]) file.close();
  }

  /** Closes the files, for `using`. */
  [Symbol.dispose](): void {
    this.close();
  }

  /** @internal */
  [inspect.custom](depth: number, options: InspectOptions): string {
    const { path, closed } = this;
    const about = closed || depth < 0 ? { path, closed } : { path, ...this.status() };
    return `ClusterCounters(${this.length}) ${inspect(about, options)}`;
  }
}

/**
 * Opens the counters of a cluster by the folder that a BEAM node of this host keeps: see docs/cluster.md.
 *
 * ```ts
 * using hits = openClusterCounters("/var/lib/app/hits");
 * hits.add(0, 1);
 * if (hits.get(0) > 1000n) console.log("all hosts together have more than 1000 hits");
 * ```
 *
 * @param count the number of counters, the same on all hosts. If given, the folder and its files are made if they are
 * missing, so that this process may start before the node does. If not given, or 0: the number that the files have
 * @throws {EmmapError} as {@link openCounters}; ENOENT if the files are missing and no count is given
 * @throws {RangeError} if the count is above 2^24
 */
export function openClusterCounters(
  folder: PathLike,
  count: Integer = 0,
  options: ClusterCountersOptions = {},
): ClusterCounters {
  return ClusterCounters.open(folder, count, options);
}
