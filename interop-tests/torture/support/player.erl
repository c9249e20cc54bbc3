%% As player.mjs. Usage: erl ... -run player main nif|port FOLDER ID
-module(player).

-export([main/1]).

-define(BLOCK_SIZE, 32).
-define(FILLER_SIZE(Number), ((Number rem 16) * 7)).
-define(LONG, 2000).
-define(SHORT, 50).
-define(LOOK, 64).
-define(KEPT, 50).

-record(player, {id, queue, storage, log, blocks = [], messages = 0, stores = 0, filling = true}).

-spec main([string()]) -> no_return().
main([Backend, Folder, Name]) ->
    _ = spawn(fun leave/0),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    Id = list_to_integer(Name),
    _ = rand:seed(exsss, Id),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "queue"), 0, []),
    {ok, Storage} = emmap:open_block_storage(filename:join(Folder, "blocks"), ?BLOCK_SIZE),
    {ok, Log} = file:open(filename:join(Folder, Name ++ ".log"), [append, raw]),
    io:put_chars("ready\n"),
    try
        loop(0, #player{id = Id, queue = Queue, storage = Storage, log = Log})
    catch
        throw:port_died ->
            %% The operation may have been done or not, as if the player had been killed.
            halt(0)
    end.

%% When the process that should kill the player has ended.
leave() ->
    case io:get_line("") of
        eof -> halt(0);
        _ -> leave()
    end.

loop(Turn, #player{queue = Queue, filling = Filling} = Player) when Turn rem ?LOOK =:= 0 ->
    Length = value(emmap_queue:length(Queue)),
    loop(Turn + 1, Player#player{filling = Length < ?SHORT orelse (Filling andalso Length < ?LONG)});
loop(Turn, Player) ->
    loop(Turn + 1, play(Player)).

play(#player{blocks = Blocks, filling = Filling} = Player) ->
    Pushes = case Filling of
        true -> 3;
        false -> 1
    end,
    case random(3) > 0 of
        true ->
            case random(4) < Pushes of
                true -> push(Player);
                false ->
                    case random(4) of
                        0 -> pop(Player);
                        _ -> take(Player)
                    end
            end;
        false when Blocks =:= [] -> store(Player);
        false ->
            case {random(3), random(?KEPT) < length(Blocks)} of
                {0, _} -> read(Player);
                {_, true} -> free(Player);
                {_, false} -> store(Player)
            end
    end.

push(#player{queue = Queue, messages = From} = Player) ->
    Count = 1 + random(4),
    note(Player, ["push", From, Count]),
    ok = case [message(Player, From + I) || I <- lists:seq(0, Count - 1)] of
        [One] -> value(emmap_queue:push(Queue, One));
        All -> value(emmap_queue:push_many(Queue, All))
    end,
    note(Player, ["pushed"]),
    Player#player{messages = From + Count}.

take(#player{queue = Queue} = Player) ->
    note(Player, ["take"]),
    Consume = fun(Message) -> note(Player, ["taken" | meet(Player, Message)]), taken end,
    note(Player, case emmap_queue:try_pop(Queue, Consume) of
        nil -> ["nothing"];
        {error, ebusy} -> ["nothing"];
        Taken -> taken = value(Taken), ["committed"]
    end),
    Player.

pop(#player{queue = Queue} = Player) ->
    note(Player, ["pop"]),
    note(Player, case emmap_queue:pop(Queue) of
        nil -> ["nothing"];
        {error, ebusy} -> ["nothing"];
        Message -> ["popped" | meet(Player, value(Message))]
    end),
    Player.

store(#player{storage = Storage, blocks = Blocks, stores = Number} = Player) ->
    note(Player, ["store", Number]),
    Address = value(emmap:store_block(Storage, block(Player, Number))),
    note(Player, ["stored", Address]),
    Player#player{blocks = [{Address, Number} | Blocks], stores = Number + 1}.

read(#player{storage = Storage, blocks = Blocks} = Player) ->
    {Address, Number} = lists:nth(1 + random(length(Blocks)), Blocks),
    value(emmap:read_block(Storage, Address)) =:= block(Player, Number)
        orelse note(Player, ["wrong", "block", Address, Number]),
    Player.

free(#player{storage = Storage, blocks = Blocks} = Player) ->
    {Address, Number} = Block = lists:nth(1 + random(length(Blocks)), Blocks),
    note(Player, ["free", Number]),
    note(Player, case value(emmap:free_block(Storage, Address)) of
        true -> ["freed"];
        false -> ["wrong", "free", Address, Number]
    end),
    Player#player{blocks = lists:delete(Block, Blocks)}.

message(#player{id = Id}, Number) ->
    {Id, Number, filler(Id, Number)}.

filler(Id, Number) ->
    binary:copy(<<Id>>, ?FILLER_SIZE(Number)).

meet(Player, {Producer, Number, Filler}) ->
    Filler =:= filler(Producer, Number) orelse note(Player, ["wrong", "message", Producer, Number]),
    [Producer, Number].

block(#player{id = Id}, Number) ->
    Rest = binary:copy(<<(Id + Number)>>, ?BLOCK_SIZE - 8),
    <<Id:32/little, Number:32/little, Rest/binary>>.

note(#player{log = Log}, Words) ->
    ok = file:write(Log, [lists:join(" ", [word(Word) || Word <- Words]), "\n"]).

word(Number) when is_integer(Number) -> integer_to_list(Number);
word(Word) -> Word.

value({error, port_died}) -> throw(port_died);
value({error, Reason}) -> error(Reason);
value(Value) -> Value.

random(Limit) -> rand:uniform(Limit) - 1.
