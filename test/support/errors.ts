/** The error that `action` throws. Fails if it throws none. */
export function thrownBy(action: () => unknown): Error & { code?: unknown } {
  try {
    action();
  } catch (error) {
    return error as Error & { code?: unknown };
  }
  throw new Error("nothing was thrown");
}
