/** True for a value that `await` takes for a promise. Promises of other libraries, and query builders, are no `Promise`. */
export function isPromise(value: unknown): boolean {
  return typeof (value as { then?: unknown } | null | undefined)?.then === "function";
}
