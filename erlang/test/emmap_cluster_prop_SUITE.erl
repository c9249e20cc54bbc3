%% The merge of a cluster's counters, with PropEr on the functions that hosts use.
-module(emmap_cluster_prop_SUITE).

%% Debian's erlang-proper comes without the header.
-import(proper_types, [frequency/1, list/1, oneof/1, range/2]).

-export([all/0]).
-export([joins/1, lost_doubled_and_reordered/1, runs_carry_every_change/1, differences_keep_the_sum/1, hostile_runs/1, digests/1]).

%% More than a block, and not whole blocks.
-define(COUNT, 1300).
-define(IDS, [<<1:128>>, <<2:128>>, <<3:128>>]).

all() -> [joins, lost_doubled_and_reordered, runs_carry_every_change, differences_keep_the_sum, hostile_runs, digests].

check(Property) -> check(Property, 300).

check(Property, Tests) ->
    case proper:counterexample(Property, [{numtests, Tests}, quiet]) of
        true -> ok;
        Example -> ct:fail("~p", [Example])
    end.

%%% Joins

%% Two hosts exchange digests, and each sends what the other one lacks. That is a join: commutative, associative, idempotent; a
%% forgotten origin stays forgotten.
joins(_Config) ->
    check(proper:forall({history(), history(), history()}, fun({Ones, Twos, Threes}) ->
        %% All hosts saw parts of the same histories of origins.
        [A, B, C] = [replica(Each) || Each <- [Ones, Twos, Threes]],
        same(join(A, B), join(B, A)) andalso same(join(join(A, B), C), join(A, join(B, C)))
            andalso same(join(A, A), A) andalso same(join(A, join(A, B)), join(A, B))
            andalso lists:all(fun(Id) ->
                Versions = [emmap_cluster_merge:version(Id, Each) || Each <- [A, B]],
                emmap_cluster_merge:version(Id, join(A, B)) =:= lists:max(Versions)
            end, ?IDS)
    end)).

%% Which version of each origin a host knows; or that it is forgotten.
history() -> [{Id, frequency([{6, range(0, 8)}, {1, forgotten}])} || Id <- ?IDS].

replica(History) ->
    lists:foldl(fun
        ({Id, forgotten}, Known) -> element(2, emmap_cluster_merge:forget(Id, Known));
        ({_, 0}, Known) -> Known;
        ({Id, Version}, Known) ->
            {new, _, New} = emmap_cluster_merge:merge(Id, {0, Version, whole(Id, Version)}, Known),
            New
    end, emmap_cluster_merge:new(?COUNT), History).

%% The values of an origin at a version.
values(<<Number:128>>, Version) ->
    << <<(case (Index * 7 + Step) rem 11 of 0 -> Number * 1000 + Step; _ -> Index * Number end):64/little>>
       || Index <- lists:seq(1, ?COUNT), Step <- [Version] >>.

whole(Id, Version) -> encode(<<0:?COUNT/unit:64>>, values(Id, Version)).

encode(Before, After) -> emmap_cluster_merge:encode(emmap_cluster_merge:runs(Before, After), After, none).

%% What A knows after it has met B.
join(A, B) ->
    {Digest, Whole} = emmap_cluster_merge:digest(fun(_) -> <<>> end, B),
    lists:foldl(fun({Id, _, _, _} = Entry, Known) ->
        case emmap_cluster_merge:behind(Entry, Known) of
            no -> Known;
            forget -> element(2, emmap_cluster_merge:forget(Id, Known));
            {ask, Since} ->
                {new, _, New} = emmap_cluster_merge:merge(Id, emmap_cluster_merge:since(Id, Since, Whole), Known),
                New
        end
    end, A, emmap_cluster_merge:entries(Digest)).

same(A, B) -> contents(A) =:= contents(B).

contents(Known) ->
    [{Id, emmap_cluster_merge:version(Id, Known), emmap_cluster_merge:values(Id, Known)}
     || Id <- lists:sort(emmap_cluster_merge:ids(Known))].

%%% News

%% Whatever comes, in any order: at each version a host has exactly the values that the owner had. It asks for what it lacks.
lost_doubled_and_reordered(_Config) ->
    [Id | _] = ?IDS,
    check(proper:forall({list(edits()), list({range(0, 20), range(1, 20)})}, fun({Steps, Deliveries}) ->
        {Owners, Histories} = owner(Id, Steps),
        Last = length(Steps),
        Replica = lists:foldl(fun({From, More}, Known) when From + More =< Last -> deliver(Id, From, From + More, Owners, Histories, Known);
                                 (_, Known) -> Known end,
                              emmap_cluster_merge:new(?COUNT), Deliveries),
        Version = emmap_cluster_merge:version(Id, Replica),
        #{Last := Owner} = Owners,
        Met = join(Replica, Owner),
        emmap_cluster_merge:values(Id, Replica) =:= maps:get(Version, Histories)
            andalso emmap_cluster_merge:version(Id, Met) =:= Last
            andalso emmap_cluster_merge:values(Id, Met) =:= emmap_cluster_merge:values(Id, Owner)
    end)).

edits() -> list({range(0, ?COUNT - 1), oneof([range(-5, 5), range(-(1 bsl 63), 1 bsl 63 - 1)])}).

%% An owner and its values, as they were at each version.
owner(Id, Steps) ->
    New = emmap_cluster_merge:own(Id, 0, emmap_cluster_merge:new(?COUNT)),
    {Owners, Histories, _} = lists:foldl(fun(Edits, {Owners, Histories, Version}) ->
        #{Version := Known} = Owners,
        #{Version := Before} = Histories,
        After = edit(Edits, Before),
        {new, _, Next} = emmap_cluster_merge:merge(Id, {Version, Version + 1, encode(Before, After)}, Known),
        {Owners#{Version + 1 => Next}, Histories#{Version + 1 => After}, Version + 1}
    end, {#{0 => New}, #{0 => <<0:?COUNT/unit:64>>}, 0}, Steps),
    {Owners, Histories}.

edit(Edits, Values) ->
    lists:foldl(fun({Index, Value}, Before) ->
        <<Left:Index/unit:64-binary, _:64, Right/binary>> = Before,
        <<Left/binary, Value:64/little, Right/binary>>
    end, Values, Edits).

%% The news of one step, which say what changed, or of more, which say which blocks did.
deliver(Id, From, To, Owners, Histories, Known) ->
    #{From := Before, To := After} = Histories,
    News = case To - From of
        1 -> {From, To, encode(Before, After)};
        _ -> emmap_cluster_merge:since(Id, From, maps:get(To, Owners))
    end,
    Mine = emmap_cluster_merge:version(Id, Known),
    case emmap_cluster_merge:merge(Id, News, Known) of
        {new, _, New} when From =< Mine, Mine < To -> New;
        {behind, Mine} when Mine < From -> Known;
        old when Mine >= To -> Known
    end.

runs_carry_every_change(_Config) ->
    [Id | _] = ?IDS,
    check(proper:forall({edits(), edits(), edits()}, fun({Ones, Twos, Bases}) ->
        Zeros = <<0:?COUNT/unit:64>>,
        Base = edit(Bases, Zeros),
        Before = edit(Ones, Zeros),
        After = edit(Twos, Before),
        Runs = emmap_cluster_merge:encode(emmap_cluster_merge:runs(Before, After), After, Base),
        true = emmap_cluster_merge:is_sound(Runs, ?COUNT),
        Known = emmap_cluster_merge:load(Id, 1, emmap_cluster_merge:subtract_words(Before, Base), emmap_cluster_merge:new(?COUNT)),
        case emmap_cluster_merge:merge(Id, {1, 2, Runs}, Known) of
            {new, _, New} -> emmap_cluster_merge:values(Id, New) =:= emmap_cluster_merge:subtract_words(After, Base)
        end
    end)).

%% A sum that follows the changes is the sum of all origins.
differences_keep_the_sum(_Config) ->
    check(proper:forall(list({oneof(?IDS), oneof([range(1, 8), forgotten])}), fun(Steps) ->
        {Known, Sum} = lists:foldl(fun({Id, Step}, {Before, Total}) ->
            case step(Id, Step, Before) of
                {Changes, After} -> {After, add(emmap_cluster_merge:differences(Changes), Total)};
                old -> {Before, Total}
            end
        end, {emmap_cluster_merge:new(?COUNT), <<0:?COUNT/unit:64>>}, Steps),
        Sum =:= emmap_cluster_merge:total(emmap_cluster_merge:ids(Known), Known)
            andalso emmap_cluster_merge:difference(Sum, Sum) =:= []
    end)).

step(Id, forgotten, Known) -> emmap_cluster_merge:forget(Id, Known);
step(Id, Version, Known) ->
    case emmap_cluster_merge:merge(Id, {0, Version, whole(Id, Version)}, Known) of
        {new, Changes, New} -> {Changes, New};
        old -> old
    end.

add(Differences, Total) ->
    Each = maps:from_list(Differences),
    Words = [Word || <<Word:64/little>> <= Total],
    << <<(Word + maps:get(Index, Each, 0)):64/little>> || {Index, Word} <- lists:zip(lists:seq(0, ?COUNT - 1), Words) >>.

%%% What another host may send

%% Runs that pass the check can be merged; no others.
hostile_runs(_Config) ->
    [Id | _] = ?IDS,
    Run = {range(0, ?COUNT + 1), range(0, ?COUNT + 1), range(-1, 1)},
    check(proper:forall(list(Run), fun(Runs) ->
        Bytes = << <<Start:32/little, Words:32/little, 0:(max(0, 64 * Words + 8 * Extra))>> || {Start, Words, Extra} <- Runs >>,
        case emmap_cluster_merge:is_sound(Bytes, ?COUNT) of
            true -> {new, _, _} = emmap_cluster_merge:merge(Id, {0, 1, Bytes}, emmap_cluster_merge:new(?COUNT)), true;
            false -> true
        end
    end)),
    false = emmap_cluster_merge:is_sound(<<?COUNT:32/little, 1:32/little, 0:64>>, ?COUNT),
    false = emmap_cluster_merge:is_sound(<<0:32/little, 16#ffffffff:32/little, 0:64>>, ?COUNT),
    false = emmap_cluster_merge:is_sound(<<0:32/little, 0:32/little>>, ?COUNT),
    false = emmap_cluster_merge:is_sound(no_binary, ?COUNT),
    true = emmap_cluster_merge:is_sound(<<>>, ?COUNT).

%% A host whose values differ at the same version takes those with the higher checksum.
digests(_Config) ->
    [Id | _] = ?IDS,
    [A, B] = [emmap_cluster_merge:load(Id, 5, edit([{7, Value}], <<0:?COUNT/unit:64>>), emmap_cluster_merge:new(?COUNT))
              || Value <- [1, 2]],
    Doubting = fun(One, Other) -> join(emmap_cluster_merge:doubt(Id, One), Other) end,
    {Digest, _} = emmap_cluster_merge:digest(fun(_) -> <<"b@host">> end, B),
    [{Id, 5, _, <<"b@host">>} = Entry] = emmap_cluster_merge:entries(Digest),
    case emmap_cluster_merge:behind(Entry, A) of
        {ask, 0} -> true = same(Doubting(A, B), B);
        no -> true = same(Doubting(B, A), A)
    end,
    error = emmap_cluster_merge:entries(<<Digest/binary, 1>>),
    error = emmap_cluster_merge:entries(binary:part(Digest, 0, byte_size(Digest) - 1)),
    error = emmap_cluster_merge:entries(not_a_digest),
    check(proper:forall(proper_types:binary(), fun(Bytes) ->
        case emmap_cluster_merge:entries(Bytes) of error -> true; Entries -> is_list(Entries) end
    end)).
