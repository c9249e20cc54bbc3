// A process is killed at every pause point of the core, between any two stores or steps of waiting, and at random moments.
// A successor goes on with the file, a Node process in half of the cases and a BEAM node in the other half. Victims have
// glibc or musl. Victims and successors may be in PID namespaces of their own.
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { hasNamespaces, IN_NAMESPACE } from "../support/namespaces.mjs";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { Row } from "../support/rows.mjs";
import {
  amissBetween,
  block,
  CAPACITY,
  message,
  popAll,
  STRUCTURES,
  walkAll,
} from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";
import { hasLibrary, isHeld, untilTheyWait, Victim } from "../support/victim.mjs";
import { waited } from "../support/waits.mjs";

export const title = "kill -9 between any two stores or steps of waiting, and at random moments";
export const shortSeconds = 1;

/** The number of deaths, unless DEATHS in the environment is another one. */
const deathsIn = (seconds) => Number(process.env.DEATHS ?? (seconds > shortSeconds ? 50_000 : 6_000));

/** For so many deaths, processes that wait, wake and join die once at each of their points. */
const DEATHS_EACH_ROUND = 5_000;

/** No script has so many pauses. */
const NEVER = 1_000_000;

/** The successors, in turn. */
const SUCCESSORS = ["node", "nif", "node", "port"];

/** The longest wait for a dead process, in ms, beyond the time that the kernel takes to end it. */
const WAIT_LIMIT_MS = 50;

/** If a producer dies before the wake-up, a look finds its message, ten times a second (docs/live.md). */
const LOOK_LIMIT_MS = 110;

/** Scripts of waiting, waking and joining, with their names in the table; each works on a queue. */
const WAITING = {
  "queue-wake": "waking a consumer",
  "queue-contend": "waiting for the lock",
  "queue-rob": "taking the lock of the dead",
  "queue-bury": "taking the slot of the dead",
  "queue-join": "joining the live folder",
};

/** The scripts for a queue that others have open, and how many turns come between two of them. */
const WAITING_TRAFFIC = ["queue-wake", "queue-rob", "queue-contend"];
const BETWEEN_WAITING = 7;

/** One in so many deaths on one file is at a random moment, at most so many microseconds after the start. */
const BETWEEN_RANDOM = 3;
const LATEST_US = 1500;

const kindOf = (script) => script.split("-")[0];

/** The checks after scripts that are not one atomic step. */
const RECOVER = {
  "queue-contend": async (testee, report, name = "f") => amissBetween(await popAll(testee, name), report),
};
const recovererOf = (script) => RECOVER[script] ?? STRUCTURES[kindOf(script)].recover;

export function run({ seconds, say }) {
  return withFolder((folder) => kill(new Deaths(folder), seconds, say), MEMORY);
}

async function kill(deaths, seconds, say) {
  const end = Date.now() + seconds * 1000;
  const goal = deathsIn(seconds);
  await deaths.warmUp();
  await deaths.everywhere();
  for (let round = 0; round === 0 || round < goal / DEATHS_EACH_ROUND - 1; round++)
    await deaths.whileWaiting();
  say(`${deaths.total} deaths, at each store of a new file`);
  await deaths.inRecovery();
  say(`${deaths.total} deaths, some while recovering from another`);
  await deaths.whileOthersWait();
  say(`${deaths.total} deaths, some with others waiting for the lock`);
  await deaths.whileConsumersWait();
  say(`${deaths.total} deaths, some with others waiting for a message`);
  await deaths.onOneFile(goal, end, say);
  const points = await deaths.points();
  for (const point of [...points, RANDOM]) say(`${point.padEnd(24)} ${deaths.at.get(point) ?? 0} deaths`);
  const missed = points.filter((point) => !deaths.at.has(point));
  return [...deaths.rows.values(), ...missed.map((point) => new Row(`kill -9 at ${point}`, "core"))];
}

/** As the victim says. */
const RANDOM = "a random moment";

class Victims {
  #all;
  #random = randomNumbers(1);
  /** The present victim, and its name in the table. */
  victim;
  title;

  constructor() {
    const libraries = ["glibc", "musl"].filter(hasLibrary);
    const namespaces = hasNamespaces() ? [false, true] : [false];
    this.#all = libraries.flatMap((library) =>
      namespaces.map((apart) => ({
        title: `kill -9 of a process with ${library}${apart ? ", in a PID namespace" : ""}`,
        victim: new Victim({ library, wrapper: apart ? IN_NAMESPACE : [] }),
      })),
    );
    this.choose();
  }

  /** Chooses the victim for the next orders, perhaps the same one. */
  choose() {
    ({ victim: this.victim, title: this.title } = this.#all[this.#random(this.#all.length)]);
  }

  order(...words) {
    return this.victim.order(...words);
  }
}

class Deaths {
  rows = new Map();
  /** The number of deaths at each point. */
  at = new Map();
  total = 0;
  #folder;
  #victims = new Victims();
  #testees;
  #random = randomNumbers(2);
  /** Each script's first pause at each point. */
  #pauses = new Map();

  constructor(folder) {
    this.#folder = folder;
    const wrappers = hasNamespaces() ? [[], IN_NAMESPACE] : [[]];
    this.#testees = wrappers.map(
      (wrapper) => new Map([...new Set(SUCCESSORS)].map((door) => [door, new Testee(door, { wrapper })])),
    );
  }

  #allTestees() {
    return this.#testees.flatMap((byDoor) => [...byDoor.values()]);
  }

  /** The first request to a runtime takes as long as the runtime's start. */
  async warmUp() {
    const path = this.#fresh();
    await Promise.all(
      this.#allTestees().map(async (testee) => {
        await testee.must(STRUCTURES.file.open(path));
        await testee.must("close f");
      }),
    );
  }

  async points() {
    return [...new Set(Object.values(await this.#victims.order("points")).flat())];
  }

  /** A path without a file. It is valid until the next call. */
  #fresh() {
    rmSync(join(this.#folder, "file"), { force: true });
    return join(this.#folder, "file");
  }

  /** Lets the victim run the script until it dies at its pause number `pause`; null: the script ended before. */
  async #death(script, pause, path) {
    return this.#noted(await this.#victims.order("die", script, pause, path));
  }

  /** As `#death`, at a random moment. */
  async #lateDeath(script, path) {
    return this.#noted(await this.#victims.order("late", script, 1 + this.#random(LATEST_US), path));
  }

  #noted(report) {
    if (report.point === null) return null;
    this.#note(report);
    return report;
  }

  #note({ point }) {
    this.at.set(point, (this.at.get(point) ?? 0) + 1);
    this.total++;
  }

  #count(script, door, outcome) {
    const { title } = STRUCTURES[kindOf(script)];
    const what = WAITING[script] ?? `changing ${title}`;
    this.#row(`kill -9 while ${what}`, door).count(outcome);
    this.#row(this.#victims.title, door).count(outcome);
    this.#victims.choose();
  }

  #row(fault, door) {
    const key = `${fault} ${door}`;
    if (!this.rows.has(key))
      this.rows.set(key, Object.assign(new Row(fault, door), { waitLimitMs: WAIT_LIMIT_MS }));
    return this.rows.get(key);
  }

  #successor(turn) {
    const door = SUCCESSORS[turn % SUCCESSORS.length];
    return [door, this.#testees[this.#random(this.#testees.length)].get(door)];
  }

  /** A process that has not had the file open goes on with it. */
  async #succeed(script, turn, report, path) {
    const { open, use } = STRUCTURES[kindOf(script)];
    const [door, testee] = this.#successor(turn);
    const [, waitMs] = await waited(testee, () => testee.must(open(path)));
    const lost = await recovererOf(script)(testee, report);
    await use(testee);
    await testee.must("close f");
    this.#count(script, door, { lost, waitMs });
  }

  /** Deaths at each pause of each script, on a new file. */
  async everywhere() {
    await this.#atEachPause(Object.keys(STRUCTURES), async () => {});
    // These have few pauses: each successor comes after each of them.
    for (let turn = 1; turn < SUCCESSORS.length; turn++)
      await this.#atEachPause(["file", "counters"], async () => {}, turn);
  }

  /** The same with processes that wait, wake and join. */
  async whileWaiting() {
    await this.#atEachPause(Object.keys(WAITING), async () => {});
  }

  /** The first successor dies as well, somewhere on its way. */
  async inRecovery() {
    await this.#atEachPause(["queue", "blocks"], (kind, pause, path) =>
      this.#death(`${kind}-recovery`, 3 + (pause % 4), path),
    );
  }

  async #atEachPause(scripts, first, turn = 0) {
    for (const script of scripts)
      for (let pause = 1; ; pause++) {
        const path = this.#fresh();
        const report = await this.#death(script, pause, path);
        if (report === null) break;
        if (script in STRUCTURES) this.#firstPause(script, report.point, pause);
        await first(script, pause, path);
        await this.#succeed(script, turn + pause, report, path);
      }
  }

  #firstPause(kind, point, pause) {
    const key = `${kind} ${point}`;
    if (!this.#pauses.has(key)) this.#pauses.set(key, { kind, pause });
  }

  /** A process waits for the lock of the victim when the victim is killed, once at each point where the victim has the lock. */
  async whileOthersWait() {
    for (const { kind, pause } of this.#pauses.values()) {
      const path = this.#fresh();
      const report = await this.#victims.order("stop", kind, pause, path);
      if (isHeld(path)) await this.#released(kind, pause, report, path);
      else await this.#victims.order("kill");
    }
  }

  async #released(kind, turn, report, path) {
    const [door, testee] = this.#successor(turn);
    const opened = testee.must(STRUCTURES[kind].open(path));
    await untilTheyWait();
    const [, waitMs] = await waited(testee, () => Promise.all([this.#victims.order("kill"), opened]));
    this.#note(report);
    const lost = await STRUCTURES[kind].recover(testee, report);
    await STRUCTURES[kind].use(testee);
    await testee.must("close f");
    this.#count(kind, door, { lost, waitMs });
  }

  /** A consumer waits for a message when the victim is killed, which is pushing it or has just pushed it. */
  async whileConsumersWait() {
    const pusher = new Testee("core");
    const consumers = new Map([["core", new Testee("core")], ...this.#testees[0]]);
    for (let pause = 1, outcome; outcome !== null; pause++)
      for (const [door, consumer] of consumers) {
        outcome = await this.#unwoken(consumer, pusher, pause);
        if (outcome === null) break;
        const row = this.#row("kill -9 while pushing to a consumer that sleeps", door);
        row.waitLimitMs = LOOK_LIMIT_MS;
        row.count(outcome);
      }
  }

  /** The fate of the message of a victim that dies at its pause number `pause`, while a consumer waits for it. */
  async #unwoken(consumer, pusher, pause) {
    const path = this.#fresh();
    const open = STRUCTURES.queue.open(path);
    await Promise.all([consumer.must(open), pusher.must(open)]);
    let came = false;
    const received = consumer.must("queue_receive f 10000").finally(() => {
      came = true;
    });
    received.catch(() => {}); // it is awaited later, unless something else fails before
    await untilTheyWait();
    const report = await this.#death("queue-push", pause, path);
    const isThere = async () => (await pusher.must("queue_is_empty f")) === "ok false";
    const [, waitMs] = await waited(consumer, async () => {
      for (let looks = 0; looks < 100 && !came && (await isThere()); looks++) await sleep(5);
    });
    // This message is for the consumer, unless it has the other one.
    await pusher.must(`queue_push f ${message(77)}`);
    const isIts = (await received) === `ok ${message(0)}`;
    const left = (await popAll(pusher)).length;
    await Promise.all([consumer.must("close f"), pusher.must("close f")]);
    if (report === null) return null;
    this.#victims.choose();
    const { acknowledged, begun } = report;
    const wrong = isIts ? begun.next === 0 || left !== 1 : acknowledged.next === 1 || left !== 0;
    return { lost: Number(wrong), waitMs };
  }

  /** So many deaths on one queue and one storage, which all successors have open all the time. */
  async onOneFile(deaths, end, say) {
    const kinds = ["queue", "blocks"];
    const paths = Object.fromEntries(kinds.map((kind) => [kind, join(this.#folder, kind)]));
    const pauses = {};
    for (const kind of kinds) {
      for (const testee of this.#allTestees())
        await testee.must(STRUCTURES[kind].open(paths[kind]).replace(" f ", ` ${kind} `));
    }
    for (const script of [...kinds.map((kind) => `${kind}-traffic`), ...WAITING_TRAFFIC]) {
      ({ pauses: pauses[script] } = await this.#victims.order("die", script, NEVER, paths[kindOf(script)]));
      await clear(kindOf(script), this.#testees[0].get("node"));
    }
    const before = statSync(paths.queue).size;
    for (let turn = 0; this.total < deaths || Date.now() < end; turn++) {
      const kind = kinds[turn % 2];
      const script = this.#trafficOf(kind, turn >> 1);
      const pause = 1 + this.#random(pauses[script]);
      await this.#again(script, turn >> 1, turn % BETWEEN_RANDOM === 0 ? null : pause, paths[kind]);
      if (turn % 2000 === 1999) say(`${this.total} deaths`);
    }
    for (const testee of this.#allTestees()) for (const kind of kinds) await testee.must(`close ${kind}`);
    for (const testee of this.#testees[0].values()) await this.#fill(testee, paths, before);
  }

  #trafficOf(kind, turn) {
    if (kind === "blocks" || turn % BETWEEN_WAITING !== 0) return `${kind}-traffic`;
    return WAITING_TRAFFIC[(turn / BETWEEN_WAITING) % WAITING_TRAFFIC.length];
  }

  /** A death at this pause, or at a random moment. */
  async #again(script, turn, pause, path) {
    const kind = kindOf(script);
    const [door, testee] = this.#successor(turn);
    const report =
      pause === null ? await this.#lateDeath(script, path) : await this.#death(script, pause, path);
    // If there was less to do than the first time, the victim has come to the script's end.
    if (report === null) return clear(kind, testee);
    const [, waitMs] = await waited(testee, () => testee.must(STRUCTURES[kind].look(kind)));
    const lost = await recovererOf(script)(testee, report, kind);
    this.#count(script, door, { lost, waitMs });
  }

  /** Checks that the files still have as much room as at first. */
  async #fill(testee, paths, size) {
    await testee.must(`queue_open f ${paths.queue} fixed_size`);
    const room = Math.floor((size - 16) / 32);
    await testee.must(`queue_push_many f ${Array.from({ length: room }, (_, i) => message(i)).join(" ")}`);
    await testee.must(`queue_push f ${message(room)}`, /^error full/);
    await popAll(testee);
    await testee.must("close f");
    await testee.must(STRUCTURES.blocks.open(paths.blocks));
    const blocks = Array.from({ length: CAPACITY }, (_, i) => block(i));
    const [, ...addresses] = (await testee.must(`block_store_many f ${blocks.join(" ")}`)).split(" ");
    await testee.must(`block_store f ${block(CAPACITY)}`, /^error full/);
    const given = new Set(addresses).size;
    await testee.must(`block_free_many f ${addresses.join(" ")}`);
    await testee.must("close f");
    if (given !== CAPACITY) throw new Error(`${CAPACITY - given} addresses were given out twice`);
    if (statSync(paths.queue).size !== size) throw new Error("the queue's file has grown");
  }
}

/** Removes the file or folder at a path, if there is one. */
async function clear(kind, testee) {
  if (kind === "queue") await popAll(testee, kind);
  else {
    const found = await walkAll(testee, kind);
    await testee.must(`block_free_many ${kind} ${found.map(([address]) => address).join(" ")}`);
  }
}
