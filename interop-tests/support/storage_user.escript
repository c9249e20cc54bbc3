#!/usr/bin/env escript
%% Does the same as storage_user.mjs. Usage: escript storage_user.escript EBIN BACKEND FOLDER USER USERS TIMES MOST
-mode(compile).

%% The same numbers as in shared_layout.mjs.
-define(ARRIVED, 0).
-define(BLOCK_SIZE, 8).
-define(KEPT, 300).

-record(user, {storage, counters, id, users, times, most}).

main([Ebin, Backend, Folder | Numbers]) ->
    true = code:add_patha(Ebin),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    [Id, Users, Times, Most] = [list_to_integer(Number) || Number <- Numbers],
    Counters = emmap:open_counters(filename:join(Folder, "counters.bin")),
    {ok, Storage} = emmap:open_block_storage(filename:join(Folder, "shared.blocks"), ?BLOCK_SIZE),
    User = #user{storage = Storage, counters = Counters, id = Id, users = Users, times = Times, most = Most},
    {ok, _} = emmap:inc_counter(Counters, ?ARRIVED),
    await(User),
    Held = loop(User, 0, queue:new(), #{}),
    ok = emmap:close(Storage),
    ok = emmap:close_counters(Counters),
    ok = file:write_file(filename:join(Folder, "held." ++ integer_to_list(Id)),
                         [<<Address:32/native, Number:32/native>> || {Address, Number} <- Held]).

await(#user{counters = Counters, users = Users} = User) ->
    case emmap:read_counter(Counters, ?ARRIVED) of
        {ok, Users} -> ok;
        _ -> timer:sleep(1), await(User)
    end.

%% Ages: addresses and numbers, the oldest first. InUse: the addresses.
loop(#user{times = Times}, Times, Ages, _InUse) ->
    queue:to_list(Ages);
loop(#user{times = Times, most = Most} = User, Stored, Ages, InUse) ->
    Count = min(1 + Stored rem Most, Times - Stored),
    New = store(User, Stored, Count),
    [] = [Address || {Address, _} <- New, is_map_key(Address, InUse)],
    AllAges = queue:join(Ages, queue:from_list(New)),
    AllInUse = lists:foldl(fun({Address, _}, Map) -> Map#{Address => in_use} end, InUse, New),
    {Oldest, Kept} = queue:split(max(0, min(queue:len(AllAges) - ?KEPT, Count)), AllAges),
    Freed = queue:to_list(Oldest),
    free(User, Freed),
    loop(User, Stored + Count, Kept, maps:without([Address || {Address, _} <- Freed], AllInUse)).

store(#user{storage = Storage} = User, Number, 1) ->
    [{emmap:store_block(Storage, block(User, Number)), Number}];
store(#user{storage = Storage} = User, From, Count) ->
    Numbers = lists:seq(From, From + Count - 1),
    {ok, Addresses} = emmap:store_blocks(Storage, [block(User, Number) || Number <- Numbers]),
    lists:zip(Addresses, Numbers).

free(_, []) ->
    ok;
free(#user{storage = Storage} = User, Blocks) ->
    [check(User, Block) || Block <- sample(User, Blocks)],
    case Blocks of
        [{Address, _}] -> true = emmap:free_block(Storage, Address);
        _ -> ok = emmap:free_blocks(Storage, [Address || {Address, _} <- Blocks])
    end.

check(#user{storage = Storage} = User, {Address, Number}) ->
    {Number, Expected} = {Number, block(User, Number)},
    Expected = emmap:read_block(Storage, Address).

%% Each read through the port is a round trip, so it reads one of many blocks.
sample(#user{most = 1}, Blocks) -> Blocks;
sample(_, [Block | _]) -> [Block].

block(#user{id = Id}, Number) ->
    <<Id:32/native, Number:32/native>>.
