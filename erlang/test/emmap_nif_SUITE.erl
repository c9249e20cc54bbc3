%% The NIF's own subjects: direct binaries, schedulers, collection of handles, loading and upgrading. The rest is tested
%% through `emmap', like the port.
-module(emmap_nif_SUITE).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

-export([all/0, groups/0, init_per_testcase/2, end_per_testcase/2]).
-export([aliases_the_mapping/1, copy_does_not_alias/1, binary_survives_close/1, binary_survives_growth/1,
         binary_survives_its_owner/1, binary_of_a_private_mapping_is_current_after_growth/1,
         direct_reads_answer_as_copies/1, shrinks_behind_what_is_lent/1, shrinks_when_nothing_is_lent/1,
         unlinks_at_close_beside_live_binaries/1]).
-export([numbers_beyond_64_bits/1, operands/1, no_handle/1, bad_paths_and_options/1]).
-export([long_reads_and_writes/1, iodata/1, write_from_a_direct_binary/1, long_lines/1,
         no_memory_for_a_read/1, long_calls_leave_the_schedulers_free/1, copies_count_as_work/1]).
-export([handle_is_collected/1, any_process_may_use_a_handle/1]).
-export([upgrade/1, failed_upgrade_keeps_the_old_version/1, missing_library/1]).
-export([run_upgrade/2, run_failed_upgrade/1, run_missing_library/1, run_no_memory/1]).

-define(PAGE, 4096).
-define(PIECE, 65536).

all() ->
    [{group, direct}, {group, arguments}, {group, long}, {group, handles}, {group, loading}].

groups() ->
    [{direct, [aliases_the_mapping, copy_does_not_alias, binary_survives_close, binary_survives_growth,
               binary_survives_its_owner, binary_of_a_private_mapping_is_current_after_growth,
               direct_reads_answer_as_copies, shrinks_behind_what_is_lent, shrinks_when_nothing_is_lent,
               unlinks_at_close_beside_live_binaries]},
     {arguments, [numbers_beyond_64_bits, operands, no_handle, bad_paths_and_options]},
     {long, [long_reads_and_writes, iodata, write_from_a_direct_binary, long_lines, no_memory_for_a_read,
             long_calls_leave_the_schedulers_free, copies_count_as_work]},
     {handles, [handle_is_collected, any_process_may_use_a_handle]},
     {loading, [upgrade, failed_upgrade_keeps_the_old_version, missing_library]}].

init_per_testcase(Case, Config) ->
    Folder = filename:join(?config(priv_dir, Config), Case),
    ok = file:make_dir(Folder),
    [{path, unicode:characters_to_binary(filename:join(Folder, "file"))}, {folder, Folder} | Config].

end_per_testcase(_Case, Config) ->
    file:del_dir_r(?config(folder, Config)).

%%% Direct binaries

aliases_the_mapping(Config) ->
    Path = path(Config),
    Direct = open(Path, ?PAGE, [direct]),
    {ok, <<0:64>> = Binary} = emmap_nif:pread(Direct, 8, 8),
    ok = emmap_nif:pwrite(Direct, 8, <<"changed!">>),
    ?assertEqual(<<"changed!">>, Binary),
    Other = open(Path, ?PAGE, []),
    ok = emmap_nif:pwrite(Other, 8, <<"by other">>),
    ?assertEqual(<<"by other">>, Binary).

copy_does_not_alias(Config) ->
    File = open(path(Config), ?PAGE, []),
    {ok, Short} = emmap_nif:pread(File, 0, 8),
    {ok, Long} = emmap_nif:pread(File, 0, 100),
    ok = emmap_nif:pwrite(File, 0, <<"changed!">>),
    ?assertEqual(<<0:64>>, Short),
    ?assertEqual(<<0:800>>, Long).

binary_survives_close(Config) ->
    File = open(path(Config), ?PAGE, [direct]),
    ok = emmap_nif:pwrite(File, 0, <<"still here">>),
    {ok, Binary} = emmap_nif:pread(File, 0, 10),
    ok = emmap_nif:close(File),
    ?assertEqual({error, closed}, emmap_nif:pread(File, 0, 10)),
    ?assertEqual(ok, emmap_nif:close(File)),
    true = erlang:garbage_collect(),
    ?assertEqual(<<"still here">>, Binary).

binary_survives_growth(Config) ->
    Path = path(Config),
    File = open(Path, ?PAGE, [direct]),
    Binaries = [begin
        Size = N * ?PAGE,
        ok = emmap_nif:pwrite(File, Size - 8, <<N:64>>),
        {ok, Binary} = emmap_nif:pread(File, Size - 8, 8),
        {ok, Next} = emmap_nif:resize(File, Size + ?PAGE),
        ?assertEqual(Size + ?PAGE, Next),
        {N, Binary}
    end || N <- lists:seq(1, 50)],
    [?assertEqual(<<N:64>>, Binary) || {N, Binary} <- Binaries],
    ok = emmap_nif:pwrite(File, ?PAGE - 8, <<"new">>),
    {1, <<"new", _:5/binary>>} = hd(Binaries).

binary_survives_its_owner(Config) ->
    Path = path(Config),
    Test = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        File = open(Path, ?PAGE, [direct]),
        ok = emmap_nif:pwrite(File, 0, <<"inherited">>),
        {ok, Binary} = emmap_nif:pread(File, 0, 9),
        Test ! {self(), Binary}
    end),
    Binary = receive {Owner, Sent} -> Sent end,
    receive {'DOWN', Monitor, _, _, normal} -> ok end,
    ok = until(fun() -> descriptors(Path) =:= 0 end),
    ?assertEqual(1, mappings(Path)),
    ?assertEqual(<<"inherited">>, Binary).

%% The new mapping of a private file is a copy; a window on the old one would show old bytes.
binary_of_a_private_mapping_is_current_after_growth(Config) ->
    Path = path(Config),
    ok = file:write_file(Path, <<0:?PAGE/unit:8>>),
    {ok, File, #{exist := true, size := ?PAGE}} = emmap_nif:open(Path, [read, write, direct]),
    ok = emmap_nif:pwrite(File, 0, <<"before">>),
    {ok, Old} = emmap_nif:pread(File, 0, 6),
    {ok, _} = emmap_nif:resize(File, 2 * ?PAGE),
    ?assertEqual({ok, <<"before">>}, emmap_nif:pread(File, 0, 6)),
    ok = emmap_nif:pwrite(File, 0, <<"after!">>),
    ?assertEqual({ok, <<"after!">>}, emmap_nif:pread(File, 0, 6)),
    ?assertEqual(<<"before">>, Old).

direct_reads_answer_as_copies(Config) ->
    Path = path(Config),
    ok = file:write_file(Path, [<<"line ", (integer_to_binary(N))/binary, "\n">> || N <- lists:seq(1, 100)]),
    {ok, Direct, _} = emmap_nif:open(Path, [read, shared, direct]),
    {ok, Copy, #{size := Size}} = emmap_nif:open(Path, [read, shared]),
    Both = fun(Function, Arguments) ->
        Expected = apply(emmap_nif, Function, [Copy | Arguments]),
        ?assertEqual(Expected, apply(emmap_nif, Function, [Direct | Arguments])),
        Expected
    end,
    [Both(pread, [Position, Length]) ||
        Position <- [0, 1, 7, Size - 1, Size, Size + 1, -1, 1 bsl 63, 1 bsl 64],
        Length <- [0, 1, 5, Size, Size + 1, 1 bsl 40, -1, 1 bsl 63, 1 bsl 64]],
    [Both(read_line, []) || _ <- lists:seq(1, 50)],
    [Both(read, [Length]) || Length <- [0, 1, 10, 100, 0, 1 bsl 40, 0, 1]],
    {ok, _} = Both(position, [-3, eof]),
    {ok, <<"00\n">>} = Both(read_line, []),
    eof = Both(read_line, []),
    eof = Both(read, [1]).

shrinks_behind_what_is_lent(Config) ->
    File = open(path(Config), 8 * ?PAGE, [direct]),
    {Reader, Binary} = lend(File, ?PAGE, ?PAGE),
    ?assertEqual({error, ebusy}, emmap_nif:resize(File, ?PAGE)),
    ?assertEqual({ok, 8 * ?PAGE}, emmap_nif:size(File)),
    ?assertEqual({ok, 2 * ?PAGE}, emmap_nif:resize(File, 2 * ?PAGE)),
    ?assertEqual({error, ebusy}, emmap_nif:resize(File, ?PAGE)),
    ok = emmap_nif:pwrite(File, ?PAGE, <<"there">>),
    ?assertEqual(<<"there">>, Binary(5)),
    ok = release(Reader),
    ?assertEqual({ok, ?PAGE}, emmap_nif:resize(File, ?PAGE)).

shrinks_when_nothing_is_lent(Config) ->
    File = open(path(Config), 8 * ?PAGE, [direct]),
    [begin
        {Reader, _} = lend(File, 7 * ?PAGE, 10),
        ok = release(Reader),
        {ok, ?PAGE} = emmap_lock:settled(fun() -> emmap_nif:resize(File, ?PAGE) end),
        {ok, 8 * ?PAGE} = emmap_nif:resize(File, 8 * ?PAGE)
    end || _ <- lists:seq(1, 100)],
    {ok, _} = emmap_nif:position(File, ?PAGE, bof),
    ?assertEqual(ok, emmap_nif:truncate(File)),
    ?assertEqual({ok, ?PAGE}, emmap_nif:size(File)).

unlinks_at_close_beside_live_binaries(Config) ->
    Path = path(Config),
    File = open(Path, ?PAGE, [direct, auto_unlink]),
    {First, _} = lend(File, 0, 10),
    {Second, Binary} = lend(File, 10, 10),
    ok = emmap_nif:close(File),
    ?assertNot(filelib:is_regular(Path)),
    ok = release(First),
    ?assertEqual(<<0:80>>, Binary(10)),
    ok = release(Second),
    ok = until(fun() -> mappings(Path) =:= 0 end),
    ?assertEqual({error, closed}, emmap_nif:size(File)). % which keeps no mapping

%%% Arguments

numbers_beyond_64_bits(Config) ->
    File = open(path(Config), ?PAGE, []),
    Huge = [1 bsl 63, 1 bsl 64 - 1, 1 bsl 64, 1 bsl 200, -1, -(1 bsl 63), -(1 bsl 64), -(1 bsl 200)],
    [begin
        ?assertEqual({error, einval}, emmap_nif:pread(File, N, 1)),
        ?assertEqual({error, einval}, emmap_nif:pread(File, 0, N)),
        ?assertEqual({error, einval}, emmap_nif:read(File, N)),
        ?assertEqual({error, einval}, emmap_nif:pwrite(File, N, <<"x">>)),
        ?assertEqual({error, einval}, emmap_nif:pwrite(File, N, binary:copy(<<"x">>, ?PIECE + 1))),
        ?assertEqual({error, einval}, emmap_nif:resize(File, N)),
        ?assertEqual({error, einval}, emmap_nif:allocate(File, N, 1)),
        ?assertEqual({error, einval}, emmap_nif:allocate(File, 0, N)),
        ?assertEqual({error, einval}, emmap_nif:advise(File, N, 1, normal)),
        ?assertEqual({error, einval}, emmap_nif:patomic_add(File, N, 1)),
        ?assertEqual({error, einval}, emmap_nif:patomic_load(File, N)),
        ?assertEqual({error, einval}, emmap_nif:patomic_store(File, N, 1)),
        ?assertEqual({error, einval}, emmap_nif:patomic_compare_exchange(File, N, 0, 1))
    end || N <- Huge],
    [?assertEqual({error, einval}, emmap_nif:position(File, N, Whence)) ||
        N <- [1 bsl 63, 1 bsl 64, 1 bsl 200, -1 - ?PAGE, -(1 bsl 63), -(1 bsl 64), -(1 bsl 200)],
        Whence <- [bof, cur, eof]],
    {ok, Size} = emmap_nif:size(File),
    ?assertEqual(?PAGE, Size).

operands(Config) ->
    File = open(path(Config), ?PAGE, []),
    {ok, Counters, 2} = emmap_nif:counters_open(<<(path(Config))/binary, ".counters">>, 2, []),
    ok = emmap_nif:patomic_store(File, 0, 1 bsl 63 - 1),
    ?assertEqual({ok, 1 bsl 63 - 1}, emmap_nif:patomic_add(File, 0, 1)),
    ?assertEqual({ok, -(1 bsl 63)}, emmap_nif:patomic_exchange(File, 0, 1 bsl 64 - 1)),
    ?assertEqual({ok, -1}, emmap_nif:patomic_load(File, 0)),
    ?assertEqual({ok, -1}, emmap_nif:patomic_compare_exchange(File, 0, 1 bsl 64 - 1, -(1 bsl 63))),
    ?assertEqual({ok, -(1 bsl 63)}, emmap_nif:patomic_load(File, 0)),
    ?assertEqual({ok, 0}, emmap_nif:counter_set(Counters, 1, 1 bsl 64 - 1)),
    ?assertEqual({ok, -1}, emmap_nif:counter_add(Counters, 1, -(1 bsl 63))),
    ?assertEqual({ok, 1 bsl 63 - 1}, emmap_nif:counter_get(Counters, 1)),
    ?assertEqual({error, einval}, emmap_nif:counter_get(Counters, 2)),
    [begin
        [?assertError(badarg, emmap_nif:Function(File, 0, Operand)) ||
            Function <- [patomic_add, patomic_sub, patomic_and, patomic_or, patomic_xor, patomic_exchange,
                         patomic_store]],
        [?assertError(badarg, emmap_nif:Function(Counters, 0, Operand)) ||
            Function <- [counter_add, counter_sub, counter_set]],
        ?assertError(badarg, emmap_nif:patomic_compare_exchange(File, 0, Operand, 1)),
        ?assertError(badarg, emmap_nif:patomic_compare_exchange(File, 0, 1, Operand)),
        ?assertError(badarg, emmap_nif:counter_compare_exchange(Counters, 0, Operand, 1)),
        ?assertError(badarg, emmap_nif:counter_compare_exchange(Counters, 0, 1, Operand))
    end || Operand <- [1 bsl 64, -(1 bsl 63) - 1, 1 bsl 200, 1.0, atom, <<"1">>, [1]]].

no_handle(Config) ->
    File = open(path(Config), ?PAGE, []),
    Calls = [{close, []}, {size, []}, {pread, [0, 1]}, {pwrite, [0, <<"x">>]}, {read, [1]}, {read_line, []},
             {write, [<<"x">>]}, {position, [0, bof]}, {resize, [?PAGE]}, {truncate, []}, {allocate, [0, 1]},
             {advise, [0, 1, normal]}, {flush, []}, {sync, []}, {datasync, []}, {patomic_add, [0, 1]},
             {patomic_load, [0]}, {patomic_store, [0, 1]}, {patomic_compare_exchange, [0, 0, 1]},
             {counter_add, [0, 1]}, {counter_get, [0]}, {counter_compare_exchange, [0, 0, 1]}],
    [?assertError(badarg, apply(emmap_nif, Function, [Handle | Arguments])) ||
        Handle <- [make_ref(), atomics:new(1, []), self(), 0, {File}, <<>>], {Function, Arguments} <- Calls],
    ?assertError(badarg, emmap_nif:pread(File, 1.0, 1)),
    ?assertError(badarg, emmap_nif:pread(File, 0, all)),
    ?assertError(badarg, emmap_nif:pwrite(File, 0, text)),
    ?assertError(badarg, emmap_nif:pwrite(File, 0, <<1:1>>)),
    ?assertError(badarg, emmap_nif:pwrite(File, 0, [256])),
    ?assertError(badarg, emmap_nif:write(File, [binary:copy(<<"x">>, ?PIECE + 1) | tail])),
    ?assertError(badarg, emmap_nif:position(File, 0, start)),
    ?assertError(badarg, emmap_nif:advise(File, 0, 1, sometimes)).

bad_paths_and_options(Config) ->
    Path = path(Config),
    ?assertError(badarg, emmap_nif:open("string", [])),
    ?assertError(badarg, emmap_nif:open(<<Path/binary, 0>>, [write, create, {size, 8}])),
    ?assertError(badarg, emmap_nif:open(<<Path/bitstring, 1:1>>, [write, create, {size, 8}])),
    [?assertEqual({error, {badarg, Option}}, emmap_nif:open(Path, [write, create, {size, 8}, Option])) ||
        Option <- [unknown, {size, -1}, {size, a}, {size}, {size, 1, 2}, size, {read, 1}, 7, {7, 7}, "read",
                   {chmod, 8#10000}, {size, -(1 bsl 70)}, list_to_atom(lists:duplicate(255, $a)),
                   list_to_atom([16#436, 16#436])]],
    ?assertEqual({error, {badarg, unknown}}, emmap_nif:counters_open(Path, 1, [unknown])),
    ?assertEqual({error, {badarg, no_list}}, emmap_nif:open(Path, no_list)),
    ?assertEqual({error, {badarg, tail}}, emmap_nif:open(Path, [read | tail])),
    ?assertEqual({error, enoent}, emmap_nif:open(Path, [read])),
    ?assertMatch({error, _}, emmap_nif:open(Path, [write, create, {size, 1 bsl 200}])),
    ?assertNot(filelib:is_file(Path)).

%%% Long calls

long_reads_and_writes(Config) ->
    Path = path(Config),
    Size = 4 * ?PIECE + 100,
    Copy = open(Path, Size, []),
    Direct = open(Path, Size, [direct]),
    Bytes = rand:bytes(Size),
    ok = emmap_nif:pwrite(Copy, 0, Bytes),
    [begin
        Expected = binary:part(Bytes, Position, min(Length, Size - Position)),
        ?assertEqual({ok, Expected}, emmap_nif:pread(File, Position, Length)),
        {ok, Position} = emmap_nif:position(File, Position, bof),
        ?assertEqual({ok, Expected}, emmap_nif:read(File, Length))
    end || File <- [Copy, Direct], Position <- [0, 1, ?PIECE],
           Length <- [?PIECE - 1, ?PIECE, ?PIECE + 1, Size, 1 bsl 40]],
    {ok, 0} = emmap_nif:position(Copy, 0, bof),
    ok = emmap_nif:write(Copy, binary:part(Bytes, 100, 2 * ?PIECE)),
    {ok, 2 * ?PIECE} = emmap_nif:position(Copy, 0, cur),
    ?assertEqual({ok, binary:part(Bytes, 100, 2 * ?PIECE)}, emmap_nif:pread(Direct, 0, 2 * ?PIECE)),
    ?assertEqual({error, einval}, emmap_nif:pwrite(Copy, 1, Bytes)),
    ?assertEqual({ok, binary:part(Bytes, 100, 2 * ?PIECE)}, emmap_nif:pread(Direct, 0, 2 * ?PIECE)).

iodata(Config) ->
    {ok, File} = emmap:open(path(Config), [create, read, write, {size, 4 * ?PIECE}, {backend, nif}]),
    Long = rand:bytes(?PIECE),
    <<_:3, Unaligned:1000/binary, _/bitstring>> = Long,
    [begin
        Expected = iolist_to_binary(Data),
        ok = emmap:pwrite(File, 5, Data),
        ?assertEqual({ok, Expected}, read_exactly(File, 5, byte_size(Expected))),
        {ok, 9} = emmap:position(File, {bof, 9}),
        ok = emmap:write(File, Data),
        ?assertEqual({ok, Expected}, read_exactly(File, 9, byte_size(Expected)))
    end || Data <- [<<"heap">>, "string", [], <<>>, [[], <<>>], [$a, "bc", [<<"de">> | <<"f">>]],
                    binary:part(Long, 3, 50), binary:part(Long, 3, 5000), Unaligned, [Unaligned, 1, Unaligned],
                    [Long, 1, <<"two">>, [Long], Unaligned | binary:part(Long, 1, 7)],
                    [binary:part(Long, N, 80) || N <- lists:seq(1, 2000)],
                    lists:duplicate(?PIECE + 1, $x)]],
    %% Nothing to write is fine anywhere.
    ?assertEqual(ok, emmap:pwrite(File, 1 bsl 40, [])).

%% Source and target overlap in one mapping.
write_from_a_direct_binary(Config) ->
    Path = path(Config),
    File = open(Path, ?PAGE, [direct]),
    ok = emmap_nif:pwrite(File, 0, <<"abcdefgh">>),
    {ok, Binary} = emmap_nif:pread(File, 0, 8),
    ok = emmap_nif:pwrite(File, 100, Binary),
    ?assertEqual({ok, <<"abcdefgh">>}, emmap_nif:pread(File, 100, 8)),
    ok = emmap_nif:pwrite(File, 8, [Binary, Binary]),
    ?assertEqual({ok, <<"abcdefghabcdefghabcdefgh">>}, emmap_nif:pread(File, 0, 24)).

long_lines(Config) ->
    Path = path(Config),
    Lines = [[lists:duplicate(Length, $x), $\n] || Length <- [0, 1, 1022, 1023, 1024, 1025, ?PIECE, 3 * ?PIECE]],
    Last = lists:duplicate(2000, $y),
    ok = file:write_file(Path, [Lines, Last]),
    [begin
        {ok, File, _} = emmap_nif:open(Path, [read, shared | Options]),
        [?assertEqual({ok, iolist_to_binary(Line)}, emmap_nif:read_line(File)) || Line <- Lines ++ [Last]],
        ?assertEqual(eof, emmap_nif:read_line(File))
    end || Options <- [[], [direct]]].

%% In a node of its own, with a limit on its memory.
no_memory_for_a_read(Config) ->
    Path = path(Config),
    {0, _} = emmap_child:run(?MODULE, run_no_memory, [Path], ["+MIscs", "64"]),
    ok.

run_no_memory(Path) ->
    %% More than any machine has, sparse.
    Size = 1 bsl 46,
    case emmap_nif:open(Path, [write, create, shared, noreserve, {size, Size}]) of
        {ok, File, _} ->
            {error, enomem} = emmap_nif:pread(File, 0, Size),
            {error, enomem} = emmap_nif:read(File, Size),
            {ok, <<0>>} = emmap_nif:read(File, 1),
            ok = emmap_nif:close(File);
        {error, Reason} when Reason =:= efbig; Reason =:= enospc; Reason =:= enomem ->
            %% The file system has a limit below that.
            ok
    end,
    file:delete(Path).

%% The node itself watches for calls that keep a normal scheduler for long.
long_calls_leave_the_schedulers_free(Config) ->
    Path = path(Config),
    Size = 256 bsl 20,
    Bytes = binary:copy(<<"x">>, Size),
    %% The tests' node is busy with other things as well: only this process counts.
    Watcher = spawn_link(fun() -> watch([]) end),
    _ = erlang:system_monitor(Watcher, [{long_schedule, 20}]),
    {Worker, Monitor} = spawn_monitor(fun() ->
        File = open(Path, Size, []),
        ok = emmap_nif:pwrite(File, 0, Bytes),
        ok = emmap_nif:pwrite(File, 0, [<<"y">>, binary:part(Bytes, 0, Size - 1)]),
        {ok, Read} = emmap_nif:pread(File, 0, Size),
        Size = byte_size(Read),
        {ok, Line} = emmap_nif:read_line(File),
        Size = byte_size(Line),
        ok = emmap_nif:datasync(File),
        {ok, _} = emmap_nif:resize(File, Size + ?PAGE),
        {ok, _, _} = emmap_nif:open(Path, [read, shared, populate]),
        ok = emmap_nif:close(File)
    end),
    receive {'DOWN', Monitor, _, _, Reason} -> ?assertEqual(normal, Reason) end,
    _ = erlang:system_monitor(undefined),
    Watcher ! {tell, self()},
    Reports = receive {Watcher, All} -> All end,
    ?assertEqual([], [Report || {monitor, Pid, long_schedule, _} = Report <- Reports, Pid =:= Worker]).

%% A process that copies all the time yields to others like one that computes, because the NIF reports its time.
%% Otherwise a call would be one reduction, no matter how much it copies.
copies_count_as_work(Config) ->
    File = open(path(Config), ?PIECE, []),
    Bytes = binary:copy(<<"x">>, ?PIECE),
    Calls = [fun() -> emmap_nif:pread(File, 0, ?PIECE) end, fun() -> emmap_nif:pwrite(File, 0, Bytes) end,
             fun() -> emmap_nif:position(File, 0, bof), emmap_nif:read(File, ?PIECE) end,
             fun() -> emmap_nif:position(File, 0, bof), emmap_nif:write(File, Bytes) end],
    [?assert(reductions(Call, 100) > 100 * 100) || Call <- Calls],
    ?assert(reductions(fun() -> emmap_nif:pread(File, 0, 8) end, 100) < 100 * 100).

reductions(Call, Times) ->
    {reductions, Before} = process_info(self(), reductions),
    _ = [Call() || _ <- lists:seq(1, Times)],
    {reductions, After} = process_info(self(), reductions),
    After - Before.

watch(Reports) ->
    receive
        {tell, Who} -> Who ! {self(), Reports};
        Report -> watch([Report | Reports])
    end.

%%% Handles

handle_is_collected(Config) ->
    Path = path(Config),
    {Pid, Monitor} = spawn_monitor(fun() -> _ = open(Path, ?PAGE, []) end),
    receive {'DOWN', Monitor, _, Pid, normal} -> ok end,
    ok = until(fun() -> descriptors(Path) =:= 0 andalso mappings(Path) =:= 0 end).

any_process_may_use_a_handle(Config) ->
    Path = path(Config),
    Test = self(),
    {Pid, Monitor} = spawn_monitor(fun() -> Test ! {handle, open(Path, ?PAGE, [])} end),
    receive {'DOWN', Monitor, _, Pid, normal} -> ok end,
    File = receive {handle, Handle} -> Handle end,
    ok = emmap_nif:pwrite(File, 0, <<"mine">>),
    ?assertEqual({ok, <<"mine">>}, emmap_nif:pread(File, 0, 4)),
    ?assertEqual(ok, emmap_nif:close(File)).

%%% Loading

upgrade(Config) ->
    Next = copy_of_application(Config),
    ?assertEqual({0, <<>>}, emmap_child:run(?MODULE, run_upgrade, [path(Config), Next])).

run_upgrade(Path, Next) ->
    ok = emmap_nif:loaded(),
    File = open(Path, ?PAGE, []),
    Direct = open(Path, ?PAGE, [direct]),
    {ok, Counters, 1} = emmap_nif:counters_open(<<Path/binary, ".counters">>, 1, []),
    ok = emmap_nif:pwrite(File, 0, <<"from the first version">>),
    {ok, Binary} = emmap_nif:pread(Direct, 0, 8),
    {ok, 0} = emmap_nif:counter_add(Counters, 0, 1),
    {LastBeforeUpgrade, _} = lend(open(Path, ?PAGE, [direct]), 0, 8),

    [Library] = libraries(),
    true = code:add_patha(filename:join(Next, "ebin")),
    {module, emmap_nif} = code:load_file(emmap_nif),
    [_, _] = lists:usort([Library | libraries()]),
    ok = emmap_nif:loaded(),
    Use = fun(N) ->
        {ok, <<"from the">>} = emmap_nif:pread(File, 0, 8),
        {ok, <<"from the">>} = emmap_nif:pread(Direct, 0, 8),
        {ok, <<"f">>} = emmap_nif:pread(Direct, 0, 1),
        {ok, N} = emmap_nif:counter_add(Counters, 0, 1),
        {ok, _} = emmap_nif:resize(File, (N + 1) * ?PAGE),
        <<"from the">> = Binary,
        {ok, New, _} = emmap_nif:open(Path, [read, write, shared, direct]),
        {ok, <<"from the">>} = emmap_nif:pread(New, 0, 8),
        ok = emmap_nif:close(New)
    end,
    Use(1),
    false = code:purge(emmap_nif),
    Use(2),
    ok = release(LastBeforeUpgrade),

    %% Faults that meet a mapping of the first library are still handled by it.
    {ok, Raw} = file:open(Path, [read, write, raw]),
    {ok, _} = file:position(Raw, 0),
    ok = file:truncate(Raw),
    {error, efault} = emmap_nif:pread(File, 0, 8),
    {error, efault} = emmap_nif:patomic_load(File, 0),
    ok = file:close(Raw),

    ok = emmap_nif:close(File),
    ok = emmap_nif:close(Direct),
    {error, closed} = emmap_nif:pread(Direct, 0, 8),
    {ok, 3} = emmap_nif:counter_get(Counters, 0),
    ok = emmap_nif:close(Counters).

failed_upgrade_keeps_the_old_version(Config) ->
    Next = copy_of_application(Config),
    ok = file:delete(filename:join([Next, "priv", "emmap_nif.so"])),
    {0, _} = emmap_child:run(?MODULE, run_failed_upgrade, [Next]),
    ok.

run_failed_upgrade(Next) ->
    ok = emmap_nif:loaded(),
    true = code:add_patha(filename:join(Next, "ebin")),
    {error, on_load_failure} = code:load_file(emmap_nif),
    ok = emmap_nif:loaded(),
    {error, enoent} = emmap_nif:open(<<"missing/file">>, [read]).

missing_library(Config) ->
    Next = copy_of_application(Config),
    ok = file:delete(filename:join([Next, "priv", "emmap_nif.so"])),
    ?assertEqual({0, <<>>}, emmap_child:run(?MODULE, run_missing_library, [Next])).

run_missing_library(Next) ->
    true = code:add_patha(filename:join(Next, "ebin")),
    {error, {load_failed, _}} = emmap_nif:loaded(),
    try emmap_nif:open(<<"missing/file">>, [read]) of
        _ -> error(opened)
    catch
        error:{not_loaded, emmap_nif} -> ok
    end.

%% A second version of the application: the same code from other files.
copy_of_application(Config) ->
    Application = filename:dirname(filename:dirname(code:which(emmap_nif))),
    Copy = filename:join([?config(folder, Config), "next", "emmap"]),
    [begin
        ok = filelib:ensure_dir(filename:join([Copy, Part, "x"])),
        {ok, _} = file:copy(filename:join([Application, Part, File]), filename:join([Copy, Part, File]))
    end || {Part, File} <- [{"ebin", "emmap_nif.beam"}, {"ebin", "emmap_backend.beam"}, {"priv", "emmap_nif.so"}]],
    Copy.

%%% Helpers

path(Config) ->
    ?config(path, Config).

open(Path, Size, Options) ->
    {ok, File, _} = emmap_nif:open(Path, [read, write, create, shared, {size, Size} | Options]),
    File.

read_exactly(_File, _Position, 0) ->
    {ok, <<>>};
read_exactly(File, Position, Length) ->
    emmap:pread(File, Position, Length).

%% A process that has a direct binary, and a function that reads its first bytes.
lend(File, Position, Length) ->
    Test = self(),
    {Holder, Monitor} = spawn_monitor(fun() ->
        {ok, Binary} = emmap_nif:pread(File, Position, Length),
        Test ! {self(), held},
        hold(Binary)
    end),
    receive {Holder, held} -> ok end,
    Look = fun(Bytes) ->
        Holder ! {look, self(), Bytes},
        receive {Holder, Seen} -> Seen end
    end,
    {{Holder, Monitor}, Look}.

hold(Binary) ->
    receive
        {look, Who, Bytes} ->
            Who ! {self(), binary:copy(binary:part(Binary, 0, Bytes))},
            hold(Binary);
        release ->
            ok
    end.

release({Holder, Monitor}) ->
    Holder ! release,
    receive {'DOWN', Monitor, _, Holder, normal} -> ok end.

%% The numbers of this node's descriptors and mappings of the file.
descriptors(Path) ->
    {ok, Names} = file:list_dir("/proc/self/fd"),
    length([Name || Name <- Names, file:read_link(filename:join("/proc/self/fd", Name)) =:= {ok, binary_to_list(Path)}]).

mappings(Path) ->
    length([Line || Line <- maps(), binary:match(Line, Path) =/= nomatch]).

libraries() ->
    lists:usort([lists:last(binary:split(Line, <<" ">>, [global])) ||
                 Line <- maps(), binary:match(Line, <<"emmap_nif.so">>) =/= nomatch]).

maps() ->
    {ok, Maps} = file:read_file("/proc/self/maps"),
    binary:split(Maps, <<"\n">>, [global, trim]).

until(Condition) ->
    case Condition() of
        true -> ok;
        false -> receive after 1 -> until(Condition) end
    end.
