#!/usr/bin/env escript
%%! +S 1:1 +IOs false
%% Costs that must not grow with the size, on BEAM: of bytes in a file, through the NIF and the port; of counters, messages
%% in a queue and blocks in a storage, through the NIF. See flat.mjs, and node-file-sizes.mjs for the bytes.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/flat.escript [--quick]
-mode(compile).

-define(SECTION, "Scaling").
-define(PAGES, 16).

main(_) ->
    Rounds = filename:join([filename:dirname(escript:script_name()), "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    files(Folder),
    counters(Folder),
    queues(Folder),
    storages(Folder),
    ok = file:del_dir_r(Folder).

%% 16 places all over a sparse file. Each is in another cache line of its page, so that they do not share cache sets.
files(Folder) ->
    Sizes = [1 bsl 16, 1 bsl 20, 1 bsl 26, 1 bsl 30, 1 bsl 33],
    Small = binary:copy(<<3>>, 64),
    Page = binary:copy(<<3>>, 4096),
    Paths = [{Size, sparse(Folder, Size)} || Size <- Sizes],
    _ = [
        begin
            Files = [{Size, open(Path, Options), places(Size)} || {Size, Path} <- Paths],
            compare("By the file's size, on BEAM", Operation, "bytes", "64 KiB", [
                {Size, fun(N) -> each(fun(At) -> Run(File, At) end, Places, N) end}
             || {Size, File, Places} <- Files
            ]),
            [ok = emmap:close(File) || {_, File, _} <- Files]
        end
     || {Operation, Options, Run} <- [
            {"NIF pread 64 B", [{backend, nif}], fun(File, At) -> {ok, _} = emmap:pread(File, At, 64) end},
            {"NIF pread 64 B direct", [direct, {backend, nif}], fun(File, At) -> {ok, _} = emmap:pread(File, At, 64) end},
            {"NIF pwrite 64 B", [{backend, nif}], fun(File, At) -> ok = emmap:pwrite(File, At, Small) end},
            {"NIF pread 4 KiB", [{backend, nif}], fun(File, At) -> {ok, _} = emmap:pread(File, page(At), 4096) end},
            {"NIF pwrite 4 KiB", [{backend, nif}], fun(File, At) -> ok = emmap:pwrite(File, page(At), Page) end},
            {"NIF patomic_add", [{backend, nif}], fun(File, At) -> {ok, _} = emmap:patomic_add(File, At, 1) end},
            {"port pread 64 B", [{backend, port}], fun(File, At) -> {ok, _} = emmap:pread(File, At, 64) end},
            {"port pwrite 64 B", [{backend, port}], fun(File, At) -> ok = emmap:pwrite(File, At, Small) end}
        ]
    ],
    ok.

sparse(Folder, Size) ->
    Path = filename:join(Folder, "sparse-" ++ integer_to_list(Size)),
    {ok, Raw} = file:open(Path, [raw, read, write]),
    {ok, Size} = file:position(Raw, Size),
    ok = file:truncate(Raw),
    ok = file:close(Raw),
    Path.

open(Path, Options) ->
    {ok, File} = emmap:open(Path, [read, write, shared | Options]),
    File.

places(Size) ->
    Pages = Size div 4096,
    [I * (Pages - 1) div (?PAGES - 1) * 4096 + I * 64 || I <- lists:seq(0, ?PAGES - 1)].

%% The page of a place: reading it whole touches no other page.
page(At) ->
    At band bnot 4095.

each(Run, Places, N) ->
    each(Run, Places, Places, N).

each(_, _, _, 0) -> ok;
each(Run, Places, [], N) -> each(Run, Places, Places, N);
each(Run, Places, [At | Others], N) -> _ = Run(At), each(Run, Places, Others, N - 1).

counters(Folder) ->
    compare("By counters, on BEAM", "NIF inc_counter", "counters", "8", [
        begin
            Path = filename:join(Folder, "counters-" ++ integer_to_list(Count)),
            Counters = emmap:open_counters(Path, Count, [{backend, nif}]),
            {Count, fun(N) -> repeat(fun() -> emmap:inc_counter(Counters, Count - 1, 1) end, N) end}
        end
     || Count <- [8, 1024, 1 bsl 20]
    ]).

queues(Folder) ->
    Message = {job, binary:copy(<<1>>, 32)},
    Lengths = case rounds:quick() of
        true -> [1, 1000];
        false -> [1, 100, 10_000, 1_000_000]
    end,
    _ = [
        compare("By messages waiting, on BEAM", "NIF push + pop, " ++ atom_to_list(Sharing), "messages waiting", "1", [
            begin
                Path = filename:join(Folder, lists:concat(["queue-", Sharing, Length])),
                {ok, Queue} = emmap_queue:open(Path, 0, [read, write, create, Sharing, {backend, nif}]),
                Some = min(Length, 1000),
                repeat(fun() -> ok = emmap_queue:push_many(Queue, lists:duplicate(Some, Message)) end, Length div Some),
                {Length, fun(N) ->
                    repeat(fun() -> ok = emmap_queue:push(Queue, Message), Message = emmap_queue:pop(Queue) end, N)
                end}
            end
         || Length <- Lengths
        ])
     || Sharing <- [shared, exclusive]
    ],
    ok.

storages(Folder) ->
    Block = binary:copy(<<1>>, 64),
    Counts = case rounds:quick() of
        true -> [1, 4096];
        false -> [1, 4096, 131_072, 262_143]
    end,
    _ = [
        compare("By blocks stored, on BEAM", "NIF store + free, " ++ atom_to_list(Sharing), "blocks stored", "1", [
            begin
                Path = filename:join(Folder, lists:concat(["blocks-", Sharing, Count])),
                {ok, Storage} =
                    emmap:open_block_storage(Path, 64, [read, write, create, Sharing, {backend, nif}]),
                fill(Storage, Block, Count),
                {Count, fun(N) ->
                    repeat(fun() -> true = emmap:free_block(Storage, emmap:store_block(Storage, Block)) end, N)
                end}
            end
         || Count <- Counts
        ])
     || Sharing <- [shared, exclusive]
    ],
    ok.

fill(_, _, 0) ->
    ok;
fill(Storage, Block, Count) ->
    Some = min(Count, 4096),
    {ok, _} = emmap:store_blocks(Storage, lists:duplicate(Some, Block)),
    fill(Storage, Block, Count - Some).

repeat(_, 0) -> ok;
repeat(Run, N) -> _ = Run(), repeat(Run, N - 1).

%% Contestants by size. The ratios are to the first one.
compare(Chart, Operation, What, Least, Contestants) ->
    Ratio = rounds:race(Contestants, 101),
    [{First, _} | _] = Contestants,
    {Last, _} = lists:last(Contestants),
    Points = [{Amount, Ratio(Amount, First)} || {Amount, _} <- Contestants],
    rounds:series(?SECTION, Chart, Operation, Points, {What, "times the same with " ++ Least}),
    There = case What of
        "bytes" -> Operation ++ " in " ++ integer_to_list(Last bsr 30) ++ " GiB";
        _ -> Operation ++ ", " ++ rounds:thousands(Last) ++ " " ++ What
    end,
    rounds:ratio(?SECTION, There, Ratio(Last, First), "the same with " ++ Least, "at most 1.2").
