-module(emmap_table).

-include("emmap_doc.hrl").

?MODULEDOC("A table: a file of keys with 64-bit words, which BEAM nodes and Node processes share. For counters with names, and
for rate limits.

```erlang
{ok, Table} = emmap_table:open(\"clients.table\", 100000, []),
{ok, Before} = emmap_table:add(Table, <<\"ann\">>, 0, 1),
{ok, Now} = emmap_table:get(Table, <<\"ann\">>, 0), % Before + 1
{ok, #{allowed := true}} = emmap_table:hit(Table, <<\"10.0.0.1\">>, #{limit => 100, window => 60000}).
```

A key is bytes. A look-up compares keys, and never only their hashes. Words are signed and wrap, and are numbered from 0. A key
that is not in the table has words of 0; `add/4`, `set/4` and `compare_exchange/5` insert it.

A look-up takes no lock, nor does an addition to a key that is there. Inserting, deleting, setting and exchanging take the
lock of the file. A process that is killed leaves a sound table. After `emmap:sync/1` a power cut keeps every key, with its
words at the sync or later ones.

The errors are those of `emmap`, and

- `{error, full}`: the table has as many keys as its capacity.
- `{error, enoent}`: there is no such key.
- `{error, einval}`: an empty key or one that is too long, or a word past the last.
- `{error, {corrupt, Offset, Reason}}`: the file is no table, or is damaged.").
-compile({no_auto_import, [size/1]}).

-export([open/3, close/1, info/1, size/1, repair/1]).
-export([add/3, add/4, set/4, get/2, get/3, compare_exchange/5, delete/2, hit/3, fold/3, to_list/1]).

-export_type([table/0, handle/0, open_option/0, key/0, limit/0, hit/0]).

-include("emmap_file.hrl").

%% The number of entries that a normal scheduler handles in one call.
-define(STEP, 64).
%% emmap_table_flag of the core.
-define(SLIDING, 1).
-define(EVICT, 2).

?DOC("An open table. The functions of `emmap` take it, too.").
-type table() :: emmap:file().
?DOC("An open table, or the name that `emmap_handles` has given it.").
-type handle() :: table() | emmap_handles:name().
?DOC("The options of `emmap:open/2` that are not about a size, and

- `{key_bytes, Bytes}`: the most bytes of a key, 64 by default and up to 1024.
- `{words, Count}`: the words of a key, 2 by default and up to 64.
- `read_only`, `existing`: as for `emmap_queue:open/3`.").
-type open_option() ::
    emmap:open_option() | {key_bytes, pos_integer()} | {words, pos_integer()} | read_only | existing.
?DOC("A key. It is not empty.").
-type key() :: iodata().
?DOC("A limit: a key may use `limit` in each `window` of milliseconds; with another window it begins anew. `cost`: the use of this hit, 1 by default; a negative
cost takes back earlier use in this window. Limit and cost are below 2^24. `sliding`: the use in the window before counts in
proportion to the part of it that the sliding window still covers. `evict`: if the table is full and nothing has expired, the
hit looks at 512 entries, and takes the place of the one that expires first. The next hit looks at the next ones.").
-type limit() :: #{limit := non_neg_integer(), window := pos_integer(), cost => integer(), sliding => boolean(),
                   evict => boolean()}.
?DOC("The answer to a hit. `used`: the use in the window, this hit included if it is allowed. `remaining`: the rest of the
limit. `reset`: the milliseconds to the end of the window.").
-type hit() :: #{allowed := boolean(), used := non_neg_integer(), remaining := non_neg_integer(),
                 reset := non_neg_integer()}.

?DOC("Opens a table, or creates one that is empty. `Capacity` is the number of keys of up to 38 bytes; a longer key takes the
place of two, or of more. A million keys take 64 MiB. `Capacity` 0 means the capacity, key bytes and words of the file.").
-spec open(file:name_all(), Capacity :: non_neg_integer(), [open_option()]) ->
    {ok, table()} | {error, emmap:reason()}.
open(Name, Capacity, Options) when is_integer(Capacity), Capacity >= 0, is_list(Options) ->
    {KeyBytes, WithoutKeyBytes} = number(key_bytes, Options),
    {Words, Others} = number(words, WithoutKeyBytes),
    emmap_open:open({table, {Capacity, KeyBytes, Words}}, Name, emmap_queue_open:access(Others));
open(_Name, Capacity, Options) when is_integer(Capacity), is_list(Options) -> {error, {einval, table_shape}};
open(_Name, _Capacity, _Options) -> error(badarg).

%% The last of the numbers that are given for a name, 0 if there is none, and the other options.
number(Name, Options) ->
    {Given, Others} = lists:partition(fun(Option) -> is_number(Name, Option) end, Options),
    {lists:last([0 | [Number || {_, Number} <- Given]]), Others}.

is_number(Name, {Name, Number}) -> is_integer(Number) andalso Number > 0;
is_number(_Name, _Option) -> false.

?DOC("Closes the table. It keeps its keys.").
-spec close(table()) -> ok | {error, emmap:reason()}.
close(Table) -> emmap:close(Table).

?DOC("The numbers that the table was created with.").
-spec info(handle()) ->
    {ok, #{capacity | key_bytes | words := pos_integer()}} | {error, emmap:reason()}.
info(?MAPPED(Backend, Handle)) ->
    case ?CALL(Backend, table_info(Handle)) of
        {ok, {Capacity, KeyBytes, Words}} ->
            {ok, #{capacity => Capacity, key_bytes => KeyBytes, words => Words}};
        {error, _} = Error -> Error
    end;
info(Name) when is_atom(Name) -> ?NAMED(Name, Table, info(Table)).

?DOC("How many keys there are, expired ones included.").
-spec size(handle()) -> {ok, non_neg_integer()} | {error, emmap:reason()}.
size(?MAPPED(Backend, Handle)) -> ?CALL(Backend, table_size(Handle));
size(Name) when is_atom(Name) -> ?NAMED(Name, Table, size(Table)).

?DOC("Makes a damaged table sound. Of two entries of one key one stays, and an entry whose key is damaged goes. Others may
use the table meanwhile, but wait to insert and to delete.").
-spec repair(handle()) -> ok | {error, emmap:reason()}.
repair(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, table_repair(Handle));
repair(Name) when is_atom(Name) -> ?NAMED(Name, Table, repair(Table)).

?DOC("Adds to word 0 of a key.").
-spec add(handle(), key(), emmap:operand()) -> {ok, Old :: emmap:int64()} | {error, emmap:reason()}.
add(Table, Key, Value) -> add(Table, Key, 0, Value).

?DOC("Adds to a word of a key. Answers the value before, as `set/4` and `compare_exchange/5` do.").
-spec add(handle(), key(), Word :: non_neg_integer(), emmap:operand()) ->
    {ok, Old :: emmap:int64()} | {error, emmap:reason()}.
add(?MAPPED(Backend, Handle), Key, Word, Value) -> ?CALL_LOCKING(Backend, table_add(Handle, Key, Word, Value));
add(Name, Key, Word, Value) when is_atom(Name) -> ?NAMED(Name, Table, add(Table, Key, Word, Value)).

?DOC("Sets a word of a key.").
-spec set(handle(), key(), Word :: non_neg_integer(), emmap:operand()) ->
    {ok, Old :: emmap:int64()} | {error, emmap:reason()}.
set(?MAPPED(Backend, Handle), Key, Word, Value) -> ?CALL_LOCKING(Backend, table_set(Handle, Key, Word, Value));
set(Name, Key, Word, Value) when is_atom(Name) -> ?NAMED(Name, Table, set(Table, Key, Word, Value)).

?DOC("Word 0 of a key.").
-spec get(handle(), key()) -> {ok, emmap:int64()} | {error, emmap:reason()}.
get(Table, Key) -> get(Table, Key, 0).

?DOC("A word of a key; `{error, enoent}` if there is no such key.").
-spec get(handle(), key(), Word :: non_neg_integer()) -> {ok, emmap:int64()} | {error, emmap:reason()}.
get(?MAPPED(Backend, Handle), Key, Word) -> ?CALL_LOCKING(Backend, table_get(Handle, Key, Word));
get(Name, Key, Word) when is_atom(Name) -> ?NAMED(Name, Table, get(Table, Key, Word)).

?DOC("Sets a word of a key to `Value` if it holds `Expected`. It did so if the answer is `Expected`, as a signed number.").
-spec compare_exchange(handle(), key(), Word :: non_neg_integer(), Expected :: emmap:operand(), emmap:operand()) ->
    {ok, Old :: emmap:int64()} | {error, emmap:reason()}.
compare_exchange(?MAPPED(Backend, Handle), Key, Word, Expected, Value) ->
    ?CALL_LOCKING(Backend, table_compare_exchange(Handle, Key, Word, Expected, Value));
compare_exchange(Name, Key, Word, Expected, Value) when is_atom(Name) ->
    ?NAMED(Name, Table, compare_exchange(Table, Key, Word, Expected, Value)).

?DOC("Deletes a key. An addition at the same time comes before the deletion and is lost, or comes after it and inserts the
key again.").
-spec delete(handle(), key()) -> ok | {error, emmap:reason()}.
delete(?MAPPED(Backend, Handle), Key) -> ?CALL_LOCKING(Backend, table_delete(Handle, Key));
delete(Name, Key) when is_atom(Name) -> ?NAMED(Name, Table, delete(Table, Key)).

?DOC("Counts a hit on a limit, in one atomic step across all processes of both runtimes. A hit that is not allowed uses
nothing. It uses words 0 and 1 of the key, which nothing else should change. An unknown name in the limit is a `badarg`.

Without `sliding` windows follow each other from 1970 on, the same for all keys. An entry that a hit has inserted expires at
the end of its window, a sliding one a window later. Then another key may take its place. The clock is the system's time: if
it is set back by more than a window, limits begin anew; if it is set forward, the current windows end.").
-spec hit(handle(), key(), limit()) -> {ok, hit()} | {error, emmap:reason()}.
hit(?MAPPED(Backend, Handle), Key, Limit) when is_map(Limit) ->
    case ?CALL_LOCKING(Backend, table_hit(Handle, Key, limit(Limit))) of
        {ok, Allowed, Used, Remaining, Reset} ->
            {ok, #{allowed => Allowed, used => Used, remaining => Remaining, reset => Reset}};
        {error, _} = Error -> Error
    end;
hit(Name, Key, Limit) when is_atom(Name) -> ?NAMED(Name, Table, hit(Table, Key, Limit)).

limit(#{limit := Limit, window := Window} = Given) ->
    ok = check_names(maps:keys(Given)),
    {word(limit, Limit), word(window, Window), word(cost, maps:get(cost, Given, 1)),
     flag(sliding, ?SLIDING, Given) bor flag(evict, ?EVICT, Given)};
limit(Given) ->
    ok = check_names(maps:keys(Given)),
    error(badarg).

check_names([Name | Rest]) when Name =:= limit; Name =:= window; Name =:= cost; Name =:= sliding; Name =:= evict -> check_names(Rest);
check_names([Name | _]) -> emmap_options:bad({option, Name});
check_names([]) -> ok.

%% The core knows the ranges. The port cuts longer numbers to 64 bits.
word(_Name, Number) when is_integer(Number), Number >= -16#8000000000000000, Number =< 16#7fffffffffffffff -> Number;
word(Name, Other) -> emmap_options:bad({option, {Name, Other}}).

flag(Name, Flag, Given) ->
    case maps:get(Name, Given, false) of
        true -> Flag;
        false -> 0;
        Other -> emmap_options:bad({option, {Name, Other}})
    end.

?DOC("Calls `Fun(Key, Words, Acc)` for each entry. An entry that is inserted or deleted meanwhile may come or not; every
other entry comes once.").
-spec fold(fun((Key :: binary(), Words :: [emmap:int64()], Acc) -> Acc), Acc, handle()) ->
    {ok, Acc} | {error, emmap:reason()}.
fold(Fun, Acc, Name) when is_atom(Name) -> ?NAMED(Name, Table, fold(Fun, Acc, Table));
fold(Fun, Acc, Table) ->
    case info(Table) of
        {ok, #{words := Words}} -> fold(Fun, Acc, Table, 8 * Words, 0);
        {error, _} = Error -> Error
    end.

fold(Fun, Acc, ?MAPPED(Backend, Handle) = Table, Size, Place) ->
    case ?CALL_LOCKING(Backend, table_walk(Handle, ?STEP, Place)) of
        {ok, Entries, Next} ->
            New = lists:foldl(fun(Entry, Before) -> visit(Fun, Entry, Size, Before) end, Acc, Entries),
            fold(Fun, New, Table, Size, Next);
        eof -> {ok, Acc};
        {error, _} = Error -> Error
    end.

visit(Fun, Entry, Size, Acc) ->
    <<Words:Size/binary, Key/binary>> = Entry,
    Fun(Key, [Word || <<Word:64/signed-little>> <= Words], Acc).

?DOC("All entries.").
-spec to_list(handle()) -> {ok, [{Key :: binary(), Words :: [emmap:int64()]}]} | {error, emmap:reason()}.
to_list(Table) -> fold(fun(Key, Words, Entries) -> [{Key, Words} | Entries] end, [], Table).
