%% Does one job after the other. A job leaves the queue when it is done, so that it survives the worker and the node.
-module(service_worker).

-export([start_link/0]).
-export([init/0]).

-include("service.hrl").
-include_lib("kernel/include/logger.hrl").

start_link() -> {ok, proc_lib:spawn_link(?MODULE, init, [])}.

init() -> loop().

loop() ->
    case emmap_queue:wait(?JOBS, 1000) of
        ok -> next();
        timeout -> ok;
        {error, Reason} -> wait_a_little(Reason)
    end,
    loop().

next() ->
    try emmap_queue:try_pop(?JOBS, fun work/1) of
        nil -> ok; % another worker was quicker
        done -> count(?DONE);
        failed -> count(?FAILED);
        {error, ebusy} -> ok; % another worker has the first message
        {error, Reason} -> wait_a_little(Reason)
    catch
        error:crash -> exit(crash)
    end.

work({add, A, B}) ->
    true = is_integer(A + B),
    done;
work(fail) -> failed;
work(crash) ->
    %% The job stays the first one: a real service would give it up after some attempts.
    case erlang:phash2(make_ref(), 3) of
        0 -> failed;
        _ -> error(crash)
    end.

count(Counter) ->
    case emmap:inc_counter(?COUNTERS, Counter) of
        {ok, _} -> ok;
        {error, Reason} -> wait_a_little(Reason)
    end.

wait_a_little(Reason) ->
    ?LOG_WARNING("service_worker: ~ts", [emmap:format_error(Reason)]),
    timer:sleep(50).
