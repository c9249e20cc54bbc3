#!/usr/bin/env escript
%%! +S 1:1
%% One BEAM process of scaling.mjs; it does the same as scaling-worker.mjs.
-mode(compile).

%% How often a process pushes and pops before it looks at the clock.
-define(AT_ONCE, 10).

main([Folder, Number]) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    Counters = emmap:open_counters(filename:join(Folder, "counters")),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "queue"), 0, [read, write]),
    Own = list_to_integer(Number) * 16,
    Works = #{
        "one" => fun(Times) -> add(Counters, 0, Times) end,
        "own" => fun(Times) -> add(Counters, Own, Times) end,
        "queue" => fun(Times) -> push_and_pop(Queue, Times) end
    },
    io:put_chars("ready\n"),
    obey(Works).

obey(Works) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Work, Times] = string:lexemes(Line, " \n"),
            work(Work, Works, list_to_integer(Times)),
            obey(Works)
    end.

work("share", #{"queue" := Work}, Milliseconds) ->
    io:format("~b~n", [share(Work, erlang:monotonic_time(millisecond) + Milliseconds, 0)]);
work(Work, Works, Times) ->
    Begin = os:perf_counter(nanosecond),
    (maps:get(Work, Works))(Times),
    io:format("~b ~b~n", [Begin, os:perf_counter(nanosecond)]).

share(Work, End, Count) ->
    case erlang:monotonic_time(millisecond) < End of
        true -> Work(?AT_ONCE), share(Work, End, Count + ?AT_ONCE);
        false -> Count
    end.

add(_, _, 0) -> ok;
add(Counters, Index, Times) -> {ok, _} = emmap:inc_counter(Counters, Index, 1), add(Counters, Index, Times - 1).

push_and_pop(_, 0) ->
    ok;
push_and_pop(Queue, Times) ->
    ok = emmap_queue:push(Queue, {job, Times}),
    {job, _} = emmap_queue:pop(Queue),
    push_and_pop(Queue, Times - 1).
