#!/usr/bin/env escript
%% Prints the flags that are on for a user. admin.mts sets them; flags.mts does the same in TypeScript.
%%
%%   ERL_LIBS=../../erlang/_build/default/lib escript flags.escript flags.bin ann
-mode(compile).

%% As in flags.mts.
-define(ENTRY, 64).
-define(NAME, 8).

main([Path, User]) ->
    case emmap:open(Path, [read, shared]) of
        {ok, Flags} ->
            {ok, Size} = emmap:size(Flags),
            [io:format("~s~n", [Name]) || Position <- lists:seq(0, Size - ?ENTRY, ?ENTRY),
                                          Name <- flag(Flags, Position),
                                          is_on(Flags, Position, Name, User)],
            ok = file:close(Flags);
        {error, Reason} ->
            io:format(standard_error, "~s: ~p~n", [Path, Reason]),
            halt(1)
    end;
main(_) ->
    io:put_chars(standard_error, "usage: escript flags.escript FILE USER\n"),
    halt(2).

%% The name of the flag, if the entry has one.
flag(Flags, Position) ->
    case emmap:patomic_read_integer(Flags, Position) of
        {ok, 0} ->
            [];
        {ok, _} ->
            {ok, Padded} = file:pread(Flags, Position + ?NAME, ?ENTRY - ?NAME),
            [hd(binary:split(Padded, <<0>>))]
    end.

is_on(Flags, Position, Name, User) ->
    {ok, Word} = emmap:patomic_read_integer(Flags, Position),
    erlang:crc32([Name, $:, User]) rem 100 < Word - 1.
