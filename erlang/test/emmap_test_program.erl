%% The port program, as clients in other languages use it.
-module(emmap_test_program).

-export([path/0, start/0, start/2, call/2, command/2, reply/1, status/1, stop/1]).

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
