%% The table of bad input that all doors share (test/vectors), over the API with both backends, and over the bare
%% protocol of the port program.
-module(emmap_bad_input_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2, init_per_testcase/2, end_per_testcase/2]).
-export([every_case/1, without_rights/1]).

-include_lib("stdlib/include/assert.hrl").

-define(MODES, ["unreadable", "unwritable"]).
-define(NOBODY, 65534).

all() -> [{group, Door} || Door <- doors()].

doors() -> emmap_test_backends:backends() ++ [protocol].

groups() -> [{Door, [], [every_case, without_rights]} || Door <- doors()].

init_per_group(Door, Config) -> [{door, Door} | Config].
end_per_group(_Door, _Config) -> ok.

%% A folder that a user without rights can reach.
init_per_testcase(_Case, Config) ->
    Folder = string:trim(os:cmd("mktemp -d")),
    ok = file:change_mode(Folder, 8#755),
    [{folder, Folder} | Config].

end_per_testcase(_Case, Config) ->
    ok = file:del_dir_r(proplists:get_value(folder, Config)).

cases() ->
    Vectors = filename:join([filename:dirname(?FILE), "..", "..", "test", "vectors", "bad-input.json"]),
    {ok, Text} = file:read_file(Vectors),
    emmap_json:decode(Text).

setup(Case) -> binary_to_list(maps:get(<<"setup">>, Case)).

every_case(Config) ->
    Door = proplists:get_value(door, Config),
    Client = start(Door),
    %% A case without an answer for Erlang is no error there.
    Cases = [Case || #{<<"expected">> := #{<<"erlang">> := _}, <<"name">> := Name} = Case <- cases(),
                     not lists:member(setup(Case), ?MODES), is_error(Name, Client)],
    ?assert(length(Cases) > 300),
    Wrong = lists:append([wrong(Case, Client, Config) || Case <- Cases]),
    stop(Client),
    ?assertEqual([], Wrong).

%% After close these answer `ok', as in emmap 2.x.
is_error(Name, {api, _}) -> not lists:member(Name, [<<"position after close">>, <<"flush after close">>]);
is_error(_, _) -> true.

%% Root may read anything, so the program or the node runs as another user.
without_rights(Config) ->
    Door = proplists:get_value(door, Config),
    Cases = [Case || Case <- cases(), lists:member(setup(Case), ?MODES)],
    ?assertMatch([_, _ | _], Cases),
    Wrong = case {Door, string:trim(os:cmd("id -u"))} of
        {nif, "0"} ->
            lists:append([wrong_elsewhere(Case, Config) || Case <- Cases]);
        {_, "0"} ->
            Client = start(Door, unprivileged(emmap_test_program:path(), Config)),
            Answers = lists:append([wrong(Case, Client, Config) || Case <- Cases]),
            stop(Client),
            Answers;
        {_, _} ->
            Client = start(Door),
            Answers = lists:append([wrong(Case, Client, Config) || Case <- Cases]),
            stop(Client),
            Answers
    end,
    ?assertEqual([], Wrong).

%%% A case

wrong(#{<<"name">> := Name} = Case, Client, Config) ->
    Path = prepare(setup(Case), Config),
    {Call, Close} = arrange(setup(Case), Path, Case, Client),
    Before = state(Path),
    Answer = error_of(try Call() catch error:badarg -> {error, badarg} end),
    After = state(Path),
    ok = Close(),
    clean(Path),
    Expected = expected(Case),
    [{Name, expected, Expected, got, Answer} || Answer =/= Expected]
        ++ [{Name, changed_the_file} || Before =/= After].

expected(#{<<"expected">> := #{<<"erlang">> := Error}}) -> binary_to_atom(Error).

error_of({error, {badarg, _}}) -> badarg;
error_of({error, {counters, _InFile, _Asked}}) -> einval;
error_of({error, {einval, _Which}}) -> einval;
error_of({error, Reason}) -> Reason;
error_of(Other) -> Other.

%% The operation's arguments: see test/vectors/README.md.
prepare(Setup, Config) ->
    Path = filename:join(proplists:get_value(folder, Config), "file"),
    Plain = << <<(Position rem 251)>> || Position <- lists:seq(0, 4095) >>,
    Counters = <<"EMMAP01\n", 4:64/little, 1:64/little, 2:64/little, 3:64/little, 4:64/little>>,
    ok = case Setup of
        "missing" -> ok;
        "unreadable" -> write(Path, Plain, 8#000);
        "unwritable" -> write(Path, Plain, 8#444);
        "empty" -> file:write_file(Path, <<>>);
        "short" -> file:write_file(Path, binary:part(Counters, 0, 20));
        "foreign" -> file:write_file(Path, binary:copy(<<"x">>, 48));
        "directory" -> file:make_dir(Path);
        "fifo" -> [] = os:cmd("mkfifo " ++ Path), ok;
        _ ->
            case string:find(Setup, "counters") of
                nomatch -> file:write_file(Path, Plain);
                _ -> file:write_file(Path, Counters)
            end
    end,
    Path.

write(Path, Bytes, Mode) ->
    ok = file:write_file(Path, Bytes),
    file:change_mode(Path, Mode).

clean(Path) ->
    case file:del_dir(Path) of
        ok -> ok;
        {error, _} -> _ = file:delete(Path), ok
    end.

state(Path) ->
    case file:read_link_info(Path) of
        {ok, Info} when element(3, Info) =:= regular -> file:read_file(Path);
        {ok, Info} -> element(3, Info);
        {error, Reason} -> Reason
    end.

%% The failing call, and a function that cleans up after it.
arrange(Setup, Path, #{<<"operation">> := Operation, <<"arguments">> := Arguments}, Client) ->
    Values = [argument(Argument) || Argument <- Arguments],
    case opening(Setup) of
        none ->
            {fun() -> open(Client, Operation, Path, Values) end, fun() -> ok end};
        {Opener, Options} ->
            File = case Opener of
                open -> element(2, open(Client, <<"open">>, Path, [Options]));
                counters_open -> counters(Client, open(Client, <<"counters_open">>, Path, [4, Options]))
            end,
            _ = lists:prefix("closed", Setup) andalso (ok = act(Client, <<"close">>, File, [])),
            {fun() -> act(Client, Operation, File, Values) end, fun() -> act(Client, <<"close">>, File, []) end}
    end.

counters({api, _}, {_File, 4} = Counters) -> Counters;
counters({protocol, _}, {ok, Handle, 4}) -> Handle.

opening("open") -> {open, [write, shared]};
opening("closed") -> {open, [write, shared]};
opening("open read-only") -> {open, [read, shared]};
opening("open at an odd offset") -> {open, [write, shared, {offset, 4}]};
opening("open counters") -> {counters_open, []};
opening("closed counters") -> {counters_open, []};
opening("read-only counters") -> {counters_open, [read]};
opening(_) -> none.

argument(Integer) when is_binary(Integer) -> binary_to_integer(Integer);
argument(#{<<"text">> := Text}) -> Text;
argument(#{<<"float">> := Float}) -> float(Float);
argument(#{<<"atom">> := Atom}) -> binary_to_atom(Atom);
argument(#{<<"nothing">> := true}) -> undefined;
argument(#{<<"options">> := Options}) ->
    [option(binary_to_atom(Name), Value) || {Name, Value} <- maps:to_list(Options)].

option(Name, true) -> Name;
option(Name, Value) -> {Name, argument(Value)}.

%%% The doors

start(Door) ->
    start(Door, emmap_test_program:path()).

start(nif, _Program) ->
    {api, nif};
start(port, Program) ->
    {ok, Server} = emmap_port:start_link(#{program => Program}),
    {api, {port, Server}};
start(protocol, Program) ->
    {Port, {emmap_port, 1, _}} = emmap_test_program:start(Program, []),
    {protocol, Port}.

stop({api, nif}) -> ok;
stop({api, {port, Server}}) -> gen_server:stop(Server);
stop({protocol, Port}) -> emmap_test_program:stop(Port).

open({api, Backend}, <<"open">>, Path, [Options]) ->
    emmap:open(Path, [{backend, Backend} | Options]);
open({api, Backend}, <<"counters_open">>, Path, [Count]) ->
    emmap:open_counters(Path, Count, [{backend, Backend}]);
open({api, Backend}, <<"counters_open">>, Path, [Count, Options]) ->
    emmap:open_counters(Path, Count, [{backend, Backend} | Options]);
open(Client, <<"counters_open">>, Path, [Count]) ->
    open(Client, <<"counters_open">>, Path, [Count, []]);
open({protocol, Port}, Operation, Path, Values) ->
    protocol(Port, Operation, [list_to_binary(Path) | Values]).

act({api, _}, Operation, File, Values) -> api(Operation, File, Values);
act({protocol, Port}, Operation, Handle, Values) -> protocol(Port, Operation, [Handle | Values]).

protocol(Port, Operation, Arguments) ->
    {id, Result} = emmap_test_program:call(Port, {id, list_to_tuple([binary_to_atom(Operation) | Arguments])}),
    Result.

%% The name in the Erlang API of an operation of the core.
api(<<"position">>, File, [Offset, Whence]) ->
    emmap:position(File, {Whence, Offset});
api(<<"close">>, {File, _Count}, []) ->
    emmap:close(File);
api(Operation, File, Values) ->
    Names = #{<<"patomic_exchange">> => patomic_xchg, <<"patomic_compare_exchange">> => patomic_cas,
              <<"patomic_load">> => patomic_read_integer, <<"patomic_store">> => patomic_write_integer,
              <<"counter_add">> => inc_counter, <<"counter_sub">> => dec_counter, <<"counter_set">> => set_counter,
              <<"counter_get">> => read_counter, <<"counter_compare_exchange">> => cas_counter},
    apply(emmap, maps:get(Operation, Names, binary_to_atom(Operation)), [File | Values]).

%%% As a user without rights

%% A copy of the program that the user nobody runs, and may not read.
unprivileged(Program, Config) ->
    Folder = proplists:get_value(folder, Config),
    {ok, _} = file:copy(Program, filename:join(Folder, "program")),
    ok = file:change_mode(filename:join(Folder, "program"), 8#755),
    Wrapper = filename:join(Folder, "unprivileged"),
    ok = write(Wrapper, ["#!/bin/sh\nexec ", setpriv(), " '", Folder, "/program' \"$@\"\n"], 8#755),
    Wrapper.

setpriv() ->
    Id = integer_to_list(?NOBODY),
    ["setpriv --reuid=", Id, " --regid=", Id, " --clear-groups"].

%% The case in a node of the user nobody.
wrong_elsewhere(#{<<"name">> := Name, <<"arguments">> := [Options]} = Case, Config) ->
    Folder = proplists:get_value(folder, Config),
    Path = prepare(setup(Case), Config),
    Application = filename:join(Folder, "emmap"),
    [begin
         Target = filename:join([Application, filename:basename(filename:dirname(File)), filename:basename(File)]),
         ok = filelib:ensure_dir(Target),
         {ok, _} = file:copy(File, Target)
     end || File <- filelib:wildcard(filename:join(filename:dirname(code:which(emmap)), "*"))
                ++ filelib:wildcard(filename:join(code:priv_dir(emmap), "*.so"))],
    Code = io_lib:format("io:format(\"~~p.\", [emmap:open(~p, [{backend, nif} | ~p])]), halt().",
                         [Path, argument(Options)]),
    Erl = filename:join([code:root_dir(), "bin", "erl"]),
    Before = state(Path),
    Output = os:cmd(lists:flatten(["cd / && HOME=", Folder, " ", setpriv(), " '", Erl, "' -noshell -pa '", Application, "/ebin' -eval '",
                                   Code, "'"])),
    {ok, Tokens, _} = erl_scan:string(Output),
    {ok, Answer} = erl_parse:parse_term(Tokens),
    After = state(Path),
    clean(Path),
    [{Name, expected, expected(Case), got, Answer} || Answer =/= {error, expected(Case)}]
        ++ [{Name, changed_the_file} || Before =/= After].
