#!/usr/bin/env escript
%% As consumer.mjs, in a BEAM node: consumer.escript EBIN BACKEND FOLDER LANES. If the port program dies it goes on with a new one.
-mode(compile).

%% As in deliveries.mjs.
-define(BACK, 0).
-define(RELEASED, 1).
-define(COUNTS, 2).
-define(ACKNOWLEDGED, 16#100000000).

main([Ebin, Backend, Folder, Lanes]) ->
    ok = logger:remove_handler(default),
    true = code:add_patha(Ebin),
    {ok, _} = application:ensure_all_started(emmap),
    {_, _} = Counts = emmap:open_counters(filename:join(Folder, "counts"), 0, [{backend, nif}]),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "jobs"), 0, [{backend, list_to_atom(Backend)}]),
    _ = [spawn_link(fun() -> work(Queue, Counts) end) || _ <- lists:seq(1, list_to_integer(Lanes))],
    answer().

answer() ->
    case io:get_line("") of
        eof -> halt(0);
        _ -> io:format("ready~n"), answer()
    end.

work(Queue, Counts) ->
    case emmap_queue:take(Queue, 1000) of
        timeout -> ok;
        {ok, Delivery, Job} -> finish(Delivery, ?COUNTS + Job, Counts)
    end,
    work(Queue, Counts).

finish(Delivery, Place, Counts) ->
    {ok, Before} = emmap:inc_counter(Counts, Place),
    _ = [emmap:inc_counter(Counts, ?BACK) || Before >= ?ACKNOWLEDGED],
    case rand:uniform(50) of
        1 ->
            emmap:inc_counter(Counts, ?RELEASED),
            ok = emmap_queue:release(Delivery, rand:uniform(2) * 5 - 5);
        Lot ->
            _ = [timer:sleep(2) || Lot < 7],
            ok = emmap_queue:ack(Delivery),
            emmap:inc_counter(Counts, Place, ?ACKNOWLEDGED)
    end.
