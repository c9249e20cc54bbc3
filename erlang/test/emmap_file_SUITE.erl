%% Files, over both backends: the functions of `file' answer as for a raw handle, and the other functions of emmap as
%% documented.
-module(emmap_file_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([answers_as_raw_files_do/1, refuses_writes_on_a_read_only_file/1, after_close/1, copies_between_files/1, copies_within_a_file/1,
         writes_of_bytes_of_the_file_itself/1,
         sends_a_file/1, forwards_everything/1, open_forms/1, info_by_environment/1, file_names/1, options/1,
         positions_count_from_the_offset/1, private_writes_stay_private/1, shared_writes_reach_the_file/1,
         anonymous_memory/1, resize/1, truncate/1, auto_unlink/1, batch/1, batch_refused_whole/1, reopen/1, reopen_exclusive/1, sync_of_a_replaced_file/1,
         large_reads_and_writes/1, many_readers_and_writers/1, direct/1, relative_path/1,
         relative_path_in_a_removed_folder/1, exclusive/1, services_of_both_styles/1, backup/1, backup_beside_others/1, is_current/1]).

-include_lib("kernel/include/file.hrl").
-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [answers_as_raw_files_do, refuses_writes_on_a_read_only_file, after_close, copies_between_files,
       copies_within_a_file, writes_of_bytes_of_the_file_itself, sends_a_file,
       forwards_everything, open_forms, info_by_environment, file_names, options, positions_count_from_the_offset,
       private_writes_stay_private, shared_writes_reach_the_file, anonymous_memory, resize, truncate, auto_unlink,
       batch, batch_refused_whole, reopen, reopen_exclusive, sync_of_a_replaced_file, large_reads_and_writes, many_readers_and_writers, direct, relative_path,
       relative_path_in_a_removed_folder, exclusive, services_of_both_styles, backup, backup_beside_others, is_current]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%%% The comparison with raw files

-define(TEXT, <<"hello\nworld\n12345678901234567890">>).

%% Calls in the order in which they are made, on both handles.
calls() ->
    Big = 1 bsl 63,
    Advices = [normal, sequential, random, no_reuse, will_need, dont_need],
    [{pread, [0, 5]}, {pread, [0, 0]}, {pread, [30, 10]}, {pread, [32, 1]}, {pread, [1000, 1]}, {pread, [-1, 2]},
     {pread, [0, -1]}, {pread, [Big, 2]}, {pread, [Big - 1, 2]}, {pread, [1 bsl 70, 2]}, {pread, [0, 1 bsl 70]},
     {pread, [0, Big]}, {pread, [foo, 2]}, {pread, [0, foo]}, {pread, [{bof, 1}, 2]}, {pread, [cur, 2]},
     {pread, [1.0, 2]},
     {pread, [[]]}, {pread, [[{0, 2}, {100, 1}]]}, {pread, [[{0, 2}, {6, 5}, {0, 0}]]}, {pread, [[{0, 2}, {-1, 1}]]},
     {pread, [[{0, 2}, {1, -1}]]}, {pread, [[{0, 2}, {a, 1}]]}, {pread, [[{{bof, 1}, 2}]]}, {pread, [foo]},
     {read, [0]}, {read, [3]}, {read, [-1]}, {read, [a]}, {read, [1 bsl 70]}, {read, [100]}, {read, [1]}, {read, [0]},
     {position, [0]}, {position, [bof]}, {position, [{bof, 3}]}, {position, [{cur, 3}]}, {position, [cur]},
     {position, [{cur, -30}]}, {position, [eof]}, {position, [{eof, -3}]}, {position, [{eof, 300}]}, {position, [332]}, {read, [3]},
     {read, [0]}, {read_line, []}, {position, [Big]}, {position, [{bof, Big}]}, {position, [{cur, Big}]},
     {position, [{cur, -(1 bsl 64)}]}, {position, [{cur, Big - 1}]}, {position, [-1]}, {position, [-Big]},
     {position, [x]}, {position, [1.0]}, {position, [{bof, x}]}, {position, [{x, 1}]}, {position, [{bof, 1, 2}]},
     {position, [3]}, {read_line, []}, {read_line, []}, {read_line, []}, {read_line, []},
     {position, [0]}, {write, ["HE"]}, {write, [[$L, <<"L">>, [["O"]]]]}, {write, [[]]}, {write, [<<>>]},
     {write, [[a]]}, {write, [[256]]}, {write, [a]}, {write, [[$a | $b]]}, {write, [[$\n | <<"W">>]]},
     {write, [<<1:3>>]}, {position, [cur]}, {pread, [0, 100]},
     {pwrite, [0, [$h, <<"ell">>, ["o"]]]}, {pwrite, [-1, <<"x">>]}, {pwrite, [-1, <<>>]}, {pwrite, [Big, <<"x">>]},
     {pwrite, [Big, <<>>]}, {pwrite, [1 bsl 70, <<"x">>]}, {pwrite, [0, [a]]}, {pwrite, [x, <<"x">>]},
     {pwrite, [{bof, 1}, <<"e">>]}, {pwrite, [cur, <<"e">>]}, {pwrite, [0, []]}, {pwrite, [5, <<>>]},
     {pwrite, [[]]}, {pwrite, [[{0, "h"}, {1, <<"e">>}]]}, {pwrite, [[{0, "h"}, {-1, <<"e">>}]]},
     {pwrite, [[{-1, <<"e">>}, {0, "h"}]]}, {pwrite, [[{0, "h"}, {a, <<"e">>}]]}, {pwrite, [[{0, "h"}, {1, [a]}]]},
     {pwrite, [[{0, "h"}, {Big, "x"}]]}, {pwrite, [foo]}, {pread, [0, 100]},
     {advise, [0, 10, foo]}, {advise, [-1, 10, normal]}, {advise, [0, -1, normal]}, {advise, [Big, 10, normal]},
     {advise, [0, Big, normal]}, {advise, [x, 10, normal]}, {advise, [0, x, normal]}, {advise, [100, 10, normal]}]
    ++ [{advise, [0, 0, Advice]} || Advice <- Advices] ++
    [{allocate, [0, 10]}, {allocate, [0, 0]}, {allocate, [-1, 10]}, {allocate, [0, -1]}, {allocate, [x, 1]},
     {allocate, [Big, 1]}, {allocate, [0, Big]}, {sync, []}, {datasync, []},
     {pwrite, [0, <<4:32, 16:32>>]}, {ipread_s32bu_p32bu, [0, 100]}, {ipread_s32bu_p32bu, [0, infinity]},
     {ipread_s32bu_p32bu, [0, 3]}, {ipread_s32bu_p32bu, [x, 100]}, {ipread_s32bu_p32bu, [1000, 100]},
     {ipread_s32bu_p32bu, [-1, 100]}, {pwrite, [0, <<4:32, 300:32>>]}, {ipread_s32bu_p32bu, [0, 100]},
     {pwrite, [0, <<0:32, 16:32>>]}, {ipread_s32bu_p32bu, [0, 100]}, {pwrite, [0, <<100:32, 30:32>>]},
     {ipread_s32bu_p32bu, [0, 100]}, {pwrite, [0, <<(1 bsl 31):32, 30:32>>]}, {ipread_s32bu_p32bu, [0, infinity]},
     {pwrite, [30, <<"past">>]}, {pwrite, [[{0, "h"}, {100, "x"}]]}, {position, [Big - 1]}, {position, [10]},
     {truncate, []}, {pread, [0, 100]}, {read, [1]}, {position, [eof]}, {position, [0]}, {truncate, []},
     {close, []}, {close, []}, {read, [1]}, {pread, [0, 1]}, {pwrite, [0, "x"]}, {position, [0]}].

%% The answers of a mapped file that differ by design.
differences() ->
    #{% a mapping does not grow by itself
      {pwrite, [30, <<"past">>]} => {error, einval},
      {pwrite, [[{0, "h"}, {100, "x"}]]} => {error, {1, einval}},
      % a cursor may have any off_t; a raw file's cursor is limited by its file system
      {position, [(1 bsl 63) - 1]} => {ok, (1 bsl 63) - 1},
      {pread, [(1 bsl 63) - 1, 2]} => eof,
      % arguments that no program can mean raise, as in emmap 2.x
      {pread, [1.0, 2]} => {raised, badarg},
      {advise, [0, 10, foo]} => {raised, badarg},
      % as in emmap 2.x a read of 0 bytes is empty within the file, and eof at its end
      {pread, [0, 0]} => {ok, <<>>},
      {pread, [[{0, 2}, {6, 5}, {0, 0}]]} => {ok, [<<"he">>, <<"world">>, <<>>]},
      {read_nothing_at_the_end, []} => eof,
      % as in emmap 2.x the end less 300, which is before the beginning
      {position, [{eof, 300}]} => {error, einval},
      {closed, position} => {ok, 0},
      % there is always something mapped
      {truncate_to_nothing, []} => {error, einval},
      % use after close
      {closed, close} => ok,
      {closed, other} => {error, closed}}.

answers_as_raw_files_do(Config) ->
    RawPath = emmap_test:fresh(Config, "raw", ?TEXT),
    _ = emmap_test:fresh(Config, "mapped", ?TEXT),
    {ok, Raw} = file:open(RawPath, [read, write, raw, binary]),
    {ok, Mapped} = emmap_test:open(Config, "mapped", [read, write, shared]),
    ?assertEqual([], compare(calls(), Raw, Mapped, none, open)).

%% Each call with a wrong answer, the expected answer, and the answer that came.
compare([], _Raw, _Mapped, _Previous, _State) ->
    [];
compare([{Function, Arguments} = Call | Rest], Raw, Mapped, Previous, State) ->
    ByRaw = apply(file, Function, [Raw | Arguments]),
    ByMapped = try apply(file, Function, [Mapped | Arguments]) catch error:badarg -> {raised, badarg} end,
    Key = case {State, Call, Previous} of
        {closed, {close, []}, _} -> {closed, close};
        {closed, {position, _}, _} -> {closed, position};
        {closed, _, _} -> {closed, other};
        {open, {read, [0]}, {read, _}} -> {read_nothing_at_the_end, []};
        {open, {truncate, []}, {position, [0]}} -> {truncate_to_nothing, []};
        _ -> Call
    end,
    %% Of arguments that no program can mean, `file' answers some by itself.
    Expected = case maps:get(Key, differences(), ByRaw) of
        {error, badarg} when ByMapped =:= {raised, badarg} -> ByMapped;
        %% A number that is no place is refused as in all functions.
        {error, badarg} when ByMapped =:= {error, einval}, Function =:= position -> ByMapped;
        Answer -> Answer
    end,
    Wrong = [{Call, Expected, ByMapped} || ByMapped =/= Expected]
        ++ [{Call, no_difference} || is_map_key(Key, differences()), ByRaw =:= Expected],
    NewState = case Call of
        {close, []} -> closed;
        _ -> State
    end,
    Wrong ++ compare(Rest, Raw, Mapped, Call, NewState).

refuses_writes_on_a_read_only_file(Config) ->
    Path = emmap_test:fresh(Config, "read-only", ?TEXT),
    {ok, File} = emmap_test:open(Config, "read-only", [read, shared]),
    [?assertEqual({Function, {error, eacces}}, {Function, apply(emmap, Function, [File | Arguments])})
     || {Function, Arguments} <-
            [{write, ["a"]}, {pwrite, [0, "a"]}, {resize, []}, {resize, [64]}, {allocate, [0, 1]},
             {patomic_add, [0, 1]}, {patomic_sub, [0, 1]}, {patomic_and, [0, 1]}, {patomic_or, [0, 1]},
             {patomic_xor, [0, 1]}, {patomic_xchg, [0, 1]}, {patomic_cas, [0, 0, 1]},
             {patomic_write_integer, [0, 1]}, {patomic, [0, add, 1]}]],
    ?assertEqual({error, {0, eacces}}, file:pwrite(File, [{0, "a"}])),
    {ok, 3} = file:position(File, 3),
    ?assertEqual({error, eacces}, file:truncate(File)),
    ?assertEqual({ok, <<"hello\nwo">>}, file:pread(File, 0, 8)),
    ?assertMatch({ok, _}, emmap:patomic_read_integer(File, 0)),
    ?assertEqual({ok, ?TEXT}, file:read_file(Path)),
    ok = file:close(File).

after_close(Config) ->
    Path = emmap_test:fresh(Config, "closed", ?TEXT),
    {ok, File} = emmap_test:open(Config, "closed", [read, write, shared]),
    ok = file:close(File),
    [?assertEqual({Function, {error, closed}}, {Function, apply(emmap, Function, [File | Arguments])})
     || {Function, Arguments} <-
            [{size, []}, {pread, [0, 1]}, {pwrite, [0, "a"]}, {read, [1]}, {read_line, []}, {write, ["a"]},
             {position, [eof]}, {resize, []}, {resize, [64]}, {truncate, []}, {allocate, [0, 1]},
             {advise, [0, 1, normal]}, {sync, []}, {datasync, []}, {patomic_add, [0, 1]},
             {patomic_cas, [0, 1, 2]}, {patomic_read_integer, [0]}, {patomic_write_integer, [0, 1]},
             {pread, [[{0, 1}]]}]],
    ?assertEqual({ok, ok}, {emmap:flush(File), emmap:close(File)}),
    ?assertEqual({ok, [{error, closed}, {error, closed}]}, emmap:batch(File, [{pread, 0, 1}, {sync}])),
    ?assertEqual({ok, ?TEXT}, file:read_file(Path)).

copies_between_files(Config) ->
    Bytes = pattern(200000),
    Source = emmap_test:fresh(Config, "source", Bytes),
    {ok, From} = emmap_test:open(Config, "source", [read, shared]),
    {ok, To} = emmap_test:open(Config, "copy", [create, write, shared, {size, byte_size(Bytes)}]),
    ?assertEqual({ok, 200000}, file:copy(From, To)),
    ?assertEqual({ok, Bytes}, file:read_file(emmap_test:path(Config, "copy"))),
    {ok, 0} = file:position(To, 0),
    ?assertEqual({ok, 10}, file:copy({Source, [raw, binary]}, To, 10)),
    {ok, 0} = file:position(From, 0),
    ?assertEqual({ok, 200000}, file:copy(From, emmap_test:path(Config, "plain"))),
    ?assertEqual({ok, Bytes}, file:read_file(emmap_test:path(Config, "plain"))),
    ok = file:close(From),
    ok = file:close(To).

sends_a_file(Config) ->
    Bytes = pattern(100000),
    _ = emmap_test:fresh(Config, "sent", Bytes),
    {ok, File} = emmap_test:open(Config, "sent", [read]),
    {ok, Listener} = gen_tcp:listen(0, [binary, {active, false}, {ip, loopback}]),
    {ok, Number} = inet:port(Listener),
    Self = self(),
    spawn_link(fun() ->
        {ok, Accepted} = gen_tcp:accept(Listener),
        {ok, Received} = gen_tcp:recv(Accepted, 60000),
        Self ! {received, Received}
    end),
    {ok, Socket} = gen_tcp:connect({127, 0, 0, 1}, Number, [binary]),
    ?assertEqual({ok, 60000}, file:sendfile(File, Socket, 1000, 60000, [])),
    Expected = binary:part(Bytes, 1000, 60000),
    receive {received, Received} -> ?assert(Received =:= Expected) end,
    ok = gen_tcp:close(Socket),
    ok = gen_tcp:close(Listener),
    ok = file:close(File).

%% emmap has each function that `file' calls in the module of a raw file.
forwards_everything(_Config) ->
    Exports = emmap:module_info(exports),
    Forwarded = [{close, 1}, {advise, 4}, {allocate, 3}, {read, 2}, {read_line, 1}, {pread, 2}, {pread, 3},
                 {write, 2}, {pwrite, 2}, {pwrite, 3}, {datasync, 1}, {sync, 1}, {position, 2}, {truncate, 1},
                 {copy, 3}, {ipread_s32bu_p32bu, 3}, {sendfile, 8}, {read_handle_info, 2}],
    ?assertEqual([], Forwarded -- prim_file:module_info(exports)),
    ?assertEqual([], Forwarded -- Exports),
    {ok, File} = emmap_test:open([{backend, port}], "/dev/null/none", [anon, write, {size, 8}]),
    ?assertEqual({error, enotsup}, file:read_file_info(File)),
    ok = file:close(File).

%%% Open

open_forms(Config) ->
    Path = emmap_test:path(Config, "forms"),
    Backend = {backend, proplists:get_value(backend, Config)},
    {ok, #file_descriptor{module = emmap} = New} =
        emmap:open(Path, [create, read, write, shared, {size, 100}, Backend]),
    ok = file:close(New),
    {ok, _, #{exist := true, size := 100}} = emmap:open(Path, [read, info, Backend]),
    {ok, _, #{exist := true, size := 20}} = emmap:open(Path, 40, 20, [read, Backend]),
    {ok, _, #{exist := true, size := 60}} = emmap:open(Path, 40, 0, [read, Backend]),
    %% Another length than the file's is refused, and changes nothing, unless there is `fit'.
    {ok, _, #{exist := true, size := 100}} = emmap:open(Path, 0, 100, [read, write, shared, Backend]),
    [?assertEqual({error, {einval, wrong_size}}, emmap:open(Path, 0, Length, [create, read, write, shared, Backend])) || Length <- [99, 101]],
    ?assertEqual({error, {einval, wrong_size}}, emmap:open(Path, 0, 0, [read, write, shared, {size, 200}, Backend])),
    ?assertEqual(100, filelib:file_size(Path)),
    {ok, _, #{exist := true, size := 100}} = emmap:open(Path, 0, 10, [read, write, shared, fit, Backend]),
    {ok, _, #{exist := true, size := 200}} = emmap:open(Path, 0, 200, [read, write, shared, fit, Backend]),
    ?assertEqual({error, {einval, offset}}, emmap:open(Path, 40, 0, [read, fit, Backend])),
    Other = Path ++ "-created",
    {ok, _, #{exist := false, size := 4096}} = emmap:open(Other, 0, 4096, [create, read, write, shared, Backend]),
    ?assertEqual(4096, filelib:file_size(Other)),
    ?assertEqual({error, {einval, out_of_range}}, emmap:open(Path, -1, 10, [read, Backend])),
    ?assertEqual({error, {einval, out_of_range}}, emmap:open(Path, 0, -10, [read, Backend])),
    ?assertError(badarg, emmap:open(Path, a, 10, [read, Backend])),
    ?assertError(badarg, emmap:open(Path, 0, 1.0, [read, Backend])).

info_by_environment(Config) ->
    _ = emmap_test:fresh(Config, "env", <<"12345678">>),
    application:set_env(emmap, open_info, true),
    try
        ?assertMatch({ok, _, #{exist := true, size := 8}}, emmap_test:open(Config, "env", [read]))
    after
        application:unset_env(emmap, open_info)
    end,
    ?assertMatch({ok, _}, emmap_test:open(Config, "env", [read])).

file_names(Config) ->
    Options = [read, {backend, proplists:get_value(backend, Config)}],
    Path = emmap_test:fresh(Config, [$å, 16#1F600], <<"12345678">>),
    [begin
         {ok, File} = emmap:open(Name, Options),
         ?assertEqual({ok, <<"12345678">>}, file:read(File, 10)),
         ok = file:close(File)
     end || Name <- [Path, unicode:characters_to_binary(Path), [Path], [[], [Path, []]]]],
    [?assertEqual({Name, element(2, file:open(Name, [read, raw]))}, {Name, element(2, emmap:open(Name, Options))})
     || Name <- [<<"a", 0>>, "a\0b", ["a", [$b]], foo, 'foo\0', [foo, "x"], <<255>>, "", <<>>, "/", "/nonexistent/x"]],
    [?assertError(badarg, emmap:open(Name, Options))
     || Name <- [[<<"a">>, "b"], {x}, 1, [1.0], [16#D800], [-1], ["a" | {b}]]].

options(Config) ->
    _ = emmap_test:fresh(Config, "options", ?TEXT),
    [?assertError(badarg, emmap_test:open(Config, "options", [read, Option]))
     || Option <- [foo, {foo, 1}, {size, -1}, {size, a}, {size, 1.0}, size, {read, 1}, "read", 1, {}, {size, 1, 2},
                   keep_size, exact, {backend, foo}, {chmod, 8#10000}, {size, 1 bsl 64}]],
    ?assertEqual({error, {einval, out_of_range}}, emmap_test:open(Config, "options", [read, write, {size, 1 bsl 63}])),
    ?assertError(badarg, emmap:open(emmap_test:path(Config, "options"), read)),
    ?assertError(badarg, emmap:open(emmap_test:path(Config, "options"), [read | write])),
    [begin
         {ok, File} = emmap_test:open(Config, "options", [read, write, shared, Option]),
         ok = file:close(File)
     end || Option <- [auto_unlink_not_set, lock, nolock, noreserve, populate, fit, nocache, uninitialized, debug,
                       fixed_size, {size, 10}, {max_inc_size, 4096}, {chmod, 8#600}, {offset, 1}, {length, 5},
                       shared_validate],
            Option =/= auto_unlink_not_set].

exclusive(Config) ->
    _ = emmap_test:fresh(Config, "exclusive", ?TEXT),
    {ok, File} = emmap_test:open(Config, "exclusive", [write, shared, exclusive]),
    ?assertEqual({error, ebusy}, emmap_test:open(Config, "exclusive", [write, shared])),
    ok = file:close(File),
    {ok, Next} = emmap_test:open(Config, "exclusive", [write, shared]),
    ok = file:close(Next).

services_of_both_styles(Config) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    ok = emmap_seed_client:run(emmap_test:path(Config, "seed"), [Backend]),
    ok = as_with_emmap_2(Config, fun() -> emmap_2_client:run(filename:dirname(emmap_test:path(Config, "two"))) end).

%% With the environment of a service that moves.
as_with_emmap_2(Config, Fun) ->
    emmap_2_answers:with_environment(proplists:get_value(backend, Config), Fun).

relative_path(Config) ->
    _ = emmap_test:fresh(Config, "relative", <<"here">>),
    {ok, Before} = file:get_cwd(),
    ok = file:set_cwd(filename:dirname(emmap_test:path(Config, "relative"))),
    try
        {ok, File} = emmap:open("relative", [read, {backend, proplists:get_value(backend, Config)}]),
        ?assertEqual({ok, <<"here">>}, file:read(File, 10)),
        ok = file:set_cwd(Before),
        {ok, Again} = emmap:reopen(File),
        ?assertEqual({ok, <<"here">>}, file:read(Again, 10)),
        ok = file:close(Again)
    after
        ok = file:set_cwd(Before)
    end.

%% The port's program has another folder, in which a file of that name may be.
relative_path_in_a_removed_folder(Config) ->
    {ok, Before} = file:get_cwd(),
    Folder = emmap_test:path(Config, "removed"),
    ok = file:make_dir(Folder),
    ok = file:set_cwd(Folder),
    try
        ok = file:del_dir(Folder),
        ?assertEqual({error, enoent},
                     emmap:open("nowhere", [write, create, {size, 8}, {backend, proplists:get_value(backend, Config)}]))
    after
        ok = file:set_cwd(Before)
    end.

%%% The part that is mapped

positions_count_from_the_offset(Config) ->
    Path = emmap_test:fresh(Config, "offset", <<"0123456789">>),
    {ok, File, #{size := 4}} =
        emmap:open(Path, 3, 4, [read, write, shared, {backend, proplists:get_value(backend, Config)}]),
    ?assertEqual({ok, <<"3456">>}, file:pread(File, 0, 100)),
    ok = file:pwrite(File, 2, "xy"),
    ?assertEqual({error, einval}, file:pwrite(File, 3, "xy")),
    ok = file:close(File),
    ?assertEqual({ok, <<"01234xy789">>}, file:read_file(Path)).

private_writes_stay_private(Config) ->
    Path = emmap_test:fresh(Config, "private", <<"0123456789">>),
    {ok, File} = emmap_test:open(Config, "private", [read, write]),
    ok = file:pwrite(File, 0, "abc"),
    ?assertEqual({ok, <<"abc3">>}, file:pread(File, 0, 4)),
    ok = file:sync(File),
    ?assertEqual({ok, <<"0123456789">>}, file:read_file(Path)),
    ok = file:close(File).

shared_writes_reach_the_file(Config) ->
    Path = emmap_test:fresh(Config, "shared", <<"0123456789">>),
    {ok, File} = emmap_test:open(Config, "shared", [write, shared]),
    ok = file:pwrite(File, 0, "abc"),
    ?assertEqual({ok, <<"abc3456789">>}, file:read_file(Path)),
    [ok = apply(emmap, Function, [File]) || Function <- [flush, sync, datasync]],
    ok = file:close(File).

anonymous_memory(Config) ->
    {ok, File} = emmap_test:open(Config, "", [anon, read, write, {size, 4096}]),
    ok = file:pwrite(File, 4000, "there"),
    ?assertEqual({ok, <<"there">>}, file:pread(File, 4000, 5)),
    ?assertEqual({ok, 0}, emmap:patomic(File, 0, add, 3)),
    ?assertEqual({error, enotsup}, emmap:reopen(File)),
    ok = file:close(File).

resize(Config) ->
    Path = emmap_test:fresh(Config, "resize", binary:copy(<<"x">>, 4096)),
    {ok, File} = emmap_test:open(Config, "resize", [write, shared, {max_inc_size, 4096}]),
    ?assertEqual({ok, 8192}, emmap:resize(File)),
    ?assertEqual({ok, 12288}, emmap:resize(File)),
    ?assertEqual({ok, 100}, emmap:resize(File, 100)),
    ?assertEqual({ok, 100}, emmap:size(File)),
    ?assertEqual(100, filelib:file_size(Path)),
    ?assertEqual({error, einval}, emmap:resize(File, -1)),
    ?assertEqual({error, einval}, emmap:resize(File, 1 bsl 63)),
    ?assertEqual({error, einval}, emmap:resize(File, 1 bsl 80)),
    ?assertError(badarg, emmap:resize(File, a)),
    ok = file:close(File),
    {ok, Fixed} = emmap_test:open(Config, "resize", [write, shared, fixed_size]),
    ?assertEqual({error, fixed_size}, emmap:resize(Fixed, 200)),
    {ok, Size} = emmap:size(Fixed),
    ?assertEqual({ok, Size}, emmap:resize(Fixed, Size)),
    {ok, Reader} = emmap_test:open(Config, "resize", [read]),
    ?assertEqual({error, eacces}, emmap:resize(Reader, 200)),
    %% A size that no file has is einval on any file, and by the backend itself.
    [begin
         ?assertEqual({Number, {error, einval}}, {Number, emmap:resize(Any, Number)}),
         ?assertEqual({Number, {error, einval}}, {Number, (element(2, Data)):resize(element(3, Data), Number)})
     end || #file_descriptor{data = Data} = Any <- [Fixed, Reader],
            Number <- [-1, 1 bsl 63, 1 bsl 80]],
    ok = file:close(Reader),
    ok = file:close(Fixed).

%% As memmove(3): the bytes that arrive are those that the source had before the copy.
copies_within_a_file(Config) ->
    Bytes = pattern(500_000),
    [[begin
        Path = emmap_test:fresh(Config, "moved", Bytes),
        {ok, Source} = emmap_test:open(Config, "moved", [read, shared, {offset, 1000} | Options]),
        {ok, Destination} = emmap_test:open(Config, "moved", [read, write, shared | Options]),
        {ok, _} = file:position(Source, From - 1000),
        {ok, _} = file:position(Destination, To),
        ?assertEqual({ok, Count}, file:copy(Source, Destination, Length)),
        ?assertEqual({ok, From - 1000 + Count}, file:position(Source, cur)),
        ?assertEqual({ok, To + Count}, file:position(Destination, cur)),
        ?assert({ok, moved(Bytes, From, To, Count)} =:= file:read_file(Path)),
        ok = file:close(Source),
        ok = file:close(Destination)
    end || {From, To, Length, Count} <- [{2000, 2001, 300_000, 300_000}, {2000, 70_000, 300_000, 300_000},
                                         {2001, 2000, 300_000, 300_000}, {70_000, 2000, infinity, 430_000},
                                         {2000, 400_000, 100_000, 100_000}, {2000, 2010, 100, 100}]]
        || Options <- [[]] ++ [[direct] || proplists:get_value(backend, Config) =:= nif]].

writes_of_bytes_of_the_file_itself(Config) ->
    Bytes = pattern(500_000),
    [begin
        Path = emmap_test:fresh(Config, "self", Bytes),
        {ok, File} = emmap_test:open(Config, "self", [read, write, shared | Options]),
        {ok, Again} = emmap_test:open(Config, "self", [read, write, shared | Options]),
        [begin
            ok = file:write_file(Path, Bytes, [read, write, raw]),
            {ok, Read} = file:pread(Source, From, Length),
            ok = file:pwrite(File, To, Read),
            ?assert({ok, moved(Bytes, From, To, Length)} =:= file:read_file(Path)),
            ok = file:write_file(Path, Bytes, [read, write, raw]),
            {ok, One} = file:pread(Source, From, Length),
            {ok, _} = file:position(File, To),
            ok = file:write(File, ["before", One, [One | <<"behind">>]]),
            <<_:From/binary, Was:Length/binary, _/binary>> = Bytes,
            Written = iolist_to_binary(["before", Was, Was, "behind"]),
            ?assert({ok, replaced(Bytes, To, Written)} =:= file:read_file(Path))
        end || Source <- [File, Again], Length <- [100, 60_000, 65_536, 65_537, 150_000],
               {From, To} <- [{1000, 1001}, {1000, 1000 + Length div 2}, {1001, 1000}, {Length, Length div 3}]],
        ok = file:close(Again),
        ok = file:close(File)
    end || Options <- [[]] ++ [[direct] || proplists:get_value(backend, Config) =:= nif]].

moved(Bytes, From, To, Length) ->
    replaced(Bytes, To, binary:part(Bytes, From, Length)).

replaced(Bytes, To, Written) ->
    Behind = To + byte_size(Written),
    <<Before:To/binary, _/binary>> = Bytes,
    <<_:Behind/binary, Rest/binary>> = Bytes,
    <<Before/binary, Written/binary, Rest/binary>>.

truncate(Config) ->
    Path = emmap_test:fresh(Config, "truncate", <<"0123456789">>),
    {ok, File} = emmap_test:open(Config, "truncate", [write, shared]),
    {ok, 4} = file:position(File, 4),
    ok = file:truncate(File),
    ?assertEqual({ok, <<"0123">>}, file:read_file(Path)),
    ok = file:close(File).

auto_unlink(Config) ->
    Path = emmap_test:fresh(Config, "unlinked", <<"0123456789">>),
    {ok, File} = emmap_test:open(Config, "unlinked", [write, shared, auto_unlink]),
    ok = file:pwrite(File, 0, "x"),
    ?assert(filelib:is_file(Path)),
    ok = file:close(File),
    ?assertNot(filelib:is_file(Path)),
    ?assertEqual({error, closed}, emmap:size(File)). % a program may keep a closed handle

direct(Config) ->
    _ = emmap_test:fresh(Config, "direct", <<"0123456789">>),
    case emmap_test_backends:can(proplists:get_value(backend, Config), direct) of
        true ->
            {ok, File} = emmap_test:open(Config, "direct", [read, write, shared, direct]),
            {ok, Bytes} = file:pread(File, 0, 10),
            ?assertEqual(<<"0123456789">>, binary:copy(Bytes)),
            ok = file:close(File);
        false ->
            {ok, File} = emmap_test:open(Config, "direct", [read, write, shared, direct]),
            ?assertEqual([{error, enotsup}], lists:usort([file:pread(File, 0, 1), file:read(File, 1), file:read_line(File)])),
            ok = file:pwrite(File, 0, "a"),
            ok = file:close(File)
    end.

%%% Batches

batch(Config) ->
    _ = emmap_test:fresh(Config, "batch", binary:copy(<<0>>, 64)),
    {ok, File} = emmap_test:open(Config, "batch", [read, write, shared]),
    Operations = [
        {{pwrite, 0, ["he", <<"llo">>, [$\n]]}, ok},
        {{pread, 0, 6}, {ok, <<"hello\n">>}},
        {{pread, 100, 1}, eof},
        {{pwrite, 60, "too long"}, {error, einval}},
        {{position, {bof, 0}}, {ok, 0}},
        {{read_line}, {ok, <<"hello\n">>}},
        {{position, cur}, {ok, 6}},
        {{write, "x"}, ok},
        {{read, 0}, {ok, <<>>}},
        {{size}, {ok, 64}},
        {{patomic, 8, add, 5}, {ok, 0}},
        {{patomic, 8, sub, 1}, {ok, 5}},
        {{patomic, 8, 'or', 8}, {ok, 4}},
        {{patomic, 8, 'and', 8}, {ok, 12}},
        {{patomic, 8, 'xor', 1}, {ok, 8}},
        {{patomic, 8, xchg, 16#ffffffffffffffff}, {ok, 9}},
        {{patomic, 8, cas, {16#ffffffffffffffff, 1}}, {true, -1}},
        {{patomic_cas, 8, 2, 3}, {false, 1}},
        {{patomic_add, 8, 1}, {ok, 1}},
        {{patomic_xchg, 8, 7}, {ok, 2}},
        {{patomic_write_integer, 8, -9}, ok},
        {{patomic_read_integer, 8}, {ok, -9}},
        {{patomic_add, 9, 1}, {error, alignment}},
        {{patomic_add, 8, 1 bsl 64}, {error, badarg}},
        {{patomic_add, 8, x}, {error, badarg}},
        {{inc_counter, 0}, {error, einval}},
        {{notify, 8, 1}, {ok, 0}},
        {{notify, 9, infinity}, {error, alignment}},
        {{notify_counter, 0, 1}, {error, einval}},
        {{advise, 0, 0, normal}, ok},
        {{allocate, 0, 8}, ok},
        {{resize, 128}, {ok, 128}},
        {{flush}, ok},
        {{datasync}, ok},
        {{sync}, ok},
        {{resize}, {ok, 256}}],
    {Asked, Expected} = lists:unzip(Operations),
    {ok, Answered} = emmap:batch(File, Asked),
    [?assertEqual({Operation, Right}, {Operation, Answer})
     || {{Operation, Right}, Answer} <- lists:zip(Operations, Answered)],
    ?assertEqual(length(Expected), length(Answered)),
    ?assertEqual({ok, []}, emmap:batch(File, [])),
    ok = file:close(File),
    Counters = emmap_test:open_counters(Config, "batch-counters", 2),
    ?assertEqual({ok, [{ok, 0}, {ok, 1}, {ok, 6}, {ok, 5}, {ok, 3}, {true, 9}, {false, 1}, {ok, 1}, {error, einval}]},
                 emmap:batch(Counters, [{inc_counter, 1}, {inc_counter, 1, 5}, {dec_counter, 1}, {dec_counter, 1, 2},
                                        {set_counter, 1, 9}, {cas_counter, 1, 9, 1}, {cas_counter, 1, 9, 1},
                                        {read_counter, 1}, {inc_counter, 2}])),
    ok = emmap:close_counters(Counters).

batch_refused_whole(Config) ->
    Path = emmap_test:fresh(Config, "refused", <<"0123456789">>),
    {ok, File} = emmap_test:open(Config, "refused", [read, write, shared]),
    [?assertError(badarg, emmap:batch(File, [{pwrite, 0, "abc"}, Bad]))
     || Bad <- [foo, {}, {foo}, {foo, 1}, {close}, {open, "x", []}, {pread, 0, -1}, {pread, a, 1}, {pread, 0},
                {pwrite, 0, [a]}, {write, [a]}, {position, x}, {resize, -1}, {patomic, 0, foo, 1},
                {advise, 0, 1, 2}, {notify, 0, -1}, {notify_counter, 0, x}, {batch, []}]],
    ?assertEqual({ok, <<"0123456789">>}, file:read_file(Path)),
    ok = file:close(File).

%%% Other functions

reopen(Config) ->
    Path = emmap_test:fresh(Config, "reopened", binary:copy(<<"x">>, 16)),
    {ok, File} = emmap_test:open(Config, "reopened", [create, truncate, read, write, shared, {size, 16}]),
    ok = file:pwrite(File, 0, "kept"),
    {ok, Again} = emmap:reopen(File),
    ?assertEqual({ok, <<"kept", 0>>}, file:read(Again, 5)),
    ?assertEqual({error, closed}, file:read(File, 5)),
    ok = file:delete(Path),
    ?assertEqual({error, enoent}, emmap:reopen(Again)),
    ?assertNot(filelib:is_file(Path)),
    ?assertEqual({ok, <<"kept", 0>>}, file:pread(Again, 0, 5)),
    ok = file:close(Again),
    Counters = emmap_test:open_counters(Config, "reopened-counters", 3),
    {ok, 0} = emmap:inc_counter(Counters, 2),
    {ok, SameCounters} = emmap:reopen(Counters),
    ?assertEqual({ok, 1}, emmap:read_counter(SameCounters, 2)),
    ok = emmap:close_counters(SameCounters),
    ok = file:delete(emmap_test:path(Config, "reopened-counters")),
    ?assertEqual({error, enoent}, emmap:reopen(SameCounters)),
    _ = emmap_test:fresh(Config, "reopened-once", <<"x">>),
    {ok, Once} = emmap_test:open(Config, "reopened-once", [write, shared, auto_unlink]),
    ?assertEqual({error, enoent}, emmap:reopen(Once)),
    ?assertEqual({error, closed}, file:pread(Once, 0, 1)).

%% If a file can't be opened again its old handle stays open. A file that is in its own way is closed first.
reopen_exclusive(Config) ->
    Path = emmap_test:fresh(Config, "exclusive-again", <<"old">>),
    {ok, File} = emmap_test:open(Config, "exclusive-again", [write, shared, exclusive]),
    {ok, Same} = emmap:reopen(File),
    ?assertEqual({error, closed}, file:pread(File, 0, 3)),
    ok = file:delete(Path),
    _ = emmap_test:fresh(Config, "exclusive-again", <<"new">>),
    {ok, Other} = emmap_test:open(Config, "exclusive-again", [write, shared, exclusive]),
    ?assertEqual({error, ebusy}, emmap:reopen(Same)),
    ?assertEqual({ok, <<"old">>}, file:pread(Same, 0, 3)),
    ok = file:close(Other),
    {ok, New} = emmap:reopen(Same),
    ?assertEqual({ok, <<"new">>}, file:pread(New, 0, 3)),
    ?assertEqual({error, closed}, file:pread(Same, 0, 3)),
    ?assertEqual({error, ebusy}, emmap_test:open(Config, "exclusive-again", [write, shared])),
    ok = file:close(New),
    {ok, Fixed} = emmap_test:open(Config, "exclusive-again", [write, shared, fixed, {address, 16#200000000000}]),
    {ok, FixedAgain} = emmap:reopen(Fixed),
    ok = file:close(FixedAgain),
    ok = file:delete(Path).

%% A sync says that the path leads to another file or to none, except for a private mapping.
sync_of_a_replaced_file(Config) ->
    Path = emmap_test:fresh(Config, "synced", <<"12345678">>),
    Old = emmap_test:path(Config, "synced-before"),
    {ok, File} = emmap_test:open(Config, "synced", [write, shared]),
    {ok, Private} = emmap_test:open(Config, "synced", [write, private]),
    ok = emmap:sync(File),
    ok = file:rename(Path, Old),
    ?assertEqual({error, estale}, emmap:sync(File)),
    ok = file:write_file(Path, <<"another">>),
    ?assertEqual({error, estale}, file:datasync(File)),
    ?assertEqual(ok, emmap:sync(Private)),
    ok = file:rename(Old, Path),
    ?assertEqual(ok, emmap:sync(File)),
    [ok = file:close(Each) || Each <- [File, Private]],
    {Counters, _} = Both = emmap_test:open_counters(Config, "synced-counters", 3),
    ok = emmap:sync(Counters),
    ok = file:delete(emmap_test:path(Config, "synced-counters")),
    ?assertEqual({error, estale}, emmap:sync(Counters)),
    ok = emmap:close_counters(Both).

large_reads_and_writes(Config) ->
    Size = 20 bsl 20,
    Bytes = pattern(Size),
    {ok, File} = emmap_test:open(Config, "large", [create, read, write, shared, {size, Size}]),
    ok = file:pwrite(File, 0, [binary:part(Bytes, 0, 1000), [binary:part(Bytes, 1000, Size - 1000)]]),
    {ok, Read} = file:pread(File, 0, Size + 1),
    ?assert(Read =:= Bytes),
    ?assertEqual({error, einval}, file:pwrite(File, 1, Bytes)),
    List = binary_to_list(binary:part(Bytes, 0, 100000)),
    ok = file:pwrite(File, 7, [List, [[], List] | <<"end">>]),
    {ok, Listed} = file:pread(File, 7, 200003),
    ?assert(Listed =:= iolist_to_binary([List, List, "end"])),
    ok = file:close(File).

many_readers_and_writers(Config) ->
    Counters = emmap_test:open_counters(Config, "many", 1),
    Processes = 20,
    Times = 500,
    Workers = [spawn_monitor(fun() ->
                   [{ok, _} = emmap:inc_counter(Counters, 0) || _ <- lists:seq(1, Times)]
               end) || _ <- lists:seq(1, Processes)],
    [receive {'DOWN', Monitor, process, Pid, Reason} -> ?assertEqual(normal, Reason) end || {Pid, Monitor} <- Workers],
    ?assertEqual({ok, Processes * Times}, emmap:read_counter(Counters, 0)),
    ok = emmap:close_counters(Counters).

%% The bytes repeat after a prime number of them, so that a piece in the wrong place shows.
pattern(Size) ->
    Pattern = << <<(I * I rem 251)>> || I <- lists:seq(1, 4093) >>,
    binary:part(binary:copy(Pattern, Size div 4093 + 1), 0, Size).

backup(Config) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    Path = fun(Name) -> emmap_test:path(Config, Name) end,
    To = Path("copy"),
    Copied = fun(File) ->
        ?assertEqual(ok, emmap:backup(File, To)),
        ?assertEqual({error, eexist}, emmap:backup(File, To)),
        ?assertEqual({error, enoent}, emmap:backup(File, Path("missing/copy"))),
        ?assertError(badarg, emmap:backup(File, {a})),
        ok = emmap:close(File),
        ?assertEqual({error, closed}, emmap:backup(File, Path("other")))
    end,
    {ok, File} = emmap:open(Path("file"), [read, write, create, shared, {size, 1000}, {chmod, 8#640}, Backend]),
    ok = file:pwrite(File, 500, <<"hello">>),
    Copied(File),
    {ok, Bytes} = file:read_file(Path("file")),
    ?assertEqual({ok, Bytes}, file:read_file(To)),
    {ok, #file_info{mode = Mode}} = file:read_file_info(To),
    ?assertEqual(8#640, Mode band 8#7777),
    ok = file:delete(To),

    {ok, Queue} = emmap_queue:open(Path("queue"), 0, [Backend]),
    ok = emmap_queue:push_many(Queue, [a, b, c]),
    a = emmap_queue:pop(Queue),
    Copied(Queue),
    {ok, QueueCopy} = emmap_queue:open(To, 0, [Backend]),
    ?assertEqual({ok, [b, c]}, emmap_queue:pop_many(QueueCopy, 10)),
    ok = emmap_queue:close(QueueCopy),
    ok = file:delete(To),

    {ok, Storage} = emmap:open_block_storage(Path("blocks"), 4, [Backend]),
    {ok, [_, Address, _]} = emmap:store_blocks(Storage, [<<"aaaa">>, <<"bbbb">>, <<"cccc">>]),
    Copied(Storage),
    {ok, StorageCopy} = emmap:open_block_storage(To, 4, [Backend]),
    ?assertEqual({ok, 3}, emmap:count_blocks(StorageCopy)),
    ?assertEqual(<<"bbbb">>, emmap:read_block(StorageCopy, Address)),
    ok = emmap:close(StorageCopy),
    ok = file:delete(To),

    {Counters, 3} = Both = emmap:open_counters(Path("counters"), 3, [Backend]),
    {ok, 0} = emmap:inc_counter(Both, 2, 42),
    ?assertEqual(true, emmap:is_current(Both)),
    ?assertEqual({error, eexist}, emmap:backup(Both, Path("counters"))),
    Copied(Counters),
    CountersCopy = emmap:open_counters(To, 3, [Backend]),
    ?assertEqual({ok, 42}, emmap:read_counter(CountersCopy, 2)),
    ok = emmap:close_counters(CountersCopy).

%% Messages that were pushed together are in a copy together.
backup_beside_others(Config) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    Path = emmap_test:path(Config, "busy"),
    {ok, Queue} = emmap_queue:open(Path, 0, [Backend]),
    Parent = self(),
    Worker = spawn_link(fun() ->
        {ok, Mine} = emmap_queue:open(Path, 0, [Backend]),
        Loop = fun Loop(I) ->
            receive
                stop -> ok = emmap_queue:close(Mine), Parent ! stopped
            after 0 ->
                ok = emmap_queue:push_many(Mine, [{I, 1}, {I, 2}]),
                I rem 100 =:= 0 andalso ({ok, _} = emmap_queue:pop_many(Mine, 150)),
                Loop(I + 1)
            end
        end,
        Loop(1)
    end),
    [begin
         To = emmap_test:path(Config, "busy-copy" ++ integer_to_list(I)),
         ok = emmap:backup(Queue, To),
         {ok, Copy} = emmap_queue:open(To, 0, [Backend]),
         {ok, Messages} = emmap_queue:pop_many(Copy, 1000),
         ?assertEqual(0, length(Messages) rem 2),
         [?assertEqual([{N, 1}, {N, 2}], [{N, 1}, Next]) || {{N, 1}, Next} <- pairs(Messages)],
         ok = emmap_queue:close(Copy)
     end || I <- lists:seq(1, 30)],
    Worker ! stop,
    receive stopped -> ok end,
    ok = emmap_queue:close(Queue).

pairs([A, B | Rest]) -> [{A, B} | pairs(Rest)];
pairs([]) -> [].

is_current(Config) ->
    Backend = {backend, proplists:get_value(backend, Config)},
    Path = emmap_test:path(Config, "current"),
    {ok, File} = emmap:open(Path, [read, write, create, shared, {size, 1000}, Backend]),
    ?assertEqual(true, emmap:is_current(File)),
    ok = file:rename(Path, Path ++ ".old"),
    ?assertEqual(false, emmap:is_current(File)),
    {ok, Other} = emmap:open(Path, [read, write, create, shared, {size, 1000}, Backend]),
    ?assertEqual([false, true], [emmap:is_current(Each) || Each <- [File, Other]]),
    ok = file:pwrite(Other, 0, <<"new">>),
    {ok, Again} = emmap:reopen(File),
    ?assertEqual({ok, <<"new">>}, file:pread(Again, 0, 3)),
    ?assertEqual(true, emmap:is_current(Again)),
    ?assertEqual({error, closed}, emmap:is_current(File)),
    {ok, Memory} = emmap:open("", [read, write, anon, {size, 1000}, Backend]),
    ?assertEqual(true, emmap:is_current(Memory)),
    [ok = emmap:close(Each) || Each <- [Again, Other, Memory]].
