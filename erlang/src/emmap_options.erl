-module(emmap_options).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% File names and options, from the user's form to the backend's. A wrong one raises `badarg', with a text for the
%% shell.

-export([path/1, parse/1, whole/1, window/3, env/1, bad/1]).
-export([pairs/1, check/3, is_path/1, is_nodes/1, is_time/1]).
-export([format_error/2]).

-type parsed() :: {[emmap_backend:option()], emmap:backend() | undefined, WantsInfo :: boolean()}.

-define(MAX_UINT64, 16#ffffffffffffffff).
-define(PAGE, 4096).

%%% Names

%% A file name of `file' as the system's bytes. The path is absolute, because a port's program has a current folder of
%% its own, and the node may change its own before emmap:reopen/1.
-spec path(file:name_all()) -> {ok, binary()} | {error, badarg | file:posix()}.
path(Name) ->
    Bytes = name(Name),
    case binary:match(Bytes, <<0>>) of
        nomatch -> absolute(Bytes);
        _ -> {error, badarg}
    end.

name(Name) when is_binary(Name) -> Name;
name(Name) ->
    case unicode:characters_to_binary(characters(Name), unicode, file:native_name_encoding()) of
        Bytes when is_binary(Bytes) -> Bytes;
        _ -> bad({name, Name})
    end.

characters([Character | Rest]) when is_integer(Character), Character >= 0 -> [Character | characters(Rest)];
characters([Name | Rest]) -> characters(Name) ++ characters(Rest);
characters([]) -> [];
characters(Name) when is_atom(Name) -> atom_to_list(Name);
characters(Name) -> bad({name, Name}).

absolute(Path) when Path =:= <<>>; binary_part(Path, 0, 1) =:= <<"/">> -> {ok, Path};
absolute(Path) ->
    case file:get_cwd() of
        {ok, Folder} ->
            case name(Folder) of
                <<"/">> -> {ok, <<"/", Path/binary>>};
                Bytes -> {ok, <<Bytes/binary, "/", Path/binary>>}
            end;
        {error, _} = Error ->
            Error
    end.

%%% Options

%% Sorts the options: the core's, the backend, and whether open answers {ok, File, Info}.
-spec parse([emmap:open_option()]) -> parsed().
parse(Options) when is_list(Options) ->
    {Kept, Backend, WantsInfo} = split(Options, [], undefined, env(open_info) =:= {ok, true}),
    {sharing(sizes(lists:reverse(Kept))), Backend, WantsInfo};
parse(Options) -> bad({options, Options}).

split([info | Rest], Kept, Backend, _Info) -> split(Rest, Kept, Backend, true);
split([{backend, Backend} | Rest], Kept, _, Info) when Backend =:= nif; Backend =:= port ->
    split(Rest, Kept, Backend, Info);
split([{backend, {port, _} = Backend} | Rest], Kept, _, Info) -> split(Rest, Kept, Backend, Info);
%% Only whole/1 and window/3 give these to a backend.
split([Option | _], _, _, _) when Option =:= keep_size; Option =:= exact -> bad({option, Option});
split([Option | Rest], Kept, Backend, Info) when is_atom(Option) -> split(Rest, [Option | Kept], Backend, Info);
split([{Name, Value} = Option | Rest], Kept, Backend, Info)
  when is_atom(Name), is_integer(Value), Value >= 0, Value =< ?MAX_UINT64 ->
    split(Rest, [Option | Kept], Backend, Info);
split([], Kept, Backend, Info) -> {Kept, Backend, Info};
split([Option | _], _, _, _) -> bad({option, Option});
split(Tail, _, _, _) -> bad({options, Tail}).

%% Of several sizes the first that is not 0 counts.
sizes(Options) ->
    case [Size || {size, Size} <- Options, Size > 0] of
        [] -> without_size(Options);
        [Size | _] -> [{size, Size} | without_size(Options)]
    end.

without_size(Options) -> [Option || Option <- Options, not is_size(Option)].

is_size({size, _}) -> true;
is_size(_) -> false.

%% As in emmap 2.x `shared' beats `private'.
sharing(Options) ->
    case [Option || Option <- [shared, shared_validate, shared_unsafe], lists:member(Option, Options)] of
        [_ | _] -> lists:delete(private, Options);
        [] -> Options
    end.

%% For open/2: a file that has bytes is mapped as it is.
-spec whole([emmap_backend:option()]) -> [emmap_backend:option()].
whole(Options) -> [keep_size | Options].

%% For open/4: a file that has bytes must have the asked number of them, unless there is `fit'. Length 0 is the size of
%% the options, and without a size everything up to the end.
-spec window(Offset :: non_neg_integer(), Length :: non_neg_integer(), [emmap_backend:option()]) ->
    {ok, [emmap_backend:option()]} | {error, {einval, offset}}.
window(Offset, Length, Options) ->
    Others = without_size(Options),
    Asked = case [Size || {size, Size} <- Options, Length =:= 0] of
        [Size] -> Size;
        [] -> Length
    end,
    case lists:member(fit, Options) of
        %% Positions would count from the page's beginning in emmap 2.x.
        true when Offset rem ?PAGE =/= 0 -> {error, {einval, offset}};
        true -> {ok, range(Offset, [{size, Asked - Offset} || Asked > Offset]) ++ Others};
        false when Offset =:= 0, Asked > 0 -> {ok, [{size, Asked}, exact | Others]};
        false -> {ok, range(Offset, [{length, Asked} || Asked > 0]) ++ [exact | Others]}
    end.

range(0, Range) -> Range;
range(Offset, Range) -> [{offset, Offset} | Range].

%% A key of the application's environment.
-spec env(atom()) -> {ok, term()} | undefined.
env(Key) ->
    %% The environment is there only after the application was loaded.
    _ = application:get_key(emmap, vsn) =:= undefined andalso application:load(emmap),
    application:get_env(emmap, Key).

%%% Options of processes

%% Options as a map, also of a list of pairs.
-spec pairs(map() | [{term(), term()}]) -> map().
pairs(Options) when is_map(Options) -> Options;
pairs(Options) ->
    try maps:from_list(Options)
    catch error:_ -> bad({map, Options})
    end.

-spec check(map(), Required :: [atom()], fun((Key :: term(), Value :: term()) -> boolean())) -> ok.
check(Options, Required, IsRight) ->
    _ = [bad({required, Key}) || Key <- Required, not is_map_key(Key, Options)],
    _ = [bad({option, Option}) || {Key, Value} = Option <- maps:to_list(Options), not IsRight(Key, Value)],
    ok.

-spec is_path(term()) -> boolean().
is_path(Name) ->
    try path(Name) of
        {ok, Path} -> Path =/= <<>>;
        {error, _} -> false
    catch error:_ -> false
    end.

-spec is_nodes(term()) -> boolean().
is_nodes([Node | Nodes]) when is_atom(Node) -> is_nodes(Nodes);
is_nodes(Nodes) -> Nodes =:= [].

%% Milliseconds that a timer takes four of.
-spec is_time(term()) -> boolean().
is_time(Time) -> is_integer(Time) andalso Time > 0 andalso Time =< 16#3fffffff.

%%% Wrong arguments

%% Raises `badarg'. `Cause' is {What, Term}.
-spec bad({name | option | options | map | required | operation, term()}) -> no_return().
bad(Cause) -> erlang:error(badarg, none, [{error_info, #{module => ?MODULE, cause => Cause}}]).

%% A binary: Elixir takes nothing else.
-spec format_error(term(), erlang:stacktrace()) -> #{general => binary()}.
format_error(_Reason, [{_, _, _, Info} | _]) ->
    case proplists:get_value(error_info, Info, #{}) of
        #{cause := {What, Term}} -> #{general => unicode:characters_to_binary(io_lib:format("~ts: ~0tp", [text(What), Term]))};
        #{} -> #{}
    end;
format_error(_Reason, _Stack) -> #{}.

text(name) -> "not a file name";
text(option) -> "not an option, or not a value that it takes";
text(options) -> "not a list of options";
text(map) -> "not a map of options";
text(required) -> "an option is missing";
text(operation) -> "not an operation of a batch".
