#!/usr/bin/env escript
%% The NIF backend beside what the node itself offers, in one node.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam.escript [--quick]
-mode(compile).

-define(SECTION, "BEAM atomics and reads").

main(_) ->
    Rounds = filename:join(filename:dirname(escript:script_name()), "rounds.erl"),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Path = filename:join(Folder, "file"),
    Options = [read, write, create, shared, {size, 1 bsl 20}, {backend, nif}],
    {ok, Copy} = emmap:open(Path, Options),
    {ok, Direct} = emmap:open(Path, [direct | Options]),
    {ok, Ours} = emmap:open_counters(filename:join(Folder, "counters"), 1, [{backend, nif}]),
    Theirs = counters:new(1, []),
    Page = binary:copy(<<1>>, 4096),
    Ratio = rounds:race([
        {counters, fun(N) -> counters_add(Theirs, N) end},
        {inc_counter, fun(N) -> inc_counter(Ours, N) end},
        {direct_64, fun(N) -> pread(Direct, 64, N) end},
        {binary_copy_4k, fun(N) -> copy(Page, N) end},
        {copy_4k, fun(N) -> pread(Copy, 4096, N) end}
    ]),
    _ = [emmap:close(File) || File <- [Copy, Direct, Ours]],
    ok = file:del_dir_r(Folder),
    rounds:ratio(?SECTION, "NIF inc_counter", Ratio(inc_counter, counters), "counters:add", "at most 1.6"),
    rounds:ratio(?SECTION, "NIF pread 64 B direct", Ratio(direct_64, counters), "counters:add", "at most 2.0"),
    rounds:ratio(?SECTION, "NIF pread 4 KiB copy", Ratio(copy_4k, binary_copy_4k), "binary:copy", "at most 1.5").

counters_add(_, 0) -> ok;
counters_add(Counters, N) -> ok = counters:add(Counters, 1, 1), counters_add(Counters, N - 1).

inc_counter(_, 0) -> ok;
inc_counter(Counters, N) -> _ = emmap:inc_counter(Counters, 0, 1), inc_counter(Counters, N - 1).

pread(_, _, 0) -> ok;
pread(File, Length, N) -> _ = emmap:pread(File, 0, Length), pread(File, Length, N - 1).

copy(_, 0) -> ok;
copy(Bytes, N) -> _ = binary:copy(Bytes), copy(Bytes, N - 1).
