// Consumers of all runtimes take jobs and are killed at random moments, or all at once, with the live folder removed. No job is
// lost, no acknowledged job comes back, and only jobs that were in hand at a kill are delivered again.
import { rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openCounters, openQueue } from "emmap";
import { ACKNOWLEDGED, BACK, COUNTS, RELEASED } from "../support/deliveries.mjs";
import { MEMORY, Peer, withFolder } from "../support/processes.mjs";
import { DOORS } from "../support/testee.mjs";

export const title = "killing consumers that have jobs in hand";
export const shortSeconds = 0;

/** The numbers of jobs and kills, unless JOBS and KILLS in the environment are other ones. */
const jobsIn = (seconds) => Number(process.env.JOBS ?? (seconds <= shortSeconds ? 20_000 : 1_000_000));
const killsIn = (seconds) => Number(process.env.KILLS ?? (seconds <= shortSeconds ? 20 : 2000));

/** Jobs that one consumer has in hand at a time. */
const LANES = 4;
/** One in so many kills is of all consumers at once. */
const TOTAL = 10;
/** If nothing happens for so long, in ms, something is lost. */
const GIVE_UP_MS = 30_000;

const beside = (path) => fileURLToPath(new URL(path, import.meta.url));
const ebin = beside("../../../erlang/_build/default/lib/emmap/ebin");
const CONSUMERS = {
  node: () => [process.execPath, beside("../support/consumer.mjs")],
  nif: () => ["escript", beside("../support/consumer.escript"), ebin, "nif"],
  port: () => ["escript", beside("../support/consumer.escript"), ebin, "port"],
};

/** BEAM nodes share the machine with others. */
const ENVIRONMENT = { ERL_FLAGS: "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none" };

class Consumer {
  kills = 0;
  #peer;

  constructor(door, folder) {
    this.door = door;
    this.folder = folder;
  }

  async start() {
    const [command, ...args] = CONSUMERS[this.door]();
    this.#peer = new Peer(command, [...args, this.folder, String(LANES)], ENVIRONMENT);
    await this.#peer.ask("");
  }

  kill() {
    this.kills++;
    return this.#peer.kill();
  }

  finish() {
    return this.#peer.finish();
  }
}

/** Waits until so many jobs are done; gives up when nothing happens any more. */
async function reach(target, done) {
  for (let [last, since] = [done(), performance.now()]; done() < target; ) {
    await sleep(1);
    if (done() !== last) [last, since] = [done(), performance.now()];
    if (performance.now() - since > GIVE_UP_MS) throw new Error(`job ${last} is not delivered`);
  }
}

function push(folder, from, to) {
  const queue = openQueue(join(folder, "jobs"));
  queue.pushMany(Array.from({ length: to - from }, (_, n) => from + n));
  queue.close();
}

/** Kills consumers. If no other process has the queue open, it removes the live folder, too. */
async function killAndStart(victims, all, folder) {
  await Promise.all(victims.map((each) => each.kill()));
  if (victims === all) rmSync(join(folder, "jobs-live"), { recursive: true });
  await Promise.all(victims.map((each) => each.start()));
}

/** Pushes the jobs in parts, one more than there are kills. Kills while a part is in work. */
async function work(folder, consumers, jobs, kills, done) {
  for (let i = 0, from = 0; i <= kills; i++) {
    const to = Math.floor(((i + 1) * jobs) / (kills + 1));
    push(folder, from, to);
    await reach(from + Math.floor(Math.random() * (to - from)), done);
    from = to;
    if (i === kills) break;
    // BEAM nodes take long to start. All consumers die at once now and then.
    const victims =
      i % TOTAL === TOTAL - 1
        ? consumers
        : [consumers[Math.random() < 0.8 ? i % 2 : 2 + (i % (consumers.length - 2))]];
    await killAndStart(victims, consumers, folder);
  }
  await reach(jobs, done);
}

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const [jobs, kills] = [jobsIn(seconds), killsIn(seconds)];
    const counts = openCounters(join(folder, "counts"), COUNTS + jobs);
    const consumers = ["node", "node", "nif", "port"].map((door) => new Consumer(door, folder));
    await Promise.all(consumers.map((each) => each.start()));
    let finished = 0;
    /** How many jobs, from the first on, were delivered. */
    const done = () => {
      while (finished < jobs && counts.get(COUNTS + finished) > 0) finished++;
      return finished;
    };
    await work(folder, consumers, jobs, kills, done);
    // The jobs that were delivered, and not acknowledged yet.
    const queue = openQueue(join(folder, "jobs"));
    const end = performance.now() + GIVE_UP_MS;
    while ((queue.length() > 0 || queue.inHand().length > 0) && performance.now() < end) await sleep(5);
    await Promise.all(consumers.map((each) => each.finish()));
    const left = queue.length() + queue.inHand().length;
    queue.close();
    return judge({ jobs, counts, consumers, left, say });
  }, MEMORY);
}

function judge({ jobs, counts, consumers, left, say }) {
  const killed = consumers.reduce((sum, each) => sum + each.kills, 0);
  let undelivered = 0;
  let deliveries = 0;
  for (let job = 0; job < jobs; job++) {
    const count = Number(counts.get(COUNTS + job));
    if (count === 0) undelivered++;
    deliveries += count % ACKNOWLEDGED;
  }
  const back = Number(counts.get(BACK));
  const again = deliveries - jobs - Number(counts.get(RELEASED)) + undelivered;
  counts.close();
  say(
    `${jobs} jobs, ${killed} kills: ${undelivered} lost, ${left} left over, ${back} back, ${again} delivered again`,
  );
  const fair = again <= killed * LANES;
  return [...new Set(consumers.map((each) => each.door))].map((door) => {
    const hits = consumers.filter((each) => each.door === door).reduce((sum, each) => sum + each.kills, 0);
    return {
      fault: "kill -9 of a consumer with jobs in hand",
      runtime: DOORS[door],
      hits,
      survived: back === 0 && left === 0 && fair ? hits : 0,
      lost: undelivered,
      worstWaitMs: null,
    };
  });
}
