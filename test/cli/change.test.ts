// The verbs that change: queue, counters, blocks, backup, check --repair; and how messages are shown.
import { spawn, spawnSync } from "node:child_process";
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import {
  counter,
  openBlockStorage,
  openCell,
  openCounters,
  openMetrics,
  openQueue,
  openTable,
} from "../../src";
import { atom, encode, Float, tuple } from "../../src/etf";
import { contents, emmap, freshFolder, output, peer, run, values } from "./support";

function overwrite(path: string, position: number, bytes: string): void {
  const fd = openSync(path, "r+");
  writeSync(fd, bytes, position, "latin1");
  closeSync(fd);
}

test("messages are pushed, shown, moved, copied and removed", () => {
  const cwd = freshFolder();
  expect(run(["queue", "jobs.q", "push", "1"], { cwd }).status).toBe(2);
  expect(readdirSync(cwd)).toEqual([]);
  output(
    ["queue", "jobs.q", "push", "--create", '{"picture": "cat.png", "size": [1, 2.5]}', '"dog"', "null"],
    { cwd },
  );
  output(["queue", "jobs.q", "push"], { cwd, input: '"line 1"\n"line 2"\n' });
  expect(output(["queue", "jobs.q"], { cwd }).split("\n")).toEqual([
    '#{<<"picture">> => <<"cat.png">>,<<"size">> => [1,2.5]}',
    '<<"dog">>',
    "null",
    '<<"line 1">>',
    '<<"line 2">>',
    "",
  ]);
  expect(output(["queue", "jobs.q", "peek", "2", "--as", "json"], { cwd })).toBe(
    '{"picture":"cat.png","size":[1,2.5]}\n"dog"\n',
  );
  expect(values(["queue", "jobs.q", "tail", "-n", "2", "--json"], { cwd })).toEqual([
    { message: "line 1" },
    { message: "line 2" },
  ]);
  expect(output(["queue", "jobs.q", "pop"], { cwd })).toContain("cat.png");
  expect(output(["queue", "jobs.q", "copy", "--create", "copy.q"], { cwd })).toBe("4 messages copied\n");
  expect(output(["queue", "jobs.q", "move", "copy.q", "-n", "1"], { cwd })).toBe("1 message moved\n");
  expect(values(["queue", "copy.q", "--json"], { cwd }).map(({ message }) => message)).toEqual([
    "dog",
    null,
    "line 1",
    "line 2",
    "dog",
  ]);
  expect(output(["queue", "jobs.q", "purge"], { cwd })).toBe("3 messages removed\n");
  expect(run(["queue", "jobs.q", "pop"], { cwd }).status).toBe(4);
  expect(run(["queue", "jobs.q", "push", "no json"], { cwd })).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("is no JSON"),
  });
  // What moved is what was pushed, byte for byte.
  using queue = openQueue(join(cwd, "copy.q"), { values: "json" });
  expect(queue.snapshot()).toEqual(["dog", null, "line 1", "line 2", "dog"]);
});

test("terms are printed as Erlang prints them", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"));
  const shown: [unknown, string][] = [
    [tuple(atom("ok"), atom("two words"), true), "{ok,'two words',true}"],
    [new Map<unknown, unknown>([[atom("a"), 1n << 70n]]), "#{a => 1180591620717411303424}"],
    [Buffer.from([0, 255]), "<<0,255>>"],
    ['ä"\\\n', '<<"ä\\"\\\\\\n"/utf8>>'],
    [[104, 105], '"hi"'],
    [new Float(1), "1.0"],
    [1e300, "1.0e300"],
    [[], "[]"],
  ];
  for (const [term] of shown) queue.push(term as never);
  expect(output(["queue", "q"], { cwd }).trimEnd().split("\n")).toEqual(shown.map(([, text]) => text));
});

test("a message that would command a terminal, or is no term, is shown harmlessly", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"), { raw: true });
  const evil = "\x1b]0;owned\x07\x1b[2J\u202e\u2028\u{e0041}";
  queue.push(encode(evil));
  queue.push(encode(atom(evil)));
  queue.push(encode(new Map([[evil, evil]])));
  queue.push("\x1b[2J no term");
  // Deep enough for a stack to overflow.
  queue.push(
    Buffer.concat([
      Buffer.from([131]),
      ...Array(100_000).fill(Buffer.from([108, 0, 0, 0, 1])),
      Buffer.from([106]),
      Buffer.alloc(100_000, 106),
    ]),
  );
  for (const form of ["erlang", "json", "hex"]) {
    const text = output(["queue", "q", "--as", form], { cwd });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
    expect(text).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e\u2028]|\u{e0041}/u);
    expect(text.trimEnd().split("\n")).toHaveLength(5);
  }
  for (const { message } of values(["queue", "q", "--json"], { cwd }).slice(0, 1))
    expect(message).toBeTypeOf("string");
  expect(output(["queue", "q", "--as", "raw", "-n", "1"], { cwd })).toContain("owned");
});

test("tail follows a queue that others fill and empty", async () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"), { values: "json" });
  queue.pushMany(["old", "last"]);
  const child = spawn(process.execPath, [emmap, "queue", "q", "tail", "-f", "-n", "1", "--as", "json"], {
    cwd,
  });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  await expect.poll(() => text).toBe('"last"\n');
  queue.push("new");
  await expect.poll(() => text).toBe('"last"\n"new"\n');
  queue.popMany(3);
  queue.push("again");
  await expect.poll(() => text).toBe('"last"\n"new"\n"again"\n');
  child.kill();
});

test("tail shows a message once, also when the queue moves its messages, and equal ones each", async () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"), { values: "json" });
  const push = (from: number, to: number): void => {
    for (let number = from; number < to; number++) queue.push(number);
  };
  push(0, 100);
  const child = spawn(process.execPath, [emmap, "queue", "q", "tail", "-f", "-n", "1", "--as", "json"], {
    cwd,
  });
  onTestFinished(() => void child.kill());
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  const lines = (): string[] => text.trimEnd().split("\n");
  await expect.poll(() => text).toBe("99\n");
  // The file has 4 KiB: the messages move to its beginning, and then it grows.
  const { head } = queue.info();
  queue.popMany(60);
  for (let number = 100; number < 500; number += 20) {
    push(number, number + 20);
    await expect.poll(() => lines().at(-1)).toBe(String(number + 19));
  }
  expect(queue.info().head).toBeLessThanOrEqual(head + 60 * 16);
  expect(lines()).toEqual(Array.from({ length: 401 }, (_, number) => String(99 + number)));
  // A heartbeat that a consumer takes each time.
  queue.purge();
  for (let beats = 1; beats <= 3; beats++) {
    queue.push("beat");
    await expect.poll(() => lines().filter((line) => line === '"beat"')).toHaveLength(beats);
    queue.pop();
  }
});

test("counters are shown and changed", () => {
  const cwd = freshFolder();
  using file = openCounters(join(cwd, "c"), 3);
  expect(output(["counters", "c", "add", "1", "5"], { cwd })).toBe("5\n");
  expect(output(["counters", "c", "add", "1", "-7"], { cwd })).toBe("-2\n");
  expect(values(["counters", "c", "set", "2", "9223372036854775807", "--json"], { cwd })).toEqual([
    { index: 2, value: "9223372036854775807", before: 0 },
  ]);
  expect(output(["counters", "c", "get", "1"], { cwd })).toBe("-2\n");
  expect(values(["counters", "c", "--json"], { cwd }).map(({ value }) => value)).toEqual([
    0,
    -2,
    "9223372036854775807",
  ]);
  expect(file.get(1)).toBe(-2n);
  for (const wrong of [
    ["get"],
    ["get", "x"],
    ["add", "1"],
    ["get", "9"],
    ["set", "0", "9223372036854775808"],
  ])
    expect(run(["counters", "c", ...wrong], { cwd }).status).not.toBe(0);
});

test("blocks are shown and freed", () => {
  const cwd = freshFolder();
  using file = openBlockStorage(join(cwd, "b"), { blockSize: 8 });
  const [first, second] = file.storeMany(["picture1", "picture2"]) as [number, number];
  expect(values(["blocks", "b", "--json"], { cwd })).toEqual([
    { address: first, hex: Buffer.from("picture1").toString("hex") },
    { address: second, hex: Buffer.from("picture2").toString("hex") },
  ]);
  expect(output(["blocks", "b", "get", String(second), "--raw"], { cwd })).toBe("picture2");
  output(["blocks", "b", "free", String(first)], { cwd });
  expect(file.count()).toBe(1);
  expect(run(["blocks", "b", "get", String(first)], { cwd }).status).toBe(4);
});

test("the value of a cell is shown, watched and published", async () => {
  const cwd = freshFolder();
  using file = openCell(join(cwd, "flags.cell"), { maxBytes: 100, values: "json" });
  expect(run(["cell", "flags.cell"], { cwd }).status).toBe(4);
  output(["cell", "flags.cell", "publish", '{"new": 25}'], { cwd });
  expect(file.get()).toEqual({ new: 25 });
  expect(output(["cell", "flags.cell"], { cwd })).toBe('#{<<"new">> => 25}\n');
  expect(values(["cell", "flags.cell", "get", "--json"], { cwd })).toEqual([
    { version: 1, value: { new: 25 } },
  ]);
  const child = spawn(process.execPath, [emmap, "cell", "flags.cell", "watch", "--as", "json"], { cwd });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  await expect.poll(() => text).toBe('{"new":25}\n');
  file.publish("\x1b[2J");
  await expect.poll(() => text).toBe('{"new":25}\n"\\u001b[2J"\n');
  child.kill();
  expect(run(["cell", "flags.cell", "publish", JSON.stringify("x".repeat(200))], { cwd })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("max_bytes"),
  });
  for (const wrong of [["publish"], ["get", "x"], ["publish", "no json"]])
    expect(run(["cell", "flags.cell", ...wrong], { cwd }).status).toBe(2);
  expect(run(["cell", "flag.cell", "publish", "1"], { cwd }).stderr).toContain("did you mean flags.cell?");
});

test("keys of a table are shown, changed and deleted", () => {
  const cwd = freshFolder();
  using file = openTable(join(cwd, "clients.table"), { capacity: 100 });
  expect(output(["table", "clients.table", "add", "ann", "5"], { cwd })).toBe("5\n");
  expect(output(["table", "clients.table", "add", "ann", "-7"], { cwd })).toBe("-2\n");
  expect(output(["table", "clients.table", "set", "ann", "9", "--word", "1"], { cwd })).toBe("9\n");
  file.add(Buffer.from([0xff, 0]), 0, 1n << 60n);
  file.add("evil\x1b[2J", 0, 1);
  expect(values(["table", "clients.table", "--json"], { cwd })).toEqual([
    { key: "ann", words: [-2, 9] },
    { key: "0xff00", words: [String(1n << 60n), 0] },
    { key: "evil\x1b[2J", words: [1, 0] },
  ]);
  const shown = output(["table", "clients.table", "ls"], { cwd });
  expect(shown).toMatch(/^KEY +WORD 0 +WORD 1\nann +-2 +9\n/);
  expect(shown).toContain("evil\\x{1B}[2J");
  expect(output(["table", "clients.table", "get", "--hex", "0xff00"], { cwd })).toBe(`${1n << 60n}\n`);
  output(["table", "clients.table", "delete", "--hex", "ff00"], { cwd });
  // Wallets have such names: only the option makes bytes of them.
  file.add("A", 0, 65);
  file.add("0x41", 0, 1);
  expect(output(["table", "clients.table", "get", "0x41"], { cwd })).toBe("1\n");
  output(["table", "clients.table", "delete", "0x41"], { cwd });
  expect(values(["table", "clients.table", "--hex", "--json"], { cwd }).at(-1)).toEqual({
    key: "0x41",
    words: [65, 0],
  });
  output(["table", "clients.table", "delete", "--hex", "0x41"], { cwd });
  expect(output(["table", "clients.table", "-n", "1"], { cwd })).toMatch(/ann.*\n1 more key: see -n\n$/);
  expect(file.size).toBe(2);
  for (const none of [
    ["get", "bob"],
    ["delete", "bob"],
  ])
    expect(run(["table", "clients.table", ...none], { cwd })).toMatchObject({
      status: 4,
      stderr: "emmap: there is no key bob\n",
    });
  for (const wrong of [["get"], ["add", "ann"], ["add", "ann", "x"], ["ls", "ann"], ["get", "--hex", "xy"]])
    expect(run(["table", "clients.table", ...wrong], { cwd }).status).toBe(2);
});

test("metrics are shown as text for Prometheus, and as a list", async () => {
  const cwd = freshFolder();
  using metrics = openMetrics(join(cwd, "metrics.table"), {
    requests_total: counter({ labels: ["route"] }),
  });
  metrics.requests_total.labels({ route: "/" }).add(3);
  const before = contents(join(cwd, "metrics.table"));
  expect(output(["metrics", "metrics.table"], { cwd })).toBe(await metrics.text());
  expect(values(["metrics", "metrics.table", "ls", "--json"], { cwd })).toEqual([
    { metric: "requests_total", name: "requests_total", labels: { route: "/" }, value: 3 },
  ]);
  expect(output(["metrics", "metrics.table", "ls"], { cwd })).toMatch(/requests_total +route="\/" +3\n/);
  expect(contents(join(cwd, "metrics.table"))).toBe(before);
  openTable(join(cwd, "other.table"), { capacity: 1 }).close();
  expect(run(["metrics", "other.table"], { cwd })).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("it is of kind table"),
  });
  // A file of metrics is a table too.
  expect(values(["table", "metrics.table", "--json"], { cwd }).map(({ key }) => key)).toContain(
    "requests_total\0/",
  );
});

test("take gives a message to a program, and only its success removes the message", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "jobs.q"), { values: "json" });
  queue.pushMany(["first", { size: 2 }, "third"]);
  const take = (...args: string[]) => run(["queue", "jobs.q", "take", "--as", "json", ...args], { cwd });
  expect(take("--", "cat")).toEqual({ status: 0, stdout: '"first"\n', stderr: "" });
  expect(take("--", "sh", "-c", "cat; exit 3")).toMatchObject({
    status: 1,
    stdout: '{"size":2}\n',
    stderr: "emmap: sh ended with 3; its message is released\n",
  });
  expect(values(["queue", "jobs.q", "hand", "--json"], { cwd })[0]).toMatchObject({
    released: true,
    attempt: 1,
  });
  expect(take("-n", "9", "--", "cat").stdout).toBe('{"size":2}\n"third"\n');
  expect(take("--", "cat").status).toBe(4);
  expect(take().status).toBe(2);
  expect(values(["info", "jobs.q", "--json"], { cwd })[0]).toMatchObject({
    length: 0,
    in_hand: 0,
    released: 0,
  });
});

test("a backup is made of a file in use", async () => {
  const cwd = freshFolder();
  await peer("const q = emmap.openQueue('q', { values: 'json' }); q.pushMany([1, 2, 3])", cwd);
  expect(output(["backup", "q", "copy"], { cwd })).toBe("q (queue) is copied to copy\n");
  expect(values(["queue", "copy", "--json"], { cwd })).toEqual([
    { message: 1 },
    { message: 2 },
    { message: 3 },
  ]);
  expect(run(["backup", "q", "copy"], { cwd })).toMatchObject({
    status: 1,
    stderr: expect.stringContaining("exists"),
  });
});

test("check finds damage at its place, and repairs after a backup", () => {
  const cwd = freshFolder();
  {
    using queue = openQueue(join(cwd, "q"));
    queue.pushMany([1, 2, 3]);
    using blocks = openBlockStorage(join(cwd, "b"), { blockSize: 8, levels: 2 });
    for (let i = 0; i < 70; i++) blocks.store("block123");
    openCounters(join(cwd, "c"), 3).close();
  }
  expect(values(["check", "q", "b", "c", "--json"], { cwd })).toEqual([
    { path: "q", kind: "queue", sound: true },
    { path: "b", kind: "blocks", sound: true },
    { path: "c", kind: "counters", sound: true },
  ]);
  overwrite(join(cwd, "q"), 19, "\xff"); // a message's length
  overwrite(join(cwd, "b"), 24, "\0"); // the top group's mask of used children
  overwrite(join(cwd, "c"), 8, "\x09"); // the number of counters
  const damaged = contents(join(cwd, "q"));
  const found = run(["check", "q", "b", "c", "--json"], { cwd });
  expect(found.status).toBe(1);
  expect(
    found.stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([
    expect.objectContaining({
      path: "q",
      sound: false,
      offset: 16,
      damage: expect.stringContaining("length"),
    }),
    expect.objectContaining({
      path: "b",
      sound: false,
      offset: 16,
      damage: expect.stringContaining("masks"),
    }),
    expect.objectContaining({ path: "c", sound: false, offset: 8 }),
  ]);
  expect(run(["ls"], { cwd }).stdout).toMatch(/damaged at 16/);
  expect(run(["check", "--repair", "q", "b"], { cwd }).status).toBe(0);
  expect(contents(join(cwd, "q.damaged"))).toBe(damaged);
  expect(existsSync(join(cwd, "b.damaged"))).toBe(true);
  expect(run(["check", "q", "b"], { cwd }).status).toBe(0);
  using blocks = openBlockStorage(join(cwd, "b"), { blockSize: 8, read: true });
  expect(blocks.count()).toBe(70);
});

test("damaged tables and cells are repaired", () => {
  const cwd = freshFolder();
  {
    using table = openTable(join(cwd, "t"), { capacity: 100 });
    for (let i = 0; i < 50; i++) table.add(`key ${i}`, 0, i);
    using cell = openCell(join(cwd, "c"), { maxBytes: 100, values: "json" });
    for (let i = 0; i < 4; i++) cell.publish(i);
  }
  expect(values(["check", "t", "c", "--json"], { cwd }).map(({ sound }) => sound)).toEqual([true, true]);
  overwrite(join(cwd, "t"), 192, "\x07"); // the number of keys
  overwrite(join(cwd, "t"), 4096, "\xff".repeat(200)); // buckets
  overwrite(join(cwd, "c"), 128 + 32, "\xff"); // the first byte of version 4
  expect(run(["check", "t", "c"], { cwd }).stdout).toMatch(
    /^t: table, DAMAGED\n {2}at 4096: .*\nc: cell, DAMAGED\n {2}at 128: .*\n$/,
  );
  expect(run(["check", "--repair", "t", "c"], { cwd }).status).toBe(0);
  expect(values(["check", "t", "c", "--json"], { cwd }).map(({ sound }) => sound)).toEqual([true, true]);
  expect(values(["cell", "c", "--json"], { cwd })[0]?.value).toBe(2);
  using table = openTable(join(cwd, "t"), { read: true });
  expect([table.size, table.get("key 49")]).toEqual([50, 49n]);
});

test("check finds a damaged description of a metric, and its repair lets programs go on", async () => {
  const cwd = freshFolder();
  const path = join(cwd, "m");
  const schema = { requests_total: counter(), visits_total: counter() };
  const metrics = openMetrics(path, schema);
  metrics.visits_total.add(3);
  metrics.close();
  expect(output(["check", "m"], { cwd })).toBe("m: metrics, sound\n");
  const bytes = readFileSync(path);
  bytes[bytes.indexOf("\x01visits_total\x1f") + 14] = 0x20;
  writeFileSync(path, bytes);
  expect(run(["check", "m"], { cwd }).status).toBe(1);
  expect(output(["check", "--repair", "m"], { cwd })).toContain("1 damaged description of metrics");
  expect(output(["check", "m"], { cwd })).toBe("m: metrics, sound\n");
  using repaired = openMetrics(path, schema);
  repaired.visits_total.add();
  expect(await repaired.text()).toContain("\nvisits_total 4\n");
  // In a sound table.
  using table = openTable(path);
  table.entry("\x01visits\x1fcounter");
  expect(run(["check", "m"], { cwd })).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/^m: metrics, DAMAGED\n.*description of a metric is damaged/),
  });
  expect(output(["check", "--repair", "m"], { cwd })).toContain("1 damaged description of metrics");
  openMetrics(path, schema).close();
});

test("messages in hand are copied by backup, counted by copy and purge, and checked", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"));
  queue.pushMany([1, 2, 3, 4]);
  queue.tryTake()?.release();
  const delayed = queue.tryTake();
  const second = queue.tryTake();
  delayed?.release(1e9);
  expect(run(["backup", "q", "all"], { cwd }).status).toBe(0);
  using all = openQueue(join(cwd, "all"));
  expect([...all]).toEqual([1, 2, 3, 4]);
  const copied = run(["queue", "q", "copy", "copy", "--create"], { cwd });
  expect(copied).toMatchObject({
    stdout: "2 messages copied\n",
    stderr: expect.stringContaining("2 messages"),
  });
  second?.ack();
  queue.tryTake()?.release(1e9);
  const taken = join(cwd, "q-taken");
  overwrite(taken, 69632 + 64, "\xff\xff\xff\xff"); // a message's length
  const before = contents(join(cwd, "q"));
  const damaged = contents(taken);
  expect(run(["check", "q"], { cwd })).toMatchObject({
    status: 1,
    stdout: expect.stringContaining("q-taken"),
  });
  expect(values(["check", "--repair", "q", "--json"], { cwd })).toEqual([
    expect.objectContaining({
      sound: false,
      beside: "q-taken",
      backup: "q-taken.damaged",
      saved: 1,
      lost: 1,
      repair: "1 message in hand saved, 1 lost; the backup has their bytes",
    }),
  ]);
  expect(contents(`${taken}.damaged`)).toBe(damaged);
  expect(run(["check", "q"], { cwd }).status).toBe(0);
  overwrite(taken, 0, "x".repeat(100_000));
  expect(run(["check", "--repair", "q"], { cwd })).toMatchObject({
    status: 1,
    stdout: expect.stringMatching(/kept in q-taken.damaged-2\n {2}repair: failed: .* move q-taken away/),
  });
  expect(contents(join(cwd, "q"))).toBe(before);
  expect(run(["info", "q"], { cwd }).stdout).not.toBe("");
});

test("messages in hand that may be those of another queue are pointed out", () => {
  const cwd = freshFolder();
  {
    using queue = openQueue(join(cwd, "q"));
    queue.push(1);
    queue.tryTake();
  }
  copyFileSync(join(cwd, "q"), join(cwd, "copy"));
  copyFileSync(join(cwd, "q-taken"), join(cwd, "copy-taken"));
  const hint = expect.stringContaining("another file");
  expect(run(["check", "q", "copy"], { cwd })).toMatchObject({ status: 0, stdout: hint });
  expect(run(["ls"], { cwd }).stdout).toMatch(/copy .*another file/);
  expect(run(["doctor", "."], { cwd })).toMatchObject({ stdout: hint });
  expect(values(["check", "q", "copy", "--json"], { cwd }).map(({ note }) => note)).toEqual([
    undefined,
    hint,
  ]);
  openQueue(join(cwd, "copy")).tryTake();
  expect(values(["check", "copy", "--json"], { cwd })[0]).not.toHaveProperty("note");
});

test("purge counts released messages, also those that are not due", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"));
  queue.pushMany([1, 2, 3]);
  queue.tryTake()?.release(1e9);
  queue.tryTake()?.release();
  expect(values(["queue", "q", "purge", "--json"], { cwd })).toEqual([{ purged: 3 }]);
});

test("a damaged header is found if the kind is told", () => {
  const cwd = freshFolder();
  openQueue(join(cwd, "q")).close();
  rmSync(join(cwd, "q-live"), { recursive: true });
  overwrite(join(cwd, "q"), 0, "\xff".repeat(16));
  expect(run(["check", "q"], { cwd })).toMatchObject({
    status: 0,
    stdout: expect.stringContaining("no format"),
  });
  const found = run(["check", "--kind", "queue", "q"], { cwd });
  expect(found).toMatchObject({ status: 1, stdout: expect.stringContaining("passes the end of the file") });
});

test("a file of another kind is not repaired as the kind that was told", () => {
  const cwd = freshFolder();
  const table = openTable(join(cwd, "t"), { capacity: 9 });
  table.add("a", 0, 1);
  table.close();
  const before = contents(join(cwd, "t"));
  expect(run(["check", "--kind", "queue", "--repair", "t"], { cwd })).toMatchObject({
    status: 2,
    stderr: "emmap: t is of kind table, and not of kind queue\n",
  });
  expect(contents(join(cwd, "t"))).toBe(before);
});

test("a queue whose file was cut off is a damaged queue", () => {
  const cwd = freshFolder();
  const queue = openQueue(join(cwd, "q"), { size: 1 << 20 });
  queue.push(1);
  queue.close();
  rmSync(join(cwd, "q-live"), { recursive: true });
  truncateSync(join(cwd, "q"), 5000);
  for (const verb of ["check", "info", "ls"])
    expect(run([verb, "q"], { cwd }).stdout).toContain("passes the end of the file");
  expect(run(["check", "q"], { cwd }).status).toBe(1);
});

test("a reader that has seen enough ends the command well", async () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"), { values: "json" });
  queue.pushMany(Array.from({ length: 20_000 }, (_, number) => `message ${number}`));
  const { status, stdout } = await new Promise<{ status: number | null; stdout: string }>((resolve) => {
    const child = spawn("sh", ["-c", `${process.execPath} ${emmap} queue q -n 20000 | head -1; echo done`], {
      cwd,
    });
    let stdout = "";
    child.stdout.on("data", (chunk) => {
      stdout += chunk;
    });
    child.on("close", (status) => resolve({ status, stdout }));
  });
  expect([status, stdout]).toEqual([0, '<<"message 0">>\ndone\n']);
});

test("pop leaves what its output does not accept", () => {
  const cwd = freshFolder();
  const shell = (command: string) =>
    spawnSync("sh", ["-c", command.replaceAll("emmap", `${process.execPath} ${emmap}`)], {
      cwd,
      encoding: "utf8",
    });
  using queue = openQueue(join(cwd, "q"), { values: "json" });
  // More than a pipe holds.
  queue.pushMany(Array.from({ length: 5000 }, (_, number) => `message ${number} ${"x".repeat(100)}`));
  const { stdout, stderr } = shell("(emmap queue q pop -n 5000; echo $? > status) | head -1");
  expect(stdout).toMatch(/^<<"message 0 x+">>\n$/);
  expect(stderr).toBe("emmap: the reader of the output is gone\n");
  expect(contents(join(cwd, "status"))).toBe("141\n");
  const left = queue.length();
  expect(left).toBeGreaterThan(4000);
  const full = shell("emmap queue q pop > /dev/full");
  expect(full).toMatchObject({
    status: 1,
    stderr: expect.stringMatching(/^emmap: standard output: ENOSPC.*\n$/),
  });
  expect(queue.length()).toBe(left);
  // A slow reader gets them all, each once.
  const slow = shell("emmap queue q pop -n 5000 --as json | (sleep 0.3; cat)");
  expect(slow.stdout.trimEnd().split("\n")).toHaveLength(left);
  expect(queue.info()).toMatchObject({ inHand: 0, released: 0 });
  expect(queue.isEmpty()).toBe(true);
});

test("output that a full disk refuses is a failure", () => {
  const cwd = freshFolder();
  openQueue(join(cwd, "q")).close();
  for (const verb of ["info q", "ls", "check q", "queue q purge"])
    expect(
      spawnSync("sh", ["-c", `${process.execPath} ${emmap} ${verb} > /dev/full`], { cwd, encoding: "utf8" }),
    ).toMatchObject({ status: 1, stderr: expect.stringMatching(/^emmap: standard output: ENOSPC.*\n$/) });
});

test("JSON comes out of a queue as it went in, and numbers that would change are refused", () => {
  const cwd = freshFolder();
  openQueue(join(cwd, "q")).close();
  const word = '{"k\\u001b":"\\u0000\\u001b[31m","n":[9007199254740991,1e300,"9007199254740993 1e400"]}';
  output(["queue", "q", "push", word], { cwd });
  for (const number of ["9007199254740993", "-12345678901234567890", "1e400"])
    expect(run(["queue", "q", "push", `{"id":[1,${number}]}`], { cwd })).toMatchObject({
      status: 2,
      stderr: `emmap: ${number} is beyond the numbers of JSON that emmap keeps exactly\n`,
    });
  const shown = output(["queue", "q", "pop", "--as", "json"], { cwd });
  expect(JSON.parse(shown)).toEqual(JSON.parse(word));
  expect(shown).not.toContain("\x1b");
});

test("a queue is not moved or copied to itself", () => {
  const cwd = freshFolder();
  using queue = openQueue(join(cwd, "q"));
  queue.push(1);
  symlinkSync("q", join(cwd, "link.q"));
  for (const to of ["q", "./q", "link.q"])
    for (const verb of ["move", "copy"])
      expect(run(["queue", "q", verb, to], { cwd })).toMatchObject({
        status: 2,
        stderr: `emmap: ${to} is q itself\n`,
      });
  expect(queue.length()).toBe(1);
});

test("a queue whose first bytes are overwritten is found by what is beside it, and repaired as a queue", async () => {
  const cwd = freshFolder();
  const path = join(cwd, "q");
  using held = openQueue(path, { values: "json" });
  held.pushMany([1, 2, 3]);
  const fd = openSync(path, "r+");
  writeSync(fd, "A".repeat(16), 0);
  closeSync(fd);
  const found = run(["check", "q"], { cwd });
  expect(found.stdout).toContain("its first bytes are damaged. Give --kind");
  expect(found.status).toBe(1);
  held.close();
  expect(output(["check", "--repair", "--kind", "queue", "q"], { cwd })).toContain("it is empty now");
  expect(output(["check", "q"], { cwd })).toContain("queue, sound");
  using again = openQueue(path, { values: "json" });
  expect(again.length()).toBe(0);
});

test("check of several files gives a verdict of each", () => {
  const cwd = freshFolder();
  openQueue(join(cwd, "q")).close();
  const { stdout, status } = run(["check", "nothing", "q-live", "q"], { cwd });
  expect(stdout).toContain("nothing: unreadable, NOT CHECKED");
  expect(stdout).toContain("q-live: folder, which is not checked");
  expect(stdout).toContain("q: queue, sound");
  expect(status).toBe(1);
});
