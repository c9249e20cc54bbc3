-module(emmap_consumer).

-include("emmap_doc.hrl").

?MODULEDOC("A behaviour for processes that work on the messages of a queue.

```erlang
-module(resizer).
-behaviour(emmap_consumer).
-export([init/1, handle_message/2]).

init(Folder) -> {ok, Folder}.

handle_message(#{<<\"picture\">> := Name, <<\"width\">> := Width}, Folder) -> resize(Folder, Name, Width).
```

It goes into a supervisor, with 8 messages in work at a time:

```erlang
emmap_consumer:child_spec(#{queue => \"jobs.q\", module => resizer, args => \"/pictures\", concurrency => 8,
                            dead_letters => \"dead.q\"})
```

In Elixir a child is `{:emmap_consumer, queue: \"jobs.q\", module: Resizer, concurrency: 8}`.

## Messages

A consumer takes a message when it can work on it, and not before. `c:handle_message/2` runs in a process of its own for
each message. Its answer decides:

| answer | what happens to the message |
| --- | --- |
| `ok`, `ack` | it is acknowledged, and gone |
| `{error, Reason}`, or a crash | it is released, and delivered again after a delay that grows with each attempt |
| `release` | the same |
| `{release, Delay}` | the same, after `Delay` milliseconds, at most 10^15 |
| `{stop, Reason, Answer}` | as `Answer` says; then the consumer stops with `Reason` |

Any number of consumers, in Erlang, Elixir and Node, may work on one queue. If a consumer dies, its messages go to
another one. So a message may be delivered more than once; `attempt/0` tells how often. Each release counts as an
attempt.

## Dead letters

With `dead_letters` a message that has failed or was released `max_attempts` times goes to that queue, as a map:
`<<\"message\">>` is the term, `<<\"reason\">>` a text of about 4096 characters at most, `<<\"attempts\">>` their
number, and `<<\"at\">>` the time in milliseconds since 1970. Node's dead letters are the same. A message whose term is
refused counts as failed; its dead letter has the message's bytes.

## Shutdown

A consumer that is told to stop takes no more messages, and waits for those in work, for four fifths of `shutdown`. It
kills the processes that need longer, and puts their messages back; that attempt does not count.

## Errors

If the disk or the memory is full, or a stopped process has the lock, the consumer tries again once a second. With any
other error of the queue it stops with `{emmap, Path, Reason}`, and its supervisor starts it again.

`logger` gets a report, a map with `event`, `module`, `queue`, and more:

| event | level | when |
| --- | --- | --- |
| `released` | `warning` | an attempt has failed: `attempt`, `reason`, `delay`, and of an exception its `stacktrace` |
| `dead_letter` | `error` | the last attempt has failed |
| `queue_failed` | `warning` | the queue has failed, and is tried again: `reason` |
| `backoff_failed` | `warning` | the fun `backoff` has given no delay, and the default one is taken: `attempt`, `reason` |
| `put_back` | `notice` | messages were still in work at the end of the consumer: `count` |

`telemetry` gets an event for each message: see `m:emmap_telemetry`.
").
-behaviour(gen_server).

-export([start_link/1, child_spec/1, attempt/0]).
-export([init/1, handle_continue/2, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).
-export([work/4, format_report/1]).

-export_type([options/0, answer/0]).

-include_lib("kernel/include/logger.hrl").
-include("emmap_file.hrl").

?DOC("How a consumer works. `queue` and `module` are required.

- `queue`: the path of a queue; or an open one, or the name of one in `m:emmap_handles`, which the consumer does not close.
- `module`, `args`: the callback module, and the argument of its `c:init/1`; `[]` by default.
- `concurrency`: how many messages are in work at a time; 1 by default.
- `max_attempts`: how often a message is delivered at most, deaths of consumers included; 5 by default with
  `dead_letters`. Without, there is no limit.
- `dead_letters`: as `queue`.
- `backoff`: the delay after the first attempt and the longest one, in milliseconds. Each delay is twice the one before,
  give or take a fifth. `{1000, 300000}` by default. Or a fun that gets the attempt and the reason, and answers the
  delay, from 0 to 10^15. If it raises or answers anything else, the message gets the default delay.
- `open_options`: for both queues, if they are paths; as for `emmap_queue:open/3`.
- `name`: registers the consumer, as `gen_server:start_link/4` does; an atom means `{local, Name}`.
- `id`, `shutdown`: as in `t:supervisor:child_spec/0`; by default the module, and 5000.").
-type options() :: #{
    queue := file:name_all() | emmap_queue:handle(),
    module := module(),
    args => term(),
    concurrency => pos_integer(),
    max_attempts => pos_integer() | infinity,
    dead_letters => file:name_all() | emmap_queue:handle(),
    backoff => backoff(),
    open_options => [emmap_queue:open_option()],
    name => atom() | {local, atom()} | {global, term()} | {via, module(), term()},
    id => term(),
    shutdown => non_neg_integer() | infinity
}.
?DOC("The delay before the next attempt, in milliseconds: see `backoff` of `t:options/0`.").
-type backoff() ::
    {Least :: non_neg_integer(), Most :: non_neg_integer()}
    | fun((Attempt :: pos_integer(), Reason :: term()) -> Delay :: non_neg_integer()).
?DOC("What becomes of a message.").
-type answer() ::
    ok | ack | release | {release, Delay :: non_neg_integer()} | {error, Reason :: term()}
    | {stop, Reason :: term(), answer()}.

?DOC("Prepares the consumer, in its own process. `State` is the second argument of each `c:handle_message/2`.").
-callback init(Args :: term()) -> {ok, State :: term()} | ignore | {stop, Reason :: term()}.
?DOC("Works on a message, in a process of its own.").
-callback handle_message(Message :: term(), State :: term()) -> answer().
?DOC("Is called when the consumer has ended its work, in its own process.").
-callback terminate(Reason :: term(), State :: term()) -> term().
-optional_callbacks([terminate/2]).

%% A message in hand.
-record(job, {
    delivery :: emmap_queue:delivery(),
    bytes :: binary(),
    %% Of the process that works on it. Code of the user may end the link.
    monitor :: undefined | reference(),
    since = erlang:monotonic_time() :: integer() %% when it was taken
}).

-record(state, {
    options :: options(),
    queue :: emmap_queue:queue(),
    dead_letters :: emmap_queue:queue() | none,
    handler :: term(), %% what init/1 of the module has made
    %% By the process that works on it, or by a timer: it could not be ended yet.
    jobs = #{} :: #{pid() | reference() => #job{}},
    %% The process that waits for a message, or a timer: the queue has failed.
    waiter :: undefined | pid() | reference()
}).

%% How long a consumer waits if the queue fails, in milliseconds.
-define(PAUSE, 1000).
-define(SHUTDOWN, 5000).
-define(BACKOFF, {1000, 300000}).
-define(ATTEMPTS, 5).
%% The core's EMMAP_DELAY_MAX.
-define(MAX_DELAY, 1000000000000000).
-define(IS_DELAY(Delay), (is_integer(Delay) andalso 0 =< Delay andalso Delay =< ?MAX_DELAY)).
%% Errors that pass without this process.
-define(PASSES(Reason),
        (Reason =:= timeout orelse Reason =:= ebusy orelse Reason =:= eagain orelse Reason =:= enomem
         orelse Reason =:= enospc orelse Reason =:= edquot orelse Reason =:= emfile orelse Reason =:= enfile
         orelse Reason =:= full)).
%% The longest text of a reason in a dead letter, in characters.
-define(LONGEST_REASON, 4096).

?DOC("Starts a consumer that is linked to the caller. The options are a map, or a list of pairs, which Elixir writes as
keywords.").
-spec start_link(options() | [{atom(), term()}]) -> gen_server:start_ret().
start_link(Pairs) when is_list(Pairs) -> start_link(maps:from_list(Pairs));
start_link(Options) ->
    ok = check(Options),
    case Options of
        #{name := Name} when is_atom(Name) -> gen_server:start_link({local, Name}, ?MODULE, Options, []);
        #{name := Name} -> gen_server:start_link(Name, ?MODULE, Options, []);
        #{} -> gen_server:start_link(?MODULE, Options, [])
    end.

?DOC("How a supervisor starts a consumer.").
-spec child_spec(options() | [{atom(), term()}]) -> supervisor:child_spec().
child_spec(Pairs) when is_list(Pairs) -> child_spec(maps:from_list(Pairs));
child_spec(#{module := Module} = Options) ->
    #{
        id => maps:get(id, Options, Module),
        start => {?MODULE, start_link, [Options]},
        shutdown => maps:get(shutdown, Options, ?SHUTDOWN)
    }.

?DOC("How often the message was delivered, with this time: 1, 2, ... For the process that runs `c:handle_message/2`.").
-spec attempt() -> pos_integer().
attempt() -> get(?MODULE).

check(#{queue := _, module := Module} = Options) when is_atom(Module) ->
    _ = [is_valid(Option) orelse emmap_options:bad({option, Option}) || Option <- maps:to_list(Options)],
    case Options of
        #{dead_letters := _} -> ok;
        #{max_attempts := infinity} -> ok;
        %% Without dead letters there is no place for the message.
        #{max_attempts := Most} -> emmap_options:bad({option, {max_attempts, Most}});
        #{} -> ok
    end;
check(Options) -> emmap_options:bad({options, Options}).

is_valid({concurrency, Count}) -> is_integer(Count) andalso Count > 0;
is_valid({max_attempts, Count}) -> Count =:= infinity orelse is_integer(Count) andalso Count > 0;
is_valid({backoff, {Least, Most}}) -> ?IS_DELAY(Least) andalso ?IS_DELAY(Most) andalso Least =< Most;
is_valid({backoff, Fun}) -> is_function(Fun, 2);
is_valid({open_options, List}) -> is_list(List);
is_valid({name, Name}) -> is_atom(Name) orelse is_tuple(Name);
is_valid({shutdown, Time}) -> Time =:= infinity orelse is_integer(Time) andalso Time >= 0;
is_valid({Key, _Value}) -> lists:member(Key, [queue, module, args, dead_letters, id]).

%%% Begin and end

?DOC(false).
-spec init(options()) -> {ok, #state{}, {continue, take}} | ignore | {stop, term()}.
init(#{queue := Where, module := Module} = Options) ->
    _ = process_flag(trap_exit, true), % for terminate/2, and for the ends of handlers
    case open(Where, Options) of
        {ok, Queue} ->
            case open(maps:get(dead_letters, Options, none), Options) of
                {ok, DeadLetters} ->
                    case Module:init(maps:get(args, Options, [])) of
                        {ok, Handler} ->
                            State = #state{options = Options, queue = Queue, dead_letters = DeadLetters},
                            {ok, State#state{handler = Handler}, {continue, take}};
                        ignore -> ignore;
                        {stop, _} = Stop -> Stop
                    end;
                {error, Reason} -> {stop, {emmap, maps:get(dead_letters, Options), Reason}}
            end;
        {error, Reason} -> {stop, {emmap, Where, Reason}}
    end.

open(none, _Options) -> {ok, none};
open(?MAPPED(_, _) = Queue, _Options) -> {ok, Queue};
open(Name, _Options) when is_atom(Name) -> emmap_named:file(Name);
open(Path, Options) -> emmap_queue:open(Path, 0, maps:get(open_options, Options, [])).

?DOC(false).
-spec terminate(term(), #state{}) -> ok.
terminate(Reason, #state{options = #{module := Module, queue := Queue} = Options, handler = Handler} = State) ->
    await_handlers(stop_waiting(State)),
    _ = erlang:function_exported(Module, terminate, 2) andalso Module:terminate(Reason, Handler),
    close(Queue, State#state.queue),
    close(maps:get(dead_letters, Options, none), State#state.dead_letters).

%% An open queue belongs to the one who has opened it.
close(Same, Same) -> ok;
close(Name, _Queue) when is_atom(Name) -> ok;
close(_Path, Queue) ->
    _ = emmap_queue:close(Queue),
    ok.

await_handlers(#state{options = Options} = State) ->
    Timer = case maps:get(shutdown, Options, ?SHUTDOWN) of
        infinity -> make_ref();
        Time -> erlang:send_after(Time * 4 div 5, self(), no_more_time)
    end,
    await_handlers(State, Timer).

await_handlers(#state{jobs = Jobs}, Timer) when Jobs =:= #{} ->
    _ = erlang:cancel_timer(Timer),
    ok;
await_handlers(#state{jobs = Jobs} = State, Timer) ->
    receive
        no_more_time ->
            _ = [kill(Pid) || Pid <- maps:keys(Jobs), is_pid(Pid)],
            log(notice, put_back, State, #{count => map_size(Jobs)}),
            %% The last one first, so that they are in the order in which they were taken.
            Taken = lists:sort([Job#job.delivery || Job <- maps:values(Jobs)]),
            lists:foreach(fun emmap_delivery:put_back/1, lists:reverse(Taken));
        {done, Pid, Answer} ->
            {_, Next} = done(Pid, Answer, State),
            await_handlers(Next, Timer);
        {'EXIT', Pid, Reason} ->
            {_, Next} = ended(Pid, Reason, State),
            await_handlers(Next, Timer);
        {'DOWN', _, process, Pid, Reason} ->
            {_, Next} = ended(Pid, Reason, State),
            await_handlers(Next, Timer);
        {again, Key, Action} ->
            {_, Next} = again(Key, Action, State),
            await_handlers(Next, Timer)
    end.

kill(Pid) ->
    unlink(Pid),
    exit(Pid, kill).

%%% Messages of others

%% The messages are the users', and no matter of a crash report.
?DOC(false).
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(#{state := #state{options = #{module := Module}, jobs = Jobs} = State} = Status) ->
    Status#{state := #{path => path(State), module => Module, in_work => map_size(Jobs)}};
format_status(Status) -> Status.

?DOC(false).
-spec handle_continue(take, #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_continue(take, State) -> take(State).

?DOC(false).
-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, {badarg, term()}}, #state{}}.
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

?DOC(false).
-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #state{}) -> {noreply, #state{}} | {stop, term(), #state{}}.
handle_info({done, Pid, Answer}, State) -> go_on(done(Pid, Answer, State));
handle_info({again, Key, Action}, State) -> go_on(again(Key, Action, State));
handle_info({waited, Waiter, Result}, #state{waiter = Waiter} = State) ->
    case Result of
        {error, Reason} -> failed(Reason, State#state{waiter = undefined});
        _ -> take(State#state{waiter = undefined})
    end;
handle_info({timeout, Timer, take}, #state{waiter = Timer} = State) -> take(State#state{waiter = undefined});
handle_info({'EXIT', Pid, Reason}, #state{jobs = Jobs} = State) when is_map_key(Pid, Jobs) ->
    go_on(ended(Pid, Reason, State));
handle_info({'DOWN', _, process, Pid, Reason}, State) -> go_on(ended(Pid, Reason, State));
handle_info({'EXIT', _Pid, normal}, State) -> {noreply, State};
handle_info({'EXIT', _Pid, Reason}, State) -> {stop, Reason, State}; % linked by init/1 of the module
handle_info(_Message, State) -> {noreply, State}.

go_on({ok, State}) -> take(State);
go_on({{stop, Reason}, State}) -> {stop, Reason, State}.

%%% Taking messages

%% Takes no more than there are handlers for.
take(#state{waiter = undefined, jobs = Jobs, options = Options, queue = ?MAPPED(Backend, Handle)} = State) ->
    case map_size(Jobs) < maps:get(concurrency, Options, 1) of
        true ->
            case emmap_delivery:take_bytes(Backend, Handle) of
                {ok, Delivery, Bytes} -> begin_job(#job{delivery = Delivery, bytes = Bytes}, State);
                eof -> {noreply, wait(State)};
                {busy, _} -> {noreply, wait(State)};
                {error, ebusy} -> {noreply, wait(State)};
                {error, Reason} -> failed(Reason, State)
            end;
        false ->
            {noreply, State}
    end;
take(State) ->
    {noreply, State}.

failed(Reason, State) when ?PASSES(Reason) ->
    log(warning, queue_failed, State, #{reason => Reason}),
    {noreply, State#state{waiter = erlang:start_timer(?PAUSE, self(), take)}};
failed(Reason, State) ->
    {stop, lost(queue, State#state.queue, Reason, State), State}.

%% Why the consumer ends. If the file has a name, its process opens it again for the next consumer.
lost(Which, Queue, Reason, #state{options = Options}) ->
    case Options of
        #{Which := Name} when is_atom(Name) ->
            _ = emmap_named:failed(Name, Queue, Reason),
            {emmap, emmap_open:path(Queue), Reason};
        #{} ->
            {emmap, emmap_open:path(Queue), Reason}
    end.

%% Another process waits, so that this one answers system messages meanwhile.
wait(#state{queue = Queue} = State) ->
    Consumer = self(),
    State#state{waiter = spawn_link(fun() -> Consumer ! {waited, self(), emmap_queue:wait(Queue, infinity)} end)}.

stop_waiting(#state{waiter = Waiter} = State) ->
    _ = is_pid(Waiter) andalso kill(Waiter),
    State#state{waiter = undefined}.

%% Consumers that die with a message would otherwise do so for ever.
begin_job(#job{delivery = Delivery} = Job, #state{jobs = Jobs} = State) ->
    Attempt = emmap_delivery:attempt(Delivery),
    case Attempt > max_attempts(State) of
        true ->
            go_on(settle(make_ref(), {bury, {no_consumer_ended, Attempt - 1}}, Job, State));
        false ->
            Pid = proc_lib:spawn_link(?MODULE, work, [self(), Job#job.bytes, Attempt, State#state{jobs = #{}}]),
            take(State#state{jobs = Jobs#{Pid => Job#job{monitor = monitor(process, Pid)}}})
    end.

max_attempts(#state{dead_letters = none}) -> infinity; % more than any number
max_attempts(#state{options = Options}) -> maps:get(max_attempts, Options, ?ATTEMPTS).

%%% Working on a message

?DOC(false).
-spec work(pid(), binary(), pos_integer(), #state{}) -> {done, pid(), term()}.
work(Consumer, Bytes, Attempt, #state{queue = ?QUEUE(_, _, Terms), options = #{module := Module}, handler = Handler}) ->
    _ = put(?MODULE, Attempt),
    Answer = case emmap_terms:decode(Bytes, Terms) of
        {ok, Message} ->
            try
                Module:handle_message(Message, Handler)
            catch
                Class:Reason:Stack -> {raised, Class, Reason, Stack}
            end;
        {bad_term, _} -> {error, bad_term};
        enomem -> {error, enomem}
    end,
    Consumer ! {done, self(), Answer}.

%% The handler has answered.
done(Pid, Answer, #state{jobs = Jobs} = State) ->
    case maps:take(Pid, Jobs) of
        {Job, Others} ->
            _ = leave(Pid, Job, normal),
            answered(Answer, Pid, Job, State#state{jobs = Others});
        error ->
            {ok, State}
    end.

%% The handler's process was killed.
ended(Pid, Reason, #state{jobs = Jobs} = State) ->
    case maps:take(Pid, Jobs) of
        {Job, Others} ->
            Died = {died, leave(Pid, Job, Reason)},
            settle(Pid, failure(Died, Job, State), Job, State#state{jobs = Others});
        error -> {ok, State}
    end.

%% Ends the link to a handler's process, and the monitor. The link knows the better reason: the process may have died before
%% the monitor began.
leave(Pid, #job{monitor = Monitor}, Reason) ->
    unlink(Pid),
    _ = demonitor(Monitor, [flush]),
    receive {'EXIT', Pid, Better} -> Better after 0 -> Reason end.

answered({stop, Reason, Answer}, Key, Job, State) ->
    {_, Next} = answered(Answer, Key, Job, State),
    {{stop, Reason}, Next};
answered(Answer, Key, Job, State) -> settle(Key, action(Answer, Job, State), Job, State).

action(Answer, _Job, _State) when Answer =:= ok; Answer =:= ack -> ack;
action(release, Job, State) -> failure(released, Job, State);
action({release, Delay}, Job, State) when ?IS_DELAY(Delay) ->
    failure(released, fun() -> Delay end, Job, State);
action({error, Reason}, Job, State) -> failure({error, Reason}, Job, State);
action({raised, _, _, _} = Raised, Job, State) -> failure(Raised, Job, State);
action(Other, Job, State) -> failure({bad_return_value, Other}, Job, State).

failure(Why, #job{delivery = Delivery} = Job, #state{options = Options} = State) ->
    Delay = fun() -> delay(maps:get(backoff, Options, ?BACKOFF), emmap_delivery:attempt(Delivery), Why, State) end,
    failure(Why, Delay, Job, State).

failure(Why, Delay, #job{delivery = Delivery}, State) ->
    case emmap_delivery:attempt(Delivery) >= max_attempts(State) of
        true -> {bury, Why};
        false -> {release, Delay(), Why}
    end.

%% A fifth of it is random, so that messages that failed together do not come back together.
delay({Least, Most}, Attempt, _Why, _State) ->
    Delay = min(Most, Least bsl min(Attempt - 1, 40)),
    min(?MAX_DELAY, round(Delay * (0.8 + 0.4 * rand:uniform())));
delay(Fun, Attempt, Why, State) ->
    try Fun(Attempt, Why) of
        Delay when ?IS_DELAY(Delay) -> Delay;
        Other -> no_delay({bad_return_value, Other}, Attempt, State)
    catch
        Class:Reason:Stack -> no_delay({raised, Class, Reason, Stack}, Attempt, State)
    end.

no_delay(Why, Attempt, State) ->
    log(warning, backoff_failed, State, #{attempt => Attempt, reason => text(Why)}),
    delay(?BACKOFF, Attempt, Why, State).

%%% Ending a delivery

%% Does what is to become of the message. If the queue can't do it now, it is done later.
settle(Key, Action, #job{delivery = Delivery} = Job, #state{jobs = Jobs} = State) ->
    case act(Action, Job, State) of
        {ok, _} ->
            log_end(Action, Delivery, State),
            ok = report(Action, Job, State),
            {ok, State};
        {{error, Reason}, Rest} when ?PASSES(Reason) ->
            log(warning, queue_failed, State, #{reason => Reason}),
            _ = erlang:send_after(?PAUSE, self(), {again, Key, Rest}),
            {ok, State#state{jobs = Jobs#{Key => Job}}};
        {{error, einval}, _} -> % emmap_queue:release_all/1 has taken the message away
            log(warning, queue_failed, State, #{reason => einval}),
            {ok, State};
        {{error, Reason}, {bury, _}} ->
            {{stop, lost(dead_letters, State#state.dead_letters, Reason, State)}, State};
        {{error, Reason}, _} ->
            {{stop, lost(queue, State#state.queue, Reason, State)}, State}
    end.

again(Key, Action, #state{jobs = Jobs} = State) ->
    {Job, Others} = maps:take(Key, Jobs),
    settle(Key, Action, Job, State#state{jobs = Others}).

%% The answer of the queue, and what is still to be done after an error.
act(ack, #job{delivery = Delivery}, _State) -> {emmap_delivery:ack(Delivery), ack};
act({release, Delay, _Why} = Action, #job{delivery = Delivery}, _State) ->
    {emmap_delivery:release(Delivery, Delay), Action};
act({bury, Why} = Action, #job{delivery = Delivery} = Job, #state{dead_letters = DeadLetters} = State) ->
    %% Nobody would find a letter in a file that the path does not lead to.
    Pushed = case emmap:is_current(DeadLetters) of
        false -> {error, estale};
        _ -> emmap_queue:push(DeadLetters, dead_letter(Why, Job, State))
    end,
    case Pushed of
        ok -> {emmap_delivery:ack(Delivery), ack};
        {error, _} = Error -> {Error, Action}
    end.

%% Node's consumers write the same.
dead_letter(Why, #job{delivery = Delivery, bytes = Bytes}, #state{queue = ?QUEUE(_, _, Terms)}) ->
    Message = case emmap_terms:decode(Bytes, Terms) of
        {ok, Term} -> Term;
        _ -> Bytes
    end,
    #{<<"message">> => Message, <<"reason">> => text(Why), <<"attempts">> => emmap_delivery:attempt(Delivery),
      <<"at">> => os:system_time(millisecond)}.

-spec text(term()) -> binary().
text({error, Reason}) -> format("~0tp", [Reason]);
text({raised, Class, #{'__struct__' := _, '__exception__' := true} = Exception, _Stack}) ->
    Elixir = 'Elixir.Exception',
    try
        format("~ts", [Elixir:format_banner(Class, Exception)])
    catch
        _:_ -> format("~s: ~0tp", [Class, Exception])
    end;
text({raised, Class, Reason, _Stack}) -> format("~s: ~0tp", [Class, Reason]);
text({died, Reason}) -> format("the process died: ~0tp", [Reason]);
text(released) -> <<"the handler released the message">>;
text({no_consumer_ended, Attempt}) -> format("no consumer has ended attempt ~b", [Attempt]);
text(Other) -> format("~0tp", [Other]).

format(Format, Arguments) ->
    unicode:characters_to_binary(io_lib:format(Format, Arguments, [{chars_limit, ?LONGEST_REASON}])).

%%% Logging

log_end(ack, _Delivery, _State) -> ok;
log_end({release, Delay, Why}, Delivery, State) ->
    log(warning, released, State, (about(Why, Delivery))#{delay => Delay});
log_end({bury, Why}, Delivery, State) -> log(error, dead_letter, State, about(Why, Delivery)).

report(Action, #job{delivery = Delivery, since = Since}, #state{options = #{module := Module}} = State) ->
    Result = case Action of
        ack -> ack;
        {release, _, _} -> released;
        {bury, _} -> dead_letter
    end,
    Metadata = #{path => path(State), module => Module, attempt => emmap_delivery:attempt(Delivery), result => Result},
    emmap_telemetry:execute([emmap, consumer, message], #{duration => erlang:monotonic_time() - Since}, Metadata).

about({raised, _, _, Stack} = Why, Delivery) ->
    #{attempt => emmap_delivery:attempt(Delivery), reason => text(Why), stacktrace => Stack};
about(Why, Delivery) ->
    #{attempt => emmap_delivery:attempt(Delivery), reason => text(Why)}.

log(Level, Event, #state{options = #{module := Module}} = State, Report) ->
    %% Elixir's Logger drops reports that have a `label' which it does not know.
    ?LOG(Level, Report#{event => Event, module => Module, queue => path(State)},
         #{report_cb => fun ?MODULE:format_report/1}).

path(#state{queue = Queue}) -> emmap_open:path(Queue).

?DOC(false).
-spec format_report(#{event := released | dead_letter | queue_failed | backoff_failed | put_back, module := module(),
                      queue := term(), atom() => term()}) -> {nonempty_string(), [term(), ...]}.
format_report(#{event := Event, module := Module, queue := Queue} = Report) ->
    {What, Arguments} = sentence(Event, Report),
    {Stack, More} = case Report of
        #{stacktrace := Trace} -> {"~n~tp", [Trace]};
        #{} -> {"", []}
    end,
    {"~ts, ~tp: " ++ What ++ Stack, [Queue, Module] ++ Arguments ++ More}.

sentence(released, #{attempt := Attempt, reason := Reason, delay := Delay}) ->
    {"attempt ~b has failed, the next one follows after ~b ms. ~ts", [Attempt, Delay, Reason]};
sentence(dead_letter, #{attempt := Attempt, reason := Reason}) ->
    {"attempt ~b was the last one, the message is a dead letter. ~ts", [Attempt, Reason]};
sentence(queue_failed, #{reason := Reason}) ->
    {"the queue has failed, it is tried again. ~tp", [Reason]};
sentence(backoff_failed, #{attempt := Attempt, reason := Reason}) ->
    {"backoff has given no delay after attempt ~b, the default one is taken. ~ts", [Attempt, Reason]};
sentence(put_back, #{count := Count}) ->
    {"~b messages were still in work at the end of the consumer, and are put back", [Count]}.
