#!/usr/bin/env escript
%% The BEAM half of wake.mjs: reads `WAY COUNT' lines, and answers Node COUNT times by counters, queues or a socket.
-mode(compile).

main([Folder, BarePort]) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    Path = filename:join(Folder, "wake"),
    Counters = [{Way, emmap:open_counters(Path, 2, [read, write, {backend, Backend}])}
                || {Way, Backend} <- [{"nif", nif}, {"port", port}]],
    Queues = [{Way, {queues, open_queue(Folder, "there", Backend), open_queue(Folder, "back", Backend)}}
              || {Way, Backend} <- [{"nif-queue", nif}, {"port-queue", port}]],
    Local = {local, filename:join(Folder, "wake.sock")},
    {ok, Unix} = gen_tcp:connect(Local, 0, [local, binary, {active, false}]),
    Fifos = [filename:join(Folder, Name) || Name <- ["bare-there", "bare-back"]],
    {ok, bare_nif, Code} = compile:file(filename:join(Here, "bare_nif.erl"), [binary, report]),
    {module, bare_nif} = code:load_binary(bare_nif, "bare_nif.erl", Code),
    ok = bare_nif:load(Folder),
    ok = bare_nif:watch(filename:join(Folder, "nif-there"), filename:join(Folder, "nif-back")),
    Bare = open_port({spawn_executable, BarePort}, [{packet, 4}, binary, nouse_stdio, {args, Fifos}]),
    ok = io:setopts([binary]),
    io:put_chars("ready\n"),
    obey(maps:from_list([{"unix", Unix}, {"bare-nif", none}, {"bare-port", Bare}, {"bare-port-twice", Bare} | Counters ++ Queues])).

open_queue(Folder, Name, Backend) ->
    {ok, Queue} = emmap_queue:open(filename:join(Folder, Name), 0, [{backend, Backend}]),
    Queue.

obey(Ways) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Way, Count] = string:lexemes(binary_to_list(Line), " \n"),
            answer(Way, maps:get(Way, Ways), list_to_integer(Count)),
            obey(Ways)
    end.

answer(_Way, _How, 0) ->
    ok;
answer("unix" = Way, Socket, Count) ->
    {ok, Bytes} = gen_tcp:recv(Socket, 8),
    ok = gen_tcp:send(Socket, Bytes),
    answer(Way, Socket, Count - 1);
answer("bare-port" = Way, Port, Count) ->
    Byte = receive {Port, {data, Data}} -> Data end,
    true = port_command(Port, Byte),
    answer(Way, Port, Count - 1);
answer("bare-port-twice" = Way, Port, Count) ->
    _ = receive {Port, {data, There}} -> There end,
    true = port_command(Port, <<2>>),
    _ = receive {Port, {data, Done}} -> Done end,
    true = port_command(Port, <<1>>),
    answer(Way, Port, Count - 1);
answer("bare-nif" = Way, none, Count) ->
    receive ok -> ok end,
    ok = bare_nif:answer(),
    answer(Way, none, Count - 1);
answer(Way, {queues, There, Back} = Queues, Count) ->
    {ok, Message} = emmap_queue:receive_message(There, infinity),
    ok = emmap_queue:push(Back, Message),
    answer(Way, Queues, Count - 1);
answer(Way, Counters, Count) ->
    {ok, Seen} = emmap:read_counter(Counters, 1),
    await(Counters, Seen),
    {ok, Seen} = emmap:inc_counter(Counters, 1),
    {ok, _} = emmap:notify_counter(Counters, 1, 1),
    answer(Way, Counters, Count - 1).

%% Node has asked if counter 0 is ahead of counter 1.
await(Counters, Seen) ->
    case emmap:read_counter(Counters, 0) of
        {ok, Seen} ->
            _ = emmap:wait_counter(Counters, 0, Seen, infinity),
            await(Counters, Seen);
        {ok, _} ->
            ok
    end.
