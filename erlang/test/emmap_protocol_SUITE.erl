%% The port program by itself: frames, ids, batches, ends. They must be as docs/port-protocol.md says.
-module(emmap_protocol_SUITE).

-export([all/0, init_per_suite/1, end_per_suite/1]).
-export([hello/1, descriptors_3_and_4/1, command_line/1, documented_exchange/1, documented_operations/1,
         documented_errors/1,
         any_id_comes_back/1, long_id/1, bad_terms/1, bad_frames/1, ids_at_the_end/1, frame_that_does_not_go_on/1, oversized_frame/1, truncated_frame/1,
         end_of_input/1, end_of_output/1, requests_before_a_bad_frame_are_answered/1, byte_by_byte/1,
         many_frames_one_write/1, batches/1, runs/1, waits_are_answered_late/1, waits_are_cancelled/1, waits_in_batches/1,
         waits_at_the_end/1,
         sleeps_when_nothing_is_asked/1, data_in_all_forms/1, integers_in_all_forms/1, deep_terms/1,
         every_tag_is_checked/1, handles/1, options_named/1, large_frames/1]).

-include_lib("stdlib/include/assert.hrl").

-import(emmap_test_program, [start/0, start/2, call/2, command/2, reply/1, status/1, stop/1, path/0]).

all() ->
    [hello, descriptors_3_and_4, command_line, documented_exchange, documented_operations, documented_errors, any_id_comes_back, long_id,
     bad_terms, bad_frames, ids_at_the_end, frame_that_does_not_go_on, oversized_frame, truncated_frame, end_of_input, end_of_output,
     requests_before_a_bad_frame_are_answered, byte_by_byte, many_frames_one_write, batches, runs, waits_are_answered_late, waits_are_cancelled, waits_in_batches,
     waits_at_the_end, sleeps_when_nothing_is_asked, data_in_all_forms,
     integers_in_all_forms, deep_terms, every_tag_is_checked, handles, options_named, large_frames].

init_per_suite(Config) ->
    {ok, _} = application:ensure_all_started(emmap), % so that its version is known
    Config.
end_per_suite(_Config) -> ok.

hello(_Config) ->
    {Port, Hello} = start(),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    {emmap_port, 1, Info} = Hello,
    {ok, Version} = application:get_key(emmap, vsn),
    ?assertEqual(list_to_binary(Version), maps:get(version, Info)),
    ?assertMatch(#{os_pid := OsPid, frame_limit := 1073741824, batch_limit := 1048576, wait_limit := 1024}, Info),
    ?assertEqual(lists:sort([batch, cancel, each, hello | documented()]), lists:sort(maps:get(operations, Info))),
    stop(Port).

descriptors_3_and_4(_Config) ->
    {Port, {emmap_port, 1, _}} = start(path(), [nouse_stdio, {args, ["--nouse-stdio"]}]),
    ?assertMatch({1, {error, closed}}, call(Port, {1, {size, 0}})),
    stop(Port),
    {Short, {emmap_port, 1, _}} = start(path(), [nouse_stdio, {args, ["-n"]}]),
    stop(Short).

command_line(_Config) ->
    {ok, Version} = application:get_key(emmap, vsn),
    ?assertEqual({0, "emmap_port " ++ Version ++ "\n", ""}, run(["--version"])),
    ?assertMatch({0, "Usage: " ++ _, ""}, run(["--help"])),
    ?assertMatch({64, "", _}, run(["--frobnicate"])),
    ?assertMatch({64, "", "emmap_port: unexpected argument: x\n" ++ _}, run(["x"])).

%%% The document

document() ->
    {ok, Text} = file:read_file(filename:join([filename:dirname(?FILE), "..", "..", "docs", "port-protocol.md"])),
    Text.

%% The bytes that the document shows, sent and compared.
documented_exchange(Config) ->
    Lines = binary:split(document(), <<"\n">>, [global]),
    {_, [_ | Example]} = lists:splitwith(fun(Line) -> Line =/= <<"## An exchange in bytes">> end, Lines),
    Steps = steps(Example, []),
    ?assertEqual(4, length(Steps)),
    Folder = filename:join(proplists:get_value(priv_dir, Config), "exchange"),
    ok = filelib:ensure_dir(filename:join(Folder, "x")),
    {Port, _} = start(path(), [{cd, Folder}]),
    [begin
         ?assertEqual(Request, binary_to_term(RequestFrame)),
         command(Port, RequestFrame),
         receive {Port, {data, Got}} -> ?assertEqual({Reply, ReplyFrame}, {binary_to_term(Got), Got}) end
     end || {Request, RequestFrame, Reply, ReplyFrame} <- Steps],
    stop(Port).

steps(Lines, Steps) ->
    case term_and_bytes(Lines, <<"→"/utf8>>) of
        {Request, RequestFrame, Rest} ->
            {Reply, ReplyFrame, Others} = term_and_bytes(Rest, <<"←"/utf8>>),
            steps(Others, [{Request, RequestFrame, Reply, ReplyFrame} | Steps]);
        none ->
            lists:reverse(Steps)
    end.

term_and_bytes([<<"    {", Term/binary>> | Lines], Arrow) ->
    Indent = byte_size(Arrow),
    {[<<"    ", Arrow:Indent/binary, First/binary>> | More], Rest} = lists:split(1 + continued(tl(Lines)), Lines),
    {ok, Tokens, _} = erl_scan:string("{" ++ binary_to_list(Term) ++ "."),
    {ok, Parsed} = erl_parse:parse_term(Tokens),
    Digits = binary:replace(iolist_to_binary([First | More]), <<" ">>, <<>>, [global]),
    <<Length:32, Frame:Length/binary>> = binary:decode_hex(Digits),
    {Parsed, Frame, Rest};
term_and_bytes([_ | Lines], Arrow) -> term_and_bytes(Lines, Arrow);
term_and_bytes([], _Arrow) -> none.

continued([<<"      ", _/binary>> | Lines]) -> 1 + continued(Lines);
continued(_) -> 0.

%% The operations of the document's tables: names with arguments, of which the first is a path or a handle.
forms() ->
    {match, Forms} = re:run(document(), "^\\| `\\{([a-z_]+, (?:Path|Handle)(?:, [A-Za-z]+)*)\\}` \\|",
                            [global, multiline, {capture, all_but_first, list}]),
    [string:split(Form, ", ", all) || [Form] <- Forms].

documented() ->
    [list_to_atom(Name) || [Name | _] <- forms()].

%% None of them is unknown with the number of arguments that the document gives it.
documented_operations(Config) ->
    {Port, _} = start(),
    Nowhere = emmap_test:path(Config, "nothing/here"),
    [begin
         Values = [value(Argument, Nowhere) || Argument <- Arguments],
         {Name, Result} = call(Port, {Name, list_to_tuple([list_to_atom(Name) | Values])}),
         ?assertNotEqual({Name, {error, badarg}}, {Name, Result})
     end || [Name | Arguments] <- forms()],
    stop(Port).

%% The page lists the answers of each operation once.
documented_errors(_Config) ->
    [_, Rest] = binary:split(document(), <<"### Errors of each operation">>),
    [Section | _] = binary:split(Rest, <<"## Limits">>),
    {match, Rows} = re:run(Section, "^\\| (`[a-z_]+`(?:, `[a-z_]+`)*) \\|", [global, multiline, {capture, all_but_first, binary}]),
    Names = [binary_to_atom(Name) || [Row] <- Rows, Name <- re:split(Row, "[`, ]+", [trim]), Name =/= <<>>],
    ?assertEqual(lists:sort(documented()), lists:sort(Names)).

value("Path", Path) -> list_to_binary(Path);
value("Options", _) -> [];
value("Whence", _) -> bof;
value("Advice", _) -> normal;
value("Data", _) -> <<"x">>;
value("Shape", _) -> {1, 1, 1};
value("Direction", _) -> forward;
value("Effort", _) -> brief;
value(Name, _) when Name =:= "Messages"; Name =:= "Blocks"; Name =:= "Addresses" -> [];
value(_, _) -> 1.

%%% Requests

any_id_comes_back(_Config) ->
    {Port, _} = start(),
    Pid = self(),
    [?assertEqual({Id, {error, closed}}, call(Port, {Id, {size, 1}}))
     || Id <- [0, -1, 1 bsl 31, 1 bsl 64, -(1 bsl 100), 1.5, a, 'å', '', "string", [], [1 | 2], <<>>, <<1:3>>, <<"bin">>, {},
               {a, {b, [c]}}, #{a => 1, [] => {}}, Pid, make_ref(), Port, fun lists:map/2, alias()]],
    % byte for byte, in a form that term_to_binary does not write
    Id = <<98, 0, 0, 0, 7>>,
    command(Port, <<131, 104, 2, Id/binary, 104, 2, 100, 0, 4, "size", 97, 0>>),
    receive {Port, {data, <<131, 104, 2, 98, 0, 0, 0, 7, _/binary>>}} -> ok end,
    stop(Port).

%%% Waits

start_with_words() ->
    {Port, _} = start(),
    {0, {ok, Words, _}} = call(Port, {0, {open, <<>>, [anon, write, shared, {size, 64}]}}),
    {Port, Words}.

send(Port, Request) -> command(Port, term_to_binary(Request)).

waits_are_answered_late(_Config) ->
    {Port, Words} = start_with_words(),
    Longest = binary:copy(<<"x">>, 250),
    [send(Port, {Id, {wait, Words, 8, 0, infinity}}) || Id <- [1, Longest, {a, [b]}]],
    ?assertEqual({2, {ok, 64}}, call(Port, {2, {size, Words}})),
    ?assertEqual({3, not_equal}, call(Port, {3, {wait, Words, 8, 1 bsl 32, infinity}})),
    ?assertEqual({4, timeout}, call(Port, {4, {wait, Words, 8, 0, 0}})),
    ?assertEqual({5, timeout}, call(Port, {5, {wait, Words, 16, 0, 10}})),
    ?assertEqual({6, {error, einval}}, call(Port, {6, {wait, Words, 8, 0, -1}})),
    ?assertEqual({6, {error, einval}}, call(Port, {6, {notify, Words, 8, 1 bsl 63}})),
    ?assertEqual({6, {error, badarg}}, call(Port, {6, {wait, Words, 8, 0, for_ever}})),
    ?assertEqual({6, {error, badarg}}, call(Port, {6, {wait, Words, 8, 1 bsl 64, 0}})),
    ?assertEqual({7, {ok, 1}}, call(Port, {7, {notify, Words, 8, 1}})),
    {First, ok} = reply(Port),
    ?assertEqual({8, {ok, 2}}, call(Port, {8, {notify, Words, 8, infinity}})),
    ?assertEqual(lists:sort([1, Longest, {a, [b]}]),
                 lists:sort([First | [begin {Id, ok} = reply(Port), Id end || _ <- [1, 2]]])),
    %% In any order: the answer of the close, and that of the wait which it ends.
    send(Port, {9, {wait, Words, 8, 0, infinity}}),
    send(Port, {10, {close, Words}}),
    ?assertEqual([{9, {error, closed}}, {10, ok}], lists:sort([reply(Port), reply(Port)])),
    stop(Port).

waits_are_cancelled(_Config) ->
    {Port, Words} = start_with_words(),
    send(Port, {<<"w">>, {wait, Words, 8, 0, infinity}}),
    ?assertEqual({1, ok}, call(Port, {1, {cancel, <<"v">>}})),
    ?assertEqual({2, ok}, call(Port, {2, {cancel, <<"w">>}})),
    ?assertEqual({<<"w">>, cancelled}, reply(Port)),
    ?assertEqual({3, ok}, call(Port, {3, {cancel, <<"w">>}})),
    ?assertEqual({4, {ok, 0}}, call(Port, {4, {notify, Words, 8, infinity}})),
    %% The cancel comes too late or not: there is one answer.
    [begin
         send(Port, {w, {wait, Words, 8, 0, infinity}}),
         send(Port, {5, {notify, Words, 8, 1}}),
         send(Port, {6, {cancel, w}}),
         Replies = [reply(Port), reply(Port), reply(Port)],
         [{5, {ok, 1}}, {6, ok}, {w, Answer}] = lists:sort(Replies),
         ?assert(lists:member(Answer, [ok, cancelled]))
     end || _ <- lists:seq(1, 100)],
    ?assertEqual({7, {ok, 64}}, call(Port, {7, {size, Words}})),
    stop(Port).

waits_in_batches(_Config) ->
    {Port, Words} = start_with_words(),
    send(Port, {w, {wait, Words, 8, 0, infinity}}),
    ?assertEqual({1, [{error, badarg}, {ok, 0}, {error, badarg}, ok]},
                 call(Port, {1, {batch, [{wait, Words, 8, 0, infinity}, {notify, Words, 16, infinity},
                                         {each, wait, 3, Words, [8, 0, 1]}, {cancel, w}]}})),
    ?assertEqual({w, cancelled}, reply(Port)),
    stop(Port).

%% Those that wait get no answer, and the program ends.
waits_at_the_end(_Config) ->
    {Port, Words} = start_with_words(),
    [send(Port, {Id, {wait, Words, 8, 0, infinity}}) || Id <- lists:seq(1, 20)],
    ?assertEqual({0, {ok, 64}}, call(Port, {0, {size, Words}})),
    {os_pid, OsPid} = erlang:port_info(Port, os_pid),
    stop(Port),
    emmap_test:until(fun() -> not emmap_test:is_os_process(OsPid) end).

long_id(_Config) ->
    {Port, _} = start(),
    Longest = binary:copy(<<"x">>, 250),
    ?assertEqual({Longest, {error, closed}}, call(Port, {Longest, {size, 1}})),
    command(Port, term_to_binary({<<Longest/binary, "x">>, {size, 1}})),
    ?assertEqual(2, status(Port)).

bad_terms(_Config) ->
    {Port, _} = start(),
    [?assertEqual({Operation, {1, {error, badarg}}}, {Operation, call(Port, {1, Operation})})
     || Operation <- [foo, {}, {foo}, {1}, {"size", 1}, [], "pread", 1, 1.0, <<>>, #{}, {size}, {size, 1, 2}, {size, a},
                      {size, 1.0}, {size, <<>>}, {pread, 1}, {pread, 1, 2}, {pread, a, 1, 2}, {open}, {open, "x"},
                      {open, 1, []}, {open, x, []}, {open, <<"x", 0>>, []}, {open, "x", foo}, {open, "x", [read | write]},
                      {open, "x", "read"}, {open, [-1], []}, {open, [256], []}, {open, [$a | $b], []},
                      {counters_open, "x", a, []}, {counters_open, "x", 1}, {close, a}, {close}, {batch}, {batch, a},
                      {batch, [{size, 1} | a]}, {batch, "abc"}, {batch, [], []}, {list_to_atom(lists:duplicate(255, $å)), 1}]],
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 8}]}})),
    [?assertEqual({Operation, {1, {error, badarg}}}, {Operation, call(Port, {1, Operation})})
     || Operation <- [{pread, Handle, a, 1}, {pread, Handle, 0, a}, {pread, Handle, 0, 1.0}, {pwrite, Handle, 0, a},
                      {pwrite, Handle, 0, [a]}, {pwrite, Handle, 0, [256]}, {pwrite, Handle, 0, [-1]},
                      {pwrite, Handle, 0, [1 | 2]}, {pwrite, Handle, 0, <<1:7>>}, {pwrite, Handle, 0, 1},
                      {pwrite, Handle, 0, [[1, [2 | 3]]]}, {pwrite, Handle, 0, {1}}, {pwrite, Handle, 0, #{}},
                      {pwrite, Handle, a, <<"x">>}, {write, Handle, a}, {position, Handle, a, bof},
                      {position, Handle, 0, foo}, {position, Handle, 0, 1}, {patomic_add, Handle, 0, 1 bsl 64},
                      {patomic_add, Handle, 0, -(1 bsl 63) - 1}, {patomic_add, Handle, 0, a}, {advise, Handle, 0, 0, 1}, {advise, Handle, 0, 0, foo},
                      {resize, Handle, a}, {allocate, Handle, 0, a}, {backup, Handle, a}, {backup, Handle, <<0>>}]],
    ?assertEqual({1, {ok, <<0:64>>}}, call(Port, {1, {pread, Handle, 0, 8}})),
    {ok, Queue, _} = element(2, call(Port, {1, {queue_open, <<>>, [anon, write, {size, 4096}]}})),
    {ok, Blocks, _} = element(2, call(Port, {1, {blocks_open, <<>>, 2, 2, [anon, write, {size, 4096}]}})),
    [?assertEqual({Operation, {1, {error, badarg}}}, {Operation, call(Port, {1, Operation})})
     || Operation <- [{queue_open, "x", foo}, {queue_open, 1, []}, {queue_push, Queue, a}, {queue_push, Queue, [256]},
                      {queue_push_many, Queue, a}, {queue_push_many, Queue, "abc"}, {queue_push_many, Queue, <<"abc">>},
                      {queue_push_many, Queue, [<<"abc">> | <<"d">>]}, {queue_push_many, Queue, [<<"abc">>, a]},
                      {queue_push_once, Queue, <<1:120>>, 1, []}, {queue_push_once, Queue, a, 1, []}, {queue_push_once, Queue, <<1:128>>, a, []},
                      {queue_push_once, Queue, <<1:128>>, -1, []}, {queue_push_once, Queue, <<1:128>>, 1, [a]}, {queue_order, Queue, a},
                      {queue_pop_many, Queue, a}, {queue_pop_commit, Queue, a}, {queue_walk, Queue, up, 1, 0},
                      {queue_walk, Queue, 1, 1, 0}, {queue_walk, Queue, forward, a, 0}, {queue_walk, Queue, forward, 1, a},
                      {blocks_open, "x", a, 3, []}, {blocks_open, "x", 8, a, []}, {blocks_open, "x", 8, 3, foo},
                      {blocks_init, Blocks, a, 3}, {block_store, Blocks, a}, {block_store_many, Blocks, "ab"},
                      {block_store_many, Blocks, [<<"ab">> | a]}, {block_read, Blocks, a}, {block_free, Blocks, <<>>},
                      {block_free_many, Blocks, a}, {block_free_many, Blocks, <<"a">>}, {block_free_many, Blocks, [0 | 1]},
                      {block_free_many, Blocks, [0, a]}, {blocks_walk, Blocks, a, 0}, {blocks_walk, Blocks, 1, a},
                      {blocks_repair, Blocks, a, 0}, {blocks_repair, Blocks, 0, a}]],
    [?assertEqual({Operation, {1, Answer}}, {Operation, call(Port, {1, Operation})})
     || {Operation, Answer} <- [{{queue_pop_many, Queue, 1 bsl 70}, {error, einval}}, {{queue_pop_many, Queue, 0}, {ok, []}},
                                {{queue_pop_many, Queue, -1}, {error, einval}}, {{queue_pop_many, Queue, 1 bsl 63}, {error, einval}},
                                {{queue_walk, Queue, forward, -1, 0}, {error, einval}},
                                {{blocks_walk, Blocks, -1, 0}, {error, einval}}, {{blocks_walk, Blocks, 1 bsl 64, 0}, {error, einval}},
                                {{blocks_walk, Blocks, 0, 0}, {ok, [], [], 0}}, {{blocks_walk, Blocks, 1, 1 bsl 62}, {error, estale}},
                                {{blocks_repair, Blocks, -1, 0}, {error, einval}}, {{blocks_repair, Blocks, 1, -1}, {error, estale}},
                                {{queue_pop_commit, Queue, -1}, {error, einval}},
                                {{queue_take, Queue, -1}, {error, einval}}, {{queue_take, Queue, 1 bsl 63}, {error, einval}},
                                {{queue_take, Queue, 1 bsl 64}, {error, einval}},
                                {{queue_release_held, Queue, 1 bsl 65}, {error, einval}},
                                {{queue_pop_abort, Queue, 1 bsl 64}, {error, einval}}, {{queue_length, Queue}, {ok, 0}},
                                {{queue_push_once, Queue, <<1:128>>, 1, []}, {error, enotsup}}, {{queue_order, Queue, 1}, {error, einval}},
                                {{queue_push_many, Queue, []}, ok}, {{queue_push, Queue, []}, {error, einval}},
                                {{queue_push, Blocks, "x"}, {error, einval}}, {{queue_length, Handle}, {error, einval}},
                                {{block_free_many, Blocks, "ab"}, {error, enoent}}, {{block_free_many, Blocks, []}, ok},
                                {{block_read, Blocks, 1 bsl 70}, {error, enoent}}, {{blocks_walk, Blocks, 1 bsl 62, 0}, eof},
                                {{blocks_walk, Blocks, 1, (1 bsl 64) - 1}, eof}, {{blocks_count, Blocks}, {ok, 0}},
                                {{blocks_count, Queue}, {error, einval}}, {{queue_pop, Queue}, eof}]],
    [?assertEqual({Operation, Place, {1, {error, estale}}},
                  {Operation, Place, call(Port, {1, list_to_tuple(tuple_to_list(Operation) ++ [Place])})})
     || Operation <- [{queue_walk, Queue, forward, 1}, {queue_walk, Queue, backward, 1}, {queue_walk, Queue, forward, 0},
                      {blocks_walk, Blocks, 1}, {blocks_walk, Blocks, 0}, {blocks_repair, Blocks, 1}],
        Place <- [-1, -(1 bsl 63), -(1 bsl 63) - 1, -(1 bsl 70), (1 bsl 63), (1 bsl 64) - 2, 1 bsl 64, 1 bsl 70]
                 ++ [N || element(1, Operation) =:= queue_walk, N <- [1, 15, (1 bsl 64) - 1]]],
    stop(Port).

bad_frames(_Config) ->
    [begin
         {Port, _} = start(),
         command(Port, Frame),
         ?assertEqual({Frame, 2}, {Frame, status(Port)})
     end || Frame <- [<<>>, <<131>>, <<130, 106>>, <<"hello">>, term_to_binary(foo), term_to_binary({1}),
                      term_to_binary({1, {size, 1}, 2}), term_to_binary([1, {size, 1}]), term_to_binary(#{1 => {size, 1}}),
                      <<(term_to_binary({1, {size, 1}}))/binary, 0>>,
                      term_to_binary({1, lists:duplicate(1000, a)}, [compressed]),
                      <<131, 104, 2, 97>>, <<131, 104, 2, 97, 1>>, <<131, 104, 2, 97, 1, 255>>,
                      <<131, 108, 255, 255, 255, 255, 97, 1>>, <<131, 105, 255, 255, 255, 255>>,
                      <<131, 104, 2, 97, 1, 109, 255, 255, 255, 255, 0>>, <<131, 116, 255, 255, 255, 255>>]].

ids_at_the_end(_Config) ->
    {Port, _} = start(),
    [?assertEqual({Id, {error, closed}}, call(Port, {Id, {size, 1}, Id})) || Id <- [1, <<1:64>>, foo, {a, [b]}]],
    ?assertEqual({1, [{error, closed}]}, call(Port, {1, {batch, [{size, 1}]}, 1})),
    %% A later request takes the place of the rest of one that was dropped.
    <<Begin:100/binary, _/binary>> = Lost = term_to_binary({<<1:64>>, {pwrite, 1, 0, <<0:1000/unit:8>>}, <<1:64>>}),
    Later = term_to_binary({<<2:64>>, {pwrite, 1, 0, <<0:2000/unit:8>>}, <<2:64>>}),
    command(Port, <<Begin/binary, (binary:part(Later, 0, byte_size(Lost) - 100))/binary>>),
    ?assertEqual(2, status(Port)).

%% Only for a BEAM node. Another client may take its time.
frame_that_does_not_go_on(_Config) ->
    Start = fun(Arguments) ->
        Port = open_port({spawn_executable, path()}, [stream, binary, exit_status, {args, Arguments}]),
        [_Hello] = collect(Port, <<>>, 1),
        true = port_command(Port, <<1000:32, 131>>),
        Port
    end,
    Node = Start(["--client=" ++ os:getpid()]),
    Other = Start([]),
    %% What else comes does not make it go on.
    [begin timer:sleep(100), true = port_command(Node, <<0>>) end || _ <- lists:seq(1, 40)],
    receive {Node, {exit_status, Status}} -> ?assertEqual(2, Status) after 5000 -> error(goes_on) end,
    receive {Other, _} = Message -> error(Message) after 0 -> stop(Other) end.

oversized_frame(_Config) ->
    [?assertEqual({Length, {2, <<>>, true}}, {Length, raw(<<Length:32, "x">>)})
     || Length <- [(1 bsl 30) + 1, 1 bsl 31, 16#ffffffff]].

truncated_frame(_Config) ->
    Whole = frame({1, {size, 1}}),
    [?assertEqual({Length, {2, <<>>, true}}, {Length, raw(binary:part(Whole, 0, Length))})
     || Length <- lists:seq(1, byte_size(Whole) - 1)].

end_of_input(_Config) ->
    {0, Output, false} = raw(frame({1, {size, 1}})),
    ?assertEqual([{1, {error, closed}}], frames(Output)),
    ?assertEqual({0, <<>>, false}, raw(<<>>)).

%% A file that is to be deleted when it closes shows that the program closed it.
end_of_output(Config) ->
    Path = emmap_test:fresh(Config, "end-of-output", <<"12345678">>),
    Input = [frame({1, {open, unicode:characters_to_binary(Path), [write, shared, auto_unlink]}}),
             [frame({Id, {batch, lists:duplicate(10000, {pread, 1 bsl 24, 0, 8})}}) || Id <- lists:seq(1, 50)]],
    InputPath = emmap_test:fresh(Config, "end-of-output.in", Input),
    % the status goes past the reader, who leaves after ten bytes
    Command = "{ { '" ++ path() ++ "' <'" ++ InputPath ++ "'; echo $? >&3; } | head -c 10 >/dev/null; } 3>&1",
    ?assertEqual("0\n", os:cmd(Command)),
    ?assertNot(filelib:is_file(Path)).

requests_before_a_bad_frame_are_answered(_Config) ->
    {2, Output, true} = raw([frame({1, {size, 1}}), frame({2, {size, 1}}), frame(nonsense), frame({3, {size, 1}})]),
    ?assertEqual([{1, {error, closed}}, {2, {error, closed}}], frames(Output)).

%% The bytes make the same frames, in any pieces.
byte_by_byte(_Config) ->
    Port = open_port({spawn_executable, path()}, [stream, binary, exit_status]),
    Request = frame({1, {size, 1}}),
    [true = port_command(Port, <<Byte>>) || <<Byte>> <= <<Request/binary, Request/binary>>],
    [_Hello | Replies] = collect(Port, <<>>, 3),
    ?assertEqual([{1, {error, closed}}, {1, {error, closed}}], Replies),
    stop(Port).

collect(Port, Bytes, Count) ->
    case frames(Bytes) of
        Frames when length(Frames) =:= Count -> Frames;
        _ -> receive {Port, {data, More}} -> collect(Port, <<Bytes/binary, More/binary>>, Count) end
    end.

many_frames_one_write(_Config) ->
    Port = open_port({spawn_executable, path()}, [stream, binary, exit_status]),
    [_Hello] = collect(Port, <<>>, 1),
    true = port_command(Port, [frame({Id, {size, 1}}) || Id <- lists:seq(1, 1000)]),
    ?assertEqual([{Id, {error, closed}} || Id <- lists:seq(1, 1000)], collect(Port, <<>>, 1000)),
    stop(Port).

batches(_Config) ->
    {Port, _} = start(),
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 8}]}})),
    ?assertEqual({2, []}, call(Port, {2, {batch, []}})),
    ?assertEqual({3, [ok, {ok, <<"abc">>}, eof, {error, badarg}, {error, badarg}, {error, closed}, {error, einval}, {ok, 0}]},
                 call(Port, {3, {batch, [{pwrite, Handle, 0, ["a", <<"bc">>]}, {pread, Handle, 0, 3}, {pread, Handle, 8, 1},
                                         foo, {batch, [{size, Handle}]}, {size, 12345}, {pwrite, Handle, 7, "xy"},
                                         {position, Handle, 0, bof}]}})),
    ?assertEqual({4, {error, badarg}}, call(Port, {4, {batch, [{pwrite, Handle, 0, "x"} | {size, 1}]}})),
    ?assertEqual({5, {error, emsgsize}},
                 call(Port, {5, {batch, [{pwrite, Handle, 0, "x"} | lists:duplicate(1 bsl 20, a)]}})),
    ?assertEqual({6, {ok, <<"abc">>}}, call(Port, {6, {pread, Handle, 0, 3}})),
    {7, Results} = call(Port, {7, {batch, lists:duplicate(1 bsl 20, a)}}),
    ?assertEqual(1 bsl 20, length(Results)),
    stop(Port).

%% Operations of one name, written together.
runs(_Config) ->
    {Port, _} = start(),
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 16}]}})),
    Ask = fun(Operations) -> {2, Answer} = call(Port, {2, {batch, Operations}}), Answer end,
    % arguments that come as a string of bytes, and others; data; another operation between; a run of none
    ?assertEqual([{ok, 0}, {ok, 1}, {ok, 0}, {ok, 3}, {ok, 255}, ok, ok, {ok, <<"abcd">>}, {ok, 16}, {ok, 1}],
                 Ask([{each, patomic_add, 2, Handle, [0, 1, 0, 2, 8, 255]},
                      {each, patomic_exchange, 2, Handle, [0, -1, 8, 0]},
                      {each, patomic_add, 2, Handle, []},
                      {each, pwrite, 2, Handle, [0, <<"ab">>, 2, [$c, [<<"d">>]]]},
                      {pread, Handle, 0, 4},
                      {each, position, 2, Handle, [0, eof]},
                      {each, position, 2, Handle, [1, bof]}])),
    % each failing operation fails by itself, as often as it was sent
    ?assertEqual([{error, alignment}, {ok, 0}, {error, badarg}],
                 Ask([{each, patomic_load, 1, Handle, [1, 8, a]}])),
    ?assertEqual([{error, closed}, {error, closed}], Ask([{each, patomic_load, 1, 1, [0, 8]}])),
    ?assertEqual([{error, badarg}, {error, badarg}], Ask([{each, patomic_load, 1, a, [0, 8]}])),
    ?assertEqual([{error, badarg}, {error, badarg}], Ask([{each, nothing, 3, Handle, "abcdef"}])),
    ?assertEqual([{error, badarg}, {error, badarg}], Ask([{each, patomic_load, 2, Handle, [0, 0, 8, 8]}])),
    ?assertEqual([{error, badarg}], Ask([{each, open, 1, <<"a">>, [[]]}])),
    ?assertEqual([{error, badarg}], Ask([{each, patomic_load, 1 bsl 64, Handle, [0]}])),
    % a run with an unreadable count
    [?assertEqual({Run, [{error, badarg}, {ok, 16}]}, {Run, Ask([Run, {size, Handle}])})
     || Run <- [{each, patomic_add, 2, Handle, [0, 1, 0]}, {each, patomic_add, 2, Handle, "abc"},
                {each, patomic_load, 1, Handle, [0 | 8]}, {each, patomic_load, 1, Handle, a},
                {each, size, 0, Handle, []}, {each, patomic_load, -1, Handle, []}, {each, patomic_load, -1, Handle, [0]}, {each, patomic_load, a, Handle, [0]},
                {each, patomic_load, 1, Handle}, {each}]],
    % only in a batch, and its operations count
    ?assertEqual({3, {error, badarg}}, call(Port, {3, {each, patomic_load, 1, Handle, [0]}})),
    ?assertEqual({error, emsgsize}, Ask([{each, patomic_store, 2, Handle, [0, 7]},
                                         {each, patomic_load, 1, Handle, lists:duplicate(1 bsl 20, 0)}])),
    ?assertEqual([{ok, <<"abcd">>}], Ask([{pread, Handle, 0, 4}])),
    stop(Port).

%% A program that spins for the next request must stop when there is none.
sleeps_when_nothing_is_asked(_Config) ->
    {Port, {emmap_port, 1, #{os_pid := OsPid}}} = start(),
    _ = [{Id, {error, closed}} = call(Port, {Id, {size, 1}}) || Id <- lists:seq(1, 1000)],
    ok = asleep(OsPid),
    stop(Port).

asleep(OsPid) ->
    {ok, Stat} = file:read_file("/proc/" ++ integer_to_list(OsPid) ++ "/stat"),
    [_, <<" ", State, _/binary>>] = string:split(Stat, ")", trailing),
    case State of
        $S -> ok;
        $R -> asleep(OsPid)
    end.

data_in_all_forms(_Config) ->
    {Port, _} = start(),
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 1 bsl 20}]}})),
    Long = lists:duplicate(70000, $y),
    [begin
         ?assertEqual({Data, {1, ok}}, {Data, call(Port, {1, {pwrite, Handle, 1, Data}})}),
         Expected = iolist_to_binary(Data),
         ?assertEqual({Data, {1, {ok, Expected}}}, {Data, call(Port, {1, {pread, Handle, 1, byte_size(Expected)}})})
     end || Data <- [<<"x">>, "x", "abc", [0, 255], ["ab" | <<"c">>], [["a", [[]], <<>>], "b", [[[<<"cd">>]]]],
                     [<<"a">>, $b, "cd", [$e]], Long, [Long, <<"x">> | <<"end">>], [[[] | <<"a">>], [[$b]], "c"]]],
    % a list's tail that is a list, as term_to_binary never writes it; and a byte as a 32-bit integer
    Operation = <<104, 4, 119, 6, "pwrite", (integer(Handle))/binary, 97, 0>>,
    command(Port, <<131, 104, 2, 97, 9, Operation/binary, 108, 1:32, 98, $a:32, 108, 1:32, 97, $b, 107, 2:16, "cd">>),
    ?assertEqual({9, ok}, reply(Port)),
    ?assertEqual({1, {ok, <<"abcd">>}}, call(Port, {1, {pread, Handle, 0, 4}})),
    ?assertEqual({1, ok}, call(Port, {1, {pwrite, Handle, 0, [[], <<>>, [[]]]}})),
    % a byte as a big integer: of one digit, of none, with zeros behind it, with a length of 32 bits
    Big = fun(Elements) ->
        Count = length(Elements),
        command(Port, <<131, 104, 2, 97, 9, Operation/binary, 108, Count:32, (iolist_to_binary(Elements))/binary, 106>>),
        reply(Port)
    end,
    ?assertEqual({9, ok}, Big([<<110, 1, 0, $v>>, <<110, 0, 0>>, <<110, 3, 0, $w, 0, 0>>, <<111, 2:32, 0, $x, 0>>, <<97, $y>>])),
    ?assertEqual({1, {ok, <<"v", 0, "wxy">>}}, call(Port, {1, {pread, Handle, 0, 5}})),
    [?assertEqual({Wrong, {9, {error, badarg}}}, {Wrong, Big([Wrong])})
     || Wrong <- [<<110, 1, 1, 7>>, <<110, 2, 0, 0, 1>>, <<111, 9:32, 0, 255, 0:56, 1>>]],
    stop(Port).

integer(Integer) ->
    <<131, Encoded/binary>> = term_to_binary(Integer),
    Encoded.

integers_in_all_forms(_Config) ->
    {Port, _} = start(),
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 16}]}})),
    Store = fun(Encoded) ->
        command(Port, <<131, 104, 2, 97, 1, 104, 4, 119, 13, "patomic_store", (integer(Handle))/binary, 97, 8, Encoded/binary>>),
        {1, Answer} = reply(Port),
        Answer
    end,
    [begin
         ?assertEqual({Encoded, ok}, {Encoded, Store(Encoded)}),
         ?assertEqual({Encoded, {1, {ok, Value}}}, {Encoded, call(Port, {1, {patomic_load, Handle, 8}})})
     end || {Encoded, Value} <-
                [{<<97, 200>>, 200}, {<<98, -5:32>>, -5}, {<<110, 1, 0, 7>>, 7}, {<<110, 1, 1, 7>>, -7},
                 {<<111, 8:32, 0, 1:64/little>>, 1}, {<<110, 8, 1, (1 bsl 63):64/little>>, -(1 bsl 63)},
                 {<<110, 8, 0, (1 bsl 63):64/little>>, -(1 bsl 63)}, {<<110, 8, 0, -1:64>>, -1}, {<<110, 0, 0>>, 0}]],
    [?assertEqual({Encoded, {error, badarg}}, {Encoded, Store(Encoded)})
     || Encoded <- [<<110, 8, 1, ((1 bsl 63) + 1):64/little>>, <<110, 9, 0, (1 bsl 64):72/little>>,
                    <<111, 300:32, 1, 255:2400>>, <<70, 1.0/float>>, <<119, 1, "a">>]],
    [?assertEqual({Position, {1, {error, einval}}}, {Position, call(Port, {1, {pread, Handle, Position, 8}})})
     || Position <- [-1, 1 bsl 63, (1 bsl 64) - 8, 1 bsl 64, 1 bsl 1000, -(1 bsl 64)]],
    stop(Port).

%% Depth costs neither the stack nor more than its own bytes.
deep_terms(_Config) ->
    {Port, _} = start(),
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, 16}]}})),
    Depth = 2000000,
    Lists = iolist_to_binary([binary:copy(<<108, 1:32>>, Depth), <<97, $x>>, binary:copy(<<106>>, Depth)]),
    command(Port, <<131, 104, 2, 97, 1, 104, 4, 119, 6, "pwrite", (integer(Handle))/binary, 97, 0, Lists/binary>>),
    ?assertEqual({1, ok}, reply(Port)),
    ?assertEqual({1, {ok, <<"x">>}}, call(Port, {1, {pread, Handle, 0, 1}})),
    Tuples = iolist_to_binary([binary:copy(<<104, 1>>, Depth), <<97, 1>>]),
    command(Port, <<131, 104, 2, 97, 2, Tuples/binary>>),
    ?assertEqual({2, {error, badarg}}, reply(Port)),
    Open = binary:copy(<<108, 1:32>>, Depth),
    command(Port, <<131, 104, 2, 97, 2, Open/binary>>),
    ?assertEqual(2, status(Port)).

%% A frame that is cut anywhere is a bad frame.
every_tag_is_checked(_Config) ->
    Terms = [1, 1000, 1 bsl 40, -(1 bsl 3000), 1.5, a, 'å', "ab", [a], <<"abc">>, <<1:3>>, {a}, list_to_tuple(lists:seq(1, 300)),
             #{a => b}, self(), make_ref(), fun lists:map/2, hd(erlang:ports()),
             begin X = self(), fun() -> X end end],
    External = [<<99, (list_to_binary(io_lib:format("~-31s", ["1.5"])))/binary>>, <<115, 1, "a">>, <<118, 0, 1, "a">>,
                <<100, 0, 1, "a">>, <<101, 119, 1, "n", 1:32, 0>>, <<102, 119, 1, "n", 1:32, 0>>,
                <<103, 119, 1, "n", 1:32, 2:32, 0>>, <<114, 1:16, 119, 1, "n", 0, 1:32>>, <<89, 119, 1, "n", 1:32, 2:32>>,
                <<120, 119, 1, "n", 1:64, 2:32>>, <<117, 0:32, 103, 119, 1, "n", 1:32, 2:32, 0, 119, 1, "m", 97, 0, 97, 0>>],
    Bodies = [binary:part(Encoded, 1, byte_size(Encoded) - 1) || Encoded <- [term_to_binary(Term) || Term <- Terms]] ++ External,
    {Port, _} = start(),
    [begin
         command(Port, <<131, 104, 2, 97, 1, Body/binary>>),
         ?assertEqual({Body, {1, {error, badarg}}}, {Body, reply(Port)})
     end || Body <- Bodies],
    stop(Port),
    [?assertMatch({Body, Cut, {2, <<>>, true}}, {Body, Cut, raw(framed(<<131, 104, 2, 97, 1, (binary:part(Body, 0, Cut))/binary>>))})
     || Body <- Bodies, Cut <- lists:usort([0, 1, byte_size(Body) div 2, byte_size(Body) - 1]), Cut < byte_size(Body)].

handles(Config) ->
    {Port, _} = start(),
    Path = list_to_binary(emmap_test:fresh(Config, "handles", <<"12345678">>)),
    {ok, First, #{exist := true, size := 8}} = element(2, call(Port, {1, {open, Path, []}})),
    ?assertEqual({1, ok}, call(Port, {1, {close, First}})),
    {ok, Second, _} = element(2, call(Port, {1, {open, Path, []}})),
    ?assertNotEqual(First, Second),
    [?assertEqual({Handle, {1, {error, closed}}}, {Handle, call(Port, {1, {size, Handle}})})
     || Handle <- [First, 0, -1, Second + 1, 1 bsl 63, (1 bsl 64) - 1, 1 bsl 64]],
    [?assertEqual({1, ok}, call(Port, {1, {close, Handle}})) || Handle <- [First, 12345]],
    ?assertEqual({1, {ok, 8}}, call(Port, {1, {size, Second}})),
    Handles = [element(2, element(2, call(Port, {1, {open, Path, []}}))) || _ <- lists:seq(1, 200)],
    ?assertEqual(200, length(lists:usort(Handles))),
    [?assertEqual({1, ok}, call(Port, {1, {close, Handle}})) || Handle <- Handles],
    stop(Port).

options_named(_Config) ->
    {Port, _} = start(),
    [?assertEqual({1, {error, {badarg, Option}}}, call(Port, {1, {open, <<"x">>, [read, Option, write]}}))
     || Option <- [foo, {foo, 1}, {size, -1}, {size, a}, {size, 1 bsl 64}, size, {read, 1}, "read", {size, 1, 2}, {1, 2}, 1.5,
                   binary:copy(<<"x">>, 60000)]],
    ?assertEqual({1, {error, badarg}}, call(Port, {1, {open, <<"x">>, [binary:copy(<<"x">>, 70000)]}})),
    stop(Port).

large_frames(_Config) ->
    {Port, _} = start(),
    Size = 64 bsl 20,
    {ok, Handle, _} = element(2, call(Port, {1, {open, <<>>, [anon, write, {size, Size}]}})),
    Data = binary:copy(<<"0123456789abcdef">>, Size div 16),
    ?assertEqual({1, ok}, call(Port, {1, {pwrite, Handle, 0, Data}})),
    {2, {ok, Read}} = call(Port, {2, {pread, Handle, 0, Size}}),
    ?assert(Read =:= Data),
    {3, Both} = call(Port, {3, {batch, [{pread, Handle, 0, Size}, {size, Handle}, {pread, Handle, 1, 2}]}}),
    ?assertMatch([{ok, <<"0123", _/binary>>}, {ok, Size}, {ok, <<"12">>}], Both),
    % together they would pass the limit
    {4, Many} = call(Port, {4, {batch, lists:duplicate(20, {pread, Handle, 0, Size})}}),
    ?assertEqual(lists:duplicate(15, ok) ++ lists:duplicate(5, {error, emsgsize}),
                 [case Result of {ok, _} -> ok; _ -> Result end || Result <- Many]),
    ?assertEqual({5, {ok, Size}}, call(Port, {5, {size, Handle}})),
    stop(Port).

%%% The program with its input and output in files, so that its end of input can be seen

framed(Bytes) -> <<(byte_size(Bytes)):32, Bytes/binary>>.

frame(Term) -> framed(term_to_binary(Term)).

frames(<<Length:32, Frame:Length/binary, Rest/binary>>) -> [binary_to_term(Frame) | frames(Rest)];
frames(_) -> [].

%% {Status, Output without the hello frame, true if it wrote to standard error}.
raw(Input) ->
    {Status, Output, Message} = run([], Input),
    <<Length:32, _:Length/binary, Rest/binary>> = Output,
    {Status, Rest, Message =/= <<>>}.

run(Arguments) ->
    {Status, Output, Message} = run(Arguments, <<>>),
    {Status, binary_to_list(Output), binary_to_list(Message)}.

run(Arguments, Input) ->
    Folder = string:trim(os:cmd("mktemp -d")),
    Names = [In, Out, Err] = [filename:join(Folder, Name) || Name <- ["in", "out", "err"]],
    ok = file:write_file(In, Input),
    Command = lists:join(" ", ["'" ++ path() ++ "'" | Arguments]),
    Status = os:cmd(lists:flatten([Command, " <", In, " >", Out, " 2>", Err, "; echo $?"])),
    [_, {ok, Output}, {ok, Message}] = [file:read_file(Name) || Name <- Names],
    ok = file:del_dir_r(Folder),
    {list_to_integer(string:trim(Status)), Output, Message}.
