%% A strict limit for many machines: its accounts with PropEr, and three nodes that play hosts.
-module(emmap_budget_SUITE).

%% Debian's erlang-proper comes without the header.
-import(proper_types, [frequency/1, list/1, range/2]).

-export([all/0, groups/0, suite/0, init_per_group/2, end_per_group/2]).
-export([never_more_than_the_limit/1, lost_answer_that_a_lease_is_over/1, wrong_accounts_are_seen/1, one_node/1, three_nodes/1, leader_dies/1, minority/1,
         holder_dies/1, few_messages/1, bad_arguments/1, hostile/1, outsiders/1, name_of_a_follower/1, full_disk/1, second_node/1]).
-export([start/1, hit_all/2, hit_for/3]).

-include_lib("stdlib/include/assert.hrl").

suite() -> [{timetrap, {minutes, 2}}].

all() -> [never_more_than_the_limit, lost_answer_that_a_lease_is_over, wrong_accounts_are_seen, bad_arguments | [{group, Backend} || Backend <- emmap_test_backends:backends()]].

groups() ->
    [{nif, [], [one_node, three_nodes, leader_dies, minority, holder_dies, few_messages, hostile, outsiders, name_of_a_follower, full_disk, second_node]}, {port, [], [one_node, full_disk, second_node]}].

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%%% The accounts

-define(TERMS, #{limit => 100, window => 1000, lease => 200}).
%% The leader's times, which are longer.
-define(LONGER, #{limit => 100, window => 1021, lease => 205}).

%% Holders with leases, answers that are lost, deaths, other leaders, any times: no window has more hits than the limit.
never_more_than_the_limit(_Config) -> ok = check(fun emmap_budget_ledger:renew/4, 20000).

%% Then the holder has still what the lease left, and the leader has counted it as spent.
lost_answer_that_a_lease_is_over(_Config) -> ?assertEqual(ok, run(fun emmap_budget_ledger:renew/4, lost_answer())).

lost_answer() ->
    [{ask, 3, 31}, {answer, 3}, {pass, 310}, {ask, 3, 0}, {ask, 3, 0}, {answer, 3}, {pass, 86}, {hit, 3, 31}, {pass, 831}] ++ spend_all(1).

%% No session has more than half of the limit at a time.
spend_all(Holder) -> lists:append(lists:duplicate(2, [{ask, Holder, 100}, {answer, Holder}, {hit, Holder, 100}])) ++ [{pass, 1}].

%% Leaders that count what was spent for half a window, or let holders keep what they have after their lease, are found.
wrong_accounts_are_seen(_Config) ->
    Half = fun(Request, #{window := Window} = Terms, Now, Ledger) ->
        emmap_budget_ledger:renew(Request, Terms#{window := Window div 2}, Now, Ledger)
    end,
    ?assertMatch({exceeded, _}, run(Half, spend_all(1) ++ [{pass, 510}] ++ spend_all(1))),
    Generous = fun(#{left := Left} = Request, Terms, Now, Ledger) ->
        setelement(2, emmap_budget_ledger:renew(Request, Terms, Now, Ledger), Left)
    end,
    ?assertMatch({exceeded, _}, run(Generous, lost_answer())).

check(Renew, Tests) ->
    Property = proper:forall(list(step()), fun(Steps) -> run(Renew, Steps) =:= ok end),
    case proper:counterexample(Property, [{numtests, Tests}, {max_size, 120}, quiet]) of
        true -> ok;
        [Steps] -> run(Renew, Steps)
    end.

step() ->
    Holder = range(1, 3),
    frequency([{6, {ask, Holder, range(0, 60)}}, {6, {answer, Holder}}, {8, {hit, Holder, range(1, 40)}},
               {6, {pass, range(1, 150)}}, {1, {die, Holder}}, {1, other_leader}]).

run(Renew, Steps) ->
    Holders = maps:from_list([{Holder, new_holder(Holder, 0)} || Holder <- [1, 2, 3]]),
    Ledger = emmap_budget_ledger:new(),
    run(Renew, Steps, #{now => 0, ledger => Ledger, committed => emmap_budget_ledger:snapshot(0, Ledger), holders => Holders, hits => []}).

new_holder(Holder, Session) -> #{session => <<Holder, Session:32>>, left => 0, until => 0, received => 0, deaths => Session}.

run(Renew, [Step | Steps], #{now := Now, hits := Hits} = World) ->
    case lists:sum([Count || {Time, Count} <- Hits, Time > Now - maps:get(window, ?TERMS)]) > maps:get(limit, ?TERMS) of
        true -> {exceeded, World};
        false -> run(Renew, Steps, step(Renew, Step, World))
    end;
run(_Renew, [], #{}) -> ok.

step(_Renew, {pass, Time}, #{now := Now} = World) -> World#{now := Now + Time};
step(_Renew, {hit, Id, Wanted}, #{now := Now, holders := Holders, hits := Hits} = World) ->
    #{Id := #{left := Left, until := Until} = Holder} = Holders,
    Count = case Now < Until of true -> min(Wanted, Left); false -> 0 end,
    World#{holders := Holders#{Id := Holder#{left := Left - Count}}, hits := [{Now, Count} | Hits]};
step(_Renew, {die, Id}, #{holders := Holders} = World) ->
    #{Id := #{deaths := Deaths}} = Holders,
    World#{holders := Holders#{Id := new_holder(Id, Deaths + 1)}};
%% Only what was committed is known then, with the times of then.
step(_Renew, other_leader, #{now := Now, committed := Committed} = World) ->
    World#{ledger := emmap_budget_ledger:restore(Now, Committed)};
%% An answer comes later, or never: a holder that asks again does not take it any more.
step(Renew, {ask, Id, Wants}, #{now := Now, ledger := Before, holders := Holders} = World) ->
    #{Id := #{session := Session, left := Left, received := Received} = Holder} = Holders,
    Request = #{session => Session, spent => Received - Left, left => Left, wants => Wants},
    {Granted, Kept, Ledger} = Renew(Request, ?LONGER, Now, Before),
    Snapshot = emmap_budget_ledger:snapshot(Now, Ledger),
    true = emmap_budget_ledger:is_snapshot(Snapshot),
    World#{ledger := Ledger, committed := Snapshot, holders := Holders#{Id := Holder#{answer => {Now, Granted, Kept}}}};
step(_Renew, {answer, Id}, #{holders := Holders} = World) ->
    case Holders of
        #{Id := #{answer := {Asked, Granted, Kept}, left := Left, received := Received} = Holder} ->
            Keeps = min(Left, Kept),
            Answered = Holder#{left := Keeps + Granted, received := Received + Granted - (Left - Keeps),
                               until := Asked + maps:get(lease, ?TERMS)},
            World#{holders := Holders#{Id := maps:remove(answer, Answered)}};
        #{} -> World
    end.

%%% Nodes

start_node(Name) -> start_node(Name, []).

start_node(Name, Flags) ->
    {ok, Socket} = gen_tcp:listen(0, [{ip, {127, 0, 0, 1}}]),
    {ok, Port} = inet:port(Socket),
    ok = gen_tcp:close(Socket),
    {ok, Peer, Node} = peer:start(#{
        name => lists:concat([Name, "-", Port]), host => "127.0.0.1", longnames => true, connection => standard_io,
        args => ["-epmd_module", "emmap_test_epmd", "-start_epmd", "false", "-setcookie", "emmap_budget", "-kernel", "logger_level",
                 "error", "prevent_overlapping_partitions", "false", "-pa" | code:get_path()] ++ Flags}),
    #{peer => Peer, node => Node, os => call(#{peer => Peer}, os, getpid, [])}.

nodes_of(Names) ->
    Nodes = [start_node(Name) || Name <- Names],
    _ = [pong = call(One, net_adm, ping, [maps:get(node, Other)]) || One <- Nodes, Other <- Nodes],
    Nodes.

call(#{peer := Peer}, Module, Function, Arguments) -> peer:call(Peer, Module, Function, Arguments, 60000).

stop(Nodes) -> lists:foreach(fun(#{peer := Peer}) -> catch peer:stop(Peer) end, Nodes).

start(#{name := Name} = Options) ->
    gen_server:start({local, list_to_atom("emmap_budget_" ++ atom_to_list(Name))}, emmap_budget, Options, []).

%% `Limits' has what is not the same in all cases.
join(Case, Nodes, Limits, Config) -> [join_one(Case, Node, Nodes, Limits, Config) || Node <- Nodes].

join_one(Case, #{node := Name} = Node, Voters, Limits, Config) ->
    Folder = emmap_test:path(Config, lists:concat([Case, "-", hd(string:split(atom_to_list(Name), "-"))])),
    {ok, _} = call(Node, ?MODULE, start, [maps:merge(#{
        name => Case, folder => Folder, nodes => [Voter || #{node := Voter} <- Voters],
        options => [{backend, proplists:get_value(backend, Config)}]}, Limits)]).

%% Hits until there is none for a while, and answers how many there were.
hit_all(Name, Patience) -> hit_all(Name, Patience, erlang:monotonic_time(millisecond) + Patience, 0).

hit_all(Name, Patience, End, Count) ->
    case emmap_budget:hit(Name) of
        true -> hit_all(Name, Patience, erlang:monotonic_time(millisecond) + Patience, Count + 1);
        false ->
            case erlang:monotonic_time(millisecond) > End of
                true -> Count;
                false -> timer:sleep(1), hit_all(Name, Patience, End, Count)
            end
    end.

%% Hits for so long, and answers when each was allowed, by the clock of all nodes of this machine.
hit_for(Name, Time, Pause) -> hit_until(Name, erlang:monotonic_time(millisecond) + Time, Pause, []).

hit_until(Name, End, Pause, Hits) ->
    case erlang:monotonic_time(millisecond) > End of
        true -> Hits;
        false ->
            Allowed = emmap_budget:hit(Name),
            Allowed orelse timer:sleep(Pause),
            hit_until(Name, End, Pause, [os:perf_counter(microsecond) || Allowed] ++ Hits)
    end.

%% What several nodes do at once.
together(Calls) ->
    Caller = self(),
    Pids = [spawn_link(fun() -> Caller ! {self(), Call()} end) || Call <- Calls],
    [receive {Pid, Result} -> Result end || Pid <- Pids].

%% The most hits in any window.
most(Hits, Window) -> most(lists:sort(Hits), [], 0, 1000 * Window).

most([Hit | Hits], Before, Most, Window) ->
    Now = [Hit | lists:takewhile(fun(Other) -> Other > Hit - Window end, Before)],
    most(Hits, Now, max(Most, length(Now)), Window);
most([], _, Most, _) -> Most.

ready(Case, Nodes) ->
    emmap_test:until(fun() -> lists:all(fun(Node) -> maps:get(left, call(Node, emmap_budget, info, [Case])) > 0 end, Nodes) end).

one_node(Config) ->
    [Node] = Nodes = nodes_of([a]),
    ok = call(Node, emmap_test_events, capture, []),
    join(?FUNCTION_NAME, Nodes, #{limit => 100, window => 60000, block => 30}, Config),
    ready(?FUNCTION_NAME, Nodes),
    ?assertEqual(100, call(Node, ?MODULE, hit_all, [?FUNCTION_NAME, 500])),
    #{left := 0, leader := Leader, used := 100, term := 1} = call(Node, emmap_budget, info, [?FUNCTION_NAME]),
    ?assertEqual(maps:get(node, Node), Leader),
    %% After a restart nothing is handed out again.
    ok = call(Node, emmap_budget, stop, [?FUNCTION_NAME]),
    join(?FUNCTION_NAME, Nodes, #{limit => 100, window => 60000, block => 30}, Config),
    emmap_test:until(fun() -> maps:get(used, call(Node, emmap_budget, info, [?FUNCTION_NAME]), none) =:= 100 end),
    ?assertEqual(0, call(Node, ?MODULE, hit_all, [?FUNCTION_NAME, 100])),
    Reports = call(Node, emmap_test_events, reported, []),
    ?assertEqual([1, 2], [Term || #{event := leads, budget := one_node, term := Term} <- Reports]),
    stop(Nodes).

three_nodes(Config) ->
    Nodes = nodes_of([a, b, c]),
    Window = 600,
    join(?FUNCTION_NAME, Nodes, #{limit => 200, window => Window, lease => 300, block => 20}, Config),
    ready(?FUNCTION_NAME, Nodes),
    Hits = lists:append(together([fun() -> call(Node, ?MODULE, hit_for, [?FUNCTION_NAME, 2000, 2]) end || Node <- Nodes])),
    Most = most(Hits, Window),
    ct:pal("~b hits in 2 s, at most ~b in a window of ~b ms", [length(Hits), Most, Window]),
    ?assert(Most =< 200),
    %% The limit is used, again and again.
    ?assert(Most > 150),
    ?assert(length(Hits) > 250),
    stop(Nodes).

leader_dies(Config) ->
    Nodes = nodes_of([a, b, c]),
    Window = 1500,
    Limits = #{limit => 300, window => Window, lease => 500, block => 30},
    join(?FUNCTION_NAME, Nodes, Limits, Config),
    ready(?FUNCTION_NAME, Nodes),
    #{leader := Leader, term := Term} = call(hd(Nodes), emmap_budget, info, [?FUNCTION_NAME]),
    {[#{os := Os} = Dead], Others} = lists:partition(fun(#{node := Node}) -> Node =:= Leader end, Nodes),
    Before = lists:append(together([fun() -> call(Node, ?MODULE, hit_for, [?FUNCTION_NAME, 300, 2]) end || Node <- Nodes])),
    [] = os:cmd("kill -KILL " ++ Os),
    After = lists:append(together([fun() -> call(Node, ?MODULE, hit_for, [?FUNCTION_NAME, 5000, 2]) end || Node <- Others])),
    #{leader := Next, term := Later} = call(hd(Others), emmap_budget, info, [?FUNCTION_NAME]),
    ?assert(Later > Term),
    ?assert(lists:member(Next, [Node || #{node := Node} <- Others])),
    Most = most(Before ++ After, Window),
    ct:pal("~b hits before and ~b after, at most ~b in a window", [length(Before), length(After), Most]),
    ?assert(Most =< 300),
    ?assert(length(After) > 300),
    stop(Others -- [Dead]).

%% A leader that is cut off hands out nothing; the two others go on.
minority(Config) ->
    Nodes = nodes_of([a, b, c]),
    Window = 1000,
    join(?FUNCTION_NAME, Nodes, #{limit => 300, window => Window, lease => 400, block => 30}, Config),
    ready(?FUNCTION_NAME, Nodes),
    #{leader := Leader} = call(hd(Nodes), emmap_budget, info, [?FUNCTION_NAME]),
    {[Alone], Others} = lists:partition(fun(#{node := Node}) -> Node =:= Leader end, Nodes),
    _ = [begin
        true = call(Here, erlang, set_cookie, [maps:get(node, There), Cookie])
    end || Other <- Others, {Here, There, Cookie} <- [{Alone, Other, wrong_a}, {Other, Alone, wrong_b}]],
    _ = [call(Alone, erlang, disconnect_node, [maps:get(node, Other)]) || Other <- Others],
    [Lone | Rest] = together([fun() -> call(Node, ?MODULE, hit_for, [?FUNCTION_NAME, 4000, 2]) end || Node <- [Alone | Others]]),
    Most = most(lists:append([Lone | Rest]), Window),
    ct:pal("~b hits alone, ~w by the others, at most ~b in a window", [length(Lone), [length(Each) || Each <- Rest], Most]),
    ?assert(Most =< 300),
    ?assert(length(Lone) =< 30),
    ?assert(length(lists:append(Rest)) > 300),
    %% It takes part again.
    _ = [begin
        true = call(Here, erlang, set_cookie, [maps:get(node, There), emmap_budget])
    end || Other <- Others, {Here, There} <- [{Alone, Other}, {Other, Alone}]],
    %% An attempt that the other cookie has refused may still be under way.
    _ = [emmap_test:until(fun() -> call(Alone, net_adm, ping, [maps:get(node, Other)]) =:= pong end) || Other <- Others],
    emmap_test:until(fun() -> call(Alone, emmap_budget, hit, [?FUNCTION_NAME]) end),
    stop(Nodes).

%% What a dead host had leased comes back after its lease and a window.
holder_dies(Config) ->
    Nodes = nodes_of([a, b, c]),
    D = start_node(d),
    _ = [pong = call(D, net_adm, ping, [maps:get(node, Node)]) || Node <- Nodes],
    Limits = #{limit => 100, window => 500, lease => 300, block => 60},
    join_one(?FUNCTION_NAME, D, Nodes, Limits, Config), % it does not vote
    join(?FUNCTION_NAME, Nodes, Limits, Config),
    ready(?FUNCTION_NAME, [D]),
    [] = os:cmd("kill -KILL " ++ maps:get(os, D)),
    Hits = lists:append(together([fun() -> call(Node, ?MODULE, hit_for, [?FUNCTION_NAME, 2000, 2]) end || Node <- Nodes])),
    ?assert(most(Hits, 500) =< 100),
    ?assert(most(Hits, 500) > 60),
    stop(Nodes).

few_messages(Config) ->
    [A, B, C] = Nodes = nodes_of([a, b, c]),
    join(?FUNCTION_NAME, Nodes, #{limit => 1000000, window => 60000}, Config),
    ready(?FUNCTION_NAME, Nodes),
    Sent = fun() -> lists:sum([begin
        {ok, [{send_cnt, Count}]} = call(Node, inet, getstat, [Connection, [send_cnt]]),
        Count
    end || Node <- [A, B, C], {_, Connection} <- call(Node, erlang, system_info, [dist_ctrl])]) end,
    Before = Sent(),
    Hits = length(call(A, ?MODULE, hit_for, [?FUNCTION_NAME, 1000, 1])),
    Messages = Sent() - Before,
    ct:pal("~b hits, ~b messages of all three nodes", [Hits, Messages]),
    ?assert(Hits > 1000 * Messages orelse Messages < 30),
    stop(Nodes).

bad_arguments(Config) ->
    Options = #{name => x, folder => emmap_test:path(Config, "x"), limit => 1, window => 1, nodes => [node()]},
    [?assertError(badarg, emmap_budget:start_link(Bad))
     || Bad <- [maps:remove(nodes, Options), Options#{limit := 0}, Options#{window := x}, Options#{nodes := []}, Options#{leese => 5},
                Options#{lease => 0}, Options#{block => foo}]],
    ?assertError(badarg, emmap_budget:hit(no_such_budget)),
    #{id := {emmap_budget, x}} = emmap_budget:child_spec(Options),
    _ = filelib:ensure_dir(emmap_test:path(Config, "x/x")),
    ok = file:write_file(emmap_test:path(Config, "x/accepted"), "garbage"),
    process_flag(trap_exit, true),
    {error, {emmap, _, corrupt}} = emmap_budget:start_link(Options).

%% Whatever a node sends, the process stays, and hands out nothing for it.
hostile(Config) ->
    [A, B] = Nodes = nodes_of([a, b]),
    join(?FUNCTION_NAME, [A], #{limit => 100, window => 60000, block => 10}, Config),
    ready(?FUNCTION_NAME, [A]),
    Server = call(A, erlang, whereis, [emmap_budget_hostile]),
    From = call(B, erlang, whereis, [init]),
    Messages = [{prepare, 99}, {prepare, x}, {accept, 99, 1, garbage}, {accept, 99, 1, {[], []}}, {accept, 99, 1, {[x | y], []}}, {promise, 1, x},
                {accepted, 1, 1}, {reject, x}, {renew, 1, #{}}, {renew, 1, #{session => <<"s">>, spent => -1, left => 0, wants => 1}},
                {renew, 1, #{session => <<"s">>, spent => 0, left => 0, wants => 1 bsl 40}},
                {renew, 1, #{session => binary:copy(<<"s">>, 300000), spent => 0, left => 0, wants => 1}},
                {renew, 1, #{session => <<"s">>, spent => 1 bsl 400000, left => 0, wants => 1}},
                {reject, 1 bsl 400000}, {prepare, 1 bsl 400000}, {lease, 1, 50, true}, {lease, x, y, z}, {}, [], x],
    [call(B, erlang, send, [Server, {emmap_budget, 1, From, Message}]) || Message <- Messages],
    ?assertEqual(100, call(A, ?MODULE, hit_all, [?FUNCTION_NAME, 500])),
    ?assertEqual(Server, call(A, erlang, whereis, [emmap_budget_hostile])),
    stop(Nodes).

%% A hidden node, and one with another cookie, get no hits, whatever they ask for.
outsiders(Config) ->
    [#{node := Leader} = A] = nodes_of([a]),
    Limits = #{limit => 100, window => 60000, block => 30},
    join(?FUNCTION_NAME, [A], Limits, Config),
    ready(?FUNCTION_NAME, [A]),
    Hidden = start_node(h, ["-hidden"]),
    pong = call(Hidden, net_adm, ping, [Leader]),
    Stranger = start_node(s),
    true = call(Stranger, erlang, set_cookie, [another]),
    pang = call(Stranger, net_adm, ping, [Leader]),
    [join_one(?FUNCTION_NAME, Outsider, [A], Limits, Config) || Outsider <- [Hidden, Stranger]],
    Holder = call(Hidden, erlang, whereis, [emmap_budget_outsiders]),
    [call(Hidden, erlang, send, [{emmap_budget_outsiders, Leader}, {emmap_budget, 1, Holder, {renew, Number,
        #{session => <<"hidden">>, spent => 0, left => 0, wants => 30}}}]) || Number <- lists:seq(1, 100)],
    ?assertEqual(100, call(A, ?MODULE, hit_all, [?FUNCTION_NAME, 500])),
    [begin
        ?assertMatch(#{left := 0, leader := undefined}, call(Outsider, emmap_budget, info, [?FUNCTION_NAME])),
        ?assertEqual(false, call(Outsider, emmap_budget, hit, [?FUNCTION_NAME]))
     end || Outsider <- [Hidden, Stranger]],
    stop([A, Hidden, Stranger]).

%% The name comes to a node that does not lead. It gives the name back, and one of them leads again.
name_of_a_follower(Config) ->
    Nodes = nodes_of([a, b]),
    join(?FUNCTION_NAME, Nodes, #{limit => 1000, window => 1000, lease => 300, block => 10}, Config),
    ready(?FUNCTION_NAME, Nodes),
    #{leader := Leader, term := Term} = call(hd(Nodes), emmap_budget, info, [?FUNCTION_NAME]),
    [Follower] = [Node || #{node := Each} = Node <- Nodes, Each =/= Leader],
    Process = call(Follower, erlang, whereis, [emmap_budget_name_of_a_follower]),
    yes = call(Follower, global, re_register_name, [{emmap_budget, ?FUNCTION_NAME}, Process]),
    emmap_test:until(fun() -> maps:get(term, call(Follower, emmap_budget, info, [?FUNCTION_NAME])) > Term end),
    _ = [emmap_test:until(fun() -> call(Node, emmap_budget, hit, [?FUNCTION_NAME]) end) || Node <- Nodes],
    stop(Nodes).

%% A voter that can't write does not vote; it votes again when it can. Nothing is handed out meanwhile.
full_disk(Config) ->
    [Node] = Nodes = nodes_of([a]),
    ok = call(Node, emmap_test_events, capture, []),
    join(?FUNCTION_NAME, Nodes, #{limit => 100, window => 1000, lease => 300, block => 10}, Config),
    ready(?FUNCTION_NAME, Nodes),
    Server = call(Node, erlang, whereis, [emmap_budget_full_disk]),
    New = emmap_test:path(Config, "full_disk-a/accepted.new"),
    %% The server may be writing it.
    emmap_test:until(fun() -> file:make_dir(New) =:= ok end),
    Reports = fun() -> [Reason || #{event := not_saved, budget := full_disk, reason := Reason} <- call(Node, emmap_test_events, reported, [])] end,
    emmap_test:until(fun() -> Reports() =/= [] end),
    emmap_test:until(fun() -> maps:get(lasts, call(Node, emmap_budget, info, [?FUNCTION_NAME])) =:= 0 end),
    ?assertEqual(false, call(Node, emmap_budget, hit, [?FUNCTION_NAME])),
    ok = file:del_dir(New),
    emmap_test:until(fun() -> call(Node, emmap_budget, hit, [?FUNCTION_NAME]) end),
    ?assertEqual({[eisdir], Server}, {Reports(), call(Node, erlang, whereis, [emmap_budget_full_disk])}),
    stop(Nodes).

%% A folder in use is refused, and is free when the process that has it is killed.
second_node(Config) ->
    [A, B] = Nodes = nodes_of([a, b]),
    Folder = emmap_test:path(Config, "shared"),
    Options = #{name => ?FUNCTION_NAME, folder => Folder, limit => 100, window => 1000, nodes => [maps:get(node, A)],
                options => [{backend, proplists:get_value(backend, Config)}]},
    {ok, Server} = call(A, ?MODULE, start, [Options]),
    Lock = list_to_binary(Folder ++ "/lock"),
    ?assertEqual({error, {emmap, Lock, ebusy}}, call(B, ?MODULE, start, [Options])),
    true = call(A, erlang, exit, [Server, kill]),
    {ok, _} = call(B, ?MODULE, start, [Options]),
    stop(Nodes).
