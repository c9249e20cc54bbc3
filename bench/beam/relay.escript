#!/usr/bin/env escript
%% A relay between two nodes of this machine, beside the distribution alone: the floor sends the same batches, and waits for an
%% answer to each, with the same window.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/relay.escript [--quick]
%%
%% The messages are in the queue before the time begins. It ends when the last one is in the other queue.
-mode(compile).

-define(SECTION, "Many machines").
-define(BATCH, 500).
-define(WINDOW, 4).
-define(PORT, 14370).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Count = case rounds:quick() of true -> 20_000; false -> 500_000 end,
    {Target, TargetNode} = start("127.0.0.1", "{127,0,0,1}"),
    {Source, _} = start("127.0.0.2", "{127,0,0,2}"),
    [{module, rounds_relay} = peer:call(Node, code, load_binary, [rounds_relay, "relay", helper()]) || Node <- [Source, Target]],
    Message = term_to_binary({tick, 123456}),
    Floors = [peer:call(Source, rounds_relay, floor, [TargetNode, Message, Count, ?BATCH, ?WINDOW], 600_000) || _ <- lists:seq(1, 5)],
    Relays = [
        begin
            From = filename:join(Folder, io_lib:format("from~b.q", [N])),
            To = filename:join(Folder, io_lib:format("to~b.q", [N])),
            peer:call(Target, rounds_relay, receiver, [To]),
            peer:call(Source, rounds_relay, relay, [From, To, TargetNode, Message, Count, ?BATCH, ?WINDOW], 600_000)
        end
     || N <- lists:seq(1, 5)
    ],
    [ok = peer:stop(Peer) || Peer <- [Source, Target]],
    ok = file:del_dir_r(Folder),
    [Floor, Relay] = [lists:nth(3, lists:sort(Times)) || Times <- [Floors, Relays]],
    Rate = round(Count / (Relay / 1.0e9)),
    rounds:note(?SECTION, io_lib:format("relay, small messages, one link: ~ts a second (at least 200,000); the same batches by distribution alone: ~ts",
                                        [rounds:thousands(Rate), rounds:thousands(round(Count / (Floor / 1.0e9)))])),
    rounds:ratio(?SECTION, "relay, a small message", Relay / Floor, "its batches by distribution alone").

%% Nodes without a port mapper listen at the same port, and so at different addresses.
start(Host, Interface) ->
    {ok, Peer, Node} = peer:start_link(#{
        name => "bench", host => Host, longnames => true, connection => standard_io,
        args => ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(?PORT), "-setcookie", "bench",
                 "-kernel", "logger_level", "error", "-kernel", "inet_dist_use_interface", Interface, "-pa" | code:get_path()]}),
    {Peer, Node}.

%% What runs in the nodes.
helper() ->
    Source = "
    -module(rounds_relay).
    -export([floor/5, relay/7, receiver/1, echo/0]).

    floor(Node, Message, Count, Batch, Window) ->
        Echo = erpc:call(Node, erlang, spawn, [?MODULE, echo, []]),
        Messages = lists:duplicate(Batch, Message),
        timed(fun() ->
            lists:foreach(fun(_) -> Echo ! {self(), Messages} end, lists:seq(1, Window)),
            floor(Echo, Messages, Count div Batch - Window),
            lists:foreach(fun(_) -> receive answer -> ok end end, lists:seq(1, Window))
        end).

    floor(_, _, 0) -> ok;
    floor(Echo, Messages, Left) ->
        receive answer -> Echo ! {self(), Messages} end,
        floor(Echo, Messages, Left - 1).

    echo() -> receive {From, Messages} when length(Messages) > 0 -> From ! answer, echo() end.

    receiver(Path) ->
        Self = self(),
        case whereis(bench_jobs) of undefined -> ok; Old -> exit(Old, kill), timer:sleep(50) end,
        spawn(fun() ->
            {ok, _} = emmap_relay_receiver:start_link(#{name => bench_jobs, queue => Path}),
            Self ! started,
            receive never -> ok end
        end),
        receive started -> ok end.

    relay(From, To, Node, Message, Count, Batch, Window) ->
        {ok, Queue} = emmap_queue:open(From, 1 bsl 26, []),
        {ok, Target} = emmap_queue:open(To, 1 bsl 20, []),
        Term = binary_to_term(Message),
        lists:foreach(fun(_) -> ok = emmap_queue:push_many(Queue, lists:duplicate(1000, Term)) end, lists:seq(1, Count div 1000)),
        {ok, Relay} = emmap_relay:start_link(#{from => Queue, to => bench_jobs, node => Node, batch => Batch, window => Window}),
        Time = timed(fun() -> await(Target, Count) end),
        gen_server:stop(Relay),
        [ok = emmap_queue:close(Each) || Each <- [Queue, Target]],
        Time.

    await(Target, Count) ->
        case emmap_queue:length(Target) of
            Count -> ok;
            _ -> timer:sleep(1), await(Target, Count)
        end.

    timed(Fun) ->
        Begin = os:perf_counter(nanosecond),
        Fun(),
        os:perf_counter(nanosecond) - Begin.
    ",
    {ok, Tokens, _} = erl_scan:string(Source),
    {ok, rounds_relay, Code} = compile:forms(forms(Tokens, [], []), [binary]),
    Code.

forms([], [], Forms) -> lists:reverse(Forms);
forms([{'?', _}, {var, Line, 'MODULE'} | Rest], Form, Forms) -> forms(Rest, [{atom, Line, rounds_relay} | Form], Forms);
forms([{dot, _} = Dot | Rest], Form, Forms) ->
    {ok, Parsed} = erl_parse:parse_form(lists:reverse([Dot | Form])),
    forms(Rest, [], [Parsed | Forms]);
forms([Token | Rest], Form, Forms) -> forms(Rest, [Token | Form], Forms).
