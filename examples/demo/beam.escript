#!/usr/bin/env escript
%% The BEAM half of `make demo'. Usage: escript beam.escript EBIN FIXTURE FOLDER ROUNDS ADDS
%% Prints one JSON object a line, for run.mts to show.

%% The numbers of the counters, and the length of a block. layout.mts has the same.
-define(TOTAL, 0).
-define(OF_BEAM, 1).
-define(OF_NODE, 2).
-define(ARRIVED, 3).
-define(FINISHED, 4).
-define(BLOCK_SIZE, 32).

main([Ebin, Fixture, Folder, Rounds, Adds]) ->
    true = code:add_patha(Ebin),
    Upstream = emmap:open_counters(Fixture),
    say("{\"event\":\"fixture\",\"values\":~s}", [strings([read(Upstream, I) || I <- lists:seq(0, 3)])]),
    ok = emmap:close_counters(Upstream),

    Counters = emmap:open_counters(filename:join(Folder, "counters.bin")),
    ok = meet(Counters, ?ARRIVED),
    [round(Counters, list_to_integer(Adds)) || _ <- lists:seq(1, list_to_integer(Rounds))],
    ok = meet(Counters, ?FINISHED),
    Final = [read(Counters, I) || I <- [?TOTAL, ?OF_BEAM, ?OF_NODE]],
    say("{\"event\":\"final\",\"values\":~s}", [strings(Final)]),
    ok = emmap:close_counters(Counters),
    exchange(Folder).

exchange(Folder) ->
    {ok, Outbox} = emmap_queue:open(filename:join(Folder, "to-node.queue"), 0, []),
    {ok, Inbox} = emmap_queue:open(filename:join(Folder, "to-beam.queue"), 0, []),
    {ok, Blocks} = emmap:open_block_storage(filename:join(Folder, "blocks.bin"), ?BLOCK_SIZE),
    ok = emmap_queue:push_many(Outbox, [{job, 43, <<"rotate">>}, -(1 bsl 64), 2.5, #{state => done}, [a, b | c]]),
    Text = <<"a block that BEAM stored">>,
    ok = emmap_queue:push(Outbox, emmap:store_block(Blocks, [Text, binary:copy(<<" ">>, ?BLOCK_SIZE - byte_size(Text))])),

    Terms = [io_lib:format("~0p", [receive_term(Inbox)]) || _ <- lists:seq(1, 5)],
    say("{\"event\":\"terms\",\"values\":~s}", [json_strings(Terms)]),
    Block = emmap:read_block(Blocks, receive_term(Inbox)),
    say("{\"event\":\"block\",\"values\":~s}", [json_strings([string:trim(Block, trailing)])]),
    [ok = file:close(File) || File <- [Outbox, Inbox, Blocks]].

%% The first message of the other half, as soon as there is one.
receive_term(Inbox) ->
    {ok, Term} = emmap_queue:receive_message(Inbox, infinity),
    Term.

round(Counters, Adds) ->
    [begin
         emmap:inc_counter(Counters, ?TOTAL),
         emmap:inc_counter(Counters, ?OF_BEAM)
     end || _ <- lists:seq(1, Adds)],
    say("{\"event\":\"progress\",\"mine\":\"~b\",\"theirs\":\"~b\",\"total\":\"~b\"}",
        [read(Counters, I) || I <- [?OF_BEAM, ?OF_NODE, ?TOTAL]]),
    timer:sleep(30).

%% Counts this half, and waits for the other one.
meet(Counters, Index) ->
    {ok, _} = emmap:inc_counter(Counters, Index),
    {ok, _} = emmap:notify_counter(Counters, Index, infinity),
    await(Counters, Index).

await(Counters, Index) ->
    case read(Counters, Index) of
        2 -> ok;
        Value -> _ = emmap:wait_counter(Counters, Index, Value, infinity), await(Counters, Index)
    end.

read(Counters, Index) ->
    {ok, Value} = emmap:read_counter(Counters, Index),
    Value.

strings(Integers) ->
    json_strings([integer_to_list(I) || I <- Integers]).

json_strings(Texts) ->
    Quoted = [["\"", string:replace(Text, "\"", "\\\"", all), "\""] || Text <- Texts],
    ["[", lists:join(",", Quoted), "]"].

say(Format, Arguments) ->
    io:format(Format ++ "~n", Arguments).
