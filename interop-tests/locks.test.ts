// A process is stopped while it has a queue's lock. Others wait for it, each up to its own limit. Work that needs no lock of
// the queue goes on.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import { expect, onTestFinished, test } from "vitest";
import { EMPTY, openQueue } from "../src";
import { backends, ebin, freshFolder, script } from "./support/runtimes";
import { pointsWithLock, type Report, Victim } from "./torture/support/victim.mjs";

/** A process that pushes some messages, and can be stopped while it has the lock. */
async function victim(
  folder: string,
): Promise<{ stopOn(path: string): Promise<void>; goOn(): Promise<Report> }> {
  const peer = new Victim();
  onTestFinished(() => peer.kill());
  const points = await pointsWithLock(peer, "queue-traffic", join(folder, "points"));
  const [point, pause] = [...points].find(([name]) => name.startsWith("queue_push")) ?? [];
  expect(point).toBeDefined();
  return {
    stopOn: async (path) => void (await peer.order("stop", "queue-traffic", pause as number, path)),
    goOn: () => peer.order("continue"),
  };
}

/** A process that prints a line when it is ready, and then one line for each line of input. */
function talkTo(command: string, args: string[]) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    next: async () => (await lines.next()).value as string,
    send: () => void child.stdin.write("\n"),
  };
}

test.each(backends)("BEAM over the %s goes on with all else while twenty processes wait", async (backend) => {
  const folder = freshFolder();
  const path = join(folder, "queue");
  const holder = await victim(folder);
  const beam = talkTo("escript", [script("locked.escript"), ebin, backend, path]);
  expect(await beam.next()).toBe("ready");
  await holder.stopOn(path);
  beam.send();
  const [owners, ...numbers] = (await beam.next()).split(" ");
  const [timeouts, pushed, shortest, longest, others] = numbers.map(Number);
  expect(owners).toBe("victim");
  expect([timeouts, pushed]).toEqual([20, 0]);
  expect(shortest).toBeGreaterThanOrEqual(500);
  expect(longest).toBeLessThan(2500);
  expect(others).toBeLessThan(250);
  const { begun } = await holder.goOn();
  expect(await beam.next()).toBe("ready");
  beam.send();
  expect((await beam.next()).split(" ").slice(1, 3)).toEqual(["0", "20"]);
  using queue = openQueue(path, { raw: true });
  expect(queue.length()).toBe(begun.next - begun.first + 20);
});

test("a port program of version 2 serves other files, and keeps the order, while one waits for a lock", async () => {
  const folder = freshFolder();
  const path = join(folder, "queue");
  const holder = await victim(folder);
  const program = join(__dirname, "../erlang/_build/default/lib/emmap/priv/emmap_port");
  const client = talkTo("python3", [script("port_locked.py"), program, folder, path]);
  expect(await client.next()).toBe("ready");
  for (const [while_it_waits, then] of [
    ["waits", "done"],
    ["ended", "exited"],
  ]) {
    await holder.stopOn(path);
    client.send();
    expect(await client.next()).toBe(while_it_waits);
    await holder.goOn();
    if (then === "done") client.send();
    expect(await client.next()).toBe(then);
  }
  using queue = openQueue(path, { raw: true });
  expect([...queue].at(-1)).toEqual(Buffer.from("message6"));
});

test("Node waits for as long as it is told to, and the holder goes on unharmed", async () => {
  const folder = freshFolder();
  const path = join(folder, "queue");
  const holder = await victim(folder);
  using queue = openQueue(path, { raw: true, lockTimeout: 200 });
  using hasty = openQueue(path, { raw: true, lockTimeout: 0 });
  await holder.stopOn(path);
  const begun = performance.now();
  expect(() => queue.push("12345678")).toThrow(expect.objectContaining({ code: "ETIMEDOUT" }));
  const took = performance.now() - begun;
  expect(took).toBeGreaterThanOrEqual(199);
  expect(took).toBeLessThan(1500);
  expect(() => hasty.push("12345678")).toThrow(expect.objectContaining({ code: "ETIMEDOUT" }));
  const writers = queue.writers();
  expect(writers.map(({ process }) => process)).toContain(process.pid);
  const owner = writers.filter(({ hasLock }) => hasLock);
  expect(owner).toHaveLength(1);
  expect(owner[0]?.program).toBe("victim");
  await expect(queue.sync()).rejects.toMatchObject({ code: "ETIMEDOUT" });
  expect(() => openQueue(path, { lockTimeout: 50 })).toThrow(expect.objectContaining({ code: "ETIMEDOUT" }));
  const report = await holder.goOn();
  await queue.sync();
  queue.push("12345678");
  hasty.push("12345678");
  expect(queue.length()).toBe(report.begun.next - report.begun.first + 2);
});

test("a worker that waits ends when it is terminated", async () => {
  const folder = freshFolder();
  const path = join(folder, "queue");
  const holder = await victim(folder);
  openQueue(path).close();
  const shared = new SharedArrayBuffer(4);
  const told = new Int32Array(shared);
  const worker = new Worker(script("locked.mjs"), { workerData: { path, shared } });
  onTestFinished(() => void worker.terminate());
  await once(worker, "message");
  await holder.stopOn(path);
  Atomics.store(told, 0, 1);
  Atomics.notify(told, 0);
  await sleep(100);
  const begun = performance.now();
  await worker.terminate();
  expect(performance.now() - begun).toBeLessThan(1000);
  expect(told[0]).toBe(1);
  await holder.goOn();
});

test("who waits for a message in Node holds nothing up while a stopped process has the lock", async () => {
  const folder = freshFolder();
  const path = join(folder, "queue");
  const holder = await victim(folder);
  using queue = openQueue(path, { raw: true });
  // A pop from an empty queue takes no lock.
  for (let i = 0; i < 10; i++) queue.push("12345678");
  await holder.stopOn(path);
  let turns = 0;
  const turning = setInterval(() => turns++, 1);
  const begun = performance.now();
  expect(await queue.receive({ timeout: 300 })).toBe(EMPTY);
  expect(performance.now() - begun).toBeLessThan(2000);
  clearInterval(turning);
  // The queue's own limit is 5 s; the event loop would have stood still that long.
  expect(turns).toBeGreaterThan(20);
  const receiving = queue.receive();
  await holder.goOn();
  expect(await receiving).toBeInstanceOf(Buffer);
});
