#include "nif_wait.h"

#include <errno.h>

#include "nif_terms.h"

/* The process that is told that a wait has ended. It is freed by the end of the wait: `done`, or a cancel in
 * time. */
struct told {
    ErlNifPid process;
    ErlNifEnv *env;
    ERL_NIF_TERM tag; /* in `env` */
};

/* The handle of a wait. If its process is killed, the handle is collected, which ends the wait. */
struct nif_wait {
    const struct nif_core *core;
    emmap_wait *wait; /* NULL: freed */
    struct told *told;
};

static ErlNifResourceType *wait_type;
static ERL_NIF_TERM atom_not_equal, atom_timeout, atom_infinity;

static struct told *told_make(ErlNifEnv *env, ERL_NIF_TERM tag)
{
    struct told *const self = enif_alloc(sizeof *self);
    enif_self(env, &self->process);
    self->env = enif_alloc_env();
    self->tag = enif_make_copy(self->env, tag);
    return self;
}

static void told_free(struct told *self)
{
    enif_free_env(self->env);
    enif_free(self);
}

/* Runs on any thread: one of the core, or the scheduler of a close or a notify. */
static void done(void *context, emmap_error result)
{
    struct told *const told = context;
    const ERL_NIF_TERM what = result == EMMAP_OK    ? nif_atoms.ok
                              : result == ETIMEDOUT ? atom_timeout
                                                    : nif_error(told->env, result);
    /* If the process has died, nobody gets the message. */
    (void)enif_send(NULL, &told->process, told->env, enif_make_tuple2(told->env, told->tag, what));
    told_free(told);
}

static void end(struct nif_wait *self)
{
    if (!self->wait)
        return;
    if (self->core->wait_cancel(self->wait))
        told_free(self->told);
    self->core->wait_free(self->wait);
    self->wait = NULL;
}

static void wait_destroy(ErlNifEnv *env, void *object)
{
    (void)env;
    end(object);
}

bool nif_wait_types(ErlNifEnv *env)
{
    const ErlNifResourceFlags flags = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    atom_not_equal = enif_make_atom(env, "not_equal");
    atom_timeout = enif_make_atom(env, "timeout");
    atom_infinity = enif_make_atom(env, "infinity");
    wait_type = enif_open_resource_type(env, NULL, "emmap_wait_" NIF_LAYOUT, wait_destroy, flags, NULL);
    return wait_type != NULL;
}

/* A number of milliseconds or of processes: an integer from 0 on, or `infinity`. */
static bool get_limit(ErlNifEnv *env, ERL_NIF_TERM term, uint64_t *limit)
{
    ErlNifUInt64 value = EMMAP_NO_LIMIT;
    if (!enif_is_identical(term, atom_infinity) && !enif_get_uint64(env, term, &value))
        return false;
    *limit = value;
    return true;
}

typedef __typeof__(emmap_wait_begin) begin_function;
typedef __typeof__(emmap_notify) notify_function;

/* A wait of the calling process, before it begins. */
static struct nif_wait *wait_make(ErlNifEnv *env, struct nif_file *file, ERL_NIF_TERM tag)
{
    struct nif_wait *const self = enif_alloc_resource(wait_type, sizeof *self);
    *self = (struct nif_wait){.core = file->core, .told = told_make(env, tag)};
    return self;
}

/* {ok, Wait}, and the message {Tag, Result} will come; or the result itself. `met` is the result for EAGAIN.
 * */
static ERL_NIF_TERM wait_begun(ErlNifEnv *env, struct nif_wait *self, emmap_error error, ERL_NIF_TERM met)
{
    if (error)
        told_free(self->told);
    const ERL_NIF_TERM term = error ? 0 : enif_make_resource(env, self);
    enif_release_resource(self);
    return !error               ? nif_ok(env, term)
           : error == EAGAIN    ? met
           : error == ETIMEDOUT ? atom_timeout
                                : nif_error(env, error);
}

/* (Handle, Place, Expected, Timeout, Tag) */
static ERL_NIF_TERM wait_begin(ErlNifEnv *env, const ERL_NIF_TERM arguments[], struct nif_file *file,
                               begin_function *begin)
{
    uint64_t place, timeout;
    int64_t expected;
    if (!nif_get_position(env, arguments[1], &place) || !nif_get_operand(env, arguments[2], &expected) ||
        !get_limit(env, arguments[3], &timeout))
        return enif_make_badarg(env);
    struct nif_wait *const self = wait_make(env, file, arguments[4]);
    const emmap_waiter waiter = {.done = done, .context = self->told};
    const emmap_error error = begin(file->file, place, expected, timeout, &waiter, &self->wait);
    return wait_begun(env, self, error, atom_not_equal);
}

ERL_NIF_TERM nif_wait_begin(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    return nif_file_get(env, arguments[0], &file) ? wait_begin(env, arguments, file, file->core->wait_begin)
                                                  : nif_file_refuse(env, arguments[0]);
}

ERL_NIF_TERM nif_counter_wait_begin(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    return nif_file_get(env, arguments[0], &file)
               ? wait_begin(env, arguments, file, file->core->counter_wait_begin)
               : nif_file_refuse(env, arguments[0]);
}

/* (Handle, Timeout, Tag); `ok`: there may be a message */
ERL_NIF_TERM nif_queue_wait_begin(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t timeout;
    if (!nif_file_get(env, arguments[0], &file) || !get_limit(env, arguments[1], &timeout))
        return nif_file_refuse(env, arguments[0]);
    struct nif_wait *const self = wait_make(env, file, arguments[2]);
    const emmap_waiter waiter = {.done = done, .context = self->told};
    const emmap_error error = file->core->queue_wait_begin(file->file, timeout, &waiter, &self->wait);
    return wait_begun(env, self, error, nif_atoms.ok);
}

/* (Handle, Version, Timeout, Tag) */
ERL_NIF_TERM nif_cell_wait_begin(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t version, timeout;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_place(env, arguments[1], &version) ||
        !get_limit(env, arguments[2], &timeout))
        return nif_file_refuse(env, arguments[0]);
    struct nif_wait *const self = wait_make(env, file, arguments[3]);
    const emmap_waiter waiter = {.done = done, .context = self->told};
    const emmap_error error = file->core->cell_wait_begin(file->file, version, timeout, &waiter, &self->wait);
    return wait_begun(env, self, error, atom_not_equal);
}

/* (Wait, Handle) -> ok. As arguments of this call neither is collected before. */
ERL_NIF_TERM nif_wait_end(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_wait *self;
    if (!enif_get_resource(env, arguments[0], wait_type, (void **)&self))
        return enif_make_badarg(env);
    end(self);
    return nif_atoms.ok;
}

/* How many threads are woken on a normal scheduler. Each takes a microsecond or two. */
enum { WOKEN_AT_ONCE = 16 };

/* (Handle, Place, Count) -> {ok, Woken}. A rescheduled call has a fourth argument: how many it has woken
 * before. */
static ERL_NIF_TERM notify(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[], struct nif_file *file,
                           notify_function *function, nif_function *again)
{
    uint64_t place, limit, before = 0, woken = 0;
    const bool is_dirty = count > NIF_ARITY_notify;
    if (!nif_get_position(env, arguments[1], &place) || !get_limit(env, arguments[2], &limit) ||
        (is_dirty && !get_limit(env, arguments[3], &before)))
        return enif_make_badarg(env);
    const bool is_part = !is_dirty && limit > WOKEN_AT_ONCE;
    const emmap_error error = function(file->file, place, is_part ? WOKEN_AT_ONCE : limit - before, &woken);
    if (error)
        return before > 0 ? nif_ok(env, arguments[3]) : nif_error(env, error);
    const ERL_NIF_TERM all = enif_make_uint64(env, before + woken);
    if (!is_part || woken < WOKEN_AT_ONCE)
        return nif_ok(env, all);
    return nif_reschedule(env, "notify", again, count, arguments, all);
}

ERL_NIF_TERM nif_notify(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    struct nif_file *file;
    return nif_file_get(env, arguments[0], &file)
               ? notify(env, count, arguments, file, file->core->notify, nif_notify)
               : nif_file_refuse(env, arguments[0]);
}

ERL_NIF_TERM nif_counter_notify(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    struct nif_file *file;
    return nif_file_get(env, arguments[0], &file)
               ? notify(env, count, arguments, file, file->core->counter_notify, nif_counter_notify)
               : nif_file_refuse(env, arguments[0]);
}
