import { setImmediate } from "node:timers/promises";

/** Collects garbage until the condition holds, or fails. Finalizers run between turns of the event loop. */
export async function collectUntil(condition: () => boolean): Promise<void> {
  for (let round = 0; round < 200; round++) {
    if (condition()) return;
    (globalThis as unknown as { gc: () => void }).gc();
    await setImmediate();
  }
  throw new Error("what should have been collected is still there");
}
