%% See bare_nif.c.
-module(bare_nif).

-export([load/1, new/0, add/2, read/1, lend/1, watch/3, answer/1]).

%% Compiles the library into a folder.
-spec load(file:filename()) -> ok.
load(Folder) ->
    Include = filename:join([code:root_dir(), "erts-" ++ erlang:system_info(version), "include"]),
    Library = filename:join(Folder, "bare_nif"),
    Source = filename:join([filename:dirname(?FILE), "..", "native", "bare_nif.c"]),
    [] = os:cmd(lists:concat(["cc -O2 -shared -fPIC -I", Include, " -o ", Library, ".so ", Source])),
    erlang:load_nif(Library, 0).

-spec new() -> reference().
new() -> erlang:nif_error(not_loaded).

-spec add(reference(), integer()) -> {ok, integer()}.
add(_, _) -> erlang:nif_error(not_loaded).

-spec read(reference()) -> {ok, binary()}.
read(_) -> erlang:nif_error(not_loaded).

-spec lend(reference()) -> {ok, binary()}.
lend(_) -> erlang:nif_error(not_loaded).

%% The calling process gets the message `ok' for each byte of the FIFO `There'.
-spec watch(There :: file:filename(), Back0 :: file:filename(), Back1 :: file:filename()) -> ok.
watch(_, _, _) -> erlang:nif_error(not_loaded).

%% Writes a byte to one of the FIFOs back.
-spec answer(0 | 1) -> ok.
answer(_) -> erlang:nif_error(not_loaded).
