%% The port backend as a process: the program's death, owners, several servers, calls at once.
-module(emmap_port_SUITE).

-export([all/0, init_per_testcase/2, end_per_testcase/2]).
-export([starts_by_itself/1, killed_program/1, killed_with_calls_in_flight/1, a_new_program_for_new_files/1,
         opens_while_programs_die/1, two_servers/1, named_server/1, both_pairs_of_descriptors/1,
         closes_the_files_of_the_dead/1, keeps_files_whose_owner_lives/1, close_ends_ownership/1,
         a_stopped_program_does_not_block_the_server/1, calls_do_not_wait_for_each_other/1, no_such_program/1,
         not_the_program/1, another_protocol_version/1, ends_what_a_silent_program_started/1,
         a_silent_program_takes_five_seconds/1, program_ends_with_its_server/1, asked_for_port_loads_no_nif/1,
         says_once_that_the_nif_does_not_load/1, more_than_a_frame/1, large_batch/1, leaves_no_messages/1,
         stale_handles/1, a_program_that_may_open_nothing_goes_on/1, a_receive_is_two_requests/1]).
-export([native_code_of_no_current_folder/1, a_relative_code_path/1, a_folder_of_another_name/1, modules_without_the_application/1, a_folder_that_is_set/1, in_an_escript/1,
         says_why_the_program_did_not_start/1, says_what_a_file_system_lacks/1, does_not_scan_the_mailbox/1, a_stopped_program_is_timeout/1,
         a_busy_port_is_timeout/1, a_late_open_is_closed/1, sync_has_a_limit_of_its_own/1,
         a_stopped_program_ends_with_its_server/1, the_application_stops_within_a_second/1, owners_end_with_the_application/1, a_stopped_program_ends_with_its_node/1,
         the_node_stops_within_a_second/1]).

-include_lib("stdlib/include/assert.hrl").

all() ->
    [starts_by_itself, killed_program, killed_with_calls_in_flight, a_new_program_for_new_files,
     opens_while_programs_die, two_servers, named_server, both_pairs_of_descriptors, closes_the_files_of_the_dead,
     keeps_files_whose_owner_lives, close_ends_ownership, a_stopped_program_does_not_block_the_server,
     calls_do_not_wait_for_each_other, no_such_program, not_the_program, another_protocol_version,
     ends_what_a_silent_program_started, a_silent_program_takes_five_seconds,
     program_ends_with_its_server, a_program_that_may_open_nothing_goes_on, asked_for_port_loads_no_nif, says_once_that_the_nif_does_not_load,
     more_than_a_frame, large_batch, leaves_no_messages, stale_handles,
     a_receive_is_two_requests, native_code_of_no_current_folder, a_relative_code_path, a_folder_of_another_name, modules_without_the_application, a_folder_that_is_set, in_an_escript,
     says_why_the_program_did_not_start, says_what_a_file_system_lacks, does_not_scan_the_mailbox, a_stopped_program_is_timeout,
     a_busy_port_is_timeout, a_late_open_is_closed, sync_has_a_limit_of_its_own,
     a_stopped_program_ends_with_its_server, the_application_stops_within_a_second, owners_end_with_the_application, the_node_stops_within_a_second,
     a_stopped_program_ends_with_its_node].

init_per_testcase(_Case, Config) ->
    process_flag(trap_exit, true),
    [{backend, port} | Config].

end_per_testcase(_Case, _Config) -> ok.

file(Config, Server) ->
    Name = integer_to_list(erlang:unique_integer([positive])),
    Path = emmap_test:fresh(Config, Name, binary:copy(<<0>>, 64)),
    {ok, File} = emmap:open(Path, [read, write, shared, {backend, {port, Server}}]),
    File.

kill(Server) ->
    Monitor = monitor(process, Server),
    OsPid = emmap_test:os_pid(Server),
    signal("KILL", OsPid),
    receive {'DOWN', Monitor, process, Server, _} -> ok end,
    ?assertNot(emmap_test:is_os_process(OsPid)).

signal(Name, OsPid) ->
    [] = os:cmd("kill -" ++ Name ++ " " ++ integer_to_list(OsPid)),
    ok.

default_server() ->
    {ok, Server} = emmap_sup:port(),
    Server.

descriptors(Server) ->
    {ok, Names} = file:list_dir(io_lib:format("/proc/~b/fd", [emmap_test:os_pid(Server)])),
    length(Names).

starts_by_itself(Config) ->
    _ = application:stop(emmap), % if an earlier test has started it
    File = emmap_test:fresh(Config, "alone", <<"12345678">>),
    {ok, Mem} = emmap:open(File, [read, {backend, port}]),
    ?assertEqual({ok, <<"12345678">>}, file:read(Mem, 8)),
    ok = file:close(Mem).

killed_program(Config) ->
    Path = emmap_test:fresh(Config, "killed", binary:copy(<<0>>, 64)),
    {ok, File} = emmap:open(Path, [read, write, shared, {backend, port}]),
    {ok, 0} = emmap:patomic(File, 0, add, 7),
    kill(default_server()),
    [?assertEqual({Function, {error, port_died}}, {Function, apply(emmap, Function, [File | Arguments])})
     || {Function, Arguments} <-
            [{pread, [0, 8]}, {pread, [[{0, 8}]]}, {pwrite, [0, "x"]}, {read, [1]}, {position, [0]}, {size, []},
             {sync, []}, {patomic_add, [0, 1]}, {batch, [[{pread, 0, 1}]]}, {resize, []}]],
    % the handle stays dead beside a new program
    {ok, Other} = emmap:open(Path, [read, {backend, port}]),
    ?assertEqual({error, port_died}, file:pread(File, 0, 8)),
    {ok, Again} = emmap:reopen(File),
    ?assertEqual({ok, 7}, emmap:patomic(Again, 0, add, 1)),
    ok = file:close(File),
    ok = file:close(Again),
    ok = file:close(Other).

killed_with_calls_in_flight(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    signal("STOP", OsPid), % so that none of them is answered before the end
    Callers = [spawn_monitor(fun() -> exit(emmap:patomic(File, 0, add, 1)) end) || _ <- lists:seq(1, 50)],
    {links, Links} = process_info(Server, links),
    [Port] = [Link || Link <- Links, is_port(Link)],
    emmap_test:until(fun() ->
        {output, Bytes} = erlang:port_info(Port, output),
        Bytes > 50 * 20
    end),
    signal("KILL", OsPid),
    [receive {'DOWN', Monitor, process, Pid, Answer} -> ?assertEqual({error, port_died}, Answer) end
     || {Pid, Monitor} <- Callers],
    receive {'EXIT', Server, Reason} -> ?assertMatch({port_program, _, {exit_status, 128 + 9}}, Reason) end.

a_new_program_for_new_files(Config) ->
    Path = emmap_test:fresh(Config, "new-program", <<"12345678">>),
    {ok, _} = emmap:open(Path, [read, {backend, port}]),
    First = default_server(),
    kill(First),
    {ok, File} = emmap:open(Path, [read, {backend, port}]),
    ?assertNotEqual(First, default_server()),
    ?assertEqual({ok, <<"12345678">>}, file:read(File, 8)),
    ok = file:close(File).

%% After any number of deaths the next open finds a program. Opens at the same time share one.
opens_while_programs_die(Config) ->
    Path = emmap_test:fresh(Config, "dying", <<"12345678">>),
    [begin
         kill(default_server()),
         Openers = [spawn_monitor(fun() -> exit(element(1, emmap:open(Path, [read, {backend, port}]))) end)
                    || _ <- lists:seq(1, 10)],
         [receive {'DOWN', Monitor, process, Pid, Answer} -> ?assertEqual(ok, Answer) end || {Pid, Monitor} <- Openers],
         ?assertEqual(1, proplists:get_value(active, supervisor:count_children(emmap_sup)))
     end || _ <- lists:seq(1, 20)].

two_servers(Config) ->
    {ok, One} = emmap_port:start_link(#{}),
    {ok, Two} = emmap_port:start_link(#{}),
    ?assertNotEqual(emmap_test:os_pid(One), emmap_test:os_pid(Two)),
    FileOne = file(Config, One),
    FileTwo = file(Config, Two),
    kill(One),
    ?assertEqual({error, port_died}, file:pread(FileOne, 0, 1)),
    ?assertEqual({ok, <<0>>}, file:pread(FileTwo, 0, 1)),
    ?assertEqual({error, port_died}, emmap:reopen(FileOne)),
    ok = gen_server:stop(Two).

%% A server that its supervisor starts again under the same name is found by reopen.
named_server(Config) ->
    {ok, First} = emmap_port:start_link(#{}),
    register(named_port, First),
    File = file(Config, named_port),
    kill(First),
    {ok, Second} = emmap_port:start_link(#{}),
    register(named_port, Second),
    {ok, Again} = emmap:reopen(File),
    ?assertEqual({ok, <<0>>}, file:pread(Again, 0, 1)),
    ok = gen_server:stop(Second).

both_pairs_of_descriptors(Config) ->
    [begin
         {ok, Server} = emmap_port:start_link(#{nouse_stdio => NoUseStdio}),
         File = file(Config, Server),
         ok = file:pwrite(File, 0, "abc"),
         ?assertEqual({ok, <<"abc">>}, file:pread(File, 0, 3)),
         ok = gen_server:stop(Server)
     end || NoUseStdio <- [true, false]].

closes_the_files_of_the_dead(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    Before = descriptors(Server),
    Self = self(),
    {Owner, Monitor} = spawn_monitor(fun() ->
        Files = [file(Config, Server) || _ <- lists:seq(1, 10)],
        Self ! {opened, hd(Files)},
        receive stop -> ok end
    end),
    File = receive {opened, Opened} -> Opened end,
    ?assertEqual(Before + 10, descriptors(Server)),
    ?assertEqual({ok, <<0>>}, file:pread(File, 0, 1)),
    Owner ! stop,
    receive {'DOWN', Monitor, process, Owner, _} -> ok end,
    emmap_test:until(fun() -> descriptors(Server) =:= Before end),
    ?assertEqual({error, closed}, file:pread(File, 0, 1)),
    ok = gen_server:stop(Server).

keeps_files_whose_owner_lives(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    {User, Monitor} = spawn_monitor(fun() -> {ok, 0} = emmap:patomic(File, 0, add, 1) end),
    receive {'DOWN', Monitor, process, User, normal} -> ok end,
    ?assertEqual({ok, 1}, emmap:patomic(File, 0, add, 1)),
    ok = gen_server:stop(Server).

close_ends_ownership(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    Monitors = fun() -> {monitors, List} = process_info(Server, monitors), length(List) end,
    Before = Monitors(),
    Files = [file(Config, Server) || _ <- lists:seq(1, 5)],
    ?assertEqual(Before + 5, Monitors()),
    [ok = file:close(File) || File <- Files],
    ?assertEqual(Before, Monitors()),
    ok = gen_server:stop(Server).

%% Callers wait when the program does not read their requests; the server does not.
a_stopped_program_does_not_block_the_server(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    signal("STOP", OsPid),
    Bytes = binary:copy(<<"x">>, 10 bsl 20),
    Writers = [spawn_monitor(fun() -> exit(file:pwrite(File, 0, Bytes)) end) || _ <- lists:seq(1, 3)],
    {links, Links} = process_info(Server, links),
    [Port] = [Link || Link <- Links, is_port(Link)],
    emmap_test:until(fun() -> {queue_size, Size} = erlang:port_info(Port, queue_size), Size > 0 end),
    ?assertMatch({status, _, _, _}, sys:get_status(Server)),
    signal("CONT", OsPid),
    [receive {'DOWN', Monitor, process, Pid, Answer} -> ?assertEqual({error, einval}, Answer) end
     || {Pid, Monitor} <- Writers],
    ?assertEqual({ok, <<0>>}, file:pread(File, 0, 1)),
    ok = gen_server:stop(Server).

%% The requests are in the pipe together, so a stopped program gets all of them before it answers one.
calls_do_not_wait_for_each_other(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    {links, Links} = process_info(Server, links),
    [Port] = [Link || Link <- Links, is_port(Link)],
    {output, Before} = erlang:port_info(Port, output),
    signal("STOP", OsPid),
    Callers = [spawn_monitor(fun() -> exit(emmap:patomic(File, 0, add, 1)) end) || _ <- lists:seq(1, 100)],
    emmap_test:until(fun() ->
        {output, Bytes} = erlang:port_info(Port, output),
        Bytes - Before > 100 * 20
    end),
    signal("CONT", OsPid),
    Answers = [receive {'DOWN', Monitor, process, Pid, {ok, Old}} -> Old end || {Pid, Monitor} <- Callers],
    ?assertEqual(lists:seq(0, 99), lists:sort(Answers)),
    ok = gen_server:stop(Server).

no_such_program(_Config) ->
    [?assertEqual({error, {port_program, Program, Reason}}, emmap_port:start_link(#{program => Program}))
     || {Program, Reason} <- [{"/nonexistent/emmap_port", enoent}, {code:which(?MODULE), eacces}]],
    ?assertEqual({error, port_died}, emmap:open("x", [read, {backend, {port, spawn(fun() -> ok end)}}])).

not_the_program(Config) ->
    False = os:find_executable("false"),
    ?assertMatch({error, {port_program, False, {exit_status, _}}}, emmap_port:start_link(#{program => False})),
    Silent = emmap_test:fresh(Config, "silent", "#!/bin/sh\nexec cat >/dev/null\n"),
    ok = file:change_mode(Silent, 8#755),
    ?assertEqual({error, {port_program, Silent, timeout}},
                 emmap_port:start_link(#{program => Silent, nouse_stdio => false, timeout => 50})).

%% A program that says nothing is killed, and so is what it has started.
ends_what_a_silent_program_started(Config) ->
    Started = emmap_test:fresh(Config, "started", <<>>),
    Silent = emmap_test:fresh(Config, "starts-another", ["#!/bin/sh\nsleep 600 >/dev/null 2>&1 &\necho $! >'", Started, "'\nwait\n"]),
    ok = file:change_mode(Silent, 8#755),
    ?assertEqual({error, {port_program, Silent, timeout}}, emmap_port:start_link(#{program => Silent, timeout => 1000})),
    {ok, Line} = file:read_file(Started),
    Pid = binary_to_integer(string:trim(Line)),
    emmap_test:until(fun() -> not emmap_test:is_os_process(Pid) end).

%% The docs say five seconds.
a_silent_program_takes_five_seconds(Config) ->
    Silent = emmap_test:fresh(Config, "silent-for-five-seconds", "#!/bin/sh\nexec sleep 600\n"),
    ok = file:change_mode(Silent, 8#755),
    {Time, Answer} = timer:tc(fun() -> emmap_port:start_link(#{program => Silent}) end),
    ?assertEqual({error, {port_program, Silent, timeout}}, Answer),
    ?assert(Time > 4_900_000 andalso Time < 9_000_000).

another_protocol_version(Config) ->
    Hello = term_to_binary({emmap_port, 99, #{}}),
    Frame = <<(byte_size(Hello)):32, Hello/binary>>,
    Bytes = emmap_test:fresh(Config, "hello", Frame),
    Script = emmap_test:fresh(Config, "other-version", ["#!/bin/sh\ncat '", Bytes, "'\nexec cat >/dev/null\n"]),
    ok = file:change_mode(Script, 8#755),
    ?assertEqual({error, {port_program, Script, {protocol_version, 99}}},
                 emmap_port:start_link(#{program => Script, nouse_stdio => false})).

program_ends_with_its_server(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    _ = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    ?assert(emmap_test:is_os_process(OsPid)),
    exit(Server, kill),
    emmap_test:until(fun() -> not emmap_test:is_os_process(OsPid) end).

%% It sleeps on two descriptors, and poll refuses more than a process may open.
a_program_that_may_open_nothing_goes_on(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    Path = emmap_test:fresh(Config, "queue", <<>>),
    {ok, Queue} = emmap_queue:open(Path, 4096, [{backend, {port, Server}}]),
    _ = spawn(fun() -> emmap_queue:receive_message(Queue, infinity) end),
    OsPid = emmap_test:os_pid(Server),
    emmap_test:until(fun() -> {ok, #{waiters := Waiters}} = emmap:inspect_file(Path), Waiters =:= 1 end),
    "" = os:cmd(io_lib:format("prlimit --pid ~b --nofile=1:", [OsPid])),
    ?assertEqual({ok, <<0>>}, emmap:pread(File, 0, 1)),
    exit(Server, kill),
    emmap_test:until(fun() -> not emmap_test:is_os_process(OsPid) end).

%% In a node of its own, where nothing has been loaded yet.
asked_for_port_loads_no_nif(Config) ->
    Path = emmap_test:fresh(Config, "no-nif", <<"12345678">>),
    Code = "{ok, F} = emmap:open(\"" ++ Path ++ "\", [read, {backend, port}]), {ok, _} = file:read(F, 8), "
           "io:format(\"~p\", [code:is_loaded(emmap_nif)]), halt().",
    ?assertEqual("false", node_output(Code, ebin())),
    FromEnvironment = "application:set_env(emmap, backend, port), {ok, F} = emmap:open(\"" ++ Path ++ "\", [read]), "
           "{ok, _} = file:read(F, 8), io:format(\"~p\", [code:is_loaded(emmap_nif)]), halt().",
    ?assertEqual("false", node_output(FromEnvironment, ebin())).

%% An application whose priv has the program and no library.
says_once_that_the_nif_does_not_load(Config) ->
    Application = filename:join(proplists:get_value(priv_dir, Config), "emmap"),
    ok = filelib:ensure_dir(filename:join([Application, "priv", "x"])),
    ok = filelib:ensure_dir(filename:join([Application, "ebin", "x"])),
    [{ok, _} = file:copy(File, filename:join([Application, "ebin", filename:basename(File)]))
     || File <- filelib:wildcard(filename:join(ebin(), "*"))],
    ok = file:make_symlink(filename:join(code:priv_dir(emmap), "emmap_port"),
                           filename:join([Application, "priv", "emmap_port"])),
    Path = emmap_test:fresh(Config, "no-library", <<"12345678">>),
    Code = "Open = fun(Options) -> emmap:open(\"" ++ Path ++ "\", Options) end, "
           "{ok, F} = Open([read]), {ok, <<\"12345678\">>} = file:read(F, 8), {ok, _} = Open([read]), "
           "{error, nif_not_loaded} = Open([read, {backend, nif}]), ok = logger_std_h:filesync(default), halt().",
    Output = node_output(Code, filename:join(Application, "ebin")),
    ?assertMatch([_, _], string:split(Output, "load_failed", all)).

ebin() ->
    filename:dirname(code:which(emmap)).

node_output(Code, Ebin) ->
    node_output(Code, Ebin, "/").

node_output(Code, Ebin, Folder) ->
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Port = open_port({spawn_executable, Erl},
                     [{args, ["-noshell", "-pa", Ebin, "-eval", Code]}, exit_status, stderr_to_stdout, {cd, Folder}]),
    collect(Port, []).

collect(Port, Output) ->
    receive
        {Port, {data, Data}} -> collect(Port, [Output, Data]);
        {Port, {exit_status, 0}} -> lists:flatten(Output);
        {Port, {exit_status, Status}} -> ct:fail({exit_status, Status, lists:flatten(Output)})
    end.

more_than_a_frame(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    Piece = binary:copy(<<0>>, 1 bsl 20),
    ?assertEqual({error, emsgsize}, file:pwrite(File, 0, lists:duplicate(1024, Piece))),
    ?assertEqual({ok, <<0>>}, file:pread(File, 0, 1)),
    ok = gen_server:stop(Server).

large_batch(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    Count = 200000,
    {ok, Results} = emmap:batch(File, lists:duplicate(Count, {patomic, 0, add, 1})),
    ?assertEqual([{ok, Old} || Old <- lists:seq(0, Count - 1)], Results),
    ?assertEqual({error, emsgsize}, emmap:batch(File, lists:duplicate(1 bsl 20 + 1, {size}))),
    ok = gen_server:stop(Server).

leaves_no_messages(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    _ = [emmap:patomic(File, 0, add, 1) || _ <- lists:seq(1, 10)],
    unlink(Server),
    kill(Server),
    {error, port_died} = file:pread(File, 0, 1),
    ?assertEqual({messages, []}, process_info(self(), messages)).

stale_handles(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    Old = file(Config, Server),
    ok = file:close(Old),
    New = file(Config, Server),
    ?assertEqual({error, closed}, file:pwrite(Old, 0, "x")),
    ok = file:close(Old),
    ?assertEqual({ok, <<0>>}, file:pread(New, 0, 1)),
    ok = gen_server:stop(Server).

%%% Where the native code is

%% A copy of the application in a folder of this name, with these files of its priv.
application_in(Folder, Native) ->
    ok = filelib:ensure_dir(filename:join([Folder, "ebin", "x"])),
    [{ok, _} = file:copy(File, filename:join([Folder, "ebin", filename:basename(File)]))
     || File <- filelib:wildcard(filename:join(ebin(), "*"))],
    ok = filelib:ensure_dir(filename:join([Folder, "priv", "x"])),
    [ok = file:make_symlink(filename:join(code:priv_dir(emmap), File), filename:join([Folder, "priv", File])) || File <- Native],
    filename:join(Folder, "ebin").

%% A folder with native code that leaves a trace where it is run.
trap(Folder) ->
    Trace = filename:join(Folder, "trace"),
    ok = filelib:ensure_dir(filename:join([Folder, "priv", "x"])),
    Program = filename:join([Folder, "priv", "emmap_port"]),
    ok = file:write_file(Program, ["#!/bin/sh\ntouch '", Trace, "'\n"]),
    ok = file:change_mode(Program, 8#755),
    ok = file:make_symlink(filename:join(code:priv_dir(emmap), "emmap_nif.so"),
                           filename:join([Folder, "priv", "emmap_nif.so"])),
    Trace.

folder(Config, Name) ->
    filename:join(proplists:get_value(priv_dir, Config), Name).

native_code_of_no_current_folder(Config) ->
    Here = folder(Config, "here"),
    Trace = trap(Here),
    Path = emmap_test:fresh(Config, "current", <<"12345678">>),
    Code = "io:format(\"~p\", [{[emmap:open(\"" ++ Path ++ "\", [read, {backend, Backend}]) || Backend <- [nif, port]], "
           "emmap_nif:loaded()}]), halt().",
    [begin
         Output = node_output(Code, Ebin, Here),
         ?assertMatch({Ebin, [_, _]}, {Ebin, string:split(Output, "{[{error,nif_not_loaded},{error,enoent}]")}),
         ?assertNot(filelib:is_file(Trace))
     end || Ebin <- [application_in(folder(Config, "no-native"), []), flat(folder(Config, "flat"))]].

a_relative_code_path(Config) ->
    Path = emmap_test:fresh(Config, "relative-path", <<"12345678">>),
    Code = "io:format(\"~p\", [[case emmap:open(\"" ++ Path ++ "\", [read, {backend, B}]) of {ok, _} -> ok; E -> E end"
           " || B <- [nif, port]]]), halt().",
    Root = folder(Config, "relative"),
    [begin
         _ = application_in(filename:join(Root, Name), ["emmap_nif.so", "emmap_port"]),
         [?assertEqual({Ebin, "[ok,ok]"}, {Ebin, node_output(Code, Ebin, Folder)})
          || {Ebin, Folder} <- [{Name ++ "/ebin", Root}, {"./" ++ Name ++ "/ebin", Root},
                                {"../ebin", filename:join([Root, Name, "priv"])}, {"ebin", filename:join(Root, Name)}]]
     end || Name <- ["emmap", "other"]].

%% All beams in one folder, as some packers put them.
flat(Folder) ->
    Ebin = application_in(folder([{priv_dir, filename:dirname(Folder)}], "to-flatten"), []),
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    [{ok, _} = file:copy(File, filename:join(Folder, filename:basename(File))) || File <- filelib:wildcard(filename:join(Ebin, "*"))],
    Folder.

a_folder_of_another_name(Config) ->
    Ebin = application_in(folder(Config, "mapped"), ["emmap_nif.so", "emmap_port"]),
    Path = emmap_test:fresh(Config, "renamed", <<"12345678">>),
    Code = "io:format(\"~p\", [[element(1, emmap:open(\"" ++ Path ++ "\", [read, {backend, Backend}])) || Backend <- [nif, port]]]), halt().",
    ?assertEqual("[ok,ok]", node_output(Code, Ebin)).

%% All modules in one folder, and no emmap.app.
modules_without_the_application(Config) ->
    Path = emmap_test:fresh(Config, "no-application", <<"12345678">>),
    Code = "io:format(\"~p\", [[case emmap:open(\"" ++ Path ++ "\", [read, {backend, Backend}]) of {ok, _} -> ok; E -> E end"
           " || Backend <- [nif, port]]]), ok = logger_std_h:filesync(default), halt().",
    Flat = flat(folder(Config, "no-application-flat")),
    ok = file:delete(filename:join(Flat, "emmap.app")),
    Missing = node_output(Code, Flat),
    ?assertMatch([_, _], string:split(Missing, "[{error,nif_not_loaded},{error,enoent}]")),
    ?assertMatch([_, _ | _], string:split(Missing, filename:join([Flat, "priv", "emmap_port"]))),
    Priv = filename:join(Flat, "priv"),
    ok = file:make_dir(Priv),
    [ok = file:make_symlink(filename:join(code:priv_dir(emmap), File), filename:join(Priv, File))
     || File <- ["emmap_nif.so", "emmap_port"]],
    ?assertEqual("[ok,ok]", node_output(Code, Flat)).

a_folder_that_is_set(Config) ->
    Here = folder(Config, "set-here"),
    Trace = trap(Here),
    Ebin = application_in(folder(Config, "set"), []),
    Path = emmap_test:fresh(Config, "set-folder", <<"12345678">>),
    Code = fun(Folder) ->
        "application:set_env(emmap, native_dir, \"" ++ Folder ++ "\"), "
        "io:format(\"~p\", [[case emmap:open(\"" ++ Path ++ "\", [read, {backend, B}]) of {ok, _} -> ok; E -> E end"
        " || B <- [nif, port]]]), halt()."
    end,
    ?assertEqual("[ok,ok]", node_output(Code(code:priv_dir(emmap)), Ebin, Here)),
    ?assertMatch([_, _], string:split(node_output(Code("priv"), Ebin, Here), "[{error,nif_not_loaded},{error,no_native_dir}]")),
    ?assertNot(filelib:is_file(Trace)).

%% An archive has no files that the system could load or run.
in_an_escript(Config) ->
    Path = emmap_test:fresh(Config, "escript", <<"12345678">>),
    Beams = [{"emmap/ebin/" ++ filename:basename(File), element(2, file:read_file(File))}
             || File <- filelib:wildcard(filename:join(ebin(), "*"))],
    Main = "-module(in_escript).\n-export([main/1]).\nmain(Folder) ->\n"
           "    [application:set_env(emmap, native_dir, F) || F <- Folder],\n"
           "    io:format(\"~p\", [[case emmap:open(\"" ++ Path ++ "\", [read, {backend, B}]) of {ok, _} -> ok; E -> E end"
           " || B <- [nif, port]]]),\n    ok = logger_std_h:filesync(default).\n",
    Source = folder(Config, "in_escript.erl"),
    ok = file:write_file(Source, Main),
    {ok, in_escript, Beam} = compile:file(Source, [binary]),
    Script = folder(Config, "script"),
    ok = escript:create(Script, [shebang, {archive, [{"in_escript/ebin/in_escript.beam", Beam} | Beams], []},
                                 {emu_args, "-escript main in_escript"}]),
    Escript = filename:join([code:root_dir(), "bin", "escript"]),
    Run = fun(Arguments) -> os:cmd(lists:join(" ", ["cd / && '" ++ Escript ++ "' '" ++ Script ++ "'" | Arguments])) end,
    Output = Run([]),
    ?assertMatch([_, _], string:split(Output, "[{error,nif_not_loaded},{error,enotdir}]")),
    ?assertMatch([_, _ | _], string:split(Output, "script/emmap/priv/emmap_port")),
    ?assertEqual("[ok,ok]", Run(["'" ++ code:priv_dir(emmap) ++ "'"])).

%% With the path in the log.
says_why_the_program_did_not_start(Config) ->
    Path = emmap_test:fresh(Config, "not-started", <<"12345678">>),
    Code = "io:format(\"~p\", [emmap:open(\"" ++ Path ++ "\", [read, {backend, port}])]), "
           "ok = logger_std_h:filesync(default), halt().",
    [begin
         Folder = folder(Config, Name),
         Ebin = application_in(Folder, []),
         Program = filename:join([Folder, "priv", "emmap_port"]),
         ok = Prepare(Program),
         Output = node_output(Code, Ebin),
         ?assertMatch({Name, [_, _]}, {Name, string:split(Output, "{error," ++ atom_to_list(Reason) ++ "}")}),
         ?assertMatch({Name, [_, _ | _]}, {Name, string:split(Output, Program)}),
         ?assertMatch({Name, [_, _ | _]}, {Name, string:split(Output, Text)})
     end || {Name, Reason, Text, Prepare} <-
                [{"missing", enoent, "emmap_port", fun(_) -> ok end},
                 {"no-permission", eacces, "emmap_port", fun(Program) -> file:write_file(Program, "no program") end},
                 {"below-a-file", enotdir, "emmap_port", fun(Program) ->
                                                   ok = file:del_dir(filename:dirname(Program)),
                                                   file:write_file(filename:dirname(Program), "no folder")
                                               end},
                 {"folder", eacces, "it is a folder", fun file:make_dir/1},
                 {"script", enoent, "/nowhere/sh", executable("#! /nowhere/sh -e\n")},
                 {"no-linker", enoent, "/nowhere64/ld-linux-x86-64.", executable(fun without_linker/1)},
                 {"no-program", enoexec, "not a program of this machine", executable("no program")},
                 {"foreign", enoexec, "not a program of this machine", executable(fun foreign/1)},
                 {"pages", enoexec, "cut off", executable(fun(Bytes) -> binary:part(Bytes, 0, 20000) end)},
                 {"page", enoexec, "cut off", executable(fun(Bytes) -> binary:part(Bytes, 0, 1000) end)},
                 {"header", enoexec, "not a program of this machine", executable(fun(Bytes) -> binary:part(Bytes, 0, 60) end)},
                 {"empty", enoexec, "not a program of this machine", executable("")},
                 {"ends", port_died, "{exit_status,2}", executable("#!/bin/sh\nexit 2\n")}]].

%% A file system that shares no memory: a preloaded library claims that each is NFS. The answer is the atom. The log has
%% the sentence, once for both backends, and the name of a file.
says_what_a_file_system_lacks(Config) ->
    Library = without_sharing(Config),
    Path = emmap_test:fresh(Config, "not-shared", <<"12345678">>),
    Code = "P = \"" ++ Path ++ "\", R = [{emmap:open(P, [write, shared, {backend, B}]), emmap:open_counters(P, 1, [{backend, B}]), "
           "emmap_queue:open(P, 0, [{backend, B}]), emmap:open_block_storage(P, 8, [{backend, B}])} || B <- [nif, port]], "
           "{ok, _} = emmap:open(P, [write, shared_unsafe, {backend, port}]), "
           "io:format(\"~0p\", [R]), ok = logger_std_h:filesync(default), halt().",
    true = os:putenv("LD_PRELOAD", Library),
    Output = try node_output(Code, ebin()) after os:unsetenv("LD_PRELOAD") end,
    Answers = "{{error,enotsup},{error,enotsup},{error,enotsup},{error,enotsup}}",
    ?assertMatch([_, _], string:split(Output, "[" ++ Answers ++ "," ++ Answers ++ "]")),
    ?assertMatch([_, _], string:split(Output, "(nfs) does not share one memory between all that open the file", all)),
    ?assertMatch([_, _], string:split(Output, "put the file on a local one", all)),
    ?assertMatch([_, _ | _], string:split(Output, Path)).

without_sharing(Config) ->
    Source = folder(Config, "without_sharing.c"),
    Library = folder(Config, "without_sharing.so"),
    ok = file:write_file(Source, "#include <string.h>\n#include <sys/statfs.h>\n"
                         "int fstatfs(int fd, struct statfs *s) { (void)fd; memset(s, 0, sizeof *s); s->f_type = 0x6969; return 0; }\n"),
    "" = os:cmd("cc -shared -fPIC -o '" ++ Library ++ "' '" ++ Source ++ "'"),
    Library.

executable(Change) when is_function(Change) ->
    {ok, Program} = file:read_file(filename:join(code:priv_dir(emmap), "emmap_port")),
    executable(Change(Program));
executable(Bytes) ->
    fun(Program) ->
        ok = file:write_file(Program, Bytes),
        file:change_mode(Program, 8#755)
    end.

%% A program for a processor that does not exist.
foreign(<<Start:18/binary, _:16, Rest/binary>>) -> <<Start/binary, 16#fffe:16/little, Rest/binary>>.

%% The path has as many bytes as the one of x86-64.
without_linker(Program) ->
    binary:replace(Program, <<"/lib64/ld-linux-x86-64.so.2">>, <<"/nowhere64/ld-linux-x86-64.">>).

%%% Calls that have to wait

%% The reductions of a call do not depend on how many messages its process has.
does_not_scan_the_mailbox(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    File = file(Config, Server),
    Work = fun() ->
        Bytes = binary:copy(<<"x">>, 8),
        Started = erlang:monotonic_time(microsecond),
        [begin
             {ok, _} = emmap:patomic(File, 0, add, 1),
             ok = file:pwrite(File, 8, Bytes)
         end || _ <- lists:seq(1, 200)],
        erlang:monotonic_time(microsecond) - Started
    end,
    Among = fun(Messages) ->
        {_, Monitor} = spawn_monitor(fun() ->
            [self() ! {message, N} || N <- lists:seq(1, Messages)],
            exit({took, lists:min([Work() || _ <- lists:seq(1, 5)])})
        end),
        receive {'DOWN', Monitor, process, _, {took, Took}} -> Took end
    end,
    Alone = Among(0),
    Full = Among(200000),
    ct:pal("400 calls with an empty mailbox ~b us, with 200000 messages ~b us", [Alone, Full]),
    %% Each scan of that many messages takes about a millisecond, 400 of them longer than any noise.
    ?assert(Full < Alone + 100000),
    ok = gen_server:stop(Server).

a_stopped_program_is_timeout(Config) ->
    {ok, Server} = emmap_port:start_link(#{call_timeout => 100, sync_timeout => 100}),
    File = file(Config, Server),
    Path = emmap_test:fresh(Config, "unopened", <<"12345678">>),
    OsPid = emmap_test:os_pid(Server),
    signal("STOP", OsPid),
    [?assertEqual({Name, {error, timeout}}, {Name, Call()})
     || {Name, Call} <- [{patomic, fun() -> emmap:patomic(File, 0, add, 1) end},
                         {pwrite, fun() -> file:pwrite(File, 8, "x") end},
                         {sync, fun() -> file:sync(File) end},
                         {batch, fun() -> emmap:batch(File, [{size}]) end},
                         {open, fun() -> emmap:open(Path, [read, {backend, {port, Server}}]) end},
                         {close, fun() -> file:close(File) end}]],
    signal("CONT", OsPid),
    ?assertEqual({messages, []}, process_info(self(), messages)),
    %% The request was done after all, and the server knows that the file is closed.
    emmap_test:until(fun() -> file:pread(File, 0, 1) =:= {error, closed} end),
    ?assertEqual({messages, []}, process_info(self(), messages)),
    ok = gen_server:stop(Server).

a_busy_port_is_timeout(Config) ->
    {ok, Server} = emmap_port:start_link(#{call_timeout => 100}),
    File = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    signal("STOP", OsPid),
    Bytes = binary:copy(<<"x">>, 10 bsl 20),
    [?assertEqual({error, timeout}, file:pwrite(File, 0, Bytes)) || _ <- lists:seq(1, 3)],
    ?assertEqual({error, timeout}, file:pread(File, 0, 1)),
    Monitors = fun() -> {monitors, List} = process_info(Server, monitors), length(List) end,
    Before = Monitors(),
    ?assertEqual({error, timeout}, emmap:wait(File, 0, 0, infinity)),
    emmap_test:until(fun() -> Monitors() =:= Before end),
    %% Its wait is sent after the cancel that its death causes.
    {Waiter, Monitor} = spawn_monitor(fun() -> emmap:wait(File, 0, 0, infinity) end),
    emmap_test:until(fun() -> Monitors() > Before end),
    exit(Waiter, kill),
    receive {'DOWN', Monitor, process, Waiter, killed} -> ok end,
    signal("CONT", OsPid),
    emmap_test:until(fun() -> file:pread(File, 0, 1) =:= {ok, <<0>>} end),
    emmap_test:until(fun() -> emmap:notify(File, 0, infinity) =:= {ok, 0} end),
    ok = gen_server:stop(Server).

%% Nobody else could remove the message.
a_late_open_is_closed(Config) ->
    {ok, Server} = emmap_port:start_link(#{call_timeout => 100}),
    Before = descriptors(Server),
    OsPid = emmap_test:os_pid(Server),
    Path = emmap_test:fresh(Config, "late", <<"12345678">>),
    signal("STOP", OsPid),
    ?assertEqual({error, timeout}, emmap:open(Path, [write, shared, auto_unlink, {backend, {port, Server}}])),
    ?assertEqual({error, timeout}, emmap:open_counters(emmap_test:path(Config, "late-counters"), 1, [{backend, {port, Server}}])),
    signal("CONT", OsPid),
    emmap_test:until(fun() -> not filelib:is_file(Path) andalso descriptors(Server) =:= Before end),
    ok = gen_server:stop(Server).

sync_has_a_limit_of_its_own(Config) ->
    {ok, Server} = emmap_port:start_link(#{call_timeout => 50, sync_timeout => infinity}),
    File = file(Config, Server),
    OsPid = emmap_test:os_pid(Server),
    signal("STOP", OsPid),
    {Syncer, Monitor} = spawn_monitor(fun() -> exit(file:sync(File)) end),
    ?assertEqual({error, timeout}, file:pread(File, 0, 1)),
    ?assertEqual({error, timeout}, file:pread(File, 0, 1)),
    ?assert(is_process_alive(Syncer)),
    signal("CONT", OsPid),
    receive {'DOWN', Monitor, process, Syncer, Answer} -> ?assertEqual(ok, Answer) end,
    ok = gen_server:stop(Server).

%%% The end

within(Milliseconds, Fun) ->
    Started = erlang:monotonic_time(millisecond),
    Result = Fun(),
    Took = erlang:monotonic_time(millisecond) - Started,
    ?assert(Took < Milliseconds),
    Result.

a_stopped_program_ends_with_its_server(Config) ->
    [begin
         {ok, Server} = emmap_port:start_link(#{}),
         _ = file(Config, Server),
         OsPid = emmap_test:os_pid(Server),
         %% It keeps nobody waiting for the end of what the node prints.
         ?assertEqual([{ok, "/dev/null"}, {ok, "/dev/null"}],
                      [file:read_link(io_lib:format("/proc/~b/fd/~b", [OsPid, Descriptor])) || Descriptor <- [0, 1]]),
         signal("STOP", OsPid),
         within(1000, fun() -> End(Server) end),
         emmap_test:until(fun() -> not emmap_test:is_os_process(OsPid) end)
     end || End <- [fun(Server) -> ok = gen_server:stop(Server) end,
                    fun(Server) ->
                        exit(Server, shutdown),
                        receive {'EXIT', Server, shutdown} -> ok end
                    end]].

the_application_stops_within_a_second(Config) ->
    Path = emmap_test:fresh(Config, "application", <<"12345678">>),
    {ok, File} = emmap:open(Path, [read, {backend, port}]),
    OsPid = emmap_test:os_pid(default_server()),
    signal("STOP", OsPid),
    {_, Monitor} = spawn_monitor(fun() -> exit(file:pread(File, 0, 1)) end),
    ok = within(1000, fun() -> application:stop(emmap) end),
    receive {'DOWN', Monitor, process, _, Answer} -> ?assertEqual({error, port_died}, Answer) end,
    emmap_test:until(fun() -> not emmap_test:is_os_process(OsPid) end).

%% They do not start it again, whenever they notice.
owners_end_with_the_application(Config) ->
    [begin
         Path = emmap_test:path(Config, "owned"),
         Options = [{backend, port}],
         {ok, Handles} = emmap_handles:start_link(#{name => owned, path => Path, kind => queue, options => Options}),
         {ok, Queue} = emmap_queue:start_link(#{path => Path, options => Options}),
         Owners = [Handles, Queue],
         Suspended andalso [ok = sys:suspend(Owner) || Owner <- Owners],
         ok = application:stop(emmap),
         Suspended andalso [ok = sys:resume(Owner) || Owner <- Owners],
         [receive {'EXIT', Owner, Reason} -> ?assertEqual({emmap, Path, port_died}, Reason) end || Owner <- Owners],
         ?assertEqual(undefined, whereis(emmap_sup))
     end || Suspended <- [false, true, false]].

the_node_stops_within_a_second(Config) ->
    {Pid, Started} = with_stopped_program(Config, "init:stop()"),
    Ended = erlang:system_time(millisecond),
    ?assertNot(emmap_test:is_os_process(Pid)),
    %% A node without a shell takes a second for it by itself.
    ?assert(Ended - Started < 2000).

%% No process of the node can end the program then.
a_stopped_program_ends_with_its_node(Config) ->
    [begin
         {Pid, _} = with_stopped_program(Config, End),
         emmap_test:until(fun() -> not emmap_test:is_os_process(Pid) end)
     end || End <- ["halt()", "erlang:halt(0, [{flush, false}])"]].

%% A node that ends in this way while its program is stopped: the program's process, and when the node began to end.
with_stopped_program(Config, End) ->
    Path = emmap_test:fresh(Config, "node", <<"12345678">>),
    Code = "{ok, _} = emmap:open(\"" ++ Path ++ "\", [read, {backend, port}]), {ok, Server} = emmap_sup:port(), "
           "{links, Links} = process_info(Server, links), [Port] = [P || P <- Links, is_port(P)], "
           "{os_pid, Pid} = erlang:port_info(Port, os_pid), [] = os:cmd(\"kill -STOP \" ++ integer_to_list(Pid)), "
           "ok = file:write_file(\"" ++ Path ++ "\", term_to_binary({Pid, erlang:system_time(millisecond)})), " ++ End ++ ".",
    [] = node_output(Code, ebin()),
    {ok, Written} = file:read_file(Path),
    binary_to_term(Written).

%% One that waits and has the message as its answer, and one that removes the message.
a_receive_is_two_requests(Config) ->
    {ok, Server} = emmap_port:start_link(#{}),
    [Port] = [Each || Each <- erlang:ports(), erlang:port_info(Each, connected) =:= {connected, Server}],
    Path = emmap_test:path(Config, "two-requests"),
    {ok, Queue} = emmap_queue:open(Path, 0, [{backend, {port, Server}}]),
    {ok, Producer} = emmap_queue:open(Path, 0, [{backend, port}]),
    Self = self(),
    1 = erlang:trace(Port, true, ['receive']),
    [begin
        Receiver = spawn_link(fun() -> Self ! {self(), emmap_queue:receive_message(Queue, infinity)} end),
        emmap_test:until(fun() -> {ok, #{waiters := Waiters}} = emmap:inspect_file(Path), Waiters =:= 1 end),
        ok = emmap_queue:push(Producer, N),
        receive {Receiver, Answer} -> ?assertEqual({ok, N}, Answer) end
    end || N <- [1, 2, 3]],
    Delivered = erlang:trace_delivered(all),
    receive {trace_delivered, all, Delivered} -> ok end,
    ?assertEqual(6, requests(Port)),
    [ok = emmap_queue:close(Each) || Each <- [Producer, Queue]],
    ok = gen_server:stop(Server).

requests(Port) ->
    receive {trace, Port, 'receive', {_, {command, _}}} -> 1 + requests(Port) after 0 -> 0 end.
