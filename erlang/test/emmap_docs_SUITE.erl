%% The documentation in the compiled modules, for h/1 of the shells (EEP-48), on every release of OTP.
-module(emmap_docs_SUITE).

-export([all/0]).
-export([every_module/1, the_shell_shows_texts/1]).

-include_lib("stdlib/include/assert.hrl").
-include_lib("kernel/include/eep48.hrl").

all() -> [every_module, the_shell_shows_texts].

%% Every function of the two modules for users has a text, or is hidden.
every_module(_Config) ->
    [begin
         {ok, #docs_v1{module_doc = #{<<"en">> := _}, docs = Docs}} = code:get_doc(Module),
         Without = [{Name, Arity} || {{function, Name, Arity}, _, _, none, _} <- Docs,
                                     erlang:function_exported(Module, Name, Arity)],
         ?assertEqual({Module, []}, {Module, Without})
     end || Module <- [emmap, emmap_queue, emmap_handles]],
    [{ok, #docs_v1{module_doc = Doc}} = code:get_doc(Module) || {Module, Doc} <- [{emmap_lock, hidden}]].

the_shell_shows_texts(_Config) ->
    Shown = fun(Module, Docs) -> unicode:characters_to_list(Docs(Module, element(2, code:get_doc(Module)))) end,
    Has = fun(Text, Word) -> ?assertNotEqual({Word, nomatch}, {Word, string:find(Text, Word)}) end,
    Function = Shown(emmap, fun(M, D) -> shell_docs:render(M, inc_counter, 2, D) end),
    [Has(Function, Word) || Word <- ["inc_counter", "Adds 1", "einval"]],
    Type = Shown(emmap, fun(M, D) -> shell_docs:render_type(M, open_option, D) end),
    [Has(Type, Word) || Word <- ["auto_unlink", "lock_timeout"]],
    Module = Shown(emmap_queue, fun(M, D) -> shell_docs:render(M, D) end),
    [Has(Module, Word) || Word <- ["persistent FIFO", "emmap_queue:push(Queue"]].
