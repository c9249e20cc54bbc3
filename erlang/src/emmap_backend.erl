%% @doc What a backend does for `emmap': the operations of the C core, one function each, under the core's own
%% names (`native/include/emmap.h' says what each means). A backend translates and decides nothing.
%%
%% Errors are `{error, Atom}' with the core's atoms: POSIX ones, `closed', `alignment', `full', `fixed_size',
%% `corrupt', `badarg'. Positions and lengths are integers of any size: one that a signed 64-bit integer can't
%% hold is `{error, einval}'. Operands of 64-bit operations are from -2^63 to 2^64-1; others are `badarg'
%% exceptions, as is any argument of the wrong type.
-module(emmap_backend).

-export_type([advice/0, handle/0, option/0, info/0, sink_result/0, int64/0, operand/0]).

%% A reference to a NIF resource, or whatever names a file on the port.
-type handle() :: term().
%% As `emmap_option_set' takes them, already checked for shape by `emmap'.
-type option() :: atom() | {atom(), non_neg_integer()}.
%% `exist': the file was there before; `size': bytes mapped.
-type info() :: #{exist := boolean(), size := non_neg_integer()}.
-type sink_result() :: {ok, binary()} | eof | {error, atom()}.
%% As `file:advise/4' takes it, whose type for it is not exported.
-type advice() :: normal | sequential | random | no_reuse | will_need | dont_need.
-type int64() :: -16#8000000000000000..16#7fffffffffffffff.
-type operand() :: -16#8000000000000000..16#ffffffffffffffff.

-type result() :: ok | {error, atom()}.
-type old() :: {ok, int64()} | {error, atom()}.

-callback open(Path :: binary(), [option()]) -> {ok, handle(), info()} | {error, atom() | {badarg, term()}}.
-callback close(handle()) -> result().
-callback size(handle()) -> {ok, non_neg_integer()} | {error, atom()}.

-callback pread(handle(), Position :: integer(), Length :: non_neg_integer()) -> sink_result().
-callback pwrite(handle(), Position :: integer(), iodata()) -> result().
-callback read(handle(), Length :: non_neg_integer()) -> sink_result().
-callback read_line(handle()) -> sink_result().
-callback write(handle(), iodata()) -> result().
-callback position(handle(), Offset :: integer(), bof | cur | eof) -> {ok, non_neg_integer()} | {error, atom()}.

%% Size 0 grows by the policy of `emmap_resize'.
-callback resize(handle(), Size :: non_neg_integer()) -> {ok, non_neg_integer()} | {error, atom()}.
-callback truncate(handle()) -> result().
-callback allocate(handle(), Position :: integer(), Length :: integer()) -> result().
-callback advise(handle(), Position :: integer(), Length :: integer(), advice()) -> result().
-callback flush(handle()) -> result().
-callback sync(handle()) -> result().
-callback datasync(handle()) -> result().

-callback patomic_add(handle(), Position :: integer(), operand()) -> old().
-callback patomic_sub(handle(), Position :: integer(), operand()) -> old().
-callback patomic_and(handle(), Position :: integer(), operand()) -> old().
-callback patomic_or(handle(), Position :: integer(), operand()) -> old().
-callback patomic_xor(handle(), Position :: integer(), operand()) -> old().
-callback patomic_exchange(handle(), Position :: integer(), operand()) -> old().
-callback patomic_compare_exchange(handle(), Position :: integer(), Expected :: operand(), operand()) -> old().
-callback patomic_load(handle(), Position :: integer()) -> old().
-callback patomic_store(handle(), Position :: integer(), operand()) -> result().

%% Count 0: as many as the file has, 1 when it is created. Options as for open; [] reads, writes, creates.
-callback counters_open(Path :: binary(), Count :: non_neg_integer(), [option()]) ->
    {ok, handle(), Count :: pos_integer()} | {error, atom() | {badarg, term()}}.
%% These answer the bare integer: the pair would double what the BEAM allocates per call.
-callback counter_add(handle(), Index :: integer(), operand()) -> int64() | {error, atom()}.
-callback counter_sub(handle(), Index :: integer(), operand()) -> int64() | {error, atom()}.
-callback counter_set(handle(), Index :: integer(), operand()) -> int64() | {error, atom()}.
-callback counter_get(handle(), Index :: integer()) -> int64() | {error, atom()}.
-callback counter_compare_exchange(handle(), Index :: integer(), Expected :: operand(), operand()) ->
    int64() | {error, atom()}.
