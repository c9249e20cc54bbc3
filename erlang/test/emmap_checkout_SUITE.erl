%% The application as a dependency: `rebar3 compile' of a project that has it as a checkout builds NIF and port
%% program from the core.
-module(emmap_checkout_SUITE).

-export([all/0, builds_and_works/1]).

-include_lib("common_test/include/ct.hrl").
-include_lib("stdlib/include/assert.hrl").

all() -> [builds_and_works].

builds_and_works(Config) ->
    Folder = ?config(priv_dir, Config),
    ok = copy_sources(filename:join(Folder, "emmap")),
    Project = filename:join(Folder, "service"),
    write(Project, "rebar.config", "{deps, [emmap]}."),
    write(Project, "src/service.app.src",
          "{application, service, [{description, \"\"}, {vsn, \"1\"}, {applications, [kernel, stdlib, emmap]}]}."),
    write(Project, "src/service.erl", service()),
    ok = filelib:ensure_dir(filename:join(Project, "_checkouts/emmap")),
    ok = file:make_symlink("../../emmap/erlang", filename:join(Project, "_checkouts/emmap")),

    {0, _} = run(Project, "rebar3", ["compile"]),

    Ebins = filelib:wildcard(filename:join(Project, "_build/default/{lib,checkouts}/*/ebin")),
    Load = lists:append([["-pa", Ebin] || Ebin <- Ebins]),
    [?assertMatch({0, <<"1 counter: 1">>}, run(Project, "erl", ["-noinput", "-s", "service", "start", Backend] ++ Load))
     || Backend <- ["nif", "port"]].

service() ->
    "-module(service).\n"
    "-export([start/1]).\n"
    "start([Backend]) ->\n"
    "    Name = atom_to_list(Backend),\n"
    "    Counters = emmap:open_counters(Name, 1, [{backend, Backend}]),\n"
    "    {ok, 0} = emmap:inc_counter(Counters, 0),\n"
    "    ok = emmap:close_counters(Counters),\n"
    "    Again = emmap:open_counters(Name, 1, [{backend, Backend}]),\n"
    "    io:format(\"~b counter: ~b\", [emmap:counters_length(Again), element(2, emmap:read_counter(Again, 0))]),\n"
    "    halt().\n".

%% The sources of the application, without anything that was built.
copy_sources(To) ->
    Repository = filename:join([filename:dirname(?FILE), "..", ".."]),
    [begin
         File = filename:join(To, Name),
         ok = filelib:ensure_dir(File),
         {ok, _} = file:copy(filename:join(Repository, Name), File)
     end || Pattern <- ["erlang/rebar.*", "erlang/*.escript", "erlang/src/*", "erlang/c_src/*", "port/*.[ch]", "native/core/*.{c,h,mk}",
                        "native/include/*.h"],
            Name <- filelib:wildcard(Pattern, Repository)],
    ok.

write(Project, Name, Text) ->
    File = filename:join(Project, Name),
    ok = filelib:ensure_dir(File),
    ok = file:write_file(File, Text).

%% Without the variables that the build of this test sets for its children.
run(Folder, Program, Arguments) ->
    Clean = [{Name, false} || Name <- ["ERL_LIBS", "REBAR_PROFILE", "MAKEFLAGS", "MFLAGS"]],
    Port = open_port({spawn_executable, os:find_executable(Program)},
                     [{args, Arguments}, {cd, Folder}, {env, Clean ++ [{"CFLAGS", "-O0"}]}, exit_status, binary,
                      stderr_to_stdout]),
    collect(Port, <<>>).

collect(Port, Output) ->
    receive
        {Port, {data, Data}} ->
            collect(Port, <<Output/binary, Data/binary>>);
        {Port, {exit_status, Status}} ->
            {Status, Output}
    end.
