-module(emmap_queue_push).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Pushes of terms whose memory has to be counted first. The short push of one term is emmap_queue:push/2 itself.

-export([push/2, push/3, push_long/3, push_many/2, push_once/4, push_once_bytes/4]).

-include("emmap_file.hrl").

-spec push(emmap_queue:queue(), term()) -> ok | {error, emmap_queue:reason()}.
push(?QUEUE(_, _, #terms{encoding = Encoding}) = Queue, Term) -> push_long(Queue, Term, term_to_binary(Term, Encoding)).

-spec push(emmap_queue:queue(), term(), Level :: 0..9) -> ok | {error, emmap_queue:reason()}.
push(Queue, Term, Level) -> push_long(Queue, Term, term_to_binary(Term, emmap_terms:encoding(Level))).

%% Pushes the message of a term.
-spec push_long(emmap_queue:queue(), term(), Message :: binary()) -> ok | {error, emmap_queue:reason()}.
push_long(?QUEUE(Backend, Handle, #terms{limit = Limit}), Term, Message) ->
    case emmap_terms:check(Term, Message, Limit) of
        ok -> ?CALL_LOCKING(Backend, queue_push(Handle, Message));
        {error, _} = Error -> Error
    end.

-spec push_many(emmap_queue:queue(), [term()]) -> ok | {error, emmap_queue:reason()}.
push_many(?QUEUE(Backend, Handle, Format), Terms) ->
    case encode_all(Terms, Format, []) of
        {error, _} = Error -> Error;
        Messages -> ?CALL_LOCKING(Backend, queue_push_many(Handle, Messages))
    end.

-spec push_once(emmap_queue:queue(), <<_:128>>, non_neg_integer(), [term()]) ->
    {ok, non_neg_integer()} | {error, emmap_queue:reason()}.
push_once(?QUEUE(_, _, Format) = Queue, Origin, Number, Terms) ->
    case encode_all(Terms, Format, []) of
        {error, _} = Error -> Error;
        Messages -> push_once_bytes(Queue, Origin, Number, Messages)
    end.

%% The same for messages that are bytes already.
-spec push_once_bytes(emmap_queue:queue(), <<_:128>>, non_neg_integer(), [binary()]) ->
    {ok, non_neg_integer()} | {error, emmap_queue:reason()}.
push_once_bytes(?MAPPED(Backend, Handle), Origin, Number, Messages) ->
    ?CALL_LOCKING(Backend, queue_push_once(Handle, Origin, Number, Messages)).

encode_all([Term | Rest], #terms{encoding = Encoding, limit = Limit, quick = Quick} = Format, Messages) ->
    case term_to_binary(Term, Encoding) of
        Message when byte_size(Message) =< Quick ->
            encode_all(Rest, Format, [Message | Messages]);
        Message ->
            case emmap_terms:check(Term, Message, Limit) of
                ok -> encode_all(Rest, Format, [Message | Messages]);
                {error, _} = Error -> Error
            end
    end;
encode_all([], _Format, Messages) -> lists:reverse(Messages).
