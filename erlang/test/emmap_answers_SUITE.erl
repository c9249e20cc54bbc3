%% This emmap answers as emmap 2.1.3 does: every expression of emmap_2_answers.txt over both backends, except for the
%% intended differences in emmap_2_differences.txt.
-module(emmap_answers_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([successes_are_the_same/1, errors_obey_the_rule/1, share_of_the_same/1, differences_are_documented/1]).

-include_lib("stdlib/include/assert.hrl").

all() -> [differences_are_documented | [{group, Backend} || Backend <- emmap_test_backends:backends()]].

groups() -> emmap_test_backends:groups([successes_are_the_same, errors_obey_the_rule, share_of_the_same]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

%% Every call that succeeds on emmap 2.1.3 answers the same here, or as the list of differences says. An entry of the
%% list whose answer does not differ, or whose expression does not exist, is wrong too.
successes_are_the_same(Config) ->
    Differences = differences(Config),
    Wrong = [{Expression, {expected, Expected}, {answered, Answer}}
             || {Expression, Upstream} <- successes(),
                Expected <- [maps:get(Expression, Differences, Upstream)],
                Answer <- [answer(Config, Expression)],
                Answer =/= Expected],
    ?assertEqual([], Wrong),
    Successes = maps:from_list(successes()),
    ?assertEqual([], [Expression || {Expression, Answer} <- maps:to_list(Differences),
                                    maps:get(Expression, Successes, Answer) =:= Answer]).

%% If emmap 2.1.3 raises or answers an error, this emmap may answer anything, or fails by the rules of its
%% documentation: {error, Reason} or `eof', or `badarg', or `function_clause' without a handle. Nothing hangs, nothing
%% ends a process, and no function is missing that both should have.
errors_obey_the_rule(Config) ->
    Wrong = [{Expression, Answer}
             || {Expression, Upstream} <- emmap_2_answers:consult(), not emmap_2_answers:is_success(Upstream),
                Answer <- [answer(Config, Expression)],
                not by_rule(Answer, Upstream)],
    ?assertEqual([], Wrong).

by_rule({'$raised', error, Reason}, _) when Reason =:= badarg; Reason =:= function_clause -> true;
%% The expression itself fails to match an error, or raises an exception.
by_rule({'$raised', error, badmatch}, _) -> true;
by_rule({'$raised', _, _} = Raised, Upstream) -> Raised =:= Upstream;
by_rule({'$ended', _}, _) -> false;
by_rule('$hangs', _) -> false;
by_rule(_, _) -> true.

%% At least this percentage of the calls that succeed on emmap 2.1.3 answers the same.
share_of_the_same(Config) ->
    Least = case proplists:get_value(backend, Config) of nif -> 97; port -> 94 end,
    All = length(successes()),
    ?assertEqual(482, All),
    Same = All - map_size(differences(Config)),
    ct:pal("~b of ~b answer the same: ~.1f %", [Same, All, 100 * Same / All]),
    ?assert(100 * Same >= Least * All).

%% Each group of differences is a row of the page on moving, with its reason.
differences_are_documented(_Config) ->
    Page = filename:join([filename:dirname(?FILE), "..", "..", "docs", "migrating-from-emmap.md"]),
    {ok, Text} = file:read_file(Page),
    [?assertMatch({Title, {_, _}}, {Title, binary:match(Text, unicode:characters_to_binary(["| ", Title, " | "]))})
     || {Title, _Reason, _Entries} <- emmap_2_answers:differences()].

successes() ->
    [Line || {_, Answer} = Line <- emmap_2_answers:consult(), emmap_2_answers:is_success(Answer)].

differences(Config) ->
    Backend = proplists:get_value(backend, Config),
    maps:from_list([{Expression, Answer}
                    || {_Title, _Reason, Entries} <- emmap_2_answers:differences(),
                       {Expression, Where, Answer} <- Entries,
                       Where =:= both orelse Where =:= Backend]).

%% In a folder of its own.
answer(Config, Expression) ->
    Dir = emmap_test:path(Config, integer_to_list(erlang:unique_integer([positive]))),
    ok = file:make_dir(Dir),
    Answer = emmap_2_answers:answer(Expression, Dir, proplists:get_value(backend, Config)),
    ok = file:del_dir_r(Dir),
    Answer.
