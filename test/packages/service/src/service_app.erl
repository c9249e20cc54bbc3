-module(service_app).

-behaviour(application).

-export([start/2, stop/1]).

start(_Type, _Arguments) ->
    {ok, Folder} = application:get_env(folder),
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    service_sup:start_link(Folder).

stop(_State) -> ok.
