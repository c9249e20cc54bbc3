/* Looking at a file from outside. */
#include <string.h>

#include "nif_call.h"

static bool get_effort(ErlNifEnv *env, ERL_NIF_TERM term, emmap_effort *effort)
{
    char name[16];
    return enif_get_atom(env, term, name, sizeof name, ERL_NIF_LATIN1) && emmap_effort_named(name, effort);
}

static ERL_NIF_TERM value_of(ErlNifEnv *env, const emmap_fact *fact)
{
    switch (fact->type) {
    case EMMAP_FACT_NUMBER:
        return enif_make_uint64(env, fact->number);
    case EMMAP_FACT_FLAG:
        return fact->number ? nif_atoms.true_ : nif_atoms.false_;
    case EMMAP_FACT_WORD:
        return enif_make_atom(env, fact->text);
    default:
        break;
    }
    ERL_NIF_TERM binary;
    const size_t length = strlen(fact->text);
    memcpy(enif_make_new_binary(env, length, &binary), fact->text, length);
    return binary;
}

static ERL_NIF_TERM map_of(ErlNifEnv *env, const emmap_facts *facts)
{
    ERL_NIF_TERM map = enif_make_new_map(env);
    for (size_t i = 0; i < facts->count; i++)
        enif_make_map_put(env, map, enif_make_atom(env, facts->fact[i].name), value_of(env, &facts->fact[i]),
                          &map);
    return map;
}

/* inspect(Path, Effort) -> {ok, #{kind, …, writers := [#{process, …}]}} */
ERL_NIF_TERM nif_inspect(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    emmap_effort effort;
    char *const path = get_effort(env, arguments[1], &effort) ? nif_get_path(env, arguments[0]) : NULL;
    if (!path)
        return enif_make_badarg(env);
    emmap_inspection *found;
    const emmap_error error = emmap_inspect(path, effort, &found);
    enif_free(path);
    if (error)
        return nif_error(env, error);
    ERL_NIF_TERM writers = enif_make_list(env, 0);
    for (size_t i = found->writers; i > 0; i--)
        writers = enif_make_list_cell(env, map_of(env, &found->writer[i - 1]), writers);
    ERL_NIF_TERM map = map_of(env, &found->file);
    enif_make_map_put(env, map, enif_make_atom(env, "writers"), writers, &map);
    emmap_inspection_free(found);
    return nif_ok(env, map);
}
