%% Evaluates the expressions of emmap_2_answers.txt. The head of that file lists the variables that are bound before
%% each, and says how an answer is written.
-module(emmap_2_answers).

-export([consult/0, differences/0, is_success/1, answer/3, with_environment/2]).

%% How long an expression may take. Only one that hangs takes longer.
-define(LIMIT, 60000).

%% The expressions with the answers of emmap 2.1.3.
consult() ->
    {ok, Answers} = file:consult(filename:join(filename:dirname(?FILE), "emmap_2_answers.txt")),
    Answers.

%% The intended differences: {Title, Reason, [{Expression, nif | port | both, Answer here}]}. The titles are those of
%% docs/migrating-from-emmap.md.
differences() ->
    {ok, Differences} = file:consult(filename:join(filename:dirname(?FILE), "emmap_2_differences.txt")),
    Differences.

%% True if there is neither an exception nor an error in an answer.
is_success({'$raised', _, _}) -> false;
is_success({error, _}) -> false;
is_success(Answer) when is_tuple(Answer) -> is_success(tuple_to_list(Answer));
is_success([First | Rest]) -> is_success(First) andalso is_success(Rest);
is_success(Answer) when is_map(Answer) -> is_success(maps:to_list(Answer));
is_success(_) -> true.

%% The answers of this emmap, in an empty folder and over a backend, written as those of emmap 2.1.3.
answer(Expression, Dir, Backend) ->
    with_environment(Backend, fun() -> evaluate(Expression, Dir) end).

%% The environment of a service that moves.
with_environment(Backend, Fun) ->
    ok = application:set_env(emmap, open_info, true),
    ok = application:set_env(emmap, backend, Backend),
    try
        Fun()
    after
        application:unset_env(emmap, open_info),
        application:unset_env(emmap, backend)
    end.

%% In a process of its own, which owns the files that it opens.
evaluate(Expression, Dir) ->
    Asker = self(),
    {Pid, Monitor} = spawn_monitor(fun() ->
        _ = process_flag(trap_exit, true),
        Asker ! {self(), written(value(Expression, Dir), Dir)}
    end),
    Answer = receive
        {Pid, Found} -> Found;
        {'DOWN', Monitor, process, Pid, Reason} -> {'$ended', Reason}
    after ?LIMIT ->
        exit(Pid, kill),
        '$hangs'
    end,
    _ = demonitor(Monitor, [flush]),
    %% The server that it has started ends after it.
    emmap_test:until(fun() -> whereis(oracle_queue) =:= undefined end),
    Answer.

value(Expression, Dir) ->
    {ok, Tokens, _} = erl_scan:string(Expression ++ "."),
    {ok, Parsed} = erl_parse:parse_exprs(Tokens),
    Named = [Name || {var, _, Name} <- Tokens],
    Bindings = lists:foldl(fun(Name, Bound) -> bind(Name, Dir, Bound) end, #{}, Named),
    try
        {value, Value, _} = erl_eval:exprs(Parsed, Bindings),
        Value
    catch
        Class:Reason -> {'$raised', Class, first_atom(Reason)}
    end.

first_atom({Reason, {gen_server, call, _}}) -> first_atom(Reason);
first_atom({Reason, [_ | _]}) when is_atom(Reason) -> Reason;
first_atom(Reason) when is_tuple(Reason), tuple_size(Reason) > 0 -> first_atom(element(1, Reason));
first_atom(Reason) -> Reason.

-define(TEXT, <<"one\ntwo\r\nthree\n\nlast">>).

bind(Name, _Dir, Bound) when is_map_key(Name, Bound) ->
    Bound;
bind(Name, Dir, Bound) ->
    case binding(Name, Dir) of
        {ok, Value} -> Bound#{Name => Value};
        none -> Bound
    end.

binding('Dir', Dir) ->
    {ok, Dir};
binding('Path', Dir) ->
    {ok, Dir ++ "/path"};
binding('Text', Dir) ->
    {ok, file_of(Dir ++ "/text", ?TEXT)};
binding('Zeros', Dir) ->
    {ok, file_of(Dir ++ "/zeros", <<0:4096/unit:8>>)};
binding('Empty', Dir) ->
    {ok, file_of(Dir ++ "/empty", <<>>)};
binding('FilePath', Dir) ->
    {ok, Dir ++ "/file"};
binding('File', Dir) ->
    opened(Dir ++ "/file", 4096, [create, read, write, shared]);
binding('Lines', Dir) ->
    opened(file_of(Dir ++ "/lines", ?TEXT), 20, [read, write, shared]);
binding('Direct', Dir) ->
    opened(file_of(Dir ++ "/direct", ?TEXT), 20, [read, write, shared, direct]);
binding('Reader', Dir) ->
    opened(file_of(Dir ++ "/reader", <<1:64/native, 2:64/native, 3:64/native>>), 24, [read, shared]);
binding('CountersPath', Dir) ->
    {ok, Dir ++ "/counters"};
binding('Counters', Dir) ->
    {ok, emmap:open_counters(Dir ++ "/counters", 4)};
binding('QueuePath', Dir) ->
    {ok, Dir ++ "/queue"};
binding('Queue', Dir) ->
    emmap_queue:open(Dir ++ "/queue", 1024, [shared]);
binding('JobsPath', Dir) ->
    {ok, Dir ++ "/jobs"};
binding('Jobs', Dir) ->
    {ok, Queue} = emmap_queue:open(Dir ++ "/jobs", 1024, [shared]),
    [ok, ok, ok] = [emmap_queue:push(Queue, Term) || Term <- [a, {b, 1}, <<"c">>]],
    {ok, Queue};
binding('Server', Dir) ->
    emmap_queue:start_link(oracle_queue, Dir ++ "/server", 1024, [shared]);
binding('BlocksPath', Dir) ->
    {ok, Dir ++ "/blocks"};
binding('Blocks', Dir) ->
    {ok, File} = opened(Dir ++ "/blocks", 4096, [create, read, write, shared, fit]),
    ok = emmap:init_block_storage(File, 8),
    {ok, File};
binding(_, _) ->
    none.

file_of(Path, Bytes) ->
    ok = file:write_file(Path, Bytes),
    Path.

%% If the backend cannot have such a file, there is none, and the expression gets the error.
opened(Path, Length, Options) ->
    case emmap:open(Path, 0, Length, Options) of
        {ok, File, _} -> {ok, File};
        {error, _} = Error -> {ok, Error}
    end.

written(Value, _Dir) when is_pid(Value) -> '$pid';
written(Value, _Dir) when is_reference(Value) -> '$ref';
written(Value, _Dir) when is_port(Value) -> '$port';
written(Value, _Dir) when is_function(Value) -> '$fun';
written(Value, _Dir) when element(1, Value) =:= file_descriptor -> '$file';
written(Value, Dir) when is_tuple(Value) -> list_to_tuple([written(Element, Dir) || Element <- tuple_to_list(Value)]);
written(Value, Dir) when is_map(Value) -> maps:map(fun(_, Element) -> written(Element, Dir) end, Value);
written(Value, Dir) when is_list(Value), length(Value) > 0 ->
    case is_list(Value) andalso lists:prefix(Dir, Value) of
        true -> "$DIR" ++ lists:nthtail(length(Dir), Value);
        false -> [written(Element, Dir) || Element <- Value]
    end;
written(Value, _Dir) -> Value.
