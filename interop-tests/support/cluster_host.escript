#!/usr/bin/env escript
%% A host of a cluster of one: counters, and a budget. Prints `ready', then the value of counter 0 for each line that it reads.
-mode(compile).

main([Ebin, Backend, Folder]) ->
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    ok = logger:set_primary_config(level, warning),
    Options = [{backend, list_to_atom(Backend)}],
    {ok, _} = emmap_cluster:start_link(#{
        name => hits, folder => filename:join(Folder, "hits"), counters => 4, interval => 10, options => Options}),
    {ok, _} = emmap_budget:start_link(#{
        name => mails, folder => filename:join(Folder, "mails"), limit => 200, window => 60000, block => 100, nodes => [node()],
        options => Options}),
    ok = until_leased(),
    io:format("ready~n"),
    serve().

until_leased() ->
    case emmap_budget:info(mails) of
        #{left := 0} ->
            timer:sleep(10),
            until_leased();
        #{left := 100} -> ok
    end.

serve() ->
    case io:get_line("") of
        eof ->
            ok = emmap_budget:stop(mails),
            ok = emmap_cluster:stop(hits);
        _ ->
            ok = emmap_cluster:add(hits, 0, 100),
            {ok, Value} = emmap_cluster:read(hits, 0),
            Hits = length([true || _ <- lists:seq(1, 30), emmap_budget:hit(mails)]),
            io:format("~b ~b~n", [Value, Hits]),
            serve()
    end.
