%% The BEAM's side of the codec's tests: makes terms, compares the returned ones, and decodes bytes. It uses frames of
%% {packet, 4} on stdin and stdout.
-module(etf_peer).
-export([main/0]).

main() ->
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}, eof]),
    loop(Port, []).

loop(Port, Terms) ->
    receive
        {Port, {data, <<Operation, Payload/binary>>}} ->
            {Reply, Next} = handle(Operation, Payload, Terms),
            port_command(Port, Reply),
            loop(Port, Next);
        {Port, eof} ->
            halt(0)
    end.

%% Makes terms from a seed, and keeps them for the comparison. The answer has each with its encoding.
handle($g, <<Seed:32, Count:32, MaxSize:32>>, _) ->
    _ = rand:seed(exsss, Seed),
    Terms = [sized(MaxSize) || _ <- lists:seq(1, Count)],
    {[generated(T) || T <- Terms], Terms};
%% Gets the same terms from the other side. The answer has the indices of terms that differ.
handle($c, Payload, Terms) ->
    Mine = lists:zip(lists:seq(0, length(Terms) - 1), Terms),
    Theirs = split(Payload),
    true = length(Mine) =:= length(Theirs),
    {[<<I:32>> || {{I, T}, B} <- lists:zip(Mine, Theirs), not same(T, B)], Terms};
%% Decodes terms of the other side, and encodes them again.
handle($e, Payload, Terms) ->
    {[framed(term_to_binary(binary_to_term(B), [{minor_version, 2}])) || B <- split(Payload)], Terms};
%% The answer tells for each whether it can be decoded.
handle($a, Payload, Terms) ->
    {[accepts(B) || B <- split(Payload)], Terms};
%% The answer is the release.
handle($r, <<>>, Terms) ->
    {erlang:system_info(otp_release), Terms}.

%% `=:=` takes 0.0 for -0.0 before OTP 27, the bytes do not.
same(Term, Bytes) ->
    try binary_to_term(Bytes) of
        Other -> Other =:= Term andalso term_to_binary(Other) =:= term_to_binary(Term)
    catch
        error:badarg -> false
    end.

accepts(Bytes) ->
    try
        _ = binary_to_term(Bytes),
        1
    catch
        error:badarg -> 0
    end.

split(<<>>) -> [];
split(<<Size:32, Bytes:Size/binary, Rest/binary>>) -> [Bytes | split(Rest)].

framed(Bytes) -> [<<(byte_size(Bytes)):32>>, Bytes].

%% Minor version 0 writes floats as text, 1 atoms in Latin-1 where it can.
generated(Term) ->
    {How, Options} =
        case rand:uniform(10) of
            1 -> {0, [{minor_version, 0}]};
            2 -> {3, [compressed]};
            3 -> {3, [{compressed, rand:uniform(9)}]};
            4 -> {3, [compressed, {minor_version, 2}]};
            N when N < 8 -> {1, [{minor_version, 1}]};
            _ -> {2, [{minor_version, 2}]}
        end,
    Bytes = term_to_binary(Term, Options),
    [<<(byte_size(Bytes) + 1):32, How>>, Bytes].

%% Most sizes are small; some are the largest allowed.
sized(Max) ->
    case rand:uniform(400) of
        1 -> large(Max);
        2 -> large(Max div 16);
        N when N < 20 -> term(6, 200);
        N when N < 160 -> term(4, 40);
        _ -> term(2, 12)
    end.

large(Size) ->
    case rand:uniform(6) of
        1 -> rand:bytes(Size);
        2 -> lists:seq(1, Size div 5);
        3 -> list_to_tuple(lists:duplicate(Size div 10, {ok, rand:uniform(300)}));
        4 -> maps:from_list([{I, integer_to_binary(I)} || I <- lists:seq(1, Size div 16)]);
        5 -> nested(Size div 8, []);
        6 -> rand:uniform(256) bsl min(8 * Size, 1000000)
    end.

nested(0, Term) -> Term;
nested(N, Term) when N rem 2 =:= 0 -> nested(N - 1, {Term});
nested(N, Term) when N < 500 -> nested(N - 1, #{N => Term});
nested(N, Term) -> nested(N - 1, [Term]).

term(0, _) ->
    leaf();
term(Depth, Width) ->
    case rand:uniform(12) of
        N when N < 6 -> leaf();
        N when N < 8 -> elements(Depth, Width);
        N when N < 10 -> list_to_tuple(elements(Depth, Width));
        10 -> elements(Depth, Width) ++ leaf();
        %% Over 32 random keys make some OTP 25 crash with a segmentation fault; large maps have integers.
        11 -> maps:from_list([{term(Depth - 2), term(Depth - 1)} || _ <- elements(1, min(Width, 30))]);
        12 -> fun_of(term(Depth - 1))
    end.

term(Depth) -> term(max(Depth, 0), 4).

elements(Depth, Width) -> [term(Depth - 1) || _ <- lists:seq(1, rand:uniform(Width + 1) - 1)].

leaf() ->
    case rand:uniform(22) of
        1 -> rand:uniform(256) - 1;
        2 -> rand:uniform(1 bsl 32) - (1 bsl 31) - 1;
        N when N < 6 -> edge();
        6 -> float_of(rand:bytes(8));
        7 -> float(rand:uniform(1000));
        8 -> lists:nth(rand:uniform(8), [0.0, -0.0, 1.5, -1.0e300, 5.0e-324, 9007199254740992.0, 1.0e22, 0.1]);
        9 -> rand:bytes(rand:uniform(30) - 1);
        10 -> rand:bytes(rand:uniform(3000) - 1);
        11 -> bits(rand:bytes(rand:uniform(20)), rand:uniform(7));
        12 -> lists:nth(rand:uniform(8), [true, false, nil, undefined, null, ok, '', 'two words']);
        13 -> atom_of(127, 40);
        14 -> atom_of(255, 255);
        15 -> atom_of(16#ffff, 60);
        16 -> lists:nth(rand:uniform(3), [list_to_atom(lists:duplicate(255, 16#1f600)), list_to_atom(lists:duplicate(255, 16#e5)), [] ]);
        17 -> binary_to_list(rand:bytes(rand:uniform(50) - 1));
        18 -> lists:nth(rand:uniform(4), [{}, [], #{}, <<>>]);
        19 -> lists:nth(rand:uniform(3), [self(), remote(<<88>>, <<1:32, 2:32, 3:32>>), remote(<<103>>, <<1:32, 2:32, 3>>)]);
        20 -> lists:nth(rand:uniform(4), [hd(erlang:ports()), remote(<<120>>, <<(1 bsl 40):64, 3:32>>),
                  remote(<<89>>, <<7:32, 3:32>>), remote(<<102>>, <<7:32, 3>>)]);
        21 -> lists:nth(rand:uniform(4), [make_ref(), alias(), remote(<<90, 5:16>>, <<3:32, 1:32, 2:32, 3:32, 4:32, 5:32>>),
                  remote(<<114, 3:16>>, <<3, 1:32, 2:32, 3:32>>)]);
        22 -> fun lists:map/2
    end.

%% Identifiers of another node.
remote(Head, Numbers) -> binary_to_term(<<131, Head/binary, 119, 9, "other@far", Numbers/binary>>).

%% Around the powers of two, where encodings change.
edge() ->
    Bits = lists:nth(rand:uniform(12), [7, 8, 15, 27, 31, 32, 52, 53, 54, 63, 64, rand:uniform(2100)]),
    Value = (1 bsl Bits) + rand:uniform(5) - 3,
    case rand:uniform(2) of
        1 -> Value;
        2 -> -Value
    end.

float_of(<<F/float>>) -> F;
float_of(_) -> 1.25.

bits(Bytes, Last) ->
    Size = bit_size(Bytes) - Last,
    <<Bits:Size/bitstring, _/bitstring>> = Bytes,
    Bits.

atom_of(MaxCharacter, MaxLength) ->
    list_to_atom([character(MaxCharacter) || _ <- lists:seq(1, rand:uniform(MaxLength))]).

character(Max) ->
    case rand:uniform(Max) of
        C when C >= 16#d800, C =< 16#dfff -> $x;
        C -> C
    end.

fun_of(Term) ->
    case rand:uniform(2) of
        1 -> fun() -> Term end;
        2 -> fun(X) -> [X | Term] end
    end.
