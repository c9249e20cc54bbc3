// A rate limit that any number of processes apply together: a key of a table for each client. limiter.escript does the same in
// Erlang, on the same file.
//
// Keys are compared, so no two clients share a limit. A client whose window is over gives its place to others. In a full table the
// client whose window ends first does. A process that dies leaves nothing to clean up.
import { createHash } from "node:crypto";
import { type Hit, openTable, type Table } from "emmap";

/** The clients at a time. */
const CLIENTS = 100_000;
/** At most so many requests in a minute, which slides. All programs use the same numbers. */
const LIMIT = { limit: 20, windowMs: 60_000, sliding: true, evict: true };

/** A key of the table has up to 64 bytes. A client may send more, or nothing. */
function keyOf(client: string): string {
  if (Buffer.byteLength(client) < 64) return `=${client}`;
  return `#${createHash("sha256").update(client).digest("base64")}`;
}

export class RateLimiter {
  readonly #clients: Table;

  constructor(path: string) {
    this.#clients = openTable(path, { capacity: CLIENTS });
  }

  /** Counts a request of the client, if the client may make one now. */
  take(client: string): Hit {
    return this.#clients.hit(keyOf(client), LIMIT);
  }

  close(): void {
    this.#clients.close();
  }
}

/** A hook for Fastify: `app.addHook("onRequest", limitRequests(limiter, (request) => request.ip))`. */
export function limitRequests<Request, Reply extends FastifyReply>(
  limiter: RateLimiter,
  clientOf: (request: Request) => string,
) {
  return async (request: Request, reply: Reply): Promise<unknown> => {
    const { allowed, remaining, resetMs } = limiter.take(clientOf(request));
    reply.header("x-ratelimit-remaining", remaining);
    if (allowed) return undefined;
    reply.header("retry-after", Math.ceil(resetMs / 1000));
    reply.code(429).send("too many requests\n");
    return reply;
  };
}

interface FastifyReply {
  header(name: string, value: unknown): unknown;
  code(status: number): { send(payload: string): unknown };
}
