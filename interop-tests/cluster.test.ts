// A host of a cluster: a BEAM node and a Node process on one folder of counters, and on one budget.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openBudget, openClusterCounters, openCounters } from "emmap";
import { expect, onTestFinished, test } from "vitest";
import { backends, ebin, freshFolder, script } from "./support/runtimes";

test.each(backends)(
  "both runtimes add to a cluster's counters and take hits of a budget, over the %s",
  async (backend) => {
    const folder = freshFolder();
    // Node may come first.
    using hits = openClusterCounters(join(folder, "hits"), 4);
    hits.add(0, 1);
    const host = spawn("escript", [script("cluster_host.escript"), ebin, backend, folder], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    onTestFinished(() => void host.kill("SIGKILL"));
    const lines = createInterface(host.stdout)[Symbol.asyncIterator]();
    const line = async (): Promise<string> => (await lines.next()).value as string;
    expect(await line()).toBe("ready");

    using mails = openBudget(join(folder, "mails"));
    expect(mails.left).toBe(100);
    expect(Array.from({ length: 40 }, () => mails.hit())).toEqual(Array(40).fill(true));
    hits.add(0, 1);
    host.stdin.write("\n");
    expect(await line()).toBe("102 30");
    expect(hits.get(0)).toBe(102n);
    // The node leases more as it is used, and no more than the limit of 200.
    let rest = 0;
    const took = (): number => {
      while (mails.hit()) rest++;
      return rest;
    };
    await expect.poll(took).toBe(130);
    await sleep(300);
    expect(took()).toBe(130);

    await expect.poll(() => hits.status().beat).toBeInstanceOf(Date);
    expect(hits.status()).toMatchObject({ connected: 0, known: 0 });
    hits.add(1, 7);
    const ended = once(host, "close");
    host.stdin.end();
    expect(await ended).toEqual([0, null]);
    // The last word of the node is in its folder.
    using own = openCounters(join(folder, "hits/own.bin"));
    expect([...own]).toEqual([102n, 7n, 0n, 0n]);
  },
);
