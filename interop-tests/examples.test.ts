// The programs in examples/ work as their heads describe.
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { request } from "node:http";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { setTimeout as sleep } from "node:timers/promises";
import { expect, onTestFinished, test } from "vitest";
import { freshFolder, run } from "./support/runtimes";

const examples = join(__dirname, "../examples");
/** A Node program of an example, as `make` compiles it. */
const program = (name: string): string => join(__dirname, "../build/examples", name);
const environment = `ERL_LIBS=${join(__dirname, "../erlang/_build/default/lib")}`;

/** Runs a program of an example to its end. */
const runExample = (command: string, ...args: string[]): Promise<string> =>
  run("env", ["-C", examples, environment, command, ...args]);

interface Program {
  child: ChildProcess;
  /** Resolves to the pattern's capture in the first printed line that matches. */
  says(pattern: RegExp): Promise<string>;
  /** True if a printed line matches. */
  said(pattern: RegExp): boolean;
  /** Ends it with SIGTERM; its status must be 0. */
  stop(): Promise<void>;
}

/** Starts a program of an example that runs until it is stopped. */
function start(command: string, ...args: string[]): Program {
  return startWith([], command, ...args);
}

/** The same with variables of the environment. */
function startWith(variables: string[], command: string, ...args: string[]): Program {
  const child = spawn("env", ["-C", examples, environment, ...variables, command, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines: string[] = [];
  const reader = createInterface({ input: child.stdout });
  reader.on("line", (line) => lines.push(line));
  const ended = once(child, "exit");
  return {
    child,
    async says(pattern) {
      for (;;) {
        const found = lines.map((line) => pattern.exec(line)).find((match) => match !== null);
        if (found) return found[1] ?? found[0];
        if (child.exitCode !== null) throw new Error(`${command} ${args.join(" ")} has ended`);
        await sleep(5);
      }
    },
    said: (pattern) => lines.some((line) => pattern.test(line)),
    async stop() {
      child.kill("SIGTERM");
      expect(await ended).toEqual([0, null]);
    },
  };
}

const node = process.execPath;
const get = (port: string, path = "/", headers: Record<string, string> = {}): Promise<Response> =>
  fetch(`http://localhost:${port}${path}`, { headers: { connection: "close", ...headers } });
const text = async (port: string, path?: string): Promise<string> => (await get(port, path)).text();

/** The status of the answer to a path that is sent as it is. */
const sent = (port: string, path: string): Promise<number | undefined> =>
  new Promise((resolve, reject) => {
    request({ host: "localhost", port, path, agent: false }, (answer) => {
      answer.resume();
      resolve(answer.statusCode);
    })
      .on("error", reject)
      .end();
  });

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}

test("rate limiter: two servers and an Erlang program allow a client no more than one of them would", async () => {
  const limits = join(freshFolder(), "limits.table");
  const began = performance.now();
  const servers = [0, 1].map(() => start(node, program("rate-limiter/server.mjs"), limits, "0"));
  const ports = await Promise.all(servers.map((server) => server.says(/listening on port (\d+)/)));
  const ask = async (client: string): Promise<number> => {
    const answers = await Promise.all(
      ports.flatMap((port) => Array.from({ length: 15 }, () => get(port, "/", { "x-api-key": client }))),
    );
    for (const { status } of answers) expect([200, 429]).toContain(status);
    return answers.filter(({ ok }) => ok).length;
  };
  const asked = await ask("ann");
  const erlang = await runExample("escript", "rate-limiter/limiter.escript", limits, "ann", "30");
  const taken = Number(/^(\d+) of 30 allowed$/.exec(erlang)?.[1]);
  // 20 in a minute, which slides.
  const most = 21 + Math.ceil((performance.now() - began) / 3000);
  expect(asked).toBeGreaterThanOrEqual(20);
  expect(asked + taken).toBeLessThanOrEqual(most);
  expect(await ask("bob")).toBeGreaterThanOrEqual(20);
  // A client may send any name.
  const long = "x".repeat(65);
  for (const name of [long, ""]) expect(await ask(name)).toBeGreaterThanOrEqual(20);
  const refused = await runExample("escript", "rate-limiter/limiter.escript", limits, long, "30");
  expect(Number(/^(\d+) of 30 allowed$/.exec(refused)?.[1])).toBeLessThan(20);
  await Promise.all(servers.map((server) => server.stop()));
});

test("cluster limiter: two hosts allow little more than a limit, and never more than a strict one", async () => {
  const folder = freshFolder();
  // Without a port mapper nodes listen at the same port of different addresses.
  const names = ["127.0.0.1", "127.0.0.2"].map((address) => `limiter@${address}`);
  const hosts = names.map((name) => {
    const address = name.slice(8).replaceAll(".", ",");
    const flags = `-start_epmd false -erl_epmd_port 14373 -kernel inet_dist_use_interface {${address}}`;
    return startWith(
      [`ERL_AFLAGS=${flags}`],
      "escript",
      "cluster-limiter/host.escript",
      name,
      join(folder, name),
      ...names,
    );
  });
  await Promise.all(hosts.map((host) => host.says(/ready/)));
  const requests = async (tenant: string): Promise<number[]> =>
    await Promise.all(
      names.map(async (name) =>
        Number(
          await runExample(node, program("cluster-limiter/requests.mjs"), join(folder, name), tenant, "1500"),
        ),
      ),
    );
  // Windows of a minute follow each other: not over the end of one.
  const left = 60_000 - (Date.now() % 60_000);
  if (left < 10_000) await sleep(left);
  const sum = (await requests("7")).reduce((one, other) => one + other);
  expect(sum).toBeGreaterThanOrEqual(1000);
  // A host allows at most one request each millisecond, and the other one sees it after an interval.
  expect(sum).toBeLessThanOrEqual(1000 + 250);
  expect((await requests("strict")).reduce((one, other) => one + other)).toBe(500);
  await Promise.all(hosts.map((host) => host.stop()));
});

test("job queue: every job has a result or is given up, although workers are killed at work", async () => {
  const folder = freshFolder();
  const worker = (): Program => start(node, program("job-queue/worker.mjs"), folder);
  const producer = runExample("escript", "job-queue/producer.escript", folder, "10000");
  const survivor = worker();
  // The first job is no picture. A victim nearly always has others in hand.
  const again = /job (?!1 )\d+ again/;
  for (let kills = 0; kills < 20 && !survivor.said(again); kills++) {
    const victim = worker();
    await victim.says(/ready/);
    await sleep(50);
    victim.child.kill("SIGKILL");
    expect(await once(victim.child, "exit")).toEqual([null, "SIGKILL"]);
    await sleep(100);
  }
  expect(survivor.said(again)).toBe(true);
  expect(await producer).toMatch(/^10000 jobs are in the queue\njob 1 failed: .*\n9999 done, 1 failed$/);
  await survivor.stop();
});

test("feature flags: a change is there at once, in every service, and Erlang finds the same users", async () => {
  const flags = join(freshFolder(), "flags.cell");
  const set = (name: string, percentage: string): Promise<string> =>
    runExample(node, program("feature-flags/admin.mjs"), flags, "set", name, percentage);
  await set("dark-mode", "100");
  await set("new-checkout", "0");
  const services = [0, 1].map(() => start(node, program("feature-flags/service.mjs"), flags, "0"));
  const ports = await Promise.all(services.map((service) => service.says(/listening on port (\d+)/)));
  const users = Array.from({ length: 20 }, (_, i) => `user${i}`);
  const having = async (): Promise<string[]> => {
    const found = await Promise.all(
      ports.map(async (port) => {
        const checkouts = await Promise.all(users.map((user) => text(port, `/?user=${user}`)));
        return users.filter((_, i) => checkouts[i] === "the new checkout\n");
      }),
    );
    expect(found[1]).toEqual(found[0]);
    return found[0] as string[];
  };
  expect(await having()).toEqual([]);
  // Addresses that are no URL.
  for (const path of ["//", "//?user=ann", "/%"]) expect(await sent(ports[0] as string, path)).toBe(200);
  await set("new-checkout", "50");
  const some = await having();
  expect(some.length).toBeGreaterThan(0);
  expect(some.length).toBeLessThan(users.length);
  for (const user of users.slice(0, 3)) {
    const seen = await runExample("escript", "feature-flags/flags.escript", flags, user);
    expect(seen.split("\n")).toEqual(some.includes(user) ? ["dark-mode", "new-checkout"] : ["dark-mode"]);
  }
  await set("new-checkout", "100");
  expect(await having()).toEqual(users);
  expect(await runExample(node, program("feature-flags/admin.mjs"), flags, "list")).toBe(
    "dark-mode: 100 %\nnew-checkout: 100 %",
  );
  await expect(set("new-checkout", "101")).rejects.toThrow("from 0 to 100");
  await Promise.all(services.map((service) => service.stop()));
});

test("cluster metrics: nothing that was counted goes with a worker that is killed, or with a restart", async () => {
  const file = join(freshFolder(), "metrics.bin");
  const begin = async (): Promise<{ server: Program; port: string; metrics: () => Promise<string> }> => {
    const server = start(node, program("cluster-metrics/server.mjs"), file, "0", "0");
    const metricsPort = await server.says(/metrics on port (\d+)/);
    await server.says(/worker 1 listening/);
    return {
      server,
      port: await server.says(/worker 0 listening on port (\d+)/),
      metrics: () => text(metricsPort, "/metrics"),
    };
  };
  const first = await begin();
  const pids = new Set<number>();
  for (let i = 0; i < 10; i++) pids.add(Number(await text(first.port)));
  expect(pids.size).toBe(2);
  expect((await get(first.port, "/fail")).status).toBe(500);
  await expect.poll(first.metrics).toContain("http_requests_total 11\n");

  const [victim] = pids;
  process.kill(victim as number, "SIGKILL");
  await expect.poll(() => isAlive(victim as number)).toBe(false);
  let asked = 11;
  for (const pidsAfter = new Set<number>(); pidsAfter.size < 2; asked++)
    pidsAfter.add(Number(await text(first.port)));
  await expect.poll(first.metrics).toContain(`http_requests_total ${asked}\n`);
  await first.server.stop();

  const second = await begin();
  const shown = await second.metrics();
  expect(shown).toContain(`http_requests_total ${asked}\n`);
  expect(shown).toContain("http_errors_total 1\n");
  expect(shown).toContain(`http_request_duration_seconds_count ${asked}\n`);
  expect(shown).toContain("\nhttp_requests_in_flight 0\n");
  await second.server.stop();
});

test("elixir and node: a question that was asked before the service was there is answered", async () => {
  const folder = freshFolder();
  const ask = (...question: string[]): Promise<string> =>
    runExample(node, program("elixir-and-node/client.mjs"), folder, ...question);
  const early = ask("shop", "apple", "3");
  const service = start("elixir", "elixir-and-node/prices.exs", folder);
  await service.says(/ready/);
  expect(await early).toBe("3 × apple: 75");
  expect(await ask("shop", "pear", "2")).toBe("2 × pear: 80");
  await expect(ask("office", "plum", "1")).rejects.toThrow("there are no plums");
  await service.stop();
});
