#include "nif_call.h"

ERL_NIF_TERM nif_cell_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    uint64_t max_bytes;
    if (!nif_get_position(env, arguments[1], &max_bytes))
        return enif_make_badarg(env);
    if (!nif_opening_begin(env, arguments[0], arguments[2], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_cell_open(opening.path, max_bytes, &opening.options, &file);
    return nif_opening_end(&opening, error, file, "cell");
}

/* The value is a binary, or a list of binaries. */
static ERL_NIF_TERM cell_publish(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_vectors value;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get(attempt, arguments[1], &value, &failed))
        return failed;
    const emmap_error error = file->core->cell_publish(file->file, value.list, value.count);
    nif_vectors_free(&value);
    return nif_attempt_done(attempt, error);
}

/* {ok, Binary, Version} */
static ERL_NIF_TERM cell_get(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    uint64_t version;
    const emmap_error error = attempt->file->core->cell_get(attempt->file->file, &sink, &version);
    return error ? nif_pieces_failed(&pieces, error)
                 : enif_make_tuple3(env, nif_atoms.ok, nif_pieces_first(&pieces),
                                    enif_make_uint64(env, version));
}

NIF_OPERATION(cell_publish)
NIF_OPERATION(cell_get)
