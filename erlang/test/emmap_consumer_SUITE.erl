%% Consumers: the behaviour emmap_consumer.
-module(emmap_consumer_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([works/1, concurrency/1, takes_what_it_can_work_on/1, answers/1, failures/1, backs_off/1, no_limit_without_dead_letters/1,
         long_reasons/1, no_delay/1, unlinked/1, poison_term/1, dead_letters_fail/1, dies_with_the_message/1, handler_state/1]).
-export([stops_when_done/1, stops_in_time/1, handler_stops_it/1, killed/1, supervised/1, program_dies/1, server_dies/1,
         open_queues/1, named_queues/1, named_queue_is_lost/1, letters_are_removed/1, init_answers/1, bad_options/1, system_messages/1, queue_fails/1, reports/1]).
%% The callbacks, and a handler for logger.
-behaviour(emmap_consumer).
-export([init/1, handle_message/2, terminate/2, log/2]).

-include_lib("eunit/include/eunit.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [works, concurrency, takes_what_it_can_work_on, answers, failures, backs_off, no_limit_without_dead_letters, poison_term,
       long_reasons, no_delay, unlinked, dead_letters_fail, dies_with_the_message, handler_state, stops_when_done,
       stops_in_time, handler_stops_it, killed, supervised, program_dies, server_dies, open_queues, named_queues, named_queue_is_lost, letters_are_removed, init_answers, bad_options, system_messages, queue_fails, reports]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%%% The consumer under test: a message says what becomes of it.

init({answer, Answer}) -> Answer;
init(Test) ->
    Test ! {init, self()},
    {ok, Test}.

handle_message({Number, What}, Test) ->
    Test ! {Number, emmap_consumer:attempt(), self()},
    what(What).

what({answer, Answer}) -> Answer;
what({sleep, Time}) -> timer:sleep(Time);
what({raise, Class, Reason}) -> erlang:Class(Reason);
what(killed) -> exit(self(), kill), receive never -> ok end;
what({unlinked, What}) -> unlink(hd(get('$ancestors'))), what(What);
what(wait) -> receive {answer, Answer} -> Answer end;
what({once, What, Then}) ->
    case emmap_consumer:attempt() of
        1 -> what(What);
        _ -> what(Then)
    end.

terminate(Reason, Test) -> Test ! {terminated, Reason}.

path(Config, Name) -> emmap_test:path(Config, Name).

queue(Config) -> queue(Config, "jobs.q").
queue(Config, Name) ->
    {ok, Queue} = emmap_queue:open(path(Config, Name), 0, [backend(Config)]),
    Queue.

backend(Config) -> {backend, proplists:get_value(backend, Config)}.

options(Config, More) ->
    maps:merge(#{queue => path(Config, "jobs.q"), module => ?MODULE, args => self(), open_options => [backend(Config)]}, More).

start(Config, More) ->
    {ok, Consumer} = emmap_consumer:start_link(options(Config, More)),
    receive {init, Consumer} -> Consumer after 10000 -> ct:fail(not_started) end.

stop(Consumer) ->
    ok = gen_server:stop(Consumer),
    receive {terminated, normal} -> ok after 10000 -> ct:fail(not_terminated) end.

push(Queue, Messages) -> ok = emmap_queue:push_many(Queue, Messages).

%% The next report of a handler: message, attempt, and its process.
next() ->
    receive {Number, Attempt, Pid} when is_integer(Attempt), is_pid(Pid) -> {Number, Attempt, Pid} after 10000 -> ct:fail(nothing) end.
attempt() -> {Number, Attempt, _} = next(), {Number, Attempt}.
nothing() -> receive {Number, _, Pid} when is_pid(Pid) -> ct:fail({unexpected, Number}) after 50 -> ok end.

ended(Queue) ->
    emmap_test:until(fun() -> emmap_queue:is_empty(Queue) andalso emmap_queue:in_hand(Queue) =:= {ok, []} end).

letters(Queue, Count) ->
    emmap_test:until(fun() -> emmap_queue:length(Queue) =:= Count end),
    {ok, Letters} = emmap_queue:pop_many(Queue, Count),
    Letters.

%%% Messages

works(Config) ->
    Queue = queue(Config),
    push(Queue, [{N, {answer, ok}} || N <- [1, 2]]),
    Consumer = start(Config, #{}),
    ?assertEqual([{1, 1}, {2, 1}], [attempt() || _ <- [1, 2]]),
    push(Queue, [{3, {answer, ack}}]),
    ?assertEqual({3, 1}, attempt()),
    ended(Queue),
    stop(Consumer),
    ok = emmap_queue:close(Queue).

%% 4 at a time, each in a process of its own.
concurrency(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{concurrency => 4}),
    push(Queue, [{N, wait} || N <- lists:seq(1, 12)]),
    Handlers = [next() || _ <- lists:seq(1, 4)],
    ?assertEqual(5, length(lists:usort([Consumer | [Pid || {_, _, Pid} <- Handlers]]))),
    nothing(),
    ?assertEqual(8, emmap_queue:length(Queue)),
    answer_all(Handlers, 8),
    ended(Queue),
    stop(Consumer),
    ok = emmap_queue:close(Queue).

answer_all([], 0) -> ok;
answer_all([{_, _, Pid} | Others], Left) ->
    Pid ! {answer, ok},
    case Left of
        0 -> answer_all(Others, 0);
        _ -> answer_all(Others ++ [next()], Left - 1)
    end.

takes_what_it_can_work_on(Config) ->
    Queue = queue(Config),
    push(Queue, [{N, wait} || N <- [1, 2, 3]]),
    One = start(Config, #{}),
    {1, 1, First} = next(),
    Other = start(Config, #{}),
    {2, 1, Second} = next(),
    ?assertMatch({1, {ok, [_, _]}}, {emmap_queue:length(Queue), emmap_queue:in_hand(Queue)}),
    [Pid ! {answer, ok} || Pid <- [First, Second]],
    {3, 1, Third} = next(),
    Third ! {answer, ok},
    ended(Queue),
    [stop(Consumer) || Consumer <- [One, Other]],
    ok = emmap_queue:close(Queue).

answers(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{backoff => {0, 0}}),
    push(Queue, [{1, {once, {answer, release}, {answer, ok}}}, {2, {once, {answer, {error, later}}, {answer, ok}}}]),
    ?assertEqual([{1, 1}, {1, 2}, {2, 1}, {2, 2}], [attempt() || _ <- [1, 2, 3, 4]]),
    Start = erlang:monotonic_time(millisecond),
    push(Queue, [{3, {once, {answer, {release, 200}}, {answer, ok}}}]),
    {3, 1} = attempt(),
    {3, 2} = attempt(),
    ?assert(erlang:monotonic_time(millisecond) - Start >= 199),
    ended(Queue),
    stop(Consumer),
    ok = emmap_queue:close(Queue).

failures(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    Before = erlang:system_time(millisecond),
    Consumer = start(Config, #{dead_letters => path(Config, "dead.q"), max_attempts => 2, backoff => {0, 0}, concurrency => 3}),
    Failures = [{{raise, error, boom}, <<"error: boom">>}, {{raise, exit, {gone, 1}}, <<"exit: {gone,1}">>},
                {{raise, throw, ball}, <<"throw: ball">>}, {killed, <<"the process died: killed">>},
                {{answer, {error, <<"no disk">>}}, <<"<<\"no disk\">>">>}, {{answer, nonsense}, <<"{bad_return_value,nonsense}">>},
                {{answer, release}, <<"the handler released the message">>},
                {{answer, {release, 1}}, <<"the handler released the message">>}],
    push(Queue, [{N, What} || {N, {What, _}} <- lists:enumerate(Failures)]),
    Letters = letters(Dead, length(Failures)),
    [begin
        #{<<"message">> := {N, _}, <<"reason">> := Reason, <<"attempts">> := 2, <<"at">> := At} = Letter,
        ?assertEqual(4, map_size(Letter)),
        ?assertEqual(element(2, lists:nth(N, Failures)), Reason),
        ?assert(At >= Before andalso At =< erlang:system_time(millisecond))
    end || Letter <- Letters],
    ?assertEqual(length(Failures), length(lists:usort([N || #{<<"message">> := {N, _}} <- Letters]))),
    ended(Queue),
    stop(Consumer),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

backs_off(Config) ->
    Queue = queue(Config),
    Test = self(),
    Backoff = fun(Attempt, Reason) -> Test ! {delay, Attempt, Reason}, 10 * Attempt end,
    Consumer = start(Config, #{backoff => Backoff}),
    push(Queue, [{1, {once, {raise, error, boom}, {answer, ok}}}]),
    ?assertEqual([{1, 1}, {1, 2}], [attempt(), attempt()]),
    receive {delay, 1, {raised, error, boom, [_ | _]}} -> ok end,
    stop(Consumer),
    Again = start(Config, #{backoff => {200, 400}}),
    Start = erlang:monotonic_time(millisecond),
    push(Queue, [{2, {once, {raise, error, boom}, {answer, ok}}}]),
    ?assertEqual([{2, 1}, {2, 2}], [attempt(), attempt()]),
    ?assert(erlang:monotonic_time(millisecond) - Start >= 159),
    ended(Queue),
    stop(Again),
    ok = emmap_queue:close(Queue).

%% Reasons are cut, and are texts in any case.
long_reasons(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    Consumer = start(Config, #{dead_letters => path(Config, "dead.q"), max_attempts => 1}),
    push(Queue, [{1, {raise, error, binary:copy(<<"x">>, 1000000)}},
                 %% An exception of Elixir, which is not there.
                 {2, {raise, error, #{'__struct__' => none, '__exception__' => true, message => <<255>>}}},
                 {3, {raise, error, [16#d83d, 255]}}]),
    [Long, Elixir, Surrogate] = [Reason || #{<<"reason">> := Reason} <- letters(Dead, 3)],
    ?assert(string:length(Long) >= 4000 andalso string:length(Long) =< 4200),
    ?assertMatch({0, _}, binary:match(Elixir, <<"error: #{">>)),
    ?assertEqual(<<"error: [55357,255]">>, Surrogate),
    ended(Queue),
    stop(Consumer),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

%% A delay that is none becomes the default one, and the consumer goes on.
no_delay(Config) ->
    Queue = queue(Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    Most = 1000000000000000,
    try
        Backoffs = [fun(_, _) -> -1 end, fun(_, _) -> Most + 1 end, fun(_, _) -> 1.5 end, fun(_, _) -> error(boom) end,
                    fun(_, _) -> throw(ball) end, fun(_, _) -> exit(gone) end],
        [begin
            Consumer = start(Config, #{backoff => Backoff}),
            push(Queue, [{1, {raise, error, boom}}]),
            {1, 1} = attempt(),
            {warning, #{attempt := 1, reason := <<_, _/binary>>}} = report(backoff_failed, "given no"),
            {warning, #{delay := Delay}} = report(released, "boom"),
            ?assert(Delay >= 800 andalso Delay =< 1200),
            stop(Consumer),
            {ok, 1} = emmap_queue:release_all(Queue),
            {1, _} = emmap_queue:pop(Queue)
        end || Backoff <- Backoffs],
        %% A handler that answers no delay has failed.
        Other = start(Config, #{backoff => fun(_, _) -> Most end}),
        [begin
            push(Queue, [{2, {answer, {release, Delay}}}]),
            {2, 1} = attempt(),
            {warning, #{delay := Most, reason := <<"{bad_return_value,", _/binary>>}} = report(released, "bad_return_value")
        end || Delay <- [-1, Most + 1, infinity]],
        stop(Other)
    after
        logger:remove_handler(?MODULE)
    end,
    ok = emmap_queue:close(Queue).

%% A handler that ends its link and dies has failed. One that goes on gets its answer heard.
unlinked(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    Consumer = start(Config, #{dead_letters => path(Config, "dead.q"), max_attempts => 1}),
    push(Queue, [{1, {unlinked, killed}}, {2, {unlinked, {answer, ok}}}, {3, {unlinked, wait}}]),
    ?assertEqual([{1, 1}, {2, 1}], [attempt(), attempt()]),
    [#{<<"message">> := {1, _}, <<"reason">> := <<"the process died: killed">>}] = letters(Dead, 1),
    {3, 1, Handler} = next(),
    spawn(fun() -> timer:sleep(100), exit(Handler, kill) end),
    stop(Consumer),
    [#{<<"message">> := {3, _}, <<"reason">> := <<"the process died: killed">>}] = letters(Dead, 1),
    ended(Queue),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

no_limit_without_dead_letters(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{backoff => {0, 0}}),
    push(Queue, [{1, {raise, error, boom}}]),
    ?assertEqual([{1, N} || N <- lists:seq(1, 12)], [attempt() || _ <- lists:seq(1, 12)]),
    stop(Consumer),
    ?assertMatch({1, _}, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

%% A term that is refused counts as failed, and holds up nobody.
poison_term(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    Poison = <<131, 119, 30, "an_atom_that_nobody_has_", (integer_to_binary(rand:uniform(899999) + 100000))/binary>>,
    {ok, Raw, _} = emmap_nif:queue_open(list_to_binary(path(Config, "jobs.q")), []),
    ok = emmap_nif:queue_push(Raw, Poison),
    push(Queue, [{1, {answer, ok}}]),
    Consumer = start(Config, #{dead_letters => path(Config, "dead.q"), max_attempts => 3, backoff => {20, 20}}),
    ?assertEqual({1, 1}, attempt()),
    [#{<<"message">> := Bytes, <<"attempts">> := 3, <<"reason">> := <<"bad_term">>}] = letters(Dead, 1),
    ?assertEqual(Poison, binary:part(Bytes, 0, byte_size(Poison))),
    ended(Queue),
    stop(Consumer),
    ok = emmap_nif:close(Raw),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

%% A full queue for dead letters: the consumer tries again, and loses nothing.
dead_letters_fail(Config) ->
    Queue = queue(Config),
    {ok, Dead} = emmap_queue:open(path(Config, "dead.q"), 4096, [fixed_size, backend(Config)]),
    ok = emmap_queue:push(Dead, binary:copy(<<"x">>, 4000)),
    Consumer = start(Config, #{dead_letters => Dead, max_attempts => 1}),
    push(Queue, [{1, {raise, error, boom}}, {2, {answer, ok}}]),
    {1, 1} = attempt(),
    nothing(),
    ?assertMatch({ok, [_]}, emmap_queue:in_hand(Queue)),
    _ = emmap_queue:pop(Dead),
    {2, 1} = attempt(),
    [#{<<"message">> := {1, _}, <<"attempts">> := 1}] = letters(Dead, 1),
    ended(Queue),
    stop(Consumer),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

%% A message whose consumers die is not tried for ever.
dies_with_the_message(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    push(Queue, [{1, wait}]),
    Options = #{dead_letters => path(Config, "dead.q"), max_attempts => 2},
    [begin
        Consumer = start(Config, Options),
        unlink(Consumer),
        {1, Attempt} = attempt(),
        exit(Consumer, kill)
    end || Attempt <- [1, 2]],
    Consumer = start(Config, Options),
    [#{<<"attempts">> := 3, <<"reason">> := <<"no consumer has ended attempt 2">>}] = letters(Dead, 1),
    ended(Queue),
    stop(Consumer),
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

handler_state(Config) ->
    Queue = queue(Config),
    {ok, Consumer} = emmap_consumer:start_link(options(Config, #{args => {answer, {ok, self()}}})),
    push(Queue, [{1, {answer, ok}}]),
    ?assertEqual({1, 1}, attempt()),
    ended(Queue),
    stop(Consumer),
    ok = emmap_queue:close(Queue).

%%% The end

%% The consumer finishes the messages in hand, and takes no more.
stops_when_done(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{concurrency => 2}),
    push(Queue, [{N, {sleep, 200}} || N <- [1, 2, 3]]),
    ?assertEqual([{1, 1}, {2, 1}], [attempt(), attempt()]),
    stop(Consumer),
    ?assertEqual({1, {ok, []}}, {emmap_queue:length(Queue), emmap_queue:in_hand(Queue)}),
    nothing(),
    ok = emmap_queue:close(Queue).

%% The others are put back in order, and their attempt does not count.
stops_in_time(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{concurrency => 3, shutdown => 200}),
    push(Queue, [{N, wait} || N <- [1, 2, 3, 4]]),
    Handlers = [next() || _ <- [1, 2, 3]],
    {Time, ok} = timer:tc(fun() -> stop(Consumer) end),
    ?assert(Time < 5000000),
    ?assertEqual([], [Pid || {_, _, Pid} <- Handlers, is_process_alive(Pid)]),
    Taken = [emmap_queue:take(Queue, 0) || _ <- [1, 2, 3, 4]],
    ?assertEqual([{N, 1} || N <- [1, 2, 3, 4]], [{N, emmap_queue:attempt(D)} || {ok, D, {N, wait}} <- Taken]),
    ok = emmap_queue:close(Queue).

handler_stops_it(Config) ->
    Queue = queue(Config),
    _ = process_flag(trap_exit, true),
    [begin
        push(Queue, [{1, {answer, {stop, {shutdown, Reason}, Answer}}}]),
        Consumer = start(Config, #{backoff => {0, 0}}),
        {1, 1} = attempt(),
        receive {'EXIT', Consumer, {shutdown, Reason}} -> ok after 10000 -> ct:fail(still_there) end,
        receive {terminated, {shutdown, Reason}} -> ok after 10000 -> ct:fail(not_terminated) end,
        ?assertEqual(Left, emmap_queue:length(Queue)),
        _ = emmap_queue:pop(Queue)
    end || {Reason, Answer, Left} <- [{done, ok, 0}, {enough, release, 1}, {failed, {error, wrong}, 1}]],
    ok = emmap_queue:close(Queue).

killed(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{concurrency => 2}),
    unlink(Consumer),
    push(Queue, [{1, wait}, {2, wait}]),
    Handlers = [next(), next()],
    exit(Consumer, kill),
    {ok, First, {1, wait}} = emmap_queue:take(Queue, 5000),
    {ok, Second, {2, wait}} = emmap_queue:take(Queue, 5000),
    ?assertEqual([2, 2], [emmap_queue:attempt(D) || D <- [First, Second]]),
    emmap_test:until(fun() -> [] =:= [Pid || {_, _, Pid} <- Handlers, is_process_alive(Pid)] end),
    ok = emmap_queue:close(Queue).

%% The supervisor starts it again, and the message is delivered again.
supervised(Config) ->
    Queue = queue(Config),
    Spec = emmap_consumer:child_spec(options(Config, #{shutdown => 2000})),
    ?assertMatch(#{id := ?MODULE, shutdown := 2000, start := {emmap_consumer, start_link, [_]}}, Spec),
    ?assertEqual(Spec, emmap_consumer:child_spec(maps:to_list(options(Config, #{shutdown => 2000})))),
    ?assertMatch(#{id := mine, shutdown := 5000}, emmap_consumer:child_spec(options(Config, #{id => mine}))),
    ?assertEqual(ok, supervisor:check_childspecs([Spec])),
    {ok, Supervisor} = supervisor:start_link(emmap_test_supervisor, [Spec]),
    Consumer = receive {init, First} -> First after 10000 -> ct:fail(not_started) end,
    push(Queue, [{1, {once, wait, {answer, ok}}}, {2, wait}]),
    {1, 1} = attempt(),
    exit(Consumer, kill),
    Other = receive {init, Next} when Next =/= Consumer -> Next after 10000 -> ct:fail(not_restarted) end,
    {1, 2} = attempt(),
    {2, 1} = attempt(),
    Start = erlang:monotonic_time(millisecond),
    unlink(Supervisor),
    exit(Supervisor, shutdown),
    receive {terminated, shutdown} -> ok after 10000 -> ct:fail(not_terminated) end,
    ?assert(erlang:monotonic_time(millisecond) - Start >= 1600),
    emmap_test:until(fun() -> not is_process_alive(Other) end),
    ?assertMatch({ok, _, {2, wait}}, emmap_queue:take(Queue, 0)),
    ok = emmap_queue:close(Queue).

%% The port's program dies with messages in hand. The supervisor starts the consumer again, over a new program.
program_dies(Config) ->
    case emmap_test_backends:can(proplists:get_value(backend, Config), port_death) of
        false -> {skip, "there is no program"};
        true ->
            {ok, Supervisor} = supervisor:start_link(emmap_test_supervisor, [emmap_consumer:child_spec(options(Config, #{}))]),
            Consumer = receive {init, First} -> First after 10000 -> ct:fail(not_started) end,
            Queue = queue(Config),
            push(Queue, [{1, {once, wait, {answer, ok}}}]),
            {1, 1, Handler} = next(),
            {ok, Server} = emmap_sup:port(),
            _ = os:cmd("kill -KILL " ++ integer_to_list(emmap_test:os_pid(Server))),
            Handler ! {answer, ok},
            _ = receive {init, Next} when Next =/= Consumer -> Next after 10000 -> ct:fail(not_restarted) end,
            {1, 2} = attempt(),
            Again = queue(Config),
            ended(Again),
            unlink(Supervisor),
            exit(Supervisor, shutdown),
            ok = emmap_queue:close(Again)
    end.

%% The port's server is killed while all handlers are busy: the consumer stops when the first one ends.
server_dies(Config) ->
    case emmap_test_backends:can(proplists:get_value(backend, Config), port_death) of
        false -> {skip, "there is no server"};
        true ->
            _ = process_flag(trap_exit, true),
            Queue = queue(Config),
            Consumer = start(Config, #{concurrency => 2}),
            push(Queue, [{N, wait} || N <- [1, 2, 3]]),
            {1, 1, First} = next(),
            {2, 1, _} = next(),
            {ok, Server} = emmap_sup:port(),
            exit(Server, kill),
            First ! {answer, ok},
            receive {'EXIT', Consumer, Reason} -> ?assertEqual({emmap, list_to_binary(path(Config, "jobs.q")), port_died}, Reason) after 10000 -> ct:fail(still_there) end,
            Again = queue(Config),
            [{ok, _, {N, wait}} = emmap_queue:take(Again, 5000) || N <- [1, 2, 3]],
            ok = emmap_queue:close(Again)
    end.

%% It does not close what it has not opened.
open_queues(Config) ->
    Queue = queue(Config),
    Dead = queue(Config, "dead.q"),
    Consumer = start(Config, #{queue => Queue, dead_letters => Dead, max_attempts => 1}),
    push(Queue, [{1, {raise, error, boom}}]),
    {1, 1} = attempt(),
    [_] = letters(Dead, 1),
    stop(Consumer),
    [ok = emmap_queue:push(Each, open) || Each <- [Queue, Dead]],
    [ok = emmap_queue:close(Each) || Each <- [Queue, Dead]].

%% The consumer has the file of a name opened again before its supervisor starts it again, once.
named_queue_is_lost(Config) ->
    _ = process_flag(trap_exit, true),
    Backend = proplists:get_value(backend, Config),
    [begin
         Path = path(Config, Name),
         {ok, Supervisor} = supervisor:start_link(emmap_test_supervisor, [
             emmap_handles:child_spec(#{name => a_lost_queue, kind => queue, path => Path, options => [{backend, Backend}]}),
             emmap_consumer:child_spec(options(Config, #{queue => a_lost_queue}))]),
         First = receive {init, Before} -> Before after 10000 -> ct:fail(not_started) end,
         ok = Lose(Path),
         receive {init, Second} when Second =/= First -> ok after 10000 -> ct:fail(not_restarted) end,
         ok = emmap_queue:push(a_lost_queue, {1, {answer, ok}}),
         {1, 1} = attempt(),
         exit(Supervisor, shutdown),
         receive {'EXIT', Supervisor, shutdown} -> ok end
     end || {Name, Lose} <- [{"replaced.q", fun(Path) -> replace(Config, Path) end}]
                                ++ [{"dies.q", fun(Path) -> emmap_test:lose(port, Path) end} || Backend =:= port]].

replace(Config, Path) ->
    ok = emmap_queue:close(queue(Config, "new.q")),
    file:rename(path(Config, "new.q"), Path).

%% A letter is not pushed into a file that nobody finds.
letters_are_removed(Config) ->
    _ = process_flag(trap_exit, true),
    Queue = queue(Config),
    Path = path(Config, "dead.q"),
    Consumer = start(Config, #{dead_letters => Path, max_attempts => 1}),
    ok = file:delete(Path),
    push(Queue, [{1, {raise, error, boom}}]),
    {1, 1} = attempt(),
    Dead = list_to_binary(Path),
    receive {'EXIT', Consumer, Reason} -> ?assertEqual({emmap, Dead, estale}, Reason) after 10000 -> ct:fail(still_there) end,
    _ = start(Config, #{dead_letters => Path, max_attempts => 1}),
    [_] = letters(queue(Config, "dead.q"), 1).

init_answers(Config) ->
    _ = process_flag(trap_exit, true),
    ?assertEqual(ignore, emmap_consumer:start_link(options(Config, #{args => {answer, ignore}}))),
    ?assertEqual({error, no}, emmap_consumer:start_link(options(Config, #{args => {answer, {stop, no}}}))),
    [?assertEqual({error, {emmap, Where, Reason}}, emmap_consumer:start_link(options(Config, #{Key => Where})))
     || Key <- [queue, dead_letters],
        {Where, Reason} <- [{path(Config, "none/jobs.q"), enoent}, {no_such_name, {no_handle, no_such_name}}]].

%% Queues of emmap_handles. The consumer does not close them, and a crash report has no message of theirs.
named_queues(Config) ->
    _ = process_flag(trap_exit, true),
    Backend = [{backend, proplists:get_value(backend, Config)}],
    [{ok, _} = emmap_handles:start_link(#{name => Name, kind => queue, path => path(Config, atom_to_list(Name)), options => Backend})
     || Name <- [a_named_queue, named_letters]],
    Consumer = start(Config, #{queue => a_named_queue, dead_letters => named_letters, max_attempts => 1}),
    ok = emmap_queue:push(a_named_queue, {1, {raise, error, boom}}),
    {1, 1} = attempt(),
    emmap_test:until(fun() -> emmap_queue:length(named_letters) =:= 1 end),
    ok = emmap_queue:push(a_named_queue, {2, wait}),
    {2, 1, _} = next(),
    {status, Consumer, _, Items} = sys:get_status(Consumer),
    ?assertEqual(nomatch, re:run(io_lib:format("~0p", [Items]), "wait")),
    stop(Consumer),
    [ok = emmap_queue:push(Name, open) || Name <- [a_named_queue, named_letters]],
    [ok = emmap_handles:stop(Name) || Name <- [a_named_queue, named_letters]].

bad_options(Config) ->
    [?assertError(badarg, emmap_consumer:start_link(options(Config, Bad)))
     || Bad <- [#{concurrency => 0}, #{concurrency => many}, #{max_attempts => 3}, #{max_attempts => 0, dead_letters => "d.q"},
                #{backoff => {2, 1}}, #{backoff => {1, 1 bsl 60}}, #{backoff => 5}, #{shutdown => -1}, #{unknown => 1},
                #{name => "consumer"}]],
    ?assertError(badarg, emmap_consumer:start_link(#{module => ?MODULE})),
    ?assertError(badarg, emmap_consumer:start_link(no_options)).

system_messages(Config) ->
    Queue = queue(Config),
    Consumer = start(Config, #{name => emmap_test_consumer}),
    ?assertEqual(Consumer, whereis(emmap_test_consumer)),
    ok = sys:suspend(emmap_test_consumer),
    push(Queue, [{1, {answer, ok}}, {2, wait}]),
    nothing(),
    ok = sys:resume(Consumer),
    {1, 1} = attempt(),
    {2, 1, Handler} = next(),
    ?assertMatch({status, Consumer, _, _}, sys:get_status(Consumer)),
    ?assertEqual({error, {badarg, question}}, gen_server:call(Consumer, question)),
    ok = gen_server:cast(Consumer, anything),
    Consumer ! anything,
    Handler ! {answer, ok},
    ended(Queue),
    stop(Consumer),
    ok = emmap_queue:close(Queue).

queue_fails(Config) ->
    Queue = queue(Config),
    _ = process_flag(trap_exit, true),
    Consumer = start(Config, #{queue => Queue}),
    ok = emmap_queue:close(Queue),
    receive {'EXIT', Consumer, {emmap, _, closed}} -> ok after 10000 -> ct:fail(still_there) end.

%%% logger

log(Event, #{config := Test}) -> Test ! {log, Event}.

reports(Config) ->
    Queue = queue(Config),
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    try
        Consumer = start(Config, #{dead_letters => path(Config, "dead.q"), max_attempts => 2, backoff => {10, 10}}),
        push(Queue, [{1, {raise, error, boom}}]),
        Path = list_to_binary(path(Config, "jobs.q")),
        {warning, #{attempt := 1, delay := Delay, reason := <<"error: boom">>, stacktrace := [_ | _], queue := Path,
                    module := ?MODULE}} = report(released),
        ?assert(Delay >= 8 andalso Delay =< 12),
        {error, #{attempt := 2}} = report(dead_letter),
        stop(Consumer)
    after
        logger:remove_handler(?MODULE)
    end,
    ok = emmap_queue:close(Queue).

%% The next one of this kind: its level, and the report. Its text can be made.
report(Kind) -> report(Kind, "boom").
report(Kind, Part) ->
    receive
        {log, #{level := Level, msg := {report, #{event := Kind} = Report}, meta := #{report_cb := Format}}} ->
            {Text, Arguments} = Format(Report),
            ?assertNotEqual(nomatch, string:find(io_lib:format(Text, Arguments), Part)),
            {Level, Report}
    after 10000 ->
        ct:fail({no_report, Kind})
    end.
