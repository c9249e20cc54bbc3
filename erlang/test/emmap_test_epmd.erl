%% In place of the port mapper, which would outlive the tests: a node listens at the port that its name ends with, as name-12345@host.
-module(emmap_test_epmd).

-export([start_link/0, register_node/3, listen_port_please/2, address_please/3, port_please/2, port_please/3, names/1]).

start_link() -> ignore.

register_node(_Name, _Port, _Family) -> {ok, rand:uniform(3)}.

listen_port_please(Name, _Host) -> {ok, port(Name)}.

address_please(Name, Host, Family) ->
    case inet:getaddr(Host, Family) of
        {ok, Address} -> {ok, Address, port(Name), 6};
        {error, _} = Error -> Error % an exception would end the node
    end.

port_please(Name, _Host) -> {port, port(Name), 6}.

port_please(Name, Host, _Timeout) -> port_please(Name, Host).

names(_Host) -> {error, address}.

%% Nodes without a port in their name do not listen.
port(Name) ->
    case string:to_integer(lists:last(string:split(lists:concat([Name]), "-", all))) of
        {Port, []} when is_integer(Port) -> Port;
        _ -> 0
    end.
