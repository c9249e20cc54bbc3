-module(emmap_queue_server).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% A server around a queue. Its requests and replies are those of emmap 2.x, so that nodes of both can use each other's
%% servers. The functions for users are in emmap_queue.
-behaviour(gen_server).

-include("emmap_file.hrl").
-include_lib("kernel/include/logger.hrl").

-export([start_link/1, start_link/4, child_spec/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

%% How long a caller's node may take to say whether the caller lives.
-define(ASK_TIMEOUT, 5000).
%% How often a push looks whether the path still leads to the queue's file, in milliseconds.
-define(LOOK_EVERY, 1000).

-export_type([arguments/0, state/0]).

-record(server, {
    path :: file:name_all(),
    queue :: emmap_queue:queue(),
    port :: reference() | none, %% a monitor of the port's server
    reopened = false :: boolean(), %% and nothing has succeeded since
    on_bad_term = keep :: keep | drop | {dead_letters, file:name_all() | emmap_queue:handle(), [emmap_queue:open_option()]},
    looked = erlang:monotonic_time(millisecond) :: integer(), %% when the path last led to the file
    %% The lock or the port's program did not come in time, and requests that came meanwhile are still to be answered.
    blocked = false :: boolean(),
    waiting = [] :: [#{from := gen_server:from(), monitor := reference(), timer := reference() | none}],
    waiter :: pid() | undefined %% sleeps until there may be a message, as long as callers wait
}).

-type arguments() :: [file:name_all() | non_neg_integer() | [emmap_queue:server_option()], ...].
-type state() :: #server{}.

-spec start_link(emmap_queue:server_options()) -> gen_server:start_ret().
start_link(#{path := Name} = Given) ->
    Known = #{name => undefined, size => 0, options => []},
    case maps:keys(maps:without([path | maps:keys(Known)], Given)) of
        [] ->
            #{name := Registered, size := Size, options := Options} = maps:merge(Known, Given),
            start(Registered, [Name, Size, Options]);
        Unknown ->
            emmap_options:bad({options, Unknown})
    end;
start_link(Given) -> emmap_options:bad({options, Given}).

%% As in emmap 2.x the reason of a failure is the queue's alone.
-spec start_link(emmap_queue:server_name(), file:name_all(), non_neg_integer(), [emmap_queue:server_option()]) ->
    gen_server:start_ret().
start_link(Registered, Name, Size, Options) ->
    case start(Registered, [Name, Size, Options]) of
        {error, {emmap, Name, Reason}} -> {error, Reason};
        Started -> Started
    end.

start(undefined, Arguments) -> gen_server:start_link(?MODULE, Arguments, []);
start(Registered, Arguments) when is_atom(Registered) -> start({local, Registered}, Arguments);
start(Registered, Arguments) when is_tuple(Registered) -> gen_server:start_link(Registered, ?MODULE, Arguments, []);
start(_Registered, _Arguments) -> error(badarg).

%% A server that waits for a lock is killed. The end of its process closes the queue too.
-spec child_spec(emmap_queue:server_options()) -> supervisor:child_spec().
child_spec(#{path := Path} = Options) ->
    #{id => {emmap_queue, maps:get(name, Options, Path)}, start => {emmap_queue, start_link, [Options]}, shutdown => 100}.

-spec init(arguments()) -> {ok, #server{}} | {stop, {emmap, file:name_all(), emmap_queue:reason()}}.
init([Name, Size, Options]) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 closes the queue
    {OnBadTerm, Others} = on_bad_term(Options),
    case emmap_queue_open:open(Name, Size, Others) of
        {ok, Queue} -> {ok, opened(Queue, #server{path = Name, queue = Queue, port = none, on_bad_term = OnBadTerm})};
        {error, Reason} -> {stop, {emmap, Name, Reason}}
    end.

on_bad_term(Options) when is_list(Options) ->
    case lists:partition(fun(Option) -> is_tuple(Option) andalso element(1, Option) =:= on_bad_term end, Options) of
        {[], Others} -> {keep, Others};
        {Found, Others} ->
            case lists:last(Found) of
                %% The queue for refused messages is reached over the same backend.
                {on_bad_term, {dead_letters, Letters}} ->
                    {{dead_letters, Letters, [Option || {backend, _} = Option <- Others]}, Others};
                {on_bad_term, Choice} when Choice =:= keep; Choice =:= drop -> {Choice, Others};
                Other -> emmap_options:bad({option, Other})
            end
    end;
on_bad_term(Options) -> emmap_options:bad({options, Options}).

-spec handle_call(term(), gen_server:from(), #server{}) ->
    {reply, term(), #server{}} | {noreply, #server{}} | {stop, term(), #server{}}.
handle_call({await, Timeout}, From, #server{blocked = Blocked} = State) ->
    case Blocked andalso Timeout =< lock_timeout(State) of
        true -> {reply, {error, timeout}, State};
        false when Blocked -> {noreply, enlist(From, Timeout, State)};
        false -> serve(enlist(From, Timeout, State))
    end;
%% It has waited as long as the one before.
handle_call({try_pop, _Fun}, _From, #server{blocked = true} = State) -> {reply, {ok, {error, timeout}}, State};
handle_call(_Request, _From, #server{blocked = true} = State) -> {reply, {error, timeout}, State};
handle_call({push, Term}, From, State) ->
    case current(State) of
        {ok, #server{queue = Queue} = Current} ->
            answer(From, emmap_queue_push:push(Queue, Term), Current);
        {error, timeout} = Error ->
            answer(From, Error, State);
        Stop ->
            gen_server:reply(From, {error, estale}),
            Stop
    end;
handle_call(pop, From, State) -> pop(From, State);
handle_call({try_pop, Fun}, From, State) when is_function(Fun, 1) ->
    case lives(From) of
        true -> try_pop(From, Fun, State);
        false -> {noreply, State}
    end;
handle_call(peek, From, #server{queue = Queue} = State) -> answer(From, emmap_queue_look:peek_front(Queue), State);
handle_call(info, From, #server{queue = Queue} = State) -> answer(From, emmap_queue_look:metadata(Queue), State);
%% emmap 2.x does not have these requests.
handle_call(to_list, From, #server{queue = Queue} = State) -> answer(From, emmap_queue_look:to_list(Queue), State);
handle_call({pop_many, Limit}, From, State) when is_integer(Limit) ->
    case is_gone(From) of
        true -> {noreply, State};
        false -> pop_many(From, Limit, State)
    end;
handle_call(Request, _From, #server{path = Path} = State) ->
    {reply, emmap_errors:unknown_request({emmap_queue, Path}, Request), State}.

-spec handle_cast(term(), #server{}) -> {noreply, #server{}}.
handle_cast(Message, State) -> unexpected(Message, State).

-spec handle_info(term(), #server{}) -> {noreply, #server{}} | {stop, term(), #server{}}.
handle_info({'EXIT', _Pid, Reason}, State) when Reason =/= normal -> {stop, Reason, State};
handle_info({'EXIT', _Pid, normal}, State) -> {noreply, State};
handle_info({'DOWN', Port, process, _, _}, #server{port = Port} = State) ->
    case reopen(port_died, State#server{port = none}) of
        {ok, Reopened} -> serve(Reopened#server{reopened = false}); % the next program has answered
        Stop -> Stop
    end;
handle_info({'DOWN', _, process, Waiter, _}, #server{waiter = Waiter} = State) ->
    serve(State#server{waiter = undefined});
handle_info({'DOWN', Monitor, process, _, _}, State) -> go_on(forget(monitor, Monitor, State));
handle_info({timeout, Timer, From}, State) ->
    %% Only another look tells that there is no message: the lock or the port's program may not answer.
    case serve(State) of
        {noreply, Served} ->
            %% A caller that has its message has no timer any more.
            case [1 || #{timer := Set} <- Served#server.waiting, Set =:= Timer] of
                [_] when Served#server.blocked -> gen_server:reply(From, {error, timeout});
                [_] -> gen_server:reply(From, timeout);
                [] -> ok
            end,
            go_on(forget(timer, Timer, Served));
        Stop ->
            Stop
    end;
handle_info(unblocked, State) -> go_on(State#server{blocked = false});
handle_info(Message, State) -> unexpected(Message, State).

-spec terminate(term(), #server{}) -> ok.
terminate(_Reason, #server{queue = Queue} = State) ->
    _ = stop_waiting(State),
    _ = emmap_open:close(Queue),
    ok.

%% The messages are the users', and no matter of a crash report.
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #server{path = Path, queue = ?MAPPED(Backend, _), waiting = Waiting} = State} = Status) ->
    Shown = Status#{state := #{path => Path, backend => Backend, waiting => length(Waiting), reopened => State#server.reopened}},
    maps:map(fun hide/2, Shown);
format_status(Status) -> Status.

hide(message, {push, _Term}) -> {push, hidden};
hide(log, _Events) -> [];
hide(_Key, Value) -> Value.

unexpected(Message, State) ->
    ?LOG_WARNING("emmap_queue ~0tp of ~0tp ignores the message ~0tp", [self(), State#server.path, Message]),
    {noreply, State}.

%%% Answers, and a queue that is lost

answer(From, Result, State) ->
    gen_server:reply(From, Result),
    done(Result, State).

%% After a result of the queue: a lost file is opened again. Then waiting callers are served.
done(Result, State) ->
    case kept(Result, State) of
        {ok, Kept} -> serve(Kept);
        Stop -> Stop
    end.

kept({error, timeout}, State) -> {ok, blocked(State)};
kept({error, Reason}, State) ->
    case emmap_open:is_lost(Reason) of
        true -> reopen(Reason, State);
        false -> {ok, State}
    end;
kept(_Result, State) -> {ok, State#server{reopened = false}}.

lock_timeout(#server{queue = #file_descriptor{data = #file{origin = #origin{options = Options}}}}) -> emmap_lock:timeout(Options).

%% Requests that are in the mailbox now came while this process waited for the lock or for the port's program. They are not
%% to wait anew, one after the other.
blocked(#server{blocked = true} = State) -> State;
blocked(State) ->
    self() ! unblocked,
    State#server{blocked = true}.

%% A push would not notice that the path leads to another file, or to none, and nobody would find the message.
current(#server{queue = Queue, looked = Looked} = State) ->
    Now = erlang:monotonic_time(millisecond),
    case Now - Looked < ?LOOK_EVERY orelse emmap:is_current(Queue) of
        false -> reopen(estale, State);
        {error, timeout} = Error -> Error; % the push would wait as long
        true when Now - Looked < ?LOOK_EVERY -> {ok, State};
        _ -> {ok, State#server{looked = Now}}
    end.

%% Once. If that was of no use, the supervisor decides.
reopen(Reason, #server{path = Path, reopened = true} = State) -> {stop, {emmap, Path, Reason}, State};
reopen(Reason, #server{path = Path, queue = Queue} = State) ->
    Reopened = emmap_open:heal(Queue),
    ok = emmap_telemetry:execute([emmap, fault], #{count => 1}, #{path => Path, reason => Reason, result => result(Reopened)}),
    case Reopened of
        {ok, New} -> {ok, opened(New, (stop_waiting(State))#server{reopened = true})};
        {error, Why} -> {stop, {emmap, Path, Why}, State}
    end.

result({ok, _}) -> ok;
result(Failed) -> Failed.

opened(Queue, #server{port = Former} = State) ->
    _ = is_reference(Former) andalso demonitor(Former, [flush]),
    State#server{queue = Queue, port = emmap_open:monitor(Queue)}.

%%% Removing

%% A message is removed once its receiver is known to have it.
pop(From, State) ->
    case is_gone(From) of
        true -> {noreply, State};
        false ->
            case deliver(From, fun(Term) -> Term end, State) of
                eof -> answer(From, nil, State);
                {error, _} = Error -> answer(From, Error, State);
                Done -> done(Done, State)
            end
    end.

%% `{sent, Result}': the caller has an answer, or has died.
deliver(From, Answer, State) ->
    Offered = offer(fun(Term) -> {reach(From, Answer(Term)), sent} end, State),
    case Offered of
        {cont, sent} ->
            ok = delivered(1, State),
            {sent, ok};
        {halt, sent} -> {sent, ok};
        Other -> Other
    end.

delivered(Count, #server{path = Path}) ->
    emmap_telemetry:execute([emmap, queue, delivery], #{count => Count}, #{path => Path, server => self()}).

try_pop(From, Fun, State) ->
    try offer(fun(Term) -> {cont, {result, Fun(Term)}} end, State) of
        {cont, {result, Result}} ->
            ok = delivered(1, State),
            answer(From, {ok, Result}, State);
        eof -> answer(From, {ok, nil}, State);
        {error, _} = Error ->
            gen_server:reply(From, {ok, Error}),
            done(Error, State)
    catch
        _Class:Reason:Stack -> answer(From, {error, Reason, Stack}, State)
    end.

%% Offers the first message that is not put aside.
offer(Fun, #server{queue = Queue} = State) ->
    emmap_queue_take:offer_and_purge(Queue, Fun, fun(Bad) -> put_aside(Bad, State) end).

pop_many(From, Limit, #server{queue = Queue} = State) when Limit < 1 ->
    answer(From, emmap_queue_pop:pop_many(Queue, Limit), State);
pop_many(From, Limit, #server{queue = Queue} = State) ->
    Offered = emmap_queue_take:offer_many_and_purge(Queue, Limit, fun(Terms) ->
        {reach(From, {ok, Terms}), length(Terms)}
    end, fun(Bad) -> put_aside(Bad, State) end),
    case Offered of
        {cont, Count} ->
            ok = delivered(Count, State),
            done(ok, State);
        {halt, _} -> done(ok, State);
        eof -> answer(From, {ok, []}, State);
        {error, _} = Error -> answer(From, Error, State)
    end.

%% Whether a refused message is to leave the queue. Dead letters are pushed first, so that a message is never in neither.
put_aside(_Bad, #server{on_bad_term = keep}) -> false;
put_aside({bad_term, Bytes} = Bad, #server{path = Path, on_bad_term = Choice}) ->
    Done = push_aside(Bad, Choice),
    %% Elixir's Logger drops reports that have a `label' which it does not know.
    ?LOG_WARNING(#{event => emmap_bad_term, path => Path, bytes => byte_size(Bytes), on_bad_term => Choice, done => Done}),
    Done =:= ok.

push_aside(_Bad, drop) -> ok;
push_aside(Bad, {dead_letters, ?MAPPED(_, _) = Letters, _Options}) -> push_to_current(Letters, Bad);
push_aside(Bad, {dead_letters, Name, _Options}) when is_atom(Name) ->
    case emmap_named:file(Name) of
        {ok, Letters} ->
            case push_to_current(Letters, Bad) of
                ok -> ok;
                {error, Reason} -> emmap_named:failed(Name, Letters, Reason)
            end;
        {error, _} = Error -> Error
    end;
push_aside(Bad, {dead_letters, Name, Options}) ->
    case emmap_queue_open:open(Name, 0, Options) of
        {ok, Letters} ->
            Pushed = emmap_queue_push:push(Letters, Bad),
            _ = emmap_open:close(Letters),
            Pushed;
        {error, _} = Error -> Error
    end.

%% Nobody would find a message in a file that the path does not lead to.
push_to_current(Queue, Term) ->
    case emmap:is_current(Queue) of
        false -> {error, estale};
        _ -> emmap_queue_push:push(Queue, Term)
    end.

%% Answers, and says whether the caller has the answer.
reach({Pid, _} = From, Answer) ->
    Monitor = monitor(process, Pid),
    gen_server:reply(From, Answer),
    case has_it(From, Monitor) of
        true -> cont;
        false -> halt
    end.

%% A process that lives after it was sent a message has it. One that has ended normally since had it, as it was waiting
%% for it.
has_it(From, Monitor) ->
    case lives(From) of
        true -> demonitor(Monitor, [flush]);
        false -> receive {'DOWN', Monitor, process, _, Reason} -> Reason =:= normal after ?ASK_TIMEOUT -> not demonitor(Monitor) end
    end.

is_gone({Pid, _}) -> node(Pid) =:= node() andalso not is_process_alive(Pid).

lives({Pid, _}) when node(Pid) =:= node() -> is_process_alive(Pid);
lives({Pid, _}) ->
    try
        erpc:call(node(Pid), erlang, is_process_alive, [Pid], ?ASK_TIMEOUT)
    catch
        _:_ -> false
    end.

%%% Callers that wait for a message

%% While another process waits for a message there is no need to look.
go_on(#server{waiter = Waiter, waiting = [_ | _]} = State) when is_pid(Waiter) -> {noreply, State};
go_on(State) -> serve(State).

enlist({Pid, _} = From, Timeout, #server{waiting = Waiting} = State) ->
    Timer = case Timeout of
        infinity -> none;
        _ -> erlang:start_timer(Timeout, self(), From)
    end,
    State#server{waiting = Waiting ++ [#{from => From, monitor => monitor(process, Pid), timer => Timer}]}.

%% Serves them in the order in which they came, as long as there are messages.
serve(#server{waiting = []} = State) -> {noreply, stop_waiting(State)};
serve(#server{blocked = true} = State) -> {noreply, State};
serve(#server{waiting = [#{from := From} = Caller | Others]} = State) ->
    case is_gone(From) orelse deliver(From, fun(Term) -> {ok, Term} end, State) of
        true -> serve(served(Caller, State#server{waiting = Others}));
        {sent, ok} -> done(ok, served(Caller, State#server{waiting = Others}));
        eof -> {noreply, wait(State#server{reopened = false})};
        {error, ebusy} -> {noreply, wait(State)};
        {error, timeout} -> {noreply, wait(blocked(State))};
        {error, Reason} = Error ->
            case emmap_open:is_lost(Reason) of
                true -> done(Error, State);
                false -> answer(From, Error, served(Caller, State#server{waiting = Others}))
            end
    end.

served(#{monitor := Monitor, timer := Timer}, State) ->
    true = demonitor(Monitor, [flush]),
    _ = is_reference(Timer) andalso erlang:cancel_timer(Timer),
    State.

forget(Key, Reference, #server{waiting = Waiting} = State) ->
    {Gone, Others} = lists:partition(fun(#{Key := Of}) -> Of =:= Reference end, Waiting),
    lists:foldl(fun served/2, State#server{waiting = Others}, Gone).

wait(#server{queue = Queue, waiter = undefined} = State) ->
    {Waiter, _} = spawn_monitor(fun() -> _ = emmap_queue_pop:wait(Queue, infinity) end),
    State#server{waiter = Waiter};
wait(State) -> State.

%% Its end is no message to serve anybody.
stop_waiting(#server{waiter = undefined} = State) -> State;
stop_waiting(#server{waiter = Waiter} = State) ->
    exit(Waiter, kill),
    receive {'DOWN', _, process, Waiter, _} -> ok end,
    State#server{waiter = undefined}.
