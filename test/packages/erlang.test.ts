// The Erlang package for a new user: built in a folder outside this repository, from the packed files alone.
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { snippets } from "./support/readme";
import { emptyFolder, failure, freshFolder, pathOf, root, run } from "./support/user";

const folder = emptyFolder();
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** The package, packed and unpacked again. */
let packed: string;
/** The folder of rebar3's output. */
let ebin: string;

beforeAll(() => {
  const source = run(join(root, "scripts/pack-erlang"), [join(folder, "packed")], folder).trim();
  run("tar", ["-xzf", `${source}.tar.gz`], folder);
  packed = join(folder, basename(source));
  const built = join(folder, "built");
  cpSync(packed, built, { recursive: true });
  run("rebar3", ["compile"], built);
  ebin = join(built, "_build/default/lib/emmap/ebin");
});

test("it contains these files, nothing more, nothing less", async () => {
  const list = readdirSync(packed, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(packed.length + 1))
    .sort();
  // After an intended change: npm run test:packages -- erlang -u
  await expect(`${list.join("\n")}\n`).toMatchFileSnapshot("erlang-contents.txt");
});

test("it has what Hex asks for, and the version of the npm package", () => {
  const { version, license, repository } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
  const consult = `{ok, [{application, emmap, P}]} = file:consult("src/emmap.app.src"),
    [io:format("~ts~n", [proplists:get_value(Key, P)]) || Key <- [vsn, description]],
    [io:format("~ts~n", [Licence]) || Licence <- proplists:get_value(licenses, P)],
    [io:format("~ts~n", [Link]) || {_, Link} <- proplists:get_value(links, P)], halt().`;
  const lines = run("erl", ["-noinput", "-eval", consult], packed).trim().split("\n");
  const [vsn, description, licence, ...links] = lines;
  expect([vsn, licence]).toEqual([version, license]);
  expect(description).toMatch(/.{40}/);
  const home = repository.url.replace(/^git\+|\.git$/g, "");
  expect(links).toContain(home);
  for (const link of links) expect(link.startsWith(home), link).toBe(true);
});

test("without a compiler the build names the missing program", () => {
  const built = freshFolder();
  cpSync(packed, built, { recursive: true });
  const programs = [
    "erl",
    "escript",
    "rebar3",
    "make",
    "sh",
    "sed",
    "uname",
    "mkdir",
    "env",
    "dirname",
    "basename",
  ];
  expect(failure("rebar3", ["compile"], built, { PATH: pathOf(built, programs) })).toMatch(
    /cc: No such file/,
  );
});

const uses = `-module(uses).
-export([run/0]).
run() ->
    {ok, Mem} = emmap:open("state.bin", [read, write, create, shared, {size, 4096}]),
    ok = file:pwrite(Mem, 0, <<"hello">>),
    {ok, <<"hello">>} = file:pread(Mem, 0, 5),
    {ok, 0} = emmap:patomic(Mem, 8, add, 1),
    ok = file:close(Mem),
    {_, 8} = Counters = emmap:open_counters("counters.bin", 8),
    {ok, 0} = emmap:inc_counter(Counters, 0, 5),
    {ok, Held} = emmap:read_counter(Counters, 0),
    io:format("~b~n", [Held]).
`;

/** Compiles and runs a module over a backend. The source begins with the module's name. */
function runErlang(code: string, backend: string): { printed: string; own: string } {
  const own = freshFolder();
  const module = /^-module\((\w+)\)/.exec(code)?.[1] as string;
  writeFileSync(join(own, `${module}.erl`), code);
  run("erlc", ["-Werror", `${module}.erl`], own);
  const start = ["-noinput", "-pa", ebin, "-emmap", "backend", backend];
  return { own, printed: run("erl", [...start, "-s", module, "run", "-s", "init", "stop"], own) };
}

describe.each(["nif", "port"])("over the %s", (backend) => {
  test("it works", () => {
    expect(runErlang(uses, backend).printed).toBe("5\n");
  });

  test.each(snippets("erlang").map((code, index) => [index + 1, code] as const))(
    "Erlang %i of the README runs as it stands",
    (_, code) => {
      const { own } = runErlang(`-module(readme).\n-export([run/0]).\nrun() ->\n${code}`, backend);
      expect(readFileSync(join(own, "counters.bin")).readBigInt64LE(16)).toBe(2n);
    },
  );
});

describe("a Mix project without Hex", () => {
  const counting = `
    {_file, 2} = counters = :emmap.open_counters("counters.bin", 2)
    {:ok, 0} = :emmap.inc_counter(counters, 1, 7)
    {:ok, held} = :emmap.read_counter(counters, 1)
    IO.puts(held)
    :ok = :emmap.close_counters(counters)`;

  /** A project with emmap at `path`. It has only its own settings, and can fetch nothing. */
  function project(path: string): (...args: string[]) => string {
    const own = freshFolder();
    mkdirSync(join(own, "home"));
    writeFileSync(
      join(own, "mix.exs"),
      `defmodule Shop.MixProject do
  use Mix.Project

  def project, do: [app: :shop, version: "1.0.0", deps: deps()]
  def application, do: [extra_applications: [:logger]]
  defp deps, do: [{:emmap, path: "${path}", manager: :rebar3}]
end
`,
    );
    const settings = {
      HOME: join(own, "home"),
      MIX_REBAR3: run("env", ["sh", "-c", "command -v rebar3"], own).trim(),
      HEX_OFFLINE: "1",
    };
    return (...args) => run("mix", args, own, settings);
  }

  test("depends on the packed package", () => {
    const emmap = join(freshFolder(), "emmap");
    cpSync(packed, emmap, { recursive: true });
    const mix = project(emmap);
    mix("deps.get");
    mix("compile");
    expect(mix("run", "-e", counting)).toMatch(/^7$/m);
    expect(existsSync(join(emmap, "priv"))).toBe(false);
    const help = "require IEx.Helpers; IEx.Helpers.h(:emmap.inc_counter)";
    expect(mix("run", "-e", help)).toContain("Adds 1 to counter");
  });

  test.each(snippets("elixir").map((code, index) => [index + 1, code] as const))(
    "Elixir %i of the README runs as it stands",
    (_, code) => {
      const mix = project(join(folder, "built"));
      expect(() => mix("run", "-e", code)).not.toThrow();
    },
  );
});
