%% The names of the service's files and of its server.
-define(JOBS, service_jobs).
-define(COUNTERS, service_counters).
-define(REPORTS, service_reports).

-define(DONE, 0).
-define(FAILED, 1).
