// The testee for the Node package: see README.md.
import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import {
  EMPTY,
  EmmapError,
  open,
  openBlockStorage,
  openCell,
  openCounters,
  openQueue,
  openTable,
} from "emmap";
// Node pops in two steps only where messages in hand have no place.
import addonModule from "../../dist/addon.js";

const { addon } = addonModule;
const files = new Map();
/** Tickets of two-step pops in progress, by file. */
const tickets = new Map();
/** What each file has taken. */
const deliveries = new Map();

/** A number if the value fits in one, because numbers use the fast path in JavaScript. */
const number = (word) => (Number.isSafeInteger(Number(word)) ? Number(word) : BigInt(word));
const bytes = (word) => Buffer.from(word === "-" ? "" : word, "hex");
const hex = (buffer) => (buffer.length === 0 ? "-" : buffer.toString("hex"));

/** The answer for `null`. */
class Answer extends Error {}
const EOF = new Answer("eof");
const NO_BLOCK = new Answer("error enoent");
const or = (value, none) => {
  if (value === null || value === false) throw none;
  return value;
};

/** The core's options, with their names in JavaScript. */
function options(words) {
  return Object.fromEntries(
    words.map((word) => {
      const [name, value] = word.split("=");
      const camel = name.replace(/_([a-z0-9])/g, (_, letter) => letter.toUpperCase());
      if (name === "mode") return [name, Number(value)];
      return [camel, value === undefined ? true : BigInt(value)];
    }),
  );
}

const origin = (file) => (file.existed ? "existed" : "created");

function opened(name, file) {
  files.set(name, file);
  deliveries.set(name, []);
  return file;
}

function begin(queue, name) {
  const room = Buffer.alloc(65_536);
  const ticket = new BigUint64Array(1);
  const length = or(addon.queue_pop_begin(queue.native, room, ticket), EOF);
  tickets.set(name, ticket[0]);
  return hex(room.subarray(0, length));
}

const delivery = (name, index) => deliveries.get(name)[number(index)];

const atomic = (method) => (file, position, value) => file[method](number(position), number(value));
const exchange = (file, position, expected, replacement) =>
  file.compareExchange(number(position), number(expected), number(replacement));
const ENDS = { ok: "ok", "not-equal": "not_equal", "timed-out": "timeout" };
const wait = async (file, position, expected, timeout) =>
  ENDS[await file.wait(number(position), number(expected), { timeout: Number(timeout) })];
const ADVICES = { no_reuse: "noReuse", will_need: "willNeed", dont_need: "dontNeed" };

/** The operations. Each gets the file, its arguments as words, and its name. */
const OPERATIONS = {
  close: (file) => file.close(),
  // JavaScript has its own size for a closed or faulted file; this asks the core.
  size: (file) => {
    file.advise(0, 0, "normal");
    return file.size;
  },
  resize: (file, size) => file.resize(number(size)),
  truncate: (file) => file.truncate(),
  allocate: (file, position, length) => file.allocate(number(position), number(length)),
  advise: (file, position, length, advice) =>
    file.advise(number(position), number(length), ADVICES[advice] ?? advice),
  flush: (file) => file.flush(),
  sync: (file) => file.sync(),
  datasync: (file) => file.datasync(),
  pread: (file, position, length) => hex(or(file.pread(number(position), number(length)), EOF)),
  read: (file, length) => hex(or(file.read(number(length)), EOF)),
  read_line: (file) => hex(or(file.readLine(), EOF)),
  pwrite: (file, position, data) => file.pwrite(number(position), bytes(data)),
  write: (file, data) => file.write(bytes(data)),
  position: (file, offset, whence) => file.position(number(offset), whence),
  patomic_add: atomic("add"),
  patomic_sub: atomic("sub"),
  patomic_and: atomic("and"),
  patomic_or: atomic("or"),
  patomic_xor: atomic("xor"),
  patomic_exchange: atomic("exchange"),
  patomic_compare_exchange: exchange,
  patomic_load: (file, position) => file.load(number(position)),
  patomic_store: atomic("store"),
  counter_add: atomic("add"),
  counter_sub: atomic("sub"),
  counter_set: atomic("set"),
  counter_get: (counters, index) => counters.get(number(index)),
  counter_compare_exchange: exchange,
  wait,
  counter_wait: wait,
  notify: (file, position, count) => file.notify(number(position), number(count)),
  counter_notify: (counters, index, count) => counters.notify(number(index), number(count)),
  queue_push: (queue, message) => queue.push(bytes(message)),
  queue_push_many: (queue, ...messages) => queue.pushMany(messages.slice(0, -1).map(bytes)),
  queue_push_once: (queue, origin, count, ...messages) =>
    queue.pushOnce(bytes(origin), number(count), messages.slice(0, -1).map(bytes)),
  queue_pop: (queue) => hex(or(queue.pop(null), EOF)),
  queue_receive: async (queue, timeout) => {
    const message = await queue.receive({ timeout: Number(timeout) });
    return message === EMPTY ? "timeout" : hex(message);
  },
  queue_pop_many: (queue, limit) => {
    const messages = queue.popMany(number(limit));
    if (messages.length === 0) throw EOF;
    return messages.map(hex);
  },
  queue_pop_begin: begin,
  queue_pop_commit: (queue, name) => addon.queue_pop_commit(queue.native, tickets.get(name)),
  queue_pop_abort: (queue, name) => addon.queue_pop_abort(queue.native, tickets.get(name)),
  queue_take: (queue, name) => {
    const taken = or(queue.tryTake(), EOF);
    deliveries.get(name).push(taken);
    return [taken.attempt, hex(taken.message)];
  },
  queue_ack: (_, index, name) => delivery(name, index).ack(),
  queue_release: (_, index, delay, name) => delivery(name, index).release(number(delay)),
  queue_put_back: (_, index, name) => delivery(name, index).putBack(),
  queue_release_all: (queue) => queue.releaseAll(),
  queue_repair: (queue) => queue.repair(),
  queue_in_hand: (queue) => {
    const all = queue.inHand();
    const released = all.filter((each) => each.released).length;
    return [all.length - released, released];
  },
  queue_peek_front: (queue) => hex(or(queue.peek(null), EOF)),
  queue_peek_back: (queue) => hex(or(queue.peekBack(null), EOF)),
  queue_walk: (queue, direction) => [...(direction === "forward" ? queue : queue.reversed())].map(hex),
  queue_length: (queue) => queue.length(),
  queue_is_empty: (queue) => queue.isEmpty(),
  queue_info: (queue) => {
    const { size, head, tail, nextTail } = queue.info();
    return [size, head, tail, nextTail];
  },
  queue_purge: (queue) => queue.purge(),
  queue_erase: (queue) => queue.erase(),
  queue_compact: (queue) => void queue.compact(),
  block_store: (blocks, block) => blocks.store(bytes(block)),
  block_store_many: (blocks, ...all) => blocks.storeMany(all.slice(0, -1).map(bytes)),
  block_read: (blocks, address) => hex(or(blocks.read(number(address)), NO_BLOCK)),
  block_free: (blocks, address) => void or(blocks.free(number(address)), NO_BLOCK),
  block_free_many: (blocks, ...all) => void or(blocks.freeMany(all.slice(0, -1).map(number)), NO_BLOCK),
  blocks_walk: (blocks) => [...blocks].flatMap(([address, block]) => [address, hex(block)]),
  blocks_count: (blocks) => blocks.count(),
  blocks_info: ({ blockSize, levels, capacity }) => [blockSize, levels, capacity],
  blocks_repair: (blocks, limit) =>
    void (limit === "0" ? blocks.repair() : [...blocks.repairInSteps(number(limit))]),
  blocks_compact: (blocks) => void blocks.compact(),
  cell_publish: (cell, value) => cell.publish(bytes(value)),
  cell_get: (cell) => [hex(or(cell.get() ?? null, EOF)), cell.version],
  cell_version: (cell) => cell.version,
  table_info: ({ capacity, keyBytes, words }) => [capacity, keyBytes, words],
  table_size: (table) => table.size,
  table_repair: (table) => table.repair(),
  table_add: (table, key, word, value) => table.add(bytes(key), number(word), number(value)),
  table_set: (table, key, word, value) => table.set(bytes(key), number(word), number(value)),
  table_get: (table, key, word) => or(table.get(bytes(key), number(word)) ?? null, NO_BLOCK),
  table_compare_exchange: (table, key, word, expected, replacement) =>
    table.compareExchange(bytes(key), number(word), number(expected), number(replacement)),
  table_delete: (table, key) => void or(table.delete(bytes(key)), NO_BLOCK),
  table_hit: (table, key, limit, windowMs, cost) => {
    const hit = table.hit(bytes(key), {
      limit: Number(limit),
      windowMs: Number(windowMs),
      cost: Number(cost),
    });
    return [hit.allowed, hit.used, hit.remaining];
  },
  table_walk: (table) =>
    [...table].map(([key, words]) =>
      hex(Buffer.concat([Buffer.from(new BigInt64Array(words).buffer), Buffer.from(key)])),
    ),
};

const command = join(
  dirname(createRequire(import.meta.url).resolve("emmap/package.json")),
  "dist/cli/emmap.js",
);
const OF_THE_MACHINE = [
  "path",
  "disk",
  "mode",
  "processes",
  "deliveries",
  "writers",
  "process",
  "program",
  "since",
];
const facts = (found) =>
  Object.entries(found)
    .filter(([name]) => !OF_THE_MACHINE.includes(name))
    .map(([name, value]) => `${name}=${String(value).replaceAll(" ", "_")}`)
    .sort();

/** In Node the command looks from outside. */
function inspect(path) {
  const { stdout } = spawnSync(process.execPath, [command, "info", path, "--json"], { encoding: "utf8" });
  if (stdout === "") throw new Answer("error enoent");
  const found = JSON.parse(stdout);
  return [...facts(found), ...found.writers.flatMap((writer) => ["writer", ...facts(writer)])];
}

const OPENERS = {
  inspect,
  open: (name, path, ...rest) => {
    const file = opened(name, open(path, options(rest)));
    return [origin(file), file.size];
  },
  counters_open: (name, path, count, ...rest) =>
    opened(name, openCounters(path, number(count), options(rest))).length,
  queue_open: (name, path, ...rest) => origin(opened(name, openQueue(path, { ...options(rest), raw: true }))),
  blocks_open: (name, path, blockSize, levels, ...rest) =>
    origin(
      opened(
        name,
        openBlockStorage(path, {
          blockSize: number(blockSize),
          levels: Number(levels),
          ...options(rest),
        }),
      ),
    ),
  table_open: (name, path, capacity, keyBytes, words, ...rest) =>
    origin(
      opened(
        name,
        openTable(path, {
          capacity: number(capacity),
          keyBytes: number(keyBytes),
          words: number(words),
          ...options(rest),
        }),
      ),
    ),
  cell_open: (name, path, maxBytes, ...rest) =>
    origin(opened(name, openCell(path, { maxBytes: number(maxBytes), ...options(rest), raw: true }))),
};

async function answer([operation, name, ...words]) {
  try {
    const result = await (Object.hasOwn(OPENERS, operation)
      ? OPENERS[operation](name, ...words)
      : OPERATIONS[operation](files.get(name), ...words, name));
    return ["ok", ...(result === undefined ? [] : [result].flat())].join(" ");
  } catch (error) {
    if (error instanceof Answer) return error.message;
    if (!(error instanceof EmmapError)) throw error;
    const reason = error.code.replace(/^EMMAP_/, "").toLowerCase();
    const structure = /^(queue|block|cell|table)/.test(operation);
    return `error ${reason}${reason === "corrupt" && structure ? ` ${error.offset}` : ""}`;
  }
}

for await (const line of createInterface({ input: process.stdin }))
  console.log(await answer(line.split(" ")));
