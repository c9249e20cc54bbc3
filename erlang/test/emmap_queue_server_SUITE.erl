%% The server around a queue: callers that wait, refused messages, lost files, supervision. Over both backends.
-module(emmap_queue_server_SUITE).

-export([all/0, groups/0, init_per_group/2, end_per_group/2]).
-export([waits/1, many/1, keeps_messages_of_the_dead/1, ends_before_a_refused_term/1]).
-export([puts_refused_terms_aside/1, reopens/1, ends_with_its_file/1, as_a_child/1, stops_whatever_peers_do/1]).
-export([reopens_each_time_for_those_who_wait/1, goes_over_with_its_path/1, waits_once_for_all/1, waits_once_for_a_stopped_program/1]).
-export([init/1]).

-include_lib("stdlib/include/assert.hrl").
-include("../src/emmap_file.hrl").

all() -> [{group, Backend} || Backend <- emmap_test_backends:backends()].

groups() ->
    emmap_test_backends:groups([waits, many, keeps_messages_of_the_dead, ends_before_a_refused_term, puts_refused_terms_aside, reopens, ends_with_its_file, as_a_child, stops_whatever_peers_do,
                                reopens_each_time_for_those_who_wait, goes_over_with_its_path, waits_once_for_all, waits_once_for_a_stopped_program]).

init_per_group(Backend, Config) -> emmap_test:init_group(Backend, Config).
end_per_group(_Backend, _Config) -> ok.

backend(Config) -> {backend, proplists:get_value(backend, Config)}.

start(Config, Name) ->
    {ok, Server} = emmap_queue:start_link(undefined, emmap_test:path(Config, Name), 1024, [backend(Config)]),
    Server.

queue(Config, Name) ->
    {ok, Queue} = emmap_queue:open(emmap_test:path(Config, Name), 1024, [backend(Config)]),
    Queue.

%% Callers get messages in the order in which they came, also those of other processes. The dead get none.
waits(Config) ->
    Server = start(Config, "waits"),
    ?assertEqual([timeout, timeout], [emmap_queue:dequeue(Server, Time) || Time <- [0, 20]]),
    Test = self(),
    Wait = fun(Time) ->
        Before = waiting(Server),
        Caller = spawn(fun() -> Test ! {self(), emmap_queue:dequeue(Server, Time)} end),
        emmap_test:until(fun() -> waiting(Server) =:= Before + 1 end),
        Caller
    end,
    [First, Killed, Second, Third] = [Wait(Time) || Time <- [infinity, infinity, 60000, infinity]],
    exit(Killed, kill),
    emmap_test:until(fun() -> waiting(Server) =:= 3 end),
    ok = emmap_queue:enqueue(Server, a),
    ?assertEqual({ok, a}, receive {First, Got} -> Got end),
    Other = queue(Config, "waits"),
    ok = emmap_queue:push_many(Other, [b, c, d]),
    ?assertEqual([{ok, b}, {ok, c}], [receive {Caller, Got} -> Got end || Caller <- [Second, Third]]),
    ?assertEqual(0, waiting(Server)),
    ?assertEqual({ok, d}, emmap_queue:dequeue(Server, 0)),
    ?assertError(badarg, emmap_queue:dequeue(Server, -1)),
    ok = emmap_queue:close(Other),
    ok = emmap_queue:stop(Server).

waiting(Server) ->
    #{waiting := Waiting} = status(Server),
    Waiting.

status(Server) ->
    {status, _, _, [_, _, _, _, Misc]} = sys:get_status(Server),
    [Status] = [Map || {data, [{"State", Map}]} <- Misc],
    Status.

many(Config) ->
    Server = start(Config, "many"),
    [ok = emmap_queue:enqueue(Server, N) || N <- [1, 2, 3]],
    ?assertEqual([{ok, [1, 2]}, {ok, [3]}, {ok, []}], [emmap_queue:dequeue_many(Server, 2) || _ <- [1, 2, 3]]),
    ?assertEqual({error, einval}, emmap_queue:dequeue_many(Server, -1)),
    ok = emmap_queue:stop(Server).

%% A caller on a node that is gone: the server learns that after it has answered.
keeps_messages_of_the_dead(Config) ->
    Server = start(Config, "of_the_dead"),
    [ok = emmap_queue:enqueue(Server, N) || N <- [1, 2, 3]],
    Gone = binary_to_term(<<131, 88, 119, 14, "nobody@nowhere", 1:32, 0:32, 1:32>>),
    [Server ! {'$gen_call', {Gone, make_ref()}, Request} || Request <- [{pop_many, 2}, pop, {pop_many, 9}]],
    ?assertEqual([{ok, [1, 2]}, {ok, [3]}], [emmap_queue:dequeue_many(Server, Limit) || Limit <- [2, 9]]),
    ok = emmap_queue:stop(Server).

%% What comes before a refused message is no part of the error.
ends_before_a_refused_term(Config) ->
    Server = start(Config, "refused"),
    #file_descriptor{data = #file{backend = Backend, handle = Handle}} = Queue = queue(Config, "refused"),
    ok = emmap_queue:push_many(Queue, [1, 2]),
    ok = Backend:queue_push(Handle, <<"no term">>),
    ?assertEqual({ok, [1, 2]}, emmap_queue:dequeue_many(Server, 9)),
    ?assertMatch({error, {bad_term, <<"no term", _/binary>>}}, emmap_queue:dequeue_many(Server, 9)),
    ?assertMatch({error, {bad_term, <<"no term", _/binary>>}}, emmap_queue:dequeue(Server)),
    ok = emmap_queue:close(Queue),
    ok = emmap_queue:stop(Server).

puts_refused_terms_aside(Config) ->
    Atom = <<131, 119, 24, "no_node_knows_this_atom_">>,
    Letters = emmap_test:path(Config, "letters"),
    [begin
         Path = emmap_test:path(Config, Name),
         {ok, Server} = emmap_queue:start_link(undefined, Path, 0, [backend(Config) | Options]),
         #file_descriptor{data = #file{backend = Backend, handle = Handle}} = Queue = queue(Config, Name),
         [begin
              ok = Backend:queue_push(Handle, Atom),
              ok = emmap_queue:push(Queue, 1),
              ?assertEqual({Name, Answer}, {Name, Take(Server)})
          end || {Take, Answer} <- Takes],
         ok = emmap_queue:close(Queue),
         ok = emmap_queue:stop(Server)
     end || {Name, Options, Takes} <-
                [{"aside-" ++ integer_to_list(N), Options,
                  [{fun emmap_queue:dequeue/1, One}, {fun(S) -> emmap_queue:dequeue(S, 0) end, {ok, One}},
                   {fun(S) -> emmap_queue:dequeue_many(S, 1) end, {ok, [One]}},
                   {fun(S) -> emmap_queue:try_dequeue(S, fun(T) -> T end) end, One}]}
                 || {N, Options, One} <- [{1, [{on_bad_term, drop}], 1}, {2, [{on_bad_term, {dead_letters, Letters}}], 1}]]],
    {ok, Dead} = emmap_queue:open(Letters, 0, [backend(Config), existing]),
    {ok, Terms} = emmap_queue:pop_many(Dead, 10),
    ?assertMatch([{bad_term, <<Atom:27/binary, _/binary>>} | _], Terms),
    ?assertEqual(4, length(Terms)),
    ok = emmap_queue:close(Dead),
    puts_refused_terms_into_a_named_queue(Config),
    process_flag(trap_exit, true),
    ?assertMatch({error, {badarg, _}}, emmap_queue:start_link(undefined, Letters, 0, [{on_bad_term, other}])).

%% While no queue has the name, the message stays.
puts_refused_terms_into_a_named_queue(Config) ->
    Path = emmap_test:path(Config, "aside-named"),
    {ok, Server} = emmap_queue:start_link(#{path => Path, options => [backend(Config), {on_bad_term, {dead_letters, named_letters}}]}),
    {ok, ?MAPPED(Backend, Handle) = Queue} = emmap_queue:open(Path, 0, [backend(Config)]),
    ok = Backend:queue_push(Handle, <<131, 119, 8, "an_alien">>),
    ok = emmap_queue:push(Queue, 1),
    ?assertMatch({error, {bad_term, _}}, emmap_queue:dequeue(Server)),
    process_flag(trap_exit, true),
    Start = fun() ->
        {ok, Pid} = emmap_handles:start_link(#{name => named_letters, kind => queue, path => emmap_test:path(Config, "named"), options => [backend(Config)]}),
        Pid
    end,
    Handles = Start(),
    ?assertEqual(1, emmap_queue:dequeue(Server)),
    ?assertEqual(1, emmap_queue:length(named_letters)),
    %% Letters do not go into a file that is gone.
    ok = file:delete(emmap_test:path(Config, "named")),
    ok = Backend:queue_push(Handle, <<131, 119, 8, "an_alien">>),
    ?assertMatch({error, {bad_term, _}}, emmap_queue:dequeue(Server)),
    receive {'EXIT', Handles, {emmap, _, enoent}} -> ok end,
    _ = Start(),
    ?assertEqual(nil, emmap_queue:dequeue(Server)),
    ?assertEqual(1, emmap_queue:length(named_letters)),
    ok = emmap_handles:stop(named_letters),
    ok = emmap_queue:close(Queue),
    ok = emmap_queue:stop(Server).

%% A server whose file is lost opens it again. At most one caller sees that.
reopens(Config) ->
    Server = start(Config, "reopens"),
    ok = emmap_queue:enqueue(Server, 1),
    Test = self(),
    lose(Config, "reopens"),
    Answers = [emmap_queue:enqueue(Server, N) || N <- [2, 3]],
    ?assertEqual(ok, lists:last(Answers)),
    ?assertEqual({ok, lists:last(emmap_queue:to_list(Server))}, {ok, 3}),
    {ok, _} = emmap_queue:dequeue_many(Server, 3),
    Caller = spawn_link(fun() -> Test ! {self(), emmap_queue:dequeue(Server, infinity)} end),
    emmap_test:until(fun() -> waiting(Server) =:= 1 end),
    lose(Config, "reopens"),
    emmap_test:until(fun() -> emmap_queue:enqueue(Server, 4) =:= ok end),
    ?assertEqual({ok, 4}, receive {Caller, Got} -> Got end),
    ok = emmap_queue:stop(Server).

%% Nobody but callers that wait has used the file between two losses.
reopens_each_time_for_those_who_wait(Config) ->
    Server = start(Config, "each_time"),
    Test = self(),
    Caller = spawn_link(fun() -> Test ! {self(), emmap_queue:dequeue(Server, infinity)} end),
    [begin
         emmap_test:until(fun() -> waiting(Server) =:= 1 andalso not maps:get(reopened, status(Server)) end),
         lose(Config, "each_time")
     end || _ <- [1, 2, 3]],
    emmap_test:until(fun() -> emmap_queue:enqueue(Server, found) =:= ok end),
    ?assertEqual({ok, found}, receive {Caller, Got} -> Got end),
    ok = emmap_queue:stop(Server).

%% The path leads to another file, and then to none.
goes_over_with_its_path(Config) ->
    process_flag(trap_exit, true),
    Path = emmap_test:path(Config, "goes_over"),
    Server = start(Config, "goes_over"),
    ok = emmap_queue:enqueue(Server, lost),
    lost = emmap_queue:dequeue(Server),
    New = queue(Config, "new"),
    ok = emmap_queue:close(New),
    ok = file:rename(emmap_test:path(Config, "new"), Path),
    emmap_test:until(fun() ->
        ok = emmap_queue:enqueue(Server, found),
        {ok, #{tail := Tail}} = emmap:inspect_file(Path),
        Tail > 16
    end),
    ?assertEqual(found, emmap_queue:dequeue(Server)),
    Last = queue(Config, "last"),
    ok = emmap_queue:push(Last, last),
    ok = emmap_queue:close(Last),
    ok = file:rename(emmap_test:path(Config, "last"), Path),
    ?assertEqual({ok, last}, emmap_queue:dequeue(Server, infinity)),
    ok = file:delete(Path),
    emmap_test:until(fun() -> (catch emmap_queue:enqueue(Server, orphan)) =/= ok end),
    receive {'EXIT', Server, Reason} -> ?assertEqual({emmap, Path, enoent}, Reason) end.

%% A stopped process has the lock. Callers do not wait one after the other, and nobody takes that for an empty queue.
waits_once_for_all(Config) ->
    Path = emmap_test:path(Config, "once"),
    {ok, Server} = emmap_queue:start_link(#{path => Path, options => [backend(Config), {lock_timeout, 500}]}),
    ok = emmap_queue:enqueue(Server, 0),
    {ok, Queue} = emmap_queue:open(Path, 0, [backend(Config)]),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 100000)),
    Test = self(),
    Calls = [fun() -> emmap_queue:enqueue(Server, more) end, fun() -> emmap_queue:dequeue(Server) end,
             fun() -> emmap_queue:dequeue(Server, 10) end, fun() -> emmap_queue:dequeue_many(Server, 2) end,
             fun() -> emmap_queue:try_dequeue(Server, fun(Term) -> Term end) end],
    emmap_test_program:with_stopped_owner(Path, fun(_, _, _) ->
        Started = erlang:monotonic_time(millisecond),
        Callers = [spawn_link(fun() -> Test ! {self(), Call()} end) || _ <- lists:seq(1, 10), Call <- Calls],
        Answers = [receive {Caller, Answer} -> Answer end || Caller <- Callers],
        ?assertEqual([{error, timeout}], lists:usort(Answers)),
        %% One after the other 25 s.
        ?assert(erlang:monotonic_time(millisecond) - Started < 10000)
    end),
    emmap_test:until(fun() -> emmap_queue:dequeue(Server, 1000) =:= {ok, 0} end),
    ok = emmap_queue:stop(Server),
    ok = emmap_queue:close(Queue).

%% The port's program is stopped. All calls are in the mailbox when the first one begins to wait, and cost one wait.
waits_once_for_a_stopped_program(Config) ->
    case proplists:get_value(backend, Config) of
        nif -> {skip, "there is no program"};
        port ->
            {ok, Port} = emmap_port:start_link(#{call_timeout => 2000}),
            {ok, Server} = emmap_queue:start_link(#{path => emmap_test:path(Config, "program"), options => [{backend, {port, Port}}]}),
            ok = sys:suspend(Server),
            Test = self(),
            Calls = [fun() -> emmap_queue:dequeue(Server) end, fun() -> emmap_queue:dequeue(Server, 10) end,
                     fun() -> emmap_queue:enqueue(Server, 1) end, fun() -> emmap_queue:dequeue(Server, 5000) end],
            Callers = [begin
                           Caller = spawn_link(fun() -> Test ! {self(), Call()} end),
                           emmap_test:until(fun() -> process_info(Server, message_queue_len) =:= {message_queue_len, N} end),
                           Caller
                       end || {N, Call} <- lists:enumerate(Calls)],
            [] = os:cmd("kill -STOP " ++ integer_to_list(emmap_test:os_pid(Port))),
            Started = erlang:monotonic_time(millisecond),
            ok = sys:resume(Server),
            ?assertEqual([{error, timeout} || _ <- Calls], [receive {Caller, Answer} -> Answer end || Caller <- Callers]),
            ?assert(erlang:monotonic_time(millisecond) - Started < 4000),
            [] = os:cmd("kill -CONT " ++ integer_to_list(emmap_test:os_pid(Port))),
            %% A caller waited before the program was stopped.
            emmap_test:until(fun() -> emmap_queue:dequeue(Server) =:= nil end),
            Waiting = spawn_link(fun() -> Test ! {self(), emmap_queue:dequeue(Server, 1000)} end),
            emmap_test:until(fun() -> waiting(Server) =:= 1 end),
            [] = os:cmd("kill -STOP " ++ integer_to_list(emmap_test:os_pid(Port))),
            ?assertEqual({error, timeout}, receive {Waiting, Late} -> Late end),
            [] = os:cmd("kill -CONT " ++ integer_to_list(emmap_test:os_pid(Port))),
            ok = emmap_queue:stop(Server),
            ok = gen_server:stop(Port)
    end.

lose(Config, Name) -> emmap_test:lose(proplists:get_value(backend, Config), emmap_test:path(Config, Name)).

%% It ends, and its supervisor decides, where it can't open the file again.
ends_with_its_file(Config) ->
    process_flag(trap_exit, true),
    Path = emmap_test:path(Config, "ends"),
    {ok, Server} = emmap_queue:start_link(#{path => Path, options => [backend(Config)]}),
    ok = emmap_queue:enqueue(Server, 1),
    ok = file:write_file(Path, <<>>),
    ok = emmap_test_events:capture(),
    ?assertEqual({error, efault}, emmap_queue:enqueue(Server, <<"a secret">>)),
    receive {'EXIT', Server, Reason} -> ?assertMatch({emmap, Path, {corrupt, 0, _}}, Reason) end,
    %% The report of its end has no message.
    Reports = [Report || #{label := {gen_server, terminate}} = Report <- emmap_test_events:reported()],
    ok = emmap_test_events:release(),
    ?assertMatch([_], Reports),
    ?assertEqual(nomatch, string:find(io_lib:format("~0p", [Reports]), "secret")),
    ok = file:write_file(Path, "this is no queue at all"),
    ?assertMatch({error, {emmap, Path, {corrupt, 0, _}}}, emmap_queue:start_link(#{path => Path})).

as_a_child(Config) ->
    process_flag(trap_exit, true),
    Path = emmap_test:path(Config, "child"),
    Options = #{name => a_child, path => Path, size => 1024, options => [backend(Config)]},
    {ok, Supervisor} = supervisor:start_link(?MODULE, [emmap_queue:child_spec(Options)]),
    ok = emmap_queue:enqueue(a_child, 1),
    ?assertMatch(#{path := Path, waiting := 0}, status(a_child)),
    Killed = whereis(a_child),
    exit(Killed, kill),
    emmap_test:until(fun() -> not lists:member(whereis(a_child), [undefined, Killed]) end),
    ?assertEqual(1, emmap_queue:dequeue(a_child)),
    exit(Supervisor, shutdown),
    receive {'EXIT', Supervisor, shutdown} -> ok end,
    ?assertError(badarg, emmap_queue:start_link(#{path => Path, sise => 1})),
    ?assertError(badarg, emmap_queue:start_link([{path, Path}])).

%% A stopped process has the lock, and every server waits for it.
stops_whatever_peers_do(Config) ->
    process_flag(trap_exit, true),
    Path = emmap_test:path(Config, "stops"),
    {ok, Queue} = emmap_queue:open(Path, 0, [backend(Config)]),
    ok = emmap_queue:push_many(Queue, lists:seq(1, 100000)),
    Names = [list_to_atom("stops_" ++ integer_to_list(N)) || N <- lists:seq(1, 5)],
    {ok, Supervisor} = supervisor:start_link(?MODULE,
        [emmap_queue:child_spec(#{name => Name, path => Path, options => [backend(Config)]}) || Name <- Names]),
    emmap_test_program:with_stopped_owner(Path, fun(_, _, _) ->
        [spawn(fun() -> emmap_queue:enqueue(Name, more) end) || Name <- Names],
        Started = erlang:monotonic_time(millisecond),
        exit(Supervisor, shutdown),
        receive {'EXIT', Supervisor, shutdown} -> ok end,
        ?assert(erlang:monotonic_time(millisecond) - Started < 1000)
    end),
    ?assert(emmap_queue:length(Queue) >= 100000),
    ok = emmap_queue:close(Queue).

init(Children) -> {ok, {#{}, Children}}.
