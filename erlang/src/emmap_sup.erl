%% Starts the default port server when it is first needed, and logs notices once.
%%
%% A supervisor takes one request at a time and knows its children. So there is one default server, and one notice of
%% each kind, without a lock.
-module(emmap_sup).

-include("emmap_doc.hrl").

?MODULEDOC(false).
-behaviour(supervisor).

-export([start_link/0, port/0, notify_once/2]).
-export([init/1, log_notice/2]).

-include_lib("kernel/include/logger.hrl").

-spec start_link() -> supervisor:startlink_ret().
start_link() ->
    supervisor:start_link({local, ?MODULE}, ?MODULE, []).

%% The default port server. It is started if there is none, also after its program has died. It is a temporary child, so
%% programs may die any number of times without ending the application.
-spec port() -> {ok, pid()} | {error, emmap_port:exit_reason() | term()}.
port() ->
    Child = #{
        id => port,
        start => {emmap_port, start_link, [application:get_env(emmap, port_options, #{})]},
        restart => temporary,
        shutdown => 5000
    },
    case start_child(Child) of
        {error, {{port_program, _, _} = Reason, _Child}} -> {error, Reason};
        Started -> Started
    end.

%% Logs a warning the first time that it is called with this id since the application was started.
-spec notify_once(Id :: term(), Report :: map()) -> ok.
notify_once(Id, Report) ->
    %% A child that was ignored and is not temporary stays on the supervisor's list, which prevents a second one.
    _ = start_child(#{id => {notice, Id}, start => {?MODULE, log_notice, [Id, Report]}, restart => transient}),
    ok.

-spec log_notice(term(), map()) -> ignore.
log_notice(Id, Report) ->
    ?LOG_WARNING(Report#{label => {emmap, Id}}),
    ignore.

-spec init([]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init([]) ->
    {ok, {#{strategy => one_for_one}, []}}.

start_child(Child) ->
    try supervisor:start_child(?MODULE, Child) of
        {ok, Pid} -> {ok, Pid};
        {error, {already_started, Pid}} -> {ok, Pid};
        {error, Reason} -> {error, Reason}
    catch
        exit:{noproc, _} ->
            %% The application may not have been started.
            case ensure_started() of
                ok ->
                    start_child(Child);
                {error, Reason} ->
                    ?LOG_WARNING(#{label => {emmap, not_started}, reason => Reason}),
                    {error, Reason}
            end;
        exit:{Reason, _} ->
            {error, Reason} % the application stops
    end.

%% Some packers leave emmap.app out. The modules are enough to start the application.
ensure_started() ->
    case code:where_is_file("emmap.app") of
        non_existing -> _ = application:load(application()), application:ensure_started(emmap);
        _ -> application:ensure_started(emmap)
    end.

%% The part of emmap.app that the supervisor needs.
application() ->
    {application, emmap,
     [{vsn, ""}, {registered, [?MODULE]}, {mod, {emmap_app, []}}, {applications, [kernel, stdlib]}]}.
