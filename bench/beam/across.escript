#!/usr/bin/env escript
%% The BEAM half of across.mjs: sends messages to Node in the given way.
%%
%% It reads commands from standard input, one a line, and ends at its end: `WAY COUNT SIZE MESSAGE' or
%% `WAY COUNT MICROSECONDS pace'. A message is a tick or a job, with its number; a message of a pace is the time of its
%% sending. The way `none' encodes and sends nothing, and prints the nanoseconds that this took.
-mode(compile).

main([Folder, TcpPort]) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "queue"), 0, [read, write]),
    Local = {local, filename:join(Folder, "socket")},
    {ok, Unix} = gen_tcp:connect(Local, 0, [local, binary, {active, false}]),
    {ok, Tcp} = gen_tcp:connect({127, 0, 0, 1}, list_to_integer(TcpPort), [binary, {active, false}, {nodelay, true}]),
    Redis = case gen_tcp:connect({local, filename:join(Folder, "redis.sock")}, 0, [local, binary, {active, false}]) of
        {ok, Socket} -> Socket;
        {error, _} -> none
    end,
    Ways = #{
        "queue" => fun(Messages) -> push(Queue, Messages) end,
        "unix" => fun(Messages) -> send(Unix, Messages) end,
        "tcp" => fun(Messages) -> send(Tcp, Messages) end,
        "redis" => fun(Messages) -> rpush(Redis, Messages) end,
        "none" => fun(Messages) -> [term_to_binary(Message) || Message <- Messages] end
    },
    ok = io:setopts([binary]),
    io:put_chars("ready\n"),
    obey(Ways).

obey(Ways) ->
    case io:get_line("") of
        eof ->
            ok;
        Line ->
            [Way, Count, Number, What] = string:lexemes(binary_to_list(Line), " \n"),
            Took = do(What, maps:get(Way, Ways), list_to_integer(Count), list_to_integer(Number)),
            Way =:= "none" andalso io:put_chars([integer_to_list(Took), "\n"]),
            obey(Ways)
    end.

%% Nanoseconds. Runs in a process of its own, so that it starts without garbage.
do(What, Way, Count, Number) ->
    {_, Monitor} = spawn_monitor(fun() ->
        Begin = os:perf_counter(nanosecond),
        case What of
            "tick" -> bulk(Way, fun tick/1, 0, Count, Number);
            "job" -> bulk(Way, fun job/1, 0, Count, Number);
            "pace" -> pace(Way, Count, Number * 1000, Begin)
        end,
        exit({took, os:perf_counter(nanosecond) - Begin})
    end),
    receive
        {'DOWN', Monitor, process, _, {took, Time}} -> Time
    end.

tick(Number) ->
    {tick, Number}.

job(Number) ->
    {job, Number, send_mail, [{to, <<"grace@example.org">>}, {retries, 3}], high}.

%% Sends the messages in groups.
bulk(_, _, Count, Count, _) ->
    ok;
bulk(Way, Make, Next, Count, 1) ->
    Way([Make(Next)]),
    bulk(Way, Make, Next + 1, Count, 1);
bulk(Way, Make, Next, Count, Size) ->
    Last = min(Next + Size, Count),
    Way([Make(Number) || Number <- lists:seq(Next, Last - 1)]),
    bulk(Way, Make, Last, Count, Size).

%% Sends one message each Interval. The time is in nanoseconds of the clock that Node's process.hrtime reads.
pace(_, 0, _, _) ->
    ok;
pace(Way, Count, Interval, Time) ->
    await(Time + Interval),
    Way([os:perf_counter(nanosecond)]),
    pace(Way, Count - 1, Interval, Time + Interval).

%% Spins, as a busy program does. A sleeping one would measure how soon it wakes up.
await(Time) ->
    case os:perf_counter(nanosecond) >= Time of
        true -> ok;
        false -> await(Time)
    end.

push(Queue, [Message]) -> ok = emmap_queue:push(Queue, Message);
push(Queue, Messages) -> ok = emmap_queue:push_many(Queue, Messages).

%% Frames of {packet, 4}, in one write.
send(Socket, Messages) ->
    ok = gen_tcp:send(Socket, [frame(term_to_binary(Message)) || Message <- Messages]).

frame(Bytes) ->
    [<<(byte_size(Bytes)):32>>, Bytes].

%% RPUSH. A client has to read the answer.
rpush(Socket, Messages) ->
    Words = [<<"RPUSH">>, <<"jobs">> | [term_to_binary(Message) || Message <- Messages]],
    ok = gen_tcp:send(Socket, [[$*, integer_to_list(length(Words)), "\r\n"] | [bulk_string(Word) || Word <- Words]]),
    {ok, <<$:, _/binary>>} = gen_tcp:recv(Socket, 0).

bulk_string(Bytes) ->
    [$$, integer_to_list(byte_size(Bytes)), "\r\n", Bytes, "\r\n"].
