import { existsSync, mkdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { inspect } from "node:util";
import { expect, test } from "vitest";
import { ClusterCounters, openClusterCounters, openCounters } from "../src";
import { thrownBy } from "./support/errors";
import { descriptorsOf, freshPath } from "./support/files";

test("a value is what this host has added, and what the others have", () => {
  const folder = freshPath();
  using counters = openClusterCounters(folder, 4);
  counters.add(0, 5);
  counters.add(0, 2n);
  counters.sub(1, 3);
  using others = openCounters(join(folder, "others.bin"));
  others.add(0, 100);
  others.set(2, 2n ** 63n - 1n);
  counters.add(2, 1);
  expect([...counters]).toEqual([107n, -3n, -(2n ** 63n), 0n]);
  expect(counters.get(0n)).toBe(107n);
  using own = openCounters(join(folder, "own.bin"));
  expect([...own]).toEqual([7n, -3n, 1n, 0n]);
});

test("with a count the folder is made, without one it must be there", () => {
  const folder = freshPath();
  expect(thrownBy(() => openClusterCounters(folder)).code).toBe("ENOENT");
  for (const count of [2 ** 24 + 1, 2n ** 25n])
    expect(thrownBy(() => openClusterCounters(folder, count)).code).toBe("ERR_OUT_OF_RANGE");
  expect(existsSync(folder)).toBe(false);
  mkdirSync(folder);
  expect(thrownBy(() => openClusterCounters(folder)).code).toBe("ENOENT");
  openClusterCounters(folder, 4, { mode: 0o640 }).close();
  expect(statSync(join(folder, "own.bin")).mode & 0o777).toBe(0o640);
  for (const path of [folder, Buffer.from(folder), pathToFileURL(folder)]) {
    using counters = ClusterCounters.open(path);
    expect([counters.length, counters.path]).toEqual([4, folder]);
    expect(thrownBy(() => counters.add(4, 1)).code).toBe("EINVAL");
    expect(thrownBy(() => counters.get(-1)).code).toBe("EINVAL");
  }
  expect(thrownBy(() => openClusterCounters(folder, 5)).code).toBe("EINVAL");
});

test("the status tells whether the node runs, and whom it sees", () => {
  const folder = freshPath();
  using counters = openClusterCounters(folder, 1);
  expect(counters.status()).toEqual({ beat: undefined, connected: 0, known: 0 });
  using status = openCounters(join(folder, "status.bin"));
  status.set(0, 1_700_000_000_000n);
  status.set(1, 2);
  status.set(2, 3);
  expect(counters.status()).toEqual({ beat: new Date(1_700_000_000_000), connected: 2, known: 3 });
  expect(inspect(counters)).toContain("connected: 2");
});

test("closing gives the files back", async () => {
  const folder = freshPath();
  const counters = openClusterCounters(folder, 2);
  counters.add(0, 1);
  await counters.sync();
  expect([descriptorsOf(join(folder, "own.bin")) > 0, counters.closed]).toEqual([true, false]);
  counters.close();
  counters.close();
  expect(counters.closed).toBe(true);
  for (const name of ["own.bin", "others.bin", "status.bin"])
    expect(descriptorsOf(join(folder, name))).toBe(0);
  expect(thrownBy(() => counters.get(0)).code).toBe("EMMAP_CLOSED");
  expect(inspect(counters)).toBe(`ClusterCounters(2) ${inspect({ path: folder, closed: true })}`);
});
