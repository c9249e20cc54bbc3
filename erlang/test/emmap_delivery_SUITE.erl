%% Deliveries: take, ack, release, and the deaths of those who have messages in hand.
-module(emmap_delivery_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([taken_and_acknowledged/1, released/1, released_later/1, delay_has_a_limit/1, delay_survives_restart/1, ended_once/1,
         ended_by_another_process/1, waits/1, times_out/1, refused_term/1, wrong_arguments/1]).
-export([process_dies/1, process_ends/1, process_dies_while_it_takes/1, one_monitor/1, handle_closes/1, node_is_killed/1,
         program_is_killed/1, handle_is_collected/1]).
-export([all_put_back/1, busy_put_back/1, repaired/1, seen_in_hand/1, read_only/1, exclusive/1, pop_order/1, pop_many_released/1,
         fold_of_released/1, many_takers/1, long_messages/1, abandoned_take/1]).
%% In a node of its own.
-export([hold/3]).

-include_lib("eunit/include/eunit.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [taken_and_acknowledged, released, released_later, delay_has_a_limit, delay_survives_restart, ended_once,
       ended_by_another_process, waits, times_out, refused_term, wrong_arguments, process_dies, process_ends, process_dies_while_it_takes, one_monitor,
       handle_closes, node_is_killed, program_is_killed, handle_is_collected, all_put_back, busy_put_back, repaired, seen_in_hand,
       read_only, exclusive, pop_order, pop_many_released, fold_of_released, many_takers, long_messages, abandoned_take]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

queue(Config) -> queue(Config, []).
queue(Config, Options) ->
    {ok, Queue} = emmap_queue:open(emmap_test:path(Config, "jobs.q"), 0, [{backend, backend(Config)} | Options]),
    Queue.

backend(Config) -> proplists:get_value(backend, Config).

take(Queue) ->
    {ok, Delivery, Message} = emmap_queue:take(Queue, 0),
    {Delivery, Message}.

in_hand(Queue) ->
    {ok, InHand} = emmap_queue:in_hand(Queue),
    InHand.

%% Takes a message in a process of its own, and keeps it.
taker(Queue) ->
    Test = self(),
    Taker = spawn(fun() ->
        Test ! {self(), emmap_queue:take(Queue, infinity)},
        receive {answer, Fun} -> Test ! {self(), Fun()} end,
        receive never -> ok end
    end),
    Taker.

taken_by(Taker) -> receive {Taker, {ok, Delivery, Message}} -> {Delivery, Message} after 10000 -> ct:fail(nothing_taken) end.

%%% One message

taken_and_acknowledged(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b]),
    {A, a} = take(Queue),
    {B, b} = take(Queue),
    ?assertEqual({1, 1}, {emmap_queue:attempt(A), emmap_queue:attempt(B)}),
    ?assertEqual({timeout, nil, 0, true},
                 {emmap_queue:take(Queue, 0), emmap_queue:pop(Queue), emmap_queue:length(Queue), emmap_queue:is_empty(Queue)}),
    [ok = emmap_queue:ack(Delivery) || Delivery <- [B, A]],
    ?assertEqual([], in_hand(Queue)),
    ok = emmap_queue:close(Queue),
    Again = queue(Config),
    ?assertEqual(timeout, emmap_queue:take(Again, 0)),
    ok = emmap_queue:close(Again).

released(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b]),
    {First, a} = take(Queue),
    ok = emmap_queue:release(First),
    ?assertEqual({2, a}, {emmap_queue:length(Queue), emmap_queue:peek_front(Queue)}),
    {Second, a} = take(Queue),
    ?assertEqual(2, emmap_queue:attempt(Second)),
    ok = emmap_queue:ack(Second),
    ?assertEqual([b, nil], [emmap_queue:pop(Queue), emmap_queue:pop(Queue)]),
    ok = emmap_queue:close(Queue).

released_later(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b]),
    {A, a} = take(Queue),
    Start = erlang:monotonic_time(millisecond),
    ok = emmap_queue:release(A, 300),
    {B, b} = take(Queue),
    ok = emmap_queue:ack(B),
    ?assertEqual({timeout, nil}, {emmap_queue:take(Queue, 0), emmap_queue:pop(Queue)}),
    {ok, Again, a} = emmap_queue:take(Queue, 10000),
    ?assert(erlang:monotonic_time(millisecond) - Start >= 299),
    ok = emmap_queue:ack(Again),
    ok = emmap_queue:close(Queue).

delay_has_a_limit(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {A, a} = take(Queue),
    [?assertEqual({error, einval}, emmap_queue:release(A, Delay)) || Delay <- [1000000000000001, (1 bsl 64) - 1, 1 bsl 70]],
    [?assertError(badarg, emmap_queue:release(A, Delay)) || Delay <- [-1, 1.5, infinity]],
    ok = emmap_queue:release(A, 1000000000000000),
    ?assertMatch([#{released := true, due := Due}] when Due > 1000000000000000 andalso Due < 8640000000000000, in_hand(Queue)),
    ok = emmap_queue:close(Queue).

delay_survives_restart(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {A, a} = take(Queue),
    ok = emmap_queue:release(A, 60000),
    ok = emmap_queue:close(Queue),
    Again = queue(Config),
    ?assertEqual(timeout, emmap_queue:take(Again, 0)),
    ?assertMatch([#{released := true, attempt := 1, due := Due}] when Due > 0, in_hand(Again)),
    ok = emmap_queue:close(Again).

ended_once(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {First, a} = take(Queue),
    ok = emmap_queue:release(First),
    {Second, a} = take(Queue),
    [?assertEqual({error, einval}, End(First))
     || End <- [fun emmap_queue:ack/1, fun emmap_queue:release/1, fun(D) -> emmap_queue:release(D, 1) end]],
    ok = emmap_queue:ack(Second),
    ?assertEqual({error, einval}, emmap_queue:ack(Second)),
    ok = emmap_queue:push(Queue, b),
    {Third, b} = take(Queue),
    ok = emmap_queue:close(Queue),
    ?assertEqual({error, closed}, emmap_queue:ack(Third)),
    ?assertEqual({error, closed}, emmap_queue:take(Queue, infinity)).

ended_by_another_process(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    Taker = taker(Queue),
    {Delivery, a} = taken_by(Taker),
    ok = emmap_queue:ack(Delivery),
    exit(Taker, kill),
    ?assertEqual(timeout, emmap_queue:take(Queue, 50)),
    ok = emmap_queue:close(Queue).

waits(Config) ->
    Queue = queue(Config),
    Taker = taker(Queue),
    emmap_test:until(fun() -> process_info(Taker, status) =:= {status, waiting} end),
    ok = emmap_queue:push(Queue, a),
    {Delivery, a} = taken_by(Taker),
    Other = taker(Queue),
    emmap_test:until(fun() -> process_info(Other, status) =:= {status, waiting} end),
    ok = emmap_queue:release(Delivery),
    {Again, a} = taken_by(Other),
    ok = emmap_queue:ack(Again),
    [exit(Pid, kill) || Pid <- [Taker, Other]],
    ok = emmap_queue:close(Queue).

times_out(Config) ->
    Queue = queue(Config),
    {Time, timeout} = timer:tc(fun() -> emmap_queue:take(Queue, 50) end),
    ?assert(Time >= 50000),
    ok = emmap_queue:close(Queue).

%% It stays the first message, and taking it does not count.
refused_term(Config) ->
    Queue = queue(Config),
    Unknown = <<131, 119, 30, "an_atom_that_nobody_knows_", (integer_to_binary(rand:uniform(8999) + 1000))/binary>>,
    {ok, Raw, _} = emmap_nif:queue_open(list_to_binary(emmap_test:path(Config, "jobs.q")), []),
    ok = emmap_nif:queue_push(Raw, Unknown),
    ok = emmap_queue:push(Queue, b),
    ?assertEqual(emmap_queue:pop(Queue), emmap_queue:take(Queue, 0)),
    {error, {bad_term, Bytes}} = emmap_queue:take(Queue, infinity),
    ?assertEqual([{bad_term, Bytes}, b], emmap_queue:to_list(Queue)),
    ?assertEqual([], in_hand(Queue)),
    {ok, Bytes} = emmap_queue:pop_bytes(Queue),
    ?assertEqual(b, emmap_queue:pop(Queue)),
    ok = emmap_nif:close(Raw),
    ok = emmap_queue:close(Queue).

wrong_arguments(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    [?assertError(badarg, emmap_queue:take(Queue, Timeout)) || Timeout <- [-1, 1.0, forever]],
    {Delivery, a} = take(Queue),
    [?assertError(badarg, emmap_queue:release(Delivery, Delay)) || Delay <- [-1, 1.0, infinity]],
    [?assertError(function_clause, emmap_queue:Name(no_delivery)) || Name <- [ack, attempt, release]],
    ok = emmap_queue:ack(Delivery),
    ok = emmap_queue:close(Queue).

%%% Deaths

process_dies(Config) -> dies(Config, kill).

process_ends(Config) -> dies(Config, normal).

dies(Config, Reason) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b]),
    Taker = taker(Queue),
    {_, a} = taken_by(Taker),
    {B, b} = take(Queue),
    Waiter = taker(Queue),
    emmap_test:until(fun() -> process_info(Waiter, status) =:= {status, waiting} end),
    case Reason of
        kill -> exit(Taker, kill);
        normal -> Taker ! {answer, fun() -> exit(normal) end}
    end,
    {Again, a} = taken_by(Waiter),
    ?assertEqual(2, emmap_queue:attempt(Again)),
    [ok = emmap_queue:ack(Delivery) || Delivery <- [Again, B]], % b stayed with the test
    exit(Waiter, kill),
    ok = emmap_queue:close(Queue).

%% At any moment of a take: no message is lost, and none stays in hand.
process_dies_while_it_takes(Config) ->
    Queue = queue(Config),
    Count = 200,
    ok = emmap_queue:push_many(Queue, lists:seq(1, Count)),
    [begin
        {Taker, Monitor} = spawn_monitor(fun() -> [{ok, _, _} = emmap_queue:take(Queue, infinity) || _ <- lists:seq(1, 20)] end),
        [erlang:yield() || _ <- lists:seq(1, N rem 50)],
        exit(Taker, kill),
        receive {'DOWN', Monitor, process, _, _} -> ok end
    end || N <- lists:seq(1, 300)],
    emmap_test:until(fun() -> emmap_queue:length(Queue) =:= Count end),
    ?assertEqual(lists:seq(1, Count), [emmap_queue:pop(Queue) || _ <- lists:seq(1, Count)]),
    ?assertEqual([], in_hand(Queue)),
    ok = emmap_queue:close(Queue).

%% One for each process and queue, for any number of messages; none stays behind.
one_monitor(Config) ->
    Queue = queue(Config),
    Count = fun() -> length(monitors(Config)) end,
    Before = Count(),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 100)),
    Takes = fun() ->
        _ = [begin {D, _} = take(Queue), ok = emmap_queue:ack(D) end || _ <- lists:seq(1, 50)],
        erlang:process_info(self(), monitored_by)
    end,
    {Taker, Monitor} = spawn_monitor(fun() -> {monitored_by, By} = Takes(), receive stop -> exit({by, By}) end end),
    emmap_test:until(fun() -> emmap_queue:length(Queue) =:= 50 end),
    emmap_test:until(fun() -> process_info(Taker, status) =:= {status, waiting} end),
    {monitored_by, By} = process_info(Taker, monitored_by),
    ?assertEqual(2, length(By)), % the test, and the backend
    Taker ! stop,
    receive {'DOWN', Monitor, process, _, {by, _}} -> ok end,
    emmap_test:until(fun() -> Count() =:= Before end),
    ok = emmap_queue:close(Queue).

monitors(Config) ->
    case backend(Config) of
        nif -> [];
        port ->
            {ok, Server} = emmap_sup:port(),
            {monitors, Monitors} = process_info(Server, monitors),
            Monitors
    end.

handle_closes(Config) ->
    Queue = queue(Config),
    Other = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {_, a} = take(Queue),
    ok = emmap_queue:close(Queue),
    {ok, Delivery, a} = emmap_queue:take(Other, 5000),
    ?assertEqual(2, emmap_queue:attempt(Delivery)),
    ok = emmap_queue:close(Other).

%% An open queue that nobody refers to any more.
handle_is_collected(Config) ->
    Other = queue(Config),
    ok = emmap_queue:push(Other, a),
    {Pid, Monitor} = spawn_monitor(fun() -> {_, a} = take(queue(Config)), ok end),
    receive {'DOWN', Monitor, process, Pid, normal} -> ok end,
    {ok, _, a} = emmap_queue:take(Other, 5000),
    ok = emmap_queue:close(Other).

%% kill -9 of another node, with a process waiting here.
node_is_killed(Config) ->
    Queue = queue(Config),
    Report = emmap_test:path(Config, "report.q"),
    {ok, Reports} = emmap_queue:open(Report, 0, []),
    ok = emmap_queue:push_many(Queue, [a, b, c]),
    Test = self(),
    Path = emmap_test:path(Config, "jobs.q"),
    Node = spawn_link(fun() -> Test ! {self(), emmap_child:run(?MODULE, hold, [Path, Report, backend(Config)])} end),
    {ok, OsPid} = emmap_queue:receive_message(Reports, 60000),
    Takers = [taker(Queue) || _ <- [a, b, c]],
    [emmap_test:until(fun() -> process_info(Taker, status) =:= {status, waiting} end) || Taker <- Takers],
    timer:sleep(150),
    ?assertMatch([#{alive := true}, #{alive := true}, #{alive := true}], in_hand(Queue)),
    Start = erlang:monotonic_time(microsecond),
    _ = os:cmd("kill -KILL " ++ OsPid),
    Got = [{Message, emmap_queue:attempt(Delivery), erlang:monotonic_time(microsecond) - Start}
           || Taker <- Takers, {Delivery, Message} <- [taken_by(Taker)]],
    ct:pal("redelivered after ~p us", [[Time || {_, _, Time} <- Got]]),
    ?assertEqual([{a, 2}, {b, 2}, {c, 2}], lists:sort([{Message, Attempt} || {Message, Attempt, _} <- Got])),
    ?assert(lists:min([Time || {_, _, Time} <- Got]) < 1000000),
    receive {Node, {137, _}} -> ok end,
    [exit(Taker, kill) || Taker <- Takers],
    [ok = emmap_queue:close(Each) || Each <- [Queue, Reports]].

hold(Path, Report, Backend) ->
    {ok, Queue} = emmap_queue:open(Path, 0, [{backend, Backend}]),
    {ok, Reports} = emmap_queue:open(Report, 0, []),
    Held = [emmap_queue:take(Queue, 5000) || _ <- [1, 2, 3]],
    ok = emmap_queue:push(Reports, os:getpid()),
    receive never -> Held end.

program_is_killed(Config) ->
    case emmap_test_backends:can(backend(Config), port_death) of
        false -> {skip, "there is no program"};
        true ->
            {ok, Server} = emmap_port:start_link(#{}),
            unlink(Server),
            Path = emmap_test:path(Config, "jobs.q"),
            Other = queue(Config),
            {ok, Queue} = emmap_queue:open(Path, 0, [{backend, {port, Server}}]),
            ok = emmap_queue:push(Queue, a),
            {Delivery, a} = take(Queue),
            _ = os:cmd("kill -KILL " ++ integer_to_list(emmap_test:os_pid(Server))),
            {ok, Again, a} = emmap_queue:take(Other, 5000),
            ?assertEqual({error, port_died}, emmap_queue:ack(Delivery)),
            ok = emmap_queue:ack(Again),
            ok = emmap_queue:close(Other)
    end.

%% The program answers a take after the caller has given up: the message goes back.
abandoned_take(Config) ->
    case emmap_test_backends:can(backend(Config), port_death) of
        false -> {skip, "there is no program"};
        true ->
            {ok, Server} = emmap_port:start_link(#{call_timeout => 100}),
            {ok, Queue} = emmap_queue:open(emmap_test:path(Config, "jobs.q"), 0, [{backend, {port, Server}}]),
            ok = emmap_queue:push(Queue, a),
            Pid = integer_to_list(emmap_test:os_pid(Server)),
            _ = os:cmd("kill -STOP " ++ Pid),
            ?assertEqual({error, timeout}, emmap_queue:take(Queue, 0)),
            _ = os:cmd("kill -CONT " ++ Pid),
            emmap_test:until(fun() -> emmap_queue:to_list(Queue) =:= [a] end),
            {Delivery, a} = take(Queue),
            ?assertEqual(1, emmap_queue:attempt(Delivery)),
            ok = emmap_queue:close(Queue),
            unlink(Server),
            gen_server:stop(Server)
    end.

%%% All of them

all_put_back(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b, c]),
    {A, a} = take(Queue),
    {_, b} = take(Queue),
    ok = emmap_queue:release(A, 60000),
    ?assertEqual({ok, 2}, emmap_queue:release_all(Queue)),
    ?assertEqual({[a, b, c], []}, {emmap_queue:to_list(Queue), in_hand(Queue)}),
    ?assertEqual({ok, 0}, emmap_queue:release_all(Queue)),
    ok = emmap_queue:close(Queue).

busy_put_back(Config) ->
    Queue = queue(Config),
    Other = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {Delivery, a} = take(Other),
    ?assertEqual({error, ebusy}, emmap_queue:release_all(Queue)),
    ok = emmap_queue:ack(Delivery),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Other]].

repaired(Config) ->
    Queue = queue(Config),
    Taken = emmap_test:path(Config, "jobs.q") ++ "-taken",
    ok = emmap_queue:push_many(Queue, [a, b, c]),
    [{A, a}, {_, b}, {_, c}] = [take(Queue) || _ <- [a, b, c]],
    ok = emmap_queue:ack(A),
    ok = emmap_queue:close(Queue),
    ?assertEqual({ok, 0}, repair(Config)),
    {ok, File} = file:open(Taken, [read, write, raw]),
    ok = file:pwrite(File, 69632 + 256 + 64, <<-1:32>>), % the length of b
    ok = file:close(File),
    ?assertEqual({ok, 1}, repair(Config)),
    Again = queue(Config),
    {_, c} = take(Again),
    ?assertEqual(timeout, emmap_queue:take(Again, 0)),
    ok = emmap_queue:close(Again),
    ok = file:write_file(Taken, <<"something else">>),
    ?assertMatch({error, {corrupt, 0, _}}, repair(Config)).

repair(Config) ->
    Queue = queue(Config),
    Answer = emmap_queue:repair(Queue),
    ok = emmap_queue:close(Queue),
    Answer.

seen_in_hand(Config) ->
    Queue = queue(Config),
    {ok, Reader} = emmap_queue:open(emmap_test:path(Config, "jobs.q"), 0, [read_only, {backend, backend(Config)}]),
    ?assertEqual({[], []}, {in_hand(Queue), in_hand(Reader)}),
    ok = emmap_queue:push_many(Queue, [lists:duplicate(N, $x) || N <- lists:seq(1, 600)]),
    Before = erlang:system_time(millisecond),
    Deliveries = [element(1, take(Queue)) || _ <- lists:seq(1, 600)],
    ok = emmap_queue:release(hd(Deliveries), 5000),
    InHand = in_hand(Queue),
    ?assertEqual(600, length(InHand)),
    ?assertEqual(InHand, in_hand(Reader)),
    [?assertEqual([alive, attempt, due, length, process, program, released, since, ticket], lists:sort(maps:keys(Each)))
     || Each <- InHand],
    {[Released], Others} = lists:partition(fun(#{released := Is}) -> Is end, InHand),
    ?assertMatch(#{attempt := 1, due := Due} when Due >= Before + 5000, Released),
    [?assert(Since >= Before andalso Alive) || #{since := Since, alive := Alive} <- Others],
    ok = emmap_queue:close(Reader),
    ok = emmap_queue:close(Queue).

read_only(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, a),
    {ok, Reader} = emmap_queue:open(emmap_test:path(Config, "jobs.q"), 0, [read_only, {backend, backend(Config)}]),
    ?assertEqual({error, eacces}, emmap_queue:take(Reader, 0)),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Reader]].

exclusive(Config) ->
    Queue = queue(Config, [exclusive]),
    ok = emmap_queue:push_many(Queue, [a, b]),
    {A, a} = take(Queue),
    {B, b} = take(Queue),
    ok = emmap_queue:release(B),
    ok = emmap_queue:ack(A),
    {_, b} = take(Queue),
    ok = emmap_queue:close(Queue),
    Again = queue(Config),
    ?assertEqual({b, nil}, {emmap_queue:pop(Again), emmap_queue:pop(Again)}),
    ok = emmap_queue:close(Again).

%%% With the other operations

pop_order(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b, c, d]),
    {A, a} = take(Queue),
    {B, b} = take(Queue),
    ok = emmap_queue:release(B),
    ok = emmap_queue:release(A),
    ?assertEqual({ok, a}, emmap_queue:receive_message(Queue, 0)),
    ?assertEqual([b, c, d], [emmap_queue:pop(Queue) || _ <- [1, 2, 3]]),
    ok = emmap_queue:close(Queue).

pop_many_released(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 20)),
    Taken = [element(1, take(Queue)) || _ <- lists:seq(1, 10)],
    [ok = emmap_queue:release(Delivery) || Delivery <- Taken],
    ?assertEqual(lists:seq(1, 20), pop_all(Queue)),
    ok = emmap_queue:push(Queue, a),
    {A, a} = take(Queue),
    ok = emmap_queue:release(A),
    ?assertEqual({{ok, [a]}, {ok, []}}, {emmap_queue:pop_many(Queue, 7), emmap_queue:pop_many(Queue, 7)}),
    ok = emmap_queue:close(Queue).

pop_all(Queue) ->
    case emmap_queue:pop_many(Queue, 100) of
        {ok, []} -> [];
        {ok, Messages} -> Messages ++ pop_all(Queue)
    end.

fold_of_released(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push_many(Queue, [a, b, c]),
    {A, a} = take(Queue),
    {B, b} = take(Queue),
    ok = emmap_queue:release(A),
    ok = emmap_queue:release(B, 60000),
    ?assertEqual([c, a], emmap_queue:pop(Queue, [], fun(Message, All) -> {cont, [Message | All]} end)),
    ?assertEqual([], emmap_queue:peek(Queue, [], fun(Message, All) -> {cont, [Message | All]} end)),
    ok = emmap_queue:close(Queue).

many_takers(Config) ->
    Queue = queue(Config),
    Count = 2000,
    Test = self(),
    Takers = [spawn_link(fun() -> Test ! {self(), take_all(Queue, [])} end) || _ <- lists:seq(1, 20)],
    [ok = emmap_queue:push(Queue, N) || N <- lists:seq(1, Count)],
    [ok = emmap_queue:push(Queue, stop) || _ <- Takers],
    Taken = lists:append([receive {Taker, All} -> All end || Taker <- Takers]),
    ?assertEqual(lists:seq(1, Count), lists:sort(Taken)),
    ?assertEqual([], in_hand(Queue)),
    ok = emmap_queue:close(Queue).

%% Every seventh message is released once.
take_all(Queue, Taken) ->
    {ok, Delivery, Message} = emmap_queue:take(Queue, infinity),
    case emmap_queue:attempt(Delivery) of
        1 when is_integer(Message), Message rem 7 =:= 0 ->
            ok = emmap_queue:release(Delivery),
            take_all(Queue, Taken);
        _ ->
            ok = emmap_queue:ack(Delivery),
            case Message of
                stop -> Taken;
                _ -> take_all(Queue, [Message | Taken])
            end
    end.

long_messages(Config) ->
    Queue = queue(Config),
    Long = [rand:bytes(N) || N <- [100, 10000, 1 bsl 20, 5 bsl 20]],
    ok = emmap_queue:push_many(Queue, Long),
    Deliveries = [begin {D, Message} = take(Queue), true = Message =:= Each, D end || Each <- Long],
    [ok = emmap_queue:release(D) || D <- Deliveries],
    [begin {D, Message} = take(Queue), true = Message =:= Each, ok = emmap_queue:ack(D) end || Each <- Long],
    ok = emmap_queue:close(Queue).
