%% Metrics, over both backends.
-module(emmap_metrics_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([text/1, changed/1, limit/1, dead_process/1, refused_value/1, sum/1, no_buckets/1, too_few_words/1, refused_number/1, refused_name/1, room_of_the_dead/1, strange_texts/1,
         wrong_options/1, damaged_schema/1, strange_keys/1, no_live_folder/1, contradictions/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() -> emmap_test_backends:groups([text, changed, limit, dead_process, refused_value, sum, no_buckets, too_few_words, refused_number, refused_name, room_of_the_dead, strange_texts, wrong_options, damaged_schema, strange_keys, no_live_folder, contradictions]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

schema() ->
    #{<<"requests_total">> => {counter, #{labels => [<<"route">>, <<"status">>], help => <<"Requests.">>}},
      <<"latency_seconds">> => {histogram, #{buckets => [0.01, 0.1, 1]}},
      <<"in_flight">> => {gauge, #{per_process => true}}}.

open(Config, Name, Schema) ->
    emmap_metrics:open(emmap_test:path(Config, Name), Schema, [{backend, proplists:get_value(backend, Config)}]).

text_of(Metrics) ->
    {ok, Text} = emmap_metrics:text(Metrics),
    iolist_to_binary(Text).

text(Config) ->
    {ok, Metrics} = open(Config, "text", schema()),
    {ok, Others} = open(Config, "text", schema()),
    ok = emmap_metrics:add(Metrics, <<"requests_total">>, [<<"/\"\n">>, 200], 1),
    ok = emmap_metrics:add(Others, <<"requests_total">>, [<<"/\"\n">>, 200], 2),
    [ok = emmap_metrics:observe(Metrics, <<"latency_seconds">>, [], Value) || Value <- [0.005, 0.05, 0.5, 5]],
    ok = emmap_metrics:set(Metrics, <<"in_flight">>, [], 2),
    ?assertEqual(<<"# HELP in_flight in_flight\n"
                   "# TYPE in_flight gauge\n"
                   "in_flight 2\n"
                   "# HELP latency_seconds latency_seconds\n"
                   "# TYPE latency_seconds histogram\n"
                   "latency_seconds_bucket{le=\"0.01\"} 1\n"
                   "latency_seconds_bucket{le=\"0.1\"} 2\n"
                   "latency_seconds_bucket{le=\"1\"} 3\n"
                   "latency_seconds_bucket{le=\"+Inf\"} 4\n"
                   "latency_seconds_sum 5.555\n"
                   "latency_seconds_count 4\n"
                   "# HELP requests_total Requests.\n"
                   "# TYPE requests_total counter\n"
                   "requests_total{route=\"/\\\"\\n\",status=\"200\"} 3\n">>, text_of(Others)),
    ok = emmap_metrics:close(Others),
    ok = emmap_metrics:close(Metrics).

changed(Config) ->
    {ok, Metrics} = open(Config, "changed", schema()),
    [?assertEqual({error, {changed, Name, What}}, open(Config, "changed", #{Name => Metric})) || {Name, Metric, What} <- [
        {<<"requests_total">>, {gauge, #{labels => [<<"route">>, <<"status">>]}}, type},
        {<<"requests_total">>, {counter, #{labels => [<<"route">>]}}, labels},
        {<<"latency_seconds">>, {histogram, #{buckets => [0.01, 0.2, 1]}}, buckets}]],
    {ok, More} = open(Config, "changed", #{<<"errors_total">> => {counter, #{}}}),
    ok = emmap_metrics:add(More, <<"errors_total">>, [], 5),
    ?assertMatch({_, _}, binary:match(text_of(Metrics), <<"errors_total 5\n">>)),
    ok = emmap_metrics:close(More),
    ok = emmap_metrics:close(Metrics).

limit(Config) ->
    {ok, Metrics} = open(Config, "limit", #{<<"visits_total">> => {counter, #{labels => [<<"user">>], max_series => 10}}}),
    [ok = emmap_metrics:add(Metrics, <<"visits_total">>, [N], 1) || N <- lists:seq(1, 30)],
    ok = emmap_metrics:add(Metrics, <<"visits_total">>, [binary:copy(<<"x">>, 2000)], 1),
    Text = text_of(Metrics),
    ?assertEqual(10, length(binary:matches(Text, <<"visits_total{user=">>))),
    ?assertMatch({_, _}, binary:match(Text, <<"emmap_metrics_dropped_total{metric=\"visits_total\"} 21\n">>)),
    ok = emmap_metrics:close(Metrics).

%% A process of another name is no writer.
dead_process(Config) ->
    {ok, Metrics} = open(Config, "dead", schema()),
    {ok, Table} = emmap_table:open(emmap_test:path(Config, "dead"), 0, [{backend, proplists:get_value(backend, Config)}]),
    {ok, 0} = emmap_table:add(Table, <<"in_flight", 0, "1.1">>, 5),
    ok = emmap_metrics:add(Metrics, <<"in_flight">>, [], 3),
    ?assertMatch({_, _}, binary:match(text_of(Metrics), <<"in_flight 3\n">>)),
    ?assertEqual({error, enoent}, emmap_table:get(Table, <<"in_flight", 0, "1.1">>)),
    ok = emmap_table:close(Table),
    ok = emmap_metrics:close(Metrics).

refused_value(Config) ->
    {ok, Metrics} = open(Config, "refused", schema()),
    [?assertError(badarg, emmap_metrics:observe(Metrics, <<"latency_seconds">>, [], Value))
     || Value <- [1 bsl 53, 1.0e300, -1.0e300, nan, <<"1">>]],
    ?assertEqual(nomatch, binary:match(text_of(Metrics), <<"latency_seconds_count">>)),
    ok = emmap_metrics:close(Metrics).

sum(Config) ->
    {ok, Metrics} = open(Config, "sum", #{<<"duration_ns">> => {histogram, #{buckets => [10]}}}),
    [ok = emmap_metrics:observe(Metrics, <<"duration_ns">>, [], 8.0e9) || _ <- lists:seq(1, 1300)],
    [ok = emmap_metrics:observe(Metrics, <<"duration_ns">>, [], Value) || Value <- [0.25, -0.5]],
    ?assertMatch({_, _}, binary:match(text_of(Metrics), <<"duration_ns_sum 10399999999999.75\n">>)),
    ok = emmap_metrics:close(Metrics).

no_buckets(Config) ->
    {ok, Metrics} = open(Config, "none", #{<<"sizes">> => {histogram, #{buckets => []}}}),
    ok = emmap_metrics:observe(Metrics, <<"sizes">>, [], 7),
    ?assertMatch({_, _}, binary:match(text_of(Metrics), <<"sizes_bucket{le=\"+Inf\"} 1\nsizes_sum 7\nsizes_count 1\n">>)),
    ok = emmap_metrics:close(Metrics).

too_few_words(Config) ->
    {ok, Table} = emmap_table:open(emmap_test:path(Config, "few"), 10, [{words, 5}]),
    {ok, 0} = emmap_table:add(Table, <<1, "sizes", 16#1f, "histogram", 16#1f, 16#1f, "10,20">>, 0),
    ok = emmap_table:close(Table),
    ?assertEqual({error, {changed, <<"sizes">>, buckets}}, open(Config, "few", #{})),
    {ok, Metrics} = open(Config, "new", schema()),
    Many = #{<<"sizes">> => {histogram, #{buckets => lists:seq(1, 13)}}},
    ?assertEqual({error, {changed, <<"sizes">>, buckets}}, open(Config, "new", Many)),
    ok = emmap_metrics:close(Metrics).

%% A counter only grows, and no number wraps.
refused_number(Config) ->
    Schema = #{<<"requests_total">> => {counter, #{}}, <<"level">> => {gauge, #{}}, <<"sizes">> => {histogram, #{buckets => []}}},
    {ok, Metrics} = open(Config, "numbers", Schema),
    [?assertError(badarg, emmap_metrics:Operation(Metrics, Name, [], Number)) || {Operation, Name, Number} <- [
        {add, <<"requests_total">>, -5}, {add, <<"requests_total">>, 0.5}, {add, <<"requests_total">>, 1 bsl 63},
        {set, <<"requests_total">>, 1}, {add, <<"level">>, nan}, {set, <<"level">>, 1 bsl 63}, {set, <<"level">>, -(1 bsl 63) - 1},
        {add, <<"sizes">>, 1}, {set, <<"sizes">>, 1}]],
    ok = emmap_metrics:add(Metrics, <<"level">>, [], -5),
    ?assertEqual(nomatch, binary:match(text_of(Metrics), [<<"\nrequests_total ">>, <<"\nsizes_">>])),
    ok = emmap_metrics:close(Metrics).

%% Prometheus refuses a whole text if one name is wrong.
refused_name(Config) ->
    X = {histogram, #{buckets => [1]}},
    Wrong = [{counter, #{labels => Labels}} || Labels <- [[<<"le">>], [<<"quantile">>], [<<"a">>, <<"b">>, <<"a">>], [<<"__name__">>],
                                                          [<<"a-b">>], [<<"a\n">>], ["a"]]]
        ++ [{histogram, #{}}, {histogram, #{buckets => [2, 1]}}, {histogram, #{buckets => [1 bsl 2000]}}, {histogram, #{buckets => [1, 1.0]}},
            {histogram, #{buckets => lists:seq(1, 61)}}, {summary, #{}}, {counter, #{help => "text"}}, {counter, #{max_series => 0}}],
    [?assertMatch({error, {invalid, <<"sizes">>, <<_, _/binary>>}}, open(Config, "names", #{<<"sizes">> => Metric})) || Metric <- Wrong],
    [?assertMatch({error, {invalid, Name, _}}, open(Config, "names", #{Name => {counter, #{}}})) || Name <- [<<"a b">>, <<"1">>, <<"a\n">>]],
    ?assertEqual({error, enoent}, file:read_file_info(emmap_test:path(Config, "names"))),
    [?assertMatch({error, {invalid, Name, <<"the text of \"x\" has the name ", Name:Size/binary, " too">>}},
                  open(Config, "taken", #{<<"x">> => X, Name => {counter, #{}}}))
     || Name <- [<<"x_bucket">>, <<"x_sum">>, <<"x_count">>], Size <- [byte_size(Name)]],
    {ok, Metrics} = open(Config, "taken", #{<<"x">> => X}),
    ?assertMatch({error, {invalid, <<"x_sum">>, _}}, open(Config, "taken", #{<<"x_sum">> => {gauge, #{}}})),
    Dropped = <<"emmap_metrics_dropped_total">>,
    ?assertMatch({error, {invalid, Dropped, _}}, open(Config, "taken", #{Dropped => {counter, #{}}})),
    ok = emmap_metrics:close(Metrics).

%% A gauge and a metric take the places of dead processes, and a series that was dropped is counted when there is room.
room_of_the_dead(Config) ->
    Pp = #{<<"pp">> => {gauge, #{per_process => true, max_series => 2}}},
    Backend = {backend, proplists:get_value(backend, Config)},
    Path = emmap_test:path(Config, "room"),
    {ok, First} = emmap_metrics:open(Path, Pp, [{capacity, 5}, Backend]),
    ok = emmap_metrics:close(First),
    {ok, Table} = emmap_table:open(Path, 0, [Backend]),
    [{ok, 0} = emmap_table:add(Table, [<<"pp", 0>>, Process], 5) || Process <- ["1.1", "1.2"]],
    {ok, 0} = emmap_table:add(Table, [2, "pp"], 2),
    {ok, Limited} = open(Config, "room", Pp),
    ok = emmap_metrics:set(Limited, <<"pp">>, [], 3),
    ?assertMatch({_, _}, binary:match(text_of(Limited), <<"\npp 3\n">>)),
    ?assertEqual({ok, 1}, emmap_table:get(Table, [2, "pp"])),
    [{ok, 0} = emmap_table:add(Table, [<<"pp", 0>>, Process], 5) || Process <- ["1.3", "1.4"]],
    {ok, Metrics} = open(Config, "room", Pp#{<<"visits">> => {counter, #{labels => [<<"user">>]}}}),
    [ok = emmap_metrics:add(Metrics, <<"visits">>, [User], 1) || User <- [ann, bob]],
    Text = text_of(Metrics),
    ?assertEqual(nomatch, binary:match(Text, <<"user=">>)),
    ?assertMatch({_, _}, binary:match(Text, <<"emmap_metrics_dropped_total{metric=\"visits\"} 2\n">>)),
    ?assertEqual({ok, 0}, emmap_table:get(Table, [2, "visits"])),
    {ok, Entries} = emmap_table:to_list(Table),
    [ok = emmap_table:delete(Table, Key) || {<<"pp", _/binary>> = Key, _} <- Entries],
    ok = emmap_metrics:close(Limited),
    ok = emmap_metrics:add(Metrics, <<"visits">>, [ann], 1),
    ?assertMatch({_, _}, binary:match(text_of(Metrics), <<"visits{user=\"ann\"} 1\n">>)),
    ok = emmap_table:close(Table),
    ok = emmap_metrics:close(Metrics).

%% Prometheus's own tool reads the text of any label value and help.
strange_texts(Config) ->
    {ok, Metrics} = open(Config, "strange", #{
        <<"visits_total">> => {counter, #{labels => [<<"user">>], help => <<"\"a\" \\ b\r\n", 255>>}},
        <<"errors_total">> => {counter, #{help => <<>>}},
        <<"sizes">> => {histogram, #{buckets => [-1.5e-7, -0.0, 1.0e-7, 0.00001, 10.05, 1000000, 1.0e20, 1.5e21, 1.0e22]}}}),
    [ok = emmap_metrics:add(Metrics, <<"visits_total">>, [User], 1)
     || User <- [<<255>>, <<"a", 16#c3>>, <<"a", 0, "b">>, <<"\r\n\t\"\\">>, <<"é"/utf8>>, <<>>, true]],
    ok = emmap_metrics:observe(Metrics, <<"sizes">>, [], 1),
    Text = text_of(Metrics),
    [?assertMatch({_, _}, binary:match(Text, <<"le=\"", Bound/binary, $">>)) || Bound <- [
        <<"-1.5e-7">>, <<"0">>, <<"1e-7">>, <<"0.00001">>, <<"10.05">>, <<"1000000">>, <<"100000000000000000000">>,
        <<"1.5e+21">>, <<"1e+22">>]],
    Path = emmap_test:path(Config, "strange.txt"),
    ok = file:write_file(Path, Text),
    ?assertEqual("0\n", lists:last(string:split(os:cmd("promtool check metrics < " ++ Path ++ "; echo :$?"), ":", all))),
    {ok, Again} = open(Config, "strange", #{}), % reads the bounds
    ?assertMatch({_, _}, binary:match(text_of(Again), <<"sizes_bucket{le=\"1.5e+21\"} 1\n">>)),
    ok = emmap_metrics:close(Again),
    ok = emmap_metrics:close(Metrics).

wrong_options(Config) ->
    [?assertEqual({error, {invalid, <<"x">>, Rule}}, open(Config, "options", #{<<"x">> => Metric})) || {Metric, Rule} <- [
        {{gauge, #{perprocess => true}}, <<"perprocess is no option of a gauge">>},
        {{counter, #{per_process => true}}, <<"per_process is no option of a counter">>},
        {{counter, #{buckets => [1]}}, <<"buckets is no option of a counter">>},
        {{histogram, #{buckets => [1], "lables" => []}}, <<"\"lables\" is no option of a histogram">>},
        {{gauge, #{per_process => 1}}, <<"per_process is true or false">>},
        {{counter, #{labels => route}}, <<"labels is a list">>},
        {{summary, #{}}, <<"the type is counter, gauge or histogram">>},
        {{counter, []}, <<"a metric is a tuple of its type and a map">>},
        {counter, <<"a metric is a tuple of its type and a map">>}]],
    Path = emmap_test:path(Config, "options"),
    Backend = {backend, proplists:get_value(backend, Config)},
    [?assertError(badarg, emmap_metrics:open(Path, Schema, Options)) || {Schema, Options} <- [
        {#{}, [{capcity, 5}, Backend]}, {#{}, [{capacity, 0}, Backend]}, {#{}, [capacity, Backend]}, {#{}, Backend}, {[], [Backend]}]],
    ?assertEqual({error, enoent}, file:read_file_info(Path)),
    {ok, Metrics} = open(Config, "options", schema()),
    [?assertError(badarg, Count()) || Count <- [
        fun() -> emmap_metrics:add(Metrics, <<"requests">>, [], 1) end,
        fun() -> emmap_metrics:add(Metrics, <<"requests_total">>, [<<"/">>], 1) end,
        fun() -> emmap_metrics:set(Metrics, <<"in_flight">>, in_flight, 1) end,
        fun() -> emmap_metrics:observe(Metrics, <<"in_flight">>, [], 1) end]],
    ok = emmap_metrics:close(Metrics).

damaged_schema(Config) ->
    Texts = [<<"x">>, <<>>, <<"x\x1fcounter\x1f">>, <<"x\x1fcounter\x1f\x1f\x1f">>, <<"x\x1fsummary\x1f\x1f">>,
             <<"x y\x1fcounter\x1f\x1f">>, <<16#ff, "\x1fcounter\x1f\x1f">>, <<"x\x1fcounter\x1fa\"\x1f">>,
             <<"x\x1fcounter\x1fa,\x1f">>, <<"x\x1fcounter\x1fa,a\x1f">>, <<"x\x1fcounter\x1fle\x1f">>,
             <<"x\x1fcounter\x1f\x1f", $1>>
             | [<<"x\x1fhistogram\x1f\x1f", Buckets/binary>> || Buckets <- [
                    <<"2,1">>, <<"1,1">>, <<"1,,2">>, <<"1,">>, <<"a">>, <<"NaN">>, <<"Infinity">>, <<"0x1">>, <<"1.0">>,
                    <<" 1">>, <<"-0">>, <<"1e400">>]]],
    [begin
        Name = "damaged-" ++ integer_to_list(Number),
        {ok, Metrics} = open(Config, Name, schema()),
        {ok, Table} = open_table(Config, Name),
        {ok, _} = emmap_table:add(Table, [1, Text], 0),
        ?assertEqual({Text, {error, corrupt}}, {Text, open(Config, Name, #{})}),
        ?assertEqual({Text, {error, corrupt}}, {Text, open(Config, Name, #{<<"x">> => {counter, #{}}})}),
        ?assertEqual({Text, {error, corrupt}}, {Text, emmap_metrics:text(Metrics)}),
        ok = emmap_table:close(Table),
        ok = emmap_metrics:close(Metrics)
    end || {Number, Text} <- lists:zip(lists:seq(1, length(Texts)), Texts)].

strange_keys(Config) ->
    {ok, Metrics} = open(Config, "keys", schema()),
    ok = emmap_metrics:add(Metrics, <<"requests_total">>, [<<"/">>, 200], 1),
    ok = emmap_metrics:set(Metrics, <<"in_flight">>, [], 2),
    {ok, Table} = open_table(Config, "keys"),
    [{ok, _} = emmap_table:add(Table, Key, Word, 5) || Word <- [0, 1], Key <- [
        <<2>>, <<2, "a\"\n">>, <<2, "requests">>, <<"requests">>, <<0>>, <<"other", 0, "x">>, <<"in_flight">>]],
    [{ok, _} = emmap_table:add(Table, [<<"requests_total">> | Values], Number) || {Values, Number} <- [
        {<<>>, 3}, {<<0, "bob", 0, "200", 0, "more">>, 4}, {<<0, 16#ff, 0, 16#fe>>, 5}]],
    Lines = [Line || Line <- binary:split(text_of(Metrics), <<"\n">>, [global]),
                     lists:member(binary:first(<<Line/binary, 0>>), "ir")],
    ?assertEqual([<<"in_flight 2">>,
                  <<"requests_total{route=\"\",status=\"\"} 3">>,
                  <<"requests_total{route=\"/\",status=\"200\"} 1">>,
                  <<"requests_total{route=\"bob\",status=\"200\"} 4">>,
                  <<"requests_total{route=\"", 16#fffd/utf8, "\",status=\"", 16#fffd/utf8, "\"} 5">>], Lines),
    ?assertEqual(nomatch, binary:match(text_of(Metrics), <<"dropped">>)),
    ok = emmap_table:close(Table),
    ok = emmap_metrics:close(Metrics).

%% Two programs begin a file with metrics that contradict: one at most gets it.
contradictions(Config) ->
    Test = self(),
    Schemas = [#{<<"c">> => {counter, #{}}, <<"x">> => {histogram, #{buckets => [1]}}},
               #{<<"c">> => {gauge, #{}}, <<"x_count">> => {counter, #{}}}],
    [begin
         Name = "contradictions-" ++ integer_to_list(Round),
         Pids = [spawn_link(fun() -> receive go -> Test ! {self(), element(1, open(Config, Name, Schema))} end end) || Schema <- Schemas],
         [Pid ! go || Pid <- Pids],
         Opened = [Pid || Pid <- Pids, receive {Pid, Result} -> Result =:= ok end],
         ?assertMatch({_, true}, {Round, length(Opened) =< 1})
     end || Round <- lists:seq(1, 50)].

%% Nothing tells which other processes live. A process shows its own gauge, and deletes none.
no_live_folder(Config) ->
    ok = file:write_file(emmap_test:path(Config, "alone-live"), <<"in the way">>),
    {ok, Metrics} = open(Config, "alone", schema()),
    ok = emmap_metrics:set(Metrics, <<"in_flight">>, [], 5),
    {ok, Table} = open_table(Config, "alone"),
    ?assertEqual({ok, []}, emmap:writers(Table)),
    {ok, _} = emmap_table:add(Table, <<"in_flight", 0, "1.0">>, 7),
    [?assertMatch({_, _}, binary:match(text_of(Metrics), <<"\nin_flight 5\n">>)) || _ <- [1, 2]],
    ?assertEqual({ok, 7}, emmap_table:get(Table, <<"in_flight", 0, "1.0">>)),
    ok = emmap_metrics:close(Metrics),
    %% The time of the open names the place.
    Closed = erlang:system_time(millisecond),
    emmap_test:until(fun() -> erlang:system_time(millisecond) > Closed end),
    {ok, Later} = open(Config, "alone", schema()),
    ok = emmap_metrics:add(Later, <<"in_flight">>, [], 1),
    ?assertMatch({_, _}, binary:match(text_of(Later), <<"\nin_flight 1\n">>)),
    ok = emmap_table:close(Table),
    ok = emmap_metrics:close(Later).

open_table(Config, Name) ->
    emmap_table:open(emmap_test:path(Config, Name), 0, [{backend, proplists:get_value(backend, Config)}]).
