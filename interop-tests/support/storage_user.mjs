// Stores TIMES blocks in a shared storage. Later it reads each block again and frees it. The last blocks stay; it writes their
// addresses and numbers to a file, 32 bits each.
// Usage: storage_user.mjs FOLDER USER USERS TIMES MOST; it stores and frees up to MOST blocks at once.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { openBlockStorage, openCounters } from "emmap";
import { ARRIVED, BLOCK_SIZE, KEPT } from "./shared_layout.mjs";

const [folder, ...numbers] = process.argv.slice(2);
const [user, users, times, most] = numbers.map(Number);
const counters = openCounters(join(folder, "counters.bin"));
const blocks = openBlockStorage(join(folder, "shared.blocks"), { blockSize: BLOCK_SIZE });
/** Addresses, with the numbers of the blocks, in the order in which they were stored. */
const held = new Map();

const block = (number) => Buffer.from(new Uint32Array([user, number]).buffer);

function store(from, count) {
  const stored = Array.from({ length: count }, (_, i) => block(from + i));
  const addresses = count === 1 ? [blocks.store(stored[0])] : blocks.storeMany(stored);
  for (const [i, address] of addresses.entries()) {
    if (held.has(address)) throw new Error(`address ${address} was given out though it is in use`);
    held.set(address, from + i);
  }
}

function free(count) {
  const oldest = [...take(held, count)];
  for (const [address, number] of oldest) {
    if (!blocks.read(address)?.equals(block(number)))
      throw new Error(`block ${number} is not what was stored at ${address}`);
    held.delete(address);
  }
  const addresses = oldest.map(([address]) => address);
  if (!(count === 1 ? blocks.free(addresses[0]) : blocks.freeMany(addresses)))
    throw new Error(`one of ${addresses} was freed by somebody else`);
}

function* take(entries, count) {
  for (const entry of entries) {
    if (count-- === 0) return;
    yield entry;
  }
}

counters.add(ARRIVED, 1);
while (counters.get(ARRIVED) < BigInt(users)) await sleep(1);
for (let stored = 0; stored < times; ) {
  const count = Math.min(1 + (stored % most), times - stored);
  store(stored, count);
  stored += count;
  if (held.size > KEPT) free(Math.min(held.size - KEPT, count));
}
blocks.close();
counters.close();
writeFileSync(join(folder, `held.${user}`), new Uint32Array([...held].flat()));
