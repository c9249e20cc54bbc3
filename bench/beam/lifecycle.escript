#!/usr/bin/env escript
%% The costs of a mapped file on BEAM besides its operations: opening, closing and resizing it, the node's memory after many
%% operations, and the garbage collections that large direct binaries cause.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/lifecycle.escript [--quick]
-mode(compile).

-define(SECTION, "Opening, closing and memory").
-define(MIB, (1 bsl 20)).
%% The processes that call the port program at the same time, because a round trip is slow.
-define(CALLERS, 8).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    try
        opening(Folder),
        memory(Folder),
        garbage(Folder)
    after
        ok = file:del_dir_r(Folder)
    end.

opening(Folder) ->
    Path = filename:join(Folder, "file"),
    Counters = filename:join(Folder, "counters"),
    Queue = filename:join(Folder, "queue"),
    close(open(Path, nif, ?MIB)),
    Contestants = [
        {raw, fun(N) ->
            repeat(N, fun() ->
                {ok, File} = file:open(Path, [raw, read, write, binary]),
                ok = file:close(File)
            end)
        end}
        | [
            {Name, fun(N) -> repeat(N, Fun) end}
         || {Name, Fun} <- [
                {nif, fun() -> close(open(Path, nif, ?MIB)) end},
                {port, fun() -> close(open(Path, port, ?MIB)) end},
                {counters, fun() ->
                    File = emmap:open_counters(Counters, 8, [{backend, nif}]),
                    ok = emmap:close_counters(File)
                end},
                {queue, fun() ->
                    {ok, File} = emmap_queue:open(Queue, ?MIB, [{backend, nif}]),
                    ok = emmap_queue:close(File)
                end}
            ]
        ]
    ],
    Ratio = rounds:race(Contestants, 101),
    Floor = "file:open + file:close, raw",
    _ = [
        rounds:ratio(?SECTION, Name ++ " + close", Ratio(Key, raw), Floor)
     || {Name, Key} <- [
            {"NIF open", nif},
            {"port open", port},
            {"NIF open_counters", counters},
            {"NIF emmap_queue:open", queue}
        ]
    ],
    Files = [{Backend, open(filename:join(Folder, atom_to_list(Backend)), Backend, ?MIB)} || Backend <- [nif, port]],
    Resize = rounds:race(
        [
            {raw, fun(N) ->
                {ok, Raw} = file:open(Path, [raw, read, write, binary]),
                repeat(N, fun() ->
                    truncate(Raw, 2 * ?MIB),
                    truncate(Raw, ?MIB)
                end),
                ok = file:close(Raw)
            end}
            | [
                {Backend, fun(N) ->
                    repeat(N, fun() ->
                        {ok, _} = emmap:resize(File, 2 * ?MIB),
                        {ok, _} = emmap:resize(File, ?MIB)
                    end)
                end}
             || {Backend, File} <- Files
            ]
        ],
        101
    ),
    _ = [close(File) || {_, File} <- Files],
    _ = [
        rounds:ratio(?SECTION, Name ++ " resize, 1 MiB longer and back, noreserve", Resize(Key, raw), "file:truncate, raw")
     || {Name, Key} <- [{"NIF", nif}, {"port", port}]
    ],
    ok.

truncate(File, Size) ->
    {ok, Size} = file:position(File, Size),
    ok = file:truncate(File).

%% The memory of the node and of the port program after many operations, beside that after a twentieth of them.
memory(Folder) ->
    Times =
        case rounds:quick() of
            true -> 20_000;
            false -> 1_000_000
        end,
    Node = os:getpid(),
    _ = [
        begin
            Before = resident_after(Node, 1, Times div 20, Operation),
            After = resident_after(Node, 1, Times - Times div 20, Operation),
            grown("a BEAM node", Times, "NIF " ++ Name, After / Before),
            _ = Close()
        end
     || {Name, Operation, Close} <- operations(Folder, nif)
    ],
    Program = port_program(),
    _ = [
        begin
            Before = resident_after(Program, ?CALLERS, Times div 20, Operation),
            After = resident_after(Program, ?CALLERS, Times - Times div 20, Operation),
            grown("the port program", Times, Name, After / Before),
            _ = Close()
        end
     || {Name, Operation, Close} <- operations(Folder, port)
    ],
    ok.

grown(Whose, Times, Name, Ratio) ->
    Operation = lists:concat(["memory of ", Whose, " after ", rounds:thousands(Times), " × ", Name]),
    rounds:ratio(?SECTION, Operation, Ratio, "its memory after a twentieth of them").

%% The repeated work, and a function that ends it.
operations(Folder, Backend) ->
    Path = filename:join(Folder, lists:concat(["memory-", Backend])),
    File = open(Path, Backend, ?MIB),
    Counters = emmap:open_counters(Path ++ "-counters", 8, [{backend, Backend}]),
    Options = [read, write, create, exclusive, {backend, Backend}],
    {ok, Queue} = emmap_queue:open(Path ++ "-messages", ?MIB, Options),
    {ok, Storage} = emmap:open_block_storage(Path ++ "-blocks", 64, Options),
    Block = binary:copy(<<1>>, 64),
    [
        {"pread 64 B copy", fun() -> emmap:pread(File, 0, 64) end, fun() -> close(File) end},
        {"inc_counter", fun() -> emmap:inc_counter(Counters, 0, 1) end, fun() -> emmap:close_counters(Counters) end},
        {"queue push + pop",
            fun() ->
                ok = emmap_queue:push(Queue, {message, 1}),
                {message, 1} = emmap_queue:pop(Queue)
            end,
            fun() -> emmap_queue:close(Queue) end},
        {"block store + free", fun() -> true = emmap:free_block(Storage, emmap:store_block(Storage, Block)) end,
            fun() -> close(Storage) end},
        {"open + close", fun() -> close(open(Path ++ "-opened", Backend, ?MIB)) end, fun() -> ok end}
    ] ++
        case Backend of
            nif ->
                {ok, Direct} = emmap:open(Path, [direct, read, shared, {backend, nif}]),
                [{"pread 64 B direct", fun() -> emmap:pread(Direct, 0, 64) end, fun() -> close(Direct) end}];
            port ->
                []
        end.

port_program() ->
    [Pid] = [
        Pid
     || Port <- erlang:ports(),
        {name, Name} <- [erlang:port_info(Port, name)],
        filename:basename(Name) =:= "emmap_port",
        {os_pid, Pid} <- [erlang:port_info(Port, os_pid)]
    ],
    integer_to_list(Pid).

%% The resident bytes of an operating system's process after the operations, when the BEAM processes that did them are gone.
resident_after(OsPid, Callers, Times, Operation) ->
    Monitors = [
        element(2, spawn_monitor(fun() -> repeat(Times div Callers, Operation) end))
     || _ <- lists:seq(1, Callers)
    ],
    _ = [
        receive
            {'DOWN', Monitor, process, _, normal} -> ok
        end
     || Monitor <- Monitors
    ],
    erlang:garbage_collect(),
    {ok, Statm} = file:read_file("/proc/" ++ OsPid ++ "/statm"),
    [_, Resident | _] = binary:split(Statm, <<" ">>, [global]),
    binary_to_integer(Resident) * 4096.

%% Collections and time of the same number of direct reads of a large and of a small piece. The node counts the bytes of
%% every binary as memory that a collection could free, even of one that aliases a mapping.
garbage(Folder) ->
    {ok, Direct} = emmap:open(filename:join(Folder, "large"), [
        direct, read, write, create, shared, noreserve, {size, 1 bsl 30}, {backend, nif}
    ]),
    Reads = fun(Length) ->
        Before = collections(),
        repeat(200_000, fun() -> {ok, _} = emmap:pread(Direct, 0, Length) end),
        collections() - Before
    end,
    [Small, Large] = [Reads(Length) || Length <- [64, 1 bsl 29]],
    rounds:ratio(
        ?SECTION, "collections through NIF direct reads of 512 MiB", Large / max(1, Small), "those through as many of 64 B"
    ),
    Ratio = rounds:race(
        [
            {Length, fun(N) -> repeat(N, fun() -> {ok, _} = emmap:pread(Direct, 0, Length) end) end}
         || Length <- [64, 1 bsl 29]
        ],
        101
    ),
    rounds:ratio(?SECTION, "NIF pread 512 MiB direct", Ratio(1 bsl 29, 64), "NIF pread 64 B direct"),
    rounds:note(
        ?SECTION,
        "BEAM counts the bytes of a direct binary as memory that a collection could free. So large direct reads cause "
        "collections, but only of the reading process."
    ),
    close(Direct).

collections() ->
    {Count, _, _} = erlang:statistics(garbage_collection),
    Count.

open(Path, Backend, Size) ->
    {ok, File} = emmap:open(Path, [read, write, create, shared, noreserve, {size, Size}, {backend, Backend}]),
    File.

close(File) ->
    ok = emmap:close(File).

repeat(0, _) ->
    ok;
repeat(N, Fun) ->
    _ = Fun(),
    repeat(N - 1, Fun).

