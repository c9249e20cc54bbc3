#!/usr/bin/env escript
%% Receives a message {N} from one queue and pushes {N} to another, COUNT times: receiver.escript EBIN BACKEND FROM TO COUNT.
%% Prints the time in milliseconds.
-mode(compile).

main([Ebin, Backend, From, To, Count]) ->
    true = code:add_patha(Ebin),
    [In, Out] = [begin
        {ok, Queue} = emmap_queue:open(Path, 4096, [{backend, list_to_atom(Backend)}]),
        Queue
    end || Path <- [From, To]],
    Begun = erlang:monotonic_time(millisecond),
    _ = [begin
        {ok, N} = emmap_queue:receive_message(In, 30000),
        ok = emmap_queue:push(Out, N)
    end || N <- lists:seq(1, list_to_integer(Count))],
    io:format("~b~n", [erlang:monotonic_time(millisecond) - Begun]),
    ok = emmap_queue:close(In),
    ok = emmap_queue:close(Out).
