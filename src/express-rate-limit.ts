// The store for the package express-rate-limit. It needs nothing of that package.
import { createHash } from "node:crypto";
import { checkOptions, typeError } from "./arguments.js";
import type { Hit, Table } from "./table.js";

/** The highest limit of a hit. The middleware compares the hits with its own limit. */
const MOST = 2 ** 24 - 1;

/** Of a digest, 6 bits each: so many that nobody finds a client with the same ones. */
const DIGITS = 22;

/** How a {@link TableStore} counts. */
export interface TableStoreOptions {
  /** Is put before each key, so that several limiters with the same window can share a table. */
  prefix?: string | undefined;
  /** The window slides: see {@link Limit.sliding}. */
  sliding?: boolean | undefined;
  /** In a full table a new client takes the place of the client whose window ends first: see {@link Limit.evict}. Default true. */
  evict?: boolean | undefined;
}

const OPTIONS: ReadonlySet<string> = new Set<keyof TableStoreOptions>(["prefix", "sliding", "evict"]);

/** The middleware's facts about a client. */
export interface ClientHits {
  /** The number of hits in the window. */
  totalHits: number;
  /** The end of the window. */
  resetTime: Date;
}

/**
 * A store for express-rate-limit: all processes that open the table share its limits, and a restart keeps them.
 *
 * ```ts
 * import { openTable } from "emmap";
 * import { TableStore } from "emmap/express-rate-limit";
 *
 * const table = openTable("clients.table", { capacity: 100_000 });
 * app.use(rateLimit({ windowMs: 60_000, limit: 100, store: new TableStore(table) }));
 * ```
 */
export class TableStore {
  readonly #table: Table;
  readonly #sliding: boolean;
  readonly #evict: boolean;
  #windowMs = 60_000;
  readonly #keyBytes: number;
  /** Read by the middleware: hits are shared with other instances. */
  readonly localKeys = false;
  /** See {@link TableStoreOptions.prefix}. */
  readonly prefix: string;

  constructor(table: Table, options: TableStoreOptions = {}) {
    checkOptions(options, OPTIONS);
    const { prefix = "", sliding = false, evict = true } = options;
    if (typeof prefix !== "string") throw typeError("options.prefix", "of type string", prefix);
    for (const [name, value] of Object.entries({ sliding, evict }))
      if (typeof value !== "boolean") throw typeError(`options.${name}`, "of type boolean", value);
    this.#table = table;
    this.#keyBytes = table.keyBytes;
    this.prefix = prefix;
    this.#sliding = sliding;
    this.#evict = evict;
  }

  /** Called by the middleware with its options. */
  init({ windowMs }: { windowMs: number }): void {
    this.#windowMs = windowMs;
  }

  /** A key has one window, and up to `keyBytes` bytes. The digest of a longer one takes its place. */
  #key(client: string): string {
    const limiter = this.prefix + this.#windowMs;
    const key = `${limiter}:${client}`;
    if (Buffer.byteLength(key) <= this.#keyBytes) return key;
    return `${limiter}#${createHash("sha256").update(client).digest("base64url").slice(0, DIGITS)}`;
  }

  #hit(client: string, cost: number): Hit {
    return this.#table.hit(this.#key(client), {
      limit: MOST,
      windowMs: this.#windowMs,
      cost,
      sliding: this.#sliding,
      evict: this.#evict,
    });
  }

  #hits(key: string, cost: number): ClientHits {
    const { used, resetMs } = this.#hit(key, cost);
    return { totalHits: used, resetTime: new Date(Date.now() + resetMs) };
  }

  /** Counts a hit of a client. */
  increment(key: string): ClientHits {
    return this.#hits(key, 1);
  }

  /** Takes a hit back, for the options `skipFailedRequests` and `skipSuccessfulRequests`. */
  decrement(key: string): void {
    this.#hit(key, -1);
  }

  /** The hits of a client. */
  get(key: string): ClientHits {
    return this.#hits(key, 0);
  }

  /** Forgets the hits of a client. */
  resetKey(key: string): void {
    this.#table.delete(this.#key(key));
  }

  /** Forgets the hits of all clients of this store. */
  resetAll(): void {
    const limiter = this.prefix + this.#windowMs;
    for (const [key] of this.#table.entries())
      if ([":", "#"].some((mark) => String(key).startsWith(limiter + mark))) this.#table.delete(key);
  }
}
