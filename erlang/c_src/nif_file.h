/* The resources: files, and windows on their mappings that direct binaries point into. */
#ifndef EMMAP_NIF_FILE_H
#define EMMAP_NIF_FILE_H

#include <erl_nif.h>
#include <stdatomic.h>

#include "nif_core.h"

/*
 * A window is a resource that holds one slice, from position 0 to the end of the furthest binary that was cut
 * from it. Each such binary holds a reference on the window (ERTS counts them), so the slice is released, and
 * with it perhaps the mapping, when the last of them is collected.
 *
 * A file keeps the window of its current mapping for the reads to come. A resource for every read would cost
 * 290 ns, because ERTS queues each destructor as work of its own; a read from the window takes no lock and costs a
 * tenth of that. The price is that the window counts as a live slice: nif_file_recall gives it back.
 */
struct nif_window {
    const struct nif_core *core;
    uint8_t *data;     /* position 0 */
    uint64_t covered;  /* how far the slice reaches; grows, and is read without the lock */
    emmap_slice slice; /* under the file's lock */
};

struct nif_file {
    const struct nif_core *core;
    emmap_file *file; /* ours; freed with the resource */
    emmap_control *control;
    uint64_t offset; /* where in the file position 0 is */
    uint64_t lock_timeout;
    bool direct;
    /* A struct nif_window, with a reference on it, or NULL. A thread that reads it holds a pin. */
    void *window;
    /* A spin lock, held for the few instructions that change `window`, what it covers, or what follows. */
    atomic_flag busy;
    uint64_t recalls; /* how often the window was recalled */
};

/* Opens the resource types, or takes them over from the module's older version. */
bool nif_file_types(ErlNifEnv *env);

/* Makes a handle of `file`, which becomes the handle's whatever happens. */
ERL_NIF_TERM nif_file_make(ErlNifEnv *env, emmap_file *file);

/* The same, as {ok, Handle, #{exist, size}}. */
ERL_NIF_TERM nif_file_answer(ErlNifEnv *env, emmap_file *file);

extern ErlNifResourceType *nif_file_type;

static inline bool nif_file_get(ErlNifEnv *env, ERL_NIF_TERM term, struct nif_file **self)
{
    return enif_get_resource(env, term, nif_file_type, (void **)self);
}

/* As emmap_pread_direct, into a binary. */
emmap_error nif_file_pread_direct(ErlNifEnv *env, struct nif_file *self, uint64_t position, uint64_t length,
                                  ERL_NIF_TERM *binary);

/* A binary over `slice`, which belongs to the binary from here on. */
ERL_NIF_TERM nif_file_lend(ErlNifEnv *env, struct nif_file *self, emmap_slice *slice);

/* Lets go of the file's window: after a close, and before and after a change of size. It stays alive for as
 * long as binaries use it. */
void nif_file_recall(struct nif_file *self);

#endif
