%% The files first, then those who use them. A file that is lost opens itself again. If that is impossible, its process ends
%% and everything after it is started again.
-module(service_sup).

-behaviour(supervisor).

-export([start_link/1]).
-export([init/1]).

-include("service.hrl").

-define(WORKERS, 2).

start_link(Folder) -> supervisor:start_link({local, ?MODULE}, ?MODULE, Folder).

init(Folder) ->
    Path = fun(Name) -> filename:join(Folder, Name) end,
    Files = [
        emmap_handles:child_spec(#{name => ?COUNTERS, path => Path("counters.bin"), kind => {counters, 2}}),
        emmap_handles:child_spec(#{name => ?JOBS, path => Path("jobs.q"), kind => queue}),
        emmap_queue:child_spec(#{name => ?REPORTS, path => Path("reports.q"),
                                 options => [{on_bad_term, {dead_letters, Path("refused.q")}}]})
    ],
    Workers = [#{id => {worker, N}, start => {service_worker, start_link, []}, shutdown => brutal_kill}
               || N <- lists:seq(1, ?WORKERS)],
    {ok, {#{strategy => rest_for_one, intensity => 20, period => 10}, Files ++ Workers}}.
