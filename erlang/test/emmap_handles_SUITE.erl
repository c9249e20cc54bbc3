%% Open files that have names, over both backends.
-module(emmap_handles_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([every_kind/1, no_such_name/1, heals/1, heals_for_everybody/1, ends_with_its_file/1, survives_a_kill/1, survives_a_kill_with_an_exclusive_file/1,
         goes_over_to_the_new_file/1, goes_over_with_its_path/1, costs_little/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    Cases = [every_kind, no_such_name, heals, heals_for_everybody, ends_with_its_file, survives_a_kill, survives_a_kill_with_an_exclusive_file,
             goes_over_to_the_new_file, goes_over_with_its_path],
    [{nif, [], Cases ++ [costs_little]}, {port, [], Cases}].

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

start(Config, Name, Kind, Options) ->
    {ok, Server} = emmap_handles:start_link(#{
        name => Name, path => emmap_test:path(Config, atom_to_list(Name)), kind => Kind,
        options => [{backend, proplists:get_value(backend, Config)} | Options]}),
    Server.

every_kind(Config) ->
    _ = start(Config, a_file, file, [create, write, shared, {size, 4096}]),
    ok = emmap:pwrite(a_file, 8, <<"hello">>),
    ?assertEqual({ok, <<"hello">>}, emmap:pread(a_file, 8, 5)),
    ?assertEqual({ok, 0}, emmap:patomic(a_file, 0, add, 1)),
    ?assertEqual({ok, [{ok, 1}, {ok, 4096}]}, emmap:batch(a_file, [{patomic_read_integer, 0}, {size}])),
    ?assertEqual({error, einval}, emmap:pwrite(a_file, 4096, <<"x">>)),
    ?assertError(badarg, emmap:pread(a_file, 0, a)),
    _ = start(Config, some_counters, {counters, 2}, []),
    ?assertEqual({ok, 0}, emmap:inc_counter(some_counters, 1)),
    ?assertEqual({ok, 1}, emmap:read_counter(some_counters, 1)),
    ?assertEqual(2, emmap:counters_length(some_counters)),
    ?assertEqual(not_equal, emmap:wait_counter(some_counters, 1, 0, 100)),
    _ = start(Config, a_queue, queue, []),
    ok = emmap_queue:push(a_queue, {job, 1}),
    ?assertEqual(1, emmap_queue:length(a_queue)),
    ?assertEqual({job, 1}, emmap_queue:peek_front(a_queue)),
    ?assertEqual({job, 1}, emmap_queue:pop(a_queue)),
    ?assertEqual(timeout, emmap_queue:receive_message(a_queue, 0)),
    _ = start(Config, some_blocks, {blocks, 4}, []),
    0 = emmap:store_block(some_blocks, <<"1234">>),
    ?assertEqual([{0, <<"1234">>}], emmap:read_blocks(some_blocks)),
    ?assertEqual(ok, emmap_handles:reopen(some_blocks)),
    ?assertEqual({ok, 1}, emmap:count_blocks(some_blocks)),
    _ = start(Config, a_cell, {cell, 100}, []),
    ?assertEqual(empty, emmap_cell:get(a_cell)),
    ok = emmap_cell:publish(a_cell, {flags, 1}),
    ?assertEqual({ok, {flags, 1}}, emmap_cell:get(a_cell)),
    ?assertEqual(timeout, emmap_cell:changed(a_cell, element(2, emmap_cell:version(a_cell)), 0)),
    _ = start(Config, a_table, {table, 100}, []),
    ?assertEqual({ok, 0}, emmap_table:add(a_table, <<"ann">>, 5)),
    ?assertEqual({ok, 5}, emmap_table:get(a_table, <<"ann">>)),
    ?assertEqual({ok, [{<<"ann">>, [5, 0]}]}, emmap_table:to_list(a_table)),
    ?assertMatch({ok, #{used := 1}}, emmap_table:hit(a_table, <<"bob">>, #{limit => 5, window => 1 bsl 39})),
    ?assertEqual(ok, emmap_table:delete(a_table, <<"ann">>)),
    Names = [a_table, a_cell, a_file, some_counters, a_queue, some_blocks],
    [ok = emmap_handles:stop(Name) || Name <- Names],
    [?assertEqual(none, persistent_term:get(Name, none)) || Name <- Names].

no_such_name(Config) ->
    process_flag(trap_exit, true),
    ?assertError(function_clause, emmap:pread(no_such_name, 0, 1)),
    ?assertError(function_clause, emmap_queue:push(no_such_name, 1)),
    [{emmap, _, Arguments, _} | _] = try emmap:inc_counter(no_such_name, 0) catch error:function_clause:Stack -> Stack end,
    ?assertMatch([{no_handle, _, no_such_name} | _], Arguments),
    Path = emmap_test:path(Config, "missing"),
    ?assertEqual({error, {emmap, Path, enoent}}, emmap_handles:start_link(#{name => missing, path => Path, options => [read]})),
    persistent_term:put(in_use, 1),
    ?assertMatch({error, {emmap, _, {name_in_use, in_use}}}, emmap_handles:start_link(#{name => in_use, path => Path})),
    persistent_term:erase(in_use),
    ?assertError(badarg, emmap_handles:start_link(#{name => missing})),
    ?assertError(badarg, emmap_handles:start_link(#{name => missing, path => Path, kin => file})).

%% At most one call sees that the file was lost.
heals(Config) ->
    _ = start(Config, heals, {counters, 1}, []),
    {ok, 0} = emmap:inc_counter(heals, 0),
    lose(Config, "heals"),
    Answers = [emmap:inc_counter(heals, 0) || _ <- lists:seq(1, 3)],
    ?assertMatch([_, {ok, _}, {ok, _}], Answers),
    {ok, Value} = emmap:read_counter(heals, 0),
    ?assert(Value >= 3),
    ok = emmap_handles:stop(heals).

heals_for_everybody(Config) ->
    _ = start(Config, crowd, {counters, 1}, []),
    Test = self(),
    Callers = [spawn_monitor(fun() ->
        Test ! ready,
        exit({errors, errors(0, 0)})
    end) || _ <- lists:seq(1, 1000)],
    [receive ready -> ok end || _ <- Callers],
    Before = emmap_handles:get(crowd),
    lose(Config, "crowd"),
    %% They end when the file is open again.
    emmap_test:until(fun() -> emmap_handles:get(crowd) =/= Before end),
    persistent_term:put({?MODULE, done}, true),
    Errors = [receive {'DOWN', Monitor, process, Pid, {errors, Count}} -> Count end || {Pid, Monitor} <- Callers],
    persistent_term:erase({?MODULE, done}),
    ?assert(lists:max(Errors) =< 1),
    ok = emmap_handles:stop(crowd).

errors(Errors, Rounds) ->
    case emmap:inc_counter(crowd, 0) of
        {ok, _} when Rounds > 5 ->
            case persistent_term:get({?MODULE, done}, false) of
                true -> Errors;
                false -> erlang:yield(), errors(Errors, Rounds)
            end;
        {ok, _} -> errors(Errors, Rounds + 1);
        {error, _} -> errors(Errors + 1, Rounds)
    end.

%% The port's program dies, or the file is truncated after a copy has taken its place.
lose(Config, Name) ->
    emmap_test:lose(proplists:get_value(backend, Config), emmap_test:path(Config, Name)).

ends_with_its_file(Config) ->
    process_flag(trap_exit, true),
    Server = start(Config, ends, {counters, 1}, []),
    Path = emmap_test:path(Config, "ends"),
    ok = file:write_file(Path, <<>>),
    ?assertEqual({error, efault}, emmap:inc_counter(ends, 0)),
    receive {'EXIT', Server, Reason} -> ?assertMatch({emmap, Path, corrupt}, Reason) end,
    ?assertError(function_clause, emmap:inc_counter(ends, 0)).

survives_a_kill(Config) ->
    process_flag(trap_exit, true),
    Killed = start(Config, killed, {counters, 1}, []),
    {ok, 0} = emmap:inc_counter(killed, 0),
    exit(Killed, kill),
    receive {'EXIT', Killed, killed} -> ok end,
    %% The file that the process has left is not the one at the path any more.
    ok = file:delete(emmap_test:path(Config, "killed")),
    _ = start(Config, killed, {counters, 1}, []),
    ?assertEqual({ok, 0}, emmap:inc_counter(killed, 0)),
    ok = emmap_handles:stop(killed).

survives_a_kill_with_an_exclusive_file(Config) ->
    process_flag(trap_exit, true),
    Killed = start(Config, alone, {counters, 1}, [exclusive]),
    {ok, 0} = emmap:inc_counter(alone, 0),
    exit(Killed, kill),
    receive {'EXIT', Killed, killed} -> ok end,
    _ = start(Config, alone, {counters, 1}, [exclusive]),
    ?assertEqual({ok, 1}, emmap:inc_counter(alone, 0)),
    ok = emmap_handles:stop(alone).

%% Consumers of the name find that its path leads to another file.
goes_over_with_its_path(Config) ->
    Name = goes_over_with_its_path,
    _ = start(Config, Name, queue, []),
    nil = emmap_queue:pop(Name),
    {ok, New} = emmap_queue:open(emmap_test:path(Config, "another.q"), 0, [{backend, proplists:get_value(backend, Config)}]),
    ok = emmap_queue:push(New, found),
    ok = emmap_queue:close(New),
    ok = file:rename(emmap_test:path(Config, "another.q"), emmap_test:path(Config, atom_to_list(Name))),
    emmap_test:until(fun() -> emmap_queue:pop(Name) =:= found end),
    ok = emmap_handles:stop(Name).

%% A process keeps the file of its last calls, but not longer than its name has it.
goes_over_to_the_new_file(Config) ->
    Name = goes_over,
    Path = emmap_test:path(Config, atom_to_list(Name)),
    _ = start(Config, Name, {counters, 1}, []),
    {ok, 0} = emmap:inc_counter(Name, 0, 5),
    ok = file:delete(Path),
    {error, enoent} = emmap_handles:reopen(Name),
    ?assertEqual({ok, 5}, emmap:read_counter(Name, 0)),
    ok = file:write_file(Path, <<"EMMAP01\n", 1:64/little, 7:64/little>>),
    ok = emmap_handles:reopen(Name),
    ?assertEqual({ok, 7}, emmap:read_counter(Name, 0)),
    ok = emmap_handles:stop(Name),
    ?assertError(function_clause, emmap:read_counter(Name, 0)),
    _ = start(Config, Name, file, [write, shared]),
    ?assertEqual({ok, 7}, emmap:patomic_read_integer(Name, 16)),
    ?assertError(function_clause, emmap:read_counter(Name, 0)),
    ?assertEqual({error, einval}, emmap:patomic_read_integer(Name, 24)),
    ?assertEqual({ok, 7}, emmap:patomic_add(Name, 16, 1)),
    ok = emmap_handles:stop(Name).

%% A busy machine is slow at times, so the best of many short rounds counts.
costs_little(Config) ->
    _ = start(Config, cheap, {counters, 1}, []),
    Counters = emmap_handles:get(cheap),
    Round = fun(On) -> element(1, timer:tc(fun() -> add(On, 5000) end)) end,
    Rounds = [{Round(Counters), Round(cheap)} || _ <- lists:seq(1, 500)],
    {By, Named} = {lists:min([Time || {Time, _} <- Rounds]), lists:min([Time || {_, Time} <- Rounds])},
    ct:pal("5000 additions by the handle ~b us, by its name ~b us", [By, Named]),
    ?assert(Named =< 1.3 * By),
    ok = emmap_handles:stop(cheap).

add(_On, 0) -> ok;
add(On, Count) ->
    {ok, _} = emmap:inc_counter(On, 0),
    add(On, Count - 1).
