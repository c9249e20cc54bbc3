-module(emmap_port).

-include("emmap_doc.hrl").

?MODULEDOC("The port backend: a server that owns a port program (`emmap_port`), and the calls to the program.
`docs/port-protocol.md` describes the protocol; `emmap_backend` says what the functions mean.

`emmap` starts one such server by itself, under its own supervisor, when it first needs one. Start others if a slow disk must
not hold up other files: put `emmap_port:start_link/1` under a supervisor of yours, and open files with
`{backend, {port, ServerRef}}`.

- Server and program live and die together. When the program dies, calls in flight and all later calls on its files are
  `{error, port_died}`; see `emmap:reopen/1`. The server ends with a `t:exit_reason/0`.
- A call without an answer in time is `{error, timeout}`: see `t:options/0`. As after `port_died`, the call may have been done
  or not. A file that such an open opens is closed again. The program goes on.
- When the server ends, the program ends too. If the program does not answer within half a second, because it is stopped or
  waits for a disk, it is killed. No acknowledged change is lost by that. The program also ends when the node halts or is killed;
  on Linux even if it is stopped.
- After `application:stop(emmap)` the next open over the port starts the application again. A queue's server, or a process of
  `m:emmap_handles`, ends with `{emmap, Path, port_died}`.
- A file is closed when the process that opened it dies. Others may use it until then.
- Calls do not wait for one another's answers, but the program does one at a time: others wait behind a `sync` or a read
  of a gigabyte. A batch that finds a lock taken holds up no other file.
- A call may send and receive 1 GiB; more is `{error, emsgsize}`.
- ERTS ends the node if it lacks memory, and needs the memory of an answer more than once while it receives it. So an answer of
  more than 4 MiB is `{error, enomem}`, and nothing is done, if a limit on the node (`ulimit -v`, `ulimit -d`) leaves less than
  three times its size and 64 MiB. The program asks Linux for these limits; on another system the node ends.
- A request of more than 1 MiB is `{error, enomem}`, and is not sent, if such a limit leaves less than twice its size. If ERTS
  lacks memory nevertheless, it drops the rest of the request. The program then ends after some seconds, with status 2.
- Use absolute paths: the program's current directory is the node's at the time when the program was started.").
-behaviour(emmap_backend).
-behaviour(gen_server).

-compile({no_auto_import, [size/1]}).

-export([start_link/1]).
-export([open/2, open/3, close/1, inspect/2, size/1]).
-export([pread/3, pwrite/3, read/2, read_line/1, write/2, position/3]).
-export([resize/2, truncate/1, allocate/3, advise/4, flush/1, sync/1, datasync/1]).
-export([backup/2, is_current/1, writers/1]).
-export([patomic_add/3, patomic_sub/3, patomic_and/3, patomic_or/3, patomic_xor/3, patomic_exchange/3,
         patomic_compare_exchange/4, patomic_load/2, patomic_store/3]).
-export([wait/4, notify/3, counter_wait/4, counter_notify/3, queue_wait/2, queue_wait_front/2]).
-export([counters_open/3, counters_open/4, counter_add/3, counter_sub/3, counter_set/3, counter_get/2,
         counter_compare_exchange/4]).
-export([queue_open/2, queue_open/3, queue_attach/1, queue_push/2, queue_push_many/2, queue_push_once/4, queue_pop/1, queue_pop_many/2,
         queue_pop_term/2, queue_remove/2, queue_pop_begin/1, queue_pop_commit/2, queue_pop_abort/2,
         queue_take/2, queue_order/2, queue_ack/2, queue_release/3, queue_put_back/2, queue_release_held/2, queue_release_all/1,
         queue_in_hand/1, queue_repair/1, queue_peek_front/1, queue_peek_back/1,
         queue_walk/4, queue_length/1, queue_is_empty/1, queue_info/1, queue_reset/1, queue_purge/1, queue_erase/1,
         queue_compact/1]).
-export([blocks_open/4, blocks_open/5, blocks_init/3, block_store/2, block_store_many/2, block_read/2,
         block_free/2, block_free_many/2, blocks_walk/3, blocks_count/1, blocks_info/1, blocks_repair/3,
         blocks_compact/1]).
-export([table_open/3, table_open/4, table_info/1, table_size/1, table_repair/1, table_add/4, table_set/4, table_get/3, table_compare_exchange/5,
         table_delete/2, table_hit/3, table_walk/3]).
-export([cell_open/3, cell_open/4, cell_publish/2, cell_get/1, cell_version/1, cell_wait/3]).
-export([batch/2]).
-export([monitor/1, home/1, open_files/0]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-export_type([options/0, handle/0, exit_reason/0]).

?DOC("How to start a server.

- `program`: the path of the program; default: the application's own program.
- `nouse_stdio`: whether the program uses descriptors 3 and 4, and leaves 0 and 1 to others; default true.
- `timeout`: how long the program may take to say hello; default 5,000 ms. Then it is killed, with the
  processes that it has started, unless they are in another process group.
- `call_timeout`: how long a call may take; default 5,000 ms. A call waits for earlier calls too.
- `sync_timeout`: the same for `sync` and `datasync`, which wait for the disk; default 60,000 ms.

The server that `emmap` starts by itself takes its options from the application's environment:
`{emmap, [{port_options, #{call_timeout => 10000}}]}`.").
-type options() :: #{
    program => file:name_all(),
    nouse_stdio => boolean(),
    timeout => timeout(),
    call_timeout => timeout(),
    sync_timeout => timeout()
}.

?DOC("Why a server did not start, or ended by itself: the program, and its fate.

- an atom of `t:file:posix/0`: the program could not be started; `enoent`, `eacces`, `enotdir`;
- `{exec, Posix, Why}`: the system does not execute the program. `eacces`: it is a folder, or on a file system that is mounted
  `noexec`; `enoent`: the interpreter of the script, or the dynamic linker of the program, is missing; `enoexec`: it is a
  program of another machine, cut off, or no program. `Why` is a text;
- `{exit_status, Status}`: the program has ended; 128 + N if signal N has ended it;
- `{closed, Reason}`: the port to the program was closed. `epipe`: the program has ended while a request was written to it, and
  ERTS does not say its status;
- `timeout`: the program did not say hello in time;
- `{protocol_version, Version}`, `{bad_hello, Bytes}`: it is another program;
- `{native_dir, Why}`: the folder of the application's native code is unknown: set `native_dir` in its environment.").
-type exit_reason() :: {port_program, Program :: file:name_all(),
                        file:posix() | atom() | {exec, file:posix(), Why :: string()} | {exit_status, 0..255} | {closed, term()} | timeout
                        | {protocol_version, term()} | {bad_hello, binary()} | {native_dir, term()}}.

%% A caller needs this record to reach a program. Callers write to the port themselves. So a busy program holds up its callers,
%% and never the server that takes its answers.
-record(program, {
    server :: pid(),
    port :: port(),
    calls :: ets:tid(), %% {Id, alias of the caller | none, what the answer means to the server}
    call_timeout :: timeout(),
    sync_timeout :: timeout(),
    lock_timeout = 0 :: non_neg_integer() %% of the file, in its handle
}).

?DOC("An open file of one server.").
-opaque handle() :: {#program{}, file_number()}.

-record(state, {
    program :: #program{},
    path :: file:name_all(),
    owners = #{} :: #{reference() => owned()}, %% monitors of processes, with what they have there
    monitors = #{} :: #{owned() => reference()}, %% the inverse of `owners'
    files = #{} :: #{file_number() => about()}
}).

%% The program's number of an open file.
-type file_number() :: non_neg_integer().
%% The work of a process that ends when the process dies: a file that it opened; a message that it is taking out of a queue; the
%% messages of a queue that it has in hand; a wait.
-type owned() :: {file, file_number()} | {ticket, file_number(), Ticket :: non_neg_integer()}
               | {held, file_number(), Holder :: non_neg_integer()} | {wait, integer()}.
%% An open file, for people.
-type about() :: #{path := binary(), kind := file | counters | queue | blocks | cell | table, owner := pid(), since := integer()}.
-type result() :: ok | emmap_backend:failed().
-type old() :: {ok, emmap_backend:int64()} | emmap_backend:failed().

%% The hello frame names the first version of the protocol; this client speaks a later one.
-define(FIRST_VERSION, 1).
-define(VERSION, 2).
-define(HELLO_ID, 0).
-define(FRAME_LIMIT, (1 bsl 30)).
%% Before a call sends more bytes than this, it asks whether the node has memory for two copies, because ERTS may make them.
-define(UNASKED, (1 bsl 20)).
-define(DEFAULT_ATTEMPTS, 10).
%% When the server ends: how long the program may take to answer before it is killed, and then to end.
-define(END_TIMEOUT, 500).
-define(KILL_TIMEOUT, 250).
%% How long a list of the open files waits for their sizes.
-define(SIZES_TIMEOUT, 500).

%% {Id, Result} as bytes, with an id of 8 bytes; and the atom `ok'.
-define(ANSWER(Id), <<131, 104, 2, 109, 8:32, Id:64, _/binary>>).
-define(OK, 119, 2, "ok").

%%% The server

?DOC("Starts a program, and a server that is linked to the caller.").
-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) when is_map(Options) ->
    gen_server:start_link(?MODULE, Options, []).

?DOC(false).
-spec init(options()) -> {ok, #state{}} | {stop, exit_reason()}.
init(Options) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 ends the program
    case program(Options) of
        {ok, Program} -> start(Program, Options);
        {error, Reason} -> {stop, {port_program, "emmap_port", Reason}}
    end.

program(#{program := Program}) -> {ok, Program};
program(#{}) -> emmap_native:path("emmap_port").

start(Program, Options) ->
    {Stdio, Arguments} =
        case maps:get(nouse_stdio, Options, true) of
            true -> {nouse_stdio, ["--nouse-stdio"]};
            false -> {use_stdio, []}
        end,
    %% The calling process waits for locks, because the program has other callers to serve.
    PortOptions = [{packet, 4}, {args, ["--lock-limit=0", "--client=" ++ os:getpid() | Arguments]}, Stdio, binary, exit_status, hide],
    try open_port({spawn_executable, Program}, PortOptions) of
        Port ->
            _ = monitor(port, Port),
            case greet(Port, maps:get(timeout, Options, 5000)) of
                ok ->
                    ok = emmap_telemetry:execute([emmap, port, start], #{count => 1}, #{program => Program, server => self()}),
                    {ok, #state{path = Program, program = served(Port, Options)}};
                {error, Reason} ->
                    kill(Port),
                    {stop, {port_program, Program, executed(Program, Reason)}}
            end
    catch
        error:Reason -> {stop, {port_program, Program, Reason}}
    end.

%% A program that ends before its hello may never have run.
executed(Program, {exit_status, Status} = Reason) ->
    case emmap_native:exec_failure(Program, Status) of
        {Posix, Why} -> {exec, Posix, Why};
        ran -> Reason
    end;
executed(_Program, Reason) ->
    Reason.

served(Port, Options) ->
    #program{
        server = self(),
        port = Port,
        %% Callers register themselves here; the server only removes the answered calls.
        calls = ets:new(?MODULE, [public, {write_concurrency, true}]),
        call_timeout = maps:get(call_timeout, Options, 5000),
        sync_timeout = maps:get(sync_timeout, Options, 60000)
    }.

%% The program says hello. The server tells it which version of the protocol it speaks, and the program agrees.
greet(Port, Timeout) ->
    case next_frame(Port, Timeout) of
        {ok, {emmap_port, ?FIRST_VERSION, #{}}, _} ->
            _ = try_command(Port, term_to_binary({<<?HELLO_ID:64>>, {hello, ?VERSION, []}})),
            case next_frame(Port, Timeout) of
                {ok, {<<?HELLO_ID:64>>, {ok, ?VERSION, #{}}}, _} -> ok;
                {ok, {<<?HELLO_ID:64>>, _}, _} -> {error, {protocol_version, ?FIRST_VERSION}};
                {ok, _, Frame} -> {error, {bad_hello, Frame}};
                {error, _} = Error -> Error
            end;
        {ok, {emmap_port, Version, _}, _} -> {error, {protocol_version, Version}};
        {ok, _, Frame} -> {error, {bad_hello, Frame}};
        {error, _} = Error -> Error
    end.

next_frame(Port, Timeout) ->
    receive
        {Port, {data, Frame}} ->
            try
                {ok, binary_to_term(Frame), Frame}
            catch
                error:badarg -> {error, {bad_hello, Frame}}
            end;
        {Port, {exit_status, Status}} ->
            {error, {exit_status, Status}};
        {'DOWN', _, port, Port, Reason} ->
            {error, {closed, Reason}}
    after Timeout ->
        {error, timeout}
    end.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) ->
    {reply, #program{} | {#program{}, #{file_number() => about()}} | {error, {badarg, term()}}, #state{}}.
handle_call(files, _From, #state{program = Program, files = Files} = State) ->
    {reply, {Program, Files}, State};
handle_call(program, _From, State) ->
    {reply, State#state.program, State};
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast({waits, Id, Owner}, State) ->
    {noreply, own(Owner, {wait, Id}, State)};
handle_cast({unsent, Owned}, State) ->
    {noreply, forget(Owned, State)};
handle_cast(_Message, State) ->
    {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({Port, {data, ?ANSWER(Id) = Frame}}, #state{program = #program{port = Port, calls = Calls}} = State) ->
    case ets:take(Calls, Id) of
        [{Id, Caller, none}] ->
            %% The caller decodes the answer, because this process gets the answers to all callers.
            Caller ! {Caller, Frame},
            {noreply, State};
        [{Id, none, {abandoned, Meaning}}] ->
            {noreply, undo(Meaning, result(Frame), State)};
        [{Id, Caller, Meaning}] ->
            %% First, because a caller may have slept for this. A call of this server that it makes then comes later.
            _ = is_reference(Caller) andalso (Caller ! {Caller, Frame}),
            {noreply, remember(Meaning, result(Frame), State)};
        [] ->
            {noreply, State} % the caller no longer waits
    end;
handle_info({'DOWN', Monitor, process, _, _}, #state{owners = Owners} = State) ->
    case Owners of
        #{Monitor := Owned} ->
            {noreply, forget(Owned, end_owned(Owned, State))};
        #{} ->
            {noreply, State}
    end;
handle_info({Port, {exit_status, Status}}, #state{program = #program{port = Port}} = State) ->
    stop({exit_status, Status}, State);
handle_info({'DOWN', _, port, Port, Reason}, #state{program = #program{port = Port}} = State) ->
    stop({closed, Reason}, State);
handle_info(_Message, State) ->
    {noreply, State}.

stop(Reason, #state{path = Path} = State) ->
    {stop, {port_program, Path, Reason}, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{path = Program} = State) ->
    ok = end_program(Reason, State),
    emmap_telemetry:execute([emmap, port, exit], #{count => 1}, #{program => Program, server => self(), reason => Reason}).

end_program({port_program, _, _}, _State) ->
    ok;
end_program(_Reason, #state{program = #program{port = Port}}) ->
    %% The program answers this after all earlier requests. Then it sees the end of its input at once.
    Id = erlang:unique_integer([positive]),
    Frame = term_to_binary({<<Id:64>>, {size, 0}}),
    Sender = spawn(fun() -> try_command(Port, Frame) end),
    _ = receive
        {Port, {data, ?ANSWER(Id)}} -> port_close(Port);
        {Port, {exit_status, _}} -> ok;
        {'DOWN', _, port, Port, _} -> ok
    after ?END_TIMEOUT ->
        kill(Port)
    end,
    exit(Sender, kill),
    ok.

?DOC(false).
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{path = Path, program = #program{port = Port}, files = Files}} = Status) ->
    Status#{state := #{program => Path, os_pid => erlang:port_info(Port, os_pid), files => maps:values(Files)}};
format_status(Status) -> Status.

%% A stopped program does not see that its input has ended. While the port is open, no other process gets its process id. ERTS
%% starts the program as the leader of a process group, so the processes that it has started end too.
kill(Port) ->
    case erlang:port_info(Port, os_pid) of
        {os_pid, Pid} ->
            _ = os:cmd("kill -s KILL -- -" ++ integer_to_list(Pid)),
            receive
                {Port, {exit_status, _}} -> ok;
                {'DOWN', _, port, Port, _} -> ok
            after ?KILL_TIMEOUT ->
                ok
            end,
            catch port_close(Port);
        undefined ->
            ok
    end.

%% The server learns from the answers which files the program has open, and for which processes.
remember({opened_by, Owner, {Kind, Path}}, {ok, Number, _}, #state{files = Files} = State) ->
    File = #{path => Path, kind => Kind, owner => Owner, since => os:system_time(second)},
    own(Owner, {file, Number}, State#state{files = Files#{Number => File}});
remember({taken_by, Owner, Number}, {ok, _, Ticket}, State) ->
    own(Owner, {ticket, Number, Ticket}, State);
remember({held_by, Owner, Number, Holder}, {ok, _, _, _}, State) ->
    own(Owner, {held, Number, Holder}, State);
remember({ended, {file, Number} = Owned}, ok, #state{monitors = Monitors} = State) ->
    Held = [Each || {held, OfFile, _} = Each <- maps:keys(Monitors), OfFile =:= Number],
    lists:foldl(fun forget/2, State, [Owned | Held]);
remember({ended, {ticket, _, _}}, {error, etimedout}, State) ->
    State; % the caller tries again
remember({ended, {ticket, _, _} = Owned}, _Result, State) ->
    forget(Owned, State);
remember({ended, {wait, _} = Owned}, _Result, State) ->
    forget(Owned, State);
remember(_Meaning, _Result, State) ->
    State.

%% A process has one monitor for all messages that it takes from a file.
own(_Owner, Owned, #state{monitors = Monitors} = State) when is_map_key(Owned, Monitors) ->
    State;
own(Owner, Owned, #state{owners = Owners, monitors = Monitors} = State) ->
    Monitor = monitor(process, Owner),
    State#state{owners = Owners#{Monitor => Owned}, monitors = Monitors#{Owned => Monitor}}.

%% No process waits for the answer any more. So no process can use the handle or ticket in it.
undo({opened_by, _, _}, {ok, Number, _}, State) ->
    end_owned({file, Number}, State);
undo({taken_by, _, Number}, {ok, _, Ticket}, State) ->
    end_owned({ticket, Number, Ticket}, State);
undo({held_by, _, Number, _}, {ok, _, Ticket, _}, #state{program = Program} = State) ->
    ok = emmap_lock:insist(fun() -> queue_put_back({Program, Number}, Ticket) end),
    State;
undo(Meaning, Result, State) ->
    remember(Meaning, Result, State).

%% The request comes from a process of its own, because the port may be busy, and this server makes it less busy. The program
%% does not wait for a lock that others have, and no other process would try again.
end_owned({held, Number, Holder}, #state{program = Program} = State) ->
    ok = emmap_lock:insist(fun() -> queue_release_held({Program, Number}, Holder) end),
    State;
end_owned(Owned, #state{program = Program} = State) ->
    _ = spawn(fun() -> send_unheeded(Program, ending(Owned)) end),
    State.

%% The work that the owner can no longer do.
ending({file, Number}) -> {close, Number};
ending({ticket, Number, Ticket}) -> {queue_pop_abort, Number, Ticket};
ending({wait, Id}) -> {cancel, <<Id:64>>}.

forget(Owned, #state{owners = Owners, monitors = Monitors, files = Files} = State) ->
    case maps:take(Owned, Monitors) of
        {Monitor, Others} ->
            demonitor(Monitor, [flush]),
            Left = case Owned of
                {file, Number} -> maps:remove(Number, Files);
                _ -> Files
            end,
            State#state{owners = maps:remove(Monitor, Owners), monitors = Others, files = Left};
        error ->
            State
    end.

%%% Calls

call(Program, Operation) ->
    settled(Program, request(Program, none, Operation)).

call_with_data(#program{call_timeout = Timeout} = Program, Operation) ->
    Id = erlang:unique_integer([positive]),
    %% Large binaries stay where they are; for a request without any this costs more. If ERTS lacks memory for the request it
    %% drops the rest of it. The id at the end keeps the program from taking later requests for that rest.
    Frame = term_to_iovec({<<Id:64>>, Operation, <<Id:64>>}),
    settled(Program, exchange(Program, Id, none, Frame, Timeout)).

%% `unsent': the program can't have seen the request.
request(#program{call_timeout = Timeout} = Program, Meaning, Operation) ->
    request(Program, Meaning, Operation, Timeout).

request(Program, Meaning, Operation, Timeout) ->
    Id = erlang:unique_integer([positive]),
    exchange(Program, Id, Meaning, term_to_binary({<<Id:64>>, Operation}), Timeout).

%% The alias is made in the function that receives the answer, so that the compiler makes the receive skip all earlier messages.
%% A late answer goes nowhere.
exchange(Program, Id, Meaning, Frame, Timeout) ->
    case iolist_size(Frame) of
        Size when Size > ?FRAME_LIMIT -> {answer, {error, emsgsize}};
        Size when Size > ?UNASKED ->
            case emmap_memory:allows(2 * Size) of
                true -> converse(Program, Id, Meaning, Frame, Timeout);
                false -> {answer, {error, enomem}}
            end;
        _ -> converse(Program, Id, Meaning, Frame, Timeout)
    end.

converse(#program{server = Server} = Program, Id, Meaning, Frame, Timeout) ->
    Caller = monitor(process, Server, [{alias, reply_demonitor}]),
    case send(Program, Id, Caller, Meaning, Frame, Timeout) of
        true ->
            receive
                {Caller, Reply} -> {answer, result(Reply)};
                {'DOWN', Caller, process, _, _} -> died
            after Timeout ->
                abandon(Program, Id, Caller, Meaning)
            end;
        NotSent ->
            _ = demonitor(Caller, [flush]),
            elsewhere(Program, NotSent)
    end.

%% A port takes commands of its own node only.
elsewhere(#program{server = Server}, unsent) when node(Server) =/= node() ->
    {answer, {error, {other_node, node(Server)}}};
elsewhere(_Program, NotSent) -> NotSent.

%% Registers the request and writes it to the port.
send(#program{port = Port, calls = Calls} = Program, Id, Caller, Meaning, Frame, Timeout) ->
    try ets:insert(Calls, {Id, Caller, Meaning}) andalso port_command(Port, Frame, [nosuspend]) of
        true -> true;
        false -> send_patiently(Program, Id, Meaning, Frame, Timeout)
    catch
        error:badarg -> unsent
    end.

%% A busy port suspends the writing process until the program reads. So another process writes, and the caller can give
%% up. If the caller dies meanwhile, the server may cancel the caller's wait before the program has seen it.
send_patiently(#program{port = Port, calls = Calls} = Program, Id, Meaning, Frame, Timeout) ->
    Caller = self(),
    {Sender, Monitor} = spawn_monitor(fun() ->
        try_command(Port, Frame) orelse exit(unsent),
        is_process_alive(Caller) orelse cancel(Program, Meaning)
    end),
    receive
        {'DOWN', Monitor, process, _, Sent} -> Sent =:= normal orelse unsent
    after Timeout ->
        exit(Sender, kill),
        receive
            {'DOWN', Monitor, process, _, killed} ->
                _ = unregister_call(Calls, Id, none),
                {answer, {error, timeout}};
            {'DOWN', Monitor, process, _, Sent} ->
                Sent =:= normal orelse unsent
        end
    end.

%% If the server has the answer already, the answer comes.
abandon(#program{calls = Calls}, Id, Caller, Meaning) ->
    case unregister_call(Calls, Id, Meaning) of
        true ->
            _ = demonitor(Caller, [flush]),
            receive {Caller, _} -> ok after 0 -> ok end,
            {answer, {error, timeout}};
        false ->
            receive
                {Caller, Reply} -> {answer, result(Reply)};
                {'DOWN', Caller, process, _, _} -> died
            end
    end.

%% The caller stops waiting for the answer. False if the server has the answer, or has died.
unregister_call(Calls, Id, Meaning) ->
    try
        case Meaning of
            none -> ets:take(Calls, Id) =/= [];
            _ -> ets:update_element(Calls, Id, [{2, none}, {3, {abandoned, Meaning}}])
        end
    catch
        error:badarg -> false
    end.

send_unheeded(#program{port = Port, calls = Calls}, Operation) ->
    Id = erlang:unique_integer([positive]),
    try
        true = ets:insert(Calls, {Id, none, unheeded}),
        port_command(Port, term_to_binary({<<Id:64>>, Operation}))
    catch
        error:badarg -> false
    end.

try_command(Port, Frame) ->
    try
        port_command(Port, Frame)
    catch
        error:badarg -> false
    end.

%% A large binary by itself stays where it is; binary_to_term/1 would copy it.
result(<<131, 104, 2, 109, 8:32, _Id:64, 104, 2, ?OK, 109, Length:32, Bytes:Length/binary>>) when Length > 64 ->
    {ok, Bytes};
result(<<131, 104, 2, 109, 8:32, _Id:64, 104, 3, ?OK, 109, Length:32, Bytes:Length/binary, Number/binary>>)
  when Length > 64 ->
    {ok, Bytes, binary_to_term(<<131, Number/binary>>)};
result(<<131, 104, 2, 109, 8:32, _Id:64, 104, 4, ?OK, 109, Length:32, Bytes:Length/binary, Numbers/binary>>)
  when Length > 64 ->
    {First, Second} = binary_to_term(<<131, 104, 2, Numbers/binary>>),
    {ok, Bytes, First, Second};
result(Frame) ->
    {_Id, Result} = binary_to_term(Frame),
    Result.

%% The program waits for no lock: the calling process tries again.
settled(#program{lock_timeout = Limit}, {answer, {error, etimedout}}) -> {busy, Limit};
settled(_Program, Reply) -> answer(Reply).

answer({answer, Result}) -> Result;
answer(_NoAnswer) -> {error, port_died}.

%% A request that is answered late. The server learns of it before the program does, and cancels it if the caller dies.
wait_call(#program{server = Server}, _Operation, _Timeout) when node(Server) =/= node() ->
    {error, {other_node, node(Server)}};
wait_call(#program{server = Server} = Program, Operation, Timeout) ->
    Id = erlang:unique_integer([positive]),
    Meaning = {ended, {wait, Id}},
    Frame = term_to_binary({<<Id:64>>, Operation}),
    ok = gen_server:cast(Server, {waits, Id, self()}),
    Caller = monitor(process, Server, [{alias, reply_demonitor}]),
    case send(Program, Id, Caller, Meaning, Frame, Program#program.call_timeout) of
        true ->
            receive
                {Caller, Reply} -> result(Reply);
                {'DOWN', Caller, process, _, _} -> {error, port_died}
            after give_up_after(Timeout, Program#program.call_timeout) ->
                _ = spawn(fun() -> cancel(Program, Meaning) end),
                answer(abandon(Program, Id, Caller, Meaning))
            end;
        NotSent ->
            _ = demonitor(Caller, [flush]),
            ok = gen_server:cast(Server, {unsent, {wait, Id}}),
            answer(NotSent)
    end.

cancel(Program, {ended, {wait, _} = Owned}) -> send_unheeded(Program, ending(Owned));
cancel(_Program, _Meaning) -> false.

%% The program keeps the time, unless it is stopped.
give_up_after(Timeout, Late) when is_integer(Timeout), is_integer(Late), Timeout + Late =< 16#ffffffff -> Timeout + Late;
give_up_after(_Timeout, _Late) -> infinity.

%%% Open and close

-spec open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
open(Path, Options) ->
    opened(ask_default({open, Path, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `open/2`, by a certain server.").
-spec open(gen_server:server_ref(), binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
open(Server, Path, Options) ->
    opened(ask(Server, {open, Path, Options}), Options).

-spec counters_open(binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), pos_integer()} | emmap_backend:open_failed().
counters_open(Path, Count, Options) ->
    opened(ask_default({counters_open, Path, Count, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `counters_open/3`, by a certain server.").
-spec counters_open(gen_server:server_ref(), binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), pos_integer()} | emmap_backend:open_failed().
counters_open(Server, Path, Count, Options) ->
    opened(ask(Server, {counters_open, Path, Count, Options}), Options).

ask(Server, Operation) ->
    try gen_server:call(Server, program) of
        Program -> {Program, request(Program, meaning(Operation), Operation)}
    catch
        exit:{timeout, _} -> {none, {answer, {error, timeout}}};
        exit:_ -> {none, unsent}
    end.

%% The server notes from the answer which process has opened which file. An inspection opens none.
meaning({inspect, _, _}) -> none;
meaning(Operation) -> {opened_by, self(), {kind(Operation), element(2, Operation)}}.

kind({open, _, _}) -> file;
kind({counters_open, _, _, _}) -> counters;
kind({queue_open, _, _}) -> queue;
kind({blocks_open, _, _, _, _}) -> blocks;
kind({cell_open, _, _, _}) -> cell;
kind({table_open, _, _, _}) -> table.

%% If the default server is dying, the next one is asked.
ask_default(_Operation, 0) ->
    {none, unsent};
ask_default(Operation, Attempts) ->
    case emmap_sup:port() of
        {ok, Server} ->
            case ask(Server, Operation) of
                {_, unsent} ->
                    await_death(Server),
                    ask_default(Operation, Attempts - 1);
                Asked ->
                    Asked
            end;
        {error, {port_program, Program, Reason} = Why} ->
            emmap_sup:notify_once({port_program, Program, Reason}, #{reason => Why}),
            {none, {answer, {error, not_started(Reason)}}};
        {error, _} ->
            {none, unsent} % the supervisor's report says why
    end.

%% A program that has run, and has ended, has died.
not_started({native_dir, _}) -> no_native_dir;
not_started({exec, Posix, _Why}) -> Posix;
not_started({protocol_version, _}) -> eproto;
not_started({bad_hello, _}) -> eproto;
not_started(Reason) when is_atom(Reason) -> Reason;
not_started(_Ended) -> port_died.

await_death(Server) ->
    Monitor = monitor(process, Server),
    receive
        {'DOWN', Monitor, process, _, _} -> ok
    after 5000 ->
        demonitor(Monitor, [flush]),
        ok
    end.

opened(Asked, Options) ->
    Limit = emmap_lock:timeout(Options),
    case Asked of
        {Program, {answer, {ok, Number, Info}}} -> {ok, {Program#program{lock_timeout = Limit}, Number}, Info};
        {_Program, {answer, {error, etimedout}}} -> {busy, Limit};
        {_Program, Reply} -> answer(Reply)
    end.

-spec close(handle()) -> result().
close({Program, Number}) ->
    case request(Program, {ended, {file, Number}}, {close, Number}) of
        {answer, Result} -> Result;
        _Died -> ok % which closes the file, too
    end.

%% The files of all servers of the node. A server is the process that a port is connected to. All are asked at the same time, because
%% a program may be stopped. Without its answer the sizes are unknown.
?DOC(false).
-spec open_files() -> [about() | #{size := non_neg_integer()}].
open_files() ->
    Servers = lists:usort([Server || Port <- erlang:ports(), {connected, Server} <- [erlang:port_info(Port, connected)],
                                     is_server(Server)]),
    Self = self(),
    Asked = [spawn_monitor(fun() -> Self ! {self(), files_of(Server)} end) || Server <- Servers],
    lists:append([receive
                      {Asker, Files} ->
                          true = demonitor(Monitor, [flush]),
                          Files;
                      {'DOWN', Monitor, process, _, _} ->
                          [] % the server has ended
                  end || {Asker, Monitor} <- Asked]).

is_server(Pid) ->
    case process_info(Pid, dictionary) of
        {dictionary, Dictionary} -> lists:member({'$initial_call', {?MODULE, init, 1}}, Dictionary);
        undefined -> false
    end.

files_of(Server) ->
    {#program{call_timeout = Limit} = Program, Files} = gen_server:call(Server, files),
    {Numbers, Abouts} = lists:unzip(lists:sort(maps:to_list(Files))),
    Sizes = case request(Program, none, {batch, [{size, Number} || Number <- Numbers]}, min(?SIZES_TIMEOUT, Limit)) of
        {answer, Results} when is_list(Results) -> Results;
        _ -> [unknown || _ <- Numbers]
    end,
    [case Size of
         {ok, Bytes} -> About#{size => Bytes};
         _ -> About
     end || {About, Size} <- lists:zip(Abouts, Sizes)].

%% A monitor of the file's server. When the server ends, the file is lost.
?DOC(false).
-spec monitor(handle()) -> reference().
monitor({#program{server = Server}, _Number}) -> monitor(process, Server).

?DOC(false).
-spec home(handle()) -> node().
home({#program{server = Server}, _Number}) -> node(Server).

-spec inspect(binary(), brief | count | check) -> {ok, emmap_backend:inspection()} | emmap_backend:failed().
inspect(Path, Effort) ->
    {_Program, Reply} = ask_default({inspect, Path, Effort}, ?DEFAULT_ATTEMPTS),
    checked(answer(Reply)).

%%% Operations on a file

-spec size(handle()) -> {ok, non_neg_integer()} | emmap_backend:failed().
size({Program, Number}) -> call(Program, {size, Number}).

-spec pread(handle(), integer(), non_neg_integer()) -> emmap_backend:sink_result().
pread({Program, Number}, Position, Length) when is_integer(Position), is_integer(Length) ->
    call(Program, {pread, Number, Position, Length}).

-spec pwrite(handle(), integer(), iodata()) -> result().
pwrite({Program, Number}, Position, Data) when is_integer(Position) ->
    call_with_data(Program, {pwrite, Number, Position, iodata(Data)}).

-spec read(handle(), non_neg_integer()) -> emmap_backend:sink_result().
read({Program, Number}, Length) when is_integer(Length) -> call(Program, {read, Number, Length}).

-spec read_line(handle()) -> emmap_backend:sink_result().
read_line({Program, Number}) -> call(Program, {read_line, Number}).

-spec write(handle(), iodata()) -> result().
write({Program, Number}, Data) -> call_with_data(Program, {write, Number, iodata(Data)}).

-spec position(handle(), integer(), bof | cur | eof) -> {ok, non_neg_integer()} | emmap_backend:failed().
position({Program, Number}, Offset, Whence) -> call(Program, {position, Number, Offset, Whence}).

-spec resize(handle(), non_neg_integer()) -> {ok, non_neg_integer()} | emmap_backend:failed().
resize({Program, Number}, Size) -> call(Program, {resize, Number, Size}).

-spec truncate(handle()) -> result().
truncate({Program, Number}) -> call(Program, {truncate, Number}).

-spec allocate(handle(), integer(), integer()) -> result().
allocate({Program, Number}, Position, Length) -> call(Program, {allocate, Number, Position, Length}).

-spec advise(handle(), integer(), integer(), emmap_backend:advice()) -> result().
advise({Program, Number}, Position, Length, Advice) ->
    checked_call(Program, {advise, Number, Position, Length, Advice}).

-spec flush(handle()) -> result().
flush({Program, Number}) -> call(Program, {flush, Number}).

-spec sync(handle()) -> result().
sync({Program, Number}) -> call_disk(Program, {sync, Number}).

-spec datasync(handle()) -> result().
datasync({Program, Number}) -> call_disk(Program, {datasync, Number}).

call_disk(#program{sync_timeout = Timeout} = Program, Operation) ->
    settled(Program, request(Program, none, Operation, Timeout)).

-spec backup(handle(), binary()) -> ok | emmap_backend:failed().
backup({Program, Number}, Path) when is_binary(Path) -> call_disk(Program, {backup, Number, Path}).

-spec is_current(handle()) -> {ok, boolean()} | emmap_backend:failed().
is_current({Program, Number}) -> call(Program, {is_current, Number}).

-spec writers(handle()) -> {ok, [emmap_backend:writer()]} | emmap_backend:failed().
writers({Program, Number}) -> call(Program, {writers, Number}).

%%% Atomics

-spec patomic_add(handle(), integer(), emmap_backend:operand()) -> old().
patomic_add({Program, Number}, Position, Value) -> checked_call(Program, {patomic_add, Number, Position, Value}).

-spec patomic_sub(handle(), integer(), emmap_backend:operand()) -> old().
patomic_sub({Program, Number}, Position, Value) -> checked_call(Program, {patomic_sub, Number, Position, Value}).

-spec patomic_and(handle(), integer(), emmap_backend:operand()) -> old().
patomic_and({Program, Number}, Position, Value) -> checked_call(Program, {patomic_and, Number, Position, Value}).

-spec patomic_or(handle(), integer(), emmap_backend:operand()) -> old().
patomic_or({Program, Number}, Position, Value) -> checked_call(Program, {patomic_or, Number, Position, Value}).

-spec patomic_xor(handle(), integer(), emmap_backend:operand()) -> old().
patomic_xor({Program, Number}, Position, Value) -> checked_call(Program, {patomic_xor, Number, Position, Value}).

-spec patomic_exchange(handle(), integer(), emmap_backend:operand()) -> old().
patomic_exchange({Program, Number}, Position, Value) -> checked_call(Program, {patomic_exchange, Number, Position, Value}).

-spec patomic_compare_exchange(handle(), integer(), emmap_backend:operand(), emmap_backend:operand()) -> old().
patomic_compare_exchange({Program, Number}, Position, Expected, Replacement) ->
    checked_call(Program, {patomic_compare_exchange, Number, Position, Expected, Replacement}).

-spec patomic_load(handle(), integer()) -> old().
patomic_load({Program, Number}, Position) -> checked_call(Program, {patomic_load, Number, Position}).

-spec patomic_store(handle(), integer(), emmap_backend:operand()) -> result().
patomic_store({Program, Number}, Position, Value) -> checked_call(Program, {patomic_store, Number, Position, Value}).

%%% Counters

-spec counter_add(handle(), integer(), emmap_backend:operand()) -> old().
counter_add({Program, Number}, Index, Value) -> checked_call(Program, {counter_add, Number, Index, Value}).

-spec counter_sub(handle(), integer(), emmap_backend:operand()) -> old().
counter_sub({Program, Number}, Index, Value) -> checked_call(Program, {counter_sub, Number, Index, Value}).

-spec counter_set(handle(), integer(), emmap_backend:operand()) -> old().
counter_set({Program, Number}, Index, Value) -> checked_call(Program, {counter_set, Number, Index, Value}).

-spec counter_get(handle(), integer()) -> old().
counter_get({Program, Number}, Index) -> checked_call(Program, {counter_get, Number, Index}).

-spec wait(handle(), integer(), emmap_backend:operand(), timeout()) -> emmap_backend:waited().
wait({Program, Number}, Position, Expected, Timeout) ->
    checked(wait_call(Program, {wait, Number, Position, Expected, Timeout}, Timeout)).

-spec notify(handle(), integer(), non_neg_integer() | infinity) -> emmap_backend:measure().
notify({Program, Number}, Position, Count) -> checked_call(Program, {notify, Number, Position, Count}).

-spec counter_wait(handle(), integer(), emmap_backend:operand(), timeout()) -> emmap_backend:waited().
counter_wait({Program, Number}, Index, Expected, Timeout) ->
    checked(wait_call(Program, {counter_wait, Number, Index, Expected, Timeout}, Timeout)).

-spec queue_wait(handle(), timeout()) -> emmap_backend:waited().
queue_wait({Program, Number}, Timeout) ->
    checked(wait_call(Program, {queue_wait, Number, Timeout}, Timeout)).

-spec queue_wait_front(handle(), timeout()) -> emmap_backend:waited() | {ok, binary()}.
queue_wait_front({Program, Number}, Timeout) ->
    checked(wait_call(Program, {queue_wait_front, Number, Timeout}, Timeout)).

-spec counter_notify(handle(), integer(), non_neg_integer() | infinity) -> emmap_backend:measure().
counter_notify({Program, Number}, Index, Count) -> checked_call(Program, {counter_notify, Number, Index, Count}).

-spec counter_compare_exchange(handle(), integer(), emmap_backend:operand(), emmap_backend:operand()) -> old().
counter_compare_exchange({Program, Number}, Index, Expected, Replacement) ->
    checked_call(Program, {counter_compare_exchange, Number, Index, Expected, Replacement}).

%% An argument of the wrong type or range raises an exception here, as in the NIF.
checked_call(Program, Operation) ->
    checked(call(Program, Operation)).

checked({error, badarg}) -> error(badarg);
checked(Result) -> Result.

%% The data itself, or a badarg exception before anything is sent.
iodata(Data) ->
    _ = iolist_size(Data),
    Data.

%%% Queues

-spec queue_open(binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
queue_open(Path, Options) ->
    opened(ask_default({queue_open, Path, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `queue_open/2`, by a certain server.").
-spec queue_open(gen_server:server_ref(), binary(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
queue_open(Server, Path, Options) ->
    opened(ask(Server, {queue_open, Path, Options}), Options).

-spec queue_attach(handle()) -> result().
queue_attach({Program, Number}) -> call(Program, {queue_attach, Number}).

-spec queue_push(handle(), iodata()) -> result().
queue_push({Program, Number}, Message) -> call_with_data(Program, {queue_push, Number, iodata(Message)}).

-spec queue_push_many(handle(), [iodata()]) -> result().
queue_push_many({Program, Number}, Messages) -> call_with_data(Program, {queue_push_many, Number, binaries(Messages)}).

%% A synced queue waits for the disk.
-spec queue_push_once(handle(), <<_:128>>, non_neg_integer(), [iodata()]) -> emmap_backend:measure().
queue_push_once({Program, Number}, Origin, Count, Messages) ->
    checked(call_disk(Program, {queue_push_once, Number, Origin, Count, binaries(Messages)})).

-spec queue_pop(handle()) -> emmap_backend:message().
queue_pop({Program, Number}) -> call(Program, {queue_pop, Number}).

-spec queue_pop_many(handle(), non_neg_integer()) ->
    {ok, [binary()]} | eof | emmap_backend:failed().
queue_pop_many({Program, Number}, Limit) -> checked_call(Program, {queue_pop_many, Number, Limit}).

%% The program makes no terms.
-spec queue_pop_term(handle(), safe | unsafe) -> slow.
queue_pop_term(_Handle, _Safety) -> slow.

-spec queue_remove(handle(), [binary()]) -> result().
queue_remove({Program, Number}, Messages) -> call_with_data(Program, {queue_remove, Number, Messages}).

-spec queue_pop_begin(handle()) ->
    {ok, binary(), Ticket :: non_neg_integer()} | eof | emmap_backend:failed().
queue_pop_begin({Program, Number}) ->
    settled(Program, request(Program, {taken_by, self(), Number}, {queue_pop_begin, Number})).

-spec queue_pop_commit(handle(), non_neg_integer()) -> result().
queue_pop_commit({Program, Number}, Ticket) ->
    settled(Program, request(Program, {ended, {ticket, Number, Ticket}}, {queue_pop_commit, Number, Ticket})).

-spec queue_pop_abort(handle(), non_neg_integer()) -> result().
queue_pop_abort({Program, Number}, Ticket) ->
    answer(request(Program, {ended, {ticket, Number, Ticket}}, {queue_pop_abort, Number, Ticket})).

-spec queue_take(handle(), non_neg_integer()) ->
    {ok, binary(), emmap_backend:delivery_ticket(), pos_integer()} | eof | emmap_backend:failed().
queue_take({Program, Number}, Holder) ->
    checked(settled(Program, request(Program, {held_by, self(), Number, Holder}, {queue_take, Number, Holder}))).

-spec queue_order(handle(), emmap_backend:delivery_ticket()) -> old().
queue_order({Program, Number}, Ticket) -> checked_call(Program, {queue_order, Number, Ticket}).

-spec queue_ack(handle(), emmap_backend:delivery_ticket()) -> result().
queue_ack({Program, Number}, Ticket) -> checked_call(Program, {queue_ack, Number, Ticket}).

-spec queue_release(handle(), emmap_backend:delivery_ticket(), non_neg_integer()) -> result().
queue_release({Program, Number}, Ticket, Delay) -> checked_call(Program, {queue_release, Number, Ticket, Delay}).

-spec queue_put_back(handle(), emmap_backend:delivery_ticket()) -> result().
queue_put_back({Program, Number}, Ticket) -> checked_call(Program, {queue_put_back, Number, Ticket}).

-spec queue_release_held(handle(), non_neg_integer()) -> result().
queue_release_held({Program, Number}, Holder) -> checked_call(Program, {queue_release_held, Number, Holder}).

-spec queue_release_all(handle()) -> emmap_backend:measure().
queue_release_all({Program, Number}) -> call_disk(Program, {queue_release_all, Number}).

-spec queue_in_hand(handle()) -> {ok, [emmap_backend:in_hand()]} | emmap_backend:failed().
queue_in_hand({Program, Number}) -> call(Program, {queue_in_hand, Number}).

-spec queue_repair(handle()) -> emmap_backend:measure().
queue_repair({Program, Number}) -> call_disk(Program, {queue_repair, Number}).

-spec queue_peek_front(handle()) -> emmap_backend:message().
queue_peek_front({Program, Number}) -> call(Program, {queue_peek_front, Number}).

-spec queue_peek_back(handle()) -> emmap_backend:message().
queue_peek_back({Program, Number}) -> call(Program, {queue_peek_back, Number}).

-spec queue_walk(handle(), forward | backward, non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | emmap_backend:failed().
queue_walk({Program, Number}, Direction, Limit, Place) ->
    checked_call(Program, {queue_walk, Number, Direction, Limit, Place}).

-spec queue_length(handle()) -> emmap_backend:measure().
queue_length({Program, Number}) -> call(Program, {queue_length, Number}).

-spec queue_is_empty(handle()) -> {ok, boolean()} | emmap_backend:failed().
queue_is_empty({Program, Number}) -> call(Program, {queue_is_empty, Number}).

-spec queue_info(handle()) -> {ok, emmap_backend:queue_info()} | emmap_backend:failed().
queue_info({Program, Number}) -> call(Program, {queue_info, Number}).

-spec queue_reset(handle()) -> {ok, boolean()} | emmap_backend:failed().
queue_reset({Program, Number}) -> call(Program, {queue_reset, Number}).

-spec queue_purge(handle()) -> result().
queue_purge({Program, Number}) -> call(Program, {queue_purge, Number}).

-spec queue_erase(handle()) -> result().
queue_erase({Program, Number}) -> call(Program, {queue_erase, Number}).

-spec queue_compact(handle()) -> emmap_backend:measure().
queue_compact({Program, Number}) -> call(Program, {queue_compact, Number}).

%%% Block storages

-spec blocks_open(binary(), non_neg_integer(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
blocks_open(Path, BlockSize, Levels, Options) ->
    opened(ask_default({blocks_open, Path, BlockSize, Levels, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `blocks_open/4`, by a certain server.").
-spec blocks_open(gen_server:server_ref(), binary(), non_neg_integer(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
blocks_open(Server, Path, BlockSize, Levels, Options) ->
    opened(ask(Server, {blocks_open, Path, BlockSize, Levels, Options}), Options).

-spec blocks_init(handle(), non_neg_integer(), non_neg_integer()) -> result().
blocks_init({Program, Number}, BlockSize, Levels) ->
    checked_call(Program, {blocks_init, Number, BlockSize, Levels}).

-spec block_store(handle(), iodata()) -> emmap_backend:measure().
block_store({Program, Number}, Block) -> call_with_data(Program, {block_store, Number, iodata(Block)}).

-spec block_store_many(handle(), [iodata()]) ->
    {ok, [emmap_backend:address()]} | emmap_backend:failed().
block_store_many({Program, Number}, Blocks) -> call_with_data(Program, {block_store_many, Number, binaries(Blocks)}).

-spec block_read(handle(), integer()) -> {ok, binary()} | emmap_backend:failed().
block_read({Program, Number}, Address) -> checked_call(Program, {block_read, Number, Address}).

-spec block_free(handle(), integer()) -> result().
block_free({Program, Number}, Address) -> checked_call(Program, {block_free, Number, Address}).

-spec block_free_many(handle(), [integer()]) -> result().
block_free_many({Program, Number}, Addresses) ->
    checked(call_with_data(Program, {block_free_many, Number, Addresses})).

-spec blocks_walk(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [{emmap_backend:address(), binary()}], non_neg_integer()} | eof | emmap_backend:failed().
blocks_walk({Program, Number}, Limit, Place) ->
    case checked_call(Program, {blocks_walk, Number, Limit, Place}) of
        {ok, Blocks, Addresses, Next} -> {ok, lists:zip(Addresses, Blocks), Next};
        Other -> Other
    end.

-spec blocks_count(handle()) -> emmap_backend:measure().
blocks_count({Program, Number}) -> call(Program, {blocks_count, Number}).

-spec blocks_info(handle()) -> {ok, emmap_backend:blocks_info()} | emmap_backend:failed().
blocks_info({Program, Number}) -> call(Program, {blocks_info, Number}).

-spec blocks_repair(handle(), non_neg_integer(), non_neg_integer()) -> emmap_backend:measure().
blocks_repair({Program, Number}, Limit, Place) -> checked_call(Program, {blocks_repair, Number, Limit, Place}).

-spec blocks_compact(handle()) -> emmap_backend:measure().
blocks_compact({Program, Number}) -> call(Program, {blocks_compact, Number}).

%%% Cells

-spec cell_open(binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
cell_open(Path, MaxBytes, Options) ->
    opened(ask_default({cell_open, Path, MaxBytes, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `cell_open/3`, by a certain server.").
-spec cell_open(gen_server:server_ref(), binary(), non_neg_integer(), [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
cell_open(Server, Path, MaxBytes, Options) ->
    opened(ask(Server, {cell_open, Path, MaxBytes, Options}), Options).

-spec cell_publish(handle(), iodata()) -> result().
cell_publish({Program, Number}, Value) -> call_with_data(Program, {cell_publish, Number, iodata(Value)}).

-spec cell_get(handle()) -> {ok, binary(), pos_integer()} | eof | emmap_backend:failed().
cell_get({Program, Number}) -> call(Program, {cell_get, Number}).

-spec cell_version(handle()) -> emmap_backend:measure().
cell_version({Program, Number}) -> call(Program, {cell_version, Number}).

-spec cell_wait(handle(), non_neg_integer(), timeout()) -> emmap_backend:waited().
cell_wait({Program, Number}, Version, Timeout) ->
    checked(wait_call(Program, {cell_wait, Number, Version, Timeout}, Timeout)).

%%% Tables

-spec table_open(binary(), {non_neg_integer(), non_neg_integer(), non_neg_integer()}, [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
table_open(Path, Shape, Options) ->
    opened(ask_default({table_open, Path, Shape, Options}, ?DEFAULT_ATTEMPTS), Options).

?DOC("As `table_open/3`, by a certain server.").
-spec table_open(gen_server:server_ref(), binary(), {non_neg_integer(), non_neg_integer(), non_neg_integer()},
                 [emmap_backend:option()]) ->
    {ok, handle(), emmap_backend:info()} | emmap_backend:open_failed().
table_open(Server, Path, Shape, Options) ->
    opened(ask(Server, {table_open, Path, Shape, Options}), Options).

-spec table_info(handle()) -> {ok, {pos_integer(), pos_integer(), pos_integer()}} | emmap_backend:failed().
table_info({Program, Number}) -> call(Program, {table_info, Number}).

-spec table_size(handle()) -> emmap_backend:measure().
table_size({Program, Number}) -> call(Program, {table_size, Number}).

-spec table_repair(handle()) -> result().
table_repair({Program, Number}) -> call(Program, {table_repair, Number}).

-spec table_add(handle(), emmap_backend:key(), integer(), emmap_backend:operand()) -> old().
table_add({Program, Number}, Key, Word, Value) -> checked_call(Program, {table_add, Number, Key, Word, Value}).

-spec table_set(handle(), emmap_backend:key(), integer(), emmap_backend:operand()) -> old().
table_set({Program, Number}, Key, Word, Value) -> checked_call(Program, {table_set, Number, Key, Word, Value}).

-spec table_get(handle(), emmap_backend:key(), integer()) -> old().
table_get({Program, Number}, Key, Word) -> checked_call(Program, {table_get, Number, Key, Word}).

-spec table_compare_exchange(handle(), emmap_backend:key(), integer(), emmap_backend:operand(),
                             emmap_backend:operand()) -> old().
table_compare_exchange({Program, Number}, Key, Word, Expected, Replacement) ->
    checked_call(Program, {table_compare_exchange, Number, Key, Word, Expected, Replacement}).

-spec table_delete(handle(), emmap_backend:key()) -> result().
table_delete({Program, Number}, Key) -> checked_call(Program, {table_delete, Number, Key}).

-spec table_hit(handle(), emmap_backend:key(), {integer(), integer(), integer(), non_neg_integer()}) ->
    {ok, boolean(), non_neg_integer(), non_neg_integer(), non_neg_integer()} | emmap_backend:failed().
table_hit({Program, Number}, Key, Limit) -> checked_call(Program, {table_hit, Number, Key, Limit}).

-spec table_walk(handle(), non_neg_integer(), non_neg_integer()) ->
    {ok, [binary()], non_neg_integer()} | eof | emmap_backend:failed().
table_walk({Program, Number}, Limit, Place) -> checked_call(Program, {table_walk, Number, Limit, Place}).

%% Large binaries stay as they are; other data is flattened. A badarg exception comes before anything is sent.
binaries(List) ->
    [case is_binary(Element) of true -> Element; false -> iolist_to_binary(Element) end || Element <- List].

%%% Batches

?DOC("Does many operations in one frame, also after one has failed, and answers the result of each. A run is the name of a
function of this module, the number of its arguments besides the handle, and the arguments of one or more calls, one call
after the other. A run of a function without such arguments is one call.").
-spec batch(handle(), [{Name :: atom(), Width :: non_neg_integer(), Arguments :: [term()]}]) ->
    {ok, [term()]} | emmap_backend:failed().
batch({Program, Number}, Runs) ->
    case call_with_data(Program, {batch, [on_file(Run, Number) || Run <- Runs]}) of
        {error, _} = Error -> Error;
        Results -> {ok, timed_out(Results)}
    end.

%% In a batch the program waits for a lock, because later operations come after the one that waits.
timed_out(Results) ->
    case lists:member({error, etimedout}, Results) of
        true -> [case Result of {error, etimedout} -> {error, timeout}; _ -> Result end || Result <- Results];
        false -> Results
    end.

on_file({Name, 0, []}, Number) -> {Name, Number};
on_file({Name, Width, Arguments}, Number) -> {each, Name, Width, Number, Arguments}.
