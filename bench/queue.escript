#!/usr/bin/env escript
%% A queue on BEAM, over both backends, beside what making the term into bytes and back costs in any case.
%%
%%   cd erlang && rebar3 compile && escript ../bench/queue.escript [--quick]
%%
%% As beam.escript: rounds, ratios within a round, their median. A job is pushed and the oldest one popped, while
%% ?BACKLOG others wait in between.
-mode(compile).

-define(BACKLOG, 100).
-define(BATCH, 64).

main(Arguments) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    ok = emmap_nif:loaded(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Term = {job, 81274, send_mail, [{to, <<"grace@example.org">>}, {retries, 3}], high},
    Open = fun(Name, Options) ->
        {ok, Queue} = emmap_queue:open(filename:join(Folder, Name), 1 bsl 20, Options),
        ok = emmap_queue:push_many(Queue, lists:duplicate(?BACKLOG, Term)),
        Queue
    end,
    Exclusive = [read, write, create, exclusive],
    Queues = [NifAlone, NifShared, PortAlone, PortShared] = [
        Open("nif-exclusive", [{backend, nif} | Exclusive]),
        Open("nif-shared", [{backend, nif}]),
        Open("port-exclusive", [{backend, port} | Exclusive]),
        Open("port-shared", [{backend, port}])
    ],
    Contestants = [
        {floor, 5000, fun(N) -> code(Term, N) end},
        {nif_exclusive, 5000, fun(N) -> one(NifAlone, Term, N) end},
        {nif_shared, 1000, fun(N) -> one(NifShared, Term, N) end},
        {port_exclusive, 100, fun(N) -> one(PortAlone, Term, N) end},
        {port_shared, 100, fun(N) -> one(PortShared, Term, N) end},
        {nif_many, 50, fun(N) -> many(NifAlone, lists:duplicate(?BATCH, Term), N) end},
        {port_many, 10, fun(N) -> many(PortAlone, lists:duplicate(?BATCH, Term), N) end}
    ],
    Rounds = case lists:member("--quick", Arguments) of
        true -> 11;
        false -> 101
    end,
    Times = [maps:from_list([{Name, time(Run, Calls)} || {Name, Calls, Run} <- shuffled(Contestants)])
             || _ <- lists:seq(1, Rounds)],
    _ = [ok = emmap_queue:close(Queue) || Queue <- Queues],
    ok = file:del_dir_r(Folder),

    Floor = "term_to_binary + binary_to_term",
    [report(Name, median([maps:get(Key, Round) / Scale / maps:get(floor, Round) || Round <- Times]), Floor, Limit)
     || {Name, Key, Scale, Limit} <- [
         {"NIF queue push + pop, exclusive", nif_exclusive, 1, " (at most 2.5)"},
         {"NIF queue push + pop, shared", nif_shared, 1, ""},
         {"NIF queue, by 64, each, exclusive", nif_many, ?BATCH, ""},
         {"port queue push + pop, exclusive", port_exclusive, 1, ""},
         {"port queue push + pop, shared", port_shared, 1, ""},
         {"port queue, by 64, each, exclusive", port_many, ?BATCH, ""}
     ]].

report(Name, Ratio, Peer, Limit) ->
    io:format("  ~-44s ~8.2f x ~s~s~n", [Name, Ratio, Peer, Limit]).

%% In another order each time: the system may take the processor away in step with the rounds.
shuffled(Contestants) ->
    [Contestant || {_, Contestant} <- lists:sort([{rand:uniform(), Contestant} || Contestant <- Contestants])].

%% In a process of its own, so that nobody pays for another's garbage.
time(Run, Calls) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({took, element(1, timer:tc(fun() -> Run(Calls) end, []))}) end),
    receive {'DOWN', Monitor, process, Pid, {took, Microseconds}} -> Microseconds * 1000 / Calls end.

median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).

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
