-module(emmap).

-include("emmap_doc.hrl").

?MODULEDOC("Memory-mapped files. Other processes of the machine that map the same file see each write at once, and can
change its 64-bit words and counters atomically.

```erlang
{ok, Mem} = emmap:open(\"state.bin\", [create, read, write, shared, {size, 4096}]),
ok = file:pwrite(Mem, 100, <<\"hello\">>),
{ok, <<\"hello\">>} = file:pread(Mem, 100, 5),
{ok, Old} = emmap:patomic(Mem, 0, add, 1),
ok = file:close(Mem).
```

Nothing needs to be started first.

## Files

An open file is a `#file_descriptor{}`, like a raw file. So the functions of `file` take it: `read`, `read_line`,
`write`, `pread`, `pwrite`, `position`, `truncate`, `advise`, `allocate`, `sync`, `datasync`, `copy`, `sendfile`,
`ipread_s32bu_p32bu`, `close`. They answer as for a raw, binary file, with these differences:

- A write does not grow the file. A write that would pass the end writes nothing and answers `{error, einval}`. So does
  a `truncate` to 0 bytes, or to more bytes than the file has.
- A write to a file that is open for reading only answers `{error, eacces}`.
- After `close` every function answers `{error, closed}`, and `close` answers `ok`.
- Any process may use the file, not only the one that opened it.
- `file:read_file_info/1` of an open file answers `{error, enotsup}`.

Positions and offsets are in bytes. A position counts from the offset that the file was opened at.

## Names

`emmap_handles` opens a file under a name, in a supervision tree, and opens it again when it is lost. The functions of this
module, `emmap_queue`, `emmap_cell` and `emmap_table` take the name instead of the file: `emmap:inc_counter(visits, 0)`.

## Backends

There are two backends: the NIF (`emmap_nif`), which is the default, and the port (`emmap_port`), which is used if the
NIF does not load. The option `{backend, nif | port | {port, ServerRef}}` chooses one for a file, and the application's
environment (`{emmap, [{backend, nif | port}]}`) for all files.

- A call of the NIF costs some ten nanoseconds, a call of the port some ten microseconds.
- The port runs the C code in a program of its own, so an error in it does not touch the node.
- `direct` reads need the NIF; the port answers `{error, enotsup}`. Everything else works with both.
- The port closes a file when the process that opened it ends. The NIF closes it when no process refers to it any more.
- If the port's program dies, unanswered calls and all later calls on its files answer `{error, port_died}`. An unanswered
  call may have been done or not. `reopen/1` opens the file again.
- If the program does not answer within five seconds, the call answers `{error, timeout}`. See `t:emmap_port:options/0`.
- If the program can't be started, opening a file answers `{error, enoent}`, `eacces`, `enotdir` or `enoexec`. The log
  has the program's path, and says why the system does not execute it.

## Errors

All functions follow these rules:

- If the file, the system or another process refuses an operation, the operation answers `{error, Atom}`. The atom is a POSIX
  error, as in `file`, or `closed`, `alignment`, `fixed_size`, `full`, `corrupt`, `port_died`, `timeout`, `emsgsize`
  (more than a gigabyte through a port), `nif_not_loaded`, `no_native_dir` (the port program cannot be found).
- An open whose options do not fit is `{error, {einval, Which}}`: `size_missing`, `write_missing`, `empty_file`, and so on;
  `format_error/1` has a text for each. `{error, {no_backend, Nif, Port}}`: the NIF does not load and the port's program does
  not start, for these reasons.
- A number that no place in the file can have, for instance a negative one, is `{error, einval}`; a block's address that is
  negative raises `badarg`, because emmap 2.x raises an error too. A read at or past the end is `eof`. A file name with a NUL in it is `{error, badarg}`, as in `file`.
- An argument of the wrong type raises `badarg`; so does an option or an operation that does not exist.
- An argument that is no open file raises `function_clause`.

`{error, efault}` means that another process has truncated the file under the mapping.

If an open fails because the file system lacks something (`enotsup`: shared memory; `enolck`, `einval`: locks), the log
gets a warning with the file's name, the file system and a remedy. The warning comes once for each file system until the
application is started again.").

-export([format_error/1, i/0, open_files/0]).
-export([init/0, open/2, open/4, reopen/1, close/1, size/1]).
-export([pread/2, pread/3, pwrite/2, pwrite/3, read/2, read_line/1, write/2, position/2, copy/3]).
-export([resize/1, resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1]).
-export([backup/2, is_current/1, writers/1, inspect_file/1]).
-export([sendfile/8, ipread_s32bu_p32bu/3, read_handle_info/1, read_handle_info/2]).
-export([patomic/4, patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3, patomic_xchg/3,
         patomic_cas/4, patomic_read_integer/2, patomic_write_integer/3]).
-export([wait/4, notify/3, wait_counter/4, notify_counter/3]).
-export([open_counters/1, open_counters/2, open_counters/3, close_counters/1, counters_length/1]).
-export([inc_counter/2, inc_counter/3, dec_counter/2, dec_counter/3, set_counter/3, read_counter/2,
         cas_counter/4]).
-export([open_block_storage/2, open_block_storage/3, init_block_storage/2, init_block_storage/3,
         block_storage_info/1, count_blocks/1]).
-export([store_block/2, store_blocks/2, read_block/2, read_blocks/1, read_blocks/3, free_block/2, free_blocks/2]).
-export([repair_block_storage/1, repair_block_storage/3, compact_block_storage/1]).
-export([batch/2]).

-export_type([file/0, handle/0, counters/0, counters_handle/0, open_option/0, backend/0, info/0, inspection/0, int64/0,
              location/0, operand/0, operation/0, reason/0]).
-export_type([address/0, block_storage_info/0, writer/0]).
-export_type([open_file/0]).
-export_type([mmap_file/0, resource/0, open_extra_info/0]).

-include("emmap_file.hrl").

-compile({no_auto_import, [size/1]}).

?DOC("An open file. The functions of `file` take it too.").
-type file() :: file:fd().
?DOC("An open file, or the name that `emmap_handles` has given it.").
-type handle() :: file() | emmap_handles:name().
?DOC("Open counters, or the name that `emmap_handles` has given them.").
-type counters_handle() :: counters() | emmap_handles:name().
?DOC("An open file, by the name that emmap 2.x gives this type.").
-type mmap_file() :: file().
?DOC("A type of emmap 2.x. No function takes or answers it.").
-type resource() :: binary().
?DOC("An open file of counters, and the number of its counters. The functions for files take the file.").
-type counters() :: {file(), Count :: pos_integer()}.
?DOC("The value of a 64-bit word, signed.").
-type int64() :: emmap_backend:int64().
?DOC("A value for a 64-bit word. A number from 2^63 up means the negative number with the same bits.").
-type operand() :: emmap_backend:operand().
?DOC("An open file of this node. `owner`: the process that opened it. `since`: when, in seconds of the system time. `size`:
how many bytes are mapped; missing if the port's program does not answer.").
-type open_file() :: #{
    path := binary(), kind := file | counters | queue | blocks | cell | table, backend := nif | port, owner := pid(),
    since := integer(), size => non_neg_integer()
}.
?DOC("About a file that was opened. `exist`: whether it existed before; `size`: how many bytes are mapped.").
-type info() :: emmap_backend:info().
?DOC("What `inspect_file/1` has found.").
-type inspection() :: emmap_backend:inspection().
?DOC("`t:info/0`, by the name that emmap 2.x gives it.").
-type open_extra_info() :: info().
?DOC("A place in the file, as `file:position/2` takes it.").
-type location() :: integer() | bof | cur | eof | {bof | cur | eof, Offset :: integer()}.
?DOC("The reason of an error. `{corrupt, Offset, Reason}`: the queue or block storage is damaged, at this offset in the
file. `{counters, InFile, Asked}`: the file has another number of counters than was asked for. `{other_node, Node}`: the
handle belongs to that node.").
-type reason() ::
    atom() | {einval, emmap_errors:invalid()} | {no_backend, Nif :: term(), Port :: term()} | {badarg, term()}
    | {other_node, node()} | {counters, InFile :: pos_integer(), Asked :: pos_integer()}
    | {corrupt, Offset :: non_neg_integer(), Reason :: binary()}.
?DOC("The address of a block: from 0 to the storage's capacity - 1. As in emmap 2.x, `read_block/2`, `free_block/2`,
`read_blocks/3` and `repair_block_storage/3` take a larger one modulo the capacity: in a storage of 262,144 blocks 262,144
means 0. A number of 2^64 or more is no address, and there is no block at it. `free_blocks/2` takes no address beyond the
capacity.").
-type address() :: emmap_backend:address().
?DOC("About a block storage: `block_size` in bytes, the `levels` of its tree, and how many blocks it can hold
(`capacity`).").
-type block_storage_info() :: emmap_backend:blocks_info().
?DOC("A handle that may write a queue, block storage, cell or table, and shares it. `process` and `program`: the id and the
name of its process, as the process itself sees them. `since`: when it opened the file, in milliseconds since 1970.
`has_lock`: whether it has the file's lock. `waited`: how many of its operations waited for the lock. `pushed`, `popped`: how
many messages it pushed and popped.").
-type writer() :: emmap_backend:writer().

?DOC("How to open a file.

Access:

- `read`, `write`: for reading only; for reading and writing. `write` includes `read`.
- `create`: create the file if it is missing. Needs `write`, and a size or a length.
- `truncate`: drop all bytes first. Needs `write`. Without a size the file keeps its size.
- `exclusive`: refuse every other handle that may write: the second open answers `{error, ebusy}`.
- `auto_unlink`: delete the file when it is closed, if its path still leads to it.
- `{chmod, Mode}`: the permission bits of a created file, less the umask; 8#600 by default. `{mode, Mode}`: the same,
  without regard to the umask.

Sharing:

- `private` (the default): writes stay in this mapping. `shared`, `shared_validate`: writes reach the file and every process
  that maps it. `shared` beats `private`.
- `shared_unsafe`, of files and counters: as `shared`, and also on a file system that does not give all who open the
  file the same memory (FUSE, network file systems). Such a file system answers `{error, enotsup}` to `shared`.
- `anon`: memory without a file.

Size:

- `{size, Bytes}`: the size of a file that is created, empty or truncated. A file that has bytes keeps its size:
  `open/2` maps it as it is, `open/4` demands this size. Of several sizes the first that is not 0 counts.
- `fit`, of `open/4`: accept a file of another size, and grow a smaller one.
- `fixed_size`: never change the file's size afterwards.
- `{max_inc_size, Bytes}`: the most by which `resize/1` grows the file; 64 MiB by default.
- `{offset, Bytes}`, `{length, Bytes}`: which part of the file to map, as `open/4`.

Reads, locks and structures:

- `direct`: reads answer binaries that alias the mapping. They cost no copy, and change when the file changes.
- `lock` (the default), `nolock`: whether reads and writes by processes of this node exclude each other.
- `{lock_timeout, Milliseconds}`: how long an operation waits for a lock that another process holds, for instance a
  stopped one; 5000 by default. It applies to queues, block storages, cells, tables, opening and changes of size. After that
  time the operation answers `{error, timeout}` and has changed nothing; `writers/1` names the owner of the lock. 0: it tries
  once. Only the calling process waits, never a scheduler.
- `grow`, of counters: a file with fewer counters than the open asks for grows, and the new ones are 0; a file with more
  is opened with all of them. Handles that are open keep the number that they had. Without `grow` another number is
  `{error, {counters, InFile, Asked}}`.
- `follow`, of queues and block storages: if an operation finds nothing and the path leads to another file now, the handle
  switches to that file and the operation answers from it; if there is no file it waits for one. Without `follow` the
  operation answers `{error, estale}`. With it `estale` means that the new file can't be opened like the old one, or is in
  use under another name. The path is checked once a second at most.

Mapping, as mmap(2) has it:

- `{address, Address}`: where to map. `fixed`: exactly there, or the open answers `{error, eexist}`.
- `populate`, `nonblock`, `noreserve`, `sync`, `hugetlb`, `huge_2mb`, `huge_1gb`.

Others:

- `info`: `open/2` answers `{ok, File, Info}`. It also does so if the application's environment has `{open_info, true}`.
- `{backend, Backend}`: see [Backends](#module-backends).
- `nocache`, `uninitialized`, `debug`: accepted, without effect.").
-type open_option() ::
    read | write | create | truncate | shared | shared_unsafe | private | shared_validate | direct | anon | auto_unlink
    | exclusive | follow | grow | fixed | fixed_size | lock | nolock | populate | nonblock | noreserve | sync
    | hugetlb | huge_2mb | huge_1gb | fit | nocache | uninitialized | debug | info
    | {size | max_inc_size | chmod | mode | offset | length | address | lock_timeout, non_neg_integer()}
    | {backend, backend()}.
?DOC("How the node reaches the mapping. `emmap_port:start_link/1` starts a server.").
-type backend() :: nif | port | {port, gen_server:server_ref()}.

?DOC("An operation of `batch/2`: the name of a function of this module, and its arguments without the file.").
-type operation() ::
    {size}
    | {pread, Position :: integer(), Length :: non_neg_integer()}
    | {pwrite, Position :: integer(), iodata()}
    | {read, Length :: non_neg_integer()}
    | {read_line}
    | {write, iodata()}
    | {position, location()}
    | {resize}
    | {resize, non_neg_integer()}
    | {truncate}
    | {allocate, Position :: integer(), Length :: integer()}
    | {advise, Position :: integer(), Length :: integer(), emmap_backend:advice()}
    | {flush}
    | {sync}
    | {datasync}
    | {patomic, Position :: integer(), add | sub | 'and' | 'or' | 'xor' | xchg, operand()}
    | {patomic, Position :: integer(), cas, {operand(), operand()}}
    | {patomic_add | patomic_sub | patomic_and | patomic_or | patomic_xor | patomic_xchg
       | patomic_write_integer, Position :: integer(), operand()}
    | {patomic_cas, Position :: integer(), operand(), operand()}
    | {patomic_read_integer, Position :: integer()}
    | {inc_counter | dec_counter | read_counter, Index :: integer()}
    | {inc_counter | dec_counter | set_counter, Index :: integer(), operand()}
    | {cas_counter, Index :: integer(), operand(), operand()}
    | {notify, Position :: integer(), Count :: non_neg_integer() | infinity}
    | {notify_counter, Index :: integer(), Count :: non_neg_integer() | infinity}.

-define(MAX_INT64, 16#7fffffffffffffff).

%% A number of milliseconds or of processes.
-define(IS_LIMIT(N), (N =:= infinity orelse is_integer(N) andalso N >= 0)).

%%% Errors

?DOC("A text for the reason of an error, as `file:format_error/1`; also for `{emmap, Path, Reason}`, with which a server ends.").
-spec format_error(reason() | emmap_queue:reason() | term()) -> unicode:chardata().
format_error(Reason) -> emmap_errors:format(Reason).

%%% Open files

?DOC("The files that this node has open, over both backends. It waits half a second for programs that do not answer.").
-spec open_files() -> [open_file()].
open_files() -> emmap_open_files:list().

?DOC("Prints `open_files/0` as a table.").
-spec i() -> ok.
i() -> emmap_open_files:print().

%%% Open and close

?DOC("Whether the NIF is loaded. The first use of the module `emmap_nif` loads it.").
-spec init() -> ok | {error, Reason :: term()}.
init() -> emmap_nif:loaded().

?DOC("Opens and maps a file. A file that has bytes is mapped whole, in the size that it has. `{size, Bytes}` is the size
of a file that is created, empty or truncated. With the option `info` the answer has an `t:info/0` too.").
-spec open(file:name_all(), [open_option()]) -> {ok, file()} | {ok, file(), info()} | {error, reason()}.
open(Name, Options) ->
    {Given, Backend, WantsInfo} = emmap_options:parse(Options),
    case emmap_open:open(file, Name, emmap_options:whole(Given), Backend) of
        {ok, File, Info} when WantsInfo -> {ok, File, Info};
        {ok, File, _Info} -> {ok, File};
        {error, _} = Error -> Error
    end.

?DOC("Maps `Length` bytes from `Offset` on. Position 0 of the open file is `Offset`.

A file that is created, empty or truncated gets the size `Offset + Length`. A file that has bytes must have that size;
otherwise the answer is `{error, {einval, wrong_size}}` and the file stays as it was. With `fit` the file is mapped
whole, and grown if it is smaller and open for writing.

`Length` 0 means the size of the option `{size, Bytes}`, and without this option everything up to the end.

`Offset` can be any byte. Behind an `Offset` other than 0, `Length` may be less than the rest of the file. If `Length`
is the size of the whole file, as emmap 2.x demands, the rest is mapped; then, and with `fit`, `Offset` must be a
multiple of the page size.").
-spec open(file:name_all(), Offset :: non_neg_integer(), Length :: non_neg_integer(), [open_option()]) ->
    {ok, file(), info()} | {error, reason()}.
open(Name, Offset, Length, Options) when is_integer(Offset), is_integer(Length) ->
    {Given, Backend, _} = emmap_options:parse(Options),
    case Offset >= 0 andalso Offset =< ?MAX_INT64 andalso Length >= 0 andalso Length =< ?MAX_INT64 of
        true ->
            case emmap_options:window(Offset, Length, Given) of
                {ok, Range} -> emmap_open:open(file, Name, Range, Backend);
                {error, _} = Error -> Error
            end;
        false ->
            {error, {einval, out_of_range}}
    end;
open(_Name, _Offset, _Length, _Options) -> error(badarg).

?DOC("Opens a file again with the options that it was opened with: after its port's program has died, after another
process has truncated the file (`{error, efault}`), or after the path has come to lead to another file
(`{error, estale}`).

This time the file is neither created nor truncated. The cursor is at the start. The writes to a `private` mapping are
lost. A block storage needs no `init_block_storage/2`, which would empty it.

The old handle is closed once the new one is open. If the open fails, the old handle stays open. Three kinds of file are
closed before the open:

- a file with `auto_unlink`; the close deletes it if its program still lives, and the open answers `{error, enoent}`;
- an `exclusive` file, if the path still leads to it;
- a file that is `fixed` at an address, because the old mapping occupies it.").
-spec reopen(file()) -> {ok, file()} | {error, reason()};
            (counters()) -> {ok, counters()} | {error, reason()}.
reopen({?MAPPED(_, _), _Count} = Counters) -> emmap_open:reopen(Counters);
reopen(?MAPPED(_, _) = File) -> emmap_open:reopen(File).

?DOC("Closes the file. The memory that a binary of a `direct` read aliases stays until the binary is collected.").
-spec close(file()) -> ok | {error, emmap_backend:reason()}.
close(?MAPPED(_, _) = File) -> emmap_open:close(File).

?DOC("The number of bytes that are mapped.").
-spec size(handle()) -> {ok, non_neg_integer()} | {error, reason()}.
size(?MAPPED(Backend, Handle)) -> ?CALL(Backend, size(Handle));
size(Name) when is_atom(Name) -> ?NAMED(Name, File, size(File)).

%%% Reads and writes

?DOC("Reads at several positions, on the port in one frame. A position at or past the end gives `eof`.").
-spec pread(handle(), [{Position :: integer(), Length :: non_neg_integer()}]) ->
    {ok, [binary() | eof]} | {error, reason()}.
pread(?MAPPED(_, _) = File, Places) when is_list(Places) -> emmap_batch:pread(File, Places);
pread(?MAPPED(_, _), _) -> error(badarg);
pread(Name, Places) when is_atom(Name) -> ?NAMED(Name, File, pread(File, Places)).

?DOC("Reads up to `Length` bytes, fewer if the end comes first. A position at or past the end is `eof`.").
-spec pread(handle(), Position :: integer(), Length :: non_neg_integer()) -> {ok, binary()} | eof | {error, reason()}.
%% The NIF checks the arguments itself. The guards would take a thirtieth of a direct read.
pread(?MAPPED(emmap_nif, Handle), Position, Length) -> emmap_nif:pread(Handle, Position, Length);
pread(?MAPPED(Backend, Handle), Position, Length) when is_integer(Position), is_integer(Length), Length >= 0 ->
    ?CALL(Backend, pread(Handle, Position, Length));
pread(?MAPPED(_, _), Position, Length) when is_integer(Position), is_integer(Length) -> {error, einval};
pread(?MAPPED(_, _), _, _) -> error(badarg);
pread(Name, Position, Length) when is_atom(Name) -> ?NAMED(Name, File, pread(File, Position, Length)).

?DOC("Writes at several positions, in order, until one write fails. `N` is the number of writes before the failed one.").
-spec pwrite(handle(), [{Position :: integer(), iodata()}]) -> ok | {error, reason() | {N :: non_neg_integer(), reason()}}.
pwrite(?MAPPED(_, _) = File, Places) when is_list(Places) -> emmap_batch:pwrite(File, Places);
pwrite(?MAPPED(_, _), _) -> error(badarg);
pwrite(Name, Places) when is_atom(Name) -> ?NAMED(Name, File, pwrite(File, Places)).

?DOC("Writes all of the data, or nothing if it would pass the end. Binaries of a `direct` read of the same file may
overlap with the target: they are written as they were before the call.").
-spec pwrite(handle(), Position :: integer(), iodata()) -> ok | {error, reason()}.
pwrite(?MAPPED(emmap_nif, Handle), Position, Data) when is_binary(Data) ->
    emmap_nif:pwrite(Handle, Position, Data);
pwrite(?MAPPED(Backend, Handle), Position, Data) when is_integer(Position) ->
    ?CALL(Backend, pwrite(Handle, Position, ?BYTES(Data)));
pwrite(?MAPPED(_, _), _, _) -> error(badarg);
pwrite(Name, Position, Data) when is_atom(Name) -> ?NAMED(Name, File, pwrite(File, Position, Data)).

?DOC("Reads up to `Length` bytes at the cursor.").
-spec read(handle(), Length :: non_neg_integer()) -> {ok, binary()} | eof | {error, reason()}.
read(?MAPPED(Backend, Handle), Length) when is_integer(Length), Length >= 0 -> ?CALL(Backend, read(Handle, Length));
read(?MAPPED(_, _), Length) when is_integer(Length) -> {error, einval};
read(?MAPPED(_, _), _) -> error(badarg);
read(Name, Length) when is_atom(Name) -> ?NAMED(Name, File, read(File, Length)).

?DOC("Reads from the cursor to the next newline, or to the end. The newline belongs to the line; a carriage return right
before it is left out, as in `file:read_line/1`.").
-spec read_line(handle()) -> {ok, binary()} | eof | {error, reason()}.
read_line(?MAPPED(Backend, Handle)) -> ?CALL(Backend, read_line(Handle));
read_line(Name) when is_atom(Name) -> ?NAMED(Name, File, read_line(File)).

?DOC("Writes at the cursor.").
-spec write(handle(), iodata()) -> ok | {error, reason()}.
write(?MAPPED(Backend, Handle), Data) -> ?CALL(Backend, write(Handle, ?BYTES(Data)));
write(Name, Data) when is_atom(Name) -> ?NAMED(Name, File, write(File, Data)).

?DOC("Moves the cursor. It may be set past the end. `{eof, N}` is N bytes before the end, whatever the sign of N: `file`
takes `{eof, -4}` for the last four bytes, and emmap 2.x takes `{eof, 4}`. Nothing can be read or written behind the
end, so both can mean the same.").
-spec position(handle(), location()) -> {ok, Position :: non_neg_integer()} | {error, reason()}.
position(?MAPPED(Backend, Handle), Location) ->
    case emmap_arguments:location(Location) of
        {Offset, Whence} ->
            case ?CALL(Backend, position(Handle, Offset, Whence)) of
                %% After a close, as in emmap 2.x.
                {error, closed} when Whence =:= bof, Offset >= 0 -> {ok, Offset};
                Moved -> Moved
            end;
        einval -> {error, einval};
        badarg -> error(badarg)
    end;
position(Name, Location) when is_atom(Name) -> ?NAMED(Name, File, position(File, Location)).

%% `file:copy/3' calls it for two files of this module.
?DOC(false).
-spec copy(file(), file(), non_neg_integer() | infinity) -> {ok, non_neg_integer()} | {error, emmap_backend:reason()}.
copy(?MAPPED(_, _) = Source, ?MAPPED(_, _) = Destination, Length) -> emmap_copy:copy(Source, Destination, Length).

%%% Size and durability

?DOC("Grows the file: doubles its size, in steps of up to `max_inc_size`.").
-spec resize(handle()) -> {ok, Size :: non_neg_integer()} | {error, reason()}.
resize(File) -> resize(File, 0).

?DOC("Changes the file's size. Size 0 is as `resize/1`. Growing never shrinks a file that another process has made
larger. Binaries of `direct` reads keep the mapping that they alias. Shrinking the file below the end of such a binary
answers `{error, ebusy}`.").
-spec resize(handle(), non_neg_integer()) -> {ok, Size :: non_neg_integer()} | {error, reason()}.
resize(?MAPPED(Backend, Handle), Size) when is_integer(Size) ->
    emmap_lock:settled(fun() -> ?CALL_LOCKING(Backend, resize(Handle, Size)) end);
resize(?MAPPED(_, _), _) -> error(badarg);
resize(Name, Size) when is_atom(Name) -> ?NAMED(Name, File, resize(File, Size)).

?DOC("Ends the file at the cursor.").
-spec truncate(handle()) -> ok | {error, reason()}.
truncate(?MAPPED(Backend, Handle)) -> emmap_lock:settled(fun() -> ?CALL_LOCKING(Backend, truncate(Handle)) end);
truncate(Name) when is_atom(Name) -> ?NAMED(Name, File, truncate(File)).

?DOC("Reserves disk space for a part of the mapping.").
-spec allocate(handle(), Position :: integer(), Length :: integer()) -> ok | {error, reason()}.
allocate(?MAPPED(Backend, Handle), Position, Length) when is_integer(Position), is_integer(Length) ->
    ?CALL(Backend, allocate(Handle, Position, Length));
allocate(?MAPPED(_, _), _, _) -> error(badarg);
allocate(Name, Position, Length) when is_atom(Name) -> ?NAMED(Name, File, allocate(File, Position, Length)).

?DOC("Tells the kernel how a part of the mapping will be used. `Length` 0 means everything up to the end.").
-spec advise(handle(), Position :: integer(), Length :: integer(), emmap_backend:advice()) -> ok | {error, reason()}.
advise(?MAPPED(Backend, Handle), Position, Length, Advice)
  when is_integer(Position), is_integer(Length) ->
    case emmap_arguments:is_advice(Advice) of
        true -> ?CALL(Backend, advise(Handle, Position, Length, Advice));
        false -> error(badarg)
    end;
advise(?MAPPED(_, _), _, _, _) -> error(badarg);
advise(Name, Position, Length, Advice) when is_atom(Name) -> ?NAMED(Name, File, advise(File, Position, Length, Advice)).

?DOC("Starts to write changed pages to the disk, and does not wait for it. A closed file has nothing left to write:
`ok`.").
-spec flush(handle()) -> ok | {error, reason()}.
flush(?MAPPED(Backend, Handle)) ->
    case ?CALL(Backend, flush(Handle)) of
        {error, closed} -> ok;
        Flushed -> Flushed
    end;
flush(Name) when is_atom(Name) -> ?NAMED(Name, File, flush(File)).

?DOC("Returns when everything is on the disk: the bytes, the size, and the name of a file that was created. The contents
of a queue, block storage, cell or table then survive a power cut. Once the disk has failed, `sync` fails until the file is
opened anew.

`{error, estale}`: the path leads to another file now, or to none (see `is_current/1`). The bytes are on the disk, but
a process that opens the path does not find them. A `private` file is not checked for this.").
-spec sync(handle()) -> ok | {error, reason()}.
sync(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, sync(Handle));
sync(Name) when is_atom(Name) -> ?NAMED(Name, File, sync(File)).

?DOC("As `sync/1`, but without the metadata that reading the bytes does not need.").
-spec datasync(handle()) -> ok | {error, reason()}.
datasync(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, datasync(Handle));
datasync(Name) when is_atom(Name) -> ?NAMED(Name, File, datasync(File)).

?DOC("Copies the file to another name. When it returns, the copy is on the disk.

- The copy of a queue or block storage has the messages or blocks of one moment, and is no larger than they need.
- The copy of a cell has its value. The copy of a table has the entries of one moment; a handle that is open to `read`
  copies each entry at its own moment.
- The copy of a counters file has each counter as it was when it was copied.
- The copy of any other file has the bytes that are mapped. They are copied 64 KiB at a time, so the pieces belong to
  one moment only if nobody writes meanwhile.

Other users wait while messages, blocks or entries are copied in memory, which takes as much memory again. They never wait
for the disk, nor for a handle that is open to `read`. Such a handle gets `{error, eagain}` if others keep changing a queue
or block storage.

The copy has the file's permission bits, and appears whole or not at all. `{error, eexist}`: the name exists
already.").
-spec backup(handle() | counters(), To :: file:name_all()) -> ok | {error, reason()}.
backup({File, _Count}, To) -> backup(File, To);
backup(?MAPPED(Backend, Handle), To) ->
    case emmap_options:path(To) of
        {ok, Path} -> ?CALL_LOCKING(Backend, backup(Handle, Path));
        {error, _} = Error -> Error
    end;
backup(Name, To) when is_atom(Name) -> ?NAMED(Name, File, backup(File, To)).

?DOC("Whether the path that the file was opened by still leads to this file. It is `false` once the file has been
deleted, or another file was put or renamed there; `reopen/1` opens the file that is there now. Memory without a file
(`anon`) is always current.").
-spec is_current(handle() | counters()) -> boolean() | {error, reason()}.
is_current({File, _Count}) -> is_current(File);
is_current(?MAPPED(Backend, Handle)) ->
    case ?CALL(Backend, is_current(Handle)) of
        {ok, Current} -> Current;
        {error, _} = Error -> Error
    end;
is_current(Name) when is_atom(Name) -> ?NAMED(Name, File, is_current(File)).

?DOC("The handles that share a queue, block storage, cell or table for writing, of all processes and runtimes. The call takes
no lock. So after `{error, timeout}` it still says which process has the lock: the one with `has_lock => true`. It works on
a handle that may only read, too.

The list is empty for files without a live folder (`docs/live.md`): plain files, counters, `exclusive` handles, and files
whose writers use the kernel's locks.").
-spec writers(handle() | counters()) -> {ok, [writer()]} | {error, reason()}.
writers({File, _Count}) -> writers(File);
writers(?MAPPED(Backend, Handle)) -> ?CALL(Backend, writers(Handle));
writers(Name) when is_atom(Name) -> ?NAMED(Name, File, writers(File)).

?DOC("Looks at a file from outside: its kind, its contents, the number of handles that may write it, and the process that
has its lock. The map has the keys that the command `emmap info FILE --json` prints, without `path` and `processes`; the
command's page explains each key. The call takes no lock and changes nothing, so it answers also while a stopped process
has the lock.

```
{ok, #{kind := queue, length := 3, waiters := 0, writers := [#{process := 4242, has_lock := true}]}} =
    emmap:inspect_file(Path).
```").
-spec inspect_file(file:name_all()) -> {ok, inspection()} | {error, reason()}.
inspect_file(Name) ->
    case emmap_options:path(Name) of
        {ok, Path} -> emmap_open:inspect(Path);
        {error, _} = Error -> Error
    end.

%%% Further functions that `file' calls

%% There is no descriptor to give to the kernel. On this answer `file' reads and sends by itself.
?DOC(false).
-spec sendfile(file(), term(), term(), term(), term(), term(), term(), term()) -> {error, enotsup}.
sendfile(_File, _Socket, _Offset, _Bytes, _ChunkSize, _Headers, _Trailers, _Options) -> {error, enotsup}.

%% Reads a 32-bit size and a 32-bit position at `Position', and the bytes there.
?DOC(false).
-spec ipread_s32bu_p32bu(file(), integer(), non_neg_integer() | atom()) ->
    {ok, {Size :: non_neg_integer(), Pointer :: non_neg_integer(), binary() | eof}} | eof | {error, reason()}.
ipread_s32bu_p32bu(File, Position, Infinity) when is_atom(Infinity) -> ipread_s32bu_p32bu(File, Position, 16#7fffffff);
ipread_s32bu_p32bu(File, Position, MaxSize) when is_integer(Position), is_integer(MaxSize) ->
    case pread(File, Position, 8) of
        {ok, <<0:32, Pointer:32>>} ->
            {ok, {0, Pointer, eof}};
        {ok, <<Size:32, Pointer:32>>} when Size =< MaxSize ->
            case pread(File, Pointer, Size) of
                {ok, Bytes} -> {ok, {Size, Pointer, Bytes}};
                eof -> {ok, {Size, Pointer, eof}};
                {error, _} = Error -> Error
            end;
        {ok, _} ->
            eof;
        Other ->
            Other
    end;
ipread_s32bu_p32bu(_File, _Position, _MaxSize) -> error(badarg).

?DOC(false).
-spec read_handle_info(file()) -> {error, enotsup}.
read_handle_info(File) -> read_handle_info(File, []).

?DOC(false).
-spec read_handle_info(file(), [term()]) -> {error, enotsup}.
read_handle_info(_File, _Options) -> {error, enotsup}.

%%% Atomics

?DOC("Does an atomic operation on the 64-bit word at `Position`, which is signed and in the machine's byte order. The
operation is sequentially consistent between all processes, of this node and of others, that map the file `shared`.
Arithmetic wraps. The answer has the value that the word had before; for `cas` see `patomic_cas/4`.

This and the following functions answer `{error, alignment}` unless offset and position together are a multiple of 8,
`{error, einval}` if the word is not within the file, and `{error, eacces}` if the file is open for reading only.").
-spec patomic(handle(), Position :: integer(), add | sub | 'and' | 'or' | 'xor' | xchg, operand()) ->
                 {ok, Old :: int64()} | {error, reason()};
             (file(), Position :: integer(), cas, {Expected :: operand(), operand()}) ->
                 {true, Old :: int64()} | {false, Actual :: int64()} | {error, reason()}.
patomic(File, Position, add, Value) -> patomic_add(File, Position, Value);
patomic(File, Position, sub, Value) -> patomic_sub(File, Position, Value);
patomic(File, Position, 'and', Value) -> patomic_and(File, Position, Value);
patomic(File, Position, 'or', Value) -> patomic_or(File, Position, Value);
patomic(File, Position, 'xor', Value) -> patomic_xor(File, Position, Value);
patomic(File, Position, xchg, Value) -> patomic_xchg(File, Position, Value);
patomic(File, Position, cas, {Expected, Value}) -> patomic_cas(File, Position, Expected, Value);
patomic(_File, _Position, _Operation, _Value) -> error(badarg).

?DOC("Adds `Value` to the word.").
-spec patomic_add(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_add(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_add(Handle, Position, Value));
patomic_add(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_add(Handle, Position, Value), [Position, Value]).

?DOC("Subtracts `Value` from the word.").
-spec patomic_sub(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_sub(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_sub(Handle, Position, Value));
patomic_sub(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_sub(Handle, Position, Value), [Position, Value]).

?DOC("Clears the bits of the word that `Value` does not have.").
-spec patomic_and(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_and(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_and(Handle, Position, Value));
patomic_and(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_and(Handle, Position, Value), [Position, Value]).

?DOC("Sets the bits of the word that `Value` has.").
-spec patomic_or(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_or(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_or(Handle, Position, Value));
patomic_or(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_or(Handle, Position, Value), [Position, Value]).

?DOC("Inverts the bits of the word that `Value` has.").
-spec patomic_xor(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_xor(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_xor(Handle, Position, Value));
patomic_xor(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_xor(Handle, Position, Value), [Position, Value]).

?DOC("Puts `Value` into the word, and answers the value that it had before.").
-spec patomic_xchg(handle(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_xchg(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_exchange(Handle, Position, Value));
patomic_xchg(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_exchange(Handle, Position, Value), [Position, Value]).

?DOC("Puts `Value` into the word if it holds `Expected`. `true`: it did. `false`: it held `Actual`, and is
unchanged.").
-spec patomic_cas(handle(), Position :: integer(), Expected :: operand(), Value :: operand()) ->
    {true, Old :: int64()} | {false, Actual :: int64()} | {error, reason()}.
patomic_cas(?MAPPED(Backend, Handle), Position, Expected, Value) ->
    emmap_arguments:compared(Expected, ?CALL(Backend, patomic_compare_exchange(Handle, Position, Expected, Value)));
patomic_cas(Name, Position, Expected, Value) when is_atom(Name) ->
    ?NAMED(Name, File, patomic_cas(File, Position, Expected, Value)).

?DOC("The value of the word. Works on a file that is open for reading only, too.").
-spec patomic_read_integer(handle(), Position :: integer()) -> {ok, int64()} | {error, reason()}.
patomic_read_integer(?MAPPED(Backend, Handle), Position) -> ?CALL(Backend, patomic_load(Handle, Position));
patomic_read_integer(Name, Position) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_load(Handle, Position), [Position]).

?DOC("Puts `Value` into the word.").
-spec patomic_write_integer(handle(), Position :: integer(), operand()) -> ok | {error, reason()}.
patomic_write_integer(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_store(Handle, Position, Value));
patomic_write_integer(Name, Position, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_FILES, Name, Handle, emmap_nif:patomic_store(Handle, Position, Value), [Position, Value]).

?DOC("Waits while the word at `Position` holds `Expected`. All 64 bits are compared. The wait ends when the word holds
another value, or when somebody calls `notify/3` for the word: a process of this node, of another BEAM node, or a Node
process. Only the calling process waits, and it uses no processor time. Use it in a loop: load the word, wait with the
value that was loaded, load again.

```erlang
await(File, Value) ->
    case emmap:patomic_read_integer(File, 0) of
        {ok, Value} -> _ = emmap:wait(File, 0, Value, 5000), await(File, Value);
        Other -> Other
    end.
```

`not_equal`: the word held another value when the wait began. `timeout`: so many milliseconds have passed.

A change without a notify ends the wait within 100 ms. A file that is open for reading only will do. The
node can have 1024 waits at a time, and so can each port program; one more answers `{error, enomem}`.

`{error, closed}`: the file was closed meanwhile. `efault`: another process has truncated it. `alignment`, `einval`: as
in `patomic/4`. `einval` also if the file becomes shorter than the word, and for a file that is `private` and open for
writing.").
-spec wait(handle(), Position :: integer(), Expected :: operand(), timeout()) ->
    ok | not_equal | timeout | {error, reason()}.
wait(?MAPPED(Backend, Handle), Position, Expected, Timeout) when ?IS_LIMIT(Timeout) ->
    ?CALL(Backend, wait(Handle, Position, Expected, emmap_arguments:limit(Timeout)));
wait(?MAPPED(_, _), _Position, _Expected, _Timeout) -> error(badarg);
wait(Name, Position, Expected, Timeout) when is_atom(Name) ->
    ?NAMED(Name, File, wait(File, Position, Expected, Timeout)).

?DOC("Wakes up to `Count` of the processes that `wait/4` for the word at `Position`, in all nodes, programs and
runtimes, and answers how many. The longest wait is woken first. Store another value before you notify: then every wait
for a change ends, even one that begins at the same moment. A notify without a change reaches all waits of this node,
and the waits of other processes that began at least some 50 µs ago.").
-spec notify(handle(), Position :: integer(), Count :: non_neg_integer() | infinity) ->
    {ok, Woken :: non_neg_integer()} | {error, reason()}.
notify(?MAPPED(Backend, Handle), Position, Count) when ?IS_LIMIT(Count) ->
    ?CALL(Backend, notify(Handle, Position, emmap_arguments:limit(Count)));
notify(?MAPPED(_, _), _Position, _Count) -> error(badarg);
notify(Name, Position, Count) when is_atom(Name) -> ?NAMED(Name, File, notify(File, Position, Count)).

%%% Counters

?DOC("As `open_counters/2`, with as many counters as the file has, or 1 if it is created.").
-spec open_counters(file:name_all()) -> counters() | {error, reason()}.
open_counters(Name) -> open_counters(Name, 0, []).

?DOC("Opens a file of counters. If the file is missing it is created with all counters 0. `Count` 0 means as many as the
file has. A file with another number of counters is `{error, {counters, InFile, Asked}}` (see the option `grow`). Any
other file is `{error, corrupt}`. Both stay as they were.").
-spec open_counters(file:name_all(), Count :: non_neg_integer()) -> counters() | {error, reason()}.
open_counters(Name, Count) -> open_counters(Name, Count, []).

?DOC("The same with options. Counters are always shared. With `read` alone they can't be changed. With `read` or `write`
the file is created only if `create` says so.").
-spec open_counters(file:name_all(), Count :: non_neg_integer(), [open_option()]) -> counters() | {error, reason()}.
open_counters(Name, Count, Options) when is_integer(Count), Count >= 0 ->
    case emmap_open:open({counters, Count}, Name, Options) of
        {ok, #file_descriptor{data = #file{origin = #origin{kind = {counters, There}}}} = File} -> {File, There};
        {error, _} = Error -> Error
    end;
open_counters(_Name, Count, _Options) when is_integer(Count) -> {error, {einval, count}};
open_counters(_Name, _Count, _Options) -> error(badarg).

?DOC("Closes the file. The counters keep their values.").
-spec close_counters(counters()) -> ok | {error, reason()}.
close_counters({File, _Count}) -> close(File).

?DOC("How many counters there are.").
-spec counters_length(counters_handle()) -> pos_integer().
counters_length({?MAPPED(_, _), Count}) -> Count;
counters_length(Name) when is_atom(Name) -> counters_length(persistent_term:get(Name, ?NO_HANDLE(Name))).

?DOC("Adds 1 to counter `Index`; the first counter is 0. This and the following functions answer the value that the
counter had before. An index beyond the last counter is `{error, einval}`.").
-spec inc_counter(counters_handle(), Index :: non_neg_integer()) -> {ok, Old :: int64()} | {error, reason()}.
inc_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_add(Handle, Index, 1));
inc_counter(Name, Index) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_add(Handle, Index, 1), [Index]).

?DOC("Adds `Count` to the counter.").
-spec inc_counter(counters_handle(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
inc_counter({?MAPPED(Backend, Handle), _}, Index, Count) -> ?CALL(Backend, counter_add(Handle, Index, Count));
inc_counter(Name, Index, Count) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_add(Handle, Index, Count), [Index, Count]).

?DOC("Subtracts 1 from the counter.").
-spec dec_counter(counters_handle(), Index :: non_neg_integer()) -> {ok, Old :: int64()} | {error, reason()}.
dec_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_sub(Handle, Index, 1));
dec_counter(Name, Index) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_sub(Handle, Index, 1), [Index]).

?DOC("Subtracts `Count` from the counter.").
-spec dec_counter(counters_handle(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
dec_counter({?MAPPED(Backend, Handle), _}, Index, Count) -> ?CALL(Backend, counter_sub(Handle, Index, Count));
dec_counter(Name, Index, Count) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_sub(Handle, Index, Count), [Index, Count]).

?DOC("Sets the counter to `Value`.").
-spec set_counter(counters_handle(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
set_counter({?MAPPED(Backend, Handle), _}, Index, Value) -> ?CALL(Backend, counter_set(Handle, Index, Value));
set_counter(Name, Index, Value) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_set(Handle, Index, Value), [Index, Value]).

?DOC("The value of the counter.").
-spec read_counter(counters_handle(), Index :: non_neg_integer()) -> {ok, int64()} | {error, reason()}.
read_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_get(Handle, Index));
read_counter(Name, Index) when is_atom(Name) ->
    ?NAMED_WORD(?KEPT_COUNTERS, Name, Handle, emmap_nif:counter_get(Handle, Index), [Index]).

?DOC("Sets the counter to `Value` if it holds `Expected`. `true`: it did. `false`: it held `Actual`, and is
unchanged.").
-spec cas_counter(counters_handle(), Index :: non_neg_integer(), Expected :: operand(), Value :: operand()) ->
    {true, Old :: int64()} | {false, Actual :: int64()} | {error, reason()}.
cas_counter({?MAPPED(Backend, Handle), _}, Index, Expected, Value) ->
    emmap_arguments:compared(Expected, ?CALL(Backend, counter_compare_exchange(Handle, Index, Expected, Value)));
cas_counter(Name, Index, Expected, Value) when is_atom(Name) ->
    ?NAMED(Name, File, cas_counter(File, Index, Expected, Value)).

?DOC("Waits while the counter holds `Expected`, as `wait/4`. An index beyond the last counter is `{error, einval}`.").
-spec wait_counter(counters_handle(), Index :: non_neg_integer(), Expected :: operand(), timeout()) ->
    ok | not_equal | timeout | {error, reason()}.
wait_counter({?MAPPED(Backend, Handle), _}, Index, Expected, Timeout) when ?IS_LIMIT(Timeout) ->
    ?CALL(Backend, counter_wait(Handle, Index, Expected, emmap_arguments:limit(Timeout)));
wait_counter({?MAPPED(_, _), _}, _Index, _Expected, _Timeout) -> error(badarg);
wait_counter(Name, Index, Expected, Timeout) when is_atom(Name) ->
    ?NAMED(Name, File, wait_counter(File, Index, Expected, Timeout)).

?DOC("Wakes up to `Count` of the processes that `wait_counter/4` for the counter, as `notify/3`: change the counter
first.").
-spec notify_counter(counters_handle(), Index :: non_neg_integer(), Count :: non_neg_integer() | infinity) ->
    {ok, Woken :: non_neg_integer()} | {error, reason()}.
notify_counter({?MAPPED(Backend, Handle), _}, Index, Count) when ?IS_LIMIT(Count) ->
    ?CALL(Backend, counter_notify(Handle, Index, emmap_arguments:limit(Count)));
notify_counter({?MAPPED(_, _), _}, _Index, _Count) -> error(badarg);
notify_counter(Name, Index, Count) when is_atom(Name) -> ?NAMED(Name, File, notify_counter(File, Index, Count)).

%%% Block storages

?DOC("As `open_block_storage/3`, without options.").
-spec open_block_storage(file:name_all(), BlockSize :: non_neg_integer()) -> {ok, file()} | {error, reason()}.
open_block_storage(Name, BlockSize) -> open_block_storage(Name, BlockSize, []).

?DOC("Opens a storage of blocks of `BlockSize` bytes, or creates one. Block size 0 means the one that the file has. The
storage is always shared.

`{levels, N}` is for a storage that is created: it can hold 64^N blocks. N is from 2 to 5, by default 3, as in emmap
2.x. The other options are as for `open/2`. With neither `read` nor `write` the storage is opened for writing, and
created if it is missing.

Any number of processes, of this node and of others, may use a storage at once. If one dies in the middle of an
operation, the next operation repairs what it left. With `exclusive` no other handle may write, and an operation costs
no system call.

Another block size or number of levels than the storage has, or one out of range, is `{error, {einval, Which}}`. A file that is
no storage, or a damaged one, is `{error, {corrupt, Offset, Reason}}`, and stays as it is.").
-spec open_block_storage(file:name_all(), BlockSize :: non_neg_integer(), [open_option() | {levels, 2..5}]) ->
    {ok, file()} | {error, reason()}.
open_block_storage(Name, BlockSize, Options) when is_integer(BlockSize), BlockSize >= 0, is_list(Options) ->
    emmap_blocks:open(Name, BlockSize, Options);
open_block_storage(_Name, BlockSize, Options) when is_integer(BlockSize), is_list(Options) -> {error, {einval, block_size}};
open_block_storage(_Name, _BlockSize, _Options) -> error(badarg).

?DOC("As `init_block_storage/3`, without options.").
-spec init_block_storage(handle(), BlockSize :: non_neg_integer()) -> ok | {error, reason()}.
init_block_storage(File, BlockSize) -> init_block_storage(File, BlockSize, []).

?DOC("Makes an EMPTY block storage of an open file, whatever the file holds, as in emmap 2.x. Blocks that it held are
gone; their bytes stay until other blocks are stored there. `open_block_storage/3` never empties a storage.

A file that holds a storage needs neither function: the functions below work on any open file, and find the block size
in its header. With block size 0, and in a file of zeros, the storage has no room for a block. A file below 16 bytes
grows. In a `private` file the storage changes in the handle's own copy. `{levels, 2..5}` is as for
`open_block_storage/3`.").
-spec init_block_storage(handle(), BlockSize :: non_neg_integer(), [{levels, 2..5}]) -> ok | {error, reason()}.
init_block_storage(?MAPPED(_, _) = File, BlockSize, Options)
  when is_integer(BlockSize), BlockSize >= 0, is_list(Options) ->
    emmap_blocks:init(File, BlockSize, Options);
init_block_storage(?MAPPED(_, _), _, _) -> error(badarg);
init_block_storage(Name, BlockSize, Options) when is_atom(Name) ->
    ?NAMED(Name, File, init_block_storage(File, BlockSize, Options)).

?DOC("The block size and the number of levels of the storage, and how many blocks it can hold.").
-spec block_storage_info(handle()) -> {ok, block_storage_info()} | {error, reason()}.
block_storage_info(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_info(Handle));
block_storage_info(Name) when is_atom(Name) -> ?NAMED(Name, File, block_storage_info(File)).

?DOC("How many blocks are stored. The time grows with the largest number of blocks that the storage ever had.").
-spec count_blocks(handle()) -> {ok, non_neg_integer()} | {error, reason()}.
count_blocks(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_count(Handle));
count_blocks(Name) when is_atom(Name) -> ?NAMED(Name, File, count_blocks(File)).

?DOC("Stores a block. It must have exactly the storage's block size, or the answer is `{error, einval}`. The file grows
as needed. At capacity, or with `fixed_size`, the answer is `{error, full}`.").
-spec store_block(handle(), iodata()) -> address() | {error, reason()}.
store_block(?MAPPED(Backend, Handle), Block) when is_binary(Block) ->
    case ?CALL_LOCKING(Backend, block_store(Handle, Block)) of
        {ok, Address} -> Address;
        {error, _} = Error -> Error
    end;
store_block(?MAPPED(_, _) = File, Block) ->
    case emmap_memory:flat([Block]) of
        {ok, [Binary]} -> store_block(File, Binary);
        {error, enomem} = Error -> Error
    end;
store_block(Name, Block) when is_atom(Name) -> ?NAMED(Name, File, store_block(File, Block)).

?DOC("Stores all of the blocks under one lock, or none of them if one fails.").
-spec store_blocks(handle(), [iodata()]) -> {ok, [address()]} | {error, reason()}.
store_blocks(?MAPPED(Backend, Handle), Blocks) when is_list(Blocks) ->
    case emmap_memory:flat(Blocks) of
        {ok, Binaries} -> ?CALL_LOCKING(Backend, block_store_many(Handle, Binaries));
        {error, enomem} = Error -> Error
    end;
store_blocks(?MAPPED(_, _), _) -> error(badarg);
store_blocks(Name, Blocks) when is_atom(Name) -> ?NAMED(Name, File, store_blocks(File, Blocks)).

?DOC("The block at the address; `eof` if there is none, as in emmap 2.x.").
-spec read_block(handle(), address()) -> binary() | eof | {error, reason()}.
read_block(?MAPPED(Backend, Handle) = File, Address) when is_integer(Address), Address >= 0 ->
    case ?CALL_LOCKING(Backend, block_read(Handle, Address)) of
        {ok, Block} -> Block;
        {error, enoent} ->
            case emmap_blocks:wrapped(File, Address) of
                none -> eof;
                Other -> read_block(File, Other)
            end;
        {error, _} = Error -> Error
    end;
read_block(?MAPPED(_, _), _) -> error(badarg);
read_block(Name, Address) when is_atom(Name) -> ?NAMED(Name, File, read_block(File, Address)).

?DOC("All blocks with their addresses, as in emmap 2.x: the block that lies last in the file comes first. A block that
others store or free meanwhile may be in the list or not.").
-spec read_blocks(handle()) -> [{address(), binary()}] | {error, reason()}.
read_blocks(?MAPPED(_, _) = File) -> emmap_blocks:read_all(File);
read_blocks(Name) when is_atom(Name) -> ?NAMED(Name, File, read_blocks(File)).

?DOC("Up to `Count` blocks from the address `Start` on, in the order in which they lie in the file; the last of them
comes first in the list. Begin with `Start` 0; an address without a block will do. The continuation is the address
behind the last block, whether there is a block or not. It is `eof` if fewer than `Count` blocks were left, or none can
follow.").
-spec read_blocks(handle(), Start :: address(), Count :: pos_integer()) ->
    {[{address(), binary()}], Continuation :: address() | eof} | {error, reason()}.
read_blocks(?MAPPED(_, _) = File, Start, Count)
  when is_integer(Start), Start >= 0, is_integer(Count), Count > 0 ->
    emmap_blocks:read(File, Start, Count);
read_blocks(?MAPPED(_, _), _, _) -> error(badarg);
read_blocks(Name, Start, Count) when is_atom(Name) -> ?NAMED(Name, File, read_blocks(File, Start, Count)).

?DOC("Frees the block; `false` if there is none at this address.").
-spec free_block(handle(), address()) -> boolean() | {error, reason()}.
free_block(?MAPPED(Backend, Handle) = File, Address) when is_integer(Address), Address >= 0 ->
    case ?CALL_LOCKING(Backend, block_free(Handle, Address)) of
        ok -> true;
        {error, enoent} ->
            case emmap_blocks:wrapped(File, Address) of
                none -> false;
                Other -> free_block(File, Other)
            end;
        {error, _} = Error -> Error
    end;
free_block(?MAPPED(_, _), _) -> error(badarg);
free_block(Name, Address) when is_atom(Name) -> ?NAMED(Name, File, free_block(File, Address)).

?DOC("Frees all of the blocks under one lock. If one of the addresses has no block or comes twice, it frees none and
answers `{error, enoent}`.").
-spec free_blocks(handle(), [Address :: integer()]) -> ok | {error, reason()}.
free_blocks(?MAPPED(Backend, Handle), Addresses) -> ?CALL_LOCKING(Backend, block_free_many(Handle, Addresses));
free_blocks(Name, Addresses) when is_atom(Name) -> ?NAMED(Name, File, free_blocks(File, Addresses)).

?DOC("Rebuilds everything in the storage that follows from its blocks. The death of a process makes no repair necessary; a
file that something else has damaged may need one.").
-spec repair_block_storage(handle()) -> ok | {error, reason()}.
repair_block_storage(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, blocks_repair(Handle, 0, 0)) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end;
repair_block_storage(Name) when is_atom(Name) -> ?NAMED(Name, File, repair_block_storage(File)).

?DOC("The same for `Count` addresses from `Start` on, in the order in which their blocks lie in the file. Addresses that
were never used are left out, and a group of 4,096 addresses is repaired whole. Begin with `Start` 0, and go on with the
answer until it is `eof`. The storage may be used in between.").
-spec repair_block_storage(handle(), Start :: address(), Count :: pos_integer()) ->
    (Continuation :: address()) | eof | {error, reason()}.
repair_block_storage(?MAPPED(_, _) = File, Start, Count)
  when is_integer(Start), Start >= 0, is_integer(Count), Count > 0 ->
    emmap_blocks:repair(File, Start, Count);
repair_block_storage(?MAPPED(_, _), _, _) -> error(badarg);
repair_block_storage(Name, Start, Count) when is_atom(Name) ->
    ?NAMED(Name, File, repair_block_storage(File, Start, Count)).

?DOC("Gives the disk space of free blocks back to the file system, in whole pages, and answers how many bytes that is.
The file keeps its size and has holes; a store reserves space again as it needs it. Freeing does this by itself when 4
MiB and a quarter of the storage have been freed, or everything, unless the storage has a fixed size. The answer is
`{error, enotsup}` if the file system can't have holes, and for a `private` file.").
-spec compact_block_storage(handle()) -> {ok, Bytes :: non_neg_integer()} | {error, reason()}.
compact_block_storage(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_compact(Handle));
compact_block_storage(Name) when is_atom(Name) -> ?NAMED(Name, File, compact_block_storage(File)).

%%% Batches

?DOC("Does many operations on a file, in order, and answers the result of each. If one fails, the later ones are still
done. Operations of other processes may come in between. The port does all of them in one frame, so that one costs a
fraction of a microsecond instead of a round trip; for instance a change of a counter and its `notify_counter/3`. A batch may have 2^20 operations; more are `{error, emsgsize}`.

An operation that does not exist raises `badarg`, and nothing is done. An operation with an argument of the wrong type
either raises `badarg` or has the result `{error, badarg}`.").
-spec batch(handle() | counters(), [operation()]) -> {ok, [Result :: term()]} | {error, reason()}.
batch({?MAPPED(_, _) = File, _Count}, Operations) -> emmap_batch:perform(File, Operations);
batch(?MAPPED(_, _) = File, Operations) -> emmap_batch:perform(File, Operations);
batch(Name, Operations) when is_atom(Name) -> ?NAMED(Name, File, batch(File, Operations)).
