// The faults of `make torture` in their short form.
import { describe, expect, onTestFinished, test } from "vitest";
import { endAll } from "./torture/support/processes.mjs";
import { faultNames, loadFault, NotPossible, shortcoming } from "./torture/support/report.mjs";

const LONGEST_MS = 300_000;

describe("nothing is lost, and nobody waits long, after", async () => {
  for (const name of faultNames()) {
    const { title, shortSeconds: seconds = 1, run } = await loadFault(name);
    test(title, { timeout: LONGEST_MS }, async () => {
      onTestFinished(endAll);
      const said: string[] = [];
      try {
        const rows = await run({ seconds, say: (text) => void said.push(text) });
        expect(rows.length).toBeGreaterThan(0);
        expect(rows.map(shortcoming).filter(Boolean), said.join("\n")).toEqual([]);
      } catch (error) {
        if (!(error instanceof NotPossible)) throw error;
        console.warn(`${name}: NOT TESTED, ${error.message}`);
      }
    });
  }
});
