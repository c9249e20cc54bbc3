# Adds 1 to every counter of a file, TIMES times, and prints what the counters hold then.
# Usage: elixir elixir_counters.exs EBIN BACKEND PATH TIMES

[ebin, backend, path, times] = System.argv()
true = :code.add_patha(String.to_charlist(ebin))
{_file, count} = counters = :emmap.open_counters(path, 0, backend: String.to_atom(backend))
indexes = 0..(count - 1)

for _ <- 1..String.to_integer(times), index <- indexes do
  {:ok, old} = :emmap.inc_counter(counters, index)
  true = is_integer(old)
end

indexes |> Enum.map_join(" ", &elem(:emmap.read_counter(counters, &1), 1)) |> IO.write()
:ok = :emmap.close_counters(counters)
