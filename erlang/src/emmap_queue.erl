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
`push/2` has answered `ok` to is in the queue, once, whoever is killed when. A process that waits for a killed one waits
until the kernel has ended that one. The message is in the mapping, which the kernel keeps; `emmap:sync/1` makes it outlast the kernel too.

## Terms

A message is a term as `term_to_binary/1` of OTP 26 has it, in every release; with the option `{compressed, Level}`
compressed. Reading one is `binary_to_term(_, [safe])`, unless the option `unsafe_terms` is given. A message is refused,
as `{error, {bad_term, Bytes}}`, if it is no term, if it has an atom that the node does not know, or if its term would take
too much memory. A message that is refused stays in the queue, before all others: `pop_bytes/1` removes it as it is.

A small message can make a large term: a compressed one a thousand times its size, and of that a list of `[]` again 16
times. So the memory is counted before the term is made: 16 bytes for each term in it, each character of a string, and the
bytes of its binaries and integers, as the BEAM takes them. A term may take as much as its message has bytes in the queue,
and `max_inflated_size` more; and a compressed one may not inflate to more than that. Node has the same limit, by the same
count. A push holds to the limit that its own handle was opened with: `{error, {max_inflated_size, Limit}}`.

## Memory

Where ERTS itself lacks memory it ends the node. So emmap asks first, and answers `{error, enomem}`: the message stays. With
the NIF

- a message of more than 4.4 MiB that is about one binary (all else in it is less than 64 KiB) takes its size once: the
  binary in the term is a part of the message, which it keeps in memory;
- any other takes its size once more while its term is made, for which one of less than 4.4 MiB does not ask. ERTS takes the size of a term that lies on the process's heap
  (lists, tuples, short binaries) again in the process's next garbage collection, for which nobody can ask: have two times
  as much to spare for those.

Over the port a message of more than 4 MiB is `{error, enomem}` where a limit on the node (`ulimit -v`, `ulimit -d`) leaves
less than three times its size and 64 MiB: ERTS copies it while it receives it, then it is there as a term, and `pop/1` and
`pop_many/2` send it back to remove it. So do not use the port for messages that are a large part of the memory that a node
may take. A limit on the memory of a container gives no error to anybody: the kernel ends the process.

## Answers

`pop/1` answers the term itself, as in emmap 2.x, and `nil` for an empty queue. Where messages may be `nil`, or
`{error, _}`, use `pop_or/2` with another default, or `pop_many/2`, whose answers can't be mistaken.

## Errors

As of `emmap`, and `{error, full}` where there is no room in a queue of `fixed_size` or of 4 GiB - 1;
`{error, {corrupt, Offset, Reason}}` for a file that is no queue or is damaged, which `erase/1` empties;
`{error, estale}`, from what finds no message and from `emmap:sync/1`, once the path means another file or none (see the
option `follow`, and `emmap:reopen/1`);
`{error, ebusy}` for removing a message while somebody else's `try_pop/2` has the first one, and for using a
queue that another process has opened `exclusive`.").
-compile({no_auto_import, [length/1]}).

-export([open/3, close/1, flush/1]).
-export([push/2, push/3, push_many/2]).
-export([receive_message/2, wait/2, set_active/2]).
-export([pop/1, pop/3, pop_or/2, pop_bytes/1, pop_many/2, pop_and_purge/1, try_pop/2, try_pop_or/3, try_pop_and_purge/2]).
-export([peek_front/1, peek_back/1, peek/3, rpeek/3, to_list/1, snapshot/2, length/1, is_empty/1, metadata/1]).
-export([purge/1, clear/1, erase/1, compact/1]).
-export([start_link/4, enqueue/2, dequeue/1, try_dequeue/2, inspect/1, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-export_type([queue/0, open_option/0, metadata/0, step/0, reason/0, server_name/0]).

-include("emmap_file.hrl").

-define(IS_TIMEOUT(T), T =:= infinity orelse is_integer(T) andalso T >= 0).

?DOC("An open file, to which the functions of `emmap` and `file` apply as well.").
-type queue() :: emmap:file().
?DOC("As for `emmap:open/2`, and

- `{compressed, 0..9}`, `compressed`: how much work goes into making messages small; none unless given;
- `unsafe_terms`: messages may create atoms and funs;
- `{max_inflated_size, Bytes}`: how much more memory than its bytes in the queue a message's term may take; 64 MiB unless
  given. See [Terms](#module-terms).

- `read_only`: the queue must be there and can only be looked at, without any lock;
- `existing`: it must be there, and is not created.

Otherwise the queue is opened for writing and created if it is missing: `read`, `write` and `create` change nothing,
as in emmap 2.x. It is always shared, so `private` and `shared` change nothing either, and `direct` does not: messages
are copies. `offset` and `length`, and `truncate` of a queue that is there, are `{error, einval}`. With `exclusive` no
other may write, and an operation costs no system call.").
-type open_option() ::
    emmap:open_option() | read_only | existing | compressed | {compressed, 0..9} | unsafe_terms
    | {max_inflated_size, non_neg_integer()}.
?DOC("The queue's header, in bytes from the start of the file: where the first message begins, and the last one ends.
`next_tail` is as `tail`, but on a `read`-only handle, where somebody died while pushing.").
-type metadata() :: emmap_backend:queue_info().
?DOC("What the fun of a fold answers: go on with this accumulator, or end with it.").
-type step() :: {cont, term()} | {halt, term()}.
?DOC("What went wrong. `{bad_term, Bytes}`: a message that is no term, not a safe one, or too large a one;
`{max_inflated_size, Limit}`: a push of a term that would be too large a one.").
-type reason() :: emmap:reason() | {bad_term, binary()} | {max_inflated_size, Limit :: non_neg_integer()}.
?DOC("The name that a server is started under.").
-type server_name() :: undefined | atom() | {local, atom()} | {global, term()} | {via, module(), term()}.

%%% Open and close

?DOC("Opens a queue, or creates one in a file of `Size` bytes, which grows as messages need it (but with `fixed_size`).
A queue that is there is opened in the size that it has; `fit` grows a smaller one to `Size`. `Size` 0 is what the
option `{size, Bytes}` says, and without it a page.").
-spec open(file:name_all(), Size :: non_neg_integer(), [open_option()]) -> {ok, queue()} | {error, reason()}.
open(Name, Size, Options) ->
    emmap_queue_open:open(Name, Size, Options).

?DOC("Closes the queue, which keeps its messages.").
-spec close(queue()) -> ok | {error, reason()}.
close(?MAPPED(Backend, Handle)) -> ?CALL(Backend, close(Handle)).

?DOC("As `emmap:flush/1`.").
-spec flush(queue()) -> ok | {error, reason()}.
flush(Queue) ->
    emmap:flush(Queue).

%%% Push

?DOC("Appends a message. `{error, {max_inflated_size, Limit}}`: the term takes more memory than the queue was opened to
allow, so that `pop/1` would refuse it.").
-spec push(queue(), term()) -> ok | {error, reason()}.
push(?QUEUE(Backend, Handle, #terms{encoding = Encoding, quick = Quick}) = Queue, Term) ->
    case term_to_binary(Term, Encoding) of
        Message when byte_size(Message) =< Quick -> ?CALL_LOCKING(Backend, queue_push(Handle, Message));
        Message -> emmap_queue_push:push_long(Queue, Term, Message)
    end.

?DOC("Appends a message, compressed by zlib's `Level` whatever the queue was opened with; 0: not compressed. What is
smaller without stays without.").
-spec push(queue(), term(), Level :: 0..9) -> ok | {error, reason()}.
push(?QUEUE(_, _, _) = Queue, Term, Level) when is_integer(Level), Level >= 0, Level =< 9 ->
    emmap_queue_push:push(Queue, Term, Level);
push(?QUEUE(_, _, _), _Term, _Level) ->
    error(badarg).

?DOC("Appends messages, under one lock: to others they all are there at once. On failure none of them is.").
-spec push_many(queue(), [term()]) -> ok | {error, reason()}.
push_many(?QUEUE(_, _, _) = Queue, Terms) when erlang:length(Terms) >= 0 ->
    emmap_queue_push:push_many(Queue, Terms);
push_many(?QUEUE(_, _, _), _Terms) ->
    error(badarg).

%%% Pop

?DOC("Removes the first message; `nil` where there is none.").
-spec pop(queue()) -> nil | term() | {error, reason()}.
pop(Queue) ->
    pop_or(Queue, nil).

?DOC("Removes the first message; `Default` where there is none.").
-spec pop_or(queue(), Default) -> Default | term() | {error, reason()}.
pop_or(?QUEUE(Backend, Handle, Terms), Default) ->
    case emmap_queue_pop:pop(Backend, Handle, Terms) of
        {ok, Term} -> Term;
        eof -> Default;
        {error, _} = Error -> Error
    end.

?DOC("Removes the first message; where there is none it waits for one, up to `Timeout` milliseconds. Only the calling
process waits, and uses no processor time. One message wakes one process of those that wait for it, in all nodes and programs that
have the queue open, Node's `receive` among them. `timeout` is the answer too where a process that is stopped has the lock, or
is in a `try_pop/2`, all the time. 1024 waits may go on at a time in the node, and in each port program; more are
`{error, enomem}`.

A process that is killed while it waits takes no message with it; over the port it may if it is killed in the moment in which a
message comes.").
-spec receive_message(queue(), timeout()) -> {ok, term()} | timeout | {error, reason()}.
receive_message(?QUEUE(_, _, _) = Queue, Timeout) when ?IS_TIMEOUT(Timeout) ->
    emmap_queue_pop:await(Queue, Timeout);
receive_message(?QUEUE(_, _, _), _Timeout) ->
    error(badarg).

?DOC("Waits as `receive_message/2` and takes no message: for `try_pop/2`, which leaves the message in the queue until its work is
done. `ok`: there may be a message.

```erlang
work(Jobs) ->
    ok = emmap_queue:wait(Jobs, infinity),
    _ = emmap_queue:try_pop(Jobs, fun run/1),
    work(Jobs).
```

One message wakes one of those who wait, who is to try and take it: `ok` is no promise that nobody was quicker. While another
process is in a `try_pop/2` it may be `ok` as well, ten times a second, and `try_pop/2` answers `{error, ebusy}`.").
-spec wait(queue(), timeout()) -> ok | timeout | {error, reason()}.
wait(?QUEUE(_, _, _) = Queue, Timeout) when ?IS_TIMEOUT(Timeout) ->
    emmap_queue_pop:wait(Queue, Timeout);
wait(?QUEUE(_, _, _), _Timeout) ->
    error(badarg).

?DOC("Has the queue's messages sent to the calling process, as sockets do: `{emmap_queue, Queue, Message}` each, removed from the
queue. `once` sends one; `N` adds to how many more are to be sent, a negative number takes away; `true` sends all, `false` no
more. Once `N` have been sent `{emmap_queue_passive, Queue}` follows. `{emmap_queue_error, Queue, Reason}` ends it too: a
message is refused, and stays in the queue, or the queue was closed. With `true` nothing slows the queue down to what the
process can take: prefer `once` and `N`. `{error, einval}`: `N` is not from -32768 to 32767, or would come to more.

It ends with the process. A message that was sent to a process that dies before it receives it is lost, as on a socket.").
-spec set_active(queue(), once | true | false | integer()) -> ok | {error, einval}.
set_active(?QUEUE(_, _, _) = Queue, Active) when Active =:= once; is_boolean(Active); is_integer(Active) ->
    emmap_active:set(Queue, Active);
set_active(?QUEUE(_, _, _), _Active) ->
    error(badarg).

?DOC("Removes the first message, term or not, and answers its bytes; `nil` where there is none. Up to 7 zeros follow what
was pushed: `binary_to_term/2` ignores them.").
-spec pop_bytes(queue()) -> nil | {ok, binary()} | {error, reason()}.
pop_bytes(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, queue_pop(Handle)) of
        eof -> nil;
        Result -> Result
    end.

?DOC("Calls the fun with each message that is there, oldest first, and the accumulator. `{cont, Acc}` removes the message
and goes on, `{halt, Acc}` leaves it in the queue and ends, and so does an exception, which is the caller's. The last
accumulator is answered. A queue that is empty then begins anew at its file's start.

While the fun runs anybody may push, the fun included; what is pushed is not visited. A message that can't be taken out,
because it is refused, damaged or another's, ends the fold: the accumulator is answered, and the next call meets that
message first, which is `{error, Reason}`.").
-spec pop(queue(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
pop(?QUEUE(_, _, _) = Queue, Acc, Fun) when is_function(Fun, 2) ->
    emmap_queue_take:fold(Queue, Acc, Fun);
pop(?QUEUE(_, _, _), _Acc, _Fun) ->
    error(badarg).

?DOC("As `pop/1`, and a queue of which this was the last message begins anew at its file's start. (A push does the same
where it finds an empty queue.)").
-spec pop_and_purge(queue()) -> nil | term() | {error, reason()}.
pop_and_purge(Queue) ->
    emmap_queue_pop:pop_and_purge(Queue).

?DOC("As `try_pop_or/3` with `nil` for an empty queue.").
-spec try_pop(queue(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_pop(Queue, Fun) ->
    try_pop_or(Queue, nil, Fun).

?DOC("Calls the fun with the first message, removes the message when the fun has returned, and answers what it
returned; or `Default` where there is no message. If the fun raises an exception the message stays, first in the
queue, and the exception is the caller's, with its stack trace. If the process is killed meanwhile the message
stays as well.

While the fun runs anybody may push, the fun included, and look; removing messages is `{error, ebusy}`. If the
message can't be removed after all, say because the fun has closed the queue, there is `{error, Reason}` in place
of the fun's result.").
-spec try_pop_or(queue(), Default, fun((term()) -> Result)) -> Default | Result | {error, reason()}.
try_pop_or(?QUEUE(_, _, _) = Queue, Default, Fun) when is_function(Fun, 1) ->
    emmap_queue_take:try_pop_or(Queue, Default, Fun);
try_pop_or(?QUEUE(_, _, _), _Default, _Fun) ->
    error(badarg).

?DOC("As `try_pop/2`, and a queue of which this was the last message begins anew at its file's start.").
-spec try_pop_and_purge(queue(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_pop_and_purge(?QUEUE(_, _, _) = Queue, Fun) when is_function(Fun, 1) ->
    emmap_queue_take:try_pop_and_purge(Queue, Fun);
try_pop_and_purge(?QUEUE(_, _, _), _Fun) ->
    error(badarg).

?DOC("Removes up to `Limit` messages at once, in order; of an empty queue none. It ends before a message that is refused:
that is `{error, {bad_term, Bytes}}` when it comes first, and stays. Where other processes remove messages at the same
time it may remove fewer than there are.").
-spec pop_many(queue(), Limit :: non_neg_integer()) -> {ok, [term()]} | {error, reason()}.
pop_many(?QUEUE(_, _, _) = Queue, Limit) when is_integer(Limit) ->
    emmap_queue_pop:pop_many(Queue, Limit);
pop_many(?QUEUE(_, _, _), _Limit) ->
    error(badarg).

%%% Look

?DOC("The first message, which stays; `nil` where there is none.").
-spec peek_front(queue()) -> nil | term() | {error, reason()}.
peek_front(Queue) ->
    emmap_queue_look:peek_front(Queue).

?DOC("The last message, which stays; `nil` where there is none.").
-spec peek_back(queue()) -> nil | term() | {error, reason()}.
peek_back(Queue) ->
    emmap_queue_look:peek_back(Queue).

?DOC("Calls the fun with each message that is there, oldest first, and the accumulator, until it answers `{halt, Acc}`.
The messages stay. What is pushed meanwhile is not visited. `{error, estale}` says that others removed messages
meanwhile, or that a push moved them to the room in front.").
-spec peek(queue(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
peek(Queue, Acc, Fun) ->
    fold(Queue, forward, Acc, Fun).

?DOC("As `peek/3`, newest first.").
-spec rpeek(queue(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
rpeek(Queue, Acc, Fun) ->
    fold(Queue, backward, Acc, Fun).

fold(?QUEUE(_, _, _) = Queue, Direction, Acc, Fun) when is_function(Fun, 2) ->
    emmap_queue_look:fold(Queue, Direction, Acc, Fun);
fold(?QUEUE(_, _, _), _Direction, _Acc, _Fun) ->
    error(badarg).

?DOC("All messages of a queue, or of a server's queue, in order; they stay. If others remove messages meanwhile,
some that have been removed may be in the list.").
-spec to_list(queue() | gen_server:server_ref()) -> [term() | {bad_term, binary()}] | {error, reason()}.
to_list(?QUEUE(_, _, _) = Queue) ->
    emmap_queue_look:to_list(Queue);
to_list(Server) ->
    gen_server:call(Server, to_list, infinity).

?DOC("The first message of a queue, or of a server's queue; it stays. `nil` where there is none.").
-spec inspect(queue() | gen_server:server_ref()) -> nil | term() | {error, reason()}.
inspect(?QUEUE(_, _, _) = Queue) ->
    peek_front(Queue);
inspect(Server) ->
    gen_server:call(Server, peek, infinity).

?DOC("The first `Limit` messages, or `all` of them, as they are at one moment, whatever others do; they stay. Others wait
while they are copied. A message that is no term, or not a safe one, is `{bad_term, Bytes}` in its place.").
-spec snapshot(queue(), Limit :: non_neg_integer() | all) -> {ok, [term() | {bad_term, binary()}]} | {error, reason()}.
snapshot(?QUEUE(_, _, _) = Queue, Limit) when is_integer(Limit), Limit >= 0; Limit =:= all ->
    emmap_queue_look:snapshot(Queue, Limit);
snapshot(?QUEUE(_, _, _), Limit) when is_integer(Limit) ->
    {error, einval};
snapshot(?QUEUE(_, _, _), _Limit) ->
    error(badarg).

?DOC("How many messages there are. Takes time in proportion.").
-spec length(queue()) -> non_neg_integer() | {error, reason()}.
length(?MAPPED(Backend, Handle)) -> bare(?CALL_LOCKING(Backend, queue_length(Handle))).

?DOC("Whether there is no message.").
-spec is_empty(queue()) -> boolean() | {error, reason()}.
is_empty(?MAPPED(Backend, Handle)) -> bare(?CALL_LOCKING(Backend, queue_is_empty(Handle))).

?DOC("The queue's header.").
-spec metadata(queue()) -> metadata() | {error, reason()}.
metadata(Queue) ->
    emmap_queue_look:metadata(Queue).

?DOC("The header of a queue, or of a server's queue.").
-spec info(queue() | gen_server:server_ref()) -> metadata() | {error, reason()}.
info(?MAPPED(_, _) = Queue) ->
    metadata(Queue);
info(Server) ->
    gen_server:call(Server, info, infinity).

bare({ok, Answer}) -> Answer;
bare({error, _} = Error) -> Error.

%%% Emptying

?DOC("Lets an empty queue begin anew at its file's start, and answers `true`. If there are messages they stay: `false`.").
-spec purge(queue()) -> boolean() | {error, reason()}.
purge(?MAPPED(Backend, Handle)) -> bare(?CALL_LOCKING(Backend, queue_reset(Handle))).

?DOC("Removes all messages. The file keeps its size.").
-spec clear(queue()) -> ok | {error, reason()}.
clear(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_purge(Handle)).

?DOC("As `clear/1`, and also where the queue has been damaged since it was opened.").
-spec erase(queue()) -> ok | {error, reason()}.
erase(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_erase(Handle)).

?DOC("Gives disk space that no message needs back to the file system, and says how many bytes that is. The file keeps its
size, and has holes; a push reserves space again as it needs it. A queue that becomes empty, or whose messages are moved,
does the same by itself when 4 MiB and three quarters of it are free, unless it has a fixed size. `{error, enotsup}`
where the file system can't have holes.").
-spec compact(queue()) -> {ok, Bytes :: non_neg_integer()} | {error, reason()}.
compact(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_compact(Handle)).

%%% A server around a queue

?DOC("Starts a server with a queue of its own, opened as by `open/3`; under a name unless that is `undefined`. Servers
understand the requests of emmap 2.x, and its nodes theirs.").
-spec start_link(server_name(), file:name_all(), Size :: non_neg_integer(), [open_option()]) -> gen_server:start_ret().
start_link(Registered, Name, Size, Options) when is_list(Options) ->
    emmap_queue_server:start_link(Registered, Name, Size, Options);
start_link(_Registered, _Name, _Size, Options) ->
    emmap_options:bad({options, Options}).

?DOC("Appends a message to the server's queue.").
-spec enqueue(gen_server:server_ref(), term()) -> ok | {error, reason()}.
enqueue(Server, Term) ->
    gen_server:call(Server, {push, Term}, infinity).

?DOC("Removes the first message of the server's queue; `nil` where there is none.").
-spec dequeue(gen_server:server_ref()) -> nil | term() | {error, reason()}.
dequeue(Server) ->
    gen_server:call(Server, pop, infinity).

?DOC("As `try_pop_and_purge/2` on the server's queue. The fun runs in the server, which does nothing else meanwhile and
which it can't call. What it raises, of whatever class, is an error here, and the message stays.").
-spec try_dequeue(gen_server:server_ref(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_dequeue(Server, Fun) when is_function(Fun, 1) ->
    case gen_server:call(Server, {try_pop, Fun}, infinity) of
        {ok, Result} -> Result;
        {error, Reason, Stack} -> raise(Reason, Stack);
        {error, _} = Error -> Error
    end;
try_dequeue(_Server, _Fun) ->
    error(badarg).

%% With the server's stack, where that is one.
-spec raise(term(), term()) -> no_return().
raise(Reason, Stack) ->
    case erlang:raise(error, Reason, Stack) of
        badarg -> error(Reason)
    end.

%% The callbacks are this module's, as in emmap 2.x, for whoever names it in a child specification.

?DOC(false).
-spec init([term()]) -> {ok, term()} | {stop, reason()}.
init(Arguments) -> emmap_queue_server:init(Arguments).

?DOC(false).
-spec handle_call(term(), gen_server:from(), term()) -> {reply, term(), term()} | {noreply, term()}.
handle_call(Request, From, State) -> emmap_queue_server:handle_call(Request, From, State).

?DOC(false).
-spec handle_cast(term(), term()) -> {noreply, term()}.
handle_cast(Message, State) -> emmap_queue_server:handle_cast(Message, State).

?DOC(false).
-spec handle_info(term(), term()) -> {noreply, term()} | {stop, term(), term()}.
handle_info(Message, State) -> emmap_queue_server:handle_info(Message, State).

?DOC(false).
-spec terminate(term(), term()) -> ok.
terminate(Reason, State) -> emmap_queue_server:terminate(Reason, State).
