%% Queues and their server, over both backends.
-module(emmap_queue_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([first_in_first_out/1, any_term/1, empty/1, default/1, many/1, folds/1, fold_meets_a_refused_message/1, levels/1, looks/1, metadata/1, writers/1, purge_clear_and_erase/1, grows/1,
         full/1, options/1, closed/1, exclusive/1, read_only/1, reopens/1, walk_of_another_era/1, walk_from_no_place/1, snapshot/1, goes_over/1, stale/1]).
-export([emmap_2_queue/1, emmap_2_popped_queue/1, emmap_2_torn_queue/1, writes_the_bytes_of_emmap_2/1, corrupt/1,
         corrupt_message/1, unsafe_terms/1, no_terms/1]).
-export([terms_up_to_the_limit/1, compressed_terms_up_to_the_limit/1, compressed_terms_without_an_end/1, inflating_beyond_memory/1, terms_of_one_call/1, compressed_inside/1,
         push_holds_to_the_limit/1, limits/1]).
-export([fun_that_returns/1, fun_that_raises/1, fun_that_pushes/1, fun_that_pops/1, fun_that_keeps_others_out/1, fun_that_closes/1,
         fun_of_a_killed_process/1, fun_of_an_ended_process/1]).
-export([many_processes_on_many_handles/1, pop_many_shares_out/1, both_backends_on_one_queue/1]).
-export([server/1, server_names/1, server_that_does_not_open/1, server_with_a_fun/1, server_meets_the_unknown/1,
         server_removes_nothing_for_the_dead/1, server_keeps_what_it_has/1]).
-export([pushed_once/1, waiting_leaves_the_schedulers_free/1, long_binaries_are_not_copied/1, long_messages/1]).

-include_lib("stdlib/include/assert.hrl").
-include("../src/emmap_file.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    Cases = [first_in_first_out, any_term, empty, default, many, pushed_once, folds, fold_meets_a_refused_message,
             levels, looks, metadata, writers, purge_clear_and_erase, grows, full, options,
             closed, exclusive, read_only, reopens, walk_of_another_era, walk_from_no_place, snapshot, goes_over, stale, emmap_2_queue, emmap_2_popped_queue, emmap_2_torn_queue,
             writes_the_bytes_of_emmap_2, corrupt, corrupt_message, unsafe_terms, no_terms, terms_up_to_the_limit,
             compressed_terms_up_to_the_limit, compressed_terms_without_an_end, inflating_beyond_memory, terms_of_one_call, compressed_inside, push_holds_to_the_limit, limits, fun_that_returns,
             fun_that_raises, fun_that_pushes, fun_that_pops, fun_that_keeps_others_out, fun_that_closes, fun_of_a_killed_process,
             fun_of_an_ended_process, many_processes_on_many_handles, pop_many_shares_out, both_backends_on_one_queue,
             server, server_names, server_that_does_not_open, server_with_a_fun, server_meets_the_unknown,
             server_removes_nothing_for_the_dead, server_keeps_what_it_has, long_binaries_are_not_copied, long_messages],
    [{nif, [], Cases ++ [waiting_leaves_the_schedulers_free]}, {port, [], Cases}].

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

backend(Config) -> {backend, proplists:get_value(backend, Config)}.

open(Config, Name, Size, Options) ->
    emmap_queue:open(emmap_test:path(Config, Name), Size, [backend(Config) | Options]).

queue(Config, Name) ->
    {ok, Queue} = open(Config, Name, 1024, []),
    Queue.

pop_all(Queue) ->
    case emmap_queue:pop_many(Queue, 1 bsl 32) of
        {ok, []} -> [];
        {ok, Terms} -> Terms ++ pop_all(Queue)
    end.

%%% Messages

first_in_first_out(Config) ->
    Queue = queue(Config, "fifo"),
    Terms = [a, b, {c, 1, [{d, 4}]}],
    [?assertEqual(ok, emmap_queue:push(Queue, Term)) || Term <- Terms],
    ?assertEqual(3, emmap_queue:length(Queue)),
    ?assertEqual(Terms, [emmap_queue:pop(Queue) || _ <- Terms]),
    ?assertEqual(nil, emmap_queue:pop(Queue)),
    ok = emmap_queue:push(Queue, again),
    ok = emmap_queue:close(Queue),
    Reopened = queue(Config, "fifo"),
    ?assertEqual(again, emmap_queue:pop(Reopened)),
    ok = emmap_queue:close(Reopened).

any_term(Config) ->
    Terms = [0, -1, 1 bsl 70, 1.5, 'å', "text", [1 | 2], <<>>, <<1:5>>, #{}, #{a => [b]}, self(), make_ref(), fun lists:map/2,
             lists:seq(1, 1000), binary:copy(<<"x">>, 10000), lists:duplicate(5000, $x), nil, {error, enoent}],
    [begin
         {ok, Queue} = open(Config, "any", 4096, Options),
         [ok = emmap_queue:push(Queue, Term) || Term <- Terms],
         [?assertEqual({Options, Term}, {Options, emmap_queue:pop(Queue)}) || Term <- Terms],
         ok = emmap_queue:push_many(Queue, Terms),
         ?assertEqual(Terms, pop_all(Queue)),
         ok = emmap_queue:close(Queue)
     end || Options <- [[], [compressed], [{compressed, 0}], [{compressed, 9}], [exclusive]]].

empty(Config) ->
    Queue = queue(Config, "empty"),
    ?assertEqual(true, emmap_queue:is_empty(Queue)),
    ?assertEqual(0, emmap_queue:length(Queue)),
    ?assertEqual(nil, emmap_queue:pop(Queue)),
    ?assertEqual(nil, emmap_queue:peek_front(Queue)),
    ?assertEqual(nil, emmap_queue:peek_back(Queue)),
    ?assertEqual(nil, emmap_queue:try_pop(Queue, fun(_) -> ct:fail(called) end)),
    ?assertEqual(nil, emmap_queue:inspect(Queue)),
    ?assertEqual([], emmap_queue:to_list(Queue)),
    ?assertEqual(nil, emmap_queue:pop_and_purge(Queue)),
    ?assertEqual({ok, []}, emmap_queue:pop_many(Queue, 10)),
    ok = emmap_queue:push(Queue, a),
    ?assertEqual(false, emmap_queue:is_empty(Queue)),
    ?assertEqual({ok, []}, emmap_queue:pop_many(Queue, 0)),
    [?assertEqual({Limit, {error, einval}}, {Limit, emmap_queue:pop_many(Queue, Limit)})
     || Limit <- [-1, -(1 bsl 64), 1 bsl 63, 1 bsl 64]],
    ok = emmap_queue:close(Queue).

default(Config) ->
    Queue = queue(Config, "default"),
    ?assertEqual(none, emmap_queue:pop_or(Queue, none)),
    ?assertEqual(none, emmap_queue:try_pop_or(Queue, none, fun(_) -> ct:fail(called) end)),
    ok = emmap_queue:push_many(Queue, [nil, 2]),
    ?assertEqual(nil, emmap_queue:pop_or(Queue, none)),
    ?assertEqual(4, emmap_queue:try_pop_or(Queue, none, fun(N) -> 2 * N end)),
    ok = emmap_queue:close(Queue).

pushed_once(Config) ->
    {ok, Queue} = open(Config, "once.q", 0, []),
    {Origin, Other} = {<<1:128>>, <<2:128>>},
    ?assertEqual({ok, 0}, emmap_queue:push_once(Queue, Origin, 0, [])),
    ?assertEqual({ok, 0}, emmap_queue:push_once(Queue, Origin, 1, [a, {b, 1}])),
    ?assertEqual({ok, 1}, emmap_queue:push_once(Queue, Origin, 1, [a, {b, 1}])),
    ?assertEqual({ok, 0}, emmap_queue:push_once(Queue, Other, 7, [c])),
    ?assertEqual({ok, 1}, emmap_queue:push_once(Queue, Origin, 1 bsl 63 - 1, [d])),
    ?assertEqual({ok, 1 bsl 63 - 1}, emmap_queue:push_once(Queue, Origin, 0, [])),
    ?assertEqual({ok, [a, {b, 1}, c, d]}, emmap_queue:pop_many(Queue, 10)),
    ok = emmap:sync(Queue),
    ?assertEqual({ok, 7}, emmap_queue:push_once(Queue, Other, 8, lists:seq(1, 5000))),
    ?assertEqual({ok, lists:seq(1, 5000)}, emmap_queue:pop_many(Queue, 6000)),
    [?assertError(badarg, emmap_queue:push_once(Queue, Who, Number, Messages))
     || {Who, Number, Messages} <- [{<<1:120>>, 1, [a]}, {"origin", 1, [a]}, {Origin, a, [a]}, {Origin, -1, [a]}, {Origin, 1 bsl 63, [a]},
                                    {Origin, 1, a}, {Origin, 1, [a | b]}]],
    ok = emmap_queue:close(Queue),
    ?assertEqual({error, closed}, emmap_queue:push_once(Queue, Origin, 9, [a])).

folds(Config) ->
    Queue = queue(Config, "folds"),
    All = fun(Term, Acc) -> {cont, [Term | Acc]} end,
    One = fun(Term, Acc) -> {halt, [Term | Acc]} end,
    ?assertEqual(none, emmap_queue:pop(Queue, none, All)),
    Terms = lists:seq(1, 3000),
    ok = emmap_queue:push_many(Queue, Terms),
    ?assertEqual(lists:reverse(Terms), emmap_queue:peek(Queue, [], All)),
    ?assertEqual(Terms, emmap_queue:rpeek(Queue, [], All)),
    ?assertEqual([1], emmap_queue:peek(Queue, [], One)),
    ?assertEqual([3000], emmap_queue:rpeek(Queue, [], One)),
    ?assertEqual([1], emmap_queue:pop(Queue, [], One)),
    ?assertEqual(3000, emmap_queue:length(Queue)),
    [?assertError({bad_return_value, odd}, emmap_queue:Fold(Queue, [], fun(_, _) -> odd end)) || Fold <- [pop, peek, rpeek]],
    [?assertError(badarg, emmap_queue:Fold(Queue, [], fun(_) -> odd end)) || Fold <- [pop, peek, rpeek]],
    ?assertEqual(1000, emmap_queue:pop(Queue, 0, fun(_, 1000) -> {halt, 1000}; (_, N) -> {cont, N + 1} end)),
    ?assertEqual(1001, emmap_queue:peek_front(Queue)),
    ?assertThrow(oops, emmap_queue:pop(Queue, 0, fun(1003, _) -> throw(oops); (_, N) -> {cont, N} end)),
    ?assertEqual(1003, emmap_queue:peek_front(Queue)),
    %% Messages that are pushed meanwhile stay. The queue begins anew when none is left.
    ?assertEqual(1998, emmap_queue:pop(Queue, 0, fun(Term, N) -> ok = emmap_queue:push(Queue, {again, Term}), {cont, N + 1} end)),
    ?assertEqual({again, 1003}, emmap_queue:peek_front(Queue)),
    ?assertEqual(1998, emmap_queue:pop(Queue, 0, fun(_, N) -> {cont, N + 1} end)),
    ?assertMatch(#{head := 16, tail := 16, next_tail := 16}, emmap_queue:metadata(Queue)),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 100)),
    ?assertEqual(100, emmap_queue:peek(Queue, 0, fun(Term, N) -> ok = emmap_queue:push(Queue, Term), {cont, N + 1} end)),
    ?assertEqual(200, emmap_queue:rpeek(Queue, 0, fun(Term, N) -> ok = emmap_queue:push(Queue, Term), {cont, N + 1} end)),
    ?assertEqual(400, emmap_queue:length(Queue)),
    ok = emmap_queue:close(Queue).

%% The answer of a fold has all messages that it removed, no matter how it ends.
fold_meets_a_refused_message(Config) ->
    Unknown = unknown_atom(fold),
    raw_queue(Config, "fold-refused", [term_to_binary(1), term_to_binary(2), Unknown, term_to_binary(3)]),
    Queue = queue(Config, "fold-refused"),
    All = fun(Term, Acc) -> {cont, [Term | Acc]} end,
    ?assertEqual([2, 1], emmap_queue:pop(Queue, [], All)),
    ?assertMatch({error, {bad_term, _}}, emmap_queue:pop(Queue, [], All)),
    ?assertEqual(2, emmap_queue:length(Queue)),
    ok = emmap_queue:close(Queue).

levels(Config) ->
    Queue = queue(Config, "levels"),
    Term = lists:duplicate(200, $x),
    [begin
         ?assertEqual(ok, emmap_queue:push(Queue, Term, Level)),
         #{tail := Tail} = emmap_queue:metadata(Queue),
         ?assertEqual({Level, Level > 0}, {Level, Tail < 100}),
         ?assertEqual(Term, emmap_queue:pop_and_purge(Queue))
     end || Level <- lists:seq(0, 9)],
    [?assertError(badarg, emmap_queue:push(Queue, Term, Level)) || Level <- [-1, 10, a]],
    ok = emmap_queue:close(Queue).

many(Config) ->
    Queue = queue(Config, "many"),
    Terms = lists:seq(1, 5000),
    ?assertEqual(ok, emmap_queue:push_many(Queue, [])),
    ?assertEqual(ok, emmap_queue:push_many(Queue, Terms)),
    ?assertEqual(5000, emmap_queue:length(Queue)),
    ?assertEqual({ok, lists:seq(1, 3)}, emmap_queue:pop_many(Queue, 3)),
    ?assertEqual({ok, lists:seq(4, 103)}, emmap_queue:pop_many(Queue, 100)),
    ?assertEqual([104, 105], [emmap_queue:pop_and_purge(Queue) || _ <- [1, 2]]),
    ?assertEqual(lists:seq(106, 5000), pop_all(Queue)),
    ok = emmap_queue:close(Queue).

looks(Config) ->
    Queue = queue(Config, "looks"),
    Terms = lists:seq(1, 3000),
    ok = emmap_queue:push_many(Queue, Terms),
    ?assertEqual(1, emmap_queue:peek_front(Queue)),
    ?assertEqual(3000, emmap_queue:peek_back(Queue)),
    ?assertEqual(1, emmap_queue:inspect(Queue)),
    ?assertEqual(Terms, emmap_queue:to_list(Queue)),
    ?assertEqual(3000, emmap_queue:length(Queue)),
    ok = emmap_queue:close(Queue).

metadata(Config) ->
    Queue = queue(Config, "metadata"),
    ?assertEqual(#{size => 1024, head => 16, tail => 16, next_tail => 16}, emmap_queue:metadata(Queue)),
    ok = emmap_queue:push(Queue, 1), % 3 bytes: 11 and the padding
    ?assertEqual(#{size => 1024, head => 16, tail => 30, next_tail => 30}, emmap_queue:info(Queue)),
    ?assertEqual({ok, 1024}, emmap:size(Queue)),
    ok = emmap_queue:close(Queue).

writers(Config) ->
    Queue = queue(Config, "writers"),
    ok = emmap_queue:push_many(Queue, [1, 2, 3]),
    1 = emmap_queue:pop(Queue),
    Now = os:system_time(millisecond),
    {ok, [#{process := Process, program := <<_, _/binary>>, since := Since} = Writer]} = emmap:writers(Queue),
    ?assertMatch(#{has_lock := false, waited := 0, pushed := 3, popped := 1}, Writer),
    ?assert(Since > Now - 60_000 andalso Since =< Now),
    ?assertEqual(backend(Config) =:= {backend, nif}, os:getpid() =:= integer_to_list(Process)),
    {ok, Reader} = open(Config, "writers", 0, [read_only]),
    ?assertEqual({ok, [Writer]}, emmap:writers(Reader)),
    ok = emmap_queue:close(Queue),
    ?assertEqual({ok, []}, emmap:writers(Reader)),
    ?assertEqual({error, closed}, emmap:writers(Queue)),
    ok = emmap_queue:close(Reader),
    Counters = emmap:open_counters(emmap_test:path(Config, "writers.counters"), 1, [backend(Config)]),
    ?assertEqual({ok, []}, emmap:writers(Counters)),
    ok = emmap:close_counters(Counters).

purge_clear_and_erase(Config) ->
    Queue = queue(Config, "purge"),
    [begin
         ok = emmap_queue:push_many(Queue, [1, 2]),
         ?assertEqual(ok, emmap_queue:Function(Queue)),
         ?assertEqual(true, emmap_queue:is_empty(Queue)),
         ?assertMatch(#{size := 1024, head := 16, tail := 16}, emmap_queue:metadata(Queue))
     end || Function <- [clear, erase]],
    %% Nothing is lost by a purge: only an empty queue begins anew.
    ok = emmap_queue:push(Queue, 1),
    ?assertEqual(false, emmap_queue:purge(Queue)),
    ?assertEqual(1, emmap_queue:pop(Queue)),
    ?assertMatch(#{head := 30, tail := 30}, emmap_queue:metadata(Queue)),
    ?assertEqual(true, emmap_queue:purge(Queue)),
    ?assertMatch(#{head := 16, tail := 16}, emmap_queue:metadata(Queue)),
    ok = emmap_queue:close(Queue).

%% The room of popped messages is used again. If there is none, the file grows.
grows(Config) ->
    Queue = queue(Config, "grows"),
    Terms = [{N, binary:copy(<<N>>, N)} || N <- lists:seq(1, 255)],
    [begin
         ok = emmap_queue:push(Queue, Term),
         ok = emmap_queue:push(Queue, Term),
         ?assertEqual(Term, emmap_queue:pop(Queue)),
         ?assertEqual(Term, emmap_queue:pop(Queue))
     end || Term <- Terms],
    ?assertMatch(#{size := 1024}, emmap_queue:metadata(Queue)),
    [ok = emmap_queue:push(Queue, Term) || Term <- Terms],
    #{size := Size} = emmap_queue:metadata(Queue),
    ?assert(Size > 1024),
    ?assertEqual(Size, filelib:file_size(emmap_test:path(Config, "grows"))),
    ?assertEqual(Terms, pop_all(Queue)),
    ok = emmap_queue:close(Queue).

full(Config) ->
    {ok, Queue} = open(Config, "full", 200, [fixed_size]),
    Term = binary:copy(<<"x">>, 50),
    ok = emmap_queue:push(Queue, Term),
    ok = emmap_queue:push(Queue, Term),
    Before = file:read_file(emmap_test:path(Config, "full")),
    ?assertEqual({error, full}, emmap_queue:push(Queue, Term)),
    ?assertEqual({error, full}, emmap_queue:push_many(Queue, [1, Term])),
    ?assertEqual(Before, file:read_file(emmap_test:path(Config, "full"))),
    Term = emmap_queue:pop(Queue),
    ?assertEqual(ok, emmap_queue:push(Queue, Term)),
    ok = emmap_queue:close(Queue).

options(Config) ->
    [?assertEqual({Option, {error, {einval, option}}}, {Option, open(Config, "options", 1024, [Option, write, create])})
     || Option <- [{offset, 16}, {length, 100}]],
    [?assertError(badarg, open(Config, "options", 1024, [Option]))
     || Option <- [foo, {compressed, 10}, {compressed, a}, {unsafe_terms, true}]],
    [?assertEqual({error, enoent}, open(Config, "options", 1024, [Option, write])) || Option <- [existing, read_only]],
    ?assertError(badarg, open(Config, "options", a, [])),
    ?assertError(badarg, emmap_queue:open(emmap_test:path(Config, "options"), 1024, foo)),
    ?assertError(badarg, open(Config, "options", 1024, [read | write])),
    ?assertEqual({error, {einval, out_of_range}}, open(Config, "options", -1, [])),
    ?assertEqual({error, {einval, wrong_size}}, open(Config, "options", 15, [])),
    ?assertEqual({error, efbig}, open(Config, "options", 1 bsl 32, [])),
    ?assertNot(filelib:is_file(emmap_test:path(Config, "options"))),
    {ok, Page} = open(Config, "options", 0, [auto_unlink]),
    ?assertMatch(#{size := 4096}, emmap_queue:metadata(Page)),
    ok = emmap_queue:close(Page),
    ?assertNot(filelib:is_file(emmap_test:path(Config, "options"))),
    {ok, New} = open(Config, "options", 1024, [truncate, private, direct, read]),
    ok = emmap_queue:push(New, 1),
    ok = emmap_queue:close(New),
    ?assertEqual({error, {einval, no_truncate}}, open(Config, "options", 1024, [truncate])),
    {ok, Fit} = open(Config, "options", 2048, [fit, existing]),
    ?assertMatch(#{size := 2048}, emmap_queue:metadata(Fit)),
    ?assertEqual(1, emmap_queue:pop(Fit)),
    ok = emmap_queue:close(Fit).

closed(Config) ->
    Queue = queue(Config, "closed"),
    ok = emmap_queue:push(Queue, 1),
    ok = emmap_queue:close(Queue),
    ?assertEqual(ok, emmap_queue:close(Queue)),
    [?assertEqual({Name, {error, closed}}, {Name, apply(emmap_queue, Name, [Queue | Arguments])})
     || {Name, Arguments} <- [{push, [1]}, {push_many, [[1]]}, {pop, []}, {pop_or, [none]}, {try_pop, [fun(T) -> T end]},
                              {pop_many, [1]}, {pop_and_purge, []}, {peek_front, []}, {peek_back, []}, {inspect, []}, {to_list, []}, {clear, []},
                              {length, []}, {is_empty, []}, {metadata, []}, {info, []}, {purge, []}, {erase, []}]].

exclusive(Config) ->
    {ok, Queue} = open(Config, "exclusive", 1024, [exclusive]),
    ok = emmap_queue:push(Queue, 1),
    ?assertEqual({error, ebusy}, open(Config, "exclusive", 1024, [])),
    {ok, Reader} = open(Config, "exclusive", 0, [read_only]),
    ?assertEqual(1, emmap_queue:peek_front(Reader)),
    ok = emmap_queue:close(Reader),
    ok = emmap_queue:close(Queue),
    {ok, Other} = open(Config, "exclusive", 1024, []),
    ?assertEqual({error, ebusy}, open(Config, "exclusive", 1024, [exclusive])),
    ok = emmap_queue:close(Other).

read_only(Config) ->
    Queue = queue(Config, "read-only"),
    ok = emmap_queue:push_many(Queue, [1, 2, 3]),
    {ok, Reader} = open(Config, "read-only", 0, [read_only]),
    ?assertEqual([1, 2, 3], emmap_queue:to_list(Reader)),
    ?assertEqual(3, emmap_queue:peek_back(Reader)),
    [?assertEqual({Name, {error, eacces}}, {Name, apply(emmap_queue, Name, [Reader | Arguments])})
     || {Name, Arguments} <- [{push, [1]}, {push_many, [[1]]}, {pop, []}, {try_pop, [fun(T) -> T end]}, {pop_many, [1]},
                              {purge, []}, {clear, []}, {erase, []}]],
    {ok, [1, 2, 3]} = emmap_queue:pop_many(Queue, 3),
    %% With a lower limit the NIF does not decode messages itself.
    {ok, Limited} = open(Config, "read-only", 0, [read_only, {max_inflated_size, 1000}]),
    [?assertEqual({Name, {error, eacces}}, {Name, apply(emmap_queue, Name, [Each | Arguments])})
     || Each <- [Reader, Limited],
        {Name, Arguments} <- [{pop, []}, {pop_or, [none]}, {pop_bytes, []}, {pop_many, [1]}, {pop_and_purge, []},
                              {pop, [0, fun(_, Acc) -> {cont, Acc} end]}, {try_pop, [fun(T) -> T end]},
                              {receive_message, [0]}, {take, [0]}]],
    [ok = emmap_queue:close(Each) || Each <- [Limited, Reader, Queue]].

reopens(Config) ->
    {ok, Queue} = open(Config, "reopens", 1024, [{compressed, 9}, unsafe_terms]),
    ok = emmap_queue:push(Queue, 1),
    {ok, Again} = emmap:reopen(Queue),
    ?assertEqual({error, closed}, emmap_queue:pop(Queue)),
    ok = emmap_queue:push(Again, lists:duplicate(500, $x)),
    ?assertMatch(#{tail := Tail} when Tail < 100, emmap_queue:metadata(Again)),
    ?assertEqual(1, emmap_queue:pop(Again)),
    ok = emmap_queue:close(Again).

%%% Files of emmap 2.1.3

fixture_terms() ->
    [hello, 0, 255, -1, 123456789012345678901234567890, 3.14, <<"bin">>, "text", [], [1, 2 | 3], {a, {b, 1.5}},
     #{k => <<"v">>, 1 => [x]}, true, nil, <<5:3>>, 'åtom', lists:seq(1, 300), lists:duplicate(500, $x)].

walk_of_another_era(Config) ->
    [begin
         Queue = queue(Config, Name),
         #file_descriptor{data = #file{backend = Backend, handle = Handle}} = Queue,
         ok = emmap_queue:push_many(Queue, lists:seq(10, 19)),
         {ok, [_, _, _], Place} = Backend:queue_walk(Handle, forward, 3, 0),
         {ok, [_ | _], _} = Backend:queue_walk(Handle, forward, 100, Place),
         ok = Change(Queue),
         ok = emmap_queue:push_many(Queue, lists:seq(20, 29)),
         ?assertEqual({Name, {error, estale}}, {Name, Backend:queue_walk(Handle, forward, 3, Place)}),
         ?assertEqual({ok, lists:seq(20, 29)}, emmap_queue:snapshot(Queue, all)),
         ok = emmap_queue:close(Queue)
     end || {Name, Change} <- [{"purged", fun emmap_queue:erase/1},
                               {"popped", fun(Q) -> {ok, _} = emmap_queue:pop_many(Q, 10), ok end}]].

%% A number that no step has answered is refused as a place.
walk_from_no_place(Config) ->
    Queue = queue(Config, "no-place"),
    #file_descriptor{data = #file{backend = Backend, handle = Handle}} = Queue,
    Numbers = lists:seq(1, 15) ++ [-1, -(1 bsl 63), 1 bsl 63, (1 bsl 64) - 1, 1 bsl 64, 1 bsl 70, -(1 bsl 70)],
    [begin
         [?assertEqual({Direction, Place, {error, estale}}, {Direction, Place, Backend:queue_walk(Handle, Direction, 9, Place)})
          || Direction <- [forward, backward], Place <- Numbers],
         ok = emmap_queue:push(Queue, a)
     end || _ <- [empty, one]],
    ok = emmap_queue:close(Queue).

snapshot(Config) ->
    Queue = queue(Config, "snapshot"),
    ?assertEqual({ok, []}, emmap_queue:snapshot(Queue, all)),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 500)),
    ?assertEqual({ok, lists:seq(1, 500)}, emmap_queue:snapshot(Queue, all)),
    ?assertEqual({ok, [1, 2, 3]}, emmap_queue:snapshot(Queue, 3)),
    ?assertEqual({ok, []}, emmap_queue:snapshot(Queue, 0)),
    ?assertEqual({ok, lists:seq(1, 500)}, emmap_queue:snapshot(Queue, 1 bsl 70)),
    {ok, Reader} = open(Config, "snapshot", 0, [read]),
    ?assertEqual({ok, [1, 2]}, emmap_queue:snapshot(Reader, 2)),
    ?assertEqual(500, emmap_queue:length(Queue)),
    ?assertEqual({error, einval}, emmap_queue:snapshot(Queue, -1)),
    ?assertError(badarg, emmap_queue:snapshot(Queue, a)),
    ok = emmap_queue:close(Reader),
    ok = emmap_queue:close(Queue),
    ?assertEqual({error, closed}, emmap_queue:snapshot(Queue, 1)).

%% The call that goes over to another file already answers from that file.
goes_over(Config) ->
    {ok, Queue} = open(Config, "goes-over", 0, [follow]),
    Blocks = emmap_test:path(Config, "goes-over-blocks"),
    {ok, Storage} = emmap:open_block_storage(Blocks, 8, [follow, backend(Config)]),
    nil = emmap_queue:pop(Queue),
    {ok, 0} = emmap:count_blocks(Storage),
    [ok = file:delete(File) || File <- [emmap_test:path(Config, "goes-over"), Blocks]],
    {ok, NewQueue} = open(Config, "goes-over", 0, []),
    ok = emmap_queue:push(NewQueue, new),
    {ok, NewStorage} = emmap:open_block_storage(Blocks, 8, [backend(Config)]),
    0 = emmap:store_block(NewStorage, <<1:64>>),
    timer:sleep(1200),
    ?assertEqual(new, emmap_queue:pop(Queue)),
    ?assertEqual(<<1:64>>, emmap:read_block(Storage, 0)),
    [ok = emmap:close(File) || File <- [Queue, NewQueue, Storage, NewStorage]].

stale(Config) ->
    Path = emmap_test:path(Config, "stale"),
    {ok, Waits} = open(Config, "stale", 0, []),
    {ok, Follows} = open(Config, "stale", 0, [follow]),
    {ok, Storage} = emmap:open_block_storage(emmap_test:path(Config, "stale-blocks"), 8, [backend(Config)]),
    nil = emmap_queue:pop(Waits),
    {ok, Other} = open(Config, "stale-next", 0, []),
    ok = emmap_queue:push(Other, new),
    ok = emmap_queue:close(Other),
    ok = file:rename(emmap_test:path(Config, "stale-next"), Path),
    ok = file:delete(emmap_test:path(Config, "stale-blocks")),
    ?assertEqual({error, estale}, emmap:sync(Waits)),
    ?assertEqual({error, estale}, until_not(nil, fun() -> emmap_queue:pop(Waits) end)),
    ?assertEqual({error, estale}, emmap_queue:is_empty(Waits)),
    Count = fun(_, N) -> {cont, N + 1} end,
    [?assertEqual({Fold, {error, estale}}, {Fold, emmap_queue:Fold(Waits, 0, Count)}) || Fold <- [pop, peek, rpeek]],
    ?assertEqual(new, until_not(nil, fun() -> emmap_queue:pop(Follows) end)),
    ?assertEqual({error, estale}, until_not({ok, 0}, fun() -> emmap:count_blocks(Storage) end)),
    ?assertEqual({error, estale}, emmap:read_blocks(Storage)),
    ?assertEqual({error, estale}, emmap:read_blocks(Storage, 0, 10)),
    ok = emmap_queue:push(Follows, again),
    {ok, Again} = emmap:reopen(Waits),
    ?assertEqual(again, emmap_queue:pop(Again)),
    ?assertEqual({error, {einval, option}}, emmap:open(Path, [read, follow, backend(Config)])),
    [ok = emmap:close(Each) || Each <- [Again, Follows, Storage]].

until_not(Nothing, Fun) ->
    case Fun() of
        Nothing -> until_not(Nothing, Fun);
        Something -> Something
    end.

emmap_2_queue(Config) ->
    _ = emmap_test:fixture_copy(Config, "queue.bin"),
    {ok, Queue} = open(Config, "queue.bin", 100, []),
    ?assertEqual(fixture_terms(), emmap_queue:to_list(Queue)),
    ?assertEqual(hello, emmap_queue:peek_front(Queue)),
    ?assertEqual(lists:duplicate(500, $x), emmap_queue:peek_back(Queue)),
    ?assertEqual(fixture_terms(), [emmap_queue:pop(Queue) || _ <- fixture_terms()]),
    ?assertEqual(true, emmap_queue:is_empty(Queue)),
    ok = emmap_queue:close(Queue).

emmap_2_popped_queue(Config) ->
    _ = emmap_test:fixture_copy(Config, "queue-popped.bin"),
    {ok, Queue} = open(Config, "queue-popped.bin", 1024, []),
    ?assertEqual([{n, 3}, {n, 4}, {n, 5}], pop_all(Queue)),
    ok = emmap_queue:close(Queue).

emmap_2_torn_queue(Config) ->
    _ = emmap_test:fixture_copy(Config, "queue-torn.bin"),
    {ok, Queue} = open(Config, "queue-torn.bin", 1024, []),
    ?assertEqual([kept], emmap_queue:to_list(Queue)),
    ok = emmap_queue:push(Queue, next),
    ?assertEqual([kept, next], pop_all(Queue)),
    ok = emmap_queue:close(Queue).

writes_the_bytes_of_emmap_2(Config) ->
    Popped = queue(Config, "popped"),
    [ok = emmap_queue:push(Popped, {n, N}) || N <- lists:seq(1, 5)],
    [{n, N} = emmap_queue:pop(Popped) || N <- [1, 2]],
    ok = emmap_queue:close(Popped),
    ?assertEqual({ok, emmap_test:fixture("queue-popped.bin")}, file:read_file(emmap_test:path(Config, "popped"))),
    {ok, Queue} = open(Config, "written", 8192, []),
    [ok = emmap_queue:push(Queue, Term) || Term <- lists:droplast(fixture_terms())],
    #{tail := Tail} = emmap_queue:metadata(Queue),
    ok = emmap_queue:close(Queue),
    {ok, Compressing} = open(Config, "written", 0, [{compressed, 9}]),
    ok = emmap_queue:push(Compressing, lists:last(fixture_terms())),
    ok = emmap_queue:close(Compressing),
    {ok, Written} = file:read_file(emmap_test:path(Config, "written")),
    Fixture = emmap_test:fixture("queue.bin"),
    ?assertEqual(binary:part(Fixture, 16, Tail - 16), binary:part(Written, 16, Tail - 16)),
    % of the compressed message, the bytes outside of zlib's
    ?assertMatch(<<_:Tail/binary, _:32, 131, 80, 503:32, _/binary>>, Written),
    ?assertEqual(byte_size(Fixture), byte_size(Written)).

corrupt(Config) ->
    Fixture = emmap_test:fixture("queue-popped.bin"),
    <<Size:32, Head:32, Tail:32, Rest/binary>> = Fixture,
    [begin
         Path = emmap_test:fresh(Config, Name, Bytes),
         {error, Reason} = emmap_queue:open(Path, 1024, [backend(Config)]),
         ?assertMatch({Name, {corrupt, Offset, <<_, _/binary>>}}, {Name, Reason}),
         ?assertEqual({ok, Bytes}, file:read_file(Path))
     end || {Name, Offset, Bytes} <- [{"text", 0, <<"this is no queue at all, but a text">>},
                                      {"head", 4, <<Size:32, (Tail + 1):32, Tail:32, Rest/binary>>},
                                      {"tail", 8, <<Size:32, Head:32, (Size + 1):32, Rest/binary>>}]].

corrupt_message(Config) ->
    Queue = queue(Config, "corrupt-message"),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    ok = file:pwrite(Queue, 16, <<99:32>>),
    Corrupt = emmap_queue:pop(Queue),
    ?assertMatch({error, {corrupt, 16, <<_, _/binary>>}}, Corrupt),
    [?assertEqual({Name, Corrupt}, {Name, emmap_queue:Name(Queue)})
     || Name <- [pop_and_purge, peek_front, inspect, to_list, length]],
    ?assertEqual(ok, emmap_queue:erase(Queue)),
    ?assertEqual(0, emmap_queue:length(Queue)),
    ok = emmap_queue:close(Queue).

%% An atom that this node has never seen.
unknown_atom(Name) ->
    Bytes = atom_to_binary(Name),
    Unknown = <<Bytes/binary, "_", (integer_to_binary(erlang:unique_integer([positive])))/binary, "_never_seen">>,
    <<131, 119, (byte_size(Unknown)), Unknown/binary>>.

raw_queue(Config, Name, Messages) ->
    {nif, Handle} = {nif, element(2, emmap_nif:queue_open(list_to_binary(emmap_test:path(Config, Name)), [write, create, {size, 1024}]))},
    ok = emmap_nif:queue_push_many(Handle, Messages),
    ok = emmap_nif:close(Handle).

%% A refused message stays for every operation, and holds up the messages behind it.
refused(Queue, Bytes, Length) ->
    Error = {error, {bad_term, Bytes}},
    ?assertEqual(Error, emmap_queue:peek_front(Queue)),
    ?assertEqual(Error, emmap_queue:pop(Queue)),
    ?assertEqual(Error, emmap_queue:pop_or(Queue, none)),
    ?assertEqual(Error, emmap_queue:pop_many(Queue, 1)),
    ?assertEqual(Error, emmap_queue:pop_many(Queue, 1000)),
    ?assertEqual(Error, emmap_queue:try_pop(Queue, fun(_) -> ct:fail(called) end)),
    ?assertMatch([{bad_term, Bytes} | _], emmap_queue:to_list(Queue)),
    ?assertEqual(Length, emmap_queue:length(Queue)).

unsafe_terms(Config) ->
    Message = unknown_atom(proplists:get_value(backend, Config)),
    raw_queue(Config, "unsafe", [term_to_binary(0), Message, term_to_binary(1), Message]),
    Queue = queue(Config, "unsafe"),
    ?assertEqual({ok, [0]}, emmap_queue:pop_many(Queue, 1000)),
    {error, {bad_term, Bytes}} = emmap_queue:peek_front(Queue),
    ?assertEqual(Message, binary:part(Bytes, 0, byte_size(Message))),
    refused(Queue, Bytes, 3),
    ?assertEqual([{bad_term, Bytes}, 1, {bad_term, Bytes}], emmap_queue:to_list(Queue)),
    ?assertEqual({ok, Bytes}, emmap_queue:pop_bytes(Queue)),
    ?assertEqual(1, emmap_queue:pop(Queue)),
    refused(Queue, Bytes, 1),
    {ok, Unsafe} = open(Config, "unsafe", 0, [unsafe_terms]),
    [Atom] = pop_all(Unsafe),
    ?assertEqual(Message, term_to_binary(Atom, [{minor_version, 2}])),
    ok = emmap_queue:push(Queue, Atom),
    ?assertEqual(Atom, emmap_queue:pop(Unsafe)),
    ?assertEqual(nil, emmap_queue:pop_bytes(Queue)),
    ok = emmap_queue:close(Unsafe),
    ok = emmap_queue:close(Queue).

no_terms(Config) ->
    raw_queue(Config, "no-terms", [<<"12345678">>, <<131, 0, 0, 0, 0, 0, 0, 0>>, <<131, 109, -1:32, 0, 0>>, term_to_binary(1)]),
    Queue = queue(Config, "no-terms"),
    [begin
         refused(Queue, Bytes, Length),
         ?assertEqual({ok, Bytes}, emmap_queue:pop_bytes(Queue))
     end || {Bytes, Length} <- [{<<"12345678">>, 4}, {<<131, 0:56>>, 3}, {<<131, 109, -1:32, 0, 0>>, 2}]],
    ?assertEqual(1, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

%% {Name, bytes of a term, memory that is counted for it}. Node is tested with the same table.
sizes() ->
    Vectors = filename:join([filename:dirname(?FILE), "..", "..", "test", "vectors", "term-sizes.json"]),
    {ok, Text} = file:read_file(Vectors),
    [{Name, decode_hex(Hex), Size}
     || #{<<"name">> := Name, <<"bytes">> := Hex, <<"size">> := Size} <- emmap_json:decode(Text)].

decode_hex(Hex) -> << <<(binary_to_integer(Digits, 16))>> || <<Digits:2/binary>> <= Hex >>.

%% A message whose length is a multiple of 8 comes back as it was: the zeros behind a term change nothing.
padded(Bytes) -> <<Bytes/binary, 0:(((8 - byte_size(Bytes) rem 8) rem 8) * 8)>>.

terms_up_to_the_limit(Config) ->
    Sizes = sizes(),
    ?assert(length(Sizes) > 20),
    ?assertEqual(0, emmap_term_size:left(<<121, 0:800>>, 1600)), % LOCAL_EXT, which not every release reads
    [begin
         Message = padded(Bytes),
         Limit = max(0, Size - byte_size(Message)),
         {ok, Queue} = open(Config, "sizes", 0, [unsafe_terms, {max_inflated_size, Limit}]),
         ok = emmap_queue:clear(Queue),
         raw_queue(Config, "sizes", [Message, Message]),
         ?assertNotMatch({Name, {error, _}}, {Name, emmap_queue:pop(Queue)}),
         ok = emmap_queue:close(Queue),
         case Limit of
             0 ->
                 ok;
             _ ->
                 {ok, Smaller} = open(Config, "sizes", 0, [unsafe_terms, {max_inflated_size, Limit - 1}]),
                 ?assertEqual({Name, {error, {bad_term, Message}}}, {Name, emmap_queue:pop(Smaller)}),
                 refused(Smaller, Message, 1),
                 ok = emmap_queue:close(Smaller)
         end
     end || {Name, Bytes, Size} <- Sizes].

%% A stream without its end is none, whichever way its term is made.
compressed_terms_without_an_end(Config) ->
    {ok, Queue} = open(Config, "no-end", 0, [{max_inflated_size, 20_000}]), % less than the most that the term could take
    {ok, Quick} = open(Config, "no-end", 0, []),
    [begin
         Whole = term_to_binary(binary:copy(<<255>>, 5000 + Length), [compressed]),
         Message = binary:part(Whole, 0, byte_size(Whole) - Cut),
         raw_queue(Config, "no-end", [Message]),
         [?assertEqual({Length, Cut, {error, {bad_term, Message}}}, {Length, Cut, emmap_queue:peek_front(Q)}) || Q <- [Queue, Quick]],
         ok = emmap_queue:erase(Queue)
     end || Length <- lists:seq(0, 200, 10), Cut <- [1, 2, 3, 4, 5],
            byte_size(term_to_binary(binary:copy(<<255>>, 5000 + Length), [compressed])) rem 8 =:= Cut].

%% A list of so many [], compressed without being made.
compressed_list(Count) ->
    Z = zlib:open(),
    ok = zlib:deflateInit(Z, best_speed),
    Chunk = binary:copy(<<106>>, 1 bsl 20),
    Head = zlib:deflate(Z, <<108, Count:32>>),
    Elements = [zlib:deflate(Z, Chunk) || _ <- lists:seq(1, Count bsr 20)],
    Tail = zlib:deflate(Z, <<106>>, finish),
    ok = zlib:close(Z),
    padded(iolist_to_binary([<<131, 80, (Count + 6):32>>, Head, Elements, Tail])).

compressed_terms_up_to_the_limit(Config) ->
    Binary = binary:copy(<<0>>, 1 bsl 20),
    {ok, Queue} = open(Config, "compressed", 0, [compressed, {max_inflated_size, 1 bsl 20 + 5}]),
    Small = fun(Limit) -> {ok, Q} = open(Config, "compressed", 0, [{max_inflated_size, Limit}]), Q end,
    ok = emmap_queue:push(Queue, Binary),
    Smaller = Small(1 bsl 20 + 4),
    {error, {bad_term, Bytes}} = emmap_queue:pop(Smaller),
    refused(Smaller, Bytes, 1),
    ?assertEqual(Binary, emmap_queue:pop(Queue)),
    %% Within the limit before it is a term, but not after.
    List = lists:duplicate(1000, []),
    ok = emmap_queue:push(Queue, List),
    {ok, [Message], _} = walked(Queue),
    Size = 16 * 1002 - byte_size(Message),
    ?assertMatch({error, {bad_term, Message}}, emmap_queue:pop(Small(Size - 1))),
    ?assertEqual(List, emmap_queue:pop(Small(Size))),
    %% Its size is not the one that it declares.
    <<131, 80, Claimed:32, Stream/binary>> = Message,
    Lies = [padded(<<131, 80, (Claimed + Lie):32, Stream/binary>>) || Lie <- [-1, 1]],
    raw_queue(Config, "compressed", Lies),
    [?assertMatch({error, {bad_term, Lie}}, emmap_queue:pop(Q)) || Lie <- [hd(Lies)], Q <- [Small(Size), Queue]],
    [emmap_queue:close(Q) || Q <- [Queue, Smaller]].

walked(#file_descriptor{data = File}) -> (element(2, File)):queue_walk(element(3, File), forward, 9, 0).

%% It would be 8 GB on the heap.
inflating_beyond_memory(Config) ->
    Message = compressed_list(500 bsl 20),
    raw_queue(Config, "bomb", [Message, term_to_binary(after_it)]),
    Queue = queue(Config, "bomb"),
    refused(Queue, Message, 2),
    {ok, Server} = emmap_queue:start_link(undefined, emmap_test:path(Config, "bomb"), 0, [backend(Config)]),
    ?assertEqual({error, {bad_term, Message}}, emmap_queue:dequeue(Server)),
    ?assertEqual({error, {bad_term, Message}}, emmap_queue:try_dequeue(Server, fun(_) -> ct:fail(called) end)),
    ok = gen_server:stop(Server),
    %% The same before it is compressed.
    List = padded(<<131, 108, (8 bsl 20):32, (binary:copy(<<106>>, 8 bsl 20))/binary, 106>>),
    ok = emmap_queue:clear(Queue),
    raw_queue(Config, "bomb", [List]),
    refused(Queue, List, 1),
    %% A binary takes as much as it has in the file.
    ok = emmap_queue:clear(Queue),
    Binary = binary:copy(<<7>>, 70 bsl 20),
    ok = emmap_queue:push(Queue, Binary),
    ?assertEqual(Binary, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

%% They count together. Each list takes 832 bytes, and its message has 58.
terms_of_one_call(Config) ->
    Limit = 2 * (832 - 58),
    {ok, Queue} = open(Config, "gathered", 0, [{max_inflated_size, Limit}]),
    List = lists:duplicate(50, []),
    ok = emmap_queue:push_many(Queue, lists:duplicate(5, List)),
    TooMuch = {error, {max_inflated_size, Limit}},
    ?assertEqual({ok, [List, List]}, emmap_queue:snapshot(Queue, 2)),
    [?assertEqual(TooMuch, Refused) || Refused <- [emmap_queue:snapshot(Queue, 3), emmap_queue:snapshot(Queue, all),
                                                   emmap_queue:to_list(Queue)]],
    Count = fun(_, N) -> {cont, N + 1} end,
    ?assertEqual([5, 5], [emmap_queue:peek(Queue, 0, Count), emmap_queue:rpeek(Queue, 0, Count)]),
    ?assertEqual([2, 2, 1, 0], [length(element(2, emmap_queue:pop_many(Queue, 10))) || _ <- lists:seq(1, 4)]),
    %% A message that is refused by itself counts nothing.
    Bad = padded(term_to_binary(lists:duplicate(200, []))),
    raw_queue(Config, "gathered", [term_to_binary(List), Bad, term_to_binary(List)]),
    ?assertEqual([List, {bad_term, Bad}, List], emmap_queue:to_list(Queue)),
    ?assertEqual({ok, [List]}, emmap_queue:pop_many(Queue, 10)),
    ?assertEqual({error, {bad_term, Bad}}, emmap_queue:pop_many(Queue, 10)),
    ok = emmap_queue:close(Queue).

%% Only a whole message is compressed. A compressed term inside another one is bytes, or no term.
compressed_inside(Config) ->
    Inside = term_to_binary(lists:duplicate(100000, []), [compressed]),
    raw_queue(Config, "inside", [padded(<<131, 104, 1, (binary:part(Inside, 1, byte_size(Inside) - 1))/binary>>)]),
    Queue = queue(Config, "inside"),
    {error, {bad_term, Bytes}} = emmap_queue:pop(Queue),
    refused(Queue, Bytes, 1),
    ok = emmap_queue:clear(Queue),
    ok = emmap_queue:push(Queue, {Inside}),
    ?assertEqual({Inside}, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

%% A push refuses what a pop by the same handle would refuse, and nothing else.
push_holds_to_the_limit(Config) ->
    {ok, Any} = open(Config, "pushes", 0, [{max_inflated_size, 1 bsl 70}]),
    Terms = [lists:duplicate(100, []), binary:copy(<<"x">>, 1001), binary:copy(<<"x">>, 1002), lists:seq(1, 300),
             #{1 => [<<"a">>, <<0:800>>]}, 1 bsl 4000, 7],
    [begin
         {ok, Queue} = open(Config, "pushes", 0, [{max_inflated_size, Limit}, {compressed, Level}]),
         Error = {error, {max_inflated_size, Limit}},
         [case emmap_queue:push(Queue, Term) of
              ok ->
                  ?assertEqual(Term, emmap_queue:pop(Queue));
              Refused ->
                  ?assertEqual({Limit, Error}, {Limit, Refused}),
                  ?assertEqual(Error, emmap_queue:push(Queue, Term, Level)),
                  ?assertEqual(Error, emmap_queue:push_many(Queue, [7, Term])),
                  ?assertEqual(true, emmap_queue:is_empty(Any)),
                  ok = emmap_queue:push(Any, Term, Level),
                  ?assertMatch({error, {bad_term, _}}, emmap_queue:pop(Queue)),
                  ?assertEqual(Term, emmap_queue:pop(Any))
          end || Term <- Terms],
         ok = emmap_queue:close(Queue)
     end || Level <- [0, 6], Limit <- [17 * N || N <- lists:seq(0, 120)] ++ [100000]],
    ok = emmap_queue:close(Any).

limits(Config) ->
    [?assertError(badarg, open(Config, "limits", 0, [{max_inflated_size, Limit}]))
     || Limit <- [-1, 1.5, infinity, <<>>]],
    {ok, Queue} = open(Config, "limits", 0, [{max_inflated_size, 1 bsl 70}]),
    ok = emmap_queue:push(Queue, lists:seq(1, 100)),
    ?assertEqual(lists:seq(1, 100), emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

%%% Funs

fun_that_returns(Config) ->
    Queue = queue(Config, "returns"),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    ?assertEqual({done, 1}, emmap_queue:try_pop(Queue, fun(Term) -> {done, Term} end)),
    ?assertEqual(2, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

fun_that_raises(Config) ->
    Queue = queue(Config, "raises"),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    [try emmap_queue:try_pop(Queue, fun(1) -> raise_here(Class) end) of
         Result -> ct:fail(Result)
     catch
         Class:{reason, Class}:Stack ->
             ?assertMatch([{?MODULE, raise_here, 1, [_ | _]} | _], Stack),
             ?assertEqual([1, 2], emmap_queue:to_list(Queue))
     end || Class <- [error, exit, throw]],
    ?assertEqual([1, 2], pop_all(Queue)),
    ok = emmap_queue:close(Queue).

raise_here(Class) ->
    erlang:Class({reason, Class}).

fun_that_pushes(Config) ->
    Queue = queue(Config, "pushes"),
    ok = emmap_queue:push(Queue, 1),
    ?assertEqual(ok, emmap_queue:try_pop(Queue, fun(1) -> emmap_queue:push_many(Queue, lists:seq(2, 500)) end)),
    ?assertEqual(lists:seq(2, 500), emmap_queue:to_list(Queue)),
    ?assertError(late, emmap_queue:try_pop(Queue, fun(2) -> ok = emmap_queue:push(Queue, 501), error(late) end)),
    ?assertEqual(lists:seq(2, 501), pop_all(Queue)),
    ok = emmap_queue:close(Queue).

%% Others get the messages behind the one that is in hand.
fun_that_pops(Config) ->
    Queue = queue(Config, "pops"),
    {ok, Other} = open(Config, "pops", 0, []),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 6)),
    Pops = fun(1) ->
        [emmap_queue:pop(Queue), emmap_queue:pop(Other), emmap_queue:try_pop(Queue, fun(N) -> N end),
         emmap_queue:pop_many(Other, 1), emmap_queue:clear(Queue), emmap_queue:erase(Other), emmap_queue:pop(Queue)]
    end,
    ?assertEqual([2, 3, 4, {ok, [5]}, ok, ok, nil], emmap_queue:try_pop(Queue, Pops)),
    ?assertEqual([], pop_all(Queue)),
    ok = emmap_queue:close(Other),
    ok = emmap_queue:close(Queue).

%% Where messages can't be in hand the others are kept out, as long as the fun runs. Here the path leads to no file any
%% more, so that there is no place for messages in hand.
fun_that_keeps_others_out(Config) ->
    Queue = queue(Config, "alone"),
    {ok, Other} = open(Config, "alone", 0, []),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    ok = file:delete(emmap_test:path(Config, "alone")),
    ?assertEqual({error, estale}, emmap_queue:take(Queue, 0)),
    Busy = fun(1) ->
        [{Name, emmap_queue:Name(Handle)} || Handle <- [Queue, Other], Name <- [pop, pop_and_purge, clear, erase]]
        ++ [emmap_queue:try_pop(Queue, fun(_) -> ct:fail(called) end)]
    end,
    ?assertEqual([{Name, {error, ebusy}} || _ <- [Queue, Other], Name <- [pop, pop_and_purge, clear, erase]]
                 ++ [{error, ebusy}], emmap_queue:try_pop(Queue, Busy)),
    ?assertEqual([2], pop_all(Queue)),
    ok = emmap_queue:close(Other),
    ok = emmap_queue:close(Queue).

fun_that_closes(Config) ->
    Queue = queue(Config, "closes"),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    ?assertEqual({error, closed}, emmap_queue:try_pop(Queue, fun(1) -> emmap_queue:close(Queue) end)),
    Reopened = queue(Config, "closes"),
    ?assertEqual([1, 2], pop_all(Reopened)),
    ok = emmap_queue:close(Reopened).

fun_of_a_killed_process(Config) ->
    ended_in_the_fun(Config, "killed", fun(Pid) -> exit(Pid, kill) end).

fun_of_an_ended_process(Config) ->
    ended_in_the_fun(Config, "ended", fun(Pid) -> exit(Pid, reason) end).

ended_in_the_fun(Config, Name, End) ->
    Queue = queue(Config, Name),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    Test = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        emmap_queue:try_pop(Queue, fun(Term) -> Test ! {took, Term}, receive never -> ok end end)
    end),
    receive {took, 1} -> ok end,
    ?assertEqual(2, emmap_queue:peek_front(Queue)),
    ok = emmap_queue:push(Queue, 3),
    End(Pid),
    receive {'DOWN', Monitor, process, Pid, _} -> ok end,
    emmap_test:until(fun() -> emmap_queue:peek_front(Queue) =:= 1 end),
    ?assertEqual([1, 2, 3], pop_all(Queue)),
    ok = emmap_queue:close(Queue).

%%% Many at once

-define(PRODUCERS, 4).
-define(EACH, 1500).

many_processes_on_many_handles(Config) ->
    Handles = [queue(Config, "concurrent") || _ <- lists:seq(1, 3)],
    share_out(Handles, fun(Queue) ->
        case emmap_queue:pop_or(Queue, none) of
            none -> [];
            Message -> [Message]
        end
    end),
    [ok = emmap_queue:close(Handle) || Handle <- Handles].

pop_many_shares_out(Config) ->
    Handles = [queue(Config, "concurrent-many") || _ <- lists:seq(1, 2)],
    share_out(Handles, fun(Queue) ->
        {ok, Messages} = emmap_queue:pop_many(Queue, 7),
        Messages
    end),
    [ok = emmap_queue:close(Handle) || Handle <- Handles].

both_backends_on_one_queue(Config) ->
    Path = emmap_test:path(Config, "both"),
    Handles = [begin
                   {ok, Queue} = emmap_queue:open(Path, 1024, [{backend, Backend}]),
                   Queue
               end || Backend <- [nif, port]],
    share_out(Handles, fun(Queue) ->
        case emmap_queue:pop_or(Queue, none) of
            none -> [];
            Message -> [Message]
        end
    end),
    [ok = emmap_queue:close(Handle) || Handle <- Handles].

%% Producers and consumers on all handles: each message comes out once, and those of each producer in order.
share_out(Handles, Pop) ->
    Test = self(),
    Left = atomics:new(1, []),
    ok = atomics:put(Left, 1, ?PRODUCERS * ?EACH),
    Handle = fun(N) -> lists:nth(1 + N rem length(Handles), Handles) end,
    Producers = [spawn_monitor(fun() -> [ok = emmap_queue:push(Handle(P), {P, N}) || N <- lists:seq(1, ?EACH)] end)
                 || P <- lists:seq(1, ?PRODUCERS)],
    Consumers = [spawn_monitor(fun() -> Test ! {self(), consume(Handle(C), Pop, Left, [])} end)
                 || C <- lists:seq(1, ?PRODUCERS)],
    [receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end || {_, Monitor} <- Producers ++ Consumers],
    Taken = [receive {Consumer, Messages} -> Messages end || {Consumer, _} <- Consumers],
    ?assertEqual([{P, N} || P <- lists:seq(1, ?PRODUCERS), N <- lists:seq(1, ?EACH)], lists:sort(lists:append(Taken))),
    [begin
         Of = [N || {From, N} <- Messages, From =:= P],
         ?assertEqual(lists:sort(Of), Of)
     end || Messages <- Taken, P <- lists:seq(1, ?PRODUCERS)],
    ?assertEqual(true, emmap_queue:is_empty(hd(Handles))).

consume(Queue, Pop, Left, Taken) ->
    case Pop(Queue) of
        [] ->
            case atomics:get(Left, 1) of
                0 -> lists:reverse(Taken);
                _ -> erlang:yield(), consume(Queue, Pop, Left, Taken)
            end;
        Messages ->
            ok = atomics:sub(Left, 1, length(Messages)),
            consume(Queue, Pop, Left, lists:reverse(Messages, Taken))
    end.

%%% The server

start(Config, Name) ->
    {ok, Server} = emmap_queue:start_link(undefined, emmap_test:path(Config, Name), 1024, [backend(Config)]),
    Server.

server(Config) ->
    Server = start(Config, "server"),
    ?assertEqual(nil, emmap_queue:dequeue(Server)),
    [?assertEqual(ok, emmap_queue:enqueue(Server, Term)) || Term <- [a, b, c]],
    ?assertEqual(a, emmap_queue:inspect(Server)),
    ?assertEqual([a, b, c], emmap_queue:to_list(Server)),
    ?assertMatch(#{size := 1024, head := 16, tail := 64, next_tail := 64}, emmap_queue:info(Server)),
    ?assertEqual(a, emmap_queue:dequeue(Server)),
    ?assertEqual({done, b}, emmap_queue:try_dequeue(Server, fun(Term) -> {done, Term} end)),
    ok = gen_server:stop(Server),
    Queue = queue(Config, "server"),
    ?assertEqual([c], pop_all(Queue)),
    ok = emmap_queue:close(Queue).

server_names(Config) ->
    [begin
         Path = emmap_test:path(Config, "names"),
         {ok, Pid} = emmap_queue:start_link(Name, Path, 1024, [backend(Config)]),
         ?assertEqual(ok, emmap_queue:enqueue(Reference, 1)),
         ?assertEqual(1, emmap_queue:dequeue(Pid)),
         ?assertEqual({error, {already_started, Pid}}, emmap_queue:start_link(Name, Path, 1024, [backend(Config)])),
         ok = gen_server:stop(Reference)
     end || {Name, Reference} <- [{?MODULE, ?MODULE}, {{local, ?MODULE}, ?MODULE}, {{global, ?MODULE}, {global, ?MODULE}}]].

server_that_does_not_open(Config) ->
    process_flag(trap_exit, true),
    Path = emmap_test:fresh(Config, "no-queue", <<"this is no queue at all">>),
    ?assertMatch({error, {corrupt, 0, _}}, emmap_queue:start_link(undefined, Path, 1024, [backend(Config)])).

%% The fun runs in the server. On any exception the message stays, and the caller gets an error.
server_with_a_fun(Config) ->
    Server = start(Config, "server-fun"),
    ?assertEqual(nil, emmap_queue:try_dequeue(Server, fun(_) -> ct:fail(called) end)),
    ok = emmap_queue:enqueue(Server, 1),
    [?assertEqual({error, {reason, Class}}, try emmap_queue:try_dequeue(Server, fun(1) -> raise_here(Class) end)
                                            catch Caught:Reason -> {Caught, Reason}
                                            end)
     || Class <- [error, exit, throw]],
    try emmap_queue:try_dequeue(Server, fun(1) -> raise_here(error) end) of
        Result -> ct:fail(Result)
    catch
        error:{reason, error}:Stack -> ?assertMatch([{?MODULE, raise_here, 1, [_ | _]} | _], Stack)
    end,
    ?assertEqual({Server, 1}, emmap_queue:try_dequeue(Server, fun(Term) -> {self(), Term} end)),
    ok = emmap_queue:enqueue(Server, 2),
    ?assertError({calling_self, _}, emmap_queue:try_dequeue(Server, fun(2) ->
        try emmap_queue:dequeue(Server) catch exit:{Reason, _} -> error({Reason, here}) end
    end)),
    ?assertEqual([2], emmap_queue:to_list(Server)),
    ?assertError(badarg, emmap_queue:try_dequeue(Server, fun(_, _) -> ok end)),
    ok = gen_server:stop(Server).

%% The server answers or ignores requests, casts and messages that no version knows, and goes on.
server_meets_the_unknown(Config) ->
    Server = start(Config, "server-unknown"),
    ok = emmap_queue:enqueue(Server, 1),
    ?assertEqual({error, {badarg, hello}}, gen_server:call(Server, hello)),
    ok = gen_server:cast(Server, hello),
    Server ! hello,
    ?assertEqual(1, emmap_queue:dequeue(Server)),
    ok = gen_server:stop(Server).

%% A caller that died while it waited takes no message with it.
server_removes_nothing_for_the_dead(Config) ->
    Server = start(Config, "server-dead"),
    [ok = emmap_queue:enqueue(Server, N) || N <- [1, 2, 3]],
    Test = self(),
    Busy = spawn_link(fun() ->
        Test ! {self(), emmap_queue:try_dequeue(Server, fun(Term) -> Test ! took, receive_go(Server), Term end)}
    end),
    receive took -> ok end,
    Waiting = [begin
                   {Pid, Monitor} = spawn_monitor(fun() -> Take(Server) end),
                   emmap_test:until(fun() -> process_info(Pid, status) =:= {status, waiting} end),
                   exit(Pid, kill),
                   receive {'DOWN', Monitor, process, Pid, killed} -> ok end
               end || Take <- [fun emmap_queue:dequeue/1, fun(S) -> emmap_queue:try_dequeue(S, fun(T) -> T end) end]],
    ?assertEqual([ok, ok], Waiting),
    Server ! go,
    ?assertEqual(1, receive {Busy, Term} -> Term end),
    ?assertEqual([2, 3], [emmap_queue:dequeue(Server) || _ <- [2, 3]]),
    ok = gen_server:stop(Server).

%% In the server, where the fun runs.
receive_go(_Server) -> receive go -> ok end.

%% A server that is killed while a fun runs has not removed the message.
server_keeps_what_it_has(Config) ->
    process_flag(trap_exit, true),
    Server = start(Config, "server-keeps"),
    ok = emmap_queue:enqueue(Server, 1),
    ?assertExit(_, emmap_queue:try_dequeue(Server, fun(1) -> exit(self(), kill), receive never -> ok end end)),
    Queue = queue(Config, "server-keeps"),
    emmap_test:until(fun() -> emmap_queue:pop(Queue) =:= 1 end),
    ok = emmap_queue:close(Queue).

%%% Long operations

%% The one large binary of a long message is a part of the message's memory, at any place in the term.
long_binaries_are_not_copied(Config) ->
    {ok, Queue} = open(Config, "long-binaries", 0, [{max_inflated_size, 1 bsl 20}]),
    Long = rand:bytes(2 bsl 20),
    Looks = <<109, (2 bsl 20):32>>, % as the head of the long one
    [begin
         ok = emmap_queue:push(Queue, Term),
         Popped = emmap_queue:pop(Queue),
         ?assert(Popped =:= Term),
         {[Same], _} = {[Binary || Binary <- binaries_of(Popped), Binary =:= Long], Term},
         ?assert(binary:referenced_byte_size(Same) > byte_size(Long))
     end || Term <- [Long, {Long}, {job, [1, Long | tail]}, #{Long => 1}, #{key => {Long, 1.5, <<"m">>}, 2 => -70000},
                     [[[Long], "text"]], {Looks, Long, Looks}, {Looks, [Looks, {Looks, 1 bsl 70}], Long}, [[], Long | Looks]]],
    %% Others are copied.
    [begin
         ok = emmap_queue:push(Queue, Term),
         ?assert(emmap_queue:pop(Queue) =:= Term)
     end || Term <- [{Long, Long}, {<<0:(8 * 70000)>>, Long}, [make_ref(), Long], {fun lists:map/2, Long}]],
    ok = emmap_queue:close(Queue).

binaries_of(Binary) when is_binary(Binary) -> [Binary];
binaries_of([Head | Tail]) -> binaries_of(Head) ++ binaries_of(Tail);
binaries_of(Tuple) when is_tuple(Tuple) -> binaries_of(tuple_to_list(Tuple));
binaries_of(Map) when is_map(Map) -> binaries_of(maps:to_list(Map));
binaries_of(_) -> [].

long_messages(Config) ->
    {ok, Queue} = open(Config, "long", 0, []),
    Terms = [binary:copy(<<N>>, N * 50000) || N <- lists:seq(1, 20)],
    [ok = emmap_queue:push(Queue, Term) || Term <- Terms],
    ?assert(Terms =:= emmap_queue:to_list(Queue)),
    ?assertEqual(hd(Terms), emmap_queue:pop(Queue)),
    ?assertEqual({ok, lists:nth(2, Terms)}, emmap_queue:try_pop(Queue, fun(Term) -> {ok, Term} end)),
    ?assert(lists:nthtail(2, Terms) =:= pop_all(Queue)),
    ok = emmap_queue:push_many(Queue, Terms),
    ?assert(Terms =:= pop_all(Queue)),
    ok = emmap_queue:close(Queue).

%% Another program is stopped while it has the lock of the queue. More processes than schedulers wait for it, and one
%% that had begun to take the first message out is killed. Others go on all the same.
waiting_leaves_the_schedulers_free(Config) ->
    Queue = queue(Config, "waiting"),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 200000)),
    Test = self(),
    Taker = spawn(fun() ->
        emmap_queue:try_pop(Queue, fun(Term) -> Test ! {took, Term}, receive never -> ok end end)
    end),
    receive {took, 1} -> ok end,
    emmap_test_program:with_stopped_owner(emmap_test:path(Config, "waiting"), fun(Path, Port, OsPid) ->
        others_go_on(Queue, Path, Taker, Port, OsPid)
    end).

others_go_on(Queue, Path, Taker, Port, OsPid) ->
    Waiting = [spawn_monitor(fun() -> ok = emmap_queue:push(Queue, more) end)
               || _ <- lists:seq(1, 2 * erlang:system_info(schedulers))],
    emmap_test:until(fun() -> [] =:= [Pid || {Pid, _} <- Waiting, process_info(Pid, status) =:= {status, runnable}] end),
    exit(Taker, kill),
    _ = emmap_test:until(fun() -> not is_process_alive(Taker) end),
    Rounds = [spawn_monitor(fun() -> lists:sum(lists:seq(1, 1000)) end) || _ <- lists:seq(1, 100)],
    [receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end || {_, Monitor} <- Rounds],
    ?assert(emmap_test_program:is_locked(Path)),
    ?assertEqual([], [Pid || {Pid, _} <- Waiting, not is_process_alive(Pid)]),
    emmap_test_program:stop(Port),
    signal("KILL", OsPid),
    [receive {'DOWN', Monitor, process, _, Reason} -> ?assertEqual(normal, Reason) end || {_, Monitor} <- Waiting],
    %% The taker is dead, so its message is back. It comes before all others.
    emmap_test:until(fun() -> emmap_queue:length(Queue) =:= 200000 + length(Waiting) end),
    ?assertEqual(1, emmap_queue:pop(Queue)),
    ok = emmap_queue:close(Queue).

signal(Name, OsPid) ->
    [] = os:cmd("kill -" ++ Name ++ " " ++ integer_to_list(OsPid)),
    ok.
