// `make compose-test` runs the services of docker-compose.yml in containers, and kills and pauses them while they work. Status:
// 0 if nothing was lost or doubled, 1 if something was wrong, 69 (EX_UNAVAILABLE) if no engine can run, which is not a success.
// It removes everything afterwards, except a small Debian in the cache folder, if it had to make one.
//
//   KILLS          the number of kills of each service; default 3
//   EMMAP_VOLUME   memory (default) or disk

import { setTimeout as sleep } from "node:timers/promises";
import { makeTrouble, Progress, readTable } from "../../interop-tests/traffic/trouble.mjs";
import { baseImages } from "./base-images.mjs";
import { Composition } from "./composition.mjs";
import { engine as findEngine, NoEngine, probe } from "./engine.mjs";
import { Failed, interrupt, resume } from "./run.mjs";

const SERVICES = ["beam-nif", "beam-port", "c-musl", "node"];
const HOSTS = ["host-a", "host-b", "sender", "collector"];
const UNAVAILABLE = 69;
const kills = Number(process.env.KILLS || 3);
const say = (text) => console.log(`compose-test: ${text}`);

/** The steps that clean up. The last one runs first. */
const undo = [];
async function undoAll() {
  resume();
  while (undo.length > 0) {
    const step = undo.pop();
    await step().catch((error) => say(`could not clean up: ${error.message}`));
  }
}

let interrupted = false;
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
  process.on(signal, () => {
    if (interrupted) return;
    interrupted = true;
    say(`${signal}: cleaning up`);
    // This ends main, too.
    interrupt();
  });
}

async function main() {
  const engine = await findEngine(undo);
  const images = await baseImages(engine, undo);
  const variables = { ...images, HOLD: "yes", JOBS: "5000" };
  if (engine.own) variables.EMMAP_BUILD_NETWORK = "host";

  const progress = new Progress();
  const collected = new Collected();
  const said = [];
  const composition = await Composition.create(engine, variables, (service, line) => {
    console.log(`${service.padEnd(9)} | ${line}`);
    collected.read(line);
    if (service !== "check") return;
    said.push(line);
    progress.read(line);
  });
  undo.push(() => composition.remove());
  await probe(engine, images.DEBIAN_IMAGE);

  say("building the images");
  await composition.build();
  say("starting the services");
  await composition.up([...SERVICES, ...HOSTS, "check"]);
  const verdict = composition.wait("check").finally(() => progress.end("check has ended"));
  verdict.catch(() => {});
  await makeTrouble(composition, SERVICES, kills, progress, say);
  await inspect(composition);
  await doctor(composition);
  await composition.signal("check", "SIGUSR2");

  await hosts(composition, collected);
  if ((await verdict) !== 0) throw new Error("check found something wrong, see above");
  const table = readTable(said);
  for (const service of SERVICES) {
    const { "kills survived": survived } = table[service] ?? {};
    if (survived !== kills)
      throw new Error(`${service} survived ${survived} kills, but was killed ${kills} times`);
    const restarts = await composition.restarts(service);
    if (restarts !== 0) throw new Error(`${service} failed ${restarts} times by itself`);
  }
  return said.filter((line) => line.startsWith("|")).join("\n");
}

/** What the sender of host-a and the collector of host-b say: how many numbers have come, and the counters of both hosts. */
class Collected {
  #count = 0;
  /** The counters at the end, as each program sees them. */
  counters = new Map();

  read(line) {
    this.#count = Number(/^collector: (\d+) numbers/.exec(line)?.[1] ?? this.#count);
    const [, program, sums] = /^(\w+): counters (.*)/.exec(line) ?? [];
    if (program !== undefined) this.counters.set(program, sums);
  }

  /** Resolves to the number of numbers, once both programs have said the counters. */
  async total() {
    for (let tries = 0; this.counters.size < 2; tries++) {
      if (tries === 20) throw new Error("sender and collector have not said the counters");
      await sleep(500);
    }
    return this.#count;
  }

  /** Returns when it has more of them. */
  async more() {
    const before = this.#count;
    for (let tries = 0; this.#count <= before; tries++) {
      if (tries === 120) throw new Error("nothing arrives at host-b any more");
      await sleep(500);
    }
  }
}

/** Calls a function in the node of a host. Resolves to the answer as text. */
function inNode(composition, host, call) {
  const program = `io:format("~w", [erpc:call('emmap@${host}.emmap', ${call})]), halt().`;
  const node = ["-dist_listen", "false", "-name", `asker@${host}.emmap`];
  return composition.exec(host, "erl", "-noinput", ...node, "-eval", program);
}

/**
 * The hosts are disconnected and connected, and their nodes killed. Each number of the sender arrives once, and everything that the
 * programs and the nodes add is in the counters of both hosts once.
 */
async function hosts(composition, collected) {
  let added = 0;
  const add = async () => {
    for (const [host, value] of [
      ["host-a", 1],
      ["host-b", 10],
    ]) {
      const answer = await inNode(composition, host, `emmap_cluster, add, [hits, 2, ${value}]`);
      if (answer !== "ok") throw new Error(`the node of ${host} could not add: ${answer}`);
      added += value;
    }
  };
  await collected.more();
  await add();
  for (const [host, alias] of [
    ["host-b", "host-b.emmap"],
    ["host-a", "host-a.emmap"],
  ]) {
    say(`disconnecting ${host} for 12 s`);
    await composition.disconnect(host);
    await sleep(12_000);
    await composition.connect(host, alias);
    await collected.more();
    await add();
    say(`killing ${host}`);
    await composition.kill(host);
    await composition.start(host);
    await collected.more();
  }
  const verdicts = ["sender", "collector"].map((program) => composition.wait(program));
  await composition.signal("sender", "SIGUSR2");
  const [sender, collector] = await Promise.all(verdicts);
  if (collector !== 0)
    throw new Error(
      "the collector of host-b has lost numbers, or has them twice, or counts wrong; see above",
    );
  if (sender !== 0) throw new Error("the sender of host-a counts wrong; see above");
  const numbers = await collected.total();
  const expected = `${numbers} ${numbers} ${added}`;
  const seen = Object.fromEntries(collected.counters);
  for (const host of ["host-a", "host-b"]) {
    const read = (index) => inNode(composition, host, `emmap_cluster, read, [hits, ${index}]`);
    const answers = [await read(0), await read(1), await read(2)];
    seen[host] = answers.map((answer) => /^{ok,(\d+)}$/.exec(answer)?.[1] ?? answer).join(" ");
  }
  for (const [where, sums] of Object.entries(seen))
    if (sums !== expected)
      throw new Error(`the counters of both hosts are ${sums} in ${where}, not ${expected}`);
  say(`the counters of both hosts are ${expected} in ${Object.keys(seen).join(", ")}`);
}

/** Checks that the services have only the rights of docker-compose.yml, and that the files belong to their group. */
async function inspect(composition) {
  const expect = async (service, expected, ...command) => {
    const found = await composition.exec(service, "sh", "-c", ...command);
    if (found !== expected) throw new Error(`${service}: ${command} gives ${found}, not ${expected}`);
  };
  await expect("beam-nif", "10001 10000", "echo $(id -u) $(id -g)");
  await expect("beam-port", "10001 10000", "echo $(id -u) $(id -g)");
  await expect("node", "10002 10000", "echo $(id -u) $(id -g)");
  for (const service of ["beam-nif", "node"])
    await expect(service, "", "command -v cc gcc c++ g++ make || true");
  await expect("node", "2770 10000", "stat -c '%a %g' /shared");
  // Its image has no shell. Either it or the worker creates its queue of answers: the one that starts first.
  const user = await composition.user("c-musl");
  if (user !== "10003:10000") throw new Error(`c-musl runs as ${user}, not as 10003:10000`);
  const owners = "find /shared -mindepth 1 -exec stat -c %u {} + | sort -u | grep -vE '^1000[123]$' || true";
  await expect("node", "", owners);
  const modes = (type) => `find /shared -mindepth 1 -type ${type} -exec stat -c '%a %g' {} + | sort -u`;
  await expect("node", "660 10000", modes("f"));
  // The live folders.
  await expect("node", "770 10000", modes("d"));
}

/** Asks the command what works in the containers that have it. The other images have no Node. */
async function doctor(composition) {
  for (const service of ["node", "check"]) {
    const command = ["node", "node_modules/emmap/dist/cli/emmap.js", "doctor", "/shared", "--json"];
    // Its status is 1, and so this fails, if something does not work.
    const findings = (await composition.exec(service, ...command))
      .split("\n")
      .map((line) => JSON.parse(line));
    for (const { check, state, found } of findings)
      if (state !== "ok") say(`doctor in ${service}: ${check}: ${found}`);
    say(`doctor in ${service}: ${findings.filter(({ state }) => state === "ok").length} checks are ok`);
  }
}

try {
  const table = await main();
  await undoAll();
  say("passed");
  console.log(`\n${table}`);
} catch (error) {
  await undoAll();
  if (interrupted) {
    process.exitCode = 1;
  } else if (error instanceof NoEngine) {
    say(`NOT RUN: ${error.message}`);
    process.exitCode = UNAVAILABLE;
  } else {
    say(`FAILED: ${error instanceof Failed ? error.message : error.stack}`);
    process.exitCode = 1;
  }
}
