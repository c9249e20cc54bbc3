// A block storage on Node beside two embedded databases that store bytes by number. None waits for the disk.
//
//   make && node bench/node/blocks.mjs [--quick]
//
// A block is stored, read and freed while BACKLOG others are there. The databases are set up as in queue.mjs.

import { createRequire } from "node:module";
import { join } from "node:path";
import { openBlockStorage } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const BACKLOG = 1000;
const block = Buffer.alloc(64, 1);
const records = section("Block storages");
const require = createRequire(import.meta.url);

function emmap(name, options) {
  const blocks = openBlockStorage(join(folder, name), { blockSize: block.length, ...options });
  blocks.storeMany(new Array(BACKLOG).fill(block));
  return {
    all(times) {
      for (let i = 0; i < times; i++) {
        const address = blocks.store(block);
        kept.value = blocks.read(address);
        blocks.free(address);
      }
    },
    storeAndFree(times) {
      for (let i = 0; i < times; i++) blocks.free(blocks.store(block));
    },
  };
}

function sqlite() {
  const Database = require("better-sqlite3");
  const database = new Database(join(folder, "sqlite"));
  for (const pragma of ["journal_mode = WAL", "synchronous = OFF", "locking_mode = EXCLUSIVE"])
    database.pragma(pragma);
  database.exec("CREATE TABLE blocks (id INTEGER PRIMARY KEY, body BLOB)");
  const store = database.prepare("INSERT INTO blocks (body) VALUES (?)");
  const read = database.prepare("SELECT body FROM blocks WHERE id = ?");
  const free = database.prepare("DELETE FROM blocks WHERE id = ?");
  for (let i = 0; i < BACKLOG; i++) store.run(block);
  return (times) => {
    for (let i = 0; i < times; i++) {
      const { lastInsertRowid: id } = store.run(block);
      kept.value = read.get(id).body;
      free.run(id);
    }
  };
}

function lmdb() {
  const { open } = require("lmdb");
  const database = open({
    path: join(folder, "lmdb"),
    noSync: true,
    compression: false,
    encoding: "binary",
  });
  let last = 0;
  for (let i = 0; i < BACKLOG; i++) database.putSync(++last, block);
  return (times) => {
    for (let i = 0; i < times; i++) {
      const id = ++last;
      database.putSync(id, block);
      kept.value = database.getBinary(id);
      database.removeSync(id);
    }
  };
}

const peers = Object.entries({
  "better-sqlite3": await able(records, "better-sqlite3", sqlite),
  lmdb: await able(records, "lmdb", lmdb),
}).filter(([, peer]) => peer);
const exclusive = emmap("exclusive", { write: true, create: true, exclusive: true });
const shared = emmap("shared", {});
const ratio = race(
  {
    exclusive: exclusive.all,
    shared: shared.all,
    "exclusive, no read": exclusive.storeAndFree,
    "shared, no read": shared.storeAndFree,
    copies(times) {
      for (let i = 0; i < times; i++) kept.value = Buffer.from(Buffer.from(block));
    },
    ...Object.fromEntries(peers),
  },
  { rounds: 101 },
);
records.ratio(
  "Node store + free of 64 B, shared",
  ratio("shared, no read", "exclusive, no read"),
  "the same, exclusive",
  { limit: "at most 1.4" },
);
for (const way of ["exclusive", "shared"]) {
  const operation = `Node store + read + free of 64 B, ${way}`;
  records.ratio(operation, ratio(way, "copies"), "two copies of a Buffer");
  for (const [name] of peers) records.ratio(operation, ratio(name, way), name, { sense: "times as fast" });
}
