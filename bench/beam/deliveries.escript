#!/usr/bin/env escript
%% Taking and acknowledging messages on BEAM, over both backends, beside popping them.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/deliveries.escript [--quick]
%%
%% The messages are in the queue before the time begins. A consumer is measured as a whole: its handlers do nothing.
-mode(compile).
-export([init/1, handle_message/2]).

-define(SECTION, "Deliveries").

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Term = {job, 81274, send_mail, [{to, <<"grace@example.org">>}, {retries, 3}], high},
    Queues = [Nif, Port] = [
        begin
            {ok, Queue} = emmap_queue:open(filename:join(Folder, Backend), 1 bsl 20, [{backend, Backend}]),
            Queue
        end || Backend <- [nif, port]
    ],
    On = fun(Queue, Run) ->
        {fun(N) -> ok = emmap_queue:push_many(Queue, lists:duplicate(N, Term)) end, fun(N, ok) -> Run(Queue, N) end,
         fun(_) -> true = emmap_queue:is_empty(Queue) end}
    end,
    Ratio = rounds:race(
        [
            {nif_pop, On(Nif, fun pop/2)},
            {nif_take, On(Nif, fun take/2)},
            {nif_try_pop, On(Nif, fun try_pop/2)},
            {nif_consumer, On(Nif, fun consume/2)},
            {port_pop, On(Port, fun pop/2)},
            {port_take, On(Port, fun take/2)}
        ],
        101
    ),
    _ = [ok = emmap_queue:close(Queue) || Queue <- Queues],
    ok = file:del_dir_r(Folder),
    rounds:ratio(?SECTION, "NIF take + ack", Ratio(nif_take, nif_pop), "pop", "at most 2"),
    rounds:ratio(?SECTION, "NIF try_pop", Ratio(nif_try_pop, nif_pop), "pop"),
    rounds:ratio(?SECTION, "a message of emmap_consumer with 8 in work, NIF", Ratio(nif_consumer, nif_pop), "pop"),
    rounds:ratio(?SECTION, "port take + ack", Ratio(port_take, port_pop), "pop", "at most 2").

pop(_, 0) -> ok;
pop(Queue, N) ->
    {job, _, _, _, _} = emmap_queue:pop(Queue),
    pop(Queue, N - 1).

take(_, 0) -> ok;
take(Queue, N) ->
    {ok, Delivery, {job, _, _, _, _}} = emmap_queue:take(Queue, 0),
    ok = emmap_queue:ack(Delivery),
    take(Queue, N - 1).

try_pop(_, 0) -> ok;
try_pop(Queue, N) ->
    {job, _, _, _, _} = emmap_queue:try_pop(Queue, fun(Job) -> Job end),
    try_pop(Queue, N - 1).

consume(Queue, N) ->
    {ok, Consumer} = emmap_consumer:start_link(#{queue => Queue, module => ?MODULE, args => self(), concurrency => 8}),
    _ = [receive handled -> ok end || _ <- lists:seq(1, N)],
    ok = gen_server:stop(Consumer).

init(Bench) -> {ok, Bench}.

handle_message({job, _, _, _, _}, Bench) ->
    Bench ! handled,
    ok.
