-module(emmap_nif).

-include("emmap_doc.hrl").

?MODULEDOC("The NIF backend: the core inside the node. `emmap_backend` says what the functions mean; this module only
knows how to reach them.

A handle is a reference that any process of the node may use. The file is closed by `close/1`, or when the
last reference to the handle has been collected. Files opened with `direct` are read by binaries that alias
the mapping and keep it: after `close/1`, after `resize/2` and after the process that opened the file.

The library need not load: see `loaded/0`.").
-behaviour(emmap_backend).

-export([loaded/0]).
-export([open/2, close/1, size/1]).
-export([pread/3, pwrite/3, read/2, read_line/1, write/2, position/3]).
-export([resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1]).
-export([backup/2, is_current/1]).
-export([patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3, patomic_exchange/3,
         patomic_compare_exchange/4, patomic_load/2, patomic_store/3]).
-export([counters_open/3, counter_add/3, counter_sub/3, counter_set/3, counter_get/2,
         counter_compare_exchange/4]).
-export([queue_open/2, queue_attach/1, queue_push/2, queue_push_many/2, queue_pop/1, queue_pop_many/2,
         queue_pop_term/2, queue_remove/2, queue_pop_begin/1, queue_pop_commit/2, queue_pop_abort/2,
         queue_peek_front/1, queue_peek_back/1,
         queue_walk/4, queue_length/1, queue_is_empty/1, queue_info/1, queue_reset/1, queue_purge/1, queue_erase/1,
         queue_compact/1]).
-export([blocks_open/4, blocks_init/3, block_store/2, block_store_many/2, block_read/2, block_free/2,
         block_free_many/2, blocks_walk/3, blocks_count/1, blocks_info/1, blocks_repair/3,
         blocks_compact/1]).

-on_load(load/0).
-nifs([open_now/2, close/1, size/1, lock_timeout/1, pread/3, pwrite_binary/3, pwrite_vectors/3, read/2, read_line/1,
       write_binary/2, write_vectors/2, position/3, resize_now/2, truncate_now/1, allocate/3, advise/4, flush/1,
       sync_now/1, datasync_now/1, backup_now/2, is_current/1, patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3,
       patomic_exchange/3, patomic_compare_exchange/4, patomic_load/2, patomic_store/3, counters_open_now/3,
       counter_add/3, counter_sub/3, counter_set/3, counter_get/2, counter_compare_exchange/4, queue_open_now/2,
       queue_attach_now/1, queue_push_data/2, queue_push_list/2, queue_pop_now/1, queue_pop_many_now/2,
       queue_pop_term_now/2, queue_remove_now/2, queue_pop_begin_now/1, queue_pop_commit_now/2, queue_pop_abort_now/2,
       queue_peek_front_now/1, queue_peek_back_now/1, queue_walk_now/4, queue_length_now/1, queue_is_empty_now/1, queue_info_now/1,
       queue_reset_now/1, queue_purge_now/1, queue_erase_now/1, queue_compact_now/1, blocks_open_now/4,
       blocks_init_now/3, block_store_binary/2, block_store_list/2, block_read_now/2, block_free_now/2,
       block_free_many_now/2, blocks_walk_now/3, blocks_count_now/1, blocks_info/1, blocks_repair_now/3,
       blocks_compact_now/1]).

-type handle() :: reference().
-type result() :: ok | {error, atom()}.
-type old() :: {ok, emmap_backend:int64()} | {error, atom()}.
-type failable() :: ok | {error, emmap_backend:reason()}.

%% EMMAP_PIECE of the core: what is longer goes to a dirty scheduler.
-define(PIECE, 65536).
%% A call that may find a lock taken, and for how many milliseconds it is tried again then. No scheduler waits for it,
%% a dirty one neither: there are few, and all processes share them.
-define(PATIENTLY(Call, Limit),
        case Call of
            {error, etimedout} -> emmap_lock:again(fun() -> Call end, Limit);
            Answer -> Answer
        end).
%% EMMAP_NO_LIMIT of the core.
-define(NO_LIMIT, 16#ffffffffffffffff).
%% How often a change of size that meets a slice is tried, a millisecond apart.
-define(SIZE_ATTEMPTS, 5).

%%% Loading

?DOC("Whether the library is there. If not, every other function raises `not_loaded`.").
-spec loaded() -> ok | {error, Reason :: term()}.
loaded() ->
    persistent_term:get(?MODULE).

%% A library that does not load must not make the module disappear, for then nobody could ask why. But where an
%% older version works, it had better stay.
load() ->
    case load_library(emmap_native:path("emmap_nif")) of
        {error, _} = Error ->
            case erlang:module_loaded(?MODULE) andalso persistent_term:get(?MODULE, Error) of
                ok -> Error;
                _ -> persistent_term:put(?MODULE, Error)
            end;
        ok ->
            persistent_term:put(?MODULE, ok)
    end.

load_library({ok, Path}) -> erlang:load_nif(Path, 0);
load_library({error, _} = Error) -> Error.

%%% Files

-spec open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, atom() | {badarg, term()}}.
open(Path, Options) ->
    ?PATIENTLY(open_now(Path, Options), emmap_lock:timeout(Options)).

-spec close(handle()) -> result().
close(_Handle) -> not_loaded().

-spec size(handle()) -> {ok, non_neg_integer()} | {error, atom()}.
size(_Handle) -> not_loaded().

-spec pread(handle(), integer(), non_neg_integer()) -> emmap_backend:sink_result().
pread(_Handle, _Position, _Length) -> not_loaded().

-spec pwrite(handle(), integer(), iodata()) -> result().
pwrite(Handle, Position, Data) when is_binary(Data), byte_size(Data) =< ?PIECE ->
    pwrite_binary(Handle, Position, Data);
pwrite(Handle, Position, Data) ->
    case iolist_size(Data) =< ?PIECE of
        true -> pwrite_binary(Handle, Position, iolist_to_binary(Data));
        false -> pwrite_vectors(Handle, Position, erlang:iolist_to_iovec(Data))
    end.

-spec read(handle(), non_neg_integer()) -> emmap_backend:sink_result().
read(_Handle, _Length) -> not_loaded().

-spec read_line(handle()) -> emmap_backend:sink_result().
read_line(_Handle) -> not_loaded().

-spec write(handle(), iodata()) -> result().
write(Handle, Data) when is_binary(Data), byte_size(Data) =< ?PIECE ->
    write_binary(Handle, Data);
write(Handle, Data) ->
    case iolist_size(Data) =< ?PIECE of
        true -> write_binary(Handle, iolist_to_binary(Data));
        false -> write_vectors(Handle, erlang:iolist_to_iovec(Data))
    end.

-spec position(handle(), integer(), bof | cur | eof) -> {ok, non_neg_integer()} | {error, atom()}.
position(_Handle, _Offset, _Whence) -> not_loaded().

-spec resize(handle(), non_neg_integer()) -> {ok, non_neg_integer()} | {error, atom()}.
resize(Handle, Size) ->
    when_settled(fun() -> ?PATIENTLY(resize_now(Handle, Size), lock_timeout(Handle)) end, ?SIZE_ATTEMPTS).

-spec truncate(handle()) -> result().
truncate(Handle) ->
    when_settled(fun() -> ?PATIENTLY(truncate_now(Handle), lock_timeout(Handle)) end, ?SIZE_ATTEMPTS).

%% ERTS runs a resource's destructor a while after its last reference is gone. Until then a slice that nobody can
%% see any more makes the file look busy.
when_settled(Change, Attempts) ->
    case Change() of
        {error, ebusy} when Attempts > 1 ->
            receive after 1 -> when_settled(Change, Attempts - 1) end;
        Result ->
            Result
    end.

-spec allocate(handle(), integer(), integer()) -> result().
allocate(_Handle, _Position, _Length) -> not_loaded().

-spec advise(handle(), integer(), integer(), emmap_backend:advice()) -> result().
advise(_Handle, _Position, _Length, _Advice) -> not_loaded().

-spec flush(handle()) -> result().
flush(_Handle) -> not_loaded().

-spec sync(handle()) -> result().
sync(Handle) ->
    ?PATIENTLY(sync_now(Handle), lock_timeout(Handle)).

-spec datasync(handle()) -> result().
datasync(Handle) ->
    ?PATIENTLY(datasync_now(Handle), lock_timeout(Handle)).

-spec backup(handle(), binary()) -> ok | {error, emmap_backend:reason()}.
backup(Handle, Path) ->
    ?PATIENTLY(backup_now(Handle, Path), lock_timeout(Handle)).

-spec is_current(handle()) -> {ok, boolean()} | {error, atom()}.
is_current(_Handle) -> not_loaded().

%%% Atomic 64-bit operations

-spec patomic_add(handle(), integer(), emmap_backend:operand()) -> old().
patomic_add(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_sub(handle(), integer(), emmap_backend:operand()) -> old().
patomic_sub(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_and(handle(), integer(), emmap_backend:operand()) -> old().
patomic_and(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_or(handle(), integer(), emmap_backend:operand()) -> old().
patomic_or(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_xor(handle(), integer(), emmap_backend:operand()) -> old().
patomic_xor(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_exchange(handle(), integer(), emmap_backend:operand()) -> old().
patomic_exchange(_Handle, _Position, _Value) -> not_loaded().

-spec patomic_compare_exchange(handle(), integer(), emmap_backend:operand(), emmap_backend:operand()) -> old().
patomic_compare_exchange(_Handle, _Position, _Expected, _Replacement) -> not_loaded().

-spec patomic_load(handle(), integer()) -> old().
patomic_load(_Handle, _Position) -> not_loaded().

-spec patomic_store(handle(), integer(), emmap_backend:operand()) -> result().
patomic_store(_Handle, _Position, _Value) -> not_loaded().

%%% Counters

-spec counters_open(binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), pos_integer()} | {error, emmap_backend:reason() | {badarg, term()}}.
counters_open(Path, Count, Options) ->
    ?PATIENTLY(counters_open_now(Path, Count, Options), emmap_lock:timeout(Options)).

-spec counter_add(handle(), integer(), emmap_backend:operand()) -> old().
counter_add(_Handle, _Index, _Value) -> not_loaded().

-spec counter_sub(handle(), integer(), emmap_backend:operand()) -> old().
counter_sub(_Handle, _Index, _Value) -> not_loaded().

-spec counter_set(handle(), integer(), emmap_backend:operand()) -> old().
counter_set(_Handle, _Index, _Value) -> not_loaded().

-spec counter_get(handle(), integer()) -> old().
counter_get(_Handle, _Index) -> not_loaded().

-spec counter_compare_exchange(handle(), integer(), emmap_backend:operand(), emmap_backend:operand()) ->
    old().
counter_compare_exchange(_Handle, _Index, _Expected, _Replacement) -> not_loaded().

%%% Queues
%%
%% An operation is tried on the scheduler that it is called on, and goes to a dirty one if the file has to grow, or if
%% there is a lot to copy. Where another handle or process has the lock the caller waits, and tries again.

-spec queue_open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, emmap_backend:reason() | {badarg, term()}}.
queue_open(Path, Options) ->
    ?PATIENTLY(queue_open_now(Path, Options), emmap_lock:timeout(Options)).

-spec queue_attach(handle()) -> failable().
queue_attach(Handle) ->
    ?PATIENTLY(queue_attach_now(Handle), lock_timeout(Handle)).

-spec queue_push(handle(), iodata()) -> failable().
queue_push(Handle, Message) when is_binary(Message) ->
    ?PATIENTLY(queue_push_data(Handle, Message), lock_timeout(Handle));
queue_push(Handle, Message) ->
    Data = case iolist_size(Message) =< ?PIECE of
        true -> iolist_to_binary(Message);
        false -> erlang:iolist_to_iovec(Message)
    end,
    ?PATIENTLY(queue_push_data(Handle, Data), lock_timeout(Handle)).

-spec queue_push_many(handle(), [iodata()]) -> failable().
queue_push_many(Handle, Messages) ->
    Binaries = [iolist_to_binary(Message) || Message <- Messages],
    ?PATIENTLY(queue_push_list(Handle, Binaries), lock_timeout(Handle)).

-spec queue_pop(handle()) -> emmap_backend:message().
queue_pop(Handle) ->
    ?PATIENTLY(queue_pop_now(Handle), lock_timeout(Handle)).

-spec queue_pop_many(handle(), non_neg_integer()) ->
    {ok, [binary()]} | eof | {error, emmap_backend:reason()}.
queue_pop_many(Handle, Limit) ->
    ?PATIENTLY(queue_pop_many_now(Handle, Limit), lock_timeout(Handle)).

-spec queue_pop_term(handle(), safe | unsafe) -> {ok, term()} | slow | eof | {error, emmap_backend:reason()}.
queue_pop_term(Handle, Safety) ->
    ?PATIENTLY(queue_pop_term_now(Handle, Safety), lock_timeout(Handle)).

-spec queue_remove(handle(), [binary()]) -> failable().
queue_remove(Handle, Messages) ->
    ?PATIENTLY(queue_remove_now(Handle, Messages), lock_timeout(Handle)).

%% The ticket puts the message back when it is collected, and so when the process that has it dies.
-spec queue_pop_begin(handle()) -> {ok, binary(), Ticket :: reference()} | eof | {error, emmap_backend:reason()}.
queue_pop_begin(Handle) ->
    ?PATIENTLY(queue_pop_begin_now(Handle), lock_timeout(Handle)).

-spec queue_pop_commit(handle(), reference()) -> failable().
queue_pop_commit(Handle, Ticket) ->
    case ?PATIENTLY(queue_pop_commit_now(Handle, Ticket), lock_timeout(Handle)) of
        {error, timeout} = Error ->
            _ = queue_pop_abort(Handle, Ticket), % or nobody else could have the message
            Error;
        Result ->
            Result
    end.

-spec queue_pop_abort(handle(), reference()) -> failable().
queue_pop_abort(Handle, Ticket) ->
    ?PATIENTLY(queue_pop_abort_now(Handle, Ticket), ?NO_LIMIT). % only for processes that use the handle

-spec queue_peek_front(handle()) -> emmap_backend:message().
queue_peek_front(Handle) ->
    ?PATIENTLY(queue_peek_front_now(Handle), lock_timeout(Handle)).

-spec queue_peek_back(handle()) -> emmap_backend:message().
queue_peek_back(Handle) ->
    ?PATIENTLY(queue_peek_back_now(Handle), lock_timeout(Handle)).

-spec queue_walk(handle(), forward | backward, non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | {error, emmap_backend:reason()}.
queue_walk(Handle, Direction, Limit, Place) ->
    ?PATIENTLY(queue_walk_now(Handle, Direction, Limit, Place), lock_timeout(Handle)).

-spec queue_length(handle()) -> emmap_backend:measure().
queue_length(Handle) ->
    ?PATIENTLY(queue_length_now(Handle), lock_timeout(Handle)).

-spec queue_is_empty(handle()) -> {ok, boolean()} | {error, emmap_backend:reason()}.
queue_is_empty(Handle) ->
    ?PATIENTLY(queue_is_empty_now(Handle), lock_timeout(Handle)).

-spec queue_info(handle()) -> {ok, emmap_backend:queue_info()} | {error, emmap_backend:reason()}.
queue_info(Handle) ->
    ?PATIENTLY(queue_info_now(Handle), lock_timeout(Handle)).

-spec queue_reset(handle()) -> {ok, boolean()} | {error, emmap_backend:reason()}.
queue_reset(Handle) ->
    ?PATIENTLY(queue_reset_now(Handle), lock_timeout(Handle)).

-spec queue_purge(handle()) -> failable().
queue_purge(Handle) ->
    ?PATIENTLY(queue_purge_now(Handle), lock_timeout(Handle)).

-spec queue_erase(handle()) -> failable().
queue_erase(Handle) ->
    ?PATIENTLY(queue_erase_now(Handle), lock_timeout(Handle)).

-spec queue_compact(handle()) -> emmap_backend:measure().
queue_compact(Handle) ->
    ?PATIENTLY(queue_compact_now(Handle), lock_timeout(Handle)).

%%% Block storages

-spec blocks_open(binary(), non_neg_integer(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, emmap_backend:reason() | {badarg, term()}}.
blocks_open(Path, BlockSize, Levels, Options) ->
    ?PATIENTLY(blocks_open_now(Path, BlockSize, Levels, Options), emmap_lock:timeout(Options)).

-spec blocks_init(handle(), non_neg_integer(), non_neg_integer()) -> failable().
blocks_init(Handle, BlockSize, Levels) ->
    ?PATIENTLY(blocks_init_now(Handle, BlockSize, Levels), lock_timeout(Handle)).

-spec block_store(handle(), iodata()) -> emmap_backend:measure().
block_store(Handle, Block) when is_binary(Block) ->
    ?PATIENTLY(block_store_binary(Handle, Block), lock_timeout(Handle));
block_store(Handle, Block) ->
    block_store(Handle, iolist_to_binary(Block)).

-spec block_store_many(handle(), [iodata()]) ->
    {ok, [emmap_backend:address()]} | {error, emmap_backend:reason()}.
block_store_many(Handle, Blocks) ->
    Binaries = [iolist_to_binary(Block) || Block <- Blocks],
    ?PATIENTLY(block_store_list(Handle, Binaries), lock_timeout(Handle)).

-spec block_read(handle(), integer()) -> {ok, binary()} | {error, emmap_backend:reason()}.
block_read(Handle, Address) ->
    ?PATIENTLY(block_read_now(Handle, Address), lock_timeout(Handle)).

-spec block_free(handle(), integer()) -> failable().
block_free(Handle, Address) ->
    ?PATIENTLY(block_free_now(Handle, Address), lock_timeout(Handle)).

-spec block_free_many(handle(), [integer()]) -> failable().
block_free_many(Handle, Addresses) ->
    ?PATIENTLY(block_free_many_now(Handle, Addresses), lock_timeout(Handle)).

-spec blocks_walk(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [{emmap_backend:address(), binary()}], non_neg_integer()} | eof | {error, emmap_backend:reason()}.
blocks_walk(Handle, Limit, Place) ->
    ?PATIENTLY(blocks_walk_now(Handle, Limit, Place), lock_timeout(Handle)).

-spec blocks_count(handle()) -> emmap_backend:measure().
blocks_count(Handle) ->
    ?PATIENTLY(blocks_count_now(Handle), lock_timeout(Handle)).

-spec blocks_info(handle()) -> {ok, emmap_backend:blocks_info()} | {error, emmap_backend:reason()}.
blocks_info(_Handle) -> not_loaded().

-spec blocks_repair(handle(), non_neg_integer(), non_neg_integer()) -> emmap_backend:measure().
blocks_repair(Handle, Limit, Place) ->
    ?PATIENTLY(blocks_repair_now(Handle, Limit, Place), lock_timeout(Handle)).

-spec blocks_compact(handle()) -> emmap_backend:measure().
blocks_compact(Handle) ->
    ?PATIENTLY(blocks_compact_now(Handle), lock_timeout(Handle)).

%%% What the library replaces besides the above

-spec lock_timeout(handle()) -> non_neg_integer().
lock_timeout(_Handle) -> not_loaded().

-spec open_now(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, atom() | {badarg, term()}}.
open_now(_Path, _Options) -> not_loaded().

-spec counters_open_now(binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), pos_integer()} | {error, emmap_backend:reason() | {badarg, term()}}.
counters_open_now(_Path, _Count, _Options) -> not_loaded().

-spec sync_now(handle()) -> result().
sync_now(_Handle) -> not_loaded().

-spec datasync_now(handle()) -> result().
datasync_now(_Handle) -> not_loaded().

-spec backup_now(handle(), binary()) -> ok | {error, emmap_backend:reason()}.
backup_now(_Handle, _Path) -> not_loaded().

-spec queue_open_now(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, emmap_backend:reason() | {badarg, term()}}.
queue_open_now(_Path, _Options) -> not_loaded().

-spec queue_attach_now(handle()) -> failable().
queue_attach_now(_Handle) -> not_loaded().

-spec queue_pop_now(handle()) -> emmap_backend:message().
queue_pop_now(_Handle) -> not_loaded().

-spec queue_pop_term_now(handle(), safe | unsafe) -> {ok, term()} | slow | eof | {error, emmap_backend:reason()}.
queue_pop_term_now(_Handle, _Safety) -> not_loaded().

-spec queue_remove_now(handle(), [binary()]) -> failable().
queue_remove_now(_Handle, _Messages) -> not_loaded().

-spec queue_pop_many_now(handle(), non_neg_integer()) ->
    {ok, [binary()]} | eof | {error, emmap_backend:reason()}.
queue_pop_many_now(_Handle, _Limit) -> not_loaded().

-spec queue_pop_begin_now(handle()) -> {ok, binary(), Ticket :: reference()} | eof | {error, emmap_backend:reason()}.
queue_pop_begin_now(_Handle) -> not_loaded().

-spec queue_pop_commit_now(handle(), reference()) -> failable().
queue_pop_commit_now(_Handle, _Ticket) -> not_loaded().

-spec queue_pop_abort_now(handle(), reference()) -> failable().
queue_pop_abort_now(_Handle, _Ticket) -> not_loaded().

-spec queue_peek_front_now(handle()) -> emmap_backend:message().
queue_peek_front_now(_Handle) -> not_loaded().

-spec queue_peek_back_now(handle()) -> emmap_backend:message().
queue_peek_back_now(_Handle) -> not_loaded().

-spec queue_walk_now(handle(), forward | backward, non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | {error, emmap_backend:reason()}.
queue_walk_now(_Handle, _Direction, _Limit, _Place) -> not_loaded().

-spec queue_is_empty_now(handle()) -> {ok, boolean()} | {error, emmap_backend:reason()}.
queue_is_empty_now(_Handle) -> not_loaded().

-spec queue_info_now(handle()) -> {ok, emmap_backend:queue_info()} | {error, emmap_backend:reason()}.
queue_info_now(_Handle) -> not_loaded().

-spec queue_reset_now(handle()) -> {ok, boolean()} | {error, emmap_backend:reason()}.
queue_reset_now(_Handle) -> not_loaded().

-spec queue_compact_now(handle()) -> emmap_backend:measure().
queue_compact_now(_Handle) -> not_loaded().

-spec blocks_compact_now(handle()) -> emmap_backend:measure().
blocks_compact_now(_Handle) -> not_loaded().

-spec queue_purge_now(handle()) -> failable().
queue_purge_now(_Handle) -> not_loaded().

-spec queue_erase_now(handle()) -> failable().
queue_erase_now(_Handle) -> not_loaded().

-spec queue_length_now(handle()) -> emmap_backend:measure().
queue_length_now(_Handle) -> not_loaded().

-spec blocks_open_now(binary(), non_neg_integer(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | {error, emmap_backend:reason() | {badarg, term()}}.
blocks_open_now(_Path, _BlockSize, _Levels, _Options) -> not_loaded().

-spec blocks_init_now(handle(), non_neg_integer(), non_neg_integer()) -> failable().
blocks_init_now(_Handle, _BlockSize, _Levels) -> not_loaded().

-spec block_read_now(handle(), integer()) -> {ok, binary()} | {error, emmap_backend:reason()}.
block_read_now(_Handle, _Address) -> not_loaded().

-spec block_free_now(handle(), integer()) -> failable().
block_free_now(_Handle, _Address) -> not_loaded().

-spec block_free_many_now(handle(), [integer()]) -> failable().
block_free_many_now(_Handle, _Addresses) -> not_loaded().

-spec blocks_walk_now(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [{emmap_backend:address(), binary()}], non_neg_integer()} | eof | {error, emmap_backend:reason()}.
blocks_walk_now(_Handle, _Limit, _Place) -> not_loaded().

-spec blocks_count_now(handle()) -> emmap_backend:measure().
blocks_count_now(_Handle) -> not_loaded().

-spec blocks_repair_now(handle(), non_neg_integer(), non_neg_integer()) -> emmap_backend:measure().
blocks_repair_now(_Handle, _Limit, _Place) -> not_loaded().

-spec queue_push_data(handle(), binary() | [binary()]) -> failable().
queue_push_data(_Handle, _Message) -> not_loaded().

-spec queue_push_list(handle(), [binary()]) -> failable().
queue_push_list(_Handle, _Messages) -> not_loaded().

-spec block_store_binary(handle(), binary()) -> emmap_backend:measure().
block_store_binary(_Handle, _Block) -> not_loaded().

-spec block_store_list(handle(), [binary()]) -> {ok, [emmap_backend:address()]} | {error, emmap_backend:reason()}.
block_store_list(_Handle, _Blocks) -> not_loaded().

-spec pwrite_binary(handle(), integer(), binary()) -> result().
pwrite_binary(_Handle, _Position, _Bytes) -> not_loaded().

-spec pwrite_vectors(handle(), integer(), [binary()]) -> result().
pwrite_vectors(_Handle, _Position, _Vectors) -> not_loaded().

-spec write_binary(handle(), binary()) -> result().
write_binary(_Handle, _Bytes) -> not_loaded().

-spec write_vectors(handle(), [binary()]) -> result().
write_vectors(_Handle, _Vectors) -> not_loaded().

-spec resize_now(handle(), non_neg_integer()) -> {ok, non_neg_integer()} | {error, atom()}.
resize_now(_Handle, _Size) -> not_loaded().

-spec truncate_now(handle()) -> result().
truncate_now(_Handle) -> not_loaded().

%% Of any type to the type checker: what a stub answers is what its NIF answers.
-spec not_loaded() -> any().
not_loaded() ->
    erlang:nif_error({not_loaded, ?MODULE}).
