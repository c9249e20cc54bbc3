#!/usr/bin/env escript
%% A gateway counts the requests of tenants, pushes each as a job for the worker, and pops the answers.
%% Environment: SERVICE is beam-nif or beam-port; FOLDER has the shared files; ERL_LIBS has emmap.
%%
%% A kill at any instruction loses nothing. The counters `sent' and `settled' hold the numbers of the last request and
%% the last answer that are done. Only the gateway writes them, each after the step is complete. So a kill leaves at most
%% one request and one answer in doubt, and the gateway does both again. It marks the job `again', and the worker drops it
%% if it has it already. The answer is still the first in the queue, and its number tells whether it was settled.
-mode(compile).

%% The same numbers as in layout.mjs.
-define(CLOSING, 8).
-define(COUNTERS, 49).
-define(FILE_MODE, 8#660).
-define(BLOCK_SIZE, 32).

%% The most requests without an answer. It bounds the queue.
-define(WINDOW, 500).
-define(BATCH, 100).

-record(gateway, {
    name :: atom(),
    row :: non_neg_integer(), %% of counters
    counters :: emmap:counters(),
    jobs :: term(),
    answers :: term(),
    results :: term()
}).

main([]) ->
    Gateway = open(list_to_atom(os:getenv("SERVICE")), os:getenv("FOLDER", "/shared")),
    Start = count(Gateway, starts) + 1,
    Sent = read(Gateway, sent),
    Settled = read(Gateway, settled),
    set(Gateway, closed, 0),
    set(Gateway, heartbeat, os:system_time(second)),
    log(Gateway, "start ~b: going on after request ~b and answer ~b", [Start, Sent, Settled]),
    Mark = case Start of
        1 -> first;
        _ -> again
    end,
    Parts = [spawn_monitor(fun() -> send(Gateway, Sent + 1, Mark) end),
             spawn_monitor(fun() -> settle(Gateway, true) end)],
    watch(Gateway, [Monitor || {_, Monitor} <- Parts], Sent).

open(Name, Folder) ->
    {Row, Backend} = case Name of
        'beam-nif' -> {0, nif};
        'beam-port' -> {1, port}
    end,
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, Backend),
    %% The time in which a container is paused counts too.
    ok = application:set_env(emmap, port_options, #{call_timeout => 30000}),
    Options = [{mode, ?FILE_MODE}],
    File = fun(Format) -> filename:join(Folder, io_lib:format(Format, [Name])) end,
    Counters = emmap:open_counters(filename:join(Folder, "traffic.counters"), ?COUNTERS, Options),
    {ok, Jobs} = emmap_queue:open(filename:join(Folder, "jobs.queue"), 65536, Options),
    {ok, Answers} = emmap_queue:open(File("answers-~s.queue"), 65536, Options),
    {ok, Results} = emmap:open_block_storage(filename:join(Folder, "results.blocks"), ?BLOCK_SIZE, Options),
    #gateway{name = Name, row = 9 + 10 * Row, counters = Counters, jobs = Jobs, answers = Answers, results = Results}.

%%% Sending

send(Gateway, N, Mark) ->
    Closing = emmap:read_counter(Gateway#gateway.counters, ?CLOSING) =:= {ok, 1},
    Settled = read(Gateway, settled),
    UnderWay = N - 1 - Settled,
    if
        Closing, UnderWay =:= 0 ->
            set(Gateway, closed, 1),
            ok = wait(Gateway, ?CLOSING, 1),
            send(Gateway, N, Mark);
        Closing; UnderWay >= ?WINDOW ->
            ok = wait(Gateway, index(Gateway, settled), Settled),
            send(Gateway, N, Mark);
        true ->
            request(Gateway, N, Mark),
            send(Gateway, N + 1, first)
    end.

request(#gateway{name = Name, counters = Counters, jobs = Jobs} = Gateway, N, Mark) ->
    Tenant = tenant(N),
    _ = value(emmap:inc_counter(Counters, Tenant)),
    ok = emmap_queue:push(Jobs, {job, Name, N, Tenant, Mark}),
    set(Gateway, sent, N).

tenant(N) when N rem 2 =:= 0 -> 0;
tenant(N) -> 1 + (N div 2) rem 7.

%%% Settling

settle(#gateway{answers = Answers} = Gateway, First) ->
    %% The answer leaves the queue when the function has returned. After a kill before that it comes again.
    case emmap_queue:try_pop(Answers, fun(Answer) -> settle(Gateway, Answer, First) end) of
        nil ->
            ok = emmap_queue:wait(Answers, infinity),
            settle(Gateway, First);
        settled ->
            settle(Gateway, false)
    end.

settle(#gateway{name = Name} = Gateway, {answer, Name, N, Outcome, Mark}, First) ->
    _ = case N - read(Gateway, settled) of
        1 ->
            verify(Gateway, N, Outcome),
            settled(Gateway, N),
            free(Gateway, N, Outcome);
        0 when Mark =:= again; First ->
            %% A killed worker sends its last answer again, and a killed gateway may have settled this one before. In both
            %% cases the block may still exist.
            worker(Gateway, again, 1),
            free(Gateway, N, Outcome);
        Ahead when Ahead > 1 ->
            worker(Gateway, lost, Ahead - 1),
            log(Gateway, "answer ~b came ~b too early", [N, Ahead - 1]),
            settled(Gateway, N);
        _ ->
            worker(Gateway, doubled, 1),
            log(Gateway, "answer ~b came twice", [N])
    end,
    settled.

%% The sender may wait for room in the window. Waking it for each request would cost one wait per request.
settled(#gateway{counters = Counters} = Gateway, N) ->
    set(Gateway, settled, N),
    N rem ?BATCH =:= 0 andalso value(emmap:notify_counter(Counters, index(Gateway, settled), infinity)).

verify(_Gateway, _N, limited) ->
    ok;
verify(#gateway{results = Results} = Gateway, N, {served, Address}) ->
    case result(Results, Address) =:= expected(Gateway, N) of
        true ->
            ok;
        false ->
            worker(Gateway, lost, 1),
            log(Gateway, "block ~b is not the result of request ~b", [Address, N])
    end.

free(#gateway{results = Results} = Gateway, N, {served, Address}) ->
    %% If the answer came before, the block may belong to another request by now.
    case result(Results, Address) =:= expected(Gateway, N) of
        true -> true = emmap:free_block(Results, Address);
        false -> false
    end;
free(_Gateway, _N, limited) ->
    false.

result(Results, Address) ->
    case emmap:read_block(Results, Address) of
        Block when is_binary(Block) -> Block;
        eof -> none
    end.

%% The same bytes as in results.mjs.
expected(#gateway{row = Row}, N) ->
    <<Bits:128>> = Request = <<((Row - 9) div 10):32, (tenant(N)):32, N:64>>,
    <<Request/binary, (bnot Bits):128>>.

%%% The heartbeat

%% Beats once a second. If a process of the gateway ends, the gateway ends too, and its container starts it again.
watch(Gateway, Monitors, Before) ->
    receive
        {'DOWN', Monitor, process, _, Reason} ->
            true = lists:member(Monitor, Monitors),
            ended(Gateway, init:get_status(), Reason)
    after 1000 ->
        set(Gateway, heartbeat, os:system_time(second)),
        Sent = read(Gateway, sent),
        Settled = read(Gateway, settled),
        Sent =/= Before andalso
            log(Gateway, "~b requests, ~b answered, ~b in the last second", [Sent, Settled, Sent - Before]),
        watch(Gateway, Monitors, Sent)
    end.

%% On SIGTERM the node stops emmap's application first.
ended(_Gateway, {stopping, _}, _Reason) ->
    timer:sleep(infinity);
ended(Gateway, _, Reason) ->
    log(Gateway, "ended by ~0p", [Reason]),
    halt(1).

log(#gateway{name = Name}, Format, Arguments) ->
    io:format("~s: " ++ Format ++ "~n", [Name | Arguments]).

%%% The counters of this gateway, and the worker's

index(starts) -> 0;
index(heartbeat) -> 1;
index(sent) -> 2;
index(settled) -> 4;
index(again) -> 6;
index(lost) -> 7;
index(doubled) -> 8;
index(closed) -> 9.

index(#gateway{row = Row}, Name) -> Row + index(Name).

read(#gateway{counters = Counters} = Gateway, Name) -> value(emmap:read_counter(Counters, index(Gateway, Name))).
set(#gateway{counters = Counters} = Gateway, Name, To) -> value(emmap:set_counter(Counters, index(Gateway, Name), To)).
count(#gateway{counters = Counters} = Gateway, Name) -> value(emmap:inc_counter(Counters, index(Gateway, Name), 1)).
worker(#gateway{counters = Counters}, Name, More) -> value(emmap:inc_counter(Counters, 29 + index(Name), More)).

%% An error, as {error, port_died}, ends the gateway, and its container starts it again.
value({ok, Value}) -> Value.

%% Returns when the counter holds another value. A change without a notify is found within 100 ms.
wait(#gateway{counters = Counters}, Index, Value) ->
    case emmap:wait_counter(Counters, Index, Value, infinity) of
        not_equal -> ok;
        Result -> Result
    end.
