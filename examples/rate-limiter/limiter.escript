#!/usr/bin/env escript
%% The limiter of limiter.mts in Erlang, on the same file. The limit holds for a client's requests to both.
%% Makes REQUESTS requests as CLIENT, and prints how many were allowed.
%%
%%   ERL_LIBS=../../erlang/_build/default/lib escript limiter.escript limits.table ann 100
-mode(compile).

%% As in limiter.mts.
-define(CLIENTS, 100000).
-define(LIMIT, #{limit => 20, window => 60000, sliding => true, evict => true}).

main([Path, Client, Requests]) ->
    case emmap_table:open(Path, ?CLIENTS, []) of
        {ok, Clients} ->
            Taken = [take(Clients, Client) || _ <- lists:seq(1, list_to_integer(Requests))],
            io:format("~b of ~s allowed~n", [length([true || true <- Taken]), Requests]),
            ok = emmap_table:close(Clients);
        {error, Reason} ->
            io:format(standard_error, "~s: ~p~n", [Path, Reason]),
            halt(1)
    end;
main(_) ->
    io:put_chars(standard_error, "usage: escript limiter.escript FILE CLIENT REQUESTS\n"),
    halt(2).

%% Counts a request of the client and answers true, if the client may make one now.
take(Clients, Client) ->
    {ok, #{allowed := Allowed}} = emmap_table:hit(Clients, key(unicode:characters_to_binary(Client)), ?LIMIT),
    Allowed.

%% A key of the table has up to 64 bytes.
key(Client) when byte_size(Client) < 64 -> [$=, Client];
key(Client) -> [$#, base64:encode(crypto:hash(sha256, Client))].
