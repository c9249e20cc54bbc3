%% What bench/beam/cluster.escript has the nodes do.
-module(cluster_host).

-export([start/1, hot/3, stop_hot/0, marks/3, seen/3, limited/3, cpu/0, sent/1]).

%% Without a link to the process of the call.
start(#{name := Name} = Options) ->
    gen_server:start({local, list_to_atom("emmap_cluster_" ++ atom_to_list(Name))}, emmap_cluster, Options, []).

%% A process that changes this many counters again and again.
hot(Name, Count, Every) ->
    true = register(?MODULE, spawn(fun() -> hot_loop(Name, lists:seq(0, Count - 1), Every) end)),
    ok.

hot_loop(Name, Indexes, Every) ->
    lists:foreach(fun(Index) -> ok = emmap_cluster:add(Name, Index, 1) end, Indexes),
    timer:sleep(Every),
    hot_loop(Name, Indexes, Every).

stop_hot() -> exit(whereis(?MODULE), kill).

%% Changes a counter at times that nothing foresees, and answers the times in microseconds of the system's clock.
marks(Name, Index, Times) ->
    [begin
        timer:sleep(20 + rand:uniform(100)),
        ok = emmap_cluster:add(Name, Index, 1),
        os:system_time(microsecond)
    end || _ <- lists:seq(1, Times)].

%% When each of these changes is seen here.
seen(Name, Index, Times) ->
    {ok, Before} = emmap_cluster:read(Name, Index),
    seen_from(Name, Index, Before, Before + Times).

seen_from(_Name, _Index, Last, Last) -> [];
seen_from(Name, Index, Before, Last) ->
    case emmap_cluster:read(Name, Index) of
        {ok, Before} ->
            timer:sleep(1),
            seen_from(Name, Index, Before, Last);
        {ok, Now} ->
            Time = os:system_time(microsecond),
            [Time || _ <- lists:seq(Before + 1, Now)] ++ seen_from(Name, Index, Now, Last)
    end.

%% Adds as long as the sum is below the limit, and answers how often.
limited(Name, Index, Limit) -> limited(Name, Index, Limit, 0).

limited(Name, Index, Limit, Count) ->
    case emmap_cluster:read(Name, Index) of
        {ok, Sum} when Sum >= Limit -> Count;
        {ok, _} ->
            ok = emmap_cluster:add(Name, Index, 1),
            timer:sleep(1),
            limited(Name, Index, Limit, Count + 1)
    end.

%% The processor time of this node, in nanoseconds.
cpu() ->
    lists:sum([begin
        {ok, Text} = file:read_file(Path),
        list_to_integer(hd(string:lexemes(binary_to_list(Text), " ")))
    end || Path <- filelib:wildcard("/proc/self/task/*/schedstat")]).

%% The bytes that went to another node.
sent(Node) ->
    {Node, Connection} = lists:keyfind(Node, 1, erlang:system_info(dist_ctrl)),
    {ok, [{send_oct, Bytes}]} = inet:getstat(Connection, [send_oct]),
    Bytes.
