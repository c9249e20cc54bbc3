%% A model of `emmap': a shared file is a plain binary, a handle little more than a cursor.
%%
%% Sizes are whole pages. So an access faults after another handle has shrunk the file exactly if it is beyond the end
%% of the binary.
-module(emmap_model).

-export([new/1, bytes/1, step/3]).

-export_type([model/0, command/0]).

-define(PAGE, 4096).
-define(MAX, 16#7fffffffffffffff).

-record(handle, {
    writable :: boolean(),
    options :: [emmap:open_option()],
    mapped :: pos_integer(),
    cursor = 0 :: non_neg_integer(),
    state = open :: open | closed | faulted
}).

-record(model, {
    bytes :: binary(),
    handles = #{} :: #{slot() => #handle{}}
}).

-type slot() :: pos_integer().
-opaque model() :: #model{}.
%% A function of `emmap' and its arguments but the file.
-type command() :: {atom(), [term()]}.

-spec new(binary()) -> model().
new(Bytes) -> #model{bytes = Bytes}.

-spec bytes(model()) -> binary().
bytes(#model{bytes = Bytes}) -> Bytes.

%% The answer. `skip': there is no such handle, or the model does not know the answer.
-spec step(slot(), command(), model()) -> {skip | {answer, term()}, model()}.
step(Slot, {open, [Options]}, Model) ->
    {Info, Opened} = open(Slot, Options, Model),
    {{answer, {ok, Info}}, Opened};
step(Slot, Command, #model{handles = Handles} = Model) ->
    case Handles of
        #{Slot := Handle} -> use(Slot, Handle, Command, Model);
        #{} -> {skip, Model}
    end.

open(Slot, Options, #model{bytes = Bytes} = Model) ->
    %% A file that has bytes keeps its size.
    Grown = case Bytes of
        <<>> -> extended(Bytes, proplists:get_value(size, Options, 0));
        _ -> Bytes
    end,
    Handle = #handle{writable = lists:member(write, Options), options = Options, mapped = byte_size(Grown)},
    {#{exist => true, size => byte_size(Grown)}, put_handle(Slot, Handle, Model#model{bytes = Grown})}.

use(Slot, #handle{options = Options}, {reopen, []}, Model) ->
    {_, Opened} = open(Slot, Options, Model),
    {{answer, ok}, Opened};
use(Slot, Handle, {close, []}, Model) ->
    {{answer, ok}, put_handle(Slot, Handle#handle{state = closed}, Model)};
use(Slot, Handle, {batch, [Operations]}, Model) ->
    batch(Slot, Handle, Operations, Model);
%% The model does not let it grow for ever.
use(_Slot, Handle, {resize, [0]}, #model{bytes = Bytes} = Model)
  when Handle#handle.mapped > 32 * ?PAGE; byte_size(Bytes) > 32 * ?PAGE ->
    {skip, Model};
use(_Slot, Handle, {truncate, []}, Model) when Handle#handle.cursor rem ?PAGE =/= 0 ->
    {skip, Model};
use(Slot, Handle, {Function, Arguments} = Command, #model{bytes = Bytes} = Model) ->
    case bad_type(Command) of
        %% The port does not know a closed file any more, and does not look at the operand.
        {true, {raised, badarg}} when Handle#handle.state =:= closed ->
            {skip, Model};
        {true, Answer} ->
            {{answer, Answer}, Model};
        false when Handle#handle.state =:= closed ->
            {{answer, closed(Command)}, Model};
        false ->
            {Answer, NewHandle, NewBytes} = apply_open(Function, Arguments, Handle, Bytes),
            {{answer, Answer}, put_handle(Slot, NewHandle, Model#model{bytes = NewBytes})}
    end.

batch(_Slot, #handle{state = closed}, Operations, Model) ->
    {{answer, {ok, [{error, closed} || _ <- Operations]}}, Model};
batch(Slot, _Handle, Operations, Model) ->
    {Answers, NewModel} = lists:mapfoldl(fun(Operation, Before) ->
        [Function | Arguments] = tuple_to_list(Operation),
        {{answer, Answer}, After} = step(Slot, {Function, Arguments}, Before),
        {Answer, After}
    end, Model, Operations),
    {{answer, {ok, Answers}}, NewModel}.

%% The operations that need no open file.
closed({flush, []}) -> ok;
closed({position, [{bof, Offset}]}) when Offset >= 0 -> {ok, Offset};
closed(Command) -> several(Command, {error, closed}).

%% The error of a list of writes has the number of writes before the failing one.
several({pwrite, [[_ | _]]}, {error, Reason}) -> {error, {0, Reason}};
several({Function, [[]]}, {error, _}) when Function =:= pwrite -> ok;
several({Function, [[]]}, {error, _}) when Function =:= pread -> {ok, []};
several(_, Error) -> Error.

put_handle(Slot, Handle, #model{handles = Handles} = Model) ->
    Model#model{handles = Handles#{Slot => Handle}}.

%%% Calls that are wrong for any file

bad_type({pread, [_, Length]}) when Length < 0 -> {true, {error, einval}};
bad_type({read, [Length]}) when Length < 0 -> {true, {error, einval}};
bad_type({position, [{_, Offset}]}) when Offset > ?MAX; Offset < -?MAX - 1 -> {true, {error, einval}};
bad_type({Function, [_ | Operands]})
  when Function =:= patomic_add; Function =:= patomic_sub; Function =:= patomic_and; Function =:= patomic_or;
       Function =:= patomic_xor; Function =:= patomic_xchg; Function =:= patomic_write_integer;
       Function =:= patomic_cas ->
    case lists:all(fun(Operand) -> Operand >= -?MAX - 1 andalso Operand =< 2 * ?MAX + 1 end, Operands) of
        true -> false;
        false -> {true, {raised, badarg}}
    end;
bad_type(_) ->
    false.

%%% A file that is open

%% -> {Answer, Handle, Bytes}
apply_open(size, [], Handle, Bytes) ->
    usable(Handle, Bytes, fun() -> {{ok, Handle#handle.mapped}, Handle, Bytes} end);
apply_open(pread, [Position, Length], Handle, Bytes) ->
    read_at(Position, Length, Handle, Bytes);
apply_open(pread, [Places], Handle, Bytes) ->
    {Answers, NewHandle} = lists:mapfoldl(fun({Position, Length}, Before) ->
        {Answer, After, _} = read_at(Position, Length, Before, Bytes),
        {Answer, After}
    end, Handle, Places),
    {all_read(Answers, []), NewHandle, Bytes};
apply_open(read, [Length], #handle{cursor = Cursor} = Handle, Bytes) ->
    moved(read_at(Cursor, Length, Handle, Bytes));
apply_open(read_line, [], #handle{cursor = Cursor, mapped = Mapped} = Handle, Bytes) ->
    usable(Handle, Bytes, fun() ->
        without_cr(moved(read_at(Cursor, line_length(Cursor, Mapped, Bytes), Handle, Bytes)))
    end);
apply_open(pwrite, [Position, Data], Handle, Bytes) ->
    write_at(Position, iolist_to_binary(Data), Handle, Bytes);
apply_open(pwrite, [Places], Handle, Bytes) ->
    write_each(Places, 0, Handle, Bytes);
apply_open(write, [Data], #handle{cursor = Cursor} = Handle, Bytes) ->
    Binary = iolist_to_binary(Data),
    case write_at(Cursor, Binary, Handle, Bytes) of
        {ok, NewHandle, NewBytes} ->
            {ok, NewHandle#handle{cursor = Cursor + byte_size(Binary)}, NewBytes};
        Refused ->
            Refused
    end;
apply_open(position, [{Whence, Offset}], #handle{cursor = Cursor, mapped = Mapped} = Handle, Bytes) ->
    usable(Handle, Bytes, fun() ->
        %% Counts back from the end, with either sign.
        Move = case Whence of eof -> -abs(Offset); _ -> Offset end,
        case maps:get(Whence, #{bof => 0, cur => Cursor, eof => Mapped}) + Move of
            Target when Target < 0; Target > ?MAX -> {{error, einval}, Handle, Bytes};
            Target -> {{ok, Target}, Handle#handle{cursor = Target}, Bytes}
        end
    end);
apply_open(resize, [Size], Handle, Bytes) when Size < 0; Size > ?MAX ->
    usable(Handle, Bytes, fun() -> {{error, einval}, Handle, Bytes} end);
apply_open(resize, [Size], Handle, Bytes) ->
    writable(Handle, Bytes, fun() -> resize(Size, Handle, Bytes) end);
apply_open(truncate, [], #handle{cursor = Cursor, mapped = Mapped} = Handle, Bytes) ->
    writable(Handle, Bytes, fun() ->
        case Cursor > 0 andalso Cursor =< Mapped of
            true ->
                {{ok, _}, NewHandle, NewBytes} = resize(Cursor, Handle, Bytes),
                {ok, NewHandle, NewBytes};
            false ->
                {{error, einval}, Handle, Bytes}
        end
    end);
apply_open(Function, [], Handle, Bytes) when Function =:= flush; Function =:= sync; Function =:= datasync ->
    usable(Handle, Bytes, fun() -> {ok, Handle, Bytes} end);
apply_open(advise, [Position, Length, _], Handle, Bytes) ->
    usable(Handle, Bytes, fun() ->
        case in_range(Position) andalso in_range(Length) of
            true -> {ok, Handle, Bytes};
            false -> {{error, einval}, Handle, Bytes}
        end
    end);
apply_open(patomic, [Position, Name, Operand], Handle, Bytes) ->
    apply_open(atomic_function(Name), [Position, Operand], Handle, Bytes);
apply_open(patomic_read_integer, [Position], Handle, Bytes) ->
    word(Position, Handle, Bytes, fun(Old) -> {{ok, Old}, Old} end);
apply_open(patomic_write_integer, [Position, Value], Handle, Bytes) ->
    writable(Handle, Bytes, fun() -> word(Position, Handle, Bytes, fun(_) -> {ok, Value} end) end);
apply_open(patomic_cas, [Position, Expected, Value], Handle, Bytes) ->
    writable(Handle, Bytes, fun() ->
        word(Position, Handle, Bytes, fun(Old) ->
            case Old =:= signed(Expected) of
                true -> {{true, Old}, Value};
                false -> {{false, Old}, Old}
            end
        end)
    end);
apply_open(Function, [Position, Operand], Handle, Bytes) ->
    writable(Handle, Bytes, fun() ->
        word(Position, Handle, Bytes, fun(Old) -> {{ok, Old}, combine(Function, Old, Operand)} end)
    end).

usable(#handle{state = faulted} = Handle, Bytes, _Then) -> {{error, efault}, Handle, Bytes};
usable(_Handle, _Bytes, Then) -> Then().

writable(Handle, Bytes, Then) ->
    usable(Handle, Bytes, fun() ->
        case Handle#handle.writable of
            true -> Then();
            false -> {{error, eacces}, Handle, Bytes}
        end
    end).

faulted(Handle, Bytes) ->
    {{error, efault}, Handle#handle{state = faulted}, Bytes}.

in_range(Number) ->
    Number >= 0 andalso Number =< ?MAX.

%%% Bytes

read_at(Position, Length, #handle{mapped = Mapped} = Handle, Bytes) ->
    usable(Handle, Bytes, fun() ->
        case in_range(Position) andalso in_range(Length) andalso min(Length, Mapped - Position) of
            false -> {{error, einval}, Handle, Bytes};
            _ when Position >= Mapped -> {eof, Handle, Bytes};
            0 -> {{ok, <<>>}, Handle, Bytes};
            Run when Position + Run > byte_size(Bytes) -> faulted(Handle, Bytes);
            Run -> {{ok, binary:part(Bytes, Position, Run)}, Handle, Bytes}
        end
    end).

moved({{ok, Read}, #handle{cursor = Cursor} = Handle, Bytes}) ->
    {{ok, Read}, Handle#handle{cursor = Cursor + byte_size(Read)}, Bytes};
moved(Other) ->
    Other.

without_cr({{ok, Line}, Handle, Bytes} = Read) ->
    case binary:longest_common_suffix([Line, <<"\r\n">>]) of
        2 -> {{ok, <<(binary:part(Line, 0, byte_size(Line) - 2))/binary, "\n">>}, Handle, Bytes};
        _ -> Read
    end;
without_cr(Other) ->
    Other.

all_read([{ok, Read} | Rest], Done) -> all_read(Rest, [Read | Done]);
all_read([eof | Rest], Done) -> all_read(Rest, [eof | Done]);
all_read([{error, _} = Error | _], _) -> Error;
all_read([], Done) -> {ok, lists:reverse(Done)}.

%% To the newline, or to the end of the mapping, where the bytes may be gone.
line_length(Cursor, Mapped, Bytes) ->
    There = min(Mapped, byte_size(Bytes)),
    case Cursor < There andalso binary:match(Bytes, <<"\n">>, [{scope, {Cursor, There - Cursor}}]) of
        {Newline, 1} -> Newline + 1 - Cursor;
        _ -> ?MAX
    end.

write_at(Position, Data, #handle{mapped = Mapped} = Handle, Bytes) ->
    Length = byte_size(Data),
    usable(Handle, Bytes, fun() ->
        if
            Position < 0; Position > ?MAX -> {{error, einval}, Handle, Bytes};
            not Handle#handle.writable -> {{error, eacces}, Handle, Bytes};
            Length =:= 0 -> {ok, Handle, Bytes};
            Position + Length > Mapped -> {{error, einval}, Handle, Bytes};
            Position + Length =< byte_size(Bytes) -> {ok, Handle, overwritten(Bytes, Position, Data)};
            Position >= byte_size(Bytes) -> faulted(Handle, Bytes);
            true ->
                %% The part that is still there has been written when the fault comes.
                There = binary:part(Data, 0, byte_size(Bytes) - Position),
                faulted(Handle, overwritten(Bytes, Position, There))
        end
    end).

write_each([], _Written, Handle, Bytes) ->
    {ok, Handle, Bytes};
write_each([{Position, Data} | Rest], Written, Handle, Bytes) ->
    case write_at(Position, iolist_to_binary(Data), Handle, Bytes) of
        {ok, NewHandle, NewBytes} -> write_each(Rest, Written + 1, NewHandle, NewBytes);
        {{error, Reason}, NewHandle, NewBytes} -> {{error, {Written, Reason}}, NewHandle, NewBytes}
    end.

overwritten(Bytes, Position, Data) ->
    After = Position + byte_size(Data),
    <<(binary:part(Bytes, 0, Position))/binary, Data/binary,
      (binary:part(Bytes, After, byte_size(Bytes) - After))/binary>>.

extended(Bytes, Size) when Size > byte_size(Bytes) ->
    <<Bytes/binary, 0:(Size - byte_size(Bytes))/unit:8>>;
extended(Bytes, _Size) ->
    Bytes.

%%% Size

resize(Size, #handle{mapped = Mapped} = Handle, Bytes) ->
    OnDisk = max(Mapped, byte_size(Bytes)),
    Target = if
        Size =:= 0 -> 2 * OnDisk;
        Size >= Mapped -> max(Size, OnDisk);
        true -> Size
    end,
    NewBytes = case Target < Mapped of
        true -> binary:part(Bytes, 0, min(Target, byte_size(Bytes)));
        false -> extended(Bytes, Target)
    end,
    {{ok, Target}, Handle#handle{mapped = Target}, NewBytes}.

%%% Words

word(Position, #handle{mapped = Mapped} = Handle, Bytes, Change) ->
    usable(Handle, Bytes, fun() ->
        if
            Position < 0; Position > Mapped - 8 ->
                {{error, einval}, Handle, Bytes};
            Position rem 8 =/= 0 ->
                {{error, alignment}, Handle, Bytes};
            Position >= byte_size(Bytes) ->
                faulted(Handle, Bytes);
            true ->
                <<_:Position/binary, Old:64/native-signed, _/binary>> = Bytes,
                {Answer, New} = Change(Old),
                {Answer, Handle, overwritten(Bytes, Position, <<New:64/native>>)}
        end
    end).

atomic_function(add) -> patomic_add;
atomic_function(sub) -> patomic_sub;
atomic_function('and') -> patomic_and;
atomic_function('or') -> patomic_or;
atomic_function('xor') -> patomic_xor;
atomic_function(xchg) -> patomic_xchg.

combine(patomic_add, Old, Operand) -> Old + Operand;
combine(patomic_sub, Old, Operand) -> Old - Operand;
combine(patomic_and, Old, Operand) -> Old band Operand;
combine(patomic_or, Old, Operand) -> Old bor Operand;
combine(patomic_xor, Old, Operand) -> Old bxor Operand;
combine(patomic_xchg, _Old, Operand) -> Operand.

signed(Operand) when Operand > ?MAX -> Operand - 2 * (?MAX + 1);
signed(Operand) -> Operand.
