-module(emmap_telemetry).

-include("emmap_doc.hrl").

?MODULEDOC("The events that emmap reports to `telemetry`, if that module is loaded. emmap does not depend on it.

| event | measurements | metadata |
| --- | --- | --- |
| `[emmap, open]` | `duration` | `path`, `kind`, `backend`; `result`: `ok` or `{error, Reason}` |
| `[emmap, close]` | `count`: 1 | `path`, `kind`, `backend`; of a file that is closed by a call |
| `[emmap, fault]` | `count`: 1 | `path`, `reason`; `result` of opening it again, by a queue's server or `emmap_handles` |
| `[emmap, lock, wait]` | `duration`, `attempts` | `result`: `ok` or `timeout`; in the process that waited |
| `[emmap, queue, delivery]` | `count`: messages | `path`, `server`; of a queue's server |
| `[emmap, consumer, message]` | `duration`, from the take on | `path`, `module`, `attempt`; `result`: `ack`, `released` or `dead_letter`; of `emmap_consumer` |
| `[emmap, cluster, publish]` | `counters`, `bytes`: that changed, and their size on the way | `cluster` |
| `[emmap, cluster, Event]` | `count`: 1 | `cluster`, and the report's; for each event of `emmap_cluster` |
| `[emmap, port, start]` | `count`: 1 | `program`, `server` |
| `[emmap, port, exit]` | `count`: 1 | `program`, `server`, `reason` |

A `duration` is in native units of time. A `path` is a binary, or for a server the name that it was started with. Operations
on an open file report nothing, because a report would take longer than they do.").

-export([execute/3]).

%% telemetry:execute/3. The name is a variable because the module need not exist.
?DOC(false).
-spec execute([atom()], #{atom() => number()}, #{atom() => term()}) -> ok.
execute(Event, Measurements, Metadata) ->
    Telemetry = telemetry,
    case erlang:function_exported(Telemetry, execute, 3) of
        true -> Telemetry:execute(Event, Measurements, Metadata);
        false -> ok
    end.
