-module(emmap_queue_server).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% A server around a queue. Its requests and replies are those of emmap 2.x, so that nodes of both can use each other's
%% servers. The functions for users are in emmap_queue.
-behaviour(gen_server).

-include("emmap_file.hrl").

-export([start_link/4]).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).

-record(server, {queue :: emmap_queue:queue()}).

-spec start_link(emmap_queue:server_name(), file:name_all(), non_neg_integer(), [emmap_queue:open_option()]) ->
    gen_server:start_ret().
start_link(undefined, Name, Size, Options) -> gen_server:start_link(?MODULE, [Name, Size, Options], []);
start_link(Registered, Name, Size, Options) when is_atom(Registered) ->
    start_link({local, Registered}, Name, Size, Options);
start_link(Registered, Name, Size, Options) when is_tuple(Registered) ->
    gen_server:start_link(Registered, ?MODULE, [Name, Size, Options], []);
start_link(_Registered, _Name, _Size, _Options) -> error(badarg).

-spec init([term()]) -> {ok, #server{}} | {stop, emmap_queue:reason()}.
init([Name, Size, Options]) ->
    _ = process_flag(trap_exit, true), % so that terminate/2 closes the queue
    case emmap_queue_open:open(Name, Size, Options) of
        {ok, Queue} -> {ok, #server{queue = Queue}};
        {error, Reason} -> {stop, Reason}
    end.

-spec handle_call(term(), gen_server:from(), #server{}) -> {reply, term(), #server{}} | {noreply, #server{}}.
handle_call({push, Term}, _From, #server{queue = Queue} = State) -> {reply, emmap_queue_push:push(Queue, Term), State};
handle_call(pop, From, State) -> remove(From, fun emmap_queue_pop:pop_and_purge/1, State);
handle_call({try_pop, Fun}, From, State) when is_function(Fun, 1) ->
    remove(From, fun(Queue) -> try_pop(Queue, Fun) end, State);
handle_call(peek, _From, #server{queue = Queue} = State) -> {reply, emmap_queue_look:peek_front(Queue), State};
handle_call(info, _From, #server{queue = Queue} = State) -> {reply, emmap_queue_look:metadata(Queue), State};
%% emmap 2.x does not have this request.
handle_call(to_list, _From, #server{queue = Queue} = State) -> {reply, emmap_queue_look:to_list(Queue), State};
handle_call(Request, _From, State) ->
    ok = logger:warning("emmap_queue ~p does not know the request ~0tp", [self(), Request]),
    {reply, {error, {badarg, Request}}, State}.

-spec handle_cast(term(), #server{}) -> {noreply, #server{}}.
handle_cast(Message, State) -> unexpected(Message, State).

-spec handle_info(term(), #server{}) -> {noreply, #server{}} | {stop, term(), #server{}}.
handle_info({'EXIT', _Pid, Reason}, State) when Reason =/= normal -> {stop, Reason, State};
handle_info({'EXIT', _Pid, normal}, State) -> {noreply, State};
handle_info(Message, State) -> unexpected(Message, State).

-spec terminate(term(), #server{}) -> ok.
terminate(_Reason, #server{queue = ?MAPPED(Backend, Handle)}) ->
    _ = ?CALL(Backend, close(Handle)),
    ok.

%% A caller may have died while its request waited; then nothing is removed. That is known of callers on this node only.
remove({Pid, _} = From, Remove, #server{queue = Queue} = State) ->
    case node(Pid) =/= node() orelse is_process_alive(Pid) of
        true -> gen_server:reply(From, Remove(Queue));
        false -> ok
    end,
    {noreply, State}.

try_pop(Queue, Fun) ->
    try
        {ok, emmap_queue_take:try_pop_and_purge(Queue, Fun)}
    catch
        _Class:Reason:Stack -> {error, Reason, Stack}
    end.

unexpected(Message, State) ->
    ok = logger:warning("emmap_queue ~p ignores the message ~0tp", [self(), Message]),
    {noreply, State}.
