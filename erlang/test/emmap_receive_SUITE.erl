%% Waiting for messages, over both backends: emmap_queue:receive_message/2 and set_active/2.
-module(emmap_receive_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([message_that_is_there/1, message_that_comes/1, long_message_that_comes/1, refused_message_that_comes/1,
         sleeps_while_another_pops/1, message_of_another_handle/1, timeout_is_answered/1,
         any_term_is_a_message/1, bad_arguments/1, refused_message/1, close_ends_it/1, killed_receiver/1,
         message_put_back/1, each_message_once/1, no_stray_messages/1, wait_takes_nothing/1, waiters_try_pop/1]).
-export([active_once/1, active_count/1, active_true/1, passive_again/1, active_ends_with_its_process/1,
         active_refused_message/1, active_close/1, waits_for_no_other_name/1]).

-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [message_that_is_there, message_that_comes, long_message_that_comes, refused_message_that_comes,
       sleeps_while_another_pops, message_of_another_handle, timeout_is_answered, any_term_is_a_message,
       bad_arguments, refused_message, close_ends_it, killed_receiver, message_put_back, each_message_once,
       no_stray_messages, wait_takes_nothing, waiters_try_pop, active_once, active_count, active_true, passive_again, active_ends_with_its_process,
       active_refused_message, active_close, waits_for_no_other_name]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

queue(Config) -> queue(Config, [exclusive]).

queue(Config, Options) ->
    Name = "queue" ++ integer_to_list(erlang:unique_integer([positive])),
    {ok, Queue} = emmap_queue:open(emmap_test:path(Config, Name), 4096, options(Config, Options)),
    Queue.

options(Config, Options) -> [{backend, proplists:get_value(backend, Config)}, create, read, write | Options].

%% Pushes bytes that are no term.
push_bytes(Queue, Bytes) ->
    {Backend, Handle} = backend(Queue),
    Backend:queue_push(Handle, Bytes).

backend(#file_descriptor{data = Data}) -> {element(2, Data), element(3, Data)}.

%% Starts a process that calls the fun, and sends the result.
start(Do) ->
    Self = self(),
    spawn_link(fun() -> Self ! {self(), Do()} end).

result(Process) ->
    receive {Process, Result} -> Result after 10000 -> ct:fail({still_waits, Process}) end.

%% Waits until a process waits for a message: from the program, or from the core.
await_waiting(Process) ->
    case process_info(Process, [status, current_function]) of
        [{status, waiting}, {current_function, {Module, _, _}}] when Module =:= emmap_nif; Module =:= emmap_port -> ok;
        _ -> timer:sleep(1), await_waiting(Process)
    end.

message_that_is_there(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, first),
    ok = emmap_queue:push(Queue, second),
    ?assertEqual({ok, first}, emmap_queue:receive_message(Queue, 0)),
    ?assertEqual({ok, second}, emmap_queue:receive_message(Queue, infinity)),
    ok = emmap_queue:close(Queue).

message_that_comes(Config) ->
    Queue = queue(Config),
    [begin
        Receiver = start(fun() -> emmap_queue:receive_message(Queue, infinity) end),
        ok = await_waiting(Receiver),
        ok = emmap_queue:push(Queue, {message, N}),
        ?assertEqual({ok, {message, N}}, result(Receiver))
    end || N <- lists:seq(1, 20)],
    ok = emmap_queue:close(Queue).

long_message_that_comes(Config) ->
    Queue = queue(Config, []),
    [begin
        Long = binary:copy(<<N>>, 1 bsl N),
        Receiver = start(fun() -> emmap_queue:receive_message(Queue, 10000) end),
        ok = await_waiting(Receiver),
        ok = emmap_queue:push(Queue, {Long, N}),
        ?assertEqual({ok, {Long, N}}, result(Receiver))
    end || N <- lists:seq(4, 21)],
    ok = emmap_queue:close(Queue).

%% It stays, and other processes may remove it.
refused_message_that_comes(Config) ->
    Queue = queue(Config, []),
    Receiver = start(fun() -> emmap_queue:receive_message(Queue, infinity) end),
    ok = await_waiting(Receiver),
    ok = push_bytes(Queue, <<"no term!">>),
    ?assertEqual({error, {bad_term, <<"no term!">>}}, result(Receiver)),
    ?assertEqual({ok, <<"no term!">>}, emmap_queue:pop_bytes(Queue)),
    ok = emmap_queue:close(Queue).

%% The message is there all the time, but nobody else can remove it: neither of the two tries again and again.
sleeps_while_another_pops(Config) ->
    Queue = queue(Config, []),
    ok = emmap_queue:push(Queue, message),
    {Backend, Handle} = backend(Queue),
    {ok, _, Ticket} = Backend:queue_pop_begin(Handle),
    Receiver = start(fun() -> emmap_queue:receive_message(Queue, infinity) end),
    Active = start(fun() -> ok = emmap_queue:set_active(Queue, once), next() end),
    ok = await_waiting(Receiver),
    ok = emmap_test:until(fun() -> active_servers() =/= [] end),
    timer:sleep(30),
    Servers = active_servers(),
    Before = reductions([Receiver | Servers]),
    timer:sleep(100),
    ?assert(reductions([Receiver | Servers]) - Before < 10000),
    ok = Backend:queue_pop_commit(Handle, Ticket),
    ok = emmap_queue:push(Queue, one),
    ok = emmap_queue:push(Queue, other),
    Received = [case result(Each) of
                    {ok, Message} -> Message;
                    {emmap_queue, Queue, Message} -> Message
                end || Each <- [Active, Receiver]],
    ?assertEqual([one, other], lists:sort(Received)),
    ok = emmap_queue:close(Queue).

reductions(Processes) ->
    lists:sum([Count || Process <- Processes, {reductions, Count} <- [process_info(Process, reductions)]]).

message_of_another_handle(Config) ->
    Path = emmap_test:path(Config, "shared"),
    {ok, Queue} = emmap_queue:open(Path, 4096, options(Config, [])),
    {ok, Other} = emmap_queue:open(Path, 4096, options(Config, [])),
    [begin
        Receiver = start(fun() -> emmap_queue:receive_message(Queue, 10000) end),
        ok = await_waiting(Receiver),
        ok = emmap_queue:push(Other, {message, N}),
        ?assertEqual({ok, {message, N}}, result(Receiver))
    end || N <- lists:seq(1, 5)],
    ok = emmap_queue:close(Other),
    ok = emmap_queue:close(Queue).

timeout_is_answered(Config) ->
    Queue = queue(Config),
    ?assertEqual(timeout, emmap_queue:receive_message(Queue, 0)),
    {Time, Answer} = timer:tc(fun() -> emmap_queue:receive_message(Queue, 150) end),
    ?assertEqual(timeout, Answer),
    ?assert(Time >= 150000),
    ok = emmap_queue:close(Queue).

any_term_is_a_message(Config) ->
    Queue = queue(Config),
    [begin
        ok = emmap_queue:push(Queue, Term),
        ?assertEqual({ok, Term}, emmap_queue:receive_message(Queue, 1000))
    end || Term <- [nil, timeout, eof, {error, closed}, {ok, nil}, binary:copy(<<"long">>, 10000)]],
    ok = emmap_queue:close(Queue).

bad_arguments(Config) ->
    Queue = queue(Config),
    [?assertError(badarg, emmap_queue:receive_message(Queue, Bad)) || Bad <- [-1, 1.0, soon, <<"1">>]],
    [?assertError(badarg, emmap_queue:wait(Queue, Bad)) || Bad <- [-1, 1.0, soon, <<"1">>]],
    [?assertError(badarg, emmap_queue:set_active(Queue, Bad)) || Bad <- [1.0, twice, <<"1">>]],
    [?assertEqual({error, einval}, emmap_queue:set_active(Queue, Bad)) || Bad <- [32768, -32769]],
    ok = emmap_queue:close(Queue).

refused_message(Config) ->
    Queue = queue(Config, [exclusive, {max_inflated_size, 0}]),
    ok = push_bytes(Queue, <<"no term!">>),
    ?assertEqual({error, {bad_term, <<"no term!">>}}, emmap_queue:receive_message(Queue, infinity)),
    ?assertEqual({ok, <<"no term!">>}, emmap_queue:pop_bytes(Queue)),
    ok = emmap_queue:close(Queue).

close_ends_it(Config) ->
    [begin
        Queue = queue(Config, Options),
        Receiver = start(fun() -> emmap_queue:receive_message(Queue, infinity) end),
        ok = await_waiting(Receiver),
        ok = emmap_queue:close(Queue),
        ?assertEqual({error, closed}, result(Receiver))
    end || Options <- [[exclusive], []]].

killed_receiver(Config) ->
    Queue = queue(Config),
    [begin
        Killed = spawn(fun() -> emmap_queue:receive_message(Queue, infinity) end),
        ok = await_waiting(Killed),
        Receiver = start(fun() -> emmap_queue:receive_message(Queue, 10000) end),
        ok = await_waiting(Receiver),
        exit(Killed, kill),
        ok = emmap_queue:push(Queue, N),
        ?assertEqual({ok, N}, result(Receiver))
    end || N <- lists:seq(1, 20)],
    ok = emmap_queue:close(Queue).

message_put_back(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:push(Queue, again),
    Receiver = start(fun() ->
        try
            emmap_queue:try_pop(Queue, fun(again) ->
                Other = start(fun() -> emmap_queue:receive_message(Queue, 10000) end),
                ok = await_waiting(Other),
                throw(Other)
            end)
        catch
            Other -> result(Other)
        end
    end),
    ?assertEqual({ok, again}, result(Receiver)),
    ok = emmap_queue:close(Queue).

each_message_once(Config) ->
    Queue = queue(Config),
    Count = 2000,
    Receivers = [start(fun() -> receive_all(Queue, []) end) || _ <- lists:seq(1, 10)],
    Pushers = [start(fun() -> [ok = emmap_queue:push(Queue, N) || N <- lists:seq(I, Count, 4)], ok end)
               || I <- lists:seq(1, 4)],
    [ok = result(Pusher) || Pusher <- Pushers],
    [ok = emmap_queue:push(Queue, stop) || _ <- Receivers],
    Received = lists:append([result(Receiver) || Receiver <- Receivers]),
    ?assertEqual(lists:seq(1, Count), lists:sort(Received)),
    ok = emmap_queue:close(Queue).

receive_all(Queue, Received) ->
    case emmap_queue:receive_message(Queue, infinity) of
        {ok, stop} -> Received;
        {ok, N} -> receive_all(Queue, [N | Received])
    end.

no_stray_messages(Config) ->
    Queue = queue(Config),
    [begin
        _ = start(fun() -> emmap_queue:push(Queue, N) end),
        _ = emmap_queue:receive_message(Queue, N rem 3)
    end || N <- lists:seq(1, 50)],
    [receive {Pusher, ok} when is_pid(Pusher) -> ok after 10000 -> ct:fail(no_push) end || _ <- lists:seq(1, 50)],
    receive Message -> ct:fail({stray, Message}) after 50 -> ok end,
    ok = emmap_queue:close(Queue).

wait_takes_nothing(Config) ->
    [begin
        Queue = queue(Config, Options),
        ?assertEqual(timeout, emmap_queue:wait(Queue, 0)),
        {Time, Answer} = timer:tc(fun() -> emmap_queue:wait(Queue, 30) end),
        ?assertEqual(timeout, Answer),
        ?assert(Time >= 30000),
        Waiter = start(fun() -> emmap_queue:wait(Queue, infinity) end),
        ok = await_waiting(Waiter),
        ok = emmap_queue:push(Queue, message),
        ?assertEqual(ok, result(Waiter)),
        ?assertEqual(ok, emmap_queue:wait(Queue, 0)),
        ?assertEqual(message, emmap_queue:pop(Queue)),
        Late = start(fun() -> emmap_queue:wait(Queue, infinity) end),
        ok = await_waiting(Late),
        ok = emmap_queue:close(Queue),
        ?assertEqual({error, closed}, result(Late))
    end || Options <- [[exclusive], []]].

waiters_try_pop(Config) ->
    Queue = queue(Config),
    Count = 500,
    Takers = [start(fun() -> take_all(Queue, []) end) || _ <- lists:seq(1, 5)],
    [ok = emmap_queue:push(Queue, N) || N <- lists:seq(1, Count)],
    [ok = emmap_queue:push(Queue, stop) || _ <- Takers],
    ?assertEqual(lists:seq(1, Count), lists:sort(lists:append([result(Taker) || Taker <- Takers]))),
    ok = emmap_queue:close(Queue).

take_all(Queue, Taken) ->
    ok = emmap_queue:wait(Queue, infinity),
    case emmap_queue:try_pop(Queue, fun(Message) -> Message end) of
        stop -> Taken;
        N when is_integer(N) -> take_all(Queue, [N | Taken]);
        nil -> take_all(Queue, Taken);
        {error, ebusy} -> take_all(Queue, Taken)
    end.

%%% set_active

next() -> receive Message -> Message after 10000 -> ct:fail(no_message) end.
nothing() -> receive Message -> ct:fail({unexpected, Message}) after 30 -> ok end.

active_once(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:set_active(Queue, once),
    ok = nothing(),
    ok = emmap_queue:push(Queue, 1),
    ok = emmap_queue:push(Queue, 2),
    ?assertEqual({emmap_queue, Queue, 1}, next()),
    ok = nothing(),
    ok = emmap_queue:set_active(Queue, once),
    ?assertEqual({emmap_queue, Queue, 2}, next()),
    ok = nothing(),
    ok = emmap_queue:close(Queue).

active_count(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:set_active(Queue, 1),
    ok = emmap_queue:set_active(Queue, 2),
    [ok = emmap_queue:push(Queue, N) || N <- lists:seq(1, 5)],
    [?assertEqual({emmap_queue, Queue, N}, next()) || N <- [1, 2, 3]],
    ?assertEqual({emmap_queue_passive, Queue}, next()),
    ok = nothing(),
    ok = emmap_queue:set_active(Queue, 1),
    ?assertEqual({emmap_queue, Queue, 4}, next()),
    ?assertEqual({emmap_queue_passive, Queue}, next()),
    ok = emmap_queue:set_active(Queue, -1),
    ?assertEqual({emmap_queue_passive, Queue}, next()),
    ?assertEqual(5, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

active_true(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:set_active(Queue, true),
    _ = start(fun() -> [ok = emmap_queue:push(Queue, N) || N <- lists:seq(1, 200)], ok end),
    Messages = [next() || _ <- lists:seq(1, 201)],
    ?assertEqual([{emmap_queue, Queue, N} || N <- lists:seq(1, 200)], [M || {emmap_queue, _, _} = M <- Messages]),
    ok = emmap_queue:set_active(Queue, false),
    ok = emmap_queue:close(Queue).

passive_again(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:set_active(Queue, true),
    ok = emmap_queue:set_active(Queue, false),
    ok = emmap_queue:push(Queue, kept),
    ok = nothing(),
    ?assertEqual(kept, emmap_queue:pop(Queue)),
    ok = emmap_queue:set_active(Queue, false),
    ok = emmap_queue:close(Queue).

active_ends_with_its_process(Config) ->
    Queue = queue(Config),
    ok = result(start(fun() -> emmap_queue:set_active(Queue, true) end)),
    ok = until_no_server(),
    ok = emmap_queue:push(Queue, kept),
    ok = nothing(),
    ?assertEqual(kept, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

until_no_server() ->
    case active_servers() of
        [] -> ok;
        _ -> timer:sleep(1), until_no_server()
    end.

active_servers() ->
    [Process || Process <- processes(), {dictionary, Dictionary} <- [process_info(Process, dictionary)],
                lists:member({'$initial_call', {emmap_active, init, 1}}, Dictionary)].

active_refused_message(Config) ->
    Queue = queue(Config),
    ok = push_bytes(Queue, <<"no term!">>),
    ok = emmap_queue:set_active(Queue, true),
    ?assertEqual({emmap_queue_error, Queue, {bad_term, <<"no term!">>}}, next()),
    ?assertEqual({ok, <<"no term!">>}, emmap_queue:pop_bytes(Queue)),
    ok = emmap_queue:push(Queue, good),
    ok = nothing(),
    ok = emmap_queue:set_active(Queue, once),
    ?assertEqual({emmap_queue, Queue, good}, next()),
    ok = emmap_queue:close(Queue).

active_close(Config) ->
    Queue = queue(Config),
    ok = emmap_queue:set_active(Queue, true),
    ok = emmap_queue:close(Queue),
    ?assertEqual({emmap_queue_error, Queue, closed}, next()),
    [?assertEqual({Active, {error, closed}}, {Active, emmap_queue:set_active(Queue, Active)})
     || Active <- [once, 1, true, false]],
    ?assertEqual(none, receive Any -> Any after 50 -> none end).

%% A queue that another process has open by another name can't be opened by this path.
waits_for_no_other_name(Config) ->
    Path = emmap_test:path(Config, "follows"),
    {ok, Queue} = emmap_queue:open(Path, 4096, options(Config, [follow])),
    {ok, Other} = emmap_queue:open(Path ++ ".new", 4096, options(Config, [])),
    Receiver = start(fun() -> emmap_queue:receive_message(Queue, 10000) end),
    Active = start(fun() ->
        ok = emmap_queue:set_active(Queue, true),
        receive {emmap_queue_error, _, Reason} -> {error, Reason} end
    end),
    ok = emmap_queue:push(Other, new),
    ok = file:rename(Path ++ ".new", Path),
    ?assertEqual({error, estale}, result(Receiver)),
    ?assertEqual({error, estale}, result(Active)),
    ok = emmap_queue:close(Other),
    timer:sleep(1000),
    ?assertEqual({ok, new}, emmap_queue:receive_message(Queue, 10000)),
    ok = emmap_queue:close(Queue).
