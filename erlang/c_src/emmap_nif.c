/*
 * The NIF door: terms in, core calls, terms out. emmap_nif.erl has the specs.
 *
 * What may take longer than 100 µs runs on a dirty I/O scheduler: at once, by the table at the end of the file, where the
 * operation waits for a disk or its time grows with the file; else after it was tried on a normal one (nif_call.h).
 */
#include <erl_nif.h>
#include <errno.h>
#include <string.h>

#include "nif_blocks.h"
#include "nif_call.h"
#include "nif_queue.h"

static ERL_NIF_TERM answer_size(ErlNifEnv *env, emmap_error error, uint64_t size)
{
    return error ? nif_error(env, error) : nif_ok(env, enif_make_uint64(env, size));
}

static ERL_NIF_TERM answer_direct(ErlNifEnv *env, struct nif_file *file, emmap_error error,
                                  emmap_slice *slice)
{
    return error ? nif_error(env, error) : nif_ok(env, nif_file_lend(env, file, slice));
}

/* ---- Open and close ----------------------------------------------------------------------------------- */

static ERL_NIF_TERM nif_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    emmap_options options;
    ERL_NIF_TERM bad;
    if (nif_get_options(env, arguments[1], &options, &bad) != EMMAP_OK)
        return nif_bad_option(env, bad);
    char *const path = nif_get_path(env, arguments[0]);
    if (!path)
        return enif_make_badarg(env);
    emmap_file *file;
    const emmap_error error = emmap_open(path, &options, &file);
    enif_free(path);
    return error ? nif_open_failed(env, error, &options) : nif_file_answer(env, file);
}

/* {error, {counters, InFile, Asked}} for another number, else as nif_open_failed. */
static ERL_NIF_TERM counters_failed(ErlNifEnv *env, emmap_error error, const emmap_options *options)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (failure->error != error || failure->found == 0)
        return error == ETIMEDOUT ? nif_open_failed(env, error, options) : nif_error(env, error);
    return enif_make_tuple2(env, nif_atoms.error,
                            enif_make_tuple3(env, nif_atoms.counters, enif_make_uint64(env, failure->found),
                                             enif_make_uint64(env, failure->asked)));
}

static ERL_NIF_TERM nif_counters_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    emmap_options options;
    ERL_NIF_TERM bad;
    uint64_t counters;
    if (!nif_get_position(env, arguments[1], &counters))
        return enif_make_badarg(env);
    if (nif_get_options(env, arguments[2], &options, &bad) != EMMAP_OK)
        return nif_bad_option(env, bad);
    char *const path = nif_get_path(env, arguments[0]);
    if (!path)
        return enif_make_badarg(env);
    emmap_file *file;
    const emmap_error error = emmap_counters_open(path, counters, &options, &file);
    enif_free(path);
    if (error)
        return counters_failed(env, error, &options);
    const ERL_NIF_TERM length = enif_make_uint64(env, emmap_counters_length(file));
    return enif_make_tuple3(env, nif_atoms.ok, nif_file_make(env, file), length);
}

static ERL_NIF_TERM nif_close(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    if (!nif_file_get(env, arguments[0], &file))
        return enif_make_badarg(env);
    const emmap_error error = file->core->close(file->file);
    /* After the close: a read that is late finds the file closed and makes no other window. */
    nif_file_recall(file);
    return nif_done(env, error);
}

/* ---- Reads -------------------------------------------------------------------------------------------- */

static ERL_NIF_TERM pread(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_binary binary = {.env = attempt->env};
    uint64_t position, length;
    if (!nif_get_position(attempt->env, arguments[1], &position) ||
        !nif_get_position(attempt->env, arguments[2], &length))
        return enif_make_badarg(attempt->env);
    if (file->direct) {
        ERL_NIF_TERM slice;
        const emmap_error error = nif_file_pread_direct(attempt->env, file, position, length, &slice);
        return error ? nif_error(attempt->env, error) : nif_ok(attempt->env, slice);
    }
    if (nif_attempt_too_long(attempt, 1, length))
        return nif_atoms.ok;
    const emmap_sink sink = nif_binary_sink(&binary);
    return nif_binary_result(&binary, file->core->pread(file->file, position, length, &sink));
}

static ERL_NIF_TERM read(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_binary binary = {.env = attempt->env};
    uint64_t length;
    if (!nif_get_position(attempt->env, arguments[1], &length))
        return enif_make_badarg(attempt->env);
    if (file->direct) {
        emmap_slice slice;
        const emmap_error error = file->core->read_direct(file->file, length, &slice);
        return answer_direct(attempt->env, file, error, &slice);
    }
    if (nif_attempt_too_long(attempt, 1, length))
        return nif_atoms.ok;
    const emmap_sink sink = nif_binary_sink(&binary);
    return nif_binary_result(&binary, file->core->read(file->file, length, &sink));
}

/* Looks at what lies behind the cursor on the same page: the line begins there, so that nothing is touched that
 * reading it would not touch. Somebody may move the cursor before the line is read; then that is slow, and no
 * more. */
static bool line_is_short(const struct nif_file *file)
{
    char bytes[1024];
    uint64_t position, length;
    if (file->core->position(file->file, 0, EMMAP_FROM_CURSOR, &position) != EMMAP_OK)
        return true; /* so is an error */
    const uint64_t left_on_page = 4096 - (file->offset + position) % 4096;
    const struct iovec vector = {.iov_base = bytes,
                                 .iov_len = left_on_page < sizeof bytes ? left_on_page : sizeof bytes};
    if (file->core->preadv(file->file, position, &vector, 1, &length) != EMMAP_OK)
        return true;
    return length < vector.iov_len || memchr(bytes, '\n', length);
}

/* A line's length is known when it has been searched through, which a file without "\n" makes long. */
static ERL_NIF_TERM read_line(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    struct nif_file *const file = attempt->file;
    if (!attempt->may_wait && !line_is_short(file))
        return nif_attempt_again(attempt);
    struct nif_binary binary = {.env = attempt->env};
    const emmap_sink sink = nif_binary_sink(&binary);
    if (file->direct) {
        emmap_slice slice;
        const emmap_error error = file->core->read_line_direct(file->file, &slice, &sink);
        return error || slice.mapping ? answer_direct(attempt->env, file, error, &slice)
                                      : nif_binary_result(&binary, EMMAP_OK);
    }
    return nif_binary_result(&binary, file->core->read_line(file->file, &sink));
}

NIF_OPERATION(pread)
NIF_OPERATION(read)
NIF_OPERATION(read_line)

/* ---- Writes ------------------------------------------------------------------------------------------- */

static ERL_NIF_TERM pwrite(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    uint64_t position;
    if (!nif_get_position(attempt->env, arguments[1], &position))
        return enif_make_badarg(attempt->env);
    struct nif_vectors data;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get(attempt, arguments[2], &data, &failed))
        return failed;
    const emmap_error error = file->core->pwrite(file->file, position, data.list, data.count);
    nif_vectors_free(&data);
    return nif_attempt_done(attempt, error);
}

static ERL_NIF_TERM write(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_vectors data;
    ERL_NIF_TERM failed;
    if (!nif_vectors_get(attempt, arguments[1], &data, &failed))
        return failed;
    const emmap_error error = file->core->write(file->file, data.list, data.count);
    nif_vectors_free(&data);
    return nif_attempt_done(attempt, error);
}

NIF_OPERATION(pwrite)
NIF_OPERATION(write)

/* ---- Cursor and size ---------------------------------------------------------------------------------- */

static ERL_NIF_TERM nif_position(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    int64_t offset;
    emmap_whence whence;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_offset(env, arguments[1], &offset) ||
        !nif_get_whence(arguments[2], &whence))
        return enif_make_badarg(env);
    uint64_t cursor = 0;
    const emmap_error error = file->core->position(file->file, offset, whence, &cursor);
    return answer_size(env, error, cursor);
}

static ERL_NIF_TERM nif_size(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    if (!nif_file_get(env, arguments[0], &file))
        return enif_make_badarg(env);
    uint64_t bytes = 0;
    const emmap_error error = file->core->size(file->file, &bytes);
    return answer_size(env, error, bytes);
}

static ERL_NIF_TERM resize(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    uint64_t wanted, result = 0;
    if (!nif_get_position(attempt->env, arguments[1], &wanted))
        return enif_make_badarg(attempt->env);
    nif_file_recall(file);
    const emmap_error error = file->core->resize(file->file, wanted, &result);
    /* Again: a read in parallel may have made a window on the mapping that was replaced. */
    nif_file_recall(file);
    return error ? nif_attempt_failed(attempt, error)
                 : nif_ok(attempt->env, enif_make_uint64(attempt->env, result));
}

static ERL_NIF_TERM truncate(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    struct nif_file *const file = attempt->file;
    nif_file_recall(file);
    const emmap_error error = file->core->truncate(file->file);
    nif_file_recall(file);
    return nif_attempt_done(attempt, error);
}

NIF_SLOW_OPERATION(resize)
NIF_SLOW_OPERATION(truncate)

static ERL_NIF_TERM nif_allocate(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t position, length;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &position) ||
        !nif_get_position(env, arguments[2], &length))
        return enif_make_badarg(env);
    return nif_done(env, file->core->allocate(file->file, position, length));
}

static ERL_NIF_TERM nif_advise(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t position, length;
    emmap_advice advice;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &position) ||
        !nif_get_position(env, arguments[2], &length) || !nif_get_advice(arguments[3], &advice))
        return enif_make_badarg(env);
    return nif_done(env, file->core->advise(file->file, position, length, advice));
}

/* ---- Durability --------------------------------------------------------------------------------------- */

#define DURABILITY(name)                                                                                     \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        (void)arguments;                                                                                     \
        return nif_attempt_done(attempt, attempt->file->core->name(attempt->file->file));                    \
    }                                                                                                        \
    NIF_SLOW_OPERATION(name)

DURABILITY(flush)
DURABILITY(sync)
DURABILITY(datasync)

static ERL_NIF_TERM nif_is_current(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    if (!nif_file_get(env, arguments[0], &file))
        return enif_make_badarg(env);
    bool current;
    const emmap_error error = file->core->is_current(file->file, &current);
    return error ? nif_error(env, error) : nif_ok(env, current ? nif_atoms.true_ : nif_atoms.false_);
}

static ERL_NIF_TERM backup(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    char *const path = nif_get_path(attempt->env, arguments[1]);
    if (!path)
        return enif_make_badarg(attempt->env);
    const emmap_error error = attempt->file->core->backup(attempt->file->file, path);
    enif_free(path);
    return nif_attempt_done(attempt, error);
}

NIF_SLOW_OPERATION(backup)

/* ---- Atomic 64-bit operations and counters ------------------------------------------------------------ */

/* {ok, Old} */
static inline ERL_NIF_TERM answer_old(ErlNifEnv *env, emmap_error error, int64_t old)
{
    return error ? nif_error(env, error) : nif_ok(env, enif_make_int64(env, old));
}

#define ATOMIC_FETCH(name)                                                                                   \
    static ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t operand, old = 0;                                                                            \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||       \
            !nif_get_operand(env, arguments[2], &operand))                                                   \
            return enif_make_badarg(env);                                                                    \
        const emmap_error error = file->core->name(file->file, place, operand, &old);                        \
        return answer_old(env, error, old);                                                                  \
    }

#define ATOMIC_COMPARE_EXCHANGE(name)                                                                        \
    static ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t expected, replacement, old = 0;                                                              \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||       \
            !nif_get_operand(env, arguments[2], &expected) ||                                                \
            !nif_get_operand(env, arguments[3], &replacement))                                               \
            return enif_make_badarg(env);                                                                    \
        const emmap_error error = file->core->name(file->file, place, expected, replacement, &old);          \
        return answer_old(env, error, old);                                                                  \
    }

#define ATOMIC_LOAD(name)                                                                                    \
    static ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t value = 0;                                                                                   \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place))         \
            return enif_make_badarg(env);                                                                    \
        const emmap_error error = file->core->name(file->file, place, &value);                               \
        return answer_old(env, error, value);                                                                \
    }

ATOMIC_FETCH(patomic_add)
ATOMIC_FETCH(patomic_sub)
ATOMIC_FETCH(patomic_and)
ATOMIC_FETCH(patomic_or)
ATOMIC_FETCH(patomic_xor)
ATOMIC_FETCH(patomic_exchange)
ATOMIC_COMPARE_EXCHANGE(patomic_compare_exchange)
ATOMIC_LOAD(patomic_load)

static ERL_NIF_TERM nif_patomic_store(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t place;
    int64_t value;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||
        !nif_get_operand(env, arguments[2], &value))
        return enif_make_badarg(env);
    return nif_done(env, file->core->patomic_store(file->file, place, value));
}

ATOMIC_FETCH(counter_add)
ATOMIC_FETCH(counter_sub)
ATOMIC_FETCH(counter_set)
ATOMIC_COMPARE_EXCHANGE(counter_compare_exchange)
ATOMIC_LOAD(counter_get)

/* ---- The library -------------------------------------------------------------------------------------- */

#define DIRTY ERL_NIF_DIRTY_JOB_IO_BOUND

static ErlNifFunc functions[] = {
    /* Directory look-ups, space to be reserved and pages to be read in wait for the disk. */
    {"open", 2, nif_open, DIRTY},
    {"counters_open", 3, nif_counters_open, DIRTY},
    /* Unmapping takes 50 ms for a GiB that was in use, unlinking may free as much. */
    {"close", 1, nif_close, DIRTY},
    {"size", 1, nif_size, 0},

    /* On a normal scheduler up to EMMAP_PIECE bytes, which take about 10 µs: see nif_call.h. */
    {"pread", 3, nif_pread, 0},
    {"read", 2, nif_read, 0},
    {"read_line", 1, nif_read_line, 0},
    {"pwrite", 3, nif_pwrite, 0},
    {"write", 2, nif_write, 0},
    {"position", 3, nif_position, 0},

    /* Space is reserved on disk, pages move. */
    {"resize_now", 2, nif_resize, DIRTY},
    {"truncate_now", 1, nif_truncate, DIRTY},
    {"allocate", 3, nif_allocate, DIRTY},
    /* The kernel reads ahead, or walks through all pages of the range. */
    {"advise", 4, nif_advise, DIRTY},
    /* Does not wait for the disk, but for a place in its queue. */
    {"flush", 1, nif_flush, DIRTY},
    {"sync", 1, nif_sync, DIRTY},
    {"datasync", 1, nif_datasync, DIRTY},
    {"backup", 2, nif_backup, DIRTY},
    /* Looks the path up. */
    {"is_current", 1, nif_is_current, DIRTY},

    /* One locked instruction each. */
    {"patomic_add", 3, nif_patomic_add, 0},
    {"patomic_sub", 3, nif_patomic_sub, 0},
    {"patomic_and", 3, nif_patomic_and, 0},
    {"patomic_or", 3, nif_patomic_or, 0},
    {"patomic_xor", 3, nif_patomic_xor, 0},
    {"patomic_exchange", 3, nif_patomic_exchange, 0},
    {"patomic_compare_exchange", 4, nif_patomic_compare_exchange, 0},
    {"patomic_load", 2, nif_patomic_load, 0},
    {"patomic_store", 3, nif_patomic_store, 0},
    {"counter_add", 3, nif_counter_add, 0},
    {"counter_sub", 3, nif_counter_sub, 0},
    {"counter_set", 3, nif_counter_set, 0},
    {"counter_get", 2, nif_counter_get, 0},
    {"counter_compare_exchange", 4, nif_counter_compare_exchange, 0},

    {"queue_open", 2, nif_queue_open, DIRTY},
    {"queue_attach", 1, nif_queue_attach, DIRTY},
    /* On a normal scheduler where they need not wait: see nif_call.h. */
    {"queue_push", 2, nif_queue_push, 0},
    {"queue_push_many", 2, nif_queue_push_many, 0},
    {"queue_pop", 1, nif_queue_pop, 0},
    {"queue_pop_term", 2, nif_queue_pop_term, 0},
    {"queue_remove", 2, nif_queue_remove, 0},
    {"queue_pop_many", 2, nif_queue_pop_many, 0},
    {"queue_pop_begin", 1, nif_queue_pop_begin, 0},
    {"queue_pop_commit", 2, nif_queue_pop_commit, 0},
    {"queue_pop_abort", 2, nif_queue_pop_abort, 0},
    {"queue_peek_front", 1, nif_queue_peek_front, 0},
    {"queue_peek_back", 1, nif_queue_peek_back, 0},
    {"queue_walk", 4, nif_queue_walk, 0},
    {"queue_is_empty", 1, nif_queue_is_empty, 0},
    {"queue_info", 1, nif_queue_info, 0},
    {"queue_reset", 1, nif_queue_reset, 0},
    {"queue_purge", 1, nif_queue_purge, 0},
    {"queue_erase", 1, nif_queue_erase, 0},
    /* Goes through all of the messages. */
    {"queue_compact", 1, nif_queue_compact, DIRTY},
    {"queue_length", 1, nif_queue_length, DIRTY},

    {"blocks_open", 4, nif_blocks_open, DIRTY},
    {"blocks_init", 3, nif_blocks_init, DIRTY},
    {"block_store", 2, nif_block_store, 0},
    {"block_store_many", 2, nif_block_store_many, 0},
    {"block_read", 2, nif_block_read, 0},
    {"block_free", 2, nif_block_free, 0},
    {"block_free_many", 2, nif_block_free_many, 0},
    {"blocks_walk", 3, nif_blocks_walk, 0},
    {"blocks_info", 1, nif_blocks_info, 0},
    /* Go through all of the masks. */
    {"blocks_count", 1, nif_blocks_count, DIRTY},
    {"blocks_repair", 3, nif_blocks_repair, DIRTY},
    {"blocks_compact", 1, nif_blocks_compact, DIRTY},
};

static int load(ErlNifEnv *env, void **private_data, ERL_NIF_TERM info)
{
    (void)private_data, (void)info;
    nif_terms_load(env);
    /* No scheduler waits for a lock, a dirty one neither: emmap_nif.erl has the calling process wait. */
    emmap_lock_limit(0);
    return nif_file_types(env) && nif_queue_types(env) ? 0 : -1;
}

/* The older version's handles become ours, and go on calling its core (nif_core.h). */
static int upgrade(ErlNifEnv *env, void **private_data, void **old_private_data, ERL_NIF_TERM info)
{
    (void)old_private_data;
    return load(env, private_data, info);
}

ERL_NIF_INIT(emmap_nif, functions, load, NULL, upgrade, NULL)
