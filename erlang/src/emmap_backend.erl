-module(emmap_backend).

-include("emmap_doc.hrl").

?MODULEDOC("The operations of a backend: one function for each operation of the C core, under the core's own name.
`native/include/emmap.h` is their manual. A backend translates, and decides nothing.

- Errors are `{error, Atom}` with the core's atoms: POSIX ones, `closed`, `alignment`, `full`, `fixed_size`, `corrupt`,
  `badarg`. A damaged queue or block storage is `{corrupt, Offset, Reason}` instead of `corrupt`.
- `{busy, Milliseconds}`: another handle or process has the lock of the file, and nothing was done. The caller tries
  again for this time; `emmap_lock` does that.
- Positions and lengths are integers of any size. One that a signed 64-bit integer can't hold is `{error, einval}`.
- Operands of 64-bit operations are from -2^63 to 2^64-1. Any other operand, and any argument of the wrong type, raises
  `badarg`.").

-export_type([advice/0, bytes/0, handle/0, option/0, info/0, sink_result/0, int64/0, operand/0]).
-export_type([address/0, blocks_info/0, failed/0, inspection/0, key/0, measure/0, message/0, open_failed/0, queue_info/0,
              reason/0, ticket/0, waited/0, writer/0]).
-export_type([delivery_ticket/0, in_hand/0]).

?DOC("A reference to a NIF resource, or the name of a file on the port.").
-type handle() :: term().
?DOC("An option as `emmap_option_set` of the core takes it. `emmap` has checked its form.").
-type option() :: atom() | {atom(), non_neg_integer()}.
?DOC("About a file that was opened. `exist`: whether it existed before; `size`: how many bytes are mapped.").
-type info() :: #{exist := boolean(), size := non_neg_integer()}.
?DOC("Bytes to be written: a binary, or what `erlang:iolist_to_iovec/1` makes of other iodata.").
-type bytes() :: binary() | [binary()].
?DOC("The answer of a read.").
-type sink_result() :: {ok, binary()} | eof | failed().
?DOC("How a range will be used, as `file:advise/4` takes it.").
-type advice() :: normal | sequential | random | no_reuse | will_need | dont_need.
?DOC("The value of a 64-bit word.").
-type int64() :: -16#8000000000000000..16#7fffffffffffffff.
?DOC("A value for a 64-bit word. A number from 2^63 up means the negative number with the same bits.").
-type operand() :: -16#8000000000000000..16#ffffffffffffffff.

?DOC("The reason of an error. `{corrupt, Offset, Reason}`: the queue or block storage is damaged, at this offset in the
file. `{counters, InFile, Asked}`: the file has another number of counters than was asked for. `{other_node, Node}`: the
handle belongs to that node.").
-type reason() ::
    atom() | {other_node, node()} | {counters, InFile :: pos_integer(), Asked :: pos_integer()}
    | {corrupt, Offset :: non_neg_integer(), Reason :: binary()}.
?DOC("A failure. Nothing was done.").
-type failed() :: {error, reason()} | {busy, Milliseconds :: non_neg_integer()}.
?DOC("The failure of an open. `{badarg, Option}`: there is no such option. `{Atom, Sentence}`: the file system lacks
something, and the sentence says what.").
-type open_failed() :: {error, {badarg, term()} | {atom(), Sentence :: binary()}} | failed().
?DOC("A message of a queue; `eof` if there is none.").
-type message() :: {ok, binary()} | eof | failed().
?DOC("A number of bytes, messages, blocks or processes.").
-type measure() :: {ok, non_neg_integer()} | failed().
?DOC("A message that is being taken out: a NIF resource, or its number on the port.").
-type ticket() :: term().
?DOC("The number of a message in hand. Each take gives a new number.").
-type delivery_ticket() :: non_neg_integer().
?DOC("A message in hand, or a `released` one that waits for its next consumer. `attempt`: how often it was taken.
`since`: when it was taken, and `due`: not before, both in milliseconds since 1970. `length` in bytes, with up to 7
zeros. Of a message in hand, the id and the name of the `process` that has it, as the process itself sees them, and
whether that process is `alive`.").
-type in_hand() ::
    #{ticket | length | since | due | process | attempt := non_neg_integer(), program := binary(),
      alive | released := boolean()}.
?DOC("The header of a queue: offsets in bytes from its beginning.").
-type queue_info() :: #{size | head | tail | next_tail := non_neg_integer()}.
?DOC("About a block storage: `block_size` in bytes, the `levels` of its tree, and how many blocks it can hold
(`capacity`).").
-type blocks_info() :: #{block_size | levels | capacity := non_neg_integer()}.
?DOC("A handle that may write a queue, block storage, cell or table, and shares it: see `t:emmap:writer/0`.").
-type writer() ::
    #{process | since | waited | pushed | popped := non_neg_integer(), program := binary(), has_lock := boolean()}.
?DOC("The key of an entry of a table.").
-type key() :: iodata().
?DOC("The address of a block.").
-type address() :: non_neg_integer().

?DOC("The facts about a file, by the names that the page on the command explains.").
-type inspection() :: #{kind := atom(), writers := [#{atom() => fact()}], atom() => fact() | [map()]}.

?DOC("A fact: a number, a boolean, a name, or text.").
-type fact() :: non_neg_integer() | boolean() | atom() | binary().

?DOC("How a wait has ended.").
-type waited() :: ok | not_equal | timeout | {error, atom()}.

-type result() :: ok | failed().
-type old() :: {ok, int64()} | failed().

-callback open(Path :: binary(), [option()]) -> {ok, handle(), info()} | open_failed().
-callback close(handle()) -> result().
-callback size(handle()) -> {ok, non_neg_integer()} | failed().

?DOC("Looks at a file from outside, as `emmap_inspect` of the core.").
-callback inspect(Path :: binary(), brief | count | check) -> {ok, inspection()} | failed().

-callback pread(handle(), Position :: integer(), Length :: non_neg_integer()) -> sink_result().
-callback pwrite(handle(), Position :: integer(), bytes()) -> result().
-callback read(handle(), Length :: non_neg_integer()) -> sink_result().
-callback read_line(handle()) -> sink_result().
-callback write(handle(), bytes()) -> result().
-callback position(handle(), Offset :: integer(), bof | cur | eof) -> {ok, non_neg_integer()} | failed().

?DOC("Size 0 grows the file by the policy of `emmap_resize`.").
-callback resize(handle(), Size :: non_neg_integer()) -> {ok, non_neg_integer()} | failed().
-callback truncate(handle()) -> result().
-callback allocate(handle(), Position :: integer(), Length :: integer()) -> result().
-callback advise(handle(), Position :: integer(), Length :: integer(), advice()) -> result().
-callback flush(handle()) -> result().
-callback sync(handle()) -> result().
-callback datasync(handle()) -> result().
-callback backup(handle(), Path :: binary()) -> ok | failed().
-callback is_current(handle()) -> {ok, boolean()} | failed().
-callback writers(handle()) -> {ok, [writer()]} | failed().

-callback patomic_add(handle(), Position :: integer(), operand()) -> old().
-callback patomic_sub(handle(), Position :: integer(), operand()) -> old().
-callback patomic_and(handle(), Position :: integer(), operand()) -> old().
-callback patomic_or(handle(), Position :: integer(), operand()) -> old().
-callback patomic_xor(handle(), Position :: integer(), operand()) -> old().
-callback patomic_exchange(handle(), Position :: integer(), operand()) -> old().
-callback patomic_compare_exchange(handle(), Position :: integer(), Expected :: operand(), operand()) -> old().
-callback patomic_load(handle(), Position :: integer()) -> old().
-callback patomic_store(handle(), Position :: integer(), operand()) -> result().

?DOC("Waits as `emmap_wait_begin` of the core. Only the calling process waits.").
-callback wait(handle(), Position :: integer(), Expected :: operand(), timeout()) -> waited().
-callback notify(handle(), Position :: integer(), Count :: non_neg_integer() | infinity) -> measure().
-callback counter_wait(handle(), Index :: integer(), Expected :: operand(), timeout()) -> waited().
?DOC("Waits as `emmap_queue_wait_begin` of the core. `ok`: there may be a message.").
-callback queue_wait(handle(), timeout()) -> waited().
?DOC("As `queue_wait/2`, or `{ok, Bytes}`: the first message, which stays. It answers at once while there is one, so
after an `ebusy` wait by `queue_wait/2`.").
-callback queue_wait_front(handle(), timeout()) -> waited() | {ok, binary()}.
-callback counter_notify(handle(), Index :: integer(), Count :: non_neg_integer() | infinity) -> measure().

?DOC("Count 0: as many as the file has, 1 if it is created. The options are as for open; `[]` reads, writes and
creates.").
-callback counters_open(Path :: binary(), Count :: non_neg_integer(), [option()]) ->
    {ok, handle(), Count :: pos_integer()} | open_failed().
-callback counter_add(handle(), Index :: integer(), operand()) -> old().
-callback counter_sub(handle(), Index :: integer(), operand()) -> old().
-callback counter_set(handle(), Index :: integer(), operand()) -> old().
-callback counter_get(handle(), Index :: integer()) -> old().
-callback counter_compare_exchange(handle(), Index :: integer(), Expected :: operand(), operand()) -> old().

?DOC("The options are as for open; `[]` reads, writes and creates.").
-callback queue_open(Path :: binary(), [option()]) -> {ok, handle(), info()} | open_failed().
-callback queue_attach(handle()) -> result().
-callback queue_push(handle(), bytes()) -> result().
-callback queue_push_many(handle(), [binary()]) -> result().
?DOC("Appends the messages, unless `Number` is not above the last number of the origin. Answers that last number; 0 if
the origin is not known. `Number` 0 only asks.").
-callback queue_push_once(handle(), Origin :: <<_:128>>, Number :: non_neg_integer(), [binary()]) -> measure().
-callback queue_pop(handle()) -> message().
-callback queue_pop_many(handle(), Limit :: non_neg_integer()) -> {ok, [binary()]} | eof | failed().
?DOC("Decodes the first message, removes it, and answers its term. `slow`: nothing was done; the caller uses
`queue_peek_front` and `queue_remove` instead.").
-callback queue_pop_term(handle(), safe | unsafe) -> {ok, term()} | slow | eof | failed().
?DOC("Removes the first messages if they equal the given ones, as a read has answered them; otherwise `{error, estale}`.").
-callback queue_remove(handle(), [binary()]) -> result().
?DOC("If the calling process dies before it commits or aborts, the message stays in the queue.").
-callback queue_pop_begin(handle()) -> {ok, binary(), ticket()} | eof | failed().
-callback queue_pop_commit(handle(), ticket()) -> result().
-callback queue_pop_abort(handle(), ticket()) -> result().
?DOC("Takes the first message that is due. `Holder` is a number of the calling process. If the process dies, all
messages that it took with this number are released.").
-callback queue_take(handle(), Holder :: non_neg_integer()) ->
    {ok, binary(), delivery_ticket(), Attempt :: pos_integer()} | eof | failed().
?DOC("The number that the message got when it was first taken. Messages that are taken later have higher ones.").
-callback queue_order(handle(), delivery_ticket()) -> {ok, int64()} | failed().
?DOC("Any process may end a delivery.").
-callback queue_ack(handle(), delivery_ticket()) -> result().
-callback queue_release(handle(), delivery_ticket(), Delay :: non_neg_integer()) -> result().
-callback queue_put_back(handle(), delivery_ticket()) -> result().
-callback queue_release_held(handle(), Holder :: non_neg_integer()) -> result().
?DOC("Answers how many messages it put back into the queue's own file.").
-callback queue_release_all(handle()) -> measure().
-callback queue_in_hand(handle()) -> {ok, [in_hand()]} | failed().
-callback queue_repair(handle()) -> measure().
-callback queue_peek_front(handle()) -> message().
-callback queue_peek_back(handle()) -> message().
?DOC("Place is 0 to begin, and then the place that the last step answered.").
-callback queue_walk(handle(), forward | backward, Limit :: non_neg_integer(), Place :: non_neg_integer()) ->
    {ok, [binary()], Place :: non_neg_integer()} | eof | failed().
-callback queue_length(handle()) -> measure().
-callback queue_is_empty(handle()) -> {ok, boolean()} | failed().
-callback queue_info(handle()) -> {ok, queue_info()} | failed().
?DOC("Lets an empty queue begin anew at the first byte of its file. Answers whether it was empty.").
-callback queue_reset(handle()) -> {ok, boolean()} | failed().
-callback queue_purge(handle()) -> result().
-callback queue_erase(handle()) -> result().
?DOC("Answers how many bytes of disk space were given back.").
-callback queue_compact(handle()) -> measure().

?DOC("Levels 0: those of the file, 3 for a new one. Block size 0: that of the file.").
-callback blocks_open(Path :: binary(), BlockSize :: non_neg_integer(), Levels :: non_neg_integer(), [option()]) ->
    {ok, handle(), info()} | open_failed().
?DOC("Makes an empty storage of an open file, whatever it holds. The other operations take the storage that the file
holds.").
-callback blocks_init(handle(), BlockSize :: non_neg_integer(), Levels :: non_neg_integer()) -> result().
-callback block_store(handle(), binary()) -> {ok, address()} | failed().
-callback block_store_many(handle(), [binary()]) -> {ok, [address()]} | failed().
-callback block_read(handle(), integer()) -> {ok, binary()} | failed().
-callback block_free(handle(), integer()) -> result().
-callback block_free_many(handle(), [integer()]) -> result().
?DOC("Place is an address to begin at, and then the place that the last step answered; 2^64 - 1 is the end, and gives
`eof`. A step may answer fewer than Limit blocks before the end.").
-callback blocks_walk(handle(), Limit :: non_neg_integer(), Place :: non_neg_integer()) ->
    {ok, [{address(), binary()}], Place :: non_neg_integer()} | eof | failed().
-callback blocks_count(handle()) -> measure().
-callback blocks_info(handle()) -> {ok, blocks_info()} | failed().
?DOC("Place is an address. Answers the place to go on at, 0 at the end.").
-callback blocks_repair(handle(), Limit :: non_neg_integer(), Place :: non_neg_integer()) -> measure().
?DOC("Answers how many bytes of disk space were given back.").
-callback blocks_compact(handle()) -> measure().

?DOC("MaxBytes 0: that of the file.").
-callback cell_open(Path :: binary(), MaxBytes :: non_neg_integer(), [option()]) ->
    {ok, handle(), info()} | open_failed().
-callback cell_publish(handle(), bytes()) -> result().
?DOC("`eof`: nothing was published.").
-callback cell_get(handle()) -> {ok, binary(), Version :: pos_integer()} | eof | failed().
-callback cell_version(handle()) -> measure().
?DOC("Capacity 0: all three numbers are those of the file. Key bytes and words 0: 64 and 2.").
-callback table_open(Path :: binary(), {Capacity :: non_neg_integer(), KeyBytes :: non_neg_integer(),
                                        Words :: non_neg_integer()}, [option()]) ->
    {ok, handle(), info()} | open_failed().
-callback table_info(handle()) ->
    {ok, {Capacity :: pos_integer(), KeyBytes :: pos_integer(), Words :: pos_integer()}} | failed().
-callback table_size(handle()) -> measure().
-callback table_repair(handle()) -> result().
-callback table_add(handle(), key(), Word :: integer(), operand()) -> old().
-callback table_set(handle(), key(), Word :: integer(), operand()) -> old().
-callback table_get(handle(), key(), Word :: integer()) -> old().
-callback table_compare_exchange(handle(), key(), Word :: integer(), Expected :: operand(), operand()) -> old().
-callback table_delete(handle(), key()) -> result().
?DOC("Flags as in `emmap_table_flag` of the core.").
-callback table_hit(handle(), key(), {Limit :: integer(), WindowMs :: integer(), Cost :: integer(),
                                      Flags :: non_neg_integer()}) ->
    {ok, Allowed :: boolean(), Used :: non_neg_integer(), Remaining :: non_neg_integer(),
     ResetMs :: non_neg_integer()} | failed().
?DOC("Each entry is its words, 64 bits each in little-endian order, and then its key. Place is 0 to begin. A step may
answer no entries before the end.").
-callback table_walk(handle(), Limit :: non_neg_integer(), Place :: non_neg_integer()) ->
    {ok, [binary()], Place :: non_neg_integer()} | eof | failed().

?DOC("Waits as `emmap_cell_wait_begin` of the core.").
-callback cell_wait(handle(), Version :: non_neg_integer(), timeout()) -> waited().
