%% Tables, over both backends.
-module(emmap_table_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([words/1, keys/1, options/1, entries/1, hits/1, full/1, closed/1, copy/1, processes/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([words, keys, options, entries, hits, full, closed, copy, processes]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

open(Config, Name, Capacity) -> open(Config, Name, Capacity, []).

open(Config, Name, Capacity, Options) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    emmap_table:open(emmap_test:path(Config, Name), Capacity, [Backend | Options]).

words(Config) ->
    {ok, Table} = open(Config, "words", 100),
    {ok, Other} = open(Config, "words", 0),
    ?assertEqual({error, enoent}, emmap_table:get(Table, <<"ann">>)),
    ?assertEqual({ok, 0}, emmap_table:add(Table, <<"ann">>, 5)),
    ?assertEqual({ok, 5}, emmap_table:add(Other, ["an", $n], 0, 2)),
    ?assertEqual({ok, 0}, emmap_table:set(Other, <<"ann">>, 1, -1)),
    ?assertEqual({ok, 7}, emmap_table:get(Table, <<"ann">>)),
    ?assertEqual({ok, -1}, emmap_table:get(Table, <<"ann">>, 1)),
    ?assertEqual({ok, 7}, emmap_table:compare_exchange(Table, <<"ann">>, 0, 8, 9)),
    ?assertEqual({ok, 7}, emmap_table:compare_exchange(Table, <<"ann">>, 0, 7, 9)),
    ?assertEqual({ok, 9}, emmap_table:get(Other, <<"ann">>, 0)),
    ?assertEqual({ok, 1}, emmap_table:size(Other)),
    ?assertEqual(ok, emmap_table:delete(Other, <<"ann">>)),
    ?assertEqual({error, enoent}, emmap_table:delete(Table, <<"ann">>)),
    ok = emmap_table:close(Other),
    ok = emmap_table:close(Table).

keys(Config) ->
    {ok, Table} = open(Config, "keys", 100, [{key_bytes, 100}, {words, 3}]),
    Keys = [<<N, 0:(8 * (Length - 1))>> || {N, Length} <- [{1, 1}, {2, 38}, {3, 39}, {4, 100}]],
    [?assertEqual({ok, 0}, emmap_table:add(Table, Key, 2, byte_size(Key))) || Key <- Keys],
    [?assertEqual({ok, byte_size(Key)}, emmap_table:get(Table, Key, 2)) || Key <- Keys],
    [?assertEqual({error, einval}, emmap_table:add(Table, Key, 1)) || Key <- [<<>>, <<0:808>>]],
    ?assertEqual({error, einval}, emmap_table:get(Table, <<"a">>, 3)),
    ?assertError(badarg, emmap_table:add(Table, an_atom, 1)),
    ?assertError(badarg, emmap_table:add(Table, <<"a">>, 0, 1 bsl 64)),
    ok = emmap_table:close(Table).

options(Config) ->
    ?assertEqual({error, {einval, size_missing}}, open(Config, "options", 0)),
    {ok, Table} = open(Config, "options", 10, [{key_bytes, 20}, {words, 1}]),
    ?assertEqual({ok, #{capacity => 10, key_bytes => 20, words => 1}}, emmap_table:info(Table)),
    ?assertEqual({error, {einval, table_shape}}, open(Config, "options", 11, [{key_bytes, 20}, {words, 1}])),
    ?assertEqual({error, {einval, table_shape}}, open(Config, "options", -1)),
    ?assertError(badarg, open(Config, "options", many)),
    ?assertEqual({error, {einval, option}}, open(Config, "options", 10, [{size, 100}])),
    {ok, Reader} = open(Config, "options", 0, [read_only]),
    ?assertEqual({error, eacces}, emmap_table:add(Reader, <<"a">>, 1)),
    ok = emmap_table:close(Reader),
    ok = emmap_table:close(Table).

entries(Config) ->
    {ok, Table} = open(Config, "entries", 5000),
    All = [{integer_to_binary(N), [N, -N]} || N <- lists:seq(1, 2000)],
    [begin
         {ok, 0} = emmap_table:set(Table, Key, 0, One),
         {ok, 0} = emmap_table:set(Table, Key, 1, Two)
     end || {Key, [One, Two]} <- All],
    {ok, Found} = emmap_table:to_list(Table),
    ?assertEqual(lists:sort(All), lists:sort(Found)),
    ok = emmap_table:close(Table).

hits(Config) ->
    {ok, Table} = open(Config, "hits", 100),
    Limit = #{limit => 3, window => 1 bsl 39},
    Hits = [begin {ok, Hit} = emmap_table:hit(Table, <<"ann">>, Limit), Hit end || _ <- lists:seq(1, 4)],
    ?assertEqual([{true, 1, 2}, {true, 2, 1}, {true, 3, 0}, {false, 3, 0}],
                 [{Allowed, Used, Left} || #{allowed := Allowed, used := Used, remaining := Left} <- Hits]),
    ?assertMatch({ok, #{allowed := false}}, emmap_table:hit(Table, <<"bob">>, Limit#{cost => 4})),
    ?assertMatch({ok, #{allowed := true}}, emmap_table:hit(Table, <<"bob">>, Limit#{cost => 3, sliding => true})),
    [?assertError(badarg, emmap_table:hit(Table, <<"carl">>, Wrong)) || Wrong <- [
        #{limit => 1, window => 1, cost => (1 bsl 64) + 1}, #{limit => 1, window => 1, cost => -(1 bsl 80)},
        Limit#{slidng => true}, Limit#{sliding => 1}, Limit#{evict => yes}, #{limit => 1, window_ms => 1000}, #{}]],
    ?assertEqual({error, enoent}, emmap_table:get(Table, <<"carl">>)),
    ?assertEqual({error, einval}, emmap_table:hit(Table, <<"ann">>, Limit#{limit => 1 bsl 24})),
    ok = emmap_table:close(Table).

full(Config) ->
    {ok, Table} = open(Config, "full", 3),
    [{ok, 0} = emmap_table:add(Table, [Key], 1) || Key <- "abc"],
    ?assertEqual({error, full}, emmap_table:add(Table, "d", 1)),
    ok = emmap_table:delete(Table, "a"),
    Limit = #{limit => 3, window => 1 bsl 39},
    {ok, _} = emmap_table:hit(Table, "d", Limit),
    ?assertEqual({error, full}, emmap_table:hit(Table, "e", Limit)),
    ?assertMatch({ok, #{used := 1}}, emmap_table:hit(Table, "e", Limit#{evict => true})),
    ?assertEqual({error, enoent}, emmap_table:get(Table, "d")),
    ok = emmap_table:close(Table).

closed(Config) ->
    {ok, Table} = open(Config, "closed", 3),
    ok = emmap_table:close(Table),
    ?assertEqual({error, closed}, emmap_table:add(Table, "a", 1)),
    ?assertEqual({error, closed}, emmap_table:get(Table, "a")),
    ?assertEqual({error, closed}, emmap_table:to_list(Table)),
    ?assertEqual({error, closed}, emmap_table:hit(Table, "a", #{limit => 1, window => 1})).

copy(Config) ->
    {ok, Table} = open(Config, "copied", 100),
    {ok, 0} = emmap_table:add(Table, "ann", 5),
    ok = emmap:sync(Table),
    ok = emmap:backup(Table, emmap_test:path(Config, "the copy")),
    {ok, Copy} = open(Config, "the copy", 0),
    ?assertEqual({ok, [{<<"ann">>, [5, 0]}]}, emmap_table:to_list(Copy)),
    {ok, Again} = emmap:reopen(Copy),
    ?assertEqual({ok, 5}, emmap_table:get(Again, "ann")),
    ok = emmap_table:close(Again),
    ok = emmap_table:close(Table).

processes(Config) ->
    {ok, Table} = open(Config, "processes", 100),
    Workers = [spawn_monitor(fun() -> work(Table, N) end) || N <- lists:seq(1, 4)],
    [receive {'DOWN', Reference, process, Pid, Reason} -> ?assertEqual(normal, Reason) end
     || {Pid, Reference} <- Workers],
    {ok, All} = emmap_table:to_list(Table),
    ?assertEqual([{<<N>>, [400, 0]} || N <- lists:seq(1, 10)], lists:sort(All)),
    ok = emmap_table:close(Table).

work(Table, Own) ->
    [begin
         {ok, _} = emmap_table:add(Table, <<(N rem 10 + 1)>>, 1),
         {ok, 0} = emmap_table:add(Table, <<"own", Own>>, 1),
         ok = emmap_table:delete(Table, <<"own", Own>>)
     end || N <- lists:seq(1, 1000)].
