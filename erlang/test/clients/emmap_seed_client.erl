%% A service that was written after the library's first README. It must work, and dialyzer must find nothing in it.
-module(emmap_seed_client).

-export([run/2]).

-spec run(file:name_all(), [emmap:open_option()]) -> ok.
run(Name, Options) ->
    {ok, Mem} = emmap:open(Name, [create, read, write, shared, {size, 64} | Options]),
    ok = file:pwrite(Mem, 40, <<"hello\n">>),
    {ok, <<"hello">>} = file:pread(Mem, 40, 5),
    {ok, 40} = file:position(Mem, 40),
    {ok, <<"hello\n">>} = file:read_line(Mem),
    {ok, Old} = emmap:patomic(Mem, 0, add, 1),
    {ok, _} = emmap:patomic(Mem, 0, sub, Old),
    {ok, 1} = emmap:patomic(Mem, 0, 'and', 3),
    {ok, 1} = emmap:patomic(Mem, 0, 'or', 6),
    {ok, 7} = emmap:patomic(Mem, 0, 'xor', 1),
    {ok, 6} = emmap:patomic(Mem, 0, xchg, 16#ffffffffffffffff),
    {true, -1} = emmap:patomic(Mem, 0, cas, {-1, 0}),
    ok = file:close(Mem).
