// A process is killed at every pause point of the core, between any two stores. Another one goes on with the file, a
// Node process in half of the cases and a BEAM node in the other half.
import { rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { Row } from "../support/rows.mjs";
import { block, CAPACITY, message, popAll, STRUCTURES, walkAll } from "../support/structures.mjs";
import { Testee } from "../support/testee.mjs";
import { isHeld, untilTheyWait, Victim } from "../support/victim.mjs";
import { waited } from "../support/waits.mjs";

export const title = "kill -9 between any two stores, 10,000 times";

const DEATHS = 10_000;

/** No script has so many pauses. */
const NEVER = 1_000_000;

/** Who comes after the victim, by turns. */
const SUCCESSORS = ["node", "nif", "node", "port"];

export function run({ seconds, say }) {
  return withFolder((folder) => kill(new Deaths(folder), seconds, say), MEMORY);
}

async function kill(deaths, seconds, say) {
  const end = Date.now() + seconds * 1000;
  await deaths.warmUp();
  await deaths.everywhere();
  say(`${deaths.total} deaths, at each store of a new file`);
  await deaths.inRecovery();
  say(`${deaths.total} deaths, some while recovering from another`);
  await deaths.whileOthersWait();
  say(`${deaths.total} deaths, some with others waiting`);
  await deaths.onOneFile(DEATHS, end, say);
  const points = await deaths.points();
  for (const point of points) say(`${point.padEnd(24)} ${deaths.at.get(point) ?? 0} deaths`);
  const missed = points.filter((point) => !deaths.at.has(point));
  return [...deaths.rows.values(), ...missed.map((point) => new Row(`kill -9 at ${point}`, "core"))];
}

class Deaths {
  rows = new Map();
  /** How many there were at each point. */
  at = new Map();
  total = 0;
  #folder;
  #victim = new Victim();
  #testees;
  /** The first pause of each script's at each point. */
  #pauses = new Map();

  constructor(folder) {
    this.#folder = folder;
    this.#testees = new Map([...new Set(SUCCESSORS)].map((door) => [door, new Testee(door)]));
  }

  /** The first request to a runtime takes as long as that takes to start. */
  async warmUp() {
    const path = this.#fresh();
    for (const testee of this.#testees.values()) {
      await testee.must(STRUCTURES.file.open(path));
      await testee.must("close f");
    }
  }

  async points() {
    return [...new Set(Object.values(await this.#victim.order("points")).flat())];
  }

  /** A path that nothing is at, until the next is asked for. */
  #fresh() {
    rmSync(join(this.#folder, "file"), { force: true });
    return join(this.#folder, "file");
  }

  /** Has the victim run the script until it dies at its pause number `pause`; null where it did not get there. */
  async #death(script, pause, path) {
    const report = await this.#victim.order("die", script, pause, path);
    if (report.point === null) return null;
    this.#note(report);
    return report;
  }

  #note({ point }) {
    this.at.set(point, (this.at.get(point) ?? 0) + 1);
    this.total++;
  }

  #count(kind, door, outcome) {
    const { title } = STRUCTURES[kind];
    const key = `${title} ${door}`;
    if (!this.rows.has(key)) this.rows.set(key, new Row(`kill -9 while changing ${title}`, door));
    this.rows.get(key).count(outcome);
  }

  #successor(turn) {
    const door = SUCCESSORS[turn % SUCCESSORS.length];
    return [door, this.#testees.get(door)];
  }

  /** Somebody who has not had the file open goes on with it. */
  async #succeed(kind, turn, report, path) {
    const { open, recover, use } = STRUCTURES[kind];
    const [door, testee] = this.#successor(turn);
    const [, waitMs] = await waited(testee, () => testee.must(open(path)));
    const lost = await recover(testee, report);
    await use(testee);
    await testee.must("close f");
    this.#count(kind, door, { lost, waitMs });
  }

  /** At each pause of each script, on a file that was not there before. */
  async everywhere() {
    await this.#atEachPause(Object.keys(STRUCTURES), async () => {});
    // These have few pauses: each successor comes after each of them.
    for (let turn = 1; turn < SUCCESSORS.length; turn++)
      await this.#atEachPause(["file", "counters"], async () => {}, turn);
  }

  /** The first who comes after a death dies as well, somewhere on its way. */
  async inRecovery() {
    await this.#atEachPause(["queue", "blocks"], (kind, pause, path) =>
      this.#death(`${kind}-recovery`, 3 + (pause % 4), path),
    );
  }

  async #atEachPause(kinds, first, turn = 0) {
    for (const kind of kinds)
      for (let pause = 1; ; pause++) {
        const path = this.#fresh();
        const report = await this.#death(kind, pause, path);
        if (report === null) break;
        this.#firstPause(kind, report.point, pause);
        await first(kind, pause, path);
        await this.#succeed(kind, turn + pause, report, path);
      }
  }

  #firstPause(kind, point, pause) {
    const key = `${kind} ${point}`;
    if (!this.#pauses.has(key)) this.#pauses.set(key, { kind, pause });
  }

  /** Somebody is waiting for the victim's lock when that is killed, once at each point where it has it. */
  async whileOthersWait() {
    for (const { kind, pause } of this.#pauses.values()) {
      const path = this.#fresh();
      const report = await this.#victim.order("stop", kind, pause, path);
      if (isHeld(path)) await this.#released(kind, pause, report, path);
      else await this.#victim.order("kill");
    }
  }

  async #released(kind, turn, report, path) {
    const [door, testee] = this.#successor(turn);
    const opened = testee.must(STRUCTURES[kind].open(path));
    await untilTheyWait();
    const [, waitMs] = await waited(testee, () => Promise.all([this.#victim.order("kill"), opened]));
    this.#note(report);
    const lost = await STRUCTURES[kind].recover(testee, report);
    await STRUCTURES[kind].use(testee);
    await testee.must("close f");
    this.#count(kind, door, { lost, waitMs });
  }

  /** On one queue and one storage, which all successors have open all the time, until there have been so many deaths. */
  async onOneFile(deaths, end, say) {
    const kinds = ["queue", "blocks"];
    const paths = Object.fromEntries(kinds.map((kind) => [kind, join(this.#folder, kind)]));
    const pauses = {};
    for (const kind of kinds) {
      const { pauses: all } = await this.#victim.order("die", `${kind}-traffic`, NEVER, paths[kind]);
      pauses[kind] = all;
      for (const testee of this.#testees.values())
        await testee.must(STRUCTURES[kind].open(paths[kind]).replace(" f ", ` ${kind} `));
      await clear(kind, this.#testees.get("node"));
    }
    const before = statSync(paths.queue).size;
    for (let turn = 0; this.total < deaths || Date.now() < end; turn++) {
      const kind = kinds[turn % 2];
      await this.#again(kind, turn >> 1, 1 + ((turn * 31) % pauses[kind]), paths[kind]);
      if (turn % 2000 === 1999) say(`${this.total} deaths`);
    }
    for (const testee of this.#testees.values()) for (const kind of kinds) await testee.must(`close ${kind}`);
    for (const door of this.#testees.keys()) await this.#fill(door, paths, before);
  }

  async #again(kind, turn, pause, path) {
    const [door, testee] = this.#successor(turn);
    const report = await this.#death(`${kind}-traffic`, pause, path);
    // Where there was less to do than the first time the victim has come to its end.
    if (report === null) return clear(kind, testee);
    const [, waitMs] = await waited(testee, () => testee.must(STRUCTURES[kind].look(kind)));
    const lost = await STRUCTURES[kind].recover(testee, report, kind);
    this.#count(kind, door, { lost, waitMs });
  }

  /** The files hold as much as they ever did. */
  async #fill(door, paths, size) {
    const testee = this.#testees.get(door);
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

/** Removes whatever is there. */
async function clear(kind, testee) {
  if (kind === "queue") await popAll(testee, kind);
  else {
    const found = await walkAll(testee, kind);
    await testee.must(`block_free_many ${kind} ${found.map(([address]) => address).join(" ")}`);
  }
}
