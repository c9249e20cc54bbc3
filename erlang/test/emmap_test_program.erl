%% The port program, as clients in other languages use it.
-module(emmap_test_program).

-export([path/0, start/0, start/2, call/2, command/2, reply/1, status/1, stop/1, with_stopped_owner/2, is_locked/1]).

path() ->
    filename:join(code:priv_dir(emmap), "emmap_port").

start() ->
    start(path(), []).

%% {Port, Hello}. Standard error of the program is that of the tests.
start(Program, Options) ->
    Port = open_port({spawn_executable, Program}, [{packet, 4}, binary, exit_status | Options]),
    {Port, reply(Port)}.

call(Port, Term) ->
    command(Port, term_to_binary(Term)),
    reply(Port).

command(Port, Frame) ->
    true = port_command(Port, Frame),
    ok.

reply(Port) ->
    receive
        {Port, {data, Data}} -> binary_to_term(Data);
        {Port, {exit_status, Status}} -> {exit_status, Status}
    end.

status(Port) ->
    receive
        {Port, {exit_status, Status}} -> Status
    end.

stop(Port) ->
    true = port_close(Port),
    ok.

%% Calls the fun while a stopped program has the lock of the queue, which has some 100,000 messages. The fun gets the path,
%% the port and the system's process.
with_stopped_owner(Queue, Fun) ->
    Path = list_to_binary(Queue),
    {Port, _Hello} = start(),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    {1, {ok, Handle, _}} = call(Port, {1, {queue_open, Path, []}}),
    %% Nearly all of its time it has the lock.
    Walk = {queue_walk, Handle, forward, 20000, 0},
    command(Port, term_to_binary({2, {batch, lists:duplicate(600, Walk)}})),
    try
        emmap_test:until(fun() ->
            signal("STOP", OsPid),
            is_locked(Path) orelse begin signal("CONT", OsPid), false end
        end),
        Fun(Path, Port, OsPid)
    after
        signal("KILL", OsPid) % stopped, it would not end by itself
    end.

%% Whether the lock of the queue is taken: the number of its owner in the state of the live folder (docs/live.md).
is_locked(Path) ->
    {ok, <<_:64/binary, Word:32/native, _/binary>>} = file:read_file(<<Path/binary, "-live/state">>),
    Word band 16#3fffffff =/= 0.

signal(Name, OsPid) ->
    os:cmd("kill -" ++ Name ++ " " ++ integer_to_list(OsPid)).
