%% Plays emmap 2.x in a cluster with nodes of both: functions that send its requests, and a server that answers as its
%% queue server does, with the terms in memory.
-module(emmap_2_queue).

-behaviour(gen_server).

-export([start_link/1, enqueue/2, dequeue/1, try_dequeue/2, inspect/1, info/1]).
-export([init/1, handle_call/3, handle_cast/2]).

-spec start_link(atom()) -> gen_server:start_ret().
start_link(Name) -> gen_server:start_link({local, Name}, ?MODULE, [], []).

-spec enqueue(gen_server:server_ref(), term()) -> term().
enqueue(Server, Term) -> gen_server:call(Server, {push, Term}, infinity).

-spec dequeue(gen_server:server_ref()) -> term().
dequeue(Server) -> gen_server:call(Server, pop, infinity).

-spec try_dequeue(gen_server:server_ref(), fun((term()) -> term())) -> term().
try_dequeue(Server, Fun) ->
    case gen_server:call(Server, {try_pop, Fun}, infinity) of
        {ok, Result} -> Result;
        {error, Reason, Stack} -> erlang:error(Reason, Stack)
    end.

-spec inspect(gen_server:server_ref()) -> term().
inspect(Server) -> gen_server:call(Server, peek, infinity).

-spec info(gen_server:server_ref()) -> term().
info(Server) -> gen_server:call(Server, info, infinity).

-spec init([]) -> {ok, []}.
init([]) -> {ok, []}.

-spec handle_call(term(), gen_server:from(), [term()]) -> {reply, term(), [term()]}.
handle_call({push, Term}, _From, Terms) -> {reply, ok, Terms ++ [Term]};
handle_call(pop, _From, [Term | Terms]) -> {reply, Term, Terms};
handle_call(pop, _From, []) -> {reply, nil, []};
handle_call(peek, _From, [Term | _] = Terms) -> {reply, Term, Terms};
handle_call(peek, _From, []) -> {reply, nil, []};
handle_call(info, _From, Terms) -> {reply, #{head => 16, tail => 16, next_tail => 16, size => 1024}, Terms};
handle_call({try_pop, _Fun}, _From, []) -> {reply, {ok, nil}, []};
handle_call({try_pop, Fun}, _From, [Term | Rest] = Terms) ->
    try Fun(Term) of
        Result -> {reply, {ok, Result}, Rest}
    catch
        _:Reason:Stack -> {reply, {error, Reason, Stack}, Terms}
    end.

-spec handle_cast(term(), [term()]) -> {stop, term(), [term()]}.
handle_cast(Message, Terms) -> {stop, {cast_not_implemented, Message}, Terms}.
