-module(emmap_metrics).

-include("emmap_doc.hrl").

?MODULEDOC("Metrics in a table: one set for all processes of both runtimes, which outlives their restarts.

```erlang
{ok, Metrics} = emmap_metrics:open(\"metrics.table\", #{
    <<\"requests_total\">> => {counter, #{labels => [<<\"route\">>, <<\"status\">>]}},
    <<\"latency_seconds\">> => {histogram, #{buckets => [0.01, 0.1, 1]}},
    <<\"in_flight\">> => {gauge, #{per_process => true}}
}, []),
ok = emmap_metrics:add(Metrics, <<\"requests_total\">>, [<<\"/\">>, 200], 1),
ok = emmap_metrics:observe(Metrics, <<\"latency_seconds\">>, [], 0.02),
{ok, Text} = emmap_metrics:text(Metrics). % in Prometheus's format
```

The file records the types, labels and buckets of its metrics. A program may add metrics to those of the file. If it describes
a metric in another way than the file, or the file has no room for its buckets, the answer is `{error, {changed, Name, What}}`. A
metric with an unknown option, or one that makes Prometheus refuse the whole text, is `{error, {invalid, Name, Rule}}`. A file
whose descriptions are damaged is `{error, corrupt}`. Numbers are whole; only the sum of a histogram has six decimals.

A metric has at most `max_series` combinations of label values, 1000 by default. Values for further combinations are dropped,
and counted in `emmap_metrics_dropped_total`.").

-export([open/3, close/1, add/4, set/4, observe/4, text/1]).

-export_type([metrics/0, schema/0, metric/0, invalid/0, label_value/0]).

-include("emmap_file.hrl").

-define(SCHEMA, 1).
-define(COUNTS, 2).
-define(FIELD, 16#1f).
-define(LEAST_WORDS, 16).
-define(KEY_BYTES, 1024).
-define(CAPACITY, 10000).
%% The words of the key that counts the series of a metric.
-define(SERIES, 0).
-define(DROPPED, 1).
%% The sum of a histogram has a word for millionths, one for ones and one for millions.
-define(MILLION, 1000000).
-define(SUM_WORDS, 3).
%% A key of a table has 64 words.
-define(MOST_BUCKETS, (64 - 1 - ?SUM_WORDS)).
-define(DROPPED_TOTAL, <<"emmap_metrics_dropped_total">>).
%% The greatest value of a histogram, which JavaScript counts exactly too.
-define(MOST, 16#1fffffffffffff).

%% So often metrics without room look for places of dead processes, since a look reads the whole file.
-define(LOOK_MS, 1000).

%% `process' names this process: its gauges end with it. `looked': when it looked for places of dead processes.
-record(metrics, {table :: emmap_table:table(), schema :: schema(), process :: binary(), looked :: atomics:atomics_ref()}).

?DOC("Open metrics.").
-opaque metrics() :: #metrics{}.
?DOC("A metric. `per_process`, of a gauge: each process has a number of its own, and the text shows the sum, without the
processes that have died or closed the file; where there is no live folder (docs/live.md), only the own one. `buckets`, of a histogram: their upper bounds, in ascending order.").
-type metric() ::
    {counter | gauge | histogram,
     #{labels => [binary()], buckets => [number()], help => binary(), max_series => pos_integer(),
       per_process => boolean()}}.
?DOC("The metrics by their names.").
-type schema() :: #{binary() => metric()}.
?DOC("A metric with an unknown option, or one that makes Prometheus refuse the whole text, and the rule that it breaks.").
-type invalid() :: {invalid, Name :: binary(), Rule :: binary()}.
?DOC("The value of a label.").
-type label_value() :: binary() | atom() | integer().

?DOC("Opens a file of metrics, or creates one. The options are those of `emmap_table:open/3`, and `{capacity, Count}`: the most
series of all metrics together, 10,000 by default, for a new file.").
-spec open(file:name_all(), schema(), [emmap_table:open_option() | {capacity, pos_integer()}]) ->
    {ok, metrics()} | {error, emmap:reason() | {changed, Name :: binary(), type | labels | buckets} | invalid()}.
open(Name, Schema, Options) when is_map(Schema), is_list(Options) ->
    case [{Metric, Rule} || {Metric, About} <- lists:sort(maps:to_list(Schema)), {false, Rule} <- rules(Metric, About)] of
        [] -> open_checked(Name, Schema, Options);
        [{Metric, Rule} | _] -> {error, {invalid, Metric, Rule}}
    end;
open(_Name, _Schema, _Options) -> error(badarg).

open_checked(Name, Schema, Options) ->
    case open_table(Name, Schema, Options) of
        {ok, Table} ->
            Metrics = maps:to_list(Schema),
            Process = process(Table),
            Settled = case settle(Table, Metrics) of
                {error, full} ->
                    _ = scrape(Table, Process), % gives back places of the dead
                    settle(Table, Metrics);
                Other -> Other
            end,
            case Settled of
                ok ->
                    Looked = atomics:new(1, []),
                    ok = atomics:put(Looked, 1, erlang:monotonic_time(millisecond) - ?LOOK_MS),
                    {ok, #metrics{table = Table, schema = Schema, process = Process, looked = Looked}};
                {error, _} = Error ->
                    ok = emmap_table:close(Table),
                    Error
            end;
        {error, _} = Error ->
            Error
    end.

%% An existing file keeps its shape.
open_table(Name, Schema, Options) ->
    {Given, Others} = lists:partition(fun is_capacity/1, Options),
    case emmap_table:open(Name, 0, [existing | Others]) of
        {error, enoent} ->
            Words = lists:max([?LEAST_WORDS | [words(Metric) || Metric <- maps:values(Schema)]]),
            emmap_table:open(Name, proplists:get_value(capacity, Given, ?CAPACITY),
                             [{key_bytes, ?KEY_BYTES}, {words, Words} | Others]);
        Opened ->
            Opened
    end.

is_capacity({capacity, Capacity}) -> is_integer(Capacity) andalso Capacity > 0;
is_capacity(_) -> false.

words({histogram, #{buckets := Buckets}}) -> words(Buckets);
words({_, _}) -> 1;
words(Buckets) when is_list(Buckets) -> length(Buckets) + 1 + ?SUM_WORDS.

%% The writer that opened the file last is this handle.
process(Table) ->
    {ok, Writers} = emmap:writers(Table),
    Pid = list_to_integer(os:getpid()),
    Own = case [Writer || #{process := Process} = Writer <- Writers, Process =:= Pid] of
        [] -> Writers; % a port program has another id
        Found -> Found
    end,
    %% Without a live folder: now, since a later process may have this one's id.
    writer(lists:last([{os:system_time(millisecond), Pid}
                       | lists:sort([{Since, Process} || #{since := Since, process := Process} <- Own])])).

writer({Since, Process}) -> <<(integer_to_binary(Process))/binary, $., (integer_to_binary(Since))/binary>>.

?DOC("Closes the file. This process's gauges are gone then; all other numbers stay.").
-spec close(metrics()) -> ok | {error, emmap:reason()}.
close(#metrics{table = Table}) -> emmap_table:close(Table).

%%% The schema

%% Whether a metric obeys each rule.
rules(_Name, {_Type, #{labels := Labels}}) when not is_list(Labels) -> [{false, <<"labels is a list">>}];
rules(Name, {Type, #{} = About}) ->
    Labels = maps:get(labels, About, []),
    Buckets = maps:get(buckets, About, none),
    [{lists:member(Type, [counter, gauge, histogram]), <<"the type is counter, gauge or histogram">>}
     | name_rules(Name, Labels)] ++
    [{false, unicode:characters_to_binary(io_lib:format("~0tp is no option of a ~0tp", [Option, Type]))}
     || Option <- maps:keys(maps:without(options(Type), About))] ++
    [{Type =/= histogram orelse are_bounds(Buckets), <<"a histogram has buckets, at most 60, in ascending order">>},
     {is_boolean(maps:get(per_process, About, false)), <<"per_process is true or false">>},
     {is_binary(maps:get(help, About, <<>>)), <<"help is a binary">>},
     {is_series_count(maps:get(max_series, About, 1)), <<"max_series is 1 or more">>}];
rules(_Name, _Metric) -> [{false, <<"a metric is a tuple of its type and a map">>}].

options(gauge) -> [per_process | options(counter)];
options(histogram) -> [buckets | options(counter)];
options(_) -> [labels, help, max_series].

%% Prometheus refuses a whole text if one name is wrong.
name_rules(Name, Labels) ->
    [{matches(Name, "^[a-zA-Z_:][a-zA-Z0-9_:]*$"), <<"a name has letters, digits, _ and :, and does not begin with a digit">>},
     {lists:all(fun(Label) -> matches(Label, "^(?!__)[a-zA-Z_][a-zA-Z0-9_]*$") end, Labels),
      <<"a label has letters, digits and _, and does not begin with a digit or __">>},
     {not (lists:member(<<"le">>, Labels) orelse lists:member(<<"quantile">>, Labels)),
      <<"le and quantile are labels that Prometheus uses itself">>},
     {length(lists:usort(Labels)) =:= length(Labels), <<"two labels have the same name">>}].

matches(Name, Pattern) -> is_binary(Name) andalso re:run(Name, Pattern, [{capture, none}, dollar_endonly]) =:= match.

are_bounds(Buckets) ->
    is_list(Buckets) andalso length(Buckets) =< ?MOST_BUCKETS andalso lists:all(fun is_bound/1, Buckets) andalso
        lists:usort(Buckets) == Buckets.

%% A float has no larger integers.
is_bound(Bound) -> is_float(Bound) orelse is_integer(Bound) andalso abs(Bound) < 1 bsl 1023.

is_series_count(Most) -> is_integer(Most) andalso Most > 0.

%% Refuses a metric of the schema that shows the same name as another one, in the schema or the file.
check_shown(There, Metrics) ->
    Owners = maps:from_list([{?DROPPED_TOTAL, ?DROPPED_TOTAL}
                             | [{Shown, Name} || {Name, Shape} <- maps:to_list(There), Shown <- shown(Name, Shape)]]),
    own(Owners, [{Shown, Name} || {Name, Metric} <- Metrics, Shown <- shown(Name, shape(Metric))]).

own(Owners, [{Shown, Name} | Rest]) ->
    case Owners of
        #{Shown := Owner} when Owner =/= Name; Name =:= ?DROPPED_TOTAL ->
            {error, {invalid, Name, <<"the text of \"", Owner/binary, "\" has the name ", Shown/binary, " too">>}};
        #{} -> own(Owners#{Shown => Name}, Rest)
    end;
own(_Owners, []) -> ok.

%% The names that a metric has in the text.
shown(Name, {<<"histogram">>, _, _}) -> [<<Name/binary, Suffix/binary>> || Suffix <- [<<>>, <<"_bucket">>, <<"_sum">>, <<"_count">>]];
shown(Name, _) -> [Name].

%% Adds the metrics that are new, and refuses those that have changed.
settle(Table, Metrics) ->
    case stored(Table) of
        {ok, There} ->
            case check_shown(There, Metrics) of
                ok -> settle(Table, There, Metrics, []);
                {error, _} = Error -> Error
            end;
        {error, _} = Error -> Error
    end.

settle(Table, There, Metrics, Added) ->
    case describe(Table, There, Metrics, Added) of
        {ok, []} -> ok;
        {ok, Keys} ->
            case check_alone(Table, Metrics) of
                ok -> ok;
                {error, _} = Error ->
                    _ = [emmap_table:delete(Table, Key) || Key <- Keys],
                    Error
            end;
        {error, _} = Error -> Error
    end.

%% Whether no other process has contradicted the metrics while this one added some.
check_alone(Table, Metrics) ->
    Mine = maps:from_list([{Name, shape(Metric)} || {Name, Metric} <- Metrics]),
    Read = emmap_table:fold(fun
        (<<?SCHEMA, Text/binary>>, _, ok) ->
            case described(Text) of
                {Name, Other} when is_map_key(Name, Mine), Other =/= map_get(Name, Mine) ->
                    {error, {changed, Name, changed(Other, map_get(Name, Mine))}};
                _ -> ok
            end;
        (_, _, Found) -> Found
    end, ok, Table),
    case Read of
        {ok, ok} ->
            case stored(Table) of
                {ok, There} -> check_shown(There, Metrics);
                {error, _} = Error -> Error
            end;
        {ok, {error, _} = Error} -> Error;
        {error, _} = Error -> Error
    end.

%% The keys of descriptions that were added.
describe(Table, There, [{Name, Metric} | Rest], Added) ->
    Now = shape(Metric),
    case There of
        #{Name := Now} ->
            case count(Table, Name) of
                {ok, _} -> describe(Table, There, Rest, Added);
                {error, _} = Error -> Error
            end;
        #{Name := Before} ->
            {error, {changed, Name, changed(Before, Now)}};
        #{} ->
            {Type, Labels, Buckets} = Now,
            Key = [?SCHEMA, Name, ?FIELD, Type, ?FIELD, lists:join($,, Labels), ?FIELD,
                   lists:join($,, [bound(Bound) || Bound <- Buckets])],
            case check_room(Table, #{Name => Now}) of
                {ok, _} ->
                    case emmap_table:add(Table, Key, 0) of
                        {ok, _} -> describe(Table, There#{Name => Now}, [{Name, Metric} | Rest], [Key | Added]);
                        {error, _} = Error -> Error
                    end;
                {error, _} = Error -> Error
            end
    end;
describe(_Table, _There, [], Added) -> {ok, Added}.

%% Inserts the key that counts what a full file drops.
count(Table, Name) ->
    Key = [?COUNTS, Name],
    case emmap_table:get(Table, Key) of
        {error, enoent} -> emmap_table:add(Table, Key, 0);
        Got -> Got
    end.

changed({Type, _, _}, {Other, _, _}) when Type =/= Other -> type;
changed({_, Labels, _}, {_, Others, _}) when Labels =/= Others -> labels;
changed(_, _) -> buckets.

shape({gauge, #{per_process := true} = About}) -> {<<"process_gauge">>, maps:get(labels, About, []), []};
shape({Type, About}) ->
    {atom_to_binary(Type), maps:get(labels, About, []), [Bound + 0.0 || Bound <- maps:get(buckets, About, [])]}. % no -0.0

%% A number as JavaScript writes it, so that a bucket has the same name in the texts of both runtimes.
bound(Bound) when Bound < 0 -> <<$-, (bound(-Bound))/binary>>;
bound(Bound) ->
    [Mantissa | Power] = binary:split(float_to_binary(Bound, [short]), <<"e">>),
    [Whole, Fraction] = binary:split(Mantissa, <<".">>),
    All = <<Whole/binary, Fraction/binary>>,
    NoZeros = string:trim(All, leading, "0"),
    Point = byte_size(Whole) - (byte_size(All) - byte_size(NoZeros)) + lists:sum([binary_to_integer(Each) || Each <- Power]),
    digits(string:trim(NoZeros, trailing, "0"), Point).

%% The digits, with the decimal point behind the first `Point' of them.
digits(<<>>, _Point) -> <<"0">>;
digits(Digits, Point) when byte_size(Digits) =< Point, Point =< 21 -> <<Digits/binary, (zeros(Point - byte_size(Digits)))/binary>>;
digits(Digits, Point) when Point > 0, Point =< 21 ->
    <<Whole:Point/binary, Fraction/binary>> = Digits,
    <<Whole/binary, $., Fraction/binary>>;
digits(Digits, Point) when Point > -6, Point =< 0 -> <<"0.", (zeros(-Point))/binary, Digits/binary>>;
digits(<<First, Rest/binary>>, Point) ->
    Fraction = case Rest of <<>> -> <<>>; _ -> <<$., Rest/binary>> end,
    Sign = case Point > 0 of true -> <<"+">>; false -> <<>> end,
    <<First, Fraction/binary, $e, Sign/binary, (integer_to_binary(Point - 1))/binary>>.

zeros(Count) -> binary:copy(<<"0">>, Count).

%% Whether the words of the file are enough for these histograms.
check_room(Table, Shapes) ->
    case emmap_table:info(Table) of
        {ok, #{words := Most}} ->
            case [Name || {Name, {<<"histogram">>, _, Buckets}} <- lists:sort(maps:to_list(Shapes)), words(Buckets) > Most] of
                [] -> {ok, Shapes};
                [Name | _] -> {error, {changed, Name, buckets}}
            end;
        {error, _} = Error -> Error
    end.

%% The shapes of the metrics that the file has. `corrupt': it describes one as no program of emmap does.
stored(Table) ->
    Read = emmap_table:fold(fun
        (<<?SCHEMA, Text/binary>>, _, {ok, Found}) ->
            case described(Text) of
                {Name, Shape} -> {ok, maps:merge(#{Name => Shape}, Found)}; % the first counts
                error -> {error, corrupt}
            end;
        (_, _, Found) -> Found
    end, {ok, #{}}, Table),
    case Read of
        {ok, {ok, Shapes}} -> check_room(Table, Shapes);
        {ok, {error, corrupt} = Error} -> Error;
        {error, _} = Error -> Error
    end.

described(Text) ->
    case binary:split(Text, <<?FIELD>>, [global]) of
        [Name, Type, LabelText, BucketText] ->
            Labels = list(LabelText),
            Buckets = numbers(list(BucketText)),
            IsSound = lists:all(fun({Obeyed, _}) -> Obeyed end, name_rules(Name, Labels)) andalso
                lists:member(Type, [<<"counter">>, <<"gauge">>, <<"process_gauge">>, <<"histogram">>]) andalso
                (Type =:= <<"histogram">> orelse BucketText =:= <<>>) andalso
                Buckets =/= error andalso lists:usort(Buckets) == Buckets andalso
                iolist_to_binary(lists:join($,, [bound(Bound) || Bound <- Buckets])) =:= BucketText,
            case IsSound of
                true -> {Name, {Type, Labels, Buckets}};
                false -> error
            end;
        _ -> error
    end.

list(<<>>) -> [];
list(Text) -> binary:split(Text, <<$,>>, [global]).

numbers(Texts) ->
    try [number(Text) + 0.0 || Text <- Texts] catch error:badarg -> error end. % no -0.0

number(Text) ->
    case {binary:match(Text, <<".">>), binary:split(Text, <<"e">>)} of
        {nomatch, [Whole | Power]} -> binary_to_float(iolist_to_binary([Whole, ".0" | [[$e, Each] || Each <- Power]]));
        _ -> binary_to_float(Text)
    end.

%%% Counting

?DOC("Adds to a counter or a gauge. The label values are in the order of the metric's labels; another number of them is a
`badarg`. A counter only grows: a negative number is a `badarg` for it.").
-spec add(metrics(), Name :: binary(), [label_value()], integer()) -> ok | {error, emmap:reason()}.
add(Metrics, Name, Values, Number) ->
    {Type, _} = metric_of(Metrics, Name),
    is_word(Number) andalso (Type =:= gauge orelse Type =:= counter andalso Number >= 0) orelse error(badarg),
    with_series(Metrics, Name, Values, fun(Table, Key) -> emmap_table:add(Table, Key, Number) end).

?DOC("Sets a gauge.").
-spec set(metrics(), Name :: binary(), [label_value()], integer()) -> ok | {error, emmap:reason()}.
set(Metrics, Name, Values, Number) ->
    {Type, _} = metric_of(Metrics, Name),
    is_word(Number) andalso Type =:= gauge orelse error(badarg),
    with_series(Metrics, Name, Values, fun(Table, Key) -> emmap_table:set(Table, Key, 0, Number) end).

%% Whether the words of a series can hold the number. Others would wrap.
is_word(Number) -> is_integer(Number) andalso Number >= -(1 bsl 63) andalso Number < 1 bsl 63.

?DOC("Counts a value in a histogram. It may be from -(2^53-1) to 2^53-1; another one is a `badarg`.").
-spec observe(metrics(), Name :: binary(), [label_value()], number()) -> ok | {error, emmap:reason()}.
observe(Metrics, Name, Values, Value) when is_number(Value), abs(Value) =< ?MOST ->
    case metric_of(Metrics, Name) of
        {histogram, #{buckets := Buckets}} ->
            Bucket = length(lists:takewhile(fun(Bound) -> Value > Bound end, Buckets)),
            with_series(Metrics, Name, Values, fun(Table, Key) ->
                add_all(Table, Key, [{Bucket, 1} | sum_parts(length(Buckets) + 1, Value)])
            end);
        _ -> error(badarg)
    end;
observe(_Metrics, _Name, _Values, _Value) -> error(badarg).

metric_of(#metrics{schema = Schema}, Name) ->
    case Schema of
        #{Name := Metric} -> Metric;
        #{} -> error(badarg)
    end.

%% What a value adds to the three words of the sum, so that no program makes it wrap.
sum_parts(Millionths, Value) ->
    Whole = trunc(Value),
    [{Word, Part} || {Word, Part} <- [{Millionths, round((Value - Whole) * ?MILLION)}, {Millionths + 1, Whole rem ?MILLION},
                                      {Millionths + 2, Whole div ?MILLION}], Part =/= 0].

add_all(Table, Key, [{Word, Number} | Rest]) ->
    case emmap_table:add(Table, Key, Word, Number) of
        {ok, _} when Rest =/= [] -> add_all(Table, Key, Rest);
        Added -> Added
    end.

with_series(#metrics{table = Table, process = Process} = Metrics, Name, Values, Use) ->
    {Type, About} = metric_of(Metrics, Name),
    is_list(Values) andalso length(Values) =:= length(maps:get(labels, About, [])) orelse error(badarg),
    IsOwn = maps:get(per_process, About, false) andalso Type =:= gauge,
    Key = iolist_to_binary(lists:join(0, [Name | [clean(Value) || Value <- Values]] ++ [Process || IsOwn])),
    Try = fun() -> try_series(Table, Name, Key, maps:get(max_series, About, 1000), Use) end,
    Tried = case Try() of
        {error, Reason} = First when Reason =:= full; Reason =:= too_many, IsOwn ->
            case may_look(Metrics) andalso scrape(Table, Process) of
                {ok, _, _} -> Try();
                _ -> First
            end;
        First -> First
    end,
    case Tried of
        {ok, _} -> ok;
        {error, Why} when Why =:= full; Why =:= too_many; Why =:= einval ->
            done(emmap_table:add(Table, [?COUNTS, Name], ?DROPPED, 1));
        {error, _} = Error -> Error
    end.

%% Uses a series, and counts it before if it is new.
try_series(Table, Name, Key, Most, Use) ->
    Counts = [?COUNTS, Name],
    case emmap_table:get(Table, Key) of
        {ok, _} -> Use(Table, Key);
        {error, enoent} ->
            Used = case emmap_table:add(Table, Counts, ?SERIES, 1) of
                {ok, Count} when Count >= Most -> {error, too_many};
                {ok, _} -> Use(Table, Key);
                {error, _} = Error -> {not_counted, Error}
            end,
            case Used of
                {ok, _} -> Used;
                {not_counted, Failed} -> Failed;
                {error, _} ->
                    {ok, _} = emmap_table:add(Table, Counts, ?SERIES, -1),
                    Used
            end;
        {error, _} = Error -> Error
    end.

%% One process at a time looks for places of the dead.
may_look(#metrics{looked = Looked}) ->
    Now = erlang:monotonic_time(millisecond),
    Last = atomics:get(Looked, 1),
    Now - Last >= ?LOOK_MS andalso atomics:compare_exchange(Looked, 1, Last, Now) =:= ok.

done({ok, _}) -> ok;
done({error, _} = Error) -> Error.

clean(Value) when is_atom(Value) -> clean(atom_to_binary(Value));
clean(Value) when is_integer(Value) -> integer_to_binary(Value);
clean(Value) -> binary:replace(utf8(Value), <<0>>, <<16#fffd/utf8>>, [global]).

%% Prometheus refuses a text that is not UTF-8.
utf8(Bytes) ->
    case unicode:characters_to_binary(Bytes) of
        {error, Good, <<_, Rest/binary>>} -> <<Good/binary, 16#fffd/utf8, (utf8(Rest))/binary>>;
        {incomplete, Good, _} -> <<Good/binary, 16#fffd/utf8>>;
        Text -> Text
    end.

%%% The text

?DOC("The metrics in Prometheus's text format.").
-spec text(metrics()) -> {ok, iodata()} | {error, emmap:reason() | {changed, Name :: binary(), buckets}}.
text(#metrics{table = Table, schema = Schema, process = Process}) ->
    case scrape(Table, Process) of
        {ok, Shapes, Found} ->
            {ok, [[metric(Name, Shape, Schema, maps:get(Name, Found, #{})) || {Name, Shape} <- lists:sort(maps:to_list(Shapes))],
                  dropped(maps:get(dropped, Found, #{}))]};
        {error, _} = Error -> Error
    end.

%% The metrics with their series. Deletes those of dead processes.
scrape(Table, Own) ->
    case {stored(Table), emmap:writers(Table)} of
        {{ok, Shapes}, {ok, Writers}} ->
            Living = maps:from_list([{writer({Since, Process}), true} || #{since := Since, process := Process} <- Writers]),
            case emmap_table:fold(fun(Key, Words, Found) -> sample(Table, Shapes, Living, Own, Key, Words, Found) end, #{}, Table) of
                {ok, Found} -> {ok, Shapes, Found};
                {error, _} = Error -> Error
            end;
        {{error, _} = Error, _} -> Error;
        {_, {error, _} = Error} -> Error
    end.

sample(_Table, _Shapes, _Living, _Own, <<?SCHEMA, _/binary>>, _Words, Found) -> Found;
sample(_Table, Shapes, _Living, _Own, <<?COUNTS, Name/binary>>, Words, Found) ->
    case lists:nth(?DROPPED + 1, Words) of
        Count when Count =/= 0, is_map_key(Name, Shapes) -> put(dropped, Name, [Count], Found);
        _ -> Found
    end;
sample(Table, Shapes, Living, Own, Key, Words, Found) ->
    [Name | Values] = binary:split(Key, <<0>>, [global]),
    case Shapes of
        #{Name := {<<"process_gauge">>, Labels, _}} ->
            case lists:last([Name | Values]) of
                Process when Process =:= Own; is_map_key(Process, Living) -> put(Name, values(Labels, Values), Words, Found);
                _ ->
                    %% The process has died. Without a live folder nothing tells that.
                    _ = map_size(Living) > 0 andalso emmap_table:delete(Table, Key) =:= ok andalso
                        emmap_table:add(Table, [?COUNTS, Name], ?SERIES, -1),
                    Found
            end;
        #{Name := {_, Labels, _}} -> put(Name, values(Labels, Values), Words, Found);
        #{} -> Found
    end.

%% A value for each label. Another program may have written a key that has more or fewer.
values([_ | Labels], [Value | Values]) -> [utf8(Value) | values(Labels, Values)];
values(Labels, []) -> [<<>> || _ <- Labels];
values([], _) -> [].

%% Adds the words to those that the series has already.
put(Name, Values, Words, Found) ->
    Series = maps:get(Name, Found, #{}),
    Sum = fun(Before) -> lists:zipwith(fun(One, Other) -> One + Other end, Before, Words) end,
    Found#{Name => maps:update_with(Values, Sum, Words, Series)}.

metric(Name, {Type, Labels, Buckets}, Schema, Series) ->
    %% promtool wants a text for each metric.
    Help = case Schema of
        #{Name := {_, #{help := <<_, _/binary>> = Text}}} -> binary:replace(escaped(utf8(Text)), <<"\\\"">>, <<"\"">>, [global]);
        #{} -> Name
    end,
    Shown = case Type of <<"process_gauge">> -> <<"gauge">>; _ -> Type end,
    ["# HELP ", Name, $\s, Help, $\n, "# TYPE ", Name, $\s, Shown, $\n
     | [series(Name, Type, Buckets, pairs(Labels, Values), Words) || {Values, Words} <- lists:sort(maps:to_list(Series))]].

pairs(Labels, Values) -> [[Label, "=\"", escaped(Value), $"] || {Label, Value} <- lists:zip(Labels, Values)].

series(Name, <<"histogram">>, Buckets, Pairs, Words) ->
    {Counts, [Millionths, Ones, Millions | _]} = lists:split(length(Buckets) + 1, Words),
    Sum = (Millions * ?MILLION + Ones) * ?MILLION + Millionths,
    Bounds = [bound(Bound) || Bound <- Buckets] ++ [<<"+Inf">>],
    {Lines, Count} = lists:mapfoldl(fun({Bound, Here}, Before) ->
        {line([Name, "_bucket"], Pairs ++ [["le=\"", Bound, $"]], integer_to_binary(Before + Here)), Before + Here}
    end, 0, lists:zip(Bounds, Counts)),
    [Lines, line([Name, "_sum"], Pairs, bound(Sum / ?MILLION)), line([Name, "_count"], Pairs, integer_to_binary(Count))];
series(Name, _Type, _Buckets, Pairs, [Value | _]) -> line(Name, Pairs, integer_to_binary(Value)).

line(Name, [], Value) -> [Name, $\s, Value, $\n];
line(Name, Pairs, Value) -> [Name, ${, lists:join($,, Pairs), "} ", Value, $\n].

escaped(Text) ->
    lists:foldl(fun({From, To}, Escaped) -> binary:replace(Escaped, From, To, [global]) end, Text,
                [{<<"\\">>, <<"\\\\">>}, {<<"\"">>, <<"\\\"">>}, {<<"\n">>, <<"\\n">>}]).

dropped(Counts) when map_size(Counts) =:= 0 -> [];
dropped(Counts) ->
    ["# HELP emmap_metrics_dropped_total What was not counted because a metric had too many series.\n"
     "# TYPE emmap_metrics_dropped_total counter\n"
     | [line(?DROPPED_TOTAL, [["metric=\"", Name, $"]], integer_to_binary(Count))
        || {Name, [Count | _]} <- maps:to_list(Counts)]].
