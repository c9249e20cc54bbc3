/*
 * The least cost of a NIF. It gets a resource, and returns `{ok, Old}` after adding to its word, or `{ok, Binary}` with 64
 * of its bytes, copied or direct. And the least that a message takes through a NIF that wakes a process: a thread sleeps on the
 * FIFO THERE, and sends the process an atom for each byte; a call writes a byte to one of the FIFOs BACK.
 */
#include <erl_nif.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

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

static struct {
    int there, back[2];
    ErlNifPid process;
    ErlNifTid thread;
} fifos;

/* Ends with the node. */
static void *watch(void *context)
{
    (void)context;
    char byte;
    while (read(fifos.there, &byte, 1) == 1)
        (void)enif_send(NULL, &fifos.process, NULL, ok);
    return NULL;
}

static int open_fifo(ErlNifEnv *env, ERL_NIF_TERM path)
{
    char name[4096];
    return enif_get_string(env, path, name, sizeof name, ERL_NIF_LATIN1) > 0 ? open(name, O_RDWR | O_CLOEXEC)
                                                                             : -1;
}

static ERL_NIF_TERM watch_fifo(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    static char name[] = "bare_nif";
    fifos.there = open_fifo(env, argv[0]);
    for (int i = 0; i < 2; i++)
        fifos.back[i] = open_fifo(env, argv[1 + i]);
    enif_self(env, &fifos.process);
    return fifos.there < 0 || fifos.back[0] < 0 || fifos.back[1] < 0 ||
                   enif_thread_create(name, &fifos.thread, watch, NULL, NULL) != 0
               ? enif_make_badarg(env)
               : ok;
}

static ERL_NIF_TERM answer(ErlNifEnv *env, int argc, const ERL_NIF_TERM argv[])
{
    (void)argc;
    unsigned which;
    return enif_get_uint(env, argv[0], &which) && which < 2 && write(fifos.back[which], "", 1) == 1
               ? ok
               : enif_make_badarg(env);
}

static ErlNifFunc functions[] = {{"new", 0, new_memory, 0},   {"add", 2, add, 0},
                                 {"read", 1, read_bytes, 0},  {"lend", 1, lend, 0},
                                 {"watch", 3, watch_fifo, 0}, {"answer", 1, answer, 0}};

ERL_NIF_INIT(bare_nif, functions, load, NULL, NULL, NULL)
