#!/usr/bin/env escript
%% The BEAM half of `make demo'. Usage: escript beam.escript EBIN FIXTURE COUNTERS ROUNDS ADDS
%% Prints one JSON object a line, for run.mjs to show.

%% Which counter means what; layout.mjs has the same numbers.
-define(TOTAL, 0).
-define(OF_BEAM, 1).
-define(OF_NODE, 2).
-define(ARRIVED, 3).
-define(FINISHED, 4).

main([Ebin, Fixture, Path, Rounds, Adds]) ->
    true = code:add_patha(Ebin),
    {ok, Upstream} = emmap:open_counters(Fixture),
    say("{\"event\":\"fixture\",\"values\":~s}", [strings([emmap:read_counter(Upstream, I) || I <- lists:seq(0, 3)])]),
    ok = emmap:close_counters(Upstream),

    {ok, Counters} = emmap:open_counters(Path),
    emmap:inc_counter(Counters, ?ARRIVED),
    await(Counters, ?ARRIVED),
    [round(Counters, list_to_integer(Adds)) || _ <- lists:seq(1, list_to_integer(Rounds))],
    emmap:inc_counter(Counters, ?FINISHED),
    await(Counters, ?FINISHED),
    Final = [emmap:read_counter(Counters, I) || I <- [?TOTAL, ?OF_BEAM, ?OF_NODE]],
    say("{\"event\":\"final\",\"values\":~s}", [strings(Final)]),
    ok = emmap:close_counters(Counters).

round(Counters, Adds) ->
    [begin
         emmap:inc_counter(Counters, ?TOTAL),
         emmap:inc_counter(Counters, ?OF_BEAM)
     end || _ <- lists:seq(1, Adds)],
    say("{\"event\":\"progress\",\"mine\":\"~b\",\"theirs\":\"~b\",\"total\":\"~b\"}",
        [emmap:read_counter(Counters, I) || I <- [?OF_BEAM, ?OF_NODE, ?TOTAL]]),
    timer:sleep(30).

await(Counters, Index) ->
    case emmap:read_counter(Counters, Index) of
        2 -> ok;
        _ -> timer:sleep(1), await(Counters, Index)
    end.

strings(Integers) ->
    ["[", lists:join(",", [["\"", integer_to_list(I), "\""] || I <- Integers]), "]"].

say(Format, Arguments) ->
    io:format(Format ++ "~n", Arguments).
