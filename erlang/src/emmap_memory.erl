-module(emmap_memory).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Whether the limits on this node (`ulimit -v', `ulimit -d') leave so many bytes. That needs no NIF. Linux tells both
%% in /proc/self; on another system the answer is always true.

-export([allows/1, flat/1]).

%% Bytes that are made into one binary without asking.
-define(UNASKED, (1 bsl 20)).

%% ERTS takes memory in pieces of up to 8 MiB.
-define(BESIDE, (8 bsl 20)).

-spec allows(Bytes :: non_neg_integer()) -> boolean().
allows(Bytes) ->
    case {file:read_file("/proc/self/limits"), file:read_file("/proc/self/status")} of
        {{ok, Limits}, {ok, Status}} ->
            leaves(Bytes, number(Limits, "Max address space +"), number(Status, "VmSize:\\s+"))
                andalso leaves(Bytes, number(Limits, "Max data size +"), number(Status, "VmData:\\s+"));
        _ ->
            true
    end.

%% The binaries of these iodata. ERTS ends the node if it lacks memory for one.
-spec flat([iodata()]) -> {ok, [binary()]} | {error, enomem}.
flat(List) ->
    Missing = lists:sum([iolist_size(Data) || Data <- List, not is_binary(Data)]),
    case Missing =< ?UNASKED orelse allows(Missing) of
        true -> {ok, [iolist_to_binary(Data) || Data <- List]};
        false -> {error, enomem}
    end.

leaves(Bytes, Limit, KiB) when is_integer(Limit), is_integer(KiB) -> KiB * 1024 + Bytes + ?BESIDE =< Limit;
leaves(_Bytes, _Limit, _KiB) -> true.

%% The number behind a name; `none' if there is none, as in "unlimited".
number(Text, Name) ->
    case re:run(Text, Name ++ "([0-9]+)", [{capture, all_but_first, binary}]) of
        {match, [Digits]} -> binary_to_integer(Digits);
        nomatch -> none
    end.
