// PID namespaces for single processes.
import { spawnSync } from "node:child_process";
import { NotPossible } from "./report.mjs";

/** A prefix that runs a command as process 1. The command ends with the process that started it. */
export const IN_NAMESPACE = ["unshare", "--pid", "--fork", "--kill-child=SIGKILL"];

/** Throws if this user may make none. */
export function requireNamespaces() {
  const [command, ...args] = [...IN_NAMESPACE, "true"];
  const tried = spawnSync(command, args, { encoding: "utf8" });
  if (tried.status !== 0)
    throw new NotPossible(`this user may make no PID namespaces: ${tried.stderr || tried.error}`.trim());
}

/** Whether this user may make some. */
export function hasNamespaces() {
  try {
    requireNamespaces();
    return true;
  } catch (error) {
    if (error instanceof NotPossible) return false;
    throw error;
  }
}
