#!/usr/bin/env escript
%%! +S 1:1 +IOs false
%% The port backend beside an echo port program, in one node.
%%
%%   cd erlang && rebar3 compile && escript ../bench/beam/port.escript [--quick]
%%
%% The node has one scheduler. With several, a round trip takes five times as long while BEAM keeps the port and its caller
%% on two schedulers. That holds for the echo too, and changes from one round to the next. Schedulers do not poll
%% (+IOs false): they would poll for some ports and not for others, by chance, and a polled round trip takes a fifth of
%% the time.
-mode(compile).

-define(SECTION, "Port").
-define(ECHO, "an echo port").
-define(ECHO_TERMS, "an echo port, the same terms").
%% The same as in emmap_port.
-define(SPIN, "an echo port that spins for the next frame").
-define(SIZES, [1, 10, 100, 1000]).

main(_) ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    Rounds = filename:join([Here, "..", "harness", "rounds.erl"]),
    {ok, rounds, Code} = compile:file(Rounds, [binary, report]),
    {module, rounds} = code:load_binary(rounds, Rounds, Code),
    ok = rounds:load_emmap(),
    Folder = string:trim(os:cmd("mktemp -d")),
    Ei = code:lib_dir(erl_interface),
    EiFlags = ["-I", filename:join(Ei, "include"), " -L", filename:join(Ei, "lib"), " -lei -pthread"],
    Port = filename:join([Here, "..", "..", "port"]),
    PortFlags = ["-D_POSIX_C_SOURCE=200809L -I", Port, " ", filename:join(Port, "spin_wait.c")],
    Compiled = maps:from_list([
        {Name, compiled(filename:join([Here, "..", "native", Name ++ ".c"]), filename:join(Folder, Name), Flags)}
     || {Name, Flags} <- [{"echo_port", PortFlags}, {"ei_port", EiFlags}]
    ]),
    case Compiled of
        #{"echo_port" := {ok, Program}, "ei_port" := {ok, EiProgram}} ->
            calls(Folder, Program, EiProgram),
            many(Folder, Program),
            bandwidth(Folder, Program);
        #{} ->
            Reasons = [Reason || {error, Reason} <- maps:values(Compiled)],
            rounds:note(?SECTION, "The echo port can't be compiled: " ++ string:join(Reasons, "; "))
    end,
    ok = file:del_dir_r(Folder).

compiled(Source, Program, Flags) ->
    case os:cmd(lists:flatten(["cc -O2 -o ", Program, " ", Source, " ", Flags, " && printf done"])) of
        "done" -> {ok, Program};
        Output -> {error, hd(string:split(Output, "\n"))}
    end.

%%% One call

calls(Folder, Program, EiProgram) ->
    Echo = start(Program, "echo"),
    Spin = start(Program, "spin"),
    Ei = start(EiProgram, "batch"),
    {Relay, RelayPort} = start_relay(Program),
    Counters = counters(Folder),
    File = file(Folder, 1 bsl 20),
    Ratio = rounds:race([
        {echo, owning(Echo, fun(N) -> echo(Echo, term_to_binary(request(1)), N) end)},
        {echo_terms, owning(Echo, fun(N) -> echo_terms(Echo, N) end)},
        {spin, owning(Spin, fun(N) -> echo(Spin, term_to_binary(request(1)), N) end)},
        {spin_terms, owning(Spin, fun(N) -> echo_terms(Spin, N) end)},
        {relay, fun(N) -> relayed(Relay, RelayPort, term_to_binary(request(1)), N) end},
        {add, fun(N) -> add(Counters, N) end},
        {read, fun(N) -> read(File, 64, N) end},
        {batch, fun(N) -> batch(Counters, lists:duplicate(100, {inc_counter, 0, 1}), N) end},
        {ei, owning(Ei, fun(N) -> ei(Ei, lists:duplicate(100, {inc_counter, 0, 1}), N) end)}
    ], 201),
    ok = emmap:close_counters(Counters),
    ok = emmap:close(File),
    Relay ! stop,
    true = port_close(Echo),
    true = port_close(Spin),
    true = port_close(Ei),
    rounds:ratio(?SECTION, "one call, inc_counter", Ratio(add, echo_terms), ?ECHO_TERMS, "at most 1.15"),
    rounds:ratio(?SECTION, "one call, inc_counter", Ratio(add, echo), ?ECHO),
    rounds:ratio(?SECTION, "one call, inc_counter", Ratio(add, relay), "an echo port that has a process of its own"),
    rounds:ratio(?SECTION, "one call, inc_counter", Ratio(add, spin_terms), ?SPIN ++ ", the same terms"),
    rounds:ratio(?SECTION, "one call, pread 64 B", Ratio(read, echo_terms), ?ECHO_TERMS),
    Round = ?ECHO ++ ", one round trip",
    Terms = "a hundred terms through libei there and back, and nothing done",
    rounds:ratio(?SECTION, "batch of 100 adds, all together", Ratio(batch, echo), Round, "at most 1.5"),
    rounds:ratio(?SECTION, "batch of 100 adds, all together", Ratio(batch, spin), ?SPIN ++ ", one round trip"),
    rounds:ratio(?SECTION, "batch of 100 adds, all together", Ratio(batch, ei), Terms),
    rounds:ratio(?SECTION, Terms, Ratio(ei, echo), Round),
    rounds:ratio(?SECTION, ?SPIN, Ratio(spin, echo), ?ECHO),
    rounds:ratio(?SECTION, "an echo port that has a process of its own, bytes", Ratio(relay, echo), ?ECHO).

%% The request of emmap_port for an inc_counter.
request(Id) ->
    {Id, {counter_add, 1 bsl 24, 0, 1}}.

echo(_, _, 0) -> ok;
echo(Port, Frame, N) -> true = port_command(Port, Frame), _ = receive_frame(Port), echo(Port, Frame, N - 1).

echo_terms(_, 0) ->
    ok;
echo_terms(Port, N) ->
    true = port_command(Port, term_to_binary(request(N))),
    {N, _} = binary_to_term(receive_frame(Port)),
    echo_terms(Port, N - 1).

ei(_, _, 0) ->
    ok;
ei(Port, Operations, N) ->
    Calls = [{counter_add, 1 bsl 24, Index, Value} || {inc_counter, Index, Value} <- Operations],
    true = port_command(Port, term_to_binary({N, {batch, Calls}})),
    {N, _} = binary_to_term(receive_frame(Port)),
    ei(Port, Operations, N - 1).

receive_frame(Port) ->
    receive
        {Port, {data, Frame}} -> Frame
    end.

%% The least work for a port that several processes use: another process takes its answers.
start_relay(Program) ->
    Caller = self(),
    Relay = spawn_link(fun() ->
        Port = start(Program, "echo"),
        Caller ! {self(), Port},
        relay(Port, Caller)
    end),
    receive
        {Relay, Port} -> {Relay, Port}
    end.

relay(Port, Caller) ->
    receive
        {Port, {data, Frame}} ->
            Caller ! {self(), Frame},
            relay(Port, Caller);
        {caller, New} ->
            New ! {self(), ready},
            relay(Port, New);
        stop ->
            true = port_close(Port)
    end.

relayed(Relay, Port, Frame, N) ->
    Relay ! {caller, self()},
    receive
        {Relay, ready} -> relayed_on(Relay, Port, Frame, N)
    end.

relayed_on(_, _, _, 0) ->
    ok;
relayed_on(Relay, Port, Frame, N) ->
    true = port_command(Port, Frame),
    receive
        {Relay, Frame} -> relayed_on(Relay, Port, Frame, N - 1)
    end.

add(_, 0) -> ok;
add(Counters, N) -> {ok, _} = emmap:inc_counter(Counters, 0, 1), add(Counters, N - 1).

read(_, _, 0) -> ok;
read(File, Length, N) -> {ok, _} = emmap:pread(File, 0, Length), read(File, Length, N - 1).

batch(_, _, 0) -> ok;
batch(Counters, Operations, N) -> {ok, _} = emmap:batch(Counters, Operations), batch(Counters, Operations, N - 1).

%%% Many at once

%% The client writes all frames of an echo one after the other, and then reads the answers. A client that has the port
%% program for itself does the same. A batch is one frame.
many(Folder, Program) ->
    Echo = start(Program, "echo"),
    Counters = counters(Folder),
    {Ours, Handle} = start_ours(Folder),
    Contestants = [
        {{Name, Size}, Run}
     || Size <- ?SIZES,
        {Name, Run} <- [
            {echo, owning(Echo, fun(N) -> pipelined(Echo, [term_to_binary(request(1)) || _ <- lists:seq(1, Size)], N) end)},
            {pipelined, owning(Ours, fun(N) ->
                pipelined(Ours, [term_to_binary({1, {counter_add, Handle, 0, 1}}) || _ <- lists:seq(1, Size)], N)
            end)},
            {batch, fun(N) -> batch(Counters, lists:duplicate(Size, {inc_counter, 0, 1}), N) end}
        ]
    ],
    Ratio = rounds:race(Contestants, 51),
    ok = emmap:close_counters(Counters),
    true = port_close(Echo),
    true = port_close(Ours),
    Axes = {"operations at once", "time of an operation, in echo round trips"},
    [
        rounds:series(?SECTION, "operations at once", Line, [
            {Size, Ratio({Name, Size}, {echo, 1}) / Size}
         || Size <- ?SIZES
        ], Axes)
     || {Name, Line} <- [{echo, "echo, pipelined"}, {pipelined, "adds, pipelined"}, {batch, "adds, in a batch"}]
    ],
    [
        rounds:ratio(?SECTION, adds(Size) ++ ", pipelined", Ratio({pipelined, Size}, {echo, Size}),
                     "as many frames echoed")
     || Size <- ?SIZES
    ],
    [
        rounds:ratio(?SECTION, adds(Size) ++ ", in a batch", Ratio({batch, Size}, {echo, Size}),
                     "as many frames echoed")
     || Size <- ?SIZES
    ].

adds(1) -> "1 add";
adds(Size) -> integer_to_list(Size) ++ " adds".

pipelined(_, _, 0) ->
    ok;
pipelined(Port, Frames, N) ->
    [true = port_command(Port, Frame) || Frame <- Frames],
    [_ = receive_frame(Port) || _ <- Frames],
    pipelined(Port, Frames, N - 1).

%% The port program itself, with a counters file open.
start_ours(Folder) ->
    Port = start(filename:join(code:priv_dir(emmap), "emmap_port"), "--nouse-stdio"),
    _Hello = receive_frame(Port),
    Path = list_to_binary(filename:join(Folder, "counters")),
    true = port_command(Port, term_to_binary({0, {counters_open, Path, 1, []}})),
    {0, {ok, Handle, 1}} = binary_to_term(receive_frame(Port)),
    {Port, Handle}.

%%% Bandwidth

bandwidth(Folder, Program) ->
    Source = start(Program, "source"),
    Sizes = case rounds:quick() of
        true -> [1 bsl 12, 1 bsl 20];
        false -> [1 bsl 12, 1 bsl 16, 1 bsl 20, 1 bsl 23, 1 bsl 26]
    end,
    File = file(Folder, lists:last(Sizes)),
    Points = [begin
        Ratio = rounds:race([
            {pipe, owning(Source, fun(N) -> source(Source, Size, N) end)},
            {read, fun(N) -> read(File, Size, N) end}
        ], 31),
        {Size, Ratio(read, pipe)}
     end || Size <- Sizes],
    ok = emmap:close(File),
    true = port_close(Source),
    rounds:series(?SECTION, "reads, beside as many bytes from a pipe", "pread", Points,
                  {"bytes", "times as many bytes from a pipe"}),
    [rounds:ratio(?SECTION, "pread " ++ text(Size), Ratio, "as many bytes from a pipe") || {Size, Ratio} <- Points].

source(_, _, 0) -> ok;
source(Port, Size, N) -> true = port_command(Port, <<Size:32>>), _ = receive_frame(Port), source(Port, Size, N - 1).

text(Size) when Size < 1 bsl 20 -> integer_to_list(Size bsr 10) ++ " KiB";
text(Size) -> integer_to_list(Size bsr 20) ++ " MiB".

%%% Ports and files

start(Program, Argument) ->
    open_port({spawn_executable, Program}, [{packet, 4}, {args, [Argument]}, nouse_stdio, binary]).

%% The process that runs a round becomes the port's owner, because a port sends its answers to its owner.
owning(Port, Run) ->
    Home = self(),
    fun(N) ->
        true = port_connect(Port, self()),
        Run(N),
        true = port_connect(Port, Home),
        unlink(Port)
    end.

counters(Folder) ->
    emmap:open_counters(filename:join(Folder, "counters"), 1, [{backend, port}]).

file(Folder, Size) ->
    %% A file that exists keeps its size.
    Path = filename:join(Folder, "file-" ++ integer_to_list(Size)),
    {ok, File} = emmap:open(Path, [read, write, create, shared, {size, Size}, {backend, port}]),
    ok = emmap:pwrite(File, 0, binary:copy(<<1>>, Size)),
    File.
