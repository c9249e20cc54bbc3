%% The services of emmap_node: what its file may have, and what trouble of one means to the others.
-module(emmap_node_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([wrong_items/1, failing_service/1, damaged_beside/1, stops/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [wrong_items | [{group, Backend} || Backend <- emmap_test_backends:backends()]].

groups() -> emmap_test_backends:groups([failing_service, damaged_beside, stops]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

cluster(Config, Name, Folder) ->
    {cluster, #{name => Name, folder => emmap_test:path(Config, Folder), counters => 10, interval => 10, options => [backend(Config)]}}.

backend(Config) -> {backend, proplists:get_value(backend, Config)}.

%% Each is refused before anything starts, with a text that names it.
wrong_items(_Config) ->
    Cluster = #{name => hits, folder => "/tmp/x", counters => 1},
    Budget = #{name => mails, folder => "/tmp/x", limit => 1, window => 1, nodes => [a@b]},
    Relay = #{from => "/tmp/x", to => jobs, node => a@b},
    Receiver = #{name => jobs, queue => "/tmp/x"},
    Wrong = [{Kind, Options#{Key => Value}} || {Kind, Options, Changes} <- [
        {cluster, Cluster, [{name, "hits"}, {folder, 1}, {counters, -1}, {counters, many}, {interval, 0}, {interval, 1 bsl 40}, {nodes, "a@b"},
                            {nodes, [<<"a@b">>]}, {nodes, a@b}, {nodes, [a | b]}, {options, port}, {intervall, 5}]},
        {budget, Budget, [{name, 1}, {folder, ""}, {limit, 0}, {window, -1}, {nodes, []}, {nodes, ["a"]}, {lease, 0}, {block, foo}, {bloc, 5}]},
        {relay, Relay, [{from, 5}, {to, "jobs"}, {node, "a@b"}, {group, [a]}, {retry, 0}, {window, 65}, {batch, x}, {colour, red}]},
        {receiver, Receiver, [{name, "jobs"}, {queue, 1}, {sync, 1}, {colour, red}]}
    ], {Key, Value} <- Changes],
    Missing = [{Kind, maps:remove(Key, Options)} || {Kind, Options, Keys} <- [
        {cluster, Cluster, [name, folder, counters]}, {budget, Budget, [name, folder, limit, window, nodes]},
        {relay, Relay, [from, to, node]}, {receiver, Receiver, [name, queue]}], Key <- Keys],
    Others = [{Kind, Value} || Kind <- [cluster, budget, relay, receiver], Value <- [notamap, [x], 1]]
        ++ [{nodes, "a@b"}, {nodes, a}, {colour, red}, cluster],
    lists:foreach(fun(Item) ->
        {wrong, Item, Why} = try emmap_node:start_link([Item]) catch throw:Thrown -> Thrown end,
        ?assertMatch([_ | _], unicode:characters_to_list(Why))
    end, Wrong ++ Missing ++ Others),
    {wrong, _, Why} = try emmap_node:start_link([{cluster, Cluster#{interval => 0}}]) catch throw:Thrown -> Thrown end,
    ?assertEqual("not an option, or not a value that it takes: {interval,0}", unicode:characters_to_list(Why)).

%% A service that cannot start is tried again, later and later. The other one goes on.
failing_service(Config) ->
    ok = emmap_test_events:capture(),
    Folder = emmap_test:path(Config, "bad"),
    ok = file:write_file(Folder, ""),
    {ok, Supervisor} = emmap_node:start_link([cluster(Config, bad, "bad"), cluster(Config, good, "good")]),
    Good = whereis(emmap_cluster_good),
    emmap_test:until(fun() -> length(failures(bad)) >= 3 end),
    ?assertMatch([100, 200, 400 | _], [Pause || #{pause := Pause} <- failures(bad)]),
    ok = file:delete(Folder),
    emmap_test:until(fun() -> whereis(emmap_cluster_bad) =/= undefined end),
    ok = emmap_cluster:add(good, 0, 1),
    ?assertEqual({Good, []}, {whereis(emmap_cluster_good), failures(good)}),
    %% One that is killed again and again.
    [begin
        Pid = whereis(emmap_cluster_bad),
        exit(Pid, kill),
        emmap_test:until(fun() -> not lists:member(whereis(emmap_cluster_bad), [Pid, undefined]) end)
    end || _ <- [1, 2]],
    ?assertEqual(Good, whereis(emmap_cluster_good)),
    stop(Supervisor),
    ok = emmap_test_events:release().

failures(Name) -> [Report || #{event := failed, service := {emmap_cluster, Of}} = Report <- emmap_test_events:reported(), Of =:= Name].

%% The file of numbers beside a receiver's queue is damaged: batches are refused until it is removed.
damaged_beside(Config) ->
    ok = emmap_test_events:capture(),
    [From, To] = [emmap_test:path(Config, Name) || Name <- ["from.q", "to.q"]],
    ok = file:write_file(To ++ "-relayed", binary:copy(<<"damaged ">>, 8192)),
    {ok, Supervisor} = emmap_node:start_link([
        {receiver, #{name => jobs, queue => To, open_options => [backend(Config)]}},
        {relay, #{from => From, to => jobs, node => node(), retry => 10, open_options => [backend(Config)]}},
        cluster(Config, good, "good")]),
    Good = whereis(emmap_cluster_good),
    {ok, Source} = emmap_queue:open(From, 0, [backend(Config)]),
    ok = emmap_queue:push(Source, 1),
    emmap_test:until(fun() -> [1 || #{event := failed, service := {emmap_relay_receiver, jobs}} <- emmap_test_events:reported()] =/= [] end),
    ok = file:delete(To ++ "-relayed"),
    {ok, Target} = emmap_queue:open(To, 0, [backend(Config)]),
    emmap_test:until(fun() -> emmap_queue:length(Target) =:= 1 end),
    ?assertEqual(Good, whereis(emmap_cluster_good)),
    stop(Supervisor),
    [ok = emmap_queue:close(Queue) || Queue <- [Source, Target]],
    ok = emmap_test_events:release().

%% The end of the supervisor is the end of its services, in order.
stops(Config) ->
    {ok, Supervisor} = emmap_node:start_link([cluster(Config, good, "good")]),
    stop(Supervisor),
    ?assertEqual(undefined, whereis(emmap_cluster_good)),
    {ok, Terms} = file:consult(filename:join(emmap_test:path(Config, "good"), "state")),
    ?assert(proplists:get_value(clean, Terms)).

stop(Supervisor) ->
    unlink(Supervisor),
    gen_server:stop(Supervisor, shutdown, infinity).
