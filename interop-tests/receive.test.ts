// Processes of both runtimes wait for each other's messages.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { EMPTY, openQueue } from "../src";
import { backends, beam, freshFolder, script } from "./support/runtimes";

const ROUNDS = 300;

/** A check ten times a second finds a message without a wake-up, after 50 ms on average. */
const TIME_WITHOUT_LOSS = ROUNDS * 20;

test.each(backends)("BEAM over the %s receives what Node pushes, and Node its answers", async (backend) => {
  const folder = freshFolder();
  const [to, from] = [join(folder, "to"), join(folder, "from")];
  using asks = openQueue<number>(to, { size: 4096 });
  using answers = openQueue<number>(from, { size: 4096 });
  const other = beam(backend, "receiver.escript", to, from, String(ROUNDS));
  for (let round = 1; round <= ROUNDS; round++) {
    asks.push(round);
    expect(await answers.receive({ timeout: 30_000 })).toBe(round);
  }
  expect(Number(await other)).toBeLessThan(TIME_WITHOUT_LOSS);
});

/** A process that receives messages, and prints each. */
async function receiver(path: string) {
  const child = spawn(process.execPath, [script("receiver.mjs"), path], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const next = async () => (await lines.next()).value as string | undefined;
  expect(await next()).toBe("waits");
  return { child, exit: once(child, "exit"), next };
}

test("a process that is killed while it waits takes no message with it", async () => {
  const path = join(freshFolder(), "queue");
  using queue = openQueue<number>(path, { size: 4096 });
  for (let round = 0; round < 10; round++) {
    const [killed, left] = [await receiver(path), await receiver(path)];
    killed.child.kill("SIGKILL");
    await killed.exit;
    queue.push(round);
    expect(await left.next()).toBe(String(round));
    left.child.kill("SIGKILL");
    await left.exit;
  }
});

test("a receiver waits for a process that is stopped with the lock, and blocks nothing", async () => {
  const path = join(freshFolder(), "queue");
  using queue = openQueue<number>(path, { size: 4096 });
  const other = await receiver(path);
  other.child.kill("SIGSTOP");
  queue.push(1);
  // The push woke the other process, which does not take the message. So this one can take it.
  expect(await queue.receive({ timeout: 10_000 })).toBe(1);
  expect(await queue.receive({ timeout: 20 })).toBe(EMPTY);
  other.child.kill("SIGCONT");
  queue.push(2);
  expect(await other.next()).toBe("2");
});
