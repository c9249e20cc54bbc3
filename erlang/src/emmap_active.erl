-module(emmap_active).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Sends the messages of a queue to a process: emmap_queue:set_active/2.
%%
%% Each pair of process and queue has a server, as long as there is something to send. The server removes the messages, and
%% sends each at once. It starts a process that waits for messages; this process removes none, so it can be killed at any
%% time.
-behaviour(gen_server).

-export([set/2]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2]).

-include("emmap_file.hrl").

%% How many messages are sent before the server looks for requests.
-define(AT_ONCE, 32).
%% The range of counts, as for {active, N} of inet.
-define(IS_COUNT(N), (N >= -32768 andalso N =< 32767)).

-record(state, {
    queue :: emmap_queue:queue(),
    owner :: pid(),
    left = 0 :: once | true | non_neg_integer(),
    waiter :: undefined | {pid(), reference()}
}).

-spec set(emmap_queue:queue(), once | boolean() | integer()) -> ok | {error, closed | einval | {other_node, node()}}.
set(_Queue, Count) when is_integer(Count), not ?IS_COUNT(Count) ->
    {error, einval};
set(?MAPPED(Backend, Handle) = Queue, Active) ->
    Key = {?MODULE, key(Handle)},
    case ask(get(Key), Active) of
        none ->
            _ = erase(Key),
            case ?CALL(Backend, size(Handle)) of
                {error, closed} = Closed -> Closed;
                {error, {other_node, _}} = Other -> Other;
                _ when Active =:= false -> ok;
                _ -> start(Key, Queue, Active)
            end;
        Answer ->
            Answer
    end.

start(Key, Queue, Active) ->
    _ = [erase(Former) || {{?MODULE, _} = Former, Server} <- get(), not is_process_alive(Server)],
    {ok, Server} = gen_server:start(?MODULE, {Queue, self()}, []),
    _ = put(Key, Server),
    gen_server:call(Server, {set, Active}, infinity).

%% The key of a handle in the process dictionary. The key must not keep the file open.
key(Handle) when is_reference(Handle) -> ref_to_list(Handle);
key(Handle) -> Handle.

%% `none': there is no server, or it has just ended.
ask(undefined, _Active) ->
    none;
ask(Server, Active) ->
    try
        gen_server:call(Server, {set, Active}, infinity)
    catch
        exit:_ -> none
    end.

-spec init({emmap_queue:queue(), pid()}) -> {ok, #state{}}.
init({Queue, Owner}) ->
    _ = monitor(process, Owner),
    {ok, #state{queue = Queue, owner = Owner}}.

-spec handle_call({set, once | boolean() | integer()}, gen_server:from(), #state{}) ->
    {reply, ok | {error, einval}, #state{}, {continue, send}} | {stop, normal, ok, #state{}}.
handle_call({set, false}, _From, State) ->
    {stop, normal, ok, stop_waiting(State)};
handle_call({set, Count}, _From, #state{left = Left} = State) when is_integer(Count) ->
    Sum = case is_integer(Left) of
        true -> Left + Count;
        false -> Count
    end,
    if
        Sum > 32767 -> {reply, {error, einval}, State, {continue, send}};
        Sum =< 0 -> {stop, normal, ok, passive(stop_waiting(State))};
        true -> {reply, ok, State#state{left = Sum}, {continue, send}}
    end;
handle_call({set, Active}, _From, State) ->
    {reply, ok, State#state{left = Active}, {continue, send}}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Request, State) ->
    {noreply, State}.

-spec handle_continue(send, #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_continue(send, State) ->
    send(State, ?AT_ONCE).

-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, normal, #state{}}.
handle_info({waited, Waiter, Result}, #state{waiter = {Waiter, _}} = State) ->
    Awake = stop_waiting(State),
    case Result of
        {error, Reason} -> failed(Reason, Awake);
        {ok, Bytes} -> send_seen(Awake, Bytes);
        _ -> send(Awake, ?AT_ONCE)
    end;
handle_info({'DOWN', Monitor, process, _, _}, #state{waiter = {_, Monitor}} = State) ->
    send(State#state{waiter = undefined}, ?AT_ONCE);
handle_info({'DOWN', _, process, Owner, _}, #state{owner = Owner} = State) ->
    {stop, normal, stop_waiting(State)};
handle_info(go_on, State) ->
    send(State, ?AT_ONCE);
handle_info(_, State) ->
    {noreply, State}.

send(#state{waiter = {_, _}} = State, _Most) ->
    {noreply, State};
send(State, 0) ->
    self() ! go_on, % comes after the requests that are waiting
    {noreply, State};
send(#state{queue = ?QUEUE(Backend, Handle, Terms)} = State, Most) ->
    popped(emmap_queue_pop:pop_now(Backend, Handle, Terms), State, Most).

send_seen(#state{queue = ?QUEUE(Backend, Handle, Terms)} = State, Bytes) ->
    popped(emmap_queue_pop:pop_seen(Backend, Handle, Terms, Bytes), State, ?AT_ONCE).

popped(Result, #state{queue = Queue, owner = Owner} = State, Most) ->
    case Result of
        {ok, Message} ->
            Owner ! {emmap_queue, Queue, Message},
            sent(State, Most - 1);
        eof -> {noreply, wait(State, fun emmap_queue_pop:wait_front/2)};
        {busy, _} -> {noreply, wait(State, fun emmap_queue_pop:wait/2)};
        {error, ebusy} -> {noreply, wait(State, fun emmap_queue_pop:wait/2)};
        {error, Reason} -> failed(Reason, State)
    end.

sent(#state{left = true} = State, Most) -> send(State, Most);
sent(#state{left = once} = State, _Most) -> {stop, normal, State};
sent(#state{left = 1} = State, _Most) -> {stop, normal, passive(State)};
sent(#state{left = Left} = State, Most) -> send(State#state{left = Left - 1}, Most).

passive(#state{queue = Queue, owner = Owner} = State) ->
    Owner ! {emmap_queue_passive, Queue},
    State.

failed(Reason, #state{queue = Queue, owner = Owner} = State) ->
    Owner ! {emmap_queue_error, Queue, Reason},
    {stop, normal, State}.

wait(#state{queue = Queue} = State, Wait) ->
    Server = self(),
    State#state{waiter = spawn_monitor(fun() -> Server ! {waited, self(), Wait(Queue, infinity)} end)}.

stop_waiting(#state{waiter = {Waiter, Monitor}} = State) ->
    demonitor(Monitor, [flush]),
    exit(Waiter, kill),
    State#state{waiter = undefined};
stop_waiting(State) ->
    State.
