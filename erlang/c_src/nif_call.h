/* How an operation is called: on which scheduler it runs, and how it answers. */
#ifndef EMMAP_NIF_CALL_H
#define EMMAP_NIF_CALL_H

#include <erl_nif.h>
#include <stdbool.h>

#include "nif_file.h"
#include "nif_terms.h"

typedef ERL_NIF_TERM nif_function(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[]);

#define NIF_DECLARE(name, arity, shape, cost) nif_function nif_##name;
EMMAP_OPERATIONS(NIF_DECLARE)

/* How many arguments each function has in Erlang. */
#define NIF_ARITY(name, arity, shape, cost) NIF_ARITY_##name = arity,
enum { EMMAP_OPERATIONS(NIF_ARITY) NIF_ARITY_queue_pop_term = 2 };

/*
 * The one way to a dirty scheduler: calls `function` once more, on a dirty I/O scheduler, with one argument
 * more than it has in Erlang. That tells the function where it runs.
 */
ERL_NIF_TERM nif_reschedule(ErlNifEnv *env, const char *name, nif_function *function, int count,
                            const ERL_NIF_TERM arguments[], ERL_NIF_TERM more);

/* ERTS counts a call of a NIF as one reduction, which is the time to copy 4 KiB. More bytes are reported as a
 * part of the millisecond that a process may run: about 1 % for 16 KiB whose pages have to be mapped. */
static inline void nif_account(ErlNifEnv *env, uint64_t bytes)
{
    if (bytes > 4096)
        enif_consume_timeslice(env, 1 + (int)(bytes / 16384));
}

static inline ERL_NIF_TERM nif_done(ErlNifEnv *env, emmap_error error)
{
    return error ? nif_error(env, error) : nif_atoms.ok;
}

/* ---- Operations that may take long -------------------------------------------------------------------- */

/*
 * A way to a dirty scheduler and back costs some 6 µs, a lock that is free 1 µs, and an exclusive handle
 * takes none. So an operation is tried at once on the scheduler of the caller. It is rescheduled if the core
 * says that it would take long, or if it is about more than EMMAP_PIECE bytes.
 */
struct nif_attempt {
    ErlNifEnv *env;
    struct nif_file *file;
    bool is_dirty;  /* on a dirty scheduler, where the operation may take its time */
    bool unlimited; /* the caller waits for the lock without a limit */
    bool again;     /* nothing was done; a dirty scheduler will do it */
};

/* The core that was told that the calling thread, a normal scheduler, may not wait; NULL: none. A core is
 * told once for each thread. To tell it before and after each operation would cost a fifth of a short
 * operation. */
extern _Thread_local const struct nif_core *nif_told NIF_TLS;

static inline void nif_may_not_wait(const struct nif_core *core)
{
    if (nif_told == core)
        return;
    core->set_may_block(false);
    nif_told = core;
}

/* An operation that takes hardly longer than a call. */
#define NIF_HOT __attribute__((always_inline)) inline

/* Answers like a nif_function, or sets `again`. */
typedef ERL_NIF_TERM nif_operation(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[]);

/* Always inlined, with the operation: a short one takes as long as a call. The first argument is the file.
 * `locks`: the operation may find a lock taken, and must not wait for it on a normal scheduler. */
__attribute__((always_inline)) static inline ERL_NIF_TERM
nif_attempt(struct nif_attempt *attempt, int count, const ERL_NIF_TERM arguments[], const char *name,
            nif_operation *operation, nif_function *function, bool locks)
{
    if (!nif_file_get(attempt->env, arguments[0], &attempt->file))
        return nif_file_refuse(attempt->env, arguments[0]);
    if (locks && !attempt->is_dirty)
        nif_may_not_wait(attempt->file->core);
    const ERL_NIF_TERM answer = operation(attempt, arguments);
    return attempt->again ? nif_reschedule(attempt->env, name, function, count, arguments, nif_atoms.ok)
                          : answer;
}

/* The failure of an open. {busy, Milliseconds}: another handle or process has the lock. Otherwise as
 * nif_open_failure. */
ERL_NIF_TERM nif_open_failed(ErlNifEnv *env, emmap_error error, const emmap_options *options);

/* The arguments of every open. */
struct nif_opening {
    ErlNifEnv *env;
    char *path; /* to be freed by enif_free; nif_opening_end does so */
    emmap_options options;
};

/* False: *refused is the answer, and there is nothing to end. */
bool nif_opening_begin(ErlNifEnv *env, ERL_NIF_TERM path, ERL_NIF_TERM options, struct nif_opening *self,
                       ERL_NIF_TERM *refused);

/* The answer of the open: nif_open_failed, or nif_file_answer. */
ERL_NIF_TERM nif_opening_end(struct nif_opening *self, emmap_error error, emmap_file *file, const char *kind);

/*
 * nif_<name> of the operation `name`:
 *     NIF_OPERATION       tries it on the scheduler of the caller first
 *     NIF_COPY            the same; it takes no lock of others, but may be about many bytes
 *     NIF_SLOW_OPERATION  runs on a dirty scheduler at once, by the table of emmap_nif.c
 */
#define NIF_OPERATION(name) NIF_ATTEMPT(name, count > NIF_ARITY_##name, true)
#define NIF_COPY(name) NIF_ATTEMPT(name, count > NIF_ARITY_##name, false)
#define NIF_SLOW_OPERATION(name) NIF_ATTEMPT(name, true, false)
#define NIF_ATTEMPT(name, dirty, locks)                                                                      \
    ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                       \
    {                                                                                                        \
        struct nif_attempt attempt = {.env = env, .is_dirty = dirty};                                        \
        return nif_attempt(&attempt, count, arguments, #name, name, nif_##name, locks);                      \
    }

/* Sets `again`. The answer is ignored then. */
ERL_NIF_TERM nif_attempt_again(struct nif_attempt *attempt);

/* The most items, of some 10 µs together, that a normal scheduler handles in one call. */
#define NIF_ITEMS_AT_ONCE 64u

/* True, with `again` set: this is too much for a normal scheduler. False: it is accounted for. */
static inline bool nif_attempt_too_long(struct nif_attempt *attempt, uint64_t items, uint64_t bytes)
{
    if (attempt->is_dirty)
        return false;
    attempt->again = items > NIF_ITEMS_AT_ONCE || bytes > EMMAP_PIECE;
    if (!attempt->again)
        nif_account(attempt->env, bytes);
    return attempt->again;
}

/* `ok`, or as nif_attempt_failed. */
ERL_NIF_TERM nif_attempt_done(struct nif_attempt *attempt, emmap_error error);

/* {ok, Integer} and {ok, Boolean}, or as nif_attempt_failed. */
ERL_NIF_TERM nif_attempt_number(struct nif_attempt *attempt, emmap_error error, uint64_t number);
ERL_NIF_TERM nif_attempt_whether(struct nif_attempt *attempt, emmap_error error, bool yes);

/* {ok, Binary} of an operation of shape TAKE. */
ERL_NIF_TERM nif_attempt_take(struct nif_attempt *attempt,
                              emmap_error (*take)(emmap_file *file, const emmap_sink *sink));

/* {error, Reason}, `eof`, or sets `again`. {busy, Milliseconds}: another handle or process has the lock, and
 * the calling process tries again for so long, because no scheduler waits for a lock. The caller drops the
 * terms that it has made. */
ERL_NIF_TERM nif_attempt_failed(struct nif_attempt *attempt, emmap_error error);

/* ---- Bytes -------------------------------------------------------------------------------------------- */

static inline struct iovec nif_vector_of(const ErlNifBinary *bytes)
{
    return (struct iovec){.iov_base = bytes->data, .iov_len = bytes->size};
}

/* The bytes of a binary or of a list of binaries, in place, from nif_vectors_get to nif_vectors_free. The
 * calling process, which has the binaries, waits for the operation. */
struct nif_vectors {
    struct iovec *list;
    size_t count;
    uint64_t bytes;
    struct iovec one; /* of a binary */
};

/* Takes a list of binaries. False: `*answer` is the answer of the operation, badarg or no memory; or `again`
 * is set, because these are too many bytes for a normal scheduler. */
bool nif_vectors_get_list(struct nif_attempt *attempt, ERL_NIF_TERM data, struct nif_vectors *self,
                          ERL_NIF_TERM *answer);

/* Takes a binary or a list of binaries. */
static inline bool nif_vectors_get(struct nif_attempt *attempt, ERL_NIF_TERM data, struct nif_vectors *self,
                                   ERL_NIF_TERM *answer)
{
    ErlNifBinary bytes;
    if (!enif_inspect_binary(attempt->env, data, &bytes))
        return nif_vectors_get_list(attempt, data, self, answer);
    *answer = nif_atoms.ok;
    self->one = nif_vector_of(&bytes);
    self->list = &self->one;
    self->count = 1;
    self->bytes = bytes.size;
    return !nif_attempt_too_long(attempt, 1, bytes.size);
}

static inline void nif_vectors_free(struct nif_vectors *self)
{
    if (self->list != &self->one)
        enif_free(self->list);
}

/* A sink that makes a binary of each piece. It begins as {.attempt = attempt}. */
struct nif_pieces {
    struct nif_attempt *attempt;
    uint64_t bytes;
    size_t count;
    size_t room; /* of `more` */
    struct nif_binary first;
    struct nif_binary *more;
};

emmap_sink nif_pieces_sink(struct nif_pieces *self);

/* Each ends the sink. The terms of a failure are dropped, and it is answered as by nif_attempt_failed. */
ERL_NIF_TERM nif_pieces_first(struct nif_pieces *self); /* the binary */
ERL_NIF_TERM nif_pieces_list(struct nif_pieces *self,
                             const uint64_t *keys); /* [{Key, Binary}]; keys NULL: [Binary] */
ERL_NIF_TERM nif_pieces_failed(struct nif_pieces *self, emmap_error error);

#endif
