%% Calls that end, hang or corrupt a node with emmap 2.1.3. Each case runs in a node of its own, whose exit status is
%% the result: 0 only if the case came to its end and found everything right.
-module(emmap_survival_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").
-include("../src/emmap_file.hrl").

-export([all/0, groups/0, suite/0, init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([a_crash_is_seen/1, a_failure_is_seen/1]).
-export([atomic_write_on_a_read_only_file/1, reads_after_close/1, positions_and_lengths_that_overflow/1,
         resize_with_live_binaries/1, resizes_and_closes_in_parallel/1,
         resizes_and_closes_in_parallel_without_lock/1, direct_reads_in_parallel_with_resizes_and_closes/1,
         shrinking_below_the_cursor/1, truncation_by_another_process/1, address_of_the_nodes_own_memory/1,
         fixed_without_an_address/1, misaligned_compare_and_swap/1, many_opens_and_closes/1,
         counters_in_a_foreign_file/1, file_of_a_dead_process/1, memory_that_is_short/1, long_messages_in_short_memory/1,
         long_requests_in_short_memory/1, many_messages_in_short_memory/1, request_that_the_node_loses/1,
         terms_of_one_call/1, inflated_messages_in_short_memory/1, iodata_of_blocks_in_short_memory/1,
         truncation_of_ten_files/1, truncation_of_100_files/1,
         truncation_of_1000_files/1]).
-export([child/3, die/0, fail/0]).

-define(PAGE, 4096).

suite() ->
    [{timetrap, {minutes, 6}}].

all() ->
    [a_crash_is_seen, a_failure_is_seen, {group, nif}, {group, port}].

groups() ->
    Both = [atomic_write_on_a_read_only_file, reads_after_close, positions_and_lengths_that_overflow,
            resize_with_live_binaries, resizes_and_closes_in_parallel,
            resizes_and_closes_in_parallel_without_lock, shrinking_below_the_cursor,
            truncation_by_another_process, address_of_the_nodes_own_memory, fixed_without_an_address,
            misaligned_compare_and_swap, many_opens_and_closes, counters_in_a_foreign_file,
            file_of_a_dead_process, memory_that_is_short, long_messages_in_short_memory, terms_of_one_call,
            inflated_messages_in_short_memory, iodata_of_blocks_in_short_memory, long_requests_in_short_memory, many_messages_in_short_memory],
    Nif = [direct_reads_in_parallel_with_resizes_and_closes, truncation_of_ten_files, truncation_of_100_files,
           truncation_of_1000_files],
    [{nif, [], Both ++ Nif}, {port, [], Both ++ [request_that_the_node_loses]}].

init_per_group(Backend, Config) ->
    [{backend, Backend} | Config].

end_per_group(_Backend, _Config) ->
    ok.

init_per_testcase(Case, Config) ->
    Folder = filename:join(?config(priv_dir, Config), lists:concat([proplists:get_value(backend, Config), "-", Case])),
    ok = file:make_dir(Folder),
    [{folder, Folder} | Config].

end_per_testcase(_Case, Config) ->
    file:del_dir_r(?config(folder, Config)).

%%% The harness itself

a_crash_is_seen(_Config) ->
    {Status, _} = emmap_child:run(?MODULE, die, []),
    ?assertEqual(128 + 11, Status).

die() ->
    _ = os:cmd("kill -SEGV " ++ os:getpid()),
    receive never -> ok end.

a_failure_is_seen(_Config) ->
    {1, Output} = emmap_child:run(?MODULE, fail, []),
    ?assertMatch({_, _}, binary:match(Output, <<"as_it_should">>)).

fail() ->
    error(as_it_should).

%%% The cases: each here in the tests' node, and under the same name below in its own

-define(CASE(Name), Name(Config) -> survives(Name, Config)).
?CASE(atomic_write_on_a_read_only_file).
?CASE(reads_after_close).
?CASE(positions_and_lengths_that_overflow).
?CASE(resize_with_live_binaries).
?CASE(resizes_and_closes_in_parallel).
?CASE(resizes_and_closes_in_parallel_without_lock).
?CASE(direct_reads_in_parallel_with_resizes_and_closes).
?CASE(shrinking_below_the_cursor).
?CASE(truncation_by_another_process).
?CASE(address_of_the_nodes_own_memory).
?CASE(fixed_without_an_address).
?CASE(misaligned_compare_and_swap).
?CASE(many_opens_and_closes).
?CASE(counters_in_a_foreign_file).
?CASE(file_of_a_dead_process).
?CASE(memory_that_is_short).
?CASE(long_messages_in_short_memory).
?CASE(long_requests_in_short_memory).
?CASE(many_messages_in_short_memory).
?CASE(request_that_the_node_loses).
?CASE(terms_of_one_call).
?CASE(inflated_messages_in_short_memory).
?CASE(iodata_of_blocks_in_short_memory).
?CASE(truncation_of_ten_files).
?CASE(truncation_of_100_files).
?CASE(truncation_of_1000_files).

survives(Case, Config) ->
    Arguments = [Case, ?config(backend, Config), ?config(folder, Config)],
    case emmap_child:run(?MODULE, child, Arguments) of
        {0, _} -> ok;
        {Status, Output} -> ct:fail("exit status ~b~n~ts", [Status, Output])
    end.

child(Case, Backend, Folder) ->
    run(Case, Backend, filename:join(Folder, "file")).

run(atomic_write_on_a_read_only_file, Backend, Path) ->
    Bytes = <<1:64/native, 2:64/native>>,
    ok = file:write_file(Path, Bytes),
    {ok, File} = emmap:open(Path, [read, shared, {backend, Backend}]),
    ?assertEqual({error, eacces}, emmap:patomic_write_integer(File, 0, 7)),
    ?assertEqual({error, eacces}, emmap:patomic_cas(File, 0, 1, 7)),
    [?assertEqual({error, eacces}, emmap:Function(File, 0, 7)) ||
        Function <- [patomic_add, patomic_sub, patomic_and, patomic_or, patomic_xor, patomic_xchg]],
    ?assertEqual({error, eacces}, emmap:pwrite(File, 0, <<"x">>)),
    ?assertEqual({error, eacces}, emmap:write(File, <<"x">>)),
    ?assertEqual({error, eacces}, emmap:resize(File, ?PAGE)),
    ?assertEqual({ok, 1}, emmap:patomic_read_integer(File, 0)),
    ?assertEqual({ok, Bytes}, emmap:pread(File, 0, 100)),
    ?assertEqual({ok, Bytes}, file:read_file(Path));

%% A read succeeds or is enomem, nothing is lost, and the node and the port program go on.
run(memory_that_is_short, Backend, Path) ->
    Size = 200 bsl 20,
    {ok, File} = emmap:open(Path, [read, write, create, shared, noreserve, {size, Size}, {backend, Backend}]),
    {ok, Storage} = emmap:open_block_storage(Path ++ ".blocks", Size, [{backend, Backend}]),
    Address = emmap:store_block(Storage, binary:copy(<<1>>, Size)),
    Count = 4000,
    {ok, Queue} = emmap_queue:open(Path ++ ".queue", 4096, [{backend, Backend}]),
    Message = binary:copy(<<2>>, Size div Count),
    [ok = emmap_queue:push(Queue, Message) || _ <- lists:seq(1, Count)],
    #file_descriptor{data = #file{backend = Module, handle = Handle}} = Queue,
    Read = fun({ok, Bytes}) -> byte_size(Bytes); (Error) -> Error end,
    Uses = [fun() -> Read(file:pread(File, 0, Size)) end,
            fun() -> _ = file:position(File, 0), Read(file:read(File, Size)) end,
            fun() -> _ = file:position(File, 0), Read(file:read_line(File)) end,
            fun() -> case emmap:batch(File, [{pread, 0, Size}]) of {ok, [Answer]} -> Read(Answer); Error -> Error end end,
            fun() -> case emmap:read_block(Storage, Address) of
                         {error, _} = Error -> Error;
                         Block -> byte_size(Block)
                     end
            end,
            fun() -> case Module:queue_walk(Handle, forward, Count, 0) of
                         {ok, [_ | _], _} -> Size; % all of them, or as many as there is memory for over the port
                         Error -> Error
                     end
            end],
    Answers = [begin
        Answer = with_memory(Backend, Spare, Use),
        ?assertEqual([], [Answer || Answer =/= Size, Answer =/= {error, enomem}]),
        Answer
    end || Spare <- [60, 100, 150, 210, 260, 320, 410, 500], Use <- Uses],
    ?assert(lists:member({error, enomem}, Answers)),
    ?assert(lists:member(Size, Answers)),
    Pop = fun() -> case Module:queue_pop_many(Handle, Count) of
                       {ok, Popped} -> length(Popped);
                       Error -> Error
                   end
          end,
    %% If that fails, no message of this size is printed.
    case with_memory(Backend, 60, Pop) of
        {error, enomem} ->
            ?assertEqual(Count, emmap_queue:length(Queue)),
            ?assertEqual(Count, Pop());
        Count ->
            ok;
        Popped ->
            ?assertEqual(Count - Popped, Pop())
    end,
    ?assertEqual(0, emmap_queue:length(Queue));

%% A message that is about one binary takes its own memory; others take that of their terms, too. Without the memory it
%% is enomem, and the message stays. Over the port three times the size is needed. (ERTS may have kept memory from
%% before, so that less than the size may do.)
run(long_messages_in_short_memory, Backend, Path) ->
    Size = 200 bsl 20,
    {ok, Queue} = emmap_queue:open(Path, Size + 4096, [{backend, Backend}]),
    One = {job, #{name => <<"cat.jpg">>}, binary:copy(<<1>>, Size)},
    Ten = [binary:copy(<<N>>, Size div 10) || N <- lists:seq(1, 10)],
    Hash = fun(Term) -> erlang:phash2(Term) end, % no message is printed, nor kept by the test
    Uses = [fun() -> emmap_queue:peek_front(Queue) end,
            fun() -> case emmap_queue:snapshot(Queue, 1) of {ok, [Message]} -> Message; Error -> Error end end,
            fun() -> try emmap_queue:try_pop(Queue, fun(Message) -> throw(Message) end) catch throw:Message -> Message end end,
            fun() -> emmap_queue:pop(Queue) end,
            fun() -> case emmap_queue:pop_many(Queue, 5) of {ok, [Message]} -> Message; Error -> Error end end],
    [begin
         ok = emmap_queue:push(Queue, Message),
         Expected = Hash(Message),
         %% The limit is the node's, over the port as well.
         Answers = [{Spare, case with_memory(nif, Spare, Use) of
                                {error, enomem} -> enomem;
                                Answer ->
                                    ?assertEqual(Expected, Hash(Answer)),
                                    _ = [ok = emmap_queue:push(Queue, Answer) || emmap_queue:is_empty(Queue)],
                                    got
                            end} || Spare <- [60, 150, 210, 260, 320, 410, 500, 620, 700], Use <- Uses],
         ?assertEqual(1, emmap_queue:length(Queue)),
         ?assertEqual([], [Spare || {Spare, enomem} <- Answers, Spare >= maps:get(Backend, Needed)]),
         _ = [?assert(lists:member({60, enomem}, Answers)) || Backend =:= port],
         ?assertEqual(Expected, Hash(emmap_queue:pop(Queue))),
         erlang:garbage_collect()
     end || {Message, Needed} <- [{One, #{nif => 260, port => 700}}, {Ten, #{nif => 620, port => 700}}]];

%% The program gets all of a request or nothing, and goes on.
run(long_requests_in_short_memory, Backend, Path) ->
    Size = 100 bsl 20,
    {ok, File} = emmap:open(Path, [read, write, create, {size, Size}, {backend, Backend}]),
    {ok, Storage} = emmap:open_block_storage(Path ++ ".blocks", Size, [{backend, Backend}]),
    {ok, #file_descriptor{data = #file{backend = Module, handle = Handle}} = Queue} =
        emmap_queue:open(Path ++ ".queue", 4096, [{backend, Backend}]),
    Bytes = binary:copy(<<1>>, Size),
    Uses = [fun() -> emmap:pwrite(File, 0, Bytes) end,
            fun() -> emmap:store_block(Storage, Bytes) end,
            fun() -> Module:queue_push(Handle, Bytes) end,
            fun() -> Module:queue_push_many(Handle, [Bytes]) end],
    Answers = [begin
        Answer = case with_memory(nif, Spare, Use) of
            {error, enomem} -> enomem;
            _Done -> done
        end,
        ?assertEqual({ok, Size}, emmap:size(File)),
        Answer
    end || Spare <- [60, 110, 150, 190, 240, 300], Use <- Uses],
    _ = [begin
             ?assertEqual([enomem], lists:usort(lists:sublist(Answers, 4))),
             ?assertEqual([done], lists:usort(lists:nthtail(20, Answers)))
         end || Backend =:= port],
    ?assert(emmap_queue:length(Queue) >= 1);

run(request_that_the_node_loses, port, Path) ->
    _ = process_flag(trap_exit, true),
    {ok, Server} = emmap_port:start_link(#{call_timeout => 500}),
    {ok, File} = emmap:open(Path, [read, write, create, {size, ?PAGE}, {backend, {port, Server}}]),
    [Port] = [P || P <- erlang:ports(), erlang:port_info(P, connected) =:= {connected, Server}],
    Request = binary:copy(<<0>>, 100 bsl 20),
    with_memory(nif, 150, fun() -> port_command(Port, Request) end),
    ?assertEqual({queue_size, 0}, erlang:port_info(Port, queue_size)), % it is lost
    ?assertEqual({error, timeout}, emmap:size(File)),
    receive {'EXIT', Server, Reason} -> ?assertMatch({port_program, _, {exit_status, 2}}, Reason)
    after 30000 -> error(program_goes_on)
    end,
    ?assertEqual({error, port_died}, emmap:size(File));

%% The list of the messages counts too.
run(many_messages_in_short_memory, Backend, Path) ->
    {ok, Queue} = emmap_queue:open(Path, 1 bsl 20, [{backend, Backend}]),
    Count = 500_000,
    [ok = emmap_queue:push_many(Queue, lists:duplicate(1000, [1000, 2000, 3000, 4000])) || _ <- lists:seq(1, Count div 1000)],
    [begin
         Before = emmap_queue:length(Queue),
         with_memory(nif, Spare, fun() ->
             case emmap_queue:to_list(Queue) of
                 {error, enomem} -> ok;
                 All -> ?assertEqual(Before, length(All))
             end
         end),
         case with_memory(nif, Spare, fun() -> emmap_queue:pop_many(Queue, Count) end) of
             {error, enomem} -> ?assertEqual(Before, emmap_queue:length(Queue));
             {ok, Popped} -> ?assertEqual(Before - length(Popped), emmap_queue:length(Queue))
         end
     end || Spare <- [150, 200, 250, 300]];

%% Each message is within the limit, and all of them together would take more than 1 GB.
run(terms_of_one_call, Backend, Path) ->
    {ok, Queue} = emmap_queue:open(Path, 1 bsl 20, [{backend, Backend}]),
    Count = 20,
    TooMuch = {error, {max_inflated_size, 64 bsl 20}},
    [begin
         Message = term_to_binary(Term, [compressed]),
         Size = erlang:external_size(Term),
         push_bytes(Queue, lists:duplicate(Count, Message)),
         with_memory(nif, 1000, fun() ->
             ?assertEqual(TooMuch, error_of(emmap_queue:to_list(Queue))),
             ?assertEqual(TooMuch, error_of(emmap_queue:snapshot(Queue, all))),
             ?assertEqual(TooMuch, error_of(emmap_queue:snapshot(Queue, 2))),
             ?assertEqual([Size], sizes(emmap_queue:snapshot(Queue, 1))),
             ?assertEqual([[Size], [Size]], [sizes(emmap_queue:pop_many(Queue, Count)) || _ <- [1, 2]])
         end),
         ?assertEqual(Count - 2, emmap_queue:length(Queue)),
         ok = emmap_queue:clear(Queue)
     end || Term <- [lists:duplicate(4_000_000, []), binary:copy(<<0>>, 60_000_000)]];

%% A block is one binary, so the iodata are copied.
run(iodata_of_blocks_in_short_memory, Backend, Path) ->
    Size = 100 bsl 20,
    {ok, Blocks} = emmap:open_block_storage(Path, Size, [{backend, Backend}]),
    Data = lists:duplicate(1600, binary:copy(<<1>>, 1 bsl 16)),
    ?assertEqual([{error, enomem}, {error, enomem}],
                 with_memory(nif, 30, fun() -> [emmap:store_block(Blocks, Data), emmap:store_blocks(Blocks, [Data])] end)),
    ?assertEqual({ok, 0}, emmap:count_blocks(Blocks)),
    Address = emmap:store_block(Blocks, Data),
    ?assertEqual(Size, byte_size(emmap:read_block(Blocks, Address)));

%% Far smaller in the queue than the memory that is left, and their terms larger than that.
run(inflated_messages_in_short_memory, Backend, Path) ->
    {ok, Queue} = emmap_queue:open(Path, 1 bsl 20, [{backend, Backend}]),
    Uses = [fun emmap_queue:peek_front/1, fun emmap_queue:peek_back/1, fun emmap_queue:pop/1, fun emmap_queue:to_list/1,
            fun(Q) -> emmap_queue:receive_message(Q, 0) end,
            fun(Q) -> emmap_queue:try_pop(Q, fun(_) -> called end) end,
            fun(Q) -> emmap_queue:pop(Q, none, fun(_, _) -> {cont, called} end) end,
            fun(Q) -> emmap_queue:peek(Q, none, fun(_, _) -> {cont, called} end) end,
            fun(Q) -> emmap_queue:pop_many(Q, 10) end,
            fun(Q) -> emmap_queue:snapshot(Q, 10) end],
    [begin
         ok = emmap_queue:clear(Queue),
         push_bytes(Queue, [Message]),
         ?assertEqual({Use, {error, enomem}}, {Use, with_memory(nif, 30, fun() -> error_of(Use(Queue)) end)}),
         ?assertEqual(1, emmap_queue:length(Queue))
     end || Message <- [term_to_binary(Term, Options)
                        || Term <- [binary:copy(<<0>>, 60_000_000), lists:duplicate(1_800_000, [])],
                           Options <- [[compressed], []], is_list(Term) orelse Options =/= []],
            Use <- Uses],
    ok = emmap_queue:clear(Queue),
    push_bytes(Queue, [term_to_binary(binary:copy(<<0>>, 60_000_000), [compressed])]),
    ?assertEqual([60_000_006], sizes(emmap_queue:pop_many(Queue, 10)));

run(truncation_of_ten_files, nif, Path) ->
    truncation_of_files(10, Path);
run(truncation_of_100_files, nif, Path) ->
    truncation_of_files(100, Path);
run(truncation_of_1000_files, nif, Path) ->
    truncation_of_files(1000, Path);

run(reads_after_close, Backend, Path) ->
    Files = [open(Path, Backend, Options) || Options <- modes(Backend)],
    [begin
        {ok, Binary} = emmap:pread(File, 0, 100),
        ok = emmap:close(File),
        [?assertEqual({error, closed}, Answer) || Answer <- [
            emmap:pread(File, 0, 1), emmap:pread(File, 0, 1 bsl 20), emmap:pread(File, [{0, 1}]),
            emmap:read(File, 0), emmap:read(File, 1), emmap:read_line(File), emmap:pwrite(File, 0, <<"x">>),
            emmap:write(File, <<"x">>), emmap:position(File, eof), emmap:size(File), emmap:resize(File),
            emmap:patomic_add(File, 0, 1), emmap:patomic_read_integer(File, 0), emmap:sync(File)
        ]],
        ?assertEqual(ok, emmap:close(File)),
        ?assertEqual(<<0:800>>, Binary)
    end || File <- Files];

run(positions_and_lengths_that_overflow, Backend, Path) ->
    Ends = [1 bsl N + D || N <- [31, 32, 62, 63, 64, 65, 200], D <- [-9, -8, -1, 0, 1, 8]] ++
        [-1, -8, -(1 bsl 63), -(1 bsl 64)],
    Around = [0, 1, 8, ?PAGE - 1, ?PAGE, ?PAGE + 1],
    [begin
        File = open(Path, Backend, Options),
        [begin
            read_or_refused(emmap:pread(File, Position, Length)),
            refused(emmap:advise(File, Position, Length, normal), [ok]),
            refused(emmap:allocate(File, Position, Length), [ok])
        end || Position <- Ends ++ Around, Length <- Ends ++ Around],
        [begin
            refused(emmap:pwrite(File, Position, <<1>>), []),
            refused(emmap:patomic_add(File, Position, 1), []),
            refused(emmap:patomic_read_integer(File, Position), []),
            refused(emmap:patomic_cas(File, Position, 0, 1), [])
        end || Position <- Ends],
        [refused(emmap:resize(File, Size), []) || Size <- Ends, Size < 0 orelse Size > 1 bsl 61],
        [begin
            _ = emmap:position(File, {Whence, Offset}),
            read_or_refused(emmap:read(File, 10)),
            read_or_refused(emmap:read(File, 1 bsl 63 - 1)),
            _ = emmap:read_line(File),
            _ = emmap:write(File, <<>>)
        end || Whence <- [bof, cur, eof], Offset <- Ends ++ Around],
        ?assertEqual({ok, ?PAGE}, emmap:size(File)),
        ?assertEqual({ok, <<0:?PAGE/unit:8>>}, emmap:pread(File, 0, ?PAGE)),
        ok = emmap:close(File)
    end || Options <- modes(Backend)];

run(resize_with_live_binaries, Backend, Path) ->
    [begin
        File = open(Path, Backend, Options),
        {ok, _} = emmap:resize(File, ?PAGE),
        Held = [begin
            Position = N * ?PAGE - 100,
            ok = emmap:pwrite(File, Position, <<N:800>>),
            {ok, Binary} = emmap:pread(File, Position, 100),
            {ok, Size} = emmap:resize(File, (N + 1) * ?PAGE),
            ?assertEqual((N + 1) * ?PAGE, Size),
            {N, Binary}
        end || N <- lists:seq(1, 200)],
        case emmap:resize(File, ?PAGE) of
            {error, ebusy} -> ?assertEqual([direct], Options);
            {ok, ?PAGE} -> ?assertEqual([], Options)
        end,
        ok = emmap:close(File),
        true = erlang:garbage_collect(),
        [?assertEqual(<<N:800>>, Binary) || {N, Binary} <- Held]
    end || Options <- modes(Backend)];

run(resizes_and_closes_in_parallel, Backend, Path) ->
    in_parallel(Backend, Path, []);
run(resizes_and_closes_in_parallel_without_lock, Backend, Path) ->
    in_parallel(Backend, Path, [nolock]);
run(direct_reads_in_parallel_with_resizes_and_closes, Backend, Path) ->
    in_parallel(Backend, Path, [direct]),
    in_parallel(Backend, Path, [direct, nolock]),
    in_parallel(Backend, Path, [direct, private]);

run(shrinking_below_the_cursor, Backend, Path) ->
    [begin
        File = open(Path, Backend, Options),
        {ok, _} = emmap:resize(File, 4 * ?PAGE),
        {ok, Cursor} = emmap:position(File, 4 * ?PAGE - 10),
        {ok, ?PAGE} = emmap:resize(File, ?PAGE),
        ?assertEqual(eof, emmap:read(File, 1)),
        ?assertEqual(eof, emmap:read_line(File)),
        ?assertEqual({error, einval}, emmap:write(File, <<"x">>)),
        ?assertEqual({error, einval}, emmap:truncate(File)),
        ?assertEqual({ok, Cursor}, emmap:position(File, cur)),
        ?assertEqual({ok, ?PAGE - 1}, emmap:position(File, {eof, -1})),
        ?assertEqual({ok, <<0>>}, emmap:read(File, 10)),
        ok = emmap:close(File)
    end || Options <- modes(Backend)];

run(truncation_by_another_process, Backend, Path) ->
    Uses = [
        fun(File) -> emmap:pread(File, 16 * ?PAGE, 100) end,
        fun(File) -> emmap:pread(File, 0, 32 * ?PAGE) end,
        fun(File) -> emmap:pread(File, 1, 10 * ?PAGE) end,
        fun(File) -> emmap:read(File, 10 * ?PAGE) end,
        fun(File) -> emmap:read_line(File) end,
        fun(File) -> emmap:pwrite(File, 16 * ?PAGE, <<"x">>) end,
        fun(File) -> emmap:pwrite(File, 0, binary:copy(<<"x">>, 30 * ?PAGE)) end,
        fun(File) -> emmap:write(File, binary:copy(<<"x">>, 3 * ?PAGE)) end,
        fun(File) -> emmap:patomic_add(File, 16 * ?PAGE, 1) end,
        fun(File) -> emmap:patomic_cas(File, 16 * ?PAGE, 0, 1) end,
        fun(File) -> emmap:patomic_read_integer(File, 16 * ?PAGE) end,
        fun(File) -> emmap:patomic_write_integer(File, 16 * ?PAGE, 1) end
    ],
    [begin
        _ = file:delete(Path),
        File = open(Path, Backend, [{size, 32 * ?PAGE}]),
        Sound = open(filename:join(filename:dirname(Path), "sound"), Backend, []),
        %% The process that truncates is another one, and so is not told by the core.
        [] = os:cmd("truncate -s 0 '" ++ Path ++ "'"),
        ?assertEqual({error, efault}, Use(File)),
        ?assertEqual({error, efault}, Use(File)),
        ?assertEqual({error, efault}, emmap:pread(File, 0, 1)),
        ?assertEqual({error, efault}, emmap:patomic_read_integer(File, 0)),
        ?assertEqual({ok, <<0>>}, emmap:pread(Sound, 0, 1)),
        ?assertEqual(ok, emmap:close(File)),
        ok = file:write_file(Path, <<"new">>),
        {ok, Again} = emmap:open(Path, [read, shared, {backend, Backend}]),
        ?assertEqual({ok, <<"new">>}, emmap:pread(Again, 0, 10)),
        ok = emmap:close(Again),
        ok = emmap:close(Sound)
    end || Use <- Uses];

run(address_of_the_nodes_own_memory, Backend, Path) ->
    File = open(Path, Backend, []),
    Ranges = mapped_ranges(mapping_process(Backend)),
    ?assert(length(Ranges) > 10),
    [begin
        ?assertEqual({error, eexist}, emmap:open(Path, options(Backend, [fixed, {address, Address}]))),
        %% Without `fixed' it is a hint.
        {ok, Elsewhere} = emmap:open(Path, options(Backend, [{address, Address}])),
        ok = emmap:pwrite(Elsewhere, 0, <<"hello">>),
        ?assertEqual({ok, <<"hello">>}, emmap:pread(File, 0, 5)),
        ok = emmap:close(Elsewhere)
    end || Address <- Ranges],
    ok = emmap:close(File);

run(fixed_without_an_address, Backend, Path) ->
    ?assertEqual({error, {einval, address}}, emmap:open(Path, options(Backend, [fixed]))),
    ?assertEqual({error, {einval, address}}, emmap:open(Path, options(Backend, [fixed, {address, 0}]))),
    ?assertEqual({error, {einval, address}}, emmap:open(Path, options(Backend, [fixed, {address, 1}]))),
    ?assertNot(filelib:is_file(Path));

run(misaligned_compare_and_swap, Backend, Path) ->
    File = open(Path, Backend, []),
    Bytes = list_to_binary(lists:seq(1, 64)),
    ok = emmap:pwrite(File, 0, Bytes),
    [begin
        <<_:Position/binary, Held:64/native-signed, _/binary>> = Bytes,
        ?assertEqual({error, alignment}, emmap:patomic_cas(File, Position, Held, 0)),
        ?assertEqual({error, alignment}, emmap:patomic(File, Position, add, 1)),
        ?assertEqual({error, alignment}, emmap:patomic_read_integer(File, Position)),
        ?assertEqual({error, alignment}, emmap:patomic_write_integer(File, Position, 1))
    end || Position <- lists:seq(1, 40), Position rem 8 =/= 0],
    ?assertEqual({ok, Bytes}, emmap:pread(File, 0, 64)),
    %% What counts is the place in the file.
    {ok, Shifted, _} = emmap:open(Path, 4, 60, options(Backend, [])),
    ?assertEqual({error, alignment}, emmap:patomic_cas(Shifted, 0, 0, 1)),
    <<_:8/binary, Second:64/native-signed, _/binary>> = Bytes,
    ?assertEqual({true, Second}, emmap:patomic_cas(Shifted, 4, Second, 1)),
    ?assertEqual({ok, 1}, emmap:patomic_read_integer(File, 8));

run(many_opens_and_closes, Backend, Path) ->
    File = open(Path, Backend, []),
    Process = mapping_process(Backend),
    Cycle = fun() ->
        {ok, One} = emmap:open(Path, options(Backend, [])),
        {ok, <<0>>} = emmap:pread(One, 0, 1),
        ok = emmap:close(One)
    end,
    %% The first half fills caches and pools. What the second adds is a leak.
    repeat(50_000, Cycle),
    Before = resources(Process),
    repeat(50_000, Cycle),
    ok = until(fun() -> flat(Before, resources(Process)) end, 1000, fun() -> {Before, resources(Process)} end),
    ok = emmap:close(File);

run(counters_in_a_foreign_file, Backend, Path) ->
    [begin
        ok = file:write_file(Path, Foreign),
        [?assertEqual({error, corrupt}, emmap:open_counters(Path, Count, [{backend, Backend}])) || Count <- [0, 4]],
        ?assertEqual({ok, Foreign}, file:read_file(Path))
    end || Foreign <- [rand:bytes(16 + 4 * 8), binary:copy(<<"x">>, 16 + 4 * 8),
                       <<"EMMAP01 ", 4:64/little, 0:256>>, <<"emmap01\n", 4:64/little, 0:256>>,
                       <<0:64, 4:64/little, 0:248, 1>>, <<"EMMAP01\n", 5:64/little, 0:256>>]];

run(file_of_a_dead_process, Backend, Path) ->
    [begin
        Test = self(),
        {Owner, Monitor} = spawn_monitor(fun() ->
            File = open(Path, Backend, Options),
            ok = emmap:pwrite(File, 0, <<"willed">>),
            Test ! {willed, File}
        end),
        File = receive {willed, Opened} -> Opened end,
        receive {'DOWN', Monitor, _, Owner, normal} -> ok end,
        case Backend of
            nif ->
                true = erlang:garbage_collect(),
                ?assertEqual({ok, <<"willed">>}, emmap:pread(File, 0, 6));
            port ->
                %% The port closes what its owner leaves behind.
                ok = until(fun() -> emmap:pread(File, 0, 6) =:= {error, closed} end, 1000, fun() -> still_open end)
        end,
        ok = emmap:close(File)
    end || Options <- modes(Backend)].

%%% Eight processes on one file, while others resize and close it

in_parallel(Backend, Path, Options) ->
    [in_parallel_once(Backend, Path, Options) || _ <- lists:seq(1, 10)].

in_parallel_once(Backend, Path, Options) ->
    _ = file:delete(Path),
    File = open(Path, Backend, Options),
    {ok, _} = emmap:resize(File, 64 * ?PAGE),
    Users = [
        fun() -> emmap:pread(File, rand:uniform(70 * ?PAGE), rand:uniform(3 * ?PAGE)) end,
        fun() -> emmap:pread(File, 0, 64 * ?PAGE) end,
        fun() -> emmap:pwrite(File, rand:uniform(70 * ?PAGE), binary:copy(<<"w">>, rand:uniform(?PAGE))) end,
        fun() -> emmap:patomic_add(File, 8 * rand:uniform(8 * ?PAGE), 1) end,
        fun() -> emmap:patomic_cas(File, 8 * rand:uniform(8 * ?PAGE), 0, 1) end,
        fun() -> next(File, fun() -> emmap:read(File, ?PAGE) end) end,
        fun() -> next(File, fun() -> emmap:read_line(File) end) end,
        fun() -> emmap:write(File, binary:copy(<<"line\n">>, 20)) end,
        fun() -> emmap:resize(File, ?PAGE * rand:uniform(64)) end,
        fun() -> emmap:resize(File, ?PAGE * rand:uniform(64)) end
    ],
    Test = self(),
    Workers = [spawn_monitor(fun() ->
        repeat(10, User),
        Test ! {begun, self()},
        use_until_closed(User)
    end) || User <- Users],
    [receive {begun, Pid} -> ok end || {Pid, _} <- Workers],
    Closers = [spawn_monitor(fun() -> ok = emmap:close(File) end) || _ <- [1, 2]],
    [receive {'DOWN', Monitor, _, Pid, Reason} -> ?assertEqual(normal, Reason) end ||
        {Pid, Monitor} <- Workers ++ Closers].

use_until_closed(User) ->
    case User() of
        {error, closed} ->
            ok;
        {error, Reason} ->
            true = lists:member(Reason, [einval, ebusy]),
            use_until_closed(User);
        {ok, Bytes} when is_binary(Bytes) ->
            %% The binary of a direct read is looked at, perhaps after the close.
            _ = erlang:crc32(Bytes),
            use_until_closed(User);
        _ ->
            use_until_closed(User)
    end.

next(File, Read) ->
    case Read() of
        eof -> emmap:position(File, 0);
        Answer -> Answer
    end.

%%% Helpers

push_bytes(#file_descriptor{data = #file{backend = Backend, handle = Handle}}, Messages) ->
    ok = Backend:queue_push_many(Handle, Messages).

%% The sizes of terms, so that no test prints or keeps a large one.
sizes({ok, Terms}) -> [erlang:external_size(Term) || Term <- Terms];
sizes(Error) -> Error.

error_of({error, {bad_term, _}}) -> bad_term;
error_of({error, _} = Error) -> Error;
error_of(_Term) -> none.

modes(nif) -> [[], [direct]];
modes(port) -> [[]].

options(Backend, Options) ->
    Sharing = case lists:member(private, Options) of true -> private; false -> shared end,
    Size = case lists:keymember(size, 1, Options) of true -> []; false -> [{size, ?PAGE}] end,
    [read, write, create, Sharing, {backend, Backend} | Size ++ Options].

open(Path, Backend, Options) ->
    {ok, File} = emmap:open(Path, options(Backend, Options)),
    File.

read_or_refused({ok, Bytes}) when byte_size(Bytes) =< ?PAGE -> ok;
read_or_refused(Answer) -> refused(Answer, [eof]).

refused({error, Reason}, _) ->
    ?assert(lists:member(Reason, [einval, badarg, efbig, enospc]));
refused(Answer, Allowed) ->
    ?assert(lists:member(Answer, Allowed)).

repeat(0, _Action) -> ok;
repeat(N, Action) -> _ = Action(), repeat(N - 1, Action).

until(_Condition, 0, Tell) ->
    error({never, Tell()});
until(Condition, Attempts, Tell) ->
    case Condition() of
        true -> ok;
        false -> receive after 10 -> until(Condition, Attempts - 1, Tell) end
    end.

%% Limits the memory of the process with the mappings to this many MiB more than it has.
with_memory(Backend, Spare, Use) ->
    Pid = mapping_process(Backend),
    [erlang:garbage_collect(Process) || Process <- processes()],
    {ok, Status} = file:read_file(["/proc/", Pid, "/status"]),
    {match, [Used]} = re:run(Status, "VmSize:\\s+([0-9]+)", [{capture, all_but_first, list}]),
    "" = os:cmd(io_lib:format("prlimit --pid ~s --as=~b:", [Pid, list_to_integer(Used) * 1024 + (Spare bsl 20)])),
    try Use()
    after "" = os:cmd(["prlimit --pid ", Pid, " --as=unlimited:"])
    end.

%% Each file is truncated by another process while a binary aliases all of it; then every second page is read.
truncation_of_files(Count, Path) ->
    Pages = 2100,
    Names = [Path ++ integer_to_list(N) || N <- lists:seq(1, Count)],
    Binaries = [begin
        {ok, File} = emmap:open(Name, [read, write, create, shared, direct, noreserve, {size, Pages * ?PAGE}]),
        {ok, Binary} = emmap:pread(File, 0, Pages * ?PAGE),
        ok = emmap:close(File),
        Binary
    end || Name <- Names],
    "" = os:cmd("truncate -s 100 " ++ Path ++ "*"),
    [?assertEqual(0, lists:sum([binary:at(Binary, Page * ?PAGE) || Page <- lists:seq(1, Pages - 1, 2)])) ||
        Binary <- Binaries],
    {_, Mappings, _} = resources(os:getpid()),
    ?assert(Mappings < 30_000).

%% The process that has the mappings: this node, or the port's program, one of its descendants.
mapping_process(nif) ->
    os:getpid();
mapping_process(port) ->
    [Program] = [Pid || Pid <- descendants(os:getpid()), program(Pid) =:= "emmap_port"],
    Program.

program(Pid) ->
    case file:read_link(["/proc/", Pid, "/exe"]) of
        {ok, Name} -> filename:basename(Name);
        {error, _} -> none
    end.

descendants(Pid) ->
    %% A shell of os:cmd/1 may have ended meanwhile.
    Tasks = case file:list_dir(["/proc/", Pid, "/task"]) of
        {ok, Found} -> Found;
        {error, _} -> [] % enoent, or esrch while it ends
    end,
    Children = lists:append([children(["/proc/", Pid, "/task/", Task, "/children"]) || Task <- Tasks]),
    lists:append([[Child | descendants(Child)] || Child <- Children]).

children(Name) ->
    case file:read_file(Name) of
        {ok, Pids} -> string:lexemes(binary_to_list(Pids), " ");
        {error, _} -> []
    end.

%% The first address of each mapping of the process, except for those of the kernel.
mapped_ranges(Pid) ->
    {ok, Maps} = file:read_file(["/proc/", Pid, "/maps"]),
    [binary_to_integer(hd(binary:split(Line, <<"-">>)), 16) ||
        Line <- binary:split(Maps, <<"\n">>, [global, trim]), binary:match(Line, <<"[v">>) =:= nomatch].

%% Descriptors, mappings, and memory in KiB.
resources(Pid) ->
    {ok, Descriptors} = file:list_dir(["/proc/", Pid, "/fd"]),
    {ok, Maps} = file:read_file(["/proc/", Pid, "/maps"]),
    {ok, Status} = file:read_file(["/proc/", Pid, "/status"]),
    {match, [Resident]} = re:run(Status, "VmRSS:\\s+([0-9]+)", [{capture, all_but_first, binary}]),
    {length(Descriptors), length(binary:matches(Maps, <<"\n">>)), binary_to_integer(Resident)}.

%% The node's allocators move their carriers. A leak of one page or structure in each cycle would be 50,000 of them.
flat({Descriptors1, Maps1, Resident1}, {Descriptors2, Maps2, Resident2}) ->
    Descriptors2 =< Descriptors1 andalso Maps2 =< Maps1 + 50 andalso Resident2 =< Resident1 + 2048.
