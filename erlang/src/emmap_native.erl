%% Where the NIF and the port program are.
-module(emmap_native).

-include("emmap_doc.hrl").

?MODULEDOC(false).

-export([path/1, exec_failure/2]).

%% The path of a file of native code. The current folder is never searched, because any user may have put a file there.
-spec path(Name :: string()) -> {ok, file:filename_all()} | {error, {native_dir, Why :: term()}}.
path(Name) ->
    case folder() of
        {ok, Folder} -> {ok, filename:join(Folder, Name)};
        {error, Why} -> {error, {native_dir, Why}}
    end.

folder() ->
    case application:get_env(emmap, native_dir) of
        {ok, Folder} -> absolute(Folder);
        undefined -> of_the_application(absolute(code:priv_dir(emmap)))
    end.

absolute(Folder) ->
    try filename:pathtype(Folder) of
        absolute -> {ok, Folder};
        _ -> {error, {not_absolute, Folder}}
    catch
        error:_ -> {error, {not_absolute, Folder}}
    end.

%% OTP finds an application by the name of its folder, relative to the current one if the code path is. If the name is
%% another than `emmap', or the path is relative, the folder of this module is used: OTP has made its path absolute when
%% it loaded the module.
of_the_application({ok, Folder}) -> {ok, Folder};
of_the_application({error, _}) -> beside(code:which(?MODULE)).

beside([_ | _] = Module) ->
    Folder = filename:dirname(Module),
    case filename:basename(Folder) of
        "ebin" -> absolute(filename:join(filename:dirname(Folder), "priv"));
        _ -> absolute(filename:join(Folder, "priv"))
    end;
beside(Unknown) ->
    {error, {no_folder, Unknown}}.

%%% Programs that the system does not execute

-define(EACCES, 13).
-define(ENOENT, 2).
-define(ENOEXEC, 8).

%% Why a program with this exit status has never run. ERTS forks, and the child calls execv(3). If that fails the child
%% exits with the errno. `ran': the program itself may have exited with this status.
-spec exec_failure(file:name_all(), Status :: non_neg_integer()) -> {file:posix(), Why :: string()} | ran.
exec_failure(Program, Status) ->
    %% The system may begin to execute it, and ends it by a signal.
    case is_cut_off(first_bytes(Program), filelib:file_size(Program)) of
        true -> {enoexec, "it is cut off; install it again"};
        false -> failure(Program, Status)
    end.

failure(Program, ?EACCES) ->
    case filelib:is_dir(Program) of
        true -> {eacces, "it is a folder"};
        false -> {eacces, "the system does not permit to execute it"}
    end;
failure(_Program, ?ENOEXEC) ->
    {enoexec, "it is not a program of this machine"};
failure(Program, ?ENOENT) ->
    case interpreter(first_bytes(Program)) of
        none ->
            ran;
        Path ->
            case filelib:is_file(Path) of
                true -> ran;
                false -> {enoent, lists:flatten(io_lib:format("its interpreter ~tp is missing", [Path]))}
            end
    end;
failure(_Program, _Status) ->
    ran.

first_bytes(Program) ->
    case file:open(Program, [read, raw, binary]) of
        {ok, File} ->
            Read = file:read(File, 4096),
            _ = file:close(File),
            case Read of
                {ok, Bytes} -> Bytes;
                _ -> <<>>
            end;
        {error, _} ->
            <<>>
    end.

%% Whether a little-endian 64-bit ELF file is shorter than its table of section headers, which linkers write last.
is_cut_off(<<16#7f, "ELF", 2, 1, _:34/binary, Start:64/little, _:10/binary, Size:16/little, Count:16/little, _/binary>>, Bytes) ->
    Bytes < Start + Size * Count;
is_cut_off(_Bytes, _Size) ->
    false.

%% The path of the interpreter of a script, or of the dynamic linker of a program.
interpreter(<<"#!", Script/binary>>) ->
    [Line | _] = binary:split(Script, <<"\n">>),
    case string:lexemes(Line, " \t") of
        [Path | _] -> binary_to_list(Path);
        [] -> none
    end;
%% A little-endian 64-bit ELF file: Start is where the table of program headers begins.
interpreter(<<16#7f, "ELF", 2, 1, _:26/binary, Start:64/little, _:14/binary, Size:16/little, Count:16/little,
              _/binary>> = Bytes)
  when Size > 0, byte_size(Bytes) >= Start + Size * Count ->
    elf_interpreter(Bytes, [binary:part(Bytes, Start + I * Size, Size) || I <- lists:seq(0, Count - 1)]);
interpreter(_Bytes) ->
    none.

%% The header of type PT_INTERP has the place of the path.
elf_interpreter(Bytes, [<<3:32/little, _:32, Offset:64/little, _:128, Length:64/little, _/binary>> | _])
  when Length > 0, byte_size(Bytes) >= Offset + Length ->
    binary_to_list(binary:part(Bytes, Offset, Length - 1));
elf_interpreter(Bytes, [_ | Headers]) ->
    elf_interpreter(Bytes, Headers);
elf_interpreter(_Bytes, []) ->
    none.
