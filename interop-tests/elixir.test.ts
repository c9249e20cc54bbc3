import { join } from "node:path";
import { expect, test } from "vitest";
import { openCounters } from "../src";
import { backends, ebin, freshFolder, run, script } from "./support/runtimes";

test.each(backends)("Elixir over the %s adds to counters that Node has open", async (backend) => {
  const path = join(freshFolder(), "counters.bin");
  const counters = openCounters(path, 3);
  counters.set(1, 40n);
  const elixir = run("elixir", [script("elixir_counters.exs"), ebin, backend, path, "1000"]);
  for (let i = 0; i < 1000; i++) counters.add(2, 1);
  await elixir;
  expect([...counters]).toEqual([1000n, 1040n, 2000n]);
  counters.close();
});
