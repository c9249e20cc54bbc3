-module(emmap_node).

-include("emmap_doc.hrl").

?MODULEDOC("A node with nothing but relays, clusters and budgets, for hosts whose programs run in Node. The script `emmap_node`
starts it:

```sh
emmap_node emmap@host-a /etc/emmap/node.config -kernel net_ticktime 4 net_setuptime 1
```

What follows the file are arguments of `erl`. These two are for all nodes that a cluster has, so that a cut network is noticed within
some 4 seconds, and hosts meet again within a second when it is back.

The file has Erlang terms, each of which may be missing or come more than once:

```erlang
{nodes, ['emmap@host-b']}.  % nodes to be connected with, again and again; relays connect with theirs by themselves
{receiver, #{name => jobs, queue => \"/data/jobs.q\"}}.                       % emmap_relay_receiver
{relay, #{from => \"/data/out.q\", to => jobs, node => 'emmap@host-b'}}.      % emmap_relay
{cluster, #{name => hits, folder => \"/data/hits\", counters => 1024}}.       % emmap_cluster
{budget, #{name => mails, folder => \"/data/mails\", limit => 1000, window => 60000, nodes => ['emmap@host-a']}}. % emmap_budget
```

If a term is wrong, the node ends with status 1 and says which. A service that fails, or cannot start, is started again after a
pause: 0.1 s at first, and up to 30 s. The others go on. `logger` gets a report of level `error` each time: a map with
`event` (`failed`), `service`, `reason` and `pause`. SIGTERM ends the node in order.").
-behaviour(application).
-behaviour(supervisor).

-export([main/1, start_link/1]).
-export([start/2, stop/1, init/1, connect/1]).

-export_type([item/0]).

?DOC("What is in the file.").
-type item() ::
    {nodes, [node()]} | {receiver, emmap_relay_receiver:options()} | {relay, emmap_relay:options()}
    | {cluster, emmap_cluster:options()} | {budget, emmap_budget:options()}.

%% Milliseconds between two tries to connect.
-define(BETWEEN, 1000).

?DOC(false).
-spec main([string()]) -> ok.
main([Path]) ->
    case file:consult(Path) of
        {ok, Items} -> run(Path, Items);
        {error, Reason} -> fail("~ts: ~ts", [Path, file:format_error(Reason)])
    end.

run(Path, Items) ->
    try [checked(Item) || Item <- Items] of
        Children ->
            {ok, _} = application:ensure_all_started(emmap),
            %% A node that ends stops its applications in order, and kills all other processes.
            ok = application:load({application, ?MODULE, [
                {vsn, ""}, {registered, []}, {mod, {?MODULE, Children}}, {applications, [kernel, stdlib, emmap]}]}),
            case application:start(?MODULE, permanent) of
                ok -> ok;
                {error, Reason} -> fail("~ts: ~tp", [Path, Reason])
            end
    catch
        throw:{wrong, Item, Why} -> fail("~ts: ~ts, in ~0tp", [Path, Why, Item])
    end.

-spec fail(string(), [term()]) -> no_return().
fail(Format, Arguments) ->
    io:format(standard_error, "emmap_node: " ++ Format ++ "~n", Arguments),
    halt(1).

?DOC("Starts all of it, linked to the caller: for a supervision tree that reads such a file. It throws `{wrong, Item, Why}` if an
item is not understood.").
-spec start_link([item()]) -> supervisor:startlink_ret().
start_link(Items) -> supervisor:start_link(?MODULE, [checked(Item) || Item <- Items]).

?DOC(false).
-spec start(application:start_type(), [supervisor:child_spec()]) -> {ok, pid()} | {error, term()}.
start(_Type, Children) -> supervisor:start_link(?MODULE, Children).

?DOC(false).
-spec stop(term()) -> ok.
stop(_State) -> ok.

?DOC(false).
-spec init([supervisor:child_spec()]) -> {ok, {supervisor:sup_flags(), [supervisor:child_spec()]}}.
init(Children) -> {ok, {#{strategy => one_for_one}, Children}}.

checked(Item) ->
    try child(Item)
    catch error:badarg:Stack ->
        throw({wrong, Item, maps:get(general, emmap_options:format_error(badarg, Stack), "not understood")})
    end.

child({receiver, Options}) -> emmap_keeper:child_spec(emmap_relay_receiver:child_spec(Options));
child({relay, Options}) -> emmap_keeper:child_spec(emmap_relay:child_spec(Options));
child({cluster, Options}) -> emmap_keeper:child_spec(emmap_cluster:child_spec(Options));
child({budget, Options}) -> emmap_keeper:child_spec(emmap_budget:child_spec(Options));
child({nodes, Nodes} = Item) ->
    _ = emmap_options:is_nodes(Nodes) orelse emmap_options:bad({option, Item}),
    #{id => {nodes, Nodes}, start => {proc_lib, start_link, [?MODULE, connect, [Nodes]]}};
child(_Item) -> error(badarg).

?DOC(false).
-spec connect([node()]) -> no_return().
connect(Nodes) ->
    proc_lib:init_ack({ok, self()}),
    connect_again(Nodes).

connect_again(Nodes) ->
    _ = [net_kernel:connect_node(Node) || Node <- Nodes, Node =/= node(), not lists:member(Node, nodes())],
    receive after ?BETWEEN -> connect_again(Nodes) end.
