-module(emmap_queue_look).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Looking at messages, which stay in the queue.

-export([peek_front/1, peek_back/1, fold/4, to_list/1, snapshot/2, metadata/1]).
%% For folds that remove messages.
-export([live_bytes/1, step/3]).

-include("emmap_file.hrl").

%% More messages than a queue can hold.
-define(ALL, 16#ffffffff).
%% How many messages a step of a walk reads; the first one reads few, because the fold may end soon.
-define(STEP, 1024).
-define(FIRST_STEP, 16).
%% How many bytes a message takes in the file besides its own.
-define(FRAME, 8).

-spec peek_front(emmap_queue:queue()) -> nil | term() | {error, emmap_queue:reason()}.
peek_front(?QUEUE(Backend, Handle, Terms)) -> peeked(?CALL_LOCKING(Backend, queue_peek_front(Handle)), Terms).

-spec peek_back(emmap_queue:queue()) -> nil | term() | {error, emmap_queue:reason()}.
peek_back(?QUEUE(Backend, Handle, Terms)) -> peeked(?CALL_LOCKING(Backend, queue_peek_back(Handle)), Terms).

peeked({ok, Bytes}, Terms) ->
    case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} -> Term;
        Bad -> {error, Bad}
    end;
peeked(eof, _Terms) -> nil;
peeked({error, _} = Error, _Terms) -> Error.

%%% Folds

-spec fold(emmap_queue:queue(), forward | backward, Acc, fun((term(), Acc) -> emmap_queue:step())) ->
    Acc | {error, emmap_queue:reason()}.
fold(Queue, Direction, Acc, Fun) ->
    case live_bytes(Queue) of
        {ok, Live} -> fold(Queue, Direction, ?FIRST_STEP, 0, Live, Acc, Fun);
        {error, _} = Error -> Error
    end.

fold(_Queue, _Direction, _Limit, _Place, Live, Acc, _Fun) when Live =< 0 -> Acc;
fold(?QUEUE(Backend, Handle, Terms) = Queue, Direction, Limit, Place, Live, Acc, Fun) ->
    case ?CALL_LOCKING(Backend, queue_walk(Handle, Direction, Limit, Place)) of
        {ok, Messages, Next} ->
            case fold_messages(Messages, Terms, Live, Acc, Fun) of
                {cont, Left, After} -> fold(Queue, Direction, ?STEP, Next, Left, After, Fun);
                {halt, Last} -> Last;
                {error, _} = Error -> Error
            end;
        eof -> Acc;
        {error, _} = Error -> Error
    end.

fold_messages([Bytes | Rest], Terms, Live, Acc, Fun) when Live > 0 ->
    case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} ->
            case step(Fun, Term, Acc) of
                {cont, Next} -> fold_messages(Rest, Terms, Live - ?FRAME - byte_size(Bytes), Next, Fun);
                {halt, _} = Step -> Step
            end;
        Bad ->
            {error, Bad}
    end;
fold_messages(_Messages, _Terms, Live, Acc, _Fun) -> {cont, Live, Acc}.

%% The bytes of the messages that are there now. Only queue_is_empty checks whether the path of an empty queue leads to
%% another file.
-spec live_bytes(emmap_queue:queue()) -> {ok, non_neg_integer()} | {error, emmap_queue:reason()}.
live_bytes(?QUEUE(Backend, Handle, _) = Queue) ->
    case live_bytes_now(Queue) of
        {ok, 0} ->
            case ?CALL_LOCKING(Backend, queue_is_empty(Handle)) of
                {ok, _} -> live_bytes_now(Queue);
                {error, _} = Error -> Error
            end;
        Answer -> Answer
    end.

live_bytes_now(?QUEUE(Backend, Handle, _)) ->
    case ?CALL_LOCKING(Backend, queue_info(Handle)) of
        {ok, #{head := Head, tail := Tail}} -> {ok, Tail - Head};
        {error, _} = Error -> Error
    end.

-spec step(fun((term(), Acc) -> emmap_queue:step()), term(), Acc) -> emmap_queue:step().
step(Fun, Term, Acc) ->
    case Fun(Term, Acc) of
        {cont, _} = Step -> Step;
        {halt, _} = Step -> Step;
        Other -> error({bad_return_value, Other})
    end.

%%% Lists

-spec to_list(emmap_queue:queue()) -> [term() | {bad_term, binary()}] | {error, emmap_queue:reason()}.
to_list(Queue) -> to_list(Queue, 0, []).

to_list(?QUEUE(Backend, Handle, Terms) = Queue, Place, Read) ->
    case ?CALL_LOCKING(Backend, queue_walk(Handle, forward, ?STEP, Place)) of
        {ok, Messages, Next} -> to_list(Queue, Next, [Messages | Read]);
        eof ->
            case emmap_terms:decode_all(lists:append(lists:reverse(Read)), Terms) of
                {ok, Decoded} -> Decoded;
                {error, _} = Error -> Error
            end;
        {error, estale} when Read =/= [] -> to_list(Queue, 0, []); % the messages have moved: once more
        {error, _} = Error -> Error
    end.

-spec snapshot(emmap_queue:queue(), Limit :: non_neg_integer() | all) ->
    {ok, [term() | {bad_term, binary()}]} | {error, emmap_queue:reason()}.
snapshot(?QUEUE(Backend, Handle, Terms), Limit) ->
    %% Any number is less than `all'.
    case ?CALL_LOCKING(Backend, queue_walk(Handle, forward, min(Limit, ?ALL), 0)) of
        {ok, Messages, _Place} -> emmap_terms:decode_all(Messages, Terms);
        eof -> {ok, []};
        {error, _} = Error -> Error
    end.

-spec metadata(emmap_queue:queue()) -> emmap_queue:metadata() | {error, emmap_queue:reason()}.
metadata(?QUEUE(Backend, Handle, _)) ->
    case ?CALL_LOCKING(Backend, queue_info(Handle)) of
        {ok, Metadata} -> Metadata;
        {error, _} = Error -> Error
    end.
