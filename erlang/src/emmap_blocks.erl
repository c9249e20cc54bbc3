-module(emmap_blocks).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% The functions for block storages of `emmap' that are more than one call of the backend.

-export([open/3, init/3, wrapped/2, read_all/1, read/3, repair/3]).

-include("emmap_file.hrl").

%% The backend takes a limit of 32 bits.
-define(LIMIT(Count), min(Count, 16#ffffffff)).
%% The place of a walk that has come to the end.
-define(END, 16#ffffffffffffffff).
%% A step of read_all/1 reads about so many bytes, and at most so many blocks.
-define(STEP_BYTES, (1 bsl 20)).
-define(STEP_BLOCKS, 4096).
%% No storage has a smaller capacity: 64^2.
-define(SMALLEST_CAPACITY, 4096).

-spec open(file:name_all(), non_neg_integer(), [emmap:open_option() | {levels, 2..5}]) ->
    {ok, emmap:file()} | {error, emmap:reason()}.
open(Name, BlockSize, Options) ->
    {Levels, Others} = levels(Options),
    emmap_open:open({blocks, BlockSize, Levels}, Name, Others).

-spec init(emmap:file(), non_neg_integer(), [{levels, 2..5}]) -> ok | {error, emmap:reason()}.
init(?MAPPED(Backend, Handle), BlockSize, Options) ->
    case levels(Options) of
        {Levels, []} -> ?CALL_LOCKING(Backend, blocks_init(Handle, BlockSize, Levels));
        {_, _} -> error(badarg)
    end.

%% The last of the numbers of levels that are given, 0 if there is none, and the other options.
levels(Options) ->
    {Given, Others} = lists:partition(fun is_levels/1, Options),
    {lists:last([0 | [Levels || {levels, Levels} <- Given]]), Others}.

is_levels({levels, Levels}) -> is_integer(Levels) andalso Levels > 0;
is_levels(_) -> false.

%% An address beyond the capacity wraps around, because emmap 2.x ignores all but its lowest bits. `none': it is within, or
%% it is no address, which has 64 bits.
-spec wrapped(emmap:file(), emmap:address()) -> emmap:address() | none.
wrapped(?MAPPED(Backend, Handle), Address) when Address >= ?SMALLEST_CAPACITY, Address < 1 bsl 64 ->
    case ?CALL_LOCKING(Backend, blocks_info(Handle)) of
        {ok, #{capacity := Capacity}} when Address >= Capacity -> Address rem Capacity;
        _ -> none
    end;
wrapped(_File, _Address) -> none.

-spec read_all(emmap:file()) -> [{emmap:address(), binary()}] | {error, emmap:reason()}.
read_all(?MAPPED(Backend, Handle) = File) ->
    case ?CALL_LOCKING(Backend, blocks_info(Handle)) of
        {ok, #{block_size := Size}} -> read_all(File, 0, max(1, min(?STEP_BLOCKS, ?STEP_BYTES div max(1, Size))), []);
        {error, _} = Error -> Error
    end.

read_all(File, Start, Count, Read) ->
    case read(File, Start, Count) of
        {error, _} = Error -> Error;
        {Blocks, eof} -> lists:append([Blocks | Read]);
        {Blocks, Next} -> read_all(File, Next, Count, [Blocks | Read])
    end.

-spec read(emmap:file(), emmap:address(), pos_integer()) ->
    {[{emmap:address(), binary()}], emmap:address() | eof} | {error, emmap:reason()}.
read(File, Start, Count) ->
    case walk(File, Start, Count, []) of
        {[], eof} = Nothing ->
            case wrapped(File, Start) of
                none -> Nothing;
                Address -> read(File, Address, Count)
            end;
        Walked ->
            Walked
    end.

%% A step of a backend may give fewer blocks than it is asked for.
walk(?MAPPED(Backend, Handle) = File, Start, Count, Read) ->
    case ?CALL_LOCKING(Backend, blocks_walk(Handle, ?LIMIT(Count), Start)) of
        {ok, Blocks, Next} ->
            case {lists:reverse(Blocks, Read), Count - length(Blocks)} of
                {All, _} when Next =:= ?END -> {All, eof};
                {All, 0} -> {All, Next};
                {All, Left} -> walk(File, Next, Left, All)
            end;
        eof -> {Read, eof};
        %% The storage has no such address: it may wrap around. It has 0, so there the path means another file.
        {error, estale} when Read =:= [], Start =/= 0 -> {[], eof};
        {error, _} = Error -> Error
    end.

-spec repair(emmap:file(), emmap:address(), pos_integer()) -> emmap:address() | eof | {error, emmap:reason()}.
repair(?MAPPED(Backend, Handle) = File, Start, Count) ->
    case ?CALL_LOCKING(Backend, blocks_repair(Handle, ?LIMIT(Count), Start)) of
        {ok, 0} -> eof;
        {ok, Next} -> Next;
        {error, estale} when Start =/= 0 ->
            case wrapped(File, Start) of
                none -> eof;
                Address -> repair(File, Address, Count)
            end;
        {error, _} = Error -> Error
    end.
