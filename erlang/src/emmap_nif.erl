-module(emmap_nif).

-include("emmap_doc.hrl").

?MODULEDOC("The NIF backend: the core inside the node. `emmap_backend` says what the functions mean.

A handle is a reference that any process of the node may use. `close/1` closes the file, or the garbage collector when
nothing refers to the handle any more. Reads of a file that was opened with `direct` answer binaries that alias the
mapping and keep it: after `close/1`, after `resize/2`, and after the end of the process that opened the file.

The library may fail to load: see `loaded/0`.").
-behaviour(emmap_backend).

-export([loaded/0, allocates/1, open_files/0]).
-export([open/2, close/1, inspect/2, size/1]).
-export([pread/3, pwrite/3, read/2, read_line/1, write/2, position/3]).
-export([resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1]).
-export([backup/2, is_current/1, writers/1]).
-export([patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3, patomic_exchange/3,
         patomic_compare_exchange/4, patomic_load/2, patomic_store/3]).
-export([wait/4, notify/3, counter_wait/4, counter_notify/3, queue_wait/2, queue_wait_front/2]).
-export([counters_open/3, counter_add/3, counter_sub/3, counter_set/3, counter_get/2,
         counter_compare_exchange/4]).
-export([queue_open/2, queue_attach/1, queue_push/2, queue_push_many/2, queue_push_once/4, queue_pop/1, queue_pop_many/2,
         queue_pop_term/2, queue_remove/2, queue_pop_begin/1, queue_pop_commit/2, queue_pop_abort/2,
         queue_take/2, queue_order/2, queue_ack/2, queue_release/3, queue_put_back/2, queue_release_held/2, queue_release_all/1,
         queue_in_hand/1, queue_repair/1, queue_peek_front/1, queue_peek_back/1,
         queue_walk/4, queue_length/1, queue_is_empty/1, queue_info/1, queue_reset/1, queue_purge/1, queue_erase/1,
         queue_compact/1]).
-export([blocks_open/4, blocks_init/3, block_store/2, block_store_many/2, block_read/2, block_free/2,
         block_free_many/2, blocks_walk/3, blocks_count/1, blocks_info/1, blocks_repair/3,
         blocks_compact/1]).
-export([cell_open/3, cell_publish/2, cell_get/1, cell_version/1, cell_wait/3]).
-export([table_open/3, table_info/1, table_size/1, table_repair/1, table_add/4, table_set/4, table_get/3, table_compare_exchange/5,
         table_delete/2, table_hit/3, table_walk/3]).

-on_load(load/0).
-nifs([allocates/1, open_files/0, open/2, close/1, inspect/2, size/1, pread/3, pwrite/3, read/2, read_line/1, write/2,
       position/3, resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1, backup/2, is_current/1, writers/1,
       patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3, patomic_exchange/3, patomic_compare_exchange/4,
       patomic_load/2, patomic_store/3, counters_open/3, counter_add/3, counter_sub/3, counter_set/3, counter_get/2,
       counter_compare_exchange/4, queue_open/2, queue_attach/1, queue_push/2, queue_push_many/2, queue_push_once/4, queue_pop/1,
       queue_pop_many/2, queue_pop_term/2, queue_remove/2, queue_pop_begin/1, queue_pop_commit/2, queue_pop_abort/2,
       queue_take/2, queue_order/2, queue_ack/2, queue_release/3, queue_put_back/2, queue_release_held/2, queue_release_all/1,
       queue_in_hand/1, queue_repair/1, queue_peek_front/1, queue_peek_back/1, queue_walk/4, queue_length/1, queue_is_empty/1, queue_info/1,
       queue_reset/1, queue_purge/1, queue_erase/1, queue_compact/1, blocks_open/4, blocks_init/3, block_store/2,
       block_store_many/2, block_read/2, block_free/2, block_free_many/2, blocks_walk/3, blocks_count/1,
       blocks_info/1, blocks_repair/3, blocks_compact/1, cell_open/3, cell_publish/2, cell_get/1, cell_version/1,
       table_open/3, table_info/1, table_size/1, table_repair/1, table_add/4, table_set/4, table_get/3, table_compare_exchange/5,
       table_delete/2, table_hit/3, table_walk/3,
       wait_begin/5, counter_wait_begin/5, queue_wait_begin/3, cell_wait_begin/4, wait_end/2, notify/3, counter_notify/3]).

-type handle() :: reference().
-type result() :: ok | emmap_backend:failed().
-type old() :: {ok, emmap_backend:int64()} | emmap_backend:failed().

%%% Loading

?DOC("Whether the library is loaded. If it is not, every other function raises `not_loaded`.").
-spec loaded() -> ok | {error, Reason :: term()}.
loaded() ->
    persistent_term:get(?MODULE).

%% The module stays even if its library does not load, so that loaded/0 can say why. In an upgrade the load fails
%% instead: then the older version, whose library works, stays.
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

?DOC("Whether the node can allocate so many bytes at this moment. ERTS itself ends the node if it lacks memory.").
-spec allocates(non_neg_integer()) -> boolean().
allocates(_Bytes) -> not_loaded().

?DOC(false).
-spec open_files() -> [{Path :: binary(), file | counters | queue | blocks | cell | table, pid(), Size :: non_neg_integer(), Since :: integer()}].
open_files() -> not_loaded().

%%% Files

-spec open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
open(_Path, _Options) -> not_loaded().

-spec close(handle()) -> result().
close(_Handle) -> not_loaded().

-spec inspect(binary(), brief | count | check) -> {ok, emmap_backend:inspection()} | emmap_backend:failed().
inspect(_Path, _Effort) -> not_loaded().

-spec size(handle()) -> {ok, non_neg_integer()} | emmap_backend:failed().
size(_Handle) -> not_loaded().

-spec pread(handle(), integer(), non_neg_integer()) -> emmap_backend:sink_result().
pread(_Handle, _Position, _Length) -> not_loaded().

-spec pwrite(handle(), integer(), emmap_backend:bytes()) -> result().
pwrite(_Handle, _Position, _Data) -> not_loaded().

-spec read(handle(), non_neg_integer()) -> emmap_backend:sink_result().
read(_Handle, _Length) -> not_loaded().

-spec read_line(handle()) -> emmap_backend:sink_result().
read_line(_Handle) -> not_loaded().

-spec write(handle(), emmap_backend:bytes()) -> result().
write(_Handle, _Data) -> not_loaded().

-spec position(handle(), integer(), bof | cur | eof) -> {ok, non_neg_integer()} | emmap_backend:failed().
position(_Handle, _Offset, _Whence) -> not_loaded().

-spec resize(handle(), non_neg_integer()) -> {ok, non_neg_integer()} | emmap_backend:failed().
resize(_Handle, _Size) -> not_loaded().

-spec truncate(handle()) -> result().
truncate(_Handle) -> not_loaded().

-spec allocate(handle(), integer(), integer()) -> result().
allocate(_Handle, _Position, _Length) -> not_loaded().

-spec advise(handle(), integer(), integer(), emmap_backend:advice()) -> result().
advise(_Handle, _Position, _Length, _Advice) -> not_loaded().

-spec flush(handle()) -> result().
flush(_Handle) -> not_loaded().

-spec sync(handle()) -> result().
sync(_Handle) -> not_loaded().

-spec datasync(handle()) -> result().
datasync(_Handle) -> not_loaded().

-spec backup(handle(), binary()) -> ok | emmap_backend:failed().
backup(_Handle, _Path) -> not_loaded().

-spec is_current(handle()) -> {ok, boolean()} | emmap_backend:failed().
is_current(_Handle) -> not_loaded().

-spec writers(handle()) -> {ok, [emmap_backend:writer()]} | emmap_backend:failed().
writers(_Handle) -> not_loaded().

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
    {ok, handle(), pos_integer()} | emmap_backend:open_failed().
counters_open(_Path, _Count, _Options) -> not_loaded().

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

%%% Waits
%%
%% The end of a wait sends a message, so only the calling process waits. If the process is killed, the wait is
%% collected, which ends it.

-spec wait(handle(), integer(), emmap_backend:operand(), timeout()) -> emmap_backend:waited().
wait(Handle, Position, Expected, Timeout) ->
    Tag = make_ref(),
    waited(Handle, Tag, wait_begin(Handle, Position, Expected, Timeout, Tag)).

-spec counter_wait(handle(), integer(), emmap_backend:operand(), timeout()) -> emmap_backend:waited().
counter_wait(Handle, Index, Expected, Timeout) ->
    Tag = make_ref(),
    waited(Handle, Tag, counter_wait_begin(Handle, Index, Expected, Timeout, Tag)).

-spec cell_wait(handle(), non_neg_integer(), timeout()) -> emmap_backend:waited().
cell_wait(Handle, Version, Timeout) ->
    Tag = make_ref(),
    waited(Handle, Tag, cell_wait_begin(Handle, Version, Timeout, Tag)).

-spec queue_wait(handle(), timeout()) -> emmap_backend:waited().
queue_wait(Handle, Timeout) ->
    Tag = make_ref(),
    waited(Handle, Tag, queue_wait_begin(Handle, Timeout, Tag)).

%% To look at the message takes less time here than to send it.
-spec queue_wait_front(handle(), timeout()) -> emmap_backend:waited().
queue_wait_front(Handle, Timeout) -> queue_wait(Handle, Timeout).

waited(Handle, Tag, {ok, Wait}) ->
    receive
        {Tag, Result} ->
            ok = wait_end(Wait, Handle), % keeps both from being collected before
            Result
    end;
waited(_Handle, _Tag, Result) ->
    Result.

-spec notify(handle(), integer(), non_neg_integer() | infinity) -> emmap_backend:measure().
notify(_Handle, _Position, _Count) -> not_loaded().

-spec counter_notify(handle(), integer(), non_neg_integer() | infinity) -> emmap_backend:measure().
counter_notify(_Handle, _Index, _Count) -> not_loaded().

-spec wait_begin(handle(), integer(), emmap_backend:operand(), timeout(), reference()) ->
    {ok, Wait :: reference()} | emmap_backend:waited().
wait_begin(_Handle, _Position, _Expected, _Timeout, _Tag) -> not_loaded().

-spec counter_wait_begin(handle(), integer(), emmap_backend:operand(), timeout(), reference()) ->
    {ok, Wait :: reference()} | emmap_backend:waited().
counter_wait_begin(_Handle, _Index, _Expected, _Timeout, _Tag) -> not_loaded().

-spec queue_wait_begin(handle(), timeout(), reference()) -> {ok, Wait :: reference()} | emmap_backend:waited().
queue_wait_begin(_Handle, _Timeout, _Tag) -> not_loaded().

-spec cell_wait_begin(handle(), non_neg_integer(), timeout(), reference()) ->
    {ok, Wait :: reference()} | emmap_backend:waited().
cell_wait_begin(_Handle, _Version, _Timeout, _Tag) -> not_loaded().

-spec wait_end(Wait :: reference(), handle()) -> ok.
wait_end(_Wait, _Handle) -> not_loaded().

%%% Queues
%%
%% An operation is tried on the scheduler of the caller. It goes to a dirty one if the file has to grow, or if there are
%% many bytes to copy.

-spec queue_open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
queue_open(_Path, _Options) -> not_loaded().

-spec queue_attach(handle()) -> result().
queue_attach(_Handle) -> not_loaded().

-spec queue_push(handle(), emmap_backend:bytes()) -> result().
queue_push(_Handle, _Message) -> not_loaded().

-spec queue_push_many(handle(), [binary()]) -> result().
queue_push_many(_Handle, _Messages) -> not_loaded().

-spec queue_push_once(handle(), <<_:128>>, non_neg_integer(), [binary()]) -> emmap_backend:measure().
queue_push_once(_Handle, _Origin, _Number, _Messages) -> not_loaded().

-spec queue_pop(handle()) -> emmap_backend:message().
queue_pop(_Handle) -> not_loaded().

-spec queue_pop_many(handle(), non_neg_integer()) ->
    {ok, [binary()]} | eof | emmap_backend:failed().
queue_pop_many(_Handle, _Limit) -> not_loaded().

-spec queue_pop_term(handle(), safe | unsafe) -> {ok, term()} | slow | eof | emmap_backend:failed().
queue_pop_term(_Handle, _Safety) -> not_loaded().

-spec queue_remove(handle(), [binary()]) -> result().
queue_remove(_Handle, _Messages) -> not_loaded().

%% When the ticket is collected, for instance because its process has died, the message is put back.
-spec queue_pop_begin(handle()) -> {ok, binary(), Ticket :: reference()} | eof | emmap_backend:failed().
queue_pop_begin(_Handle) -> not_loaded().

-spec queue_pop_commit(handle(), reference()) -> result().
queue_pop_commit(_Handle, _Ticket) -> not_loaded().

-spec queue_pop_abort(handle(), reference()) -> result().
queue_pop_abort(_Handle, _Ticket) -> not_loaded().

%% A monitor of the process in the library releases what it took.
-spec queue_take(handle(), non_neg_integer()) ->
    {ok, binary(), emmap_backend:delivery_ticket(), pos_integer()} | eof | emmap_backend:failed().
queue_take(_Handle, _Holder) -> not_loaded().

-spec queue_order(handle(), emmap_backend:delivery_ticket()) -> old().
queue_order(_Handle, _Ticket) -> not_loaded().

-spec queue_ack(handle(), emmap_backend:delivery_ticket()) -> result().
queue_ack(_Handle, _Ticket) -> not_loaded().

-spec queue_release(handle(), emmap_backend:delivery_ticket(), non_neg_integer()) -> result().
queue_release(_Handle, _Ticket, _Delay) -> not_loaded().

-spec queue_put_back(handle(), emmap_backend:delivery_ticket()) -> result().
queue_put_back(_Handle, _Ticket) -> not_loaded().

-spec queue_release_held(handle(), non_neg_integer()) -> result().
queue_release_held(_Handle, _Holder) -> not_loaded().

-spec queue_release_all(handle()) -> emmap_backend:measure().
queue_release_all(_Handle) -> not_loaded().

-spec queue_in_hand(handle()) -> {ok, [emmap_backend:in_hand()]} | emmap_backend:failed().
queue_in_hand(_Handle) -> not_loaded().

-spec queue_repair(handle()) -> emmap_backend:measure().
queue_repair(_Handle) -> not_loaded().

-spec queue_peek_front(handle()) -> emmap_backend:message().
queue_peek_front(_Handle) -> not_loaded().

-spec queue_peek_back(handle()) -> emmap_backend:message().
queue_peek_back(_Handle) -> not_loaded().

-spec queue_walk(handle(), forward | backward, non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | emmap_backend:failed().
queue_walk(_Handle, _Direction, _Limit, _Place) -> not_loaded().

-spec queue_length(handle()) -> emmap_backend:measure().
queue_length(_Handle) -> not_loaded().

-spec queue_is_empty(handle()) -> {ok, boolean()} | emmap_backend:failed().
queue_is_empty(_Handle) -> not_loaded().

-spec queue_info(handle()) -> {ok, emmap_backend:queue_info()} | emmap_backend:failed().
queue_info(_Handle) -> not_loaded().

-spec queue_reset(handle()) -> {ok, boolean()} | emmap_backend:failed().
queue_reset(_Handle) -> not_loaded().

-spec queue_purge(handle()) -> result().
queue_purge(_Handle) -> not_loaded().

-spec queue_erase(handle()) -> result().
queue_erase(_Handle) -> not_loaded().

-spec queue_compact(handle()) -> emmap_backend:measure().
queue_compact(_Handle) -> not_loaded().

%%% Block storages

-spec blocks_open(binary(), non_neg_integer(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
blocks_open(_Path, _BlockSize, _Levels, _Options) -> not_loaded().

-spec blocks_init(handle(), non_neg_integer(), non_neg_integer()) -> result().
blocks_init(_Handle, _BlockSize, _Levels) -> not_loaded().

-spec block_store(handle(), binary()) -> emmap_backend:measure().
block_store(_Handle, _Block) -> not_loaded().

-spec block_store_many(handle(), [binary()]) ->
    {ok, [emmap_backend:address()]} | emmap_backend:failed().
block_store_many(_Handle, _Blocks) -> not_loaded().

-spec block_read(handle(), integer()) -> {ok, binary()} | emmap_backend:failed().
block_read(_Handle, _Address) -> not_loaded().

-spec block_free(handle(), integer()) -> result().
block_free(_Handle, _Address) -> not_loaded().

-spec block_free_many(handle(), [integer()]) -> result().
block_free_many(_Handle, _Addresses) -> not_loaded().

-spec blocks_walk(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [{emmap_backend:address(), binary()}], non_neg_integer()} | eof | emmap_backend:failed().
blocks_walk(_Handle, _Limit, _Place) -> not_loaded().

-spec blocks_count(handle()) -> emmap_backend:measure().
blocks_count(_Handle) -> not_loaded().

-spec blocks_info(handle()) -> {ok, emmap_backend:blocks_info()} | emmap_backend:failed().
blocks_info(_Handle) -> not_loaded().

-spec blocks_repair(handle(), non_neg_integer(), non_neg_integer()) -> emmap_backend:measure().
blocks_repair(_Handle, _Limit, _Place) -> not_loaded().

-spec blocks_compact(handle()) -> emmap_backend:measure().
blocks_compact(_Handle) -> not_loaded().

%%% Cells

-spec cell_open(binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
cell_open(_Path, _MaxBytes, _Options) -> not_loaded().

-spec cell_publish(handle(), emmap_backend:bytes()) -> result().
cell_publish(_Handle, _Value) -> not_loaded().

-spec cell_get(handle()) -> {ok, binary(), pos_integer()} | eof | emmap_backend:failed().
cell_get(_Handle) -> not_loaded().

-spec cell_version(handle()) -> emmap_backend:measure().
cell_version(_Handle) -> not_loaded().

%%% Tables

-spec table_open(binary(), {non_neg_integer(), non_neg_integer(), non_neg_integer()}, [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
table_open(_Path, _Shape, _Options) -> not_loaded().

-spec table_info(handle()) -> {ok, {pos_integer(), pos_integer(), pos_integer()}} | emmap_backend:failed().
table_info(_Handle) -> not_loaded().

-spec table_size(handle()) -> emmap_backend:measure().
table_size(_Handle) -> not_loaded().

-spec table_repair(handle()) -> result().
table_repair(_Handle) -> not_loaded().

-spec table_add(handle(), emmap_backend:key(), integer(), emmap_backend:operand()) -> old().
table_add(_Handle, _Key, _Word, _Value) -> not_loaded().

-spec table_set(handle(), emmap_backend:key(), integer(), emmap_backend:operand()) -> old().
table_set(_Handle, _Key, _Word, _Value) -> not_loaded().

-spec table_get(handle(), emmap_backend:key(), integer()) -> old().
table_get(_Handle, _Key, _Word) -> not_loaded().

-spec table_compare_exchange(handle(), emmap_backend:key(), integer(), emmap_backend:operand(),
                             emmap_backend:operand()) -> old().
table_compare_exchange(_Handle, _Key, _Word, _Expected, _Replacement) -> not_loaded().

-spec table_delete(handle(), emmap_backend:key()) -> result().
table_delete(_Handle, _Key) -> not_loaded().

-spec table_hit(handle(), emmap_backend:key(), {integer(), integer(), integer(), non_neg_integer()}) ->
    {ok, boolean(), non_neg_integer(), non_neg_integer(), non_neg_integer()} | emmap_backend:failed().
table_hit(_Handle, _Key, _Limit) -> not_loaded().

-spec table_walk(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | emmap_backend:failed().
table_walk(_Handle, _Limit, _Place) -> not_loaded().

%% Its type is any, so that dialyzer takes the specs of the NIFs as they are.
-spec not_loaded() -> any().
not_loaded() ->
    erlang:nif_error({not_loaded, ?MODULE}).
