#!/usr/bin/env escript
%% The BEAM half of wake.mjs: reads `WAY COUNT' lines, and answers Node COUNT times by counters, queues or a socket.
-mode(compile).

main([Folder, BarePort]) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    Path = filename:join(Folder, "wake"),
    Counters = [{Way, emmap:open_counters(Path, 1, [read, write, {backend, Backend}])}
                || {Way, Backend} <- [{"nif", nif}, {"port", port}]],
    Queues = [{Way, {queues, open_queue(Folder, "there", Backend), open_queue(Folder, "back", Backend)}}
              || {Way, Backend} <- [{"nif-queue", nif}, {"port-queue", port}]],
    Local = {local, filename:join(Folder, "wake.sock")},
    {ok, Unix} = gen_tcp:connect(Local, 0, [local, binary, {active, false}]),
    {ok, bare_nif, Code} = compile:file(filename:join(Here, "bare_nif.erl"), [binary, report]),
    {module, bare_nif} = code:load_binary(bare_nif, "bare_nif.erl", Code),
    ok = bare_nif:load(Folder),
    [ThereNif, BackNif, BackAddon, There, Back, ThereThread] =
        [filename:join(Folder, Name) || Name <- ["nif-there", "nif-back", "thread-back", "bare-there", "bare-back", "thread-there"]],
    ok = bare_nif:watch(ThereNif, BackNif, BackAddon),
    [Bare, BareThread] = [open_port({spawn_executable, BarePort}, [{packet, 4}, binary, nouse_stdio, {args, Arguments}])
                          || Arguments <- [[There, Back], [ThereThread, BackAddon, "thread"]]],
    ok = io:setopts([binary]),
    io:put_chars("ready\n"),
    obey(maps:from_list([{"unix", Unix}, {"bare-nif", 0}, {"bare-nif-thread", 1}, {"bare-port", Bare},
                          {"bare-port-twice", Bare}, {"bare-port-thread", BareThread} | Counters ++ Queues])).

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
answer(Way, Port, Count) when Way =:= "bare-port"; Way =:= "bare-port-thread" ->
    Byte = receive {Port, {data, Data}} -> Data end,
    true = port_command(Port, Byte),
    answer(Way, Port, Count - 1);
answer("bare-port-twice" = Way, Port, Count) ->
    _ = receive {Port, {data, There}} -> There end,
    true = port_command(Port, <<2>>),
    _ = receive {Port, {data, Done}} -> Done end,
    true = port_command(Port, <<1>>),
    answer(Way, Port, Count - 1);
answer(Way, Back, Count) when Way =:= "bare-nif"; Way =:= "bare-nif-thread" ->
    receive ok -> ok end,
    ok = bare_nif:answer(Back),
    answer(Way, Back, Count - 1);
answer(Way, {queues, There, Back} = Queues, Count) ->
    {ok, Message} = emmap_queue:receive_message(There, infinity),
    ok = emmap_queue:push(Back, Message),
    answer(Way, Queues, Count - 1);
answer(Way, Counters, Count) ->
    {ok, Now} = emmap:read_counter(Counters, 0),
    answer(Way, Counters, Now - Now rem 2, Count).

%% The counter is odd while Node waits for an answer. A wait may end by a late notify, so the answer is a compare-and-swap.
answer(_Way, _Counters, _Even, 0) ->
    ok;
answer(Way, Counters, Even, Count) ->
    Result = emmap:wait_counter(Counters, 0, Even, infinity),
    true = lists:member(Result, [ok, not_equal]),
    case swap(Way, Counters, Even + 1, Even + 2) of
        {true, _} -> answer(Way, Counters, Even + 2, Count - 1);
        {false, _} -> answer(Way, Counters, Even, Count)
    end.

%% Over the port a batch takes one request.
swap("port", Counters, Odd, Next) ->
    {ok, [Swapped, {ok, _}]} = emmap:batch(Counters, [{cas_counter, 0, Odd, Next}, {notify_counter, 0, 1}]),
    Swapped;
swap("nif", Counters, Odd, Next) ->
    Swapped = emmap:cas_counter(Counters, 0, Odd, Next),
    {ok, _} = emmap:notify_counter(Counters, 0, 1),
    Swapped.
