#!/usr/bin/env escript
%% Creates a counters file with the values given. Usage: escript write_counters.escript EBIN BACKEND PATH VALUE...

main([Ebin, Backend, Path | Values]) ->
    true = code:add_patha(Ebin),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    Counters = emmap:open_counters(Path, length(Values)),
    [{ok, 0} = emmap:set_counter(Counters, Index, list_to_integer(Value))
     || {Index, Value} <- lists:zip(lists:seq(0, length(Values) - 1), Values)],
    ok = emmap:close_counters(Counters).
