%% The events for telemetry, over both backends. A module of that name plays it.
-module(emmap_telemetry_SUITE).

-export([all/0, groups/0, init_per_suite/1, end_per_suite/1, init_per_group/2, end_per_group/2]).
-export([reports/1, reports_consumers/1, waits/1, needs_none/1]).
-export([init/1, handle_message/2]).

-behaviour(emmap_consumer).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()] ++ [needs_none].

groups() -> emmap_test_backends:groups([reports, reports_consumers, waits]).

init_per_suite(Config) -> [{played, play()} | Config].

play() ->
    Forms = [begin {ok, Tokens, _} = erl_scan:string(Text), {ok, Form} = erl_parse:parse_form(Tokens), Form end
             || Text <- ["-module(telemetry).", "-export([execute/3]).",
                         "execute(Event, Measurements, Metadata) -> "
                         "catch telemetry_test ! {event, Event, Measurements, Metadata}, ok."]],
    {ok, telemetry, Beam} = compile:forms(Forms),
    {module, telemetry} = code:load_binary(telemetry, "telemetry.erl", Beam),
    played.

end_per_suite(_Config) -> unload().

unload() ->
    code:purge(telemetry),
    true = code:delete(telemetry),
    code:purge(telemetry),
    ok.

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%% The next event of this name that has this in its metadata.
event(Event, With) ->
    receive
        {event, Event, Measurements, Metadata} ->
            case maps:with(maps:keys(With), Metadata) =:= With of
                true -> {Measurements, Metadata};
                false -> event(Event, With)
            end
    after 5000 -> ct:fail({no_event, Event, With})
    end.

reports(Config) ->
    true = register(telemetry_test, self()),
    Backend = proplists:get_value(backend, Config),
    Module = case Backend of nif -> emmap_nif; port -> emmap_port end,
    Path = emmap_test:path(Config, "reports"),
    Bytes = list_to_binary(Path),
    {ok, Server} = emmap_queue:start_link(#{path => Path, options => [{backend, Backend}]}),
    {#{duration := Duration}, _} = event([emmap, open], #{path => Bytes, kind => queue, backend => Module, result => ok}),
    ?assert(Duration > 0),
    [ok = emmap_queue:enqueue(Server, N) || N <- [1, 2, 3, 4]],
    1 = emmap_queue:dequeue(Server),
    ?assertMatch({#{count := 1}, _}, event([emmap, queue, delivery], #{path => Path, server => Server})),
    {ok, [2, 3]} = emmap_queue:dequeue_many(Server, 2),
    ?assertMatch({#{count := 2}, _}, event([emmap, queue, delivery], #{path => Path})),
    emmap_test:lose(Backend, Path),
    emmap_test:until(fun() -> emmap_queue:enqueue(Server, 5) =:= ok end),
    Reason = case Backend of nif -> efault; port -> port_died end,
    ?assertMatch({#{count := 1}, _}, event([emmap, fault], #{path => Path, reason => Reason, result => ok})),
    ok = emmap_queue:stop(Server),
    ?assertMatch({#{count := 1}, _}, event([emmap, close], #{path => Bytes, kind => queue})),
    {error, enoent} = emmap:open(Path ++ "-missing", [read, {backend, Backend}]),
    _ = event([emmap, open], #{result => {error, enoent}, kind => file}),
    {ok, Port} = emmap_port:start_link(#{}),
    _ = event([emmap, port, start], #{server => Port}),
    ok = gen_server:stop(Port),
    _ = event([emmap, port, exit], #{server => Port, reason => normal}),
    true = unregister(telemetry_test).

%% Each end of a message, with the time since it was taken.
reports_consumers(Config) ->
    true = register(telemetry_test, self()),
    [Path, Letters] = [emmap_test:path(Config, Name) || Name <- ["consumed", "letters"]],
    Options = [{backend, proplists:get_value(backend, Config)}],
    {ok, Queue} = emmap_queue:open(Path, 0, Options),
    ok = emmap_queue:push_many(Queue, [fine, wrong]),
    {ok, Consumer} = emmap_consumer:start_link(#{queue => Queue, module => ?MODULE, dead_letters => Letters, max_attempts => 2,
                                                 backoff => {0, 0}, open_options => Options}),
    Of = #{path => list_to_binary(Path), module => ?MODULE},
    {#{duration := Duration}, _} = event([emmap, consumer, message], Of#{attempt => 1, result => ack}),
    ?assert(Duration > 0),
    _ = event([emmap, consumer, message], Of#{attempt => 1, result => released}),
    _ = event([emmap, consumer, message], Of#{attempt => 2, result => dead_letter}),
    ok = gen_server:stop(Consumer),
    ok = emmap_queue:close(Queue),
    true = unregister(telemetry_test).

init([]) -> {ok, none}.

handle_message(fine, none) -> ok;
handle_message(wrong, none) -> {error, wrong}.

%% A wait for a lock that a stopped process has.
waits(Config) ->
    true = register(telemetry_test, self()),
    Path = emmap_test:path(Config, "waits"),
    Options = [{backend, proplists:get_value(backend, Config)}, {lock_timeout, 50}],
    {ok, Queue} = emmap_queue:open(Path, 0, Options),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 100000)),
    emmap_test_program:with_stopped_owner(Path, fun(_, _, _) ->
        {error, timeout} = emmap_queue:push(Queue, 1),
        {#{duration := Duration, attempts := Attempts}, _} = event([emmap, lock, wait], #{result => timeout}),
        ?assert(erlang:convert_time_unit(Duration, native, millisecond) >= 49),
        ?assert(Attempts > 1)
    end),
    ok = emmap_queue:close(Queue),
    true = unregister(telemetry_test).

needs_none(Config) ->
    ok = unload(),
    try
        Counters = emmap:open_counters(emmap_test:path(Config, "none"), 1),
        ok = emmap:close_counters(Counters)
    after
        play()
    end.
