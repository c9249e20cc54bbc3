#!/usr/bin/env escript
%% The limiter of limiter.mts in Erlang, on the same file. The limit holds for a client's requests to both.
%% Makes REQUESTS requests as CLIENT, and prints how many were allowed.
%%
%%   ERL_LIBS=../../erlang/_build/default/lib escript limiter.escript limits.bin ann 100
-mode(compile).

%% As in limiter.mts and server.mts.
-define(WORDS, 65536).
-define(INTERVAL, 200000). %% microseconds: 5 a second
-define(WINDOW, 20 * ?INTERVAL).

main([Path, Client, Requests]) ->
    case emmap:open(Path, [read, write, create, shared, {size, 8 * ?WORDS}]) of
        {ok, Limits} ->
            Taken = [take(Limits, Client) || _ <- lists:seq(1, list_to_integer(Requests))],
            io:format("~b of ~s allowed~n", [length([true || true <- Taken]), Requests]),
            ok = file:close(Limits);
        {error, Reason} ->
            io:format(standard_error, "~s: ~p~n", [Path, Reason]),
            halt(1)
    end;
main(_) ->
    io:put_chars(standard_error, "usage: escript limiter.escript FILE CLIENT REQUESTS\n"),
    halt(2).

%% Counts a request of the client and answers true, if the client may make one now.
take(Limits, Client) ->
    take(Limits, 8 * (erlang:crc32(Client) rem ?WORDS), os:system_time(microsecond)).

take(Limits, Position, Now) ->
    {ok, Paid} = emmap:patomic_read_integer(Limits, Position),
    Limit = Now + ?WINDOW,
    From = if
        Paid > Now, Paid =< Limit -> Paid;
        true -> Now
    end,
    Until = From + ?INTERVAL,
    Until =< Limit andalso
        case emmap:patomic_cas(Limits, Position, Paid, Until) of
            {true, _} -> true;
            {false, _} -> take(Limits, Position, Now)
        end.
