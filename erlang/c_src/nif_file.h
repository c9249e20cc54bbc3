/* The resources: files, and windows on their mappings, into which the binaries of direct reads point. */
#ifndef EMMAP_NIF_FILE_H
#define EMMAP_NIF_FILE_H

#include <erl_nif.h>
#include <pthread.h>
#include <stdatomic.h>
#include <time.h>

#include "nif_core.h"

#if defined(__GLIBC__) && defined(__linux__)
#define NIF_TLS __attribute__((tls_model("initial-exec"))) /* as in pin.h */
#else
#define NIF_TLS
#endif

/*
 * A window is a resource that owns one slice, from position 0 to the end of the furthest binary that was cut
 * from it. Each such binary owns a reference on the window, which ERTS counts. When the last binary has been
 * collected, the slice is released, and perhaps the mapping with it.
 *
 * A file keeps the window of its current mapping for later reads. A resource for each read would cost 290 ns,
 * because ERTS queues each destructor as work of its own. A read from the window takes no lock and costs a
 * tenth of that. The drawback is that the window counts as a live slice, which keeps the file from shrinking:
 * nif_file_recall gives it back.
 */
struct nif_window {
    const struct nif_core *core;
    uint8_t *data;     /* position 0 */
    uint64_t covered;  /* the length of the slice; it grows, and is read without the lock */
    emmap_slice slice; /* under the lock of the file */
};

/* The list of files that are open. Libraries that have been loaded one after the other share one list. */
struct nif_files {
    pthread_mutex_t mutex;
    struct nif_file *first;
};

struct nif_file {
    const struct nif_core *core;
    emmap_file *file; /* owned; freed with the resource */
    emmap_control *control;
    uint64_t offset; /* of position 0, in the file */
    uint64_t lock_timeout;
    bool direct;
    /* A struct nif_window, with a reference on it, or NULL. A thread that reads it has a pin. */
    void *window;
    /* A spin lock on `window`, on what the window covers, and on `recalls`. It is held for a few
     * instructions. */
    atomic_flag busy;
    uint64_t recalls;                    /* how often the window was recalled */
    struct nif_holders *_Atomic holders; /* NULL: no process has taken a message yet */
    ERL_NIF_TERM kind;                   /* an atom */
    ErlNifPid opener;
    time_t since;
    struct nif_files *files;
    struct nif_file *previous, *next; /* under the mutex of `files` */
};

/* The list of a library that is the first one. */
extern struct nif_files nif_files;

/* open_files(): [{Path, Kind, Opener, Size, Since}] of all files that are not closed. */
ERL_NIF_TERM nif_open_files(ErlNifEnv *env, int count, const ERL_NIF_TERM arguments[]);

/* Opens the resource types, or takes them over from an older version of the module. `down` is called when a process that a file
 * monitors is gone, `freeing` when a file is collected. */
bool nif_file_types(ErlNifEnv *env, ErlNifResourceDown *down, void (*freeing)(struct nif_file *file));

/* Makes a handle of `file`, and takes the file over. The kind is for nif_open_files. */
ERL_NIF_TERM nif_file_make(ErlNifEnv *env, emmap_file *file, const char *kind);

/* The same, as {ok, Handle, #{exist, size}}. */
ERL_NIF_TERM nif_file_answer(ErlNifEnv *env, emmap_file *file, const char *kind);

extern ErlNifResourceType *nif_file_type;

static inline bool nif_file_get(ErlNifEnv *env, ERL_NIF_TERM term, struct nif_file **self)
{
    return enif_get_resource(env, term, nif_file_type, (void **)self);
}

/* The answer to a handle that is none, or to its wrong arguments: badarg; {error, {other_node, Node}} to a handle
 * of another node. */
ERL_NIF_TERM nif_file_refuse(ErlNifEnv *env, ERL_NIF_TERM handle);

/* A binary over bytes that the window covers. It gets a reference on the window. */
static inline ERL_NIF_TERM nif_window_cut(ErlNifEnv *env, struct nif_window *self, const uint8_t *data,
                                          uint64_t length)
{
    return enif_make_resource_binary(env, self, data, length);
}

/* The pin of the calling thread, and its core. It is kept here because a call of the core takes as long as
 * the pin itself. */
extern _Thread_local const struct nif_core *nif_pin_core NIF_TLS;
extern _Thread_local emmap_pin *nif_pin NIF_TLS;

static inline emmap_pin *nif_pin_of(const struct nif_core *core)
{
    if (nif_pin_core != core) {
        nif_pin = core->pin_self();
        nif_pin_core = core;
    }
    return nif_pin;
}

/* Cuts from the window of the file, if the window covers the range and the file is still usable. False: the
 * core has to answer. */
static inline bool nif_file_cut(ErlNifEnv *env, struct nif_file *self, uint64_t position, uint64_t length,
                                ERL_NIF_TERM *binary)
{
    emmap_pin *const pin = nif_pin_of(self->core);
    struct nif_window *const window = pin ? emmap_pin_hold(pin, &self->window) : NULL;
    if (!window)
        return false;
    const uint64_t covered = __atomic_load_n(&window->covered, __ATOMIC_ACQUIRE);
    const bool lent = length != 0 && position < covered && length <= covered - position &&
                      __atomic_load_n(&self->control->status, __ATOMIC_ACQUIRE) == 0;
    if (lent)
        *binary = nif_window_cut(env, window, window->data + position, length);
    emmap_pin_release(pin);
    return lent;
}

/* As emmap_pread_direct, into a binary. */
emmap_error nif_file_pread_direct(ErlNifEnv *env, struct nif_file *self, uint64_t position, uint64_t length,
                                  ERL_NIF_TERM *binary);

/* A binary over `slice`, which takes the slice over. */
ERL_NIF_TERM nif_file_lend(ErlNifEnv *env, struct nif_file *self, emmap_slice *slice);

/* Gives the window of the file back: after a close, and before and after a change of size. It lives as long
 * as binaries use it. */
void nif_file_recall(struct nif_file *self);

#endif
