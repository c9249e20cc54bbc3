#!/usr/bin/env escript
%% Touches the memory of a file through direct binaries, in several processes at once, until the file faults. The answer to a
%% line with the path is `ok' and how often memory was touched.
-mode(compile).

-define(PAGE, 4096).

main([Processes]) ->
    ok = io:setopts([binary]),
    loop(list_to_integer(Processes)).

loop(Processes) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            Path = string:trim(Line),
            {ok, File} = emmap:open(Path, [read, write, shared, direct, {backend, nif}]),
            Touched = [await(Process) || Process <- [start(File, Path, N) || N <- lists:seq(1, Processes)]],
            ok = file:close(File),
            io:format("ok ~b~n", [lists:sum(Touched)]),
            loop(Processes)
    end.

start(File, Path, N) ->
    spawn_monitor(fun() ->
        {ok, Other} = emmap:open("", [anon, read, write, {size, 1 bsl 20}, {backend, nif}]),
        {ok, Sink} = file:open(<<Path/binary, ".copy-", ($0 + N)>>, [write, raw, binary]),
        exit({touched, touch(File, {Sink, Other}, 0)})
    end).

await({Pid, Monitor}) ->
    receive {'DOWN', Monitor, process, Pid, Result} -> {touched, Times} = Result, Times end.

touch(File, Sinks, Touched) ->
    case file:pread(File, 0, 1 bsl 30) of
        {ok, Bytes} ->
            pass(Bytes, Sinks),
            %% The process that truncates waits for this; it may have come too late.
            case emmap:patomic_add(File, 0, 1) of
                {ok, _} -> ok;
                {error, efault} -> ok
            end,
            last(File, Bytes, Sinks, Touched + touches(Bytes));
        {error, efault} ->
            Touched
    end.

%% A binary from before the fault can still be read afterwards.
last(File, Bytes, Sinks, Touched) ->
    case file:pread(File, 0, 1) of
        {ok, _} ->
            touch(File, Sinks, Touched);
        {error, efault} ->
            pass(Bytes, Sinks),
            true = erlang:garbage_collect(),
            pass(Bytes, Sinks),
            {error, efault} = emmap:patomic_add(File, 8, 1),
            {error, efault} = file:pread(File, 0, 1),
            Touched + 2 * touches(Bytes)
    end.

-define(WAYS, 10).

touches(Bytes) ->
    ?WAYS * (byte_size(Bytes) div ?PAGE).

pass(Bytes, {Sink, Other}) ->
    Size = byte_size(Bytes),
    _ = [binary:at(Bytes, At) || At <- lists:seq(100, Size - 1, ?PAGE)],
    _ = [matched(Bytes, At) || At <- lists:seq(8, Size - 9, ?PAGE)],
    _ = [binary_to_list(Bytes, At, At + 100) || At <- lists:seq(1, Size - 101, ?PAGE)],
    _ = erlang:crc32(Bytes),
    _ = erlang:md5(Bytes),
    _ = binary:matches(Bytes, <<"nowhere">>),
    Copy = binary:copy(Bytes),
    _ = Copy =:= Bytes,
    Self = self(),
    %% On another scheduler.
    {Pid, Monitor} = spawn_monitor(fun() -> Self ! {self(), erlang:adler32(Bytes)} end),
    receive {Pid, _} -> demonitor(Monitor, [flush]) end,
    %% A fault of one file in the middle of a write to another, on a dirty scheduler.
    ok = file:pwrite(Other, 0, Bytes),
    %% The kernel itself meets the lost page: an error, and no signal.
    case file:pwrite(Sink, 0, Bytes) of
        ok -> ok;
        {error, efault} -> ok
    end.

matched(Bytes, At) ->
    <<_:At/binary, Word:64/native, _/binary>> = Bytes,
    Word.
