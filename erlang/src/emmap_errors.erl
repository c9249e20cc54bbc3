-module(emmap_errors).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% The reasons of errors: which one an open has that the core answers `einval' to, and a text for each.

-export([invalid/1, format/1, unknown_request/2]).

-export_type([invalid/0]).

-include("emmap_file.hrl").
-include_lib("kernel/include/logger.hrl").

-type invalid() ::
    size_missing | write_missing | empty_file | wrong_size | past_the_end | out_of_range | offset | option | conflict
    | address | count | block_size | levels | max_bytes | table_shape | no_truncate.

-define(MAX_INT64, 16#7fffffffffffffff).
-define(MAX_COUNT, (1 bsl 32)).

%% Names the rule that an open broke if the core answers `einval'. The core has decided; this function only looks for the rule,
%% in the core's order. Another process may have changed the file since.
-spec invalid(#origin{}) -> einval | {einval, invalid()}.
invalid(#origin{path = Path, options = Options, kind = Kind}) ->
    Of = fun(Name) -> proplists:get_value(Name, Options, 0) end,
    AnyOf = fun(Names) -> lists:any(fun(Name) -> proplists:is_defined(Name, Options) end, Names) end,
    OnDisk = size_on_disk(Path),
    Rules = of_kind(Kind, Of, AnyOf, OnDisk) ++ [
        {AnyOf([huge_2mb]) andalso AnyOf([huge_1gb]), conflict},
        {AnyOf([create, truncate, exclusive, grow, anon]) andalso not AnyOf([write]), write_missing},
        {AnyOf([anon]) andalso Of(size) + Of(length) =:= 0, size_missing},
        {AnyOf([anon]) andalso AnyOf([auto_unlink, follow]), conflict},
        {AnyOf([fixed]) andalso AnyOf([follow]), conflict},
        {AnyOf([fixed, address]) andalso (Of(address) =:= 0 orelse Of(address) rem 4096 =/= 0), address},
        {lists:any(fun(Name) -> Of(Name) > ?MAX_INT64 end, [offset, length, size, max_inc_size]), out_of_range},
        {OnDisk =:= 0 andalso Of(size) + Of(length) =:= 0, case AnyOf([write]) of true -> size_missing; false -> empty_file end},
        {OnDisk > 0 andalso Of(offset) + max(Of(length), 1) > OnDisk, past_the_end},
        {AnyOf([exact]) andalso Of(offset) rem 4096 =/= 0, offset},
        {AnyOf([exact, size]), wrong_size}
    ],
    case lists:keyfind(true, 1, Rules) of
        {true, Which} -> {einval, Which};
        false -> einval
    end.

%% 0 if there is no file.
size_on_disk(Path) ->
    case file:read_file_info(Path, [raw]) of
        {ok, #file_info{size = Size}} when is_integer(Size) -> Size;
        _ -> 0
    end.

of_kind(file, _Of, AnyOf, _OnDisk) -> [{AnyOf([follow, grow]), option}];
of_kind({counters, Count}, _Of, AnyOf, _OnDisk) ->
    [{Count > ?MAX_COUNT, count}, {AnyOf([anon, private, truncate, follow, offset, length, size]), option}];
of_kind({queue, _}, Of, AnyOf, OnDisk) ->
    container(AnyOf, OnDisk) ++ [{Of(size) > 0 andalso Of(size) < 16, wrong_size}];
of_kind({cell, MaxBytes, _}, Of, AnyOf, OnDisk) ->
    container(AnyOf, OnDisk) ++ [{Of(size) > 0, option}, {MaxBytes =:= 0 andalso OnDisk =:= 0, size_missing}, {true, max_bytes}];
of_kind({table, {Capacity, _, _}}, Of, AnyOf, OnDisk) ->
    container(AnyOf, OnDisk) ++
        [{Of(size) > 0, option}, {Capacity =:= 0 andalso OnDisk =:= 0, size_missing}, {true, table_shape}];
of_kind({blocks, BlockSize, Levels}, _Of, AnyOf, OnDisk) ->
    container(AnyOf, OnDisk) ++
        [{Levels =/= 0 andalso (Levels < 2 orelse Levels > 5), levels},
         {BlockSize > 16#ffffffff orelse BlockSize =:= 0 orelse Levels =:= 0, block_size},
         {true, levels}].

container(AnyOf, OnDisk) ->
    [{AnyOf([private, shared_unsafe, grow, offset, length]), option},
     {AnyOf([truncate]) andalso OnDisk > 0, no_truncate}].

%%% Texts

%% `{einval, Which}', and the reasons that no other library has.
text(size_missing) -> "the file is missing or empty, and no size is given";
text(write_missing) -> "the options create, truncate, exclusive, grow and anon need write";
text(empty_file) -> "the file is empty, and an empty file can't be mapped";
text(wrong_size) -> "the file does not have the size that is asked for";
text(past_the_end) -> "the offset or the range is past the end of the file";
text(out_of_range) -> "a number is negative, or 2^63 or more";
text(offset) -> "the offset is not a multiple of the page size";
text(option) -> "an option does not go with this kind of file";
text(conflict) -> "two options exclude each other";
text(address) -> "the address is missing, or not a multiple of the page size";
text(count) -> "a counters file has from 1 to 2^32 counters";
text(block_size) -> "the block size is missing, too large, or another one than the storage has";
text(levels) -> "the number of levels is not from 2 to 5, or another one than the storage has";
text(max_bytes) -> "the size of a value is too large, or another one than the cell has";
text(table_shape) -> "capacity, key_bytes or words are out of range, or others than the table has";
text(no_truncate) -> "a queue, block storage, cell or table that exists is not truncated";
text(alignment) -> "the position is not a multiple of 8";
text(closed) -> "the file is closed";
text(fixed_size) -> "the file was opened with a fixed size";
text(full) -> "there is no room left";
text(corrupt) -> "the file is damaged, or of another kind";
text(port_died) -> "the port program has died, and it is not known whether the call was done";
text(timeout) -> "another process has the lock, or the port program does not answer";
text(emsgsize) -> "more than a call over the port can have";
text(no_native_dir) -> "the folder of the native code is unknown: set native_dir in the environment of the application";
text(nif_not_loaded) -> "the NIF is not loaded: see emmap:init/0";
text(Reason) -> file:format_error(Reason).

-spec format(term()) -> unicode:chardata().
format({einval, Which}) when is_atom(Which) -> text(Which);
format({emmap, Path, Reason}) -> io_lib:format("~ts: ~ts", [Path, format(Reason)]);
format({corrupt, Offset, Why}) -> io_lib:format("the file is damaged at byte ~b: ~ts", [Offset, Why]);
format({counters, InFile, Asked}) -> io_lib:format("the file has ~b counters, and not ~b", [InFile, Asked]);
format({other_node, Node}) -> io_lib:format("the file is open on the node ~ts", [Node]);
format({no_handle, Name}) -> io_lib:format("no process of emmap_handles has opened a file under the name ~0tp", [Name]);
format({no_backend, Nif, Port}) ->
    io_lib:format("the NIF does not load (~0tp), and the port program does not start (~0tp)", [Nif, Port]);
format({bad_term, Bytes}) -> io_lib:format("a message of ~b bytes is no term, or is refused", [byte_size(Bytes)]);
format({max_inflated_size, Limit}) -> io_lib:format("the terms take over ~b bytes more memory than their messages", [Limit]);
format({port_program, Program, Reason}) -> ["the port program ", Program, $\s, fate(Reason)];
format({name_in_use, Name}) -> io_lib:format("something else has the name ~0tp", [Name]);
format({badarg, What}) -> io_lib:format("not an option or request that is known: ~0tp", [What]);
format({N, Reason}) when is_integer(N) -> io_lib:format("write ~b: ~ts", [N + 1, format(Reason)]);
format(Reason) when is_atom(Reason) -> text(Reason);
format(Reason) -> io_lib:format("~0tp", [Reason]).

%% See emmap_port:exit_reason/0.
fate({exit_status, Status}) when Status > 128 -> io_lib:format("was ended by signal ~b", [Status - 128]);
fate({exit_status, Status}) -> io_lib:format("has ended with status ~b", [Status]);
fate({closed, epipe}) -> "has ended while a request was written to it";
fate({closed, Reason}) -> io_lib:format("lost its port: ~0tp", [Reason]);
fate({exec, _Posix, Why}) -> ["is not executed: ", Why];
fate(timeout) -> "did not say hello in time";
fate(Reason) when is_atom(Reason) -> ["does not start: ", text(Reason)];
fate({native_dir, Why}) -> io_lib:format("is not found: the folder of the native code is ~0tp", [Why]);
fate(Other) -> io_lib:format("is not emmap's: ~0tp", [Other]).

%%% Requests

%% The answer to a request that a server does not know.
-spec unknown_request(Server :: term(), term()) -> {error, {badarg, term()}}.
unknown_request(Server, Request) ->
    ?LOG_WARNING("~0tp ~0tp does not know the request ~0tp", [Server, self(), Request]),
    {error, {badarg, Request}}.
