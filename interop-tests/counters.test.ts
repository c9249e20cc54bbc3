import { copyFileSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCounters } from "../src";
import { backends, beam, freshFolder, node, worker } from "./support/runtimes";

const fixture = join(__dirname, "../test/fixtures/counters.bin");
const fixtureValues = [42n, -7n, 2n ** 63n - 1n, -(2n ** 63n)];

test("4 Node processes, 2 workers and 2 BEAM nodes adding to one counter lose no addition", async () => {
  const path = join(freshFolder(), "counters.bin");
  const parties = 4 + 2 + backends.length;
  const times = 250_000;
  const counters = openCounters(path, 2);
  const args = [path, String(times), String(parties)];
  await Promise.all([
    ...Array.from({ length: 4 }, () => node("adder.mjs", ...args)),
    ...Array.from({ length: 2 }, () => worker("adder.mjs", ...args)),
    ...backends.map((backend) => beam(backend, "adder.escript", ...args)),
  ]);
  expect(counters.get(1)).toBe(BigInt(parties));
  expect(counters.get(0)).toBe(2_000_000n);
  counters.close();
});

test.each(backends)(
  "a counters file made by BEAM over the %s is what emmap 2.1.3 writes",
  async (backend) => {
    const path = join(freshFolder(), "counters.bin");
    await beam(backend, "write_counters.escript", path, ...fixtureValues.map(String));
    expect(readFileSync(path)).toEqual(readFileSync(fixture));
  },
);

test("a counters file made by Node is what emmap 2.1.3 writes", () => {
  const path = join(freshFolder(), "counters.bin");
  const counters = openCounters(path, 4);
  for (const [index, value] of fixtureValues.entries()) counters.set(index, value);
  counters.close();
  expect(readFileSync(path)).toEqual(readFileSync(fixture));
});

test.each(backends)(
  "BEAM over the %s and Node read the same values of emmap 2.1.3's file",
  async (backend) => {
    const path = join(freshFolder(), "counters.bin");
    copyFileSync(fixture, path);
    expect(await beam(backend, "read_counters.escript", path)).toBe(fixtureValues.join(" "));
    const counters = openCounters(path);
    expect([...counters]).toEqual(fixtureValues);
    counters.close();
  },
);
