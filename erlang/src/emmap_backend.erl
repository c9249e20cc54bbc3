-module(emmap_backend).

-include("emmap_doc.hrl").

?MODULEDOC("What a backend does for `emmap`: the operations of the C core, one function each, under the core's own
names (`native/include/emmap.h` says what each means). A backend translates and decides nothing.

Errors are `{error, Atom}` with the core's atoms: POSIX ones, `closed`, `alignment`, `full`, `fixed_size`,
`corrupt`, `badarg`; of a queue or block storage that is damaged `{corrupt, Offset, Reason}`. Positions and lengths
are integers of any size: one that a signed 64-bit integer can't hold is `{error, einval}`. Operands of 64-bit operations are from -2^63 to 2^64-1; others are `badarg`
exceptions, as is any argument of the wrong type. `{busy, Milliseconds}`: another handle or process has the file's lock, and
nothing was done; the caller tries again for so long. `emmap_lock` does that for the whole API.").

-export_type([advice/0, bytes/0, handle/0, option/0, info/0, sink_result/0, int64/0, operand/0]).
-export_type([address/0, blocks_info/0, failed/0, measure/0, message/0, open_failed/0, queue_info/0, reason/0, ticket/0, waited/0]).

?DOC("A reference to a NIF resource, or whatever names a file on the port.").
-type handle() :: term().
?DOC("An option, as `emmap_option_set` takes them, already checked for shape by `emmap`.").
-type option() :: atom() | {atom(), non_neg_integer()}.
?DOC("What is known of a file that was opened. `exist`: the file was there before; `size`: bytes mapped.").
-type info() :: #{exist := boolean(), size := non_neg_integer()}.
?DOC("Bytes to be written: a binary, or what `erlang:iolist_to_iovec/1` makes of anything else.").
-type bytes() :: binary() | [binary()].
?DOC("What a read answers.").
-type sink_result() :: {ok, binary()} | eof | failed().
?DOC("How a range will be used, as `file:advise/4` takes it, whose type for it is not exported.").
-type advice() :: normal | sequential | random | no_reuse | will_need | dont_need.
?DOC("What a 64-bit word holds.").
-type int64() :: -16#8000000000000000..16#7fffffffffffffff.
?DOC("What may be given for one. From 2^63 up it is taken as the negative number with the same bits.").
-type operand() :: -16#8000000000000000..16#ffffffffffffffff.

?DOC("What went wrong. `{corrupt, Offset, Reason}`: what a queue or block storage should not hold, and where in the file.").
-type reason() :: atom() | {counters, InFile :: pos_integer(), Asked :: pos_integer()} | {corrupt, Offset :: non_neg_integer(), Reason :: binary()}.
?DOC("Nothing was done.").
-type failed() :: {error, reason()} | {busy, Milliseconds :: non_neg_integer()}.
?DOC("Why an open has failed. `{badarg, Option}`: there is no such option; `{Atom, Sentence}`: the file system lacks what is
needed, and the sentence says what.").
-type open_failed() :: {error, {badarg, term()} | {atom(), Sentence :: binary()}} | failed().
?DOC("A queue's message, or that there is none.").
-type message() :: {ok, binary()} | eof | failed().
?DOC("How many there are.").
-type measure() :: {ok, non_neg_integer()} | failed().
?DOC("The name of a message that is being taken out: a NIF resource, or whatever the port calls it.").
-type ticket() :: term().
?DOC("The queue's header: offsets in bytes from where the queue begins.").
-type queue_info() :: #{size | head | tail | next_tail := non_neg_integer()}.
?DOC("Of a block storage: bytes of a block, levels of its tree, and how many blocks it can hold.").
-type blocks_info() :: #{block_size | levels | capacity := non_neg_integer()}.
?DOC("The address of a block.").
-type address() :: non_neg_integer().

?DOC("How a wait for a word has ended.").
-type waited() :: ok | not_equal | timeout | {error, atom()}.

-type result() :: ok | failed().
-type old() :: {ok, int64()} | failed().

-callback open(Path :: binary(), [option()]) -> {ok, handle(), info()} | open_failed().
-callback close(handle()) -> result().
-callback size(handle()) -> {ok, non_neg_integer()} | failed().

-callback pread(handle(), Position :: integer(), Length :: non_neg_integer()) -> sink_result().
-callback pwrite(handle(), Position :: integer(), bytes()) -> result().
-callback read(handle(), Length :: non_neg_integer()) -> sink_result().
-callback read_line(handle()) -> sink_result().
-callback write(handle(), bytes()) -> result().
-callback position(handle(), Offset :: integer(), bof | cur | eof) -> {ok, non_neg_integer()} | failed().

?DOC("Size 0 grows by the policy of `emmap_resize`.").
-callback resize(handle(), Size :: non_neg_integer()) -> {ok, non_neg_integer()} | failed().
-callback truncate(handle()) -> result().
-callback allocate(handle(), Position :: integer(), Length :: integer()) -> result().
-callback advise(handle(), Position :: integer(), Length :: integer(), advice()) -> result().
-callback flush(handle()) -> result().
-callback sync(handle()) -> result().
-callback datasync(handle()) -> result().
-callback backup(handle(), Path :: binary()) -> ok | failed().
-callback is_current(handle()) -> {ok, boolean()} | failed().

-callback patomic_add(handle(), Position :: integer(), operand()) -> old().
-callback patomic_sub(handle(), Position :: integer(), operand()) -> old().
-callback patomic_and(handle(), Position :: integer(), operand()) -> old().
-callback patomic_or(handle(), Position :: integer(), operand()) -> old().
-callback patomic_xor(handle(), Position :: integer(), operand()) -> old().
-callback patomic_exchange(handle(), Position :: integer(), operand()) -> old().
-callback patomic_compare_exchange(handle(), Position :: integer(), Expected :: operand(), operand()) -> old().
-callback patomic_load(handle(), Position :: integer()) -> old().
-callback patomic_store(handle(), Position :: integer(), operand()) -> result().

?DOC("Waits as the core's `emmap_wait_begin` says. Only the calling process waits.").
-callback wait(handle(), Position :: integer(), Expected :: operand(), timeout()) -> waited().
-callback notify(handle(), Position :: integer(), Count :: non_neg_integer() | infinity) -> measure().
-callback counter_wait(handle(), Index :: integer(), Expected :: operand(), timeout()) -> waited().
?DOC("Waits as the core's `emmap_queue_wait_begin`. `ok`: there may be a message.").
-callback queue_wait(handle(), timeout()) -> waited().
-callback counter_notify(handle(), Index :: integer(), Count :: non_neg_integer() | infinity) -> measure().

?DOC("Count 0: as many as the file has, 1 when it is created. Options as for open; `[]` reads, writes, creates.").
-callback counters_open(Path :: binary(), Count :: non_neg_integer(), [option()]) ->
    {ok, handle(), Count :: pos_integer()} | open_failed().
-callback counter_add(handle(), Index :: integer(), operand()) -> old().
-callback counter_sub(handle(), Index :: integer(), operand()) -> old().
-callback counter_set(handle(), Index :: integer(), operand()) -> old().
-callback counter_get(handle(), Index :: integer()) -> old().
-callback counter_compare_exchange(handle(), Index :: integer(), Expected :: operand(), operand()) -> old().

?DOC("Options as for open; `[]` reads, writes, creates.").
-callback queue_open(Path :: binary(), [option()]) -> {ok, handle(), info()} | open_failed().
-callback queue_attach(handle()) -> result().
-callback queue_push(handle(), bytes()) -> result().
-callback queue_push_many(handle(), [binary()]) -> result().
-callback queue_pop(handle()) -> message().
-callback queue_pop_many(handle(), Limit :: non_neg_integer()) -> {ok, [binary()]} | eof | failed().
?DOC("Removes the first message and answers its term, decoded before it goes. `slow`: nothing was done, it takes
`queue_peek_front` and `queue_remove`.").
-callback queue_pop_term(handle(), safe | unsafe) -> {ok, term()} | slow | eof | failed().
?DOC("Removes the first messages, if they are these, each as a look has answered it; else `{error, estale}`.").
-callback queue_remove(handle(), [binary()]) -> result().
?DOC("If the process that called this dies before it has ended what it began, the message is put back.").
-callback queue_pop_begin(handle()) -> {ok, binary(), ticket()} | eof | failed().
-callback queue_pop_commit(handle(), ticket()) -> result().
-callback queue_pop_abort(handle(), ticket()) -> result().
-callback queue_peek_front(handle()) -> message().
-callback queue_peek_back(handle()) -> message().
?DOC("Place is 0 to begin, and what the last step answered to go on.").
-callback queue_walk(handle(), forward | backward, Limit :: non_neg_integer(), Place :: non_neg_integer()) ->
    {ok, [binary()], Place :: non_neg_integer()} | eof | failed().
-callback queue_length(handle()) -> measure().
-callback queue_is_empty(handle()) -> {ok, boolean()} | failed().
-callback queue_info(handle()) -> {ok, queue_info()} | failed().
?DOC("Lets an empty queue begin anew at its file's first byte; whether it was empty.").
-callback queue_reset(handle()) -> {ok, boolean()} | failed().
-callback queue_purge(handle()) -> result().
-callback queue_erase(handle()) -> result().
?DOC("Answers how many bytes of disk space were given back.").
-callback queue_compact(handle()) -> measure().

?DOC("Levels 0: the file's, and 3 for a new one. Block size 0: the file's.").
-callback blocks_open(Path :: binary(), BlockSize :: non_neg_integer(), Levels :: non_neg_integer(), [option()]) ->
    {ok, handle(), info()} | open_failed().
?DOC("Makes an empty storage of whatever an open file holds. The other operations take the storage that it holds.").
-callback blocks_init(handle(), BlockSize :: non_neg_integer(), Levels :: non_neg_integer()) -> result().
-callback block_store(handle(), binary()) -> {ok, address()} | failed().
-callback block_store_many(handle(), [binary()]) -> {ok, [address()]} | failed().
-callback block_read(handle(), integer()) -> {ok, binary()} | failed().
-callback block_free(handle(), integer()) -> result().
-callback block_free_many(handle(), [integer()]) -> result().
?DOC("Place is an address to begin at, and what the last step answered to go on; 2^64 - 1 is the end, and gives `eof`. A
step may give fewer than Limit before it.").
-callback blocks_walk(handle(), Limit :: non_neg_integer(), Place :: non_neg_integer()) ->
    {ok, [{address(), binary()}], Place :: non_neg_integer()} | eof | failed().
-callback blocks_count(handle()) -> measure().
-callback blocks_info(handle()) -> {ok, blocks_info()} | failed().
?DOC("Place is an address. Answers where to go on, 0 when all is done.").
-callback blocks_repair(handle(), Limit :: non_neg_integer(), Place :: non_neg_integer()) -> measure().
?DOC("Answers how many bytes of disk space were given back.").
-callback blocks_compact(handle()) -> measure().
