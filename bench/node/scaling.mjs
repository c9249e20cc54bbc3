// One to eight processes of one runtime, and two to eight of both, on one counter, on counters in cache lines of their
// own, and on one queue.
//
//   make && node bench/node/scaling.mjs [--quick]
//
// A round divides a number of operations among the processes, and lasts from the first one's start to the last one's end.
// It is compared with one process that does all operations; for both runtimes, with the mean of two such processes. In the
// last rounds each process does as much as it can in a second, which shows whether one has less than its share.

import { spawn } from "node:child_process";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { openCounters, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { section } from "../harness/records.mjs";
import { median, QUICK, shuffled } from "../harness/rounds.mjs";

const MOST = QUICK ? 2 : 8;
const COUNTS = [1, 2, 4, 8].filter((count) => count <= MOST);
const ROUNDS = QUICK ? 2 : 21;
const SCALE = QUICK ? 0.1 : 1;

/** The kinds of work, with their operations in a round: one process takes some ten milliseconds for them. */
const WORKS = {
  one: ["one counter", 400_000 * SCALE],
  own: ["a counter each, in separate cache lines", 400_000 * SCALE],
  queue: ["push and pop on one queue", 8_000 * SCALE],
};

/** How many processes push and pop on one queue for a time, each as often as it can. */
const SHARERS = QUICK ? [2] : [2, 4];
const SHARE_ROUNDS = QUICK ? 1 : 7;
const SHARE_MILLISECONDS = QUICK ? 100 : 1000;

const records = section("Scaling");
const counters = openCounters(join(folder, "counters"), 16 * 2 * MOST);
const queue = openQueue(join(folder, "queue"), { size: 1 << 20 });

const children = [];
process.on("exit", () => {
  for (const child of children) child.kill();
});

async function start(command, args) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  children.push(child);
  child.on("exit", (status) => {
    if (status !== 0) process.exit(1);
  });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  await lines.next();
  return {
    async work(name, times) {
      child.stdin.write(`${name} ${times}\n`);
      const [begin, end] = (await lines.next()).value.split(" ").map(Number);
      return { begin, end };
    },
    async share(milliseconds) {
      child.stdin.write(`share ${milliseconds}\n`);
      return Number((await lines.next()).value);
    },
    end: () => child.stdin.end(),
  };
}

const numbers = Array.from({ length: MOST }, (_, i) => i);
const here = import.meta.dirname;
const node = [];
const beam = [];
for (const i of numbers) {
  node.push(await start(process.execPath, [join(here, "scaling-worker.mjs"), folder, String(2 * i)]));
  beam.push(await start("escript", [join(here, "../beam/scaling.escript"), folder, String(2 * i + 1)]));
}

/** Nanoseconds an operation. */
async function time(work, processes) {
  const each = Math.round(WORKS[work][1] / processes.length);
  const times = await Promise.all(processes.map((one) => one.work(work, each)));
  const begin = Math.min(...times.map(({ begin }) => begin));
  const end = Math.max(...times.map(({ end }) => end));
  return (end - begin) / (each * processes.length);
}

const lines = {
  Node: (count) => node.slice(0, count),
  BEAM: (count) => beam.slice(0, count),
  both: (count) => [...node.slice(0, count / 2), ...beam.slice(0, count / 2)],
};
const contestants = Object.entries(lines).flatMap(([line, processes]) =>
  COUNTS.filter((count) => line !== "both" || count > 1).map((count) => [line + count, processes(count)]),
);

for (const [work, [name]] of Object.entries(WORKS)) {
  const rounds = [];
  for (let i = -1; i < ROUNDS; i++) {
    const round = {};
    for (const [contestant, processes] of shuffled(contestants))
      round[contestant] = await time(work, processes);
    round.both1 = (round.Node1 + round.BEAM1) / 2;
    if (i >= 0) rounds.push(round); // the first one warms up
  }
  for (const line of Object.keys(lines)) {
    const points = COUNTS.map((count) => [
      count,
      median(rounds.map((round) => round[line + count] / round[`${line}1`])),
    ]);
    records.series(`Processes on ${name}`, line, points, {
      x: "processes",
      y: "times as long as one process",
    });
  }
}
/** How much the processes do together in a time, and the least share of it that a process has: 1 is a fair one. */
async function shared(processes) {
  const counts = await Promise.all(processes.map((one) => one.share(SHARE_MILLISECONDS)));
  const all = counts.reduce((sum, count) => sum + count);
  return { all, least: (Math.min(...counts) * counts.length) / all };
}

for (const count of SHARERS) {
  const rounds = [];
  for (let i = 0; i < SHARE_ROUNDS; i++) {
    const alone = ((await shared(lines.Node(1))).all + (await shared(lines.BEAM(1))).all) / 2;
    const together = await shared(lines.both(count));
    rounds.push({ throughput: together.all / alone, least: together.least });
  }
  const operation = `push + pop on one queue, ${count} processes of both runtimes`;
  records.ratio(`${operation}, together`, median(rounds.map(({ throughput }) => throughput)), "one process", {
    limit: "at least 0.5",
  });
  records.ratio(`${operation}, the slowest`, median(rounds.map(({ least }) => least)), "a fair share", {
    limit: "at least 0.1",
  });
}
records.note(
  `This machine has ${availableParallelism()} processors. If there are more processes, they take turns, and are no faster together.`,
);
for (const one of [...node, ...beam]) one.end();
queue.close();
counters.close();
