%% Runs a function in a node of its own, so that a crash of the node does not end the tests.
-module(emmap_child).

-export([run/3, run/4]).

-type outcome() :: {Status :: 0..255, Output :: binary()}.
-export_type([outcome/0]).

-define(LIMIT, 300_000).

%% The node's exit status: 0 if `Module:Function(Arguments...)' returned, 1 if it raised an exception, which the output
%% shows. Any other status: the node ended before; 128 + N by signal N.
-spec run(module(), atom(), [term()]) -> outcome().
run(Module, Function, Arguments) ->
    run(Module, Function, Arguments, []).

%% With arguments for `erl' itself.
-spec run(module(), atom(), [term()], [string()]) -> outcome().
run(Module, Function, Arguments, Flags) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Port = open_port({spawn_executable, Erl}, [
        {args, Flags ++ ["-noinput", "-boot", "no_dot_erlang", "-kernel", "logger_level", "error", "-pa" | paths()] ++
            ["-eval", script(Module, Function, Arguments)]},
        {env, [{"ERL_CRASH_DUMP_SECONDS", "0"}, {"ERL_AFLAGS", false}, {"ERL_ZFLAGS", false}]},
        exit_status, stderr_to_stdout, binary
    ]),
    Timer = erlang:send_after(?LIMIT, self(), {Port, late}),
    Outcome = collect(Port, []),
    _ = erlang:cancel_timer(Timer),
    receive {Port, late} -> ok after 0 -> ok end,
    Outcome.

paths() ->
    [filename:absname(filename:dirname(code:which(Module))) || Module <- [emmap_backend, ?MODULE]].

script(Module, Function, Arguments) ->
    Call = base64:encode_to_string(term_to_binary({Module, Function, Arguments})),
    "{M, F, A} = binary_to_term(base64:decode(\"" ++ Call ++ "\")),"
    "try apply(M, F, A), halt(0)"
    "catch C:R:S -> io:format(\"~p~n\", [{C, R, S}]), halt(1) end.".

collect(Port, Output) ->
    receive
        {Port, {data, Data}} ->
            collect(Port, [Output, Data]);
        {Port, {exit_status, Status}} ->
            {Status, iolist_to_binary(Output)};
        {Port, late} ->
            {os_pid, Pid} = erlang:port_info(Port, os_pid),
            _ = os:cmd("kill -KILL " ++ integer_to_list(Pid)),
            collect(Port, [Output, "\nended after ", integer_to_list(?LIMIT), " ms\n"])
    end.
