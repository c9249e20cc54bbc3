// Does random operations on a queue and a storage in FOLDER that others use too, until it is killed. It logs each operation
// and each result as a line of FOLDER/ID.log; judge.mjs explains the lines. It ends with KILLER, the process that started
// it. Usage: player.mjs FOLDER ID KILLER
import { openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { openBlockStorage, openQueue } from "emmap";
import { tuple } from "emmap/etf";
import { randomNumbers } from "./random.mjs";

/** As in player.erl, and judge.mjs. */
const BLOCK_SIZE = 32;
const fillerSize = (number) => (number % 16) * 7;
/** The bounds between which the queue's length goes up and down. */
const LONG = 2000;
const SHORT = 50;
/** The number of operations between two reads of the length. */
const LOOK = 64;
/** The most blocks that it keeps. */
const KEPT = 50;

const [folder, name, killer] = process.argv.slice(2);
const id = Number(name);
const random = randomNumbers(id);
const queue = openQueue(join(folder, "queue"));
const storage = openBlockStorage(join(folder, "blocks"), { blockSize: BLOCK_SIZE });
const log = openSync(join(folder, `${id}.log`), "a");
const note = (...words) => writeSync(log, `${words.join(" ")}\n`);

const blocks = [];
let messages = 0;
let stores = 0;

const message = (number) => tuple(id, number, Buffer.alloc(fillerSize(number), id & 255));

function block(number) {
  const bytes = Buffer.alloc(BLOCK_SIZE, (id + number) & 255);
  bytes.writeUInt32LE(id, 0);
  bytes.writeUInt32LE(number, 4);
  return bytes;
}

function meet({ elements: [producer, number, filler] }) {
  if (!filler.equals(Buffer.alloc(fillerSize(number), producer & 255)))
    note("wrong", "message", producer, number);
  return [producer, number];
}

function push() {
  const count = 1 + random(4);
  note("push", messages, count);
  const list = Array.from({ length: count }, (_, i) => message(messages + i));
  if (count === 1) queue.push(list[0]);
  else queue.pushMany(list);
  messages += count;
  note("pushed");
}

/** Calls `remove`. False: another process is removing a message, or there is none. */
function unlessBusy(remove) {
  try {
    return remove() !== null;
  } catch (error) {
    if (error.code !== "EBUSY") throw error;
    return false;
  }
}

function take() {
  note("take");
  const taken = unlessBusy(() => queue.tryPop((found) => note("taken", ...meet(found)), null));
  note(taken ? "committed" : "nothing");
}

function pop() {
  note("pop");
  let found = null;
  const popped = unlessBusy(() => {
    found = queue.pop(null);
    return found;
  });
  if (popped) note("popped", ...meet(found));
  else note("nothing");
}

function store() {
  const number = stores++;
  note("store", number);
  const address = storage.store(block(number));
  note("stored", address);
  blocks.push([address, number]);
}

function read() {
  const [address, number] = blocks[random(blocks.length)];
  if (!storage.read(address)?.equals(block(number))) note("wrong", "block", address, number);
}

function free() {
  const [[address, number]] = blocks.splice(random(blocks.length), 1);
  note("free", number);
  if (storage.free(address)) note("freed");
  else note("wrong", "free", address, number);
}

process.stdout.write("ready\n");
let filling = true;
for (let turn = 0; ; turn++) {
  if (turn % LOOK === 0) {
    // The process that should kill it has ended.
    if (process.ppid !== Number(killer)) process.exit();
    const { length } = queue;
    filling = length < SHORT || (filling && length < LONG);
  }
  if (random(3) > 0) {
    if (random(4) < (filling ? 3 : 1)) push();
    else if (random(4) > 0) take();
    else pop();
  } else if (blocks.length === 0) store();
  else if (random(3) === 0) read();
  else if (random(KEPT) < blocks.length) free();
  else store();
}
