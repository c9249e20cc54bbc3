%% A cluster in which one node has this emmap and the other emmap 2.x, played by `emmap_2_queue': each uses the queue
%% server of the other.
-module(emmap_cluster_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([old_client_of_a_new_server/1, new_client_of_an_old_server/1, nothing_for_the_dead/1]).
-export([double/1, fail/1, wait_for_go/1, busy/0, killed_while_it_waits/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([old_client_of_a_new_server, new_client_of_an_old_server, nothing_for_the_dead]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%% Two nodes without a port mapper, which would outlive the test: `new' listens, `old' connects.
init_per_testcase(_Case, Config) ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Number} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    {New, NewNode} = start(new, Number, []),
    {Old, OldNode} = start(old, Number, ["-dist_listen", "false"]),
    ?assertEqual(pong, peer:call(Old, net_adm, ping, [NewNode])),
    [{new, New}, {new_node, NewNode}, {old, Old}, {old_node, OldNode} | Config].

start(Name, Number, Arguments) ->
    {ok, Peer, Node} = peer:start_link(#{
        name => peer:random_name(Name), host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(Number), "-setcookie", "emmap_cluster",
                 "-pa" | code:get_path()] ++ Arguments}),
    {Peer, Node}.

end_per_testcase(_Case, Config) ->
    [ok = peer:stop(proplists:get_value(Name, Config)) || Name <- [old, new]],
    ok.

double(N) -> 2 * N.
fail(_) -> throw(oops).

old_client_of_a_new_server(Config) ->
    {New, Old} = {proplists:get_value(new, Config), proplists:get_value(old, Config)},
    Path = emmap_test:path(Config, "queue"),
    Backend = {backend, proplists:get_value(backend, Config)},
    %% Started by a process that lives on, as the server is linked to it.
    {ok, _} = peer:call(New, gen_server, start, [{local, queue}, emmap_queue, [Path, 1024, [Backend]], []]),
    exchange(Old, emmap_2_queue, {queue, proplists:get_value(new_node, Config)}).

new_client_of_an_old_server(Config) ->
    {New, Old} = {proplists:get_value(new, Config), proplists:get_value(old, Config)},
    {ok, _} = peer:call(Old, gen_server, start, [{local, queue}, emmap_2_queue, [], []]),
    exchange(New, emmap_queue, {queue, proplists:get_value(old_node, Config)}).

%% A caller of another node that died while it waited takes no message with it.
nothing_for_the_dead(Config) ->
    {New, Old} = {proplists:get_value(new, Config), proplists:get_value(old, Config)},
    Backend = {backend, proplists:get_value(backend, Config)},
    {ok, _} = peer:call(New, gen_server, start, [{local, queue}, emmap_queue, [emmap_test:path(Config, "dead"), 1024, [Backend]], []]),
    Server = {queue, proplists:get_value(new_node, Config)},
    [ok = peer:call(Old, emmap_2_queue, enqueue, [Server, N]) || N <- [1, 2]],
    ok = peer:cast(Old, emmap_2_queue, try_dequeue, [Server, fun ?MODULE:wait_for_go/1]),
    emmap_test:until(fun() -> peer:call(New, ?MODULE, busy, []) end),
    ok = peer:call(Old, ?MODULE, killed_while_it_waits, [Server]),
    ?assertEqual(2, peer:call(Old, emmap_2_queue, dequeue, [Server])).

wait_for_go(N) -> receive go -> N end.

busy() -> process_info(whereis(queue), current_function) =:= {current_function, {?MODULE, wait_for_go, 1}}.

killed_while_it_waits(Server) ->
    {Caller, Monitor} = spawn_monitor(fun() -> emmap_2_queue:dequeue(Server) end),
    emmap_test:until(fun() -> process_info(Caller, status) =:= {status, waiting} end),
    exit(Caller, kill),
    receive {'DOWN', Monitor, process, Caller, killed} -> ok end,
    Server ! go,
    ok.

exchange(Peer, Client, Server) ->
    Call = fun(Function, Arguments) -> peer:call(Peer, Client, Function, [Server | Arguments]) end,
    ?assertEqual([nil, nil], [Call(Function, []) || Function <- [dequeue, inspect]]),
    ?assertEqual(nil, Call(try_dequeue, [fun ?MODULE:double/1])),
    ?assertEqual([ok, ok, ok], [Call(enqueue, [N]) || N <- [1, 2, 3]]),
    ?assertEqual(1, Call(inspect, [])),
    ?assertMatch(#{head := 16, size := 1024}, Call(info, [])),
    ?assertError(oops, Call(try_dequeue, [fun ?MODULE:fail/1])),
    ?assertEqual(2, Call(try_dequeue, [fun ?MODULE:double/1])),
    ?assertEqual([2, 3, nil], [Call(dequeue, []) || _ <- [2, 3, nil]]).
