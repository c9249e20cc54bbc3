-module(emmap_term_size).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% How much memory a term takes, counted in its external format before the term is made: 16 bytes for each term in it,
%% itself included, and for each character of a string; and the bytes of its binaries and integers. That is about what
%% the BEAM takes for it. `emmap/etf' counts the same way in Node.

-export([left/2]).

%% What each term takes.
-define(TERM, 16).

%% How many of `Left' bytes are left when a term has taken its memory; less than 0 if it takes more. The term is in its
%% external format, without the version. Bytes that are no term are not counted: binary_to_term refuses them.
-spec left(binary(), Left :: integer()) -> integer().
left(External, Left) -> left(External, 1, Left).

%% The same for so many terms, one after the other.
left(_Rest, _Terms, Left) when Left < 0 -> Left;
left(_Rest, 0, Left) -> Left;
left(<<97, _, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?TERM); % SMALL_INTEGER_EXT
left(<<98, _:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?TERM); % INTEGER_EXT
left(<<106, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?TERM); % NIL_EXT
left(<<119, Size, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_ATOM_UTF8_EXT
    left(Rest, Terms - 1, Left - ?TERM);
left(<<109, Size:32, _:Size/binary, Rest/binary>>, Terms, Left) -> % BINARY_EXT
    left(Rest, Terms - 1, Left - ?TERM - Size);
left(<<107, Size:16, _:Size/binary, Rest/binary>>, Terms, Left) -> % STRING_EXT
    left(Rest, Terms - 1, Left - ?TERM - ?TERM * Size);
left(<<108, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms + Size, Left - ?TERM); % LIST_EXT, and its tail
left(<<104, Size, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + Size, Left - ?TERM); % SMALL_TUPLE_EXT
left(<<105, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + Size, Left - ?TERM); % LARGE_TUPLE_EXT
left(<<116, Size:32, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1 + 2 * Size, Left - ?TERM); % MAP_EXT
left(<<70, _:64, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?TERM); % NEW_FLOAT_EXT
left(<<99, _:31/binary, Rest/binary>>, Terms, Left) -> left(Rest, Terms - 1, Left - ?TERM); % FLOAT_EXT
left(<<110, Size, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_BIG_EXT
    left(Rest, Terms - 1, Left - ?TERM - Size);
left(<<111, Size:32, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % LARGE_BIG_EXT
    left(Rest, Terms - 1, Left - ?TERM - Size);
left(<<77, Size:32, _, _:Size/binary, Rest/binary>>, Terms, Left) -> % BIT_BINARY_EXT
    left(Rest, Terms - 1, Left - ?TERM - Size);
left(<<115, Size, _:Size/binary, Rest/binary>>, Terms, Left) -> % SMALL_ATOM_EXT
    left(Rest, Terms - 1, Left - ?TERM);
left(<<Tag, Size:16, _:Size/binary, Rest/binary>>, Terms, Left) when Tag =:= 100; Tag =:= 118 -> % ATOM_EXT, ATOM_UTF8_EXT
    left(Rest, Terms - 1, Left - ?TERM);
left(<<103, Rest/binary>>, Terms, Left) -> identifier(Rest, 9, Terms, Left); % PID_EXT
left(<<88, Rest/binary>>, Terms, Left) -> identifier(Rest, 12, Terms, Left); % NEW_PID_EXT
left(<<Tag, Rest/binary>>, Terms, Left) when Tag =:= 101; Tag =:= 102 -> % REFERENCE_EXT, PORT_EXT
    identifier(Rest, 5, Terms, Left);
left(<<89, Rest/binary>>, Terms, Left) -> identifier(Rest, 8, Terms, Left); % NEW_PORT_EXT
left(<<120, Rest/binary>>, Terms, Left) -> identifier(Rest, 12, Terms, Left); % V4_PORT_EXT
left(<<114, Words:16, Rest/binary>>, Terms, Left) -> identifier(Rest, 1 + 4 * Words, Terms, Left); % NEW_REFERENCE_EXT
left(<<90, Words:16, Rest/binary>>, Terms, Left) -> identifier(Rest, 4 + 4 * Words, Terms, Left); % NEWER_REFERENCE_EXT
left(<<113, Rest/binary>>, Terms, Left) -> left(Rest, Terms + 2, Left - ?TERM); % EXPORT_EXT: module, function, arity
left(<<112, _:25/binary, Free:32, Rest/binary>>, Terms, Left) -> % NEW_FUN_EXT: module, index, uniq, pid
    left(Rest, Terms + 3 + Free, Left - ?TERM);
left(<<67, Fields:32, _, Rest/binary>>, Terms, Left) -> % RECORD_EXT: module, name; names and values of fields
    left(Rest, Terms + 1 + 2 * Fields, Left - ?TERM);
left(<<121, Rest/binary>>, _Terms, Left) -> % LOCAL_EXT: only the runtime that wrote it knows
    Left - ?TERM * byte_size(Rest);
left(_Other, _Terms, Left) -> Left.

%% The name of a node, and numbers.
identifier(<<Tag, Size, _:Size/binary, Rest/binary>>, Numbers, Terms, Left) when Tag =:= 119; Tag =:= 115 ->
    after_node(Rest, Numbers, Terms, Left);
identifier(<<Tag, Size:16, _:Size/binary, Rest/binary>>, Numbers, Terms, Left) when Tag =:= 118; Tag =:= 100 ->
    after_node(Rest, Numbers, Terms, Left);
identifier(_Other, _Numbers, _Terms, Left) -> Left.

after_node(Rest, Numbers, Terms, Left) ->
    case Rest of
        <<_:Numbers/binary, Others/binary>> -> left(Others, Terms - 1, Left - ?TERM - ?TERM);
        _ -> Left
    end.
