%% A cluster in which one node has this emmap and the other emmap 2.x, played by `emmap_2_queue': each uses the queue
%% server of the other.
-module(emmap_two_versions_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([old_client_of_a_new_server/1, new_client_of_an_old_server/1, nothing_for_the_dead/1, handles_of_another_node/1]).
-export([double/1, fail/1, wait_for_go/1, busy/0, killed_while_it_waits/1, owner/2]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([old_client_of_a_new_server, new_client_of_an_old_server, nothing_for_the_dead, handles_of_another_node]).

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
        args => ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(Number), "-setcookie", "emmap_two_versions",
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

%% Every function says which node has the file, and closes or opens nothing here. Over rpc all of them work.
handles_of_another_node(Config) ->
    {New, Old, Node} = {proplists:get_value(new, Config), proplists:get_value(old, Config), proplists:get_value(new_node, Config)},
    {ok, _Owner, File, Counters, Queue} = peer:call(New, ?MODULE, owner, [filename:dirname(emmap_test:path(Config, "x")), proplists:get_value(backend, Config)]),
    Other = {error, {other_node, Node}},
    [?assertEqual({Module, Function, Other}, {Module, Function, peer:call(Old, Module, Function, Arguments)})
     || {Module, Function, Arguments} <-
            [{emmap, size, [File]}, {emmap, pread, [File, 0, 1]}, {file, pread, [File, 0, 1]}, {emmap, pwrite, [File, 0, <<"x">>]},
             {emmap, write, [File, <<"x">>]}, {emmap, position, [File, 0]}, {emmap, advise, [File, 0, 1, normal]},
             {emmap, resize, [File]}, {emmap, sync, [File]}, {emmap, patomic_add, [File, 0, 1]}, {emmap, patomic_cas, [File, 0, 1, 2]},
             {emmap, patomic_read_integer, [File, 0]}, {emmap, patomic_write_integer, [File, 0, 1]},
             {emmap, wait, [File, 0, 0, 0]}, {emmap, notify, [File, 0, 1]}, {emmap, reopen, [File]}, {emmap, reopen, [Counters]},
             {emmap, inc_counter, [Counters, 0]}, {emmap, wait_counter, [Counters, 0, 0, 0]}, {emmap, notify_counter, [Counters, 0, 1]},
             {emmap_queue, push, [Queue, 1]}, {emmap_queue, pop, [Queue]}, {emmap_queue, receive_message, [Queue, 0]},
             {emmap_queue, wait, [Queue, 0]}, {emmap_queue, length, [Queue]}, {emmap_queue, set_active, [Queue, once]},
             {emmap_queue, take, [Queue, 0]}, {emmap_queue, try_pop, [Queue, fun ?MODULE:double/1]}, {emmap_queue, in_hand, [Queue]},
             {emmap_queue, close, [Queue]}, {emmap, writers, [File]}, {emmap_cell, version, [File]}, {emmap_cell, changed, [File, 0, 0]}, {emmap, close_counters, [Counters]},
             {emmap, batch, [File, [{size}, {size}]]}, {emmap, pread, [File, [{0, 1}]]}, {emmap, close, [File]}]],
    ?assertEqual({ok, 1}, peer:call(Old, rpc, call, [Node, emmap, inc_counter, [Counters, 0]])),
    ?assertEqual(nil, peer:call(Old, rpc, call, [Node, emmap_queue, pop, [Queue]])),
    ?assertError(badarg, emmap_nif:size(make_ref())).

%% Opens files, and lives on as their owner.
owner(Folder, Backend) ->
    Caller = self(),
    Options = [{backend, Backend}],
    Owner = spawn(fun() ->
        {ok, File} = emmap:open(filename:join(Folder, "file"), [create, write, shared, {size, 4096} | Options]),
        Counters = emmap:open_counters(filename:join(Folder, "counters"), 1, Options),
        {ok, 0} = emmap:inc_counter(Counters, 0),
        {ok, Queue} = emmap_queue:open(filename:join(Folder, "queue"), 0, Options),
        Caller ! {ok, self(), File, Counters, Queue},
        receive stop -> ok end
    end),
    receive {ok, Owner, _, _, _} = Opened -> Opened end.

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
