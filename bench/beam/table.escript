#!/usr/bin/env escript
%%! +S 1:1 +IOs false
%% A table on BEAM beside ETS.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/table.escript [--quick]
%%
%% ?KEYS keys of 20 bytes, one after the other in a random order.
-mode(compile).

-define(SECTION, "Tables").
-define(KEYS, 100000).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    {ok, Table} = emmap_table:open(filename:join(Folder, "table"), ?KEYS * 6 div 5, [{backend, nif}]),
    Ets = ets:new(keys, [public]),
    Keys = [iolist_to_binary(io_lib:format("client-~13..0b", [N])) || {_, N} <- lists:sort(
                [{rand:uniform(), N} || N <- lists:seq(1, ?KEYS)])],
    _ = [begin {ok, 0} = emmap_table:add(Table, Key, 0, 1), ets:insert(Ets, {Key, 1}) end || Key <- Keys],
    Each = fun(Use) -> fun(N) -> go(lists:nthtail(rand:uniform(?KEYS) - 1, Keys), Keys, Use, N) end end,
    Limit = #{limit => 1000000, window => 3600000},
    Ratio = rounds:race([
        {add, Each(fun(Key) -> emmap_table:add(Table, Key, 0, 1) end)},
        {hit, Each(fun(Key) -> emmap_table:hit(Table, Key, Limit) end)},
        {ets, Each(fun(Key) -> ets:update_counter(Ets, Key, 1) end)}
    ]),
    ok = emmap_table:close(Table),
    ok = file:del_dir_r(Folder),
    Beside = "ets:update_counter of as many keys",
    rounds:ratio(?SECTION, "NIF emmap_table:add, 100,000 keys", Ratio(add, ets), Beside, "at most 1.5"),
    rounds:ratio(?SECTION, "NIF emmap_table:hit, 100,000 keys", Ratio(hit, ets), Beside).

%% Uses N keys, from any place in the list on.
go(_Rest, _Keys, _Use, 0) -> ok;
go([], Keys, Use, N) -> go(Keys, Keys, Use, N);
go([Key | Rest], Keys, Use, N) ->
    _ = Use(Key),
    go(Rest, Keys, Use, N - 1).
