import { mkdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openBudget, openCounters } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const boot = BigInt(
  `0x${readFileSync("/proc/sys/kernel/random/boot_id", "utf8").replace("-", "").slice(0, 12)}`,
);
const now = (): bigint => process.hrtime.bigint() / 1_000_000n;

/** A folder as the node leaves it: so many hits, for so many milliseconds. */
function folderWith(hits: number, ms: number, of = boot): string {
  const folder = freshPath();
  mkdirSync(folder);
  using lease = openCounters(join(folder, "leased.bin"), 2);
  lease.set(0, ((now() + BigInt(ms)) << 24n) | BigInt(hits));
  lease.set(1, of);
  return folder;
}

test("there are as many hits as were leased", () => {
  const folder = folderWith(3, 60_000);
  using one = openBudget(folder);
  using other = openBudget(Buffer.from(folder));
  expect(one.left).toBe(3);
  expect([one, other, one, other, one].map((budget) => budget.hit())).toEqual([
    true,
    true,
    true,
    false,
    false,
  ]);
  expect(other.left).toBe(0);
});

test("a lease that is over, or of another boot, has none", async () => {
  using over = openBudget(folderWith(3, -1));
  expect([over.left, over.hit()]).toEqual([0, false]);
  using soon = openBudget(folderWith(3, 30));
  await expect.poll(() => soon.left).toBe(0);
  expect(soon.hit()).toBe(false);
  using another = openBudget(folderWith(3, 60_000, boot + 1n));
  expect(another.hit()).toBe(false);
});

test("the folder must be there", () => {
  expect(thrownBy(() => openBudget(freshPath())).code).toBe("ENOENT");
  const budget = openBudget(folderWith(1, 60_000));
  budget.close();
  budget.close();
  expect(budget.closed).toBe(true);
  expect(thrownBy(() => budget.hit()).code).toBe("EMMAP_CLOSED");
});
