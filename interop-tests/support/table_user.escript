#!/usr/bin/env escript
%% Adds to shared keys, inserts and deletes keys of its own, and hits a limit. Prints how many hits were allowed.
-mode(compile).

main([Ebin, Backend, Path, Name | Numbers]) ->
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    [Rounds, Keys, Limit] = [list_to_integer(Number) || Number <- Numbers],
    {ok, Table} = emmap_table:open(Path, 0, [{backend, list_to_atom(Backend)}]),
    Allowed = [step(Table, Name, N, Keys, Limit) || N <- lists:seq(0, Rounds - 1)],
    io:format("~b~n", [length([true || true <- Allowed])]),
    ok = emmap_table:close(Table).

step(Table, Name, N, Keys, Limit) ->
    {ok, _} = emmap_table:add(Table, ["shared ", integer_to_list(N rem Keys)], 1),
    Own = ["own ", Name, case N rem 2 of 0 -> ""; 1 -> ", and longer than a unit of the table has room for" end],
    {ok, 0} = emmap_table:add(Table, Own, 1),
    ok = emmap_table:delete(Table, Own),
    {ok, #{allowed := Allowed}} = emmap_table:hit(Table, "the limit", #{limit => Limit, window => 1 bsl 39}),
    Allowed.
