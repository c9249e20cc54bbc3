-module(emmap_budget_ledger).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% The accounts of a budget: what is leased, and what was spent within the window. No processes, no clock.
%%
%% At any time the sum of these is at most the limit:
%% - what a session has leased and not spent yet, until the lease is over;
%% - what was spent, for a window after it was reported;
%% - what was left of a lease that is over, for a window after that: nobody knows whether it was spent.
%% So no window of any beginning has more hits than the limit.

-export([new/0, renew/4, used/1, snapshot/2, restore/2, is_snapshot/1]).

-export_type([ledger/0, request/0, terms/0]).

%% Parts of a window in which what was spent is counted together.
-define(PARTS, 16).

-type session() :: binary().
-type time() :: integer().
-record(session, {left :: non_neg_integer(), spent :: non_neg_integer(), until :: time()}).
-record(ledger, {sessions = #{} :: #{session() => #session{}}, spent = [] :: [{non_neg_integer(), time()}]}).

-opaque ledger() :: #ledger{}.
%% Milliseconds, longer than the holders' by the difference that clocks may have.
-type terms() :: #{limit := pos_integer(), window := pos_integer(), lease := pos_integer()}.
%% `spent': by the session, in all. `left': what it may still spend. `wants': so much more.
-type request() :: #{session := session(), spent := non_neg_integer(), left := non_neg_integer(), wants := non_neg_integer()}.

-spec new() -> ledger().
new() -> #ledger{}.

%% Begins or renews a lease, and grants as much as there is. `Kept': so much of what is left the session may keep besides: nothing
%% if the former lease was over, whether or not the session has heard of that. No session holds more than its share of half of the
%% limit, so that a host that comes later gets something.
-spec renew(request(), terms(), Now :: time(), ledger()) -> {Granted :: non_neg_integer(), Kept :: non_neg_integer(), ledger()}.
renew(#{session := Id, spent := Spent, left := Left, wants := Wants}, #{lease := Lease, limit := Limit} = Terms, Now, Before) ->
    #ledger{sessions = Sessions} = Ledger = expire(Terms, Now, Before),
    {Has, Counted} = case Sessions of
        #{Id := #session{spent = Reported, left = Had}} ->
            New = max(0, Spent - Reported),
            %% It cannot have more than it was given. What it does not report was granted by an answer that it never got.
            {min(Left, max(0, Had - New)), count(New, Terms, Now, Ledger)};
        #{} -> {0, Ledger}
    end,
    Session = #session{left = Has, spent = Spent, until = Now + Lease},
    Renewed = Counted#ledger{sessions = (Counted#ledger.sessions)#{Id => Session}},
    Share = max(1, Limit div (2 * map_size(Renewed#ledger.sessions))),
    Kept = min(Has, Share),
    Granted = max(0, lists:min([Wants, Limit - used(Renewed), Share - Kept])),
    %% What it is to drop it may spend before it has the answer. So that counts until it reports again.
    {Granted, Kept, Renewed#ledger{sessions = (Renewed#ledger.sessions)#{Id := Session#session{left = Has + Granted}}}}.

%% Leases that are over, and windows.
expire(#{window := Window}, Now, #ledger{sessions = Sessions, spent = Spent} = Ledger) ->
    Over = [{Left, Until + Window} || #session{left = Left, until = Until} <- maps:values(Sessions), Until =< Now, Left > 0],
    Ledger#ledger{
        sessions = maps:filter(fun(_, #session{until = Until}) -> Until > Now end, Sessions),
        spent = [Each || {_, Until} = Each <- Over ++ Spent, Until > Now]
    }.

count(0, _Terms, _Now, Ledger) -> Ledger;
count(Amount, #{window := Window}, Now, #ledger{spent = [{Before, Until} | Others]} = Ledger)
  when Until > Now + Window - Window div ?PARTS ->
    Ledger#ledger{spent = [{Before + Amount, max(Until, Now + Window)} | Others]};
count(Amount, #{window := Window}, Now, #ledger{spent = Spent} = Ledger) ->
    Ledger#ledger{spent = [{Amount, Now + Window} | Spent]}.

%% How much of the limit is not to be had at present.
-spec used(ledger()) -> non_neg_integer().
used(#ledger{sessions = Sessions, spent = Spent}) ->
    lists:sum([Left || #session{left = Left} <- maps:values(Sessions)]) + lists:sum([Amount || {Amount, _} <- Spent]).

%% The accounts for another clock: times are those that remain.
-spec snapshot(Now :: time(), ledger()) -> term().
snapshot(Now, #ledger{sessions = Sessions, spent = Spent}) ->
    {[{Id, Left, Used, max(0, Until - Now)} || {Id, #session{left = Left, spent = Used, until = Until}} <- maps:to_list(Sessions)],
     [{Amount, max(0, Until - Now)} || {Amount, Until} <- Spent]}.

-spec restore(Now :: time(), Snapshot :: term()) -> ledger().
restore(Now, {Sessions, Spent}) ->
    #ledger{
        sessions = maps:from_list([{Id, #session{left = Left, spent = Used, until = Now + Rest}} || {Id, Left, Used, Rest} <- Sessions]),
        spent = [{Amount, Now + Rest} || {Amount, Rest} <- Spent]
    }.

%% Whether a term from another host or a file is one.
-spec is_snapshot(term()) -> boolean().
is_snapshot({Sessions, Spent}) when is_list(Sessions), is_list(Spent) ->
    try
        lists:all(fun({Id, Left, Used, Rest}) -> is_binary(Id) andalso is_count(Left) andalso is_count(Used) andalso is_count(Rest) end, Sessions)
            andalso lists:all(fun({Amount, Rest}) -> is_count(Amount) andalso is_count(Rest) end, Spent)
    catch
        error:_ -> false
    end;
is_snapshot(_) -> false.

is_count(Number) -> is_integer(Number) andalso Number >= 0.
