#!/usr/bin/env escript
%% Does the same as queue_user.mjs. Usage: escript queue_user.escript EBIN BACKEND FOLDER USER USERS TIMES MOST
-mode(compile).

%% The same numbers as in shared_layout.mjs.
-define(ARRIVED, 0).
-define(POPPED, 1).
-define(LEAD, 1000).
-define(FILLER_SIZE(Number), (Number rem 61)).

-record(user, {queue, counters, id, users, times, most}).

main([Ebin, Backend, Folder | Numbers]) ->
    true = code:add_patha(Ebin),
    ok = application:load(emmap),
    ok = application:set_env(emmap, backend, list_to_atom(Backend)),
    [Id, Users, Times, Most] = [list_to_integer(Number) || Number <- Numbers],
    Counters = emmap:open_counters(filename:join(Folder, "counters.bin")),
    {ok, Queue} = emmap_queue:open(filename:join(Folder, "shared.q"), 0, []),
    User = #user{queue = Queue, counters = Counters, id = Id, users = Users, times = Times, most = Most},
    {ok, _} = emmap:inc_counter(Counters, ?ARRIVED),
    await(User),
    Popped = loop(User, 0, 0, []),
    ok = emmap_queue:close(Queue),
    ok = emmap:close_counters(Counters),
    Log = [<<Producer:32/native, Number:32/native>> || {Producer, Number, _} <- lists:append(lists:reverse(Popped))],
    ok = file:write_file(filename:join(Folder, "popped." ++ integer_to_list(Id)), Log).

await(#user{counters = Counters, users = Users} = User) ->
    case emmap:read_counter(Counters, ?ARRIVED) of
        {ok, Users} -> ok;
        _ -> timer:sleep(1), await(User)
    end.

loop(#user{counters = Counters, users = Users, times = Times} = User, Pushed, Count, Popped) ->
    case emmap:read_counter(Counters, ?POPPED) of
        {ok, All} when All =:= Users * Times ->
            Popped;
        _ ->
            Size = min(1 + Pushed rem User#user.most, Times - Pushed),
            push(User, Pushed, Size),
            Messages = case Pushed + Size < min(Count + ?LEAD, Times) of
                true -> [];
                false -> pop(User, max(Size, 1))
            end,
            true = rest(User, Size, Messages),
            loop(User, Pushed + Size, Count + length(Messages), [Messages | Popped])
    end.

push(_, _, 0) ->
    ok;
push(#user{queue = Queue} = User, Number, 1) ->
    ok = emmap_queue:push(Queue, message(User, Number));
push(#user{queue = Queue} = User, From, Count) ->
    ok = emmap_queue:push_many(Queue, [message(User, Number) || Number <- lists:seq(From, From + Count - 1)]).

message(#user{id = Id}, Number) ->
    {Id, Number, filler(Id, Number)}.

filler(Id, Number) ->
    binary:copy(<<Id>>, ?FILLER_SIZE(Number)).

pop(#user{queue = Queue, counters = Counters}, Count) ->
    {ok, Messages} = case Count of
        1 ->
            case emmap_queue:pop(Queue) of
                nil -> {ok, []};
                Message -> {ok, [Message]}
            end;
        _ ->
            emmap_queue:pop_many(Queue, Count)
    end,
    true = lists:all(fun({Producer, Number, Filler}) -> Filler =:= filler(Producer, Number) end, Messages),
    {ok, _} = emmap:inc_counter(Counters, ?POPPED, length(Messages)),
    Messages.

%% A user that has messages left pushes them. Another user may take the last message without a notice.
rest(User, 0, []) ->
    true = lists:member(emmap_queue:wait(User#user.queue, 20), [ok, timeout]);
rest(_User, _Size, _Messages) ->
    true.
