#!/usr/bin/env escript
%% An Erlang service that hands jobs to Node workers, and takes their results. worker.mts is the other half.
%%
%%   export ERL_LIBS=../../erlang/_build/default/lib
%%   escript producer.escript /tmp/jobs 1000 &
%%   node worker.mts /tmp/jobs ann & node worker.mts /tmp/jobs bob &
%%
%% A job is `{resize, Id, Name, Width}', a result `{done, Id, Bytes}' or `{failed, Id, Reason}'. Workers may be killed at any
%% moment. Then a job may be done twice, and its second result is dropped here. No job is lost.
-mode(compile).

main([Folder, Count]) ->
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    {ok, Jobs} = emmap_queue:open(filename:join(Folder, "jobs.q"), 1 bsl 20, []),
    {ok, Results} = emmap_queue:open(filename:join(Folder, "results.q"), 1 bsl 20, []),
    Ids = lists:seq(1, list_to_integer(Count)),
    ok = emmap_queue:push_many(Jobs, [{resize, Id, <<"cat.jpg">>, 40 * Id} || Id <- Ids]),
    io:format("~s jobs are in the queue~n", [Count]),
    {Done, Failed} = collect(Results, sets:from_list(Ids), 0, 0),
    io:format("~b done, ~b failed~n", [Done, Failed]),
    ok = emmap_queue:close(Jobs),
    ok = emmap_queue:close(Results);
main(_) ->
    io:put_chars(standard_error, "usage: escript producer.escript FOLDER COUNT\n"),
    halt(2).

%% Collects results until every job has one.
collect(Results, Waiting, Done, Failed) ->
    case sets:size(Waiting) of
        0 -> {Done, Failed};
        _ ->
            {ok, Result} = emmap_queue:receive_message(Results, infinity),
            collect(Results, Waiting, Done, Failed, Result)
    end.

collect(Results, Waiting, Done, Failed, {Outcome, Id, Answer}) ->
    case {sets:is_element(Id, Waiting), Outcome} of
        {true, done} ->
            collect(Results, sets:del_element(Id, Waiting), Done + 1, Failed);
        {true, failed} ->
            io:format("job ~b failed: ~s~n", [Id, Answer]),
            collect(Results, sets:del_element(Id, Waiting), Done, Failed + 1);
        {false, _} ->
            collect(Results, Waiting, Done, Failed)
    end.
