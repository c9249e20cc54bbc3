#!/usr/bin/env escript
%% The NIF backend beside what the node itself offers, in one node.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam.escript [--quick] [--check]
%%
%% A round times each contestant once, in turn; a ratio is taken within a round, so that both of its times were
%% measured under the same conditions, and the median over the rounds is printed. Rounds are short, so that most of
%% them are not interrupted by what else the machine does. With --check the exit status is 1 if a ratio is above its
%% limit.
-mode(compile).

main(Arguments) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    Ebin = filename:join([Here, "..", "erlang", "_build", "default", "lib", "emmap", "ebin"]),
    true = code:add_patha(Ebin),
    ok = emmap_nif:loaded(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Path = filename:join(Folder, "file"),
    Options = [read, write, create, shared, {size, 1 bsl 20}, {backend, nif}],
    {ok, Copy} = emmap:open(Path, Options),
    {ok, Direct} = emmap:open(Path, [direct | Options]),
    {ok, Ours} = emmap:open_counters(filename:join(Folder, "counters"), 1, [{backend, nif}]),
    Theirs = counters:new(1, []),
    Page = binary:copy(<<1>>, 4096),
    Small = binary:copy(<<1>>, 64),
    Contestants = [
        {"counters:add/3", fun(N) -> counters_add(Theirs, N) end},
        {"emmap:inc_counter/3", fun(N) -> inc_counter(Ours, N) end},
        {"emmap:patomic_add/3", fun(N) -> patomic_add(Copy, N) end},
        {"emmap:pread/3 direct, 64 B", fun(N) -> pread(Direct, 64, N) end},
        {"emmap:pread/3 direct, 4 KiB", fun(N) -> pread(Direct, 4096, N) end},
        {"binary:copy/1, 64 B", fun(N) -> copy(Small, N) end},
        {"emmap:pread/3 copy, 64 B", fun(N) -> pread(Copy, 64, N) end},
        {"binary:copy/1, 4 KiB", fun(N) -> copy(Page, N) end},
        {"emmap:pread/3 copy, 4 KiB", fun(N) -> pread(Copy, 4096, N) end},
        {"emmap:pwrite/3, 64 B", fun(N) -> pwrite(Copy, Small, N) end},
        {"emmap:pwrite/3, 4 KiB", fun(N) -> pwrite(Copy, Page, N) end}
    ],
    {Rounds, Calls} = case lists:member("--quick", Arguments) of
        true -> {51, 20_000};
        false -> {401, 20_000}
    end,
    Times = [[{Name, time(Run, Calls)} || {Name, Run} <- Contestants] || _ <- lists:seq(1, Rounds)],
    _ = [emmap:close(File) || File <- [Copy, Direct, Ours]],
    ok = file:del_dir_r(Folder),

    io:format("ns a call, median of ~b rounds~n", [Rounds]),
    _ = [io:format("  ~-30s ~8.1f~n", [Name, median([value(Name, Round) || Round <- Times])]) || {Name, _} <- Contestants],
    io:format("ratios~n"),
    Limits = [
        {"emmap:inc_counter/3", "counters:add/3", 1.6},
        {"emmap:pread/3 direct, 64 B", "counters:add/3", 2.0},
        {"emmap:pread/3 copy, 4 KiB", "binary:copy/1, 4 KiB", 1.5}
    ],
    Results = [begin
        Ratio = median([value(Name, Round) / value(Peer, Round) || Round <- Times]),
        io:format("  ~-30s ~5.2f x ~s (at most ~.1f)~n", [Name, Ratio, Peer, Limit]),
        Ratio =< Limit
    end || {Name, Peer, Limit} <- Limits],
    Good = not lists:member("--check", Arguments) orelse lists:all(fun(Result) -> Result end, Results),
    halt(case Good of true -> 0; false -> 1 end).

%% In a process of its own, so that nobody pays for another's garbage.
time(Run, Calls) ->
    {Pid, Monitor} = spawn_monitor(fun() -> exit({took, element(1, timer:tc(fun() -> Run(Calls) end, []))}) end),
    receive {'DOWN', Monitor, process, Pid, {took, Microseconds}} -> Microseconds * 1000 / Calls end.

value(Name, Round) ->
    {Name, Time} = lists:keyfind(Name, 1, Round),
    Time.

median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).

counters_add(_, 0) -> ok;
counters_add(Counters, N) -> ok = counters:add(Counters, 1, 1), counters_add(Counters, N - 1).

inc_counter(_, 0) -> ok;
inc_counter(Counters, N) -> _ = emmap:inc_counter(Counters, 0, 1), inc_counter(Counters, N - 1).

patomic_add(_, 0) -> ok;
patomic_add(File, N) -> _ = emmap:patomic_add(File, 0, 1), patomic_add(File, N - 1).

pread(_, _, 0) -> ok;
pread(File, Length, N) -> _ = emmap:pread(File, 0, Length), pread(File, Length, N - 1).

pwrite(_, _, 0) -> ok;
pwrite(File, Bytes, N) -> _ = emmap:pwrite(File, 0, Bytes), pwrite(File, Bytes, N - 1).

copy(_, 0) -> ok;
copy(Bytes, N) -> _ = binary:copy(Bytes), copy(Bytes, N - 1).
