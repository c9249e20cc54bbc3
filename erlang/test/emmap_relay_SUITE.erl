%% Relays between nodes: emmap_relay, emmap_relay_receiver and emmap_node.
-module(emmap_relay_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([relays/1, raw_bytes/1, back_pressure/1, receiver_dies/1, receiver_node_dies/1, relay_dies/1, relay_node_dies/1, connection_is_cut/1,
         several_into_one/1, other_consumers/1, settles_with_the_lost_node/1, resends_to_another_node/1, group_of_pg/1, syncs/1,
         full_queue/1, one_relay_a_queue/1, restored_source/1, hostile_messages/1, hostile_answers/1, hidden_node/1, another_cookie/1,
         reports/1, queue_fails/1, acknowledgement_waits/1, bad_options/1,
         open_queues/1, node_script/1]).
-export([keep/3, keeper/4, kill/1, pump/3]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [relays, raw_bytes, back_pressure, receiver_dies, receiver_node_dies, relay_dies, relay_node_dies, connection_is_cut, several_into_one,
       other_consumers, settles_with_the_lost_node, resends_to_another_node, group_of_pg, syncs, full_queue, one_relay_a_queue,
       restored_source, hostile_messages, hostile_answers, hidden_node, another_cookie, reports, queue_fails, acknowledgement_waits, bad_options, open_queues, node_script]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

init_per_testcase(_Case, Config) ->
    put(?MODULE, []),
    Config.

end_per_testcase(_Case, _Config) -> ok.

%%% Nodes

-record(host, {peer, node, name, arguments = []}).

%% A node that listens at a port of its own.
host(Name) -> host(Name, []).

host(Name, Arguments) ->
    boot(#host{name = lists:concat([Name, "-", free_port()]), arguments = Arguments}).

free_port() ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    Port.

boot(#host{name = Name, arguments = Arguments} = Host) ->
    {ok, Peer, Node} = peer:start(#{
        name => Name, host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-start_epmd", "false", "-epmd_module", "emmap_test_epmd", "-setcookie", "emmap_relay", "-kernel", "logger_level", "error",
                 "-kernel", "prevent_overlapping_partitions", "false", "-pa" | code:get_path()] ++ Arguments}),
    Host#host{peer = Peer, node = Node}.

call(#host{peer = Peer}, Module, Function, Arguments) -> peer:call(Peer, Module, Function, Arguments, 60000).

%% As the kernel's kill -9.
kill_host(#host{peer = Peer} = Host) ->
    Monitor = monitor(process, Peer),
    Pid = call(Host, os, getpid, []),
    [] = os:cmd("kill -KILL " ++ Pid),
    receive {'DOWN', Monitor, process, Peer, _} -> ok after 20000 -> ct:fail(still_there) end,
    emmap_test:until(fun() -> not emmap_test:is_os_process(list_to_integer(Pid)) end).

stop(Hosts) -> [ok = peer:stop(Peer) || #host{peer = Peer} <- Hosts], ok.

%% Starts a process in a node, which lives longer than this call.
start(Host, Module, Options) -> call(Host, ?MODULE, keep, [Module, start_link, [Options]]).

keep(Module, Function, Arguments) ->
    {ok, _} = application:ensure_all_started(emmap),
    Reference = make_ref(),
    {_, Monitor} = spawn_monitor(?MODULE, keeper, [self(), Reference, {Module, Function}, Arguments]),
    receive
        {Reference, Result} -> demonitor(Monitor, [flush]), Result;
        {'DOWN', Monitor, process, _, Reason} -> {error, Reason}
    end.

keeper(Caller, Reference, {Module, Function}, Arguments) ->
    _ = process_flag(trap_exit, true),
    Result = apply(Module, Function, Arguments),
    Caller ! {Reference, Result},
    receive {'EXIT', _, _} -> ok end.

kill(Pid) ->
    Monitor = monitor(process, Pid),
    exit(Pid, kill),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end.

%% Log events of a node.
reported(Event, Host) ->
    [Report || #{event := Found} = Report <- call(Host, emmap_test_events, reported, []), Found =:= Event].

await_report(Event, Host) ->
    emmap_test:until(fun() -> reported(Event, Host) =/= [] end),
    hd(reported(Event, Host)).

capture(Hosts) -> lists:foreach(fun(Host) -> ok = call(Host, emmap_test_events, capture, []) end, Hosts).

%%% Queues

path(Config, Name) -> emmap_test:path(Config, Name).
backend(Config) -> {backend, proplists:get_value(backend, Config)}.

open(Config, Name) -> open(Config, Name, []).
open(Config, Name, Options) ->
    {ok, Queue} = emmap_queue:open(path(Config, Name), 0, [backend(Config) | Options]),
    Queue.

receiver(Config, Host, Name, More) ->
    {ok, Pid} = start(Host, emmap_relay_receiver,
                      maps:merge(#{name => jobs, queue => path(Config, Name), open_options => [backend(Config)]}, More)),
    Pid.

relay(Config, Host, Name, More) ->
    start(Host, emmap_relay, maps:merge(#{from => path(Config, Name), to => jobs, retry => 50, open_options => [backend(Config)]}, More)).

%% Pops until so many messages have come.
get(_Queue, 0) -> [];
get(Queue, Count) ->
    case emmap_queue:receive_message(Queue, 30000) of
        {ok, Message} -> [Message | get(Queue, Count - 1)];
        Other -> ct:fail({Other, missing, Count})
    end.

nothing_more(Queue, From) ->
    emmap_test:until(fun() -> emmap_queue:is_empty(From) andalso emmap_queue:in_hand(From) =:= {ok, []} end),
    ?assertEqual(nil, emmap_queue:pop(Queue)).

%%% What it promises

relays(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    ok = emmap_queue:push_many(From, lists:seq(1, 100)),
    _ = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node}),
    ?assertEqual(lists:seq(1, 100), get(To, 100)),
    [begin ok = emmap_queue:push(From, N), ?assertEqual([N], get(To, 1)) end || N <- lists:seq(101, 120)],
    ok = emmap_queue:push_many(From, lists:seq(1, 5000)),
    ?assertEqual(lists:seq(1, 5000), get(To, 5000)),
    nothing_more(To, From),
    Node = B#host.node,
    #{relayed := 5120, taken := 0, sends_to := Node, nodes := #{Node := #{status := up, sent := 0}}} =
        call(A, emmap_relay, info, [Relay]),
    stop(Hosts).

raw_bytes(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    {_, _} = {receiver(Config, B, "to.q", #{}), relay(Config, A, "from.q", #{node => B#host.node, bytes => 1000})},
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    Terms = [{N, binary:copy(<<N>>, N * 37 rem 3000)} || N <- lists:seq(1, 200)],
    ok = emmap_queue:push_many(From, Terms),
    ?assertEqual(Terms, get(To, 200)),
    stop(Hosts).

back_pressure(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    Receiver = receiver(Config, B, "to.q", #{}),
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    ok = call(B, sys, suspend, [Receiver]),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, batch => 10, window => 3}),
    ok = emmap_queue:push_many(From, lists:seq(1, 1000)),
    timer:sleep(100),
    ?assertEqual(1000, emmap_queue:length(From)),
    ok = call(B, sys, resume, [Receiver]),
    emmap_test:until(fun() -> emmap_queue:length(To) >= 100 end),
    ok = call(B, sys, suspend, [Receiver]),
    ok = emmap_queue:push_many(From, lists:seq(1001, 2000)),
    Info = fun() -> call(A, emmap_relay, info, [Relay]) end,
    %% A batch is short if somebody had the lock while the relay took its messages.
    Sent = fun() -> [Batches || #{sent := Batches} <- maps:values(maps:get(nodes, Info()))] end,
    emmap_test:until(fun() -> Sent() =:= [3] end),
    timer:sleep(50),
    ?assertEqual([3], Sent()),
    ?assert(maps:get(taken, Info()) =< 30),
    ?assert(emmap_queue:length(From) >= 970),
    ok = call(B, sys, resume, [Receiver]),
    ?assertEqual(lists:seq(1, 2000), get(To, 2000)),
    nothing_more(To, From),
    stop(Hosts).

%% Messages go on while `Harm' happens again and again.
under_load(Config, Count, Harm) ->
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    Pump = spawn_link(?MODULE, pump, [From, 1, Count]),
    Drain = self(),
    Drainer = spawn_link(fun() -> Drain ! {self(), get(To, Count)} end),
    Done = harm(Harm, Drainer, 0),
    ?assertEqual(lists:seq(1, Count), receive {got, Messages} -> Messages end),
    nothing_more(To, From),
    unlink(Pump),
    ?assert(Done > 2),
    ct:log("~b times", [Done]).

pump(_From, Next, Last) when Next > Last -> ok;
pump(From, Next, Last) ->
    ok = emmap_queue:push_many(From, lists:seq(Next, min(Next + 19, Last))),
    timer:sleep(2),
    pump(From, Next + 20, Last).

harm(Harm, Drainer, Done) ->
    receive
        {Drainer, Messages} ->
            self() ! {got, Messages},
            Done
    after 0 ->
        ok = Harm(Done),
        harm(Harm, Drainer, Done + 1)
    end.

receiver_dies(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    put(receiver, receiver(Config, B, "to.q", #{})),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node, batch => 7, window => 3}),
    under_load(Config, 6000, fun(_) ->
        timer:sleep(20 + rand:uniform(60)),
        ok = call(B, ?MODULE, kill, [get(receiver)]),
        put(receiver, receiver(Config, B, "to.q", #{})),
        ok
    end),
    stop(Hosts).

receiver_node_dies(Config) ->
    A = host(a),
    put(b, host(b)),
    _ = receiver(Config, get(b), "to.q", #{}),
    {ok, _} = relay(Config, A, "from.q", #{node => (get(b))#host.node, batch => 7, window => 3}),
    under_load(Config, 10000, fun(_) ->
        timer:sleep(50 + rand:uniform(100)),
        kill_host(get(b)),
        put(b, boot(get(b))),
        _ = receiver(Config, get(b), "to.q", #{}),
        ok
    end),
    stop([A, get(b)]).

relay_dies(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{}),
    Start = fun() -> {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, batch => 7, window => 3}), put(relay, Relay) end,
    Start(),
    under_load(Config, 6000, fun(_) ->
        timer:sleep(20 + rand:uniform(60)),
        ok = call(A, ?MODULE, kill, [get(relay)]),
        Start(),
        ok
    end),
    stop(Hosts).

relay_node_dies(Config) ->
    B = host(b),
    put(a, host(a)),
    _ = receiver(Config, B, "to.q", #{}),
    Start = fun() -> {ok, _} = relay(Config, get(a), "from.q", #{node => B#host.node, batch => 7, window => 3}) end,
    Start(),
    under_load(Config, 10000, fun(_) ->
        timer:sleep(50 + rand:uniform(100)),
        kill_host(get(a)),
        put(a, boot(get(a))),
        Start(),
        ok
    end),
    stop([get(a), B]).

connection_is_cut(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{}),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node, batch => 7, window => 3, retry => 5}),
    under_load(Config, 6000, fun(N) ->
        timer:sleep(rand:uniform(40)),
        {One, Other} = case N rem 2 of 0 -> {A, B}; 1 -> {B, A} end,
        _ = call(One, erlang, disconnect_node, [Other#host.node]),
        ok
    end),
    stop(Hosts).

several_into_one(Config) ->
    Receiver = host(b),
    Senders = [host(list_to_atom("a" ++ integer_to_list(N))) || N <- [1, 2, 3]],
    _ = receiver(Config, Receiver, "to.q", #{}),
    To = open(Config, "to.q"),
    Names = ["from1.q", "from2.q", "from3.q"],
    [{ok, _} = relay(Config, Host, Name, #{node => Receiver#host.node, batch => 50}) || {Host, Name} <- lists:zip(Senders, Names)],
    [begin
        ok = emmap_queue:push_many(open(Config, Name), [{Name, N} || N <- lists:seq(1, 500)])
     end || Name <- Names],
    All = get(To, 1500),
    [?assertEqual(lists:seq(1, 500), [N || {From, N} <- All, From =:= Name]) || Name <- Names],
    ?assertEqual(nil, emmap_queue:pop(To)),
    stop([Receiver | Senders]).

%% Messages that others had in hand, and released, are neither lost nor doubled, whoever dies.
other_consumers(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{}),
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    ok = emmap_queue:push_many(From, lists:seq(1, 1000)),
    Taken = [begin {ok, Delivery, _} = emmap_queue:take(From, 0), Delivery end || _ <- lists:seq(1, 300)],
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, batch => 7}),
    [ok = emmap_queue:release(Delivery) || Delivery <- Taken],
    timer:sleep(20),
    ok = call(A, ?MODULE, kill, [Relay]),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node, batch => 7}),
    ?assertEqual(lists:seq(1, 1000), lists:sort(get(To, 1000))),
    nothing_more(To, From),
    stop(Hosts).

%%% Groups

%% What the lost node has answered or not: it says so when it is back.
settles_with_the_lost_node(Config) ->
    [A, B, C] = [host(a), host(b), host(c)],
    Lost = receiver(Config, B, "b.q", #{}),
    _ = receiver(Config, C, "c.q", #{}),
    From = open(Config, "from.q"),
    {ok, Relay} = relay(Config, A, "from.q", #{group => [B#host.node, C#host.node], batch => 10, window => 2}),
    ok = emmap_queue:push_many(From, lists:seq(1, 100)),
    [First, Second] = [open(Config, "b.q"), open(Config, "c.q")],
    ?assertEqual(lists:seq(1, 100), get(First, 100)),
    %% It gets batches, and can't answer them.
    ok = call(B, sys, suspend, [Lost]),
    ok = emmap_queue:push_many(From, lists:seq(101, 200)),
    emmap_test:until(fun() -> maps:get(taken, call(A, emmap_relay, info, [Relay])) =:= 20 end),
    kill_host(B),
    ?assertEqual(lists:seq(121, 200), get(Second, 80)),
    ok = emmap_queue:push_many(From, lists:seq(201, 300)),
    ?assertEqual(lists:seq(201, 300), get(Second, 100)),
    emmap_test:until(fun() -> maps:get(taken, call(A, emmap_relay, info, [Relay])) =:= 20 end),
    Back = boot(B),
    _ = receiver(Config, Back, "b.q", #{}),
    ?assertEqual(lists:seq(101, 120), get(Second, 20)),
    nothing_more(First, From),
    nothing_more(Second, From),
    stop([A, Back, C]).

resends_to_another_node(Config) ->
    [A, B, C] = [host(a), host(b), host(c)],
    capture([A]),
    Lost = receiver(Config, B, "b.q", #{}),
    _ = receiver(Config, C, "c.q", #{}),
    From = open(Config, "from.q"),
    {ok, Relay} = relay(Config, A, "from.q", #{group => [B#host.node, C#host.node], batch => 10, window => 2, failover => resend}),
    ok = emmap_queue:push_many(From, lists:seq(1, 100)),
    [First, Second] = [open(Config, "b.q"), open(Config, "c.q")],
    ?assertEqual(lists:seq(1, 100), get(First, 100)),
    ok = call(B, sys, suspend, [Lost]),
    ok = emmap_queue:push_many(From, lists:seq(101, 200)),
    emmap_test:until(fun() -> maps:get(taken, call(A, emmap_relay, info, [Relay])) =:= 20 end),
    kill_host(B),
    ?assertEqual(lists:seq(101, 200), lists:sort(get(Second, 100))),
    nothing_more(Second, From),
    Node = B#host.node,
    ?assertMatch([#{node := Node, to := jobs, unanswered := 20}], reported(disconnected, A)),
    ?assertMatch([#{node := Node, to := jobs, count := 20}], reported(failed_over, A)),
    stop([A, C]).

group_of_pg(Config) ->
    [A, B, C] = [host(a), host(b), host(c)],
    {ok, _} = relay(Config, A, "from.q", #{group => pg}),
    From = open(Config, "from.q"),
    ok = emmap_queue:push_many(From, lists:seq(1, 10)),
    true = call(A, net_kernel, connect_node, [C#host.node]),
    _ = receiver(Config, C, "c.q", #{}),
    ?assertEqual(lists:seq(1, 10), get(open(Config, "c.q"), 10)),
    true = call(A, net_kernel, connect_node, [B#host.node]),
    _ = receiver(Config, B, "b.q", #{}),
    kill_host(C),
    ok = emmap_queue:push_many(From, lists:seq(11, 20)),
    ?assertEqual(lists:seq(11, 20), get(open(Config, "b.q"), 10)),
    stop([A, B]).

%%% Disks

%% A queue that was synced has an odd next tail, and a numbered push to it waits for the disk.
syncs(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{sync => true}),
    {ok, <<_:12/binary, NextTail:32, _/binary>>} = file:read_file(path(Config, "to.q")),
    ?assertEqual(1, NextTail rem 2),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node}),
    ok = emmap_queue:push_many(open(Config, "from.q"), lists:seq(1, 50)),
    ?assertEqual(lists:seq(1, 50), get(open(Config, "to.q"), 50)),
    stop(Hosts).

full_queue(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    capture(Hosts),
    {ok, Small} = emmap_queue:open(path(Config, "to.q"), 4096, [backend(Config), fixed_size]),
    _ = receiver(Config, B, "to.q", #{open_options => [backend(Config), fixed_size]}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, batch => 20, window => 3}),
    From = open(Config, "from.q"),
    Terms = [{N, <<0:800>>} || N <- lists:seq(1, 200)],
    ok = emmap_queue:push_many(From, Terms),
    emmap_test:until(fun() -> emmap_queue:length(Small) =:= 20 end),
    timer:sleep(200),
    ?assertEqual(20, emmap_queue:length(Small)),
    ?assert(maps:get(taken, call(A, emmap_relay, info, [Relay])) =< 60),
    ?assertEqual(Terms, get(Small, 200)),
    nothing_more(Small, From),
    {Sender, Target} = {A#host.node, B#host.node},
    ?assertMatch(#{node := Target, reason := full}, hd(reported(refused, A))),
    ?assertMatch(#{node := Sender, name := jobs, reason := full}, hd(reported(refused, B))),
    stop(Hosts).

one_relay_a_queue(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    Options = #{node => B#host.node},
    {ok, Relay} = relay(Config, A, "from.q", Options),
    ?assertMatch({error, {emmap, _, ebusy}}, relay(Config, A, "from.q", Options)),
    ?assertMatch({error, {emmap, _, ebusy}}, relay(Config, B, "from.q", Options)),
    ok = call(A, gen_server, stop, [Relay]),
    {ok, Other} = relay(Config, A, "from.q", Options),
    ok = call(A, gen_server, stop, [Other]),
    ok = file:write_file(path(Config, "from.q-relay"), <<"a letter">>),
    ?assertMatch({error, {emmap, _, {corrupt, _, _}}}, relay(Config, A, "from.q", Options)),
    stop(Hosts).

%% A copy of an older source sends again what it had, and loses nothing that is new.
restored_source(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{}),
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, batch => 3}),
    ok = emmap_queue:push_many(From, lists:seq(1, 9)),
    ?assertEqual(lists:seq(1, 9), get(To, 9)),
    nothing_more(To, From),
    ok = call(A, gen_server, stop, [Relay]),
    ok = emmap_queue:close(From),
    Files = ["from.q", "from.q-taken", "from.q-relay"],
    [{ok, _} = file:copy(path(Config, Name), path(Config, "old-" ++ Name)) || Name <- Files],
    Between = open(Config, "from.q"),
    {ok, Second} = relay(Config, A, "from.q", #{node => B#host.node, batch => 3}),
    ok = emmap_queue:push_many(Between, lists:seq(10, 30)),
    ?assertEqual(lists:seq(10, 30), get(To, 21)),
    nothing_more(To, Between),
    ok = call(A, gen_server, stop, [Second]),
    ok = emmap_queue:close(Between),
    [ok = file:rename(path(Config, "old-" ++ Name), path(Config, Name)) || Name <- Files],
    Restored = open(Config, "from.q"),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node, batch => 3}),
    ok = emmap_queue:push_many(Restored, lists:seq(31, 40)),
    ?assertEqual(lists:seq(31, 40), get(To, 10)),
    nothing_more(To, Restored),
    stop(Hosts).

%%% Enemies

hostile_messages(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    Receiver = receiver(Config, B, "to.q", #{}),
    Session = make_ref(),
    Origin = <<7:128>>,
    Values = [x, -1, 0, 1, 1 bsl 70, <<>>, <<1>>, Origin, [Origin], [<<>>], [a], [<<1>> | b], self(), Session, #{}, {}],
    Any = fun() -> lists:nth(rand:uniform(length(Values)), Values) end,
    Say = fun(Message) -> call(A, erlang, send, [{jobs, B#host.node}, Message]) end,
    [Say({emmap_relay, lists:nth(rand:uniform(2), [1, Any()]), lists:nth(rand:uniform(3), [hello, batch, pushed]), Any(), Any(), Any(), Any(), Any()})
     || _ <- lists:seq(1, 300)],
    [Say({emmap_relay, 1, hello, Any(), Any(), Any()}) || _ <- lists:seq(1, 300)],
    Say({emmap_relay}),
    Say({emmap_relay, 1}),
    %% Also in a session.
    Say({emmap_relay, 1, hello, Session, self(), [Origin]}),
    [Say({emmap_relay, 1, batch, Session, Origin, 0, 1, Bad}) || Bad <- [[<<>>], [a], [<<1>> | b], x]],
    [Say({emmap_relay, 1, batch, Session, Origin, 0, Bad, [<<1>>]}) || Bad <- [0, -1, x, 1 bsl 64]],
    Say({emmap_relay, 1, batch, Session, Origin, 1, 2, [<<1>>]}),
    %% It has answered all of them.
    _ = call(B, sys, get_state, [Receiver]),
    To = open(Config, "to.q"),
    ?assertEqual(nil, emmap_queue:pop(To)),
    {ok, _} = relay(Config, A, "from.q", #{node => B#host.node}),
    ok = emmap_queue:push(open(Config, "from.q"), good),
    ?assertEqual([good], get(To, 1)),
    stop(Hosts).

hostile_answers(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    _ = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node}),
    Values = [x, -1, 0, 1 bsl 70, make_ref(), [x], [{a, b}], {}],
    [Relay ! {emmap_relay, Version, Kind, Session, Value}
     || Version <- [1, 2], Kind <- [welcome, pushed, refused], Session <- Values, Value <- Values],
    Relay ! {emmap_relay, 1, pushed},
    ok = emmap_queue:push_many(open(Config, "from.q"), [1, 2]),
    ?assertEqual([1, 2], get(open(Config, "to.q"), 2)),
    stop(Hosts).

hidden_node(Config) ->
    [A, B] = Hosts = [host(a, ["-hidden"]), host(b)],
    capture(Hosts),
    _ = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node}),
    From = open(Config, "from.q"),
    ok = emmap_queue:push(From, secret),
    timer:sleep(300),
    [?assertMatch(#{reason := hidden_node}, await_report(refused, Host)) || Host <- Hosts],
    ?assertMatch(#{taken := 0, sends_to := none}, call(A, emmap_relay, info, [Relay])),
    ?assertEqual(nil, emmap_queue:pop(open(Config, "to.q"))),
    ?assertEqual(1, emmap_queue:length(From)),
    stop(Hosts).

another_cookie(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    capture(Hosts),
    true = call(A, erlang, set_cookie, [another]),
    _ = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node}),
    From = open(Config, "from.q"),
    ok = emmap_queue:push(From, secret),
    pang = call(A, net_adm, ping, [B#host.node]),
    ?assertMatch(#{taken := 0, sends_to := none}, call(A, emmap_relay, info, [Relay])),
    ?assertEqual({1, []}, {emmap_queue:length(From), reported(connected, A)}),
    true = call(A, erlang, set_cookie, [emmap_relay]),
    ?assertEqual([secret], get(open(Config, "to.q"), 1)),
    stop(Hosts).

%%% Reports

%% Those that have no case of their own.
reports(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    capture(Hosts),
    Receiver = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node}),
    {Sender, Target, From} = {A#host.node, B#host.node, list_to_binary(path(Config, "from.q"))},
    ?assertMatch(#{from := From, to := jobs, node := Target, pushed := 0, again := 0}, await_report(connected, A)),
    call(A, erlang, send, [{jobs, Target}, {emmap_relay, 2, hello, make_ref(), Relay, []}]),
    ?assertMatch(#{name := jobs, node := Sender, reason := {version, 1}}, await_report(refused, B)),
    call(A, erlang, send, [{jobs, Target}, {emmap_relay}]),
    ?assertMatch(#{name := jobs, reason := bad_message}, await_report(dropped, B)),
    ok = call(B, ?MODULE, kill, [Receiver]),
    ?assertMatch(#{node := Target, reason := killed, unanswered := 0}, await_report(disconnected, A)),
    stop(Hosts).

%% A stopped process has the queue's lock. The relay looks now and then, says so, and goes on when it gets the lock.
queue_fails(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    capture([A]),
    _ = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, open_options => [backend(Config), {lock_timeout, 300}]}),
    _ = await_report(connected, A),
    ok = call(A, sys, suspend, [Relay]),
    From = open(Config, "from.q"),
    ok = emmap_queue:push_many(From, lists:seq(1, 100000)),
    emmap_test_program:with_stopped_owner(path(Config, "from.q"), fun(_, _, _) ->
        Reductions = fun() -> element(1, call(A, erlang, statistics, [exact_reductions])) end,
        Before = Reductions(),
        ok = call(A, sys, resume, [Relay]),
        ?assertMatch(#{reason := timeout}, await_report(queue_failed, A)),
        %% A relay that does not pause needs millions.
        ?assert(Reductions() - Before < 500000)
    end),
    To = open(Config, "to.q"),
    emmap_test:until(fun() -> emmap_queue:length(To) =:= 100000 end),
    stop(Hosts).

%% The target has the messages while a stopped process has the lock of the source: the relay waits, and lives.
acknowledgement_waits(Config) ->
    [A, B] = Hosts = [host(a), host(b)],
    capture([A]),
    Receiver = receiver(Config, B, "to.q", #{}),
    {ok, Relay} = relay(Config, A, "from.q", #{node => B#host.node, open_options => [backend(Config), {lock_timeout, 100}]}),
    _ = await_report(connected, A),
    ok = call(B, sys, suspend, [Receiver]),
    From = open(Config, "from.q"),
    ok = emmap_queue:push_many(From, lists:seq(1, 100000)),
    emmap_test:until(fun() -> maps:get(taken, call(A, emmap_relay, info, [Relay])) =:= 2000 end),
    emmap_test_program:with_stopped_owner(path(Config, "from.q"), fun(_, _, _) ->
        ok = call(B, sys, resume, [Receiver]),
        ?assertMatch(#{reason := timeout}, await_report(queue_failed, A)),
        ?assertMatch(#{taken := 2000, relayed := 0}, call(A, emmap_relay, info, [Relay]))
    end),
    To = open(Config, "to.q"),
    emmap_test:until(fun() -> maps:get(relayed, call(A, emmap_relay, info, [Relay])) =:= 100000 end),
    ?assertEqual({0, 100000}, {emmap_queue:length(From), emmap_queue:length(To)}),
    stop(Hosts).

%%% Options

bad_options(Config) ->
    Good = #{from => path(Config, "from.q"), to => jobs, node => node()},
    [?assertError(badarg, emmap_relay:start_link(Options))
     || Options <- [#{}, maps:remove(node, Good), Good#{group => pg}, Good#{window => 0}, Good#{window => 65}, Good#{batch => -1}, Good#{to => "jobs"},
                    (maps:remove(node, Good))#{group => []}, Good#{failover => never}, Good#{colour => red}, Good#{name => "x"}]],
    [?assertError(badarg, emmap_relay_receiver:start_link(Options))
     || Options <- [#{}, #{name => jobs}, #{name => "jobs", queue => "q"}, #{name => jobs, queue => "q", sync => maybe_so},
                    #{name => jobs, queue => "q", colour => red}]],
    #{id := {emmap_relay, jobs, _}, shutdown := 5000} = emmap_relay:child_spec(maps:to_list(Good)),
    #{id := {emmap_relay_receiver, jobs}} = emmap_relay_receiver:child_spec([{name, jobs}, {queue, "q"}]),
    _ = process_flag(trap_exit, true),
    ?assertMatch({error, {emmap, "/nowhere/q", enoent}}, emmap_relay:start_link(Good#{from => "/nowhere/q", open_options => [backend(Config)]})),
    ?assertMatch({error, {emmap, "/nowhere/q", enoent}}, emmap_relay_receiver:start_link(#{name => jobs, queue => "/nowhere/q", open_options => [backend(Config)]})).

%% In one node, without distribution.
open_queues(Config) ->
    From = open(Config, "from.q"),
    To = open(Config, "to.q"),
    {ok, Receiver} = emmap_relay_receiver:start_link(#{name => emmap_relay_SUITE_jobs, queue => To}),
    {ok, Relay} = emmap_relay:start_link([{from, From}, {to, emmap_relay_SUITE_jobs}, {node, node()}, {name, emmap_relay_SUITE_relay},
                                          {open_options, [backend(Config)]}]),
    ok = emmap_queue:push_many(From, lists:seq(1, 10)),
    ?assertEqual(lists:seq(1, 10), get(To, 10)),
    #{relayed := _} = emmap_relay:info(emmap_relay_SUITE_relay),
    ok = gen_server:stop(Relay),
    ok = gen_server:stop(Receiver),
    ok = emmap_queue:push(From, still_open),
    still_open = emmap_queue:pop(From).

%%% The script

node_script(Config) ->
    B = host(b),
    _ = receiver(Config, B, "to.q", #{}),
    File = path(Config, "node.config"),
    ok = file:write_file(File, io_lib:format("~p.~n~p.~n~p.~n", [
        {nodes, [B#host.node]},
        {cluster, #{name => hits, folder => path(Config, "hits"), counters => 1, options => [backend(Config)]}},
        {relay, #{from => path(Config, "from.q"), to => jobs, node => B#host.node, open_options => [backend(Config)]}}])),
    Name = lists:concat(["script-", free_port(), "@127.0.0.1"]),
    Script = filename:join([code:lib_dir(emmap), "..", "..", "..", "..", "bin", "emmap_node"]),
    Start = fun(Path) ->
        open_port({spawn_executable, Script}, [
            {args, [Name, Path, "-kernel", "net_ticktime", "4", "net_setuptime", "1", "-start_epmd", "false", "-epmd_module", "emmap_test_epmd",
                    "-setcookie", "emmap_relay", "-pa" | code:get_path()]},
            exit_status, stderr_to_stdout, binary])
    end,
    Port = Start(File),
    From = open(Config, "from.q"),
    ok = emmap_queue:push_many(From, [1, 2, 3]),
    ?assertEqual([1, 2, 3], get(open(Config, "to.q"), 3)),
    %% It has the arguments of erl.
    Ask = fun(Module, Function, Arguments) -> call(B, erpc, call, [list_to_atom(Name), Module, Function, Arguments]) end,
    ?assertEqual({4, {ok, 1}}, {Ask(net_kernel, get_net_ticktime, []), Ask(application, get_env, [kernel, net_setuptime])}),
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    [] = os:cmd("kill -TERM " ++ integer_to_list(Pid)),
    receive {Port, {exit_status, 0}} -> ok after 20000 -> ct:fail(still_there) end,
    %% In order: its services have ended as their supervisor said.
    {ok, Terms} = file:consult(path(Config, "hits/state")),
    ?assert(proplists:get_value(clean, Terms)),
    ok = file:write_file(File, "{relay, notamap}."),
    Bad = Start(File),
    Text = iolist_to_binary(["emmap_node: ", File, ": not a map of options: notamap, in {relay,notamap}\n"]),
    receive {Bad, {data, Said}} -> ?assertEqual(Text, Said) after 20000 -> ct:fail(silent) end,
    receive {Bad, {exit_status, 1}} -> ok after 20000 -> ct:fail(still_there) end,
    stop([B]).

