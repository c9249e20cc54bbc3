-module(emmap_relay_receiver).

-include("emmap_doc.hrl").

?MODULEDOC("Receives what relays of other hosts send, and pushes it to a local queue. See `emmap_relay`.

```erlang
emmap_relay_receiver:child_spec(#{name => jobs, queue => \"/data/jobs.q\", sync => true})
```

Any number of relays may send to one receiver. The queue is a queue as any other: local processes push to it, too.

A receiver answers a batch when it is in the queue, and with `sync` when it is on the disk. Its memory is what relays send
before they get an answer: `window` batches each.

## Who may send

Every node of the cluster: Erlang distribution lets in nodes that have the cookie, and `docs/relay.md` shows it over TLS.
Hidden nodes are refused. What arrives is checked; a message that is none of a relay's is dropped, and logged.

`logger` gets a report, a map with `event`, `name`, `node`, and more:

| event | level | when |
| --- | --- | --- |
| `refused` | `warning` | a relay or a batch was refused: `reason` |
| `dropped` | `warning` | a message was not understood: `reason` |
").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, members/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_report/1]).

-export_type([options/0, origin/0]).

-include_lib("kernel/include/logger.hrl").
-include("emmap_file.hrl").
-include("emmap_relay.hrl").

?DOC("How a receiver works. `name` and `queue` are required.

- `name`: relays name it as `to`. The receiver is registered under it on its node.
- `queue`: the path of a queue, or an open one, which the receiver then does not close.
- `sync`: a batch is on the disk before it is answered; `false` by default.
- `open_options`: for the queue, if it is a path; as for `emmap_queue:open/3`.
- `id`, `shutdown`: as in `t:supervisor:child_spec/0`; by default `{emmap_relay_receiver, Name}`, and 5000.").
-type options() :: #{
    name := atom(),
    queue := file:name_all() | emmap_queue:queue(),
    sync => boolean(),
    open_options => [emmap_queue:open_option()],
    id => term(),
    shutdown => non_neg_integer() | infinity
}.
?DOC("The name by which a queue knows a relay: 16 random bytes.").
-type origin() :: <<_:128>>.

-record(session, {
    reference :: reference(),
    relay :: pid(),
    last :: non_neg_integer() %% the number of the batch that came last
}).

-record(state, {
    options :: options(),
    queue :: emmap_queue:queue(),
    sessions = #{} :: #{origin() => #session{}},
    monitors = #{} :: #{pid() => reference()}
}).

-define(SCOPE, emmap_relay).
-define(SHUTDOWN, 5000).
-define(MOST_ORIGINS, 1024).
-define(MOST_MESSAGES, 1000000).
%% Errors that pass without this process.
-define(PASSES(Reason),
        (Reason =:= timeout orelse Reason =:= ebusy orelse Reason =:= eagain orelse Reason =:= enomem
         orelse Reason =:= enospc orelse Reason =:= edquot orelse Reason =:= emfile orelse Reason =:= enfile
         orelse Reason =:= full orelse Reason =:= efbig orelse Reason =:= einval)).

?DOC("Starts a receiver that is linked to the caller. The options are a map, or a list of pairs, which Elixir writes as
keywords.").
-spec start_link(options() | [{atom(), term()}]) -> gen_server:start_ret().
start_link(Pairs) ->
    #{name := Name} = Options = checked(Pairs),
    gen_server:start_link({local, Name}, ?MODULE, Options, []).

checked(Pairs) ->
    Options = emmap_options:pairs(Pairs),
    ok = emmap_options:check(Options, [name, queue], fun(Key, Value) -> is_valid({Key, Value}) end),
    Options.

is_valid({name, Name}) -> is_atom(Name);
is_valid({queue, ?MAPPED(_, _)}) -> true;
is_valid({queue, Path}) -> emmap_options:is_path(Path);
is_valid({sync, Sync}) -> is_boolean(Sync);
is_valid({open_options, List}) -> is_list(List);
is_valid({shutdown, Time}) -> Time =:= infinity orelse is_integer(Time) andalso Time >= 0;
is_valid({Key, _Value}) -> Key =:= id.

?DOC("How a supervisor starts a receiver.").
-spec child_spec(options() | [{atom(), term()}]) -> supervisor:child_spec().
child_spec(Pairs) ->
    #{name := Name} = Options = checked(Pairs),
    #{
        id => maps:get(id, Options, {?MODULE, Name}),
        start => {?MODULE, start_link, [Options]},
        shutdown => maps:get(shutdown, Options, ?SHUTDOWN)
    }.

?DOC(false).
-spec members(atom()) -> [pid()].
members(Name) ->
    join_scope(),
    pg:get_members(?SCOPE, Name).

%% It lives as long as the node, not as long as the first process that needs it.
join_scope() ->
    case whereis(?SCOPE) =:= undefined andalso pg:start(?SCOPE) of
        false -> ok;
        {ok, _} -> ok;
        {error, {already_started, _}} -> ok
    end.

%%% Begin and end

?DOC(false).
-spec init(options()) -> {ok, #state{}} | {stop, term()}.
init(#{name := Name, queue := Where} = Options) ->
    _ = process_flag(trap_exit, true), % for terminate/2
    case open(Where, Options) of
        {ok, Queue} ->
            case synced(Queue, Options) of
                ok ->
                    join_scope(),
                    ok = pg:join(?SCOPE, Name, self()),
                    {ok, #state{options = Options, queue = Queue}};
                {error, Reason} ->
                    close(Where, Queue),
                    {stop, {emmap, emmap_open:path(Queue), Reason}}
            end;
        {error, Reason} ->
            {stop, {emmap, Where, Reason}}
    end.

open(?MAPPED(_, _) = Queue, _Options) -> {ok, Queue};
open(Path, Options) -> emmap_queue:open(Path, 0, maps:get(open_options, Options, [])).

%% A numbered push to a queue that was synced once waits for the disk.
synced(Queue, #{sync := true}) -> emmap:sync(Queue);
synced(_Queue, _Options) -> ok.

%% An open queue belongs to the one who has opened it.
close(Same, Same) -> ok;
close(_Path, Queue) ->
    _ = emmap_queue:close(Queue),
    ok.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{options = #{queue := Where}, queue = Queue}) -> close(Where, Queue).

%%% Messages of others

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, {badarg, term()}}, #state{}}.
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({?PROTOCOL, ?VERSION, batch, Session, Origin, Previous, Number, Messages}, State) ->
    batch(Session, Origin, Previous, Number, Messages, State);
handle_info({?PROTOCOL, ?VERSION, hello, Session, Relay, Origins}, State)
  when is_reference(Session), is_pid(Relay) ->
    case are_origins(Origins, ?MOST_ORIGINS) of
        true -> hello(Session, Relay, Origins, State);
        false -> dropped(node(Relay), bad_hello, State)
    end;
handle_info({'DOWN', Monitor, process, Relay, _Reason}, #state{sessions = Sessions, monitors = Monitors} = State) ->
    case Monitors of
        #{Relay := Monitor} ->
            Others = maps:filter(fun(_, #session{relay = Of}) -> Of =/= Relay end, Sessions),
            {noreply, State#state{sessions = Others, monitors = maps:remove(Relay, Monitors)}};
        #{} ->
            {noreply, State}
    end;
handle_info({'EXIT', _Pid, normal}, State) -> {noreply, State};
handle_info({'EXIT', _Pid, Reason}, State) -> {stop, Reason, State};
handle_info({?PROTOCOL, Version, _, Session, Relay, _}, State)
  when Version =/= ?VERSION, is_reference(Session), is_pid(Relay) ->
    refuse(Session, Relay, {version, ?VERSION}, State);
handle_info(Message, State) when element(1, Message) =:= ?PROTOCOL -> dropped(unknown, bad_message, State);
handle_info(_Message, State) -> {noreply, State}.

are_origins([<<_:128>> | Rest], Most) when Most > 0 -> are_origins(Rest, Most - 1);
are_origins([], _Most) -> true;
are_origins(_, _Most) -> false.

%% The relay gets a session for each of its origins. Batches of other sessions of these origins are not taken any more: they may
%% still be on their way from a relay that has died.
hello(Session, Relay, Origins, #state{queue = Queue, sessions = Sessions} = State) ->
    case lists:member(node(Relay), nodes(hidden)) of
        true -> refuse(Session, Relay, hidden_node, State);
        false ->
            case lasts(Queue, Origins, []) of
                {ok, Lasts} ->
                    answer(Relay, {?PROTOCOL, ?VERSION, welcome, Session, Lasts}),
                    New = maps:from_list([{Origin, #session{reference = Session, relay = Relay, last = Last}} || {Origin, Last} <- Lasts]),
                    {noreply, watch(Relay, State#state{sessions = maps:merge(Sessions, New)})};
                {error, Reason} ->
                    refuse_or_stop(Session, Relay, Reason, State)
            end
    end.

watch(Relay, #state{monitors = Monitors} = State) when is_map_key(Relay, Monitors) -> State;
watch(Relay, #state{monitors = Monitors} = State) ->
    State#state{monitors = Monitors#{Relay => monitor(process, Relay)}}.

lasts(_Queue, [], Lasts) -> {ok, Lasts};
lasts(Queue, [Origin | Rest], Lasts) ->
    case emmap_queue_push:push_once_bytes(Queue, Origin, 0, []) of
        {ok, Last} -> lasts(Queue, Rest, [{Origin, Last} | Lasts]);
        {error, _} = Error -> Error
    end.

%% A batch that is not the next one of its session has lost the one before on the way.
batch(Session, Origin, Previous, Number, Messages, #state{queue = Queue, sessions = Sessions} = State) ->
    case Sessions of
        #{Origin := #session{reference = Session, relay = Relay, last = Previous} = Own}
          when is_integer(Number), Number > Previous, Number < 1 bsl 63 ->
            case are_messages(Messages, ?MOST_MESSAGES) of
                true ->
                    case emmap_queue_push:push_once_bytes(Queue, Origin, Number, Messages) of
                        {ok, _Last} ->
                            answer(Relay, {?PROTOCOL, ?VERSION, pushed, Session, Number}),
                            {noreply, State#state{sessions = Sessions#{Origin := Own#session{last = Number}}}};
                        {error, Reason} ->
                            refuse_or_stop(Session, Relay, Reason, State)
                    end;
                false ->
                    dropped(node(Relay), bad_batch, ended(Session, State))
            end;
        #{Origin := #session{reference = Session, relay = Relay}} ->
            refuse(Session, Relay, gap, State);
        #{} ->
            {noreply, State} % of a session that has ended
    end.

are_messages([<<_, _/binary>> | Rest], Most) when Most > 0 -> are_messages(Rest, Most - 1);
are_messages([], _Most) -> true;
are_messages(_, _Most) -> false.

refuse_or_stop(Session, Relay, Reason, State) ->
    {noreply, Next} = refuse(Session, Relay, Reason, State),
    case Reason of
        _ when ?PASSES(Reason) -> {noreply, Next};
        _ -> {stop, {emmap, emmap_open:path(State#state.queue), Reason}, Next}
    end.

refuse(Session, Relay, Reason, State) ->
    log(refused, node(Relay), Reason, State),
    answer(Relay, {?PROTOCOL, ?VERSION, refused, Session, Reason}),
    {noreply, ended(Session, State)}.

%% A relay that is not connected any more connects by itself, and asks.
answer(Relay, Answer) ->
    _ = erlang:send(Relay, Answer, [noconnect]),
    ok.

ended(Session, #state{sessions = Sessions} = State) ->
    State#state{sessions = maps:filter(fun(_, #session{reference = Of}) -> Of =/= Session end, Sessions)}.

dropped(Node, Reason, State) ->
    log(dropped, Node, Reason, State),
    {noreply, State}.

%%% Logging

log(Event, Node, Reason, #state{options = #{name := Name}}) ->
    ?LOG(warning, #{event => Event, name => Name, node => Node, reason => Reason},
         #{report_cb => fun ?MODULE:format_report/1}).

?DOC(false).
-spec format_report(#{event := refused | dropped, name := atom(), node := node(), reason := term()}) ->
    {nonempty_string(), [term(), ...]}.
format_report(#{event := refused, name := Name, node := Node, reason := Reason}) ->
    {"receiver ~tp has refused what a relay of ~tp sent: ~tp", [Name, Node, Reason]};
format_report(#{event := dropped, name := Name, node := Node, reason := Reason}) ->
    {"receiver ~tp has dropped a message of ~tp: ~tp", [Name, Node, Reason]}.
