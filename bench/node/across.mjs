// From BEAM to Node: a queue beside the ways that there are between the same two processes otherwise.
//
//   make && node bench/node/across.mjs [--quick]
//
// BEAM (across.escript) sends messages as it makes them, Node takes them and decodes them with emmap/etf; a round lasts
// from the word to begin until Node has the last one. One by one, each message is a push, a write of one frame to a
// socket, or an RPUSH; by 64, a pushMany, a write of 64 frames, or an RPUSH of 64. Node reads a socket as its data comes,
// many frames at once where they have gathered. Of a queue it takes what has gathered every millisecond, or, as a row of
// its own, pops one by one in a loop. Small messages are {tick, Number}, others jobs as in queue.mjs.

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
/** Redis is asked for each message, and takes its time. */
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

/** As a program does that has something else to do as well. */
async function gathered(count, _size, take) {
  for (let i = 0; i < count; ) {
    const messages = queue.popMany(GATHERED);
    for (const message of messages) take(message);
    i += messages.length;
    if (messages.length < GATHERED) await sleep(1);
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

/** What no push and no pop can do without, where several processes share a queue: nanoseconds. */
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

/** What BEAM does with a message in any case: nanoseconds. */
async function encodeAlone(what) {
  beam.stdin.write(`none ${MESSAGES} 1 ${what}\n`);
  return Number(await answer()) / MESSAGES;
}

/** What Node does with a message in any case: nanoseconds. */
function decodeAlone(what) {
  const begin = process.hrtime.bigint();
  for (let i = 0; i < MESSAGES; i++) kept.value = decode(bytesOf[what]);
  return Number(process.hrtime.bigint() - begin) / MESSAGES;
}

/** How long each of many messages was on its way, in nanoseconds, from the shortest to the longest. */
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
  "A push of its own takes and gives back a lock word in memory, where the file is shared; where no live folder can be made it is a lock of the kernel, two system calls, which alone, with the encoding, leave less than twice the messages of a unix socket: the row of locking is that. One by one is how BEAM pushes here; Node takes what has gathered every millisecond, and in the rows that say so pops one by one too. By 64, the target is set against a socket that is written to one by one; the rows against a socket that gets 64 in a write are beside it.",
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
