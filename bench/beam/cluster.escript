#!/usr/bin/env escript
%% The counters of three hosts: three nodes on this machine.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/cluster.escript [--quick]
%%
%% Times and bytes are measured against the numbers that are promised for them.
-mode(compile).

-define(SECTION, "Many machines").
-define(PORT, 14371).
-define(COUNT, 10000).
-define(INTERVAL, 50).

main(_) ->
    Harness = filename:join([filename:dirname(escript:script_name()), "..", "harness"]),
    [{ok, rounds, Rounds}, {ok, cluster_host, Host}] =
        [compile:file(filename:join(Harness, Name), [binary, report]) || Name <- ["rounds.erl", "cluster_host.erl"]],
    {module, rounds} = code:load_binary(rounds, "rounds", Rounds),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    [A, B, C] = Nodes = [start(Number, Host) || Number <- [1, 2, 3]],
    Idle = idle_cpu(A),
    [pong = call(One, net_adm, ping, [Other]) || {One, {_, Other}} <- [{A, B}, {A, C}, {B, C}]],
    [{ok, _} = call(Node, cluster_host, start, [#{
        name => bench, folder => filename:join(Folder, atom_to_list(Name)), counters => ?COUNT, interval => ?INTERVAL}])
     || {_, Name} = Node <- Nodes],
    ok = until(fun() -> [length(maps:get(hosts, call(Node, emmap_cluster, info, [bench]))) || Node <- Nodes] =:= [2, 2, 2] end),
    quiet(A, B, Idle),
    hot(A, B),
    limit(Nodes),
    split(A, B),
    [ok = peer:stop(Peer) || {Peer, _} <- Nodes],
    ok = file:del_dir_r(Folder).

%% Nodes without a port mapper listen at the same port, and so at different addresses.
start(Number, Helper) ->
    Address = lists:concat(["127.0.0.", Number]),
    {ok, Peer, Name} = peer:start_link(#{
        name => "bench", host => Address, longnames => true, connection => standard_io,
        args => ["-start_epmd", "false", "-erl_epmd_port", integer_to_list(?PORT), "-setcookie", "bench", "-kernel", "logger_level",
                 "error", "+sbwt", "none", "+sbwtdcpu", "none", "+sbwtdio", "none", "-kernel", "inet_dist_use_interface", "{" ++ lists:flatten(string:replace(Address, ".", ",", all)) ++ "}",
                 "-pa" | code:get_path()]}),
    {module, cluster_host} = peer:call(Peer, code, load_binary, [cluster_host, "cluster_host", Helper]),
    {Peer, Name}.

call({Peer, _}, Module, Function, Arguments) -> peer:call(Peer, Module, Function, Arguments, 120_000).

until(Condition) ->
    case Condition() of
        true -> ok;
        false ->
            timer:sleep(2),
            until(Condition)
    end.

%% For how long each figure is measured.
ms() -> case rounds:quick() of true -> 1000; false -> 20_000 end.

idle_cpu(Node) ->
    Before = call(Node, cluster_host, cpu, []),
    timer:sleep(ms()),
    call(Node, cluster_host, cpu, []) - Before.

%% Nothing changes.
quiet(A, {_, B}, Bare) ->
    timer:sleep(min(ms(), 6000)), % the first saves
    Sent = call(A, cluster_host, sent, [B]),
    Cpu = idle_cpu(A) - Bare,
    Bytes = call(A, cluster_host, sent, [B]) - Sent,
    rounds:ratio(?SECTION, "an idle cluster of 3, processor time", Cpu / (ms() * 1000), "0.1 % of a core", "at most 1"),
    rounds:ratio(?SECTION, "an idle cluster of 3, bytes to each peer", Bytes / ms() * 1000 / 2000, "2 kB a second", "at most 1").

%% All counters of A but one change several times in each interval.
hot(A, {_, Name} = B) ->
    ok = call(A, cluster_host, hot, [bench, ?COUNT - 1, 15]),
    timer:sleep(1000),
    Times = case rounds:quick() of true -> 10; false -> 300 end,
    Caller = self(),
    Sent = call(A, cluster_host, sent, [Name]),
    Begin = erlang:monotonic_time(millisecond),
    spawn_link(fun() -> Caller ! {seen, call(B, cluster_host, seen, [bench, ?COUNT - 1, Times])} end),
    timer:sleep(100),
    Marks = call(A, cluster_host, marks, [bench, ?COUNT - 1, Times]),
    Seen = receive {seen, Each} -> Each end,
    Took = erlang:monotonic_time(millisecond) - Begin,
    Bytes = call(A, cluster_host, sent, [Name]) - Sent,
    true = call(A, cluster_host, stop_hot, []),
    Late = lists:sort([(At - Mark) / 1000 || {At, Mark} <- lists:zip(Seen, Marks)]),
    [Median, Most] = [lists:nth(max(1, round(Part * Times)), Late) || Part <- [0.5, 0.99]],
    rounds:ratio(?SECTION, "a change is seen, 10,000 hot counters, median", Median / ?INTERVAL, "the interval of 50 ms"),
    rounds:ratio(?SECTION, "a change is seen, 10,000 hot counters, 99 %", Most / 120, "120 ms", "at most 1"),
    rounds:ratio(?SECTION, "10,000 hot counters, bytes to each peer", Bytes / Took * 1000 / 4.0e6, "4 MB a second", "at most 1").

%% All hosts enforce one limit by their sums.
limit(Nodes) ->
    Limit = case rounds:quick() of true -> 300; false -> 6000 end,
    {ok, Before} = call(hd(Nodes), emmap_cluster, read, [bench, 7]),
    Caller = self(),
    Begin = erlang:monotonic_time(millisecond),
    _ = [spawn_link(fun() -> Caller ! {count, call(Node, cluster_host, limited, [bench, 7, Before + Limit])} end)
         || Node <- Nodes],
    Counts = [receive {count, Count} -> Count end || _ <- Nodes],
    Rate = lists:sum(Counts) / length(Nodes) / (erlang:monotonic_time(millisecond) - Begin),
    rounds:ratio(?SECTION, "a limit of three hosts is exceeded by", max(0, lists:sum(Counts) - Limit) / (2 * Rate * 120),
                 "the hits of two hosts in 120 ms", "at most 1").

%% A and B lose each other, and count on.
split(A, {_, Name} = B) ->
    Cut = fun(Cookie) -> true = call(A, erlang, set_cookie, [Name, Cookie]) end,
    Cut(wrong),
    true = call(A, erlang, disconnect_node, [Name]),
    [ok = call(Node, emmap_cluster, add, [bench, Index, 1]) || Node <- [A, B], Index <- lists:seq(0, 99)],
    timer:sleep(min(ms(), 3000)),
    Cut(bench),
    pong = call(A, net_adm, ping, [Name]),
    Begin = erlang:monotonic_time(millisecond),
    ok = until(fun() ->
        [One, Other] = [[call(Node, emmap_cluster, read, [bench, Index]) || Index <- lists:seq(0, 99)] || Node <- [A, B]],
        One =:= Other
    end),
    rounds:ratio(?SECTION, "sums are exact again after a split", (erlang:monotonic_time(millisecond) - Begin) / 1000,
                 "1 s after the nodes have met", "at most 1").
