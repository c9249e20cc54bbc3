%% A service written for emmap 2.x: dialyzer has to find nothing in it, and it has to work.
-module(emmap_2_client).

-export([run/2]).

-spec run(file:name_all(), [emmap:open_option()]) -> ok.
run(Name, Options) ->
    ok = map(Name ++ ".map", Options),
    count(Name ++ ".counters").

map(Name, Options) ->
    {ok, Mem, #{exist := false, size := 64}} =
        emmap:open(Name, 0, 64, [create, read, write, shared, {chmod, 8#600}, fit, auto_unlink | Options]),
    ok = emmap:pwrite(Mem, 40, <<"hello">>),
    {ok, <<"hello">>} = emmap:pread(Mem, 40, 5),
    {ok, 0} = emmap:patomic_add(Mem, 0, 12),
    {ok, 12} = emmap:patomic_sub(Mem, 0, 2),
    {ok, 10} = emmap:patomic_or(Mem, 0, 5),
    {ok, 15} = emmap:patomic_and(Mem, 0, 9),
    {ok, 9} = emmap:patomic_xor(Mem, 0, 1),
    {ok, 8} = emmap:patomic_xchg(Mem, 0, 4),
    true = swap(Mem),
    {ok, 5} = emmap:patomic_read_integer(Mem, 0),
    ok = emmap:patomic_write_integer(Mem, 0, -1),
    {ok, 128} = emmap:resize(Mem),
    {ok, 256} = emmap:resize(Mem, 256),
    ok = emmap:flush(Mem),
    ok = emmap:sync(Mem),
    emmap:close(Mem).

swap(Mem) ->
    case emmap:patomic_cas(Mem, 0, 4, 5) of
        {true, 4} -> true;
        {false, _Other} -> swap(Mem)
    end.

count(Name) ->
    {ok, Counters} = emmap:open_counters(Name, 4),
    0 = emmap:inc_counter(Counters, 0),
    1 = emmap:inc_counter(Counters, 0, 5),
    6 = emmap:dec_counter(Counters, 0),
    5 = emmap:dec_counter(Counters, 0, 2),
    3 = emmap:set_counter(Counters, 0, 42),
    42 = emmap:read_counter(Counters, 0) + emmap:read_counter(Counters, 3),
    emmap:close_counters(Counters).
