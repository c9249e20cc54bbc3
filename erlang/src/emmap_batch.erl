-module(emmap_batch).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Many operations on a file in one call: `emmap:batch/2', and reads and writes at several positions.

-export([perform/2, pread/2, pwrite/2]).

-include("emmap_file.hrl").

%% Neighbouring operations of one name are a run: {Name, how many arguments each takes besides the handle, the arguments
%% of all of them in one list}. A run of operations without such arguments is a single one.
-type run() :: {Name :: atom(), Width :: non_neg_integer(), Arguments :: [term()]}.

-spec perform(emmap:file(), [emmap:operation()]) -> {ok, [term()]} | {error, emmap:reason()}.
perform(File, Operations) ->
    Runs = runs(Operations, none, 0, []),
    case perform_runs(File, Runs) of
        {ok, Results} -> {ok, finish(Runs, Results)};
        {error, _} = Error -> Error
    end.

-spec pread(emmap:file(), [{integer(), non_neg_integer()}]) -> {ok, [binary() | eof]} | {error, emmap:reason()}.
pread(File, Places) ->
    case perform_runs(File, [{pread, 2, lists:flatmap(fun read_at/1, Places)}]) of
        {ok, Results} -> all_read(Results, []);
        {error, _} = Error -> Error
    end.

read_at({Position, Length}) when is_integer(Position), is_integer(Length), Length >= 0 -> [Position, Length];
read_at({Position, Length}) when is_integer(Position), is_integer(Length) ->
    [-1, 1]; % einval, as a raw file has it
read_at(_) -> error(badarg).

all_read([{ok, Bytes} | Rest], Read) -> all_read(Rest, [Bytes | Read]);
all_read([eof | Rest], Read) -> all_read(Rest, [eof | Read]);
all_read([{error, _} = Error | _], _) -> Error;
all_read([], Read) -> {ok, lists:reverse(Read)}.

-spec pwrite(emmap:file(), [{integer(), iodata()}]) ->
    ok | {error, emmap:reason() | {Written :: non_neg_integer(), emmap:reason()}}.
pwrite(File, Places) ->
    ok = lists:foreach(fun check_write/1, Places),
    pwrite_each(File, Places, 0).

check_write({Position, Data}) when is_integer(Position) -> iolist_size(Data);
check_write(_) -> error(badarg).

pwrite_each(_File, [], _Written) -> ok;
pwrite_each(?MAPPED(Backend, Handle) = File, [{Position, Data} | Rest], Written) ->
    case ?CALL(Backend, pwrite(Handle, Position, ?BYTES(Data))) of
        ok -> pwrite_each(File, Rest, Written + 1);
        {error, Reason} -> {error, {Written, Reason}}
    end.

%%% Runs

%% One pass makes the runs: on the port two would cost more than all that the program does. `Arguments' are those of the
%% run so far, in reverse.
-spec runs([emmap:operation()], Name :: atom(), Width :: non_neg_integer(), Arguments :: [term()]) -> [run()].
runs([Operation | Rest], Name, Width, Arguments) ->
    case translate(Operation) of
        {Name, First, Second} when Width =:= 2 -> runs(Rest, Name, Width, [Second, First | Arguments]);
        {Name, First} when Width =:= 1 -> runs(Rest, Name, Width, [First | Arguments]);
        {Name, First, Second, Third} when Width =:= 3 -> runs(Rest, Name, Width, [Third, Second, First | Arguments]);
        Call -> run(Name, Width, Arguments, begin_run(Call, Rest))
    end;
runs([], Name, Width, Arguments) -> run(Name, Width, Arguments, []);
runs(Operations, _, _, _) -> emmap_options:bad({operation, Operations}).

begin_run(Call, Rest) ->
    [Name | Arguments] = tuple_to_list(Call),
    runs(Rest, Name, length(Arguments), lists:reverse(Arguments)).

run(none, _, _, Runs) -> Runs;
run(Name, Width, Arguments, Runs) -> [{Name, Width, lists:reverse(Arguments)} | Runs].

%%% Doing them

%% The port takes all of them in one frame. On another node no operation can be done.
perform_runs(?MAPPED(emmap_port, Handle), Runs) -> emmap_port:batch(Handle, Runs);
perform_runs(?MAPPED(emmap_nif, Handle), _) when node(Handle) =/= node() -> {error, {other_node, node(Handle)}};
perform_runs(?MAPPED(Backend, Handle), Runs) -> {ok, perform_each(Runs, Backend, Handle)}.

perform_each([{Name, 0, []} | Runs], Backend, Handle) ->
    [perform_one(Backend, Name, [Handle]) | perform_each(Runs, Backend, Handle)];
perform_each([{_, _, []} | Runs], Backend, Handle) -> perform_each(Runs, Backend, Handle);
perform_each([{Name, Width, Arguments} | Runs], Backend, Handle) ->
    {First, Others} = lists:split(Width, Arguments),
    [perform_one(Backend, Name, [Handle | First]) | perform_each([{Name, Width, Others} | Runs], Backend, Handle)];
perform_each([], _, _) -> [].

perform_one(Backend, Name, Arguments) ->
    Perform = fun() -> emmap_lock:call(fun() -> apply(Backend, Name, Arguments) end) end,
    try
        case Name =:= resize orelse Name =:= truncate of
            true -> emmap_lock:settled(Perform);
            false -> Perform()
        end
    catch
        error:badarg -> {error, badarg}
    end.

%% An operation as the backend's function and its arguments. The most frequent ones come first.
translate({inc_counter, Index, Value}) -> {counter_add, Index, Value};
translate({patomic_add, _, _} = Operation) -> Operation;
translate({Name} = Operation) ->
    case lists:member(Name, [size, read_line, truncate, flush, sync, datasync]) of
        true -> Operation;
        false when Name =:= resize -> {resize, 0};
        false -> emmap_options:bad({operation, Operation})
    end;
translate({pread, Position, Length} = Operation)
  when is_integer(Position), is_integer(Length), Length >= 0 ->
    Operation;
translate({pwrite, Position, Data} = Operation) when is_integer(Position) ->
    {pwrite, Position, checked_bytes(Data, Operation)};
translate({read, Length} = Operation) when is_integer(Length), Length >= 0 -> Operation;
translate({write, Data} = Operation) -> {write, checked_bytes(Data, Operation)};
translate({position, Location} = Operation) ->
    case emmap_arguments:location(Location) of
        {Offset, Whence} -> {position, Offset, Whence};
        _ -> emmap_options:bad({operation, Operation})
    end;
translate({resize, Size} = Operation) when is_integer(Size), Size >= 0 -> Operation;
translate({allocate, Position, Length} = Operation) when is_integer(Position), is_integer(Length) -> Operation;
translate({advise, Position, Length, Advice} = Operation)
  when is_integer(Position), is_integer(Length) ->
    case emmap_arguments:is_advice(Advice) of
        true -> Operation;
        false -> emmap_options:bad({operation, Operation})
    end;
translate({patomic, Position, cas, {Expected, Value}}) -> translate({patomic_cas, Position, Expected, Value});
translate({patomic, Position, Name, Value} = Operation) ->
    Names = #{add => patomic_add, sub => patomic_sub, 'and' => patomic_and, 'or' => patomic_or,
              'xor' => patomic_xor, xchg => patomic_xchg},
    case Names of
        #{Name := Function} -> translate({Function, Position, Value});
        #{} -> emmap_options:bad({operation, Operation})
    end;
translate({patomic_cas, Position, Expected, Value}) -> {patomic_compare_exchange, Position, Expected, Value};
translate({cas_counter, Index, Expected, Value}) -> {counter_compare_exchange, Index, Expected, Value};
translate({inc_counter, Index}) -> {counter_add, Index, 1};
translate({dec_counter, Index}) -> {counter_sub, Index, 1};
translate({notify, Position, Count} = Operation) -> {notify, Position, checked_limit(Count, Operation)};
translate({notify_counter, Index, Count} = Operation) -> {counter_notify, Index, checked_limit(Count, Operation)};
translate({Name, Argument} = Operation) ->
    case #{patomic_read_integer => patomic_load, read_counter => counter_get} of
        #{Name := Function} -> {Function, Argument};
        #{} -> emmap_options:bad({operation, Operation})
    end;
translate({Name, Position, Value} = Operation) ->
    Names = #{patomic_add => patomic_add, patomic_sub => patomic_sub, patomic_and => patomic_and,
              patomic_or => patomic_or, patomic_xor => patomic_xor, patomic_xchg => patomic_exchange,
              patomic_write_integer => patomic_store, inc_counter => counter_add, dec_counter => counter_sub,
              set_counter => counter_set},
    case Names of
        #{Name := Function} -> {Function, Position, Value};
        #{} -> emmap_options:bad({operation, Operation})
    end;
translate(Operation) -> emmap_options:bad({operation, Operation}).

checked_limit(Count, Operation) ->
    case emmap_arguments:limit(Count) of
        badarg -> emmap_options:bad({operation, Operation});
        Limit -> Limit
    end.

checked_bytes(Data, Operation) ->
    try
        ?BYTES(Data)
    catch
        error:badarg -> emmap_options:bad({operation, Operation})
    end.

%%% Answers

%% A compare-and-swap answers more than the backend does.
finish(Runs, Results) ->
    case lists:any(fun is_comparing/1, Runs) of
        true -> finish_runs(Runs, Results);
        false -> Results
    end.

is_comparing({Name, _, _}) -> Name =:= patomic_compare_exchange orelse Name =:= counter_compare_exchange.

finish_runs([{_, 0, []} | Runs], [Result | Results]) -> [Result | finish_runs(Runs, Results)];
finish_runs([{_, _, []} | Runs], Results) -> finish_runs(Runs, Results);
finish_runs([{Name, 3, [_, Expected, _ | Others]} = Run | Runs], [Result | Results]) ->
    Finished = case is_comparing(Run) of true -> emmap_arguments:compared(Expected, Result); false -> Result end,
    [Finished | finish_runs([{Name, 3, Others} | Runs], Results)];
finish_runs([{Name, Width, Arguments} | Runs], [Result | Results]) ->
    [Result | finish_runs([{Name, Width, lists:nthtail(Width, Arguments)} | Runs], Results)];
finish_runs([], []) -> [].
