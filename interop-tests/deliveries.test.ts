// Consumers of both runtimes work on one queue, and read each other's dead letters.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test } from "vitest";
import { type DeadLetter, openQueue } from "../src";
import { type Backend, backends, ebin, freshFolder, script } from "./support/runtimes";

const TIMEOUT = 30_000;

/** Starts a program, and waits for its first line. */
async function started(command: string, ...args: string[]) {
  const child = spawn(command, args, { stdio: ["ignore", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(createInterface({ input: child.stdout }), "line");
  return child;
}

const consumer = (backend: Backend, ...paths: string[]) =>
  started("escript", script("consumer.escript"), ebin, backend, ...paths);

function open(folder: string, name: string) {
  const path = join(folder, name);
  const queue = openQueue<unknown>(path, { values: "json" });
  onTestFinished(() => queue.close());
  return { path, queue };
}

/** Three queues in a fresh folder. */
function queues() {
  const folder = freshFolder();
  return { jobs: open(folder, "jobs"), dead: open(folder, "dead"), done: open(folder, "done") };
}

test.each(backends)(
  "BEAM over the %s works on Node's jobs, and Node reads its dead letters",
  async (backend) => {
    const { jobs, dead, done } = queues();
    await consumer(backend, jobs.path, dead.path, done.path);
    const before = Date.now();
    jobs.queue.pushMany([{ picture: "cat.png" }, ["dog", 7]]);
    expect(await done.queue.receive({ timeout: TIMEOUT })).toEqual([{ picture: "cat.png" }, 1]);
    const letter = (await dead.queue.receive({ timeout: TIMEOUT })) as DeadLetter<unknown>;
    expect(letter).toEqual({
      message: ["dog", 7],
      reason: '{not_wanted,[<<"dog">>,7]}',
      attempts: 2,
      at: expect.any(Number),
    });
    expect(letter.at).toBeGreaterThanOrEqual(before);
  },
);

test.each(backends)("BEAM over the %s reads the dead letters of Node", async (backend) => {
  const { jobs, dead, done } = queues();
  await consumer(backend, dead.path, `${dead.path}-rest`, done.path);
  const node = jobs.queue.process(
    () => {
      throw new Error("no such picture");
    },
    { maxAttempts: 2, backoff: { initial: 0 }, deadLetters: dead.queue },
  );
  jobs.queue.push({ picture: "cat.png" });
  expect(await done.queue.receive({ timeout: TIMEOUT })).toEqual([
    { picture: "cat.png" },
    "Error: no such picture",
    2,
  ]);
  await node.stop();
});

test.each(backends)("a message of BEAM over the %s goes to Node when its node is killed", async (backend) => {
  const { jobs, dead, done } = queues();
  const beam = await consumer(backend, jobs.path, dead.path, done.path);
  jobs.queue.push("keep");
  expect(await done.queue.receive({ timeout: TIMEOUT })).toBe("kept");
  const next = jobs.queue.take({ timeout: TIMEOUT });
  beam.kill("SIGKILL");
  const delivery = await next;
  expect(delivery?.message).toBe("keep");
  expect(delivery?.attempt).toBe(2);
  delivery?.ack();
});

test.each(backends)(
  "a message of Node goes to BEAM over the %s when its process is killed",
  async (backend) => {
    const { jobs, dead, done } = queues();
    jobs.queue.push({ picture: "cat.png" });
    const holder = await started(process.execPath, script("holder.mjs"), jobs.path);
    await consumer(backend, jobs.path, dead.path, done.path);
    holder.kill("SIGKILL");
    expect(await done.queue.receive({ timeout: TIMEOUT })).toEqual([{ picture: "cat.png" }, 2]);
  },
);
