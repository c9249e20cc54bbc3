%% Keeps a process of `emmap_node' running. If it ends, or cannot start, it is started again after a pause that doubles each time. So
%% trouble of one service ends no other one, and the log is not filled.
-module(emmap_keeper).

-include("emmap_doc.hrl").

?MODULEDOC(false).
-behaviour(gen_server).

-export([child_spec/1, start_link/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-export([format_report/1]).

-include_lib("kernel/include/logger.hrl").

%% The shortest and the longest pause, in milliseconds. After a run of the longest one pauses begin anew.
-define(SHORTEST, 100).
-define(LONGEST, 30000).
%% How long a process may take to end, more than its specification says.
-define(EXTRA, 1000).

-record(state, {
    child :: supervisor:child_spec(),
    pid = none :: none | pid(),
    began = 0 :: integer(),
    pause = ?SHORTEST :: pos_integer()
}).

%% A child that is kept, of a supervisor.
-spec child_spec(supervisor:child_spec()) -> supervisor:child_spec().
child_spec(#{id := Id} = Child) ->
    #{id => Id, start => {?MODULE, start_link, [Child]}, shutdown => case shutdown(Child) of
        infinity -> infinity;
        Time -> Time + ?EXTRA
    end}.

shutdown(#{shutdown := brutal_kill}) -> 0;
shutdown(Child) -> maps:get(shutdown, Child, 5000).

-spec start_link(supervisor:child_spec()) -> gen_server:start_ret().
start_link(Child) -> gen_server:start_link(?MODULE, Child, []).

-spec init(supervisor:child_spec()) -> {ok, #state{}}.
init(Child) ->
    _ = process_flag(trap_exit, true),
    {ok, start(#state{child = Child})}.

start(#state{child = #{start := {Module, Function, Arguments}}} = State) ->
    Began = State#state{began = erlang:monotonic_time(millisecond)},
    case apply(Module, Function, Arguments) of
        {ok, Pid} -> Began#state{pid = Pid};
        {error, Reason} -> failed(Reason, Began)
    end.

failed(Reason, #state{child = #{id := Id}, began = Began, pause = Longer} = State) ->
    Pause = case erlang:monotonic_time(millisecond) - Began >= ?LONGEST of
        true -> ?SHORTEST;
        false -> Longer
    end,
    ?LOG_ERROR(#{event => failed, service => Id, reason => Reason, pause => Pause}, #{report_cb => fun ?MODULE:format_report/1}),
    _ = erlang:send_after(Pause, self(), start),
    State#state{pid = none, pause = min(2 * Pause, ?LONGEST)}.

-spec handle_call(term(), gen_server:from(), #state{}) -> {reply, {error, {badarg, term()}}, #state{}}.
handle_call(Request, _From, State) -> {reply, emmap_errors:unknown_request(?MODULE, Request), State}.

-spec handle_cast(term(), #state{}) -> {noreply, #state{}}.
handle_cast(_Message, State) -> {noreply, State}.

-spec handle_info(term(), #state{}) -> {noreply, #state{}}.
handle_info(start, #state{pid = none} = State) -> {noreply, start(State)};
handle_info({'EXIT', Pid, Reason}, #state{pid = Pid} = State) -> {noreply, failed(Reason, State)};
handle_info(_Message, State) -> {noreply, State}.

-spec terminate(term(), #state{}) -> ok.
terminate(_Reason, #state{pid = none}) -> ok;
terminate(_Reason, #state{pid = Pid, child = Child}) ->
    exit(Pid, shutdown),
    receive {'EXIT', Pid, _} -> ok
    after shutdown(Child) ->
        exit(Pid, kill),
        ok
    end.

-spec format_report(#{event := failed, service := term(), reason := term(), pause := pos_integer()}) -> {nonempty_string(), [term(), ...]}.
format_report(#{event := failed, service := Id, reason := Reason, pause := Pause}) ->
    {"emmap_node: ~0tp has failed, and is started again in ~b ms: ~0tp", [Id, Pause, Reason]}.
