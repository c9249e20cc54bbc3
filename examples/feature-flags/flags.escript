#!/usr/bin/env escript
%% Prints the flags that are on for a user. admin.mts sets them; flags.mts does the same in TypeScript.
%%
%%   ERL_LIBS=../../erlang/_build/default/lib escript flags.escript flags.cell ann
-mode(compile).

main([Path, User]) ->
    case emmap_cell:open(Path, 0, [read_only]) of
        {ok, Cell} ->
            {ok, Flags} = emmap_cell:get(Cell),
            [io:format("~s~n", [Name]) || Name <- lists:sort(maps:keys(Flags)),
                                          erlang:crc32([Name, $:, User]) rem 100 < maps:get(Name, Flags)],
            ok = emmap_cell:close(Cell);
        {error, Reason} ->
            io:format(standard_error, "~s: ~p~n", [Path, Reason]),
            halt(1)
    end;
main(_) ->
    io:put_chars(standard_error, "usage: escript flags.escript FILE USER\n"),
    halt(2).
