-module(emmap_queue).

-include("emmap_doc.hrl").

?MODULEDOC("A persistent FIFO queue of terms in a memory-mapped file, and a server around one.

```erlang
{ok, Queue} = emmap_queue:open(\"jobs.q\", 1 bsl 20, []),
ok = emmap_queue:push(Queue, {resize, <<\"cat.jpg\">>}),
{resize, Name} = emmap_queue:pop(Queue),
nil = emmap_queue:pop(Queue),
ok = emmap_queue:close(Queue).
```

Any number of processes, of this node and of other programs, may use a queue at once, with the same handle or with
others. No message goes to two of them, and the messages of each come in the order in which it pushed them. What
`push/2` has answered `ok` to is in the queue, once, whoever is killed when; nobody waits for the dead.
It is in the mapping, which the kernel keeps; `emmap:sync/1` makes it outlast the kernel too.

## Terms

A message is a term as `term_to_binary/1` of OTP 26 has it, in every release; with the option `{compressed, Level}`
compressed. Reading one is `binary_to_term(_, [safe])`, unless the option `unsafe_terms` is given: a message with an atom that the node does
not know, or that is no term at all, is `{error, {bad_term, Bytes}}`. `pop/1` has then removed it, and the bytes
are all that is left of it; `try_pop/2` leaves it in the queue.

`pop/1` answers the term itself, as in emmap 2.x, and `nil` for an empty queue. Where messages may be `nil`, or
`{error, _}`, use `pop/2` with another default, or `pop_many/2`, whose answers can't be mistaken.

## Errors

As of `emmap`, and `{error, full}` where there is no room in a queue of `fixed_size` or of 4 GiB - 1;
`{error, {corrupt, Offset, Reason}}` for a file that is no queue or is damaged, which `erase/1` empties;
`{error, ebusy}` for removing a message while somebody else's `try_pop/2` has the first one, and for using a
queue that another process has opened `exclusive`.").
-behaviour(gen_server).

-compile({no_auto_import, [length/1]}).

-export([open/3, close/1]).
-export([push/2, push_many/2]).
-export([pop/1, pop/2, pop/3, try_pop/2, pop_many/2, pop_and_purge/1]).
-export([peek_front/1, peek_back/1, inspect/1, length/1, is_empty/1, metadata/1, info/1]).
-export([purge/1, erase/1]).
-export([start_link/4, enqueue/2, dequeue/1, try_dequeue/2]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([queue/0, open_option/0, metadata/0, info/0, reason/0, server_name/0]).

-include("emmap_file.hrl").

?DOC("An open file, to which the functions of `emmap` and `file` apply as well.").
-type queue() :: emmap:file().
?DOC("As for `emmap:open/2`, and

- `{compressed, 0..9}`, `compressed`: how much work goes into making messages small; none unless given;
- `unsafe_terms`: messages may create atoms and funs.

With neither `read` nor `write` the queue is opened for writing and created if it is missing. With `read` alone it
can only be looked at, without any lock. It is always shared; `private`, `truncate`, `offset` and `length` are
`{error, einval}`. With `exclusive` no other may write, and an operation costs no system call.").
-type open_option() :: emmap:open_option() | compressed | {compressed, 0..9} | unsafe_terms.
?DOC("The queue's header, in bytes from the start of the file: where the first message begins, and the last one ends.
`next_tail` is as `tail`, but on a `read`-only handle, where somebody died while pushing.").
-type metadata() :: emmap_backend:queue_info().
?DOC("The header as `t:metadata/0` has it, and how many messages there are.").
-type info() :: #{size | head | tail | next_tail | length := non_neg_integer()}.
?DOC("What went wrong. `{bad_term, Bytes}`: a message that is no term, or not a safe one.").
-type reason() :: emmap:reason() | {bad_term, binary()}.
?DOC("The name that a server is started under.").
-type server_name() :: undefined | atom() | {local, atom()} | {global, term()} | {via, module(), term()}.

%% More messages than a queue can hold.
-define(ALL, 16#ffffffff).
%% How many messages a step of inspect/1 reads.
-define(STEP, 1024).

-define(QUEUE(Backend, Handle, Terms),
        #file_descriptor{module = emmap, data = #file{backend = Backend, handle = Handle, terms = Terms}}).

%%% Open and close

?DOC("Opens a queue, or creates one in a file of `Size` bytes, which grows as messages need it (but with `fixed_size`).
A queue that is there is opened whatever size is asked for; 0 creates one of a page.").
-spec open(file:name_all(), Size :: non_neg_integer(), [open_option()]) -> {ok, queue()} | {error, reason()}.
open(Name, Size, Options) when is_integer(Size), Size >= 0, is_list(Options) ->
    case terms(Options, #terms{}, []) of
        {ok, Terms, Others} -> emmap:open_kind({queue, Terms}, Name, [{size, Size} | Others]);
        {error, _} = Error -> Error
    end;
open(_Name, Size, _Options) when is_integer(Size) ->
    {error, einval};
open(_Name, _Size, _Options) ->
    {error, badarg}.

terms([unsafe_terms | Rest], Terms, Others) ->
    terms(Rest, Terms#terms{decoding = []}, Others);
terms([compressed | Rest], Terms, Others) ->
    terms([{compressed, 6} | Rest], Terms, Others);
terms([{compressed, Level} | Rest], Terms, Others) when is_integer(Level), Level >= 0, Level =< 9 ->
    terms(Rest, Terms#terms{encoding = [{compressed, Level}, {minor_version, 2}]}, Others);
terms([Option | Rest], Terms, Others) ->
    terms(Rest, Terms, [Option | Others]);
terms([], Terms, Others) ->
    {ok, Terms, lists:reverse(Others)};
terms(_, _, _) ->
    {error, badarg}.

?DOC("Closes the queue, which keeps its messages.").
-spec close(queue()) -> ok | {error, reason()}.
close(Queue) ->
    emmap:close(Queue).

%%% Push

?DOC("Appends a message.").
-spec push(queue(), term()) -> ok | {error, reason()}.
push(?QUEUE(Backend, Handle, #terms{encoding = Encoding}), Term) ->
    ?CALL(Backend, queue_push(Handle, term_to_binary(Term, Encoding))).

?DOC("Appends messages, under one lock: to others they all are there at once. On failure none of them is.").
-spec push_many(queue(), [term()]) -> ok | {error, reason()}.
push_many(?QUEUE(Backend, Handle, #terms{encoding = Encoding}), Terms) ->
    ?CALL(Backend, queue_push_many(Handle, [term_to_binary(Term, Encoding) || Term <- Terms])).

%%% Pop

?DOC("Removes the first message; `nil` where there is none.").
-spec pop(queue()) -> nil | term() | {error, reason()}.
pop(Queue) ->
    pop(Queue, nil).

?DOC("Removes the first message; `Default` where there is none.").
-spec pop(queue(), Default) -> Default | term() | {error, reason()}.
pop(?QUEUE(Backend, Handle, #terms{decoding = Decoding}), Default) ->
    case ?CALL(Backend, queue_pop(Handle)) of
        {ok, Bytes} -> decode_one(Bytes, Decoding);
        eof -> Default;
        {error, _} = Error -> Error
    end.

?DOC("As `pop/3` with the default `nil`.").
-spec try_pop(queue(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_pop(Queue, Fun) ->
    pop(Queue, nil, Fun).

?DOC("Calls the fun with the first message, removes the message when the fun has returned, and answers what it
returned; or `Default` where there is no message. If the fun raises an exception the message stays, first in the
queue, and the exception is the caller's, with its stack trace. If the process is killed meanwhile the message
stays as well.

While the fun runs anybody may push, the fun included, and look; removing messages is `{error, ebusy}`. If the
message can't be removed after all, say because the fun has closed the queue, there is `{error, Reason}` in place
of the fun's result.").
-spec pop(queue(), Default, fun((term()) -> Result)) -> Default | Result | {error, reason()}.
pop(?QUEUE(Backend, Handle, #terms{decoding = Decoding}), Default, Fun) when is_function(Fun, 1) ->
    case ?CALL(Backend, queue_pop_begin(Handle)) of
        {ok, Bytes, Ticket} -> consume(Backend, Handle, Ticket, decode(Bytes, Decoding), Fun);
        eof -> Default;
        {error, _} = Error -> Error
    end.

consume(Backend, Handle, Ticket, {ok, Term}, Fun) ->
    try Fun(Term) of
        Result ->
            case ?CALL(Backend, queue_pop_commit(Handle, Ticket)) of
                ok -> Result;
                {error, _} = Error -> Error
            end
    catch
        Class:Reason:Stack ->
            _ = ?CALL(Backend, queue_pop_abort(Handle, Ticket)),
            erlang:raise(Class, Reason, Stack)
    end;
consume(Backend, Handle, Ticket, {bad_term, _} = Bad, _Fun) ->
    _ = ?CALL(Backend, queue_pop_abort(Handle, Ticket)),
    {error, Bad}.

?DOC("Removes up to `Limit` messages under one lock, in order; of an empty queue none. A message that is no term, or
not a safe one, is `{bad_term, Bytes}` in its place.").
-spec pop_many(queue(), Limit :: non_neg_integer()) -> {ok, [term() | {bad_term, binary()}]} | {error, reason()}.
pop_many(?QUEUE(Backend, Handle, #terms{decoding = Decoding}), Limit) when is_integer(Limit), Limit >= 0 ->
    case ?CALL(Backend, queue_pop_many(Handle, Limit)) of
        {ok, Messages} -> {ok, decode_all(Messages, Decoding)};
        eof -> {ok, []};
        {error, _} = Error -> Error
    end.

?DOC("Removes all messages, and answers them as `pop_many/2` does.").
-spec pop_and_purge(queue()) -> [term() | {bad_term, binary()}] | {error, reason()}.
pop_and_purge(Queue) ->
    case pop_many(Queue, ?ALL) of
        {ok, Terms} -> Terms;
        {error, _} = Error -> Error
    end.

%%% Look

?DOC("The first message, which stays; `nil` where there is none.").
-spec peek_front(queue()) -> nil | term() | {error, reason()}.
peek_front(?QUEUE(Backend, Handle, Terms)) -> peeked(?CALL(Backend, queue_peek_front(Handle)), Terms).

?DOC("The last message, which stays; `nil` where there is none.").
-spec peek_back(queue()) -> nil | term() | {error, reason()}.
peek_back(?QUEUE(Backend, Handle, Terms)) -> peeked(?CALL(Backend, queue_peek_back(Handle)), Terms).

peeked({ok, Bytes}, #terms{decoding = Decoding}) -> decode_one(Bytes, Decoding);
peeked(eof, _Terms) -> nil;
peeked({error, _} = Error, _Terms) -> Error.

?DOC("All messages of a queue, or of a server's queue, in order; they stay. If others remove messages meanwhile,
some that have been removed may be in the list.").
-spec inspect(queue() | gen_server:server_ref()) -> [term() | {bad_term, binary()}] | {error, reason()}.
inspect(?QUEUE(_, _, _) = Queue) ->
    walk(Queue, 0, []);
inspect(Server) ->
    gen_server:call(Server, inspect, infinity).

walk(?QUEUE(Backend, Handle, #terms{decoding = Decoding}) = Queue, Place, Read) ->
    case ?CALL(Backend, queue_walk(Handle, forward, ?STEP, Place)) of
        {ok, Messages, Next} -> walk(Queue, Next, [decode_all(Messages, Decoding) | Read]);
        eof -> lists:append(lists:reverse(Read));
        {error, estale} when Read =/= [] -> walk(Queue, 0, []); % the messages have moved: once more
        {error, _} = Error -> Error
    end.

?DOC("How many messages there are. Takes time in proportion.").
-spec length(queue()) -> non_neg_integer() | {error, reason()}.
length(?MAPPED(Backend, Handle)) -> bare(?CALL(Backend, queue_length(Handle))).

?DOC("Whether there is no message.").
-spec is_empty(queue()) -> boolean() | {error, reason()}.
is_empty(?MAPPED(Backend, Handle)) -> bare(?CALL(Backend, queue_is_empty(Handle))).

?DOC("The queue's header.").
-spec metadata(queue()) -> metadata() | {error, reason()}.
metadata(?MAPPED(Backend, Handle)) -> bare(?CALL(Backend, queue_info(Handle))).

?DOC("The header of a queue, or of a server's queue, and how many messages there are.").
-spec info(queue() | gen_server:server_ref()) -> info() | {error, reason()}.
info(?MAPPED(_, _) = Queue) ->
    case {metadata(Queue), length(Queue)} of
        {#{} = Metadata, Length} when is_integer(Length) -> Metadata#{length => Length};
        {{error, _} = Error, _} -> Error;
        {_, {error, _} = Error} -> Error
    end;
info(Server) ->
    gen_server:call(Server, info, infinity).

bare({ok, Answer}) -> Answer;
bare({error, _} = Error) -> Error.

%%% Emptying

?DOC("Removes all messages. The file keeps its size.").
-spec purge(queue()) -> ok | {error, reason()}.
purge(?MAPPED(Backend, Handle)) -> ?CALL(Backend, queue_purge(Handle)).

?DOC("As `purge/1`, and also where the queue has been damaged since it was opened.").
-spec erase(queue()) -> ok | {error, reason()}.
erase(?MAPPED(Backend, Handle)) -> ?CALL(Backend, queue_erase(Handle)).

%%% Terms

decode(Bytes, Decoding) ->
    try
        {ok, binary_to_term(Bytes, Decoding)}
    catch
        error:badarg -> {bad_term, Bytes}
    end.

decode_one(Bytes, Decoding) ->
    case decode(Bytes, Decoding) of
        {ok, Term} -> Term;
        Bad -> {error, Bad}
    end.

decode_all(Messages, Decoding) ->
    [case decode(Bytes, Decoding) of
         {ok, Term} -> Term;
         Bad -> Bad
     end || Bytes <- Messages].

%%% A server around a queue

%% Who is running a fun on the first message, which is taken out until it has.
-record(taker, {
    ticket :: emmap_backend:ticket(),
    monitor :: reference(), %% what the taker knows the message by, too
    pid :: pid()
}).

-record(server, {
    queue :: queue(),
    taker :: #taker{} | undefined,
    waiting = queue:new() :: queue:queue({dequeue | take, gen_server:from()})
}).

?DOC("Starts a server with a queue of its own, opened as by `open/3`; under a name unless that is `undefined`.").
-spec start_link(server_name(), file:name_all(), SegmSize :: non_neg_integer(), [open_option()]) ->
    gen_server:start_ret().
start_link(undefined, Name, Size, Options) ->
    gen_server:start_link(?MODULE, {Name, Size, Options}, []);
start_link(Registered, Name, Size, Options) when is_atom(Registered) ->
    start_link({local, Registered}, Name, Size, Options);
start_link(Registered, Name, Size, Options) ->
    gen_server:start_link(Registered, ?MODULE, {Name, Size, Options}, []).

?DOC("Appends a message to the server's queue.").
-spec enqueue(gen_server:server_ref(), term()) -> ok | {error, reason()}.
enqueue(Server, Term) ->
    gen_server:call(Server, {enqueue, Term}, infinity).

?DOC("Removes the first message of the server's queue; `nil` where there is none. Waits for the fun of a
`try_dequeue/2` that runs on it, unless it is called by that fun: `{error, ebusy}`.").
-spec dequeue(gen_server:server_ref()) -> nil | term() | {error, reason()}.
dequeue(Server) ->
    gen_server:call(Server, dequeue, infinity).

?DOC("As `try_pop/2` on the server's queue. The fun runs in the calling process, one at a time.").
-spec try_dequeue(gen_server:server_ref(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_dequeue(Server, Fun) when is_function(Fun, 1) ->
    case gen_server:call(Server, take, infinity) of
        {taken, Taken, Term} ->
            try Fun(Term) of
                Result ->
                    case gen_server:call(Server, {commit, Taken}, infinity) of
                        ok -> Result;
                        {error, _} = Error -> Error
                    end
            catch
                Class:Reason:Stack ->
                    %% The server puts it back by itself if this does not reach it.
                    gen_server:cast(Server, {abort, Taken}),
                    erlang:raise(Class, Reason, Stack)
            end;
        Other ->
            Other
    end.

?DOC(false).
-spec init({file:name_all(), non_neg_integer(), [open_option()]}) -> {ok, #server{}} | {stop, reason()}.
init({Name, Size, Options}) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 closes the queue
    case open(Name, Size, Options) of
        {ok, Queue} -> {ok, #server{queue = Queue}};
        {error, Reason} -> {stop, Reason}
    end.

?DOC(false).
-spec handle_call(term(), gen_server:from(), #server{}) ->
    {reply, term(), #server{}} | {noreply, #server{}}.
handle_call({enqueue, Term}, _From, #server{queue = Queue} = State) ->
    {reply, push(Queue, Term), State};
handle_call(Request, {Pid, _}, #server{taker = #taker{pid = Pid}} = State) when Request =:= dequeue; Request =:= take ->
    {reply, {error, ebusy}, State};
handle_call(Request, From, #server{waiting = Waiting} = State) when Request =:= dequeue; Request =:= take ->
    {noreply, serve(State#server{waiting = queue:in({Request, From}, Waiting)})};
handle_call({commit, Taken}, From, #server{queue = ?MAPPED(Backend, Handle),
                                            taker = #taker{monitor = Taken, ticket = Ticket}} = State) ->
    gen_server:reply(From, ?CALL(Backend, queue_pop_commit(Handle, Ticket))),
    {noreply, released(State)};
handle_call({commit, _}, _From, State) ->
    {reply, {error, einval}, State};
handle_call(inspect, _From, #server{queue = Queue} = State) ->
    {reply, inspect(Queue), State};
handle_call(info, _From, #server{queue = Queue} = State) ->
    {reply, info(Queue), State}.

?DOC(false).
-spec handle_cast(term(), #server{}) -> {noreply, #server{}}.
handle_cast({abort, Taken}, State) -> {noreply, put_back(Taken, State)};
handle_cast(_Message, State) -> {noreply, State}.

?DOC(false).
-spec handle_info(term(), #server{}) -> {noreply, #server{}}.
handle_info({'DOWN', Taken, process, _, _}, State) -> {noreply, put_back(Taken, State)};
handle_info(_Message, State) -> {noreply, State}.

?DOC(false).
-spec terminate(term(), #server{}) -> ok.
terminate(_Reason, #server{queue = Queue}) ->
    _ = close(Queue), % which puts a message that is out back
    ok.

put_back(Taken, #server{queue = ?MAPPED(Backend, Handle),
                        taker = #taker{monitor = Taken, ticket = Ticket}} = State) ->
    _ = ?CALL(Backend, queue_pop_abort(Handle, Ticket)),
    released(State);
put_back(_Taken, State) ->
    State.

released(#server{taker = #taker{monitor = Monitor}} = State) ->
    _ = demonitor(Monitor, [flush]),
    serve(State#server{taker = undefined}).

%% Serves those who wait, in order, until one has taken a message out.
serve(#server{taker = undefined, waiting = Waiting, queue = Queue} = State) ->
    case queue:out(Waiting) of
        {{value, {dequeue, From}}, Rest} ->
            gen_server:reply(From, pop(Queue)),
            serve(State#server{waiting = Rest});
        {{value, {take, From}}, Rest} ->
            serve(take(From, State#server{waiting = Rest}));
        {empty, _} ->
            State
    end;
serve(State) ->
    State.

take({Pid, _} = From, #server{queue = ?QUEUE(Backend, Handle, #terms{decoding = Decoding})} = State) ->
    case ?CALL(Backend, queue_pop_begin(Handle)) of
        {ok, Bytes, Ticket} ->
            case decode(Bytes, Decoding) of
                {ok, Term} ->
                    Monitor = monitor(process, Pid),
                    gen_server:reply(From, {taken, Monitor, Term}),
                    State#server{taker = #taker{ticket = Ticket, monitor = Monitor, pid = Pid}};
                Bad ->
                    _ = ?CALL(Backend, queue_pop_abort(Handle, Ticket)),
                    gen_server:reply(From, {error, Bad}),
                    State
            end;
        eof ->
            gen_server:reply(From, nil),
            State;
        {error, _} = Error ->
            gen_server:reply(From, Error),
            State
    end.
