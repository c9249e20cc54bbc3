// Processes of both runtimes wait for words and wake each other.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { type Counters, openCounters } from "../src";
import { backends, beam, freshFolder, script } from "./support/runtimes";

const ROUNDS = 1000;

async function awaitChange(counters: Counters, index: number, value: bigint): Promise<void> {
  while (counters.get(index) === value) await counters.wait(index, value);
}

function change(counters: Counters, index: number): void {
  counters.add(index, 1n);
  counters.notify(index, 1);
}

/** A check ten times a second ends a wait without a notify, after 50 ms on average. */
const TIME_WITHOUT_LOSS = ROUNDS * 20;

test.each(backends)("BEAM over the %s waits for Node's changes, and Node for its", async (backend) => {
  for (const role of ["answer", "ask"] as const) {
    const path = join(freshFolder(), "counters");
    using counters = openCounters(path, 2);
    const other = beam(backend, "hand_over.escript", path, role, String(ROUNDS));
    for (let round = 0n; round < ROUNDS; round++) {
      if (role === "answer") {
        change(counters, 0);
        await awaitChange(counters, 1, round);
      } else {
        await awaitChange(counters, 0, round);
        change(counters, 1);
      }
    }
    expect(Number(await other)).toBeLessThan(TIME_WITHOUT_LOSS);
  }
});

/** A process that has begun this many waits. */
async function waiter(path: string, count: number) {
  const child = spawn(process.execPath, [script("waiter.mjs"), path, String(count)], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  expect((await lines.next()).value).toBe("waits");
  return { child, exit: once(child, "exit"), answer: async () => (await lines.next()).value as string };
}

test("processes that are killed while they wait keep nobody from being woken", async () => {
  const path = join(freshFolder(), "counters");
  using counters = openCounters(path, 2);
  for (let round = 0; round < 5; round++) {
    const [killed, left] = [await waiter(path, 20), await waiter(path, 5)];
    // The dying process may be the one that is woken.
    counters.notify(0, 3);
    killed.child.kill("SIGKILL");
    await killed.exit;
    counters.add(0, 1n);
    counters.notify(0);
    expect(await left.answer()).toBe("5");
    await left.exit;
    counters.set(0, 0);
  }
});

test("a change is seen whose author dies before the notify", async () => {
  const path = join(freshFolder(), "counters");
  using counters = openCounters(path, 2);
  const left = await waiter(path, 5);
  counters.add(0, 1n << 32n);
  expect(await left.answer()).toBe("5");
});
