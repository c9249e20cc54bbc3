/*
 * The NIF: turns terms into calls of the core, and results into terms. emmap_nif.erl has the specs.
 *
 * An operation that may take longer than 100 µs runs on a dirty I/O scheduler. If it waits for a disk, or its
 * time grows with the file, it begins there, by the table at the end of this file. Any other is tried on a
 * normal scheduler first (nif_call.h).
 */
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#include <erl_nif.h>
#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include "nif_call.h"
#include "nif_holders.h"
#include "nif_queue.h"
#include "nif_wait.h"

static ERL_NIF_TERM answer_direct(ErlNifEnv *env, struct nif_file *file, emmap_error error,
                                  emmap_slice *slice)
{
    return error ? nif_error(env, error) : nif_ok(env, nif_file_lend(env, file, slice));
}

/* ---- Open and close ----------------------------------------------------------------------------------- */

ERL_NIF_TERM nif_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    if (!nif_opening_begin(env, arguments[0], arguments[1], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_open(opening.path, &opening.options, &file);
    return nif_opening_end(&opening, error, file, "file");
}

/* allocates(Bytes): whether the system gives the node so many bytes. ERTS ends the node if it lacks memory for a
 * term. ERTS itself is not asked: it may answer from memory that it keeps in store, and that fits no term. */
static ERL_NIF_TERM nif_allocates(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    ErlNifUInt64 bytes;
    if (!enif_get_uint64(env, arguments[0], &bytes))
        return enif_make_badarg(env);
    void *const memory = bytes > SIZE_MAX / 2 ? MAP_FAILED
                                              : mmap(NULL, (size_t)bytes, PROT_READ | PROT_WRITE,
                                                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return nif_atoms.false_;
    munmap(memory, (size_t)bytes);
    return nif_atoms.true_;
}

/* {error, {counters, InFile, Asked}} if the file has another number; otherwise as nif_open_failed. */
static ERL_NIF_TERM counters_failed(ErlNifEnv *env, emmap_error error, const emmap_options *options)
{
    const emmap_failure *const failure = emmap_last_failure();
    if (failure->error != error || failure->found == 0)
        return error == EMMAP_CORRUPT ? nif_error(env, error) : nif_open_failed(env, error, options);
    return enif_make_tuple2(env, nif_atoms.error,
                            enif_make_tuple3(env, nif_atoms.counters, enif_make_uint64(env, failure->found),
                                             enif_make_uint64(env, failure->asked)));
}

ERL_NIF_TERM nif_counters_open(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_opening opening;
    ERL_NIF_TERM refused;
    uint64_t counters;
    if (!nif_get_position(env, arguments[1], &counters))
        return enif_make_badarg(env);
    if (!nif_opening_begin(env, arguments[0], arguments[2], &opening, &refused))
        return refused;
    emmap_file *file;
    const emmap_error error = emmap_counters_open(opening.path, counters, &opening.options, &file);
    enif_free(opening.path);
    if (error)
        return counters_failed(env, error, &opening.options);
    const ERL_NIF_TERM length = enif_make_uint64(env, emmap_counters_length(file));
    return enif_make_tuple3(env, nif_atoms.ok, nif_file_make(env, file, "counters"), length);
}

ERL_NIF_TERM nif_close(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    if (!nif_file_get(env, arguments[0], &file))
        return nif_file_refuse(env, arguments[0]);
    const emmap_error error = file->core->close(file->file);
    /* After the close, so that no read in parallel makes another window: it finds the file closed. */
    nif_file_recall(file);
    return nif_done(env, error);
}

/* ---- Reads -------------------------------------------------------------------------------------------- */

static bool is_negative(ErlNifEnv *env, ERL_NIF_TERM integer)
{
    return enif_compare(integer, enif_make_int(env, 0)) < 0;
}

NIF_HOT static ERL_NIF_TERM pread(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    struct nif_binary binary = {.env = attempt->env};
    uint64_t position, length;
    if (!nif_get_position(attempt->env, arguments[1], &position) ||
        !nif_get_position(attempt->env, arguments[2], &length))
        return enif_make_badarg(attempt->env);
    ERL_NIF_TERM slice;
    if (file->direct && nif_file_cut(attempt->env, file, position, length, &slice))
        return nif_ok(attempt->env, slice);
    if (length > INT64_MAX && is_negative(attempt->env, arguments[2]))
        return nif_error(attempt->env, EINVAL); /* even if it is closed, as over the port */
    if (file->direct) {
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

/* Whether the line ends within the next 1024 bytes of the page of the cursor. Reading the line touches that
 * page anyway. If another thread moves the cursor before the line is read, the read may be slow, and nothing
 * worse. */
static bool line_is_short(const struct nif_file *file)
{
    char bytes[1024];
    uint64_t position, length;
    if (file->core->position(file->file, 0, EMMAP_FROM_CURSOR, &position) != EMMAP_OK)
        return true; /* an error is short, too */
    const uint64_t left_on_page = 4096 - (file->offset + position) % 4096;
    const struct iovec vector = {.iov_base = bytes,
                                 .iov_len = left_on_page < sizeof bytes ? left_on_page : sizeof bytes};
    if (file->core->preadv(file->file, position, &vector, 1, &length) != EMMAP_OK)
        return true;
    return length < vector.iov_len || memchr(bytes, '\n', length);
}

/* The length of a line is known only after a search for its end, which takes long in a file without "\n". */
static ERL_NIF_TERM read_line(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    struct nif_file *const file = attempt->file;
    if (!attempt->is_dirty && !line_is_short(file))
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

NIF_COPY(pread)
NIF_COPY(read)
NIF_COPY(read_line)

/* ---- Writes ------------------------------------------------------------------------------------------- */

NIF_HOT static ERL_NIF_TERM pwrite(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
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

NIF_COPY(pwrite)
NIF_COPY(write)

/* ---- Cursor and size ---------------------------------------------------------------------------------- */

ERL_NIF_TERM nif_position(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    int64_t offset;
    emmap_whence whence;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_offset(env, arguments[1], &offset) ||
        !nif_get_whence(arguments[2], &whence))
        return nif_file_refuse(env, arguments[0]);
    uint64_t cursor = 0;
    const emmap_error error = file->core->position(file->file, offset, whence, &cursor);
    return error ? nif_error(env, error) : nif_ok(env, enif_make_uint64(env, cursor));
}

static ERL_NIF_TERM resize(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    struct nif_file *const file = attempt->file;
    uint64_t wanted, result = 0;
    if (!nif_get_position(attempt->env, arguments[1], &wanted))
        return enif_make_badarg(attempt->env);
    nif_file_recall(file);
    const emmap_error error = file->core->resize(file->file, wanted, &result);
    /* Once more: a read in parallel may have made a window on the mapping that was replaced. */
    nif_file_recall(file);
    return nif_attempt_number(attempt, error, result);
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

ERL_NIF_TERM nif_allocate(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t position, length;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &position) ||
        !nif_get_position(env, arguments[2], &length))
        return nif_file_refuse(env, arguments[0]);
    return nif_done(env, file->core->allocate(file->file, position, length));
}

ERL_NIF_TERM nif_advise(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count;
    struct nif_file *file;
    uint64_t position, length;
    emmap_advice advice;
    if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &position) ||
        !nif_get_position(env, arguments[2], &length) || !nif_get_advice(arguments[3], &advice))
        return nif_file_refuse(env, arguments[0]);
    return nif_done(env, file->core->advise(file->file, position, length, advice));
}

/* ---- Durability --------------------------------------------------------------------------------------- */

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

static ERL_NIF_TERM make_writer(ErlNifEnv *env, const emmap_writer *writer)
{
    const size_t length = strlen(writer->program);
    ERL_NIF_TERM program = 0, map = 0;
    memcpy(enif_make_new_binary(env, length, &program), writer->program, length);
    ERL_NIF_TERM keys[] = {nif_atoms.process, nif_atoms.program, nif_atoms.since, nif_atoms.has_lock,
                           nif_atoms.waited,  nif_atoms.pushed,  nif_atoms.popped};
    ERL_NIF_TERM values[] = {
        enif_make_uint64(env, writer->process), program,
        enif_make_uint64(env, writer->since),   writer->has_lock ? nif_atoms.true_ : nif_atoms.false_,
        enif_make_uint64(env, writer->waited),  enif_make_uint64(env, writer->pushed),
        enif_make_uint64(env, writer->popped)};
    enif_make_map_from_arrays(env, keys, values, sizeof keys / sizeof *keys, &map);
    return map;
}

static ERL_NIF_TERM writers(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])
{
    (void)arguments;
    ErlNifEnv *const env = attempt->env;
    emmap_writer *const all = enif_alloc(EMMAP_WRITERS * sizeof *all);
    if (!all)
        return nif_error(env, ENOMEM);
    size_t count;
    const emmap_error error = attempt->file->core->writers(attempt->file->file, all, EMMAP_WRITERS, &count);
    ERL_NIF_TERM list = enif_make_list(env, 0);
    for (size_t i = count; i > 0; i--)
        list = enif_make_list_cell(env, make_writer(env, &all[i - 1]), list);
    enif_free(all);
    return error ? nif_attempt_failed(attempt, error) : nif_ok(env, list);
}

NIF_SLOW_OPERATION(writers)

/* ---- Operations whose shape several have: emmap_operations.h ------------------------------------------ */

/* {ok, Old} */
static inline ERL_NIF_TERM answer_word(ErlNifEnv *env, emmap_error error, int64_t word)
{
    return error ? nif_error(env, error) : nif_ok(env, enif_make_int64(env, word));
}

#define DEFINE_APART(name, cost)
#define DEFINE_OWN(name, cost)
#define DEFINE_READ(name, cost)
#define DEFINE_TICKET(name, cost)

/* The cost of an operation says where it is done first: on the scheduler of the caller, or on a dirty one. */
#define WRAP_CHEAP NIF_OPERATION
#define WRAP_WAITS NIF_OPERATION
#define WRAP_SLOW NIF_SLOW_OPERATION

#define DEFINE_ACT(name, cost)                                                                               \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        (void)arguments;                                                                                     \
        return nif_attempt_done(attempt, attempt->file->core->name(attempt->file->file));                    \
    }                                                                                                        \
    WRAP_##cost(name)

#define DEFINE_ACT_ON(name, cost)                                                                            \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        uint64_t subject;                                                                                    \
        if (!nif_get_position(attempt->env, arguments[1], &subject))                                         \
            return enif_make_badarg(attempt->env);                                                           \
        return nif_attempt_done(attempt, attempt->file->core->name(attempt->file->file, subject));           \
    }                                                                                                        \
    WRAP_##cost(name)

#define DEFINE_MEASURE(name, cost)                                                                           \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        (void)arguments;                                                                                     \
        uint64_t number = 0;                                                                                 \
        const emmap_error error = attempt->file->core->name(attempt->file->file, &number);                   \
        return nif_attempt_number(attempt, error, number);                                                   \
    }                                                                                                        \
    WRAP_##cost(name)

#define DEFINE_ASK(name, cost)                                                                               \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        (void)arguments;                                                                                     \
        bool yes = false;                                                                                    \
        const emmap_error error = attempt->file->core->name(attempt->file->file, &yes);                      \
        return nif_attempt_whether(attempt, error, yes);                                                     \
    }                                                                                                        \
    WRAP_##cost(name)

#define DEFINE_TAKE(name, cost)                                                                              \
    static ERL_NIF_TERM name(struct nif_attempt *attempt, const ERL_NIF_TERM arguments[])                    \
    {                                                                                                        \
        (void)arguments;                                                                                     \
        return nif_attempt_take(attempt, attempt->file->core->name);                                         \
    }                                                                                                        \
    WRAP_##cost(name)

/* Each is one locked instruction. They are no attempts (nif_call.h), because that would cost as much again.
 * */
#define DEFINE_UPDATE(name, cost)                                                                            \
    ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                       \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t operand, old = 0;                                                                            \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||       \
            !nif_get_operand(env, arguments[2], &operand))                                                   \
            return nif_file_refuse(env, arguments[0]);                                                       \
        const emmap_error error = file->core->name(file->file, place, operand, &old);                        \
        return answer_word(env, error, old);                                                                 \
    }

#define DEFINE_COMPARE_EXCHANGE(name, cost)                                                                  \
    ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                       \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t expected, replacement, old = 0;                                                              \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||       \
            !nif_get_operand(env, arguments[2], &expected) ||                                                \
            !nif_get_operand(env, arguments[3], &replacement))                                               \
            return nif_file_refuse(env, arguments[0]);                                                       \
        const emmap_error error = file->core->name(file->file, place, expected, replacement, &old);          \
        return answer_word(env, error, old);                                                                 \
    }

#define DEFINE_LOAD(name, cost)                                                                              \
    ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                       \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t value = 0;                                                                                   \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place))         \
            return nif_file_refuse(env, arguments[0]);                                                       \
        const emmap_error error = file->core->name(file->file, place, &value);                               \
        return answer_word(env, error, value);                                                               \
    }

#define DEFINE_STORE(name, cost)                                                                             \
    ERL_NIF_TERM nif_##name(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])                       \
    {                                                                                                        \
        (void)count;                                                                                         \
        struct nif_file *file;                                                                               \
        uint64_t place;                                                                                      \
        int64_t value;                                                                                       \
        if (!nif_file_get(env, arguments[0], &file) || !nif_get_position(env, arguments[1], &place) ||       \
            !nif_get_operand(env, arguments[2], &value))                                                     \
            return nif_file_refuse(env, arguments[0]);                                                       \
        return nif_done(env, file->core->name(file->file, place, value));                                    \
    }

#define DEFINE(name, arity, shape, cost) DEFINE_##shape(name, cost)
EMMAP_OPERATIONS(DEFINE)

/* ---- The library -------------------------------------------------------------------------------------- */

#define FLAGS_CHEAP 0
#define FLAGS_WAITS 0
#define FLAGS_SLOW ERL_NIF_DIRTY_JOB_IO_BOUND
#define ENTRY(name, arity, shape, cost) {#name, arity, nif_##name, FLAGS_##cost},

static ErlNifFunc functions[] = {EMMAP_OPERATIONS(ENTRY){"queue_pop_term", 2, nif_queue_pop_term, 0},
                                 {"allocates", 1, nif_allocates, 0},
                                 {"open_files", 0, nif_open_files, 0},
                                 NIF_WAIT_FUNCTIONS};

static int load(ErlNifEnv *env, void **private_data, ERL_NIF_TERM info)
{
    (void)info;
    if (!*private_data)
        *private_data = &nif_files;
    nif_terms_load(env);
    /* No scheduler waits for a lock, not even a dirty one: the calling process waits (emmap_lock.erl). */
    emmap_lock_limit(0);
    return nif_file_types(env, nif_holder_down, nif_holders_free) && nif_queue_types(env) &&
                   nif_wait_types(env)
               ? 0
               : -1;
}

/* The handles of the older version become ours, and go on calling the older core (nif_core.h). */
static int upgrade(ErlNifEnv *env, void **private_data, void **old_private_data, ERL_NIF_TERM info)
{
    *private_data = *old_private_data;
    return load(env, private_data, info);
}

ERL_NIF_INIT(emmap_nif, functions, load, NULL, upgrade, NULL)
