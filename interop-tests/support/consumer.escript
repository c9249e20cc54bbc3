#!/usr/bin/env escript
%% Works on the messages of JOBS: consumer.escript EBIN BACKEND JOBS DEAD DONE. A message that is a map goes to DONE, with the attempt.
%% `keep' stays in hand. Any other message fails, and goes to DEAD after two attempts.
-mode(compile).
-export([init/1, handle_message/2]).

main([Ebin, Backend, Jobs, Dead, Done]) ->
    true = code:add_patha(Ebin),
    ok = logger:set_primary_config(level, none),
    Options = [{backend, list_to_atom(Backend)}],
    {ok, Queue} = emmap_queue:open(Done, 0, Options),
    {ok, _} = emmap_consumer:start_link(#{queue => Jobs, module => ?MODULE, args => Queue, dead_letters => Dead, max_attempts => 2,
                                          backoff => {0, 0}, open_options => Options, concurrency => 2}),
    io:put_chars("works\n"),
    receive never -> ok end.

init(Done) -> {ok, Done}.

handle_message(#{<<"reason">> := Reason, <<"attempts">> := Attempts, <<"at">> := At} = Letter, Done) when is_integer(At) ->
    4 = map_size(Letter),
    emmap_queue:push(Done, [maps:get(<<"message">>, Letter), Reason, Attempts]);
handle_message(Job, Done) when is_map(Job) -> emmap_queue:push(Done, [Job, emmap_consumer:attempt()]);
handle_message(<<"keep">>, Done) ->
    ok = emmap_queue:push(Done, <<"kept">>),
    receive never -> ok end;
handle_message(Other, _Done) -> {error, {not_wanted, Other}}.
