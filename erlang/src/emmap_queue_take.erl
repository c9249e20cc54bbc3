-module(emmap_queue_take).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Pops in two steps: a fun gets the term of the first message, and the message leaves the queue once the fun has
%% returned.

-export([fold/3, try_pop_or/3, try_pop_and_purge/2]).

-include("emmap_file.hrl").

%% How many bytes a message takes in the file besides its own.
-define(FRAME, 8).

%%% One message

-spec try_pop_or(emmap_queue:queue(), Default, fun((term()) -> Result)) ->
    Default | Result | {error, emmap_queue:reason()}.
try_pop_or(?QUEUE(Backend, Handle, _) = Queue, Default, Fun) ->
    case ?CALL_LOCKING(Backend, queue_pop_begin(Handle)) of
        {ok, Bytes, Ticket} ->
            case take(Queue, Bytes, Ticket, fun(Term) -> {cont, Fun(Term)} end) of
                {cont, Result} -> Result;
                {error, _} = Error -> Error
            end;
        eof -> Default;
        {error, _} = Error -> Error
    end.

-spec try_pop_and_purge(emmap_queue:queue(), fun((term()) -> Result)) -> nil | Result | {error, emmap_queue:reason()}.
try_pop_and_purge(Queue, Fun) ->
    Result = try_pop_or(Queue, nil, Fun),
    reset(Queue),
    Result.

%%% All messages that are there

-spec fold(emmap_queue:queue(), Acc, fun((term(), Acc) -> emmap_queue:step())) -> Acc | {error, emmap_queue:reason()}.
fold(Queue, Acc, Fun) ->
    case emmap_queue_look:live_bytes(Queue) of
        {ok, Live} -> fold(Queue, Live, none, Acc, Fun);
        {error, _} = Error -> Error
    end.

%% `Live' is how many bytes of messages are still to be visited, `Removed' whether a message has been removed.
fold(Queue, Live, _Removed, Acc, _Fun) when Live =< 0 ->
    reset(Queue),
    Acc;
fold(?QUEUE(Backend, Handle, _) = Queue, Live, Removed, Acc, Fun) ->
    case ?CALL_LOCKING(Backend, queue_pop_begin(Handle)) of
        {ok, Bytes, Ticket} ->
            case take(Queue, Bytes, Ticket, fun(Term) -> emmap_queue_look:step(Fun, Term, Acc) end) of
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

%% Calls the fun with the term of the message that is being taken out. The message goes with {cont, _}, and stays with
%% {halt, _}, with an exception, and if it is refused.
take(?QUEUE(Backend, Handle, Terms), Bytes, Ticket, Fun) ->
    case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} -> take_term(Backend, Handle, Ticket, Term, Fun);
        Bad ->
            put_back(Backend, Handle, Ticket),
            {error, Bad}
    end.

take_term(Backend, Handle, Ticket, Term, Fun) ->
    try Fun(Term) of
        {cont, _} = Step ->
            case ?CALL_LOCKING(Backend, queue_pop_commit(Handle, Ticket)) of
                ok -> Step;
                {error, timeout} = Error ->
                    put_back(Backend, Handle, Ticket), % or nobody else could have the message
                    Error;
                {error, _} = Error -> Error
            end;
        {halt, _} = Step ->
            put_back(Backend, Handle, Ticket),
            Step
    catch
        Class:Reason:Stack ->
            put_back(Backend, Handle, Ticket),
            erlang:raise(Class, Reason, Stack)
    end.

put_back(Backend, Handle, Ticket) ->
    _ = ?CALL_LOCKING(Backend, queue_pop_abort(Handle, Ticket)),
    ok.

%% Lets an empty queue begin anew at its file's start. One that has messages stays as it is.
reset(?QUEUE(Backend, Handle, _)) ->
    _ = ?CALL_LOCKING(Backend, queue_reset(Handle)),
    ok.
