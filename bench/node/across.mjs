// Messages from BEAM to Node: a queue beside other ways between the same two processes.
//
//   make && node bench/node/across.mjs [--quick]
//
// BEAM (across.escript) makes and sends messages. Node takes them and decodes them with emmap/etf. A round lasts from the
// command to begin until Node has the last message. One by one, each message is a push, a write of one frame to a socket,
// or an RPUSH. By 64, it is a pushMany, a write of 64 frames, or an RPUSH of 64. Node reads a socket when data comes, and
// may get many frames at once. It empties a queue once a millisecond; other rows pop one by one in a loop. Small messages
// are {tick, Number}; the others are jobs as in queue.mjs.

import { execFileSync, spawn } from "node:child_process";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { atom, decode, encode, tuple } from "../../dist/etf/index.mjs";
import { EMPTY, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { startRedis } from "../harness/redis.mjs";
import { kept, median, QUICK, shuffled } from "../harness/rounds.mjs";

const BATCH = 64;
const ROUNDS = QUICK ? 2 : 15;
const MESSAGES = QUICK ? 512 : 32_768;
const GATHERED = 4096;
/** Fewer for Redis, which is asked for each message. */
const REDIS_MESSAGES = MESSAGES / 32;
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
      if (message === EMPTY) continue;
      take(message);
      i++;
    } else {
      const messages = queue.popMany(size);
      for (const message of messages) take(message);
      i += messages.length;
    }
  }
}

/** Takes messages as a program does that has other work too. */
async function gathered(count, _size, take) {
  for (let i = 0; i < count; ) {
    const messages = queue.popMany(GATHERED);
    for (const message of messages) take(message);
    i += messages.length;
    if (messages.length < GATHERED) await sleep(1);
  }
}

/** Listens on a socket. Returns a function that takes frames of {packet, 4} from the peer that connects. */
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
  gathered,
  unix: unix.receive,
  tcp: tcp.receive,
  ...(redis && { redis: redis.receive }),
};

const beam = spawn(
  "escript",
  [join(import.meta.dirname, "../beam/across.escript"), folder, String(tcp.server.address().port)],
  { stdio: ["pipe", "pipe", "inherit"] },
);
process.on("exit", () => beam.kill());
beam.on("exit", (status) => {
  if (status !== 0) process.exit(1);
});
const answers = createInterface({ input: beam.stdout });
const answer = () => new Promise((resolve) => answers.once("line", resolve));
await answer();

/** Nanoseconds a message. */
async function time(way, size, what) {
  const count = way === "redis" ? REDIS_MESSAGES : MESSAGES;
  let next = 0;
  const begin = process.hrtime.bigint();
  beam.stdin.write(`${way === "gathered" ? "queue" : way} ${count} ${size} ${what}\n`);
  await ways[way](count, size, (message) => {
    if (message.elements[1] !== next++) throw new Error(`${way}: a message is missing`);
    kept.value = message;
  });
  return Number(process.hrtime.bigint() - begin) / count;
}

/** The nanoseconds of locking and unlocking, which every push and pop of a shared queue needs. */
function lockAlone() {
  return Number(execFileSync(lockPair, [join(folder, "lock"), String(MESSAGES)], { encoding: "utf8" }));
}

const lockPair = join(folder, "lock_pair");
execFileSync("cc", ["-O2", "-o", lockPair, join(import.meta.dirname, "../native/lock_pair.c")]);

const bytesOf = {
  tick: encode(tuple(atom("tick"), 4096)),
  job: encode(
    tuple(
      atom("job"),
      4096,
      atom("send_mail"),
      [tuple(atom("to"), "grace@example.org"), tuple(atom("retries"), 3)],
      atom("high"),
    ),
  ),
};

/** The nanoseconds in which BEAM encodes a message, in every way of sending. */
async function encodeAlone(what) {
  beam.stdin.write(`none ${MESSAGES} 1 ${what}\n`);
  return Number(await answer()) / MESSAGES;
}

/** The nanoseconds in which Node decodes a message, in every way of taking. */
function decodeAlone(what) {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) kept.value = decode(bytesOf[what]);
  return Number(process.hrtime.bigint() - begin) / MESSAGES;
}

/** The latency of each message in nanoseconds, from the shortest to the longest. */
async function latencies(way) {
  const all = [];
  beam.stdin.write(`${way} ${PACED} ${PACE_MICROSECONDS} pace\n`);
  await ways[way](PACED, 1, (sent) => all.push(Number(process.hrtime.bigint() - BigInt(sent))));
  return all.sort((a, b) => a - b);
}

const names = {
  unix: "a unix socket",
  tcp: "a TCP connection",
  redis: "a Redis list",
};
const peers = Object.keys(ways).filter((way) => way in names);
const faster = { sense: "times as fast" };
const contestants = [
  ...Object.keys(ways).flatMap((way) => [`${way} 1`, `${way} ${BATCH}`]),
  "decode",
  "encode",
  "lock",
].filter((name) => name !== `gathered ${BATCH}`);
const alone = { decode: decodeAlone, encode: encodeAlone, lock: lockAlone };

for (const [what, messages] of [
  ["tick", "small messages"],
  ["job", "jobs"],
]) {
  const rounds = [];
  for (let i = -1; i < ROUNDS; i++) {
    const round = {};
    for (const contestant of shuffled(contestants)) {
      const [way, size] = contestant.split(" ");
      round[contestant] = way in alone ? await alone[way](what) : await time(way, Number(size), what);
    }
    if (i >= 0) rounds.push(round); // the first one warms up
  }
  const ratio = (one, other) => median(rounds.map((round) => round[one] / round[other]));
  const one = `BEAM to Node, ${messages} one by one`;
  const many = `BEAM to Node, ${messages} by ${BATCH}`;
  const least = `encoding ${messages} on BEAM and locking once for each, and nothing else`;
  const decoding = `decoding ${messages} on Node, and nothing else`;
  const socket = `${names.unix}, one by one`;
  for (const peer of peers) {
    const limit = (atLeast, floor) => (peer === "unix" ? { limit: `at least ${atLeast}`, floor } : faster);
    records.ratio(
      one,
      ratio(`${peer} 1`, "gathered 1"),
      `${names[peer]}, one by one`,
      limit(what === "tick" ? 3 : 2.5, least),
    );
    records.ratio(
      `${one}, popped one by one too`,
      ratio(`${peer} 1`, "queue 1"),
      `${names[peer]}, one by one`,
      limit(2, least),
    );
    records.ratio(
      many,
      ratio(`${peer} 1`, `queue ${BATCH}`),
      `${names[peer]}, one by one`,
      limit(8, decoding),
    );
    records.ratio(many, ratio(`${peer} ${BATCH}`, `queue ${BATCH}`), `${names[peer]}, by ${BATCH}`, faster);
  }
  // A queue that several processes share can't be faster than any of these.
  records.ratio(decoding, ratio("unix 1", "decode"), socket, faster);
  records.ratio(
    `locking and unlocking once for each of the ${messages}, and nothing else`,
    ratio("unix 1", "lock"),
    socket,
    faster,
  );
  records.ratio(
    least,
    median(rounds.map((round) => round["unix 1"] / (round.encode + round.lock))),
    socket,
    faster,
  );
}
records.note(
  "A single push to a shared file locks and unlocks a word in memory. Without a live folder it uses a lock of the kernel, which takes two system calls. These and the encoding alone leave less than twice the messages of a unix socket, as the row on locking shows. BEAM pushes one by one. Node takes all messages once a millisecond; in the rows that say so it pops one by one too. The target for 64 at a time is set against a socket with one message in a write. The rows beside it have a socket with 64 messages in a write.",
);

const percentiles = [];
for (let i = 0; i < PACED_ROUNDS; i++) {
  const round = {};
  for (const way of shuffled(["queue", ...peers])) round[way] = await latencies(way);
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
