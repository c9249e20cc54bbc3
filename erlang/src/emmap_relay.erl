-module(emmap_relay).

-include("emmap_doc.hrl").

?MODULEDOC("Relays the messages of a local queue to a queue on another host, over Erlang distribution.

On the host that gets them:

```erlang
emmap_relay_receiver:child_spec(#{name => jobs, queue => \"/data/jobs.q\"})
```

On each host that sends them:

```erlang
emmap_relay:child_spec(#{from => \"/data/out.q\", to => jobs, node => 'emmap@host-b'})
```

Any process of the sending host, of BEAM or Node, pushes to `out.q`. Any process of the other host pops from `jobs.q`.

## What it promises

- **No message is lost.** A message leaves `from` when the receiver has it. Until then it is in hand, as after
  `emmap_queue:take/2`.
- **No message comes twice**, although processes, nodes and programs of either side are killed, the network is cut, and
  batches are sent again. Each batch has a number, and the receiver's queue keeps the last number of each relay
  (`emmap_queue:push_once/4`). With `sync` of the receiver that includes its power. The exceptions are in
  `docs/relay.md`.
- **Order**: messages come in the order of `from`, except for those of a batch that has to be sent again to another node
  of a group, or after messages of `from` were released by other consumers.
- **Back-pressure**: a relay takes no more than `window` batches that are not answered. Everything else stays in `from`.

Bytes travel as they are in the queue. No term is made of them.

## State

Beside `from` is a cell, `from` with `-relay` behind its name. It says which messages were sent under which number. One
relay at a time has it open: a second one for the same queue ends with `{emmap, StatePath, ebusy}`.

## Groups

With `group` the relay sends to one node at a time, the first one in the list that can be reached. If that node is lost,
the relay goes on with the next one. Batches that the lost node may have pushed are treated as `failover` says.

## Errors

If the disk or the memory is full, or a stopped process has the lock, the relay tries again. With any other error of
`from` it stops with `{emmap, Path, Reason}`, and its supervisor starts it again.

`logger` gets a report, a map with `event`, `from`, `to`, `node`, and more:

| event | level | when |
| --- | --- | --- |
| `connected` | `notice` | the receiver has answered: `pushed` and `again` say how many messages of unanswered batches it had already, and how many are sent again |
| `disconnected` | `warning` | the receiver, its node or the connection is lost: `reason`, `unanswered` |
| `refused` | `warning` | the receiver could not push a batch, which is sent again: `reason` |
| `failed_over` | `warning` | unanswered batches are sent to another node: `count` of messages |
| `queue_failed` | `warning` | the queue has failed, and is tried again: `reason` |
").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, info/1]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_report/1]).

-export_type([options/0, info/0]).

-include_lib("kernel/include/logger.hrl").
-include("emmap_file.hrl").
-include("emmap_relay.hrl").

?DOC("How a relay works. `from`, `to`, and one of `node` and `group` are required.

- `from`: the path of a queue, or an open one, which the relay then does not close.
- `to`: the name of an `emmap_relay_receiver` on the other node.
- `node`: that node. `group`: nodes of which one gets the messages, the first one of a list that can be reached; or `pg`
  for all connected nodes that have a receiver of this name.
- `failover`: what becomes of the unanswered batches of a node that is lost while another node of the group can be
  reached. `settle` (the default): they wait until the lost node is back, and says which of them it has. `resend`: they
  are sent to the other node at once; those that the lost node had pushed come twice.
- `batch` and `bytes`: a batch has at most so many messages, 500 by default, and ends with the message that brings it to
  so many bytes, 262144 by default.
- `window`: how many batches are sent before the first of them is answered; from 1 to 64, 4 by default.
- `retry`: after how many milliseconds the relay tries a lost node again; 500 by default.
- `open_options`: for the queue, if it is a path, and for the state; as for `emmap_queue:open/3`.
- `name`: registers the relay, as `gen_server:start_link/4` does; an atom means `{local, Name}`.
- `id`, `shutdown`: as in `t:supervisor:child_spec/0`; by default `{emmap_relay, To, From}`, and 5000.").
-type options() :: #{
    from := file:name_all() | emmap_queue:queue(),
    to := atom(),
    node => node(),
    group => [node(), ...] | pg,
    failover => settle | resend,
    batch => pos_integer(),
    bytes => pos_integer(),
    window => pos_integer(),
    retry => pos_integer(),
    open_options => [emmap_queue:open_option()],
    name => atom() | {local, atom()} | {global, term()} | {via, module(), term()},
    id => term(),
    shutdown => non_neg_integer() | infinity
}.
?DOC("What a relay says of itself. `taken`: how many messages it has in hand. `relayed`: how many messages were
acknowledged since it started. Of each node: whether it can be reached, how many batches it was sent that are not
answered, and how many were not answered when it was lost.").
-type info() :: #{
    from := binary(),
    to := atom(),
    sends_to := node() | none,
    taken := non_neg_integer(),
    relayed := non_neg_integer(),
    nodes := #{node() => #{status := down | greeting | up, sent := non_neg_integer(), unsettled := non_neg_integer()}}
}.

%% A message in hand.
-record(message, {
    delivery :: emmap_delivery:delivery(),
    bytes :: binary(),
    order :: integer()
}).

%% Orders of messages that follow one another.
-type ranges() :: [{First :: integer(), Last :: integer()}].

-record(batch, {
    origin :: emmap_relay_receiver:origin(),
    number :: pos_integer(),
    ranges :: ranges(),
    %% Of a batch that an earlier relay had sent: those that were delivered again so far.
    messages = [] :: [#message{}]
}).

-record(target, {
    status = down :: down | greeting | up,
    session = make_ref() :: reference(),
    monitor :: undefined | reference(),
    last = 0 :: non_neg_integer(), %% the number of the batch that was sent last
    sent = [] :: [#batch{}], %% in this session, the first one first
    unsettled = [] :: [#batch{}] %% in earlier sessions: the target may have pushed them, or not
}).

-record(state, {
    options :: options(),
    queue :: emmap_queue:queue(),
    cell :: emmap_cell:cell(),
    origin :: emmap_relay_receiver:origin(),
    next = 1 :: pos_integer(),
    targets = #{} :: #{node() => #target{}},
    current = none :: none | node(),
    pending = [] :: [#message{}], %% to be sent before those of the queue
    done = [] :: [ranges()], %% messages that were pushed, and are to be acknowledged when they are delivered again
    blocked = none :: none | {node(), tuple()}, %% a batch that the connection had no room for
    unacked = [] :: [#message{}], %% messages that were pushed, while somebody else has the queue's lock
    ack_timer :: undefined | reference(),
    waiter :: undefined | pid() | reference(),
    gives_up = never :: never | integer(), %% when, while somebody else has the queue's lock
    relayed = 0 :: non_neg_integer()
}).

-define(STATE_SUFFIX, "-relay").
-define(STATE_VERSION, 1).
-define(STATE_BYTES, 262144).
%% So that the state of all batches under way fits in.
-define(MOST_RANGES, 32).
-define(MOST_DONE, 64).
-define(MOST_WINDOW, 64).
-define(SHUTDOWN, 5000).
-define(BATCH, 500).
-define(BYTES_OF_BATCH, 262144).
-define(WINDOW, 4).
-define(RETRY, 500).
%% How long a relay waits if the queue fails, and if the connection has no room or others have the queue's lock, in milliseconds.
-define(PAUSE, 1000).
-define(CROWDED, 5).
%% Errors that pass without this process.
-define(PASSES(Reason),
        (Reason =:= timeout orelse Reason =:= ebusy orelse Reason =:= eagain orelse Reason =:= enomem
         orelse Reason =:= enospc orelse Reason =:= edquot orelse Reason =:= emfile orelse Reason =:= enfile
         orelse Reason =:= full)).

?DOC("Starts a relay that is linked to the caller. The options are a map, or a list of pairs, which Elixir writes as
keywords.").
-spec start_link(options() | [{atom(), term()}]) -> gen_server:start_ret().
start_link(Pairs) ->
    case checked(Pairs) of
        #{name := Name} = Options when is_atom(Name) -> gen_server:start_link({local, Name}, ?MODULE, Options, []);
        #{name := Name} = Options -> gen_server:start_link(Name, ?MODULE, Options, []);
        Options -> gen_server:start_link(?MODULE, Options, [])
    end.

?DOC("How a supervisor starts a relay.").
-spec child_spec(options() | [{atom(), term()}]) -> supervisor:child_spec().
child_spec(Pairs) ->
    #{from := From, to := To} = Options = checked(Pairs),
    #{
        id => maps:get(id, Options, {?MODULE, To, From}),
        start => {?MODULE, start_link, [Options]},
        shutdown => maps:get(shutdown, Options, ?SHUTDOWN)
    }.

?DOC("What the relay is doing.").
-spec info(gen_server:server_ref()) -> info().
info(Relay) -> gen_server:call(Relay, info).

checked(Pairs) ->
    Options = emmap_options:pairs(Pairs),
    ok = emmap_options:check(Options, [from, to], fun(Key, Value) -> is_valid({Key, Value}) end),
    case Options of
        #{node := _, group := Group} -> emmap_options:bad({option, {group, Group}});
        #{node := _} -> Options;
        #{group := _} -> Options;
        #{} -> emmap_options:bad({required, node})
    end.

is_valid({from, From}) -> is_queue(From);
is_valid({Key, Name}) when Key =:= to; Key =:= node -> is_atom(Name);
is_valid({group, pg}) -> true;
is_valid({group, Nodes}) -> Nodes =/= [] andalso emmap_options:is_nodes(Nodes);
is_valid({failover, Way}) -> Way =:= settle orelse Way =:= resend;
is_valid({window, Count}) -> is_integer(Count) andalso Count > 0 andalso Count =< ?MOST_WINDOW;
is_valid({Key, Count}) when Key =:= batch; Key =:= bytes -> is_integer(Count) andalso Count > 0;
is_valid({retry, Time}) -> emmap_options:is_time(Time);
is_valid({open_options, List}) -> is_list(List);
is_valid({name, Name}) -> is_atom(Name) orelse is_tuple(Name);
is_valid({shutdown, Time}) -> Time =:= infinity orelse is_integer(Time) andalso Time >= 0;
is_valid({Key, _Value}) -> Key =:= id.

is_queue(?MAPPED(_, _)) -> true;
is_queue(Path) -> emmap_options:is_path(Path).

%%% Begin and end

?DOC(false).
-spec init(options()) -> {ok, #state{}, {continue, connect}} | {stop, term()}.
init(#{from := From} = Options) ->
    _ = process_flag(trap_exit, true), % for terminate/2
    case open(From, Options) of
        {ok, Queue} ->
            case open_state(Queue, Options) of
                {ok, Cell, Known} ->
                    %% Each start is an origin of its own. So a copy of the state, of a restored host or a cloned one, can
                    %% never be taken for the relay that it was made of.
                    State = #state{options = Options, queue = Queue, cell = Cell, origin = new_origin()},
                    {ok, remember(Known, State), {continue, connect}};
                {error, Reason} ->
                    close(From, Queue),
                    {stop, {emmap, state_path(Queue), Reason}}
            end;
        {error, Reason} ->
            {stop, {emmap, From, Reason}}
    end.

open(?MAPPED(_, _) = Queue, _Options) -> {ok, Queue};
open(Path, Options) -> emmap_queue:open(Path, 0, maps:get(open_options, Options, [])).

%% An open queue belongs to the one who has opened it.
close(Same, Same) -> ok;
close(_Path, Queue) ->
    _ = emmap_queue:close(Queue),
    ok.

%% 16 bytes that nobody else has. `rand' seeds itself from the clock and the process; a boot of another host may have
%% the same, so a file of the kernel's random bytes comes first.
new_origin() ->
    case file:open("/dev/urandom", [read, raw, binary]) of
        {ok, File} ->
            {ok, <<_:128>> = Bytes} = file:read(File, 16),
            ok = file:close(File),
            Bytes;
        {error, _} ->
            rand:bytes(16)
    end.

state_path(Queue) -> <<(emmap_open:path(Queue))/binary, ?STATE_SUFFIX>>.

open_state(Queue, Options) ->
    Backend = [Option || {backend, _} = Option <- maps:get(open_options, Options, [])],
    Path = state_path(Queue),
    case emmap_lock:inherit(fun() -> emmap_cell:open(Path, ?STATE_BYTES, [exclusive | Backend]) end) of
        {ok, Cell} ->
            case emmap_cell:get(Cell) of
                empty -> {ok, Cell, {[], []}};
                {ok, {?STATE_VERSION, Batches, Done}} -> {ok, Cell, {Batches, Done}};
                Other ->
                    _ = emmap_cell:close(Cell),
                    {error, {not_understood, Other}}
            end;
        {error, _} = Error ->
            Error
    end.

%% Batches of earlier relays. Their messages are delivered again.
remember({Batches, Done}, State) ->
    lists:foldr(
        fun({Origin, Number, Node, Ranges}, #state{targets = Targets} = Acc) ->
            To = binary_to_atom(Node),
            #target{unsettled = Others} = Target = maps:get(To, Targets, #target{}),
            Batch = #batch{origin = Origin, number = Number, ranges = Ranges},
            Acc#state{targets = Targets#{To => Target#target{unsettled = [Batch | Others]}}}
        end,
        State#state{done = Done}, Batches).

%% Stores which messages go under which number, before they go.
publish(#state{cell = Cell, targets = Targets, done = Done}) ->
    Batches = [
        {Origin, Number, atom_to_binary(Node), Ranges}
     || {Node, #target{sent = Sent, unsettled = Unsettled}} <- maps:to_list(Targets),
        #batch{origin = Origin, number = Number, ranges = Ranges} <- Unsettled ++ Sent
    ],
    case emmap_cell:publish(Cell, {?STATE_VERSION, Batches, Done}) of
        ok -> ok;
        {error, Reason} -> exit({emmap, emmap_open:path(Cell), Reason})
    end.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{options = #{from := From}, queue = Queue, cell = Cell, waiter = Waiter}) ->
    _ = is_pid(Waiter) andalso begin unlink(Waiter), exit(Waiter, kill) end,
    _ = emmap_cell:close(Cell),
    close(From, Queue).

%%% Messages of others

?DOC(false).
-spec handle_continue(connect, #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_continue(connect, State) -> go_on(discover(State)).

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, info() | {error, {badarg, term()}}, #state{}}.
handle_call(info, _From, State) -> {reply, about(State), State};
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({?PROTOCOL, ?VERSION, pushed, Session, Number}, State) when is_integer(Number) ->
    in_session(Session, up, fun(Node, Target) -> pushed(Node, Target, Number, State) end, State);
handle_info({?PROTOCOL, ?VERSION, welcome, Session, Lasts}, State) when is_list(Lasts) ->
    in_session(Session, greeting, fun(Node, Target) -> welcome(Node, Target, Lasts, State) end, State);
handle_info({?PROTOCOL, ?VERSION, refused, Session, Reason}, State) ->
    in_session(Session, any, fun(Node, Target) -> refused(Node, Target, Reason, State) end, State);
handle_info({'DOWN', Monitor, process, {_, Node}, Reason}, #state{targets = Targets} = State) ->
    case Targets of
        #{Node := #target{monitor = Monitor} = Target} -> go_on(lost(Node, Target, Reason, State));
        #{} -> {noreply, State}
    end;
handle_info({timeout, _, {connect, Node}}, State) -> {noreply, connect(Node, State)};
handle_info({timeout, _, discover}, State) -> go_on(discover(State));
handle_info({timeout, _, unblock}, State) -> go_on(unblock(State));
handle_info({timeout, Timer, ack}, #state{ack_timer = Timer} = State) -> go_on(State#state{ack_timer = undefined});
handle_info({timeout, Timer, take}, #state{waiter = Timer} = State) -> go_on(State#state{waiter = undefined});
handle_info({waited, Waiter, Result}, #state{waiter = Waiter} = State) ->
    case Result of
        {error, Reason} -> failed(Reason, State#state{waiter = undefined});
        _ -> go_on(State#state{waiter = undefined})
    end;
handle_info({'EXIT', _Pid, normal}, State) -> {noreply, State};
handle_info({'EXIT', _Pid, Reason}, State) -> {stop, Reason, State};
handle_info(_Message, State) -> {noreply, State}.

%% Answers of an earlier session say nothing about this one.
in_session(Session, Status, Then, #state{targets = Targets} = State) ->
    Found = [Pair || {_, #target{session = Own, status = Now}} = Pair <- maps:to_list(Targets),
                     Own =:= Session, Now =/= down, Status =:= any orelse Status =:= Now],
    case Found of
        [{Node, Target}] -> go_on(Then(Node, Target));
        [] -> {noreply, State}
    end.

about(#state{options = #{to := To}, queue = Queue, targets = Targets, current = Current, relayed = Relayed, pending = Pending,
             unacked = Unacked}) ->
    Nodes = maps:map(
        fun(_Node, #target{status = Status, sent = Sent, unsettled = Unsettled}) ->
            #{status => Status, sent => length(Sent), unsettled => length(Unsettled)}
        end, Targets),
    InHand = [length(Messages) || #target{sent = Sent, unsettled = Unsettled} <- maps:values(Targets),
                                  #batch{messages = Messages} <- Sent ++ Unsettled],
    #{from => emmap_open:path(Queue), to => To, sends_to => Current, taken => length(Pending) + length(Unacked) + lists:sum(InHand),
      relayed => Relayed, nodes => Nodes}.

%%% Targets

%% The nodes that may get messages, the preferred one first.
nodes_of(#{node := Node}) -> [Node];
nodes_of(#{group := pg, to := To}) -> lists:usort([node(Member) || Member <- emmap_relay_receiver:members(To)]);
nodes_of(#{group := Nodes}) -> Nodes.

discover(#state{options = Options, targets = Targets} = State) ->
    _ = case Options of
        #{group := pg} -> erlang:start_timer(retry(Options), self(), discover);
        #{} -> ok
    end,
    %% The nodes of earlier relays have to say which batches they have.
    Nodes = lists:usort(nodes_of(Options) ++ maps:keys(Targets)),
    lists:foldl(fun connect/2, State,
                [Node || Node <- Nodes, (maps:get(Node, Targets, #target{}))#target.monitor =:= undefined]).

retry(Options) -> maps:get(retry, Options, ?RETRY).

connect(Node, #state{options = #{to := To}, targets = Targets, origin = Origin} = State) ->
    #target{unsettled = Unsettled} = Target = maps:get(Node, Targets, #target{}),
    Session = make_ref(),
    Monitor = monitor(process, {To, Node}),
    Origins = lists:usort([Origin | [Old || #batch{origin = Old} <- Unsettled]]),
    {To, Node} ! {?PROTOCOL, ?VERSION, hello, Session, self(), Origins},
    State#state{targets = Targets#{Node => Target#target{status = greeting, session = Session, monitor = Monitor}}}.

%% The receiver says the last number that it has of each origin.
welcome(Node, #target{unsettled = Unsettled} = Target, Lasts, #state{origin = Origin, targets = Targets} = State) ->
    case lists:member(Node, nodes(hidden)) of
        true ->
            refused(Node, Target, hidden_node, State);
        false ->
            Last = fun(Of) -> case lists:keyfind(Of, 1, Lasts) of {_, Number} when is_integer(Number) -> Number; _ -> 0 end end,
            {Pushed, Not} = lists:partition(fun(#batch{origin = Of, number = Number}) -> Number =< Last(Of) end, Unsettled),
            Again = messages(Not),
            log(notice, connected, Node, State, #{pushed => length(messages(Pushed)), again => length(Again)}),
            Done = [Ranges || #batch{origin = Of, ranges = Ranges} <- Pushed, Of =/= Origin] ++ State#state.done,
            Up = Target#target{status = up, last = Last(Origin), sent = [], unsettled = []},
            ack(messages(Pushed),
                State#state{targets = Targets#{Node => Up}, pending = Again ++ State#state.pending,
                            done = lists:sublist(Done, ?MOST_DONE)})
    end.

messages(Batches) -> lists:append([Messages || #batch{messages = Messages} <- Batches]).

pushed(Node, #target{sent = Sent} = Target, Number, #state{targets = Targets} = State) ->
    {Pushed, Others} = lists:splitwith(fun(#batch{number = N}) -> N =< Number end, Sent),
    ack(messages(Pushed), State#state{targets = Targets#{Node => Target#target{sent = Others}}}).

refused(Node, #target{monitor = Monitor} = Target, Reason, State) ->
    log(warning, refused, Node, State, #{reason => Reason}),
    _ = demonitor(Monitor, [flush]),
    down(Node, Target, State).

lost(Node, #target{status = Status, sent = Sent} = Target, Reason, State) ->
    _ = Status =:= up andalso
        log(warning, disconnected, Node, State, #{reason => Reason, unanswered => length(messages(Sent))}),
    down(Node, Target, State).

down(Node, #target{sent = Sent, unsettled = Unsettled} = Target, #state{options = Options, targets = Targets} = State) ->
    _ = erlang:start_timer(retry(Options), self(), {connect, Node}),
    Blocked = case State#state.blocked of
        {Node, _} -> none;
        Other -> Other
    end,
    State#state{blocked = Blocked,
                targets = Targets#{Node => Target#target{status = down, sent = [], unsettled = Unsettled ++ Sent}}}.

%% The node that gets messages now: the same one as long as it can be reached.
choose(#state{options = Options, current = Current} = State) ->
    Next = case is_up(Current, State) of
        true -> Current;
        false -> first_up(nodes_of(Options), State)
    end,
    reclaim(State#state{current = Next}).

%% One that may answer soon comes before those behind it.
first_up([Node | Others], State) ->
    case status(Node, State) of
        up -> Node;
        greeting -> none;
        down -> first_up(Others, State)
    end;
first_up([], _State) -> none.

is_up(Node, State) -> status(Node, State) =:= up.

status(Node, #state{targets = Targets}) ->
    case Targets of
        #{Node := #target{status = Status}} -> Status;
        #{} -> down
    end.

%% Takes unanswered batches from nodes that are lost, to send them to another one.
reclaim(#state{options = #{failover := resend}, current = Current, targets = Targets} = State) when Current =/= none ->
    maps:fold(
        fun(Node, #target{status = down, unsettled = [_ | _] = Batches} = Target, Acc) ->
                Messages = messages(Batches),
                log(warning, failed_over, Node, Acc, #{count => length(Messages)}),
                Acc#state{targets = (Acc#state.targets)#{Node => Target#target{unsettled = []}},
                          pending = Messages ++ Acc#state.pending};
           (_Node, _Target, Acc) -> Acc
        end, State, Targets);
reclaim(State) -> State.

%%% Taking and sending

%% Sends as much as the window allows.
go_on(State) ->
    case acknowledge(choose(State)) of
        #state{unacked = []} = Next -> fill(Next);
        Waiting -> {noreply, Waiting} % nothing is taken meanwhile
    end.

fill(#state{current = none} = State) -> {noreply, State};
fill(#state{blocked = {_, _}} = State) -> {noreply, State};
fill(#state{options = Options, current = Node, targets = Targets} = State) ->
    #{Node := #target{sent = Sent}} = Targets,
    case length(Sent) < maps:get(window, Options, ?WINDOW) of
        true ->
            case collect(State) of
                {[], _, eof, #state{unacked = [_ | _]} = Next} -> go_on(Next);
                {[], _, eof, Next} -> {noreply, wait(Next#state{gives_up = never})};
                {[], _, {busy, Limit}, Next} -> busy(Limit, Next);
                {[], _, {error, Reason}, Next} -> failed(Reason, Next);
                {Messages, Ranges, _, Next} -> go_on(send(Messages, Ranges, Next#state{gives_up = never}))
            end;
        false ->
            {noreply, State}
    end.

collect(#state{options = Options} = State) ->
    collect(maps:get(batch, Options, ?BATCH), maps:get(bytes, Options, ?BYTES_OF_BATCH), [], [], 0, State).

collect(Count, Bytes, Messages, Ranges, Length, State)
  when Count > 0, Bytes > 0, Length < ?MOST_RANGES ->
    case take(State) of
        {#message{bytes = Message, order = Order} = Taken, Next} ->
            {More, Longer} = case Ranges of
                [{First, Last} | Rest] when Order =:= Last + 1 -> {[{First, Order} | Rest], Length};
                _ -> {[{Order, Order} | Ranges], Length + 1}
            end,
            collect(Count - 1, Bytes - byte_size(Message), [Taken | Messages], More, Longer, Next);
        {End, Next} ->
            {lists:reverse(Messages), lists:reverse(Ranges), End, Next}
    end;
collect(_Count, _Bytes, Messages, Ranges, _Length, State) ->
    {lists:reverse(Messages), lists:reverse(Ranges), more, State}.

take(#state{pending = [Message | Rest]} = State) -> {Message, State#state{pending = Rest}};
take(#state{queue = ?MAPPED(Backend, Handle)} = State) ->
    case emmap_delivery:take_bytes(Backend, Handle) of
        {ok, Delivery, Bytes} ->
            case emmap_delivery:order(Delivery) of
                {ok, Order} ->
                    Message = #message{delivery = Delivery, bytes = Bytes, order = Order},
                    case emmap_delivery:attempt(Delivery) of
                        1 -> {Message, State};
                        _ -> taken_again(Message, State)
                    end;
                {error, _} = Error -> {Error, State}
            end;
        eof -> {eof, State};
        {busy, _} = Busy -> {Busy, State};
        {error, ebusy} -> {{busy, infinity}, State};
        {error, _} = Error -> {Error, State}
    end.

%% An earlier relay may have sent it.
taken_again(#message{order = Order} = Message, #state{done = Done, targets = Targets} = State) ->
    case lists:any(fun(Ranges) -> is_in(Order, Ranges) end, Done) of
        true -> take(ack([Message], State));
        false ->
            case [Node || {Node, #target{unsettled = Batches}} <- maps:to_list(Targets),
                          lists:any(fun(#batch{ranges = Ranges}) -> is_in(Order, Ranges) end, Batches)] of
                [] -> {Message, State};
                [Node | _] -> take(State#state{targets = maps:update_with(Node, fun(Target) -> keep(Message, Target) end, Targets)})
            end
    end.

is_in(Order, Ranges) -> lists:any(fun({First, Last}) -> First =< Order andalso Order =< Last end, Ranges).

%% Its node has to say whether it has the batch.
keep(#message{order = Order} = Message, #target{unsettled = Batches} = Target) ->
    Target#target{unsettled = [
        case is_in(Order, Ranges) of
            true -> Batch#batch{messages = Messages ++ [Message]};
            false -> Batch
        end
     || #batch{ranges = Ranges, messages = Messages} = Batch <- Batches
    ]}.

send(Messages, Ranges, #state{options = #{to := To}, current = Node, targets = Targets, origin = Origin, next = Number} = State) ->
    #{Node := #target{session = Session, last = Previous, sent = Sent} = Target} = Targets,
    Batch = #batch{origin = Origin, number = Number, ranges = Ranges, messages = Messages},
    Next = State#state{next = Number + 1,
                       targets = Targets#{Node := Target#target{last = Number, sent = Sent ++ [Batch]}}},
    ok = publish(Next),
    Bytes = [Message || #message{bytes = Message} <- Messages],
    try_to_send(Node, To, {?PROTOCOL, ?VERSION, batch, Session, Origin, Previous, Number, Bytes}, Next).

%% A slow connection must not hold up this process, which has other messages to handle.
try_to_send(Node, To, Request, State) ->
    case erlang:send({To, Node}, Request, [nosuspend, noconnect]) of
        nosuspend ->
            _ = erlang:start_timer(?CROWDED, self(), unblock),
            State#state{blocked = {Node, Request}};
        _ -> State#state{blocked = none} % without a connection the monitor says so
    end.

unblock(#state{blocked = {Node, Request}, options = #{to := To}} = State) -> try_to_send(Node, To, Request, State);
unblock(State) -> State.

failed(Reason, State) when ?PASSES(Reason) ->
    log(warning, queue_failed, node(), State, #{reason => Reason}),
    {noreply, look_again(?PAUSE, State)};
failed(Reason, State) ->
    {stop, {emmap, emmap_open:path(State#state.queue), Reason}, State}.

%% Another process waits, so that this one answers system messages meanwhile.
wait(#state{queue = Queue, waiter = undefined} = State) ->
    Relay = self(),
    State#state{waiter = spawn_link(fun() -> Relay ! {waited, self(), emmap_queue:wait(Queue, infinity)} end)};
wait(State) -> State.

%% Others have the lock, mostly for microseconds. There are messages, so the process that waits for some would not wait.
busy(Limit, #state{gives_up = never} = State) when is_integer(Limit) ->
    busy(Limit, State#state{gives_up = erlang:monotonic_time(millisecond) + Limit});
busy(_Limit, #state{gives_up = End} = State) ->
    case has_passed(End) of
        true -> failed(timeout, State#state{gives_up = never});
        false -> {noreply, look_again(?CROWDED, State)}
    end.

has_passed(End) -> is_integer(End) andalso erlang:monotonic_time(millisecond) >= End.

look_again(Pause, #state{waiter = undefined} = State) -> State#state{waiter = erlang:start_timer(Pause, self(), take)};
look_again(_Pause, State) -> State.

%% go_on/1 acknowledges them.
ack(Messages, #state{unacked = Waiting} = State) -> State#state{unacked = Waiting ++ Messages}.

acknowledge(#state{unacked = Messages} = State) -> acknowledge(Messages, 0, State).

acknowledge([#message{delivery = Delivery} | Rest] = Messages, Count, State) ->
    case emmap_delivery:ack(Delivery, ?CROWDED) of
        ok -> acknowledge(Rest, Count + 1, State);
        {error, einval} -> acknowledge(Rest, Count + 1, State); % somebody has erased the queue
        {busy, Limit} -> in_the_way(Limit, acknowledged(Count, Messages, State));
        {error, Reason} when ?PASSES(Reason) -> not_acknowledged(Reason, acknowledged(Count, Messages, State));
        {error, Reason} -> exit({emmap, emmap_open:path(State#state.queue), Reason}) % then it is delivered again, and acknowledged
    end;
acknowledge([], Count, State) -> acknowledged(Count, [], State).

acknowledged(0, Messages, State) -> State#state{unacked = Messages};
acknowledged(Count, Messages, #state{relayed = Relayed} = State) ->
    State#state{unacked = Messages, relayed = Relayed + Count, gives_up = never}.

in_the_way(Limit, #state{gives_up = never} = State) ->
    acknowledge_later(?CROWDED, State#state{gives_up = erlang:monotonic_time(millisecond) + Limit});
in_the_way(_Limit, #state{gives_up = End} = State) ->
    case has_passed(End) of
        true -> not_acknowledged(timeout, State);
        false -> acknowledge_later(?CROWDED, State)
    end.

not_acknowledged(Reason, State) ->
    log(warning, queue_failed, node(), State, #{reason => Reason}),
    acknowledge_later(?PAUSE, State#state{gives_up = never}).

acknowledge_later(Pause, #state{ack_timer = undefined} = State) -> State#state{ack_timer = erlang:start_timer(Pause, self(), ack)};
acknowledge_later(_Pause, State) -> State.

%%% Logging

log(Level, Event, Node, #state{options = #{to := To}, queue = Queue}, Report) ->
    ?LOG(Level, Report#{event => Event, from => emmap_open:path(Queue), to => To, node => Node},
         #{report_cb => fun ?MODULE:format_report/1}).

?DOC(false).
-spec format_report(#{event := connected | disconnected | refused | failed_over | queue_failed, from := binary(),
                      to := atom(), node := node(), atom() => term()}) -> {nonempty_string(), [term(), ...]}.
format_report(#{event := Event, from := From, to := To, node := Node} = Report) ->
    {What, Arguments} = sentence(Event, Report),
    {"relay of ~ts to ~tp of ~tp: " ++ What, [From, To, Node | Arguments]}.

sentence(connected, #{pushed := Pushed, again := Again}) ->
    {"connected; of the unanswered messages it has ~b, and ~b are sent again", [Pushed, Again]};
sentence(disconnected, #{reason := Reason, unanswered := Count}) ->
    {"disconnected with ~b unanswered messages: ~tp", [Count, Reason]};
sentence(refused, #{reason := Reason}) ->
    {"the receiver has refused a batch, which is sent again: ~tp", [Reason]};
sentence(failed_over, #{count := Count}) ->
    {"~b unanswered messages go to another node", [Count]};
sentence(queue_failed, #{reason := Reason}) ->
    {"the queue has failed, it is tried again. ~tp", [Reason]}.
