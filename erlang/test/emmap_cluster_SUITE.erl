%% Counters of many machines: three nodes, which play hosts with folders of their own.
-module(emmap_cluster_SUITE).

-export([all/0, groups/0, suite/0, init_per_group/2, end_per_group/2, end_per_testcase/2]).
-export([sums/1, restart/1, killed_node/1, split/1, passed_on/1, dead_host_and_newcomer/1, forgotten/1, forgotten_while_it_runs/1,
         restored_copy/1, rolled_back/1, rolled_back_after_kill/1, rolled_back_and_ahead/1, rolled_back_and_passed_on/1, cloned_disks/1, removed_files/1, damaged_files/1, moved/1, power_cut/1, refused/1, another_cookie/1, reports/1, hostile/1,
         two_clusters/1, stopped_host/1, different_values/1, bad_folders/1, lost_file/1, second_node/1, over_tls/1]).
-export([start/1, add_all/3, read_all/1]).

-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/file.hrl").

-define(COUNT, 700).

suite() -> [{timetrap, {minutes, 2}}].

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    Common = [sums, restart, forgotten, rolled_back, rolled_back_after_kill, rolled_back_and_ahead, rolled_back_and_passed_on, cloned_disks, removed_files, damaged_files, second_node],
    [{nif, [], Common ++ [killed_node, split, passed_on, dead_host_and_newcomer, forgotten_while_it_runs, restored_copy, moved,
                          power_cut, refused, another_cookie, reports, hostile, two_clusters, stopped_host,
                          different_values, bad_folders, lost_file, over_tls]},
     {port, [], Common}].

init_per_group(Backend, Config) ->
    Nodes = [{Name, start_node(Name)} || Name <- [a, b, c]],
    ok = mesh([Node || {_, #{node := Node}} <- Nodes], Nodes),
    emmap_test:init_group(Backend, Nodes ++ Config).

end_per_group(_Backend, Config) ->
    lists:foreach(fun(Name) -> peer:stop(maps:get(peer, proplists:get_value(Name, Config))) end, [a, b, c]).

%% What a case leaves, so that the next one finds the nodes as they were.
end_per_testcase(_Case, Config) ->
    Nodes = [proplists:get_value(Name, Config) || Name <- [a, b, c]],
    _ = [heal(One, Other, Config) || {One, Other} <- [{a, b}, {a, c}, {b, c}]],
    _ = [ok = call(Node, emmap_test_events, release, []) || Node <- Nodes],
    _ = [call(Node, gen_server, stop, [Server]) || Node <- Nodes, Server <- call(Node, erlang, registered, []),
                                                  lists:prefix("emmap_cluster_", atom_to_list(Server))],
    ok.

start_node(Name) -> start_node(Name, []).

start_node(Name, Flags) ->
    Full = lists:concat([Name, "-", free_port()]),
    {ok, Peer, Node} = peer:start(#{
        name => Full, host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-epmd_module", "emmap_test_epmd", "-start_epmd", "false", "-setcookie", "emmap_cluster", "-connect_all", "false",
                 "-kernel", "logger_level", "error", "prevent_overlapping_partitions", "false", "-pa" | code:get_path()] ++ Flags}),
    #{peer => Peer, node => Node, os => call(#{peer => Peer}, os, getpid, [])}.

%% Nothing listens on it at present.
free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

mesh(Names, Nodes) ->
    _ = [pong = call(Node, net_adm, ping, [Name]) || {_, Node} <- Nodes, Name <- Names],
    ok.

call(#{peer := Peer}, Module, Function, Arguments) -> peer:call(Peer, Module, Function, Arguments, 30000).

%% In a node: without a link to the process of the call.
start(#{name := Name} = Options) ->
    gen_server:start({local, list_to_atom("emmap_cluster_" ++ atom_to_list(Name))}, emmap_cluster, Options, []).

options(Case, Host, Config) ->
    #{name => Case, folder => folder(Case, Host, Config), counters => ?COUNT, interval => 10,
      options => [{backend, proplists:get_value(backend, Config)}]}.

folder(Case, Host, Config) -> emmap_test:path(Config, lists:concat([Case, "-", Host])).

join(Case, Host, Config) ->
    {ok, _} = call(proplists:get_value(Host, Config), ?MODULE, start, [options(Case, Host, Config)]),
    ok.

node_of(Host, Config) -> proplists:get_value(Host, Config).

add(Case, Host, Index, Value, Config) -> ok = call(node_of(Host, Config), emmap_cluster, add, [Case, Index, Value]).

read(Case, Host, Index, Config) ->
    {ok, Value} = call(node_of(Host, Config), emmap_cluster, read, [Case, Index]),
    Value.

info(Case, Host, Config) -> call(node_of(Host, Config), emmap_cluster, info, [Case]).

%% Waits until these hosts read this value.
await(Case, Hosts, Index, Value, Config) ->
    emmap_test:until(fun() -> [read(Case, Host, Index, Config) || Host <- Hosts] =:= [Value || _ <- Hosts] end).

stop(Case, Host, Config) -> ok = call(node_of(Host, Config), emmap_cluster, stop, [Case]).

kill(#{os := Os}) -> [] = os:cmd("kill -KILL " ++ Os), ok.

add_all(Case, Value, Indices) -> lists:foreach(fun(Index) -> ok = emmap_cluster:add(Case, Index, Value) end, Indices).

read_all(Case) -> [begin {ok, Value} = emmap_cluster:read(Case, Index), Value end || Index <- lists:seq(0, ?COUNT - 1)].

await_all(Case, Hosts, Values, Config) ->
    emmap_test:until(fun() -> [call(node_of(Host, Config), ?MODULE, read_all, [Case]) || Host <- Hosts] =:= [Values || _ <- Hosts] end).

capture(Hosts, Config) -> lists:foreach(fun(Host) -> ok = call(node_of(Host, Config), emmap_test_events, capture, []) end, Hosts).

%% Log events of a node.
events(Event, Case, Host, Config) ->
    [Report || #{event := Found, cluster := Name} = Report <- call(node_of(Host, Config), emmap_test_events, reported, []),
               Found =:= Event, Name =:= Case].

await_event(Event, Case, Host, Config) ->
    emmap_test:until(fun() -> events(Event, Case, Host, Config) =/= [] end),
    events(Event, Case, Host, Config).

%% No connection between two nodes, in either direction, until it is joined.
cut(One, Other, Config) -> flip(One, Other, wrong, Config).
heal(One, Other, Config) ->
    flip(One, Other, emmap_cluster, Config),
    pong = call(node_of(One, Config), net_adm, ping, [maps:get(node, node_of(Other, Config))]),
    ok.

flip(One, Other, Cookie, Config) ->
    _ = [begin
        true = call(node_of(Here, Config), erlang, set_cookie, [maps:get(node, node_of(There, Config)), cookie(Cookie, Here)])
    end || {Here, There} <- [{One, Other}, {Other, One}]],
    Cookie =:= wrong andalso call(node_of(One, Config), erlang, disconnect_node, [maps:get(node, node_of(Other, Config))]).

cookie(wrong, Host) -> list_to_atom("wrong_" ++ atom_to_list(Host));
cookie(Cookie, _) -> Cookie.

kill_server(Case, Host, Config) ->
    Server = call(node_of(Host, Config), erlang, whereis, [list_to_atom("emmap_cluster_" ++ atom_to_list(Case))]),
    true = call(node_of(Host, Config), erlang, exit, [Server, kill]),
    emmap_test:until(fun() -> not call(node_of(Host, Config), erlang, is_process_alive, [Server]) end).

copy(Folder) -> [] = os:cmd("cp -a " ++ Folder ++ " " ++ Folder ++ ".copy").

%% The files of the copy, in place: their inodes stay.
set_back(Folder) -> [] = os:cmd("cd " ++ Folder ++ ".copy && for f in $(find . -type f); do cat $f > " ++ Folder ++ "/$f; done").

%% As many publications, each of an addition of 1.
publish(_Case, _Host, 0, _Config) -> ok;
publish(Case, Host, Times, Config) ->
    #{version := Version} = info(Case, Host, Config),
    add(Case, Host, 0, 1, Config),
    emmap_test:until(fun() -> maps:get(version, info(Case, Host, Config)) > Version end),
    publish(Case, Host, Times - 1, Config).

%%% Cases

sums(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b, c]],
    [add(?FUNCTION_NAME, Host, Index, Value, Config)
     || {Host, Value} <- [{a, 1}, {b, 10}, {c, 100}], Index <- [0, 1, 511, 512, ?COUNT - 1]],
    [await(?FUNCTION_NAME, [a, b, c], Index, 111, Config) || Index <- [0, 1, 511, 512, ?COUNT - 1]],
    ?assertEqual(0, read(?FUNCTION_NAME, a, 2, Config)),
    %% Signed, and wrapping.
    add(?FUNCTION_NAME, b, 2, -5, Config),
    await(?FUNCTION_NAME, [a, b, c], 2, -5, Config),
    add(?FUNCTION_NAME, a, 3, 16#7fffffffffffffff, Config),
    add(?FUNCTION_NAME, c, 3, 1, Config),
    await(?FUNCTION_NAME, [a, b, c], 3, -16#8000000000000000, Config),
    ?assertEqual({error, einval}, call(node_of(a, Config), emmap_cluster, add, [?FUNCTION_NAME, ?COUNT, 1])),
    ?assertEqual({error, einval}, call(node_of(a, Config), emmap_cluster, read, [?FUNCTION_NAME, ?COUNT])),
    %% Many at once.
    [ok = call(node_of(Host, Config), ?MODULE, add_all, [?FUNCTION_NAME, Value, lists:seq(4, 510)]) || {Host, Value} <- [{a, 3}, {b, 4}]],
    [await(?FUNCTION_NAME, [a, b, c], Index, 7, Config) || Index <- [4, 100, 510]],
    #{hosts := Hosts, blind := none, origins := Origins, origin := Mine, version := Version} = info(?FUNCTION_NAME, a, Config),
    ?assertEqual(lists:sort([maps:get(node, node_of(Host, Config)) || Host <- [b, c]]), Hosts),
    ?assertEqual(2, map_size(Origins)),
    ?assert(Version > 0),
    ?assertMatch([#{connected := true, age := Age}, _] when Age < 3000, maps:values(Origins)),
    #{origins := #{Mine := #{version := Seen, node := Node}}} = info(?FUNCTION_NAME, b, Config),
    ?assertEqual(atom_to_binary(maps:get(node, node_of(a, Config))), Node),
    ?assertEqual(Version, Seen),
    %% The files are those of counters.
    Folder = folder(?FUNCTION_NAME, a, Config),
    {_, ?COUNT} = Own = emmap:open_counters(filename:join(Folder, "own.bin"), 0, [read]),
    {_, ?COUNT} = Others = emmap:open_counters(filename:join(Folder, "others.bin"), 0, [read]),
    ?assertEqual([{ok, 1}, {ok, 110}], [emmap:read_counter(Counters, 0) || Counters <- [Own, Others]]),
    [ok = emmap:close_counters(Counters) || Counters <- [Own, Others]].

%% A stop publishes what was added last; what is added while the process is away is published at the start.
restart(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, a, 5, 1, Config),
    await(?FUNCTION_NAME, [a, b], 5, 1, Config),
    #{origin := Origin, version := Version} = info(?FUNCTION_NAME, a, Config),
    add(?FUNCTION_NAME, a, 5, 1, Config),
    stop(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [b], 5, 2, Config),
    add(?FUNCTION_NAME, b, 5, 20, Config),
    Own = emmap:open_counters(filename:join(folder(?FUNCTION_NAME, a, Config), "own.bin"), 0),
    {ok, 2} = emmap:inc_counter(Own, 5, 100),
    ok = emmap:close_counters(Own),
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b], 5, 122, Config),
    %% A process that was killed: additions go on over the NIF, whose files stay open.
    Server = call(node_of(a, Config), erlang, whereis, [emmap_cluster_restart]),
    true = call(node_of(a, Config), erlang, exit, [Server, kill]),
    emmap_test:until(fun() -> not call(node_of(a, Config), erlang, is_process_alive, [Server]) end),
    More = case proplists:get_value(backend, Config) of
        nif -> add(?FUNCTION_NAME, a, 5, 1000, Config), 1000;
        port -> 0
    end,
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b], 5, 122 + More, Config),
    #{origin := Origin, version := Now} = info(?FUNCTION_NAME, a, Config),
    ?assert(Now > Version),
    ?assertEqual(1, map_size(maps:get(origins, info(?FUNCTION_NAME, b, Config)))).

%% The node is killed between two stores, again and again.
killed_node(Config) ->
    ok = join(?FUNCTION_NAME, a, Config),
    Sum = lists:foldl(fun(Round, Before) ->
        D = start_node(d),
        With = [{d, D} | Config],
        ok = join(?FUNCTION_NAME, d, With),
        pong = call(D, net_adm, ping, [maps:get(node, node_of(a, Config))]),
        [ok = call(D, ?MODULE, add_all, [?FUNCTION_NAME, 1, lists:seq(0, ?COUNT - 1)]) || _ <- lists:seq(1, Round)],
        timer:sleep(7 * Round),
        kill(D),
        add(?FUNCTION_NAME, a, 0, 1, Config),
        Before + Round
    end, 0, [1, 2, 3, 4]),
    ok = join(?FUNCTION_NAME, b, Config), % it hears of the dead host's
    D = start_node(d),
    With = [{d, D} | Config],
    ok = join(?FUNCTION_NAME, d, With),
    pong = call(D, net_adm, ping, [maps:get(node, node_of(a, Config))]),
    pong = call(D, net_adm, ping, [maps:get(node, node_of(b, Config))]),
    await_all(?FUNCTION_NAME, [a, b, d], [Sum + 4 | lists:duplicate(?COUNT - 1, Sum)], With),
    ?assertEqual(2, map_size(maps:get(origins, info(?FUNCTION_NAME, a, Config)))),
    ok = peer:stop(maps:get(peer, D)).

split(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, a, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    cut(a, b, Config),
    emmap_test:until(fun() -> maps:get(hosts, info(?FUNCTION_NAME, a, Config)) =:= [] end),
    [add(?FUNCTION_NAME, Host, 0, 10, Config) || Host <- [a, b, b]],
    timer:sleep(100),
    ?assertEqual([11, 21], [read(?FUNCTION_NAME, Host, 0, Config) || Host <- [a, b]]),
    #{blind := Blind, origins := Origins} = info(?FUNCTION_NAME, a, Config),
    ?assert(is_integer(Blind)),
    ?assertMatch([#{connected := false}], maps:values(Origins)),
    heal(a, b, Config),
    Begin = erlang:monotonic_time(millisecond),
    await(?FUNCTION_NAME, [a, b], 0, 31, Config),
    ?assert(erlang:monotonic_time(millisecond) - Begin < 1000),
    ?assertMatch(#{blind := none}, info(?FUNCTION_NAME, a, Config)).

%% Two hosts that do not see each other hear of each other through the third one.
passed_on(Config) ->
    cut(a, c, Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b, c]],
    [add(?FUNCTION_NAME, Host, 600, Value, Config) || {Host, Value} <- [{a, 1}, {b, 10}, {c, 100}]],
    await(?FUNCTION_NAME, [a, b, c], 600, 111, Config),
    ?assertEqual([1, 2, 1], [length(maps:get(hosts, info(?FUNCTION_NAME, Host, Config))) || Host <- [a, b, c]]),
    heal(a, c, Config).

dead_host_and_newcomer(Config) ->
    D = start_node(d),
    With = [{d, D} | Config],
    pong = call(D, net_adm, ping, [maps:get(node, node_of(a, Config))]),
    [ok = join(?FUNCTION_NAME, Host, With) || Host <- [a, d]],
    add(?FUNCTION_NAME, d, 0, 1000, With),
    await(?FUNCTION_NAME, [a], 0, 1000, Config),
    kill(D),
    stop(?FUNCTION_NAME, a, Config), % it keeps what it has heard
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, c]],
    await(?FUNCTION_NAME, [a, c], 0, 1000, Config),
    [#{node := Node, connected := false, age := infinity}] =
        [Origin || #{connected := false} = Origin <- maps:values(maps:get(origins, info(?FUNCTION_NAME, c, Config)))],
    ?assertEqual(atom_to_binary(maps:get(node, D)), Node).

%% Everywhere and for good, also on a host that was away.
forgotten(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b, c]],
    [add(?FUNCTION_NAME, Host, 0, Value, Config) || {Host, Value} <- [{a, 1}, {b, 10}, {c, 100}]],
    await(?FUNCTION_NAME, [a, b, c], 0, 111, Config),
    #{origin := Origin} = info(?FUNCTION_NAME, c, Config),
    [stop(?FUNCTION_NAME, Host, Config) || Host <- [c, b]],
    ?assertEqual(ok, call(node_of(a, Config), emmap_cluster, forget, [?FUNCTION_NAME, Origin])),
    ?assertEqual(1 + 10, read(?FUNCTION_NAME, a, 0, Config)),
    ok = join(?FUNCTION_NAME, b, Config),
    await(?FUNCTION_NAME, [a, b], 0, 11, Config),
    [?assertMatch(#{forgotten := [Origin]}, info(?FUNCTION_NAME, Host, Config)) || Host <- [a, b]],
    ?assertEqual(ok, call(node_of(b, Config), emmap_cluster, forget, [?FUNCTION_NAME, Origin])),
    ?assertEqual([{error, enoent}, {error, badarg}],
                 [call(node_of(a, Config), emmap_cluster, forget, [?FUNCTION_NAME, Unknown])
                  || Unknown <- [<<"00000000000000000000000000000001">>, <<"origin">>]]),
    %% After restarts, too.
    [stop(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    await(?FUNCTION_NAME, [a, b], 0, 11, Config),
    %% The host of the forgotten origin comes back: it begins again.
    ok = join(?FUNCTION_NAME, c, Config),
    await(?FUNCTION_NAME, [a, b, c], 0, 11, Config),
    add(?FUNCTION_NAME, c, 0, 5, Config),
    await(?FUNCTION_NAME, [a, b, c], 0, 16, Config),
    ?assertNotEqual(Origin, maps:get(origin, info(?FUNCTION_NAME, c, Config))).

forgotten_while_it_runs(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    [add(?FUNCTION_NAME, Host, 0, Value, Config) || {Host, Value} <- [{a, 1}, {b, 10}]],
    await(?FUNCTION_NAME, [a, b], 0, 11, Config),
    #{origin := Origin} = info(?FUNCTION_NAME, b, Config),
    ok = call(node_of(a, Config), emmap_cluster, forget, [?FUNCTION_NAME, Origin]),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    add(?FUNCTION_NAME, b, 0, 100, Config),
    await(?FUNCTION_NAME, [a, b], 0, 101, Config),
    [stop(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1101, Config).

%% An older copy of a folder in its place: files that are others.
restored_copy(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    [] = os:cmd("cp -a " ++ Folder ++ " " ++ Folder ++ ".copy"), % while it is in use
    add(?FUNCTION_NAME, b, 0, 10, Config),
    await(?FUNCTION_NAME, [a, b], 0, 11, Config),
    stop(?FUNCTION_NAME, b, Config),
    [] = os:cmd("rm -r " ++ Folder ++ " && mv " ++ Folder ++ ".copy " ++ Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    await(?FUNCTION_NAME, [a, b], 0, 11, Config),
    ?assertMatch([#{reason := copied}], events(new_origin, ?FUNCTION_NAME, b, Config)),
    add(?FUNCTION_NAME, b, 0, 100, Config),
    await(?FUNCTION_NAME, [a, b], 0, 111, Config),
    %% And once more.
    stop(?FUNCTION_NAME, b, Config),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1111, Config),
    ?assertEqual(2, map_size(maps:get(origins, info(?FUNCTION_NAME, a, Config)))).

%% A volume that was set back: the same files, with older bytes. Only the others can tell.
rolled_back(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    stop(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    copy(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    _ = [begin
        add(?FUNCTION_NAME, b, 0, 10, Config),
        await(?FUNCTION_NAME, [a], 0, 1 + 10 * N, Config)
    end || N <- [1, 2, 3]],
    stop(?FUNCTION_NAME, b, Config),
    stop(?FUNCTION_NAME, a, Config),
    set_back(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 100, Config), % before it meets one who knows more
    timer:sleep(100),
    ?assertEqual(101, read(?FUNCTION_NAME, b, 0, Config)),
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b], 0, 131, Config),
    ?assertMatch([#{reason := old_copy}], events(new_origin, ?FUNCTION_NAME, b, Config)),
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1131, Config).

%% The host was killed, and had published less since than a start skips of versions.
rolled_back_after_kill(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 100, Config),
    await(?FUNCTION_NAME, [a, b], 0, 100, Config),
    kill_server(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    copy(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 10, Config),
    await(?FUNCTION_NAME, [a, b], 0, 110, Config),
    kill_server(?FUNCTION_NAME, b, Config),
    set_back(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    await_event(new_origin, ?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 111, Config),
    ?assertMatch([#{reason := old_copy}], events(new_origin, ?FUNCTION_NAME, b, Config)),
    %% A host that was away while this one was killed more than once is no reason for a new origin.
    stop(?FUNCTION_NAME, a, Config),
    [begin
        add(?FUNCTION_NAME, b, 0, 1, Config),
        kill_server(?FUNCTION_NAME, b, Config),
        ok = join(?FUNCTION_NAME, b, Config)
    end || _ <- [1, 2, 3]],
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b], 0, 114, Config),
    ?assertMatch([_], events(new_origin, ?FUNCTION_NAME, b, Config)).

%% The host has published more since it was set back than before, until it meets another one.
rolled_back_and_ahead(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    stop(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    copy(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1001, Config),
    [stop(?FUNCTION_NAME, Host, Config) || Host <- [b, a]],
    set_back(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    publish(?FUNCTION_NAME, b, 5, Config),
    kill_server(?FUNCTION_NAME, b, Config),
    ok = join(?FUNCTION_NAME, b, Config),
    publish(?FUNCTION_NAME, b, 20, Config),
    ok = join(?FUNCTION_NAME, a, Config),
    %% Nobody can tell what was added before the last start from what the copy had.
    await(?FUNCTION_NAME, [a, b], 0, 1021, Config),
    ?assertMatch([#{reason := old_copy}], events(new_origin, ?FUNCTION_NAME, b, Config)).

%% A third host has what the set-back host published, and nothing of what it lost. Then one comes that has that.
rolled_back_and_passed_on(Config) ->
    cut(a, c, Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    stop(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    copy(Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1001, Config),
    [stop(?FUNCTION_NAME, Host, Config) || Host <- [b, a]],
    set_back(Folder),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [b, c]],
    publish(?FUNCTION_NAME, b, 5, Config),
    await(?FUNCTION_NAME, [b, c], 0, 6, Config),
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b, c], 0, 1006, Config),
    heal(a, c, Config),
    add(?FUNCTION_NAME, c, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b, c], 0, 1007, Config).

%% Two hosts begin with one disk's image, so that inodes are the same, and count apart from each other before they meet.
cloned_disks(Config) ->
    [cut(One, Other, Config) || {One, Other} <- [{a, c}, {b, c}]],
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 100, Config),
    await(?FUNCTION_NAME, [a, b], 0, 100, Config),
    stop(?FUNCTION_NAME, b, Config),
    [One, Other] = [folder(?FUNCTION_NAME, Host, Config) || Host <- [b, c]],
    [] = os:cmd("cp -a " ++ One ++ " " ++ Other),
    State = filename:join(Other, "state"),
    {ok, Terms} = file:consult(State),
    {ok, #file_info{inode = Inode}} = file:read_file_info(filename:join(Other, "own.bin")),
    ok = file:write_file(State, [io_lib:format("~0tp.~n", [Term]) || Term <- lists:keyreplace(inode, 1, Terms, {inode, Inode})]),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [b, c]],
    publish(?FUNCTION_NAME, b, 5, Config),
    await(?FUNCTION_NAME, [a, b], 0, 105, Config),
    publish(?FUNCTION_NAME, c, 12, Config),
    ?assertEqual(112, read(?FUNCTION_NAME, c, 0, Config)),
    [heal(Host, c, Config) || Host <- [a, b]],
    await(?FUNCTION_NAME, [a, b, c], 0, 117, Config),
    add(?FUNCTION_NAME, b, 0, 1000, Config),
    await(?FUNCTION_NAME, [a, b, c], 0, 1117, Config).

%% Files of a folder that are removed, or replaced by older ones, while nothing uses it: no sum falls, nothing counts twice.
removed_files(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [a, b], 0, 1, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    Do = fun(Command) -> [] = os:cmd("cd " ++ Folder ++ " && " ++ Command) end,
    stop(?FUNCTION_NAME, b, Config),
    Do("cp own.bin own.old"),
    Older = "cp own.old x && mv x own.bin",
    lists:foldl(fun({Command, Reasons}, Sum) ->
        ok = join(?FUNCTION_NAME, b, Config),
        add(?FUNCTION_NAME, b, 0, 10, Config),
        await(?FUNCTION_NAME, [a, b], 0, Sum + 10, Config),
        stop(?FUNCTION_NAME, b, Config),
        Do(Command),
        capture([b], Config),
        ok = join(?FUNCTION_NAME, b, Config),
        ?assertEqual({Command, Reasons}, {Command, [Reason || #{reason := Reason} <- events(new_origin, ?FUNCTION_NAME, b, Config)]}),
        add(?FUNCTION_NAME, b, 0, 100, Config),
        await(?FUNCTION_NAME, [a, b], 0, Sum + 110, Config),
        ok = call(node_of(b, Config), emmap_test_events, release, []),
        stop(?FUNCTION_NAME, b, Config),
        Sum + 110
    end, 1, [{"rm own.bin", []}, {"rm own.bin own.link", [replaced]}, {": > own.bin", [replaced]}, {Older, [replaced]},
             {Older ++ " && rm own.link", [replaced]}, {"rm state", [no_state]}, {"rm own.link", []}]).

%% Files that can be made anew: of the sum, of the node's signs of life, and of origins, this host's included.
damaged_files(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    [add(?FUNCTION_NAME, Host, 600, Value, Config) || {Host, Value} <- [{a, 1}, {b, 10}]],
    await(?FUNCTION_NAME, [a, b], 600, 11, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    Truncate = fun() -> [] = os:cmd("cd " ++ Folder ++ " && truncate -s 100 others.bin status.bin origins/*.bin") end,
    kill_server(?FUNCTION_NAME, b, Config),
    Truncate(),
    ok = join(?FUNCTION_NAME, b, Config),
    await(?FUNCTION_NAME, [a, b], 600, 11, Config),
    stop(?FUNCTION_NAME, b, Config),
    Truncate(),
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 600, 100, Config),
    await(?FUNCTION_NAME, [a, b], 600, 111, Config),
    %% While the process runs.
    Server = call(node_of(b, Config), erlang, whereis, [emmap_cluster_damaged_files]),
    Truncate(),
    add(?FUNCTION_NAME, a, 600, 1000, Config),
    emmap_test:until(fun() -> not call(node_of(b, Config), erlang, is_process_alive, [Server]) end),
    ok = join(?FUNCTION_NAME, b, Config),
    await(?FUNCTION_NAME, [a, b], 600, 1111, Config),
    ?assertEqual([], events(new_origin, ?FUNCTION_NAME, b, Config)).

%% A folder that was copied to a new disk while nothing used it: nothing is lost, what was added after the stop included.
moved(Config) ->
    ok = join(?FUNCTION_NAME, b, Config),
    add(?FUNCTION_NAME, b, 0, 1, Config),
    stop(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    Own = emmap:open_counters(filename:join(Folder, "own.bin"), 0),
    {ok, 1} = emmap:inc_counter(Own, 0, 10),
    ok = emmap:close_counters(Own),
    [] = os:cmd("cp -a " ++ Folder ++ " " ++ Folder ++ ".copy && rm -r " ++ Folder ++ " && mv " ++ Folder ++ ".copy " ++ Folder),
    ok = join(?FUNCTION_NAME, b, Config),
    await(?FUNCTION_NAME, [b], 0, 11, Config),
    ok = join(?FUNCTION_NAME, a, Config),
    await(?FUNCTION_NAME, [a, b], 0, 11, Config).

%% Another boot without a stop before, and own.bin as the disk had it: the additions that others had seen are kept.
power_cut(Config) ->
    capture([b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, b, 0, 7, Config),
    await(?FUNCTION_NAME, [a, b], 0, 7, Config),
    stop(?FUNCTION_NAME, b, Config),
    Folder = folder(?FUNCTION_NAME, b, Config),
    {ok, Terms} = file:consult(filename:join(Folder, "state")),
    Cut = lists:keystore(boot, 1, lists:keystore(clean, 1, Terms, {clean, false}), {boot, <<"another">>}),
    ok = file:write_file(filename:join(Folder, "state"), [io_lib:format("~0tp.~n", [Term]) || Term <- Cut]),
    Own = emmap:open_counters(filename:join(Folder, "own.bin"), 0),
    {ok, 7} = emmap:dec_counter(Own, 0, 3), % three were not on the disk
    ok = emmap:close_counters(Own),
    ok = join(?FUNCTION_NAME, b, Config),
    ?assertMatch([#{reason := power_cut}], events(new_origin, ?FUNCTION_NAME, b, Config)),
    add(?FUNCTION_NAME, b, 0, 100, Config),
    await(?FUNCTION_NAME, [a, b], 0, 107, Config).

%% Another number of counters, and a hidden node.
refused(Config) ->
    capture([a], Config),
    ok = join(?FUNCTION_NAME, a, Config),
    Options = (options(?FUNCTION_NAME, b, Config))#{counters := ?COUNT + 1},
    {ok, _} = call(node_of(b, Config), ?MODULE, start, [Options]),
    [#{here := ?COUNT, there := There, node := Node}] = await_event(refused, ?FUNCTION_NAME, a, Config),
    ?assertEqual({?COUNT + 1, maps:get(node, node_of(b, Config))}, {There, Node}),
    D = start_node(d, ["-hidden"]),
    With = [{d, D} | Config],
    ok = join(?FUNCTION_NAME, d, With),
    pong = call(D, net_adm, ping, [maps:get(node, node_of(a, Config))]),
    Hello = {emmap_cluster, 1, self(), {hello, ?COUNT, <<1:128>>, <<>>}},
    emmap_test:until(fun() ->
        call(D, erlang, send, [{list_to_atom("emmap_cluster_refused"), maps:get(node, node_of(a, Config))}, setelement(3, Hello, call(D, erlang, whereis, [emmap_cluster_refused]))]),
        [Report || #{hidden := true} = Report <- events(refused, ?FUNCTION_NAME, a, Config)] =/= []
    end),
    ?assertMatch(#{hosts := [], origins := Origins} when map_size(Origins) =:= 0, info(?FUNCTION_NAME, a, Config)),
    ok = peer:stop(maps:get(peer, D)).

%% A node with another cookie is not let in until it has the right one.
another_cookie(Config) ->
    ok = join(?FUNCTION_NAME, a, Config),
    #{node := A} = node_of(a, Config),
    #{node := Stranger} = D = start_node(d),
    With = [{d, D} | Config],
    true = call(D, erlang, set_cookie, [another]),
    {ok, _} = call(D, ?MODULE, start, [(options(?FUNCTION_NAME, d, With))#{nodes => [A]}]),
    add(?FUNCTION_NAME, d, 0, 1, With),
    pang = call(D, net_adm, ping, [A]),
    [?assertMatch(#{hosts := [], origins := Origins} when map_size(Origins) =:= 0, info(?FUNCTION_NAME, Host, With)) || Host <- [a, d]],
    ?assertEqual(0, read(?FUNCTION_NAME, a, 0, Config)),
    true = call(D, erlang, set_cookie, [emmap_cluster]),
    await(?FUNCTION_NAME, [a], 0, 1, Config),
    ?assertMatch(#{hosts := [Stranger]}, info(?FUNCTION_NAME, a, Config)),
    ok = peer:stop(maps:get(peer, D)).

%% Each event of logger and telemetry that has no case of its own.
reports(Config) ->
    capture([a, b], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    #{node := B} = node_of(b, Config),
    ?assertMatch([#{node := B}], await_event(host_up, ?FUNCTION_NAME, a, Config)),
    add(?FUNCTION_NAME, b, 0, 5, Config),
    await(?FUNCTION_NAME, [a, b], 0, 5, Config),
    Executed = fun(Event, Host) ->
        [{Measurements, About} || {[emmap, cluster, Found], Measurements, #{cluster := reports} = About}
                                      <- call(node_of(Host, Config), emmap_test_events, executed, []), Found =:= Event]
    end,
    [{#{counters := 1, bytes := Bytes}, _}] = Executed(publish, b),
    ?assert(Bytes >= 8),
    %% Another version.
    [From, Server] = [call(node_of(Host, Config), erlang, whereis, [emmap_cluster_reports]) || Host <- [b, a]],
    call(node_of(b, Config), erlang, send, [Server, {emmap_cluster, 2, From, {alive, 1}}]),
    ?assertMatch([#{node := B, protocol := 2}], await_event(refused, ?FUNCTION_NAME, a, Config)),
    #{origin := Origin} = info(?FUNCTION_NAME, b, Config),
    stop(?FUNCTION_NAME, b, Config),
    ?assertMatch([#{node := B}], await_event(host_down, ?FUNCTION_NAME, a, Config)),
    %% Nothing can be written there.
    New = filename:join(folder(?FUNCTION_NAME, a, Config), "state.new"),
    ok = file:make_dir(New),
    ok = call(node_of(a, Config), emmap_cluster, forget, [?FUNCTION_NAME, Origin]),
    ?assertMatch([#{origin := Origin}], events(forgotten, ?FUNCTION_NAME, a, Config)),
    ?assertMatch([#{reason := eisdir}], events(not_saved, ?FUNCTION_NAME, a, Config)),
    ok = file:del_dir(New),
    ok = join(?FUNCTION_NAME, b, Config),
    ?assertMatch([#{reason := forgotten}], await_event(new_origin, ?FUNCTION_NAME, b, Config)),
    [?assertMatch([{#{count := 1}, _} | _], Executed(Event, Host))
     || {Event, Host} <- [{host_up, a}, {refused, a}, {host_down, a}, {forgotten, a}, {not_saved, a}, {new_origin, b}]].

%% Whatever another host sends, the process stays, and its counters.
hostile(Config) ->
    capture([c], Config),
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [b, c]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [b, c], 0, 1, Config),
    Server = call(node_of(c, Config), erlang, whereis, [emmap_cluster_hostile]),
    From = call(node_of(b, Config), erlang, whereis, [emmap_cluster_hostile]),
    Run = fun(Start, Words, Size) -> <<Start:32/little, Words:32/little, 1:(8 * Size)>> end,
    Messages = [{values, <<9:128>>, 0, 1, none, Runs} || Runs <- [<<1>>, Run(?COUNT, 1, 8), Run(0, ?COUNT + 1, 8 * (?COUNT + 1)), Run(0, 2, 8),
                                                               Run(16#ffffffff, 16#ffffffff, 8), [], atom, 1 bsl 70]]
        ++ [{values, <<9:128>>, Since, Version, Crc, Run(0, 1, 8)}
            || {Since, Version, Crc} <- [{1, 1, none}, {2, 1, none}, {-1, 1, none}, {0, 1 bsl 63, none}, {0, 1, x}, {a, b, none}]]
        ++ [{values, <<9>>, 0, 1, none, Run(0, 1, 8)}, {want, <<9:128>>, -1}, {want, 9, 0}, {want, <<9:128>>, x},
            {digest, <<1>>}, {digest, [<<>>]}, {alive, -1}, {alive, x}, {hello, ?COUNT, <<1:128>>, <<7>>}, {hello, -1, <<1:128>>, <<>>},
            {hello}, {}, [], <<"x">>, {nothing, 1, 2}],
    [call(node_of(b, Config), erlang, send, [Server, {emmap_cluster, 1, From, Message}]) || Message <- Messages],
    [call(node_of(b, Config), erlang, send, [Server, Message])
     || Message <- [{emmap_cluster, 2, From, {alive, 1}}, {emmap_cluster, 1, not_a_pid, {alive, 1}}, {emmap_cluster, 1}, anything]],
    add(?FUNCTION_NAME, b, 0, 1, Config),
    await(?FUNCTION_NAME, [b, c], 0, 2, Config),
    ?assertEqual(Server, call(node_of(c, Config), erlang, whereis, [emmap_cluster_hostile])),
    ?assertMatch([#{node := _, message := values}], events(bad_message, ?FUNCTION_NAME, c, Config)),
    ?assertEqual([0 || _ <- lists:seq(2, ?COUNT)], tl(call(node_of(c, Config), ?MODULE, read_all, [?FUNCTION_NAME]))),
    %% Versions of its own origin that it has not made: it becomes a new one each time, and no sum changes.
    [begin
        publish(?FUNCTION_NAME, c, 3, Config),
        #{origin := Hex, version := Version} = info(?FUNCTION_NAME, c, Config),
        {ok, Origin} = emmap_cluster_folder:id(Hex),
        Claim = case Kind of
            want -> {want, Origin, Version bxor 1};
            digest -> {digest, <<Origin/binary, (Version bxor 1):64, 7:32, 0>>}
        end,
        call(node_of(b, Config), erlang, send, [Server, {emmap_cluster, 1, From, Claim}]),
        emmap_test:until(fun() -> maps:get(origin, info(?FUNCTION_NAME, c, Config)) =/= Hex end),
        await(?FUNCTION_NAME, [b, c], 0, Sum, Config)
    end || {Kind, Sum} <- [{want, 5}, {digest, 8}]],
    ?assertEqual(Server, call(node_of(c, Config), erlang, whereis, [emmap_cluster_hostile])).

two_clusters(Config) ->
    [ok = join(Case, Host, Config) || Case <- [two_clusters, two_clusters_more], Host <- [a, b]],
    add(two_clusters, a, 0, 1, Config),
    add(two_clusters_more, b, 0, 2, Config),
    await(two_clusters, [a, b], 0, 1, Config),
    await(two_clusters_more, [a, b], 0, 2, Config),
    %% Under a supervisor, with two of one name refused.
    #{id := {emmap_cluster, two_clusters}, start := {emmap_cluster, start_link, [_]}} =
        emmap_cluster:child_spec(options(two_clusters, a, Config)),
    ?assertMatch({error, {already_started, _}}, call(node_of(a, Config), ?MODULE, start, [options(two_clusters, a, Config)])).

%% A host that does not read delays no other one, and has all when it goes on.
stopped_host(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b, c]],
    #{os := Os} = node_of(c, Config),
    [] = os:cmd("kill -STOP " ++ Os),
    try
        Rounds = 100,
        _ = [begin
            ok = call(node_of(a, Config), ?MODULE, add_all, [?FUNCTION_NAME, 1, lists:seq(0, ?COUNT - 1)]),
            N rem 10 =:= 0 andalso await(?FUNCTION_NAME, [b], ?COUNT - 1, N, Config)
        end || N <- lists:seq(1, Rounds)]
    after
        [] = os:cmd("kill -CONT " ++ Os)
    end,
    await_all(?FUNCTION_NAME, [a, b, c], lists:duplicate(?COUNT, 100), Config).

%% Bytes of an origin's file that were changed behind the process: the owner is right.
different_values(Config) ->
    [ok = join(?FUNCTION_NAME, Host, Config) || Host <- [a, b]],
    add(?FUNCTION_NAME, a, 0, 5, Config),
    await(?FUNCTION_NAME, [a, b], 0, 5, Config),
    #{origin := Origin} = info(?FUNCTION_NAME, a, Config),
    stop(?FUNCTION_NAME, b, Config),
    File = emmap:open_counters(filename:join([folder(?FUNCTION_NAME, b, Config), "origins", <<Origin/binary, ".bin">>]), 0),
    {ok, 5} = emmap:set_counter(File, 1, 77),
    {ok, 0} = emmap:set_counter(File, 600, 77),
    ok = emmap:close_counters(File),
    ok = join(?FUNCTION_NAME, b, Config),
    await_all(?FUNCTION_NAME, [a, b], [5 | lists:duplicate(?COUNT - 1, 0)], Config).

bad_folders(Config) ->
    Start = fun(Options) -> call(node_of(a, Config), ?MODULE, start, [maps:merge(options(?FUNCTION_NAME, a, Config), Options)]) end,
    ?assertMatch({error, {emmap, _, {einval, count}}}, Start(#{counters => 1 bsl 24 + 1})),
    {ok, _} = Start(#{}),
    stop(?FUNCTION_NAME, a, Config),
    Folder = folder(?FUNCTION_NAME, a, Config),
    ?assertMatch({error, {emmap, _, {counters, ?COUNT, 5}}}, Start(#{counters => 5})),
    {ok, _} = Start(#{counters => 0}),
    stop(?FUNCTION_NAME, a, Config),
    ok = file:write_file(filename:join(Folder, "state"), "garbage"),
    ?assertMatch({error, {emmap, _, corrupt}}, Start(#{})),
    ok = file:write_file(filename:join(Folder, "plain"), ""),
    ?assertMatch({error, {emmap, _, _}}, Start(#{folder => filename:join(Folder, "plain")})),
    ?assertError(badarg, emmap_cluster:start_link(#{name => x, folder => Folder})),
    ?assertError(badarg, emmap_cluster:start_link(#{name => x, folder => Folder, counters => 1, intervall => 5})).

%% A folder in use is refused, and is free when the process that has it ends in any way. Programs without a node open its files.
second_node(Config) ->
    D = start_node(d),
    With = [{d, D} | Config],
    Options = options(?FUNCTION_NAME, shared, Config),
    Lock = iolist_to_binary(filename:join(maps:get(folder, Options), "lock")),
    Start = fun(Host) -> call(node_of(Host, With), ?MODULE, start, [Options]) end,
    {ok, _} = Start(d),
    add(?FUNCTION_NAME, d, 0, 20, With),
    ?assertEqual({error, {emmap, Lock, ebusy}}, Start(a)),
    Own = emmap:open_counters(filename:join(maps:get(folder, Options), "own.bin"), 0),
    {ok, 20} = emmap:inc_counter(Own, 0, 1),
    ok = emmap:close_counters(Own),
    kill(D),
    {ok, _} = Start(a),
    ?assertEqual({error, {emmap, Lock, ebusy}}, Start(b)),
    stop(?FUNCTION_NAME, a, Config),
    {ok, _} = Start(b),
    ?assertEqual(21, read(?FUNCTION_NAME, b, 0, Config)).

%% The process ends with a file that is lost, and the next one opens it.
lost_file(Config) ->
    ok = join(?FUNCTION_NAME, a, Config),
    Server = call(node_of(a, Config), erlang, whereis, [emmap_cluster_lost_file]),
    Own = filename:join(folder(?FUNCTION_NAME, a, Config), "own.bin"),
    {ok, Bytes} = file:read_file(Own),
    {ok, File} = file:open(Own, [read, write, raw]),
    ok = file:truncate(File),
    ok = file:close(File),
    emmap_test:until(fun() -> not call(node_of(a, Config), erlang, is_process_alive, [Server]) end),
    ok = file:write_file(Own, Bytes),
    ok = join(?FUNCTION_NAME, a, Config),
    add(?FUNCTION_NAME, a, 0, 1, Config),
    ?assertEqual(1, read(?FUNCTION_NAME, a, 0, Config)).

%% As docs/cluster.md has it. A node without a certificate is not let in, whatever its cookie.
over_tls(Config) ->
    case os:find_executable("openssl") of
        false -> {skip, "there is no openssl"};
        _ -> over_tls_in(emmap_test:path(Config, "tls"), Config)
    end.

over_tls_in(Folder, Config) ->
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    Key = " -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes",
    Output = os:cmd(lists:join(" && ", [
        "cd " ++ Folder,
        "openssl req -x509" ++ Key ++ " -days 3650 -subj '/CN=cluster CA' -keyout ca.key -out ca.pem",
        "openssl req" ++ Key ++ " -subj /CN=127.0.0.1 -keyout host.key -out host.csr",
        "echo subjectAltName=DNS:127.0.0.1 > host.ext",
        "openssl x509 -req -in host.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 3650 -extfile host.ext -out host.pem"
    ])),
    Files = [{Option, filename:join(Folder, File)} || {Option, File} <- [{certfile, "host.pem"}, {keyfile, "host.key"}, {cacertfile, "ca.pem"}]],
    Sides = [{server, Files ++ [{verify, verify_peer}, {fail_if_no_peer_cert, true}]}, {client, Files ++ [{verify, verify_peer}]}],
    Options = filename:join(Folder, "tls.config"),
    ok = file:write_file(Options, io_lib:format("~p.~n", [Sides])),
    Flags = ["-proto_dist", "inet_tls", "-ssl_dist_optfile", Options],
    [One, Other] = [start_node(Name, Flags) || Name <- [one, other]],
    With = [{one, One}, {other, Other} | Config],
    ?assertEqual({pong, Output}, {call(One, net_adm, ping, [maps:get(node, Other)]), Output}),
    [ok = join(?FUNCTION_NAME, Host, With) || Host <- [one, other]],
    [add(?FUNCTION_NAME, Host, 0, Value, With) || {Host, Value} <- [{one, 1}, {other, 10}]],
    await(?FUNCTION_NAME, [one, other], 0, 11, With),
    ?assertEqual(pang, call(node_of(a, Config), net_adm, ping, [maps:get(node, One)])),
    _ = [ok = peer:stop(maps:get(peer, Node)) || Node <- [One, Other]],
    ok.
