-module(emmap_queue_pop).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Removing messages, at once or after a wait: each leaves the queue once its term is made, and stays if it is refused.

-export([pop/3, pop_now/3, pop_seen/4, pop_and_purge/1, pop_many/2, await/2, await/3, wait/2, wait_front/2]).

-include("emmap_file.hrl").

%% QUICK_TERM of nif_queue.c and MOST of emmap_terms: the NIF does not look at the limit, so the limit must allow every
%% message that the NIF decodes.
-define(QUICK_TERM, 1024).
-define(MOST, 16).

-type popped() :: {ok, term()} | eof | {error, emmap_queue:reason()}.

-spec pop(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}) -> popped().
pop(Backend, Handle, Terms) ->
    case pop_now(Backend, Handle, Terms) of
        {busy, Limit} -> emmap_lock:again(fun() -> pop_now(Backend, Handle, Terms) end, Limit);
        Result -> Result
    end.

%% The same without waiting for a lock that another handle or process has.
-spec pop_now(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}) -> popped() | {busy, non_neg_integer()}.
pop_now(Backend, Handle, #terms{decoding = Decoding, limit = Limit} = Terms) when Limit >= ?MOST * ?QUICK_TERM ->
    case ?CALL(Backend, queue_pop_term(Handle, safety(Decoding))) of
        slow -> pop_decoded(Backend, Handle, Terms);
        Result -> Result
    end;
pop_now(Backend, Handle, Terms) -> pop_decoded(Backend, Handle, Terms).

safety([safe]) -> safe;
safety([]) -> unsafe.

pop_decoded(Backend, Handle, Terms) ->
    case ?CALL(Backend, queue_peek_front(Handle)) of
        {ok, Bytes} -> pop_seen(Backend, Handle, Terms, Bytes);
        %% A handle for reading removes no message, not even one that is not there.
        eof ->
            case ?CALL(Backend, queue_remove(Handle, [])) of
                ok -> eof;
                Failed -> Failed
            end;
        Failed -> Failed
    end.

%% As pop_now/3, with the bytes of a message that was the first one. No lock is held while the term is made. If another process
%% has removed the message meanwhile, the next one is tried.
-spec pop_seen(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}, binary()) -> popped() | {busy, non_neg_integer()}.
pop_seen(Backend, Handle, Terms, Bytes) ->
    case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} ->
            case ?CALL(Backend, queue_remove(Handle, [Bytes])) of
                ok -> {ok, Term};
                {error, estale} -> pop_decoded(Backend, Handle, Terms);
                Failed -> Failed
            end;
        Bad ->
            {error, Bad}
    end.

-spec pop_and_purge(emmap_queue:queue()) -> nil | term() | {error, emmap_queue:reason()}.
pop_and_purge(?QUEUE(Backend, Handle, Terms)) ->
    case pop(Backend, Handle, Terms) of
        eof ->
            nil;
        Result ->
            _ = ?CALL_LOCKING(Backend, queue_reset(Handle)), % which leaves what is there
            case Result of
                {ok, Term} -> Term;
                {error, _} = Error -> Error
            end
    end.

%% Removes up to `Limit' messages at once, and none from the first on that is refused, or that has no room beside those
%% before it.
-spec pop_many(emmap_queue:queue(), Limit :: integer()) -> {ok, [term()]} | {error, emmap_queue:reason()}.
pop_many(?QUEUE(Backend, Handle, Terms) = Queue, Limit) ->
    case ?CALL_LOCKING(Backend, queue_walk(Handle, forward, Limit, 0)) of
        {ok, Messages, _Place} ->
            case emmap_terms:decode_some(Messages, Terms) of
                {[], [], none} -> {ok, []}; % a limit of 0
                {[], _, Refused} -> {error, Refused};
                {Decoded, [], none} -> remove(Queue, Limit, Messages, Decoded);
                {Decoded, _, _} -> remove(Queue, Limit, lists:sublist(Messages, length(Decoded)), Decoded)
            end;
        eof when Limit > 0 ->
            pop_one(Queue);
        eof ->
            {ok, []};
        {error, _} = Error ->
            Error
    end.

%% A message that was released comes before those in the queue's file, and the walk does not see it.
pop_one(?QUEUE(Backend, Handle, Terms)) ->
    case pop(Backend, Handle, Terms) of
        {ok, Term} -> {ok, [Term]};
        eof -> {ok, []};
        {error, _} = Error -> Error
    end.

%% If other processes remove messages too, fewer are tried: the fewer, the more likely they are still the first ones.
remove(?QUEUE(Backend, Handle, _) = Queue, Limit, Messages, Terms) ->
    case ?CALL_LOCKING(Backend, queue_remove(Handle, Messages)) of
        ok -> {ok, Terms};
        {error, estale} when tl(Messages) =:= [] -> pop_one(Queue);
        {error, estale} -> pop_many(Queue, max(1, min(Limit, length(Messages)) div 2));
        {error, _} = Error -> Error
    end.

%%% Waiting for a message

%% The time-out in the form that a backend takes, in milliseconds.
-define(LONGEST, (1 bsl 62)).
%% Milliseconds to wait for a lock when the time to wait for a message is over.
-define(GRACE, 100).

%% Over a pipe the request that waits also answers with a message that is there already. So it comes first.
-spec await(emmap_queue:queue(), timeout()) -> {ok, term()} | timeout | {error, emmap_queue:reason()}.
await(?QUEUE(emmap_port, _, _) = Queue, Timeout) ->
    {End, How} = {end_of(Timeout), {fun pop_now/3, fun wait_front/2}},
    waited(wait_front(Queue, left(End)), Queue, End, How, fun() -> insist(Queue, fun pop_now/3) end);
await(Queue, Timeout) -> await_until(Queue, end_of(Timeout), {fun pop_now/3, fun wait_front/2}).

%% Tries to get a message now, and again when there may be one.
-spec await(emmap_queue:queue(), timeout(), fun((emmap_nif | emmap_port, emmap_backend:handle(), #terms{}) -> Answer)) ->
    Answer | timeout | {error, emmap_queue:reason()}.
await(Queue, Timeout, Now) -> await_until(Queue, end_of(Timeout), {Now, fun wait/2}).

end_of(infinity) -> infinity;
end_of(0) -> erlang:monotonic_time(millisecond);
%% One more, because the clock's time is rounded down.
end_of(Timeout) -> erlang:monotonic_time(millisecond) + Timeout + 1.

await_until(?QUEUE(Backend, Handle, Terms) = Queue, End, {Now, _} = How) ->
    tried(Now(Backend, Handle, Terms), Queue, End, How).

tried(Result, Queue, End, {Now, Wait} = How) ->
    case Result of
        eof -> waited(Wait(Queue, left(End)), Queue, End, How, fun() -> timeout end);
        %% Another process has the lock, or is taking the first message out. So the message is no reason to wake.
        {busy, _} -> waited(wait(Queue, left(End)), Queue, End, How, fun() -> insist(Queue, Now) end);
        {error, ebusy} -> waited(wait(Queue, left(End)), Queue, End, How, fun() -> timeout end);
        Result -> Result
    end.

waited(ok, Queue, End, How, _Over) -> await_until(Queue, End, How);
waited({ok, Bytes}, ?QUEUE(Backend, Handle, Terms) = Queue, End, How, _Over) ->
    tried(pop_seen(Backend, Handle, Terms, Bytes), Queue, End, How);
waited(timeout, _Queue, _End, _How, Over) -> Over();
waited({error, _} = Error, _Queue, _End, _How, _Over) -> Error.

%% The time is over, and it is not known yet whether there is a message. As a rule the owner keeps the lock for microseconds.
insist(?QUEUE(Backend, Handle, Terms), Now) ->
    Attempt = fun() -> Now(Backend, Handle, Terms) end,
    Last = case Attempt() of
        {busy, _} -> emmap_lock:again(Attempt, ?GRACE);
        Answer -> Answer
    end,
    case Last of
        eof -> timeout;
        {error, Reason} when Reason =:= timeout; Reason =:= ebusy -> timeout;
        Result -> Result
    end.

left(infinity) -> infinity;
left(End) -> max(0, End - erlang:monotonic_time(millisecond)).

%% Waits until there may be a message.
-spec wait(emmap_queue:queue(), timeout()) -> ok | timeout | {error, emmap_queue:reason()}.
wait(?QUEUE(Backend, Handle, _), Timeout) -> ?CALL(Backend, queue_wait(Handle, at_most(Timeout))).

%% The same. A backend that is asked over a pipe answers with the first message, which saves a request.
-spec wait_front(emmap_queue:queue(), timeout()) -> ok | {ok, binary()} | timeout | {error, emmap_queue:reason()}.
wait_front(?QUEUE(Backend, Handle, _), Timeout) -> ?CALL(Backend, queue_wait_front(Handle, at_most(Timeout))).

at_most(infinity) -> infinity;
at_most(Timeout) -> min(Timeout, ?LONGEST).
