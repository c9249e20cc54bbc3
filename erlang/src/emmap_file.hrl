%% An open file, for the modules behind `emmap' and `emmap_queue'.

-include_lib("kernel/include/file.hrl").

%% How the terms of a queue become messages, and messages terms: options for term_to_binary/2 and binary_to_term/2.
-record(terms, {
    encoding = [{minor_version, 2}] :: [{compressed, 0..9} | {minor_version, 2}],
    decoding = [safe] :: [safe],
    %% The option max_inflated_size; `emmap/etf' has the same default.
    limit = 64 * 1024 * 1024 :: non_neg_integer(),
    %% A message of at most so many bytes can be pushed without measuring its term: emmap_terms:quick/1.
    quick = 64 * 1024 * 1024 div 15 - 7 :: integer()
}).

%% How a file was opened, to open it again.
-record(origin, {
    path :: binary(),
    options :: [emmap_backend:option()],
    backend :: emmap:backend() | undefined,
    kind = file :: file | {counters, Count :: non_neg_integer()} | {queue, #terms{}}
                 | {blocks, BlockSize :: non_neg_integer(), Levels :: non_neg_integer()}
                 | {cell, MaxBytes :: non_neg_integer(), #terms{}}
                 | {table, {Capacity :: non_neg_integer(), KeyBytes :: non_neg_integer(), Words :: non_neg_integer()}}
}).

%% The `data' of a #file_descriptor{}.
-record(file, {
    backend :: emmap_nif | emmap_port,
    handle :: emmap_backend:handle(),
    origin :: #origin{},
    terms = #terms{} :: #terms{}
}).

-define(MAPPED(Backend, Handle),
        #file_descriptor{module = emmap, data = #file{backend = Backend, handle = Handle}}).
-define(QUEUE(Backend, Handle, Terms),
        #file_descriptor{module = emmap, data = #file{backend = Backend, handle = Handle, terms = Terms}}).
%% Bytes to be written, as a backend takes them.
-define(BYTES(Data), case is_binary(Data) of true -> Data; false -> erlang:iolist_to_iovec(Data) end).
%% Calls a backend. A call through a variable takes 11 ns, and a short operation of the NIF takes 30 ns altogether.
-define(CALL(Backend, Call),
        case Backend of
            emmap_nif -> emmap_nif:Call;
            emmap_port -> emmap_port:Call
        end).
%% Calls a backend for an operation that may find the lock taken: then the calling process waits. The fun keeps the
%% macro's variables apart; the compiler inlines it.
-compile([inline, {inline_size, 1}]).
-define(CALL_LOCKING(Backend, Call),
        (fun() ->
            case ?CALL(Backend, Call) of
                {busy, Limit_} -> emmap_lock:again(fun() -> ?CALL(Backend, Call) end, Limit_);
                Answer_ -> Answer_
            end
        end)()).
%% In place of a file that has the name. It is none, and its name is in the stack trace.
-define(NO_HANDLE(Name), {no_handle, emmap_handles, Name}).
%% Calls with the open file of a name (emmap_handles). An error may mean that the file is lost. An unknown name is no open
%% file: function_clause.
-define(NAMED(Name, File, Call),
        case persistent_term:get(Name, ?NO_HANDLE(Name)) of
            File ->
                case Call of
                    {error, Why_} -> emmap_named:failed(Name, File, Why_);
                    Named_ -> Named_
                end
        end).
%% The same for an operation of the NIF on a word, which takes some 25 ns. A look at a persistent term would take 10 more, so the
%% calling process keeps the handle (emmap_named). `Arguments' are those after the name.
-define(NAMED_WORD(Kept, Name, Handle, Call, Arguments),
        case get(Kept) of
            #{Name := {Handle, File_}} ->
                case Call of
                    {error, Why_} -> emmap_named:failed(?FUNCTION_NAME, Name, Arguments, File_, Why_);
                    Named_ -> Named_
                end;
            _ ->
                emmap_named:call(?FUNCTION_NAME, Name, Arguments)
        end).
%% The keys of what a process keeps, a map by names for each kind of file, in its dictionary.
-define(KEPT_FILES, '$emmap_files').
-define(KEPT_COUNTERS, '$emmap_counters').
