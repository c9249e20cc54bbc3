%% The list of a node's open files, over both backends.
-module(emmap_open_files_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([lists_what_is_open/1, of_a_stopped_program/1, prints_a_table/1, status_of_a_port_server/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    Cases = [lists_what_is_open, prints_a_table],
    [{nif, [], Cases}, {port, [], Cases ++ [of_a_stopped_program, status_of_a_port_server]}].

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

open(Config, Options) ->
    Folder = filename:dirname(emmap_test:path(Config, "x")),
    {ok, File} = emmap:open(filename:join(Folder, "file"), [create, write, shared, {size, 100} | Options]),
    Counters = emmap:open_counters(filename:join(Folder, "counters"), 2, Options),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "queue"), 1024, Options),
    {ok, Blocks} = emmap:open_block_storage(filename:join(Folder, "blocks"), 8, Options),
    {Folder, File, Counters, Queue, Blocks}.

here(Folder) ->
    [File || #{path := Path} = File <- emmap:open_files(), filename:dirname(binary_to_list(Path)) =:= Folder].

lists_what_is_open(Config) ->
    Backend = proplists:get_value(backend, Config),
    Before = erlang:system_time(second),
    {Folder, File, Counters, Queue, Blocks} = open(Config, [{backend, Backend}]),
    Files = here(Folder),
    Self = self(),
    ?assertEqual([blocks, counters, file, queue], [Kind || #{kind := Kind} <- Files]),
    [begin
         ?assertMatch(#{owner := Self, backend := Backend, size := Size} when Size > 0, About),
         ?assert(maps:get(since, About) >= Before),
         ?assertEqual(atom_to_list(maps:get(kind, About)), filename:basename(binary_to_list(maps:get(path, About))))
     end || About <- Files],
    ?assertMatch([#{size := 100}], [About || #{kind := file} = About <- Files]),
    {ok, 200} = emmap:resize(File, 200),
    ?assertMatch([#{size := 200}], [About || #{kind := file} = About <- here(Folder)]),
    [ok = emmap:close(Open) || Open <- [File, Queue, Blocks]],
    ?assertMatch([#{kind := counters}], here(Folder)),
    ok = emmap:close_counters(Counters),
    ?assertEqual([], here(Folder)),
    %% Files of a process that has ended, which nobody refers to any more.
    {_, Monitor} = spawn_monitor(fun() -> _ = open(Config, [{backend, Backend}]), 4 = length(here(Folder)) end),
    receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end,
    emmap_test:until(fun() -> here(Folder) =:= [] end).

%% The list waits for the sizes once, and not for each file or program.
of_a_stopped_program(Config) ->
    Servers = [element(2, {ok, _} = emmap_port:start_link(#{})) || _ <- [1, 2, 3]],
    Folders = [element(1, open([{priv_dir, emmap_test:path(Config, integer_to_list(N) ++ "/")} | Config], [{backend, {port, Server}}]))
               || {N, Server} <- lists:enumerate(Servers)],
    [] = os:cmd("kill -STOP " ++ lists:join(" ", [integer_to_list(emmap_test:os_pid(Server)) || Server <- tl(Servers)])),
    {Micros, Files} = timer:tc(fun() -> [here(Folder) || Folder <- Folders] end),
    ?assertEqual([4, 4, 4], [length(Of) || Of <- Files]),
    ?assertEqual([4, 0, 0], [length([Size || #{size := Size} <- Of]) || Of <- Files]),
    ?assert(Micros < 15000000), % less than calls to three programs take
    [ok = gen_server:stop(Server) || Server <- Servers].

prints_a_table(Config) ->
    {_, File, Counters, Queue, Blocks} = open(Config, [{backend, proplists:get_value(backend, Config)}]),
    ok = ct:capture_start(),
    ok = emmap:i(),
    ok = ct:capture_stop(),
    Printed = lists:append(ct:capture_get([])),
    [?assertMatch([_, _ | _], string:split(Printed, Text))
     || Text <- ["KIND", pid_to_list(self()), emmap_test:path(Config, "counters"), "queue"]],
    [ok = emmap:close(Open) || Open <- [File, element(1, Counters), Queue, Blocks]].

status_of_a_port_server(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    {_, _, _, _, _} = open(Config, [{backend, {port, Server}}]),
    {status, _, _, [_, _, _, _, Misc]} = sys:get_status(Server),
    [#{files := Files}] = [Map || {data, [{"State", Map}]} <- Misc],
    Path = list_to_binary(emmap_test:path(Config, "queue")),
    ?assertMatch([#{kind := queue, owner := _}], [File || #{path := Of} = File <- Files, Of =:= Path]),
    ok = gen_server:stop(Server).
