// From BEAM to Node: a queue beside the ways that there are between the same two processes otherwise.
//
//   make && node bench/across.mjs [--quick]
//
// BEAM (across.escript) sends jobs as it makes them, Node takes them and decodes them with emmap/etf; a round lasts from
// the word to begin until Node has the last one. One by one, each job is a push, a write of one frame to a socket, or an
// RPUSH; by 64, a pushMany, a write of 64 frames, or an RPUSH of 64. Node reads a socket as its data comes, many frames
// at once where they have gathered; it pops in a loop.

import { spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { decode } from "../dist/etf/index.mjs";
import { openQueue } from "../dist/index.mjs";
import { folder } from "./folder.mjs";
import { able, section } from "./records.mjs";
import { startRedis } from "./redis.mjs";
import { kept, median, QUICK, shuffled } from "./rounds.mjs";

const BATCH = 64;
const ROUNDS = QUICK ? 3 : 41;
const JOBS = QUICK ? 512 : 8192;
/** Redis is asked for each message, and takes its time. */
const REDIS_JOBS = JOBS / 8;
const PACED = QUICK ? 200 : 2000;
const PACED_ROUNDS = QUICK ? 1 : 8;
const PACE_MICROSECONDS = 200;

const records = section("Queues");
const queue = openQueue(join(folder, "queue"), { size: 1 << 20 });

// --- How Node takes messages: each way a function that gives so many to `take`, and is done -----------------------

async function fromQueue(count, size, take) {
  for (let i = 0; i < count; ) {
    if (size === 1) {
      const message = queue.pop();
      if (message === null) continue;
      take(message);
      i++;
    } else {
      const messages = queue.popMany(size);
      for (const message of messages) take(message);
      i += messages.length;
    }
  }
}

/** Listens, and answers how to take frames of {packet, 4} from the one who connects. */
async function socketServer(address) {
  let onFrame;
  let rest = Buffer.alloc(0);
  const server = createServer((socket) => {
    socket.setNoDelay(true);
    socket.on("data", (data) => {
      const bytes = rest.length === 0 ? data : Buffer.concat([rest, data]);
      let at = 0;
      while (bytes.length - at >= 4) {
        const end = at + 4 + bytes.readUInt32BE(at);
        if (end > bytes.length) break;
        onFrame(bytes.subarray(at + 4, end));
        at = end;
      }
      rest = bytes.subarray(at);
    });
  });
  await new Promise((resolve) => server.listen(address, resolve));
  const receive = (count, _size, take) =>
    new Promise((resolve) => {
      let left = count;
      onFrame = (frame) => {
        take(decode(frame));
        if (--left === 0) resolve();
      };
    });
  return { server, receive };
}

async function redisReceiver() {
  const { RESP_TYPES } = await import("@redis/client");
  const { client, close } = await startRedis(folder);
  const list = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  const receive = async (count, size, take) => {
    for (let i = 0; i < count; ) {
      if (size === 1) {
        const { element } = await list.blPop("jobs", 0);
        take(decode(element));
        i++;
      } else {
        const elements = (await list.lPopCount("jobs", size)) ?? [];
        for (const element of elements) take(decode(element));
        i += elements.length;
      }
    }
  };
  return { receive, close };
}

// --- Both halves -------------------------------------------------------------------------------------------------

const unix = await socketServer(join(folder, "socket"));
const tcp = await socketServer(0);
const redis = await able(records, "Redis", redisReceiver);
const ways = {
  queue: fromQueue,
  unix: unix.receive,
  tcp: tcp.receive,
  ...(redis && { redis: redis.receive }),
};

const beam = spawn(
  "escript",
  [join(import.meta.dirname, "across.escript"), folder, String(tcp.server.address().port)],
  { stdio: ["pipe", "pipe", "inherit"] },
);
process.on("exit", () => beam.kill());
beam.on("exit", (status) => {
  if (status !== 0) process.exit(1);
});
await new Promise((resolve) => createInterface({ input: beam.stdout }).once("line", resolve));

/** Nanoseconds a message. */
async function time(way, size) {
  const count = way === "redis" ? REDIS_JOBS : JOBS;
  let next = 0;
  const begin = process.hrtime.bigint();
  beam.stdin.write(`send ${way} ${count} ${size}\n`);
  await ways[way](count, size, (job) => {
    if (job.elements[1] !== next++) throw new Error(`${way}: a job is missing`);
    kept.value = job;
  });
  return Number(process.hrtime.bigint() - begin) / count;
}

/** How long each of many messages was on its way, in nanoseconds, from the shortest to the longest. */
async function latencies(way) {
  const all = [];
  beam.stdin.write(`pace ${way} ${PACED} ${PACE_MICROSECONDS}\n`);
  await ways[way](PACED, 1, (sent) => all.push(Number(process.hrtime.bigint() - BigInt(sent))));
  return all.sort((a, b) => a - b);
}

const names = {
  unix: "a unix socket",
  tcp: "a TCP connection",
  redis: "a Redis list",
};
const peers = Object.keys(ways).filter((way) => way !== "queue");
const contestants = Object.keys(ways).flatMap((way) => [
  [way, 1],
  [way, BATCH],
]);
const rounds = [];
for (let i = -1; i < ROUNDS; i++) {
  const round = {};
  for (const [way, size] of shuffled(contestants)) round[way + size] = await time(way, size);
  if (i >= 0) rounds.push(round); // the first one warms up
}
const ratio = (one, other) => median(rounds.map((round) => round[one] / round[other]));

const one = "BEAM to Node, one by one";
const many = `BEAM to Node, by ${BATCH}`;
const faster = { sense: "times as fast" };
for (const peer of peers) {
  const limited = peer === "unix";
  const name = names[peer];
  records.ratio(one, ratio(`${peer}1`, "queue1"), name, limited ? { limit: "at least 2" } : faster);
  records.ratio(
    many,
    ratio(`${peer}1`, `queue${BATCH}`),
    `${name}, one by one`,
    limited ? { limit: "at least 8" } : faster,
  );
  records.ratio(many, ratio(`${peer}${BATCH}`, `queue${BATCH}`), `${name}, by ${BATCH}`, faster);
}

const percentiles = [];
for (let i = 0; i < PACED_ROUNDS; i++) {
  const round = {};
  for (const way of shuffled(Object.keys(ways))) round[way] = await latencies(way);
  percentiles.push(round);
}
const at = (share, peer) =>
  median(
    percentiles.map(({ queue, [peer]: other }) => {
      const index = Math.floor(PACED * share);
      return queue[index] / other[index];
    }),
  );
for (const peer of peers)
  records.percentiles(
    "BEAM to Node, time of a message on its way",
    { p50: at(0.5, peer), p99: at(0.99, peer), p999: at(0.999, peer) },
    names[peer],
  );

beam.stdin.end();
await new Promise((resolve) => beam.on("close", resolve));
unix.server.close();
tcp.server.close();
await redis?.close();
queue.close();
