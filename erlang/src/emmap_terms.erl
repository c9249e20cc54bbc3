-module(emmap_terms).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Terms to the messages of a queue and back, within the limit on the memory of a term (emmap_term_size).

-export([encoding/1, quick/1, check/3, decode/2, decode_some/2, decode_all/2]).

-include("emmap_file.hrl").

%% No term takes more memory than this for each byte of its external format.
-define(MOST, 16).

-define(TAG_COMPRESSED, 80).
%% Deflate makes no more than so many bytes of one.
-define(INFLATION, 1032).
%% A message of more than LONG bytes is decoded without a copy of its largest binary, if everything else in it is at
%% most BESIDE bytes.
-define(LONG, (1 bsl 20)).
-define(BESIDE, (1 bsl 16)).
%% The node ends if binary_to_term/2 lacks memory. So the node is asked for the memory first, unless it is at most so many bytes.
-define(UNASKED, (1 bsl 20)).

%% At most so many bytes of a heap are a binary in a list: the cons cell, the binary, and 64 bytes if those are on the heap.
-define(LISTED, 128).

%%% Encoding

%% Options for term_to_binary/2 by a level of compression. Minor version 2, the default since OTP 26, so that a term is
%% the same bytes in every release.
-spec encoding(0..9) -> [{compressed, 1..9} | {minor_version, 2}].
encoding(0) -> [{minor_version, 2}];
encoding(Level) -> [{compressed, Level}, {minor_version, 2}].

%% A push need not check a message of at most so many bytes: whatever its term is, a pop accepts it. A compressed
%% message is always checked, because only its own header says how far it inflates.
-spec quick(#terms{}) -> integer().
quick(#terms{encoding = [{compressed, _} | _]}) -> -1;
quick(#terms{limit = Limit}) -> Limit div (?MOST - 1) - 7.

%% Whether a pop with the same limit accepts the message of a term.
-spec check(term(), Message :: binary(), Limit) -> ok | {error, {max_inflated_size, Limit}}
    when Limit :: non_neg_integer().
check(Term, <<131, ?TAG_COMPRESSED, Size:32, _/binary>> = Message, Limit) ->
    Allowed = Limit + stored(Message),
    if
        Size > Limit -> {error, {max_inflated_size, Limit}};
        ?MOST * Size =< Allowed -> ok;
        true -> check_size(term_to_binary(Term, encoding(0)), Allowed, Limit)
    end;
check(_Term, Message, Limit) ->
    case stored(Message) of
        Stored when (?MOST - 1) * Stored =< Limit -> ok;
        Stored -> check_size(Message, Limit + Stored, Limit)
    end.

check_size(<<131, External/binary>>, Allowed, Limit) ->
    case emmap_term_size:left(External, Allowed) >= 0 of
        true -> ok;
        false -> {error, {max_inflated_size, Limit}}
    end.

%% How many bytes the message takes in the queue, by which a pop judges it: see queue_layout.h.
stored(Message) ->
    byte_size(Message) + byte_size(Message) rem 8.

%%% Decoding

%% The memory that the terms of one call have taken so far.
-record(gathered, {
    %% The memory that the terms to come may take beyond their messages.
    left :: integer(),
    taken = 0 :: non_neg_integer(),
    %% How much of it has been taken since the node was last asked for memory.
    unasked = 0 :: non_neg_integer()
}).

-type refused() :: {bad_term, binary()} | {max_inflated_size, Limit :: non_neg_integer()} | enomem.

%% The term of a message. {bad_term, Bytes}: it is no term, no safe one, or takes more memory than it may, which is
%% known before it is made. `enomem': the node lacks the memory for it.
-spec decode(binary(), #terms{}) -> {ok, term()} | {bad_term, binary()} | enomem.
decode(Bytes, #terms{decoding = Decoding, limit = Limit} = Terms) ->
    {Most, Beyond} = most(Bytes),
    case Beyond =< Limit andalso has_memory(Most) of
        true ->
            made(Bytes, Bytes, Decoding);
        false ->
            case decode_exactly(Bytes, Terms, #gathered{left = Limit}) of
                {ok, Term, _Gathered} -> {ok, Term};
                Refused -> Refused
            end
    end.

%% The terms of the messages before the first that is refused, the messages from that one on, and the reason.
%% {max_inflated_size, Limit}: the message is not refused by itself, but the terms take more than Limit together.
-spec decode_some([binary()], #terms{}) -> {[term()], [binary()], none | refused()}.
decode_some(Messages, Terms) ->
    {Decoded, Rest, Why, _Allowed} = decode_some(Messages, Terms, allowed(Messages, Terms), []),
    {lists:reverse(Decoded), Rest, Why}.

decode_some([Bytes | Rest] = Messages, Terms, Allowed, Decoded) ->
    case decode_one(Bytes, Terms, Allowed) of
        {ok, Term, Left} -> decode_some(Rest, Terms, Left, [Term | Decoded]);
        Why -> {Decoded, Messages, Why, Allowed}
    end;
decode_some([], _Terms, Allowed, Decoded) -> {Decoded, [], none, Allowed}.

%% The terms of all messages; a message that is refused by itself is {bad_term, Bytes}.
-spec decode_all([binary()], #terms{}) ->
    {ok, [term() | {bad_term, binary()}]} | {error, enomem | {max_inflated_size, Limit :: non_neg_integer()}}.
decode_all(Messages, Terms) -> decode_all(Messages, Terms, allowed(Messages, Terms), []).

decode_all(Messages, Terms, Allowed, Decoded) ->
    case decode_some(Messages, Terms, Allowed, Decoded) of
        {All, [], none, _Left} -> {ok, lists:reverse(All)};
        {Some, [_ | Rest], {bad_term, _} = Bad, Left} -> decode_all(Rest, Terms, Left, [Bad | Some]);
        {_Some, _Rest, Why, _Left} -> {error, Why}
    end.

%% `all': the limit and the memory suffice, whatever the terms are. Otherwise each term is measured. The next garbage collection
%% copies the list of messages too.
allowed(Messages, #terms{limit = Limit}) ->
    {Most, Beyond} = lists:foldl(fun add_most/2, {0, 0}, Messages),
    Listed = ?LISTED * length(Messages),
    case Beyond =< Limit andalso has_memory(Most + Listed) of
        true -> all;
        false -> #gathered{left = Limit, taken = Listed}
    end.

add_most(Bytes, {Most, Beyond}) ->
    {MostOfThis, BeyondOfThis} = most(Bytes),
    {Most + MostOfThis, Beyond + BeyondOfThis}.

%% The most memory that the term of a message takes while it is decoded, and the most that it takes beyond the message.
most(<<131, ?TAG_COMPRESSED, Size:32, _/binary>> = Bytes) ->
    {(?MOST + 1) * Size, max(Size, ?MOST * Size - byte_size(Bytes))};
most(Bytes) ->
    {?MOST * byte_size(Bytes), (?MOST - 1) * byte_size(Bytes)}.

decode_one(Bytes, #terms{decoding = Decoding}, all) ->
    case made(Bytes, Bytes, Decoding) of
        {ok, Term} -> {ok, Term, all};
        Bad -> Bad
    end;
decode_one(Bytes, Terms, Gathered) ->
    decode_exactly(Bytes, Terms, Gathered).

%% Measures the term before it is made.
decode_exactly(<<131, ?TAG_COMPRESSED, Size:32, Stream/binary>> = Bytes, #terms{limit = Limit}, _Gathered)
  when Size > Limit; Size > ?INFLATION * byte_size(Stream) ->
    {bad_term, Bytes};
decode_exactly(<<131, ?TAG_COMPRESSED, Size:32, Stream/binary>> = Bytes, Terms, Gathered) ->
    %% The pieces that zlib makes, and the whole of them.
    case has_memory(2 * Size) andalso inflate(Stream, Size) of
        {ok, Inflated} -> measured(<<131, Inflated/binary>>, Bytes, Terms, Gathered);
        error -> {bad_term, Bytes};
        false -> enomem
    end;
decode_exactly(<<131, _/binary>> = Bytes, Terms, Gathered) ->
    measured(Bytes, Bytes, Terms, Gathered);
decode_exactly(Bytes, _Terms, _Gathered) ->
    {bad_term, Bytes}.

measured(<<131, Term/binary>> = External, Bytes, #terms{limit = Limit, decoding = Decoding}, Gathered) ->
    #gathered{left = Left} = Gathered,
    Allowed = Limit + byte_size(Bytes),
    Takes = Allowed - emmap_term_size:left(Term, Allowed),
    Beyond = Takes - byte_size(Bytes),
    if
        Beyond > Limit -> {bad_term, Bytes};
        Beyond > Left -> {max_inflated_size, Limit};
        true -> made_long(External, Bytes, Decoding, Takes, Gathered#gathered{left = Left - Beyond})
    end.

%% A long binary is not copied. For everything else the node is asked first whether it has the memory.
made_long(External, Bytes, Decoding, Takes, Gathered) ->
    case without_copy(External, Decoding) of
        {ok, Term} ->
            {ok, Term, Gathered};
        no ->
            case asked(Takes, Gathered) of
                {ok, After} ->
                    case made(External, Bytes, Decoding) of
                        {ok, Term} -> {ok, Term, After};
                        Bad -> Bad
                    end;
                enomem ->
                    enomem
            end
    end.

%% The next garbage collection takes the memory of all terms once more.
asked(Takes, #gathered{taken = Taken, unasked = Unasked} = Gathered) when Unasked + Takes > ?UNASKED ->
    case allocates(Taken + 2 * Takes + ?UNASKED) of
        true -> {ok, Gathered#gathered{taken = Taken + Takes, unasked = 0}};
        false -> enomem
    end;
asked(Takes, #gathered{taken = Taken, unasked = Unasked} = Gathered) ->
    {ok, Gathered#gathered{taken = Taken + Takes, unasked = Unasked + Takes}}.

%% Whether the node has the memory for terms of so many bytes, and for a copy of them.
has_memory(Bytes) -> Bytes =< ?UNASKED orelse allocates(2 * Bytes).

%% Only the NIF can try it. The NIF may not be loaded if the queue is on the port.
allocates(Bytes) ->
    case erlang:function_exported(emmap_nif, allocates, 1) andalso emmap_nif:loaded() =:= ok of
        true -> emmap_nif:allocates(Bytes);
        false -> emmap_memory:allows(Bytes)
    end.

made(External, Bytes, Decoding) ->
    try
        {ok, binary_to_term(External, Decoding)}
    catch
        error:badarg -> {bad_term, Bytes}
    end.

%% Decodes a message without copying its one long binary: a mark takes the binary's place, the rest is decoded, and the
%% binary replaces the mark. `no': the message has no such binary.
without_copy(External, Decoding) when byte_size(External) > ?LONG ->
    <<131, Term/binary>> = External,
    case long_binary(Term, byte_size(External) - ?BESIDE) of
        {Long, Behind} ->
            Before = byte_size(External) - byte_size(Behind) - byte_size(Long) - 5,
            Mark = make_ref(),
            <<131, MarkBytes/binary>> = term_to_binary(Mark),
            try binary_to_term(<<(binary:part(External, 0, Before))/binary, MarkBytes/binary, Behind/binary>>, Decoding) of
                Marked ->
                    case replace(Marked, Mark, Long) of
                        {Made, 1} -> {ok, Made};
                        _ -> no
                    end
            catch
                error:badarg -> no
            end;
        no ->
            no
    end;
without_copy(_External, _Decoding) ->
    no.

%% The first binary of at least so many bytes, and the bytes behind it. It gives up at a rare tag before that binary.
long_binary(Rest, Least) when byte_size(Rest) < Least -> no;
long_binary(<<109, Size:32, Long:Size/binary, Behind/binary>>, Least) when Size >= Least -> {Long, Behind};
long_binary(<<109, Size:32, _:Size/binary, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<104, _, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<Tag, _:32, Rest/binary>>, Least) when Tag =:= 108; Tag =:= 116; Tag =:= 105; Tag =:= 98 ->
    long_binary(Rest, Least);
long_binary(<<97, _, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<106, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<119, Size, _:Size/binary, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<Tag, Size:16, _:Size/binary, Rest/binary>>, Least) when Tag =:= 107; Tag =:= 118 ->
    long_binary(Rest, Least);
long_binary(<<70, _:64, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(<<110, Size, _, _:Size/binary, Rest/binary>>, Least) -> long_binary(Rest, Least);
long_binary(_Other, _Least) -> no.

%% The term with the binary in place of the mark, and how many marks there were.
replace(Mark, Mark, Long) -> {Long, 1};
replace([Head | Tail], Mark, Long) ->
    {NewHead, Heads} = replace(Head, Mark, Long),
    {NewTail, Tails} = replace(Tail, Mark, Long),
    {[NewHead | NewTail], Heads + Tails};
replace(Tuple, Mark, Long) when is_tuple(Tuple) ->
    {Elements, Count} = replace(tuple_to_list(Tuple), Mark, Long),
    {list_to_tuple(Elements), Count};
replace(Map, Mark, Long) when is_map(Map) ->
    {Pairs, Count} = replace(maps:to_list(Map), Mark, Long),
    {maps:from_list(Pairs), Count};
replace(Other, _Mark, _Long) -> {Other, 0}.

%% Inflates a stream to exactly Size bytes; stops soon after it becomes more.
inflate(Stream, Size) ->
    Z = zlib:open(),
    try
        ok = zlib:inflateInit(Z),
        Inflated = inflate(Z, zlib:safeInflate(Z, Stream), Size, []),
        ok = zlib:inflateEnd(Z), % fails if the stream has no end
        Inflated
    catch
        error:_ -> error
    after
        zlib:close(Z)
    end.

inflate(Z, {State, Output}, Left, Read) ->
    case {State, Left - iolist_size(Output)} of
        {_, Less} when Less < 0 -> error;
        {continue, Less} -> inflate(Z, zlib:safeInflate(Z, []), Less, [Read | Output]);
        {finished, 0} -> {ok, iolist_to_binary([Read | Output])};
        {finished, _} -> error
    end.
