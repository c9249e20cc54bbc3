#!/usr/bin/env escript
%% Waits until counter 1 shows that all Parties have arrived. Then adds 1 to counter 0, Times times.
%% Usage: escript adder.escript EBIN BACKEND PATH TIMES PARTIES

-define(BATCH, 1000).

main([Ebin, Backend, Path, Times, Parties]) ->
    true = code:add_patha(Ebin),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    Counters = emmap:open_counters(Path),
    {ok, _} = emmap:inc_counter(Counters, 1),
    await(Counters, list_to_integer(Parties)),
    add(list_to_atom(Backend), Counters, list_to_integer(Times)),
    ok = emmap:close_counters(Counters).

await(Counters, Parties) ->
    case emmap:read_counter(Counters, 1) of
        {ok, Parties} -> ok;
        _ -> timer:sleep(1), await(Counters, Parties)
    end.

add(_, _, 0) ->
    ok;
add(nif, Counters, Times) ->
    {ok, _} = emmap:inc_counter(Counters, 0),
    add(nif, Counters, Times - 1);
add(port, Counters, Times) ->
    Size = min(?BATCH, Times),
    {ok, Results} = emmap:batch(Counters, lists:duplicate(Size, {inc_counter, 0, 1})),
    Size = length(Results),
    add(port, Counters, Times - Size).
