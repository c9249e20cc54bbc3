// Job queues: taking and acknowledging messages, beside popping them and beside BullMQ.
//
//   make && node bench/node/deliveries.mjs [--quick]
//
// 1. Taking and popping: the messages are in the queue before the time begins.
// 2. Lanes: 30 handlers in 3 processes (deliveries-worker.mjs) work on jobs that sleep for 20 ms. The ideal is 30 jobs each
//    20 ms.
// 3. Redelivery: a consumer is killed with a message in hand, while one of the other runtime waits for a message.
// 4. BEAM (across.escript) pushes {tick, Number} one by one, and this process takes and acknowledges. A round lasts until the
//    last acknowledgement. BullMQ's jobs come from another Node process, 64 at a time, and its worker has 64 in hand.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { openCounters, openQueue } from "../../dist/index.mjs";
import { folder } from "../harness/folder.mjs";
import { able, section } from "../harness/records.mjs";
import { startRedis } from "../harness/redis.mjs";
import { kept, median, QUICK, shuffled } from "../harness/rounds.mjs";

const records = section("Deliveries");
const worker = join(import.meta.dirname, "deliveries-worker.mjs");

/** Runs each contestant in each round, in random order. Resolves to a function for the ratio of two of them. */
async function race(contestants, rounds) {
  const times = [];
  for (let i = -1; i < rounds; i++) {
    const round = {};
    for (const name of shuffled(Object.keys(contestants))) round[name] = await contestants[name]();
    if (i >= 0) times.push(round); // the first one warms up
  }
  return (one, other) => median(times.map((round) => round[one] / round[other]));
}

/** Starts a program, which says when it is ready. */
async function start(command, ...args) {
  const child = spawn(command, args, { stdio: ["pipe", "pipe", "inherit"] });
  const kill = () => child.kill("SIGKILL");
  process.once("exit", kill);
  child.once("exit", () => process.off("exit", kill));
  const lines = createInterface({ input: child.stdout });
  await once(lines, "line");
  return { child, lines };
}

const startWorker = (...args) => start(process.execPath, worker, folder, ...args);

async function endWorker({ child }) {
  child.stdin.end();
  await once(child, "exit");
}

// --- Taking beside popping ----------------------------------------------------------------------------------------

{
  const COUNT = 1000;
  const jobs = Array.from({ length: COUNT }, (_, id) => ({ id, picture: "cat.png", width: 640 }));
  const queue = openQueue(join(folder, "taken"), { size: 1 << 20, values: "json" });
  const emptied = (run) => async () => {
    queue.pushMany(jobs);
    const begin = process.hrtime.bigint();
    await run();
    return Number(process.hrtime.bigint() - begin);
  };
  const ratio = await race(
    {
      pop: emptied(() => {
        for (let i = 0; i < COUNT; i++) kept.value = queue.pop();
      }),
      take: emptied(() => {
        for (let i = 0; i < COUNT; i++) {
          const delivery = queue.tryTake();
          kept.value = delivery.message;
          delivery.ack();
        }
      }),
      tryPop: emptied(() => {
        for (let i = 0; i < COUNT; i++)
          queue.tryPop((job) => {
            kept.value = job;
          });
      }),
      process: emptied(async () => {
        let left = COUNT;
        const consumer = queue.process((job) => {
          kept.value = job;
          if (--left === 0) consumer.stop();
        });
        await consumer.finished;
      }),
    },
    QUICK ? 31 : 301,
  );
  records.ratio("tryTake + ack on Node", ratio("take", "pop"), "pop", { limit: "at most 2" });
  records.ratio("tryPop on Node", ratio("tryPop", "pop"), "pop");
  records.ratio("a job of queue.process on Node", ratio("process", "pop"), "pop");
  queue.close();
}

// --- Lanes ----------------------------------------------------------------------------------------------------------

{
  const [PROCESSES, LANES, SLEEP] = [3, 10, 20];
  const JOBS = PROCESSES * LANES * (QUICK ? 10 : 100);
  const queue = openQueue(join(folder, "lanes"), { values: "json" });
  const done = openCounters(join(folder, "lanes-done"), 1);
  const workers = await Promise.all(
    Array.from({ length: PROCESSES }, () => startWorker("lanes", String(LANES), String(SLEEP))),
  );
  const shares = [];
  for (let round = 0; round < (QUICK ? 1 : 5); round++) {
    const target = done.get(0) + BigInt(JOBS);
    const begin = performance.now();
    queue.pushMany(Array.from({ length: JOBS }, (_, i) => i));
    for (let now = done.get(0); now < target; now = done.get(0)) await done.wait(0, now);
    shares.push((JOBS * SLEEP) / (PROCESSES * LANES) / (performance.now() - begin));
  }
  records.ratio(
    `${PROCESSES * LANES} handlers in ${PROCESSES} processes, jobs of ${SLEEP} ms, jobs a second`,
    median(shares),
    "the ideal",
    { limit: "at least 0.9" },
  );
  await Promise.all(workers.map(endWorker));
  queue.close();
  done.close();
}

// --- Redelivery -----------------------------------------------------------------------------------------------------

{
  const KILLS = QUICK ? 2 : 25;
  const escript = join(import.meta.dirname, "../beam/redelivery.escript");
  const queue = openQueue(join(folder, "redelivered"), { values: "json" });

  /** Milliseconds from each kill to the delivery. `takes` begins to wait, and resolves to the time of its delivery. */
  async function redeliveries(startHolder, takes) {
    const times = [];
    for (let i = 0; i < KILLS; i++) {
      queue.push(i);
      const { child } = await startHolder();
      const delivered = takes();
      // Not one moment of the core's own clock: it looks for the dead now and then.
      await sleep(100 + Math.random() * 100);
      const killed = process.hrtime.bigint();
      child.kill("SIGKILL");
      times.push(Number((await delivered) - killed) / 1e6);
    }
    return times.sort((one, other) => one - other);
  }

  const beam = await start("escript", escript, folder, "wait");
  const toBeam = await redeliveries(
    () => startWorker("hold"),
    async () => {
      beam.child.stdin.write("\n");
      const [line] = await once(beam.lines, "line");
      return BigInt(line);
    },
  );
  beam.child.stdin.end();
  const toNode = await redeliveries(
    () => start("escript", escript, folder, "hold"),
    async () => {
      const delivery = await queue.take();
      const now = process.hrtime.bigint();
      delivery.ack();
      return now;
    },
  );
  for (const [whose, times] of [
    ["a Node consumer, to BEAM", toBeam],
    ["a BEAM consumer, to Node", toNode],
  ]) {
    const limit = { limit: "at most 1" };
    records.ratio(`redelivery after kill -9 of ${whose}, median`, median(times) / 50, "50 ms", limit);
    records.ratio(`redelivery after kill -9 of ${whose}, the latest`, times.at(-1) / 100, "100 ms", limit);
  }
  queue.close();
}

// --- BEAM to Node, beside BullMQ -----------------------------------------------------------------------------------

{
  const JOBS = QUICK ? 2000 : 100_000;
  const BULL_JOBS = QUICK ? 200 : 5000;
  const servers = [createServer().listen(join(folder, "socket")), createServer().listen(0)];
  await Promise.all(servers.map((server) => server.listening || once(server, "listening")));
  const bull = await able(records, "BullMQ", async () => {
    const [{ Worker }, redis] = [await import("bullmq"), await startRedis(folder)];
    return { Worker, redis, producer: await startWorker("bullmq") };
  });
  const queue = openQueue(join(folder, "queue"), { size: 1 << 20 });
  const beam = spawn(
    "escript",
    [join(import.meta.dirname, "../beam/across.escript"), folder, String(servers[1].address().port)],
    { stdio: ["pipe", "pipe", "inherit"] },
  );
  process.once("exit", () => beam.kill());
  await once(createInterface({ input: beam.stdout }), "line");

  /** Nanoseconds a job, from the command to begin until `consume` is done. */
  const timed = (command, count, consume) => async () => {
    const begin = process.hrtime.bigint();
    command(count);
    await consume(count);
    return Number(process.hrtime.bigint() - begin) / count;
  };
  const push = (count) => beam.stdin.write(`queue ${count} 1 tick\n`);
  const byHand = async (count) => {
    for (let i = 0; i < count; i++) {
      const job = queue.tryTake() ?? (await queue.take());
      if (job.message.elements[1] !== i) throw new Error("a job is missing");
      job.ack();
    }
  };
  const byConsumer = async (count) => {
    let left = count;
    const consumer = queue.process(
      async (job) => {
        kept.value = job;
        if (--left === 0) consumer.stop();
      },
      { concurrency: 64 },
    );
    await consumer.finished;
  };
  const byBull = async (count) => {
    let left = count;
    const connection = { path: join(folder, "redis.sock"), maxRetriesPerRequest: null };
    const consumer = new bull.Worker("jobs", async (job) => (kept.value = job.data), {
      connection,
      concurrency: 64,
      removeOnComplete: { count: 0 },
    });
    await new Promise((resolve) => consumer.on("completed", () => --left === 0 && resolve()));
    await consumer.close();
  };
  const ratio = await race(
    {
      hand: timed(push, JOBS, byHand),
      consumer: timed(push, JOBS, byConsumer),
      ...(bull && {
        bull: timed((count) => bull.producer.child.stdin.write(`${count}\n`), BULL_JOBS, byBull),
      }),
    },
    QUICK ? 1 : 5,
  );
  if (bull) {
    const limit = { limit: "at least 20" };
    records.ratio("jobs from BEAM to Node, taken and acknowledged", ratio("bull", "hand"), "BullMQ", limit);
    records.ratio("jobs from BEAM to Node, by queue.process", ratio("bull", "consumer"), "BullMQ", limit);
    await endWorker(bull.producer);
    await bull.redis.close();
  }
  beam.stdin.end();
  await once(beam, "close");
  for (const server of servers) server.close();
  queue.close();
}
