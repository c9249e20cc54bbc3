%% Functions that the suites share.
-module(emmap_test).

-export([init_group/2, open/3, open_counters/3, path/2, fresh/3, fixture/1, fixture_copy/2, until/1, os_pid/1, is_os_process/1, lose/2]).


init_group(Backend, Config) ->
    [{backend, Backend} | Config].

open(Config, Name, Options) ->
    emmap:open(path(Config, Name), [{backend, proplists:get_value(backend, Config)} | Options]).

open_counters(Config, Name, Count) ->
    emmap:open_counters(path(Config, Name), Count, [{backend, proplists:get_value(backend, Config)}]).

path(Config, Name) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config),
                           io_lib:format("~p", [proplists:get_value(backend, Config, none)])),
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    unicode:characters_to_list(filename:join(Folder, Name)).

%% A file with these bytes.
fresh(Config, Name, Bytes) ->
    Path = path(Config, Name),
    ok = file:write_file(Path, Bytes),
    Path.

%% The bytes of a file that emmap 2.1.3 wrote.
fixture(Name) ->
    {ok, Bytes} = file:read_file(filename:join([filename:dirname(?FILE), "..", "..", "native", "test", "fixtures", Name])),
    Bytes.

fixture_copy(Config, Name) ->
    fresh(Config, Name, fixture(Name)).

%% Waits for a condition; the limit is there only for a test that fails.
until(Condition) -> until(Condition, 1000).

until(_Condition, 0) ->
    ct:fail(condition_never_met);
until(Condition, Attempts) ->
    case Condition() of
        true -> ok;
        false ->
            timer:sleep(10),
            until(Condition, Attempts - 1)
    end.

%% The operating system's process of a port server.
os_pid(Server) ->
    {links, Links} = process_info(Server, links),
    [Port] = [Link || Link <- Links, is_port(Link)],
    {os_pid, Pid} = erlang:port_info(Port, os_pid),
    Pid.

%% A zombie does not count, because the node decides when to reap it.
is_os_process(Pid) ->
    case file:read_file(io_lib:format("/proc/~b/stat", [Pid])) of
        {ok, Stat} ->
            [_, <<" ", State, _/binary>>] = binary:split(Stat, <<")">>),
            State =/= $Z;
        {error, _} ->
            false
    end.

%% Loses the open files of a path: the port's program dies, or the file is truncated after a copy has taken its place.
lose(port, _Path) ->
    {ok, Port} = emmap_sup:port(),
    Monitor = monitor(process, Port),
    [] = os:cmd("kill -KILL " ++ integer_to_list(os_pid(Port))),
    receive {'DOWN', Monitor, process, _, _} -> ok end;
lose(nif, Path) ->
    {ok, _} = file:copy(Path, Path ++ ".copy"),
    {ok, File} = file:open(Path, [read, write, raw]),
    ok = file:rename(Path ++ ".copy", Path),
    ok = file:truncate(File),
    ok = file:close(File).
