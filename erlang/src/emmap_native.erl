%% Where the NIF and the port program are.
-module(emmap_native).

-include("emmap_doc.hrl").

?MODULEDOC(false).

-export([path/1]).

%% The path of a file of native code. The current folder is never searched: anybody may have put a file there.
-spec path(Name :: string()) -> {ok, file:filename_all()} | {error, {native_dir, Why :: term()}}.
path(Name) ->
    case folder() of
        {ok, Folder} -> {ok, filename:join(Folder, Name)};
        {error, Why} -> {error, {native_dir, Why}}
    end.

folder() ->
    case application:get_env(emmap, native_dir) of
        {ok, Folder} -> absolute(Folder);
        undefined -> of_the_application(code:priv_dir(emmap))
    end.

absolute(Folder) ->
    try filename:pathtype(Folder) of
        absolute -> {ok, Folder};
        _ -> {error, {not_absolute, Folder}}
    catch
        error:_ -> {error, {not_absolute, Folder}}
    end.

%% OTP finds an application by the name of its folder, which can be another than `emmap'.
of_the_application({error, bad_name}) -> beside(code:which(?MODULE));
of_the_application(Folder) -> absolute(Folder).

beside([_ | _] = Module) ->
    Folder = filename:dirname(Module),
    case filename:basename(Folder) of
        "ebin" -> absolute(filename:join(filename:dirname(Folder), "priv"));
        _ -> absolute(filename:join(Folder, "priv"))
    end;
beside(Unknown) ->
    {error, {no_folder, Unknown}}.
