-module(emmap_cluster).

-include("emmap_doc.hrl").

?MODULEDOC("Counters of many machines: each host adds to a file of its own, and reads the sum of all hosts.

```erlang
Children = [emmap_cluster:child_spec(#{name => hits, folder => \"/var/lib/app/hits\", counters => 1000})],
%% Anywhere in the node:
ok = emmap_cluster:add(hits, 0, 1),
{ok, Sum} = emmap_cluster:read(hits, 0).
```

One node of each host has this process in its supervision tree, with the same name and the same number of counters. The nodes
find each other through Erlang distribution. Other processes of the host, also Node's (`openClusterCounters`), use the files in
the folder: they add to `own.bin`, and read `own.bin` + `others.bin`. An addition and a look are as fast as those of local
counters, and wait for no other host.

The counters are eventually consistent. What a host adds is seen on the others after an interval; when two hosts have been
apart, both have all additions again soon after they have met. No addition is lost or counted twice when processes or nodes are
killed, or hosts are cut off. `docs/cluster.md` says what happens at each fault, how to size a cluster, and how to secure it.

## Origins

A host's share of the sums is an *origin*, a random id in the folder. What a host has counted stays counted when it is gone, until
`forget/2` retires its origin. A folder that comes back as an older copy, or after a power cut, becomes a new origin; what the
former one had published stays counted.

## Events

`logger` gets a report, a map with `event`, `cluster` and more; `telemetry`, if that module is loaded, gets events: see
`emmap_telemetry`.

| event | level | when |
| --- | --- | --- |
| `host_up`, `host_down` | `notice` | another host's `node` is connected, or no longer |
| `refused` | `error` | the `node` has another number of counters: `here` and `there`; or another `protocol`; or it is `hidden` |
| `bad_message` | `error` | a message from a `node` is none that this version sends, and was dropped |
| `new_origin` | `warning` | this host is a new origin: `reason` is `copied`, `power_cut`, `old_copy`, `forgotten`, `replaced` (own.bin is another file) or `no_state` (the file `state` was removed) |
| `forgotten` | `notice` | an `origin` was retired |
| `not_saved` | `error` | the disk refuses to save the state: `reason`. It is tried again |

`refused`, `bad_message` and `not_saved` come at most once a minute for each node.").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1, read/2, add/3, info/1, forget/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).
-export([format_report/1, exit_with/1]).

-export_type([name/0, options/0, origin/0, info/0]).

-include_lib("kernel/include/logger.hrl").

-define(PROTOCOL, 1).
%% Milliseconds between signs of life, and between saves.
-define(BEAT, 1000).
-define(SAVE, 5000).
%% Beats between greetings to nodes that have not answered any.
-define(GREETING, 5).
%% After so many looks that have found nothing only each fifth one is made: a node that is woken costs more than the look.
-define(QUIET, 20).
-define(PAUSE, 5).
-define(MAX_COUNTERS, 16#1000000).
-define(MAX_VERSION, 16#4000000000000000).
-define(COMPLAINT, 60000).

?DOC("The name of a cluster: the same on all of its hosts.").
-type name() :: atom().
?DOC("A host's share of the sums, by its random id: 32 hexadecimal digits.").
-type origin() :: binary().
?DOC("How a host takes part. `name`, `folder` and `counters` are required.

- `folder`: is made if it is missing. No other host may use it.
- `counters`: how many there are, on all hosts. 0 means as many as the folder has. At most 2^24.
- `interval`: how often changes travel, in milliseconds; 50 by default. After 20 intervals without a change of this host the next
  one may take five.
- `nodes`: nodes that are kept connected: the process tries once a second to connect with those that are not.
- `options`: for the files, for example `{backend, port}` or `{chmod, 8#660}`; as for `emmap:open_counters/3`.").
-type options() :: #{
    name := name(), folder := file:name_all(), counters := non_neg_integer(), interval => pos_integer(),
    nodes => [node()], options => [emmap:open_option()]
}.
?DOC("What a host knows. `origin`: its own. `hosts`: the nodes that are connected. `blind`: for how many milliseconds none has
been; `none` if one is. `origins`: the others, each with the `node` that had it last, if that is known; its `version`; its `age`:
milliseconds since its host was heard; and whether that host is `connected`. `forgotten`: those that were retired.").
-type info() :: #{
    origin := origin(), version := non_neg_integer(), counters := pos_integer(), interval := pos_integer(),
    hosts := [node()], blind := none | non_neg_integer(),
    origins := #{origin() => #{node := binary() | undefined, version := non_neg_integer(),
                               age := non_neg_integer() | infinity, connected := boolean()}},
    forgotten := [origin()]
}.

%% Another host. `wants': it waits for what changes in this host's values after this version.
-record(host, {node :: node(), origin :: emmap_cluster_merge:id(), wants = none :: none | non_neg_integer()}).

-record(state, {
    name :: name(),
    interval :: pos_integer(),
    folder :: emmap_cluster_folder:folder(),
    known :: emmap_cluster_merge:known(),
    read :: binary(), %% own.bin as it was published last
    start :: binary(), %% own.bin as it had been published when this process began
    base :: binary() | none,
    version = 0 :: non_neg_integer(), %% at the last look
    quiet = 0 :: non_neg_integer(), %% looks that have found nothing
    next_look :: reference() | undefined, %% its timer
    hosts = #{} :: #{pid() => #host{}},
    %% Of origins: the nodes, and when they were heard of last.
    nodes :: emmap_cluster_folder:nodes(),
    heard = #{} :: #{emmap_cluster_merge:id() => integer()},
    %% The former origin of a folder that was set back: versions that this host has made are void.
    void = none :: none | {emmap_cluster_merge:id(), fun((Version :: non_neg_integer()) -> boolean())},
    %% What other hosts know and this one may lack. It is asked for a beat later, if it has not come by itself.
    claims = #{} :: #{emmap_cluster_merge:id() => {emmap_cluster_merge:entry(), pid()}},
    connect :: emmap_connect:attempts(),
    beats = 0 :: non_neg_integer(),
    blind :: none | integer(),
    saving = none :: none | {reference(), Reserved :: non_neg_integer()},
    saved :: {Time :: integer(), Versions :: [term()]},
    complaints = #{} :: #{term() => integer()}
}).

%%% For users

?DOC("Takes part in a cluster, with a process that is linked to the caller.").
-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    #{name := Name} = Checked = checked(Options),
    gen_server:start_link({local, process(Name)}, ?MODULE, Checked, []).

checked(Options) ->
    Map = emmap_options:pairs(Options),
    ok = emmap_options:check(Map, [name, folder, counters], fun is_right/2),
    Map.

is_right(name, Name) -> is_atom(Name);
is_right(folder, Path) -> emmap_options:is_path(Path);
is_right(counters, Count) -> is_integer(Count) andalso Count >= 0;
is_right(interval, Time) -> emmap_options:is_time(Time);
is_right(nodes, Nodes) -> emmap_options:is_nodes(Nodes);
is_right(Key, Value) -> Key =:= options andalso is_list(Value).

?DOC("A child of a supervisor.").
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    #{name := Name} = Checked = checked(Options),
    #{id => {?MODULE, Name}, start => {?MODULE, start_link, [Checked]}, shutdown => 10000}.

?DOC("Publishes the last additions, brings all to the disk, and ends. The host's additions stay in the sums.").
-spec stop(name()) -> ok.
stop(Name) -> gen_server:stop(process(Name)).

?DOC("The value of a counter: what this host has added, and what of the others' additions has come here. It raises `badarg`
while there is no such cluster.").
-spec read(name(), Index :: non_neg_integer()) -> {ok, emmap:int64()} | {error, emmap:reason()}.
read(Name, Index) ->
    {Own, Others} = persistent_term:get({?MODULE, Name}),
    case emmap:read_counter(Own, Index) of
        {ok, Mine} ->
            case emmap:read_counter(Others, Index) of
                {ok, Theirs} -> {ok, wrapped(Mine + Theirs)};
                {error, _} = Error -> Error
            end;
        {error, _} = Error -> Error
    end.

wrapped(Sum) when Sum >= -16#8000000000000000, Sum =< 16#7fffffffffffffff -> Sum;
wrapped(Sum) ->
    <<Signed:64/signed>> = <<Sum:64>>,
    Signed.

?DOC("Adds to a counter. A negative value subtracts.").
-spec add(name(), Index :: non_neg_integer(), emmap:operand()) -> ok | {error, emmap:reason()}.
add(Name, Index, Value) ->
    {Own, _Others} = persistent_term:get({?MODULE, Name}),
    case emmap:inc_counter(Own, Index, Value) of
        {ok, _} -> ok;
        {error, _} = Error -> Error
    end.

?DOC("What this host knows of the cluster.").
-spec info(name()) -> info().
info(Name) -> gen_server:call(process(Name), info).

?DOC("Retires an origin for good, on all hosts: what it has counted leaves the sums everywhere, also on hosts that are cut off
now and meet one that knows of it later. If its host still runs, it goes on as a new origin, from 0. `{error, enoent}`: this
host knows no such origin.").
-spec forget(name(), origin()) -> ok | {error, enoent | badarg}.
forget(Name, Origin) ->
    case emmap_cluster_folder:id(Origin) of
        {ok, Id} -> gen_server:call(process(Name), {forget, Id}, infinity);
        error -> {error, badarg}
    end.

process(Name) -> list_to_atom("emmap_cluster_" ++ atom_to_list(Name)).

%%% The process

?DOC(false).
-spec init(options()) -> {ok, #state{}} | {stop, {emmap, file:name_all(), term()}}.
init(#{name := Name, folder := Path, counters := Count} = Options) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 saves
    Interval = maps:get(interval, Options, 50),
    %% Twice as many versions as there can be between two saves.
    Step = 2 * ?SAVE div Interval + 100,
    case Count =< ?MAX_COUNTERS andalso emmap_cluster_folder:open(Path, Count, Step, maps:get(options, Options, [])) of
        false -> {stop, {emmap, Path, {einval, count}}};
        {error, Reason} -> {stop, Reason};
        {ok, Folder, Known, Nodes, Renewed} ->
            persistent_term:put({?MODULE, Name}, {emmap_cluster_folder:own(Folder), emmap_cluster_folder:others(Folder)}),
            _ = net_kernel:monitor_nodes(true, [{node_type, visible}]),
            Connect = emmap_connect:attempts(maps:get(nodes, Options, [])),
            Self = emmap_cluster_folder:origin(Folder),
            Started = emmap_cluster_merge:add_words(emmap_cluster_folder:base(Folder), emmap_cluster_merge:values(Self, Known)),
            State = based(#state{name = Name, interval = Interval, folder = Folder, known = Known, nodes = Nodes, read = Started,
                                 start = Started, base = none, connect = Connect, blind = now_ms(), saved = {now_ms(), versions(Known)}}),
            _ = Renewed =/= no andalso event(new_origin, #{reason => Renewed}, State),
            self() ! look,
            self() ! beat,
            {ok, greet(nodes(), State)}
    end.

now_ms() -> erlang:monotonic_time(millisecond).

%% Most hosts have no base, and then no work with it.
based(#state{folder = Folder} = State) ->
    Base = emmap_cluster_folder:base(Folder),
    State#state{base = case Base =:= <<0:(bit_size(Base))>> of true -> none; false -> Base end}.

origin(#state{folder = Folder}) -> emmap_cluster_folder:origin(Folder).

version(Id, #state{known = Known}) -> emmap_cluster_merge:version(Id, Known).

versions(Known) -> [{Id, emmap_cluster_merge:version(Id, Known)} || Id <- emmap_cluster_merge:ids(Known)].

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(info, _From, State) -> {reply, about(State), State};
handle_call({forget, Id}, _From, State) ->
    case {version(Id, State), emmap_cluster_merge:is_known(Id, State#state.known)} of
        {_, false} -> {reply, {error, enoent}, State};
        {forgotten, _} -> {reply, ok, State};
        _ -> {reply, ok, tell_digest(all, forget_origin(Id, State))}
    end;
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({?MODULE, Protocol, From, Message}, State) when is_pid(From) ->
    {noreply, received(Protocol, From, Message, State)};
handle_info(look, State) -> {noreply, look_again(State)};
handle_info(beat, #state{next_look = Next, quiet = Quiet} = State) ->
    _ = erlang:send_after(?BEAT, self(), beat),
    Beaten = beat(State),
    %% While nothing changes one wake-up does for both. If the timer has run out, its message is on the way.
    case Quiet > ?QUIET andalso is_integer(erlang:cancel_timer(Next)) of
        true -> {noreply, look_again(Beaten)};
        false -> {noreply, Beaten}
    end;
handle_info({'DOWN', Ref, process, _, Result}, #state{saving = {Ref, _}} = State) -> {noreply, saved(Result, State)};
handle_info({'DOWN', _, process, Pid, _}, State) -> {noreply, lost(Pid, State)};
handle_info({nodeup, Node, _}, State) -> {noreply, greet([Node], State)};
handle_info({'EXIT', _, {saved, _}}, State) -> {noreply, State};
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal -> {stop, Reason, State};
handle_info(_Message, State) -> {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, State) ->
    case Reason of
        normal -> leave(State);
        shutdown -> leave(State);
        {shutdown, _} -> leave(State);
        %% Callers go on to use the open files until the next process has opened them.
        _ -> ok
    end.

leave(#state{name = Name} = State) ->
    #state{folder = Folder} = save(true, look(settle(State))),
    _ = persistent_term:erase({?MODULE, Name}),
    emmap_cluster_folder:close(Folder).

?DOC(false).
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{} = State} = Status) -> Status#{state := about(State)};
format_status(Status) -> Status.

about(#state{hosts = Hosts, nodes = Nodes, heard = Heard, known = Known} = State) ->
    Self = origin(State),
    Now = now_ms(),
    Connected = [Origin || #host{origin = Origin} <- maps:values(Hosts)],
    All = [{Id, version(Id, State)} || Id <- emmap_cluster_merge:ids(Known), Id =/= Self],
    #{
        origin => emmap_cluster_folder:hex(Self), version => version(Self, State),
        counters => emmap_cluster_merge:count(Known), interval => State#state.interval,
        hosts => lists:sort([Node || #host{node = Node} <- maps:values(Hosts)]),
        blind => case State#state.blind of none -> none; Since -> Now - Since end,
        origins => maps:from_list([{emmap_cluster_folder:hex(Id), #{
            node => maps:get(Id, Nodes, undefined), version => Version, connected => lists:member(Id, Connected),
            age => case Heard of #{Id := Last} -> Now - Last; #{} -> infinity end
        }} || {Id, Version} <- All, is_integer(Version)]),
        forgotten => [emmap_cluster_folder:hex(Id) || {Id, forgotten} <- All]
    }.

%%% This host's values

look_again(#state{version = Before, interval = Interval} = State) ->
    Looked = look(State),
    Quiet = case version(origin(Looked), Looked) of
        Before -> State#state.quiet + 1;
        _ -> 0
    end,
    Next = erlang:send_after(case Quiet > ?QUIET of true -> ?PAUSE; false -> 1 end * Interval, self(), look),
    Looked#state{quiet = Quiet, version = version(origin(Looked), Looked), next_look = Next}.

%% Publishes what was added since the last look.
look(#state{read = Before, folder = Folder} = State) ->
    case emmap_cluster_folder:has_changed(Before, Folder) andalso emmap_cluster_folder:read_own(Folder) of
        false -> State;
        Before -> State;
        Now ->
            Version = emmap_cluster_folder:next_version(version(origin(State), State), Folder),
            %% Versions that are not reserved on the disk wait for the next save. Nothing is lost: values are absolute.
            case emmap_cluster_folder:may_use(Version, Folder) of
                true -> publish(Version, Now, State);
                false -> save_later(State)
            end
    end.

publish(Version, Now, #state{read = Before, base = Base, known = Known, folder = Folder} = State) ->
    Id = origin(State),
    Changed = emmap_cluster_merge:runs(Before, Now),
    Runs = emmap_cluster_merge:encode(Changed, Now, Base),
    News = {version(Id, State), Version, Runs},
    {new, Changes, New} = emmap_cluster_merge:merge(Id, News, Known),
    Published = State#state{read = Now, known = New, folder = emmap_cluster_folder:store(Id, Version, Changes, Folder)},
    Told = maps:map(fun(Pid, Host) -> tell_values(Pid, Host, News, Published) end, Published#state.hosts),
    ok = telemetry(publish, #{counters => lists:sum([Words || {_, Words} <- Changed]), bytes => byte_size(Runs)}, #{}, State),
    Published#state{hosts = Told}.

%% Answers a host that waits. A connection that is busy is tried again at the next publication; the news then cover this one.
tell_values(_Pid, #host{wants = none} = Host, _News, _State) -> Host;
tell_values(Pid, #host{wants = Wanted} = Host, News, State) ->
    Id = origin(State),
    Answer = case News of
        {Wanted, Version, Runs} -> {values, Id, Wanted, Version, none, Runs};
        _ -> whole_answer(Id, Wanted, State)
    end,
    case Answer =/= none andalso send(Pid, Answer) of
        true -> Host#host{wants = none};
        false -> Host
    end.

whole_answer(Id, Wanted, #state{known = Known}) ->
    case emmap_cluster_merge:since(Id, Wanted, Known) of
        {Since, Version, Runs} ->
            {Crc, _} = emmap_cluster_merge:crc(Id, Known),
            {values, Id, Since, Version, Crc, Runs};
        none -> none
    end.

%%% Messages

%% Nothing waits for a slow or stopped host: false if its connection is busy or gone.
send(To, Message) -> erlang:send(To, {?MODULE, ?PROTOCOL, self(), Message}, [nosuspend, noconnect]) =:= ok.

greet(Nodes, #state{name = Name} = State) ->
    {Hello, New} = hello(State),
    _ = [send({process(Name), Node}, Hello) || Node <- Nodes],
    New.

hello(#state{known = Known} = State) ->
    {Digest, New} = digest(State),
    {{hello, emmap_cluster_merge:count(Known), origin(State), Digest}, New}.

digest(#state{known = Known, nodes = Nodes} = State) ->
    Self = origin(State),
    NodeOf = fun(Id) when Id =:= Self -> node_name(node()); (Id) -> maps:get(Id, Nodes, <<>>) end,
    {Digest, New} = emmap_cluster_merge:digest(NodeOf, Known),
    {Digest, State#state{known = New}}.

node_name(Node) ->
    case atom_to_binary(Node) of
        Name when byte_size(Name) < 256 -> Name;
        _ -> <<>>
    end.

tell_digest(all, #state{hosts = Hosts} = State) -> tell_digest(maps:keys(Hosts), State);
tell_digest(Pids, State) ->
    {Digest, New} = digest(State),
    _ = [send(Pid, {digest, Digest}) || Pid <- Pids],
    New.

received(Protocol, From, _Message, State) when Protocol =/= ?PROTOCOL ->
    complain({refused, node(From)}, refused, #{node => node(From), protocol => Protocol}, State);
received(_Protocol, From, {hello, Count, <<_:128>> = Origin, Digest}, State) when is_integer(Count) ->
    case {lists:member(node(From), nodes()), emmap_cluster_merge:count(State#state.known), emmap_cluster_merge:entries(Digest)} of
        {false, _, _} -> complain({refused, node(From)}, refused, #{node => node(From), hidden => true}, State);
        {true, Count, Entries} when is_list(Entries) -> met(From, Origin, Entries, State);
        {true, Count, error} -> bad_message(From, hello, State);
        {true, Here, _} -> complain({refused, node(From)}, refused, #{node => node(From), here => Here, there => Count}, State)
    end;
received(_Protocol, From, Message, #state{hosts = Hosts} = State) ->
    case Hosts of
        #{From := Host} ->
            Known = heard(Host#host.origin, State),
            case message(Message, From, Host, Known) of
                bad -> bad_message(From, Message, Known);
                New -> New
            end;
        %% It has not greeted, or was refused. If it is a host, it is greeted once more.
        #{} -> State
    end.

bad_message(From, Message, State) ->
    Kind = case is_tuple(Message) andalso tuple_size(Message) > 0 andalso element(1, Message) of
        Name when is_atom(Name) -> Name;
        _ -> unknown
    end,
    complain({bad_message, node(From)}, bad_message, #{node => node(From), message => Kind}, State).

heard(Id, #state{heard = Heard} = State) -> State#state{heard = Heard#{Id => now_ms()}}.

%% A host says hello, for the first time or as a new origin.
met(From, Origin, Entries, #state{hosts = Hosts, nodes = Nodes} = State) ->
    Node = node(From),
    IsNew = not is_map_key(From, Hosts),
    Host = case Hosts of
        #{From := Present} -> Present#host{origin = Origin};
        #{} -> #host{node = Node, origin = Origin}
    end,
    Met = heard(Origin, State#state{
        hosts = Hosts#{From => Host}, nodes = Nodes#{Origin => node_name(Node)}, blind = none,
        known = emmap_cluster_merge:met(Origin, State#state.known)
    }),
    Greeted = case IsNew of
        true ->
            _ = monitor(process, From),
            ok = event(host_up, #{node => Node}, Met),
            {Hello, New} = hello(Met),
            _ = send(From, Hello),
            New;
        false -> Met
    end,
    %% It is asked for its own values once.
    Compared = lists:foldl(fun
        ({Id, Version, _, _}, Before) when Id =:= Origin, is_integer(Version) -> Before;
        (Entry, Before) -> compare(Entry, From, now, Before)
    end, Greeted, Entries),
    subscribe(Origin, From, Compared).

lost(Pid, #state{hosts = Hosts} = State) ->
    case maps:take(Pid, Hosts) of
        {#host{node = Node}, Others} ->
            ok = event(host_down, #{node => Node}, State),
            State#state{hosts = Others, blind = case map_size(Others) of 0 -> now_ms(); _ -> none end};
        error -> State
    end.

message({alive, Version}, From, #host{origin = Id}, State) when is_integer(Version), Version >= 0, Version < ?MAX_VERSION ->
    compare({Id, Version, 0, <<>>}, From, later, State);
message({digest, Digest}, From, _Host, State) ->
    case emmap_cluster_merge:entries(Digest) of
        error -> bad;
        Entries -> lists:foldl(fun(Entry, Before) -> compare(Entry, From, later, Before) end, State, Entries)
    end;
message({want, <<_:128>> = Id, Version}, From, Host, State) when is_integer(Version), Version >= 0, Version < ?MAX_VERSION ->
    case Id =:= origin(State) of
        true -> wanted(Version, From, Host, State);
        false ->
            Answer = whole_answer(Id, Version, State),
            _ = Answer =/= none andalso send(From, Answer),
            State
    end;
message({values, <<_:128>> = Id, Since, Version, Crc, Runs}, From, Host, #state{known = Known} = State)
  when is_integer(Since), Since >= 0, is_integer(Version), Version > Since, Version < ?MAX_VERSION, is_binary(Runs),
       (Crc =:= none orelse is_integer(Crc)) ->
    case emmap_cluster_merge:is_sound(Runs, emmap_cluster_merge:count(Known)) of
        true when Id =:= Host#host.origin -> subscribe(Id, From, values(Id, {Since, Version, Runs}, Crc, From, State));
        true -> values(Id, {Since, Version, Runs}, Crc, From, State);
        false -> bad
    end;
message(_Message, _From, _Host, _State) -> bad.

%% A host has this version of this host's origin, and waits for what comes after it.
wanted(Version, From, Host, #state{hosts = Hosts} = State) ->
    case has_used(Version, State) of
        false -> set_back(From, State);
        true ->
            Waiting = tell_values(From, Host#host{wants = Version}, none, State),
            State#state{hosts = Hosts#{From := Waiting}}
    end.

subscribe(Id, From, State) ->
    case version(Id, State) of
        forgotten -> State;
        Version ->
            _ = send(From, {want, Id, Version}),
            State
    end.

values(Id, {_, Version, _} = News, Crc, From, #state{void = {Id, IsVoid}} = State) ->
    case {IsVoid(Version), version(Id, State)} of
        %% A host has them that knew nothing better. It gets what is known here, under a higher version.
        {true, Mine} when is_integer(Mine), Mine < Version -> again(Id, Version, State);
        {true, _} -> State;
        {false, _} -> merge(Id, News, Crc, From, State)
    end;
values(Id, News, Crc, From, State) -> merge(Id, News, Crc, From, State).

merge(Id, {Since, Version, _} = News, Crc, From, #state{known = Known, folder = Folder} = State) ->
    case Id =:= origin(State) orelse emmap_cluster_merge:merge(Id, News, Known) of
        true -> compare({Id, Version, 0, <<>>}, From, now, State);
        {new, Changes, New} ->
            Stored = emmap_cluster_folder:store(Id, Version, Changes, Folder),
            ok = emmap_cluster_folder:add_to_others(emmap_cluster_merge:differences(Changes), Stored),
            verified(Id, Since, Crc, From, State#state{known = New, folder = Stored});
        {behind, _} -> State; % the owner is asked by subscribe/3, another host by its next digest
        old -> State
    end.

%% Whether the values that were made by an answer of blocks are those of the sender.
verified(_Id, _Since, none, _From, State) -> State;
verified(_Id, 0, _Crc, _From, State) -> State;
verified(Id, _Since, Crc, From, #state{known = Known} = State) ->
    case emmap_cluster_merge:crc(Id, Known) of
        {Crc, Same} -> State#state{known = Same};
        {_, Same} -> ask(Id, 0, From, State#state{known = Same})
    end.

%%% Digests

%% Compares with what another host knows of an origin. `later': it may be on its way already.
compare({Id, Version, Crc, Node} = Entry, From, When, #state{known = Known, claims = Claims} = State) ->
    case Id =:= origin(State) of
        true -> compare_own(Version, Crc, From, State);
        false ->
            case emmap_cluster_merge:behind(Entry, Known) of
                no -> State;
                forget -> forget_origin(Id, State);
                {ask, Since} when When =:= now -> ask(Id, Since, From, named(Id, Node, State));
                {ask, _} -> named(Id, Node, State#state{claims = Claims#{Id => {Entry, From}}})
            end
    end.

named(_Id, <<>>, State) -> State;
named(Id, Node, #state{nodes = Nodes} = State) -> State#state{nodes = maps:merge(#{Id => Node}, Nodes)}.

compare_own(forgotten, _Crc, _From, State) -> new_origin(forgotten, State);
compare_own(Version, Crc, From, #state{known = Known} = State) ->
    Id = origin(State),
    case has_used(Version, State) andalso version(Id, State) of
        false -> set_back(From, State);
        Version when Crc =/= 0 ->
            case emmap_cluster_merge:crc(Id, Known) of
                {Crc, Same} -> State#state{known = Same};
                %% The owner is right.
                _ -> again(Id, Version, State)
            end;
        _ -> State
    end.

%% The other host is asked first, before it hears of this host's versions from a third one.
set_back(From, State) ->
    _ = send(From, {want, origin(State), 0}),
    new_origin(old_copy, State).

%% Another copy of the folder has made the versions that this host has not.
has_used(Version, #state{folder = Folder} = State) ->
    emmap_cluster_folder:has_used(Version, version(origin(State), State), Folder).

%% Gives the present values a version that is behind this one.
again(Id, Version, #state{known = Known, folder = Folder} = State) ->
    Next = emmap_cluster_folder:next_version(Version, Folder),
    State#state{known = emmap_cluster_merge:own(Id, Next, Known), folder = emmap_cluster_folder:store(Id, Next, [], Folder)}.

ask(Id, Since, From, #state{known = Known} = State) ->
    _ = send(From, {want, Id, Since}),
    case Since =:= 0 andalso version(Id, State) =/= 0 of
        true -> State#state{known = emmap_cluster_merge:doubt(Id, Known)};
        false -> State
    end.

ask_for_claims(#state{claims = Claims} = State) ->
    maps:fold(fun(_Id, {Entry, From}, Before) -> compare(Entry, From, now, Before) end, State#state{claims = #{}}, Claims).

%%% Origins

forget_origin(Id, State) ->
    case Id =:= origin(State) of
        true -> new_origin(forgotten, State);
        false ->
            Settled = settle(State),
            {Changes, Known} = emmap_cluster_merge:forget(Id, Settled#state.known),
            Folder = emmap_cluster_folder:forget(Id, Settled#state.folder),
            ok = emmap_cluster_folder:add_to_others(emmap_cluster_merge:differences(Changes), Folder),
            ok = event(forgotten, #{origin => emmap_cluster_folder:hex(Id)}, State),
            save(false, Settled#state{known = Known, folder = Folder})
    end.

%% Goes on as a new origin. Forgotten: from 0. As an old copy: what was added since the start belongs to the new origin, and the
%% other hosts know better what the former one had.
new_origin(Why, State) ->
    #state{known = Known, folder = Folder, start = Start, read = Read} = Settled = settle(State),
    Former = origin(State),
    {Base, Before, Kept} = case Why of
        forgotten ->
            {_, Forgotten} = emmap_cluster_merge:forget(Former, Known),
            {Read, Forgotten, emmap_cluster_folder:forget(Former, Folder)};
        old_copy ->
            Values = emmap_cluster_merge:subtract_words(Start, emmap_cluster_folder:base(Folder)),
            {Start, emmap_cluster_merge:load(Former, 0, Values, Known),
             emmap_cluster_folder:store(Former, 0, [{0, Values, Values}], Folder)}
    end,
    Void = case Why of
        old_copy ->
            Mine = version(Former, Settled),
            {Former, fun(Version) -> emmap_cluster_folder:has_used(Version, Mine, Folder) end};
        forgotten -> none
    end,
    {New, Now} = emmap_cluster_folder:renew(Base, Before, Kept),
    ok = emmap_cluster_folder:fill_others(Now, New),
    Renewed = based(Settled#state{known = Now, folder = New, start = Base, read = Base, void = Void}),
    ok = event(new_origin, #{reason => Why}, Renewed),
    {Hello, Saved} = hello(save(false, Renewed)),
    _ = [send(Pid, Hello) || Pid <- maps:keys(Saved#state.hosts)],
    look(Saved#state{hosts = maps:map(fun(_, Host) -> Host#host{wants = none} end, Saved#state.hosts)}).

%%% Once a second

beat(#state{hosts = Hosts, beats = Beats, known = Known, nodes = Nodes, connect = Connect} = State) ->
    Asked = ask_for_claims(State),
    Version = version(origin(Asked), Asked),
    Told = case maps:keys(Hosts) of
        [] -> Asked;
        Pids ->
            %% A digest has this host's version, too, and is a sign of life.
            One = lists:nth(rand:uniform(length(Pids)), Pids),
            _ = [send(Pid, {alive, Version}) || Pid <- Pids, Pid =/= One],
            tell_digest([One], Asked)
    end,
    Greeted = case Beats rem ?GREETING of
        0 -> greet(nodes() -- [Node || #host{node = Node} <- maps:values(Hosts)], Told);
        _ -> Told
    end,
    Others = lists:usort(maps:values(maps:with(emmap_cluster_merge:ids(Known), Nodes))) -- [node_name(node())],
    ok = emmap_cluster_folder:beat([os:system_time(millisecond), map_size(Hosts), length(Others)], Greeted#state.folder),
    save_if_due(Greeted#state{beats = Beats + 1, connect = emmap_connect:again(Connect)}).

%%% Saving

save_if_due(#state{saved = {Time, Before}, known = Known} = State) ->
    case now_ms() - Time >= ?SAVE andalso versions(Known) =/= Before of
        true -> save_later(State);
        false -> State
    end.

%% The disk may take long, and others wait for this process.
save_later(#state{saving = none} = State) ->
    {Save, Reserved, Prepared} = prepare_save(false, State),
    %% Linked: it must not write the state after this process is gone, and another one has begun.
    {_, Ref} = spawn_opt(?MODULE, exit_with, [Save], [link, monitor]),
    Prepared#state{saving = {Ref, Reserved}};
save_later(State) -> State.

?DOC(false).
-spec exit_with(fun(() -> term())) -> no_return().
exit_with(Save) -> exit({saved, Save()}).

prepare_save(Clean, #state{known = Known, nodes = Nodes, folder = Folder} = State) ->
    {Save, Reserved, Prepared} = emmap_cluster_folder:prepare_save(Clean, Known, maps:with(emmap_cluster_merge:ids(Known), Nodes), Folder),
    {Save, Reserved, State#state{folder = Prepared, saved = {now_ms(), versions(Known)}}}.

saved({saved, ok}, #state{saving = {_, Reserved}, folder = Folder} = State) ->
    State#state{saving = none, folder = emmap_cluster_folder:saved(Reserved, Folder)};
saved(Failed, #state{folder = Folder, saved = {Time, _}} = State) ->
    Reason = case Failed of {saved, {error, Why}} -> Why; _ -> Failed end,
    complain(not_saved, not_saved, #{reason => Reason},
             State#state{saving = none, folder = emmap_cluster_folder:not_saved(Folder), saved = {Time, []}}).

%% A save that is under way must not replace a later one.
settle(#state{saving = none} = State) -> State;
settle(#state{saving = {Ref, _}} = State) -> receive {'DOWN', Ref, process, _, Result} -> saved(Result, State) end.

save(Clean, State) ->
    {Save, Reserved, Prepared} = prepare_save(Clean, State),
    saved({saved, Save()}, Prepared#state{saving = {make_ref(), Reserved}}).

%%% Reports

%% Once a minute, so that a wrong host does not fill the log.
complain(Key, Event, About, #state{complaints = Complaints} = State) ->
    Now = now_ms(),
    case Complaints of
        #{Key := Last} when Now - Last < ?COMPLAINT -> State;
        #{} ->
            ok = event(Event, About, State),
            State#state{complaints = Complaints#{Key => Now}}
    end.

event(Event, About, #state{name = Name} = State) ->
    ?LOG(level(Event), About#{event => Event, cluster => Name}, #{report_cb => fun ?MODULE:format_report/1}),
    telemetry(Event, #{count => 1}, About, State).

level(Event) when Event =:= host_up; Event =:= host_down; Event =:= forgotten -> notice;
level(new_origin) -> warning;
level(_) -> error.

telemetry(Event, Measurements, About, #state{name = Name}) ->
    emmap_telemetry:execute([emmap, cluster, Event], Measurements, About#{cluster => Name}).

?DOC(false).
-spec format_report(logger:report()) -> {io:format(), [term()]}.
format_report(#{event := Event, cluster := Name} = Report) ->
    {"emmap_cluster ~0tp: ~ts: ~0tp", [Name, atom_to_list(Event), maps:to_list(maps:without([event, cluster], Report))]}.
