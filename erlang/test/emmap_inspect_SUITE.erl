%% Looking at files from outside, over both backends.
-module(emmap_inspect_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([kinds/1, writers_and_waiters/1, failures/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([kinds, writers_and_waiters, failures]).

init_per_group(Backend, Config) ->
    ok = application:set_env(emmap, backend, Backend),
    emmap_test:init_group(Backend, Config).

end_per_group(_Backend, _Config) ->
    application:unset_env(emmap, backend).

kinds(Config) ->
    Plain = emmap_test:fresh(Config, "plain", <<"hello">>),
    ?assertMatch({ok, #{kind := plain, size := 5, sharing := none, writers := []}}, emmap:inspect_file(Plain)),
    Counters = emmap_test:fixture_copy(Config, "counters.bin"),
    ?assertMatch({ok, #{kind := counters, counters := 4}}, emmap:inspect_file(Counters)),
    Blocks = emmap_test:fixture_copy(Config, "blocks-deep.bin"),
    ?assertMatch({ok, #{kind := blocks, block_size := 8, blocks := 5000, levels := 3}}, emmap:inspect_file(Blocks)),
    {ok, Cell} = emmap_cell:open(emmap_test:path(Config, "cell"), 100, []),
    ok = emmap_cell:publish(Cell, flags),
    ?assertMatch({ok, #{kind := cell, version := 1, max_bytes := 100}}, emmap:inspect_file(emmap_test:path(Config, "cell"))),
    ok = emmap_cell:close(Cell),
    {ok, Table} = emmap_table:open(emmap_test:path(Config, "table"), 100, []),
    {ok, 0} = emmap_table:add(Table, <<"ann">>, 1),
    ok = emmap_table:repair(Table),
    ?assertMatch({ok, #{kind := table, keys := 1, capacity := 100}}, emmap:inspect_file(emmap_test:path(Config, "table"))),
    ok = emmap_table:close(Table),
    {ok, Metrics} = emmap_metrics:open(emmap_test:path(Config, "metrics"), #{<<"visits">> => {counter, #{}}}, []),
    ?assertMatch({ok, #{kind := metrics}}, emmap:inspect_file(emmap_test:path(Config, "metrics"))),
    ok = emmap_metrics:close(Metrics),
    Queue = emmap_test:fixture_copy(Config, "queue.bin"),
    {ok, #{kind := queue, length := Length}} = emmap:inspect_file(list_to_binary(Queue)),
    {ok, Opened} = emmap_queue:open(Queue, 0, [read_only]),
    ?assertEqual(Length, emmap_queue:length(Opened)),
    ok = emmap_queue:close(Opened).

writers_and_waiters(Config) ->
    Path = emmap_test:path(Config, "jobs.q"),
    {ok, Queue} = emmap_queue:open(Path, 4096, []),
    ok = emmap_queue:push(Queue, job),
    Self = self(),
    {Waiter, Monitor} = spawn_monitor(fun() ->
        {ok, Mine} = emmap_queue:open(Path, 4096, []),
        {ok, job} = emmap_queue:receive_message(Mine, infinity),
        Self ! taken,
        emmap_queue:receive_message(Mine, infinity)
    end),
    receive taken -> ok end,
    emmap_test:until(fun() ->
        {ok, #{waiters := Waiters}} = emmap:inspect_file(Path),
        Waiters =:= 1
    end),
    {ok, #{kind := queue, length := 0, sharing := live, lock := free, writers := Writers}} = emmap:inspect_file(Path),
    ?assertMatch([#{pushed := 1, popped := 0, waiting := 0, has_lock := false},
                  #{pushed := 0, popped := 1, waiting := 1, is_popping := false}], Writers),
    [?assert(is_binary(Program) andalso Program =/= <<>>) || #{program := Program} <- Writers],
    %% The wait goes with the process that waits.
    exit(Waiter, kill),
    receive {'DOWN', Monitor, process, _, _} -> ok end,
    emmap_test:until(fun() ->
        {ok, #{waiters := Waiters}} = emmap:inspect_file(Path),
        Waiters =:= 0
    end),
    ok = emmap_queue:close(Queue).

failures(Config) ->
    ?assertEqual({error, enoent}, emmap:inspect_file(emmap_test:path(Config, "none"))),
    ?assertEqual({error, eisdir}, emmap:inspect_file("/")),
    ?assertEqual({error, enodev}, emmap:inspect_file("/dev/null")),
    ?assertError(badarg, emmap:inspect_file(42)).
