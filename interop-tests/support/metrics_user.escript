#!/usr/bin/env escript
%% Counts in the metrics of a Node program, and prints their text.

main([Ebin, Path]) ->
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    {ok, Metrics} = emmap_metrics:open(Path, #{
        <<"requests_total">> => {counter, #{labels => [<<"route">>, <<"status">>]}},
        <<"latency_seconds">> => {histogram, #{buckets => [1.0e-7, 0.1, 1000000]}},
        <<"in_flight">> => {gauge, #{per_process => true}}
    }, []),
    ok = emmap_metrics:add(Metrics, <<"requests_total">>, [<<"/">>, 200], 3),
    ok = emmap_metrics:observe(Metrics, <<"latency_seconds">>, [], 0.5),
    ok = emmap_metrics:set(Metrics, <<"in_flight">>, [], 3),
    {ok, Text} = emmap_metrics:text(Metrics),
    io:put_chars(Text),
    ok = emmap_metrics:close(Metrics).
