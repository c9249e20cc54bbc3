-module(emmap_budget).

-include("emmap_doc.hrl").

?MODULEDOC("A strict limit for many machines: hosts lease parts of it, and all together never have more than the limit.

```erlang
Children = [emmap_budget:child_spec(#{name => mails, folder => \"/var/lib/app/mails\", limit => 100000, window => 60000,
                                      nodes => ['a@host1', 'a@host2', 'a@host3']})],
%% Anywhere in the node:
true = emmap_budget:hit(mails).
```

`emmap_cluster` counts for all hosts, and a limit that is enforced by its sums is exceeded by what the hosts add within an interval,
or while they are apart. A budget is never exceeded: in no window of time, wherever it begins, all hosts together have more hits
than the limit. The price is that hits are refused where the limit can't be proved: while a host can't reach the leader and its
lease is used up or over.

A hit is a few atomic operations on a file of this host, without a message. Node processes take hits from the same file
(`openBudget` in TypeScript).

## How it works

1. The hosts in `nodes` vote. One of them leads, by a name of `global`, with a *term*: a number that a majority has promised, and
   which makes the words of earlier leaders void.
2. A host asks the leader for a block, and gets as much as there is. The leader hands it out when a majority has it on the disk. A
   leader that has no majority hands out nothing. So of two halves of a split at most one goes on.
3. A lease is over after `lease` milliseconds, unless it is renewed. What was spent is free again a window after the report. What a
   dead host had leased is free again a window after the end of its lease.

Times are of monotonic clocks, which nobody sets. The leader waits 2 % longer than the holders may use a lease; so the clocks of
two hosts may differ by 2 % in their rate. A clock that stops while its machine is suspended breaks that: do not suspend hosts.

A voter must not lose its folder, and must not get back an older copy: it would forget its promises. Remove such a host from
`nodes` on all hosts; all of them need the same list.

## Events

`logger` gets a report of level `notice` when this host leads: a map with `event` (`leads`), `budget` and `term`. It gets one of
level `error`, at most once a minute, when the disk refuses a vote: a map with `event` (`not_saved`), `budget` and `reason`. The
host then does not vote.").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, stop/1, hit/1, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([name/0, options/0]).

-include_lib("kernel/include/logger.hrl").

-define(PROTOCOL, 1).
%% Milliseconds between looks at what is left, and after which a question is asked again.
-define(LOOK, 10).
-define(ANSWER, 1000).
-define(ELECTION, 300).
-define(COMPLAINT, 60000).
%% The word of the file: when the lease is over, in milliseconds of the system's monotonic clock, and how many hits are left.
-define(BITS, 24).
-define(MOST, (1 bsl ?BITS - 1)).
-define(WORD, 0).
%% Which boot of the machine the clock belongs to.
-define(BOOT, 1).

%% What another host may say: a number that no host reaches, and that is no work to write down; the most bytes of a session.
-define(IS_NUMBER(Value), (is_integer(Value) andalso Value >= 0 andalso Value < 1 bsl 62)).
-define(SESSION, 64).

?DOC("The name of a budget: the same on all hosts.").
-type name() :: atom().
?DOC("How a host takes part. All but `lease` and `block` are required, and are the same on all hosts, except `folder`.

- `limit`, `window`: so many hits in a window of so many milliseconds.
- `nodes`: the nodes that vote: three or five. Others may take part, too. Each host keeps connected with them.
- `lease`: milliseconds after which what a dead host had leased begins to come back; 10,000 by default.
- `block`: how much a host leases at a time; by default a quarter of the limit, shared among the voters. At most 2^24 - 1. The
  leader gives no host more than its share of half of the limit.
- `options`: for the file, as of `emmap_cluster`.").
-type options() :: #{
    name := name(), folder := file:name_all(), limit := pos_integer(), window := pos_integer(), nodes := [node(), ...],
    lease => pos_integer(), block => pos_integer(), options => [emmap:open_option()]
}.

%% The words of a leader's earlier terms are void. `commit': what the voters are asked to write, and the answers that wait for it.
-record(candidate, {term :: pos_integer(), promises = #{} :: #{node() => accepted()}}).
-record(leader, {
    term :: pos_integer(),
    seq = 0 :: non_neg_integer(),
    ledger :: emmap_budget_ledger:ledger(),
    pending = [] :: [{pid(), Number :: integer(), emmap_budget_ledger:request()}],
    commit = none :: none | {Votes :: [node()], Answers :: [{pid(), term()}], Began :: integer()}
}).
-type accepted() :: none | {Term :: pos_integer(), Seq :: non_neg_integer(), Snapshot :: term()}.

-record(state, {
    name :: name(),
    path :: binary(),
    voters :: [node()],
    connect :: emmap_connect:attempts(),
    terms :: emmap_budget_ledger:terms(),
    block :: pos_integer(),
    lock :: emmap:counters(), %% exclusive: one process at a time has the folder
    file :: emmap:counters(),
    %% The holder. `received': all that it was granted in this session.
    session :: binary(),
    received = 0 :: non_neg_integer(),
    number = 0 :: non_neg_integer(),
    goal :: non_neg_integer(), %% what it had when it was answered last: half of that is time to ask again
    asked = none :: none | {Number :: non_neg_integer(), Time :: integer()},
    rest = 0 :: integer(), %% does not ask before this time
    %% The voter.
    promised = 0 :: non_neg_integer(),
    accepted = none :: accepted(),
    role = follower :: follower | electing | #candidate{} | #leader{},
    began = 0 :: integer(),
    complained = never :: never | integer(),
    seen = 0 :: non_neg_integer() %% the highest term of anybody
}).

%%% For users

?DOC("Takes part in a budget, with a process that is linked to the caller.").
-spec start_link(options()) -> gen_server:start_ret().
start_link(Options) ->
    #{name := Name} = Checked = checked(Options),
    gen_server:start_link({local, process(Name)}, ?MODULE, Checked, []).

checked(Options) ->
    Map = emmap_options:pairs(Options),
    ok = emmap_options:check(Map, [name, folder, limit, window, nodes], fun is_right/2),
    Map.

is_right(name, Name) -> is_atom(Name);
is_right(folder, Path) -> emmap_options:is_path(Path);
is_right(nodes, Nodes) -> Nodes =/= [] andalso emmap_options:is_nodes(Nodes);
is_right(options, Options) -> is_list(Options);
is_right(Key, Number) -> lists:member(Key, [limit, window, lease, block]) andalso is_integer(Number) andalso Number > 0.

?DOC("A child of a supervisor.").
-spec child_spec(options()) -> supervisor:child_spec().
child_spec(Options) ->
    #{name := Name} = Checked = checked(Options),
    #{id => {?MODULE, Name}, start => {?MODULE, start_link, [Checked]}}.

?DOC("Ends the process. Hits can be had until the lease is over.").
-spec stop(name()) -> ok.
stop(Name) -> gen_server:stop(process(Name)).

?DOC("Takes a hit from what this host has leased. `false`: there is none at present. It raises `badarg` while there is no such
budget.").
-spec hit(name()) -> boolean() | {error, emmap:reason()}.
hit(Name) ->
    {File, Boot} = persistent_term:get({?MODULE, Name}),
    take(File, Boot).

%% The time is read after the exchange: a process that was stopped in between must not use a lease that is over.
take(File, Boot) ->
    case emmap:read_counter(File, ?WORD) of
        {ok, Word} when Word band ?MOST =:= 0 -> false;
        {ok, Word} ->
            case emmap:cas_counter(File, ?WORD, Word, Word - 1) of
                {true, _} -> clock() < Word bsr ?BITS andalso emmap:read_counter(File, ?BOOT) =:= {ok, Boot};
                {false, _} -> take(File, Boot);
                {error, _} = Error -> Error
            end;
        {error, _} = Error -> Error
    end.

%% The clock that all processes of the machine share. Erlang's own monotonic time follows the system time.
clock() ->
    {time, Time} = lists:keyfind(time, 1, erlang:system_info(os_monotonic_time_source)),
    erlang:convert_time_unit(Time, native, millisecond).

?DOC("What the host knows: how many hits are `left` of its lease, for how many milliseconds (`lasts`); which node leads, as far as
it knows; and on the leader itself how much of the limit is `used`: leased, or spent within the window.").
-spec info(name()) -> #{left := non_neg_integer(), lasts := non_neg_integer(), leader := node() | undefined,
                        term := non_neg_integer(), used => non_neg_integer()}.
info(Name) -> gen_server:call(process(Name), info).

process(Name) -> list_to_atom("emmap_budget_" ++ atom_to_list(Name)).

%%% The process

?DOC(false).
-spec init(options()) -> {ok, #state{}} | {stop, {emmap, file:name_all(), term()}}.
init(#{name := Name, folder := Folder, limit := Limit, window := Window, nodes := Voters} = Options) ->
    _ = process_flag(trap_exit, true),
    {ok, Path} = emmap_options:path(Folder),
    Block = maps:get(block, Options, max(1, Limit div (4 * length(Voters)))),
    Lease = maps:get(lease, Options, 10000),
    _ = filelib:ensure_dir(<<Path/binary, "/x">>),
    Lock = emmap_lock:inherit(fun() -> open_file(Path, <<"/lock">>, 1, [exclusive], Options) end),
    case {Lock, open_file(Path, <<"/leased.bin">>, 2, [], Options), read_accepted(Path)} of
        {{error, Reason}, _, _} -> {stop, {emmap, <<Path/binary, "/lock">>, Reason}};
        {_, {error, Reason}, _} -> {stop, {emmap, Path, Reason}};
        {_, _, {error, Reason}} -> {stop, {emmap, Path, Reason}};
        {_, File, {Promised, Accepted}} ->
            %% What an earlier process had leased is not this session's.
            {ok, _} = emmap:set_counter(File, ?WORD, 0),
            Boot = boot(),
            {ok, _} = emmap:set_counter(File, ?BOOT, Boot),
            persistent_term:put({?MODULE, Name}, {File, Boot}),
            self() ! look,
            self() ! election,
            {ok, #state{
                name = Name, path = Path, voters = Voters, connect = emmap_connect:attempts(Voters),
                block = min(Block, ?MOST), goal = min(Block, ?MOST), lock = Lock, file = File,
                terms = #{limit => Limit, window => Window, lease => Lease}, session = emmap_state_file:random_id(),
                promised = Promised, accepted = Accepted, seen = Promised
            }}
    end.

open_file(Path, Name, Count, More, Options) ->
    emmap:open_counters(<<Path/binary, Name/binary>>, Count, More ++ maps:get(options, Options, [])).

boot() ->
    case emmap_state_file:boot() of
        none -> 0;
        <<High:8/binary, "-", Low:4/binary, _/binary>> -> binary_to_integer(<<High/binary, Low/binary>>, 16)
    end.

read_accepted(Path) ->
    case emmap_state_file:read_terms(<<Path/binary, "/accepted">>) of
        {ok, [{emmap_budget, 1}, {promised, Promised}, {accepted, Accepted}]} -> {Promised, Accepted};
        {error, enoent} -> {0, none};
        {error, _} = Error -> Error;
        _ -> {error, corrupt}
    end.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, term(), #state{}}.
handle_call(info, _From, #state{file = File, role = Role} = State) ->
    {ok, Word} = emmap:read_counter(File, ?WORD),
    Info = #{left => Word band ?MOST, lasts => max(0, Word bsr ?BITS - clock()), term => State#state.seen,
             leader => case leader(State) of undefined -> undefined; Pid -> node(Pid) end},
    {reply, case Role of
        #leader{ledger = Ledger} -> Info#{used => emmap_budget_ledger:used(Ledger)};
        _ -> Info
    end, State};
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info(look, State) ->
    _ = erlang:send_after(?LOOK, self(), look),
    {noreply, look(State)};
handle_info(election, State) ->
    %% Candidates that fail together do not try again together.
    _ = erlang:send_after(?ELECTION + rand:uniform(?ELECTION), self(), election),
    {noreply, election(State#state{connect = emmap_connect:again(State#state.connect)})};
handle_info({?MODULE, ?PROTOCOL, From, Message}, State) when is_pid(From) ->
    case node(From) =:= node() orelse lists:member(node(From), nodes()) of
        true -> {noreply, message(Message, From, State)};
        false -> {noreply, State}
    end;
handle_info({registered, yes}, #state{role = electing} = State) -> {noreply, stand(State)};
handle_info({registered, no}, #state{role = electing} = State) -> {noreply, State#state{role = follower}};
handle_info({registered, yes}, State) -> {noreply, resign(State)};
handle_info({global_name_conflict, _}, State) -> {noreply, resign(State)};
handle_info({'EXIT', _, Reason}, State) when Reason =/= normal -> {stop, Reason, State};
handle_info(_Message, State) -> {noreply, State}.

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{name = Name, file = File, lock = Lock}) ->
    _ = persistent_term:erase({?MODULE, Name}),
    _ = emmap:close_counters(File),
    _ = emmap:close_counters(Lock),
    ok.

send(To, Message) -> erlang:send(To, {?MODULE, ?PROTOCOL, self(), Message}, [nosuspend, noconnect]) =:= ok.

tell_voters(Message, #state{name = Name, voters = Voters}) ->
    lists:foreach(fun(Node) -> send({process(Name), Node}, Message) end, Voters).

majority(Votes, #state{voters = Voters}) -> 2 * length(Votes) > length(Voters).

is_voter(Node, #state{voters = Voters}) -> lists:member(Node, Voters).

message({prepare, Term}, From, State) when ?IS_NUMBER(Term), Term > 0 -> prepare(Term, From, State);
message({accept, Term, Seq, Snapshot}, From, State) when ?IS_NUMBER(Term), ?IS_NUMBER(Seq) -> accept(Term, Seq, Snapshot, From, State);
message({promise, Term, Accepted}, From, State) -> promise(Term, Accepted, From, State);
message({accepted, Term, Seq}, From, State) -> accepted(Term, Seq, From, State);
message({reject, Term}, _From, #state{seen = Seen} = State) when ?IS_NUMBER(Term), Term > Seen -> resign(State#state{seen = Term});
message({renew, Number, #{session := Id, spent := Spent, left := Left, wants := Wants} = Request}, From, #state{role = #leader{}} = State)
  when ?IS_NUMBER(Number), byte_size(Id) =< ?SESSION, ?IS_NUMBER(Spent), ?IS_NUMBER(Left), ?IS_NUMBER(Wants), Wants =< ?MOST ->
    asked(From, Number, Request, State);
message({lease, Number, Granted, Kept}, _From, #state{asked = {Number, Time}} = State)
  when ?IS_NUMBER(Granted), ?IS_NUMBER(Kept) ->
    leased(Time, Granted, Kept, State);
message(_Message, _From, State) -> State.

%%% The holder

leader(#state{name = Name}) -> global:whereis_name({?MODULE, Name}).

%% Renews the lease when a third of it has passed, or half of the block is used.
look(#state{file = File, block = Block, goal = Goal, terms = #{lease := Lease}, asked = Asked, rest = Rest, number = Number} = State) ->
    Now = clock(),
    {ok, Word} = emmap:read_counter(File, ?WORD),
    Left = Word band ?MOST,
    Due = Left =:= 0 orelse Left * 2 < Goal orelse Word bsr ?BITS - Now < Lease - Lease div 3,
    case Asked of
        {_, Time} when Now - Time < ?ANSWER -> State;
        _ when not Due; Now < Rest -> State#state{asked = none};
        _ ->
            Request = #{session => State#state.session, spent => State#state.received - Left, left => Left, wants => max(0, Block - Left)},
            _ = case leader(State) of
                undefined -> ok;
                Leader -> send(Leader, {renew, Number + 1, Request})
            end,
            State#state{asked = {Number + 1, Now}, number = Number + 1}
    end.

%% The lease begins when it was asked for, so that it is over here before it is at the leader.
leased(Asked, Granted, Kept, #state{file = File, received = Received, terms = #{lease := Lease}} = State) ->
    {ok, Word} = emmap:read_counter(File, ?WORD),
    Left = min(Word band ?MOST, Kept),
    New = min(Left + Granted, ?MOST),
    case emmap:cas_counter(File, ?WORD, Word, (Asked + Lease) bsl ?BITS bor New) of
        {true, _} ->
            %% Without hits to hand out the leader is not asked all the time.
            Rest = case Granted of 0 -> clock() + 10 * ?LOOK; _ -> 0 end,
            %% What it may not keep the leader has counted already.
            Dropped = Word band ?MOST - Left,
            State#state{asked = none, received = Received + Granted - Dropped, rest = Rest, goal = New};
        {false, _} -> leased(Asked, Granted, Kept, State)
    end.

%%% The voter

%% A promise holds because it is on the disk before it is given.
prepare(Term, From, #state{promised = Promised} = State) ->
    case is_voter(node(), State) andalso is_voter(node(From), State) of
        true when Term > Promised ->
            write(State#state{promised = Term, seen = max(Term, State#state.seen)}, {promise, Term, State#state.accepted}, From, State);
        true ->
            _ = send(From, {reject, Promised}),
            State;
        false -> State
    end.

accept(Term, Seq, Snapshot, From, #state{promised = Promised} = State) ->
    case is_voter(node(), State) andalso is_voter(node(From), State) andalso emmap_budget_ledger:is_snapshot(Snapshot) of
        true when Term >= Promised ->
            write(State#state{promised = Term, accepted = {Term, Seq, Snapshot}, seen = max(Term, State#state.seen)},
                  {accepted, Term, Seq}, From, State);
        true ->
            _ = send(From, {reject, Promised}),
            State;
        false -> State
    end.

%% A voter that can't write does not vote. The one who asks tries again.
write(#state{name = Name, path = Path, promised = Promised, accepted = Accepted} = New, Vote, From, #state{complained = Last} = Before) ->
    case emmap_state_file:write_terms(<<Path/binary, "/accepted">>, [{emmap_budget, 1}, {promised, Promised}, {accepted, Accepted}]) of
        ok ->
            _ = send(From, Vote),
            New;
        {error, Reason} ->
            Now = clock(),
            case is_integer(Last) andalso Now - Last < ?COMPLAINT of
                true -> Before;
                false ->
                    ?LOG_ERROR(#{event => not_saved, budget => Name, reason => Reason}),
                    Before#state{complained = Now}
            end
    end.

%%% The leader

election(#state{name = Name, role = follower} = State) ->
    Self = self(),
    case is_voter(node(), State) andalso leader(State) of
        undefined ->
            %% The registration asks other nodes, and may take long.
            _ = spawn_link(fun() ->
                Self ! {registered, global:register_name({?MODULE, Name}, Self, fun global:random_notify_name/3)}
            end),
            State#state{role = electing};
        Self -> resign(State);
        _ -> State
    end;
election(#state{role = #candidate{}, began = Began} = State) -> overdue(Began, State);
election(#state{role = #leader{commit = {_, _, Began}}} = State) -> overdue(Began, State);
election(#state{role = #leader{}, name = Name} = State) ->
    %% `global' forgets a name when nodes disagree.
    case global:whereis_name({?MODULE, Name}) =:= self() of
        true -> State;
        false -> resign(State)
    end;
election(State) -> State.

%% Without a majority nothing is handed out.
overdue(Began, State) ->
    case clock() - Began > ?ANSWER of
        true -> resign(State);
        false -> State
    end.

stand(#state{seen = Seen} = State) ->
    Term = Seen + 1,
    tell_voters({prepare, Term}, State),
    State#state{role = #candidate{term = Term}, seen = Term, began = clock()}.

%% Also gives back a name that came after a follower had heard of a higher term: nobody else can lead while it is taken.
resign(#state{name = Name} = State) ->
    _ = leader(State) =:= self() andalso global:unregister_name({?MODULE, Name}),
    State#state{role = follower}.

promise(Term, Accepted, From, #state{role = #candidate{term = Term, promises = Before} = Role} = State) ->
    Promises = case is_voter(node(From), State) andalso is_accepted(Accepted) of
        true -> Before#{node(From) => Accepted};
        false -> Before
    end,
    case majority(maps:keys(Promises), State) of
        true ->
            %% The latest that a majority may have accepted. `none' is less than all others.
            Ledger = case lists:max([{0, 0, none} | [Each || Each <- maps:values(Promises), Each =/= none]]) of
                {0, 0, none} -> emmap_budget_ledger:new();
                {_, _, Snapshot} -> emmap_budget_ledger:restore(clock(), Snapshot)
            end,
            ?LOG_NOTICE(#{event => leads, budget => State#state.name, term => Term}),
            State#state{role = #leader{term = Term, ledger = Ledger}};
        false -> State#state{role = Role#candidate{promises = Promises}}
    end;
promise(_Term, _Accepted, _From, State) -> State.

is_accepted(none) -> true;
is_accepted({Term, Seq, Snapshot}) when is_integer(Term), is_integer(Seq) -> emmap_budget_ledger:is_snapshot(Snapshot);
is_accepted(_) -> false.

asked(From, Number, Request, #state{role = #leader{pending = Pending} = Role} = State) ->
    commit(State#state{role = Role#leader{pending = [{From, Number, Request} | Pending]}}).

%% One commit at a time, for all that has been asked for.
commit(#state{role = #leader{commit = none, pending = [_ | _] = Pending, ledger = Before, seq = Seq, term = Term} = Role,
              terms = Terms} = State) ->
    Now = clock(),
    Longer = Terms#{window := longer(maps:get(window, Terms)), lease := longer(maps:get(lease, Terms))},
    {Answers, Ledger} = lists:mapfoldl(fun({From, Number, Request}, Each) ->
        {Granted, Kept, After} = emmap_budget_ledger:renew(Request, Longer, Now, Each),
        {{From, {lease, Number, Granted, Kept}}, After}
    end, Before, lists:reverse(Pending)),
    tell_voters({accept, Term, Seq + 1, emmap_budget_ledger:snapshot(Now, Ledger)}, State),
    State#state{role = Role#leader{seq = Seq + 1, ledger = Ledger, pending = [], commit = {[], Answers, Now}}};
commit(State) -> State.

%% Than the holders' clocks may measure: see the module's text.
longer(Time) -> Time + Time div 50 + 1.

accepted(Term, Seq, From, #state{role = #leader{term = Term, seq = Seq, commit = {Votes, Answers, Began}} = Role} = State) ->
    Now = case is_voter(node(From), State) of
        true -> lists:usort([node(From) | Votes]);
        false -> Votes
    end,
    case majority(Now, State) of
        true ->
            lists:foreach(fun({Pid, Answer}) -> send(Pid, Answer) end, Answers),
            commit(State#state{role = Role#leader{commit = none}});
        false -> State#state{role = Role#leader{commit = {Now, Answers, Began}}}
    end;
accepted(_Term, _Seq, _From, State) -> State.
