%% A service that was written for emmap 2.x from the description of its functions alone. It must work, and dialyzer must
%% find nothing in it. Each kind of call is in emmap_2_answers.txt, with the answer that is matched here. The
%% environment has {open_info, true}, like that of a service that moves.
-module(emmap_2_client).

-export([run/1]).

-spec run(file:name_all()) -> ok.
run(Folder) ->
    ok = files(filename:join(Folder, "file")),
    ok = atomics(filename:join(Folder, "atomics")),
    ok = counters(filename:join(Folder, "counters")),
    ok = queue(filename:join(Folder, "queue")),
    ok = server(filename:join(Folder, "server")),
    blocks(filename:join(Folder, "blocks")).

-spec files(file:name_all()) -> ok.
files(Path) ->
    {ok, File, #{exist := false, size := 4096}} =
        emmap:open(Path, [create, read, write, shared, {size, 4096}, {chmod, 8#600}, nolock]),
    ok = emmap:pwrite(File, 100, <<"one\r\ntwo">>),
    {ok, <<"one">>} = emmap:pread(File, 100, 3),
    {ok, 100} = emmap:position(File, 100),
    {ok, <<"one\n">>} = emmap:read_line(File),
    {ok, <<"two", 0>>} = emmap:read(File, 4),
    {ok, 4096} = emmap:position(File, eof),
    {ok, 4092} = emmap:position(File, {eof, 4}),
    {ok, <<0, 0, 0, 0>>} = emmap:read(File, 10),
    eof = emmap:read(File, 1),
    ok = emmap:flush(File),
    {ok, 8192} = emmap:resize(File),
    {ok, 5000} = emmap:resize(File, 5000),
    ok = emmap:close(File),
    ok = emmap:close(File),
    {ok, Whole, Info} = emmap:open(Path, 0, 4096, [read, write, shared, fit, auto_unlink]),
    5000 = size_of(Info),
    emmap:close(Whole).

-spec size_of(emmap:open_extra_info()) -> non_neg_integer().
size_of(#{size := Size}) -> Size.

-spec atomics(file:name_all()) -> ok.
atomics(Path) ->
    {ok, File, _} = emmap:open(Path, 0, 64, [create, read, write, shared]),
    {ok, 0} = emmap:patomic_add(File, 0, 12),
    {ok, 12} = emmap:patomic_sub(File, 0, 2),
    {ok, 10} = emmap:patomic_or(File, 0, 5),
    {ok, 15} = emmap:patomic_and(File, 0, 9),
    {ok, 9} = emmap:patomic_xor(File, 0, 1),
    {ok, 8} = emmap:patomic_xchg(File, 0, 4),
    true = swap(File, 4),
    {ok, 5} = emmap:patomic_read_integer(File, 0),
    ok = emmap:patomic_write_integer(File, 0, -1),
    emmap:close(File).

-spec swap(emmap:mmap_file(), integer()) -> true.
swap(File, Expected) ->
    case emmap:patomic_cas(File, 0, Expected, Expected + 1) of
        {true, Expected} -> true;
        {false, Other} -> swap(File, Other)
    end.

-spec counters(file:name_all()) -> ok.
counters(Path) ->
    {File, 4} = Counters = emmap:open_counters(Path, 4),
    {ok, 0} = emmap:inc_counter(Counters, 0),
    {ok, 1} = emmap:inc_counter(Counters, 0, 5),
    {ok, 6} = emmap:dec_counter(Counters, 0),
    {ok, 5} = emmap:dec_counter(Counters, 0, 3),
    {ok, 2} = emmap:set_counter(Counters, 0, 42),
    {ok, 42} = emmap:read_counter(Counters, 0),
    {ok, 42} = emmap:patomic_read_integer(File, 16),
    emmap:close_counters(Counters).

-spec queue(file:name_all()) -> ok.
queue(Path) ->
    {ok, Queue} = emmap_queue:open(Path, 1024, [shared, read, write]),
    [ok, ok] = [emmap_queue:push(Queue, Term) || Term <- [a, {b, 1}]],
    ok = emmap_queue:push(Queue, <<"c">>, 9),
    {a, <<"c">>, 3} = {emmap_queue:peek_front(Queue), emmap_queue:peek_back(Queue), emmap_queue:length(Queue)},
    Collect = fun(Term, Terms) -> {cont, [Term | Terms]} end,
    [<<"c">>, {b, 1}, a] = emmap_queue:peek(Queue, [], Collect),
    [a, {b, 1}, <<"c">>] = emmap_queue:rpeek(Queue, [], Collect),
    a = emmap_queue:pop(Queue),
    false = emmap_queue:purge(Queue),
    {got, {b, 1}} = emmap_queue:try_pop(Queue, fun(Term) -> {got, Term} end),
    <<"c">> = emmap_queue:pop_and_purge(Queue),
    nil = emmap_queue:pop(Queue),
    true = emmap_queue:is_empty(Queue),
    ok = emmap_queue:push(Queue, last),
    [last] = emmap_queue:pop(Queue, [], Collect),
    #{head := 16, tail := 16, next_tail := 16, size := 1024} = emmap_queue:metadata(Queue),
    ok = emmap_queue:erase(Queue),
    ok = emmap_queue:flush(Queue),
    emmap_queue:close(Queue).

-spec server(file:name_all()) -> ok.
server(Path) ->
    {ok, Server} = emmap_queue:start_link(?MODULE, Path, 1024, [shared]),
    [ok, ok, ok] = [emmap_queue:enqueue(?MODULE, N) || N <- [1, 2, 3]],
    1 = emmap_queue:inspect(Server),
    #{head := 16} = emmap_queue:info(Server),
    1 = emmap_queue:dequeue(Server),
    {got, 2} = emmap_queue:try_dequeue(Server, fun(N) -> {got, N} end),
    3 = emmap_queue:dequeue(Server),
    nil = emmap_queue:dequeue(Server),
    gen_server:stop(Server).

-spec blocks(file:name_all()) -> ok.
blocks(Path) ->
    {ok, File, _} = emmap:open(Path, 0, 4096, [create, read, write, shared, fit]),
    ok = emmap:init_block_storage(File, 8),
    [0, 4096, 8192] = [emmap:store_block(File, <<N:64>>) || N <- [1, 2, 3]],
    <<2:64>> = emmap:read_block(File, 4096),
    eof = emmap:read_block(File, 1),
    [{8192, <<3:64>>}, {4096, <<2:64>>}, {0, <<1:64>>}] = emmap:read_blocks(File),
    {[{4096, <<2:64>>}, {0, <<1:64>>}], Next} = emmap:read_blocks(File, 0, 2),
    {[{8192, <<3:64>>}], eof} = emmap:read_blocks(File, Next, 2),
    true = emmap:free_block(File, 4096),
    false = emmap:free_block(File, 4096),
    ok = emmap:close(File),
    {ok, Again, _} = emmap:open(Path, [read, write, shared]),
    [{8192, <<3:64>>}, {0, <<1:64>>}] = emmap:read_blocks(Again),
    ok = emmap:repair_block_storage(Again),
    eof = emmap:repair_block_storage(Again, 0, 10000),
    emmap:close(Again).
