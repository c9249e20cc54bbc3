#include "nif_call.h"

#include <errno.h>
#include <limits.h>

/* ---- Open --------------------------------------------------------------------------------------------- */

/* A number of levels. One that no unsigned holds becomes one that the core refuses. */
static bool get_levels(ErlNifEnv *env, ERL_NIF_TERM term, unsigned *levels)
{
    uint64_t number;
    if (!nif_get_position(env, term, &number))
        return false;
    *levels = number > UINT_MAX ? UINT_MAX : (unsigned)number;
    return true;
}

ERL_NIF_TERM nif_blocks_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    uint64_t block_size;
    unsigned levels;
    if (!nif_get_position(env, arguments[1], &block_size) || !get_levels(env, arguments[2], &levels))
        return enif_make_badarg(env);
    if (!nif_opening_begin(env, arguments[0], arguments[3], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_blocks_open(opening.path, block_size, levels, &opening.options, &file);
    return nif_opening_end(&opening, error, file, "blocks");
}

static ERL_NIF_TERM blocks_init(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    uint64_t block_size;
    unsigned levels;
    if (!nif_get_position(attempt->env, arguments[1], &block_size) ||
        !get_levels(attempt->env, arguments[2], &levels))
        return enif_make_badarg(attempt->env);
    return nif_attempt_done(attempt,
                            attempt->file->core->blocks_init(attempt->file->file, block_size, levels));
}

/* ---- Store, read, free -------------------------------------------------------------------------------- */

static ERL_NIF_TERM block_store(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    ErlNifBinary bytes;
    if (!enif_inspect_binary(attempt->env, arguments[1], &bytes))
        return enif_make_badarg(attempt->env);
    if (nif_attempt_too_long(attempt, 1, bytes.size))
        return nif_atoms.ok;
    const struct iovec block = nif_vector_of(&bytes);
    uint64_t address;
    const emmap_error error = file->core->block_store(file->file, &block, &address);
    return error ? nif_attempt_failed(attempt, error)
                 : nif_ok(attempt->env, enif_make_uint64(attempt->env, address));
}

static ERL_NIF_TERM list_of(ErlNifEnv *env, const uint64_t *numbers, size_t count)
{
    ERL_NIF_TERM list = enif_make_list(env, 0);
    while (count > 0)
        list = enif_make_list_cell(env, enif_make_uint64(env, numbers[--count]), list);
    return list;
}

/* {ok, [Address]}. Frees `addresses`. */
static ERL_NIF_TERM stored(struct nif_attempt *attempt, emmap_error error, uint64_t *addresses, size_t count)
{
    const ERL_NIF_TERM answer = error ? nif_attempt_failed(attempt, error)
                                      : nif_ok(attempt->env, list_of(attempt->env, addresses, count));
    enif_free(addresses);
    return answer;
}

static ERL_NIF_TERM block_store_many(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_vectors blocks;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get_list(attempt, arguments[1], &blocks, &failed))
        return failed;
    uint64_t *const addresses = enif_alloc((blocks.count + 1) * sizeof *addresses);
    const emmap_error error =
        addresses ? file->core->block_store_many(file->file, blocks.list, blocks.count, addresses)
                  : (emmap_error)ENOMEM;
    nif_vectors_free(&blocks);
    return stored(attempt, error, addresses, blocks.count);
}

static ERL_NIF_TERM block_read(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    uint64_t address;
    if (!nif_get_position(attempt->env, arguments[1], &address))
        return enif_make_badarg(attempt->env);
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    const emmap_error error = file->core->block_read(file->file, address, &sink);
    return error ? nif_pieces_failed(&pieces, error) : nif_ok(attempt->env, nif_pieces_first(&pieces));
}

/* The integers of a list, to be freed by enif_free. Errors: EMMAP_BADARG, ENOMEM. */
static emmap_error get_addresses(ErlNifEnv *env, ERL_NIF_TERM list, unsigned length, uint64_t **addresses)
{
    *addresses = enif_alloc(((size_t)length + 1) * sizeof **addresses);
    if (!*addresses)
        return ENOMEM;
    ERL_NIF_TERM head;
    for (size_t i = 0; enif_get_list_cell(env, list, &head, &list); i++)
        if (!nif_get_position(env, head, &(*addresses)[i])) {
            enif_free(*addresses);
            return EMMAP_BADARG;
        }
    return EMMAP_OK;
}

static ERL_NIF_TERM block_free_many(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    unsigned length;
    if (!enif_get_list_length(attempt->env, arguments[1], &length))
        return enif_make_badarg(attempt->env);
    if (nif_attempt_too_long(attempt, length, 0))
        return nif_atoms.ok;
    uint64_t *addresses;
    emmap_error error = get_addresses(attempt->env, arguments[1], length, &addresses);
    if (error)
        return error == EMMAP_BADARG ? enif_make_badarg(attempt->env) : nif_error(attempt->env, error);
    error = file->core->block_free_many(file->file, addresses, length);
    enif_free(addresses);
    return nif_attempt_done(attempt, error);
}

/* ---- All of them -------------------------------------------------------------------------------------- */

static ERL_NIF_TERM blocks_walk(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    struct nif_file *const file = attempt->file;
    uint64_t limit, place;
    if (!nif_get_position(env, arguments[1], &limit) || !nif_get_place(env, arguments[2], &place))
        return enif_make_badarg(env);
    if (nif_attempt_too_long(attempt, limit, 0))
        return nif_atoms.ok;
    /* From 2^63 up the core refuses it. */
    const size_t room = limit > EMMAP_WALK_LIMIT ? EMMAP_WALK_LIMIT : (size_t)limit;
    if (limit <= INT64_MAX)
        limit = room;
    uint64_t *const addresses = enif_alloc((room + 1) * sizeof *addresses);
    if (!addresses)
        return nif_error(env, ENOMEM);
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    size_t count;
    const emmap_error error =
        file->core->blocks_walk(file->file, (size_t)limit, &place, addresses, &sink, &count);
    const ERL_NIF_TERM answer = error
                                    ? nif_pieces_failed(&pieces, error)
                                    : enif_make_tuple3(env, nif_atoms.ok, nif_pieces_list(&pieces, addresses),
                                                       enif_make_uint64(env, place));
    enif_free(addresses);
    return answer;
}

static ERL_NIF_TERM blocks_info(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    emmap_blocks_metadata info;
    const emmap_error error = attempt->file->core->blocks_info(attempt->file->file, &info);
    if (error)
        return nif_attempt_failed(attempt, error);
    ERL_NIF_TERM keys[] = {nif_atoms.block_size, nif_atoms.levels, nif_atoms.capacity};
    ERL_NIF_TERM values[] = {enif_make_uint(env, info.block_size), enif_make_uint(env, info.levels),
                             enif_make_uint64(env, info.capacity)};
    ERL_NIF_TERM map = 0;
    enif_make_map_from_arrays(env, keys, values, 3, &map);
    return nif_ok(env, map);
}

static ERL_NIF_TERM blocks_repair(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    uint64_t limit, place;
    if (!nif_get_position(attempt->env, arguments[1], &limit) ||
        !nif_get_place(attempt->env, arguments[2], &place))
        return enif_make_badarg(attempt->env);
    const emmap_error error = attempt->file->core->blocks_repair(attempt->file->file, limit, &place);
    return nif_attempt_number(attempt, error, place);
}

NIF_SLOW_OPERATION(blocks_init)
NIF_OPERATION(block_store)
NIF_OPERATION(block_store_many)
NIF_OPERATION(block_read)
NIF_OPERATION(block_free_many)
NIF_OPERATION(blocks_walk)
NIF_OPERATION(blocks_info)
NIF_SLOW_OPERATION(blocks_repair)
