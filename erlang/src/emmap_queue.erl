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

Any number of processes, of this node and of other programs, may use a queue at once, over one handle or many.

- No two of them get the same message. The messages of each process come in the order in which it pushed them.
- Once `push/2` has answered `ok` the message is in the queue, once, no matter which process is killed. It is in the
  mapping, which the kernel keeps. `emmap:sync/1` makes it survive the kernel, too.
- If a process is killed while others wait for it, they wait until the kernel has ended it.

## Terms

A message is a term as `term_to_binary/1` of OTP 26 encodes it, in every release; with `{compressed, Level}` it is
compressed. A message is decoded by `binary_to_term(_, [safe])`, unless the queue was opened with `unsafe_terms`.

A message is refused, as `{error, {bad_term, Bytes}}`, if it is no term, if it has an atom that the node does not know,
or if its term would take too much memory. A refused message stays the first one of the queue; `pop_bytes/1` removes it.

A small message can make a large term: compression makes a message up to a thousand times smaller, and a list of `[]`
takes 16 times its bytes. So the memory of a term is counted before the term is made: 16 bytes for each term in it and
for each character of a string, and the bytes of its binaries and integers. That is about what the BEAM takes. A term
may take as many bytes as its message has in the queue, and `max_inflated_size` more; a compressed message may not
inflate to more than `max_inflated_size`. Node counts the same way, and has the same limit by default. A push checks the
limit of its own handle: `{error, {max_inflated_size, Limit}}`.

The terms that one call gathers are counted together: they may take as many bytes as their messages have in the queue,
and `max_inflated_size` more. `pop_many/2` ends early; it answers the messages that fit, at least one, and leaves the
rest in the queue. `to_list/1` and `snapshot/2` answer `{error, {max_inflated_size, Limit}}`. A fold makes one term at a
time, so it has the limit of one term.

## Memory

ERTS ends the node if it lacks memory. So emmap asks for the memory of messages of more than 1 MiB, and of their terms,
first. If there is none, the answer is `{error, enomem}` and the message stays. `pop_many/2` answers the messages that
have memory, if that is at least one. With the NIF a call takes this memory:

- A message of more than 4.3 MiB that is about one binary (everything else in it is less than 64 KiB) takes its size
  once. The binary in the term is a part of the message, and keeps the message in memory.
- Any other message takes its size, and the memory of its term. A compressed message also takes twice its inflated size
  while it is decoded.
- The next garbage collection of the process takes the memory of the terms once more. So emmap asks for twice the memory
  of all terms that the call makes, and for up to 128 bytes for each of its messages. It does not ask for terms of less
  than 1 MiB together.

ERTS ends the node all the same in these cases:

- Another process takes the memory between the question and the use of it.
- A call reads very many small messages. `to_list/1`, `snapshot/2` and `pop_many/2` first make a list of the messages. It
  takes up to 128 bytes and the length of each message, and emmap does not ask for this memory. If memory may be short,
  give `pop_many/2` and `snapshot/2` a limit, and fold instead of `to_list/1`.
- A push encodes a term: `term_to_binary/2` takes the size of the message.

With the port, and no NIF loaded, emmap compares the limits on the node (`ulimit -v`, `ulimit -d`) with what the node
uses, both as Linux has them in `/proc/self`. On another system it can't ask.

Over the port a message of more than 4 MiB is `{error, enomem}` if a limit on the node (`ulimit -v`, `ulimit -d`) leaves
less than three times its size and 64 MiB. ERTS copies the message while it receives it, then its term takes memory, and
`pop/1` and `pop_many/2` send the message back to remove it. So do not use the port for messages that are a large part
of the memory of a node.

A limit on the memory of a container gives no error: the kernel ends the process.

## Answers

`pop/1` answers the term itself, as in emmap 2.x, and `nil` for an empty queue. If messages may be `nil` or
`{error, _}`, use `pop_or/2` with another default, or `pop_many/2`, whose answers can't be mistaken.

## Errors

The errors are those of `emmap`, and

- `{error, full}`: a queue of `fixed_size`, or of 4 GiB - 1, has no room left.
- `{error, {corrupt, Offset, Reason}}`: the file is no queue, or is damaged. `erase/1` empties it.
- `{error, estale}`: the path leads to another file now, or to none. Functions that find no message answer so, and
  `emmap:sync/1`. See the option `follow`, and `emmap:reopen/1`.
- `{error, ebusy}`: another process has opened the queue `exclusive`. Or it is in a `try_pop/2` that keeps all others
  out, because it can't make the file of messages in hand.").
-compile({no_auto_import, [length/1, erase/1]}).

-export([open/3, close/1, flush/1]).
-export([push/2, push/3, push_many/2, push_once/4]).
-export([receive_message/2, wait/2, set_active/2]).
-export([take/2, ack/1, release/1, release/2, attempt/1, in_hand/1, release_all/1, repair/1]).
-export([pop/1, pop/3, pop_or/2, pop_bytes/1, pop_many/2, pop_and_purge/1]).
-export([try_pop/2, try_pop_or/3, try_pop_and_purge/2]).
-export([peek_front/1, peek_back/1, peek/3, rpeek/3, to_list/1, snapshot/2, length/1, is_empty/1, metadata/1]).
-export([purge/1, clear/1, erase/1, compact/1]).
-export([start_link/1, start_link/4, child_spec/1, stop/1]).
-export([enqueue/2, dequeue/1, dequeue/2, dequeue_many/2, try_dequeue/2, inspect/1, info/1]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2, format_status/1]).

-export_type([queue/0, handle/0, delivery/0, in_hand/0, open_option/0, metadata/0, step/0, reason/0, server_name/0, server_option/0,
              server_options/0]).

-include("emmap_file.hrl").

-define(IS_TIMEOUT(T), T =:= infinity orelse is_integer(T) andalso T >= 0).

?DOC("An open queue. The functions of `emmap` and `file` take it, too.").
-type queue() :: emmap:file().
?DOC("An open queue, or the name that `emmap_handles` has given it. `to_list/1`, `inspect/1` and `info/1` take an atom for
the name of a server.").
-type handle() :: queue() | emmap_handles:name().
?DOC("The options of `emmap:open/2`, and

- `{compressed, 0..9}`, `compressed`: the level of zlib's compression of messages; 0 by default, 6 for `compressed`.
- `unsafe_terms`: messages may create atoms and funs.
- `{max_inflated_size, Bytes}`: the memory that the term of a message may take beyond its bytes in the queue, and that all
  terms of one call may take together; 64 MiB by default. See [Terms](#module-terms).
- `read_only`: the queue must exist, and can only be looked at, without any lock.
- `existing`: the queue must exist; it is not created.

Without the last two the queue is opened for writing, and created if it is missing; `read`, `write` and `create` change
nothing, as in emmap 2.x. A queue is always shared and its messages are copies, so `private`, `shared` and `direct`
change nothing either. With `exclusive` no other handle may write, and an operation costs no system call.

`offset`, `length`, and `truncate` of a queue that exists, are `{error, {einval, Which}}`.").
-type open_option() ::
    emmap:open_option() | read_only | existing | compressed | {compressed, 0..9} | unsafe_terms
    | {max_inflated_size, non_neg_integer()}.
?DOC("The header of a queue. `head` and `tail`: where the first message begins and the last one ends, in bytes from the
start of the file. `next_tail`: the same as `tail`, except on a `read`-only handle after a process died while
pushing.").
-type metadata() :: emmap_backend:queue_info().
?DOC("A message that was taken.").
-type delivery() :: emmap_delivery:delivery().
?DOC("A message in hand, or one that was released. See `t:emmap_backend:in_hand/0`.").
-type in_hand() :: emmap_backend:in_hand().
?DOC("The result of a fold's fun: go on with this accumulator, or end with it.").
-type step() :: {cont, term()} | {halt, term()}.
?DOC("The reason of an error. `{bad_term, Bytes}`: the message is no term, no safe one, or too large a one.
`{max_inflated_size, Limit}`: the term to be pushed, or the terms that the call gathers, take more memory than this
limit allows.").
-type reason() :: emmap:reason() | {bad_term, binary()} | {max_inflated_size, Limit :: non_neg_integer()}.
?DOC("The name that a server is registered under.").
-type server_name() :: undefined | atom() | {local, atom()} | {global, term()} | {via, module(), term()}.
?DOC("The options of `open/3`, and `{on_bad_term, Choice}`, which decides about a message that a caller wants and that is
refused (`{bad_term, Bytes}`).

- `keep` (the default): it stays the first message, and this caller and every later one get the error.
- `drop`: it is removed, and the log has its length.
- `{dead_letters, Queue}`: the term `{bad_term, Bytes}` is pushed to that queue, then the message is removed. `Queue` is
  an open queue, its name in `m:emmap_handles`, or the path of a file. If the push fails the message stays, and the log has the reason.").
-type server_option() :: open_option() | {on_bad_term, keep | drop | {dead_letters, file:name_all() | handle()}}.
?DOC("How to start a server. Only `path` is needed; the others are `undefined`, 0 and `[]` by default.").
-type server_options() :: #{
    path := file:name_all(), name => server_name(), size => non_neg_integer(), options => [server_option()]
}.

%%% Open and close

?DOC("Opens a queue, or creates one in a file of `Size` bytes. The file grows as messages need it, unless it has
`fixed_size`. A queue that exists keeps its size; with `fit` a smaller one grows to `Size`. `Size` 0 means the option
`{size, Bytes}`, and without this option a page.").
-spec open(file:name_all(), Size :: non_neg_integer(), [open_option()]) -> {ok, queue()} | {error, reason()}.
open(Name, Size, Options) -> emmap_queue_open:open(Name, Size, Options).

?DOC("Closes the queue. It keeps its messages.").
-spec close(queue()) -> ok | {error, reason()}.
close(?MAPPED(_, _) = Queue) -> emmap_open:close(Queue).

?DOC("As `emmap:flush/1`.").
-spec flush(handle()) -> ok | {error, reason()}.
flush(Queue) -> emmap:flush(Queue).

%%% Push

?DOC("Appends a message. `{error, {max_inflated_size, Limit}}`: the term takes more memory than the queue was opened to
allow, and `pop/1` would refuse it.").
-spec push(handle(), term()) -> ok | {error, reason()}.
push(?QUEUE(Backend, Handle, #terms{encoding = Encoding, quick = Quick}) = Queue, Term) ->
    case term_to_binary(Term, Encoding) of
        Message when byte_size(Message) =< Quick -> ?CALL_LOCKING(Backend, queue_push(Handle, Message));
        Message -> emmap_queue_push:push_long(Queue, Term, Message)
    end;
push(Name, Term) when is_atom(Name) -> ?NAMED(Name, Queue, push(Queue, Term)).

?DOC("Appends a message, compressed by zlib's `Level` instead of the queue's; 0: not compressed. A message that
compression does not make smaller stays uncompressed.").
-spec push(handle(), term(), Level :: 0..9) -> ok | {error, reason()}.
push(?QUEUE(_, _, _) = Queue, Term, Level) when is_integer(Level), Level >= 0, Level =< 9 ->
    emmap_queue_push:push(Queue, Term, Level);
push(?QUEUE(_, _, _), _Term, _Level) -> error(badarg);
push(Name, Term, Level) when is_atom(Name) -> ?NAMED(Name, Queue, push(Queue, Term, Level)).

?DOC("Appends messages under one lock: others see all of them at once. If one of them fails, none is appended.").
-spec push_many(handle(), [term()]) -> ok | {error, reason()}.
push_many(?QUEUE(_, _, _) = Queue, Terms) when erlang:length(Terms) >= 0 -> emmap_queue_push:push_many(Queue, Terms);
push_many(?QUEUE(_, _, _), _Terms) -> error(badarg);
push_many(Name, Terms) when is_atom(Name) -> ?NAMED(Name, Queue, push_many(Queue, Terms)).

?DOC("Appends messages once: if `Number` is not above the last number of the origin, it appends nothing. Otherwise
`Number` becomes the last one, in the same step. So a push whose answer was lost is tried again with its number. The
answer is the origin's last number before the call, 0 if the origin is not known; `Number` 0 only asks for it.

An origin is 16 random bytes. The numbers are in `PATH-relayed` beside the queue, for 2046 origins; the one that has
pushed nothing for the longest time is forgotten first. `emmap_relay` pushes so.").
-spec push_once(handle(), Origin :: <<_:128>>, Number :: non_neg_integer(), [term()]) ->
    {ok, Last :: non_neg_integer()} | {error, reason()}.
push_once(?QUEUE(_, _, _) = Queue, <<_:128>> = Origin, Number, Terms) when is_integer(Number), erlang:length(Terms) >= 0 ->
    emmap_queue_push:push_once(Queue, Origin, Number, Terms);
push_once(?QUEUE(_, _, _), _Origin, _Number, _Terms) -> error(badarg);
push_once(Name, Origin, Number, Terms) when is_atom(Name) -> ?NAMED(Name, Queue, push_once(Queue, Origin, Number, Terms)).

%%% Pop

?DOC("Removes the first message; `nil` if there is none.").
-spec pop(handle()) -> nil | term() | {error, reason()}.
pop(Queue) -> pop_or(Queue, nil).

?DOC("Removes the first message; `Default` if there is none.").
-spec pop_or(handle(), Default) -> Default | term() | {error, reason()}.
pop_or(?QUEUE(Backend, Handle, Terms), Default) ->
    case emmap_queue_pop:pop(Backend, Handle, Terms) of
        {ok, Term} -> Term;
        eof -> Default;
        {error, _} = Error -> Error
    end;
pop_or(Name, Default) when is_atom(Name) -> ?NAMED(Name, Queue, pop_or(Queue, Default)).

?DOC("Removes the first message. If there is none it waits for one, up to `Timeout` milliseconds. Only the calling
process waits, and it uses no processor time.

One message wakes one of the processes that wait for it, in all nodes and programs that have the queue open; Node's
`receive` is among them. The answer is `timeout`, too, if a stopped process has the lock all the time. The node can have
1024 waits at a time, and so can each port program; one more answers `{error, enomem}`.

A process that is killed while it waits takes no message with it. Over the port a message may be lost if the process is
killed at the moment at which the message comes.").
-spec receive_message(handle(), timeout()) -> {ok, term()} | timeout | {error, reason()}.
receive_message(?QUEUE(_, _, _) = Queue, Timeout) when ?IS_TIMEOUT(Timeout) -> emmap_queue_pop:await(Queue, Timeout);
receive_message(?QUEUE(_, _, _), _Timeout) -> error(badarg);
receive_message(Name, Timeout) when is_atom(Name) -> ?NAMED(Name, Queue, receive_message(Queue, Timeout)).

?DOC("Waits as `receive_message/2`, but leaves the message in the queue. `ok`: there may be a message.

One message wakes one of the processes that wait. Another process may still be quicker, so `ok` is no promise.").
-spec wait(handle(), timeout()) -> ok | timeout | {error, reason()}.
wait(?QUEUE(_, _, _) = Queue, Timeout) when ?IS_TIMEOUT(Timeout) -> emmap_queue_pop:wait(Queue, Timeout);
wait(?QUEUE(_, _, _), _Timeout) -> error(badarg);
wait(Name, Timeout) when is_atom(Name) -> ?NAMED(Name, Queue, wait(Queue, Timeout)).

?DOC("Has the messages of the queue sent to the calling process, as for sockets. Each comes as
`{emmap_queue, Queue, Message}`, and is removed from the queue.

- `once` sends one message. `true` sends all, `false` no more.
- `N` adds to the number of messages that are still to be sent; a negative number subtracts. After the last one comes
  `{emmap_queue_passive, Queue}`. `{error, einval}`: `N`, or the sum, is not from -32768 to 32767.
- `{emmap_queue_error, Queue, Reason}` ends the sending, too: a message is refused, and stays in the queue, or the queue is
  closed meanwhile. A queue that is closed already is `{error, closed}`.

With `true` messages may come faster than the process handles them: prefer `once` and `N`. Sending ends with the
process. A message that was sent to a process that dies before it receives it is lost, as on a socket.").
-spec set_active(queue(), once | true | false | integer()) -> ok | {error, closed | einval | {other_node, node()}}.
set_active(?QUEUE(_, _, _) = Queue, Active) when Active =:= once; is_boolean(Active); is_integer(Active) ->
    emmap_active:set(Queue, Active);
set_active(?QUEUE(_, _, _), _Active) -> error(badarg).

?DOC("Removes the first message, whether it is a term or not, and answers its bytes; `nil` if there is none. Up to 7
zeros follow the bytes that were pushed; `binary_to_term/2` ignores them.").
-spec pop_bytes(handle()) -> nil | {ok, binary()} | {error, reason()}.
pop_bytes(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, queue_pop(Handle)) of
        eof -> nil;
        Result -> Result
    end;
pop_bytes(Name) when is_atom(Name) -> ?NAMED(Name, Queue, pop_bytes(Queue)).

?DOC("Calls the fun with each message that is there, oldest first, and the accumulator. `{cont, Acc}` removes the
message and goes on. `{halt, Acc}` leaves the message in the queue and ends. An exception does so too, and is raised in
the caller. The answer is the last accumulator. A queue that is empty then begins anew at the start of its file.

While the fun runs any process may push, the fun included; the fold does not visit these messages. A message that can't be
removed, because it is refused or damaged, ends the fold. The answer is the accumulator, or
`{error, Reason}` if this was the first message of the fold.").
-spec pop(handle(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
pop(?QUEUE(_, _, _) = Queue, Acc, Fun) when is_function(Fun, 2) -> emmap_queue_take:fold(Queue, Acc, Fun);
pop(?QUEUE(_, _, _), _Acc, _Fun) -> error(badarg);
pop(Name, Acc, Fun) when is_atom(Name) -> ?NAMED(Name, Queue, pop(Queue, Acc, Fun)).

?DOC("As `pop/1`. If it removed the last message, the queue begins anew at the start of its file. (A push does the same
if it finds the queue empty.)").
-spec pop_and_purge(handle()) -> nil | term() | {error, reason()}.
pop_and_purge(Name) when is_atom(Name) -> ?NAMED(Name, Queue, pop_and_purge(Queue));
pop_and_purge(Queue) -> emmap_queue_pop:pop_and_purge(Queue).

?DOC("As `try_pop_or/3`, with `nil` for an empty queue.").
-spec try_pop(handle(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_pop(Queue, Fun) -> try_pop_or(Queue, nil, Fun).

?DOC("Calls the fun with the first message, and removes the message when the fun has returned. The answer is the result
of the fun, or `Default` if there is no message. If the fun raises an exception, the message is the first one of the
queue again, and the exception is raised in the caller with its stack trace. If the process is killed meanwhile, the
message is released, as after `take/2`.

While the fun runs any process may push, look, and remove the messages behind this one, the fun included. No other call
sees this message meanwhile, but `length/1` in the fun counts it. If the message can't be removed after all, for instance
because the fun has closed the queue, the answer is `{error, Reason}` instead of the result.

If the file of messages in hand can't be made beside the queue, the message stays in the queue while the fun runs, and
every call that would remove a message answers `{error, ebusy}`.").
-spec try_pop_or(handle(), Default, fun((term()) -> Result)) -> Default | Result | {error, reason()}.
try_pop_or(?QUEUE(_, _, _) = Queue, Default, Fun) when is_function(Fun, 1) ->
    emmap_queue_take:try_pop_or(Queue, Default, Fun);
try_pop_or(?QUEUE(_, _, _), _Default, _Fun) -> error(badarg);
try_pop_or(Name, Default, Fun) when is_atom(Name) -> ?NAMED(Name, Queue, try_pop_or(Queue, Default, Fun)).

?DOC("As `try_pop/2`. If it removed the last message, the queue begins anew at the start of its file.").
-spec try_pop_and_purge(handle(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_pop_and_purge(?QUEUE(_, _, _) = Queue, Fun) when is_function(Fun, 1) ->
    emmap_queue_take:try_pop_and_purge(Queue, Fun);
try_pop_and_purge(?QUEUE(_, _, _), _Fun) -> error(badarg);
try_pop_and_purge(Name, Fun) when is_atom(Name) -> ?NAMED(Name, Queue, try_pop_and_purge(Queue, Fun)).

?DOC("Removes up to `Limit` messages at once, in order; none from an empty queue. It stops before a message that is
refused, or whose term would take too much memory together with those before it (see [Terms](#module-terms)). If the first
message is refused, the answer is `{error, {bad_term, Bytes}}`, and the message stays. It may remove fewer than there are if
other processes remove messages at the same time, and if some were released (`release/1`).").
-spec pop_many(handle(), Limit :: non_neg_integer()) -> {ok, [term()]} | {error, reason()}.
pop_many(?QUEUE(_, _, _) = Queue, Limit) when is_integer(Limit) -> emmap_queue_pop:pop_many(Queue, Limit);
pop_many(?QUEUE(_, _, _), _Limit) -> error(badarg);
pop_many(Name, Limit) when is_atom(Name) -> ?NAMED(Name, Queue, pop_many(Queue, Limit)).

%%% Deliveries

?DOC("Takes the first message. It is in hand until the delivery ends, and others take the next one. If there is no
message it waits for one as `receive_message/2` does.

```erlang
{ok, Delivery, Job} = emmap_queue:take(Jobs, infinity),
ok = run(Job),
ok = emmap_queue:ack(Delivery).
```

The message is released if the process that took it dies, if the queue is closed, or if the node dies. Another process
that waits gets it within 100 ms. So a message that was pushed is delivered until it is acknowledged, and never again
afterwards. Messages in hand lie in a file beside the queue, `PATH-taken`. `emmap_consumer` does all of this for you.

A message that is refused stays in the queue, as with `pop/1`. See also [Errors](#module-errors); `enospc` and `full`:
there is no room for more messages in hand.").
-spec take(handle(), timeout()) -> {ok, delivery(), term()} | timeout | {error, reason()}.
take(?QUEUE(_, _, _) = Queue, Timeout) when ?IS_TIMEOUT(Timeout) -> emmap_delivery:take(Queue, Timeout);
take(?QUEUE(_, _, _), _Timeout) -> error(badarg);
take(Name, Timeout) when is_atom(Name) -> ?NAMED(Name, Queue, take(Queue, Timeout)).

?DOC("Ends a delivery: the message is gone for good. Any process of the node may do that. `{error, einval}`: the
delivery has ended before.").
-spec ack(delivery()) -> ok | {error, reason()}.
ack(Delivery) -> emmap_delivery:ack(Delivery).

?DOC("Ends a delivery: the message is delivered again at once, before the others.").
-spec release(delivery()) -> ok | {error, reason()}.
release(Delivery) -> emmap_delivery:release(Delivery, 0).

?DOC("As `release/1`, but the message is not delivered before `Delay` milliseconds have passed by the system's clock,
even if every process is started anew meanwhile. `{error, einval}` for a delay above 10^15, too.").
-spec release(delivery(), Delay :: non_neg_integer()) -> ok | {error, reason()}.
release(Delivery, Delay) when is_integer(Delay), Delay >= 0 -> emmap_delivery:release(Delivery, Delay);
release(_Delivery, _Delay) -> error(badarg).

?DOC("How often the message was taken, this time included: 1, 2, ...").
-spec attempt(delivery()) -> pos_integer().
attempt(Delivery) -> emmap_delivery:attempt(Delivery).

?DOC("All messages in hand, and all that were released, of all processes. It takes no lock.").
-spec in_hand(handle()) -> {ok, [in_hand()]} | {error, reason()}.
in_hand(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_in_hand(Handle));
in_hand(Name) when is_atom(Name) -> ?NAMED(Name, Queue, in_hand(Queue)).

?DOC("Puts all messages that this handle has in hand, and all that were released, back into the queue's own file, before
the others. Then emmap 2.x finds them there. Attempts and delays are forgotten. `{error, ebusy}`: a living handle has
others in hand.").
-spec release_all(handle()) -> {ok, Count :: non_neg_integer()} | {error, reason()}.
release_all(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_release_all(Handle));
release_all(Name) when is_atom(Name) -> ?NAMED(Name, Queue, release_all(Queue)).

?DOC("Repairs a damaged file of messages in hand, `PATH-taken`. It keeps each message whose bytes are all there, and answers
how many messages it had to give up. Copy the file before. `{error, {corrupt, _, _}}`: there is no such message, and the file is as
it was; or the queue itself is damaged, see `erase/1`.").
-spec repair(handle()) -> {ok, Lost :: non_neg_integer()} | {error, reason()}.
repair(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_repair(Handle));
repair(Name) when is_atom(Name) -> ?NAMED(Name, Queue, repair(Queue)).

%%% Look

?DOC("The first message, which stays in the queue; `nil` if there is none.").
-spec peek_front(handle()) -> nil | term() | {error, reason()}.
peek_front(Name) when is_atom(Name) -> ?NAMED(Name, Queue, peek_front(Queue));
peek_front(Queue) -> emmap_queue_look:peek_front(Queue).

?DOC("The last message, which stays in the queue; `nil` if there is none.").
-spec peek_back(handle()) -> nil | term() | {error, reason()}.
peek_back(Name) when is_atom(Name) -> ?NAMED(Name, Queue, peek_back(Queue));
peek_back(Queue) -> emmap_queue_look:peek_back(Queue).

?DOC("Calls the fun with each message that is there, oldest first, and the accumulator, until the fun answers
`{halt, Acc}`. The messages stay. Messages that are pushed meanwhile are not visited. `{error, estale}`: others have
removed messages meanwhile, or a push has moved the messages to the free room before them.").
-spec peek(handle(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
peek(Name, Acc, Fun) when is_atom(Name) -> ?NAMED(Name, Queue, peek(Queue, Acc, Fun));
peek(Queue, Acc, Fun) -> fold(Queue, forward, Acc, Fun).

?DOC("As `peek/3`, newest first.").
-spec rpeek(handle(), Acc :: term(), fun((term(), Acc :: term()) -> step())) -> (Acc :: term()) | {error, reason()}.
rpeek(Name, Acc, Fun) when is_atom(Name) -> ?NAMED(Name, Queue, rpeek(Queue, Acc, Fun));
rpeek(Queue, Acc, Fun) -> fold(Queue, backward, Acc, Fun).

fold(?QUEUE(_, _, _) = Queue, Direction, Acc, Fun) when is_function(Fun, 2) ->
    emmap_queue_look:fold(Queue, Direction, Acc, Fun);
fold(?QUEUE(_, _, _), _Direction, _Acc, _Fun) -> error(badarg).

?DOC("All messages of a queue, or of the queue of a server, in order. They stay. If others remove messages meanwhile,
the list may have some that have been removed. A message that is refused is `{bad_term, Bytes}` in its place.
`{error, {max_inflated_size, Limit}}`: the terms together take too much memory; use `peek/3`.").
-spec to_list(queue() | gen_server:server_ref()) -> [term() | {bad_term, binary()}] | {error, reason()}.
to_list(?QUEUE(_, _, _) = Queue) -> emmap_queue_look:to_list(Queue);
to_list(Server) -> gen_server:call(Server, to_list, infinity).

?DOC("The first message of a queue, or of the queue of a server. It stays. `nil` if there is none.").
-spec inspect(queue() | gen_server:server_ref()) -> nil | term() | {error, reason()}.
inspect(?QUEUE(_, _, _) = Queue) -> peek_front(Queue);
inspect(Server) -> gen_server:call(Server, peek, infinity).

?DOC("The first `Limit` messages, or `all` of them, as they are at one moment. They stay. Others wait while the messages
are copied. A message that is refused is `{bad_term, Bytes}` in its place. `{error, {max_inflated_size, Limit}}`: the
terms together take too much memory; ask for fewer, or use `peek/3`.").
-spec snapshot(handle(), Limit :: non_neg_integer() | all) -> {ok, [term() | {bad_term, binary()}]} | {error, reason()}.
snapshot(?QUEUE(_, _, _) = Queue, Limit) when is_integer(Limit), Limit >= 0; Limit =:= all ->
    emmap_queue_look:snapshot(Queue, Limit);
snapshot(?QUEUE(_, _, _), Limit) when is_integer(Limit) -> {error, einval};
snapshot(?QUEUE(_, _, _), _Limit) -> error(badarg);
snapshot(Name, Limit) when is_atom(Name) -> ?NAMED(Name, Queue, snapshot(Queue, Limit)).

?DOC("The number of messages, without those in hand. In the fun of `try_pop/2` the message of the fun counts, too.
The call takes constant time while all writers share the live folder (`docs/live.md`). Otherwise it counts the messages.").
-spec length(handle()) -> non_neg_integer() | {error, reason()}.
length(?MAPPED(Backend, Handle)) ->
    case ?CALL_LOCKING(Backend, queue_length(Handle)) of
        {ok, Length} -> Length + emmap_queue_take:taken_out(Handle);
        {error, _} = Error -> Error
    end;
length(Name) when is_atom(Name) -> ?NAMED(Name, Queue, length(Queue)).

?DOC("Whether there is no message.").
-spec is_empty(handle()) -> boolean() | {error, reason()}.
is_empty(?MAPPED(Backend, Handle)) -> bare(?CALL_LOCKING(Backend, queue_is_empty(Handle)));
is_empty(Name) when is_atom(Name) -> ?NAMED(Name, Queue, is_empty(Queue)).

?DOC("The queue's header.").
-spec metadata(handle()) -> metadata() | {error, reason()}.
metadata(Name) when is_atom(Name) -> ?NAMED(Name, Queue, metadata(Queue));
metadata(Queue) -> emmap_queue_look:metadata(Queue).

?DOC("The header of a queue, or of the queue of a server.").
-spec info(queue() | gen_server:server_ref()) -> metadata() | {error, reason()}.
info(?MAPPED(_, _) = Queue) -> metadata(Queue);
info(Server) -> gen_server:call(Server, info, infinity).

bare({ok, Answer}) -> Answer;
bare({error, _} = Error) -> Error.

%%% Emptying

?DOC("Lets an empty queue begin anew at the start of its file, and answers `true`. If there are messages they stay:
`false`.").
-spec purge(handle()) -> boolean() | {error, reason()}.
purge(?MAPPED(Backend, Handle)) -> bare(?CALL_LOCKING(Backend, queue_reset(Handle)));
purge(Name) when is_atom(Name) -> ?NAMED(Name, Queue, purge(Queue)).

?DOC("Removes all messages. The file keeps its size.").
-spec clear(handle()) -> ok | {error, reason()}.
clear(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_purge(Handle));
clear(Name) when is_atom(Name) -> ?NAMED(Name, Queue, clear(Queue)).

?DOC("As `clear/1`, even if the queue has been damaged since it was opened.").
-spec erase(handle()) -> ok | {error, reason()}.
erase(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_erase(Handle));
erase(Name) when is_atom(Name) -> ?NAMED(Name, Queue, erase(Queue)).

?DOC("Gives disk space that no message needs back to the file system, and answers how many bytes that is. The file keeps
its size and has holes; a push reserves space again as it needs it. A queue does this by itself when it becomes empty,
or when its messages are moved, if 4 MiB and three quarters of it are free, unless it has a fixed size.
`{error, enotsup}`: the file system can't have holes.").
-spec compact(handle()) -> {ok, Bytes :: non_neg_integer()} | {error, reason()}.
compact(?MAPPED(Backend, Handle)) -> ?CALL_LOCKING(Backend, queue_compact(Handle));
compact(Name) when is_atom(Name) -> ?NAMED(Name, Queue, compact(Queue)).

%%% A server around a queue

?DOC("Starts a server with a queue of its own. The server is registered unless it has no name.

If the file is lost (`port_died`, `efault`, or `estale`: the path leads to another file or to none, for which an `enqueue/2`
looks once a second), the server opens it again once. If that fails, or does not help, it ends with
`{emmap, Path, Reason}`, and its supervisor decides. A call at that moment answers the error; it may have been done or not.

If another process has the queue's lock, or the port's program does not answer, a call waits for `lock_timeout`, or
for the `call_timeout` of the port (`t:emmap_port:options/0`), and answers `{error, timeout}`. Calls that came meanwhile answer the same, without another wait.

The answer is `{error, {emmap, Path, Reason}}` if the queue can't be opened.").
-spec start_link(server_options()) -> gen_server:start_ret().
start_link(Options) -> emmap_queue_server:start_link(Options).

?DOC("The form of emmap 2.x: as `start_link/1`, but the answer is `{error, Reason}` if the queue can't be opened. The
server understands the requests of nodes with emmap 2.x, and their servers understand those of `enqueue/2`, `dequeue/1`,
`try_dequeue/2`, `inspect/1` and `info/1`.").
-spec start_link(server_name(), file:name_all(), Size :: non_neg_integer(), [server_option()]) -> gen_server:start_ret().
start_link(Registered, Name, Size, Options) when is_list(Options) ->
    emmap_queue_server:start_link(Registered, Name, Size, Options);
start_link(_Registered, _Name, _Size, Options) -> emmap_options:bad({options, Options}).

?DOC("A child of a supervisor that `start_link/1` starts. In Elixir: `{:emmap_queue, %{path: \"jobs.q\", name: :jobs}}`.").
-spec child_spec(server_options()) -> supervisor:child_spec().
child_spec(Options) -> emmap_queue_server:child_spec(Options).

?DOC("Stops the server. The queue keeps its messages.").
-spec stop(gen_server:server_ref()) -> ok.
stop(Server) -> gen_server:stop(Server).

?DOC("Appends a message to the queue of the server.").
-spec enqueue(gen_server:server_ref(), term()) -> ok | {error, reason()}.
enqueue(Server, Term) -> gen_server:call(Server, {push, Term}, infinity).

?DOC("Removes the first message of the queue of the server; `nil` if there is none. The message is removed after the
caller has got it: it stays if the caller is killed before, on another node too. If the server or the caller is killed at
that moment, the message may stay although the caller has got it.").
-spec dequeue(gen_server:server_ref()) -> nil | term() | {error, reason()}.
dequeue(Server) -> gen_server:call(Server, pop, infinity).

?DOC("As `dequeue/1`, and waits up to `Timeout` milliseconds for a message. Callers get messages in the order in which they
came. `timeout`: there was none. `{error, timeout}`: another process has the lock, or the port's program does not answer, so
nobody knows; this answer may take `lock_timeout` longer.").
-spec dequeue(gen_server:server_ref(), timeout()) -> {ok, term()} | timeout | {error, reason()}.
dequeue(Server, Timeout) when Timeout =:= infinity; is_integer(Timeout), Timeout >= 0, Timeout =< 16#ffffffff ->
    gen_server:call(Server, {await, Timeout}, infinity);
dequeue(_Server, _Timeout) -> error(badarg).

?DOC("Removes up to `Limit` messages of the queue of the server. As with `dequeue/1` they are removed after the caller has
got them, all or none. A message whose term is refused is not passed over: the answer has those before it.").
-spec dequeue_many(gen_server:server_ref(), Limit :: non_neg_integer()) -> {ok, [term()]} | {error, reason()}.
dequeue_many(Server, Limit) when is_integer(Limit) -> gen_server:call(Server, {pop_many, Limit}, infinity);
dequeue_many(_Server, _Limit) -> error(badarg).

?DOC("As `try_pop_and_purge/2` on the queue of the server. The fun runs in the server, which does nothing else
meanwhile; the fun can't call the server. An exception of the fun, of any class, is raised as an error in the caller,
and the message stays.").
-spec try_dequeue(gen_server:server_ref(), fun((term()) -> Result)) -> nil | Result | {error, reason()}.
try_dequeue(Server, Fun) when is_function(Fun, 1) ->
    case gen_server:call(Server, {try_pop, Fun}, infinity) of
        {ok, Result} -> Result;
        {error, Reason, Stack} -> raise(Reason, Stack);
        {error, _} = Error -> Error
    end;
try_dequeue(_Server, _Fun) -> error(badarg).

%% Raises the server's exception with its stack. `badarg': the stack is none.
-spec raise(term(), term()) -> no_return().
raise(Reason, Stack) ->
    case erlang:raise(error, Reason, Stack) of
        badarg -> error(Reason)
    end.

%% This module was the callback module of the server in emmap 2.x, and code may still name it so.

?DOC(false).
-spec init(emmap_queue_server:arguments()) ->
    {ok, emmap_queue_server:state()} | {stop, {emmap, file:name_all(), reason()}}.
init(Arguments) -> emmap_queue_server:init(Arguments).

?DOC(false).
-spec handle_call(term(), gen_server:from(), State) ->
    {reply, term(), State} | {noreply, State} | {stop, term(), State} when State :: emmap_queue_server:state().
handle_call(Request, From, State) -> emmap_queue_server:handle_call(Request, From, State).

?DOC(false).
-spec handle_cast(term(), State) -> {noreply, State} when State :: emmap_queue_server:state().
handle_cast(Message, State) -> emmap_queue_server:handle_cast(Message, State).

?DOC(false).
-spec handle_info(term(), State) -> {noreply, State} | {stop, term(), State} when State :: emmap_queue_server:state().
handle_info(Message, State) -> emmap_queue_server:handle_info(Message, State).

?DOC(false).
-spec terminate(term(), emmap_queue_server:state()) -> ok.
terminate(Reason, State) -> emmap_queue_server:terminate(Reason, State).

?DOC(false).
-spec format_status(gen_server:format_status()) -> gen_server:format_status().
format_status(Status) -> emmap_queue_server:format_status(Status).
