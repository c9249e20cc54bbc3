#!/usr/bin/env escript
%% Puts the documentation into the compiled modules, for h/1 of the shells of Erlang and Elixir (EEP-48), on OTP 25 and 26. The
%% compiler of OTP 27 does it by itself. Usage: escript doc_chunks.escript SRC EBIN
-mode(compile).

-include_lib("kernel/include/eep48.hrl").

main([Src, Ebin]) ->
    case list_to_integer(erlang:system_info(otp_release)) of
        Release when Release >= 27 -> ok;
        _ -> lists:foreach(fun(Source) -> document(Source, Ebin) end, filelib:wildcard(filename:join(Src, "*.erl")))
    end.

document(Source, Ebin) ->
    Beam = filename:join(Ebin, filename:basename(Source, ".erl") ++ ".beam"),
    case beam_lib:chunks(Beam, ["Docs"], [allow_missing_chunks]) of
        {ok, {_, [{"Docs", missing_chunk}]}} ->
            {ok, Forms} = epp:parse_file(Source, [{includes, [filename:dirname(Source)]}, {macros, ['EMMAP_DOC_CHUNKS']}]),
            {ok, _, Chunks} = beam_lib:all_chunks(Beam),
            {ok, Bytes} = beam_lib:build_module([{"Docs", term_to_binary(docs(Forms), [compressed])} | Chunks]),
            ok = file:write_file(Beam ++ ".new", Bytes),
            ok = file:rename(Beam ++ ".new", Beam);
        _ ->
            ok % it has them already, or there is no such module
    end.

docs(Forms) ->
    #docs_v1{
        anno = erl_anno:new(1),
        module_doc = hd([text(Text) || {attribute, _, moduledoc, Text} <- Forms] ++ [none]),
        docs = entries(Forms, none, maps:from_list([{Name, Form} || {attribute, _, spec, {Name, _}} = Form <- Forms]))
    }.

%% A text belongs to what follows it: a function, a type or a callback.
entries([{attribute, _, doc, Text} | Rest], _, Specs) -> entries(Rest, text(Text), Specs);
entries([{function, Anno, Name, Arity, _} | Rest], Doc, Specs) ->
    Signature = [Spec || {ok, Spec} <- [maps:find({Name, Arity}, Specs)]],
    [entry(function, Name, Arity, Anno, Doc, Signature) | entries(Rest, none, Specs)];
entries([{attribute, Anno, Kind, {Name, _, Parameters}} = Form | Rest], Doc, Specs) when Kind =:= type; Kind =:= opaque ->
    [entry(type, Name, length(Parameters), Anno, Doc, [Form]) | entries(Rest, none, Specs)];
entries([{attribute, Anno, callback, {{Name, Arity}, _}} = Form | Rest], Doc, Specs) ->
    [entry(callback, Name, Arity, Anno, Doc, [Form]) | entries(Rest, none, Specs)];
entries([_ | Rest], Doc, Specs) -> entries(Rest, Doc, Specs);
entries([], _, _) -> [].

entry(Kind, Name, Arity, Anno, Doc, Signature) ->
    {{Kind, Name, Arity}, Anno, [iolist_to_binary(io_lib:format("~tw/~b", [Name, Arity]))], Doc, #{signature => Signature}}.

text(false) -> hidden;
text(Text) -> #{<<"en">> => blocks(string:split(unicode:characters_to_binary(Text), "\n", all))}.

%%% The Markdown of the sources, as application/erlang+html

blocks([]) -> [];
blocks([<<>> | Rest]) -> blocks(Rest);
blocks([<<"```", _/binary>> | Rest]) ->
    {Code, After} = lists:splitwith(fun(Line) -> Line =/= <<"```">> end, Rest),
    [pre(Code) | blocks(tl(After))];
blocks([<<"## ", Title/binary>> | Rest]) -> [{h2, [], inline(Title)} | blocks(Rest)];
blocks([<<"|", _/binary>> | _] = Lines) ->
    {Table, Rest} = lists:splitwith(fun(Line) -> binary_part(Line, 0, min(1, byte_size(Line))) =:= <<"|">> end, Lines),
    [pre(Table) | blocks(Rest)];
blocks([<<"- ", _/binary>> | _] = Lines) ->
    {List, Rest} = lists:splitwith(fun is_listed/1, Lines),
    [{ul, [], items(List)} | blocks(Rest)];
blocks(Lines) ->
    {Paragraph, Rest} = lists:splitwith(fun is_paragraph/1, Lines),
    [{p, [], inline(joined(Paragraph))} | blocks(Rest)].

pre(Lines) -> {pre, [], [{code, [], [joined_by("\n", Lines)]}]}.

is_listed(<<"- ", _/binary>>) -> true;
is_listed(<<"  ", _/binary>>) -> true;
is_listed(_) -> false.

is_paragraph(<<>>) -> false;
is_paragraph(<<"- ", _/binary>>) -> false;
is_paragraph(<<"```", _/binary>>) -> false;
is_paragraph(_) -> true.

items([<<"- ", First/binary>> | Rest]) ->
    {More, Others} = lists:splitwith(fun(Line) -> binary_part(Line, 0, 2) =:= <<"  ">> end, Rest),
    [{li, [], [{p, [], inline(joined([First | [string:trim(Line, leading) || Line <- More]]))}]} | items(Others)];
items([]) -> [].

joined(Lines) -> joined_by(" ", Lines).
joined_by(Between, Lines) -> iolist_to_binary(lists:join(Between, Lines)).

%% `code`, **strong**, and links, of which the text stays.
inline(Text) ->
    case re:run(Text, "`([^`]+)`|\\*\\*([^*]+)\\*\\*|\\[([^\\]]+)\\]\\([^)]+\\)") of
        nomatch -> [Text];
        {match, [{Start, Length} | Groups]} ->
            <<Before:Start/binary, _:Length/binary, After/binary>> = Text,
            Group = binary_part(Text, lists:last(Groups)),
            Element = case length(Groups) of
                1 -> {code, [], [Group]};
                2 -> {strong, [], [Group]};
                3 -> {em, [], inline(Group)}
            end,
            [Before, Element | inline(After)]
    end.
