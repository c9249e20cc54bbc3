#include "inspect.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* The most bytes that the facts of one map take. */
enum { MAP_SIZE = EMMAP_FACTS * 160 };

static bool effort_of(const call_t *c, emmap_effort *effort)
{
    char name[TERM_ATOM_SIZE];
    return term_atom(c->arguments[1], name) && emmap_effort_named(name, effort);
}

static void answer_value(reply_t *out, const emmap_fact *fact)
{
    switch (fact->type) {
    case EMMAP_FACT_NUMBER:
        reply_unsigned(out, fact->number);
        break;
    case EMMAP_FACT_FLAG:
        reply_atom(out, fact->number ? "true" : "false");
        break;
    case EMMAP_FACT_WORD:
        reply_atom(out, fact->text);
        break;
    case EMMAP_FACT_TEXT:
        reply_binary(out, fact->text, strlen(fact->text));
        break;
    }
}

static void answer_map(reply_t *out, const emmap_facts *facts, unsigned more)
{
    reply_map(out, (unsigned)facts->count + more);
    for (size_t i = 0; i < facts->count; i++) {
        reply_atom(out, facts->fact[i].name);
        answer_value(out, &facts->fact[i]);
    }
}

/* {inspect, Path, Effort} -> {ok, #{kind, …, writers := [#{process, …}]}} */
void perform_inspect(const operation_t *op, call_t *c)
{
    (void)op;
    emmap_effort effort;
    char *const path = effort_of(c, &effort) ? call_path(c, 0) : NULL;
    if (!path) {
        call_badarg(c);
        return;
    }
    emmap_inspection *found;
    emmap_error error = emmap_inspect(path, effort, &found);
    free(path);
    if (!error && !reply_reserve(c->out, (found->writers + 1) * MAP_SIZE)) {
        emmap_inspection_free(found);
        error = ENOMEM;
    }
    if (error) {
        reply_error(c->out, error);
        return;
    }
    reply_tuple(c->out, 2);
    reply_atom(c->out, "ok");
    answer_map(c->out, &found->file, 1);
    reply_atom(c->out, "writers");
    reply_list(c->out, found->writers);
    for (size_t i = 0; i < found->writers; i++)
        answer_map(c->out, &found->writer[i], 0);
    reply_nil(c->out);
    emmap_inspection_free(found);
}
