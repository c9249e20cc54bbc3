#!/usr/bin/env escript
%% Prints a file's first four counters. Usage: escript read_counters.escript EBIN BACKEND PATH

main([Ebin, Backend, Path]) ->
    true = code:add_patha(Ebin),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    Counters = emmap:open_counters(Path),
    io:put_chars(lists:join(" ", [integer_to_list(element(2, emmap:read_counter(Counters, I))) || I <- lists:seq(0, 3)])),
    ok = emmap:close_counters(Counters).
