// Opening, closing, killing and waiting leave nothing behind: no slot, FIFO, file, descriptor, mapping, thread or memory. Each
// process is compared with its own state after the warm-up.
import { existsSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { descendantsOf, portProgramOf, resourcesOf } from "../support/proc.mjs";
import { MEMORY, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { block, message, popAll } from "../support/structures.mjs";
import { DOORS, Testee } from "../support/testee.mjs";
import { Victim } from "../support/victim.mjs";

export const title = "opening, closing, killing and waiting all the time";
export const shortSeconds = 3;

/** The rounds of the warm-up, and the least number of rounds afterwards. */
const WARM_UP = 15;
const ROUNDS = 15;
/** Most of the time is for the rounds after the warm-up. */
const WARM_UP_SHARE = 0.1;

/** Idle threads end after this time, in ms (native/core/wait.c). The short form does not wait for that. */
const IDLE_MS = 6000;

/** C libraries keep some of the memory that they have used, and runtimes keep more. V8 maps its heap in small pieces. */
const SLACK = { descriptors: 0, threads: 3, mappings: 16, memory: 2 << 20 };
const SLACK_OF_RUNTIME = { ...SLACK, mappings: 64, memory: 16 << 20 };

/** A Node process collects garbage only when it must. With so little memory it ends if it leaks. */
const ENVIRONMENT = { NODE_OPTIONS: "--max-old-space-size=16 --max-semi-space-size=1" };

const SLOTS = 1024;
const VICTIMS = ["queue-wake", "queue-traffic", "queue-rob"];
/** No script has more pauses, and none takes more microseconds. */
const MOST_PAUSES = 90;
const LATEST_US = 2000;

/** The pairs of a waiter and its waker. All pairs work at the same time. */
const PAIRS = [
  [
    ["core", "node"],
    ["nif", "port"],
  ],
  [
    ["node", "core"],
    ["port", "nif"],
  ],
  [
    ["core", "nif"],
    ["node", "port"],
  ],
  [
    ["nif", "core"],
    ["port", "node"],
  ],
];

/** It is awaited later, unless something else fails before. */
function handled(promise) {
  promise.catch(() => {});
  return promise;
}

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const soak = new Soak(folder, seconds > shortSeconds ? IDLE_MS : 0);
    const begun = Date.now();
    await soak.goOn(WARM_UP, begun + 1000 * seconds * WARM_UP_SHARE);
    const before = await soak.resources();
    say(`${soak.rounds} rounds to become warm`);
    await soak.goOn(ROUNDS, begun + 1000 * seconds, say);
    const after = await soak.resources();
    say(`${soak.rounds} rounds, ${soak.kills} kills`);
    const leaks = soak.compare(before, after, say);
    const left = await soak.finish();
    for (const what of left) say(`left: ${what}`);
    return soak.rows(leaks, left.length);
  }, MEMORY);
}

class Soak {
  rounds = 0;
  kills = 0;
  #folder;
  #idleMs;
  #testees = new Map(
    Object.keys(DOORS).map((door) => [door, new Testee(door, { environment: ENVIRONMENT })]),
  );
  #victims = [new Victim(), new Victim()];
  #random = randomNumbers(4);
  #operations = new Map(Object.keys(DOORS).map((door) => [door, 0]));

  constructor(folder, idleMs) {
    this.#folder = folder;
    this.#idleMs = idleMs;
  }

  #must(door, request, expected) {
    this.#operations.set(door, this.#operations.get(door) + 1);
    return this.#testees.get(door).must(request, expected);
  }

  /** The least number of rounds, and more until the end; processes that only wait are killed meanwhile. */
  async goOn(rounds, end, say = () => {}) {
    const goal = this.rounds + rounds;
    let over = false;
    const killing = handled(this.#killWaiters(() => over));
    for (let said = Date.now(); this.rounds < goal || Date.now() < end; this.rounds++) {
      for (const pairs of PAIRS)
        await Promise.all(pairs.map(([waiter, waker], i) => this.#meet(waiter, waker, i)));
      if (Date.now() - said < 60_000) continue;
      said = Date.now();
      say(`${this.rounds} rounds, ${this.kills} kills`);
    }
    over = true;
    await killing;
  }

  /** Two processes open everything, wake each other, survive others, and close everything. */
  async #meet(waiter, waker, place) {
    const path = (kind) => join(this.#folder, `${kind}-${place}`);
    const both = (request, expected) =>
      Promise.all([waiter, waker].map((door) => this.#must(door, request, expected)));
    await both(`queue_open q ${path("queue")} size=4096`);
    await both(`queue_open w ${join(this.#folder, "waited")} size=4096`);
    await both(`counters_open c ${path("counters")} 2`);
    await both(`blocks_open b ${path("blocks")} 8 2 size=40`);
    await this.#wakeByMessage(waiter, waker);
    await this.#wakeByWord(waiter, waker);
    await both(`queue_push q ${message(1)}`);
    await both("queue_pop q", new RegExp(`^ok ${message(1)}$`));
    const [, address] = (await this.#must(waker, `block_store b ${block(1)}`)).split(" ");
    await this.#must(waiter, `block_free b ${address}`);
    await this.#kill(path("queue"), place);
    await popAll(this.#testees.get(waiter), "q");
    for (const name of ["q", "w", "c", "b"]) await both(`close ${name}`, /^ok$/);
  }

  async #wakeByMessage(waiter, waker) {
    const received = handled(this.#must(waiter, "queue_receive q 20000", new RegExp(`^ok ${message(2)}$`)));
    await sleep(this.#random(2));
    await this.#must(waker, `queue_push q ${message(2)}`);
    await received;
    await this.#must(waiter, "queue_receive q 1", /^ok timeout$/);
  }

  async #wakeByWord(waiter, waker) {
    const changed = handled(this.#must(waiter, "counter_wait c 0 0 20000", /^ok (ok|not_equal)$/));
    await sleep(this.#random(2));
    await this.#must(waker, "counter_add c 0 1");
    await this.#must(waker, "counter_notify c 0 1");
    await changed;
    await this.#must(waiter, "counter_set c 0 0");
    // If a look has just ended the wait, the notify goes to the next wait.
    await this.#must(waiter, "counter_wait c 0 0 1", /^ok (timeout|ok)$/);
  }

  /** Another process that uses the queue dies, at a pause point or anywhere. */
  async #kill(path, place) {
    const script = VICTIMS[this.#random(VICTIMS.length)];
    const [how, when] = this.#random(2) ? ["die", MOST_PAUSES] : ["late", LATEST_US];
    const { point } = await this.#victims[place].order(how, script, 1 + this.#random(when), path);
    if (point !== null) this.kills++;
  }

  /** Processes of all doors, one after the other, that are killed while they wait for a message. */
  async #killWaiters(isOver) {
    for (let turn = 0; !isOver(); turn++) {
      const door = Object.keys(DOORS)[turn % this.#testees.size];
      const testee = new Testee(door);
      await testee.must(`queue_open w ${join(this.#folder, "waited")} size=4096`);
      void testee.ask("queue_receive w 100000").catch(() => {});
      await sleep(this.#random(50));
      await testee.kill();
      this.kills++;
    }
  }

  /** The resources of each process when nothing is open, and it has not waited for a while. */
  async resources() {
    await sleep(this.#idleMs);
    const all = new Map();
    for (const [door, testee] of this.#testees) {
      const program = door === "core" ? testee.pid : portProgramOf(testee.pid);
      for (const pid of [testee.pid, ...descendantsOf(testee.pid)])
        all.set(pid, { door, slack: pid === program ? SLACK : SLACK_OF_RUNTIME, ...resourcesOf(pid) });
    }
    return all;
  }

  /** The number of resources that have grown, by doors. */
  compare(before, after, say) {
    const leaks = new Map();
    for (const [pid, { door, slack, ...now }] of after) {
      const was = before.get(pid);
      const more =
        was === undefined
          ? ["processes"]
          : Object.keys(slack).filter((name) => now[name] - was[name] > slack[name]);
      leaks.set(door, (leaks.get(door) ?? 0) + more.length);
      const amounts = Object.keys(slack).map((name) => `${name} ${was?.[name]} → ${now[name]}`);
      if (more.length > 0) say(`${DOORS[door]}, process ${pid}: more ${more.join(", ")}`);
      say(`${DOORS[door]}, process ${pid}: ${amounts.join(", ")}`);
    }
    return leaks;
  }

  /** The files left in the folder. Each queue has all its slots free, and its live folder goes with it. */
  async finish() {
    const left = [];
    const names = ["queue-0", "queue-1", "waited", "blocks-0", "blocks-1"];
    for (const name of names) {
      const found = readdirSync(join(this.#folder, `${name}-live`)).filter((file) => file !== "state");
      // A waiter that was killed after the last close of the file leaves its bell to the file's next writer.
      const bells = name === "waited" && /^bell\.\d+$/.test(found[0]) ? 1 : 0;
      if (found.length > bells) left.push(`${name}-live with ${found}`);
    }
    const expected = [...names.flatMap((name) => [name, `${name}-live`]), "counters-0", "counters-1"];
    left.push(...readdirSync(this.#folder).filter((name) => !expected.includes(name)));
    for (const name of names.slice(0, 3)) {
      const opener = this.#testees.get("node");
      const opens = Array.from({ length: SLOTS }, (_, i) => `queue_open ${i} ${join(this.#folder, name)}`);
      const answers = await Promise.all(opener.askAll(opens));
      const refused = answers.filter((answer) => !answer.startsWith("ok")).length;
      if (refused > 0) left.push(`${refused} slots of ${name}`);
      await Promise.all(opener.askAll(opens.map((_, i) => `close ${i}`)));
    }
    for (const name of names) {
      const path = join(this.#folder, name);
      const open = name.startsWith("blocks") ? `blocks_open f ${path} 8 2` : `queue_open f ${path}`;
      for (const door of ["core", "nif"]) await this.#must(door, open);
      rmSync(path);
      for (const door of ["core", "nif"]) await this.#must(door, "close f");
      if (existsSync(`${path}-live`)) left.push(`${name}-live, without ${name}`);
    }
    for (const testee of this.#testees.values()) {
      const how = await testee.finish();
      if (how !== 0) left.push(`${testee.name} ended with ${how}`);
    }
    return left;
  }

  rows(leaks, left) {
    const rows = [...this.#operations].map(([door, hits]) => ({
      fault: "a soak of opens, closes, waits and kills",
      runtime: DOORS[door],
      hits,
      survived: hits,
      lost: leaks.get(door) ?? 0,
      worstWaitMs: null,
    }));
    const kills = {
      fault: "kill -9 during the soak",
      runtime: "all",
      hits: this.kills,
      survived: this.kills,
    };
    return [...rows, { ...kills, lost: left, worstWaitMs: null }];
  }
}
