-module(emmap_handles).

-include("emmap_doc.hrl").

?MODULEDOC("Open files with names. All processes of the node share the file of a name, and a lost file is opened again.

```erlang
Children = [emmap_handles:child_spec(#{name => visits, path => \"visits.bin\", kind => {counters, 8}})],
%% Anywhere in the node:
{ok, Old} = emmap:inc_counter(visits, 0).
```

The functions of `emmap`, `emmap_queue`, `emmap_cell` and `emmap_table` take the name instead of the file. A process owns the
file, and goes into a supervisor (`child_spec/1`). The file is in a persistent term, so a call with a name takes some 10 ns more. For
operations on words and counters, which take 30 ns, each process keeps the handle in its dictionary, and the name takes some 3 ns.

If the file is lost, because the port's program has died (`port_died`), another process has truncated it (`efault`), or the
path leads to another file or to none (`estale`), it is opened again for all processes. A caller sees the error at most once; its call may have been done or not. If the open
fails, the process ends with `{emmap, Path, Reason}`, and its supervisor decides. `reopen/1` opens the file again in other
cases. Only an operation that finds nothing in a queue or a block storage looks whether the path still leads to the file. A push,
a publish, and operations on words, bytes and keys do not: see `emmap:is_current/1`.

While no file has the name, a call with the name raises `function_clause`, as with any term that is no open file. If the process
is killed, nothing frees the name: until a supervisor starts it again, calls with the name reach the open file over the NIF, and
answer `closed` over the port, whose server has closed it.").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1, get/1, reopen/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-export_type([name/0, kind/0, options/0]).

-include("emmap_file.hrl").
-include_lib("kernel/include/logger.hrl").

?DOC("The name of an open file. It is the key of a persistent term: choose a name that nothing else in the node uses.").
-type name() :: atom().
?DOC("The kind of the file, with the argument that its open function takes besides path and options; without it, 0.").
-type kind() ::
    file | counters | {counters, Count :: non_neg_integer()} | queue | {queue, Size :: non_neg_integer()}
    | blocks | {blocks, BlockSize :: non_neg_integer()} | cell | {cell, MaxBytes :: non_neg_integer()}
    | table | {table, Capacity :: non_neg_integer()}.
?DOC("The file to open. Without a kind it is `file`; without options they are `[]`.").
-type options() :: #{
    name := name(), path := file:name_all(), kind => kind(), options => [emmap_queue:open_option() | {levels, 2..5}]
}.

-record(state, {
    name :: name(),
    path :: file:name_all(),
    file :: emmap:file() | emmap:counters(),
    port :: reference() | none %% a monitor of the port's server
}).

?DOC("Opens a file under a name, with a process that is linked to the caller.").
-spec start_link(options()) -> gen_server:start_ret().
start_link(#{name := Name, path := _} = Options) when is_atom(Name) ->
    case maps:keys(maps:without([name, path, kind, options], Options)) of
        [] -> gen_server:start_link({local, emmap_named:process(Name)}, ?MODULE, Options, []);
        Unknown -> emmap_options:bad({options, Unknown})
    end;
start_link(Options) -> emmap_options:bad({options, Options}).

?DOC("A child of a supervisor.").
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(#{name := Name} = Options) ->
    #{id => {?MODULE, Name}, start => {?MODULE, start_link, [Options]}, shutdown => 500}.

?DOC("Closes the file, and frees its name.").
-spec stop(name()) -> ok.
stop(Name) -> gen_server:stop(emmap_named:process(Name)).

?DOC("The open file, or the open counters. It does not open itself again.").
-spec get(name()) -> emmap:file() | emmap:counters().
get(Name) -> persistent_term:get(Name).

?DOC("Opens the file again for all processes, as `emmap:reopen/1`.").
-spec reopen(name()) -> ok | {error, emmap:reason()}.
reopen(Name) -> gen_server:call(emmap_named:process(Name), reopen, infinity).

%%% The process

?DOC(false).
-spec init(options()) -> {ok, #state{}} | {stop, {emmap, file:name_all(), emmap:reason() | {name_in_use, name()}}}.
init(#{name := Name, path := Path} = Options) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 frees the name
    Kind = maps:get(kind, Options, file),
    Left = persistent_term:get(Name, none),
    case is_free(Left) andalso open(Kind, Path, maps:get(options, Options, []), Left) of
        false -> {stop, {emmap, Path, {name_in_use, Name}}};
        {error, Reason} -> {stop, {emmap, Path, Reason}};
        {ok, File} -> {ok, begun(File, Left, #state{name = Name, path = Path, file = File, port = none})};
        Counters -> {ok, begun(Counters, Left, #state{name = Name, path = Path, file = Counters, port = none})}
    end.

%% A process that was killed has left its file.
is_free(none) -> true;
is_free(?MAPPED(_, _)) -> true;
is_free({?MAPPED(_, _), _Count}) -> true;
is_free(_) -> false.

%% Callers that keep the handle of a file look for the new one when it is closed.
begun(File, Left, State) ->
    Begun = opened(File, State),
    _ = Left =/= none andalso emmap:close(file(Left)),
    Begun.

%% A file that a killed process has left may be open exclusively.
open(Kind, Path, Options, Left) ->
    case open(Kind, Path, Options) of
        {error, ebusy} when Left =/= none ->
            _ = emmap:close(file(Left)),
            open(Kind, Path, Options);
        Opened -> Opened
    end.

open(file, Path, Options) ->
    case emmap:open(Path, Options) of
        {ok, File, _Info} -> {ok, File};
        Opened -> Opened
    end;
open({counters, Count}, Path, Options) -> emmap:open_counters(Path, Count, Options);
open({queue, Size}, Path, Options) -> emmap_queue:open(Path, Size, Options);
open({blocks, BlockSize}, Path, Options) -> emmap:open_block_storage(Path, BlockSize, Options);
open({cell, MaxBytes}, Path, Options) -> emmap_cell:open(Path, MaxBytes, Options);
open({table, Capacity}, Path, Options) -> emmap_table:open(Path, Capacity, Options);
open(Kind, Path, Options) when Kind =:= cell; Kind =:= table; Kind =:= counters; Kind =:= queue; Kind =:= blocks -> open({Kind, 0}, Path, Options);
open(Kind, _Path, _Options) -> emmap_options:bad({option, {kind, Kind}}).

opened(File, #state{name = Name, port = Former} = State) ->
    _ = is_reference(Former) andalso demonitor(Former, [flush]),
    persistent_term:put(Name, File),
    State#state{file = File, port = emmap_open:monitor(file(File))}.

file({File, _Count}) -> File;
file(File) -> File.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}} | {stop, term(), term(), #state{}}.
%% Several callers may report a lost file. Only for the first one it is opened again.
handle_call({lost, Lost}, _From, #state{file = File} = State) ->
    case Lost =:= File andalso lost(file(File)) of
        {true, Reason} -> heal(Reason, State);
        false -> {reply, ok, State}
    end;
handle_call(reopen, _From, State) ->
    case emmap:reopen(State#state.file) of
        {ok, File} -> {reply, ok, opened(File, State)};
        {error, _} = Error -> {reply, Error, State}
    end;
handle_call(Request, _From, #state{name = Name} = State) ->
    {reply, emmap_errors:unknown_request({?MODULE, Name}, Request), State}.

%% A term of a queue may look like an error.
lost(File) ->
    case emmap:size(File) of
        {error, Reason} -> emmap_named:is_lost(Reason) andalso {true, Reason};
        {ok, _} -> emmap:is_current(File) =:= false andalso {true, estale}
    end.

heal(Lost, #state{file = File, path = Path} = State) ->
    Reopened = emmap_open:heal(File),
    Result = case Reopened of {ok, _} -> ok; _ -> Reopened end,
    ok = emmap_telemetry:execute([emmap, fault], #{count => 1}, #{path => Path, reason => Lost, result => Result}),
    case Reopened of
        {ok, New} -> {reply, ok, opened(New, State)};
        {error, Reason} -> {stop, {emmap, Path, Reason}, ok, State}
    end.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(Message, State) -> unexpected(Message, State).

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({'DOWN', Port, process, _, _}, #state{port = Port} = State) ->
    case heal(port_died, State#state{port = none}) of
        {reply, ok, Healed} -> {noreply, Healed};
        {stop, Reason, ok, _} -> {stop, Reason, State}
    end;
handle_info({'EXIT', _, normal}, State) -> {noreply, State};
handle_info({'EXIT', _, Reason}, State) -> {stop, Reason, State};
handle_info(Message, State) -> unexpected(Message, State).

unexpected(Message, #state{name = Name} = State) ->
    ?LOG_WARNING("emmap_handles ~0tp ignores the message ~0tp", [Name, Message]),
    {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{name = Name, file = File}) ->
    _ = persistent_term:erase(Name),
    _ = emmap:close(file(File)),
    ok.

?DOC(false).
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{name = Name, path = Path}} = Status) -> Status#{state := #{name => Name, path => Path}};
format_status(Status) -> Status.
