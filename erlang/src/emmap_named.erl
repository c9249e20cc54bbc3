-module(emmap_named).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Calls that failed with a name of emmap_handles: see the macro NAMED.

-export([failed/3, is_lost/1, process/1]).

%% The error of a call with a name. When it is returned, a lost file is open again.
-spec failed(atom(), term(), Reason) -> {error, Reason}.
failed(Name, File, Reason) ->
    try
        _ = is_lost(Reason) andalso gen_server:call(process(Name), {lost, File}, infinity),
        {error, Reason}
    catch
        exit:_ -> {error, Reason} % its supervisor decides
    end.

%% The port closes the files of a process that was killed.
-spec is_lost(term()) -> boolean().
is_lost(Reason) -> Reason =:= closed orelse emmap_open:is_lost(Reason).

%% The name that the process of a file is registered under.
-spec process(atom()) -> atom().
process(Name) -> list_to_atom("emmap_handles_" ++ atom_to_list(Name)).
