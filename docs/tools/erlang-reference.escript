#!/usr/bin/env escript
%% Builds the reference of the Erlang application with edoc. Usage: escript erlang-reference.escript SRC OUT
%%
%% The sources are documented in Markdown, by the macros of emmap_doc.hrl, which are `-doc' attributes since OTP 27. edoc
%% knows neither, in any release: it gets a copy of the sources with the comments that it does know. Where it warns of
%% something, or has nothing to say of a name that is exported, the build fails.

-mode(compile).

-include_lib("xmerl/include/xmerl.hrl").

-record(context, {
    module :: string(),
    implements :: boolean(), %% whether its functions are documented by emmap_backend
    pages :: [string()], %% modules that are not hidden
    functions :: #{string() => [string()]} %% what each exports, as "name/arity"
}).

main([Src, Out]) ->
    Sources = [{filename:basename(File, ".erl"), read(File)} || File <- filelib:wildcard(filename:join(Src, "*.erl"))],
    Pages = [Module || {Module, Text} <- Sources, string:find(Text, "?MODULEDOC(false)") =:= nomatch],
    Functions = maps:from_list([{Module, exports(Text)} || {Module, Text} <- Sources]),
    Copy = filename:join(Out, "sources"),
    Written = [write(Copy, Text, #context{
        module = Module,
        implements = string:find(Text, "-behaviour(emmap_backend)") =/= nomatch,
        pages = Pages,
        functions = Functions
    }) || {Module, Text} <- Sources],
    Options = [{dir, Out}, {title, "emmap for Erlang"}, {includes, [Src]}, {preprocess, true}, {todo, false}],
    Said = listen(fun() ->
        ok = edoc:application(emmap, Copy, Options),
        [io:format("~s: ~s is not documented~n", [Module, Name])
         || {Module, File} <- Written, lists:member(Module, Pages), Name <- undocumented(File, Options)]
    end),
    ok = file:del_dir_r(Copy),
    io:put_chars(standard_error, Said),
    halt(case Said of "" -> 0; _ -> 1 end);
main(_) ->
    io:put_chars(standard_error, "usage: escript erlang-reference.escript SRC OUT\n"),
    halt(2).

read(File) ->
    {ok, Bytes} = file:read_file(File),
    unicode:characters_to_list(Bytes).

exports(Text) ->
    [Name || [List] <- matches(Text, "^-export\\(\\[(.*?)\\]\\)"), [Name] <- matches(List, "(\\w+/\\d+)")].

matches(Text, Pattern) ->
    case re:run(Text, Pattern, [multiline, dotall, unicode, global, {capture, all_but_first, list}]) of
        {match, Found} -> Found;
        nomatch -> []
    end.

write(Folder, Text, #context{module = Module} = Context) ->
    File = filename:join([Folder, "src", Module ++ ".erl"]),
    ok = filelib:ensure_dir(File),
    Lines = module(string:split(Text, "\n", all), Context),
    ok = file:write_file(File, unicode:characters_to_binary(lists:join("\n", Lines))),
    {Module, File}.

%%% From attributes to comments

%% A module's text goes to its top.
module(Lines, Context) ->
    {Head, [First | Rest]} = lists:splitwith(fun(Line) -> not lists:prefix("?MODULEDOC(", Line) end, Lines),
    {Text, Tail} = text(First, Rest),
    comment(Text, Context) ++ Head ++ forms(Tail, Context).

%% A function's text stays before it, a type's follows it, and of a callback edoc tells the name only.
forms(["?DOC(" ++ _ = First | Rest], Context) ->
    {Text, Tail} = text(First, Rest),
    {Comments, [Next | _] = Form} = lists:splitwith(fun is_comment/1, Tail),
    case hd(string:lexemes(Next, " (")) of
        "-callback" ->
            Comments ++ forms(Form, Context);
        Type when Type =:= "-type"; Type =:= "-opaque" ->
            {Body, [Last | After]} = lists:splitwith(fun(Line) -> not ends_form(Line) end, Form),
            Comments ++ Body ++ [Last | commented(markup(Text, Context))] ++ forms(After, Context);
        _ ->
            %% Not `forms' for the next line: it might be a spec, which is looked at there.
            Comments ++ comment(Text, Context) ++ [Next | forms(tl(Form), Context)]
    end;
forms(["-spec " ++ _ = Line | Rest], #context{implements = true} = Context) ->
    ["%% @private", Line | forms(Rest, Context)];
forms([Line | Rest], Context) ->
    [Line | forms(Rest, Context)];
forms([], _Context) ->
    [].

is_comment(Line) ->
    lists:prefix("%", string:trim(Line, leading)).

ends_form(Line) ->
    not is_comment(Line) andalso lists:suffix(".", Line).

%% The text that begins with this line, without its macro, and the lines behind it.
text(First, Rest) ->
    {Body, [Last | After]} = lists:splitwith(fun(Line) -> not ends_text(Line) end, [First | Rest]),
    {ok, [{'?', _}, {_, _, _}, {'(', _}, {Kind, _, Value}, {')', _}, {dot, _}], _} =
        erl_scan:string(lists:append(lists:join("\n", Body ++ [Last])) ++ "\n"),
    {case {Kind, Value} of {string, Text} -> Text; {atom, false} -> hidden end, After}.

ends_text(Line) ->
    lists:suffix("\").", Line) orelse lists:suffix("(false).", Line).

comment(hidden, _Context) -> ["%% @private"];
comment(Text, Context) ->
    [First | Rest] = string:split(markup(Text, Context), "\n", all),
    ["%% @doc " ++ First | commented(lists:append(lists:join("\n", Rest)))].

commented("") -> [];
commented(Text) -> ["%% " ++ Line || Line <- string:split(Text, "\n", all)].

%%% From Markdown to edoc's markup

markup(Markdown, Context) ->
    Parts = re:split(Markdown, "^```erlang\n(.*?)^```$", [multiline, dotall, unicode, {return, list}]),
    string:trim(every_second(Parts, fun(Text) -> blocks(Text, Context) end, fun(Code) -> ["```\n", Code, "'''"] end)).

blocks(Text, Context) ->
    Spans = every_second(re:split(Text, "`([^`]*)`", [unicode, {return, list}]),
                         fun escaped/1, fun(Code) -> span(Code, Context) end),
    Headings = re:replace(Spans, "^## (.*)$", "<h3>\\1</h3>", [multiline, global, unicode, {return, list}]),
    every_second(re:split(Headings, "((?:^(?:- |  ).*\n?)+)", [multiline, unicode, {return, list}]),
                 fun(Paragraphs) -> Paragraphs end, fun list/1).

list(Text) ->
    [_ | Items] = re:split(Text, "^- ", [multiline, unicode, {return, list}]),
    ["<ul>\n", [["<li>", string:trim(Item), "</li>\n"] || Item <- Items], "</ul>\n"].

every_second(Parts, Even, Odd) ->
    lists:flatten(every_second(Parts, {Even, Odd})).

every_second([Part | Rest], {This, Other}) -> [This(Part) | every_second(Rest, {Other, This})];
every_second([], _) -> [].

%% A function or a type of these modules, a module, or code.
span(Code, #context{module = Module, pages = Pages, functions = Functions}) ->
    case {matches(Code, "^(?:(\\w+):)?(\\w+/\\d+)$"), lists:member(Code, Pages) andalso Code =/= Module} of
        {[["t", Type]], _} ->
            ["{@link ", hd(string:split(Type, "/")), "()}"];
        {[["", Function]], _} ->
            linked(Code, Function, maps:get(Module, Functions));
        {[[Other, Function]], _} ->
            linked(Code, Function, maps:get(Other, Functions, []));
        {[], true} ->
            ["{@link ", Code, "}"];
        {[], false} ->
            verbatim(Code)
    end.

linked(Code, Function, Exported) ->
    case lists:member(Function, Exported) of
        true -> ["{@link ", Code, "}"];
        false -> verbatim(Code)
    end.

verbatim(Code) ->
    case lists:member($', Code) of
        true -> ["``", Code, "''"];
        false -> ["`", Code, "'"]
    end.

escaped(Text) ->
    lists:flatmap(fun($<) -> "&lt;"; ($>) -> "&gt;"; ($&) -> "&amp;"; (Character) -> [Character] end, Text).

%%% What is missing

undocumented(File, Options) ->
    {_Module, #xmlElement{content = Content}} = edoc:get_doc(File, Options),
    Listed = lists:append([Elements || #xmlElement{name = Name, content = Elements} <- Content,
                                       lists:member(Name, [functions, typedecls])]),
    [attribute(label, Element) || #xmlElement{content = About} = Element <- Listed,
                                  attribute(private, Element) =/= "yes",
                                  not lists:keymember(description, #xmlElement.name, About)]
        ++ ["the module" || not lists:keymember(description, #xmlElement.name, Content)].

attribute(Name, #xmlElement{attributes = Attributes}) ->
    case lists:keyfind(Name, #xmlAttribute.name, Attributes) of
        #xmlAttribute{value = Value} -> Value;
        false -> none
    end.

%% What a function prints, the reason why it fails included.
listen(Fun) ->
    Leader = group_leader(),
    Listener = spawn_link(fun() -> hear([]) end),
    group_leader(Listener, self()),
    try
        Fun()
    catch
        Class:Reason -> io:format("~p: ~p~n", [Class, Reason])
    after
        group_leader(Leader, self())
    end,
    Listener ! {said, self()},
    receive {said, Said} -> Said end.

hear(Said) ->
    receive
        {io_request, From, Reference, {put_chars, _, Text}} ->
            From ! {io_reply, Reference, ok},
            hear([Said, Text]);
        {io_request, From, Reference, {put_chars, _, Module, Function, Arguments}} ->
            From ! {io_reply, Reference, ok},
            hear([Said, apply(Module, Function, Arguments)]);
        {io_request, From, Reference, _} ->
            From ! {io_reply, Reference, {error, enotsup}},
            hear(Said);
        {said, To} ->
            To ! {said, unicode:characters_to_list(Said)}
    end.
