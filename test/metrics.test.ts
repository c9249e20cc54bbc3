import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { Registry } from "prom-client";
import { expect, expectTypeOf, test } from "vitest";
import { type CounterSeries, counter, gauge, histogram, openMetrics, openTable } from "../src";
import { thrownBy } from "./support/errors";
import { freshPath } from "./support/files";

const PACKAGE = JSON.stringify(join(__dirname, "..", "dist", "index.js"));

/** How often two programs race for a new file. */
const ROUNDS = 60;

const SCHEMA = {
  requests_total: counter({ labels: ["route", "status"], help: "Requests." }),
  latency_seconds: histogram({ buckets: [0.01, 0.1, 1] }),
  in_flight: gauge({ perProcess: true }),
  temperature: gauge({ labels: ["room"] }),
};

function promtoolAccepts(text: string): void {
  const checked = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
  expect(checked.error?.message).toBeUndefined(); // `make tools-test` installs promtool
  expect([checked.status, checked.stdout, checked.stderr]).toEqual([0, "", expect.any(String)]);
}

test("all handles count together, and the text is Prometheus's", async () => {
  const path = freshPath();
  using metrics = openMetrics(path, SCHEMA);
  using others = openMetrics(path, SCHEMA);
  const route = metrics.requests_total.labels({ route: '/"quoted"\\\n', status: 200 });
  expectTypeOf(route).toEqualTypeOf<CounterSeries>();
  route.add();
  others.requests_total.labels({ route: '/"quoted"\\\n', status: 200 }).add(2n);
  for (const value of [0.005, 0.05, 0.5, 5]) metrics.latency_seconds.observe(value);
  metrics.in_flight.set(2);
  metrics.in_flight.add(-1);
  metrics.temperature.labels({ room: "kitchen" }).set(-3);
  const text = await others.text();
  expect(text).toBe(`# HELP in_flight in_flight
# TYPE in_flight gauge
in_flight 1
# HELP latency_seconds latency_seconds
# TYPE latency_seconds histogram
latency_seconds_bucket{le="0.01"} 1
latency_seconds_bucket{le="0.1"} 2
latency_seconds_bucket{le="1"} 3
latency_seconds_bucket{le="+Inf"} 4
latency_seconds_sum 5.555
latency_seconds_count 4
# HELP requests_total Requests.
# TYPE requests_total counter
requests_total{route="/\\"quoted\\"\\\\\\n",status="200"} 3
# HELP temperature temperature
# TYPE temperature gauge
temperature{room="kitchen"} -3
`);
  promtoolAccepts(text);
});

test("a changed metric is an error that names it, and a new one is added", async () => {
  const path = freshPath();
  openMetrics(path, SCHEMA).close();
  const changes = [
    { requests_total: counter({ labels: ["route"] }) },
    { requests_total: gauge({ labels: ["route", "status"] }) },
    { latency_seconds: histogram({ buckets: [0.01, 0.2, 1] }) },
  ];
  for (const schema of changes) {
    const error = thrownBy(() => openMetrics(path, schema));
    expect(error.code).toBe("EINVAL");
    expect(error.message).toContain(Object.keys(schema)[0]);
  }
  using more = openMetrics(path, { ...SCHEMA, errors_total: counter() });
  more.errors_total.add(5);
  expect(await more.text()).toContain("errors_total 5\n");
});

test("label values of users cannot fill the file unnoticed", async () => {
  using metrics = openMetrics(
    freshPath(),
    { visits_total: counter({ labels: ["user"], maxSeries: 10 }), others_total: counter() },
    { capacity: 100 },
  );
  for (let i = 0; i < 30; i++) metrics.visits_total.labels({ user: `user ${i}` }).add();
  metrics.visits_total.labels({ user: "x".repeat(2000) }).add();
  metrics.others_total.add();
  const text = await metrics.text();
  expect(text.match(/^visits_total\{/gm)).toHaveLength(10);
  expect(text).toContain('emmap_metrics_dropped_total{metric="visits_total"} 21\n');
  expect(text).toContain("others_total 1\n");
});

test("the gauges of a dead process go with it, and its counters stay", async () => {
  const path = freshPath();
  using metrics = openMetrics(path, SCHEMA);
  metrics.in_flight.set(1);
  const child = spawn(process.execPath, [
    "-e",
    `const { openMetrics, counter, gauge } = require(${PACKAGE});
     const metrics = openMetrics(${JSON.stringify(path)}, {
       requests_total: counter({ labels: ["route", "status"] }), in_flight: gauge({ perProcess: true }) });
     metrics.in_flight.set(5);
     metrics.requests_total.labels({ route: "/", status: 200 }).add(3);
     console.log("ready");
     setInterval(() => metrics.in_flight, 1000);`,
  ]);
  await once(child.stdout, "data");
  expect(await metrics.text()).toContain("in_flight 6\n");
  child.kill("SIGKILL");
  await once(child, "exit");
  const text = await metrics.text();
  expect(text).toContain("in_flight 1\n");
  expect(text).toContain('requests_total{route="/",status="200"} 3\n');
});

test("prom-client shows the metrics", async () => {
  using metrics = openMetrics(freshPath(), SCHEMA);
  const registry = new Registry();
  metrics.register(registry);
  metrics.requests_total.labels({ route: "/", status: 404 }).add(7);
  metrics.latency_seconds.observe(0.05);
  const text = await registry.metrics();
  expect(text).toContain('requests_total{route="/",status="404"} 7');
  expect(text).toContain('latency_seconds_bucket{le="0.1"} 1');
  expect(text).toContain("latency_seconds_count 1");
});

test("names and arguments are checked", () => {
  const path = freshPath();
  expect(thrownBy(() => openMetrics(path, { "a b": counter() })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => openMetrics(path, { text: counter() })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => counter({ labels: ["a-b"] })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => histogram({ buckets: [2, 1] })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => histogram({ buckets: Array.from({ length: 61 }, (_, i) => i) })).code).toBe(
    "ERR_OUT_OF_RANGE",
  );
  expect(thrownBy(() => counter({ maxSeries: 1.5 })).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => counter({ help: 5 as never })).code).toBe("ERR_INVALID_ARG_TYPE");
});

test("a mistyped or wrong option is refused, and the message has the right one", () => {
  const path = freshPath();
  const mistyped: [string, () => unknown][] = [
    ["labels", () => counter({ label: ["route"] } as never)],
    ["maxSeries", () => counter({ max_series: 5 } as never)],
    ["perProcess", () => gauge({ perprocess: true } as never)],
    ["perProcess", () => counter({ perProcess: true } as never)],
    ["buckets", () => histogram({ bucket: [1] } as never)],
    ["capacity", () => openMetrics(path, {}, { capcity: 5 } as never)],
  ];
  for (const [name, open] of mistyped) {
    const error = thrownBy(open);
    expect([error.code, error.message]).toEqual(["ERR_INVALID_ARG_VALUE", expect.stringContaining(name)]);
  }
  const wrong = [
    () => counter({ labels: "route" } as never),
    () => gauge({ perProcess: 1 } as never),
    () => histogram({} as never),
    () => histogram({ buckets: "1,2" } as never),
    () => counter(null as never),
    () => openMetrics(path, {}, null as never),
    () => openMetrics(path, undefined as never),
    () => openMetrics(path, { x: 5 as never }),
    () => openMetrics(path, { x: { type: "summary" } as never }),
  ];
  for (const open of wrong) expect(thrownBy(open).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(existsSync(path)).toBe(false);
});

test("a label that the metric does not have is refused", async () => {
  using metrics = openMetrics(freshPath(), SCHEMA);
  const { requests_total } = metrics;
  const error = thrownBy(() => requests_total.labels({ route: "/", stauts: 200 } as never));
  expect([error.code, error.message]).toEqual([
    "ERR_INVALID_ARG_VALUE",
    expect.stringContaining('no label "stauts"'),
  ]);
  for (const values of [undefined, null, "/"])
    expect(thrownBy(() => requests_total.labels(values as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(await metrics.text()).not.toContain("requests_total{");
});

test("a damaged schema is EMMAP_CORRUPT at open and in the text, and changes nothing", async () => {
  const damaged = [
    "x",
    "",
    "x\x1fcounter\x1f",
    "x\x1fcounter\x1f\x1f\x1f",
    "x\x1fsummary\x1f\x1f",
    "x y\x1fcounter\x1f\x1f",
    "\xff\x1fcounter\x1f\x1f",
    'x\x1fcounter\x1fa"\x1f',
    "x\x1fcounter\x1fa,\x1f",
    "x\x1fcounter\x1fa,a\x1f",
    "x\x1fcounter\x1fle\x1f",
    "x\x1fcounter\x1f\x1f1",
    ...["2,1", "1,1", "1,,2", "1,", "a", "NaN", "Infinity", "0x1", "1.0", " 1", "-0", "1e400"].map(
      (buckets) => `x\x1fhistogram\x1f\x1f${buckets}`,
    ),
  ];
  for (const text of damaged) {
    const path = freshPath();
    const metrics = openMetrics(path, { visits_total: counter() });
    using table = openTable(path);
    table.entry(Buffer.from(`\x01${text}`, "latin1"));
    const size = table.size;
    for (const schema of [{}, { x: counter() }]) {
      const error = thrownBy(() => openMetrics(path, schema));
      expect([text, error.code]).toEqual([text, "EMMAP_CORRUPT"]);
      expect(error.message).toContain(path);
    }
    // A series of an unknown metric makes the scrape read the schema again.
    table.add("x", 0, 1);
    await expect(metrics.text()).rejects.toMatchObject({ code: "EMMAP_CORRUPT" });
    expect(table.size).toBe(size + 1);
    metrics.close();
  }
});

test("keys that no program of emmap writes leave the text sound", async () => {
  const path = freshPath();
  using metrics = openMetrics(path, {
    visits_total: counter({ labels: ["user"] }),
    load: gauge({ perProcess: true }),
  });
  metrics.visits_total.labels({ user: "ann" }).add();
  metrics.load.set(2);
  using table = openTable(path);
  for (const key of ["\x02", '\x02a"\n', "\x02visits", "visits", "\0", "other\0x"]) {
    table.add(key, 0, 5);
    table.add(key, 1, 5);
  }
  table.add("visits_total", 0, 3);
  table.add("visits_total\0bob\0more", 0, 4);
  table.add(Buffer.from("visits_total\0\xff\xfe", "latin1"), 0, 5);
  const text = await metrics.text();
  promtoolAccepts(text);
  expect(text.split("\n").filter((line) => line.startsWith("visits") || line.startsWith("load"))).toEqual([
    "load 2",
    'visits_total{user="ann"} 1',
    'visits_total{user=""} 3',
    'visits_total{user="bob"} 4',
    'visits_total{user="\ufffd\ufffd"} 5',
  ]);
});

test("each scrape finds the series that were inserted and deleted since the last one", async () => {
  const path = freshPath();
  using metrics = openMetrics(path, { visits_total: counter({ labels: ["user"] }) });
  using table = openTable(path);
  const users = new Map<string, number>();
  const visit = (from: number, to: number): void => {
    for (let user = from; user < to; user++) {
      metrics.visits_total.labels({ user: `${user}` }).add(user);
      users.set(`${user}`, user);
    }
  };
  const leave = (from: number, to: number): void => {
    for (let user = from; user < to; user++) {
      table.delete(`visits_total\0${user}`);
      users.delete(`${user}`);
    }
  };
  const check = async (): Promise<void> => {
    const found = (await metrics.text()).matchAll(/^visits_total\{user="(\d+)"\} (\d+)$/gm);
    expect(new Map(Array.from(found, ([, user, count]) => [user, Number(count)]))).toEqual(users);
  };
  visit(0, 500);
  await check();
  leave(0, 1);
  leave(100, 130);
  visit(500, 510);
  await check();
  leave(200, 400);
  await check();
  visit(510, 900);
  leave(450, 451);
  await check();
});

test("of two programs that begin a file with metrics that contradict, one at most gets it", async () => {
  const program = `
    const { parentPort, workerData } = require("node:worker_threads");
    const { openMetrics, counter, gauge, histogram } = require(${PACKAGE});
    const schemas = [{ c: counter(), x: histogram({ buckets: [1] }) }, { c: gauge(), x_count: counter() }];
    const gate = new Int32Array(workerData.gate);
    for (let round = 0; round < ${ROUNDS}; round++) {
      Atomics.add(gate, 0, 1);
      while (Atomics.load(gate, 0) < 2 * (round + 1));
      try {
        openMetrics(workerData.path + round, schemas[workerData.who]).close();
        Atomics.add(gate, 1 + round, 1);
      } catch (error) {
        if (error.code !== "EINVAL") throw error;
      }
    }`;
  const gate = new SharedArrayBuffer(4 * (1 + ROUNDS));
  const path = freshPath();
  const ends = [0, 1].map((who) =>
    once(new Worker(program, { eval: true, workerData: { gate, path, who } }), "exit"),
  );
  expect(await Promise.all(ends)).toEqual([[0], [0]]);
  expect(Math.max(...new Int32Array(gate).subarray(1))).toBe(1);
});

test("without a live folder a process shows its own gauge, and deletes none", () => {
  const path = freshPath();
  const run = (): string =>
    spawnSync(
      process.execPath,
      [
        "-e",
        `const { openMetrics, gauge } = require(${PACKAGE});
         const metrics = openMetrics(${JSON.stringify(path)}, { load: gauge({ perProcess: true }) });
         metrics.load.set(5);
         metrics.text().then((text) => console.log(text));`,
      ],
      { env: { ...process.env, EMMAP_LIVE: "off" }, encoding: "utf8" },
    ).stdout;
  expect(run()).toContain("\nload 5\n");
  expect(run()).toContain("\nload 5\n");
  using table = openTable(path);
  expect([...table.entries()].filter(([key]) => String(key).startsWith("load\0"))).toHaveLength(2);
});

test("a histogram counts nothing of a value that it refuses", async () => {
  using metrics = openMetrics(freshPath(), SCHEMA);
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -Infinity, 2 ** 53])
    expect(thrownBy(() => metrics.latency_seconds.observe(value)).code).toBe("ERR_OUT_OF_RANGE");
  expect(thrownBy(() => metrics.latency_seconds.observe("1" as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(await metrics.text()).toContain("latency_seconds_sum 0\nlatency_seconds_count 0\n");
});

test("the sum of a histogram does not wrap", async () => {
  using metrics = openMetrics(freshPath(), { duration_ns: histogram({ buckets: [1e6] }) });
  for (let i = 0; i < 1300; i++) metrics.duration_ns.observe(8e9);
  expect(await metrics.text()).toContain("duration_ns_sum 10400000000000\n");
  for (let i = 0; i < 3000; i++) metrics.duration_ns.observe(2 ** 53 - 1);
  metrics.duration_ns.observe(-0.25);
  expect(await metrics.text()).toContain(
    `duration_ns_sum ${Number(3000n * (2n ** 53n - 1n) + 10_400_000_000_000n)}\n`,
  );
});

test("a file whose words are too few for the sums is an error, and one that has them is read", async () => {
  const path = freshPath();
  const old = openTable(path, { capacity: 20, keyBytes: 100, words: 5 });
  old.entry("\x01sizes\x1fhistogram\x1f\x1f10,20");
  old.add("sizes", 1, 2);
  old.add("sizes", 3, 30_500_000);
  expect(thrownBy(() => openMetrics(path, {})).message).toContain('"sizes" has 2 buckets');
  old.close();
  const roomy = freshPath();
  using table = openTable(roomy, { capacity: 20, keyBytes: 100, words: 6 });
  for (const [key, words] of [
    ["\x01sizes\x1fhistogram\x1f\x1f10,20", []],
    ["sizes", [0, 2, 0, 30_500_000]],
  ] as const)
    for (const [i, word] of [...words, 0].entries()) table.add(key, i, word);
  using metrics = openMetrics(roomy, { sizes: histogram({ buckets: [10, 20] }) });
  metrics.sizes.observe(5);
  expect(await metrics.text()).toContain("sizes_sum 35.5\nsizes_count 3\n");
});

test("a histogram without buckets counts all values", async () => {
  using metrics = openMetrics(freshPath(), { sizes: histogram({ buckets: [] }) });
  metrics.sizes.observe(7);
  expect(await metrics.text()).toContain('sizes_bucket{le="+Inf"} 1\nsizes_sum 7\nsizes_count 1\n');
});

test("a counter only grows, and no number wraps", async () => {
  using metrics = openMetrics(freshPath(), {
    requests_total: counter({ labels: ["user"], maxSeries: 1 }),
    level: gauge(),
  });
  const [kept, dropped] = ["ann", "bob"].map((user) => metrics.requests_total.labels({ user })) as [
    CounterSeries,
    CounterSeries,
  ];
  for (const series of [kept, dropped])
    for (const value of [-5, -5n, 0.5, Number.NaN, Number.POSITIVE_INFINITY, 2n ** 63n, 2n ** 64n])
      expect(thrownBy(() => series.add(value)).code).toBe("ERR_OUT_OF_RANGE");
  for (const value of [0.5, Number.NaN, 2n ** 63n, -(2n ** 63n) - 1n]) {
    expect(thrownBy(() => metrics.level.set(value)).code).toBe("ERR_OUT_OF_RANGE");
    expect(thrownBy(() => metrics.level.add(value)).code).toBe("ERR_OUT_OF_RANGE");
  }
  expect(thrownBy(() => kept.add("5" as never)).code).toBe("ERR_INVALID_ARG_TYPE");
  expect(kept).not.toHaveProperty("set");
  kept.add(0);
  const text = await metrics.text();
  expect(text).toContain('requests_total{user="ann"} 0\n');
  expect(text).toContain("level 0\n");
  expect(text).not.toContain("emmap_metrics_dropped_total");
});

test("a name that makes Prometheus refuse the whole text is refused at open", () => {
  for (const labels of [["le"], ["quantile"], ["a", "b", "a"], ["__name__"], ["__x"]]) {
    const path = freshPath();
    for (const metric of [counter({ labels }), histogram({ labels, buckets: [1] })]) {
      const error = thrownBy(() => openMetrics(path, { sizes: metric }));
      expect(error.code).toBe("ERR_OUT_OF_RANGE");
      expect(error.message).toMatch(/"schema\.sizes".*label/);
    }
    expect(existsSync(path)).toBe(false);
  }
});

test("two metrics cannot show the same name", () => {
  const path = freshPath();
  const x = histogram({ buckets: [1] });
  for (const suffix of ["_bucket", "_sum", "_count"]) {
    for (const schema of [
      { x, [`x${suffix}`]: counter() },
      { [`x${suffix}`]: counter(), x },
    ]) {
      const error = thrownBy(() => openMetrics(freshPath(), schema));
      expect(error.code).toBe("EINVAL");
      expect(error.message).toContain(`has the name x${suffix} too`);
    }
  }
  openMetrics(path, { x, x_total: counter() }).close();
  expect(thrownBy(() => openMetrics(path, { x_sum: gauge() })).message).toContain(
    '"x_sum" is refused: the text of "x"',
  );
  expect(thrownBy(() => openMetrics(path, { emmap_metrics_dropped_total: counter() })).code).toBe("EINVAL");
  openMetrics(path, { x, x_total: counter() }).close();
});

const PER_PROCESS = { pp: gauge({ perProcess: true }), visits: counter({ labels: ["user"] }) };
/** The keys of the schema, two for each metric. */
const KEYS = 4;

test("a gauge takes the place of a dead process before it is dropped", async () => {
  const path = freshPath();
  openMetrics(path, PER_PROCESS, { capacity: KEYS + 2 }).close();
  const program = `const { openMetrics, gauge } = require(${PACKAGE});
    openMetrics(${JSON.stringify(path)}, { pp: gauge({ perProcess: true }) }).pp.set(5);
    process.kill(process.pid, "SIGKILL");`;
  for (let i = 0; i < 5; i++) expect(spawnSync(process.execPath, ["-e", program]).signal).toBe("SIGKILL");
  using metrics = openMetrics(path, PER_PROCESS);
  metrics.pp.add(1);
  const text = await metrics.text();
  expect(text).toContain("pp 1\n");
  expect(text).not.toContain("emmap_metrics_dropped_total");
});

/** A file with gauges of these dead processes. */
function withDead(capacity: number, processes: readonly string[]): string {
  const path = freshPath();
  using table = openTable(path, { capacity, keyBytes: 100, words: 16 });
  table.entry("\x01pp\x1fprocess_gauge\x1f\x1f");
  table.set("\x02pp", 0, processes.length);
  for (const process of processes) table.set(`pp\0${process}`, 0, 5);
  return path;
}

test("a new metric takes places of dead processes", async () => {
  using metrics = openMetrics(withDead(6, ["1.1", "1.2", "1.3", "1.4"]), {
    ...PER_PROCESS,
    visits: counter(),
  });
  metrics.visits.add(7);
  metrics.pp.add(1);
  expect(await metrics.text()).toMatch(/^pp 1$.*^visits 7$/ms);
});

test("a dead process does not count for a gauge's limit", async () => {
  const path = withDead(10, ["1.1", "1.2"]);
  using metrics = openMetrics(path, { pp: gauge({ perProcess: true, maxSeries: 2 }) });
  metrics.pp.add(1);
  expect(await metrics.text()).toContain("pp 1\n");
  using table = openTable(path);
  expect(table.get("\x02pp", 0)).toBe(1n);
});

test("a series that was dropped is counted when there is room", async () => {
  const path = freshPath();
  using others = openMetrics(path, { visits: PER_PROCESS.visits }, { capacity: KEYS + 1 });
  others.visits.labels({ user: "ann" }).add();
  using metrics = openMetrics(path, PER_PROCESS);
  metrics.pp.add(1);
  const bob = metrics.visits.labels({ user: "bob" });
  for (let i = 0; i < 10; i++) bob.add();
  expect(await metrics.text()).toContain('{metric="pp"} 1\n');
  using table = openTable(path);
  expect(table.get("\x02visits", 0)).toBe(1n);
  table.delete("visits\0ann");
  metrics.pp.add(1);
  expect(await metrics.text()).toContain("pp 1\n");
  table.delete(
    [...table.entries()].map(([key]) => String(key)).find((key) => key.startsWith("pp")) as string,
  );
  bob.add(3);
  expect(await metrics.text()).toContain('visits{user="bob"} 3\n');
});

test("Prometheus's own tool reads the text of any label value and help", async () => {
  using metrics = openMetrics(freshPath(), {
    visits_total: counter({ labels: ["user"], help: '"a" \\ b\r\n\ud800' }),
    errors_total: counter({ help: "" }),
    level: gauge({ labels: ["user"], maxSeries: 1 }),
    sizes: histogram({ buckets: [-1.5e-7, -0, 1e-7, 0.00001, 10.05, 1e6, 1e20, 1.5e21, 1e22] }),
  });
  const users = [
    "\ud800",
    "a\udfffb",
    "a\0b",
    '\r\n\t"\\',
    "é",
    "",
    Number.NaN,
    -0,
    true as never,
    null as never,
  ];
  for (const user of users) {
    metrics.visits_total.labels({ user }).add(2n ** 60n);
    metrics.level.labels({ user }).set(-(2n ** 63n));
  }
  metrics.sizes.observe(1e15);
  const text = await metrics.text();
  promtoolAccepts(text);
  for (const bound of [
    "-1.5e-7",
    "0",
    "1e-7",
    "0.00001",
    "10.05",
    "1000000",
    "100000000000000000000",
    "1.5e+21",
    "1e+22",
  ])
    expect(text).toContain(`le="${bound}"`);
});
