%% Waiting for a lock that another handle or process has.
%%
%% A backend never waits for a lock, because the schedulers of the node and the port's program have others to serve. It
%% answers {busy, Milliseconds} at once, and the calling process tries again: it yields first, then sleeps longer and
%% longer.
-module(emmap_lock).

-include("emmap_doc.hrl").

?MODULEDOC(false).

-export([call/1, again/2, insist/1, settled/1, inherit/1, timeout/1]).

%% EMMAP_LOCK_TIMEOUT of the core.
-define(TIMEOUT, 5000).
%% Milliseconds, longer than any node runs.
-define(FOREVER, (1 bsl 50)).
%% How often a process yields before it sleeps, and the longest sleep in milliseconds.
-define(YIELDS, 1).
-define(LONGEST_REST, 10).
%% How often a change of size is tried while direct binaries are in its way, a millisecond apart.
-define(SIZE_ATTEMPTS, 5).
%% How often, and how many milliseconds apart, a process tries to open a file that a dead one had exclusively.
-define(HEIR_ATTEMPTS, 40).
-define(HEIR_REST, 50).

%% The answer of a backend, tried until the lock is free.
-spec call(fun(() -> Answer)) -> Answer | {error, timeout}.
call(Attempt) ->
    case Attempt() of
        {busy, Limit} -> again(Attempt, Limit);
        Answer -> Answer
    end.

%% Tries until the lock is free, for so many milliseconds.
-spec again(fun(() -> Answer), Limit :: non_neg_integer()) -> Answer | {error, timeout}.
again(Attempt, Limit) ->
    Started = erlang:monotonic_time(),
    {Result, Answer, Tries} = again(Attempt, erlang:monotonic_time(millisecond) + Limit, 0),
    ok = emmap_telemetry:execute([emmap, lock, wait], #{duration => erlang:monotonic_time() - Started, attempts => Tries},
                                 #{result => Result}),
    Answer.

again(Attempt, End, Tries) ->
    case erlang:monotonic_time(millisecond) < End of
        true ->
            rest(Tries),
            case Attempt() of
                {busy, _} -> again(Attempt, End, Tries + 1);
                Answer -> {ok, Answer, Tries + 1}
            end;
        false ->
            {timeout, {error, timeout}, Tries}
    end.

%% Tries until it is done, in a process of its own, because no caller needs the answer.
-spec insist(fun(() -> term())) -> ok.
insist(Attempt) ->
    _ = spawn(fun() -> until_done(Attempt) end),
    ok.

until_done(Attempt) ->
    case again(Attempt, ?FOREVER) of
        {error, timeout} -> until_done(Attempt); % the port program has not answered in time
        _ -> ok
    end.

rest(Tries) when Tries < ?YIELDS ->
    _ = erlang:yield(),
    ok;
rest(Tries) ->
    receive after min(Tries - ?YIELDS + 1, ?LONGEST_REST) -> ok end.

%% Changes the size of a file. ERTS runs the destructor of a resource a while after its last reference is gone. Until
%% then a direct binary that no process has any more makes the file look busy.
-spec settled(fun(() -> Answer)) -> Answer.
settled(Change) ->
    settled(Change, ?SIZE_ATTEMPTS).

settled(Change, Attempts) ->
    case Change() of
        {error, ebusy} when Attempts > 1 ->
            receive after 1 -> settled(Change, Attempts - 1) end;
        Answer ->
            Answer
    end.

%% Opens a file that only one process may have. One that has just died may have it a moment longer.
-spec inherit(fun(() -> Answer)) -> Answer.
inherit(Open) ->
    inherit(Open, ?HEIR_ATTEMPTS).

inherit(Open, Attempts) ->
    case Open() of
        {error, ebusy} when Attempts > 1 ->
            receive after ?HEIR_REST -> inherit(Open, Attempts - 1) end;
        Answer ->
            Answer
    end.

%% The limit of a file with these options.
-spec timeout([emmap_backend:option()]) -> non_neg_integer().
timeout(Options) ->
    lists:foldl(fun({lock_timeout, Limit}, _) -> Limit; (_, Limit) -> Limit end, ?TIMEOUT, Options).
