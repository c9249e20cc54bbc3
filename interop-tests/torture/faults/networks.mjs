// Three hosts, whose clocks are hours apart, push messages to each other through relays. Meanwhile their links are cut both ways and one way,
// slowed and delayed, their nodes are killed and stopped, and their wall clocks are set. Every message arrives once, every
// addition is in all sums once, and no more hits are allowed than a strict limit has. A seed makes a schedule: all faults in a random
// order, each at a random host for a random time, at times several at once. SEED=N runs one schedule, SEEDS=N so many; 24 are a
// long round.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { BudgetHits } from "../support/budget-hits.mjs";
import { Clocks } from "../support/clocks.mjs";
import { ClusterCounts } from "../support/cluster-counts.mjs";
import { HostClock, requireClocks } from "../support/host-clock.mjs";
import { network, PORT, requireNetworks } from "../support/network.mjs";
import { portProgramOf } from "../support/proc.mjs";
import { MEMORY, Peer, withFolder } from "../support/processes.mjs";
import { randomNumbers } from "../support/random.mjs";
import { Relays } from "../support/relays.mjs";
import { Row } from "../support/rows.mjs";

export const title = "networks that fail between hosts, hosts that fail, and clocks that are set";
export const shortSeconds = 0;

const SEEDS = 24;
const HOSTS = 3;
/** Each host's relay, and where it sends to. */
const ROUTES = [
  { from: 1, to: 3 },
  { from: 2, to: 3 },
  { from: 3, to: 1 },
];
/** A wall clock is set by up to so many hours, to either side of this machine's. */
const MOST_HOURS = 48;
/** Nothing arrives for so long, in ms, after all faults have ended: then it is lost. */
const GIVE_UP_MS = 60_000;
const TICK_MS = 5;

const script = fileURLToPath(new URL("../../../erlang/bin/emmap_node", import.meta.url));
const program = fileURLToPath(new URL("../support/host_program.mjs", import.meta.url));
/** Nodes notice within 4 to 5 seconds that another one is gone, and share the machine. */
const ARGUMENTS = [
  ...["-start_epmd", "false", "-erl_epmd_port", String(PORT), "-setcookie", "networks"],
  ...["-kernel", "inet_dist_listen_min", String(PORT), "inet_dist_listen_max", String(PORT)],
  ...["net_ticktime", "4", "net_setuptime", "2", "logger_level", "error"],
  ...["prevent_overlapping_partitions", "false"],
  ...["+S", "1:1", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none"],
];

const nodeOf = (number) => `emmap@10.77.0.${number}`;

class Node {
  #peer;
  #killing = null;

  constructor(host, clock, folder, lines) {
    this.host = host;
    this.clock = clock;
    this.config = join(folder, `node-${host.number}.config`);
    writeFileSync(this.config, `${lines.join("\n")}\n`);
    this.start();
  }

  start() {
    const wrapper = [...this.host.wrapper, ...this.clock.wrapper];
    const [command, ...args] = [...wrapper, script, nodeOf(this.host.number), this.config];
    this.#peer = new Peer(command, [...args, ...ARGUMENTS]);
  }

  /** Kills it, and starts it again; at once for all who ask meanwhile. */
  kill() {
    this.#killing ??= this.#peer.kill().then(() => {
      this.start();
      this.#killing = null;
    });
    return this.#killing;
  }

  signal(signal) {
    this.#peer.signal(signal);
  }

  /** False: it has not started one yet. */
  killProgram() {
    const pid = portProgramOf(this.#peer.pid);
    if (pid === undefined) return false;
    process.kill(pid, "SIGKILL");
    return true;
  }

  get errors() {
    return this.#peer.errors;
  }
}

/** Each does its fault to a host for a while; false: it could not. */
const FAULTS = {
  "link cut both ways": async ({ host, time }) => {
    host.cut();
    await time(50, 6000);
  },
  "link cut, nothing comes": async ({ host, time }) => {
    host.cutOneWay("in");
    await time(50, 6000);
  },
  "link cut, nothing goes": async ({ host, time }) => {
    host.cutOneWay("out");
    await time(50, 6000);
  },
  "link slowed": async ({ host, below, time }) => {
    host.slow(64 + below(1000));
    await time(500, 2000);
  },
  "link delayed": async ({ delay, below, time }) => {
    await delay(20 + below(400));
    await time(500, 2000);
    await delay(0);
  },
  "node killed": async ({ node, time }) => {
    await node.kill();
    await time(200, 1700);
  },
  "node stopped": async ({ node, time }) => {
    node.signal("SIGSTOP");
    await time(50, 7000);
    node.signal("SIGCONT");
  },
  "wall clock set": async ({ clock, below, time }) => {
    clock.set(below(2 * MOST_HOURS) - MOST_HOURS);
    await time(50, 2000);
  },
  "port program killed": async ({ node, time }) => {
    const done = node.killProgram();
    await time(200, 700);
    return done;
  },
};

/** All faults in a random order, and a few once more. */
function schedule(below, door) {
  const names = Object.keys(FAULTS).filter((name) => door === "port" || name !== "port program killed");
  for (let i = names.length - 1; i > 0; i--) {
    const j = below(i + 1);
    [names[i], names[j]] = [names[j], names[i]];
  }
  return [...names, ...names.slice(0, 2), "node killed"];
}

/** Runs one schedule; resolves to how often each fault happened, and the verdicts. */
async function play(seed, door, folder, pace, say) {
  const below = randomNumbers(seed);
  /** Waits for a random time between these, in ms. */
  const time = (least, most) => sleep(pace * (least + below(most - least)));
  const hosts = await network(HOSTS);
  const delay = await hosts[0].delayed(hosts[2]);
  const clocks = hosts.map(({ number }) => new HostClock(folder, number));
  const programs = clocks.map(
    ({ wrapper: [command, ...args] }) => new Peer(command, [...args, process.execPath, program]),
  );
  const actors = [
    new Relays(folder, ROUTES),
    new ClusterCounts(folder, HOSTS),
    new BudgetHits(folder, programs),
    new Clocks(folder, programs, clocks),
  ];
  const nodes = hosts.map((host, i) => {
    const lines = actors.flatMap((actor) => actor.config(host.number, nodeOf, door));
    return new Node(host, clocks[i], folder, lines);
  });
  const hits = new Map();
  let working = true;
  const work = (async () => {
    while (working) {
      for (const actor of actors) actor.work();
      await sleep(TICK_MS);
    }
  })();
  try {
    const strike = async (name) => {
      const at = below(HOSTS);
      say(`seed ${seed}: host ${at + 1}: ${name}`);
      const done = await FAULTS[name]({
        host: hosts[at],
        node: nodes[at],
        clock: clocks[at],
        delay,
        below,
        time,
      });
      if (done !== false) hits.set(name, (hits.get(name) ?? 0) + 1);
    };
    await time(500, 1000);
    for (const name of schedule(below, door)) {
      // Mostly a node dies meanwhile.
      const second = below(4) > 0 ? strike("node killed") : null;
      await strike(name);
      await second;
      for (const host of hosts) host.heal();
      await time(0, 800);
    }
    working = false;
    await work;
    for (let since = performance.now(); !actors.every((actor) => actor.isSettled()); await sleep(TICK_MS))
      if (performance.now() - since > GIVE_UP_MS) break;
    // What comes twice comes within this time.
    await sleep(500);
    const verdicts = actors.map((actor) => actor.verdict());
    for (const { what, count, lost, doubled } of verdicts) {
      say(`seed ${seed}: ${count} ${what}, ${lost} lost, ${doubled} doubled`);
      if (lost + doubled > 0) for (const node of nodes) say(node.errors);
    }
    return { hits, wrong: verdicts.reduce((sum, { lost, doubled }) => sum + lost + doubled, 0) };
  } finally {
    working = false;
    await work;
    for (const actor of actors) actor.close();
  }
}

export async function run({ seconds, say }) {
  await requireNetworks();
  requireClocks();
  const count = Number(process.env.SEEDS ?? (seconds <= shortSeconds ? 1 : SEEDS));
  // In `make test` the faults are short: links are back before nodes notice.
  const pace = seconds <= shortSeconds ? 0.3 : 1;
  const first = Number(process.env.SEED ?? 1);
  const rows = new Map();
  for (let seed = first; seed < first + (process.env.SEED ? 1 : count); seed++) {
    const door = seed % 2 === 1 ? "nif" : "port";
    const { hits, wrong } = await withFolder((folder) => play(seed, door, folder, pace, say), MEMORY);
    for (const [name, times] of hits) {
      const key = `${name}, ${door}`;
      if (!rows.has(key)) rows.set(key, new Row(name, door));
      const row = rows.get(key);
      for (let i = 0; i < times; i++) row.count({});
      // A schedule does not tell which of its faults it was.
      row.lost += wrong;
    }
  }
  return [...rows.values()];
}
