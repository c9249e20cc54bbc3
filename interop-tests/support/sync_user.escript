#!/usr/bin/env escript
%% Creates a file, and syncs it with every function that Erlang has for it. Before each call and after the last it looks
%% for the file MARK, which does not exist, so that a trace shows where each call begins.
%% Usage: escript sync_user.escript EBIN BACKEND FILE MARK
-mode(compile).

main([Ebin, Backend, Path, Mark]) ->
    true = code:add_patha(Ebin),
    {ok, File} = emmap:open(Path, [read, write, create, shared, {size, 4096}, {backend, list_to_atom(Backend)}]),
    lists:foreach(
        fun({Number, {Module, Sync}}) ->
            mark(Mark, Number),
            ok = Module:Sync(File)
        end,
        lists:enumerate([{file, datasync}, {file, sync}, {emmap, datasync}, {emmap, sync}])
    ),
    mark(Mark, last),
    ok = file:close(File).

mark(Mark, Which) ->
    {error, enoent} = file:open(Mark ++ lists:flatten(io_lib:format("~p", [Which])), [read, raw]).
