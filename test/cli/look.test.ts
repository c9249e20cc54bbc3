// The verbs that look: ls, info, top. They tell who is there and what is wrong, and change nothing.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, mkdirSync, readdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
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
import { contents, emmap, end, freshFolder, give, library, output, peer, run, values } from "./support";

/** A folder with a file of each kind. */
function shop(): string {
  const folder = freshFolder();
  using jobs = openQueue(join(folder, "jobs.q"), { values: "json" });
  jobs.pushMany([{ picture: "cat.png" }, { picture: "dog.png" }, "last"]);
  using visits = openCounters(join(folder, "visits.bin"), 4);
  visits.add(1, 42);
  using pictures = openBlockStorage(join(folder, "pictures.bin"), { blockSize: 8 });
  pictures.storeMany(["picture1", "picture2"]);
  using flags = openCell(join(folder, "flags.cell"), { maxBytes: 100, values: "json" });
  flags.publish({ checkout: true });
  using clients = openTable(join(folder, "clients.table"), { capacity: 100 });
  clients.add("ann", 0, 1);
  openMetrics(join(folder, "metrics.table"), { requests_total: counter() }).close();
  writeFileSync(join(folder, "notes.txt"), "nothing of emmap");
  return folder;
}

test("ls lists files of all kinds, with what is in them", () => {
  const folder = shop();
  const lines = output(["ls", folder]).split("\n");
  expect(lines[0]).toMatch(/^NAME +KIND +SIZE +CONTENTS +OPEN +WAITING +STATE$/);
  expect(lines.find((line) => line.startsWith("jobs.q "))).toMatch(/ queue +4\.0K +3 messages +0 /);
  expect(lines.find((line) => line.startsWith("visits.bin "))).toMatch(/ counters +48 +4 counters +0 /);
  expect(lines.find((line) => line.startsWith("pictures.bin "))).toMatch(/ blocks .* 2 blocks /);
  expect(lines.find((line) => line.startsWith("flags.cell "))).toMatch(/ cell .* version 1 +0 /);
  expect(lines.find((line) => line.startsWith("clients.table "))).toMatch(/ table .* 1 key +0 /);
  expect(lines.find((line) => line.startsWith("metrics.table "))).toMatch(/ metrics .* 3 keys +0 /);
  expect(lines.join()).not.toContain("notes.txt");
  expect(lines.join()).not.toContain("-live");
  expect(output(["ls", "--all", folder])).toContain("notes.txt");
  expect(values(["ls", "--json"], { cwd: folder })).toEqual([
    expect.objectContaining({ path: "clients.table", kind: "table", keys: 1, capacity: 100 }),
    expect.objectContaining({ path: "flags.cell", kind: "cell", version: 1, max_bytes: 100 }),
    expect.objectContaining({ path: "jobs.q", kind: "queue", length: 3, sharing: "none" }),
    expect.objectContaining({ path: "metrics.table", kind: "metrics", keys: 3 }),
    expect.objectContaining({ path: "pictures.bin", kind: "blocks", blocks: 2, block_size: 8 }),
    expect.objectContaining({ path: "visits.bin", kind: "counters", counters: 4 }),
  ]);
});

test("ls looks into folders if asked, and follows no link", () => {
  const folder = shop();
  mkdirSync(join(folder, "more"));
  openQueue(join(folder, "more/deep.q")).close();
  symlinkSync(join(folder, "jobs.q"), join(folder, "link.q"));
  expect(output(["ls", folder])).not.toMatch(/deep|link/);
  expect(output(["ls", "--recursive", folder])).toContain("more/deep.q");
  expect(output(["ls", join(folder, "link.q")])).toContain("3 messages");
});

test("ls tells of files that it leaves out because of their names", () => {
  const folder = shop();
  writeFileSync(Buffer.concat([Buffer.from(join(folder, "jobs")), Buffer.from([0xff])]), "");
  const { status, stdout, stderr } = run(["ls", folder]);
  expect([status, stderr]).toEqual([0, "emmap: 1 file left out: the name is not UTF-8\n"]);
  expect(stdout).toMatch(/^jobs\.q /m);
});

test("info tells who has a file open, what they did, and who waits", async () => {
  const folder = freshFolder();
  const path = join(folder, "jobs.q");
  const writer = await peer("const q = emmap.openQueue('jobs.q'); q.push(1); q.push(2); q.pop()", folder);
  const waiter = await peer("const w = emmap.openQueue('jobs.q'); w.pop(); void w.receive()", folder);
  const reader = await peer("const r = emmap.openQueue('jobs.q', { read: true })", folder);
  const [found] = values(["info", path, "--json"]);
  expect(found).toMatchObject({ kind: "queue", length: 0, sharing: "live", lock: "free", waiters: 1 });
  expect(found?.writers).toEqual([
    expect.objectContaining({ process: writer.pid, program: "node", pushed: 2, popped: 1, waiting: 0 }),
    expect.objectContaining({ process: waiter.pid, popped: 1, waiting: 1, has_lock: false }),
  ]);
  const processes = found?.processes;
  expect(processes?.find(({ process }) => process === reader.pid)).toMatchObject({ writes: false });
  expect(processes?.find(({ process }) => process === writer.pid)).toMatchObject({
    writes: true,
    command: expect.stringContaining("q.push(1)"),
  });
  const text = output(["info", path]);
  expect(text).toMatch(/in use +2 handles may write/);
  expect(text).toMatch(/Other processes that have it open:/);
});

test("the owner of the lock is named: stopped, and dead", async () => {
  const folder = freshFolder();
  const path = join(folder, "jobs.q");
  const other = await peer("const q = emmap.openQueue('jobs.q'); q.push(1)", folder);
  const holder = await peer("const q = emmap.openQueue('jobs.q'); q.push(1)", folder);
  give(path, holder.pid as number, "lock");
  holder.kill("SIGSTOP");
  const named = new RegExp(`process ${holder.pid} \\(.*\\) is stopped and has the lock`);
  expect(output(["info", path])).toMatch(named);
  expect(output(["ls", folder])).toMatch(named);
  expect(output(["top", "--once", folder])).toMatch(named);
  expect(values(["info", path, "--json"])[0]).toMatchObject({
    lock: "held",
    writers: [
      { process: other.pid, has_lock: false },
      { process: holder.pid, has_lock: true },
    ],
  });
  await end(holder, "SIGKILL");
  expect(values(["info", path, "--json"])[0]).toMatchObject({
    lock: "abandoned",
    writers: [{ process: other.pid }],
  });
  expect(output(["ls", folder])).toContain("its lock's owner has died");
});

test("top tells rates, and which queue is stuck because of whom", async () => {
  const folder = freshFolder();
  await peer("const q = emmap.openQueue('busy.q'); setInterval(() => { q.push(1); q.pop() }, 20)", folder);
  await peer("const q = emmap.openQueue('stuck.q'); setInterval(() => q.push(1), 20)", folder);
  const consumer = await peer(
    "const c = emmap.openQueue('stuck.q'); void (async () => { for await (const _ of c.messages()); })()",
    folder,
  );
  await expect
    .poll(
      () =>
        (values(["info", "stuck.q", "--json"], { cwd: folder })[0] as { writers: { popped: number }[] })
          .writers[1]?.popped,
    )
    .toBeGreaterThan(0);
  consumer.kill("SIGSTOP");
  await expect
    .poll(() => values(["info", "stuck.q", "--json"], { cwd: folder })[0]?.length)
    .toBeGreaterThan(10);
  const samples = values(["top", "--once", "--json", folder]);
  const busy = samples.find(({ path }) => String(path).endsWith("busy.q"));
  expect(busy?.pushed).toBeGreaterThan(0);
  expect(busy?.popped).toBeGreaterThan(0);
  const stuck = samples.find(({ path }) => String(path).endsWith("stuck.q"));
  expect(stuck).toMatchObject({ popped: 0, oldest: expect.any(Number), open: 2 });
  expect(stuck?.amount).toBeGreaterThan(10);
  expect(stuck?.trouble).toMatch(new RegExp(`consumer, process ${consumer.pid} .* is stopped`));
  // The trouble comes first, and every line fits a terminal.
  const lines = output(["top", "--once", folder]).split("\n");
  expect(lines[1]).toMatch(/^stuck\.q /);
  for (const line of lines) expect(line.length).toBeLessThanOrEqual(120);
});

test("several consumers that are all stopped are to blame", async () => {
  const folder = freshFolder();
  const code =
    "const q = emmap.openQueue('jobs.q'); void (async () => { for await (const _ of q.messages()); })()";
  const consumers = [await peer(code, folder), await peer(code, folder)];
  const jobs = openQueue(join(folder, "jobs.q"));
  const waiters = () => values(["info", "jobs.q", "--json"], { cwd: folder })[0]?.waiters;
  await expect.poll(waiters).toBe(2);
  for (const each of consumers) each.kill("SIGSTOP");
  const states = () =>
    values(["info", "jobs.q", "--json"], { cwd: folder })[0]
      ?.processes.filter(({ process: id }) => consumers.some(({ pid }) => pid === id))
      .map(({ state }) => state);
  await expect.poll(states).toEqual(["stopped", "stopped"]);
  jobs.push(1);
  const ids = consumers.map(({ pid }) => pid).join("|");
  await expect
    .poll(() => output(["info", "jobs.q"], { cwd: folder }))
    .toMatch(new RegExp(`its 2 consumers are stopped: process (${ids}) \\(.*\\) is stopped, for example`));
  consumers[0]?.kill("SIGCONT");
  await expect.poll(() => jobs.isEmpty()).toBe(true);
  expect(output(["info", "jobs.q"], { cwd: folder })).not.toContain("TROUBLE");
  jobs.close();
});

test("the node behind a port program is to blame if it is stopped", async () => {
  const folder = freshFolder();
  const node = spawn("sleep", ["1000"]);
  onTestFinished(() => void node.kill("SIGKILL"));
  node.kill("SIGSTOP");
  // A Node process that looks like a port program.
  const program = join(folder, "emmap_port");
  symlinkSync(process.execPath, program);
  const waits = `const q = require(${JSON.stringify(library)}).openQueue('jobs.q'); q.pushMany([1, 2]); q.pop(); console.log('ready'); setInterval(() => q, 1000)`;
  const port = spawn(program, ["-e", waits, "--", `--client=${node.pid}`], { cwd: folder });
  onTestFinished(() => void port.kill("SIGKILL"));
  await once(port.stdout, "data");
  await expect
    .poll(() => output(["info", "jobs.q"], { cwd: folder }))
    .toMatch(new RegExp(`its consumer, process ${node.pid} \\(sleep 1000\\), is stopped`));
});

test("released messages that nobody takes make a queue stuck", async () => {
  const folder = freshFolder();
  const queue = openQueue(join(folder, "jobs.q"));
  queue.push(1);
  queue.tryTake()?.release();
  const child = spawn(process.execPath, [emmap, "top", "--json", "--watch=0.5", "jobs.q"], { cwd: folder });
  onTestFinished(() => void child.kill("SIGKILL"));
  const lines = createInterface({ input: child.stdout });
  for await (const line of lines) if (line.includes("no message was taken for")) break;
  child.kill("SIGKILL");
  queue.tryTake()?.release(1000 * 3600);
  expect(values(["info", "jobs.q", "--json"], { cwd: folder })[0]).toMatchObject({
    released: 1,
    due: expect.any(Number),
  });
  queue.close();
});

test("a message in hand is shown with its consumer", async () => {
  const folder = freshFolder();
  const consumer = await peer("const q = emmap.openQueue('jobs.q'); q.push(1)", folder);
  give(join(folder, "jobs.q"), consumer.pid as number, "first message");
  consumer.kill("SIGSTOP");
  expect(output(["info", "jobs.q"], { cwd: folder })).toMatch(/is stopped and has the first message/);
});

test("messages in hand are listed with their consumers, and can be put back", async () => {
  const cwd = freshFolder();
  const consumer = await peer(
    "const q = emmap.openQueue('jobs.q', { values: 'json' }); q.pushMany(['first', 'second']); void q.take()",
    cwd,
  );
  await expect.poll(() => values(["queue", "jobs.q", "hand", "--json"], { cwd }).length).toBe(1);
  expect(values(["queue", "jobs.q", "hand", "--json"], { cwd })[0]).toMatchObject({
    process: consumer.pid,
    attempt: 1,
    alive: true,
    released: false,
  });
  writeFileSync(join(cwd, "jobs.q-relayed"), "");
  expect(values(["ls", "--all", "--json"], { cwd }).map(({ path }) => path)).toEqual(["jobs.q"]);
  expect(output(["ls"], { cwd })).toContain("1 message, 1 in hand");
  consumer.kill("SIGSTOP");
  const reason = new RegExp(`process ${consumer.pid} \\(.*\\) is stopped and has 1 message in hand`);
  for (const args of [["info", "jobs.q"], ["ls"], ["top", "--once"]])
    expect(output(args, { cwd })).toMatch(reason);
  expect(values(["top", "--once", "--json"], { cwd })[0]).toMatchObject({ inHand: 1 });
  await end(consumer, "SIGKILL");
  expect(output(["queue", "jobs.q", "release"], { cwd })).toBe("1 message put back\n");
  expect(values(["queue", "jobs.q", "--json"], { cwd }).map(({ message }) => message)).toEqual([
    "first",
    "second",
  ]);
});

test("no verb that looks changes a byte, or leaves a file behind", async () => {
  const folder = shop();
  const path = join(folder, "jobs.q");
  const writer = await peer("const q = emmap.openQueue('jobs.q', { values: 'json' }); q.push(1)", folder);
  const state = (): unknown => [
    readdirSync(folder, { recursive: true }).sort(),
    contents(path),
    contents(`${path}-live/state`),
    contents(join(folder, "visits.bin")),
    contents(join(folder, "pictures.bin")),
    contents(join(folder, "flags.cell")),
    contents(join(folder, "clients.table")),
    contents(join(folder, "metrics.table")),
    statSync(path).mtimeMs,
  ];
  const before = state();
  for (const args of [
    ["ls"],
    ["info", "jobs.q", "visits.bin", "pictures.bin"],
    ["top", "--once"],
    ["queue", "jobs.q", "peek"],
    ["queue", "jobs.q", "tail"],
    ["counters", "visits.bin"],
    ["counters", "visits.bin", "get", "1"],
    ["blocks", "pictures.bin"],
    ["cell", "flags.cell"],
    ["table", "clients.table"],
    ["table", "clients.table", "get", "ann"],
    ["metrics", "metrics.table"],
    ["info", "flags.cell", "clients.table", "metrics.table"],
    ["check", "jobs.q", "visits.bin", "pictures.bin", "flags.cell", "clients.table", "metrics.table"],
  ])
    output(args, { cwd: folder });
  expect(state()).toEqual(before);
  await end(writer, "SIGKILL");
});

test("a mistyped path or verb is told from the one that was meant, and makes no file", () => {
  const folder = shop();
  const meant = (args: string[], text: string, status = 2): void => {
    const { status: ended, stderr, stdout } = run(args, { cwd: folder });
    expect([ended, stdout]).toEqual([status, ""]);
    expect(stderr).toContain(text);
  };
  meant(["info", "job.q"], "did you mean jobs.q?");
  meant(["queue", "jbos.q", "push", "1"], "did you mean jobs.q?");
  meant(["counters", "visit.bin", "add", "0", "1"], "did you mean visits.bin?");
  meant(["queue", "jobs.q", "peak"], "did you mean peek?");
  meant(["inof", "jobs.q"], "Did you mean info?");
  meant(["ls", "--jsno"], "Did you mean --json?");
  meant(["counters", "jobs.q"], "it is of kind queue");
  meant(["queue", "notes.txt"], "is not of kind queue");
  expect(readdirSync(folder).filter((name) => !name.endsWith("-live"))).toEqual([
    "clients.table",
    "flags.cell",
    "jobs.q",
    "metrics.table",
    "notes.txt",
    "pictures.bin",
    "visits.bin",
  ]);
});

test("help fits a screen, and every verb has an example", () => {
  const help = output(["--help"]);
  expect(help.split("\n").length).toBeLessThanOrEqual(24);
  const verbs = [...help.matchAll(/^ {2}([a-z]+) /gm)].map(([, verb]) => verb as string);
  expect(verbs).toHaveLength(14);
  for (const verb of verbs)
    expect(output([verb, "--help"])).toMatch(new RegExp(`Example:\n  \\$ .*emmap ${verb}`));
  expect(output(["help"])).toBe(help);
  expect(output(["help", "info"])).toBe(output(["info", "--help"]));
  expect(run(["help", "inf"])).toMatchObject({
    status: 2,
    stderr: expect.stringContaining("did you mean info?"),
  });
});

test("--watch repeats, with an object a line for scripts", async () => {
  const folder = shop();
  const child = spawn(process.execPath, [emmap, "info", "jobs.q", "--json", "--watch=0.1"], { cwd: folder });
  let text = "";
  child.stdout.on("data", (chunk) => {
    text += chunk;
  });
  await expect.poll(() => text.split("\n").length).toBeGreaterThan(3);
  child.kill();
  await once(child, "exit");
  for (const line of text.split("\n").slice(0, 3))
    expect(JSON.parse(line)).toMatchObject({ path: "jobs.q", length: 3 });
});

test("names and programs that would command a terminal are shown escaped", () => {
  for (const wrong of [["zz\x1b[2J"], ["ls", "--zz\x1b[2J"]]) expect(run(wrong).stderr).not.toContain("\x1b");
  const folder = freshFolder();
  const name = "evil\x1b]0;owned\x07\x9b31m\u202e.q";
  openQueue(join(folder, name)).close();
  for (const args of [["ls"], ["info", name], ["top", "--once"], ["check", name]]) {
    const { stdout, stderr } = run(args, { cwd: folder });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: they are the point
    expect(stdout + stderr).not.toMatch(/[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]/);
    expect(stdout).toContain("evil\\x{1B}]0;owned\\x{7}");
  }
  expect(values(["ls", "--json"], { cwd: folder })[0]?.path).toBe(name);
});

test("a hundred files, of which one cannot be read", () => {
  const folder = freshFolder();
  for (let i = 0; i < 100; i++) openQueue(join(folder, `${i}.q`)).close();
  chmodSync(join(folder, "7.q"), 0);
  const shown = values(["ls", "--json", folder]).length;
  expect(shown).toBe(process.getuid?.() === 0 ? 100 : 99);
  expect(existsSync(join(folder, "8.q-live"))).toBe(true);
});
