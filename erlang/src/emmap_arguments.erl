-module(emmap_arguments).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Arguments of `emmap' and of its batches, from the user's form to the backend's.

-export([location/1, limit/1, is_advice/1, compared/2]).

-define(MAX_INT64, 16#7fffffffffffffff).
-define(IS_INT64(N), N >= -16#8000000000000000, N =< ?MAX_INT64).

%% A location as the backend takes it. `einval': no file has such a place. `badarg': it is no location.
-spec location(term()) -> {Offset :: emmap_backend:int64(), bof | cur | eof} | einval | badarg.
location(Offset) when is_integer(Offset) -> location({bof, Offset});
location(Whence) when is_atom(Whence) -> location({Whence, 0});
location({eof, Offset}) when is_integer(Offset) -> within(-abs(Offset), eof);
location({Whence, Offset}) when is_integer(Offset), Whence =:= bof orelse Whence =:= cur -> within(Offset, Whence);
location(_) -> badarg.

within(Offset, Whence) when ?IS_INT64(Offset) -> {Offset, Whence};
within(_, _) -> einval.

%% A number of milliseconds or of processes as a backend takes it. No backend counts further than the largest 64-bit integer.
-spec limit(term()) -> non_neg_integer() | infinity | badarg.
limit(infinity) -> infinity;
limit(Limit) when is_integer(Limit), Limit > ?MAX_INT64 -> infinity;
limit(Limit) when is_integer(Limit), Limit >= 0 -> Limit;
limit(_) -> badarg.

-spec is_advice(term()) -> boolean().
is_advice(Advice) ->
    lists:member(Advice, [normal, sequential, random, no_reuse, will_need, dont_need]).

%% The answer of a compare-and-swap: whether the word held what was expected, and what it held.
-spec compared(emmap_backend:operand(), {ok, Old} | Failed) -> {boolean(), Old} | Failed.
compared(Expected, {ok, Old}) -> {Old =:= signed(Expected), Old};
compared(_Expected, Failed) -> Failed.

signed(Operand) when Operand > ?MAX_INT64 -> Operand - 16#10000000000000000;
signed(Operand) -> Operand.
