%% What relay and receiver say to each other. All messages are {?PROTOCOL, ?VERSION, Kind, Session, ...}:
%%
%%   hello, Session, Relay, Origins             to the receiver: begins a session of the relay, and ends its earlier ones. The
%%                                              other origins are those of earlier relays whose batches it has taken over
%%   welcome, Session, [{Origin, Last}]         to the relay: the last number of each origin
%%   batch, Session, Origin, Previous, Number, Messages
%%                                              to the receiver: `Previous' is the number before in this session
%%   pushed, Session, Number                    to the relay: the batch, and all before it
%%   refused, Session, Reason                   to the relay: the session has ended. Say hello again
-define(PROTOCOL, emmap_relay).
-define(VERSION, 1).
