#!/usr/bin/env escript
%%! +S 1:1 +IOs false
%% A block storage on BEAM, over both backends, beside tables that keep bytes under a number.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/blocks.escript [--quick]
%%
%% A block is stored, read and freed while ?BACKLOG others are there.
-mode(compile).

-define(SECTION, "Block storages").
-define(BACKLOG, 1000).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Block = binary:copy(<<1>>, 64),
    Exclusive = [read, write, create, exclusive],
    Storages = [Alone, Shared, Port] = [
        begin
            {ok, Storage} = emmap:open_block_storage(filename:join(Folder, Name), 64, Options),
            {ok, _} = emmap:store_blocks(Storage, lists:duplicate(?BACKLOG, Block)),
            Storage
        end
     || {Name, Options} <- [
            {"exclusive", [{backend, nif} | Exclusive]},
            {"shared", [{backend, nif}]},
            {"port", [{backend, port} | Exclusive]}
        ]
    ],
    Ets = ets:new(blocks, [public]),
    {ok, Dets} = dets:open_file(blocks, [{file, filename:join(Folder, "dets")}, {auto_save, infinity}]),
    _ = [begin ets:insert(Ets, {Id, Block}), ok = dets:insert(Dets, {Id, Block}) end || Id <- lists:seq(1, ?BACKLOG)],
    Counters = counters:new(1, []),
    Known = emmap:store_block(Alone, Block),
    Ratio = rounds:race([
        {counters, fun(N) -> counters_add(Counters, N) end},
        {store, {fun(_) -> none end, fun(N, none) -> store(Alone, Block, N, []) end, fun(All) -> free(Alone, All) end}},
        {free, {fun(N) -> store(Alone, Block, N, []) end, fun(_, All) -> free(Alone, All) end, fun(ok) -> ok end}},
        {read, fun(N) -> read(Alone, Known, N) end},
        {both_exclusive, fun(N) -> store_and_free(Alone, Block, N) end},
        {both_shared, fun(N) -> store_and_free(Shared, Block, N) end},
        {exclusive, fun(N) -> storage(Alone, Block, N) end},
        {shared, fun(N) -> storage(Shared, Block, N) end},
        {port, fun(N) -> storage(Port, Block, N) end},
        {ets, fun(N) -> ets_table(Ets, Block, N) end},
        {dets, fun(N) -> dets_table(Dets, Block, N) end}
    ], 101),
    _ = [ok = emmap:close(Storage) || Storage <- Storages],
    ok = dets:close(Dets),
    ok = file:del_dir_r(Folder),
    rounds:recorded(store_block, "store_block 64 B, exclusive", Ratio(store, counters), "at most 1.6"),
    rounds:recorded(free_block, "free_block, exclusive", Ratio(free, counters), "at most 1.6"),
    rounds:recorded(read_block, "read_block 64 B, exclusive", Ratio(read, counters), "at most 1.0"),
    Both = "NIF store + free of 64 B, shared",
    rounds:ratio(?SECTION, Both, Ratio(both_shared, both_exclusive), "the same, exclusive", "at most 1.4"),
    _ = [
        rounds:ratio(?SECTION, Name ++ " store + read + free of 64 B", Ratio(Key, Peer), Beside)
     || {Name, Key} <- [{"NIF, exclusive,", exclusive}, {"NIF, shared,", shared}, {"port, exclusive,", port}],
        {Peer, Beside} <- [{ets, "ets, which is in no file"}, {dets, "dets"}]
    ].

counters_add(_, 0) -> ok;
counters_add(Counters, N) -> ok = counters:add(Counters, 1, 1), counters_add(Counters, N - 1).

store(_, _, 0, Addresses) -> Addresses;
store(Storage, Block, N, Addresses) -> store(Storage, Block, N - 1, [emmap:store_block(Storage, Block) | Addresses]).

free(_, []) -> ok;
free(Storage, [Address | Rest]) -> true = emmap:free_block(Storage, Address), free(Storage, Rest).

read(_, _, 0) -> ok;
read(Storage, Address, N) -> _ = emmap:read_block(Storage, Address), read(Storage, Address, N - 1).

store_and_free(_, _, 0) ->
    ok;
store_and_free(Storage, Block, N) ->
    true = emmap:free_block(Storage, emmap:store_block(Storage, Block)),
    store_and_free(Storage, Block, N - 1).

storage(_, _, 0) ->
    ok;
storage(Storage, Block, N) ->
    Address = emmap:store_block(Storage, Block),
    Block = emmap:read_block(Storage, Address),
    true = emmap:free_block(Storage, Address),
    storage(Storage, Block, N - 1).

ets_table(_, _, 0) ->
    ok;
ets_table(Table, Block, N) ->
    Id = ?BACKLOG + N,
    true = ets:insert(Table, {Id, Block}),
    [{Id, Block}] = ets:lookup(Table, Id),
    true = ets:delete(Table, Id),
    ets_table(Table, Block, N - 1).

dets_table(_, _, 0) ->
    ok;
dets_table(Table, Block, N) ->
    Id = ?BACKLOG + N,
    ok = dets:insert(Table, {Id, Block}),
    [{Id, Block}] = dets:lookup(Table, Id),
    ok = dets:delete(Table, Id),
    dets_table(Table, Block, N - 1).
