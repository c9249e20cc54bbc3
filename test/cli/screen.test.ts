// top on a terminal, completion in a shell, and doctor.
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { openQueue } from "../../src";
import { emmap, freshFolder, output, peer, run, values } from "./support";

/** A pseudo terminal with the command in it, and what its screen shows. */
class Terminal {
  readonly #child: ChildProcess;
  readonly ended: Promise<unknown[]>;
  all = "";

  constructor(columns: number, rows: number, args: string[], cwd: string) {
    const python = [join(__dirname, "terminal.py"), String(columns), String(rows), process.execPath, emmap];
    this.#child = spawn("python3", [...python, ...args], { cwd, stdio: ["pipe", "pipe", "inherit"] });
    this.ended = once(this.#child, "exit");
    onTestFinished(() => void this.#child.kill("SIGKILL"));
    this.#child.stdout?.on("data", (chunk) => {
      this.all += chunk;
    });
  }

  say(line: string): void {
    this.#child.stdin?.write(`${line}\n`);
  }

  /** The lines of the last screen, without colours. */
  get screen(): string[] {
    const last = this.all.split("\x1b[H").at(-1) as string;
    // biome-ignore lint/suspicious/noControlCharactersInRegex: sequences of a terminal
    return last.replace(/\x1b\[[?\d;]*[a-zA-Z]/g, "").split(/\r*\n/);
  }
}

test("top is a screen of 80 columns that resizes, and q gives the terminal back", async () => {
  const folder = freshFolder();
  for (let i = 0; i < 40; i++) openQueue(join(folder, `queue-with-a-long-name-${i}.q`)).close();
  await peer("const q = emmap.openQueue('busy.q'); setInterval(() => { q.push(1); q.pop() }, 10)", folder);
  const terminal = new Terminal(80, 24, ["top", "--watch", "0.2"], folder);
  await expect
    .poll(() => terminal.screen[2] ?? "", { timeout: 10_000 })
    .toMatch(/^busy\.q .* queue +[01] +[1-9]/);
  expect(terminal.all).toContain("\x1b[?1049h");
  expect(terminal.screen[0]).toContain("41 files, 0 in trouble");
  expect(terminal.screen[1]).toMatch(/^NAME +KIND +DEPTH +IN\/S +OUT\/S +HAND +OLDEST +OPEN +WAIT +LOCK\/S/);
  expect(terminal.screen).toHaveLength(24);
  for (const line of terminal.screen) expect(line.length).toBeLessThanOrEqual(80);

  terminal.say("size 60 10");
  await expect.poll(() => terminal.screen.length).toBe(10);
  for (const line of terminal.screen) expect(line.length).toBeLessThanOrEqual(60);

  const first = terminal.screen[2];
  terminal.say("keys jjjjj");
  await expect.poll(() => terminal.screen[2]).not.toBe(first);

  terminal.say("keys q");
  expect(await terminal.ended).toEqual([0, null]);
  expect(terminal.all.endsWith("\x1b[?25h\x1b[?1049l")).toBe(true);
});

test("top of a thousand files takes little of a core", async () => {
  const folder = freshFolder();
  for (let i = 0; i < 1000; i++) openQueue(join(folder, `${i}.q`)).close();
  const child = spawn(process.execPath, [emmap, "top", "--json", "--watch", "2", folder], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  onTestFinished(() => void child.kill("SIGKILL"));
  const ticks = (): number => {
    const fields = require("node:fs")
      .readFileSync(`/proc/${child.pid}/stat`, "latin1")
      .split(") ")[1]
      .split(" ");
    return Number(fields[11]) + Number(fields[12]);
  };
  const next = () => once(child.stdout, "data");
  child.stdout.on("data", () => {});
  await next();
  const before = ticks();
  const begin = performance.now();
  await new Promise((resolve) => setTimeout(resolve, 12_000));
  const share = (ticks() - before) / 100 / ((performance.now() - begin) / 1000);
  console.log(`top of 1000 files takes ${(share * 100).toFixed(2)} % of a core`);
  expect(share).toBeLessThan(0.03);
}, 60_000);

test("without a terminal top prints one table without colours", async () => {
  const folder = freshFolder();
  openQueue(join(folder, "jobs.q")).close();
  const text = output(["top", folder]);
  expect(text).not.toContain("\x1b");
  expect(text.split("\n")[1]).toMatch(/^jobs\.q /);
});

test("bash completes verbs, options, words and files", () => {
  const folder = freshFolder();
  writeFileSync(join(folder, "jobs.q"), "");
  const complete = (...words: string[]): string[] => {
    const script = `
      source <(${process.execPath} ${emmap} completion bash)
      COMP_WORDS=(emmap ${words.map((word) => `'${word}'`).join(" ")})
      COMP_CWORD=${words.length}
      _emmap
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, stderr } = spawnSync("bash", ["-c", script], { cwd: folder, encoding: "utf8" });
    expect(stderr).toBe("");
    return stdout.trim().split("\n");
  };
  expect(complete("in")).toEqual(["info"]);
  expect(complete("")).toContain("serve");
  expect(complete("info", "--j")).toEqual(["--json"]);
  expect(complete("queue", "jobs.q", "p")).toEqual(["peek", "push", "pop", "purge"]);
  expect(complete("info", "jo")).toEqual(["jobs.q"]);
  expect(complete("completion", "z")).toEqual(["zsh"]);
  expect(complete("queue", "jobs.q", "--as", "j")).toEqual(["json"]);
});

test.each(["zsh", "fish"])("the completion of %s is a script of that shell", (shell) => {
  const script = output(["completion", shell]);
  for (const verb of ["ls", "info", "top", "queue", "serve"]) expect(script).toContain(verb);
  const path = join(freshFolder(), "completion");
  writeFileSync(path, script);
  const checked = spawnSync(shell, ["-n", path], { encoding: "utf8" });
  // Where the shell is installed it reads the script without complaints.
  if (checked.error === undefined) expect([checked.status, checked.stderr]).toEqual([0, ""]);
  expect(run(["completion", "tcsh"]).status).toBe(2);
});

test("doctor tells what works here, what it means and how to mend it", () => {
  const folder = freshFolder();
  openQueue(join(folder, "jobs.q")).close();
  mkdirSync(join(folder, "gone.q-live"));
  const before = readdirSync(folder).sort();
  const findings = values(["doctor", folder, "--json"]);
  const of = (check: string) => findings.find((each) => each.check === check);
  for (const check of [
    "runtime",
    "kernel",
    "file system",
    "rights",
    "shared memory",
    "locks",
    "wake-ups",
    "files",
  ])
    expect(of(check)).toMatchObject({ check, state: "ok" });
  expect(of("live folder")).toMatchObject({
    state: "note",
    found: "gone.q-live",
    mend: expect.stringContaining("rm -r"),
  });
  expect(readdirSync(folder).sort()).toEqual(before);
  for (const finding of findings)
    if (finding.state !== "ok")
      expect(finding).toMatchObject({ means: expect.any(String), mend: expect.any(String) });
  expect(run(["doctor", join(folder, "nowhere")]).status).toBe(2);
});

test("doctor tells of locks that are slower than they could be", () => {
  const folder = freshFolder();
  const { stdout, status } = spawnSync(process.execPath, [emmap, "doctor", folder], {
    encoding: "utf8",
    env: { ...process.env, EMMAP_LIVE: "off" },
  });
  expect(status).toBe(0);
  expect(stdout).toMatch(/note locks .*\n.*That means: .*\n.*To mend it: EMMAP_LIVE=off is set/);
  if (process.getuid?.() === 0) return;
  chmodSync(folder, 0o500);
  expect(output(["doctor", folder])).toContain("may not create files");
});
