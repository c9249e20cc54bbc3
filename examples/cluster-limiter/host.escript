#!/usr/bin/env escript
%% The BEAM node of a host: it exchanges the counters of limiter.mts with the other hosts, and leases a strict limit
%% from them. Prints `ready', and goes on until SIGTERM.
%%
%%   epmd -daemon
%%   ERL_LIBS=../../erlang/_build/default/lib escript host.escript a@127.0.0.1 folder-a a@127.0.0.1 b@127.0.0.1 &
%%   ERL_LIBS=../../erlang/_build/default/lib escript host.escript b@127.0.0.1 folder-b a@127.0.0.1 b@127.0.0.1 &
%%
%% On a real network give the nodes a secret cookie and TLS: see docs/cluster.md.
-mode(compile).

-define(TENANTS, 1000).
-define(STRICT_LIMIT, 500).
-define(WINDOW, 60000).

main([Name, Folder | Hosts]) ->
    ok = logger:set_primary_config(level, warning),
    Nodes = [list_to_atom(Host) || Host <- Hosts],
    {ok, _} = net_kernel:start(list_to_atom(Name), #{name_domain => longnames}),
    true = erlang:set_cookie(list_to_atom(os:getenv("COOKIE", "cluster-limiter"))),
    {ok, _} = emmap_cluster:start_link(#{
        name => tenants, folder => filename:join(Folder, "tenants"), counters => ?TENANTS, nodes => Nodes}),
    {ok, _} = emmap_budget:start_link(#{
        name => mails, folder => filename:join(Folder, "mails"), limit => ?STRICT_LIMIT, window => ?WINDOW, nodes => Nodes}),
    ok = until(fun() -> length(nodes()) =:= length(Nodes) - 1 andalso map_get(left, emmap_budget:info(mails)) > 0 end),
    io:format("ready~n"),
    receive after infinity -> ok end;
main(_) ->
    io:put_chars(standard_error, "usage: escript host.escript NODE FOLDER NODES...\n"),
    halt(2).

until(Condition) ->
    case Condition() of
        true -> ok;
        false ->
            timer:sleep(20),
            until(Condition)
    end.
