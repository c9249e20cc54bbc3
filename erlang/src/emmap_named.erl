-module(emmap_named).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Calls with a name of emmap_handles: see the macros NAMED and NAMED_WORD.
%%
%% A process keeps in its dictionary the handles that it has used for operations on words. When emmap_handles replaces the file of a
%% name, it closes the old one. A call with a kept handle that is closed is made again with the new file.

-export([call/3, failed/3, failed/5, file/1, is_lost/1, process/1]).

-include("emmap_file.hrl").

%% Calls a function of `emmap' with the file of the name, and keeps its handle. A call over the port takes 15 µs, so its handles are
%% not kept.
-spec call(atom(), atom(), [term()]) -> term().
call(Function, Name, Arguments) ->
    File = persistent_term:get(Name, ?NO_HANDLE(Name)),
    case File of
        ?MAPPED(emmap_nif, Handle) -> keep(?KEPT_FILES, Name, {Handle, File});
        {?MAPPED(emmap_nif, Handle), _Count} -> keep(?KEPT_COUNTERS, Name, {Handle, File});
        _ -> ok
    end,
    case apply(emmap, Function, [File | Arguments]) of
        {error, Reason} -> failed(Name, File, Reason);
        Answer -> Answer
    end.

keep(Key, Name, Kept) ->
    _ = put(Key, maps:put(Name, Kept, kept(Key))),
    ok.

forget(Key, Name) ->
    _ = put(Key, maps:remove(Name, kept(Key))),
    ok.

kept(Key) ->
    case get(Key) of
        undefined -> #{};
        Kept -> Kept
    end.

%% The error of a call with a kept handle. If the file was replaced, nothing was done with the old one.
-spec failed(atom(), atom(), [term()], term(), term()) -> term().
failed(Function, Name, Arguments, File, Reason) ->
    _ = is_lost(Reason) andalso [forget(Key, Name) || Key <- [?KEPT_FILES, ?KEPT_COUNTERS]],
    case Reason =:= closed andalso persistent_term:get(Name, ?NO_HANDLE(Name)) =/= File of
        true -> call(Function, Name, Arguments);
        false -> failed(Name, File, Reason)
    end.

%% The error of a call with a name. When it is returned, a lost file is open again.
-spec failed(atom(), term(), Reason) -> {error, Reason}.
failed(Name, File, Reason) ->
    try
        _ = is_lost(Reason) andalso gen_server:call(process(Name), {lost, File}, infinity),
        {error, Reason}
    catch
        exit:_ -> {error, Reason} % its supervisor decides
    end.

%% The file that has the name.
-spec file(atom()) -> {ok, emmap:file()} | {error, {no_handle, atom()}}.
file(Name) ->
    case persistent_term:get(Name, none) of
        ?MAPPED(_, _) = File -> {ok, File};
        _ -> {error, {no_handle, Name}}
    end.

%% The port closes the files of a process that was killed.
-spec is_lost(term()) -> boolean().
is_lost(Reason) -> Reason =:= closed orelse emmap_open:is_lost(Reason).

%% The name that the process of a file is registered under.
-spec process(atom()) -> atom().
process(Name) -> list_to_atom("emmap_handles_" ++ atom_to_list(Name)).
