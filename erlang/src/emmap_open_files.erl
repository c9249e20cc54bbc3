-module(emmap_open_files).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% The open files of the node, for people.

-export([list/0, print/0]).

-spec list() -> [emmap:open_file()].
list() ->
    lists:sort(fun(#{path := One}, #{path := Other}) -> One =< Other end,
               of_the_nif() ++ [File#{backend => port} || File <- emmap_port:open_files()]).

%% The question does not load the library.
of_the_nif() ->
    case erlang:module_loaded(emmap_nif) andalso emmap_nif:loaded() =:= ok of
        true ->
            [#{path => Path, kind => Kind, backend => nif, owner => Owner, size => Size, since => Since}
             || {Path, Kind, Owner, Size, Since} <- emmap_nif:open_files()];
        false ->
            []
    end.

-spec print() -> ok.
print() ->
    Line = fun(Cells) -> io:format("~-9ts ~-8ts ~15ts ~-14ts ~-20ts ~ts~n", Cells) end,
    Line(["KIND", "BACKEND", "SIZE", "OWNER", "SINCE", "PATH"]),
    lists:foreach(fun(#{path := Path, kind := Kind, backend := Backend, owner := Owner, since := Since} = File) ->
        Size = case File of
            #{size := Bytes} -> integer_to_list(Bytes);
            #{} -> "?"
        end,
        Line([atom_to_list(Kind), atom_to_list(Backend), Size, pid_to_list(Owner),
              calendar:system_time_to_rfc3339(Since, [{offset, "Z"}]), shown(Path)])
    end, list()).

%% A path need not be Unicode.
shown(Path) ->
    case unicode:characters_to_list(Path) of
        Characters when is_list(Characters) -> Characters;
        _ -> binary_to_list(Path)
    end.
