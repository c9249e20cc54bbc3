%% What others call: jobs in, counts and reports out.
-module(service).

-export([submit/1, submit_many/1, done/0, failed/0, report/1, next_report/1, status/0]).

-include("service.hrl").

-type job() :: {add, integer(), integer()} | crash | fail.

-spec submit(job()) -> ok | {error, emmap_queue:reason()}.
submit(Job) -> emmap_queue:push(?JOBS, Job).

-spec submit_many([job()]) -> ok | {error, emmap_queue:reason()}.
submit_many(Jobs) -> emmap_queue:push_many(?JOBS, Jobs).

-spec done() -> integer().
done() -> count(?DONE).

-spec failed() -> integer().
failed() -> count(?FAILED).

count(Counter) ->
    {ok, Count} = emmap:read_counter(?COUNTERS, Counter),
    Count.

%% Reports go through a server, which nodes of other machines may call too.
-spec report(term()) -> ok | {error, emmap_queue:reason()}.
report(Report) -> emmap_queue:enqueue(?REPORTS, Report).

-spec next_report(timeout()) -> {ok, term()} | timeout | {error, emmap_queue:reason()}.
next_report(Timeout) -> emmap_queue:dequeue(?REPORTS, Timeout).

-spec status() -> #{atom() => term()}.
status() ->
    #{done => done(), failed => failed(), waiting => emmap_queue:length(?JOBS),
      files => [{Kind, Backend, filename:basename(Path)} || #{kind := Kind, backend := Backend, path := Path} <- emmap:open_files()]}.
