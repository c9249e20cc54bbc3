// Runs the services of docker/services as plain processes: the scenario of `make compose-test` without containers.
import { type ChildProcess, spawn } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { expect, onTestFinished, test, vi } from "vitest";
import { ebin, freshFolder } from "./support/runtimes";
import { compile, coreLibrary } from "./torture/support/compile.mjs";
import { makeTrouble, Progress, readTable } from "./traffic/trouble.mjs";

const services = join(__dirname, "../docker/services");
const libraries = join(ebin, "../..");
const KILLS = 3;

const COMMANDS: Record<string, [string, string]> = {
  "beam-nif": ["escript", "gateway.escript"],
  "beam-port": ["escript", "gateway.escript"],
  node: [process.execPath, "worker.mjs"],
  check: [process.execPath, "check.mjs"],
};

/** A service with all its processes: a BEAM node may have a port program. */
class Service {
  readonly name: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #onLine: (line: string) => void;
  readonly #onEnd: (how: string | number | null) => void;
  #child: ChildProcess | undefined;
  #end: Promise<string | number | null> = Promise.resolve(null);

  constructor(
    name: string,
    environment: NodeJS.ProcessEnv,
    onLine: (line: string) => void,
    onEnd: (how: string | number | null) => void,
  ) {
    this.name = name;
    this.#environment = {
      ...process.env,
      GATEWAYS: "beam-nif,beam-port",
      ...environment,
      SERVICE: name,
      ERL_LIBS: libraries,
    };
    this.#onLine = onLine;
    this.#onEnd = onEnd;
  }

  start(): void {
    const [command, program] = COMMANDS[this.name] as [string, string];
    // Detached, so that it leads a process group, which can be killed and stopped as a container is.
    const child = spawn(command, [join(services, program)], {
      env: this.#environment,
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#child = child;
    this.#end = new Promise((resolve) => {
      child.on("error", () => resolve("error"));
      child.on("close", (status, signal) => resolve(signal ?? status));
    });
    void this.#end.then(this.#onEnd);
    for (const stream of [child.stdout, child.stderr])
      createInterface({ input: stream }).on("line", this.#onLine);
  }

  signal(signal: NodeJS.Signals): void {
    process.kill(-(this.#child?.pid as number), signal);
  }

  /** Resolves to the service's signal or status when all its processes have ended. */
  end(): Promise<string | number | null> {
    return this.#end;
  }

  clear(): void {
    try {
      this.signal("SIGKILL");
    } catch {
      // The group has ended, as it should.
    }
  }
}

test("two BEAM nodes and a Node process that are killed and stopped at work lose and double nothing", async () => {
  const folder = freshFolder();
  const said: string[] = [];
  const progress = new Progress();
  const all = new Map(
    Object.keys(COMMANDS).map((name) => {
      const onLine = (line: string): void => {
        said.push(line);
        if (name === "check") progress.read(line);
      };
      const onEnd = (how: string | number | null): void => {
        if (how !== "SIGKILL") progress.end(`${name} has ended with ${how}`);
      };
      return [name, new Service(name, { FOLDER: folder, JOBS: "5000", HOLD: "yes" }, onLine, onEnd)];
    }),
  );
  onTestFinished(() => {
    for (const service of all.values()) service.clear();
  });
  const service = (name: string): Service => all.get(name) as Service;
  for (const each of all.values()) each.start();
  const verdict = service("check").end();

  const party = {
    async kill(name: string) {
      service(name).signal("SIGKILL");
      expect(await service(name).end()).toBe("SIGKILL");
    },
    async start(name: string) {
      service(name).start();
    },
    async pause(name: string) {
      service(name).signal("SIGSTOP");
    },
    async resume(name: string) {
      service(name).signal("SIGCONT");
    },
  };
  const killed = ["beam-nif", "beam-port", "node"];
  const trouble = makeTrouble(party, killed, KILLS, progress, (text) => said.push(text));
  await trouble.catch((error) => expect.fail(`${error}\n${said.join("\n")}`));
  service("check").signal("SIGUSR2");
  expect(await verdict, said.join("\n")).toBe(0);
  const table = readTable(said);
  for (const name of killed)
    expect(table[name]).toMatchObject({ "kills survived": KILLS, lost: 0, doubled: 0 });
});

// Each of the three users may be the first. The umask here removes the group's right to write.
test.each(["beam-nif", "beam-port", "node", "c-musl"])("%s creates its files for the group", async (name) => {
  if (name === "c-musl") {
    COMMANDS[name] = [compile("gateway", [join(services, "gateway.c"), coreLibrary()]), ""];
  }
  const folder = freshFolder();
  const umask = process.umask(0o022);
  onTestFinished(() => void process.umask(umask));
  const said: string[] = [];
  const service = new Service(name, { FOLDER: folder, GATEWAYS: "beam-nif" }, said.push.bind(said), () => {});
  onTestFinished(() => service.clear());
  service.start();
  const modes = (): number[] =>
    readdirSync(folder, { withFileTypes: true })
      // Who takes messages has one more file beside each queue.
      .filter((entry) => entry.isFile() && !entry.name.endsWith("-taken"))
      .map(({ name }) => statSync(join(folder, name)).mode & 0o7777);
  const four = [0o660, 0o660, 0o660, 0o660];
  await vi.waitFor(() => expect(modes(), said.join("\n")).toEqual(four), { timeout: 60_000 });
  service.signal("SIGKILL");
  await service.end();
  for (const entry of readdirSync(folder).filter((name) => name.endsWith("-taken")))
    expect(statSync(join(folder, entry)).mode & 0o7777).toBe(0o660);
  for (const name of ["jobs.queue", "results.blocks"])
    expect(statSync(join(folder, `${name}-live`)).mode & 0o7777).toBe(0o770);
});
