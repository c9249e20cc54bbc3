-module(emmap_queue_open).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Opening a queue: its own options, and those of `emmap' that change nothing for a queue.

-export([open/3, access/1, terms/1]).

-include("emmap_file.hrl").

-spec open(file:name_all(), integer(), [emmap_queue:open_option()]) ->
    {ok, emmap_queue:queue()} | {error, emmap_queue:reason()}.
open(Name, Size, Options) when is_integer(Size), Size >= 0, is_list(Options) ->
    {Terms, Others} = terms(Options),
    emmap_open:open({queue, Terms}, Name, access([{size, Size} | Others]));
open(_Name, Size, Options) when is_integer(Size), is_list(Options) -> {error, {einval, out_of_range}};
open(_Name, _Size, Options) when not is_list(Options) -> emmap_options:bad({options, Options});
open(_Name, _Size, _Options) -> error(badarg).

%% Without an access option the core opens a queue or a cell for writing, and creates it if it is missing.
-spec access([emmap_queue:open_option()]) -> [emmap:open_option()].
access(Options) ->
    Plain = [Option || Option <- Options,
                       not lists:member(Option, [read, write, create, shared, private, direct, read_only, existing])],
    case {lists:member(read_only, Options), lists:member(existing, Options)} of
        {true, _} -> [read | Plain];
        {false, true} -> [read, write | Plain];
        {false, false} -> Plain
    end.

%% How terms are shown and written, and the other options.
-spec terms([emmap_queue:open_option()]) -> {#terms{}, [emmap_queue:open_option()]}.
terms(Options) -> terms(Options, #terms{}, []).

terms([unsafe_terms | Rest], Terms, Others) -> terms(Rest, Terms#terms{decoding = []}, Others);
terms([compressed | Rest], Terms, Others) -> terms([{compressed, 6} | Rest], Terms, Others);
terms([{compressed, Level} | Rest], Terms, Others) when is_integer(Level), Level >= 0, Level =< 9 ->
    terms(Rest, Terms#terms{encoding = emmap_terms:encoding(Level)}, Others);
terms([{max_inflated_size, Bytes} | Rest], Terms, Others) when is_integer(Bytes), Bytes >= 0 ->
    terms(Rest, Terms#terms{limit = Bytes}, Others);
terms([Option | Rest], Terms, Others) -> terms(Rest, Terms, [Option | Others]);
terms([], Terms, Others) -> {Terms#terms{quick = emmap_terms:quick(Terms)}, lists:reverse(Others)};
terms(Tail, _, _) -> emmap_options:bad({options, Tail}).
