%% Waiting for words, over both backends. A process waits, and never a scheduler.
-module(emmap_wait_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([not_equal_and_timeout/1, notify_wakes_as_many_as_it_says/1, all_64_bits_count/1, change_without_notify/1,
         counters/1, read_only/1, close_ends_it/1, truncation_ends_it/1, shortening_ends_it/1, growth_goes_on/1,
         refuses_bad_places/1, refuses_bad_arguments/1, killed_processes_leave_nothing/1, no_stray_messages/1,
         no_scheduler_waits/1, limit/1, hand_over/1, notifies_in_batches/1, both_backends_on_one_file/1, dead_program_ends_it/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups(
      [not_equal_and_timeout, notify_wakes_as_many_as_it_says, all_64_bits_count, change_without_notify, counters,
       read_only, close_ends_it, truncation_ends_it, shortening_ends_it, growth_goes_on, refuses_bad_places,
       refuses_bad_arguments, killed_processes_leave_nothing, no_stray_messages, no_scheduler_waits, limit, hand_over,
       notifies_in_batches, both_backends_on_one_file, dead_program_ends_it]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

words(Config, Name) -> words(Config, Name, 64).

words(Config, Name, Size) ->
    _ = emmap_test:fresh(Config, Name, binary:copy(<<0>>, Size)),
    {ok, File} = emmap_test:open(Config, Name, [read, write, shared]),
    File.

%% Starts a process that waits, and sends the answer. Its wait may not have begun when this returns.
start(Wait) ->
    Self = self(),
    spawn_link(fun() -> Self ! {self(), Wait()} end).

result(Waiter) ->
    receive {Waiter, Result} -> Result after 10000 -> ct:fail({still_waits, Waiter}) end.

%% Notifies until this many have been woken, because a process may not have begun to wait.
wake(_Notify, 0) -> ok;
wake(Notify, Count) ->
    {ok, Woken} = Notify(Count),
    ?assert(Woken =< Count),
    _ = Woken =:= 0 andalso timer:sleep(1),
    wake(Notify, Count - Woken).

not_equal_and_timeout(Config) ->
    File = words(Config, "answers"),
    ok = emmap:patomic_write_integer(File, 8, 1 bsl 32),
    ?assertEqual(not_equal, emmap:wait(File, 8, 0, infinity)),
    ?assertEqual(not_equal, emmap:wait(File, 8, 1, 0)),
    ?assertEqual(timeout, emmap:wait(File, 8, 1 bsl 32, 0)),
    {Time, Answer} = timer:tc(fun() -> emmap:wait(File, 8, 1 bsl 32, 30) end),
    ?assertEqual(timeout, Answer),
    ?assert(Time >= 30000),
    ok = file:close(File).

notify_wakes_as_many_as_it_says(Config) ->
    File = words(Config, "counts"),
    Waiters = [start(fun() -> emmap:wait(File, 16, 0, infinity) end) || _ <- lists:seq(1, 40)],
    ?assertEqual({ok, 0}, emmap:notify(File, 8, infinity)),
    ?assertEqual({ok, 0}, emmap:notify(File, 16, 0)),
    ok = wake(fun(_) -> emmap:notify(File, 16, 1) end, 2),
    %% More than a normal scheduler wakes at once.
    ok = wake(fun(_) -> emmap:notify(File, 16, infinity) end, 38),
    ?assertEqual({ok, 0}, emmap:notify(File, 16, infinity)),
    [?assertEqual(ok, result(Waiter)) || Waiter <- Waiters],
    ok = file:close(File).

all_64_bits_count(Config) ->
    File = words(Config, "bits"),
    [begin
         {ok, Value} = emmap:patomic_read_integer(File, 8),
         Waiter = start(fun() -> emmap:wait(File, 8, Value, infinity) end),
         {ok, Value} = emmap:patomic_add(File, 8, Change),
         {ok, _} = emmap:notify(File, 8, 1),
         ?assert(lists:member(result(Waiter), [ok, not_equal]))
     end || Change <- [1, 1 bsl 32, -1, 1 bsl 63], _ <- lists:seq(1, 50)],
    ok = file:close(File).

change_without_notify(Config) ->
    File = words(Config, "unnoticed"),
    Waiter = start(fun() -> emmap:wait(File, 8, 0, infinity) end),
    timer:sleep(20),
    ok = emmap:patomic_write_integer(File, 8, 1),
    ?assertEqual(ok, result(Waiter)),
    ok = file:close(File).

counters(Config) ->
    Counters = emmap_test:open_counters(Config, "wait-counters", 4),
    Waiter = start(fun() -> emmap:wait_counter(Counters, 3, 0, infinity) end),
    ?assertEqual({ok, 0}, emmap:notify_counter(Counters, 2, infinity)),
    ok = wake(fun(_) -> emmap:notify_counter(Counters, 3, 1) end, 1),
    ?assertEqual(ok, result(Waiter)),
    {ok, 0} = emmap:inc_counter(Counters, 3),
    ?assertEqual(not_equal, emmap:wait_counter(Counters, 3, 0, infinity)),
    ?assertEqual(timeout, emmap:wait_counter(Counters, 3, 1, 1)),
    ?assertEqual({error, einval}, emmap:wait_counter(Counters, 4, 0, 1)),
    ?assertEqual({error, einval}, emmap:notify_counter(Counters, 4, 1)),
    ok = emmap:close_counters(Counters).

read_only(Config) ->
    File = words(Config, "read-only"),
    {ok, Reader} = emmap_test:open(Config, "read-only", [read, shared]),
    Waiter = start(fun() -> emmap:wait(Reader, 8, 0, infinity) end),
    ok = wake(fun(_) -> emmap:notify(File, 8, 1) end, 1),
    ?assertEqual(ok, result(Waiter)),
    Other = start(fun() -> emmap:wait(File, 8, 0, infinity) end),
    ok = wake(fun(_) -> emmap:notify(Reader, 8, 1) end, 1),
    ?assertEqual(ok, result(Other)),
    ok = file:close(Reader),
    ok = file:close(File).

close_ends_it(Config) ->
    File = words(Config, "closing"),
    Waiters = [start(fun() -> emmap:wait(File, 8, 0, Timeout) end) || Timeout <- [infinity, 60000]],
    timer:sleep(10),
    ok = file:close(File),
    [?assertEqual({error, closed}, result(Waiter)) || Waiter <- Waiters],
    ?assertEqual({error, closed}, emmap:wait(File, 8, 0, 0)),
    ?assertEqual({error, closed}, emmap:notify(File, 8, 1)).

truncation_ends_it(Config) ->
    File = words(Config, "truncated", 65536),
    Waiter = start(fun() -> emmap:wait(File, 8192, 0, infinity) end),
    timer:sleep(10),
    {ok, Raw} = file:open(emmap_test:path(Config, "truncated"), [read, write, raw]),
    ok = file:truncate(Raw),
    ok = file:close(Raw),
    ?assertEqual({error, efault}, result(Waiter)),
    ok = file:close(File).

shortening_ends_it(Config) ->
    File = words(Config, "shortened", 65536),
    Waiter = start(fun() -> emmap:wait(File, 8192, 0, infinity) end),
    timer:sleep(10),
    {ok, 4096} = emmap:resize(File, 4096),
    ?assertEqual({error, einval}, result(Waiter)),
    ok = file:close(File).

growth_goes_on(Config) ->
    File = words(Config, "grown", 4096),
    Waiter = start(fun() -> emmap:wait(File, 8, 0, infinity) end),
    timer:sleep(10),
    {ok, 65536} = emmap:resize(File, 65536),
    ok = wake(fun(_) -> emmap:notify(File, 8, 1) end, 1),
    ?assertEqual(ok, result(Waiter)),
    ok = file:close(File).

refuses_bad_places(Config) ->
    File = words(Config, "places"),
    ?assertEqual({error, alignment}, emmap:wait(File, 4, 0, infinity)),
    ?assertEqual({error, alignment}, emmap:notify(File, 4, 1)),
    [begin
         ?assertEqual({error, einval}, emmap:wait(File, Position, 0, infinity)),
         ?assertEqual({error, einval}, emmap:notify(File, Position, 1))
     end || Position <- [64, 57, -8, 1 bsl 63, 1 bsl 64, 1 bsl 100]],
    {ok, Own} = emmap_test:open(Config, "places", [read, write, private]),
    ?assertEqual({error, einval}, emmap:wait(Own, 8, 0, infinity)),
    ok = file:close(Own),
    ok = file:close(File).

refuses_bad_arguments(Config) ->
    File = words(Config, "arguments"),
    Counters = emmap_test:open_counters(Config, "argument-counters", 1),
    [?assertError(badarg, emmap:wait(File, 8, 0, Timeout)) || Timeout <- [-1, 1.0, forever, <<>>]],
    [?assertError(badarg, emmap:wait_counter(Counters, 0, 0, Timeout)) || Timeout <- [-1, 1.0, forever, <<>>]],
    [?assertError(badarg, emmap:wait(File, 8, Value, 0)) || Value <- [1 bsl 64, 1.0, one]],
    [?assertError(badarg, emmap:notify(File, 8, Count)) || Count <- [-1, 1.0, all]],
    [?assertError(badarg, emmap:notify_counter(Counters, 0, Count)) || Count <- [-1, 1.0, all]],
    ?assertError(badarg, emmap:wait(File, one, 0, 0)),
    ?assertEqual(not_equal, emmap:wait(File, 8, 1, 1 bsl 70)),
    ?assertEqual({ok, 0}, emmap:notify(File, 8, 1 bsl 62)),
    ok = emmap:close_counters(Counters),
    ok = file:close(File).

killed_processes_leave_nothing(Config) ->
    File = words(Config, "killed"),
    [begin
         Waiters = [spawn(fun() -> emmap:wait(File, 8, 0, infinity) end) || _ <- lists:seq(1, 20)],
         _ = Round rem 2 =:= 0 andalso timer:sleep(5),
         Monitors = [monitor(process, Waiter) || Waiter <- Waiters],
         [exit(Waiter, kill) || Waiter <- Waiters],
         [receive {'DOWN', Monitor, _, _, _} -> ok end || Monitor <- Monitors]
     end || Round <- lists:seq(1, 10)],
    %% A notify finds nobody, once the last of them are collected.
    emmap_test:until(fun() -> {ok, 0} =:= emmap:notify(File, 8, infinity) end),
    Waiter = start(fun() -> emmap:wait(File, 8, 0, infinity) end),
    ok = wake(fun(_) -> emmap:notify(File, 8, 1) end, 1),
    ?assertEqual(ok, result(Waiter)),
    ok = file:close(File).

no_stray_messages(Config) ->
    File = words(Config, "strays"),
    Self = self(),
    Waiter = spawn_link(fun() ->
        Answers = [emmap:wait(File, 8, 0, N rem 3) || N <- lists:seq(1, 100)],
        timer:sleep(20),
        Self ! {self(), Answers, process_info(self(), [messages, monitors])}
    end),
    [emmap:notify(File, 8, 1) || _ <- lists:seq(1, 1000)],
    receive
        {Waiter, Answers, Left} ->
            ?assertEqual([{messages, []}, {monitors, []}], Left),
            ?assertEqual([], Answers -- [Answer || Answer <- Answers, lists:member(Answer, [ok, timeout])])
    end,
    ok = file:close(File).

%% More processes wait than there are dirty schedulers, and files are read meanwhile.
no_scheduler_waits(Config) ->
    File = words(Config, "schedulers"),
    Count = 2 * (erlang:system_info(dirty_io_schedulers) + erlang:system_info(schedulers_online)),
    Waiters = [start(fun() -> emmap:wait(File, 8, 0, infinity) end) || _ <- lists:seq(1, Count)],
    [{ok, _} = file:read_file(emmap_test:path(Config, "schedulers")) || _ <- lists:seq(1, 100)],
    {ok, 0} = emmap:patomic_add(File, 16, 1),
    ok = wake(fun(_) -> emmap:notify(File, 8, infinity) end, Count),
    [?assertEqual(ok, result(Waiter)) || Waiter <- Waiters],
    ok = file:close(File).

limit(Config) ->
    File = words(Config, "limit"),
    Waiters = [start(fun() -> emmap:wait(File, 8, 0, infinity) end) || _ <- lists:seq(1, 1100)],
    Refused = [receive {Waiter, Result} when is_pid(Waiter) -> {Waiter, Result} end || _ <- lists:seq(1025, 1100)],
    ?assertEqual([{error, enomem}], lists:usort([Result || {_, Result} <- Refused])),
    ok = emmap:patomic_write_integer(File, 8, 1),
    {ok, _} = emmap:notify(File, 8, infinity),
    [?assertEqual(ok, result(Waiter)) || Waiter <- Waiters, not lists:keymember(Waiter, 1, Refused)],
    ok = file:close(File).

%% 500 round trips by changes and notifies. If a notify were lost, this would take minutes.
hand_over(Config) ->
    Counters = emmap_test:open_counters(Config, "hand-over", 2),
    Waiter = start(fun() -> answer(Counters, 0, 500) end),
    {Time, ok} = timer:tc(fun() -> ask(Counters, 0, 500) end),
    ?assertEqual(ok, result(Waiter)),
    ?assert(Time < 500 * 25000),
    ok = emmap:close_counters(Counters).

notifies_in_batches(Config) ->
    File = words(Config, "batches"),
    Waiters = [start(fun() -> emmap:wait(File, 16, 0, infinity) end) || _ <- [1, 2, 3]],
    Notify = fun(Count) ->
        {ok, [{ok, 0}, Woken]} = emmap:batch(File, [{patomic_read_integer, 16}, {notify, 16, Count}]),
        Woken
    end,
    ok = wake(Notify, 3),
    [?assertEqual(ok, result(Waiter)) || Waiter <- Waiters],
    ok = file:close(File),
    Counters = emmap_test:open_counters(Config, "batched-counters", 1),
    Waiter = start(fun() -> await(Counters, 0, 0) end),
    {ok, [{ok, 0}, {ok, _}]} = emmap:batch(Counters, [{inc_counter, 0}, {notify_counter, 0, 1 bsl 64}]),
    ?assertEqual(ok, result(Waiter)),
    ok = emmap:close_counters(Counters).

ask(_Counters, Rounds, Rounds) -> ok;
ask(Counters, Round, Rounds) ->
    {ok, Round} = emmap:inc_counter(Counters, 0),
    {ok, _} = emmap:notify_counter(Counters, 0, 1),
    ok = await(Counters, 1, Round),
    ask(Counters, Round + 1, Rounds).

answer(_Counters, Rounds, Rounds) -> ok;
answer(Counters, Round, Rounds) ->
    ok = await(Counters, 0, Round),
    {ok, Round} = emmap:inc_counter(Counters, 1),
    {ok, _} = emmap:notify_counter(Counters, 1, 1),
    answer(Counters, Round + 1, Rounds).

await(Counters, Index, Value) ->
    case emmap:read_counter(Counters, Index) of
        {ok, Value} ->
            Result = emmap:wait_counter(Counters, Index, Value, infinity),
            true = lists:member(Result, [ok, not_equal]),
            await(Counters, Index, Value);
        {ok, _} ->
            ok
    end.

both_backends_on_one_file(Config) ->
    File = words(Config, "both"),
    [begin
         {ok, Other} = emmap:open(emmap_test:path(Config, "both"), [read, write, shared, {backend, Backend}]),
         Waiter = start(fun() -> emmap:wait(Other, 8, 0, infinity) end),
         ok = wake(fun(_) -> emmap:notify(File, 8, 1) end, 1),
         ?assertEqual(ok, result(Waiter)),
         ok = file:close(Other)
     end || Backend <- emmap_test_backends:backends()],
    ok = file:close(File).

dead_program_ends_it(Config) ->
    case emmap_test_backends:can(proplists:get_value(backend, Config), port_death) of
        false -> ok;
        true ->
            process_flag(trap_exit, true),
            {ok, Server} = emmap_port:start_link(#{}),
            Path = emmap_test:fresh(Config, "dead", binary:copy(<<0>>, 64)),
            {ok, File} = emmap:open(Path, [read, write, shared, {backend, {port, Server}}]),
            Waiter = start(fun() -> emmap:wait(File, 8, 0, infinity) end),
            timer:sleep(20),
            _ = os:cmd("kill -KILL " ++ integer_to_list(emmap_test:os_pid(Server))),
            ?assertEqual({error, port_died}, result(Waiter)),
            ?assertEqual({error, port_died}, emmap:wait(File, 8, 0, 10)),
            ?assertEqual({monitors, []}, process_info(self(), monitors))
    end.
