#!/usr/bin/env escript
%% As worker.mjs. Usage: escript worker.escript nif|port; ERL_LIBS says where emmap is.
-mode(compile).

-define(MESSAGE_SIZE, 18).
-define(BLOCK_SIZE, 16).
-define(LEVELS, 2).

main([Backend]) ->
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    loop(#{}).

loop(Files) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Command | Words] = string:lexemes(Line, " \n"),
            Begun = erlang:monotonic_time(microsecond),
            {Answer, More} = answer(catch do(Command, Words, Files)),
            Microseconds = erlang:monotonic_time(microsecond) - Begun,
            io:put_chars(answer(Answer, Microseconds)),
            loop(maps:filter(fun(_, File) -> File =/= closed end, maps:merge(Files, More)))
    end.

answer({opened, Path, {ok, File}}) -> {[], #{Path => File}};
answer({closed, Path, ok}) -> {[], #{Path => closed}};
answer({_, _, {error, _} = Error}) -> {Error, #{}};
answer({error, _} = Error) -> {Error, #{}};
answer(Words) when is_list(Words) -> {Words, #{}};
answer(Failure) -> exit(Failure).

answer({error, Reason}, _) ->
    io_lib:format("error ~p~n", [Reason]);
answer(Words, Microseconds) ->
    [lists:join(" ", ["ok", integer_to_list(Microseconds) | lists:map(fun word/1, Words)]), "\n"].

word(Number) when is_integer(Number) -> integer_to_list(Number);
word(Word) -> Word.

do("queue", [Path, Size | Words], _) ->
    {opened, Path, emmap_queue:open(Path, list_to_integer(Size), options(Words))};
do("blocks", [Path, Size | Words], _) ->
    Options = [{levels, ?LEVELS}, {size, list_to_integer(Size)} | options(Words)],
    {opened, Path, emmap:open_block_storage(Path, ?BLOCK_SIZE, Options)};
do("counters", [Path, Count], _) ->
    {opened, Path, emmap:open_counters(Path, list_to_integer(Count))};
do("file", [Path, Size], _) ->
    {opened, Path, emmap:open(Path, [read, write, create, shared, {size, list_to_integer(Size)}])};
do("close", [Path], Files) ->
    {closed, Path, file:close(maps:get(Path, Files))};
do("push", [Path, First, Count], Files) ->
    Queue = maps:get(Path, Files),
    each(fun(Number) -> emmap_queue:push(Queue, bytes(Number, ?MESSAGE_SIZE)) end, numbers(First, Count));
do("pop", [Path], Files) ->
    pop(maps:get(Path, Files), []);
do("room", [Path], Files) ->
    Queue = maps:get(Path, Files),
    Count = until_full(fun() -> emmap_queue:push(Queue, bytes(0, ?MESSAGE_SIZE)) end, []),
    ok = emmap_queue:purge(Queue),
    [length(Count)];
do("store", [Path, First, Count], Files) ->
    Storage = maps:get(Path, Files),
    [good(emmap:store_block(Storage, bytes(Number, ?BLOCK_SIZE))) || Number <- numbers(First, Count)];
do("free", [Path | Addresses], Files) ->
    Storage = maps:get(Path, Files),
    each(fun(Address) -> true = emmap:free_block(Storage, list_to_integer(Address)), ok end, Addresses);
do("walk", [Path], Files) ->
    [io_lib:format("~b:~b", [Address, number(Block)])
     || {Address, Block} <- good(emmap:read_blocks(maps:get(Path, Files)))];
do("space", [Path], Files) ->
    Storage = maps:get(Path, Files),
    Addresses = until_full(fun() -> emmap:store_block(Storage, bytes(0, ?BLOCK_SIZE)) end, []),
    ok = emmap:free_blocks(Storage, Addresses),
    [length(Addresses)];
do("count", [Path, Index, Value], Files) ->
    [good(emmap:inc_counter(maps:get(Path, Files), list_to_integer(Index), list_to_integer(Value)))];
do("add", [Path, Position, Value], Files) ->
    {ok, Old} = good(emmap:patomic(maps:get(Path, Files), list_to_integer(Position), add, list_to_integer(Value))),
    [Old];
do("whereabouts", [], _) ->
    {ok, Namespace} = file:read_link("/proc/self/ns/pid"),
    [os:getpid(), Namespace].

options(Words) -> [list_to_atom(Word) || Word <- Words].

numbers(First, Count) ->
    From = list_to_integer(First),
    lists:seq(From, From + list_to_integer(Count) - 1).

each(Fun, List) ->
    lists:foreach(fun(Each) -> ok = good(Fun(Each)) end, List),
    [].

good({error, _} = Error) -> throw(Error);
good(Good) -> Good.

pop(Queue, Found) ->
    case good(emmap_queue:pop(Queue)) of
        nil -> lists:reverse(Found);
        Message -> pop(Queue, [number(Message) | Found])
    end.

until_full(Fun, Results) ->
    case Fun() of
        {error, full} -> Results;
        Result -> until_full(Fun, [good(Result) | Results])
    end.

bytes(Number, Size) ->
    <<Number:64/little, (<< <<(Number * 31 + I)>> || I <- lists:seq(8, Size - 1) >>)/binary>>.

number(<<Number:64/little, _/binary>> = Bytes) ->
    case bytes(Number, byte_size(Bytes)) of
        Bytes -> Number;
        _ -> exit(torn)
    end.
