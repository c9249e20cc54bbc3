%% Reads JSON (RFC 8259) as far as the test vectors use it: no \u escapes. Objects are maps.
-module(emmap_json).

-export([decode/1]).

decode(Text) ->
    {Value, Rest} = value(skip(Text)),
    <<>> = skip(Rest),
    Value.

value(<<"{", Rest/binary>>) -> object(skip(Rest), #{});
value(<<"[", Rest/binary>>) -> array(skip(Rest), []);
value(<<"\"", Rest/binary>>) -> string(Rest, <<>>);
value(<<"true", Rest/binary>>) -> {true, Rest};
value(<<"false", Rest/binary>>) -> {false, Rest};
value(<<"null", Rest/binary>>) -> {null, Rest};
value(Text) ->
    {match, [{0, Length}]} = re:run(Text, "^-?[0-9]+(\\.[0-9]+)?", [{capture, first}]),
    <<Number:Length/binary, Rest/binary>> = Text,
    case binary:match(Number, <<".">>) of
        nomatch -> {binary_to_integer(Number), Rest};
        _ -> {binary_to_float(Number), Rest}
    end.

object(<<"}", Rest/binary>>, Object) -> {Object, Rest};
object(<<",", Rest/binary>>, Object) -> object(skip(Rest), Object);
object(<<"\"", Rest/binary>>, Object) ->
    {Key, AfterKey} = string(Rest, <<>>),
    <<":", AfterColon/binary>> = skip(AfterKey),
    {Value, AfterValue} = value(skip(AfterColon)),
    object(skip(AfterValue), Object#{Key => Value}).

array(<<"]", Rest/binary>>, Array) -> {lists:reverse(Array), Rest};
array(<<",", Rest/binary>>, Array) -> array(skip(Rest), Array);
array(Text, Array) ->
    {Value, Rest} = value(Text),
    array(skip(Rest), [Value | Array]).

string(<<"\"", Rest/binary>>, String) -> {String, Rest};
string(<<"\\", Escaped, Rest/binary>>, String) ->
    Character = maps:get(Escaped, #{$" => $", $\\ => $\\, $/ => $/, $n => $\n, $t => $\t, $r => $\r, $b => $\b,
                                    $f => $\f}),
    string(Rest, <<String/binary, Character>>);
string(<<Byte, Rest/binary>>, String) -> string(Rest, <<String/binary, Byte>>).

skip(<<Space, Rest/binary>>) when Space =:= $\s; Space =:= $\n; Space =:= $\t; Space =:= $\r -> skip(Rest);
skip(Text) -> Text.
