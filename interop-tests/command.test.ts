// The command beside services of both runtimes: which queue is stuck, and which process holds it up?
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { counter, openBlockStorage, openCell, openCounters, openMetrics, openQueue, openTable } from "../src";
import { decode } from "../src/etf";
import { ebin, freshFolder } from "./support/runtimes";
import { pointsWithLock, Victim } from "./torture/support/victim.mjs";

const command = join(__dirname, "../dist/cli/emmap.js");

function emmap(...args: string[]): string {
  const { stdout, stderr, status } = spawnSync(process.execPath, [command, ...args], { encoding: "utf8" });
  expect([status, stderr]).toEqual([0, ""]);
  return stdout;
}

/** A BEAM node that runs this code, and then prints "ready". */
async function node(code: string): Promise<ChildProcess> {
  const child = spawn("erl", ["-noshell", "-pa", ebin, "-eval", `${code}, io:put_chars("ready\\n").`], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  await once(child.stdout as NodeJS.ReadableStream, "data");
  return child;
}

test("a stopped BEAM node that has a queue's messages to take is named by one command", async () => {
  const folder = freshFolder();
  const path = join(folder, "jobs.q");
  using jobs = openQueue(path, { values: "json" });
  jobs.push("first");
  const beam = await node(
    `{ok, _} = application:ensure_all_started(emmap), {ok, Q} = emmap_queue:open(${JSON.stringify(path)}, 0, []),
     {ok, <<"first">>} = emmap_queue:receive_message(Q, infinity),
     spawn(fun F() -> emmap_queue:receive_message(Q, infinity), F() end)`,
  );
  const consumer = () =>
    JSON.parse(emmap("info", path, "--json")).writers.find(({ popped }: { popped: number }) => popped > 0);
  await expect.poll(() => consumer()?.waiting).toBe(1);
  expect(consumer()).toMatchObject({ program: expect.stringContaining("beam"), popped: 1 });
  beam.kill("SIGSTOP");
  jobs.push("second");
  expect(emmap("top", "--once", folder)).toMatch(
    /jobs\.q .*\n.*its consumer, process \d+ \(.*beam.*\), is stopped/,
  );
});

test("a process that is stopped between two stores, with the lock, is named by one command", async () => {
  const folder = freshFolder();
  const path = join(folder, "jobs.q");
  const victim = new Victim();
  onTestFinished(() => victim.kill());
  const points = await pointsWithLock(victim, "queue-traffic", join(folder, "points"));
  const [, pause] = [...points].find(([name]) => name.startsWith("queue_push")) as [string, number];
  await victim.order("stop", "queue-traffic", pause, path);
  expect(emmap("info", path)).toMatch(
    /TROUBLE +process \d+ \(.*victim.*\) (is stopped and has the lock|has had the lock)/,
  );
  expect(JSON.parse(emmap("info", path, "--json"))).toMatchObject({ lock: "held" });
  await victim.order("continue");
});

test("Erlang answers the same as the command prints, for files of all kinds", async () => {
  const folder = freshFolder();
  using jobs = openQueue(join(folder, "jobs.q"), { values: "json" });
  jobs.pushMany([1, 2, 3]);
  using job = jobs.tryTake();
  expect(job?.message).toBe(1);
  using visits = openCounters(join(folder, "visits.bin"), 4);
  using pictures = openBlockStorage(join(folder, "pictures.bin"), { blockSize: 8 });
  pictures.store("picture1");
  using flags = openCell(join(folder, "flags.cell"), { maxBytes: 100, values: "json" });
  flags.publish({ checkout: true });
  using clients = openTable(join(folder, "clients.table"), { capacity: 100 });
  clients.add("ann", 0, 1);
  using _metrics = openMetrics(join(folder, "metrics.table"), { requests_total: counter() });
  const paths = [jobs, visits, pictures, flags, clients]
    .map(({ path }) => path)
    .concat(join(folder, "metrics.table"));
  const printed = emmap("info", ...paths, "--json")
    .trimEnd()
    .split("\n")
    .map((line) => {
      // What the command alone prints.
      const { path: _, processes: __, deliveries: ___, ...facts } = JSON.parse(line);
      return facts;
    });
  expect(printed.map(({ kind }) => kind)).toEqual([
    "queue",
    "counters",
    "blocks",
    "cell",
    "table",
    "metrics",
  ]);
  const code = `
    Value = fun(V) when is_binary(V); V =:= true; V =:= false; is_integer(V) -> V; (V) when is_atom(V) -> atom_to_binary(V) end,
    Map = fun(M) -> maps:from_list([{atom_to_binary(K), Value(V)} || {K, V} <- maps:to_list(M)]) end,
    Facts = fun(Path) ->
        {ok, Found} = emmap:inspect_file(Path),
        (Map(maps:remove(writers, Found)))#{<<"writers">> => [Map(W) || W <- maps:get(writers, Found)]}
    end,
    All = [Facts(Path) || Path <- ${JSON.stringify(paths)}],
    io:format("~s~n", [base64:encode(term_to_binary(All))]), halt()`;
  const { stdout } = spawnSync("erl", ["-noshell", "-pa", ebin, "-eval", `${code}.`], { encoding: "utf8" });
  expect(decode(Buffer.from(stdout.trim(), "base64"), { values: "json" })).toEqual(printed);
});
