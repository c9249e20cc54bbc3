-module(emmap_delivery).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Deliveries: a message that was taken stays in hand until it is acknowledged, released or put back.

-export([take/2, take_bytes/2, ack/1, ack/2, release/2, put_back/1, attempt/1, order/1, is_of/2]).

-export_type([delivery/0]).

-include("emmap_file.hrl").

-record(delivery, {
    backend :: emmap_nif | emmap_port,
    handle :: emmap_backend:handle(),
    ticket :: emmap_backend:delivery_ticket(),
    attempt :: pos_integer()
}).

-opaque delivery() :: #delivery{}.

-spec take(emmap_queue:queue(), timeout()) -> {ok, delivery(), term()} | timeout | {error, emmap_queue:reason()}.
take(Queue, Timeout) -> emmap_queue_pop:await(Queue, Timeout, fun take_now/3).

take_now(Backend, Handle, Terms) ->
    case take_bytes(Backend, Handle) of
        {ok, Delivery, Bytes} ->
            case emmap_terms:decode(Bytes, Terms) of
                {ok, Term} -> {ok, Delivery, Term};
                Bad ->
                    put_back(Delivery),
                    {error, Bad}
            end;
        NoneOrFailed -> NoneOrFailed
    end.

%% Takes the bytes of a message, without waiting for a message or for a lock.
-spec take_bytes(emmap_nif | emmap_port, emmap_backend:handle()) ->
    {ok, delivery(), binary()} | eof | emmap_backend:failed().
take_bytes(Backend, Handle) ->
    case ?CALL(Backend, queue_take(Handle, holder())) of
        {ok, Bytes, Ticket, Attempt} ->
            {ok, #delivery{backend = Backend, handle = Handle, ticket = Ticket, attempt = Attempt}, Bytes};
        NoneOrFailed -> NoneOrFailed
    end.

%% The number by which the backend releases the messages of the calling process when the process dies.
holder() ->
    case get(?MODULE) of
        undefined ->
            Holder = erlang:unique_integer([positive, monotonic]),
            _ = put(?MODULE, Holder),
            Holder;
        Holder -> Holder
    end.

-spec ack(delivery()) -> ok | {error, emmap_queue:reason()}.
ack(#delivery{backend = Backend, handle = Handle, ticket = Ticket}) ->
    ?CALL_LOCKING(Backend, queue_ack(Handle, Ticket)).

%% The same for a process that has others to serve: it waits for a lock no longer than `Patience' milliseconds.
-spec ack(delivery(), Patience :: non_neg_integer()) -> ok | {busy, Limit :: non_neg_integer()} | {error, emmap_queue:reason()}.
ack(Delivery, Patience) ->
    case try_to_ack(Delivery) of
        {busy, Limit} ->
            case emmap_lock:again(fun() -> try_to_ack(Delivery) end, min(Patience, Limit)) of
                {error, timeout} -> {busy, Limit};
                Answer -> Answer
            end;
        Answer -> Answer
    end.

try_to_ack(#delivery{backend = Backend, handle = Handle, ticket = Ticket}) -> ?CALL(Backend, queue_ack(Handle, Ticket)).

-spec release(delivery(), Delay :: non_neg_integer()) -> ok | {error, emmap_queue:reason()}.
release(#delivery{backend = Backend, handle = Handle, ticket = Ticket}, Delay) ->
    ?CALL_LOCKING(Backend, queue_release(Handle, Ticket, Delay)).

%% Undoes the take. If a stopped process has the lock, the message is back once that process goes on or dies.
-spec put_back(delivery()) -> ok.
put_back(#delivery{backend = Backend, handle = Handle, ticket = Ticket}) ->
    case ?CALL_LOCKING(Backend, queue_put_back(Handle, Ticket)) of
        {error, timeout} -> emmap_lock:insist(fun() -> ?CALL(Backend, queue_put_back(Handle, Ticket)) end);
        _ -> ok
    end.

-spec attempt(delivery()) -> pos_integer().
attempt(#delivery{attempt = Attempt}) -> Attempt.

%% The number that the message got when it was first taken; later ones have higher numbers.
-spec order(delivery()) -> {ok, integer()} | emmap_backend:failed().
order(#delivery{backend = Backend, handle = Handle, ticket = Ticket}) -> ?CALL(Backend, queue_order(Handle, Ticket)).

%% Whether the message was taken by this handle.
-spec is_of(delivery() | term(), emmap_backend:handle()) -> boolean().
is_of(#delivery{handle = Handle}, Handle) -> true;
is_of(_Other, _Handle) -> false.
