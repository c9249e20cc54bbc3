-module(emmap_cluster_folder).

-include("emmap_doc.hrl").

?MODULEDOC(false).

%% The folder of a cluster's host. docs/cluster.md lists its files.
%%
%% The files of origins are mapped, so what was stored in them survives a kill of the node. After a power cut only what the file
%% `state' names is trusted. It is written when all that it names is on the disk.

-export([open/4, close/1, own/1, others/1, origin/1, count/1, base/1, read_own/1, has_changed/2]).
-export([store/4, add_to_others/2, fill_others/2, forget/2, renew/3, beat/2]).
-export([next_version/2, has_used/3, may_use/2, prepare_save/4, saved/2, not_saved/1, hex/1, id/1]).

-export_type([folder/0, nodes/0, renewed/0]).

-include("emmap_file.hrl").
-include_lib("kernel/include/logger.hrl").

%% Where the first counter of a file is.
-define(HEADER, 16).
%% The first counter of an origin's file is the version of the values behind it. A copy of the file that is made meanwhile then
%% has a version that is too low, which does no harm.
-define(VALUES, (?HEADER + 8)).
%% A version is a count, and in its lowest bits a tag that each start of the process draws. So a folder that was set back does not
%% use versions again, and knows those of its origin that it has not made itself: see has_used/3.
-define(TAG_BITS, 20).
-define(TAGS, (1 bsl ?TAG_BITS)).
%% As many starts are remembered.
-define(MOST_STARTS, 100).
-define(STATUS_WORDS, 4).
-define(OWN_LINK, <<"own.link">>).

-record(folder, {
    path :: binary(),
    options :: [emmap:open_option()],
    lock :: emmap:counters(), %% exclusive: one process at a time has the folder
    own :: emmap:counters(),
    look :: emmap:file(), %% own.bin once more, to see without a copy whether it has changed
    others :: emmap:counters(),
    status :: emmap:counters(),
    origin :: emmap_cluster_merge:id(), %% this host's
    base :: binary(), %% own.bin's values when this origin began
    inode :: non_neg_integer(), %% of own.bin
    reserved = 0 :: non_neg_integer(), %% versions up to this one may be used
    tag :: non_neg_integer(),
    %% The versions that each start of the process with this origin has used, this start's first.
    starts = [] :: [{First :: pos_integer(), Last :: non_neg_integer()}],
    step :: pos_integer(),
    files = #{} :: #{emmap_cluster_merge:id() => emmap:counters()},
    changed = #{} :: #{emmap_cluster_merge:id() => true} %% since the last save
}).

-opaque folder() :: #folder{}.
%% The node on which an origin was last.
-type nodes() :: #{emmap_cluster_merge:id() => binary()}.
%% Why the host is a new origin.
-type renewed() :: no | copied | power_cut | replaced | no_state.

-spec own(folder()) -> emmap:counters().
own(#folder{own = Own}) -> Own.

-spec others(folder()) -> emmap:counters().
others(#folder{others = Others}) -> Others.

-spec origin(folder()) -> emmap_cluster_merge:id().
origin(#folder{origin = Origin}) -> Origin.

-spec count(folder()) -> pos_integer().
count(#folder{own = {_, Count}}) -> Count.

-spec base(folder()) -> binary().
base(#folder{base = Base}) -> Base.

-spec hex(emmap_cluster_merge:id()) -> binary().
hex(<<Number:128>>) -> iolist_to_binary(string:lowercase(io_lib:format("~32.16.0b", [Number]))).

-spec id(term()) -> {ok, emmap_cluster_merge:id()} | error.
id(Hex) when is_binary(Hex), byte_size(Hex) =:= 32 ->
    try {ok, <<(binary_to_integer(Hex, 16)):128>>}
    catch error:badarg -> error
    end;
id(_) -> error.

%%% Opening

%% Opens the folder, or makes it. `Step': how many versions are reserved at a time.
-spec open(file:name_all(), Count :: non_neg_integer(), Step :: pos_integer(), [emmap:open_option()]) ->
    {ok, folder(), emmap_cluster_merge:known(), nodes(), renewed()} | {error, {emmap, file:name_all(), term()}}.
open(Name, Count, Step, Options) ->
    try
        {ok, Path} = must(emmap_options:path(Name), Name),
        Origins = <<Path/binary, "/origins">>,
        ok = must(filelib:ensure_dir(<<Origins/binary, "/x">>), Origins),
        Lock = emmap_lock:inherit(fun() -> emmap:open_counters(path(Path, <<"lock">>), 1, [exclusive | Options]) end),
        _ = must(Lock, path(Path, <<"lock">>)),
        %% A second name keeps the file if somebody removes own.bin; and while it is there no other file can have the same inode.
        _ = file:make_link(path(Path, ?OWN_LINK), path(Path, <<"own.bin">>)),
        IsNew = filelib:file_size(path(Path, <<"own.bin">>)) =:= 0,
        {_, There} = Own = open_counters(Path, <<"own.bin">>, Count, Options),
        {ok, Names} = must(file:list_dir(Origins), Origins),
        <<Tag:?TAG_BITS, _/bitstring>> = emmap_state_file:random_id(),
        load(read_state(Path), IsNew, [Id || File <- Names, {ok, Id} <- [origin_of(File)]], #folder{
            path = Path, options = Options, lock = Lock, own = Own, step = Step, tag = Tag, origin = emmap_state_file:random_id(), base = <<0:There/unit:64>>,
            inode = inode(path(Path, <<"own.bin">>)),
            look = look(Path, Options), others = open_derived(Path, <<"others.bin">>, There, Options),
            status = open_derived(Path, <<"status.bin">>, ?STATUS_WORDS, Options)
        })
    catch
        throw:{emmap, _, _} = Reason -> {error, Reason}
    end.

must({error, Reason}, Path) -> throw({emmap, Path, Reason});
must(Done, _Path) -> Done.

open_counters(Folder, Name, Count, Options) ->
    Path = <<Folder/binary, "/", Name/binary>>,
    must(emmap:open_counters(Path, Count, Options), Path).

%% A file whose contents come again: from the files of origins, from other hosts, or from own.bin. If it is damaged, it begins anew.
open_derived(Folder, Name, Count, Options) ->
    try open_counters(Folder, Name, Count, Options)
    catch throw:{emmap, Path, corrupt} ->
        ok = must(file:write_file(Path, <<>>, [raw]), Path),
        ?LOG_WARNING(#{label => {emmap, rebuilt}, path => Path}),
        open_counters(Folder, Name, Count, Options)
    end.

look(Folder, Options) ->
    Path = path(Folder, <<"own.bin">>),
    Flags = [Option || Option <- Options, Option =:= shared_unsafe orelse is_tuple(Option) andalso element(1, Option) =:= backend],
    element(2, must(emmap:open(Path, [read, shared, direct | Flags]), Path)).

origin_of(File) ->
    case filename:extension(File) of
        ".bin" -> id(list_to_binary(filename:basename(File, ".bin")));
        _ -> error
    end.

name(Id, Extension) -> <<"origins/", (hex(Id))/binary, Extension/binary>>.

path(Path, Name) -> <<Path/binary, "/", Name/binary>>.

load(State, IsNew, Ids, #folder{path = Path} = Opened) ->
    Why = how_ended(State, IsNew, Opened),
    Forgotten = [Id || Hex <- maps:get(forgotten, State, []), {ok, Id} <- [id(Hex)]],
    {Folder, Loaded} = lists:foldl(fun(Id, Before) -> load_origin(Id, Why, State, Before) end,
                                   {Opened, emmap_cluster_merge:new(count(Opened))}, Ids -- Forgotten),
    _ = [file:delete(path(Path, name(Id, <<".bin">>))) || Id <- Forgotten],
    Known = lists:foldl(fun(Id, Before) -> element(2, emmap_cluster_merge:forget(Id, Before)) end, Loaded, Forgotten),
    Nodes = maps:from_list([{Id, Node} || {Hex, Node} <- maps:to_list(maps:get(nodes, State, #{})), {ok, Id} <- [id(Hex)]]),
    {Mine, Now, Renewed} = settle(lost_state(Why, Known), State, Known, Folder),
    ok = fill_others(Now, Mine),
    {Save, Reserved, Prepared} = prepare_save(false, Now, Nodes, Mine),
    ok = must(Save(), Path),
    #folder{origin = Origin} = Saved = saved(Reserved, Prepared),
    keep_own(Saved),
    _ = [file:delete(path(Path, <<"origins/", (list_to_binary(File))/binary>>))
         || File <- filelib:wildcard("*.base", binary_to_list(path(Path, <<"origins">>))),
            File =/= binary_to_list(<<(hex(Origin))/binary, ".base">>)],
    {ok, Saved, Now, Nodes, Renewed}.

load_origin(Id, Why, State, {#folder{path = Path} = Before, Known}) ->
    #folder{files = #{Id := {File, Words}}} = Folder = with_file(Id, Before),
    {ok, <<Stored:64/signed-little, Values/binary>>} = must(emmap:pread(File, ?HEADER, 8 * Words), Path),
    Version = case Why of
        %% The values may be newer than this version, which does no harm.
        power_cut -> maps:get(hex(Id), maps:get(versions, State), 0);
        _ -> max(Stored, 0)
    end,
    {Folder, emmap_cluster_merge:load(Id, Version, Values, Known)}.

%% Opens the file of an origin, or makes it.
with_file(Id, #folder{path = Path, files = Files, options = Options} = Folder) ->
    case Files of
        #{Id := _} -> Folder;
        #{} -> Folder#folder{files = Files#{Id => open_derived(Path, name(Id, <<".bin">>), count(Folder) + 1, Options)}}
    end.

%% How the last run ended, and whether own.bin is the file from then.
how_ended(State, _IsNew, _Folder) when map_size(State) =:= 0 -> first;
how_ended(#{inode := Before, clean := Clean, boot := Boot}, IsNew, #folder{path = Path, inode = Inode}) ->
    IsTrusted = Clean orelse Boot =/= none andalso Boot =:= emmap_state_file:boot(),
    case Inode =:= Before andalso not IsNew of
        true when Clean -> stopped;
        true when IsTrusted -> killed;
        true -> power_cut;
        false ->
            case IsNew orelse inode_or_none(path(Path, ?OWN_LINK)) =:= Before of
                true when IsTrusted -> replaced; % the folder is the same
                true -> power_cut;
                false when Clean -> moved;
                false -> copied
            end
    end.

%% A host that has never published anything has no origin with a version.
lost_state(first, Known) ->
    case [Id || Id <- emmap_cluster_merge:ids(Known), emmap_cluster_merge:version(Id, Known) > 0] of
        [] -> first;
        _ -> no_state
    end;
lost_state(Why, _Known) -> Why.

inode(Path) ->
    {ok, #file_info{inode = Inode}} = must(file:read_file_info(Path), Path),
    Inode.

inode_or_none(Path) ->
    case file:read_file_info(Path) of
        {ok, #file_info{inode = Inode}} -> Inode;
        {error, _} -> none
    end.

%% A file system may have no second names.
keep_own(#folder{path = Path, inode = Inode}) ->
    Link = path(Path, ?OWN_LINK),
    case inode_or_none(Link) of
        Inode -> ok;
        _ ->
            _ = file:delete(Link),
            _ = file:make_link(path(Path, <<"own.bin">>), Link),
            ok
    end.

%% Which origin the host is now.
settle(first, _State, Known, #folder{origin = Id} = Folder) ->
    {begun(0, [], with_file(Id, Folder)), emmap_cluster_merge:own(Id, 0, Known), no};
settle(no_state, _State, Known, Folder) -> renewed(no_state, read_own(Folder), Known, Folder);
settle(Why, #{origin := Hex, reserved := Reserved, versions := Versions} = State, Known, Opened) ->
    {ok, Id} = id(Hex),
    Folder = with_base(with_file(Id, Opened#folder{origin = Id})),
    Last = emmap_cluster_merge:version(Id, Known),
    Starts = maps:get(starts, State, []),
    IsWhole = Last >= maps:get(Hex, Versions, 0),
    case Why of
        stopped when IsWhole -> {begun(Last, former_starts(Starts, Last), Folder), emmap_cluster_merge:own(Id, Last, Known), no};
        %% No version that was used may be used again for other values.
        killed when IsWhole ->
            {Begun, First} = behind(max(Last, Reserved), former_starts(Starts, Last), Folder),
            {store(Id, First, [], Begun), emmap_cluster_merge:own(Id, First, Known), no};
        %% The file of this host's origin was lost. own.bin has all that was published.
        _ when Why =:= stopped; Why =:= killed ->
            {Begun, First} = behind(Reserved, former_starts(Starts, Reserved), Folder),
            Values = emmap_cluster_merge:subtract_words(read_own(Begun), Begun#folder.base),
            {store(Id, First, [{0, Values, Values}], Begun), emmap_cluster_merge:load(Id, First, Values, Known), no};
        %% What was added since the last publication belongs to the new origin.
        moved when IsWhole ->
            Published = published(Known, Folder),
            Own = read_own(Folder),
            case [less || {_, Difference} <- emmap_cluster_merge:difference(Published, Own), Difference < 0] of
                [] -> renewed(copied, Published, Known, Folder);
                _ -> renewed(replaced, Own, Known, Folder)
            end;
        moved -> renewed(copied, read_own(Folder), Known, Folder);
        %% own.bin may be older or newer than what was published.
        _ -> renewed(Why, read_own(Folder), Known, Folder)
    end.

renewed(Why, Base, Known, Folder) ->
    {New, Now} = renew(Base, Known, Folder),
    {New, Now, Why}.

behind(Version, Former, Folder) ->
    #folder{starts = [{First, _} | _]} = Begun = begun(Version, Former, Folder),
    {Begun, First}.

begun(Version, Former, Folder) -> Folder#folder{starts = [{next_version(Version, Folder), 0} | lists:sublist(Former, ?MOST_STARTS)]}.

%% The last start has used the versions up to the one that its file has: a version is stored before it is told.
former_starts([{First, _} | Former], Last) when First =< Last -> [{First, Last} | Former];
former_starts([_ | Former], _Last) -> Former;
former_starts([], _Last) -> [].

with_base(#folder{path = Path, origin = Id, base = Zeros} = Folder) ->
    File = path(Path, name(Id, <<".base">>)),
    case file:read_file(File) of
        {ok, Base} when byte_size(Base) =:= byte_size(Zeros) -> Folder#folder{base = Base};
        {ok, _} -> throw({emmap, File, corrupt});
        {error, enoent} -> Folder;
        {error, Reason} -> throw({emmap, File, Reason})
    end.

%% own.bin's values when they were last published.
published(Known, #folder{origin = Id, base = Base}) ->
    emmap_cluster_merge:add_words(Base, emmap_cluster_merge:values(Id, Known)).

-spec close(folder()) -> ok.
close(#folder{lock = Lock, own = Own, look = Look, others = Others, status = Status, files = Files}) ->
    _ = emmap:close(Look),
    lists:foreach(fun(Counters) -> emmap:close_counters(Counters) end, [Own, Others, Status | maps:values(Files)] ++ [Lock]).

%%% Values

-spec read_own(folder()) -> binary().
read_own(#folder{own = {File, Count}}) ->
    case check(emmap:pread(File, ?HEADER, 8 * Count), File) of
        {ok, Values} when byte_size(Values) =:= 8 * Count -> Values;
        _ -> check({error, efault}, File)
    end.

%% Whether own.bin has other values than these. Most looks find none, so over the NIF they copy nothing.
-spec has_changed(Values :: binary(), folder()) -> boolean().
has_changed(Values, #folder{look = File}) ->
    case emmap:pread(File, ?HEADER, byte_size(Values)) of
        {ok, Values} -> false;
        {ok, _} -> true;
        {error, enotsup} -> true; % the port copies
        eof -> check({error, efault}, File);
        Failed -> check(Failed, File)
    end.

%% Stores the changes of an origin, and then its version.
-spec store(emmap_cluster_merge:id(), Version :: non_neg_integer(), [emmap_cluster_merge:change()], folder()) -> folder().
store(Id, Version, Changes, Before) ->
    #folder{files = #{Id := {File, _} = Counters}, changed = Changed} = Folder = with_file(Id, Before),
    Writes = [{pwrite, ?VALUES + 8 * Index, After} || {Index, _, After} <- Changes],
    ok = done(emmap:batch(Counters, Writes ++ [{set_counter, 0, Version}]), File),
    used(Id, Version, Folder#folder{changed = Changed#{Id => true}}).

used(Id, Version, #folder{origin = Id, starts = [{First, _} | Former]} = Folder) -> Folder#folder{starts = [{First, Version} | Former]};
used(_Id, _Version, Folder) -> Folder.

-spec add_to_others([{Index :: non_neg_integer(), emmap:int64()}], folder()) -> ok.
add_to_others([], _Folder) -> ok;
%% The port takes them in one frame.
add_to_others(Differences, #folder{others = {?MAPPED(emmap_port, _) = File, _} = Others}) ->
    done(emmap:batch(Others, [{inc_counter, Index, Value} || {Index, Value} <- Differences]), File);
add_to_others(Differences, #folder{others = {File, _} = Others}) ->
    lists:foreach(fun({Index, Value}) -> check(emmap:inc_counter(Others, Index, Value), File) end, Differences).

%% Makes others.bin what it has to be.
-spec fill_others(emmap_cluster_merge:known(), folder()) -> ok.
fill_others(Known, #folder{origin = Id, base = Base, others = {File, Count}} = Folder) ->
    Sum = emmap_cluster_merge:total(emmap_cluster_merge:ids(Known) -- [Id], Known),
    {ok, Present} = check(emmap:pread(File, ?HEADER, 8 * Count), File),
    add_to_others(emmap_cluster_merge:difference(Present, emmap_cluster_merge:subtract_words(Sum, Base)), Folder).

done({ok, Results}, File) -> lists:foreach(fun(Result) -> check(Result, File) end, Results);
done(Failed, File) -> check(Failed, File).

%% A file that is lost ends the server, which opens everything anew.
check({error, Reason}, #file_descriptor{data = #file{origin = #origin{path = Path}}}) -> exit({emmap, Path, Reason});
check(Done, _File) -> Done.

%% Removes the file of an origin that is forgotten.
-spec forget(emmap_cluster_merge:id(), folder()) -> folder().
forget(Id, #folder{path = Path, files = Files, changed = Changed} = Folder) ->
    _ = [emmap:close_counters(File) || #{Id := File} <- [Files]],
    _ = file:delete(path(Path, name(Id, <<".bin">>))),
    Folder#folder{files = maps:remove(Id, Files), changed = maps:remove(Id, Changed)}.

%% Makes the host a new origin, which begins at these values of own.bin: those before are others'. Save, and fill others.bin then.
-spec renew(Base :: binary(), emmap_cluster_merge:known(), folder()) -> {folder(), emmap_cluster_merge:known()}.
renew(Base, Known, #folder{path = Path} = Folder) ->
    Id = emmap_state_file:random_id(),
    ok = must(emmap_state_file:write(path(Path, name(Id, <<".base">>)), Base), Path),
    {begun(0, [], (with_file(Id, Folder))#folder{origin = Id, base = Base, reserved = 0}), emmap_cluster_merge:own(Id, 0, Known)}.

%% What programs without a node can know: when the node was last alive, with how many hosts it is connected, of how many it knows.
-spec beat([emmap:int64()], folder()) -> ok.
beat(Words, #folder{status = {File, _} = Status}) ->
    {Sets, _} = lists:mapfoldl(fun(Word, Index) -> {{set_counter, Index, Word}, Index + 1} end, 0, Words),
    done(emmap:batch(Status, Sets), File).

%%% The state

%% The version behind another one.
-spec next_version(Version :: non_neg_integer(), folder()) -> pos_integer().
next_version(Version, #folder{tag = Tag}) -> (Version bsr ?TAG_BITS + 1) bsl ?TAG_BITS bor Tag.

%% Whether this host has made a version of its origin, which is at `Mine' now. If not, another copy of the folder has. Versions before
%% the starts that are remembered are taken for this host's.
-spec has_used(Version :: non_neg_integer(), Mine :: non_neg_integer(), folder()) -> boolean().
has_used(Version, Mine, _Folder) when Version > Mine -> false;
has_used(Version, _Mine, #folder{starts = Starts}) ->
    Version < element(1, lists:last(Starts)) orelse
        lists:any(fun({First, Last}) -> Version >= First andalso Version =< Last andalso (Version bxor First) rem ?TAGS =:= 0 end, Starts).

%% Whether this host may publish a version.
-spec may_use(Version :: non_neg_integer(), folder()) -> boolean().
may_use(Version, #folder{reserved = Reserved}) -> Version =< Reserved.

%% A function that brings all to the disk, and what it reserves: see saved/2. Any process may call it.
-spec prepare_save(Clean :: boolean(), emmap_cluster_merge:known(), nodes(), folder()) ->
    {fun(() -> ok | {error, term()}), Reserved :: non_neg_integer(), folder()}.
prepare_save(Clean, Known, Nodes, #folder{path = Path, origin = Mine, own = {Own, _}, files = Files} = Folder) ->
    Versions = [{Id, emmap_cluster_merge:version(Id, Known)} || Id <- emmap_cluster_merge:ids(Known)],
    Reserved = emmap_cluster_merge:version(Mine, Known) + (Folder#folder.step bsl ?TAG_BITS),
    State = [
        {emmap_cluster, 1},
        {origin, hex(Mine)},
        {reserved, Reserved},
        {starts, Folder#folder.starts},
        {clean, Clean},
        {boot, emmap_state_file:boot()},
        {inode, Folder#folder.inode},
        {versions, maps:from_list([{hex(Id), Version} || {Id, Version} <- Versions, is_integer(Version)])},
        {forgotten, [hex(Id) || {Id, forgotten} <- Versions]},
        {nodes, maps:from_list([{hex(Id), Node} || {Id, Node} <- maps:to_list(Nodes)])}
    ],
    Sync = [Own || Clean] ++ [File || {Id, {File, _}} <- maps:to_list(Files), is_map_key(Id, Folder#folder.changed)],
    {fun() -> save(Sync, path(Path, <<"state">>), State) end, Reserved, Folder#folder{changed = #{}}}.

save([File | Files], Path, State) ->
    case emmap:sync(File) of
        Done when Done =:= ok; Done =:= {error, closed} -> save(Files, Path, State); % closed: forgotten meanwhile
        {error, _} = Error -> Error
    end;
save([], Path, State) -> emmap_state_file:write_terms(Path, State).

-spec saved(Reserved :: non_neg_integer(), folder()) -> folder().
saved(Reserved, Folder) -> Folder#folder{reserved = Reserved}.

%% The next save has to sync all files again.
-spec not_saved(folder()) -> folder().
not_saved(#folder{files = Files} = Folder) -> Folder#folder{changed = maps:map(fun(_, _) -> true end, Files)}.

read_state(Path) ->
    File = path(Path, <<"state">>),
    case emmap_state_file:read_terms(File) of
        {ok, [{emmap_cluster, 1} | Terms]} -> maps:from_list(Terms);
        {error, enoent} -> #{};
        {error, Reason} -> throw({emmap, File, Reason});
        _ -> throw({emmap, File, corrupt})
    end.
