#!/usr/bin/env escript
%% The testee for the NIF and the port: see README.md. Usage: escript beam.escript EBIN BACKEND
-mode(compile).

%% Few, so that walks go in steps.
-define(STEP, 2).

main([Ebin, Name]) ->
    %% Standard output is for answers alone.
    ok = logger:remove_handler(default),
    ok = logger:add_handler(default, logger_std_h, #{config => #{type => standard_error}}),
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    ok = io:setopts([binary, {encoding, latin1}]),
    Backend = list_to_existing_atom("emmap_" ++ Name),
    loop(Backend, #{}).

loop(Backend, Files) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Operation, File | Words] = string:split(string:trim(Line), " ", all),
            {Answer, NewFiles} = answer(Backend, binary_to_atom(Operation), File, Words, Files),
            io:put_chars([lists:join(" ", Answer), "\n"]),
            loop(Backend, NewFiles)
    end.

answer(Backend, open, File, [Path | Options], Files) ->
    opened(call(Backend, open, [absolute(Path), options(Options)]), File, Files,
           fun(#{size := Size} = Info) -> [origin(Info), text(Size)] end);
answer(Backend, counters_open, File, [Path, Count | Options], Files) ->
    opened(call(Backend, counters_open, [absolute(Path), integer(Count), options(Options)]), File, Files,
           fun(Length) -> [text(Length)] end);
answer(Backend, queue_open, File, [Path | Options], Files) ->
    opened(call(Backend, queue_open, [absolute(Path), options(Options)]), File, Files, fun(Info) -> [origin(Info)] end);
answer(Backend, blocks_open, File, [Path, BlockSize, Levels | Options], Files) ->
    opened(call(Backend, blocks_open, [absolute(Path), integer(BlockSize), integer(Levels), options(Options)]), File, Files,
           fun(Info) -> [origin(Info)] end);
answer(Backend, cell_open, File, [Path, MaxBytes | Options], Files) ->
    opened(call(Backend, cell_open, [absolute(Path), integer(MaxBytes), options(Options)]), File, Files,
           fun(Info) -> [origin(Info)] end);
answer(Backend, table_open, File, [Path, Capacity, KeyBytes, Words | Options], Files) ->
    Shape = {integer(Capacity), integer(KeyBytes), integer(Words)},
    opened(call(Backend, table_open, [absolute(Path), Shape, options(Options)]), File, Files,
           fun(Info) -> [origin(Info)] end);
answer(Backend, queue_pop_begin, File, [], Files) ->
    case call(Backend, queue_pop_begin, [maps:get(File, Files)]) of
        {ok, Message, Ticket} -> {result({ok, Message}), Files#{{ticket, File} => Ticket}};
        Other -> {result(Other), Files}
    end;
answer(Backend, End, File, [], Files) when End =:= queue_pop_commit; End =:= queue_pop_abort ->
    {result(call(Backend, End, [maps:get(File, Files), maps:get({ticket, File}, Files)])), Files};
answer(Backend, inspect, Path, [Effort], Files) ->
    case call(Backend, inspect, [absolute(Path), binary_to_atom(Effort)]) of
        {ok, #{writers := Writers} = Facts} ->
            Found = [["writer" | facts(Writer)] || Writer <- Writers],
            {["ok" | facts(maps:remove(writers, Facts))] ++ lists:append(Found), Files};
        {error, _} = Error ->
            {result(Error), Files}
    end;
answer(Backend, Operation, File, Words, Files) ->
    {operation(Backend, Operation, maps:get(File, Files), Words), Files}.

opened({ok, Handle, What}, File, Files, Describe) ->
    {["ok" | Describe(What)], Files#{File => Handle}};
opened({error, _} = Error, _File, Files, _Describe) ->
    {result(Error), Files}.

%% A backend answers at once. The caller waits for locks, and for slices that will be collected.
call(Backend, Operation, Arguments) ->
    Call = fun() -> emmap_lock:call(fun() -> apply(Backend, Operation, Arguments) end) end,
    case Operation =:= resize orelse Operation =:= truncate of
        true -> emmap_lock:settled(Call);
        false -> Call()
    end.

%% Operations whose words differ from the arguments and results of the backend's function.
operation(Backend, queue_walk, Queue, [Direction]) ->
    Step = fun(Place) -> call(Backend, queue_walk, [Queue, binary_to_atom(Direction), ?STEP, Place]) end,
    walk(Step, 0, []);
operation(Backend, blocks_walk, Blocks, []) ->
    walk(fun(Place) -> call(Backend, blocks_walk, [Blocks, ?STEP, Place]) end, 0, []);
operation(Backend, blocks_repair, Blocks, [Limit]) ->
    repair(Backend, Blocks, integer(Limit), 0);
operation(Backend, Compact, File, []) when Compact =:= queue_compact; Compact =:= blocks_compact ->
    case call(Backend, Compact, [File]) of
        {ok, _} -> ["ok"];
        {error, _} = Error -> result(Error)
    end;
operation(Backend, queue_take, Queue, []) ->
    case call(Backend, queue_take, [Queue, 0]) of
        {ok, Message, Ticket, Attempt} ->
            put({taken, Queue}, [Ticket | taken(Queue)]),
            ["ok", text(Attempt), text(Message)];
        None ->
            result(None)
    end;
operation(Backend, End, Queue, [Number | Words]) when End =:= queue_ack; End =:= queue_release; End =:= queue_put_back ->
    Ticket = lists:nth(integer(Number) + 1, lists:reverse(taken(Queue))),
    result(call(Backend, End, [Queue, Ticket | arguments(End, Words)]));
operation(Backend, queue_in_hand, Queue, []) ->
    case call(Backend, queue_in_hand, [Queue]) of
        {ok, All} ->
            Released = length([Each || #{released := true} = Each <- All]),
            ["ok", text(length(All) - Released), text(Released)];
        {error, _} = Error ->
            result(Error)
    end;
operation(Backend, queue_info, Queue, []) ->
    fields(call(Backend, queue_info, [Queue]), [size, head, tail, next_tail]);
operation(Backend, blocks_info, Blocks, []) ->
    fields(call(Backend, blocks_info, [Blocks]), [block_size, levels, capacity]);
operation(Backend, table_walk, Table, []) ->
    walk(fun(Place) -> call(Backend, table_walk, [Table, ?STEP, Place]) end, 0, []);
operation(Backend, table_info, Table, []) ->
    case call(Backend, table_info, [Table]) of
        {ok, {Capacity, KeyBytes, Words}} -> ["ok" | [text(Each) || Each <- [Capacity, KeyBytes, Words]]];
        Error -> result(Error)
    end;
operation(Backend, table_hit, Table, [Key, Limit, Window, Cost]) ->
    case call(Backend, table_hit, [Table, bytes(Key), {integer(Limit), integer(Window), integer(Cost), 0}]) of
        {ok, Allowed, Used, Remaining, _} -> ["ok" | [text(Each) || Each <- [Allowed, Used, Remaining]]];
        Error -> result(Error)
    end;
operation(Backend, cell_get, Cell, []) ->
    case call(Backend, cell_get, [Cell]) of
        {ok, Value, Version} -> ["ok", text(Value), text(Version)];
        EofOrError -> result(EofOrError)
    end;
operation(Backend, Many, File, Words) when Many =:= queue_push_many; Many =:= block_store_many ->
    result(call(Backend, Many, [File, [bytes(Word) || Word <- Words]]));
operation(Backend, queue_push_once, Queue, [Origin, Number | Words]) ->
    result(call(Backend, queue_push_once, [Queue, bytes(Origin), integer(Number), [bytes(Word) || Word <- Words]]));
operation(Backend, block_free_many, Blocks, Words) ->
    result(call(Backend, block_free_many, [Blocks, [integer(Word) || Word <- Words]]));
operation(Backend, Wait, File, Words) when Wait =:= wait; Wait =:= counter_wait ->
    case call(Backend, Wait, [File | arguments(Wait, Words)]) of
        {error, _} = Error -> result(Error);
        Ended -> ["ok", text(Ended)]
    end;
operation(Backend, queue_receive, Queue, [Timeout] = Words) ->
    case call(Backend, queue_pop, [Queue]) of
        None when None =:= eof; None =:= {error, ebusy} ->
            case Backend:queue_wait(Queue, integer(Timeout)) of
                ok -> operation(Backend, queue_receive, Queue, Words);
                timeout -> ["ok", "timeout"];
                {error, _} = Error -> result(Error)
            end;
        Result ->
            result(Result)
    end;
operation(Backend, Operation, File, Words) ->
    result(call(Backend, Operation, [File | arguments(Operation, Words)])).

%% The tickets of the messages that the queue has taken, the last one first.
taken(Queue) ->
    case get({taken, Queue}) of
        undefined -> [];
        Tickets -> Tickets
    end.

arguments(Operation, [Key | Words]) when Operation =:= table_add; Operation =:= table_set; Operation =:= table_get;
                                         Operation =:= table_compare_exchange; Operation =:= table_delete ->
    [bytes(Key) | [integer(Word) || Word <- Words]];
arguments(pwrite, [Position, Data]) -> [integer(Position), bytes(Data)];
arguments(Operation, [Data]) when Operation =:= write; Operation =:= queue_push; Operation =:= block_store;
                              Operation =:= cell_publish ->
    [bytes(Data)];
arguments(position, [Offset, Whence]) -> [integer(Offset), binary_to_atom(Whence)];
arguments(advise, [Position, Length, Advice]) -> [integer(Position), integer(Length), binary_to_atom(Advice)];
arguments(_, Words) -> [integer(Word) || Word <- Words].

walk(Step, Place, Found) ->
    case Step(Place) of
        {ok, More, Next} -> walk(Step, Next, [Found, [element_words(Each) || Each <- More]]);
        eof -> ["ok" | lists:flatten(Found)];
        {error, _} = Error -> result(Error)
    end.

element_words({Address, Block}) -> [text(Address), text(Block)];
element_words(Message) -> [text(Message)].

repair(Backend, Blocks, Limit, Place) ->
    case call(Backend, blocks_repair, [Blocks, Limit, Place]) of
        {ok, 0} -> ["ok"];
        {ok, Next} -> repair(Backend, Blocks, Limit, Next);
        {error, _} = Error -> result(Error)
    end.

fields({ok, Info}, Names) -> ["ok" | [text(maps:get(Name, Info)) || Name <- Names]];
fields({error, _} = Error, _Names) -> result(Error).

%% In the order of their names.
facts(Facts) ->
    [[Name, "=", string:replace(value(Value), " ", "_", all)] ||
        {Name, Value} <- lists:sort([{atom_to_binary(Name), Value} ||
            {Name, Value} <- maps:to_list(maps:without([disk, mode, process, program, since], Facts))])].

value(Number) when is_integer(Number) -> integer_to_binary(Number);
value(Word) when is_atom(Word) -> atom_to_binary(Word);
value(Text) -> Text.

result(ok) -> ["ok"];
result(eof) -> ["eof"];
result({ok, List}) when is_list(List) -> ["ok" | [text(Each) || Each <- List]];
result({ok, Value}) -> ["ok", text(Value)];
result(Integer) when is_integer(Integer) -> ["ok", text(Integer)];
result({error, {corrupt, Offset, Why}}) when is_binary(Why) -> ["error", "corrupt", text(Offset)];
result({error, {counters, _InFile, _Asked}}) -> ["error", "einval"];
result({error, {Reason, Sentence}}) when is_binary(Sentence) -> ["error", text(Reason)];
result({error, Reason}) when is_atom(Reason) -> ["error", text(Reason)].

origin(#{exist := true}) -> "existed";
origin(#{exist := false}) -> "created".

%% Words are binaries, so that lists of them flatten to themselves.
text(Integer) when is_integer(Integer) -> integer_to_binary(Integer);
text(Atom) when is_atom(Atom) -> atom_to_binary(Atom);
text(<<>>) -> <<"-">>;
text(Bytes) -> string:lowercase(binary:encode_hex(Bytes)).

integer(Word) -> binary_to_integer(Word).

bytes(<<"-">>) -> <<>>;
bytes(Hex) -> binary:decode_hex(Hex).

options(Words) ->
    [case string:split(Word, "=") of
         [Name] -> binary_to_atom(Name);
         [Name, Value] -> {binary_to_atom(Name), integer(Value)}
     end || Word <- Words].

%% The port program may have another current directory than this node.
absolute(Path) ->
    unicode:characters_to_binary(filename:absname(Path)).
