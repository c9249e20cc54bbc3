#include "nif_later.h"

#include <errno.h>
#include <pthread.h>
#include <time.h>

#include "nif_call.h"

struct work {
    struct nif_file *file; /* with a reference */
    emmap_error (*function)(emmap_file *file, uint64_t number);
    uint64_t number;
};

/* No lock of the core waits for another user of it on BEAM (emmap_lock_limit), so the thread sleeps here. */
static void insist(const struct work *self)
{
    const struct nif_core *const core = self->file->core;
    core->set_may_block(true);
    while (self->function(self->file->file, self->number) == ETIMEDOUT)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    core->set_may_block(nif_told != core);
    enif_release_resource(self->file);
}

static void *insist_on_copy(void *context)
{
    struct work *const copy = context;
    insist(copy);
    enif_free(copy);
    return NULL;
}

void nif_later(struct nif_file *file, emmap_error (*function)(emmap_file *file, uint64_t number),
               uint64_t number)
{
    const struct work work = {.file = file, .function = function, .number = number};
    file->core->set_may_block(false);
    const emmap_error error = function(file->file, number);
    file->core->set_may_block(nif_told != file->core);
    if (error != EAGAIN && error != ETIMEDOUT)
        return;
    enif_keep_resource(file);
    struct work *const copy = enif_alloc(sizeof *copy);
    pthread_t thread;
    if (copy) {
        *copy = work;
        if (pthread_create(&thread, NULL, insist_on_copy, copy) == 0) {
            pthread_detach(thread);
            return;
        }
        enif_free(copy);
    }
    insist(&work);
}
