#!/usr/bin/env escript
%%! +S 2:2 +SDio 2
%% Twenty processes push while another process has the queue's lock: locked.escript EBIN BACKEND PATH. Each line of input
%% makes them push once, each with a limit of half a second. Meanwhile the script reads a file and opens another one. It
%% prints the program that has the lock afterwards, the numbers of {error, timeout} and of `ok', the shortest and longest
%% push in milliseconds, and the longest other operation.
-mode(compile).

-define(PROCESSES, 20).

main([Ebin, Backend, Path]) ->
    true = code:add_patha(Ebin),
    Options = [{backend, list_to_atom(Backend)}, {lock_timeout, 500}],
    {ok, Queue} = emmap_queue:open(Path, 1 bsl 16, Options),
    rounds(Queue, Path, Options).

rounds(Queue, Path, Options) ->
    io:put_chars("ready\n"),
    case io:get_line("") of
        eof -> ok;
        _ -> round(Queue, Path, Options), rounds(Queue, Path, Options)
    end.

round(Queue, Path, Options) ->
    Self = self(),
    Pushers = [spawn_link(fun() -> Self ! {pushed, timed(fun() -> emmap_queue:push(Queue, {job, N}) end)} end)
               || N <- lists:seq(1, ?PROCESSES)],
    Others = meanwhile(Path, Options, erlang:monotonic_time(millisecond) + 300, 0),
    Pushed = [receive {pushed, Each} -> Each end || _ <- Pushers],
    Count = fun(Answer) -> length([A || {A, _} <- Pushed, A =:= Answer]) end,
    Took = [Milliseconds || {_, Milliseconds} <- Pushed],
    {ok, Writers} = emmap:writers(Queue),
    Owners = lists:join($,, [Program || #{has_lock := true, program := Program} <- Writers]),
    io:format("~ts ~b ~b ~b ~b ~b~n",
              [Owners, Count({error, timeout}), Count(ok), lists:min(Took), lists:max(Took), Others]).

timed(Fun) ->
    Begun = erlang:monotonic_time(millisecond),
    Answer = Fun(),
    {Answer, erlang:monotonic_time(millisecond) - Begun}.

%% Other work for dirty schedulers and the port program.
meanwhile(Path, Options, End, Longest) ->
    {ok, Took} = timed(fun() ->
        {ok, _} = file:read_file(code:which(emmap)),
        {ok, _} = file:list_dir("/"),
        {_, 1} = Counters = emmap:open_counters(Path ++ ".counters", 1, [hd(Options)]),
        {ok, _} = emmap:inc_counter(Counters, 0),
        emmap:close_counters(Counters)
    end),
    case erlang:monotonic_time(millisecond) < End of
        true -> timer:sleep(10), meanwhile(Path, Options, End, max(Longest, Took));
        false -> max(Longest, Took)
    end.
