%% See bare_nif.c.
-module(bare_nif).

-export([load/1, new/0, add/2, read/1, lend/1]).

%% The library's path, without its extension.
-spec load(file:filename()) -> ok.
load(Path) ->
    erlang:load_nif(Path, 0).

-spec new() -> reference().
new() -> erlang:nif_error(not_loaded).

-spec add(reference(), integer()) -> {ok, integer()}.
add(_, _) -> erlang:nif_error(not_loaded).

-spec read(reference()) -> {ok, binary()}.
read(_) -> erlang:nif_error(not_loaded).

-spec lend(reference()) -> {ok, binary()}.
lend(_) -> erlang:nif_error(not_loaded).
