// A queue of terms on Node beside two embedded databases used as queues. None waits for the disk.
//
//   npm run build && npm ci --prefix bench && node bench/node/queue.mjs [--quick]
//
// A round pushes a job and pops the oldest one, with BACKLOG others between them; then the same with 64 at a time. The
// databases have their best settings. SQLite has a write-ahead log that is never synced, the file for itself, and prepared
// statements. lmdb does not sync. Both store the message in the faster of JSON and MessagePack. "shared" is SQLite with its
// usual settings. A peer that could not be built is left out.

import { mkdtempSync, rmSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atom, decode, encode, tuple } from "../../dist/etf/index.mjs";
import { openQueue } from "../../dist/index.mjs";
import { able, section } from "../harness/records.mjs";
import { kept, race } from "../harness/rounds.mjs";

const records = section("Queues");

const BACKLOG = 100;
const BATCH = 64;
const faster = { sense: "times as fast" };

const require = createRequire(import.meta.url);
const folder = mkdtempSync(join(tmpdir(), "emmap-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const term = tuple(
  atom("job"),
  81274,
  atom("send_mail"),
  [tuple(atom("to"), "grace@example.org"), tuple(atom("retries"), 3)],
  atom("high"),
);
const plain = ["job", 81274, "send_mail", { to: "grace@example.org", retries: 3 }, "high"];

const fill = (push) => {
  for (let i = 0; i < BACKLOG; i++) push();
};

function emmap(name, options) {
  const queue = openQueue(join(folder, name), { size: 1 << 20, ...options });
  fill(() => queue.push(term));
  const terms = new Array(BATCH).fill(term);
  return {
    one(times) {
      for (let i = 0; i < times; i++) {
        queue.push(term);
        kept.value = queue.pop();
      }
    },
    many(times) {
      for (let i = 0; i < times; i++) {
        queue.pushMany(terms);
        kept.value = queue.popMany(BATCH);
      }
    },
  };
}

function sqlite(file, ...pragmas) {
  const Database = require("better-sqlite3");
  const database = new Database(join(folder, file));
  for (const pragma of ["journal_mode = WAL", ...pragmas]) database.pragma(pragma);
  database.exec("CREATE TABLE queue (id INTEGER PRIMARY KEY, body TEXT)");
  const push = database.prepare("INSERT INTO queue (body) VALUES (?)");
  const pop = database.prepare(
    "DELETE FROM queue WHERE id = (SELECT id FROM queue ORDER BY id LIMIT 1) RETURNING body",
  );
  const take = () => JSON.parse(pop.get().body);
  const put = () => push.run(JSON.stringify(plain));
  const pushMany = database.transaction(() => {
    for (let i = 0; i < BATCH; i++) put();
  });
  const popMany = database.transaction(() => Array.from({ length: BATCH }, take));
  fill(put);
  return {
    one(times) {
      for (let i = 0; i < times; i++) {
        put();
        kept.value = take();
      }
    },
    many(times) {
      for (let i = 0; i < times; i++) {
        pushMany();
        kept.value = popMany();
      }
    },
  };
}

function lmdb() {
  const { open } = require("lmdb");
  const database = open({ path: join(folder, "lmdb"), noSync: true, compression: false });
  let last = 0;
  const put = () => database.putSync(++last, plain);
  const take = () => {
    for (const { key, value } of database.getRange({ limit: 1 })) {
      database.removeSync(key);
      return value;
    }
  };
  const pop = () => database.transactionSync(take);
  fill(put);
  return {
    one(times) {
      for (let i = 0; i < times; i++) {
        put();
        kept.value = pop();
      }
    },
    many(times) {
      for (let i = 0; i < times; i++) {
        database.transactionSync(() => {
          for (let n = 0; n < BATCH; n++) put();
        });
        kept.value = database.transactionSync(() => Array.from({ length: BATCH }, take));
      }
    },
  };
}

const floor = (times) => {
  for (let i = 0; i < times; i++) kept.value = decode(encode(term));
};
const exclusive = emmap("exclusive", { write: true, create: true, exclusive: true });
const shared = emmap("shared", {});
const peers = Object.entries({
  "better-sqlite3": await able(records, "better-sqlite3", () =>
    sqlite("tuned.sqlite", "synchronous = OFF", "locking_mode = EXCLUSIVE"),
  ),
  "better-sqlite3 (shared)": await able(records, "better-sqlite3", () =>
    sqlite("usual.sqlite", "synchronous = NORMAL"),
  ),
  lmdb: await able(records, "lmdb", lmdb),
}).filter(([, peer]) => peer);

{
  const ratio = race({
    exclusive: exclusive.one,
    shared: shared.one,
    floor,
    ...Object.fromEntries(peers.map(([name, peer]) => [name, peer.one])),
  });
  records.ratio("Node push + pop, exclusive", ratio("exclusive", "floor"), "encode + decode alone");
  records.ratio("Node push + pop, shared", ratio("shared", "floor"), "encode + decode alone", {
    limit: "at most 1.9",
  });
  for (const [name] of peers) {
    const more = name === "better-sqlite3" ? { limit: "at least 10" } : faster;
    records.ratio("Node push + pop, exclusive", ratio(name, "exclusive"), name, more);
    records.ratio("Node push + pop, shared", ratio(name, "shared"), name, faster);
  }
}
{
  const ratio = race({
    exclusive: exclusive.many,
    shared: shared.many,
    ...Object.fromEntries(peers.map(([name, peer]) => [name, peer.many])),
  });
  for (const [name] of peers) {
    records.ratio(`Node push + pop of ${BATCH}, exclusive`, ratio(name, "exclusive"), name, faster);
    records.ratio(`Node push + pop of ${BATCH}, shared`, ratio(name, "shared"), name, faster);
  }
}
