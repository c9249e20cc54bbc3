-module(emmap_terms).

-include("emmap_doc.hrl").

?MODULEDOC(false).
%% How terms become a queue's messages, and messages terms, which leave the queue once they have. A message that is refused
%% stays.

-export([quick/1, check/3, encode/3, decode/2, decode_all/2, pop/3, pop_now/3, pop_many/4]).

-include("emmap_file.hrl").

%% No term takes more than this for each byte of its external format, by the measure of left/3.
-define(MOST, 16).
%% QUICK_TERM of nif_queue.c: a limit that no message of this length can pass is no matter for the NIF.
-define(QUICK_TERM, 1024).

-define(TAG_COMPRESSED, 80).
%% A message of more bytes is decoded without a copy of the one binary that it is about, if all else is no more than this.
-define(LONG, (1 bsl 20)).
-define(BESIDE, (1 bsl 16)).

%%% Encoding

%% How many bytes a message may have that nobody need look at before it is pushed: only what could pass the limit is
%% measured, as when it is decoded. Of those that are compressed each says itself what it inflates to.
-spec quick(#terms{}) -> integer().
quick(#terms{encoding = [{compressed, _} | _]}) -> -1;
quick(#terms{limit = Limit}) -> Limit div (?MOST - 1) - 7.

%% A term's message; an error, where a pop with the same limit would refuse it.
-spec encode(term(), [{compressed, 0..9} | {minor_version, 2}], Limit) ->
    binary() | {error, {max_inflated_size, Limit}} when Limit :: non_neg_integer().
encode(Term, Encoding, Limit) ->
    check(Term, term_to_binary(Term, Encoding), Limit).

-spec check(term(), Message, Limit) -> Message | {error, {max_inflated_size, Limit}}
    when Message :: binary(), Limit :: non_neg_integer().
check(Term, <<131, ?TAG_COMPRESSED, Size:32, _/binary>> = Message, Limit) ->
    Allowed = Limit + stored(Message),
    if
        Size > Limit -> {error, {max_inflated_size, Limit}};
        ?MOST * Size =< Allowed -> Message;
        true -> allowed(term_to_binary(Term, [{minor_version, 2}]), Allowed, Message, Limit)
    end;
check(_Term, Message, Limit) ->
    case stored(Message) of
        Stored when (?MOST - 1) * Stored =< Limit -> Message;
        Stored -> allowed(Message, Limit + Stored, Message, Limit)
    end.

allowed(<<131, External/binary>>, Allowed, Message, Limit) ->
    case left(External, 1, Allowed) >= 0 of
        true -> Message;
        false -> {error, {max_inflated_size, Limit}}
    end.

%% How many bytes the message has in the queue, which are those that a pop counts: queue_layout.h says why.
stored(Message) ->
    byte_size(Message) + byte_size(Message) rem 8.

%%% Popping

%% Removes the first message.
-spec pop(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}) ->
    {ok, term()} | eof | {error, emmap_backend:reason() | {bad_term, binary()}}.
pop(Backend, Handle, Terms) ->
    case pop_now(Backend, Handle, Terms) of
        {busy, Limit} -> emmap_lock:again(fun() -> pop_now(Backend, Handle, Terms) end, Limit);
        Result -> Result
    end.

%% The same without waiting for another handle or process that has the lock.
-spec pop_now(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}) ->
    {ok, term()} | eof | {busy, non_neg_integer()} | {error, emmap_backend:reason() | {bad_term, binary()}}.
pop_now(Backend, Handle, #terms{decoding = Decoding, limit = Limit} = Terms) when Limit >= ?MOST * ?QUICK_TERM ->
    case ?CALL(Backend, queue_pop_term(Handle, safety(Decoding))) of
        slow -> pop_decoded(Backend, Handle, Terms);
        Result -> Result
    end;
pop_now(Backend, Handle, Terms) ->
    pop_decoded(Backend, Handle, Terms).

safety([safe]) -> safe;
safety([]) -> unsafe.

%% Nobody is kept out while the term is made: where another process has removed the message, the next one is tried.
pop_decoded(Backend, Handle, Terms) ->
    case ?CALL(Backend, queue_peek_front(Handle)) of
        {ok, Bytes} ->
            case decode(Bytes, Terms) of
                {ok, Term} ->
                    case ?CALL(Backend, queue_remove(Handle, [Bytes])) of
                        ok -> {ok, Term};
                        {error, estale} -> pop_decoded(Backend, Handle, Terms);
                        Failed -> Failed
                    end;
                Bad ->
                    {error, Bad}
            end;
        EofOrFailed ->
            EofOrFailed
    end.

%% Removes up to Limit messages at once, those before the first that is refused.
-spec pop_many(emmap_nif | emmap_port, emmap_backend:handle(), #terms{}, non_neg_integer()) ->
    {ok, [term()]} | {error, emmap_backend:reason() | {bad_term, binary()}}.
pop_many(Backend, Handle, Terms, Limit) ->
    case ?CALL_LOCKING(Backend, queue_walk(Handle, forward, Limit, 0)) of
        {ok, [], _Place} -> {ok, []}; % a limit of 0
        {ok, Messages, _Place} ->
            case decode_first(Messages, Terms) of
                {_, [], Bad} -> {error, Bad};
                {Good, Decoded, _} ->
                    case ?CALL_LOCKING(Backend, queue_remove(Handle, Good)) of
                        ok -> {ok, Decoded};
                        %% Others are at it: less can be had before they come.
                        {error, estale} -> pop_many(Backend, Handle, Terms, max(1, min(Limit, length(Good)) div 2));
                        {error, _} = Error -> Error
                    end
            end;
        eof -> {ok, []};
        {error, _} = Error -> Error
    end.

%% The messages before the first that is refused, their terms, and what is wrong with that one.
decode_first(Messages, Terms) ->
    decode_first(Messages, Terms, [], []).

decode_first([Bytes | Rest], Terms, Good, Decoded) ->
    case decode(Bytes, Terms) of
        {ok, Term} -> decode_first(Rest, Terms, [Bytes | Good], [Term | Decoded]);
        Bad -> {lists:reverse(Good), lists:reverse(Decoded), Bad}
    end;
decode_first([], _Terms, Good, Decoded) ->
    {lists:reverse(Good), lists:reverse(Decoded), none}.

%%% Decoding

%% The terms; in the place of one that is refused {bad_term, Bytes}.
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

%% A message's term, if it is one, is safe, and takes no more memory than it may. That is known before it is made.
%% `enomem': there is no memory to make it.
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
    case left(Term, 1, Allowed) of
        Left when Left < 0 -> {bad_term, Bytes};
        Left -> made_long(external(Term, Bytes), Bytes, Decoding, Allowed - Left)
    end.

external(Term, <<131, ?TAG_COMPRESSED, _/binary>>) -> <<131, Term/binary>>;
external(_Term, Bytes) -> Bytes.

%% Where binary_to_term/2 lacks memory the node ends. So a long binary is not copied, and for what is copied it is asked
%% first whether there is as much.
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

%% Only the NIF can tell. Over the port it need not be there.
allocates(Takes) ->
    not erlang:function_exported(emmap_nif, allocates, 1) orelse emmap_nif:loaded() =/= ok
        orelse emmap_nif:allocates(Takes).

made(External, Bytes, Decoding) ->
    try
        {ok, binary_to_term(External, Decoding)}
    catch
        error:badarg -> {bad_term, Bytes}
    end.

%% The term of a message that is about one long binary, which stays where it is. A mark stands for it while the rest is
%% decoded. `no' for all other messages.
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

%% The first binary of at least so many bytes, and what follows it. Tags that seldom stand beside one are not looked for.
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

%% The term with the binary in place of the mark, and how many there were of it.
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

%% Exactly Size bytes, and never many more on the way.
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

%%% The measure
%%
%% A term takes 16 bytes for itself and each term in it, a character of a string being one; and the bytes of its
%% binaries and integers. That is about what the BEAM takes for it. `emmap/etf' has the same for Node.

%% What is left of `Left' bytes when so many terms have taken theirs; less than 0 where they take more. What is no term is
%% left to binary_to_term, which refuses it.
left(_Rest, _Terms, Left) when Left < 0 -> Left;
left(_Rest, 0, Left) -> Left;
left(<<97, _, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?MOST); % SMALL_INTEGER_EXT
left(<<98, _:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?MOST); % INTEGER_EXT
left(<<106, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?MOST); % NIL_EXT
left(<<119, Size, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_ATOM_UTF8_EXT
    left(Rest, Terms - 1, Left - ?MOST);
left(<<109, Size:32, _:Size/binary, Rest/binary>>, Terms, Left) -> % BINARY_EXT
    left(Rest, Terms - 1, Left - ?MOST - Size);
left(<<107, Size:16, _:Size/binary, Rest/binary>>, Terms, Left) -> % STRING_EXT
    left(Rest, Terms - 1, Left - ?MOST - ?MOST * Size);
left(<<108, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms + Size, Left - ?MOST); % LIST_EXT, and its tail
left(<<104, Size, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + Size, Left - ?MOST); % SMALL_TUPLE_EXT
left(<<105, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + Size, Left - ?MOST); % LARGE_TUPLE_EXT
left(<<116, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + 2 * Size, Left - ?MOST); % MAP_EXT
left(<<70, _:64, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?MOST); % NEW_FLOAT_EXT
left(<<99, _:31/binary, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?MOST); % FLOAT_EXT
left(<<110, Size, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_BIG_EXT
    left(Rest, Terms - 1, Left - ?MOST - Size);
left(<<111, Size:32, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % LARGE_BIG_EXT
    left(Rest, Terms - 1, Left - ?MOST - Size);
left(<<77, Size:32, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % BIT_BINARY_EXT
    left(Rest, Terms - 1, Left - ?MOST - Size);
left(<<115, Size, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_ATOM_EXT
    left(Rest, Terms - 1, Left - ?MOST);
left(<<Tag, Size:16, _:Size/binary, Rest/binary>>, Terms, Left) when Tag =:= 100; Tag =:= 118 -> % ATOM_EXT, ATOM_UTF8_EXT
    left(Rest, Terms - 1, Left - ?MOST);
left(<<103, Rest/binary>>, Terms, Left) -> identifier(Rest, 9, Terms, Left); % PID_EXT
left(<<88, Rest/binary>>, Terms, Left) -> identifier(Rest, 12, Terms, Left); % NEW_PID_EXT
left(<<Tag, Rest/binary>>, Terms, Left) when Tag =:= 101; Tag =:= 102 -> % REFERENCE_EXT, PORT_EXT
    identifier(Rest, 5, Terms, Left);
left(<<89, Rest/binary>>, Terms, Left) -> identifier(Rest, 8, Terms, Left); % NEW_PORT_EXT
left(<<120, Rest/binary>>, Terms, Left) -> identifier(Rest, 12, Terms, Left); % V4_PORT_EXT
left(<<114, Words:16, Rest/binary>>, Terms, Left) -> identifier(Rest, 1 + 4 * Words, Terms, Left); % NEW_REFERENCE_EXT
left(<<90, Words:16, Rest/binary>>, Terms, Left) -> identifier(Rest, 4 + 4 * Words, Terms, Left); % NEWER_REFERENCE_EXT
left(<<113, Rest/binary>>, Terms, Left) -> left(Rest, Terms + 2, Left - ?MOST); % EXPORT_EXT: module, function, arity
left(<<112, _:25/binary, Free:32, Rest/binary>>, Terms, Left) -> % NEW_FUN_EXT: module, index, uniq, pid
    left(Rest, Terms + 3 + Free, Left - ?MOST);
left(<<67, Fields:32, _, Rest/binary>>, Terms, Left) -> % RECORD_EXT: module, name; names and values of fields
    left(Rest, Terms + 1 + 2 * Fields, Left - ?MOST);
left(<<121, Rest/binary>>, _Terms, Left) -> % LOCAL_EXT: only the runtime that wrote it knows
    Left - ?MOST * byte_size(Rest);
left(_Other, _Terms, Left) ->
    Left.

%% The name of a node, and numbers.
identifier(<<Tag, Size, _:Size/binary, Rest/binary>>, Numbers, Terms, Left) when Tag =:= 119; Tag =:= 115 ->
    after_node(Rest, Numbers, Terms, Left);
identifier(<<Tag, Size:16, _:Size/binary, Rest/binary>>, Numbers, Terms, Left) when Tag =:= 118; Tag =:= 100 ->
    after_node(Rest, Numbers, Terms, Left);
identifier(_Other, _Numbers, _Terms, Left) ->
    Left.

after_node(Rest, Numbers, Terms, Left) ->
    case Rest of
        <<_:Numbers/binary, Others/binary>> -> left(Others, Terms - 1, Left - ?MOST - ?MOST);
        _ -> Left
    end.
