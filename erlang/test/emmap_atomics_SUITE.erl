%% Atomics and counters, over both backends.
-module(emmap_atomics_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([every_operation/1, seed_form/1, wraps/1, refuses_bad_operands/1, refuses_bad_places/1,
         counters/1, counters_of_emmap_2/1, writes_the_bytes_of_emmap_2/1, refuses_foreign_files/1,
         counters_read_only/1, both_backends_on_one_file/1]).

-include_lib("stdlib/include/assert.hrl").

-define(MAX, 16#7fffffffffffffff).
-define(MIN, -16#8000000000000000).

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [every_operation, seed_form, wraps, refuses_bad_operands, refuses_bad_places, counters, counters_of_emmap_2,
       writes_the_bytes_of_emmap_2, refuses_foreign_files, counters_read_only, both_backends_on_one_file]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

words(Config, Name) ->
    _ = emmap_test:fresh(Config, Name, binary:copy(<<0>>, 64)),
    {ok, File} = emmap_test:open(Config, Name, [read, write, shared]),
    File.

every_operation(Config) ->
    File = words(Config, "every"),
    ?assertEqual({ok, 0}, emmap:patomic_add(File, 8, 12)),
    ?assertEqual({ok, 12}, emmap:patomic_sub(File, 8, 2)),
    ?assertEqual({ok, 10}, emmap:patomic_or(File, 8, 5)),
    ?assertEqual({ok, 15}, emmap:patomic_and(File, 8, 9)),
    ?assertEqual({ok, 9}, emmap:patomic_xor(File, 8, 1)),
    ?assertEqual({ok, 8}, emmap:patomic_xchg(File, 8, -1)),
    ?assertEqual({true, -1}, emmap:patomic_cas(File, 8, -1, 7)),
    ?assertEqual({false, 7}, emmap:patomic_cas(File, 8, -1, 8)),
    ?assertEqual({ok, 7}, emmap:patomic_read_integer(File, 8)),
    ?assertEqual(ok, emmap:patomic_write_integer(File, 8, -2)),
    ?assertEqual({ok, <<0:64, -2:64/native, 0:64>>}, file:pread(File, 0, 24)),
    ok = file:close(File).

seed_form(Config) ->
    File = words(Config, "seed"),
    Expected = [{add, 12, {ok, 0}}, {sub, 2, {ok, 12}}, {'or', 5, {ok, 10}}, {'and', 9, {ok, 15}},
                {'xor', 1, {ok, 9}}, {xchg, -1, {ok, 8}}, {cas, {-1, 7}, {true, -1}}, {cas, {-1, 8}, {false, 7}}],
    [?assertEqual({Name, Answer}, {Name, emmap:patomic(File, 16, Name, Value)}) || {Name, Value, Answer} <- Expected],
    [?assertError(badarg, emmap:patomic(File, 16, Name, Value))
     || {Name, Value} <- [{foo, 1}, {cas, 1}, {add, {1, 2}}, {1, 1}]],
    ok = file:close(File).

wraps(Config) ->
    File = words(Config, "wraps"),
    ok = emmap:patomic_write_integer(File, 0, ?MAX),
    ?assertEqual({ok, ?MAX}, emmap:patomic_add(File, 0, 1)),
    ?assertEqual({ok, ?MIN}, emmap:patomic_sub(File, 0, 1)),
    ?assertEqual({ok, ?MAX}, emmap:patomic_xchg(File, 0, 16#ffffffffffffffff)),
    ?assertEqual({ok, -1}, emmap:patomic_xchg(File, 0, 16#8000000000000000)),
    ?assertEqual({true, ?MIN}, emmap:patomic_cas(File, 0, 16#8000000000000000, 0)),
    ok = file:close(File).

refuses_bad_operands(Config) ->
    File = words(Config, "operands"),
    Counters = emmap_test:open_counters(Config, "operand-counters", 1),
    [begin
         [?assertError(badarg, emmap:Name(File, 0, Value))
          || Name <- [patomic_add, patomic_sub, patomic_and, patomic_or, patomic_xor, patomic_xchg,
                      patomic_write_integer]],
         ?assertError(badarg, emmap:patomic_cas(File, 0, Value, 1)),
         ?assertError(badarg, emmap:patomic_cas(File, 0, 1, Value)),
         [?assertError(badarg, emmap:Name(Counters, 0, Value)) || Name <- [inc_counter, dec_counter, set_counter]],
         ?assertError(badarg, emmap:cas_counter(Counters, 0, Value, 1))
     end || Value <- [1 bsl 64, ?MIN - 1, -(1 bsl 64), 1 bsl 200, 1.0, one, <<1>>, "1", [], {}]],
    ?assertEqual({ok, 0}, emmap:patomic_read_integer(File, 0)),
    ?assertEqual({ok, 0}, emmap:read_counter(Counters, 0)),
    ok = emmap:close_counters(Counters),
    ok = file:close(File).

refuses_bad_places(Config) ->
    File = words(Config, "places"),
    [?assertEqual({Position, {error, einval}}, {Position, emmap:patomic_add(File, Position, 1)})
     || Position <- [64, 1 bsl 40, -8, ?MAX - 7, 1 bsl 63, (1 bsl 64) - 8, (1 bsl 64) - 1, 1 bsl 64, 1 bsl 100]],
    [?assertEqual({Position, {error, alignment}}, {Position, emmap:patomic_add(File, Position, 1)})
     || Position <- [1, 4, 7, 55]],
    [?assertError(badarg, emmap:patomic_add(File, Position, 1)) || Position <- [a, 1.0, <<>>]],
    ok = file:close(File).

counters(Config) ->
    Counters = emmap_test:open_counters(Config, "counters", 2),
    ?assertEqual(2, emmap:counters_length(Counters)),
    ?assertEqual({ok, 0}, emmap:inc_counter(Counters, 0)),
    ?assertEqual({ok, 1}, emmap:inc_counter(Counters, 0, 41)),
    ?assertEqual({ok, 42}, emmap:dec_counter(Counters, 0)),
    ?assertEqual({ok, 41}, emmap:dec_counter(Counters, 0, 40)),
    ?assertEqual({ok, 1}, emmap:set_counter(Counters, 0, -5)),
    ?assertEqual({true, -5}, emmap:cas_counter(Counters, 0, -5, 6)),
    ?assertEqual({false, 6}, emmap:cas_counter(Counters, 0, -5, 7)),
    ?assertEqual({ok, 6}, emmap:read_counter(Counters, 0)),
    ?assertEqual({ok, 0}, emmap:read_counter(Counters, 1)),
    [?assertEqual({Index, {error, einval}}, {Index, emmap:read_counter(Counters, Index)})
     || Index <- [2, -1, 1 bsl 32, 1 bsl 61, 1 bsl 63, 1 bsl 64]],
    ?assertError(badarg, emmap:read_counter(Counters, a)),
    ?assertEqual({error, fixed_size}, emmap:resize(element(1, Counters), 1000)),
    ok = emmap:close_counters(Counters),
    ?assertEqual({error, closed}, emmap:inc_counter(Counters, 0)),
    % the count is the file's
    ?assertEqual({error, {counters, 2, 3}}, emmap_test:open_counters(Config, "counters", 3)),
    More = emmap:open_counters(emmap_test:path(Config, "counters"), 1000,
                               [grow, {backend, proplists:get_value(backend, Config)}]),
    ?assertEqual(1000, emmap:counters_length(More)),
    ?assertEqual({ok, 6}, emmap:read_counter(More, 0)),
    ok = emmap:close_counters(More),
    Two = emmap_test:open_counters(Config, "two-counters", 2),
    {ok, 0} = emmap:set_counter(Two, 0, 6),
    ok = emmap:close_counters(Two),
    ok = file:rename(emmap_test:path(Config, "two-counters"), emmap_test:path(Config, "counters")),
    Same = emmap_test:open_counters(Config, "counters", 0),
    ?assertEqual(2, emmap:counters_length(Same)),
    ?assertEqual({ok, 6}, emmap:read_counter(Same, 0)),
    ok = emmap:close_counters(Same),
    One = emmap_test:open_counters(Config, "one-counter", 0),
    ?assertEqual(1, emmap:counters_length(One)),
    ok = emmap:close_counters(One),
    ?assertEqual({error, {einval, count}}, emmap_test:open_counters(Config, "no-counters", -1)),
    ?assertEqual({error, {einval, count}}, emmap_test:open_counters(Config, "no-counters", 1 bsl 33)),
    ?assertError(badarg, emmap_test:open_counters(Config, "no-counters", many)),
    ?assertNot(filelib:is_file(emmap_test:path(Config, "no-counters"))).

%% The bytes that emmap 2.1.3 on x86-64 wrote for four counters with these values.
-define(VALUES, [42, -7, ?MAX, ?MIN]).
-define(EMMAP_2_BYTES, <<"EMMAP01\n", 4:64/little, 42:64/little, -7:64/little, ?MAX:64/little, ?MIN:64/little>>).

counters_of_emmap_2(Config) ->
    Path = emmap_test:fresh(Config, "emmap-2-counters", ?EMMAP_2_BYTES),
    Counters = emmap:open_counters(Path, 0, [{backend, proplists:get_value(backend, Config)}]),
    ?assertEqual([{ok, Value} || Value <- ?VALUES], [emmap:read_counter(Counters, Index) || Index <- lists:seq(0, 3)]),
    ok = emmap:close_counters(Counters),
    ?assertEqual({ok, ?EMMAP_2_BYTES}, file:read_file(Path)).

writes_the_bytes_of_emmap_2(Config) ->
    Counters = emmap_test:open_counters(Config, "new-counters", 4),
    {ok, 0} = emmap:inc_counter(Counters, 0, 42),
    {ok, 0} = emmap:dec_counter(Counters, 1, 7),
    {ok, 0} = emmap:set_counter(Counters, 2, ?MAX),
    {ok, 0} = emmap:set_counter(Counters, 3, ?MIN),
    ok = emmap:close_counters(Counters),
    ?assertEqual({ok, ?EMMAP_2_BYTES}, file:read_file(emmap_test:path(Config, "new-counters"))).

refuses_foreign_files(Config) ->
    [begin
         Path = emmap_test:fresh(Config, "foreign", Bytes),
         ?assertEqual({Bytes, {error, Error}}, {Bytes, emmap_test:open_counters(Config, "foreign", Count)}),
         ?assertEqual({ok, Bytes}, file:read_file(Path))
     end || {Bytes, Count, Error} <-
                [{binary:copy(<<"x">>, 16 + 32), 4, corrupt},
                 {binary:copy(<<"x">>, 16 + 32), 0, corrupt},
                 {<<"EMMAP01\n">>, 0, corrupt},
                 {<<"EMMAP01\n", 4:64/little, 0:64>>, 4, corrupt},
                 {<<"EMMAP01\n", 4:64/little, 0:256>>, 5, {counters, 4, 5}},
                 {<<"EMMAP01\n", -1:64/little, 0:256>>, 0, corrupt}]].

counters_read_only(Config) ->
    Path = emmap_test:fresh(Config, "read-only-counters", ?EMMAP_2_BYTES),
    Counters = emmap:open_counters(Path, 4, [read, {backend, proplists:get_value(backend, Config)}]),
    ?assertEqual({ok, 42}, emmap:read_counter(Counters, 0)),
    [?assertEqual({error, eacces}, emmap:Name(Counters, 0)) || Name <- [inc_counter, dec_counter]],
    ?assertEqual({error, eacces}, emmap:set_counter(Counters, 0, 1)),
    ok = emmap:close_counters(Counters),
    ?assertEqual({error, enoent}, emmap:open_counters(Path ++ "-missing", 4, [read])).

both_backends_on_one_file(Config) ->
    Path = emmap_test:path(Config, "both"),
    ByNif = emmap:open_counters(Path, 1, [{backend, nif}]),
    ByPort = emmap:open_counters(Path, 1, [{backend, port}]),
    {ok, 0} = emmap:inc_counter(ByNif, 0),
    {ok, 1} = emmap:inc_counter(ByPort, 0),
    {ok, 2} = emmap:read_counter(ByNif, 0),
    ok = emmap:close_counters(ByNif),
    ok = emmap:close_counters(ByPort).
