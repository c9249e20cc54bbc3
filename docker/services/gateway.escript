#!/usr/bin/env escript
%% A gateway: takes requests of tenants in, counts them, hands each to the worker as a job and takes its answer.
%% In the environment: SERVICE (beam-nif or beam-port), FOLDER of the shared files, ERL_LIBS where emmap is.
%%
%% It may be killed at any instruction and goes on where it was. What is done is what the counters `sent' and `settled'
%% say; each is written by nobody else, once the step it stands for is complete. So at most one request and one answer
%% are in doubt after a kill, and both are simply done again: the job is marked `again', for the worker to drop if
%% it has it already; the answer is the first in the queue still, and is known by its number.
-mode(compile).

%% As in layout.mjs.
-define(CLOSING, 8).
-define(COUNTERS, 49).
-define(FILE_MODE, 8#660).
-define(BLOCK_SIZE, 32).

%% Requests under way. The queue is as short as the worker is quick, and never longer.
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
    %% The answer leaves the queue when the function has returned: killed before that, we are given it again.
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
            %% The worker was killed and has sent it again, or we were and have settled it before. Either way its
            %% block may still be there.
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

%% The sender may wait for room in the window. It is woken for many requests at once: one by one they would cost a wait each.
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
    %% When this is the second time the block may be another request's by now.
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

%% As in results.mjs.
expected(#gateway{row = Row}, N) ->
    <<Bits:128>> = Request = <<((Row - 9) div 10):32, (tenant(N)):32, N:64>>,
    <<Request/binary, (bnot Bits):128>>.

%%% Showing that we are alive

%% Once a second, until a part of us fails: then so do we, and get started anew.
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

%% On SIGTERM the node takes emmap's application down before us.
ended(_Gateway, {stopping, _}, _Reason) ->
    timer:sleep(infinity);
ended(Gateway, _, Reason) ->
    log(Gateway, "ended by ~0p", [Reason]),
    halt(1).

log(#gateway{name = Name}, Format, Arguments) ->
    io:format("~s: " ++ Format ++ "~n", [Name | Arguments]).

%%% Our row of counters, and the worker's

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

%% Not {error, port_died}, for example: then we end, and are started anew.
value({ok, Value}) -> Value.

%% Until the counter holds another value: within 100 ms where nobody notifies of that.
wait(#gateway{counters = Counters}, Index, Value) ->
    case emmap:wait_counter(Counters, Index, Value, infinity) of
        not_equal -> ok;
        Result -> Result
    end.
