-module(emmap_cluster_merge).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% What a host knows of all origins, and how it merges news: state-based counters. No files, no messages, no clock.
%%
%% An origin is a random id. It has absolute values with a version, and only the host that owns the origin makes versions. Of two
%% states of one origin the one with the higher version wins; `forgotten', which is an atom, is higher than all numbers. So news
%% may be lost, doubled, and come in any order.
%%
%% The values are in blocks of ?BLOCK words. Each block has the version of its last change, so that what changed after any version
%% can be gathered without a history. A block that is missing has zeros.

-export([new/1, count/1, own/3, load/4, met/2, ids/1, version/2, is_known/2]).
-export([merge/3, since/3, doubt/2, forget/2]).
-export([values/2, total/2, difference/2, differences/1]).
-export([runs/2, encode/3, is_sound/2, digest/2, entries/1, behind/2, crc/2]).
-export([add_words/2, subtract_words/2]).

-export_type([known/0, id/0, version/0, runs/0, news/0, change/0, entry/0]).

%% Words of a block.
-define(BLOCK, 512).
-define(BYTES, (8 * ?BLOCK)).
-define(FORGOTTEN, 16#ffffffffffffffff).

%% `floor': of older versions nobody here knows what changed since.
-record(origin, {
    version = 0 :: non_neg_integer(),
    floor = 0 :: non_neg_integer(),
    blocks = #{} :: #{Block :: non_neg_integer() => {non_neg_integer(), binary()}},
    crc :: undefined | non_neg_integer()
}).
-record(known, {count :: pos_integer(), origins = #{} :: #{id() => #origin{} | forgotten}}).

-opaque known() :: #known{}.
-type id() :: <<_:128>>.
-type version() :: non_neg_integer() | forgotten.
%% Absolute values of counters beside each other: the index of the first one, how many there are, the values; then the next run.
-type runs() :: binary().
%% All that changed after the first version, up to the second one. News since 0 are the whole: all other values are 0.
-type news() :: {Since :: non_neg_integer(), Version :: pos_integer(), runs()}.
%% Values before and after a merge, from this index on.
-type change() :: {Index :: non_neg_integer(), Before :: binary(), After :: binary()}.
-type entry() :: {id(), version(), Crc :: non_neg_integer(), Node :: binary()}.

-spec new(Count :: pos_integer()) -> known().
new(Count) -> #known{count = Count}.

-spec count(known()) -> pos_integer().
count(#known{count = Count}) -> Count.

-spec ids(known()) -> [id()].
ids(#known{origins = Origins}) -> maps:keys(Origins).

-spec is_known(id(), known()) -> boolean().
is_known(Id, #known{origins = Origins}) -> is_map_key(Id, Origins).

%% 0 of an origin that nobody has heard of.
-spec version(id(), known()) -> version().
version(Id, #known{origins = Origins}) ->
    case Origins of
        #{Id := #origin{version = Version}} -> Version;
        #{Id := forgotten} -> forgotten;
        #{} -> 0
    end.

%% The origin as a file had it.
-spec load(id(), Version :: non_neg_integer(), Values :: binary(), known()) -> known().
load(Id, Version, Values, #known{origins = Origins} = Known) ->
    Blocks = maps:from_list([{Block, {Version, Bytes}} || {Block, Bytes} <- split(0, Values), not is_zero(Bytes)]),
    Known#known{origins = Origins#{Id => #origin{version = Version, floor = Version, blocks = Blocks}}}.

%% The origin at another version, with the values that it has. Every host takes the whole of that version.
-spec own(id(), Version :: non_neg_integer(), known()) -> known().
own(Id, Version, #known{origins = Origins} = Known) ->
    Origin = maps:get(Id, Origins, #origin{}),
    Known#known{origins = Origins#{Id => Origin#origin{version = Version, floor = Version}}}.

%% The origin of a host that may not have counted yet.
-spec met(id(), known()) -> known().
met(Id, #known{origins = Origins} = Known) -> Known#known{origins = maps:merge(#{Id => #origin{}}, Origins)}.

split(_Block, <<>>) -> [];
split(Block, <<Bytes:?BYTES/binary, Rest/binary>>) -> [{Block, binary:copy(Bytes)} | split(Block + 1, Rest)];
split(Block, Bytes) -> [{Block, binary:copy(Bytes)}].

is_zero(Bytes) -> Bytes =:= zeros(byte_size(Bytes)).

zeros(Size) -> <<0:Size/unit:8>>.

%%% Merging

%% `behind': the news build on a version that is not known here; ask for what changed since the answer.
-spec merge(id(), news(), known()) -> {new, [change()], known()} | {behind, Version :: non_neg_integer()} | old.
merge(Id, {Since, Version, Runs}, #known{count = Count, origins = Origins} = Known) ->
    case maps:get(Id, Origins, #origin{}) of
        forgotten -> old;
        #origin{version = Mine} when Mine >= Version -> old;
        #origin{version = Mine} when Mine < Since -> {behind, Mine};
        Origin ->
            {Changes, Merged} = apply_news(Since, Version, Runs, Count, Origin),
            {new, Changes, Known#known{origins = Origins#{Id => Merged}}}
    end.

apply_news(0, Version, Runs, Count, #origin{blocks = Before}) ->
    {_, After} = write_runs(Runs, Version, Count, {[], #{}}),
    Changes = [{Block * ?BLOCK, bytes(Block, Before, Count), bytes(Block, After, Count)}
               || Block <- lists:usort(maps:keys(Before) ++ maps:keys(After))],
    {Changes, #origin{version = Version, floor = Version, blocks = After}};
apply_news(_Since, Version, Runs, Count, #origin{blocks = Before} = Origin) ->
    {Changes, After} = write_runs(Runs, Version, Count, {[], Before}),
    {Changes, Origin#origin{version = Version, blocks = After, crc = undefined}}.

write_runs(<<Start:32/little, Words:32/little, Rest/binary>>, Version, Count, Into) ->
    <<Values:Words/unit:64-binary, Others/binary>> = Rest,
    write_runs(Others, Version, Count, write(Start, Values, Version, Count, Into));
write_runs(<<>>, _Version, _Count, Into) -> Into.

write(_Start, <<>>, _Version, _Count, Into) -> Into;
write(Start, Values, Version, Count, {Changes, Blocks}) ->
    Block = Start div ?BLOCK,
    Offset = 8 * (Start rem ?BLOCK),
    Size = min(byte_size(Values), ?BYTES - Offset),
    <<New:Size/binary, Rest/binary>> = Values,
    <<Left:Offset/binary, Old:Size/binary, Right/binary>> = bytes(Block, Blocks, Count),
    Bytes = <<Left/binary, New/binary, Right/binary>>,
    write(Start + Size div 8, Rest, Version, Count, {[{Start, Old, New} | Changes], Blocks#{Block => {Version, Bytes}}}).

bytes(Block, Blocks, Count) ->
    case Blocks of
        #{Block := {_, Bytes}} -> Bytes;
        #{} -> zeros(8 * min(?BLOCK, Count - Block * ?BLOCK))
    end.

%% News for a host that knows this version.
-spec since(id(), Version :: non_neg_integer(), known()) -> news() | none.
since(Id, Known, #known{origins = Origins}) ->
    case Origins of
        #{Id := #origin{version = Version, floor = Floor, blocks = Blocks}} when Version > Known ->
            Since = case Known < Floor of true -> 0; false -> Known end,
            Changed = lists:sort([{Block, Bytes} || {Block, {Last, Bytes}} <- maps:to_list(Blocks), Last > Since orelse Since =:= 0]),
            {Since, Version, << <<(run(Block * ?BLOCK, Bytes))/binary>> || {Block, Bytes} <- Changed >>};
        #{} -> none
    end.

run(Start, Values) -> <<Start:32/little, (byte_size(Values) div 8):32/little, Values/binary>>.

%% Of two states with one version and different values the one with the higher checksum wins: the other host doubts
%% its own, and asks for the whole.
-spec doubt(id(), known()) -> known().
doubt(Id, #known{origins = Origins} = Known) ->
    case Origins of
        #{Id := #origin{} = Origin} -> Known#known{origins = Origins#{Id := Origin#origin{version = 0, floor = 0}}};
        #{} -> Known
    end.

%% Retires an origin for good. The changes take its values out of a sum.
-spec forget(id(), known()) -> {[change()], known()}.
forget(Id, #known{count = Count, origins = Origins} = Known) ->
    Changes = case Origins of
        #{Id := #origin{blocks = Blocks}} ->
            [{Block * ?BLOCK, Bytes, bytes(Block, #{}, Count)} || {Block, {_, Bytes}} <- maps:to_list(Blocks)];
        #{} -> []
    end,
    {Changes, Known#known{origins = Origins#{Id => forgotten}}}.

%%% Values

%% All values of an origin.
-spec values(id(), known()) -> binary().
values(Id, Known) -> total([Id], Known).

%% The sums of the values of these origins.
-spec total([id()], known()) -> binary().
total(Ids, #known{count = Count, origins = Origins}) ->
    All = [Blocks || Id <- Ids, #{Id := #origin{blocks = Blocks}} <- [Origins]],
    << <<(sum(Block, All, Count))/binary>> || Block <- lists:seq(0, (Count - 1) div ?BLOCK) >>.

sum(Block, All, Count) ->
    case [Bytes || #{Block := {_, Bytes}} <- All] of
        [] -> bytes(Block, #{}, Count);
        [First | Others] -> lists:foldl(fun add_words/2, First, Others)
    end.

-spec add_words(binary(), binary()) -> binary().
add_words(One, Other) -> add_words(One, Other, <<>>).

add_words(<<A:64/little, As/binary>>, <<B:64/little, Bs/binary>>, Sums) ->
    add_words(As, Bs, <<Sums/binary, (A + B):64/little>>);
add_words(<<>>, <<>>, Sums) -> Sums.

-spec subtract_words(binary(), binary()) -> binary().
subtract_words(One, Other) -> subtract_words(One, Other, <<>>).

subtract_words(<<A:64/little, As/binary>>, <<B:64/little, Bs/binary>>, Left) ->
    subtract_words(As, Bs, <<Left/binary, (A - B):64/little>>);
subtract_words(<<>>, <<>>, Left) -> Left.

%% What to add to which counter so that a sum follows the changes.
-spec differences([change()]) -> [{Index :: non_neg_integer(), emmap:int64()}].
differences(Changes) -> lists:foldl(fun({Index, Before, After}, Found) -> words(Before, After, Index, Found) end, [], Changes).

-spec difference(Before :: binary(), After :: binary()) -> [{Index :: non_neg_integer(), emmap:int64()}].
difference(Before, After) -> differences([{0, Before, After}]).

words(<<Same:?BYTES/binary, Before/binary>>, <<Same:?BYTES/binary, After/binary>>, Index, Found) ->
    words(Before, After, Index + ?BLOCK, Found);
words(Before, After, Index, Found) -> each_word(?BLOCK, Before, After, Index, Found).

each_word(0, Before, After, Index, Found) -> words(Before, After, Index, Found);
each_word(Left, <<Same:64/little, Before/binary>>, <<Same:64/little, After/binary>>, Index, Found) ->
    each_word(Left - 1, Before, After, Index + 1, Found);
each_word(Left, <<Old:64/little, Before/binary>>, <<New:64/little, After/binary>>, Index, Found) ->
    <<Difference:64/signed>> = <<(New - Old):64>>,
    each_word(Left - 1, Before, After, Index + 1, [{Index, Difference} | Found]);
each_word(_Left, <<>>, <<>>, _Index, Found) -> Found.

%%% Runs

%% The words that differ. Two runs with one equal word between them are one: its value takes no more than a second header.
-spec runs(Before :: binary(), After :: binary()) -> [{Start :: non_neg_integer(), Words :: pos_integer()}].
runs(Before, After) -> runs(Before, After, 0, []).

runs(<<Same:?BYTES/binary, Before/binary>>, <<Same:?BYTES/binary, After/binary>>, Index, Runs) ->
    runs(Before, After, Index + ?BLOCK, Runs);
runs(Before, After, Index, Runs) -> runs(?BLOCK, Before, After, Index, Runs).

runs(0, Before, After, Index, Runs) -> runs(Before, After, Index, Runs);
runs(Left, <<Same:64, Before/binary>>, <<Same:64, After/binary>>, Index, Runs) ->
    runs(Left - 1, Before, After, Index + 1, Runs);
runs(Left, <<_:64, Before/binary>>, <<_:64, After/binary>>, Index, [{Start, Words} | Runs]) when Index =< Start + Words + 1 ->
    runs(Left - 1, Before, After, Index + 1, [{Start, Index + 1 - Start} | Runs]);
runs(Left, <<_:64, Before/binary>>, <<_:64, After/binary>>, Index, Runs) ->
    runs(Left - 1, Before, After, Index + 1, [{Index, 1} | Runs]);
runs(_Left, <<>>, <<>>, _Index, Runs) -> lists:reverse(Runs).

%% The runs with their values, less those of `Base'.
-spec encode([{Start :: non_neg_integer(), Words :: pos_integer()}], Values :: binary(), Base :: binary() | none) -> runs().
encode(Runs, Values, Base) -> << <<(run(Start, taken(Start, Words, Values, Base)))/binary>> || {Start, Words} <- Runs >>.

taken(Start, Words, Values, none) -> binary:part(Values, 8 * Start, 8 * Words);
taken(Start, Words, Values, Base) -> subtract_words(taken(Start, Words, Values, none), taken(Start, Words, Base, none)).

%% Whether runs from another host name counters that exist.
-spec is_sound(term(), Count :: pos_integer()) -> boolean().
is_sound(<<Start:32/little, Words:32/little, Rest/binary>>, Count)
  when Words > 0, Start + Words =< Count, byte_size(Rest) >= 8 * Words ->
    <<_:Words/unit:64-binary, Others/binary>> = Rest,
    is_sound(Others, Count);
is_sound(Runs, _Count) -> Runs =:= <<>>.

%%% Digests

%% What a host knows, for another one to compare: 29 bytes and a node's name for each origin.
-spec digest(fun((id()) -> Node :: binary()), known()) -> {binary(), known()}.
digest(NodeOf, Known) ->
    lists:foldl(fun(Id, {Entries, Before}) ->
        {Crc, After} = crc(Id, Before),
        Version = case version(Id, After) of forgotten -> ?FORGOTTEN; Number -> Number end,
        Node = NodeOf(Id),
        {<<Entries/binary, Id/binary, Version:64, Crc:32, (byte_size(Node)), Node/binary>>, After}
    end, {<<>>, Known}, ids(Known)).

%% The checksum of an origin's values. It is kept until they change.
-spec crc(id(), known()) -> {non_neg_integer(), known()}.
crc(Id, #known{count = Count, origins = Origins} = Known) ->
    case Origins of
        #{Id := #origin{crc = undefined, blocks = Blocks} = Origin} ->
            Crc = erlang:crc32([bytes(Block, Blocks, Count) || Block <- lists:seq(0, (Count - 1) div ?BLOCK)]),
            {Crc, Known#known{origins = Origins#{Id := Origin#origin{crc = Crc}}}};
        #{Id := #origin{crc = Crc}} -> {Crc, Known};
        #{} -> {0, Known}
    end.

%% The entries of another host's digest; `error' if it is none.
-spec entries(term()) -> [entry()] | error.
entries(Digest) -> entries(Digest, []).

entries(<<Id:16/binary, Number:64, Crc:32, Size, Node:Size/binary, Rest/binary>>, Entries) ->
    Version = case Number of ?FORGOTTEN -> forgotten; _ -> Number end,
    entries(Rest, [{binary:copy(Id), Version, Crc, binary:copy(Node)} | Entries]);
entries(<<>>, Entries) -> lists:reverse(Entries);
entries(_, _) -> error.

%% Whether this host is to ask for an origin, and for what changed since which version.
-spec behind(entry(), known()) -> {ask, Since :: non_neg_integer()} | forget | no.
behind({Id, Version, Crc, _Node}, Known) ->
    case {Version, version(Id, Known)} of
        {Same, Same} when is_integer(Same), Same > 0, Crc > 0 ->
            case crc(Id, Known) of
                {Mine, _} when Mine < Crc -> {ask, 0};
                _ -> no
            end;
        {forgotten, Mine} when Mine =/= forgotten -> forget;
        {Theirs, Mine} when Theirs > Mine -> {ask, Mine};
        _ -> no
    end.
