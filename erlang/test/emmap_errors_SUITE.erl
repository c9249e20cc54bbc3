%% The reasons of errors, and their texts, over both backends.
-module(emmap_errors_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([says_what_does_not_fit/1, texts/1, no_backend/1, unknown_requests/1]).
-export([no_backend_in/1, log/2]).

-include_lib("stdlib/include/assert.hrl").

all() -> [texts, no_backend, unknown_requests | [{group, Backend} || Backend <- emmap_test_backends:backends()]].

groups() -> emmap_test_backends:groups([says_what_does_not_fit]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

says_what_does_not_fit(Config) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    Full = emmap_test:fresh(Config, "full", <<0:(8 * 8192)>>),
    Empty = emmap_test:fresh(Config, "empty", <<>>),
    New = emmap_test:path(Config, "new"),
    Storage = emmap_test:path(Config, "storage"),
    {ok, Blocks} = emmap:open_block_storage(Storage, 8, [Backend]),
    ok = emmap:close(Blocks),
    Open = fun(Path, Options) -> fun() -> emmap:open(Path, [Backend | Options]) end end,
    Part = fun(Path, Offset, Length, Options) -> fun() -> emmap:open(Path, Offset, Length, [Backend | Options]) end end,
    Queue = fun(Path, Size, Options) -> fun() -> emmap_queue:open(Path, Size, [Backend | Options]) end end,
    Counters = fun(Path, Count, Options) -> fun() -> emmap:open_counters(Path, Count, [Backend | Options]) end end,
    Stores = fun(Path, Size, Options) -> fun() -> emmap:open_block_storage(Path, Size, [Backend | Options]) end end,
    Cases = [{size_missing, Open(New, [create, write])}, {size_missing, Open(Empty, [write])},
             {size_missing, Open(Empty, [write, truncate])}, {size_missing, Open("", [anon, write])},
             {write_missing, Open(New, [create, {size, 8}])}, {write_missing, Open(Full, [truncate])},
             {write_missing, Open(Full, [exclusive])}, {write_missing, Open("", [anon, {size, 8}])},
             {write_missing, Counters(Full, 1, [read, grow])},
             {empty_file, Open(Empty, [read])}, {empty_file, Part(Empty, 0, 0, [read])},
             {wrong_size, Part(Full, 0, 4096, [read])}, {wrong_size, Queue(New, 15, [])},
             {past_the_end, Part(Full, 8192, 0, [read])}, {past_the_end, Part(Full, 4096, 4097, [read])},
             {past_the_end, Open(Full, [read, {offset, 8192}])}, {past_the_end, Open(Full, [read, {length, 8193}])},
             {out_of_range, Part(Full, -1, 0, [read])}, {out_of_range, Open(Full, [read, {offset, 1 bsl 63}])},
             {out_of_range, Queue(New, -1, [])},
             {offset, Part(Full, 1, 0, [read, fit])}, {offset, Part(New, 1, 8, [create, write])},
             {option, Open(Full, [read, follow])}, {option, Open(Full, [write, grow])},
             {option, Queue(New, 0, [{offset, 16}])}, {option, Counters(New, 1, [private])},
             {option, Stores(New, 8, [{length, 16}])},
             {conflict, Open(Full, [read, huge_2mb, huge_1gb])}, {conflict, Open("", [anon, write, {size, 8}, auto_unlink])},
             {conflict, Queue(New, 0, [fixed, follow])},
             {address, Open(Full, [read, fixed])}, {address, Open(Full, [read, {address, 1}])},
             {count, Counters(New, (1 bsl 32) + 1, [])}, {count, Counters(New, -1, [])},
             {block_size, Stores(New, 0, [])}, {block_size, Stores(New, 1 bsl 32, [])}, {block_size, Stores(Storage, 9, [])}, {block_size, Stores(New, -1, [])},
             {levels, Stores(New, 8, [{levels, 6}])}, {levels, Stores(Storage, 8, [{levels, 2}])},
             {no_truncate, Queue(Full, 0, [truncate])}, {no_truncate, Stores(Storage, 8, [truncate])}],
    [?assertEqual({Which, N, {error, {einval, Which}}}, {Which, N, Call()})
     || {N, {Which, Call}} <- lists:enumerate(Cases)],
    [?assertNotEqual(text(Which), text(no_such_reason)) || {Which, _} <- Cases],
    ?assertNot(filelib:is_file(New)),
    ?assertEqual(8192, filelib:file_size(Full)).

text(Which) -> lists:flatten(emmap:format_error({einval, Which})).

%% Every reason has a text of one line, also a reason that nobody knows.
texts(_Config) ->
    [begin
         Text = unicode:characters_to_list(emmap:format_error(Reason)),
         ?assertMatch({Reason, [_, _ | _]}, {Reason, Text}),
         ?assertNot(lists:member($\n, Text)),
         ?assertNotEqual({Reason, "unknown POSIX error"}, {Reason, Text})
     end || Reason <- [enoent, einval, efault, alignment, closed, fixed_size, full, corrupt, port_died, timeout, emsgsize,
                       nif_not_loaded, no_native_dir, estale, ebusy, {einval, size_missing}, {corrupt, 8, <<"no queue">>}, {counters, 1, 2},
                       {other_node, node()}, {no_backend, a, b}, {bad_term, <<131>>}, {max_inflated_size, 8},
                       {port_program, "emmap_port", {exit_status, 1}}, {port_program, "emmap_port", {closed, epipe}},
                       {port_program, "emmap_port", enoent}, {name_in_use, jobs}, {no_handle, jobs}, {3, enospc}, {emmap, "jobs.q", efault}, {a, [tuple]}]],
    ?assertEqual("the port program p was ended by signal 9",
                 unicode:characters_to_list(emmap:format_error({port_program, "p", {exit_status, 137}}))),
    ?assertEqual("jobs.q: permission denied", unicode:characters_to_list(emmap:format_error({emmap, "jobs.q", eacces}))).

%% The fall-back fails too: the answer has both reasons.
no_backend(Config) ->
    Folder = filename:join(proplists:get_value(priv_dir, Config), "nothing"),
    ok = file:make_dir(Folder),
    %% The output may have the crash report of the port's server.
    ?assertMatch({0, _}, emmap_child:run(?MODULE, no_backend_in, [Folder])).

no_backend_in(Folder) ->
    ok = application:load(emmap),
    ok = application:set_env(emmap, native_dir, Folder),
    {error, {no_backend, {load_failed, _}, {port_program, _, enoent}} = Reason} = emmap:open("x", [read]),
    {error, Reason} = emmap_queue:open("x", 0, []),
    true = is_list(unicode:characters_to_list(emmap:format_error(Reason))).

%% Every server answers a request that it does not know, and logs it.
unknown_requests(_Config) ->
    ok = logger:add_handler(?MODULE, ?MODULE, #{config => self()}),
    [begin
         ?assertEqual({reply, {error, {badarg, question}}, state}, Module:handle_call(question, {self(), make_ref()}, state)),
         receive {logged, warning, Module, question} -> ok end
     end || Module <- [emmap_budget, emmap_cluster, emmap_consumer, emmap_keeper, emmap_port, emmap_relay, emmap_relay_receiver]],
    ok = logger:remove_handler(?MODULE).

log(#{level := Level, msg := {_, [Server, _, Request]}}, #{config := Test}) ->
    Test ! {logged, Level, Server, Request};
log(_, _) -> ok.
