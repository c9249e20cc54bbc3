%% What a node reports to logger and to telemetry, for suites that start nodes.
-module(emmap_test_events).

-export([capture/0, release/0, reported/0, executed/0]).
-export([log/2, execute/3]).

%% From now on the node keeps reports from `notice' up. A module of the name `telemetry' keeps its events.
capture() ->
    persistent_term:put(?MODULE, ets:new(?MODULE, [public, ordered_set, {heir, whereis(init), none}])),
    _ = logger:add_handler(?MODULE, ?MODULE, #{level => all}),
    ok = logger:set_primary_config(level, notice),
    Forms = [begin {ok, Tokens, _} = erl_scan:string(Text), {ok, Form} = erl_parse:parse_form(Tokens), Form end
             || Text <- ["-module(telemetry).", "-export([execute/3]).",
                         "execute(Event, Measurements, Metadata) -> emmap_test_events:execute(Event, Measurements, Metadata)."]],
    {ok, telemetry, Beam} = compile:forms(Forms),
    {module, telemetry} = code:load_binary(telemetry, "telemetry.erl", Beam),
    ok.

release() ->
    _ = logger:remove_handler(?MODULE),
    _ = code:delete(telemetry),
    _ = code:purge(telemetry),
    ok.

%% The reports, in order.
reported() -> [Report || {_, report, Report} <- ets:tab2list(persistent_term:get(?MODULE))].

%% The events for telemetry, in order: {Event, Measurements, Metadata}.
executed() -> [Executed || {_, executed, Executed} <- ets:tab2list(persistent_term:get(?MODULE))].

log(#{msg := {report, Report}}, _) -> keep(report, Report);
log(_, _) -> ok.

execute(Event, Measurements, Metadata) -> keep(executed, {Event, Measurements, Metadata}).

keep(Kind, What) ->
    true = ets:insert(persistent_term:get(?MODULE), {erlang:unique_integer([monotonic]), Kind, What}),
    ok.
