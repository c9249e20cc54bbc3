// Round trips between Node and BEAM while both sleep: by waiting for words, by waiting for messages, and by a unix socket.
//
//   make && node bench/node/wake.mjs [--quick]
//
// By words: Node changes a counter and notifies; BEAM (wake.escript) wakes, changes another counter and notifies; Node
// wakes. By queues: each pushes a message, for which the other sleeps. By the socket: each writes eight bytes, and the
// other sleeps until they come. By the bare port: each writes a byte that a program forwards (fifo_port.c), which is the
// least that a port program needs. Node sleeps for a millisecond between two round trips.
import { execFileSync, spawn } from "node:child_process";
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { createServer, Socket } from "node:net";
import { join } from "node:path";
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
const counters = openCounters(join(folder, "wake"), 2);

const server = createServer();
const connection = new Promise((resolve) => server.once("connection", resolve));
await new Promise((resolve) => server.listen(join(folder, "wake.sock"), resolve));
const bare = compile(join(import.meta.dirname, "../native/fifo_port.c"));
const fifos = ["bare-there", "bare-back"].map((name) => join(folder, name));
execFileSync("mkfifo", fifos);
const bothEnds = constants.O_RDWR | constants.O_NONBLOCK;
const [bareThere, bareBack] = fifos.map((path) => openSync(path, bothEnds));
const bareSocket = new Socket({ fd: bareBack, writable: false });
const beam = spawn("escript", [join(import.meta.dirname, "../beam/wake.escript"), folder, bare], {
  stdio: ["pipe", "pipe", "inherit"],
});
process.on("exit", () => beam.kill());
beam.on("exit", (status) => {
  if (status !== 0) process.exit(1);
});
await new Promise((resolve) => createInterface({ input: beam.stdout }).once("line", resolve));
const socket = await connection;

async function byCounters() {
  const seen = counters.add(0, 1n);
  counters.notify(0, 1);
  while (counters.get(1) === seen) await counters.wait(1, seen);
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

async function byBarePort() {
  const answered = new Promise((resolve) => bareSocket.once("data", resolve));
  writeSync(bareThere, eight, 0, 1);
  await answered;
}

const WAYS = {
  nif: byCounters,
  port: byCounters,
  "nif-queue": byQueue,
  "port-queue": byQueue,
  "bare-port": byBarePort,
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
for (const [way, name] of [
  ["nif", "BEAM over the NIF"],
  ["port", "BEAM over the port"],
])
  records.percentiles(
    `Node to ${name} and back, each asleep until the other's notify`,
    { p50: at(0.5, way), p99: at(0.99, way), p999: at(0.999, way) },
    "a unix socket",
  );
for (const [way, name, beside = "unix", peer = "a unix socket"] of [
  ["nif-queue", "BEAM over the NIF"],
  ["port-queue", "BEAM over the port"],
  ["port-queue", "BEAM over the port", "bare-port", "a byte through a bare port program"],
])
  records.percentiles(
    `Node to ${name} and back, each asleep until the other's message`,
    { p50: at(0.5, way, beside), p99: at(0.99, way, beside), p999: at(0.999, way, beside) },
    peer,
  );
records.percentiles(
  "Node to BEAM through a bare port program and back, a byte each",
  { p50: at(0.5, "bare-port"), p99: at(0.99, "bare-port"), p999: at(0.999, "bare-port") },
  "a unix socket",
);
records.note(
  "A wait for a word has a thread of the core, which wakes the runtime. So on BEAM and on Node one thread more has to wake than with a socket. Messages wake Node's and the port program's event loops without such a thread. Through a port each way wakes one process more than a socket does, so a bare port program is the floor. Over the port the change and the notify are two requests.",
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
bareSocket.destroy();
closeSync(bareThere);
server.close();
counters.close();
there.close();
back.close();
