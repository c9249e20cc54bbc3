%% Random operations on several handles of one file. Both backends must answer as the model does, whose file is a plain
%% binary, and leave the same bytes on disk.
%%
%% 10,000 operations, or as many as the environment variable EMMAP_PROP_COMMANDS says.
-module(emmap_prop_SUITE).

-include_lib("common_test/include/ct.hrl").

%% PropEr's header would give us these, and macros; but Debian's erlang-proper comes without it.
-import(proper_types, [binary/0, byte/0, frequency/1, list/1, oneof/1, range/2, vector/2]).

-export([all/0, suite/0]).
-export([backends_answer_as_the_model/1, a_wrong_answer_is_seen/1]).

-define(PAGE, 4096).
-define(SLOTS, 4).
-define(OPERATIONS_A_RUN, 100).

suite() ->
    [{timetrap, {hours, 2}}].

all() ->
    [backends_answer_as_the_model, a_wrong_answer_is_seen].

backends_answer_as_the_model(Config) ->
    Wanted = list_to_integer(os:getenv("EMMAP_PROP_COMMANDS", "10000")),
    Done = counters:new(1, []),
    check_until(Wanted, Done, fun(Commands) -> run(Commands, Config, [nif, port], Done) end),
    ct:pal("~b operations", [counters:get(Done, 1)]).

check_until(Wanted, Done, Run) ->
    case counters:get(Done, 1) >= Wanted of
        true ->
            ok;
        false ->
            case proper:counterexample(property(Run), [{numtests, 10}, quiet]) of
                true ->
                    check_until(Wanted, Done, Run);
                [Commands] ->
                    Failing = [Command || Command <- Commands, Command =/= nothing],
                    ct:fail("~p~nafter~n~p", [Run(Failing), Failing])
            end
    end.

%% A property that a wrong backend fulfils would be worth nothing.
a_wrong_answer_is_seen(Config) ->
    Run = fun(Commands) -> run(Commands, Config, [wrong], counters:new(1, [])) end,
    [Commands] = proper:counterexample(property(Run), [{numtests, 1000}, quiet]),
    {different, {_, {patomic_xor, _}}, _, _} = Run(Commands).

property(Run) ->
    proper:forall(vector(?OPERATIONS_A_RUN, command()), fun(Commands) -> Run(Commands) =:= ok end).

%%% Running

-record(contestant, {backend, path, files = #{}}).

run(Commands, Config, Backends, Done) ->
    Folder = filename:join(?config(priv_dir, Config), integer_to_list(erlang:unique_integer([positive]))),
    ok = file:make_dir(Folder),
    Result = run_in(Folder, [{1, {open, [[read, write, shared]]}} | Commands], Backends, Done),
    ok = file:del_dir_r(Folder),
    Result.

run_in(Folder, Commands, Backends, Done) ->
    First = iolist_to_binary([[integer_to_list(N), $\n] || N <- lists:seq(1, 3000)]),
    Bytes = binary:part(First, 0, 3 * ?PAGE),
    Contestants = [begin
        Path = filename:join(Folder, Backend),
        ok = file:write_file(Path, Bytes),
        #contestant{backend = Backend, path = Path}
    end || Backend <- Backends],
    run_each(Commands, emmap_model:new(Bytes), Contestants, Done).

run_each([nothing | Rest], Model, Contestants, Done) ->
    run_each(Rest, Model, Contestants, Done);
run_each([{Slot, Command} | Rest], Model, Contestants, Done) ->
    case emmap_model:step(Slot, Command, Model) of
        {skip, Same} ->
            run_each(Rest, Same, Contestants, Done);
        {{answer, Expected}, Next} ->
            counters:add(Done, 1, 1),
            {Answers, Nexts} = lists:unzip([perform(Slot, Command, Contestant) || Contestant <- Contestants]),
            case lists:all(fun(Answer) -> Answer =:= Expected end, Answers) of
                true -> run_each(Rest, Next, Nexts, Done);
                false -> finish(Nexts, {different, {Slot, Command}, Expected, Answers})
            end
    end;
run_each([], Model, Contestants, _Done) ->
    Bytes = emmap_model:bytes(Model),
    case [Path || #contestant{path = Path} <- Contestants, file:read_file(Path) =/= {ok, Bytes}] of
        [] -> finish(Contestants, ok);
        Paths -> finish(Contestants, {different_bytes, Paths})
    end.

finish(Contestants, Result) ->
    _ = [ok = emmap:close(File) || #contestant{files = Files} <- Contestants, File <- maps:values(Files)],
    Result.

perform(Slot, {open, [Options]}, #contestant{backend = Backend, path = Path, files = Files} = Contestant) ->
    _ = [ok = emmap:close(File) || #{Slot := File} <- [Files]],
    case emmap:open(Path, [info, {backend, real(Backend)} | Options]) of
        {ok, Opened, Info} -> {{ok, Info}, Contestant#contestant{files = Files#{Slot => Opened}}};
        Error -> {Error, Contestant}
    end;
perform(Slot, {reopen, []}, #contestant{files = Files} = Contestant) ->
    case emmap:reopen(maps:get(Slot, Files)) of
        {ok, Opened} -> {ok, Contestant#contestant{files = Files#{Slot := Opened}}};
        Error -> {Error, Contestant}
    end;
perform(Slot, {Function, Arguments}, #contestant{backend = Backend, files = Files} = Contestant) ->
    Answer = try
        apply(emmap, Function, [maps:get(Slot, Files) | Arguments])
    catch
        error:badarg -> {raised, badarg}
    end,
    {distorted(Backend, Function, Answer), Contestant}.

real(wrong) -> nif;
real(Backend) -> Backend.

distorted(wrong, patomic_xor, {ok, Old}) when Old =/= 0 -> {ok, Old + 1};
distorted(_, _, Answer) -> Answer.

%%% Commands

command() ->
    frequency([{1, nothing} |
               [{Weight, {slot(), Call}} || {Weight, Call} <- operations() ++ calls_of_their_own()]]).

slot() ->
    range(1, ?SLOTS).

calls_of_their_own() ->
    [{6, {open, [open_options()]}},
     {1, {reopen, []}},
     {2, {close, []}},
     {3, {pread, [list({position(), length_()})]}},
     {3, {pwrite, [list({position(), data()})]}},
     {2, {truncate, []}},
     {4, {batch, [list(oneof([{pread, position(), length_if_valid()}, {pwrite, position(), data()},
                              {read, length_if_valid()}, {patomic_add, position(), int64()},
                              {patomic_read_integer, position()}, {size}]))]}}].

operations() ->
    [{12, {pread, [position(), length_()]}},
     {12, {pwrite, [position(), data()]}},
     {8, {read, [length_()]}},
     {8, {read_line, []}},
     {6, {write, [data()]}},
     {8, {position, [{oneof([bof, cur, eof]), offset()}]}},
     {6, {resize, [size()]}},
     {2, {size, []}},
     {1, {flush, []}},
     {1, {oneof([sync, datasync]), []}},
     {2, {advise, [position(), length_(), oneof([normal, sequential, random, no_reuse, will_need, dont_need])]}},
     {6, {patomic, [position(), oneof([add, sub, 'and', 'or', 'xor', xchg]), int64()]}},
     {6, {oneof([patomic_add, patomic_sub, patomic_and, patomic_or, patomic_xor, patomic_xchg,
                 patomic_write_integer]), [position(), operand()]}},
     {4, {patomic_read_integer, [position()]}},
     {4, {patomic_cas, [position(), oneof([0, operand()]), operand()]}}].

open_options() ->
    oneof([[read, write, shared], [read, write, shared, nolock], [read, shared], [write, shared],
           mapped(range(1, 12), fun(Pages) -> [read, write, shared, {size, Pages * ?PAGE}] end)]).

size() ->
    frequency([{8, pages(1, 12)}, {1, 0},
               {1, mapped(huge(), fun(N) when N < 0 -> N; (N) -> N + (1 bsl 63) end)}]).

position() ->
    frequency([{4, range(0, 10 * ?PAGE)},
               {6, mapped(range(0, 10 * ?PAGE div 8), fun(N) -> 8 * N end)},
               {2, mapped({pages(0, 8), range(-9, 9)}, fun({Page, Distance}) -> Page + Distance end)},
               {1, huge()}]).

offset() ->
    frequency([{4, position()}, {2, mapped(position(), fun(N) -> -N end)}, {2, pages(0, 8)}]).

length_() ->
    frequency([{6, range(0, 100)}, {4, range(0, 20 * ?PAGE)}, {1, huge()}]).

length_if_valid() ->
    mapped(length_(), fun abs/1).

pages(Least, Most) ->
    mapped(range(Least, Most), fun(N) -> N * ?PAGE end).

huge() ->
    mapped({oneof([31, 32, 62, 63, 64, 70, 200]), range(-9, 9), oneof([1, -1])},
           fun({Power, Distance, Sign}) -> Sign * (1 bsl Power + Distance) end).

mapped(Type, Function) ->
    proper_types:bind(Type, Function, false).

int64() ->
    frequency([{4, range(-10, 10)}, {2, range(-(1 bsl 63), 1 bsl 64 - 1)},
               {1, oneof([-(1 bsl 63), 1 bsl 63 - 1, 1 bsl 63, 1 bsl 64 - 1])}]).

operand() ->
    frequency([{9, int64()}, {1, oneof([1 bsl 64, -(1 bsl 63) - 1, 1 bsl 200])}]).

data() ->
    frequency([{6, binary()},
               {2, mapped({byte(), range(0, 6 * ?PAGE)}, fun({Byte, Length}) -> binary:copy(<<Byte>>, Length) end)},
               {1, mapped({byte(), range(60000, 70000)},
                          fun({Byte, Length}) -> [<<"start">>, binary:copy(<<Byte>>, Length)] end)},
               {2, mapped(list(range($a, $z)), fun(Text) -> [Text, [$\r, $\n, <<"line">>], $\n | <<"rest">>] end)}]).
