// Does with files what it is told by its input, a command a line, and answers each with a line: `ok`, the microseconds
// that the work took, and what came out; or `error` and the name of the error as Erlang has it. A file is known by its
// path once it is open.
//
//   queue PATH SIZE OPTION...      opens a queue of SIZE bytes; OPTION: exclusive, fixed_size
//   blocks PATH SIZE OPTION...     opens a storage of blocks of 16 bytes
//   counters PATH COUNT            opens counters
//   file PATH SIZE                 opens a file
//   close PATH
//   push PATH FIRST COUNT          pushes the messages that carry the numbers from FIRST on, one by one
//   pop PATH                       removes all messages: their numbers
//   room PATH                      pushes until the queue is full, and empties it: how many messages that were
//   store PATH FIRST COUNT         stores blocks as push does messages: their addresses
//   free PATH ADDRESS...
//   walk PATH                      all blocks: ADDRESS:NUMBER...
//   space PATH                     stores until the storage is full, and frees those blocks: how many they were
//   count PATH INDEX VALUE         adds to a counter: what it was before
//   add PATH POSITION VALUE        adds to a word of a file: what it was before
//   whereabouts                    the process id, and the namespace of process ids, that this process has
import { readlinkSync } from "node:fs";
import { createInterface } from "node:readline";
import { EmmapError, open, openBlockStorage, openCounters, openQueue } from "emmap";

const MESSAGE_SIZE = 18;
const BLOCK_SIZE = 16;
const LEVELS = 2;

const files = new Map();

/** A number and bytes that follow from it, so that a torn one shows. */
function bytesOf(number, size) {
  const bytes = Buffer.alloc(size);
  bytes.writeBigUInt64LE(BigInt(number));
  for (let i = 8; i < size; i++) bytes[i] = (number * 31 + i) & 255;
  return bytes;
}

function numberIn(bytes) {
  const number = Number(bytes.readBigUInt64LE());
  if (!bytes.equals(bytesOf(number, bytes.length))) throw new Error("torn");
  return number;
}

function repeatUntilFull(step) {
  for (let count = 0; ; count++) {
    try {
      step();
    } catch (error) {
      if (error.code !== "EMMAP_FULL") throw error;
      return count;
    }
  }
}

function options(words) {
  return { exclusive: words.includes("exclusive"), fixedSize: words.includes("fixed_size") };
}

function numbers(first, count) {
  return Array.from({ length: Number(count) }, (_, i) => Number(first) + i);
}

const commands = {
  queue(path, size, ...words) {
    files.set(path, openQueue(path, { size: Number(size), ...options(words) }));
  },
  blocks(path, size, ...words) {
    const shape = { blockSize: BLOCK_SIZE, levels: LEVELS, size: Number(size) };
    files.set(path, openBlockStorage(path, { ...shape, ...options(words) }));
  },
  counters(path, count) {
    files.set(path, openCounters(path, Number(count)));
  },
  file(path, size) {
    files.set(path, open(path, { write: true, create: true, size: Number(size) }));
  },
  close(path) {
    files.get(path).close();
    files.delete(path);
  },
  push(path, first, count) {
    for (const number of numbers(first, count)) files.get(path).push(bytesOf(number, MESSAGE_SIZE));
  },
  pop(path) {
    const queue = files.get(path);
    const found = [];
    for (let message = queue.pop(); message !== null; message = queue.pop()) found.push(numberIn(message));
    return found;
  },
  room(path) {
    const queue = files.get(path);
    const count = repeatUntilFull(() => queue.push(bytesOf(0, MESSAGE_SIZE)));
    queue.purge();
    return [count];
  },
  store(path, first, count) {
    return numbers(first, count).map((number) => files.get(path).store(bytesOf(number, BLOCK_SIZE)));
  },
  free(path, ...addresses) {
    for (const address of addresses)
      if (!files.get(path).free(Number(address))) throw new Error(`nothing at ${address}`);
  },
  walk(path) {
    return Array.from(files.get(path), ([address, block]) => `${address}:${numberIn(block)}`);
  },
  space(path) {
    const storage = files.get(path);
    const addresses = [];
    repeatUntilFull(() => addresses.push(storage.store(bytesOf(0, BLOCK_SIZE))));
    if (!storage.freeMany(addresses)) throw new Error("an address was given out twice");
    return [addresses.length];
  },
  count(path, index, value) {
    return [files.get(path).add(Number(index), BigInt(value))];
  },
  add(path, position, value) {
    return [files.get(path).add(Number(position), BigInt(value))];
  },
  whereabouts() {
    return [process.pid, readlinkSync("/proc/self/ns/pid")];
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [command, ...words] = line.split(" ");
  const begun = process.hrtime.bigint();
  try {
    const result = commands[command](...words) ?? [];
    const microseconds = (process.hrtime.bigint() - begun) / 1000n;
    process.stdout.write(`${["ok", microseconds, ...result].join(" ")}\n`);
  } catch (error) {
    if (!(error instanceof EmmapError)) throw error;
    process.stdout.write(`error ${error.code.replace("EMMAP_", "").toLowerCase()}\n`);
  }
}
