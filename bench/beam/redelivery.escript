#!/usr/bin/env escript
%%! +sbwt none
%% The other process of deliveries.mjs where a consumer is killed.
%%
%%   redelivery.escript FOLDER hold   takes a message, and keeps it
%%   redelivery.escript FOLDER wait   for each line of its input: waits for a message, acknowledges it, and says when it came,
%%                                    in nanoseconds of the system's monotonic clock
-mode(compile).

main([Folder, What]) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "redelivered"), 0, []),
    case What of
        "hold" ->
            {ok, _, _} = emmap_queue:take(Queue, infinity),
            io:format("ready~n"),
            timer:sleep(infinity);
        "wait" ->
            io:format("ready~n"),
            wait(Queue)
    end.

wait(Queue) ->
    case io:get_line("") of
        eof -> ok;
        _ ->
            {ok, Delivery, _} = emmap_queue:take(Queue, infinity),
            io:format("~b~n", [os:perf_counter(nanosecond)]),
            ok = emmap_queue:ack(Delivery),
            wait(Queue)
    end.
