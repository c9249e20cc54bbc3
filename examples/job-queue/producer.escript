#!/usr/bin/env escript
%% An Erlang service that hands jobs to Node workers, and takes their results. worker.mts is the other half.
%%
%%   export ERL_LIBS=../../erlang/_build/default/lib
%%   escript producer.escript /tmp/jobs 1000 &
%%   node worker.mts /tmp/jobs & node worker.mts /tmp/jobs &
%%
%% A job is `{resize, Id, Name, Width}', a result `{done, Id, Bytes}'. A job that fails again and again comes back among the dead
%% letters. Workers may be killed at any moment. Then a job may be done twice, and its second result is dropped here. No job
%% is lost.
-mode(compile).

main([Folder, Count]) ->
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    Queues = [Jobs, Results, Failed] = [open(Folder, Name) || Name <- ["jobs.q", "results.q", "failed.q"]],
    Ids = lists:seq(1, list_to_integer(Count)),
    ok = emmap_queue:push_many(Jobs, [{resize, Id, picture(Id), 40 * Id} || Id <- Ids]),
    io:format("~s jobs are in the queue~n", [Count]),
    [ok = emmap_queue:set_active(Queue, true) || Queue <- [Results, Failed]],
    ok = collect(sets:from_list(Ids), 0, 0),
    [ok = emmap_queue:close(Queue) || Queue <- Queues];
main(_) ->
    io:put_chars(standard_error, "usage: escript producer.escript FOLDER COUNT\n"),
    halt(2).

open(Folder, Name) ->
    {ok, Queue} = emmap_queue:open(filename:join(Folder, Name), 1 bsl 20, []),
    Queue.

picture(1) -> 404; % no name: no worker can do this job
picture(_) -> <<"cat.jpg">>.

%% Collects results until every job has one.
collect(Waiting, Done, Failed) ->
    case sets:size(Waiting) of
        0 ->
            io:format("~b done, ~b failed~n", [Done, Failed]);
        _ ->
            {Id, IsDone} = receive {emmap_queue, _Queue, Message} -> result(Message) end,
            case {sets:is_element(Id, Waiting), IsDone} of
                {true, true} -> collect(sets:del_element(Id, Waiting), Done + 1, Failed);
                {true, false} -> collect(sets:del_element(Id, Waiting), Done, Failed + 1);
                {false, _} -> collect(Waiting, Done, Failed)
            end
    end.

result({done, Id, _Bytes}) ->
    {Id, true};
result(#{<<"message">> := {resize, Id, _, _}, <<"reason">> := Reason}) ->
    io:format("job ~b failed: ~s~n", [Id, Reason]),
    {Id, false}.
