#!/usr/bin/env escript
%% Answers messages and changes of words, as hand_over.c does, in a BEAM node: hand_over.escript EBIN BACKEND FOLDER HOW:LANE:BASE…
%% HOW is receive, active, or words. It says "ready" when everything is open, and ends with its input. If the port program dies
%% it goes on with a new one, and says "again" each time.
-mode(compile).

%% As in hand_over.c.
-define(ANSWERED, 1).
-define(ANSWERER_SLEPT, 3).

main([Ebin, Backend, Folder | Lanes]) ->
    ok = logger:remove_handler(default),
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    Main = self(),
    Started = [begin
        [How, Lane, Base] = string:split(Each, ":", all),
        Ready = fun() -> Main ! {ready, Lane} end,
        Self = {filename:join(Folder, Lane), list_to_atom(Backend), counts(Folder), list_to_integer(Base)},
        _ = spawn_link(fun() -> live(How, Self, Ready) end),
        Lane
    end || Each <- Lanes],
    _ = [receive {ready, Lane} -> ok end || Lane <- Started],
    io:format("ready~n"),
    leave().

leave() ->
    case io:get_line("") of
        eof -> halt(0);
        _ -> leave()
    end.

%% Over the NIF with both backends, because the counts are not under test.
counts(Folder) ->
    {_, _} = Counts = emmap:open_counters(filename:join(Folder, "counts"), 0, [{backend, nif}]),
    Counts.

live(How, {Path, Backend, Counts, Base} = Self, Ready) ->
    try
        Kinds = case How of
            "words" -> [".words"];
            _ -> [".to", ".back"]
        end,
        Files = [file(Kind, Path ++ Kind, [{backend, Backend}]) || Kind <- Kinds],
        Ready(),
        answer(How, Files, {Counts, Base})
    catch
        throw:port_died -> live(How, Self, fun() -> io:format("again~n") end)
    end.

file(".words", Path, Options) -> value(emmap:open_counters(Path, 2, Options));
file(_, Path, Options) -> value(emmap_queue:open(Path, 0, Options)).

answer("receive", [To, _] = Queues, Counts) ->
    case value(emmap_queue:is_empty(To)) of
        true -> count(Counts, ?ANSWERER_SLEPT);
        false -> ok
    end,
    push(Queues, value(emmap_queue:receive_message(To, infinity)), Counts),
    answer("receive", Queues, Counts);
answer("active", [To, _] = Queues, Counts) ->
    ok = emmap_queue:set_active(To, true),
    answer_active(Queues, Counts);
answer("words", [Words] = Files, Counts) ->
    Now = value(emmap:read_counter(Words, 0)),
    case value(emmap:read_counter(Words, 1)) of
        Now ->
            count(Counts, ?ANSWERER_SLEPT),
            _ = value(emmap:wait_counter(Words, 0, Now, infinity));
        _ ->
            count(Counts, ?ANSWERED),
            _ = value(emmap:inc_counter(Words, 1)),
            _ = value(emmap:notify_counter(Words, 1, 1))
    end,
    answer("words", Files, Counts).

answer_active(Queues, Counts) ->
    Message = receive
        {emmap_queue, _, There} -> There;
        {emmap_queue_error, _, Reason} -> value({error, Reason})
    after 0 ->
        count(Counts, ?ANSWERER_SLEPT),
        receive
            {emmap_queue, _, Coming} -> Coming;
            {emmap_queue_error, _, Reason} -> value({error, Reason})
        end
    end,
    push(Queues, Message, Counts),
    answer_active(Queues, Counts).

push([_, Back], Message, Counts) ->
    count(Counts, ?ANSWERED),
    value(emmap_queue:push(Back, Message)).

count({Counts, Base}, What) ->
    {ok, _} = emmap:inc_counter(Counts, Base + What, 1).

value({error, port_died}) -> throw(port_died);
value({error, Reason}) -> error(Reason);
value({ok, Value}) -> Value;
value(Value) -> Value.
