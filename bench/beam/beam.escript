#!/usr/bin/env escript
%%! +S 1:1 +IOs false
%% The NIF and the port beside BEAM's own means, in one node with one scheduler (see port.escript).
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/beam.escript [--quick]
-mode(compile).

-define(SECTION, "BEAM atomics and reads").
-define(SIZES, [64, 4096, 65536, 1 bsl 20]).
-define(FILE_SIZE, 1 bsl 21).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    ok = load_bare_nif(filename:dirname(escript:script_name()), Folder),
    Path = filename:join(Folder, "file"),
    ok = file:write_file(Path, binary:copy(<<1>>, ?FILE_SIZE)),
    atomics(Folder),
    Files = open_files(Path),
    reads(Files, Path),
    beside_emmap_2(Files),
    _ = [ok = emmap:close(File) || File <- maps:values(Files)],
    writes(Path),
    ok = file:del_dir_r(Folder).

%% The least cost of an operation in a NIF.
load_bare_nif(Here, Folder) ->
    {ok, bare_nif, Code} = compile:file(filename:join(Here, "bare_nif.erl"), [binary, report]),
    {module, bare_nif} = code:load_binary(bare_nif, "bare_nif.erl", Code),
    bare_nif:load(Folder).

%%% Atomics

atomics(Folder) ->
    [Nif, Port] = [
        emmap:open_counters(filename:join(Folder, "counters"), 1, [{backend, Backend}])
     || Backend <- [nif, port]
    ],
    {ok, File} = emmap:open(filename:join(Folder, "word"), [read, write, create, shared, {size, 8}, {backend, nif}]),
    Counters = counters:new(1, []),
    Atomics = atomics:new(1, []),
    Bare = bare_nif:new(),
    Ets = ets:new(counter, [public, {write_concurrency, true}]),
    ets:insert(Ets, {key, 0}),
    {ok, Dets} = dets:open_file(counter, [{file, filename:join(Folder, "dets")}, {auto_save, infinity}]),
    ok = dets:insert(Dets, {key, 0}),
    Batch = lists:duplicate(100, {inc_counter, 0, 1}),
    {ok, Named} = emmap_handles:start_link(#{name => visits, path => filename:join(Folder, "named"), kind => {counters, 1}}),
    ok = persistent_term:put(?MODULE, Nif),
    Ratio = rounds:race([
        {named, fun(N) -> inc_counter(visits, N) end},
        {looked_up, fun(N) -> inc_looked_up(N) end},
        {counters, fun(N) -> counters_add(Counters, N) end},
        {atomics, fun(N) -> atomics_add(Atomics, N) end},
        {ets, fun(N) -> ets_update(Ets, N) end},
        {dets, fun(N) -> dets_update(Dets, N) end},
        {bare, fun(N) -> bare_add(Bare, N) end},
        {inc_counter, fun(N) -> inc_counter(Nif, N) end},
        {patomic_add, fun(N) -> patomic_add(File, N) end},
        {port, fun(N) -> inc_counter(Port, N) end},
        {batch, fun(N) -> batch(Port, Batch, N) end}
    ], 201),
    rounds:ratio(?SECTION, "NIF inc_counter", Ratio(inc_counter, counters), "counters:add", "at most 1.6"),
    rounds:ratio(?SECTION, "NIF inc_counter", Ratio(inc_counter, bare), "a bare NIF that adds"),
    rounds:ratio(?SECTION, "a bare NIF that adds", Ratio(bare, counters), "counters:add"),
    Handle = "inc_counter with the handle",
    LookedUp = "inc_counter with a handle from a persistent term",
    rounds:ratio(?SECTION, "NIF inc_counter with a name", Ratio(named, inc_counter), Handle, "at most 1.2"),
    rounds:ratio(?SECTION, LookedUp, Ratio(looked_up, inc_counter), Handle),
    rounds:recorded(inc_counter, "inc_counter", Ratio(inc_counter, counters), "at most 1.0"),
    rounds:recorded(patomic_add, "patomic_add", Ratio(patomic_add, counters)),
    Peers = [{atomics, "atomics:add_get"}, {ets, "ets:update_counter"}, {dets, "dets:update_counter"}],
    _ = [
        rounds:ratio(?SECTION, Name, Ratio(Key, Peer) / Scale, PeerName)
     || {Name, Key, Scale, Beside} <- [
            {"NIF inc_counter", inc_counter, 1, Peers},
            {"NIF patomic_add", patomic_add, 1, [{counters, "counters:add"} | Peers]},
            {"port inc_counter", port, 1, [{counters, "counters:add"} | Peers]},
            {"port inc_counter, in batches of 100", batch, 100, [{counters, "counters:add"} | Peers]}
        ],
        {Peer, PeerName} <- Beside
    ],
    ok = dets:close(Dets),
    ok = gen_server:stop(Named),
    _ = [ok = emmap:close_counters(Opened) || Opened <- [Nif, Port]],
    ok = emmap:close(File).

counters_add(_, 0) -> ok;
counters_add(Counters, N) -> ok = counters:add(Counters, 1, 1), counters_add(Counters, N - 1).

atomics_add(_, 0) -> ok;
atomics_add(Atomics, N) -> _ = atomics:add_get(Atomics, 1, 1), atomics_add(Atomics, N - 1).

ets_update(_, 0) -> ok;
ets_update(Table, N) -> _ = ets:update_counter(Table, key, 1), ets_update(Table, N - 1).

dets_update(_, 0) -> ok;
dets_update(Table, N) -> _ = dets:update_counter(Table, key, 1), dets_update(Table, N - 1).

bare_add(_, 0) -> ok;
bare_add(Memory, N) -> _ = bare_nif:add(Memory, 1), bare_add(Memory, N - 1).

inc_counter(_, 0) -> ok;
inc_counter(Counters, N) -> {ok, _} = emmap:inc_counter(Counters, 0, 1), inc_counter(Counters, N - 1).

inc_looked_up(0) -> ok;
inc_looked_up(N) -> {ok, _} = emmap:inc_counter(persistent_term:get(?MODULE), 0, 1), inc_looked_up(N - 1).

patomic_add(_, 0) -> ok;
patomic_add(File, N) -> _ = emmap:patomic_add(File, 0, 1), patomic_add(File, N - 1).

batch(_, _, 0) -> ok;
batch(Counters, Operations, N) -> {ok, _} = emmap:batch(Counters, Operations), batch(Counters, Operations, N - 1).

%%% Reads and writes

open_files(Path) ->
    Open = fun(Options) ->
        {ok, File} = emmap:open(Path, [read, write, shared | Options]),
        File
    end,
    #{copy => Open([{backend, nif}]), direct => Open([direct, {backend, nif}]), port => Open([{backend, port}])}.

reads(#{copy := Copy, direct := Direct, port := Port}, Path) ->
    {ok, Dets} = dets:open_file(bytes, [{file, Path ++ ".dets"}, {auto_save, infinity}]),
    Counters = counters:new(1, []),
    Bare = bare_nif:new(),
    Sizes = [
        begin
            Bytes = binary:copy(<<1>>, Size),
            ok = dets:insert(Dets, {Size, Bytes}),
            Ratio = rounds:race([
                {counters, fun(N) -> counters_add(Counters, N) end},
                {binary_copy, fun(N) -> binary_copy(Bytes, N) end},
                {bare, fun(N) -> bare_read(Bare, N) end},
                {bare_direct, fun(N) -> bare_lend(Bare, N) end},
                {raw, with_raw(Path, fun(Raw, N) -> raw_pread(Raw, Size, N) end)},
                {dets, fun(N) -> dets_lookup(Dets, Size, N) end},
                {copy, fun(N) -> pread(Copy, Size, N) end},
                {direct, fun(N) -> pread(Direct, Size, N) end},
                {port, fun(N) -> pread(Port, Size, N) end}
            ], 51),
            {Size, Ratio}
        end
     || Size <- ?SIZES
    ],
    ok = dets:close(Dets),
    [{_, Of64}, {_, Of4096} | _] = Sizes,
    LeastDirect = "a bare NIF that answers 64 B where they are",
    rounds:ratio(?SECTION, "NIF pread 64 B direct", Of64(direct, counters), "counters:add", "at most 2.0", LeastDirect),
    rounds:ratio(?SECTION, "NIF pread 64 B direct", Of64(direct, bare_direct), LeastDirect),
    rounds:ratio(?SECTION, LeastDirect, Of64(bare_direct, counters), "counters:add"),
    rounds:ratio(?SECTION, "NIF pread 4 KiB copy", Of4096(copy, binary_copy), "binary:copy", "at most 1.5"),
    Least = "a bare NIF that answers 64 B",
    rounds:ratio(?SECTION, "NIF pread 64 B copy", Of64(copy, raw), "file:pread, raw", "at most 0.01", Least),
    rounds:ratio(?SECTION, "NIF pread 64 B copy", Of64(copy, bare), Least),
    rounds:ratio(?SECTION, Least, Of64(bare, raw), "file:pread, raw"),
    _ = [
        rounds:ratio(?SECTION, io_lib:format("~s ~s", [Name, text(Size)]), Ratio(Key, Peer), PeerName)
     || {Size, Ratio} <- Sizes,
        {Name, Key} <- [{"NIF pread, copied,", copy}, {"NIF pread, direct,", direct}, {"port pread,", port}],
        {Peer, PeerName} <- [
            {binary_copy, "binary:copy of as much"},
            {raw, "file:pread of a raw file"},
            {dets, "dets:lookup of as much"}
        ]
    ],
    Axes = {"bytes", "times file:pread of a raw file"},
    _ = [
        rounds:series(?SECTION, "reads by their length", Line, [{Size, Ratio(Key, raw)} || {Size, Ratio} <- Sizes], Axes)
     || {Line, Key} <- [
            {"NIF, copied", copy}, {"NIF, direct", direct}, {"port", port},
            {"binary:copy", binary_copy}, {"dets:lookup", dets}
        ]
    ],
    ok.

%% Goes through the whole file, piece by piece.
beside_emmap_2(#{copy := Copy, direct := Direct}) ->
    Counters = counters:new(1, []),
    Ratio = rounds:race([
        {counters, fun(N) -> counters_add(Counters, N) end},
        {direct_64, fun(N) -> read_through(Direct, 64, 0, N) end},
        {direct_4096, fun(N) -> read_through(Direct, 4096, 0, N) end},
        {copy_64, fun(N) -> read_through(Copy, 64, 0, N) end},
        {copy_4096, fun(N) -> read_through(Copy, 4096, 0, N) end}
    ], 201),
    rounds:recorded(pread_64_direct, "pread 64 B direct", Ratio(direct_64, counters), "at most 1.05"),
    rounds:recorded(pread_4096_direct, "pread 4 KiB direct", Ratio(direct_4096, counters), "at most 1.05"),
    rounds:recorded(pread_64_copy, "pread 64 B copy", Ratio(copy_64, counters), "at most 1.0"),
    rounds:recorded(pread_4096_copy, "pread 4 KiB copy", Ratio(copy_4096, counters), "at most 1.0").

%% Uses a file that the node has open once.
writes(Path) ->
    [Nif, Port] = [
        begin
            {ok, File} = emmap:open(Path, [read, write, shared, {backend, Backend}]),
            File
        end
     || Backend <- [nif, port]
    ],
    Small = binary:copy(<<1>>, 64),
    Counters = counters:new(1, []),
    Ratio = rounds:race([
        {counters, fun(N) -> counters_add(Counters, N) end},
        {raw, with_raw(Path, fun(Raw, N) -> raw_pwrite(Raw, Small, N) end)},
        {nif, fun(N) -> pwrite(Nif, Small, N) end},
        {port, fun(N) -> pwrite(Port, Small, N) end}
    ], 101),
    _ = [ok = emmap:close(File) || File <- [Nif, Port]],
    rounds:recorded(pwrite_64, "pwrite 64 B", Ratio(nif, counters), "at most 1.15"),
    rounds:ratio(?SECTION, "NIF pwrite 64 B", Ratio(nif, raw), "file:pwrite of a raw file"),
    rounds:ratio(?SECTION, "port pwrite 64 B", Ratio(port, raw), "file:pwrite of a raw file").

%% A raw file serves only the process that opened it, so that process runs the rounds.
with_raw(Path, Run) ->
    Owner = spawn_link(fun() ->
        {ok, Raw} = file:open(Path, [raw, binary, read, write]),
        serve(Raw, Run)
    end),
    fun(N) ->
        Owner ! {self(), N},
        receive
            {Owner, done} -> ok
        end
    end.

serve(Raw, Run) ->
    receive
        {Caller, N} ->
            Run(Raw, N),
            Caller ! {self(), done},
            serve(Raw, Run)
    end.

text(Size) when Size < 1 bsl 10 -> integer_to_list(Size) ++ " B";
text(Size) when Size < 1 bsl 20 -> integer_to_list(Size bsr 10) ++ " KiB";
text(Size) -> integer_to_list(Size bsr 20) ++ " MiB".

pread(_, _, 0) -> ok;
pread(File, Length, N) -> {ok, _} = emmap:pread(File, 0, Length), pread(File, Length, N - 1).

pwrite(_, _, 0) -> ok;
pwrite(File, Bytes, N) -> ok = emmap:pwrite(File, 0, Bytes), pwrite(File, Bytes, N - 1).

read_through(_, _, _, 0) ->
    ok;
read_through(File, Length, Position, N) ->
    {ok, _} = emmap:pread(File, Position, Length),
    read_through(File, Length, (Position + Length) band (?FILE_SIZE - 1), N - 1).

raw_pread(_, _, 0) -> ok;
raw_pread(Raw, Length, N) -> {ok, _} = file:pread(Raw, 0, Length), raw_pread(Raw, Length, N - 1).

raw_pwrite(_, _, 0) -> ok;
raw_pwrite(Raw, Bytes, N) -> ok = file:pwrite(Raw, 0, Bytes), raw_pwrite(Raw, Bytes, N - 1).

dets_lookup(_, _, 0) -> ok;
dets_lookup(Table, Key, N) -> [_] = dets:lookup(Table, Key), dets_lookup(Table, Key, N - 1).

bare_read(_, 0) -> ok;
bare_read(Memory, N) -> {ok, _} = bare_nif:read(Memory), bare_read(Memory, N - 1).

bare_lend(_, 0) -> ok;
bare_lend(Memory, N) -> {ok, _} = bare_nif:lend(Memory), bare_lend(Memory, N - 1).

binary_copy(_, 0) -> ok;
binary_copy(Bytes, N) -> _ = binary:copy(Bytes), binary_copy(Bytes, N - 1).
