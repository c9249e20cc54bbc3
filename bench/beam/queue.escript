#!/usr/bin/env escript
%% A queue on BEAM, over both backends, beside the cost of encoding and decoding the term alone.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/queue.escript [--quick]
%%
%% A job is pushed and the oldest one popped, while ?BACKLOG others wait in between.
-mode(compile).

-define(SECTION, "Queues").
-define(BACKLOG, 100).
-define(BATCH, 64).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Term = {job, 81274, send_mail, [{to, <<"grace@example.org">>}, {retries, 3}], high},
    Open = fun(Name, Options) ->
        {ok, Queue} = emmap_queue:open(filename:join(Folder, Name), 1 bsl 20, Options),
        ok = emmap_queue:push_many(Queue, lists:duplicate(?BACKLOG, Term)),
        Queue
    end,
    %% The recorded times of emmap 2.x's queue are for a small term.
    Small = {job, 1},
    Exclusive = [read, write, create, exclusive],
    Queues = [NifAlone, NifShared, PortAlone, PortShared] = [
        Open("nif-exclusive", [{backend, nif} | Exclusive]),
        Open("nif-shared", [{backend, nif}]),
        Open("port-exclusive", [{backend, port} | Exclusive]),
        Open("port-shared", [{backend, port}])
    ],
    {ok, NifSmall} = emmap_queue:open(filename:join(Folder, "nif-small"), 1 bsl 20, [{backend, nif} | Exclusive]),
    ok = emmap_queue:push_many(NifSmall, lists:duplicate(?BACKLOG, Small)),
    Counters = counters:new(1, []),
    Ratio = rounds:race(
        [
            {counters, fun(N) -> counters_add(Counters, N) end},
            {floor, fun(N) -> code(Term, N) end},
            {nif_exclusive, fun(N) -> one(NifAlone, Term, N) end},
            {nif_small, fun(N) -> one(NifSmall, Small, N) end},
            {nif_shared, fun(N) -> one(NifShared, Term, N) end},
            {port_exclusive, fun(N) -> one(PortAlone, Term, N) end},
            {port_shared, fun(N) -> one(PortShared, Term, N) end},
            {nif_many, fun(N) -> many(NifAlone, lists:duplicate(?BATCH, Term), N) end},
            {port_many, fun(N) -> many(PortAlone, lists:duplicate(?BATCH, Term), N) end}
        ],
        101
    ),
    _ = [ok = emmap_queue:close(Queue) || Queue <- [NifSmall | Queues]],
    ok = file:del_dir_r(Folder),

    Floor = "term_to_binary + binary_to_term",
    Report = fun(Name, Key, Scale) -> rounds:ratio(?SECTION, Name, Ratio(Key, floor) / Scale, Floor) end,
    rounds:ratio(?SECTION, "NIF push + pop, exclusive", Ratio(nif_exclusive, floor), Floor, "at most 2.5"),
    rounds:recorded(push_pop, "push + pop of a small term, exclusive", Ratio(nif_small, counters)),
    rounds:ratio(?SECTION, "NIF push + pop, shared", Ratio(nif_shared, floor), Floor, "at most 2.0"),
    Report("NIF push + pop of 64, each, exclusive", nif_many, ?BATCH),
    Report("port push + pop, exclusive", port_exclusive, 1),
    Report("port push + pop, shared", port_shared, 1),
    Report("port push + pop of 64, each, exclusive", port_many, ?BATCH).

counters_add(_, 0) -> ok;
counters_add(Counters, N) -> ok = counters:add(Counters, 1, 1), counters_add(Counters, N - 1).

code(_, 0) -> ok;
code(Term, N) -> _ = binary_to_term(term_to_binary(Term), [safe]), code(Term, N - 1).

one(_, _, 0) ->
    ok;
one(Queue, Term, N) ->
    ok = emmap_queue:push(Queue, Term),
    Term = emmap_queue:pop(Queue),
    one(Queue, Term, N - 1).

many(_, _, 0) ->
    ok;
many(Queue, Terms, N) ->
    ok = emmap_queue:push_many(Queue, Terms),
    {ok, Terms} = emmap_queue:pop_many(Queue, ?BATCH),
    many(Queue, Terms, N - 1).
