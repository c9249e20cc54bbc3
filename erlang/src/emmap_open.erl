-module(emmap_open).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Opening a file over the backend that was asked for, and opening it again.

-export([open/3, open/4, close/1, reopen/1, heal/1, home/1, path/1, is_lost/1, monitor/1, inspect/1]).

-compile({no_auto_import, [monitor/1]}).

-include("emmap_file.hrl").

%% Opens a file of any kind with a user's options.
-spec open(Kind :: term(), file:name_all(), [emmap:open_option()]) -> {ok, emmap:file()} | {error, emmap:reason()}.
open(Kind, Name, Options) ->
    {Given, Backend, _} = emmap_options:parse(Options),
    opened(open(Kind, Name, Given, Backend)).

%% The same with a backend's options.
-spec open(Kind :: term(), file:name_all(), [emmap_backend:option()], emmap:backend() | undefined) ->
    {ok, emmap:file(), emmap:info()} | {error, emmap:reason()}.
open(Kind, Name, Options, Backend) ->
    case emmap_options:path(Name) of
        {ok, Path} -> open(#origin{path = Path, options = Options, backend = Backend, kind = Kind});
        {error, _} = Error -> Error
    end.

open(#origin{path = Path, options = Options, backend = Choice, kind = Kind} = Origin) ->
    {Function, Arguments} = case Kind of
        file -> {open, [Path, Options]};
        {counters, Count} -> {counters_open, [Path, Count, Options]};
        {queue, _} -> {queue_open, [Path, Options]};
        {blocks, BlockSize, Levels} -> {blocks_open, [Path, BlockSize, Levels, Options]};
        {cell, MaxBytes, _} -> {cell_open, [Path, MaxBytes, Options]};
        {table, Shape} -> {table_open, [Path, Shape, Options]}
    end,
    Started = erlang:monotonic_time(),
    {Backend, Answer} = case backend(Choice) of
        {emmap_port, Server} -> {emmap_port, call(emmap_port, Function, [Server | Arguments], Origin)};
        {error, _} = Error -> {none, Error};
        Module -> {Module, call(Module, Function, Arguments, Origin)}
    end,
    Result = case Answer of
        {ok, _, _} -> ok;
        _ -> Answer
    end,
    ok = emmap_telemetry:execute([emmap, open], #{duration => erlang:monotonic_time() - Started},
                                 (about(Backend, Origin))#{result => Result}),
    Answer.

%% A file, for telemetry.
about(Backend, #origin{path = Path, kind = Kind}) ->
    #{path => Path, backend => Backend, kind => case Kind of file -> file; _ -> element(1, Kind) end}.

-spec close(emmap:file()) -> ok | {error, emmap_backend:reason()}.
close(#file_descriptor{module = emmap, data = #file{backend = Backend, handle = Handle, origin = Origin}}) ->
    case ?CALL(Backend, close(Handle)) of
        ok -> emmap_telemetry:execute([emmap, close], #{count => 1}, about(Backend, Origin));
        Failed -> Failed
    end.

call(Backend, Function, Arguments, #origin{path = Path} = Origin) ->
    case emmap_lock:call(fun() -> apply(Backend, Function, Arguments) end) of
        {ok, Handle, What} ->
            {ok, file(Backend, Handle, Origin, What), What};
        {error, {badarg, Option}} ->
            emmap_options:bad({option, Option});
        {error, {Reason, Sentence}} when is_binary(Sentence) ->
            emmap_sup:notify_once({file_system, erlang:phash2({Reason, Sentence})},
                                  #{file => Path, reason => Reason, why => binary_to_list(Sentence)}),
            {error, Reason};
        {error, einval} ->
            {error, emmap_errors:invalid(Origin)};
        {error, _} = Error ->
            Error
    end.

file(Backend, Handle, #origin{kind = Kind} = Origin, What) ->
    File = #file{backend = Backend, handle = Handle, origin = Origin},
    Data = case Kind of
        {counters, _} -> File#file{origin = Origin#origin{kind = {counters, What}}};
        {queue, Terms} -> File#file{terms = Terms};
        {cell, _, Terms} -> File#file{terms = Terms};
        _ -> File
    end,
    #file_descriptor{module = emmap, data = Data}.

opened({ok, File, _Info}) -> {ok, File};
opened({error, _} = Error) -> Error.

%%% Again

-spec reopen(emmap:file()) -> {ok, emmap:file()} | {error, emmap:reason()};
            (emmap:counters()) -> {ok, emmap:counters()} | {error, emmap:reason()}.
reopen({File, Count}) ->
    case reopen(File) of
        {ok, New} -> {ok, {New, Count}};
        {error, _} = Error -> Error
    end;
reopen(File) ->
    case home(File) of
        Here when Here =:= node() -> reopen_here(File);
        Node -> {error, {other_node, Node}}
    end.

%% Opens a lost file again for a process that owns it. Who stops the application does not want that to start it again.
-spec heal(emmap:file() | emmap:counters()) -> {ok, emmap:file() | emmap:counters()} | {error, emmap:reason()}.
heal(Lost) ->
    case is_of_application(Lost) andalso whereis(emmap_sup) =:= undefined of
        true -> {error, port_died};
        false -> reopen(Lost)
    end.

is_of_application({File, _Count}) -> is_of_application(File);
is_of_application(#file_descriptor{data = #file{backend = emmap_port, origin = #origin{backend = Backend}}}) ->
    not is_tuple(Backend); % {port, Server} is a server of the user's
is_of_application(_File) -> false.

-spec path(emmap:file()) -> binary().
path(#file_descriptor{data = #file{origin = #origin{path = Path}}}) -> Path.

%% The node that has the file open.
-spec home(emmap:file()) -> node().
home(?MAPPED(emmap_port, Handle)) -> emmap_port:home(Handle);
home(?MAPPED(emmap_nif, Handle)) -> node(Handle).

reopen_here(#file_descriptor{data = #file{origin = #origin{options = Options, kind = Kind} = Origin}} = File) ->
    case lists:member(anon, Options) of
        true ->
            {error, enotsup};
        false ->
            %% The close of such a file deletes it.
            _ = lists:member(auto_unlink, Options) andalso close(File),
            Kept = [Option || Option <- Options, Option =/= create, Option =/= truncate],
            opened(replace(File, Origin#origin{options = writable(Kind, Kept)}))
    end.

%% Whether a file with this error answers nothing else, or nothing that others see, until it is opened again.
-spec is_lost(term()) -> boolean().
is_lost(Reason) -> Reason =:= port_died orelse Reason =:= efault orelse Reason =:= estale.

%% A monitor of the process whose end loses the file; `none' if there is no such process.
-spec monitor(emmap:file()) -> reference() | none.
monitor(?MAPPED(emmap_port, Handle)) -> emmap_port:monitor(Handle);
monitor(?MAPPED(emmap_nif, _Handle)) -> none.

%% A counters file, queue or block storage that is opened with neither `read' nor `write' would be created.
writable(file, Options) -> Options;
writable(_Kind, Options) ->
    case lists:member(read, Options) orelse lists:member(write, Options) of
        true -> Options;
        false -> [write | Options]
    end.

%% Closes the old file once the new one is open; or before, if the new one can't be opened beside it.
replace(File, #origin{options = Options} = Origin) ->
    case open(Origin) of
        {ok, _, _} = Opened ->
            _ = close(File),
            Opened;
        {error, Reason} = Error ->
            case is_in_the_way(Reason, File, Options) of
                true ->
                    _ = close(File),
                    open(Origin);
                false ->
                    Error
            end
    end.

%% Whether the open failed because of the old file: it is the same file and `exclusive', or it has the address.
is_in_the_way(ebusy, ?MAPPED(Backend, Handle), Options) ->
    lists:member(exclusive, Options) andalso ?CALL(Backend, is_current(Handle)) =:= {ok, true};
is_in_the_way(eexist, _File, Options) -> lists:member(fixed, Options);
is_in_the_way(_Reason, _File, _Options) -> false.

%%% Looking from outside

-spec inspect(binary()) -> {ok, emmap_backend:inspection()} | {error, emmap:reason()}.
inspect(Path) ->
    case backend(undefined) of
        {emmap_port, _Server} -> emmap_port:inspect(Path, count);
        {error, _} = Error -> Error;
        Backend -> Backend:inspect(Path, count)
    end.

%%% Backends

%% The backend's module; with the server, if a port was named.
-spec backend(emmap:backend() | undefined) ->
    emmap_nif | emmap_port | {emmap_port, gen_server:server_ref()}
    | {error, nif_not_loaded | {no_backend, Nif :: term(), Port :: term()}}.
backend(undefined) ->
    case emmap_options:env(backend) of
        {ok, Backend} when Backend =/= undefined -> backend(Backend);
        _ -> default_backend()
    end;
backend(port) -> emmap_port;
backend({port, Server}) -> {emmap_port, Server};
backend(nif) ->
    case emmap_nif:loaded() of
        ok ->
            emmap_nif;
        {error, Reason} ->
            emmap_sup:notify_once(nif_not_loaded, #{reason => Reason}),
            {error, nif_not_loaded}
    end;
backend(Other) -> emmap_options:bad({option, {backend, Other}}).

default_backend() ->
    case emmap_nif:loaded() of
        ok ->
            emmap_nif;
        {error, Reason} ->
            case emmap_sup:port() of
                {ok, _} ->
                    emmap_sup:notify_once(nif_not_loaded, #{reason => Reason, instead => port}),
                    emmap_port;
                {error, Why} ->
                    {error, {no_backend, Reason, Why}}
            end
    end.
