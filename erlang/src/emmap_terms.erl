-module(emmap_terms).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Terms to the messages of a queue and back, within the limit on the memory of a term (emmap_term_size).

-export([encoding/1, quick/1, check/3, decode/2, decode_all/2]).

-include("emmap_file.hrl").

%% No term takes more memory than this for each byte of its external format.
-define(MOST, 16).

-define(TAG_COMPRESSED, 80).
%% A message of more than LONG bytes is decoded without a copy of its largest binary, if everything else in it is at
%% most BESIDE bytes.
-define(LONG, (1 bsl 20)).
-define(BESIDE, (1 bsl 16)).

%%% Encoding

%% Options for term_to_binary/2 by a level of compression. Minor version 2, the default since OTP 26, so that a term is
%% the same bytes in every release.
-spec encoding(0..9) -> [{compressed, 1..9} | {minor_version, 2}].
encoding(0) -> [{minor_version, 2}];
encoding(Level) -> [{compressed, Level}, {minor_version, 2}].

%% A push need not check a message of at most so many bytes: whatever its term is, a pop accepts it. A compressed
%% message is always checked, because it says itself what it inflates to.
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

%% The terms of messages; a message that is refused is {bad_term, Bytes}.
-spec decode_all([binary()], #terms{}) -> {ok, [term() | {bad_term, binary()}]} | {error, enomem}.
decode_all(Messages, Terms) ->
    decode_all(Messages, Terms, []).

decode_all([Bytes | Rest], Terms, Decoded) ->
    case decode(Bytes, Terms) of
        {ok, Term} -> decode_all(Rest, Terms, [Term | Decoded]);
        {bad_term, _} = Bad -> decode_all(Rest, Terms, [Bad | Decoded]);
        enomem -> {error, enomem}
    end;
decode_all([], _Terms, Decoded) ->
    {ok, lists:reverse(Decoded)}.

%% The term of a message. {bad_term, Bytes}: it is no term, no safe one, or takes more memory than it may, which is
%% known before it is made. `enomem': the node lacks the memory for it.
-spec decode(binary(), #terms{}) -> {ok, term()} | {bad_term, binary()} | enomem.
decode(<<131, ?TAG_COMPRESSED, Size:32, Stream/binary>> = Bytes, #terms{decoding = Decoding, limit = Limit}) ->
    if
        Size > Limit ->
            {bad_term, Bytes};
        ?MOST * Size =< Limit + byte_size(Bytes) ->
            made(Bytes, Bytes, Decoding);
        true ->
            case inflate(Stream, Size) of
                {ok, Inflated} -> measured(Inflated, Bytes, Decoding, Limit);
                error -> {bad_term, Bytes}
            end
    end;
decode(Bytes, #terms{decoding = Decoding, limit = Limit}) when (?MOST - 1) * byte_size(Bytes) =< Limit ->
    made(Bytes, Bytes, Decoding);
decode(<<131, Term/binary>> = Bytes, #terms{decoding = Decoding, limit = Limit}) ->
    measured(Term, Bytes, Decoding, Limit);
decode(Bytes, _Terms) ->
    {bad_term, Bytes}.

measured(Term, Bytes, Decoding, Limit) ->
    Allowed = Limit + byte_size(Bytes),
    case emmap_term_size:left(Term, Allowed) of
        Left when Left < 0 -> {bad_term, Bytes};
        Left -> made_long(external(Term, Bytes), Bytes, Decoding, Allowed - Left)
    end.

external(Term, <<131, ?TAG_COMPRESSED, _/binary>>) -> <<131, Term/binary>>;
external(_Term, Bytes) -> Bytes.

%% The node ends if binary_to_term/2 lacks memory. So a long binary is not copied, and for everything else the node is
%% asked first whether it has the memory.
made_long(External, Bytes, Decoding, Takes) ->
    case without_copy(External, Decoding) of
        {ok, _} = Made ->
            Made;
        no ->
            case allocates(Takes) of
                true -> made(External, Bytes, Decoding);
                false -> enomem
            end
    end.

%% Only the NIF can tell. It may not be loaded if the queue is on the port.
allocates(Takes) ->
    not erlang:function_exported(emmap_nif, allocates, 1) orelse emmap_nif:loaded() =/= ok
        orelse emmap_nif:allocates(Takes).

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

%% The first binary of at least so many bytes, and the bytes behind it. Terms with rare tags before it are given up.
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
        inflate(Z, zlib:safeInflate(Z, Stream), Size, [])
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
