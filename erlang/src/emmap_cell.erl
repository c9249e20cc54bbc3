-module(emmap_cell).

-include("emmap_doc.hrl").

?MODULEDOC("A cell: a file with one value, which is published whole. BEAM nodes and Node processes share it.

```erlang
{ok, Flags} = emmap_cell:open(\"flags.cell\", 65536, []),
ok = emmap_cell:publish(Flags, #{<<\"dark_mode\">> => true}),
{ok, #{<<\"dark_mode\">> := true}} = emmap_cell:get(Flags).
```

A reader takes no lock, never waits, and never sees half a value. If a process is killed while it publishes, the
value is the one before or the new one. After `emmap:sync/1` a power cut keeps the last synced value or a later one.

A value is a term, as a message of `emmap_queue`, with the same limit on its memory. A Node process that opens the
cell with `values: \"json\"` publishes maps, lists, binaries, numbers, booleans and `null`.

The errors are those of `emmap`, and

- `{error, einval}`: the term takes more than `MaxBytes` bytes.
- `{error, {corrupt, Offset, Reason}}`: the file is no cell, or is damaged. The next `publish/2` repairs a damaged value.
- `{error, {bad_term, Bytes}}`: the value is no term, no safe one, or takes more memory than `max_inflated_size` allows.

`publish/2` encodes a term, as a push does: ERTS ends the node if it lacks memory for the encoded bytes.").

-export([open/3, close/1, publish/2, publish_bytes/2, get/1, get_bytes/1, version/1, changed/3]).

-export_type([cell/0, handle/0, open_option/0, reason/0]).

-compile({no_auto_import, [get/1]}).

-include("emmap_file.hrl").

-define(IS_TIMEOUT(T), T =:= infinity orelse is_integer(T) andalso T >= 0).

?DOC("An open cell. The functions of `emmap` take it, too.").
-type cell() :: emmap:file().
?DOC("An open cell, or the name that `emmap_handles` has given it.").
-type handle() :: cell() | emmap_handles:name().
?DOC("The options of `emmap_queue:open/3`, without those about a size.").
-type open_option() :: emmap_queue:open_option().
?DOC("The reason of an error.").
-type reason() :: emmap_queue:reason().

?DOC("Opens a cell for values of up to `MaxBytes` bytes, or creates one that is empty. The file takes four times as much.
`MaxBytes` 0 means that of the file.").
-spec open(file:name_all(), MaxBytes :: non_neg_integer(), [open_option()]) -> {ok, cell()} | {error, reason()}.
open(Name, MaxBytes, Options) when is_integer(MaxBytes), MaxBytes >= 0, is_list(Options) ->
    {Terms, Others} = emmap_queue_open:terms(Options),
    emmap_open:open({cell, MaxBytes, Terms}, Name, emmap_queue_open:access(Others));
open(_Name, MaxBytes, Options) when is_integer(MaxBytes), is_list(Options) -> {error, {einval, max_bytes}};
open(_Name, _MaxBytes, _Options) -> error(badarg).

?DOC("Closes the cell. It keeps its value.").
-spec close(cell()) -> ok | {error, reason()}.
close(Cell) -> emmap:close(Cell).

?DOC("Publishes a term as the value, and ends all waits for it.").
-spec publish(handle(), term()) -> ok | {error, reason()}.
publish(?QUEUE(Backend, Handle, #terms{encoding = Encoding, limit = Limit}), Term) ->
    Bytes = term_to_binary(Term, Encoding),
    case emmap_terms:check(Term, Bytes, Limit) of
        ok -> ?CALL_LOCKING(Backend, cell_publish(Handle, Bytes));
        {error, _} = Error -> Error
    end;
publish(Name, Term) when is_atom(Name) -> ?NAMED(Name, Cell, publish(Cell, Term)).

?DOC("Publishes bytes that are no term, for processes of Node that open the cell with `raw`.").
-spec publish_bytes(handle(), iodata()) -> ok | {error, reason()}.
publish_bytes(?MAPPED(Backend, Handle), Bytes) -> ?CALL_LOCKING(Backend, cell_publish(Handle, ?BYTES(Bytes)));
publish_bytes(Name, Bytes) when is_atom(Name) -> ?NAMED(Name, Cell, publish_bytes(Cell, Bytes)).

?DOC("The last published value; `empty` if there is none.").
-spec get(handle()) -> {ok, term()} | empty | {error, reason()}.
get(?QUEUE(_, _, Terms) = Cell) ->
    case get_bytes(Cell) of
        {ok, Bytes} ->
            case emmap_terms:decode(Bytes, Terms) of
                {ok, _} = Value -> Value;
                Refused -> {error, Refused}
            end;
        EmptyOrError ->
            EmptyOrError
    end;
get(Name) when is_atom(Name) -> ?NAMED(Name, Cell, get(Cell)).

?DOC("The bytes of the last published value.").
-spec get_bytes(handle()) -> {ok, binary()} | empty | {error, reason()}.
get_bytes(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, cell_get(Handle)) of
        {ok, Bytes, _Version} -> {ok, Bytes};
        eof -> empty;
        {error, _} = Error -> Error
    end;
get_bytes(Name) when is_atom(Name) -> ?NAMED(Name, Cell, get_bytes(Cell)).

?DOC("The number of values published so far. Another version is another value. To avoid needless gets, read the version
before `get/1`, keep both, and get again when the version has changed.").
-spec version(handle()) -> {ok, non_neg_integer()} | {error, reason()}.
version(?MAPPED(Backend, Handle)) -> ?CALL(Backend, cell_version(Handle));
version(Name) when is_atom(Name) -> ?NAMED(Name, Cell, version(Cell)).

?DOC("Waits until the cell has another version than `Version`. Only the calling process waits. A node can have 1024 waits at a
time, of all its files, and so can each port program; one more answers `{error, enomem}`. So let one process wait and tell the
others.").
-spec changed(handle(), Version :: non_neg_integer(), timeout()) -> ok | timeout | {error, reason()}.
changed(?MAPPED(Backend, Handle) = Cell, Version, Timeout)
  when is_integer(Version), Version >= 0, ?IS_TIMEOUT(Timeout) ->
    case ?CALL(Backend, cell_wait(Handle, Version, Timeout)) of
        not_equal -> ok;
        %% A notify may come without a change.
        ok -> changed_now(Cell, Version, Timeout);
        TimeoutOrError -> TimeoutOrError
    end;
changed(?MAPPED(_, _), _Version, _Timeout) -> error(badarg);
changed(Name, Version, Timeout) when is_atom(Name) -> ?NAMED(Name, Cell, changed(Cell, Version, Timeout)).

changed_now(Cell, Version, Timeout) ->
    case version(Cell) of
        {ok, Version} -> changed(Cell, Version, Timeout);
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.
