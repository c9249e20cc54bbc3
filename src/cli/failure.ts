// How the command fails: the statuses that scripts may rely on, and sentences for people.
import { similarTo } from "./files.js";

/** The exit statuses: see docs/command.md. */
export const Status = { ok: 0, failed: 1, usage: 2, busy: 3, nothing: 4, noReader: 141 } as const;

/** A failure that the user is told in one sentence. */
export class Failure extends Error {
  constructor(
    message: string,
    readonly status: number = Status.failed,
  ) {
    super(message);
  }
}

const BUSY = new Set(["EBUSY", "ETIMEDOUT", "EAGAIN"]);

/** The sentence and the status for anything that was thrown. */
export function explain(error: unknown): { message: string; status: number } {
  const { code, path, message, status } = error as NodeJS.ErrnoException & { status?: unknown };
  // Not instanceof: the other bundle has a class of its own.
  if (typeof status === "number") return { message, status };
  if (code === "ENOENT" && path !== undefined) return missing(path);
  if (code !== undefined && BUSY.has(code)) return { message, status: Status.busy };
  return { message: message ?? String(error), status: Status.failed };
}

/** The failure for a path that leads nowhere. */
export function missing(path: string): Failure {
  const similar = similarTo(path);
  const hint = similar === undefined ? "" : `; did you mean ${similar}?`;
  return new Failure(`there is no ${path}${hint}`, Status.usage);
}
