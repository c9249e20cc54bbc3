#include "nif_call.h"

ERL_NIF_TERM nif_cell_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    emmap_options options;
    ERL_NIF_TERM bad;
    uint64_t max_bytes;
    if (!nif_get_position(env, arguments[1], &max_bytes))
        return enif_make_badarg(env);
    if (nif_get_options(env, arguments[2], &options, &bad) != EMMAP_OK)
        return nif_bad_option(env, bad);
    char *const path = nif_get_path(env, arguments[0]);
    if (!path)
        return enif_make_badarg(env);
    emmap_file *file;
    const emmap_error error = emmap_cell_open(path, max_bytes, &options, &file);
    enif_free(path);
    return error ? nif_open_failed(env, error, &options) : nif_file_answer(env, file, "cell");
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
