// The Node half of `make demo`. Usage: node node.mts FIXTURE FOLDER ROUNDS ADDS
// Prints one JSON object a line, for run.mts to show.
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { inspect } from "node:util";
import { openBlockStorage, openCounters, openQueue } from "emmap";
import { atom, Float, ImproperList, tuple } from "emmap/etf";
import { ARRIVED, BEAM, BLOCK_SIZE, FINISHED, NODE, TOTAL } from "./layout.mts";

const [fixture, folder, rounds, adds] = process.argv.slice(2) as [string, string, string, string];

const say = (message: object): void =>
  console.log(JSON.stringify(message, (_, v) => (typeof v === "bigint" ? String(v) : v)));

/** Counts this half, and waits for the other one. */
async function meet(counter: number): Promise<void> {
  counters.add(counter, 1);
  counters.notify(counter);
  while (counters.get(counter) < 2n) await counters.wait(counter, 1n);
}

const upstream = openCounters(fixture);
say({ event: "fixture", values: [...upstream] });
upstream.close();

const counters = openCounters(join(folder, "counters.bin"));
await meet(ARRIVED);

for (let round = 0; round < Number(rounds); round++) {
  for (let i = 0; i < Number(adds); i++) {
    counters.add(TOTAL, 1);
    counters.add(NODE, 1);
  }
  say({
    event: "progress",
    mine: counters.get(NODE),
    theirs: counters.get(BEAM),
    total: counters.get(TOTAL),
  });
  await sleep(30);
}

await meet(FINISHED);
say({ event: "final", values: [counters.get(TOTAL), counters.get(BEAM), counters.get(NODE)] });
counters.close();

const outbox = openQueue(join(folder, "to-beam.queue"));
const inbox = openQueue(join(folder, "to-node.queue"));
const blocks = openBlockStorage(join(folder, "blocks.bin"), { blockSize: BLOCK_SIZE });

// The other half knows these atoms. BEAM makes no new atoms when it reads a message, unless an option allows it.
outbox.pushMany([
  tuple(atom("job"), 42, "resize"),
  2n ** 64n,
  new Float(1),
  new Map([[atom("state"), atom("done")]]),
  new ImproperList([1, 2], 3),
]);
outbox.push(blocks.store(Buffer.from("a block that Node stored".padEnd(BLOCK_SIZE))));

const terms: string[] = [];
for (let i = 0; i < 5; i++)
  terms.push(inspect(await inbox.receive(), { breakLength: Number.POSITIVE_INFINITY }));
say({ event: "terms", values: terms });
const address = await inbox.receive();
const block = blocks.read(address as number);
say({ event: "block", values: [block?.toString("latin1").trimEnd()] });
for (const file of [outbox, inbox, blocks]) file.close();
