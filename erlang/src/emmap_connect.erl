-module(emmap_connect).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% Keeps nodes connected, for processes that talk to them.

-export([attempts/1, again/1]).

-export_type([attempts/0]).

%% The last attempt to connect with each node.
-type attempts() :: #{node() => pid() | none}.

-spec attempts([node()]) -> attempts().
attempts(Nodes) -> maps:from_list([{Node, none} || Node <- Nodes, Node =/= node()]).

%% Tries to connect with the nodes that are not connected. An attempt waits for a network that does not answer, so it has a process
%% of its own.
-spec again(attempts()) -> attempts().
again(Attempts) ->
    Connected = nodes(),
    maps:map(fun(Node, Attempt) ->
        case lists:member(Node, Connected) orelse is_pid(Attempt) andalso is_process_alive(Attempt) of
            true -> Attempt;
            false -> spawn(fun() -> net_kernel:connect_node(Node) end)
        end
    end, Attempts).
