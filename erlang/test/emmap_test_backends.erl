%% The backends that the suites run over, and the abilities that only one of them has.
-module(emmap_test_backends).

-export([backends/0, groups/1, can/2]).

backends() -> [nif, port].

%% One group for each backend, with the same cases.
groups(Cases) -> [{Backend, [], Cases} || Backend <- backends()].

%% Binaries that alias the mapping: memory can't be shared through a pipe.
can(port, direct) -> false;
%% Processes that use a file after the one that opened it has ended: the port closes it then.
can(port, outlive_owner) -> false;
%% A frame has a limit; a call within the node has none.
can(nif, frame_limit) -> false;
%% The program behind the handles can die alone.
can(nif, port_death) -> false;
can(_Backend, _Ability) -> true.
