// Round trips between Node and BEAM while both sleep: by waiting for words, by waiting for messages, and by a unix socket.
//
//   make && node bench/node/wake.mjs [--quick]
//
// By words: Node changes a counter and notifies; BEAM (wake.escript) wakes, changes it and notifies; Node wakes. By queues:
// each pushes a message, for which the other sleeps. By the socket: each writes eight bytes, and the other sleeps until they
// come. Node sleeps for a millisecond between two round trips.
//
// The floors do as little as each way of waiting must. By the bare NIF each writes a byte, for which a thread of the NIF sleeps
// on BEAM (bare_nif.c). By the bare port each writes a byte that a program forwards (fifo_port.c). By the bare port twice BEAM
// asks the program something, and only then writes its byte, as a message has to be removed after its term is made. No event
// loop can watch a word, so for words a thread sleeps in Node as well (bare_addon.c), and one in the bare port.
import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { createServer, Socket } from "node:net";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { compile } from "../harness/native.mjs";
import { section } from "../harness/records.mjs";
import { median, QUICK, shuffled } from "../harness/rounds.mjs";

const TURNS = QUICK ? 100 : 1000;
const ROUNDS = QUICK ? 1 : 6;
const IDLE = 100;
const IDLE_MILLISECONDS = QUICK ? 1000 : 3000;
/** The share of a processor for all waits of a process together. */
const IDLE_SHARE = 0.002;

const records = section("Waiting");
const counters = openCounters(join(folder, "wake"), 1);

const server = createServer();
const connection = new Promise((resolve) => server.once("connection", resolve));
await new Promise((resolve) => server.listen(join(folder, "wake.sock"), resolve));
const bare = compile(join(import.meta.dirname, "../native/fifo_port.c"));
const [bareNif, barePort] = ["nif", "bare"].map(openFifos);
const addon = loadAddon(join(import.meta.dirname, "../native/bare_addon.c"));
const thread = openThread("thread");
const beam = spawn("escript", [join(import.meta.dirname, "../beam/wake.escript"), folder, bare], {
  stdio: ["pipe", "pipe", "inherit"],
});
process.on("exit", () => beam.kill());
beam.on("exit", (status) => {
  if (status !== 0) process.exit(1);
});
await new Promise((resolve) => createInterface({ input: beam.stdout }).once("line", resolve));
const socket = await connection;

/** The FIFOs `NAME-there`, for bytes to BEAM, and `NAME-back`. */
function openFifos(name) {
  const paths = ["there", "back"].map((way) => join(folder, `${name}-${way}`));
  execFileSync("mkfifo", paths);
  const [there, back] = paths.map((path) => openSync(path, constants.O_RDWR | constants.O_NONBLOCK));
  return { there, back: new Socket({ fd: back, writable: false }) };
}

function loadAddon(source) {
  const headers = join(dirname(process.execPath), "../include/node");
  const library = join(folder, "bare_addon.node");
  execFileSync("cc", ["-O2", "-shared", "-fPIC", `-I${headers}`, "-o", library, source]);
  return createRequire(import.meta.url)(library);
}

/** The FIFOs `NAME-there`, and `NAME-back`, of which the addon's thread tells. */
function openThread(name) {
  const [there, back] = ["there", "back"].map((way) => join(folder, `${name}-${way}`));
  execFileSync("mkfifo", [there, back]);
  const result = { there: openSync(there, constants.O_RDWR | constants.O_NONBLOCK), woken: undefined };
  addon.watch(back, () => result.woken());
  return result;
}

async function byCounters() {
  const asked = counters.add(0, 1n) + 1n;
  counters.notify(0, 1);
  while (counters.get(0) === asked) await counters.wait(0, asked);
}

const there = openQueue(join(folder, "there"));
const back = openQueue(join(folder, "back"));
async function byQueue() {
  there.push(1);
  await back.receive();
}

const eight = Buffer.alloc(8);
async function bySocket() {
  const answered = new Promise((resolve) => socket.once("data", resolve));
  socket.write(eight);
  await answered;
}

const byFifos =
  ({ there, back }) =>
  async () => {
    const answered = new Promise((resolve) => back.once("data", resolve));
    writeSync(there, eight, 0, 1);
    await answered;
  };

const byThreads = (there) => async () => {
  const answered = new Promise((resolve) => {
    thread.woken = resolve;
  });
  writeSync(there, eight, 0, 1);
  await answered;
};

const WAYS = {
  nif: byCounters,
  port: byCounters,
  "nif-queue": byQueue,
  "port-queue": byQueue,
  "bare-nif": byFifos(bareNif),
  "bare-nif-thread": byThreads(bareNif.there),
  "bare-port-thread": byThreads(thread.there),
  "bare-port": byFifos(barePort),
  "bare-port-twice": byFifos(barePort),
  unix: bySocket,
};

/** The nanoseconds of each round trip, from the shortest to the longest. */
async function turns(way) {
  const all = [];
  beam.stdin.write(`${way} ${TURNS}\n`);
  for (let i = 0; i < TURNS; i++) {
    await sleep(1);
    const begin = process.hrtime.bigint();
    await WAYS[way]();
    all.push(Number(process.hrtime.bigint() - begin));
  }
  return all.sort((a, b) => a - b);
}

const rounds = [];
for (let i = -1; i < ROUNDS; i++) {
  const round = {};
  for (const way of shuffled(Object.keys(WAYS))) round[way] = await turns(way);
  if (i >= 0) rounds.push(round); // the first one warms up
}
const at = (share, way, beside = "unix") =>
  median(
    rounds.map(({ [beside]: peer, [way]: ours }) => {
      const index = Math.floor(TURNS * share);
      return ours[index] / peer[index];
    }),
  );
for (const [way, name, beside = "unix", peer = "a unix socket"] of [
  ["nif", "BEAM over the NIF"],
  ["nif", "BEAM over the NIF", "bare-nif-thread", "a byte through bare threads on both sides"],
  ["port", "BEAM over the port"],
  [
    "port",
    "BEAM over the port",
    "bare-port-thread",
    "a byte through bare threads on both sides, and a bare port program",
  ],
])
  records.percentiles(
    `Node to ${name} and back, each asleep until the other's notify`,
    { p50: at(0.5, way, beside), p99: at(0.99, way, beside), p999: at(0.999, way, beside) },
    peer,
  );
for (const [way, name, beside = "unix", peer = "a unix socket"] of [
  ["nif-queue", "BEAM over the NIF"],
  ["nif-queue", "BEAM over the NIF", "bare-nif", "a byte through a bare NIF's thread"],
  ["port-queue", "BEAM over the port"],
  [
    "port-queue",
    "BEAM over the port",
    "bare-port-twice",
    "a byte through a bare port program, asked once more",
  ],
])
  records.percentiles(
    `Node to ${name} and back, each asleep until the other's message`,
    { p50: at(0.5, way, beside), p99: at(0.99, way, beside), p999: at(0.999, way, beside) },
    peer,
  );
for (const [way, through] of [
  ["bare-nif", "a bare NIF's thread and back"],
  ["bare-nif-thread", "a bare NIF's thread, and back through a bare addon's thread"],
  ["bare-port", "a bare port program and back"],
  ["bare-port-twice", "a bare port program, asked once more, and back"],
  ["bare-port-thread", "a thread of a bare port program, and back through a bare addon's thread"],
])
  records.percentiles(
    `Node to BEAM through ${through}, a byte each`,
    { p50: at(0.5, way), p99: at(0.99, way), p999: at(0.999, way) },
    "a unix socket",
  );
records.note(
  "A wait for a word has a thread of the core, which wakes the runtime. So in Node and in the port program one thread more has to wake than with a socket, as in the bare ones beside it. Messages wake Node's and the port program's event loops without such a thread; over the NIF a thread wakes the process, so a bare NIF's thread is the floor. Over the port the message is removed by a request of its own, after its term is made, so that a refused message stays; the floor is a bare port program that is asked once more.",
);

const waits = Array.from({ length: IDLE }, () => counters.wait(0, counters.get(0)));
await sleep(100);
const before = process.cpuUsage();
await sleep(IDLE_MILLISECONDS);
const { user, system } = process.cpuUsage(before);
records.ratio(
  `${IDLE} waits in a Node process, processor time`,
  (user + system) / 1000 / IDLE_MILLISECONDS / IDLE_SHARE,
  "0.2 % of a core",
  { limit: "at most 1" },
);
counters.add(0, 1n);
counters.notify(0);
await Promise.all(waits);

beam.stdin.end();
await new Promise((resolve) => beam.on("close", resolve));
socket.destroy();
for (const { there, back } of [bareNif, barePort]) {
  back.destroy();
  closeSync(there);
}
closeSync(thread.there);
server.close();
counters.close();
there.close();
back.close();
