%% A supervisor of children that a test gives it.
-module(emmap_test_supervisor).
-behaviour(supervisor).

-export([init/1]).

init(Children) -> {ok, {#{}, Children}}.
