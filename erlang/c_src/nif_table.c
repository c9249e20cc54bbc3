#include "nif_call.h"

#include <errno.h>

ERL_NIF_TERM nif_table_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    const ERL_NIF_TERM *numbers;
    int arity;
    emmap_table_metadata shape;
    if (!enif_get_tuple(env, arguments[1], &arity, &numbers) || arity != 3 ||
        !nif_get_position(env, numbers[0], &shape.capacity) ||
        !nif_get_position(env, numbers[1], &shape.key_bytes) ||
        !nif_get_position(env, numbers[2], &shape.words))
        return enif_make_badarg(env);
    if (!nif_opening_begin(env, arguments[0], arguments[2], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_table_open(opening.path, &shape, &opening.options, &file);
    return nif_opening_end(&opening, error, file, "table");
}

/* A key is a binary, or other iodata. */
static inline bool get_key(ErlNifEnv *env, ERL_NIF_TERM term, ErlNifBinary *key)
{
    return enif_inspect_binary(env, term, key) || enif_inspect_iolist_as_binary(env, term, key);
}

/* {ok, Integer} */
static inline ERL_NIF_TERM answer_word(struct nif_attempt *attempt, emmap_error error, int64_t word)
{
    return error ? nif_attempt_failed(attempt, error)
                 : nif_ok(attempt->env, enif_make_int64(attempt->env, word));
}

/* (Handle, Key, Word, Value) */
static inline ERL_NIF_TERM update(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[],
                                  __typeof__(emmap_table_add) *operation)
{
    ErlNifEnv *const env = attempt->env;
    ErlNifBinary key;
    uint64_t word;
    int64_t value, old = 0;
    if (!get_key(env, arguments[1], &key) || !nif_get_position(env, arguments[2], &word) ||
        !nif_get_operand(env, arguments[3], &value))
        return enif_make_badarg(env);
    const emmap_error error = operation(attempt->file->file, key.data, key.size, word, value, &old);
    return answer_word(attempt, error, old);
}

static ERL_NIF_TERM table_add(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return update(attempt, arguments, attempt->file->core->table_add);
}

static ERL_NIF_TERM table_set(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    return update(attempt, arguments, attempt->file->core->table_set);
}

static ERL_NIF_TERM table_get(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    ErlNifBinary key;
    uint64_t word;
    int64_t value = 0;
    if (!get_key(env, arguments[1], &key) || !nif_get_position(env, arguments[2], &word))
        return enif_make_badarg(env);
    const emmap_error error =
        attempt->file->core->table_get(attempt->file->file, key.data, key.size, word, &value);
    return answer_word(attempt, error, value);
}

static ERL_NIF_TERM table_compare_exchange(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    ErlNifBinary key;
    uint64_t word;
    int64_t expected, replacement, old = 0;
    if (!get_key(env, arguments[1], &key) || !nif_get_position(env, arguments[2], &word) ||
        !nif_get_operand(env, arguments[3], &expected) || !nif_get_operand(env, arguments[4], &replacement))
        return enif_make_badarg(env);
    const emmap_error error = attempt->file->core->table_compare_exchange(
        attempt->file->file, key.data, key.size, word, expected, replacement, &old);
    return answer_word(attempt, error, old);
}

static ERL_NIF_TERM table_delete(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifBinary key;
    if (!get_key(attempt->env, arguments[1], &key))
        return enif_make_badarg(attempt->env);
    return nif_attempt_done(attempt,
                            attempt->file->core->table_delete(attempt->file->file, key.data, key.size));
}

/* (Handle, Key, {Limit, WindowMs, Cost, Flags}) -> {ok, Allowed, Used, Remaining, ResetMs} */
static ERL_NIF_TERM table_hit(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    ErlNifBinary key;
    const ERL_NIF_TERM *numbers;
    int arity;
    unsigned flags;
    emmap_table_limit limit;
    emmap_table_hit_result result;
    if (!get_key(env, arguments[1], &key) || !enif_get_tuple(env, arguments[2], &arity, &numbers) ||
        arity != 4 || !nif_get_position(env, numbers[0], &limit.limit) ||
        !nif_get_position(env, numbers[1], &limit.window_ms) ||
        !nif_get_operand(env, numbers[2], &limit.cost) || !enif_get_uint(env, numbers[3], &flags))
        return enif_make_badarg(env);
    limit.flags = flags;
    const emmap_error error =
        attempt->file->core->table_hit(attempt->file->file, key.data, key.size, &limit, &result);
    if (error)
        return nif_attempt_failed(attempt, error);
    return enif_make_tuple5(env, nif_atoms.ok, result.allowed ? nif_atoms.true_ : nif_atoms.false_,
                            enif_make_uint64(env, result.used), enif_make_uint64(env, result.remaining),
                            enif_make_uint64(env, result.reset_ms));
}

/* (Handle, Limit, Place) -> {ok, [Binary], Place} */
static ERL_NIF_TERM table_walk(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    ErlNifEnv *const env = attempt->env;
    struct nif_file *const file = attempt->file;
    uint64_t limit, place, count;
    if (!nif_get_position(env, arguments[1], &limit) || !nif_get_place(env, arguments[2], &place))
        return enif_make_badarg(env);
    if (nif_attempt_too_long(attempt, limit, 0))
        return nif_atoms.ok;
    struct nif_pieces pieces = {.attempt = attempt};
    const emmap_sink sink = nif_pieces_sink(&pieces);
    const emmap_error error = file->core->table_walk(file->file, limit, &place, &sink, &count);
    if (error || attempt->again)
        return nif_pieces_failed(&pieces, error ? error : (emmap_error)ENOMEM);
    return enif_make_tuple3(env, nif_atoms.ok, nif_pieces_list(&pieces, NULL), enif_make_uint64(env, place));
}

/* {ok, {Capacity, KeyBytes, Words}} */
static ERL_NIF_TERM table_info(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    emmap_table_metadata info;
    const emmap_error error = attempt->file->core->table_info(attempt->file->file, &info);
    if (error)
        return nif_attempt_failed(attempt, error);
    return nif_ok(env,
                  enif_make_tuple3(env, enif_make_uint64(env, info.capacity),
                                   enif_make_uint64(env, info.key_bytes), enif_make_uint64(env, info.words)));
}

NIF_OPERATION(table_add)
NIF_OPERATION(table_set)
NIF_OPERATION(table_get)
NIF_OPERATION(table_compare_exchange)
NIF_OPERATION(table_delete)
NIF_OPERATION(table_hit)
NIF_OPERATION(table_walk)
NIF_OPERATION(table_info)
