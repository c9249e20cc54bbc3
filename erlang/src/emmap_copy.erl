-module(emmap_copy).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% `file:copy/3' between two open files of `emmap', which may be the same file.

-export([copy/3]).

-include("emmap_file.hrl").

%% How many bytes are copied at a time.
-define(PIECE, 65536).

%% `file' copies forwards. Where the destination begins inside the source, that would overwrite bytes before they are
%% copied. Then the last piece is copied first, as memmove(3) does. If these are two different files, either order is
%% right.
-spec copy(emmap:file(), emmap:file(), non_neg_integer() | infinity) ->
    {ok, non_neg_integer()} | {error, emmap:reason()}.
copy(?MAPPED(Backend, Handle) = Source, Destination, Length) ->
    case {?CALL(Backend, size(Handle)), cursor(Source), cursor(Destination)} of
        {{ok, Size}, {From, OnDisk}, {To, ToOnDisk}} when (is_integer(Length) orelse Length =:= infinity),
                                                          ToOnDisk > OnDisk ->
            %% Any number is less than `infinity'.
            Count = max(0, min(Length, Size - From)),
            case ToOnDisk - OnDisk < Count andalso Count > ?PIECE of
                true -> copy_backwards(Source, From, Destination, To, Count);
                false -> file:copy_opened(Source, Destination, Length)
            end;
        _ ->
            file:copy_opened(Source, Destination, Length)
    end.

%% The cursor: its position in the mapping, and in the file on disk.
cursor(#file_descriptor{data = #file{backend = Backend, handle = Handle, origin = #origin{options = Options}}}) ->
    case ?CALL(Backend, position(Handle, 0, cur)) of
        {ok, Cursor} -> {Cursor, Cursor + proplists:get_value(offset, Options, 0)};
        {error, _} = Error -> Error
    end.

copy_backwards(?MAPPED(Backend, Handle) = Source, From, ?MAPPED(ToBackend, ToHandle) = Destination, To, Count) ->
    case copy_pieces((Count - 1) div ?PIECE * ?PIECE, Source, From, Destination, To, Count) of
        ok ->
            _ = ?CALL(Backend, position(Handle, From + Count, bof)),
            _ = ?CALL(ToBackend, position(ToHandle, To + Count, bof)),
            {ok, Count};
        {error, _} = Error ->
            Error
    end.

copy_pieces(At, ?MAPPED(Backend, Handle) = Source, From, ?MAPPED(ToBackend, ToHandle) = Destination, To, Count)
  when At >= 0 ->
    Length = min(?PIECE, Count - At),
    case ?CALL(Backend, pread(Handle, From + At, Length)) of
        {ok, Bytes} when byte_size(Bytes) =:= Length ->
            case ?CALL(ToBackend, pwrite(ToHandle, To + At, Bytes)) of
                ok -> copy_pieces(At - ?PIECE, Source, From, Destination, To, Count);
                {error, _} = Error -> Error
            end;
        {error, _} = Error -> Error;
        _ -> {error, einval} % the source has become shorter
    end;
copy_pieces(_, _, _, _, _, _) -> ok.
