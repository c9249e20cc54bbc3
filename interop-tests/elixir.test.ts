import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openCounters, openTable } from "../src";
import { snippets } from "../test/packages/support/readme";
import { backends, ebin, freshFolder, run, script } from "./support/runtimes";

test.each(backends)("Elixir over the %s adds to counters that Node has open", async (backend) => {
  const path = join(freshFolder(), "counters.bin");
  const counters = openCounters(path, 3);
  counters.set(1, 40n);
  const elixir = run("elixir", [script("elixir_counters.exs"), ebin, backend, path, "1000"]);
  for (let i = 0; i < 1000; i++) counters.add(2, 1);
  await elixir;
  expect([...counters]).toEqual([1000n, 1040n, 2000n]);
  counters.close();
});

test("Elixir shows which option is wrong", async () => {
  const program = join(freshFolder(), "option.exs");
  writeFileSync(
    program,
    `true = :code.add_patha(String.to_charlist(hd(System.argv())))
     try do
       :emmap.open("f", [:creat])
     rescue
       error -> IO.puts(Exception.message(error))
     end`,
  );
  expect(await run("elixir", [program, ebin])).toMatch(/not an option, or not a value that it takes: creat/);
});

// Not with Plug itself, which only hex has: the module below has the functions of Plug.Conn that the page's plug calls.
const PLUG = `
defmodule Plug.Conn do
  defstruct remote_ip: {127, 0, 0, 1}, status: nil, resp_headers: %{}, halted: false
  def put_resp_header(conn, name, value), do: %{conn | resp_headers: Map.put(conn.resp_headers, name, value)}
  def send_resp(conn, status, body) when is_binary(body), do: %{conn | status: status}
  def halt(conn), do: %{conn | halted: true}
end
`;
const REQUESTS = `
[ebin, backend, path] = System.argv()
true = :code.add_patha(String.to_charlist(ebin))
{:ok, table} = :emmap_table.open(path, 1000, backend: String.to_atom(backend))
:persistent_term.put(MyApp.Limits, table)
options = MyApp.RateLimit.init(limit: 2, window: 3_600_000)
for address <- [{10, 0, 0, 1}, {10, 0, 0, 1}, {10, 0, 0, 1}, {10, 0, 0, 2}] do
  conn = MyApp.RateLimit.call(struct!(Plug.Conn, remote_ip: address), options)
  retry = Map.has_key?(conn.resp_headers, "retry-after")
  IO.puts("#{inspect(conn.status)} #{conn.halted} #{conn.resp_headers["x-ratelimit-remaining"]} #{retry}")
end
:ok = :emmap_table.close(table)
`;

test.each(backends)("the plug of the page on rate limits counts over the %s beside Node", async (backend) => {
  const folder = freshFolder();
  const path = join(folder, "clients.table");
  const program = join(folder, "plug.exs");
  writeFileSync(program, [PLUG, ...snippets("ex", "docs/rate-limits.md"), REQUESTS].join("\n"));
  using table = openTable(path, { capacity: 1000 });
  table.hit("3600000:10.0.0.2", { limit: 2, windowMs: 3_600_000 });
  expect((await run("elixir", [program, ebin, backend, path])).split("\n")).toEqual([
    "nil false 1 false",
    "nil false 0 false",
    "429 true 0 true",
    "nil false 0 false",
  ]);
});
