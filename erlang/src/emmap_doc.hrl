%% Documentation in Markdown. Since OTP 27 the macros are attributes, which the shell's h/1 and editors show. Earlier
%% compilers refuse such attributes behind a function, so there the macros are empty. doc_chunks.escript, which only reads the
%% forms, puts the texts into the modules there. `make docs' hands them to edoc.

-ifdef(EMMAP_DOC_CHUNKS).
-define(MODULEDOC(Text), -moduledoc(Text)).
-define(DOC(Text), -doc(Text)).
-else.
-if(?OTP_RELEASE >= 27).
-define(MODULEDOC(Text), -moduledoc(Text)).
-define(DOC(Text), -doc(Text)).
-else.
-define(MODULEDOC(Text), -compile([])).
-define(DOC(Text), -compile([])).
-endif.
-endif.
