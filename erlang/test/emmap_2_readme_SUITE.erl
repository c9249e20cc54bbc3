%% The calls that the README of emmap 2.x shows of each of its parts, as they stand in the code of a service that moves,
%% with the answers of emmap 2.1.3.
-module(emmap_2_readme_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([a_mapped_file/1, a_file_of_any_size/1, a_direct_read/1, atomic_operations/1, counters/1]).
-export([a_queue_that_is_deleted/1, a_queue_that_persists/1, a_purge_of_an_empty_queue/1, a_server/1]).
-export([a_block_storage/1, a_storage_in_chunks/1, a_repair_in_chunks/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups([
        a_mapped_file, a_file_of_any_size, a_direct_read, atomic_operations, counters,
        a_queue_that_is_deleted, a_queue_that_persists, a_purge_of_an_empty_queue, a_server,
        a_block_storage, a_storage_in_chunks, a_repair_in_chunks]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%% The environment of a service that moves: `open_info', and the backend.
moved(Config, Fun) ->
    emmap_2_answers:with_environment(proplists:get_value(backend, Config), Fun).

%%% Files

%% The functions of `file' work on what open/2 and open/4 answer.
a_mapped_file(Config) ->
    Path = emmap_test:path(Config, "file"),
    moved(Config, fun() ->
        {ok, Mem, #{exist := false, size := 4096}} =
            emmap:open(Path, [create, read, write, shared, {size, 4096}]),
        ok = file:pwrite(Mem, 100, <<"one\ntwo\n">>),
        {ok, <<"one">>} = file:pread(Mem, 100, 3),
        {ok, 100} = file:position(Mem, 100),
        {ok, <<"one\n">>} = file:read_line(Mem),
        {ok, <<"two\n">>} = file:read(Mem, 4),
        ok = emmap:flush(Mem),
        ok = file:close(Mem),
        {ok, Again, #{exist := true, size := 4096}} = emmap:open(Path, 0, 4096, [read, write, shared]),
        {ok, <<"two">>} = emmap:pread(Again, 104, 3),
        ok = emmap:close(Again)
    end).

%% `fit' maps the whole file if it is larger than the given size.
a_file_of_any_size(Config) ->
    Path = emmap_test:fresh(Config, "file", <<0:5000/unit:8>>),
    moved(Config, fun() ->
        {error, _} = emmap:open(Path, 0, 4096, [read, write, shared]),
        {ok, Mem, #{exist := true, size := 5000}} = emmap:open(Path, 0, 4096, [read, write, shared, fit]),
        {ok, 10000} = emmap:resize(Mem),
        ok = emmap:close(Mem)
    end).

%% A binary of a direct read changes with the file. On the port there is none.
a_direct_read(Config) ->
    Path = emmap_test:fresh(Config, "file", <<"one two">>),
    moved(Config, fun() ->
        {ok, Mem, _} = emmap:open(Path, [read, write, shared, direct]),
        case emmap_test_backends:can(proplists:get_value(backend, Config), direct) of
            true ->
                {ok, Bytes} = file:pread(Mem, 0, 3),
                ok = file:pwrite(Mem, 0, <<"six">>),
                ?assertEqual(<<"six">>, Bytes);
            false ->
                ?assertEqual({error, enotsup}, file:pread(Mem, 0, 3)),
                ?assertEqual(ok, file:pwrite(Mem, 0, <<"six">>))
        end,
        ok = file:close(Mem)
    end).

%%% Atomics and counters

%% Each operation answers the word's value before it.
atomic_operations(Config) ->
    moved(Config, fun() ->
        {ok, Mem, _} = emmap:open(emmap_test:path(Config, "file"), 0, 8, [create, read, write, shared, nolock]),
        {ok, 0} = emmap:patomic_add(Mem, 0, 10),
        {ok, 10} = emmap:patomic_sub(Mem, 0, 5),
        {ok, 5} = emmap:patomic_and(Mem, 0, 4),
        {ok, 4} = emmap:patomic_or(Mem, 0, 1),
        {ok, 5} = emmap:patomic_xor(Mem, 0, 1),
        {ok, 4} = emmap:patomic_xchg(Mem, 0, 7),
        {true, 7} = emmap:patomic_cas(Mem, 0, 7, 8),
        {false, 8} = emmap:patomic_cas(Mem, 0, 7, 9),
        ok = emmap:patomic_write_integer(Mem, 0, 42),
        {ok, 42} = emmap:patomic_read_integer(Mem, 0),
        ok = emmap:close(Mem)
    end).

%% A file with its count, and {ok, Value} of each operation.
counters(Config) ->
    Path = emmap_test:path(Config, "counters"),
    moved(Config, fun() ->
        F = emmap:open_counters(Path, 2),
        {_, 2} = F,
        Values = [emmap:inc_counter(F, 0), emmap:inc_counter(F, 0, 5), emmap:dec_counter(F, 0),
                  emmap:dec_counter(F, 0, 2), emmap:set_counter(F, 0, 15), emmap:read_counter(F, 0)],
        ?assertEqual([{ok, V} || V <- [0, 1, 6, 5, 3, 15]], Values),
        ok = emmap:close_counters(F),
        G = emmap:open_counters(Path, 2),
        ?assertEqual([{ok, 15}, {ok, 0}], [emmap:read_counter(G, I) || I <- [0, 1]]),
        ok = emmap:close_counters(G),
        One = emmap:open_counters(emmap_test:path(Config, "counter")),
        {_, 1} = One,
        ok = emmap:close_counters(One)
    end).

%%% Queues

a_queue_that_is_deleted(Config) ->
    Path = emmap_test:path(Config, "queue"),
    moved(Config, fun() ->
        {ok, Q} = emmap_queue:open(Path, 1024, [auto_unlink]),
        ok = emmap_queue:push(Q, a),
        ok = emmap_queue:push(Q, {b, 1}),
        ok = emmap_queue:push(Q, <<"c">>),
        ?assertEqual(3, emmap_queue:length(Q)),
        a = emmap_queue:pop(Q),
        {b, 1} = emmap_queue:peek_front(Q),
        {b, 1} = emmap_queue:try_pop(Q, fun(Term) -> Term end),
        ?assertError(oops, emmap_queue:try_pop(Q, fun(_) -> error(oops) end)),
        <<"c">> = emmap_queue:pop_and_purge(Q),
        true = emmap_queue:is_empty(Q),
        nil = emmap_queue:pop(Q),
        ok = emmap_queue:close(Q),
        ?assertEqual({error, enoent}, file:read_file_info(Path))
    end).

a_queue_that_persists(Config) ->
    Path = emmap_test:path(Config, "queue"),
    moved(Config, fun() ->
        {ok, Q} = emmap_queue:open(Path, 1024, [shared]),
        [ok, ok] = [emmap_queue:push(Q, Term) || Term <- [a, b]],
        ok = emmap_queue:close(Q),
        {ok, Again} = emmap_queue:open(Path, 1024, [shared]),
        [b, a] = emmap_queue:pop(Again, [], fun(Term, Terms) -> {cont, [Term | Terms]} end),
        ok = emmap_queue:close(Again)
    end).

%% An example ends with a pop_and_purge/1 of an empty queue. That keeps the place; purge/1 gives it back.
a_purge_of_an_empty_queue(Config) ->
    moved(Config, fun() ->
        {ok, Q} = emmap_queue:open(emmap_test:path(Config, "queue"), 1024, [auto_unlink, shared]),
        [ok, ok, ok] = [emmap_queue:push(Q, Term) || Term <- [a, {b, 1}, <<"c">>]],
        #{head := 16, tail := 70, next_tail := 70} = emmap_queue:metadata(Q),
        false = emmap_queue:purge(Q),
        [a, {b, 1}, <<"c">>, nil] = [emmap_queue:pop(Q) || _ <- [1, 2, 3, 4]],
        nil = emmap_queue:pop_and_purge(Q),
        #{head := 70, tail := 70, next_tail := 70} = emmap_queue:metadata(Q),
        true = emmap_queue:purge(Q),
        #{head := 16, tail := 16, next_tail := 16, size := 1024} = emmap_queue:metadata(Q),
        ok = emmap_queue:close(Q)
    end).

%% The fun runs in the server, and its exception is an error in the caller.
a_server(Config) ->
    moved(Config, fun() ->
        {ok, Pid} = emmap_queue:start_link(?MODULE, emmap_test:path(Config, "queue"), 1024, [auto_unlink]),
        [ok, ok, ok] = [emmap_queue:enqueue(?MODULE, Term) || Term <- [a, b, c]],
        a = emmap_queue:inspect(?MODULE),
        a = emmap_queue:dequeue(Pid),
        {Pid, b} = emmap_queue:try_dequeue(Pid, fun(Term) -> {self(), Term} end),
        ?assertError(oops, emmap_queue:try_dequeue(Pid, fun(_) -> throw(oops) end)),
        c = emmap_queue:dequeue(?MODULE),
        nil = emmap_queue:dequeue(?MODULE),
        #{head := 16, tail := 16, next_tail := 16, size := 1024} = emmap_queue:info(?MODULE),
        ok = gen_server:stop(Pid)
    end).

%%% Block storages

storage(Path, BlockSize) ->
    {ok, Mem, _} = emmap:open(Path, 0, 4096, [create, read, write, shared, fit]),
    ok = emmap:init_block_storage(Mem, BlockSize),
    Mem.

a_block_storage(Config) ->
    Path = emmap_test:path(Config, "blocks"),
    moved(Config, fun() ->
        Mem = storage(Path, 8),
        Address = emmap:store_block(Mem, <<"12345678">>),
        true = is_integer(Address),
        <<"12345678">> = emmap:read_block(Mem, Address),
        [{Address, <<"12345678">>}] = emmap:read_blocks(Mem),
        true = emmap:free_block(Mem, Address),
        false = emmap:free_block(Mem, Address),
        eof = emmap:read_block(Mem, Address),
        [] = emmap:read_blocks(Mem),
        ok = emmap:repair_block_storage(Mem),
        ok = emmap:close(Mem)
    end).

%% Chunks that are prepended and appended give what one call gives.
a_storage_in_chunks(Config) ->
    moved(Config, fun() ->
        Mem = storage(emmap_test:path(Config, "blocks"), 8),
        Addresses = [emmap:store_block(Mem, <<N:64>>) || N <- lists:seq(1, 100)],
        Chunked = chunks(Mem, 0, []),
        ?assertEqual(emmap:read_blocks(Mem), Chunked),
        ?assertEqual(lists:sort(Addresses), lists:sort([Address || {Address, _} <- Chunked])),
        ok = emmap:close(Mem)
    end).

chunks(Mem, Start, Chunks) ->
    case emmap:read_blocks(Mem, Start, 7) of
        {Blocks, eof} -> lists:append([Blocks | Chunks]);
        {Blocks, Next} -> chunks(Mem, Next, [Blocks | Chunks])
    end.

%% The loop ends on a full storage, too; in emmap 2.x the continuation begins anew there.
a_repair_in_chunks(Config) ->
    Full = 262144,
    moved(Config, fun() ->
        Mem = storage(emmap_test:path(Config, "blocks"), 1),
        {ok, _} = emmap:store_blocks(Mem, [<<1>> || _ <- lists:seq(1, Full)]),
        ?assertEqual({error, full}, emmap:store_block(Mem, <<1>>)),
        ?assertEqual(ok, repair(Mem, 0, Full)),
        ?assertEqual({ok, Full}, emmap:count_blocks(Mem)),
        ok = emmap:close(Mem)
    end).

%% Makes a limited number of steps.
repair(Mem, Start, Steps) when Steps > 0 ->
    case emmap:repair_block_storage(Mem, Start, 8192) of
        eof -> ok;
        Next -> repair(Mem, Next, Steps - 1)
    end.
