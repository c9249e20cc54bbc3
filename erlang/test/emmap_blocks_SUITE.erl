%% Block storages, over both backends.
-module(emmap_blocks_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([stores_reads_and_frees/1, many/1, all_or_none/1, no_such_block/1, wrong_length/1, addresses_are_reused/1,
         walks/1, walks_to_the_last_address/1, walks_from_no_place/1, repairs/1, levels/1, full/1, grows/1, initialises_an_open_file/1,
         initialises_whatever_there_is/1, private/1, options/1,
         closed/1, exclusive/1, read_only/1, reopens/1]).
-export([emmap_2_blocks/1, emmap_2_deep_blocks/1, writes_the_bytes_of_emmap_2/1, corrupt/1]).
-export([many_processes_on_many_handles/1, both_backends_on_one_storage/1, long_blocks/1]).

-include_lib("stdlib/include/assert.hrl").
-include("../src/emmap_file.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [stores_reads_and_frees, many, all_or_none, no_such_block, wrong_length, addresses_are_reused, walks,
       walks_to_the_last_address, walks_from_no_place, repairs, levels, full, grows, initialises_an_open_file, initialises_whatever_there_is,
       private, options, closed, exclusive, read_only, reopens,
       emmap_2_blocks, emmap_2_deep_blocks, writes_the_bytes_of_emmap_2, corrupt, many_processes_on_many_handles,
       both_backends_on_one_storage, long_blocks]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

open(Config, Name, BlockSize, Options) ->
    emmap:open_block_storage(emmap_test:path(Config, Name), BlockSize,
                             [{backend, proplists:get_value(backend, Config)} | Options]).

storage(Config, Name, BlockSize) ->
    {ok, Storage} = open(Config, Name, BlockSize, []),
    Storage.

stores_reads_and_frees(Config) ->
    Storage = storage(Config, "storage", 5),
    First = emmap:store_block(Storage, <<"first">>),
    Other = emmap:store_block(Storage, ["ot", <<"her">>]),
    ?assertEqual({0, 4096}, {First, Other}),
    ?assertEqual(<<"first">>, emmap:read_block(Storage, First)),
    ?assertEqual(<<"other">>, emmap:read_block(Storage, Other)),
    ?assertEqual([{Other, <<"other">>}, {First, <<"first">>}], emmap:read_blocks(Storage)),
    ?assertEqual({ok, 2}, emmap:count_blocks(Storage)),
    ?assertEqual({ok, #{block_size => 5, levels => 3, capacity => 262144}}, emmap:block_storage_info(Storage)),
    ?assertEqual(true, emmap:free_block(Storage, First)),
    ?assertEqual(false, emmap:free_block(Storage, First)),
    ?assertEqual(eof, emmap:read_block(Storage, First)),
    ?assertEqual([{Other, <<"other">>}], emmap:read_blocks(Storage)),
    ok = emmap:close(Storage).

many(Config) ->
    Storage = storage(Config, "many", 8),
    Blocks = [<<N:64>> || N <- lists:seq(1, 3000)],
    {ok, Addresses} = emmap:store_blocks(Storage, Blocks),
    ?assertEqual(Blocks, [emmap:read_block(Storage, Address) || Address <- Addresses]),
    ?assertEqual({ok, 3000}, emmap:count_blocks(Storage)),
    ?assertEqual(lists:sort(lists:zip(Addresses, Blocks)), lists:sort(emmap:read_blocks(Storage))),
    {Freed, Kept} = lists:split(1000, Addresses),
    ?assertEqual(ok, emmap:free_blocks(Storage, Freed)),
    ?assertEqual(lists:reverse(Kept), [Address || {Address, _} <- emmap:read_blocks(Storage)]),
    ?assertEqual({ok, []}, emmap:store_blocks(Storage, [])),
    ?assertEqual(ok, emmap:free_blocks(Storage, [])),
    % term_to_binary encodes these addresses as a string
    {ok, Small} = open(Config, "many-small", 8, [{levels, 2}]),
    {ok, Few} = emmap:store_blocks(Small, [<<1:64>>, <<2:64>>, <<3:64>>]),
    ?assertEqual([0, 64, 128], Few),
    ?assertEqual(ok, emmap:free_blocks(Small, Few)),
    ?assertEqual({ok, 0}, emmap:count_blocks(Small)),
    [ok = emmap:close(File) || File <- [Small, Storage]].

all_or_none(Config) ->
    Storage = storage(Config, "all-or-none", 8),
    ?assertEqual({error, einval}, emmap:store_blocks(Storage, [<<1:64>>, <<2>>])),
    ?assertEqual({ok, 0}, emmap:count_blocks(Storage)),
    {ok, [A, B]} = emmap:store_blocks(Storage, [<<1:64>>, <<2:64>>]),
    [?assertEqual({Addresses, {error, enoent}}, {Addresses, emmap:free_blocks(Storage, Addresses)})
     || Addresses <- [[A, B, 7], [A, A], [A, -1], [A, 1 bsl 64]]],
    ?assertEqual({ok, 2}, emmap:count_blocks(Storage)),
    [?assertError(badarg, emmap:Function(Storage, Bad))
     || {Function, Bad} <- [{free_blocks, [a]}, {free_blocks, a}, {free_blocks, [1 | 2]}, {store_blocks, [a]},
                            {store_block, a}, {store_block, [256]}, {read_block, a}, {free_block, 1.0},
                            {read_block, -1}, {free_block, -1}, {init_block_storage, -1}, {init_block_storage, a}]],
    [?assertError(badarg, emmap:Function(Storage, Start, Count))
     || Function <- [read_blocks, repair_block_storage], {Start, Count} <- [{0, 0}, {-1, 1}, {a, 1}, {0, a}]],
    ok = emmap:close(Storage).

%% As in emmap 2.x an address counts modulo the capacity. It has 64 bits.
no_such_block(Config) ->
    Storage = storage(Config, "no-such", 8),
    0 = emmap:store_block(Storage, <<1:64>>),
    [?assertEqual({Address, eof, false}, {Address, emmap:read_block(Storage, Address), emmap:free_block(Storage, Address)})
     || Address <- [1, 64, 4096, 262143, 262145, 1 bsl 32 + 1, 1 bsl 64 - 1, 1 bsl 64, 1 bsl 70]],
    [?assertEqual({Address, <<1:64>>}, {Address, emmap:read_block(Storage, Address)})
     || Address <- [0, 262144, 1 bsl 32, 1 bsl 62, 1 bsl 63]],
    ?assertEqual({[{0, <<1:64>>}], eof}, emmap:read_blocks(Storage, 262144, 10)),
    ?assertEqual(40960, emmap:repair_block_storage(Storage, 262144, 10)),
    ?assertEqual({[], eof}, emmap:read_blocks(Storage, 1 bsl 64, 10)),
    ?assertEqual(eof, emmap:repair_block_storage(Storage, 1 bsl 64, 10)),
    ?assertEqual(true, emmap:free_block(Storage, 262144)),
    ?assertEqual(eof, emmap:read_block(Storage, 0)),
    ok = emmap:close(Storage).

wrong_length(Config) ->
    Storage = storage(Config, "length", 8),
    [?assertEqual({error, einval}, emmap:store_block(Storage, Block)) || Block <- [<<>>, <<1:56>>, <<1:72>>]],
    ?assertEqual([], emmap:read_blocks(Storage)),
    ok = emmap:close(Storage).

addresses_are_reused(Config) ->
    Storage = storage(Config, "reused", 8),
    {ok, Addresses} = emmap:store_blocks(Storage, [<<N:64>> || N <- lists:seq(1, 200)]),
    Freed = lists:nth(70, Addresses),
    true = emmap:free_block(Storage, Freed),
    ?assertEqual(Freed, emmap:store_block(Storage, <<1000:64>>)),
    ?assertEqual(<<1000:64>>, emmap:read_block(Storage, Freed)),
    ok = emmap:close(Storage).

walks(Config) ->
    Storage = storage(Config, "walks", 8),
    ?assertEqual({[], eof}, emmap:read_blocks(Storage, 0, 10)),
    ?assertEqual(eof, emmap:repair_block_storage(Storage, 1 bsl 40, 10)),
    ?assertEqual(eof, emmap:repair_block_storage(Storage, 0, 1 bsl 64)),
    Blocks = [<<N:64>> || N <- lists:seq(1, 1000)],
    {ok, Addresses} = emmap:store_blocks(Storage, Blocks),
    All = emmap:read_blocks(Storage),
    ?assertEqual(lists:reverse(lists:zip(Addresses, Blocks)), All),
    [?assertEqual({Step, All}, {Step, walk(Storage, 0, Step, [])}) || Step <- [1, 7, 64, 65, 1000, 1001, 1 bsl 70]],
    {Half, Next} = emmap:read_blocks(Storage, 0, 500),
    ?assertEqual(lists:nth(501, Addresses), Next),
    % the rest need not have a block
    {_, After} = emmap:read_blocks(Storage, 0, 1000),
    ?assertEqual({[], eof}, emmap:read_blocks(Storage, After, 1)),
    [true = emmap:free_block(Storage, Address) || {Address, _} <- Half],
    ?assertEqual(All -- Half, walk(Storage, Next, 100, [])),
    ?assertEqual(All -- Half, walk(Storage, hd(Addresses), 100, [])),
    ok = emmap:close(Storage).

walk(Storage, Start, Step, Read) ->
    case emmap:read_blocks(Storage, Start, Step) of
        {Blocks, eof} -> Blocks ++ Read;
        {Blocks, Next} -> walk(Storage, Next, Step, Blocks ++ Read)
    end.

%% The last address of all is followed by none.
walks_to_the_last_address(Config) ->
    {ok, Storage} = open(Config, "last", 1, [{levels, 2}]),
    {ok, Addresses} = emmap:store_blocks(Storage, lists:duplicate(4096, <<"x">>)),
    Last = lists:last(Addresses),
    ?assertEqual({[{Last, <<"x">>}], eof}, emmap:read_blocks(Storage, Last, 1)),
    {All, eof} = emmap:read_blocks(Storage, 0, 4096),
    ?assertEqual(lists:reverse(Addresses), [Address || {Address, _} <- All]),
    ?assertEqual(eof, emmap:repair_block_storage(Storage, 0, 4096)),
    ?assertEqual(Last, emmap:repair_block_storage(Storage, 0, 4095)),
    ?assertEqual(eof, emmap:repair_block_storage(Storage, Last, 1)),
    ok = emmap:close(Storage).

%% A number that is no address is refused as a place; the end is not.
walks_from_no_place(Config) ->
    Storage = storage(Config, "no-place", 8),
    #file_descriptor{data = #file{backend = Backend, handle = Handle}} = Storage,
    Numbers = [-1, -(1 bsl 63), -(1 bsl 70), 262144, 1 bsl 63, (1 bsl 64) - 2, 1 bsl 64, 1 bsl 70],
    [begin
         [?assertEqual({Place, {error, estale}, {error, estale}},
                       {Place, Backend:blocks_walk(Handle, 1, Place), Backend:blocks_repair(Handle, 1, Place)})
          || Place <- Numbers],
         ?assertEqual(eof, Backend:blocks_walk(Handle, 1, (1 bsl 64) - 1)),
         _ = emmap:store_block(Storage, <<1:64>>)
     end || _ <- [empty, one]],
    ok = emmap:close(Storage).

%% The masks above the lowest ones are wiped out, and come back.
repairs(Config) ->
    Storage = storage(Config, "repairs", 8),
    {ok, _} = emmap:store_blocks(Storage, [<<N:64>> || N <- lists:seq(1, 5000)]),
    All = emmap:read_blocks(Storage),
    ok = emmap:sync(Storage),
    {ok, Whole} = file:read_file(emmap_test:path(Config, "repairs")),
    [begin
         ok = file:pwrite(Storage, 16, <<0:128>>),
         ?assertNotEqual({ok, Whole}, file:read_file(emmap_test:path(Config, "repairs"))),
         ?assertEqual(ok, Repair()),
         ?assertEqual({ok, Whole}, file:read_file(emmap_test:path(Config, "repairs")))
     end || Repair <- [fun() -> emmap:repair_block_storage(Storage) end, fun() -> repair(Storage, 0) end]],
    ?assertEqual(All, emmap:read_blocks(Storage)),
    ok = emmap:close(Storage).

repair(Storage, Start) ->
    case emmap:repair_block_storage(Storage, Start, 4096) of
        eof -> ok;
        Next when is_integer(Next), Next =/= Start -> repair(Storage, Next)
    end.

levels(Config) ->
    [begin
         Name = "levels-" ++ integer_to_list(Levels),
         {ok, Storage} = open(Config, Name, 1, [{levels, Levels}]),
         {ok, Info} = emmap:block_storage_info(Storage),
         ?assertEqual(#{block_size => 1, levels => Levels, capacity => Capacity}, Info),
         0 = emmap:store_block(Storage, <<1>>),
         ?assertEqual(Capacity div 64, emmap:store_block(Storage, <<2>>)),
         ok = emmap:close(Storage),
         % the file says it
         {ok, Again} = open(Config, Name, 0, []),
         ?assertEqual({ok, Info}, emmap:block_storage_info(Again)),
         ?assertEqual([{Capacity div 64, <<2>>}, {0, <<1>>}], emmap:read_blocks(Again)),
         ok = emmap:close(Again),
         ?assertEqual({error, {einval, levels}}, open(Config, Name, 1, [{levels, 7 - Levels}]))
     end || {Levels, Capacity} <- [{2, 1 bsl 12}, {3, 1 bsl 18}, {4, 1 bsl 24}, {5, 1 bsl 30}]],
    [?assertEqual({Levels, {error, {einval, levels}}}, {Levels, open(Config, "levels", 1, [{levels, Levels}])}) || Levels <- [1, 6, 1 bsl 70]],
    [?assertError(badarg, open(Config, "levels", 1, [{levels, Levels}])) || Levels <- [a, -1]].

full(Config) ->
    {ok, Storage} = open(Config, "full", 1, [{levels, 2}]),
    {ok, Addresses} = emmap:store_blocks(Storage, lists:duplicate(4096, <<"x">>)),
    ?assertEqual(4096, length(lists:usort(Addresses))),
    ?assertEqual({error, full}, emmap:store_block(Storage, <<"y">>)),
    true = emmap:free_block(Storage, 77),
    ?assertEqual(77, emmap:store_block(Storage, <<"y">>)),
    ok = emmap:close(Storage),
    {ok, Fixed} = open(Config, "fixed", 1000, [{size, 4096}, fixed_size]),
    ?assertMatch({ok, [_, _, _, _]}, emmap:store_blocks(Fixed, lists:duplicate(4, <<0:8000>>))),
    ?assertEqual({error, full}, emmap:store_block(Fixed, <<0:8000>>)),
    ok = emmap:close(Fixed).

%% A handle sees blocks behind the end that it knew.
grows(Config) ->
    [Storage, Other] = [storage(Config, "grows", 100) || _ <- [1, 2]],
    {ok, Addresses} = emmap:store_blocks(Storage, [<<N:800>> || N <- lists:seq(1, 500)]),
    ?assert(filelib:file_size(emmap_test:path(Config, "grows")) > 50000),
    ?assertEqual([<<N:800>> || N <- lists:seq(1, 500)], [emmap:read_block(Other, Address) || Address <- Addresses]),
    [ok = emmap:close(File) || File <- [Storage, Other]].

initialises_an_open_file(Config) ->
    {ok, File} = emmap_test:open(Config, "init", [create, write, shared, {size, 4096}]),
    % a file of zeros has room for nothing
    ?assertEqual({error, einval}, emmap:store_block(File, <<1:64>>)),
    ?assertEqual({eof, [], false, ok, {[], eof}, {ok, 0}},
                 {emmap:read_block(File, 0), emmap:read_blocks(File), emmap:free_block(File, 0),
                  emmap:repair_block_storage(File), emmap:read_blocks(File, 0, 1), emmap:count_blocks(File)}),
    ?assertEqual(ok, emmap:init_block_storage(File, 8)),
    ?assertEqual(0, emmap:store_block(File, <<1:64>>)),
    ok = emmap:close(File),
    % an open file is a storage if its bytes are one
    {ok, Again} = emmap_test:open(Config, "init", [write, shared]),
    ?assertEqual([{0, <<1:64>>}], emmap:read_blocks(Again)),
    ?assertEqual(4096, emmap:store_block(Again, <<2:64>>)),
    ?assertEqual({ok, #{block_size => 8, levels => 3, capacity => 262144}}, emmap:block_storage_info(Again)),
    {ok, Reader} = emmap_test:open(Config, "init", [read]),
    ?assertEqual(<<2:64>>, emmap:read_block(Reader, 4096)),
    ?assertEqual({error, eacces}, emmap:init_block_storage(Reader, 8)),
    % and init_block_storage empties it
    ?assertEqual(ok, emmap:init_block_storage(Again, 8)),
    ?assertEqual([], emmap:read_blocks(Again)),
    ?assertEqual(eof, emmap:read_block(Reader, 0)),
    ?assertEqual(ok, emmap:init_block_storage(Again, 9, [{levels, 2}])),
    ?assertEqual({ok, #{block_size => 9, levels => 2, capacity => 4096}}, emmap:block_storage_info(Again)),
    ?assertEqual(ok, emmap:init_block_storage(Again, 0)),
    ?assertEqual({error, full}, emmap:store_block(Again, <<>>)),
    [ok = emmap:close(Open) || Open <- [Reader, Again]],
    ?assertEqual({error, closed}, emmap:init_block_storage(Again, 8)).

%% init_block_storage makes a storage of a file that open_block_storage refuses and leaves alone.
initialises_whatever_there_is(Config) ->
    Text = <<"this is no storage, but a text, which has to stay as it is">>,
    _ = emmap_test:fresh(Config, "text", Text),
    ?assertMatch({error, {corrupt, _, _}}, open(Config, "text", 8, [])),
    {ok, File} = emmap_test:open(Config, "text", [write, shared]),
    ?assertMatch({error, {corrupt, _, _}}, emmap:store_block(File, <<1:64>>)),
    ?assertError(badarg, emmap:init_block_storage(File, 8, [foo])),
    [?assertEqual({error, einval}, emmap:init_block_storage(File, Size, [{levels, Levels}]))
     || {Size, Levels} <- [{8, 1}, {8, 6}, {1 bsl 32, 3}, {1 bsl 64, 3}]],
    ?assertEqual({ok, Text}, file:read_file(emmap_test:path(Config, "text"))),
    ?assertEqual(ok, emmap:init_block_storage(File, 8)),
    ?assertEqual(0, emmap:store_block(File, <<1:64>>)),
    ok = emmap:close(File),
    ?assertEqual({error, {einval, block_size}}, open(Config, "text", 9, [])).

%% A private mapping changes in the handle's own copy.
private(Config) ->
    {ok, Private} = emmap_test:open(Config, "private", [create, write, {size, 4096}]),
    ?assertEqual(ok, emmap:init_block_storage(Private, 8)),
    {ok, Addresses} = emmap:store_blocks(Private, [<<N:64>> || N <- lists:seq(1, 1000)]),
    ?assertEqual({ok, 1000}, emmap:count_blocks(Private)),
    ?assertEqual(ok, emmap:free_blocks(Private, Addresses)),
    {ok, Bytes} = file:read_file(emmap_test:path(Config, "private")),
    ?assertEqual(<<0:(8 * byte_size(Bytes))>>, Bytes),
    ok = emmap:close(Private).

options(Config) ->
    [?assertEqual({Option, {error, {einval, option}}}, {Option, open(Config, "options", 8, [Option, write, create])})
     || Option <- [private, {offset, 16}, {length, 100}]],
    ok = emmap:close(storage(Config, "there", 8)),
    ?assertEqual({error, {einval, no_truncate}}, open(Config, "there", 8, [truncate, write])),
    ?assertEqual({error, {einval, block_size}}, open(Config, "options", 1 bsl 32, [])),
    ?assertEqual({error, {einval, block_size}}, open(Config, "options", 0, [])), % nothing to take it from
    ?assertEqual({error, enoent}, open(Config, "missing", 8, [write])),
    ?assertError(badarg, open(Config, "missing", 8, [foo])).

closed(Config) ->
    Storage = storage(Config, "closed", 8),
    ok = emmap:close(Storage),
    [?assertEqual({Name, {error, closed}}, {Name, apply(emmap, Name, [Storage | Arguments])})
     || {Name, Arguments} <- [{store_block, [<<1:64>>]}, {store_blocks, [[<<1:64>>]]}, {read_block, [0]}, {free_block, [0]},
                              {free_blocks, [[0]]}, {read_blocks, [0, 1]}, {count_blocks, []}, {repair_block_storage, []},
                              {repair_block_storage, [0, 1]}]].

exclusive(Config) ->
    {ok, Storage} = open(Config, "exclusive", 8, [exclusive]),
    0 = emmap:store_block(Storage, <<1:64>>),
    ?assertEqual({error, ebusy}, open(Config, "exclusive", 8, [])),
    {ok, Reader} = open(Config, "exclusive", 0, [read]),
    ?assertEqual([{0, <<1:64>>}], emmap:read_blocks(Reader)),
    [ok = emmap:close(File) || File <- [Reader, Storage]].

read_only(Config) ->
    Storage = storage(Config, "read-only", 8),
    0 = emmap:store_block(Storage, <<1:64>>),
    {ok, Reader} = open(Config, "read-only", 0, [read]),
    ?assertEqual(<<1:64>>, emmap:read_block(Reader, 0)),
    ?assertEqual(eof, emmap:read_block(Reader, 1)),
    ?assertEqual({ok, 1}, emmap:count_blocks(Reader)),
    [?assertEqual({Name, {error, eacces}}, {Name, apply(emmap, Name, [Reader | Arguments])})
     || {Name, Arguments} <- [{store_block, [<<1:64>>]}, {free_block, [0]}, {free_blocks, [[0]]}, {repair_block_storage, []}]],
    [ok = emmap:close(File) || File <- [Reader, Storage]].

reopens(Config) ->
    Storage = storage(Config, "reopens", 8),
    0 = emmap:store_block(Storage, <<1:64>>),
    {ok, Again} = emmap:reopen(Storage),
    ?assertEqual({error, closed}, emmap:read_block(Storage, 0)),
    ?assertEqual(<<1:64>>, emmap:read_block(Again, 0)),
    ok = emmap:close(Again).

%%% Files of emmap 2.1.3

emmap_2_blocks(Config) ->
    _ = emmap_test:fixture_copy(Config, "blocks.bin"),
    Storage = storage(Config, "blocks.bin", 22),
    Listed = [list_to_tuple([binary_to_integer(Word) || Word <- binary:split(Line, <<" ">>)])
              || Line <- binary:split(emmap_test:fixture("blocks.addresses.txt"), <<"\n">>, [global, trim])],
    ?assertEqual(86, length(Listed)),
    ?assertEqual(lists:sort([{Address, <<I:32, 0:144>>} || {Address, I} <- Listed]), lists:sort(emmap:read_blocks(Storage))),
    [?assertEqual(<<I:32, 0:144>>, emmap:read_block(Storage, Address)) || {Address, I} <- Listed],
    ok = emmap:close(Storage).

emmap_2_deep_blocks(Config) ->
    _ = emmap_test:fixture_copy(Config, "blocks-deep.bin"),
    Storage = storage(Config, "blocks-deep.bin", 0),
    ?assertEqual(<<1:64>>, emmap:read_block(Storage, 0)),
    ?assertEqual(<<2:64>>, emmap:read_block(Storage, 4096)),
    ?assertEqual(<<5000:64>>, emmap:read_block(Storage, 29569)),
    ?assertEqual([<<I:64>> || I <- lists:seq(5000, 1, -1)], [Block || {_, Block} <- emmap:read_blocks(Storage)]),
    ok = emmap:close(Storage).

writes_the_bytes_of_emmap_2(Config) ->
    Storage = storage(Config, "written", 22),
    Addresses = [emmap:store_block(Storage, <<I:32, 0:144>>) || I <- lists:seq(1, 100)],
    [true = emmap:free_block(Storage, lists:nth(I, Addresses)) || I <- lists:seq(7, 100, 7)],
    ok = emmap:close(Storage),
    ?assertEqual({ok, emmap_test:fixture("blocks.bin")}, file:read_file(emmap_test:path(Config, "written"))),
    Deep = storage(Config, "written-deep", 8),
    [_ = emmap:store_block(Deep, <<I:64>>) || I <- lists:seq(1, 5000)],
    ok = emmap:close(Deep),
    ?assertEqual({ok, emmap_test:fixture("blocks-deep.bin")}, file:read_file(emmap_test:path(Config, "written-deep"))).

corrupt(Config) ->
    Fixture = emmap_test:fixture("blocks.bin"),
    <<Size:4/binary, Padding:4/binary, _:64, Tree/binary>> = Fixture,
    [begin
         Path = emmap_test:fresh(Config, Name, Bytes),
         Result = open(Config, Name, 22, []),
         ?assertMatch({Name, {error, {corrupt, Offset, <<_, _/binary>>}}}, {Name, Result}),
         ?assertEqual({ok, Bytes}, file:read_file(Path))
     end || {Name, Offset, Bytes} <- [{"zero", 0, <<0:32, Fixture:100/binary, 0>>},
                                      {"limo", 8, <<Size/binary, Padding/binary, 1:64/little, Tree/binary>>},
                                      {"far", 8, <<Size/binary, Padding/binary, -2:64/little, Tree/binary>>}]].

%%% Many at once

-define(PROCESSES, 4).
-define(KEPT, 20).
-define(ROUNDS, 400).

many_processes_on_many_handles(Config) ->
    share([storage(Config, "concurrent", 16) || _ <- [1, 2, 3]]).

both_backends_on_one_storage(Config) ->
    Path = emmap_test:path(Config, "both"),
    share([begin
               {ok, Storage} = emmap:open_block_storage(Path, 16, [{backend, Backend}]),
               Storage
           end || Backend <- [nif, port]]).

%% Each process stores blocks of its own and frees them again: no address is given to two processes, no block is lost.
share(Handles) ->
    Test = self(),
    Owners = [spawn_monitor(fun() ->
        Test ! {self(), own(lists:nth(1 + N rem length(Handles), Handles), N, 1, [])}
    end) || N <- lists:seq(1, ?PROCESSES)],
    [receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end || {_, Monitor} <- Owners],
    Kept = lists:append([receive {Owner, Blocks} -> Blocks end || {Owner, _} <- Owners]),
    ?assertEqual(?PROCESSES * ?KEPT, length(Kept)),
    ?assertEqual(lists:sort(Kept), lists:sort(emmap:read_blocks(hd(Handles)))),
    [ok = emmap:close(Handle) || Handle <- Handles].

own(_Storage, _N, Round, Kept) when Round > ?ROUNDS ->
    Kept;
own(Storage, N, Round, Kept) when length(Kept) =:= ?KEPT ->
    {Address, Block} = lists:last(Kept),
    Block = emmap:read_block(Storage, Address),
    true = emmap:free_block(Storage, Address),
    own(Storage, N, Round, lists:droplast(Kept));
own(Storage, N, Round, Kept) ->
    Block = <<N:64, Round:64>>,
    Address = emmap:store_block(Storage, Block),
    true = is_integer(Address),
    own(Storage, N, Round + 1, [{Address, Block} | Kept]).

long_blocks(Config) ->
    Size = 100000,
    Storage = storage(Config, "long", Size),
    Blocks = [binary:copy(<<N>>, Size) || N <- lists:seq(1, 30)],
    First = emmap:store_block(Storage, hd(Blocks)),
    {ok, Rest} = emmap:store_blocks(Storage, tl(Blocks)),
    ?assert(hd(Blocks) =:= emmap:read_block(Storage, First)),
    ?assert(lists:reverse(Blocks) =:= [Block || {_, Block} <- emmap:read_blocks(Storage)]),
    ?assertEqual(ok, emmap:free_blocks(Storage, Rest)),
    ok = emmap:close(Storage).
