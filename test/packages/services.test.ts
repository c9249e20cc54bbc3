// Two services that a team would write, with emmap as a git dependency: one in Erlang as a release of rebar3, and the one of
// docs/elixir.md as a release of Mix. They are built, started, killed and looked into.
import { type ChildProcess, spawn } from "node:child_process";
import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { snippets } from "./support/readme";
import { emptyFolder, freshFolder, root, run } from "./support/user";

const folder = emptyFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** A bare repository with the files of this one as its only commit, on the branch main. */
const repository = `file://${join(folder, "emmap.git")}`;

beforeAll(() => {
  const work = join(folder, "work");
  mkdirSync(work);
  const list = run("git", ["ls-files", "-z", "erlang", "native", "port", "rebar.config"], root);
  for (const name of list.split("\0").filter((name) => existsSync(join(root, name)) && name !== "")) {
    mkdirSync(dirname(join(work, name)), { recursive: true });
    cpSync(join(root, name), join(work, name));
  }
  const git = (...args: string[]) => run("git", ["-c", "user.name=t", "-c", "user.email=t@t", ...args], work);
  git("init", "-q", "-b", "main");
  git("add", "-A");
  git("commit", "-q", "-m", "All");
  git("clone", "-q", "--bare", ".", join(folder, "emmap.git"));
});

/** A port of this machine that nobody listens at. */
const freePort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, "127.0.0.1", () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

/** Waits for a condition; the limit is there only for a test that fails. */
async function until(condition: () => boolean): Promise<void> {
  for (let attempts = 0; attempts < 300; attempts++) {
    if (condition()) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error("the condition was never met");
}

const ended = (child: ChildProcess): Promise<void> =>
  new Promise((resolve) =>
    (child.exitCode ?? child.signalCode) !== null ? resolve() : child.once("exit", () => resolve()),
  );

/** A release that was started, and calls into its node. The nodes find each other without a port mapper. */
class Service {
  readonly #child: ChildProcess;
  readonly #call: (expression: string) => string;
  output = "";

  constructor(program: string, args: string[], env: NodeJS.ProcessEnv, call: (expression: string) => string) {
    this.#child = spawn(program, args, {
      env: { ...process.env, ...env },
      stdio: ["ignore", "pipe", "pipe"],
      detached: true,
    });
    this.#call = call;
    for (const stream of [this.#child.stdout, this.#child.stderr])
      stream?.on("data", (data) => {
        this.output += data;
      });
  }

  call(expression: string): string {
    return this.#call(expression).trim();
  }

  async started(probe: string): Promise<this> {
    await until(() => {
      if (this.#child.exitCode !== null) throw new Error(`the service has ended:\n${this.output}`);
      try {
        this.call(probe);
        return true;
      } catch {
        return false;
      }
    });
    return this;
  }

  /** Kills everything that was started: the script, the node and the port program. */
  async kill(): Promise<void> {
    if (this.#child.pid === undefined) return;
    try {
      process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // it has ended already
    }
    await ended(this.#child);
  }
}

describe("a service of 150 lines in a rebar3 release", () => {
  const project = join(folder, "service");

  beforeAll(() => {
    cpSync(join(root, "test/packages/service"), project, { recursive: true });
    const config = join(project, "rebar.config");
    writeFileSync(config, readFileSync(config, "utf8").replaceAll("@REPOSITORY@", repository));
    run("rebar3", ["release"], project);
  });

  test("its sources have no native code, and the release has", () => {
    const release = join(project, "_build/default/rel/service/lib/emmap-0.1.0/priv");
    expect(["emmap_nif.so", "emmap_port"].every((name) => existsSync(join(release, name)))).toBe(true);
    expect(existsSync(join(project, "_build/default/lib/emmap/erlang/priv"))).toBe(false);
  });

  test.each(["nif", "port"])("over the %s it loses no job when it is killed", async (backend) => {
    const data = freshFolder();
    const port = await freePort();
    const flags = ["-start_epmd", "false", "-erl_epmd_port", `${port}`, "-setcookie", "emmap_service"];
    const call = (expression: string) =>
      run(
        "erl",
        [
          ...flags,
          "-dist_listen",
          "false",
          "-name",
          `ctl${process.hrtime.bigint()}@127.0.0.1`,
          "-noinput",
          "-eval",
          `{ok, T, _} = erl_scan:string(${JSON.stringify(expression)}), {ok, E} = erl_parse:parse_exprs(T),
         {value, V, _} = erpc:call('service@127.0.0.1', erl_eval, exprs, [E, []], 10000), io:format("~0p", [V]), halt().`,
        ],
        data,
      );
    const start = () => {
      const env = { SERVICE_PORT: `${port}`, SERVICE_BACKEND: backend, SERVICE_FOLDER: data };
      const script = join(project, "_build/default/rel/service/bin/service");
      return new Service(script, ["foreground"], env, call).started("service:done().");
    };
    let service = await start();
    try {
      expect(
        service.call("service:submit_many([{add, N, N} || N <- lists:seq(1, 200)] ++ [fail, crash])."),
      ).toBe("ok");
      expect(service.call("service:submit_many([{add, N, N} || N <- lists:seq(1, 5000)]).")).toBe("ok");
      await service.kill();
      service = await start();
      await until(() => /waiting => 0/.test(service.call("service:status().")));
      // A job whose worker was killed between its end and the count is done, and not counted; one cut off is done again.
      const done = Number(service.call("service:done()."));
      expect(done).toBeGreaterThan(5200 - 10);
      expect(Number(service.call("service:failed()."))).toBeGreaterThanOrEqual(1);
      expect(service.call("service:status().")).toContain(`{counters,${backend},<<"counters.bin">>}`);
      expect(service.call("service:report({all, done}), service:next_report(5000).")).toBe("{ok,{all,done}}");
      expect(service.call("sys:get_status(service_reports).")).toContain("reports.q");
      if (backend === "port") {
        // The program dies: the files open themselves again.
        service.call(
          '[exit(P, kill) || P <- erlang:ports(), {name, N} <- [erlang:port_info(P, name)], string:find(N, "emmap_port") =/= nomatch].',
        );
        await until(() => service.call("catch service:submit({add, 1, 1}).") === "ok");
        await until(() => Number(service.call("service:done().")) > done);
      }
      // A node without a shell ends a second after it was told to.
      service.call("spawn(init, stop, []), ok.");
    } finally {
      await service.kill();
    }
  });
});

describe("the service of docs/elixir.md in a release of Mix", () => {
  const project = join(folder, "shop");
  const programs = snippets("elixir", "docs/elixir.md");

  beforeAll(() => {
    for (const program of programs) {
      const name = /^# (\S+\.exs?)\n/.exec(program)?.[1];
      if (name === undefined) continue;
      mkdirSync(dirname(join(project, name)), { recursive: true });
      writeFileSync(join(project, name), program.replace("https://github.com/emmap/emmap.git", repository));
    }
    mkdirSync(join(project, "home"));
    const settings = {
      HOME: join(project, "home"),
      MIX_REBAR3: run("env", ["sh", "-c", "command -v rebar3"], folder).trim(),
      HEX_OFFLINE: "1",
      MIX_ENV: "prod",
    };
    for (const args of [["deps.get"], ["compile", "--warnings-as-errors"], ["release"]])
      run("mix", args, project, settings);
  });

  test("it survives a kill, and the page's session runs in it", async () => {
    const data = freshFolder();
    const port = await freePort();
    const script = join(project, "_build/prod/rel/shop/bin/shop");
    const env = {
      SHOP_FOLDER: data,
      RELEASE_DISTRIBUTION: "name",
      RELEASE_NODE: "shop@127.0.0.1",
      RELEASE_COOKIE: "emmap_shop",
    };
    const flags = `-start_epmd false -erl_epmd_port ${port}`;
    const call = (expression: string) =>
      run(script, ["rpc", expression], data, { ...env, ELIXIR_ERL_OPTIONS: `${flags} -dist_listen false` });
    const start = () =>
      new Service(script, ["start"], { ...env, ELIXIR_ERL_OPTIONS: flags }, call).started("Shop.done()");
    let service = await start();
    try {
      service.call('for n <- 1..500, do: :ok = Shop.order("cat", n)');
      await service.kill();
      service = await start();
      await until(() => service.call("IO.inspect(Shop.waiting())") === "0");
      const mails =
        "Stream.repeatedly(fn -> Shop.next_mail() end) |> Enum.take_while(& &1) |> Enum.uniq() |> length() |> IO.inspect()";
      expect(service.call(mails)).toBe("500");
      const session = programs.find((program) => !program.startsWith("# ")) as string;
      expect(service.call(session)).toContain("orders.q");
    } finally {
      await service.kill();
    }
  });
});
