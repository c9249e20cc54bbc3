#!/usr/bin/env escript
%% Processes that push messages to one queue and count them, through one port program, over and over. Producer P of a life
%% pushes {P, 1}, {P, 2} and so on, each after the answer to the one before, and adds 1 to counter P when it has that
%% answer. If the program dies they find a new one, and are other producers from then on.
%% Lines, and the answers to them:
%%   work FOLDER CALLERS    ok                 CALLERS processes begin
%%   stop                   ok CALLS DIED MS   once they have all ended: calls, calls that were `port_died', longest call
%%   open FOLDER            ok                 opens the counters for those to come
%%   flood CALLS            ok                 as many processes make one call each, which adds 1 to counter 0
%%   asked                  ok                 once each of them has asked the port program, or has been answered
%%   answers                ok DONE DIED       once all of them have an answer: calls that were done and `port_died'
-mode(compile).

main([]) ->
    %% Standard output is for answers alone.
    ok = logger:remove_handler(default),
    ok = logger:add_handler(default, logger_std_h, #{config => #{type => standard_error}}),
    {ok, _} = application:ensure_all_started(emmap),
    ok = io:setopts([binary]),
    loop([]).

loop(Callers) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            case string:split(string:trim(Line), " ", all) of
                [<<"work">>, Folder, Count] ->
                    Started = [spawn_monitor(fun() -> live(Folder, Number, binary_to_integer(Count)) end)
                               || Number <- lists:seq(0, binary_to_integer(Count) - 1)],
                    io:format("ok~n"),
                    loop(Started);
                [<<"open">>, Folder] ->
                    Counters = emmap:open_counters(<<Folder/binary, "/counters">>, 4096, [{backend, port}]),
                    _ = put(counters, Counters),
                    io:format("ok~n"),
                    loop(Callers);
                [<<"flood">>, Count] ->
                    Counters = get(counters),
                    io:format("ok~n"),
                    loop([spawn_monitor(fun() -> exit({answered, emmap:inc_counter(Counters, 0, 1)}) end)
                          || _ <- lists:seq(1, binary_to_integer(Count))]);
                [<<"asked">>] ->
                    ok = asked([Pid || {Pid, _} <- Callers]),
                    io:format("ok~n"),
                    loop(Callers);
                [<<"answers">>] ->
                    Answers = [receive {'DOWN', Monitor, process, Pid, End} -> {answered, Answer} = End, Answer end
                               || {Pid, Monitor} <- Callers],
                    {Done, Died} = lists:partition(fun(Answer) -> element(1, Answer) =:= ok end, Answers),
                    [] = [Answer || Answer <- Died, Answer =/= {error, port_died}],
                    io:format("ok ~b ~b~n", [length(Done), length(Died)]),
                    loop([]);
                [<<"stop">>] ->
                    _ = [Pid ! stop || {Pid, _} <- Callers],
                    Ends = [receive {'DOWN', Monitor, process, Pid, End} -> {ended, _, _, _} = End end
                            || {Pid, Monitor} <- Callers],
                    {Calls, Died, Longest} = lists:unzip3([{C, D, L} || {ended, C, D, L} <- Ends]),
                    io:format("ok ~b ~b ~b~n", [lists:sum(Calls), lists:sum(Died), lists:max(Longest) div 1000]),
                    loop([])
            end
    end.

%% A process that waits for an answer, or for room in the pipe, does not run.
asked(Pids) ->
    case [Pid || Pid <- Pids, lists:member(process_info(Pid, status), [{status, runnable}, {status, running}])] of
        [] -> ok;
        Busy -> erlang:yield(), asked(Busy)
    end.

-record(caller, {folder, producer, callers, queue, counters, calls = 0, died = 0, longest = 0}).

live(Folder, Producer, Callers) ->
    anew(#caller{folder = Folder, producer = Producer, callers = Callers}).

%% The files that the present program has open.
anew(#caller{folder = Folder} = Caller) ->
    Options = [{backend, port}],
    case timed(fun() -> emmap_queue:open(<<Folder/binary, "/queue">>, 4096, Options) end, Caller) of
        {{ok, Queue}, One} ->
            case timed(fun() -> emmap:open_counters(<<Folder/binary, "/counters">>, 4096, Options) end, One) of
                {{error, port_died}, Two} -> again(Two);
                {{_, _} = Counters, Two} -> push(1, Two#caller{queue = Queue, counters = Counters})
            end;
        {{error, port_died}, One} ->
            again(One)
    end.

again(#caller{producer = Producer, callers = Callers, died = Died} = Caller) ->
    anew(Caller#caller{producer = Producer + Callers, died = Died + 1}).

push(N, #caller{queue = Queue, counters = Counters, producer = Producer} = Caller) ->
    receive
        stop -> exit({ended, Caller#caller.calls, Caller#caller.died, Caller#caller.longest})
    after 0 ->
        case timed(fun() -> emmap_queue:push(Queue, {Producer, N}) end, Caller) of
            {ok, Pushed} ->
                case timed(fun() -> emmap:inc_counter(Counters, Producer, 1) end, Pushed) of
                    {{ok, Old}, Counted} when Old =:= N - 1 -> push(N + 1, Counted);
                    {{error, port_died}, Counted} -> again(Counted)
                end;
            {{error, port_died}, Pushed} ->
                again(Pushed)
        end
    end.

timed(Call, #caller{calls = Calls, longest = Longest} = Caller) ->
    {Time, Result} = timer:tc(Call),
    {Result, Caller#caller{calls = Calls + 1, longest = max(Time, Longest)}}.
