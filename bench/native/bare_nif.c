/*
 * The least cost of a NIF. It gets a resource, and returns `{ok, Old}` after adding to its word, or `{ok, Binary}` with 64
 * of its bytes, copied or direct.
 */
#include <erl_nif.h>
#include <stdatomic.h>
#include <string.h>

enum { LENGTH = 64 };

typedef struct memory {
    _Atomic int64_t word;
    unsigned char bytes[LENGTH];
} memory;

static ErlNifResourceType *type;
static ERL_NIF_TERM ok;

static int load(ErlNifEnv *env, void **data, ERL_NIF_TERM info)
{
    (void)data;
    (void)info;
    ok = enif_make_atom(env, "ok");
    type = enif_open_resource_type(env, NULL, "memory", NULL, ERL_NIF_RT_CREATE, NULL);
    return type == NULL;
}

static ERL_NIF_TERM new_memory(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    (void)argv;
    memory *const made = enif_alloc_resource(type, sizeof *made);
    memset(made, 0, sizeof *made);
    const ERL_NIF_TERM term = enif_make_resource(env, made);
    enif_release_resource(made);
    return term;
}

static ERL_NIF_TERM add(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    void *object;
    ErlNifSInt64 value;
    if (!enif_get_resource(env, argv[0], type, &object) || !enif_get_int64(env, argv[1], &value))
        return enif_make_badarg(env);
    return enif_make_tuple2(env, ok,
                            enif_make_int64(env, atomic_fetch_add(&((memory *)object)->word, value)));
}

static ERL_NIF_TERM read_bytes(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    void *object;
    ERL_NIF_TERM binary;
    if (!enif_get_resource(env, argv[0], type, &object))
        return enif_make_badarg(env);
    memcpy(enif_make_new_binary(env, LENGTH, &binary), ((memory *)object)->bytes, LENGTH);
    return enif_make_tuple2(env, ok, binary);
}

static ERL_NIF_TERM lend(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    void *object;
    if (!enif_get_resource(env, argv[0], type, &object))
        return enif_make_badarg(env);
    return enif_make_tuple2(env, ok,
                            enif_make_resource_binary(env, object, ((memory *)object)->bytes, LENGTH));
}

static ErlNifFunc functions[] = {
    {"new", 0, new_memory, 0}, {"add", 2, add, 0}, {"read", 1, read_bytes, 0}, {"lend", 1, lend, 0}};

ERL_NIF_INIT(bare_nif, functions, load, NULL, NULL, NULL)
