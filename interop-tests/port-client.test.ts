import { join } from "node:path";
import { expect, test } from "vitest";
import { open, openBlockStorage, openCounters, openQueue } from "../src";
import { atom, tuple } from "../src/etf";
import { freshFolder, run, script } from "./support/runtimes";

const program = join(__dirname, "../erlang/_build/default/lib/emmap/priv/emmap_port");

test("a client in Python, written from the protocol's page, shares files with Node", async () => {
  const folder = freshFolder();
  expect(await run("python3", [script("port_client.py"), program, folder])).toBe("ok");
  using file = open(join(folder, "plain.bin"));
  expect(file.pread(10, 5)).toEqual(Buffer.from("hello"));
  using counters = openCounters(join(folder, "counters.bin"), 3);
  expect([...counters]).toEqual([0n, 42n, 0n]);
  using queue = openQueue(join(folder, "queue.bin"));
  expect([...queue]).toEqual([atom("two"), tuple(3, Buffer.from("three"))]);
  using blocks = openBlockStorage(join(folder, "blocks.bin"), { levels: 2 });
  expect([...blocks].map(([, block]) => block.toString()).sort()).toEqual(
    [0, 1, 2, 4].map((number) => `0000000${number}`),
  );
});
