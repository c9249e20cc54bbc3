// Messages, and changes of words, are handed over to sleeping consumers, through every door, while consumers and producers
// are killed. No wake-up is lost: no message lies in a queue for long while a consumer waits for it.
//
// A lane is a pair of queues, or two words. Its asker (support/hand_over.c) pushes a message, and sleeps until the message
// comes back. Two consumers of one door wait for messages, and push each to the other queue. A message that a consumer had
// popped when it was killed is gone, as the documentation says; the asker goes on with the next one.
//
// All lanes are at work, and in between each one alone. If a message lies in a queue for some time and no thread of its lane
// runs, or could run, a wake-up is lost, though a look would find the message soon (docs/live.md).
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { openCounters, openQueue } from "emmap";
import { compile, coreLibrary } from "../support/compile.mjs";
import { descendantsOf, portProgramOf, runs, threadsOf } from "../support/proc.mjs";
import { MEMORY, Peer, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { DOORS } from "../support/testee.mjs";

export const title = "handing over to consumers that sleep, while they and those who wake them are killed";
export const shortSeconds = 0;

/** The numbers of hand-overs and kills, unless HAND_OVERS and KILLS in the environment are other ones. */
const isShort = (seconds) => seconds <= shortSeconds;
const handOversIn = (seconds) => Number(process.env.HAND_OVERS ?? (isShort(seconds) ? 5000 : 1_000_000));
const killsIn = (seconds) => Number(process.env.KILLS ?? (isShort(seconds) ? 12 : 100));

/** If a waker or the first consumer dies, a look finds the message, ten times a second (docs/live.md). */
const LOOK_LIMIT_MS = 110;

/** The time between two checks, in ms. */
const POLL_MS = 10;

/** For so long, in ms, all lanes are at work, and then one lane alone. */
const STAGE_MS = 500;

/** After a death a message may lie for so long, in ms, while all sleep. */
const MOURNING_MS = 300;

/** The longest time, in ms, for which a lane may stand still. */
const GIVE_UP_MS = 60_000;

/** The least share of a consumer's messages for which it must have slept. */
const LEAST_SLEEP = 0.05;

/** As in hand_over.c. */
const ASKED = 0;
const ANSWERED = 1;
const ASKER_SLEPT = 2;
const ANSWERER_SLEPT = 3;
const TAKEN = 4;
const LATE = 5;
const SHUT = 6;
const COUNTERS = 8;

/** How consumers of each door get messages. */
const WAYS = {
  core: ["answer"],
  node: ["receive", "messages"],
  nif: ["receive", "active"],
  port: ["receive", "active"],
};

/** How many of ten kills hit consumers of a door, or an asker. A BEAM node takes long to start. */
const VICTIMS = [..."aaaccnnp", "nif", "port"].map(
  (letter) => ({ a: "asker", c: "core", n: "node", p: "program" })[letter] ?? letter,
);

const beside = (path) => fileURLToPath(new URL(path, import.meta.url));
const ebin = beside("../../../erlang/_build/default/lib/emmap/ebin");

const coreProgram = () => compile("hand_over", [beside("../support/hand_over.c"), coreLibrary()], "-O2");

const PROGRAMS = {
  core: () => [coreProgram()],
  node: () => [process.execPath, beside("../support/hand_over.mjs")],
  nif: () => ["escript", beside("../support/hand_over.escript"), ebin, "nif"],
  port: () => ["escript", beside("../support/hand_over.escript"), ebin, "port"],
};

/** BEAM nodes share the machine with many others. */
const ENVIRONMENT = { ERL_FLAGS: "+S 2:2 +sbwt none +sbwtdcpu none +sbwtdio none" };

export function run({ seconds, say }) {
  return withFolder(async (folder) => {
    const traffic = new Traffic(folder, say);
    await traffic.start();
    say(`${traffic.lanes.length} lanes are at work`);
    await traffic.goOn(handOversIn(seconds), killsIn(seconds), Date.now() + 1000 * seconds);
    await traffic.finish();
    return traffic.rows();
  }, MEMORY);
}

/** A process that can be killed and started again. */
class Member {
  ready = false;
  kills = 0;
  #command;
  #peer;
  /** The lanes that it works on. */
  lanes;

  constructor(command, lanes) {
    this.#command = command;
    this.lanes = lanes;
  }

  get pid() {
    return this.#peer.pid;
  }

  pids() {
    return this.ready && runs(this.pid) ? [this.pid, ...descendantsOf(this.pid)] : [];
  }

  /** Resolves when it has all its files open. */
  async start() {
    const [command, ...args] = this.#command;
    this.#peer = new Peer(command, args, ENVIRONMENT);
    await this.#peer.ask("");
    this.ready = true;
  }

  /** Tells the others on the same lanes when a process dies, and when its death is over. */
  async #die(kill) {
    this.ready = false;
    this.kills++;
    for (const lane of this.lanes) lane.lastDeath = Number.POSITIVE_INFINITY;
    await kill();
    for (const lane of this.lanes) lane.lastDeath = performance.now();
    this.ready = true;
  }

  killAndStart() {
    return this.#die(async () => {
      await this.#peer.kill();
      await this.start();
    });
  }

  /** Kills the port program alone; the node opens everything anew. */
  killProgram() {
    return this.#die(async () => {
      const again = this.#peer.askAll(this.lanes.map(() => ""));
      process.kill(portProgramOf(this.pid), "SIGKILL");
      await Promise.all(again);
    });
  }

  finish() {
    return this.#peer.finish();
  }
}

class Lane {
  name;
  door;
  way;
  base;
  consumers = [];
  asker;
  lost = 0;
  worstWaitMs = 0;
  /** How many messages lay in the queue while all slept, without a death. */
  unwoken = 0;
  isShut = false;
  lastDeath = 0;
  #folder;
  #queues;
  #progress = -1;
  #changed = performance.now();
  #stuck = null;

  constructor(folder, door, way, index) {
    this.#folder = folder;
    this.door = door;
    this.way = way;
    this.name = `${door}-${way}`;
    this.base = COUNTERS * index;
  }

  get isOfWords() {
    return this.way === "words";
  }

  open() {
    if (this.isOfWords) openCounters(join(this.#folder, `${this.name}.words`), 2).close();
    else
      this.#queues = ["to", "back"].map((kind) =>
        openQueue(join(this.#folder, `${this.name}.${kind}`), { raw: true }),
      );
  }

  close() {
    for (const queue of this.#queues ?? []) queue.close();
  }

  command(role) {
    return [
      coreProgram(),
      this.isOfWords ? `${role}-words` : role,
      this.#folder,
      this.name,
      String(this.base),
    ];
  }

  #isInQueue() {
    return this.#queues === undefined || this.#queues.some((queue) => !queue.isEmpty());
  }

  /** Of all processes that hand over, and of this one. */
  #threads() {
    const pids = [this.asker, ...this.consumers].flatMap((member) => member.pids());
    return new Map([process.pid, ...pids].map((pid) => [pid, threadsOf(pid)]));
  }

  /** True if its processes work for no other lane. */
  #isAlone() {
    return this.consumers.every(({ lanes }) => lanes.every((lane) => lane === this || lane.isShut));
  }

  /** Checks whether a message is in the queue that no consumer takes. */
  look(counts, now) {
    const progress = Number(counts.get(this.base + ASKED) + counts.get(this.base + TAKEN));
    const waits = this.asker.ready && this.consumers.some((member) => member.ready);
    if (progress === this.#progress && waits && !this.isShut && this.#isInQueue()) this.#goOnWaiting(now);
    else this.#release();
    if (progress !== this.#progress || !waits || this.isShut) this.#changed = now;
    this.#progress = progress;
    if (now - this.#changed > GIVE_UP_MS) throw new Error(`${this.name} stands still`);
  }

  #goOnWaiting(now) {
    const threads = this.#threads();
    this.#stuck ??= { since: now, first: threads, isUnwoken: false };
    const { last } = this.#stuck;
    const isQuiet = now - this.lastDeath > MOURNING_MS;
    if (last && isQuiet && this.#isAlone() && allSlept(last, threads)) this.#stuck.isUnwoken = true;
    this.#stuck.last = threads;
    this.#stuck.until = now;
  }

  #release() {
    if (this.#stuck === null) return;
    const { since, until, first, isUnwoken } = this.#stuck;
    this.#stuck = null;
    if (isUnwoken) this.unwoken++;
    if (until === since) return;
    const waitMs = Math.max(0, until - since - turnsMissed(first, this.#threads()));
    this.worstWaitMs = Math.max(this.worstWaitMs, waitMs);
    if (waitMs > LOOK_LIMIT_MS) this.lost++;
  }

  /** Messages without an answer that no dead consumer had popped. */
  astray(counts) {
    const gone = Number(counts.get(this.base + TAKEN) - counts.get(this.base + LATE));
    const kills = this.consumers.reduce((sum, { kills }) => sum + kills, 0);
    return Math.max(0, gone - kills);
  }
}

/** True if all threads of the other processes slept from the one moment to the other. */
function allSlept(before, after) {
  for (const [pid, threads] of after) {
    if (pid === process.pid) continue;
    if (threads.size !== before.get(pid)?.size) return false;
    for (const [thread, { sleeps, times }] of threads)
      if (!sleeps || before.get(pid).get(thread)?.times !== times) return false;
  }
  return true;
}

/** The ms for which these processes had to wait for a processor. Each process is as late as its latest thread. */
function turnsMissed(before, after) {
  let missed = 0;
  for (const [pid, threads] of after) {
    const each = [...threads].map(
      ([thread, { waitedMs }]) => waitedMs - (before.get(pid)?.get(thread)?.waitedMs ?? waitedMs),
    );
    missed += Math.max(0, ...each);
  }
  return missed;
}

class Traffic {
  lanes;
  #folder;
  #say;
  #counts;
  #askers;
  #consumers = {};
  #random = randomNumbers(3);
  #killed = new Map();
  #over = false;

  constructor(folder, say) {
    this.#folder = folder;
    this.#say = say;
    this.lanes = Object.entries(WAYS)
      .flatMap(([door, ways]) => [...ways, "words"].map((way) => [door, way]))
      .map(([door, way], index) => new Lane(folder, door, way, index));
  }

  async start() {
    this.#counts = openCounters(join(this.#folder, "counts"), COUNTERS * this.lanes.length);
    for (const lane of this.lanes) lane.open();
    for (const door of Object.keys(WAYS)) this.#consumers[door] = this.#membersOf(door);
    this.#askers = this.lanes.map((lane) => {
      lane.asker = new Member(lane.command("ask"), [lane]);
      return lane.asker;
    });
    const all = [...this.#askers, ...Object.values(this.#consumers).flat()];
    for (const member of all)
      for (const lane of member.lanes) if (member !== lane.asker) lane.consumers.push(member);
    await Promise.all(all.map((member) => member.start()));
  }

  /** Two of them wait for messages; changes of words are answered by one. */
  #membersOf(door) {
    const lanes = this.lanes.filter((lane) => lane.door === door);
    const ofMessages = lanes.filter((lane) => !lane.isOfWords);
    if (door === "core")
      return [...ofMessages, ...lanes].map((lane) => new Member(lane.command("answer"), [lane]));
    return [lanes, ofMessages].map((some) => {
      const words = some.map((lane) => [lane.way, lane.name, lane.base].join(":"));
      return new Member([...PROGRAMS[door](), this.#folder, ...words], some);
    });
  }

  #sum(what) {
    return this.lanes.reduce((sum, lane) => sum + Number(this.#counts.get(lane.base + what)), 0);
  }

  /** Both ways are hand-overs: there and back. */
  get #handedOver() {
    return 2 * this.#sum(ASKED);
  }

  get #kills() {
    return [...this.#killed.values()].reduce((sum, count) => sum + count, 0);
  }

  async goOn(handOvers, kills, end) {
    const goesOn = () => Date.now() < end || this.#handedOver < handOvers || this.#kills < kills;
    const killing = this.#killEvenly(handOvers, kills, goesOn);
    await Promise.race([killing, this.#watch()]);
  }

  async #watch() {
    let staged = performance.now();
    for (let stage = 0, said = 0; !this.#over; await sleep(POLL_MS)) {
      const now = performance.now();
      for (const lane of this.lanes) lane.look(this.#counts, now);
      if (now - staged > STAGE_MS) {
        staged = now;
        this.#shut(++stage);
      }
      if (now - said < 10_000) continue;
      said = now;
      this.#say(`${this.#handedOver} handed over, ${this.#kills} kills`);
    }
  }

  /** Lets all lanes work, or one. */
  #shut(stage) {
    const alone = this.lanes[(stage >> 1) % this.lanes.length];
    for (const lane of this.lanes) {
      lane.isShut = stage % 2 === 1 && lane !== alone;
      this.#counts.set(lane.base + SHUT, Number(lane.isShut));
      this.#counts.notify(lane.base + SHUT);
    }
  }

  /** Spreads the kills evenly over the hand-overs. */
  async #killEvenly(handOvers, kills, goesOn) {
    while (goesOn()) {
      await sleep(this.#random(2 * POLL_MS));
      if (this.#kills / kills <= this.#handedOver / handOvers) await this.#kill();
    }
    this.#over = true;
  }

  async #kill() {
    const kind = VICTIMS[this.#random(VICTIMS.length)];
    const door = kind === "program" ? "port" : kind;
    const all = kind === "asker" ? this.#askers : this.#consumers[door];
    const member = all[this.#random(all.length)];
    this.#killed.set(kind, (this.#killed.get(kind) ?? 0) + 1);
    await (kind === "program" ? member.killProgram() : member.killAndStart());
  }

  async finish() {
    this.#shut(0);
    const before = this.lanes.map((lane) => this.#counts.get(lane.base + ASKED));
    const hasGoneOn = () =>
      this.lanes.every((lane, i) => this.#counts.get(lane.base + ASKED) > before[i] + 1n);
    for (const end = Date.now() + GIVE_UP_MS; !hasGoneOn(); await sleep(POLL_MS))
      if (Date.now() > end) throw new Error("a lane stands still");
    for (const member of [...this.#askers, ...Object.values(this.#consumers).flat()]) await member.finish();
    for (const lane of this.lanes) lane.close();
  }

  rows() {
    const rows = this.lanes.map((lane) => this.#rowOf(lane));
    rows.push({
      fault: "an answer handed back to the core, which sleeps",
      runtime: DOORS.core,
      hits: this.#sum(ASKED),
      survived: this.#sum(ASKED),
      lost: 0,
      worstWaitMs: null,
    });
    for (const [kind, kills] of this.#killed)
      rows.push({
        fault: "kill -9 of a waiter or waker",
        runtime: { asker: "core, asker", program: "BEAM, port program" }[kind] ?? DOORS[kind],
        hits: kills,
        survived: kills,
        lost: 0,
        worstWaitMs: null,
      });
    this.#counts.close();
    return rows;
  }

  #rowOf(lane) {
    const [asked, answered, askerSlept, slept, taken, late] = [
      ASKED,
      ANSWERED,
      ASKER_SLEPT,
      ANSWERER_SLEPT,
      TAKEN,
      LATE,
    ].map((what) => Number(this.#counts.get(lane.base + what)));
    const share = (part) => `${Math.round((100 * part) / answered)} %`;
    this.#say(
      `${lane.name}: ${asked} answered, slept before ${share(slept)}, the asker before ${share(askerSlept)}; ` +
        `${taken - late} gone with the dead; ${lane.unwoken} wake-ups lost`,
    );
    const astray = lane.astray(this.#counts);
    const awake = slept < LEAST_SLEEP * answered ? 1 : 0;
    if (awake) this.#say(`${lane.name}: its consumers were awake`);
    const what = lane.isOfWords ? "a word's change" : "a message";
    const way = lane.isOfWords || lane.door === "core" ? "" : `, ${lane.way}`;
    return {
      fault: `${what} handed to a sleeping process`,
      runtime: `${DOORS[lane.door]}${way}`,
      hits: asked,
      survived: asked - lane.lost - lane.unwoken - awake,
      lost: astray,
      worstWaitMs: lane.worstWaitMs,
      waitLimitMs: LOOK_LIMIT_MS,
    };
  }
}
