%% Measures and prints for the benchmarks on BEAM, as rounds.mjs and records.mjs do on Node.
%%
%% A round times each contestant once, in random order. A ratio is of two times of one round, measured under the same
%% conditions. The result is the median over all rounds.
-module(rounds).

-export([load_emmap/0, quick/0, race/1, race/2, ratio/4, ratio/5, ratio/6, recorded/3, recorded/4, series/5,
         percentiles/6, note/2, thousands/1]).

%% A contestant does its work the given number of times. A triple has untimed work before and after it.
-type contestant() :: fun((Calls :: pos_integer()) -> term())
                    | {Before :: fun((Calls :: pos_integer()) -> Prepared :: term()),
                       fun((Calls :: pos_integer(), Prepared :: term()) -> Result :: term()),
                       After :: fun((Result :: term()) -> term())}.
%% One contestant's time divided by another's: less than 1 if the first is faster.
-type ratio() :: fun((One :: term(), Other :: term()) -> float()).

%% Makes the application that was built beside this folder available, without starting it.
-spec load_emmap() -> ok.
load_emmap() ->
    Here = filename:dirname(filename:absname(escript:script_name())),
    true = code:add_patha(filename:join([Here, "..", "..", "erlang", "_build", "default", "lib", "emmap", "ebin"])),
    ok = emmap_nif:loaded().

-spec quick() -> boolean().
quick() ->
    lists:member("--quick", init:get_plain_arguments()).

-spec race([{term(), contestant()}]) -> ratio().
race(Contestants) ->
    race(Contestants, 301).

%% With a number of rounds; --quick makes fewer.
-spec race([{term(), contestant()}], pos_integer()) -> ratio().
race(Contestants, Rounds) ->
    {Count, Warm, Round} =
        case quick() of
            true -> {min(Rounds, 15), 10_000_000, 500_000};
            false -> {Rounds, 100_000_000, 1_000_000}
        end,
    Calibrated = [{Name, Run, calls(Run, Warm, Round)} || {Name, Run} <- Contestants],
    Times = [
        maps:from_list([{Name, time(Run, Calls)} || {Name, Run, Calls} <- shuffled(Calibrated)])
     || _ <- lists:seq(1, Count)
    ],
    fun(One, Other) -> median([map_get(One, Times1) / map_get(Other, Times1) || Times1 <- Times]) end.

%% The number of calls that take the length of a round, after a warm-up; both lengths are in nanoseconds. It follows from
%% the shortest run, because other processes may have interrupted the longer ones.
calls(Run, Warm, Round) ->
    calls(Run, 1, infinity, erlang:monotonic_time(nanosecond) + Warm, Round).

calls(Run, Calls, Least, End, Round) ->
    Each = min(Least, max(time(Run, Calls), 1.0)),
    More = max(1, min(Calls * 10, round(Round / Each))),
    case erlang:monotonic_time(nanosecond) < End of
        true -> calls(Run, More, Each, End, Round);
        false -> More
    end.

%% Nanoseconds a call. Runs in a process of its own, so that no contestant pays for another's garbage.
time({Before, Run, After}, Calls) ->
    {Pid, Monitor} = spawn_monitor(fun() ->
        Prepared = Before(Calls),
        Begin = erlang:monotonic_time(nanosecond),
        Result = Run(Calls, Prepared),
        Took = erlang:monotonic_time(nanosecond) - Begin,
        After(Result),
        exit({took, Took})
    end),
    receive
        {'DOWN', Monitor, process, Pid, {took, Time}} -> Time / Calls;
        {'DOWN', Monitor, process, Pid, Reason} -> error(Reason)
    end;
time(Run, Calls) ->
    time({fun(_) -> none end, fun(N, none) -> Run(N) end, fun(_) -> ok end}, Calls).

%% A random order for each round, because the system may interrupt in step with the rounds.
shuffled(Contestants) ->
    [Contestant || {_, Contestant} <- lists:sort([{rand:uniform(), Contestant} || Contestant <- Contestants])].

median(Values) ->
    lists:nth(length(Values) div 2 + 1, lists:sort(Values)).

%% Writes a large number as the programs on Node do: "1,000,000".
-spec thousands(non_neg_integer()) -> string().
thousands(Number) when Number < 1000 -> integer_to_list(Number);
thousands(Number) -> lists:flatten([thousands(Number div 1000), io_lib:format(",~3..0b", [Number rem 1000])]).

%% A limit is for example "at most 1.2". With "at least 10" the ratio is the peer's time divided by ours. A floor names an
%% operation beside the same peer that bounds this one.
-spec ratio(Section :: string(), Operation :: string(), Ratio :: float(), Beside :: string()) -> ok.
ratio(Section, Operation, Ratio, Beside) ->
    print_ratio(Section, Operation, Ratio, Beside, []).

-spec ratio(string(), string(), float(), string(), Limit :: string()) -> ok.
ratio(Section, Operation, Ratio, Beside, Limit) ->
    print_ratio(Section, Operation, Ratio, Beside, [{limit, Limit}]).

-spec ratio(string(), string(), float(), string(), Limit :: string(), Floor :: string()) -> ok.
ratio(Section, Operation, Ratio, Beside, Limit, Floor) ->
    print_ratio(Section, Operation, Ratio, Beside, [{limit, Limit}, {floor, Floor}]).

%% emmap 2.x cannot run here. Its times were measured once, each together with OTP's counters:add in the same node, and
%% are recorded here as multiples of counters:add. Ratio is our time as a multiple of counters:add.
-spec recorded(Operation :: atom(), Name :: string(), Ratio :: float()) -> ok.
recorded(Operation, Name, Ratio) ->
    print_recorded(Operation, Name, Ratio, []).

-spec recorded(Operation :: atom(), Name :: string(), Ratio :: float(), Limit :: string()) -> ok.
recorded(Operation, Name, Ratio, Limit) ->
    print_recorded(Operation, Name, Ratio, [{limit, Limit}]).

print_recorded(Operation, Name, Ratio, More) ->
    Theirs = emmap_2(Operation),
    print_ratio("BEAM beside emmap 2.x", Name, Ratio / Theirs, "emmap 2.x",
                [{yardstick, "counters:add"}, {theirs, {number, Theirs}} | More]).

emmap_2(inc_counter) -> 1.27;
emmap_2(patomic_add) -> 1.12;
emmap_2(pread_64_direct) -> 1.63;
emmap_2(pread_64_copy) -> 5.2;
emmap_2(pread_4096_direct) -> 1.61;
emmap_2(pread_4096_copy) -> 7.4;
emmap_2(pwrite_64) -> 1.35;
emmap_2(push_pop) -> 42;
emmap_2(store_block) -> 2.17;
emmap_2(free_block) -> 1.10;
emmap_2(read_block) -> 5.1.

print_ratio(Section, Operation, Ratio, Beside, More) ->
    Record = [{kind, "ratio"}, {section, Section}, {operation, Operation}, {beside, Beside}, {ratio, {number, Ratio}}],
    print(Record ++ More).

%% A line of a chart. Its values are ratios; X and Y are the titles of the axes.
-spec series(string(), Chart :: string(), Line :: string(), [{number(), float()}], {X :: string(), Y :: string()}) -> ok.
series(Section, Chart, Line, Points, {X, Y}) ->
    print([
        {kind, "series"},
        {section, Section},
        {chart, Chart},
        {x, X},
        {y, Y},
        {line, Line},
        {points, {list, [{list, [{number, A}, {number, B}]} || {A, B} <- Points]}}
    ]).

%% Ratios to the peer's percentiles.
-spec percentiles(string(), string(), P50 :: float(), P99 :: float(), P999 :: float(), Beside :: string()) -> ok.
percentiles(Section, Operation, P50, P99, P999, Beside) ->
    Numbers = [{p50, {number, P50}}, {p99, {number, P99}}, {p999, {number, P999}}],
    print([{kind, "percentiles"}, {section, Section}, {operation, Operation}, {beside, Beside} | Numbers]).

-spec note(string(), string()) -> ok.
note(Section, Text) ->
    print([{kind, "note"}, {section, Section}, {text, Text}]).

print(Pairs) ->
    Members = [[$", atom_to_list(Key), "\":", json(Value)] || {Key, Value} <- Pairs],
    ok = io:setopts([{encoding, unicode}]),
    io:put_chars([${, lists:join($,, Members), "}\n"]).

json({number, Number}) when is_integer(Number) -> integer_to_list(Number);
json({number, Number}) -> float_to_list(Number, [short]);
json({list, List}) -> [$[, lists:join($,, [json(Value) || Value <- List]), $]];
json(String) -> [$", [escape(Character) || Character <- String], $"].

escape($") -> "\\\"";
escape($\\) -> "\\\\";
escape(Character) when Character >= $\s -> Character.
