-module(emmap_state_file).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Small files that are replaced whole, and what identifies a folder and a boot.

-export([write/2, write_terms/2, read_terms/1, random_id/0, boot/0]).

%% Whole or not at all, also after a power cut. When it returns, the bytes and the name are on the disk.
-spec write(binary(), iodata()) -> ok | {error, file:posix() | badarg | terminated | system_limit}.
write(Path, Bytes) ->
    New = <<Path/binary, ".new">>,
    all([fun() -> write_new(New, Bytes) end, fun() -> file:rename(New, Path) end, fun() -> sync_folder(filename:dirname(Path)) end]).

write_new(New, Bytes) ->
    case file:open(New, [write, raw]) of
        {ok, File} ->
            Written = all([fun() -> file:write(File, Bytes) end, fun() -> file:sync(File) end]),
            _ = file:close(File),
            Written;
        {error, _} = Error -> Error
    end.

sync_folder(Path) ->
    case file:open(Path, [read, raw, directory]) of
        {ok, Folder} ->
            Synced = file:sync(Folder),
            _ = file:close(Folder),
            Synced;
        {error, _} = Error -> Error
    end.

all([Step | Steps]) ->
    case Step() of
        ok -> all(Steps);
        {error, _} = Error -> Error
    end;
all([]) -> ok.

%% Terms for people to read, too.
-spec write_terms(binary(), [term()]) -> ok | {error, atom()}.
write_terms(Path, Terms) ->
    write(Path, unicode:characters_to_binary([io_lib:format("~0tp.~n", [Term]) || Term <- Terms])).

-spec read_terms(binary()) -> {ok, [term()]} | {error, atom()}.
read_terms(Path) ->
    case file:consult(Path) of
        {error, Reason} when not is_atom(Reason) -> {error, corrupt};
        Read -> Read
    end.

%% 128 random bits. A release may lack the application crypto.
-spec random_id() -> <<_:128>>.
random_id() ->
    {ok, Random} = file:open("/dev/urandom", [read, raw, binary]),
    {ok, <<_:128>> = Id} = file:read(Random, 16),
    ok = file:close(Random),
    Id.

%% The same as long as the machine runs. `none': the system does not tell.
-spec boot() -> binary() | none.
boot() ->
    case file:read_file("/proc/sys/kernel/random/boot_id") of
        {ok, Boot} -> string:trim(Boot);
        {error, _} -> none
    end.
