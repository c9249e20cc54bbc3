-module(emmap).

-include("emmap_doc.hrl").

?MODULEDOC("Memory-mapped files, whose bytes other processes of the machine see at once, with atomic 64-bit
arithmetic and persistent counters.

```erlang
{ok, Mem} = emmap:open(\"state.bin\", [create, read, write, shared, {size, 4096}]),
ok = file:pwrite(Mem, 100, <<\"hello\">>),
{ok, <<\"hello\">>} = file:pread(Mem, 100, 5),
{ok, Old} = emmap:patomic(Mem, 0, add, 1),
ok = file:close(Mem).
```

## Files

An open file is a `#file_descriptor{}` as a raw file is, so the functions of `file` work on it: `read`,
`read_line`, `write`, `pread`, `pwrite`, `position`, `truncate`, `advise`, `allocate`, `sync`, `datasync`,
`copy`, `sendfile`, `ipread_s32bu_p32bu`, `close`. They answer as they do for a raw, binary file, but

- a mapping does not grow by itself: a write that would pass the end is `{error, einval}` and writes
  nothing, and `truncate` to nothing or to beyond the end is `{error, einval}`;
- writing to a file that is open for reading only is `{error, eacces}`;
- after `close` everything is `{error, closed}`, and closing again is `ok`;
- any process may use the file, not only the one that opened it;
- `file:read_file_info/1` of an open file is `{error, enotsup}`.

Positions count from the offset that the file was opened at. Both are in bytes.

## Backends

The option `{backend, nif | port | {port, ServerRef}}`, or the application's environment
(`{emmap, [{backend, nif | port}]}`), says how the node reaches the mapping. By default it is the NIF
(`emmap_nif`), and where that does not load the port (`emmap_port`). A NIF costs some ten nanoseconds
a call, a port some ten microseconds, but nothing that goes wrong in the port's program touches the node.
`direct` reads need the NIF: on the port they are `{error, enotsup}`, while all else works.

On the port a file is closed when the process that opened it ends; with the NIF when it has been collected as
garbage. When the port's program dies, calls that it has not answered and all further ones on its files are
`{error, port_died}`: whether such a call was done is not known. `reopen/1` opens the file again.
A call that the program does not answer in five seconds is `{error, timeout}`; see `t:emmap_port:options/0`. When the
program can't be started an open answers why: `{error, enoent}`, `eacces`, `enotdir`, `enoexec`; the log has the program's
path, and a text where the system does not execute it.

Nothing needs to be started first.

## Errors

One rule holds for all functions:

- What the file, the system or another process refuses is `{error, Atom}`: a POSIX error as `file` has them, or
  `closed`, `alignment`, `fixed_size`, `full`, `corrupt`, `port_died`, `timeout`, `emsgsize` (more than a gigabyte through a
  port), `nif_not_loaded`. A number that no place in the file has, a negative one included, is `{error, einval}`; a
  read at or past the end is `eof`. A file name with a NUL in it is `{error, badarg}`, as `file` has it.
- What no program can mean raises `badarg`: an argument of the wrong type, an option or an operation that does not exist.
- What is no open file raises `function_clause`.

`{error, efault}` says that another process has truncated the file under the mapping.

Where an open fails for what the file system lacks (`enotsup`: shared memory; `enolck`, `einval`: locks) the log has a
warning with the file's name, the file system and what to do; once for each file system, until the application is started
again.").

-export([init/0, open/2, open/4, reopen/1, close/1, size/1]).
-export([pread/2, pread/3, pwrite/2, pwrite/3, read/2, read_line/1, write/2, position/2, copy/3]).
-export([resize/1, resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1]).
-export([backup/2, is_current/1]).
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

-export_type([file/0, counters/0, open_option/0, backend/0, info/0, int64/0, location/0, operand/0, operation/0,
              reason/0]).
-export_type([address/0, block_storage_info/0]).
-export_type([mmap_file/0, resource/0, open_extra_info/0]).

-include("emmap_file.hrl").

?DOC("An open file; the functions of `file` take it too.").
-type file() :: file:fd().
?DOC("An open file as emmap 2.x names its type.").
-type mmap_file() :: file().
?DOC("A type of emmap 2.x that nothing takes or answers.").
-type resource() :: binary().
?DOC("A file of counters, to which the functions for files apply, and how many counters it has.").
-type counters() :: {file(), Count :: pos_integer()}.
?DOC("What a 64-bit word holds, signed.").
-type int64() :: emmap_backend:int64().
?DOC("What may be given for a 64-bit word. From 2^63 up it is taken as the negative number with the same bits.").
-type operand() :: emmap_backend:operand().
?DOC("What `open/4` answers beside the file. `exist`: it was there before; `size`: bytes mapped.").
-type info() :: emmap_backend:info().
?DOC("The same as emmap 2.x names it.").
-type open_extra_info() :: info().
?DOC("A place in the file, as `file:position/2` takes it, whose type for it is not exported.").
-type location() :: integer() | bof | cur | eof | {bof | cur | eof, Offset :: integer()}.
?DOC("What went wrong. `{corrupt, Offset, Reason}`: what a queue or block storage should not hold, and where in the file.").
-type reason() :: atom() | {badarg, term()} | {counters, InFile :: pos_integer(), Asked :: pos_integer()} | {corrupt, Offset :: non_neg_integer(), Reason :: binary()}.
?DOC("The address of a block: from 0 to the storage's capacity - 1.").
-type address() :: emmap_backend:address().
?DOC("Of a block storage: bytes of a block, levels of its tree, and how many blocks it can hold.").
-type block_storage_info() :: emmap_backend:blocks_info().

?DOC("How to open:

- `read`, `write`: for reading; for reading and writing. `write` alone reads too.
- `shared`, `private` (the default), `shared_validate`: whether writes reach the file and its other users. `shared`
  beats `private`.
- `shared_unsafe`, of files and counters: as `shared`, also on a file system that does not show all who open the file the
  same memory, where that is `{error, enotsup}` (FUSE, network file systems).
- `create`, `truncate`: create the file if it is missing; empty it first. Both need `write`; `create` needs a size or
  length, and `truncate` keeps the file's size where none is given.
- `{size, Bytes}`: of a file that is created, empty or truncated. One that has bytes keeps its size; `open/4` demands
  that it has this one, or with `fit` takes it as it is and grows a smaller one. The first size that is not 0 counts.
- `fixed_size`: never change the file's size after that; `{max_inc_size, Bytes}`: the most by which `resize/1` grows
  it, 64 MiB unless given.
- `{chmod, Mode}`: the permission bits of a file that is created, less the umask; 8#600 unless given. `{mode, Mode}`: the
  same bits exactly, whatever the umask.
- `{offset, Bytes}`, `{length, Bytes}`: what to map, as `open/4`.
- `direct`: reads give binaries that alias the mapping: they cost no copy, and change when the file does.
- `anon`: memory without a file; `auto_unlink`: delete the file when it is closed, if its path still leads to it.
- `exclusive`: nobody else may have it open for writing: `{error, ebusy}`.
- `{lock_timeout, Milliseconds}`: how long an operation on a queue or block storage, an open or a change of size
  waits for a lock that another process has, one that is stopped for example: 5000 unless given. Then it is
  `{error, timeout}`, with nothing done. 0: it tries once. Only the calling process waits, and no scheduler.
- `grow`, of counters: at least so many; a file that has fewer gets as many, the new ones 0, and one that has more is opened with
  all. Handles that are open go on with as many as they had. Without it another number is `{error, {counters, InFile, Asked}}`.
- `follow`, of queues and block storages: where nothing is found any more and the path means another file now, go over to
  that, whose contents the call then answers, or wait for one where there is none. Without it that is `{error, estale}`. It is looked for once a second at most.
- `{address, Address}`, `fixed`: where to map; exactly there, or `{error, eexist}`.
- `lock` (the default), `nolock`: whether reads and writes by processes of this node exclude each other.
- `populate`, `nonblock`, `noreserve`, `sync`, `hugetlb`, `huge_2mb`, `huge_1gb`: as mmap(2) has them.
- `nocache`, `uninitialized`, `debug`: accepted, and without effect.
- `info`: open answers `{ok, File, Info}`. So it does when the application's environment has
  `{open_info, true}`.
- `{backend, Backend}`: see above.").
-type open_option() ::
    read | write | create | truncate | shared | shared_unsafe | private | shared_validate | direct | anon | auto_unlink
    | exclusive | follow | grow | fixed | fixed_size | lock | nolock | populate | nonblock | noreserve | sync
    | hugetlb | huge_2mb | huge_1gb | fit | nocache | uninitialized | debug | info
    | {size | max_inc_size | chmod | mode | offset | length | address | lock_timeout, non_neg_integer()}
    | {backend, backend()}.
?DOC("How the node reaches the mapping; a server is one that `emmap_port:start_link/1` has started.").
-type backend() :: nif | port | {port, gen_server:server_ref()}.

?DOC("An operation of a `batch/2`: the name of a function of this module, with its arguments but the file.").
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
    | {cas_counter, Index :: integer(), operand(), operand()}.

-define(MAX_INT64, 16#7fffffffffffffff).

%% A number of milliseconds, or of processes.
-define(IS_LIMIT(N), (N =:= infinity orelse is_integer(N) andalso N >= 0)).

%%% Open and close

?DOC("Whether the NIF is loaded, which loading this module's first user does.").
-spec init() -> ok | {error, Reason :: term()}.
init() ->
    emmap_nif:loaded().

?DOC("Opens and maps a file. A file that has bytes is mapped whole, in the size that it has; `{size, Bytes}` is for
one that is created, empty or truncated. Of what the option `info` gives see `t:info/0`.").
-spec open(file:name_all(), [open_option()]) -> {ok, file()} | {ok, file(), info()} | {error, reason()}.
open(Name, Options) ->
    {Given, Backend, WantsInfo} = emmap_options:parse(Options),
    case emmap_open:open(file, Name, emmap_options:whole(Given), Backend) of
        {ok, File, Info} when WantsInfo -> {ok, File, Info};
        {ok, File, _Info} -> {ok, File};
        {error, _} = Error -> Error
    end.

?DOC("Maps `Length` bytes from `Offset` on. A file that is created, empty or truncated gets the size `Offset +
Length`. One that has bytes must have that size, else there is `{error, einval}` and the file is as it was; with `fit`
it is mapped whole, and grown where it is smaller and open for writing.

`Length` 0 is what `{size, Bytes}` says, and without it all up to the end. Behind an `Offset` other than 0, which can be
any byte and is position 0 of what was opened, `Length` may be less than what is left of the file. Where it is the size
of the whole file, as emmap 2.x demands, and with `fit`, what is left is mapped, and the offset has to be a multiple of
the page size.").
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
            {error, einval}
    end;
open(_Name, _Offset, _Length, _Options) ->
    error(badarg).

?DOC("Opens a file again as it was opened, after its port's program has died or another process has truncated
it (`{error, efault}`), or the path has come to mean another file (`{error, estale}`). Neither is anything created nor
truncated this time, the cursor is at the start, and what a `private` mapping held is lost. What `init_block_storage/2`
made of the file has to be said again.

The old handle is closed when the new one is open. If the open fails, the old handle stays as it was. Three kinds of file
are closed before the open: one with `auto_unlink`, which is deleted then, if its program still lives
(`{error, enoent}`); and, if the path still means it, one that is `exclusive`, or `fixed` at an address.").
-spec reopen(file()) -> {ok, file()} | {error, reason()};
            (counters()) -> {ok, counters()} | {error, reason()}.
reopen({File, Count}) ->
    case reopen(File) of
        {ok, New} -> {ok, {New, Count}};
        {error, _} = Error -> Error
    end;
reopen(?MAPPED(_, _) = File) ->
    emmap_open:reopen(File).

?DOC("Closes the file. Memory that a binary of a `direct` read aliases stays until that is collected.").
-spec close(file()) -> ok | {error, reason()}.
close(?MAPPED(Backend, Handle)) -> ?CALL(Backend, close(Handle)).

?DOC("How many bytes are mapped.").
-spec size(file()) -> {ok, non_neg_integer()} | {error, reason()}.
size(?MAPPED(Backend, Handle)) -> ?CALL(Backend, size(Handle)).

%%% Reads and writes

?DOC("Reads at several positions; on the port in one frame. Of a place at or past the end there is `eof`.").
-spec pread(file(), [{Position :: integer(), Length :: non_neg_integer()}]) ->
    {ok, [binary() | eof]} | {error, reason()}.
pread(?MAPPED(_, _) = File, Places) when is_list(Places) -> emmap_batch:pread(File, Places);
pread(?MAPPED(_, _), _) -> error(badarg).

?DOC("Reads up to `Length` bytes; fewer at the end. At or past it there is `eof`.").
-spec pread(file(), Position :: integer(), Length :: non_neg_integer()) -> {ok, binary()} | eof | {error, reason()}.
%% The NIF checks the same by itself: the guards are a thirtieth of a direct read.
pread(?MAPPED(emmap_nif, Handle), Position, Length) ->
    emmap_nif:pread(Handle, Position, Length);
pread(?MAPPED(Backend, Handle), Position, Length) when is_integer(Position), is_integer(Length), Length >= 0 ->
    ?CALL(Backend, pread(Handle, Position, Length));
pread(?MAPPED(_, _), Position, Length) when is_integer(Position), is_integer(Length) ->
    {error, einval};
pread(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("Writes at several positions, one after the other until one fails. `N` were written before it.").
-spec pwrite(file(), [{Position :: integer(), iodata()}]) -> ok | {error, reason() | {N :: non_neg_integer(), reason()}}.
pwrite(?MAPPED(_, _) = File, Places) when is_list(Places) -> emmap_batch:pwrite(File, Places);
pwrite(?MAPPED(_, _), _) -> error(badarg).

?DOC("Writes all of the data, or nothing where it would pass the end. Binaries of a `direct` read of the same file may
overlap with where they go: they are written as they were before the call.").
-spec pwrite(file(), Position :: integer(), iodata()) -> ok | {error, reason()}.
pwrite(?MAPPED(Backend, Handle), Position, Data) when is_integer(Position) ->
    ?CALL(Backend, pwrite(Handle, Position, ?BYTES(Data)));
pwrite(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("Reads up to `Length` bytes at the cursor.").
-spec read(file(), Length :: non_neg_integer()) -> {ok, binary()} | eof | {error, reason()}.
read(?MAPPED(Backend, Handle), Length) when is_integer(Length), Length >= 0 -> ?CALL(Backend, read(Handle, Length));
read(?MAPPED(_, _), Length) when is_integer(Length) -> {error, einval};
read(?MAPPED(_, _), _) -> error(badarg).

?DOC("Reads from the cursor to the next newline, which belongs to the line, or to the end. A carriage return right
before the newline is left out, as `file:read_line/1` does.").
-spec read_line(file()) -> {ok, binary()} | eof | {error, reason()}.
read_line(?MAPPED(Backend, Handle)) -> ?CALL(Backend, read_line(Handle)).

?DOC("Writes at the cursor.").
-spec write(file(), iodata()) -> ok | {error, reason()}.
write(?MAPPED(Backend, Handle), Data) ->
    ?CALL(Backend, write(Handle, ?BYTES(Data))).

?DOC("Moves the cursor, which may be set past the end. `{eof, N}` is N bytes before the end whichever sign N has: `file`
takes `{eof, -4}` for the last four bytes, emmap 2.x takes `{eof, 4}`, and behind the end of a mapping nothing can be
read or written.").
-spec position(file(), location()) -> {ok, Position :: non_neg_integer()} | {error, reason()}.
position(?MAPPED(Backend, Handle), Location) ->
    case emmap_arguments:location(Location) of
        {Offset, Whence} ->
            case ?CALL(Backend, position(Handle, Offset, Whence)) of
                %% As in emmap 2.x; nothing reads there.
                {error, closed} when Whence =:= bof, Offset >= 0 -> {ok, Offset};
                Moved -> Moved
            end;
        einval -> {error, einval};
        badarg -> error(badarg)
    end.

%% What `file:copy/3' calls for two files of this module.
?DOC(false).
-spec copy(file(), file(), non_neg_integer() | infinity) -> {ok, non_neg_integer()} | {error, reason()}.
copy(?MAPPED(_, _) = Source, ?MAPPED(_, _) = Destination, Length) -> emmap_copy:copy(Source, Destination, Length).

%%% Size and durability

?DOC("Grows the file: doubles its size, up to steps of `max_inc_size`.").
-spec resize(file()) -> {ok, Size :: non_neg_integer()} | {error, reason()}.
resize(File) ->
    resize(File, 0).

?DOC("Changes the file's size; 0 is as `resize/1`. Growing never shrinks a file that another process has
made larger. Binaries of `direct` reads keep the mapping that they alias; to shrink below a live one is
`{error, ebusy}`.").
-spec resize(file(), non_neg_integer()) -> {ok, Size :: non_neg_integer()} | {error, reason()}.
resize(?MAPPED(Backend, Handle), Size) when is_integer(Size), Size >= 0 ->
    emmap_lock:settled(fun() -> ?CALL_LOCKING(Backend, resize(Handle, Size)) end);
resize(?MAPPED(_, _), Size) when is_integer(Size) -> {error, einval};
resize(?MAPPED(_, _), _) -> error(badarg).

?DOC("Ends the file at the cursor.").
-spec truncate(file()) -> ok | {error, reason()}.
truncate(?MAPPED(Backend, Handle)) ->
    emmap_lock:settled(fun() -> ?CALL_LOCKING(Backend, truncate(Handle)) end).

?DOC("Reserves disk space for a part of the mapping.").
-spec allocate(file(), Position :: integer(), Length :: integer()) -> ok | {error, reason()}.
allocate(?MAPPED(Backend, Handle), Position, Length) when is_integer(Position), is_integer(Length) ->
    ?CALL(Backend, allocate(Handle, Position, Length));
allocate(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("Tells the kernel how a part of the mapping will be used; `Length` 0 is all up to the end.").
-spec advise(file(), Position :: integer(), Length :: integer(), emmap_backend:advice()) -> ok | {error, reason()}.
advise(?MAPPED(Backend, Handle), Position, Length, Advice)
  when is_integer(Position), is_integer(Length) ->
    case emmap_arguments:is_advice(Advice) of
        true -> ?CALL(Backend, advise(Handle, Position, Length, Advice));
        false -> error(badarg)
    end;
advise(?MAPPED(_, _), _, _, _) ->
    error(badarg).

?DOC("Starts to write changed pages to disk and does not wait for it. After `close` there is nothing left to do: `ok`.").
-spec flush(file()) -> ok | {error, reason()}.
flush(?MAPPED(Backend, Handle)) ->
    case ?CALL(Backend, flush(Handle)) of
        {error, closed} -> ok;
        Flushed -> Flushed
    end.

?DOC("Returns when everything is on disk: the bytes, the size, the name of a file that was created. Of a queue or
block storage it survives a power cut then. Once the disk has failed it fails until the file is opened anew.

`{error, estale}`: the path means another file now, or none (see `is_current/1`). The bytes are on the disk, but nobody who
opens the path finds them. A `private` file does not look.").
-spec sync(file()) -> ok | {error, reason()}.
sync(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, sync(Handle)).

?DOC("As `sync/1`, but for metadata that reading the bytes back does not need.").
-spec datasync(file()) -> ok | {error, reason()}.
datasync(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, datasync(Handle)).

?DOC("Makes a copy of the file under another name, which is on the disk when it returns. A copy of a queue or block storage
has the messages or blocks as they are at one moment, in a file of no more than they need; of a counters file each counter
as it is when its turn comes; of any other file the bytes that are mapped, 64 KiB at a time: what several such pieces have in
common holds only if nobody writes meanwhile.

Others wait while messages or blocks are copied in memory, of which that takes as much, and never for the disk; nobody waits
for a handle that is open to `read`, where it is `{error, eagain}` if others change the file all the time. The copy has the
file's permission bits, and appears whole or not at all. `{error, eexist}`: there is something of that name.").
-spec backup(file() | counters(), To :: file:name_all()) -> ok | {error, reason()}.
backup({File, _Count}, To) ->
    backup(File, To);
backup(?MAPPED(Backend, Handle), To) ->
    case emmap_options:path(To) of
        {ok, Path} -> ?CALL_LOCKING(Backend, backup(Handle, Path));
        {error, _} = Error -> Error
    end.

?DOC("Whether the path that the file was opened by still means this file: `false` once it has been deleted, or another one was
put or renamed there. `reopen/1` opens what is there now. Memory without a file (`anon`) is always current.").
-spec is_current(file() | counters()) -> boolean() | {error, reason()}.
is_current({File, _Count}) ->
    is_current(File);
is_current(?MAPPED(Backend, Handle)) ->
    case ?CALL(Backend, is_current(Handle)) of
        {ok, Current} -> Current;
        {error, _} = Error -> Error
    end.

%%% What else `file' forwards

%% No descriptor to give to the kernel: `file' then reads and sends by itself.
?DOC(false).
-spec sendfile(file(), term(), term(), term(), term(), term(), term(), term()) -> {error, enotsup}.
sendfile(_File, _Socket, _Offset, _Bytes, _ChunkSize, _Headers, _Trailers, _Options) ->
    {error, enotsup}.

%% A 32-bit size and a 32-bit position at `Position', and the bytes that they name.
?DOC(false).
-spec ipread_s32bu_p32bu(file(), integer(), non_neg_integer() | atom()) ->
    {ok, {Size :: non_neg_integer(), Pointer :: non_neg_integer(), binary() | eof}} | eof | {error, reason()}.
ipread_s32bu_p32bu(File, Position, Infinity) when is_atom(Infinity) ->
    ipread_s32bu_p32bu(File, Position, 16#7fffffff);
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
ipread_s32bu_p32bu(_File, _Position, _MaxSize) ->
    error(badarg).

?DOC(false).
-spec read_handle_info(file()) -> {error, enotsup}.
read_handle_info(File) ->
    read_handle_info(File, []).

?DOC(false).
-spec read_handle_info(file(), [term()]) -> {error, enotsup}.
read_handle_info(_File, _Options) ->
    {error, enotsup}.

%%% Atomics

?DOC("An atomic operation on the 64-bit word, signed and of the machine's byte order, at `Position`. It is
sequentially consistent between all processes, of this node and of others, that map the file `shared`.
Arithmetic wraps. What the word held is answered; of `cas` see `patomic_cas/4`.

Here and in the following: `{error, alignment}` unless offset and position together are a multiple of 8,
`{error, einval}` where the word is not within the file, `{error, eacces}` where it is open for reading only.").
-spec patomic(file(), Position :: integer(), add | sub | 'and' | 'or' | 'xor' | xchg, operand()) ->
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
-spec patomic_add(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_add(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_add(Handle, Position, Value)).

?DOC("Subtracts `Value` from the word.").
-spec patomic_sub(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_sub(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_sub(Handle, Position, Value)).

?DOC("Leaves the bits of the word that `Value` has too.").
-spec patomic_and(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_and(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_and(Handle, Position, Value)).

?DOC("Sets the bits of the word that `Value` has.").
-spec patomic_or(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_or(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_or(Handle, Position, Value)).

?DOC("Inverts the bits of the word that `Value` has.").
-spec patomic_xor(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_xor(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_xor(Handle, Position, Value)).

?DOC("Puts another value into the word.").
-spec patomic_xchg(file(), Position :: integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
patomic_xchg(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_exchange(Handle, Position, Value)).

?DOC("Puts `Value` into the word if it holds `Expected`; `true` says that it did.").
-spec patomic_cas(file(), Position :: integer(), Expected :: operand(), Value :: operand()) ->
    {true, Old :: int64()} | {false, Actual :: int64()} | {error, reason()}.
patomic_cas(?MAPPED(Backend, Handle), Position, Expected, Value) ->
    emmap_arguments:compared(Expected, ?CALL(Backend, patomic_compare_exchange(Handle, Position, Expected, Value))).

?DOC("What the word holds. Works on a file that is open for reading only.").
-spec patomic_read_integer(file(), Position :: integer()) -> {ok, int64()} | {error, reason()}.
patomic_read_integer(?MAPPED(Backend, Handle), Position) -> ?CALL(Backend, patomic_load(Handle, Position)).

?DOC("Puts `Value` into the word, whatever it held.").
-spec patomic_write_integer(file(), Position :: integer(), operand()) -> ok | {error, reason()}.
patomic_write_integer(?MAPPED(Backend, Handle), Position, Value) -> ?CALL(Backend, patomic_store(Handle, Position, Value)).

?DOC("Waits while the word at `Position` holds `Expected`: until it holds another value, or somebody calls `notify/3` on it, a
process of this node or of another one, or Node. Only the calling process waits, and a wait uses no processor time. All 64
bits count. Load the word, decide by its value to wait, wait with that value, and load again:

```erlang
await(File, Value) ->
    case emmap:patomic_read_integer(File, 0) of
        {ok, Value} -> _ = emmap:wait(File, 0, Value, 5000), await(File, Value);
        Other -> Other
    end.
```

`not_equal`: the word held another value when the wait began. `timeout`: so many milliseconds are over.
It works on a file that is open for reading only. A change that nobody notifies of ends the wait within 100 ms.
1024 waits may go on at a time in the node, and in each port program; more are `{error, enomem}`.

`{error, closed}`: the file was closed meanwhile; `efault`: another process has truncated it; `alignment`, `einval` as
`patomic/4`, and `einval` when the file becomes shorter than the word and for a file that is `private` and open for writing.").
-spec wait(file(), Position :: integer(), Expected :: operand(), timeout()) ->
    ok | not_equal | timeout | {error, reason()}.
wait(?MAPPED(Backend, Handle), Position, Expected, Timeout) when ?IS_LIMIT(Timeout) ->
    ?CALL(Backend, wait(Handle, Position, Expected, limit(Timeout)));
wait(?MAPPED(_, _), _Position, _Expected, _Timeout) ->
    error(badarg).

?DOC("Wakes up to `Count` of those who `wait/4` for the word at `Position`, in all processes and runtimes, and answers how
many; who has waited longest comes first. Store another value first: then each wait for another value ends, also one that
begins in the same moment. A notify that changes nothing reaches all waits of this node, and those of other processes that
are some 50 µs old.").
-spec notify(file(), Position :: integer(), Count :: non_neg_integer() | infinity) ->
    {ok, Woken :: non_neg_integer()} | {error, reason()}.
notify(?MAPPED(Backend, Handle), Position, Count) when ?IS_LIMIT(Count) ->
    ?CALL(Backend, notify(Handle, Position, limit(Count)));
notify(?MAPPED(_, _), _Position, _Count) ->
    error(badarg).

limit(Limit) when is_integer(Limit), Limit > ?MAX_INT64 -> infinity;
limit(Limit) -> Limit.

%%% Counters

?DOC("As `open_counters/2`, with as many counters as the file has, or 1 where it is created.").
-spec open_counters(file:name_all()) -> counters() | {error, reason()}.
open_counters(Name) ->
    open_counters(Name, 0, []).

?DOC("Opens a file of counters, or creates one with all of them 0. `Count` 0 takes as many as the file has. A counters
file with another number of them is `{error, {counters, InFile, Asked}}` (see the option `grow`), any other file `{error, corrupt}`, and left as it was.").
-spec open_counters(file:name_all(), Count :: non_neg_integer()) -> counters() | {error, reason()}.
open_counters(Name, Count) ->
    open_counters(Name, Count, []).

?DOC("With options. Counters are always shared; with `read` alone they can't be changed, and with `read` or
`write` they are not created unless `create` says so.").
-spec open_counters(file:name_all(), Count :: non_neg_integer(), [open_option()]) -> counters() | {error, reason()}.
open_counters(Name, Count, Options) when is_integer(Count), Count >= 0 ->
    case emmap_open:open({counters, Count}, Name, Options) of
        {ok, #file_descriptor{data = #file{origin = #origin{kind = {counters, There}}}} = File} -> {File, There};
        {error, _} = Error -> Error
    end;
open_counters(_Name, Count, _Options) when is_integer(Count) ->
    {error, einval};
open_counters(_Name, _Count, _Options) ->
    error(badarg).

?DOC("Closes the file; the counters keep what they hold.").
-spec close_counters(counters()) -> ok | {error, reason()}.
close_counters({File, _Count}) ->
    close(File).

?DOC("How many counters there are.").
-spec counters_length(counters()) -> pos_integer().
counters_length({?MAPPED(_, _), Count}) ->
    Count.

?DOC("Adds 1 to counter `Index`, of which the first is 0. What it held is answered, here and in the following;
an index beyond the last is `{error, einval}`.").
-spec inc_counter(counters(), Index :: non_neg_integer()) -> {ok, Old :: int64()} | {error, reason()}.
inc_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_add(Handle, Index, 1)).

?DOC("Adds `Count`.").
-spec inc_counter(counters(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
inc_counter({?MAPPED(Backend, Handle), _}, Index, Count) -> ?CALL(Backend, counter_add(Handle, Index, Count)).

?DOC("Subtracts 1.").
-spec dec_counter(counters(), Index :: non_neg_integer()) -> {ok, Old :: int64()} | {error, reason()}.
dec_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_sub(Handle, Index, 1)).

?DOC("Subtracts `Count`.").
-spec dec_counter(counters(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
dec_counter({?MAPPED(Backend, Handle), _}, Index, Count) -> ?CALL(Backend, counter_sub(Handle, Index, Count)).

?DOC("Sets the counter to `Value`.").
-spec set_counter(counters(), Index :: non_neg_integer(), operand()) -> {ok, Old :: int64()} | {error, reason()}.
set_counter({?MAPPED(Backend, Handle), _}, Index, Value) -> ?CALL(Backend, counter_set(Handle, Index, Value)).

?DOC("What the counter holds.").
-spec read_counter(counters(), Index :: non_neg_integer()) -> {ok, int64()} | {error, reason()}.
read_counter({?MAPPED(Backend, Handle), _}, Index) -> ?CALL(Backend, counter_get(Handle, Index)).

?DOC("Sets the counter to `Value` if it holds `Expected`; `true` says that it did.").
-spec cas_counter(counters(), Index :: non_neg_integer(), Expected :: operand(), Value :: operand()) ->
    {true, Old :: int64()} | {false, Actual :: int64()} | {error, reason()}.
cas_counter({?MAPPED(Backend, Handle), _}, Index, Expected, Value) ->
    emmap_arguments:compared(Expected, ?CALL(Backend, counter_compare_exchange(Handle, Index, Expected, Value))).

?DOC("Waits while the counter holds `Expected`, as `wait/4` does for a word. `{error, einval}` for an index beyond the last.").
-spec wait_counter(counters(), Index :: non_neg_integer(), Expected :: operand(), timeout()) ->
    ok | not_equal | timeout | {error, reason()}.
wait_counter({?MAPPED(Backend, Handle), _}, Index, Expected, Timeout) when ?IS_LIMIT(Timeout) ->
    ?CALL(Backend, counter_wait(Handle, Index, Expected, limit(Timeout)));
wait_counter({?MAPPED(_, _), _}, _Index, _Expected, _Timeout) ->
    error(badarg).

?DOC("Wakes up to `Count` of those who `wait_counter/4` for the counter, as `notify/3`: change it first.").
-spec notify_counter(counters(), Index :: non_neg_integer(), Count :: non_neg_integer() | infinity) ->
    {ok, Woken :: non_neg_integer()} | {error, reason()}.
notify_counter({?MAPPED(Backend, Handle), _}, Index, Count) when ?IS_LIMIT(Count) ->
    ?CALL(Backend, counter_notify(Handle, Index, limit(Count)));
notify_counter({?MAPPED(_, _), _}, _Index, _Count) ->
    error(badarg).

%%% Block storages

?DOC("As `open_block_storage/3`, without options.").
-spec open_block_storage(file:name_all(), BlockSize :: non_neg_integer()) -> {ok, file()} | {error, reason()}.
open_block_storage(Name, BlockSize) ->
    open_block_storage(Name, BlockSize, []).

?DOC("Opens a storage of blocks of `BlockSize` bytes, or creates one; block size 0 takes the one that the file has.
`{levels, 2..5}` makes a storage of 64 to the power of so many blocks; a new one has 3 unless given, as in emmap 2.x.
The file says how many it has, so there is no need to give it again. The other options are as for `open/2`; with neither
`read` nor `write` the storage is opened for writing and created if it is missing. It is always shared.

Any number of processes, of this node and of others, may use a storage at once. One that dies in mid-operation
leaves nothing to be repaired: the next operation does that. With `exclusive` no other may write, and an operation
costs no system call. Another block size or number of levels than the storage has, or one out of range, is
`{error, einval}`; a file that is no storage, or damaged, `{error, {corrupt, Offset, Reason}}`, and stays as it is.").
-spec open_block_storage(file:name_all(), BlockSize :: non_neg_integer(), [open_option() | {levels, 2..5}]) ->
    {ok, file()} | {error, reason()}.
open_block_storage(Name, BlockSize, Options) when is_integer(BlockSize), BlockSize >= 0, is_list(Options) ->
    emmap_blocks:open(Name, BlockSize, Options).

?DOC("As `init_block_storage/3`, without options.").
-spec init_block_storage(file(), BlockSize :: non_neg_integer()) -> ok | {error, reason()}.
init_block_storage(File, BlockSize) ->
    init_block_storage(File, BlockSize, []).

?DOC("Makes an EMPTY block storage of an open file, whatever the file holds, as emmap 2.x does. Blocks that were stored
are gone, though their bytes stay until others are stored. `open_block_storage/3` never does that, and a file that
holds a storage needs neither: the functions below work on any open file, and find block size and state in its header.
With block size 0 the storage has room for nothing; so has a file of zeros. A file below 16 bytes grows. In a `private`
file the storage changes in the handle's own copy. `{levels, 2..5}` is as for `open_block_storage/3`.").
-spec init_block_storage(file(), BlockSize :: non_neg_integer(), [{levels, 2..5}]) -> ok | {error, reason()}.
init_block_storage(?MAPPED(_, _) = File, BlockSize, Options)
  when is_integer(BlockSize), BlockSize >= 0, is_list(Options) ->
    emmap_blocks:init(File, BlockSize, Options);
init_block_storage(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("What was said when the storage was opened, and how many blocks it can hold.").
-spec block_storage_info(file()) -> {ok, block_storage_info()} | {error, reason()}.
block_storage_info(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_info(Handle)).

?DOC("How many blocks are stored. Takes time in proportion to the most that there ever were.").
-spec count_blocks(file()) -> {ok, non_neg_integer()} | {error, reason()}.
count_blocks(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_count(Handle)).

?DOC("Stores a block, of exactly the storage's block size: another is `{error, einval}`. The file grows as it needs
to; at capacity, or with `fixed_size`, there is `{error, full}`.").
-spec store_block(file(), iodata()) -> address() | {error, reason()}.
store_block(?MAPPED(Backend, Handle), Block) ->
    case ?CALL_LOCKING(Backend, block_store(Handle, iolist_to_binary(Block))) of
        {ok, Address} -> Address;
        {error, _} = Error -> Error
    end.

?DOC("Stores all of the blocks, under one lock, or on failure none.").
-spec store_blocks(file(), [iodata()]) -> {ok, [address()]} | {error, reason()}.
store_blocks(?MAPPED(Backend, Handle), Blocks) ->
    Binaries = [iolist_to_binary(Block) || Block <- Blocks],
    ?CALL_LOCKING(Backend, block_store_many(Handle, Binaries)).

?DOC("The block that was stored at the address; `eof` where there is none, as in emmap 2.x.").
-spec read_block(file(), address()) -> binary() | eof | {error, reason()}.
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
read_block(?MAPPED(_, _), _) ->
    error(badarg).

?DOC("All blocks with their addresses, from the one that lies last in the file to the first, as in emmap 2.x. What
others store or free meanwhile is in the list or not.").
-spec read_blocks(file()) -> [{address(), binary()}] | {error, reason()}.
read_blocks(?MAPPED(_, _) = File) -> emmap_blocks:read_all(File).

?DOC("Up to `Count` blocks from the address `Start` on, in the order in which they lie in the file; the list has the last
one first. `Start` is 0 to begin, and need not have a block. The continuation is the address behind the last block's,
whether there is a block or not, and `eof` where fewer than `Count` were left, or none can follow.").
-spec read_blocks(file(), Start :: address(), Count :: pos_integer()) ->
    {[{address(), binary()}], Continuation :: address() | eof} | {error, reason()}.
read_blocks(?MAPPED(_, _) = File, Start, Count)
  when is_integer(Start), Start >= 0, is_integer(Count), Count > 0 ->
    emmap_blocks:read(File, Start, Count);
read_blocks(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("Frees the block; `false` where there is none at this address.").
-spec free_block(file(), address()) -> boolean() | {error, reason()}.
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
free_block(?MAPPED(_, _), _) ->
    error(badarg).

?DOC("Frees all of the blocks, under one lock, or on failure none: `{error, enoent}` where one of the addresses has
no block or comes twice.").
-spec free_blocks(file(), [Address :: integer()]) -> ok | {error, reason()}.
free_blocks(?MAPPED(Backend, Handle), Addresses) -> ?CALL_LOCKING(Backend, block_free_many(Handle, Addresses)).

?DOC("Makes everything in the storage that follows from which blocks there are follow from it again. What a process
that died has left needs no repair; a file that something else has damaged may.").
-spec repair_block_storage(file()) -> ok | {error, reason()}.
repair_block_storage(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, blocks_repair(Handle, 0, 0)) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

?DOC("The same for `Count` addresses from `Start` on, in the order in which their blocks lie in the file, of as much of the
storage as was ever used; with each goes the group of 4,096 that it is in. `Start` is 0 to begin, and then what the last
call gave, until that is `eof`. The storage may be used in between.").
-spec repair_block_storage(file(), Start :: address(), Count :: pos_integer()) ->
    (Continuation :: address()) | eof | {error, reason()}.
repair_block_storage(?MAPPED(_, _) = File, Start, Count)
  when is_integer(Start), Start >= 0, is_integer(Count), Count > 0 ->
    emmap_blocks:repair(File, Start, Count);
repair_block_storage(?MAPPED(_, _), _, _) ->
    error(badarg).

?DOC("Gives the disk space of free blocks back to the file system, as far as whole pages hold nothing else, and says how
many bytes that is. The file keeps its size, and has holes; a store reserves space again as it needs it. Freeing does the
same by itself when 4 MiB and a quarter of the storage have been freed, or all of it, unless it has a fixed size.
`{error, enotsup}` where the file system can't have holes, and for a `private` file.").
-spec compact_block_storage(file()) -> {ok, Bytes :: non_neg_integer()} | {error, reason()}.
compact_block_storage(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, blocks_compact(Handle)).

%%% Batches

?DOC("Does many operations on a file, in order, and answers what each answers. One that fails does not keep
the others from being done, and others' operations may come between. On the port all of them go and return
in one frame, which makes one cost a fraction of a microsecond instead of a round trip; there may be 2^20 of
them, more are `{error, emsgsize}`. An operation that does not exist raises `badarg`, and nothing is done then; one that has
an argument of the wrong type is `{error, badarg}` in its place, or raises as well.").
-spec batch(file() | counters(), [operation()]) -> {ok, [Result :: term()]} | {error, reason()}.
batch({?MAPPED(_, _) = File, _Count}, Operations) -> emmap_batch:perform(File, Operations);
batch(?MAPPED(_, _) = File, Operations) -> emmap_batch:perform(File, Operations).
