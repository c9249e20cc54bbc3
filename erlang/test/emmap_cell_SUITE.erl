%% Cells, over both backends.
-module(emmap_cell_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([last_value/1, options/1, refused/1, changed/1, read_only/1, closed/1, copy/1, no_half_value/1, long_value/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [last_value, options, refused, changed, read_only, closed, copy, no_half_value, long_value]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

open(Config, Name, MaxBytes) -> open(Config, Name, MaxBytes, []).

open(Config, Name, MaxBytes, Options) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    emmap_cell:open(emmap_test:path(Config, Name), MaxBytes, [Backend | Options]).

last_value(Config) ->
    {ok, Cell} = open(Config, "last", 1000),
    ?assertEqual(empty, emmap_cell:get(Cell)),
    ?assertEqual({ok, 0}, emmap_cell:version(Cell)),
    {ok, Other} = open(Config, "last", 0),
    [begin
         ok = emmap_cell:publish(Cell, {value, N, lists:seq(1, N)}),
         ?assertEqual({ok, {value, N, lists:seq(1, N)}}, emmap_cell:get(Other)),
         ?assertEqual({ok, N}, emmap_cell:version(Other))
     end || N <- lists:seq(1, 30)],
    ok = emmap_cell:publish_bytes(Cell, [<<"by">>, "tes"]),
    ?assertEqual({ok, <<"bytes">>}, emmap_cell:get_bytes(Other)),
    ?assertEqual({error, {bad_term, <<"bytes">>}}, emmap_cell:get(Other)),
    ok = emmap_cell:close(Cell),
    ok = emmap_cell:close(Other).

options(Config) ->
    ?assertEqual({error, {einval, size_missing}}, open(Config, "options", 0)),
    {ok, Cell} = open(Config, "options", 100),
    ?assertEqual({error, {einval, max_bytes}}, open(Config, "options", 101)),
    ?assertEqual({error, {einval, max_bytes}}, open(Config, "options", -1)),
    ?assertError(badarg, open(Config, "options", many)),
    ?assertError(badarg, open(Config, "options", 100, [no_option])),
    ?assertEqual({error, {einval, option}}, open(Config, "options", 100, [{size, 4096}])),
    ?assertEqual({error, einval}, emmap_cell:publish(Cell, lists:duplicate(200, a))),
    ?assertEqual(empty, emmap_cell:get(Cell)),
    ok = emmap_cell:close(Cell).

%% Atoms are not made, and no term takes more memory than it may.
refused(Config) ->
    {ok, Cell} = open(Config, "refused", 1000, [{max_inflated_size, 100}]),
    Unknown = <<131, 119, 29, "emmap_cell_suite_unknown_atom">>,
    ok = emmap_cell:publish_bytes(Cell, Unknown),
    ?assertEqual({error, {bad_term, Unknown}}, emmap_cell:get(Cell)),
    ?assertEqual({error, {max_inflated_size, 100}}, emmap_cell:publish(Cell, lists:duplicate(300, 1000))),
    ok = emmap_cell:publish(Cell, fine),
    ?assertEqual({ok, fine}, emmap_cell:get(Cell)),
    ok = emmap_cell:close(Cell).

changed(Config) ->
    {ok, Cell} = open(Config, "changed", 100),
    ?assertEqual(timeout, emmap_cell:changed(Cell, 0, 20)),
    Self = self(),
    Waiter = spawn_link(fun() -> Self ! {self(), emmap_cell:changed(Cell, 0, infinity)} end),
    timer:sleep(20),
    ok = emmap_cell:publish(Cell, 1),
    receive {Waiter, Answer} -> ?assertEqual(ok, Answer) after 10000 -> ct:fail(still_waits) end,
    ?assertEqual(ok, emmap_cell:changed(Cell, 0, infinity)),
    ?assertEqual(timeout, emmap_cell:changed(Cell, 1, 0)),
    ?assertError(badarg, emmap_cell:changed(Cell, -1, 0)),
    ok = emmap_cell:close(Cell).

read_only(Config) ->
    ?assertEqual({error, enoent}, open(Config, "reader", 100, [read_only])),
    {ok, Cell} = open(Config, "reader", 100),
    ok = emmap_cell:publish(Cell, 1),
    {ok, Reader} = open(Config, "reader", 0, [read_only]),
    ?assertEqual({ok, 1}, emmap_cell:get(Reader)),
    ?assertEqual({error, eacces}, emmap_cell:publish(Reader, 2)),
    ok = emmap_cell:close(Reader),
    ok = emmap_cell:close(Cell).

closed(Config) ->
    {ok, Cell} = open(Config, "closed", 100),
    ok = emmap_cell:close(Cell),
    ?assertEqual({error, closed}, emmap_cell:get(Cell)),
    ?assertEqual({error, closed}, emmap_cell:publish(Cell, 1)),
    ?assertEqual({error, closed}, emmap_cell:version(Cell)),
    ?assertEqual({error, closed}, emmap_cell:changed(Cell, 0, 10)).

copy(Config) ->
    {ok, Cell} = open(Config, "copied", 100),
    ok = emmap_cell:publish(Cell, kept),
    ok = emmap:sync(Cell),
    ok = emmap:backup(Cell, emmap_test:path(Config, "the copy")),
    {ok, Copy} = open(Config, "the copy", 0),
    ?assertEqual({ok, kept}, emmap_cell:get(Copy)),
    {ok, Again} = emmap:reopen(Copy),
    ?assertEqual({ok, kept}, emmap_cell:get(Again)),
    ok = emmap_cell:close(Again),
    ok = emmap_cell:close(Cell).

no_half_value(Config) ->
    {ok, Cell} = open(Config, "whole", 50000),
    {ok, Other} = open(Config, "whole", 0),
    ok = emmap_cell:publish(Cell, {0, []}),
    Publisher = spawn_link(fun() ->
        [ok = emmap_cell:publish(Other, {N, lists:duplicate(N rem 4000, N)}) || N <- lists:seq(1, 500)]
    end),
    Reference = monitor(process, Publisher),
    read_while(Cell, Reference),
    ?assertMatch({ok, {500, _}}, emmap_cell:get(Cell)),
    ok = emmap_cell:close(Other),
    ok = emmap_cell:close(Cell).

read_while(Cell, Reference) ->
    {ok, {N, Values}} = emmap_cell:get(Cell),
    ?assertEqual(lists:duplicate(N rem 4000, N), Values),
    receive {'DOWN', Reference, process, _, normal} -> ok after 0 -> read_while(Cell, Reference) end.

%% More bytes than a normal scheduler copies.
long_value(Config) ->
    {ok, Cell} = open(Config, "long", 1000000),
    Value = rand:bytes(900000),
    ok = emmap_cell:publish(Cell, Value),
    ?assertEqual({ok, Value}, emmap_cell:get(Cell)),
    ok = emmap_cell:close(Cell).
