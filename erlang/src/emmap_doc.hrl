%% Documentation in Markdown. Since OTP 27 it is attributes of the module, which the shell's h/1 and editors show; earlier
%% compilers take none behind a function, so there it is nothing, and `make docs' hands it to edoc.

-if(?OTP_RELEASE >= 27).
-define(MODULEDOC(Text), -moduledoc(Text)).
-define(DOC(Text), -doc(Text)).
-else.
-define(MODULEDOC(Text), -compile([])).
-define(DOC(Text), -compile([])).
-endif.
