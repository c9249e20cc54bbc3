#!/usr/bin/env escript
%% Takes turns with a peer by counters 0 and 1, ROUNDS times: hand_over.escript EBIN BACKEND PATH ask|answer ROUNDS.
%% Prints the time in milliseconds.
-mode(compile).

main([Ebin, Backend, Path, Role, Rounds]) ->
    true = code:add_patha(Ebin),
    {_, _} = Counters = emmap:open_counters(Path, 0, [read, write, {backend, list_to_atom(Backend)}]),
    Begun = erlang:monotonic_time(millisecond),
    play(Role, Counters, 0, list_to_integer(Rounds)),
    io:format("~b~n", [erlang:monotonic_time(millisecond) - Begun]),
    ok = emmap:close_counters(Counters).

play(_Role, _Counters, Rounds, Rounds) -> ok;
play("ask" = Role, Counters, Round, Rounds) ->
    change(Counters, 0),
    await(Counters, 1, Round),
    play(Role, Counters, Round + 1, Rounds);
play("answer" = Role, Counters, Round, Rounds) ->
    await(Counters, 0, Round),
    change(Counters, 1),
    play(Role, Counters, Round + 1, Rounds).

change(Counters, Index) ->
    {ok, _} = emmap:inc_counter(Counters, Index),
    {ok, _} = emmap:notify_counter(Counters, Index, 1).

await(Counters, Index, Value) ->
    case emmap:read_counter(Counters, Index) of
        {ok, Value} ->
            true = lists:member(emmap:wait_counter(Counters, Index, Value, infinity), [ok, not_equal]),
            await(Counters, Index, Value);
        {ok, _} ->
            ok
    end.
