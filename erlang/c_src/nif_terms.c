#include "nif_terms.h"

#include <string.h>

struct nif_atoms nif_atoms;

void nif_terms_load(ErlNifEnv *env)
{
    nif_atoms = (struct nif_atoms){
        .ok = enif_make_atom(env, "ok"),
        .error = enif_make_atom(env, "error"),
        .eof = enif_make_atom(env, "eof"),
        .busy = enif_make_atom(env, "busy"),
        .badarg = enif_make_atom(env, "badarg"),
        .exist = enif_make_atom(env, "exist"),
        .size = enif_make_atom(env, "size"),
        .true_ = enif_make_atom(env, "true"),
        .false_ = enif_make_atom(env, "false"),
        .bof = enif_make_atom(env, "bof"),
        .cur = enif_make_atom(env, "cur"),
        .corrupt = enif_make_atom(env, "corrupt"),
        .safe = enif_make_atom(env, "safe"),
        .slow = enif_make_atom(env, "slow"),
        .counters = enif_make_atom(env, "counters"),
        .forward = enif_make_atom(env, "forward"),
        .backward = enif_make_atom(env, "backward"),
        .head = enif_make_atom(env, "head"),
        .tail = enif_make_atom(env, "tail"),
        .next_tail = enif_make_atom(env, "next_tail"),
        .block_size = enif_make_atom(env, "block_size"),
        .levels = enif_make_atom(env, "levels"),
        .capacity = enif_make_atom(env, "capacity"),
        .process = enif_make_atom(env, "process"),
        .program = enif_make_atom(env, "program"),
        .since = enif_make_atom(env, "since"),
        .has_lock = enif_make_atom(env, "has_lock"),
        .waited = enif_make_atom(env, "waited"),
        .pushed = enif_make_atom(env, "pushed"),
        .popped = enif_make_atom(env, "popped"),
        .ticket = enif_make_atom(env, "ticket"),
        .length = enif_make_atom(env, "length"),
        .due = enif_make_atom(env, "due"),
        .attempt = enif_make_atom(env, "attempt"),
        .released = enif_make_atom(env, "released"),
        .alive = enif_make_atom(env, "alive"),
        .normal = enif_make_atom(env, "normal"),
        .sequential = enif_make_atom(env, "sequential"),
        .random = enif_make_atom(env, "random"),
        .no_reuse = enif_make_atom(env, "no_reuse"),
        .will_need = enif_make_atom(env, "will_need"),
        .dont_need = enif_make_atom(env, "dont_need"),
    };
}

/* ---- To the core -------------------------------------------------------------------------------------- */

bool nif_get_offset(ErlNifEnv *env, ERL_NIF_TERM term, int64_t *offset)
{
    ErlNifSInt64 value;
    if (!enif_get_int64(env, term, &value)) {
        *offset = INT64_MIN;
        return enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER;
    }
    *offset = value;
    return true;
}

bool nif_get_whence(ERL_NIF_TERM term, emmap_whence *whence)
{
    if (term == nif_atoms.bof)
        *whence = EMMAP_FROM_START;
    else if (term == nif_atoms.cur)
        *whence = EMMAP_FROM_CURSOR;
    else if (term == nif_atoms.eof)
        *whence = EMMAP_FROM_END;
    else
        return false;
    return true;
}

bool nif_get_advice(ERL_NIF_TERM term, emmap_advice *advice)
{
    const struct {
        ERL_NIF_TERM atom;
        emmap_advice advice;
    } all[] = {
        {nif_atoms.normal, EMMAP_ADVICE_NORMAL},       {nif_atoms.sequential, EMMAP_ADVICE_SEQUENTIAL},
        {nif_atoms.random, EMMAP_ADVICE_RANDOM},       {nif_atoms.no_reuse, EMMAP_ADVICE_NO_REUSE},
        {nif_atoms.will_need, EMMAP_ADVICE_WILL_NEED}, {nif_atoms.dont_need, EMMAP_ADVICE_DONT_NEED},
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].atom == term) {
            *advice = all[i].advice;
            return true;
        }
    return false;
}

char *nif_get_path(ErlNifEnv *env, ERL_NIF_TERM term)
{
    ErlNifBinary bytes;
    if (!enif_inspect_binary(env, term, &bytes) || memchr(bytes.data, 0, bytes.size))
        return NULL;
    char *const path = enif_alloc(bytes.size + 1);
    if (path) {
        memcpy(path, bytes.data, bytes.size);
        path[bytes.size] = 0;
    }
    return path;
}

/* False: no integer, or below 0. One that has no place in 64 bits becomes the largest that has. */
static bool get_option_value(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *value)
{
    ErlNifUInt64 number;
    if (enif_get_uint64(env, term, &number)) {
        *value = number;
        return true;
    }
    *value = UINT64_MAX;
    return enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER &&
           enif_compare(term, enif_make_int(env, 0)) > 0;
}

/* `Name' or `{Name, Value}'. */
static emmap_error get_option(ErlNifEnv *env, ERL_NIF_TERM term, emmap_options *options)
{
    char name[64];
    uint64_t value;
    int arity;
    const ERL_NIF_TERM *pair;
    if (enif_get_atom(env, term, name, sizeof name, ERL_NIF_LATIN1))
        return emmap_option_set(options, name, NULL);
    if (!enif_get_tuple(env, term, &arity, &pair) || arity != 2 ||
        !enif_get_atom(env, pair[0], name, sizeof name, ERL_NIF_LATIN1) ||
        !get_option_value(env, pair[1], &value))
        return EMMAP_BADARG;
    return emmap_option_set(options, name, &value);
}

emmap_error nif_get_options(ErlNifEnv *env, ERL_NIF_TERM term, emmap_options *options, ERL_NIF_TERM *bad)
{
    *options = (emmap_options){0};
    while (enif_get_list_cell(env, term, bad, &term)) {
        const emmap_error error = get_option(env, *bad, options);
        if (error)
            return error;
    }
    *bad = term;
    return enif_is_empty_list(env, term) ? EMMAP_OK : EMMAP_BADARG;
}

/* ---- From the core ------------------------------------------------------------------------------------ */

ERL_NIF_TERM nif_error(ErlNifEnv *env, emmap_error error)
{
    if (error == EMMAP_EOF)
        return nif_atoms.eof;
    return enif_make_tuple2(env, nif_atoms.error, enif_make_atom(env, emmap_error_atom(error)));
}

static ERL_NIF_TERM make_text(ErlNifEnv *env, const char *text)
{
    ERL_NIF_TERM binary = 0;
    memcpy(enif_make_new_binary(env, strlen(text), &binary), text, strlen(text));
    return binary;
}

ERL_NIF_TERM nif_failure(ErlNifEnv *env, emmap_error error, const emmap_failure *failure)
{
    if (error != EMMAP_CORRUPT || failure->error != error)
        return nif_error(env, error);
    const char *const reason = failure->reason ? failure->reason : emmap_error_message(error);
    return enif_make_tuple2(env, nif_atoms.error,
                            enif_make_tuple3(env, nif_atoms.corrupt, enif_make_uint64(env, failure->offset),
                                             make_text(env, reason)));
}

ERL_NIF_TERM nif_open_failure(ErlNifEnv *env, emmap_error error)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (failure->error != error || failure->about != EMMAP_ABOUT_FILE_SYSTEM)
        return nif_failure(env, error, failure);
    return enif_make_tuple2(
        env, nif_atoms.error,
        enif_make_tuple2(env, enif_make_atom(env, emmap_error_atom(error)), make_text(env, failure->reason)));
}

ERL_NIF_TERM nif_bad_option(ErlNifEnv *env, ERL_NIF_TERM bad)
{
    return enif_make_tuple2(env, nif_atoms.error, enif_make_tuple2(env, nif_atoms.badarg, bad));
}

/* Binaries of up to so many bytes lie on the heap of the caller. */
#define ON_HEAP 64u

static void *allocate(void *context, size_t length)
{
    struct nif_binary *const self = context;
    /* enif_make_new_binary ends the node if it lacks memory. enif_alloc_binary fails instead: it is for many
     * bytes. */
    if (length <= (self->one_of_many ? ON_HEAP : EMMAP_PIECE))
        return enif_make_new_binary(self->env, length, &self->term);
    if (!enif_alloc_binary(length, &self->long_one)) {
        self->long_one.data = NULL;
        return NULL;
    }
    return self->long_one.data;
}

emmap_sink nif_binary_sink(struct nif_binary *self)
{
    return (emmap_sink){.allocate = allocate, .context = self};
}

ERL_NIF_TERM nif_binary_term(struct nif_binary *self)
{
    if (self->long_one.data)
        self->term = enif_make_binary(self->env, &self->long_one);
    else if (!self->term) /* nothing was asked for */
        enif_make_new_binary(self->env, 0, &self->term);
    return self->term;
}

void nif_binary_drop(struct nif_binary *self)
{
    if (self->long_one.data)
        enif_release_binary(&self->long_one);
}

ERL_NIF_TERM nif_binary_result(struct nif_binary *self, emmap_error error)
{
    if (!error)
        return nif_ok(self->env, nif_binary_term(self));
    nif_binary_drop(self);
    return nif_error(self->env, error);
}
