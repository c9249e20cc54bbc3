#include "nif_file.h"

#include <sched.h>
#include <string.h>

#include "nif_terms.h"

/* With the atoms, the only state of the library. ERTS gives each version of the module the same types, so a
 * second load stores the values that are there already. */
ErlNifResourceType *nif_file_type;
static void (*free_holders)(struct nif_file *file);
_Thread_local const struct nif_core *nif_pin_core NIF_TLS;
_Thread_local emmap_pin *nif_pin NIF_TLS;
static ErlNifResourceType *window_type;

/* ---- Lock --------------------------------------------------------------------------------------------- */

static void lock(struct nif_file *self)
{
    /* Acquire: pairs with unlock. The owner never sleeps, but the system may have taken its processor. */
    for (unsigned tries = 1; atomic_flag_test_and_set_explicit(&self->busy, memory_order_acquire); tries++)
        if (tries % 64 == 0)
            sched_yield();
}

static void unlock(struct nif_file *self)
{
    atomic_flag_clear_explicit(&self->busy, memory_order_release);
}

/* ---- Windows ------------------------------------------------------------------------------------------ */

/* Takes the slice over. The caller gets the reference on the window. */
static struct nif_window *window_create(const struct nif_core *core, const emmap_slice *slice)
{
    struct nif_window *const self = enif_alloc_resource(window_type, sizeof *self);
    *self = (struct nif_window){.core = core, .data = slice->data, .covered = slice->length, .slice = *slice};
    return self;
}

static void window_destroy(ErlNifEnv *env, void *object)
{
    (void)env;
    struct nif_window *const self = object;
    self->core->slice_release(&self->slice);
}

/* Makes the window cover `slice`. False: the slice is on another mapping, or the file has another one now.
 * The caller has the lock, or has not shared the window yet. */
static bool window_cover(struct nif_window *self, struct nif_file *file, const emmap_slice *slice)
{
    if (self->slice.mapping != slice->mapping)
        return false;
    const uint64_t end = (uint64_t)(slice->data - self->data) + slice->length;
    if (end <= self->covered)
        return true;
    emmap_slice longer;
    if (file->core->pread_direct(file->file, 0, end, &longer) != EMMAP_OK)
        return false;
    const bool same = longer.mapping == slice->mapping;
    if (same) {
        const emmap_slice shorter = self->slice;
        self->slice = longer;
        longer = shorter;
        /* Release, after the slice: a read trusts that the slice covers this. */
        __atomic_store_n(&self->covered, end, __ATOMIC_RELEASE);
    }
    file->core->slice_release(&longer);
    return same;
}

/* ---- Direct reads ------------------------------------------------------------------------------------- */

/* Gives back a window that the file has no longer, once no thread reads from it. */
static void retire(const struct nif_core *core, struct nif_window *window)
{
    if (!window)
        return;
    core->pin_drain(window);
    enif_release_resource(window);
}

/* With the lock. The caller gets the reference on the former window. */
static struct nif_window *replace(struct nif_file *self, struct nif_window *window)
{
    return __atomic_exchange_n(&self->window, window, __ATOMIC_ACQ_REL);
}

/* Keeps `window` for later reads, unless there was a recall meanwhile. Takes the reference over. */
static void keep(struct nif_file *self, struct nif_window *window, uint64_t recalls)
{
    struct nif_window *unwanted = window;
    lock(self);
    if (self->recalls == recalls)
        unwanted = replace(self, window);
    unlock(self);
    retire(self->core, unwanted);
}

/* Cuts from a new window: one that the file keeps, or, if the file has another mapping now, one for this
 * slice alone. */
static ERL_NIF_TERM lend_from_new_window(ErlNifEnv *env, struct nif_file *self, emmap_slice *slice,
                                         uint64_t recalls)
{
    emmap_slice start;
    if (self->core->pread_direct(self->file, 0, 1, &start) == EMMAP_OK) {
        struct nif_window *const window = window_create(self->core, &start);
        if (window_cover(window, self, slice)) {
            const ERL_NIF_TERM binary = nif_window_cut(env, window, slice->data, slice->length);
            self->core->slice_release(slice);
            keep(self, window, recalls);
            return binary;
        }
        enif_release_resource(window);
    }
    struct nif_window *const window = window_create(self->core, slice);
    const ERL_NIF_TERM binary = nif_window_cut(env, window, slice->data, slice->length);
    enif_release_resource(window);
    return binary;
}

ERL_NIF_TERM nif_file_lend(ErlNifEnv *env, struct nif_file *self, emmap_slice *slice)
{
    ERL_NIF_TERM binary = 0;
    if (slice->length == 0) {
        self->core->slice_release(slice);
        enif_make_new_binary(env, 0, &binary);
        return binary;
    }
    lock(self);
    const uint64_t recalls = self->recalls;
    const bool covered = self->window && window_cover(self->window, self, slice);
    if (covered)
        binary = nif_window_cut(env, self->window, slice->data, slice->length);
    unlock(self);
    if (!covered)
        return lend_from_new_window(env, self, slice, recalls);
    self->core->slice_release(slice);
    return binary;
}

emmap_error nif_file_pread_direct(ErlNifEnv *env, struct nif_file *self, uint64_t position, uint64_t length,
                                  ERL_NIF_TERM *binary)
{
    emmap_slice slice;
    const emmap_error error = self->core->pread_direct(self->file, position, length, &slice);
    if (error == EMMAP_OK)
        *binary = nif_file_lend(env, self, &slice);
    return error;
}

void nif_file_recall(struct nif_file *self)
{
    lock(self);
    struct nif_window *const window = replace(self, NULL);
    self->recalls++;
    unlock(self);
    retire(self->core, window);
}

/* ---- Files -------------------------------------------------------------------------------------------- */

struct nif_files nif_files = {.mutex = PTHREAD_MUTEX_INITIALIZER};

static void enlist(struct nif_file *self)
{
    pthread_mutex_lock(&self->files->mutex);
    self->next = self->files->first;
    if (self->next)
        self->next->previous = self;
    self->files->first = self;
    pthread_mutex_unlock(&self->files->mutex);
}

static void delist(struct nif_file *self)
{
    pthread_mutex_lock(&self->files->mutex);
    if (self->next)
        self->next->previous = self->previous;
    if (self->previous)
        self->previous->next = self->next;
    else
        self->files->first = self->next;
    pthread_mutex_unlock(&self->files->mutex);
}

ERL_NIF_TERM nif_open_files(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[])
{
    (void)count, (void)arguments;
    struct nif_files *const files = enif_priv_data(env);
    ERL_NIF_TERM list = enif_make_list(env, 0);
    pthread_mutex_lock(&files->mutex);
    for (struct nif_file *file = files->first; file; file = file->next) {
        uint64_t size;
        if (file->core->size(file->file, &size) == EMMAP_CLOSED)
            continue;
        emmap_info info;
        file->core->describe(file->file, &info);
        ERL_NIF_TERM path;
        const char *const name = info.path ? info.path : "";
        memcpy(enif_make_new_binary(env, strlen(name), &path), name, strlen(name));
        list = enif_make_list_cell(env,
                                   enif_make_tuple5(env, path, file->kind, enif_make_pid(env, &file->opener),
                                                    enif_make_uint64(env, info.size),
                                                    enif_make_int64(env, file->since)),
                                   list);
    }
    pthread_mutex_unlock(&files->mutex);
    return list;
}

ERL_NIF_TERM nif_file_make(ErlNifEnv *env, emmap_file *file, const char *kind)
{
    emmap_info info;
    emmap_describe(file, &info);
    struct nif_file *const self = enif_alloc_resource(nif_file_type, sizeof *self);
    *self = (struct nif_file){.core = &nif_core,
                              .file = file,
                              .control = emmap_file_control(file),
                              .offset = info.offset,
                              .lock_timeout = info.lock_timeout,
                              .direct = (info.flags & EMMAP_OPEN_DIRECT) != 0,
                              .busy = ATOMIC_FLAG_INIT,
                              .kind = enif_make_atom(env, kind),
                              .since = time(NULL),
                              .files = enif_priv_data(env)};
    enif_self(env, &self->opener);
    enlist(self);
    const ERL_NIF_TERM term = enif_make_resource(env, self);
    enif_release_resource(self);
    return term;
}

ERL_NIF_TERM nif_file_answer(ErlNifEnv *env, emmap_file *file, const char *kind)
{
    emmap_info info;
    emmap_describe(file, &info);
    ERL_NIF_TERM keys[] = {nif_atoms.exist, nif_atoms.size};
    ERL_NIF_TERM values[] = {info.existed ? nif_atoms.true_ : nif_atoms.false_,
                             enif_make_uint64(env, info.size)};
    ERL_NIF_TERM about = 0;
    enif_make_map_from_arrays(env, keys, values, 2, &about);
    return enif_make_tuple3(env, nif_atoms.ok, nif_file_make(env, file, kind), about);
}

/* Runs on a normal scheduler. The unmapping takes 50 ms for a GiB that was in use; emmap:close/1 does it on a
 * dirty scheduler. */
static void file_destroy(ErlNifEnv *env, void *object)
{
    (void)env;
    struct nif_file *const self = object;
    delist(self);
    nif_file_recall(self);
    self->core->free(self->file);
    free_holders(self);
}

bool nif_file_types(ErlNifEnv *env, ErlNifResourceDown *down, void (*freeing)(struct nif_file *file))
{
    const ErlNifResourceFlags flags = ERL_NIF_RT_CREATE | ERL_NIF_RT_TAKEOVER;
    const ErlNifResourceTypeInit file_callbacks = {.dtor = file_destroy, .down = down};
    free_holders = freeing;
    nif_file_type = enif_open_resource_type_x(env, "emmap_file_" NIF_LAYOUT, &file_callbacks, flags, NULL);
    window_type = enif_open_resource_type(env, NULL, "emmap_window_" NIF_LAYOUT, window_destroy, flags, NULL);
    return nif_file_type && window_type;
}

/* ---- Handles of other nodes --------------------------------------------------------------------------- */

/* ERTS tells the node of a reference only in its external format: 131, 90, the length in 16 bits, and the name
 * of the node as an atom. */
static bool node_of(ErlNifEnv *env, ERL_NIF_TERM reference, ERL_NIF_TERM *node)
{
    enum { VERSION = 131, NEWER_REFERENCE = 90, NAME = 4 };
    ErlNifBinary external;
    if (!enif_is_ref(env, reference) || !enif_term_to_binary(env, reference, &external))
        return false;
    bool found = external.size > NAME && external.data[1] == NEWER_REFERENCE;
    if (found) {
        external.data[NAME - 1] = VERSION;
        found = enif_binary_to_term(env, external.data + NAME - 1, external.size - (NAME - 1), node, 0) > 0;
    }
    enif_release_binary(&external);
    return found;
}

ERL_NIF_TERM nif_file_refuse(ErlNifEnv *env, ERL_NIF_TERM handle)
{
    ERL_NIF_TERM node;
    ERL_NIF_TERM here;
    if (!node_of(env, handle, &node) || !node_of(env, enif_make_ref(env), &here) ||
        enif_is_identical(node, here))
        return enif_make_badarg(env);
    return enif_make_tuple2(env, nif_atoms.error,
                            enif_make_tuple2(env, enif_make_atom(env, "other_node"), node));
}
