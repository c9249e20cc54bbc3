-module(emmap_app).

-include("emmap_doc.hrl").

?MODULEDOC(false).
-behaviour(application).

-export([start/2, stop/1]).

-spec start(application:start_type(), term()) -> {ok, pid()} | {error, term()}.
start(_Type, _Arguments) ->
    case emmap_sup:start_link() of
        {ok, _} = Started -> Started;
        ignore -> {error, ignore};
        {error, _} = Error -> Error
    end.

-spec stop(term()) -> ok.
stop(_State) ->
    ok.
