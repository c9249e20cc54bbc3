import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openBlockStorage, openCounters } from "../src";
import { backends, beam, freshFolder, node } from "./support/runtimes";
import { BLOCK_SIZE } from "./support/shared_layout.mjs";

test("3 Node processes and 2 BEAM nodes on one storage are given no block twice, and lose none", async () => {
  const folder = freshFolder();
  const users = 3 + backends.length;
  const times = 500_000 / users;
  const counters = openCounters(join(folder, "counters.bin"), 2);
  const blocks = openBlockStorage(join(folder, "shared.blocks"), { blockSize: BLOCK_SIZE });
  const most = [1, 7, 100];
  const port = 100;
  await Promise.all([
    ...most.map((each, user) =>
      node("storage_user.mjs", folder, String(user), String(users), String(times), String(each)),
    ),
    ...backends.map((backend, i) =>
      beam(
        backend,
        "storage_user.escript",
        folder,
        String(most.length + i),
        String(users),
        String(times),
        String(backend === "port" ? port : 1),
      ),
    ),
  ]);

  const expected = new Map<number, string>();
  let held = 0;
  for (let user = 0; user < users; user++) {
    const bytes = readFileSync(join(folder, `held.${user}`));
    expect(bytes.length).toBeGreaterThan(0);
    for (let at = 0; at < bytes.length; at += 8) {
      expected.set(bytes.readUInt32LE(at), `${user} ${bytes.readUInt32LE(at + 4)}`);
      held++;
    }
  }
  expect(expected.size, "addresses that are held once").toBe(held);
  const found = new Map(
    [...blocks].map(([address, block]) => [address, `${block.readUInt32LE(0)} ${block.readUInt32LE(4)}`]),
  );
  expect(found).toEqual(expected);
  expect(blocks.count()).toBe(held);
  blocks.close();
  counters.close();
});
