-module(emmap_queue_take).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Pops by a fun: it gets the term of the first message, and the message leaves the queue once the fun has returned.

-export([fold/3, try_pop_or/3, try_pop_and_purge/2, offer_and_purge/3, offer_many_and_purge/4, taken_out/1]).

-include("emmap_file.hrl").

%% How many bytes a message takes in the file besides its own.
-define(FRAME, 8).
%% The file of messages in hand can't be made, or the path leads to another queue.
-define(IS_WITHOUT_HANDS(Reason),
        (Reason =:= eacces orelse Reason =:= erofs orelse Reason =:= enospc orelse Reason =:= enotsup
         orelse Reason =:= estale)).

%%% One message

-spec try_pop_or(emmap_queue:queue(), Default, fun((term()) -> Result)) ->
    Default | Result | {error, emmap_queue:reason()}.
try_pop_or(Queue, Default, Fun) ->
    case offer(Queue, fun(Term) -> {cont, Fun(Term)} end, fun keep/1) of
        {cont, Result} -> Result;
        eof -> Default;
        {error, _} = Error -> Error
    end.

keep(_Refused) -> false.

offer(Queue, Fun, PutAside) ->
    case take_out(Queue) of
        {ok, Bytes, Taken} ->
            case use(Queue, Bytes, Taken, Fun, PutAside) of
                aside -> offer(Queue, Fun, PutAside);
                Result -> Result
            end;
        EofOrFailed -> EofOrFailed
    end.

%% Offers the first message that is not put aside to the fun: it leaves the queue with {cont, _}. `PutAside' gets a refused
%% message, and says whether it leaves the queue. An empty queue begins anew at its file's start.
-spec offer_and_purge(emmap_queue:queue(), fun((term()) -> Step), fun(({bad_term, binary()}) -> boolean())) ->
    Step | eof | {error, emmap_queue:reason()} when Step :: {cont, term()} | {halt, term()}.
offer_and_purge(Queue, Fun, PutAside) ->
    reset_after(offer(Queue, Fun, PutAside), Queue).

%% The same with up to `Limit' messages, at least 1: all leave the queue with {cont, _}, and all stay with {halt, _}. They end
%% before the first one that is refused and not put aside, and before an error; that answer is for the next call.
-spec offer_many_and_purge(emmap_queue:queue(), Limit :: pos_integer(), fun(([term()]) -> Step),
                           fun(({bad_term, binary()}) -> boolean())) ->
    Step | eof | {error, emmap_queue:reason()} when Step :: {cont, term()} | {halt, term()}.
offer_many_and_purge(Queue, Limit, Fun, PutAside) ->
    Result = case take_out_many(Queue, Limit, PutAside, []) of
        {[], EofOrFailed} -> EofOrFailed;
        {Newest, _} -> use_many(Newest, Fun)
    end,
    reset_after(Result, Queue).

use_many(Newest, Fun) ->
    Oldest = lists:reverse(Newest),
    Step = Fun([Term || {_, Term} <- Oldest]),
    _ = case Step of
        {cont, _} -> [remove(Taken) =:= ok orelse put_back(Taken) || {Taken, _} <- Oldest];
        {halt, _} -> [put_back(Taken) || {Taken, _} <- Newest]
    end,
    Step.

%% The newest one first, and why there are no more.
take_out_many(_Queue, 0, _PutAside, Newest) -> {Newest, eof};
%% All others are kept out, this process too.
take_out_many(_Queue, _Left, _PutAside, [{{_Backend, _Handle, _Ticket}, _}] = One) -> {One, eof};
take_out_many(?QUEUE(_, _, Terms) = Queue, Left, PutAside, Newest) ->
    case take_out(Queue) of
        {ok, Bytes, Taken} ->
            case emmap_terms:decode(Bytes, Terms) of
                {ok, Term} -> take_out_many(Queue, Left - 1, PutAside, [{Taken, Term} | Newest]);
                Bad ->
                    case refuse(Bad, Taken, PutAside) of
                        aside -> take_out_many(Queue, Left, PutAside, Newest);
                        {error, _} = Error -> {Newest, Error}
                    end
            end;
        EofOrFailed -> {Newest, EofOrFailed}
    end.

-spec try_pop_and_purge(emmap_queue:queue(), fun((term()) -> Result)) -> nil | Result | {error, emmap_queue:reason()}.
try_pop_and_purge(Queue, Fun) ->
    case offer_and_purge(Queue, fun(Term) -> {cont, Fun(Term)} end, fun keep/1) of
        {cont, Result} -> Result;
        eof -> nil;
        {error, _} = Error -> Error
    end.

%%% All messages that are there

-spec fold(emmap_queue:queue(), Acc, fun((term(), Acc) -> emmap_queue:step())) -> Acc | {error, emmap_queue:reason()}.
fold(Queue, Acc, Fun) ->
    case emmap_queue_look:live_bytes(Queue) of
        {ok, Live} -> fold(Queue, Live + released_bytes(Queue), none, Acc, Fun);
        {error, _} = Error -> Error
    end.

%% Messages that were released come first, and are not in the queue's own file.
released_bytes(?QUEUE(Backend, Handle, _)) ->
    Now = os:system_time(millisecond),
    case ?CALL_LOCKING(Backend, queue_in_hand(Handle)) of
        {ok, InHand} ->
            lists:sum([?FRAME + Length || #{released := true, due := Due, length := Length} <- InHand, Due =< Now]);
        {error, _} -> 0
    end.

%% `Live' is how many bytes of messages are still to be visited, `Removed' whether a message has been removed.
fold(?QUEUE(Backend, Handle, _), Live, Removed, Acc, _Fun) when Live =< 0 ->
    case ?CALL_LOCKING(Backend, queue_reset(Handle)) of
        {error, eacces} = Error -> ended(Removed, Acc, Error); % a handle for reading
        _ -> Acc
    end;
fold(Queue, Live, Removed, Acc, Fun) ->
    case take_out(Queue) of
        {ok, Bytes, Taken} ->
            case use(Queue, Bytes, Taken, fun(Term) -> emmap_queue_look:step(Fun, Term, Acc) end, fun keep/1) of
                {cont, Next} -> fold(Queue, Live - ?FRAME - byte_size(Bytes), some, Next, Fun);
                {halt, Last} -> Last;
                {error, _} = Error -> ended(Removed, Acc, Error)
            end;
        eof ->
            fold(Queue, 0, Removed, Acc, Fun);
        {error, _} = Error ->
            ended(Removed, Acc, Error)
    end.

%% Messages that were removed are in the accumulator, and must not be lost with it.
ended(none, _Acc, Error) -> Error;
ended(some, Acc, _Error) -> Acc.

%%% Both

%% Takes the first message out. It is in hand, and others take the next one. If messages can't be in hand, all others
%% are kept out instead.
take_out(?QUEUE(Backend, Handle, _) = Queue) ->
    case emmap_lock:call(fun() -> emmap_delivery:take_bytes(Backend, Handle) end) of
        {ok, Delivery, Bytes} -> {ok, Bytes, Delivery};
        {error, Reason} when ?IS_WITHOUT_HANDS(Reason) -> keep_others_out(Queue);
        EofOrFailed -> EofOrFailed
    end.

keep_others_out(?QUEUE(Backend, Handle, _)) ->
    case ?CALL_LOCKING(Backend, queue_pop_begin(Handle)) of
        {ok, Bytes, Ticket} -> {ok, Bytes, {Backend, Handle, Ticket}};
        EofOrFailed -> EofOrFailed
    end.

%% Calls the fun with the term of the message. The message goes with {cont, _}, and stays with {halt, _}, with an
%% exception, and if it is refused, unless it is put aside.
use(?QUEUE(_, _, Terms), Bytes, Taken, Fun, PutAside) ->
    case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} -> use_term(Taken, Term, Fun);
        Bad -> refuse(Bad, Taken, PutAside)
    end.

refuse(Bad, Taken, PutAside) ->
    case Bad =/= enomem andalso PutAside(Bad) of
        true -> put_aside(Taken);
        false ->
            put_back(Taken),
            {error, Bad}
    end.

put_aside(Taken) ->
    case remove(Taken) of
        ok -> aside;
        {error, _} = Error ->
            put_back(Taken),
            Error
    end.

use_term(Taken, Term, Fun) ->
    Others = taken_out(),
    _ = put(?MODULE, [Taken | Others]),
    try Fun(Term) of
        {cont, _} = Step ->
            case remove(Taken) of
                ok -> Step;
                {error, timeout} = Error ->
                    put_back(Taken), % or nobody else could have the message
                    Error;
                {error, _} = Error -> Error
            end;
        {halt, _} = Step ->
            put_back(Taken),
            Step
    catch
        Class:Reason:Stack ->
            put_back(Taken),
            erlang:raise(Class, Reason, Stack)
    after
        put(?MODULE, Others)
    end.

taken_out() ->
    case get(?MODULE) of
        undefined -> [];
        Taken -> Taken
    end.

%% How many messages of the queue funs of the calling process have in hand. In emmap 2.x such a message is still in the
%% queue; for others it is not.
-spec taken_out(emmap_backend:handle()) -> non_neg_integer().
taken_out(Handle) -> length([Taken || Taken <- taken_out(), emmap_delivery:is_of(Taken, Handle)]).

remove({Backend, Handle, Ticket}) -> ?CALL_LOCKING(Backend, queue_pop_commit(Handle, Ticket));
remove(Delivery) -> emmap_delivery:ack(Delivery).

put_back({Backend, Handle, Ticket}) ->
    _ = ?CALL_LOCKING(Backend, queue_pop_abort(Handle, Ticket)),
    ok;
put_back(Delivery) -> emmap_delivery:put_back(Delivery).

%% Lets an empty queue begin anew at its file's start. One that has messages stays as it is. After an error it is not empty, or the
%% same error would come again, after another wait. Where another process has the lock of a queue that is empty already, a later call
%% does it.
reset_after({error, _} = Error, _Queue) -> Error;
reset_after(eof, ?QUEUE(Backend, Handle, _)) ->
    _ = ?CALL(Backend, queue_reset(Handle)),
    eof;
reset_after(Result, ?QUEUE(Backend, Handle, _)) ->
    _ = ?CALL_LOCKING(Backend, queue_reset(Handle)),
    Result.
