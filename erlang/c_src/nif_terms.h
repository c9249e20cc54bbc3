/* Terms to the values of the core and back. */
#ifndef EMMAP_NIF_TERMS_H
#define EMMAP_NIF_TERMS_H

#include <erl_nif.h>
#include <stdbool.h>

#include "emmap.h"

/* Made once, when the library is loaded; atoms live as long as the node. */
extern struct nif_atoms {
    ERL_NIF_TERM ok, error, eof, busy, badarg;
    ERL_NIF_TERM exist, size, true_, false_;
    ERL_NIF_TERM bof, cur;
    ERL_NIF_TERM corrupt, counters, safe, slow, forward, backward;
    ERL_NIF_TERM head, tail, next_tail;
    ERL_NIF_TERM block_size, levels, capacity;
    ERL_NIF_TERM process, program, since, has_lock, waited, pushed, popped;
    ERL_NIF_TERM ticket, length, due, attempt, released, alive;
    ERL_NIF_TERM normal, sequential, random, no_reuse, will_need, dont_need;
} nif_atoms;

void nif_terms_load(ErlNifEnv *env);

/* ---- To the core -------------------------------------------------------------------------------------- */

/* A position or length. An integer that is negative or has no place in 64 bits becomes one from 2^63 up,
 * which the core refuses after it has looked at the file. False: no integer. */
static inline bool nif_get_position(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *position)
{
    ErlNifSInt64 value;
    if (!enif_get_int64(env, term, &value)) {
        *position = UINT64_MAX;
        return enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER;
    }
    *position = (uint64_t)value;
    return true;
}

/* A place of a walk or a repair. An integer that no uint64_t holds becomes EMMAP_NO_PLACE. False: no integer.
 * */
static inline bool nif_get_place(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *place)
{
    ErlNifUInt64 value;
    *place = EMMAP_NO_PLACE;
    if (!enif_get_uint64(env, term, &value))
        return enif_term_type(env, term) == ERL_NIF_TERM_TYPE_INTEGER;
    *place = value;
    return true;
}

/* An operand of a 64-bit operation, from -2^63 to 2^64-1. False: anything else. */
static inline bool nif_get_operand(ErlNifEnv *env, ERL_NIF_TERM term, int64_t *operand)
{
    ErlNifSInt64 value;
    ErlNifUInt64 above;
    if (enif_get_int64(env, term, &value)) {
        *operand = value;
        return true;
    }
    if (!enif_get_uint64(env, term, &above))
        return false;
    *operand = (int64_t)above;
    return true;
}

/* An offset, which may be negative. One that has no place in 64 bits becomes INT64_MIN, which the core
 * refuses. */
bool nif_get_offset(ErlNifEnv *env, ERL_NIF_TERM term, int64_t *offset);

bool nif_get_whence(ERL_NIF_TERM term, emmap_whence *whence);
bool nif_get_advice(ERL_NIF_TERM term, emmap_advice *advice);

/* A path from a binary without NUL, to be freed by enif_free. NULL: it is no such binary. */
char *nif_get_path(ErlNifEnv *env, ERL_NIF_TERM term);

/* A list of options. EMMAP_BADARG: *bad is no option, or no list. */
emmap_error nif_get_options(ErlNifEnv *env, ERL_NIF_TERM term, emmap_options *options, ERL_NIF_TERM *bad);

/* ---- From the core ------------------------------------------------------------------------------------ */

ERL_NIF_TERM nif_error(ErlNifEnv *env, emmap_error error); /* {error, Atom}, or eof */

/* The same with details: {error, {corrupt, Offset, Reason}}. `failure` is the last one of the thread. */
ERL_NIF_TERM nif_failure(ErlNifEnv *env, emmap_error error, const emmap_failure *failure);

/* The same for an open. {error, {Atom, Sentence}}: the file system lacks something. */
ERL_NIF_TERM nif_open_failure(ErlNifEnv *env, emmap_error error);

/* {error, {badarg, Option}} */
ERL_NIF_TERM nif_bad_option(ErlNifEnv *env, ERL_NIF_TERM bad);

static inline ERL_NIF_TERM nif_ok(ErlNifEnv *env, ERL_NIF_TERM value)
{
    /* Cheaper than the variadic enif_make_tuple. */
    const ERL_NIF_TERM pair[] = {nif_atoms.ok, value};
    return enif_make_tuple_from_array(env, pair, 2);
}

/* A sink that fills a binary. It begins as {.env = env}. */
struct nif_binary {
    ErlNifEnv *env;
    bool one_of_many;      /* all binaries of the answer together may be gigabytes */
    ERL_NIF_TERM term;     /* a short binary, when it has been made */
    ErlNifBinary long_one; /* a long one: its data is not NULL when it has been made */
};

emmap_sink nif_binary_sink(struct nif_binary *self);

/* Each ends the sink: makes the binary after a read that succeeded, or frees it after a read that failed. */
ERL_NIF_TERM nif_binary_term(struct nif_binary *self);
void nif_binary_drop(struct nif_binary *self);

/* {ok, Binary}, or the error of the read. Ends the sink. */
ERL_NIF_TERM nif_binary_result(struct nif_binary *self, emmap_error error);

#endif
