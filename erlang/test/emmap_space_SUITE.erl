%% Disk space that queues and block storages give back, over both backends.
-module(emmap_space_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([queue/1, storage/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([queue, storage]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%% A queue that has become empty takes little of the disk, and so does one with few messages after a compaction.
queue(Config) ->
    Path = emmap_test:path(Config, "queue"),
    {ok, Queue} = emmap_queue:open(Path, 4096, [shared, {backend, proplists:get_value(backend, Config)}]),
    Terms = [{N, binary:copy(<<N>>, 65536)} || N <- lists:seq(1, 160)],
    [ok = emmap_queue:push(Queue, Term) || Term <- Terms],
    Size = filelib:file_size(Path),
    ?assert(taken(Path) > 10 bsl 20),
    [?assert(Term =:= emmap_queue:pop(Queue)) || Term <- Terms],
    ?assert(taken(Path) < 65536),
    ?assertEqual(Size, filelib:file_size(Path)),
    [ok = emmap_queue:push(Queue, Term) || Term <- Terms],
    {Popped, Left} = lists:split(150, Terms),
    [?assert(Term =:= emmap_queue:pop(Queue)) || Term <- Popped],
    Before = taken(Path),
    {ok, Bytes} = emmap_queue:compact(Queue),
    ?assertEqual(Before - taken(Path), Bytes),
    ?assert(taken(Path) < 1 bsl 20),
    [?assert(Term =:= emmap_queue:pop(Queue)) || Term <- Left],
    ok = emmap_queue:close(Queue),
    ?assertEqual({error, closed}, emmap_queue:compact(Queue)).

%% The file keeps its size, and takes little of the disk.
storage(Config) ->
    Path = emmap_test:path(Config, "storage"),
    {ok, Storage} = emmap:open_block_storage(Path, 16384, [{backend, proplists:get_value(backend, Config)}]),
    Blocks = [<<N:64, 0:(8 * 16376)>> || N <- lists:seq(1, 640)],
    {ok, Addresses} = emmap:store_blocks(Storage, Blocks),
    Size = filelib:file_size(Path),
    {Few, Many} = lists:split(3, Addresses),
    % more than a quarter of the storage: by itself
    ?assertEqual(ok, emmap:free_blocks(Storage, Many)),
    ?assert(taken(Path) < 1 bsl 20),
    ?assertEqual(Size, filelib:file_size(Path)),
    ?assertEqual(lists:zip(Few, lists:sublist(Blocks, 3)), lists:reverse(emmap:read_blocks(Storage))),
    {ok, More} = emmap:store_blocks(Storage, lists:sublist(Blocks, 100)),
    Before = taken(Path),
    ?assert(Before > 100 * 16384),
    ?assertEqual(ok, emmap:free_blocks(Storage, More)),
    {ok, Bytes} = emmap:compact_block_storage(Storage),
    ?assertEqual(Before - taken(Path), Bytes),
    ?assert(Bytes > 1 bsl 20),
    ?assertEqual({ok, 3}, emmap:count_blocks(Storage)),
    % one by one, on whatever scheduler
    {ok, Again} = emmap:store_blocks(Storage, Blocks),
    [true = emmap:free_block(Storage, Address) || Address <- Again ++ Few],
    ?assert(taken(Path) < 1 bsl 20),
    ok = emmap:close(Storage),
    ?assertEqual({error, closed}, emmap:compact_block_storage(Storage)).

taken(Path) ->
    list_to_integer(string:trim(os:cmd("stat -c %b '" ++ Path ++ "'"))) * 512.
