import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { openCounters, openQueue } from "../src";
import { backends, beam, freshFolder, node, script } from "./support/runtimes";

test("3 Node processes and 2 BEAM nodes on one queue get every message once, in each producer's order", async () => {
  const folder = freshFolder();
  const users = 3 + backends.length;
  const times = 500_000 / users;
  const counters = openCounters(join(folder, "counters.bin"), 2);
  const queue = openQueue(join(folder, "shared.q"));
  // The number of messages in a call: one, a few, many. Through the port each call is a round trip.
  const most = [1, 7, 1000];
  const port = 200;
  await Promise.all([
    ...most.map((each, user) =>
      node("queue_user.mjs", folder, String(user), String(users), String(times), String(each)),
    ),
    ...backends.map((backend, i) =>
      beam(
        backend,
        "queue_user.escript",
        folder,
        String(most.length + i),
        String(users),
        String(times),
        String(backend === "port" ? port : 1),
      ),
    ),
  ]);
  expect(queue.isEmpty()).toBe(true);
  queue.close();
  counters.close();

  const seen = Array.from({ length: users }, () => new Uint8Array(times));
  let delivered = 0;
  for (let user = 0; user < users; user++) {
    const bytes = readFileSync(join(folder, `popped.${user}`));
    const last = new Array<number>(users).fill(-1);
    let disorder = 0;
    let fromOthers = 0;
    for (let at = 0; at < bytes.length; at += 8) {
      const producer = bytes.readUInt32LE(at);
      const number = bytes.readUInt32LE(at + 4);
      if (producer !== user) fromOthers++;
      if (number <= (last[producer] as number)) disorder++;
      last[producer] = number;
      const counts = seen[producer] as Uint8Array;
      counts[number] = (counts[number] as number) + 1;
      delivered++;
    }
    expect(disorder, `messages out of order at user ${user}`).toBe(0);
    expect(fromOthers, `messages of others that came to user ${user}`).toBeGreaterThan(0);
  }
  expect(delivered).toBe(users * times);
  for (const producer of seen) expect(producer.every((count) => count === 1)).toBe(true);
});

test("a producer that is killed again and again goes on with its numbers, and each message is there once", async () => {
  const path = join(freshFolder(), "numbered.q");
  using queue = openQueue<number>(path, { values: "json" });
  const popped: number[] = [];
  for (let kills = 0; kills < 10; kills++) {
    const child = spawn(process.execPath, [script("producer.mjs"), path], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    onTestFinished(() => void child.kill("SIGKILL"));
    await once(child.stdout, "data");
    await sleep(10 + Math.random() * 40);
    child.kill("SIGKILL");
    expect(await once(child, "close")).toEqual([null, "SIGKILL"]);
    const more = queue.popMany(1_000_000);
    expect(more.length).toBeGreaterThan(0);
    for (const each of more) popped.push(each);
  }
  expect(popped.findIndex((each, i) => each !== i + 1)).toBe(-1);
  expect(popped.length % 2).toBe(0);
});
