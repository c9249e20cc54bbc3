#include "descriptor.h"

#include <stdlib.h>
#include <unistd.h>

descriptor *descriptor_create(int fd)
{
    descriptor *const self = malloc(sizeof *self);
    if (self) {
        self->fd = fd;
        atomic_init(&self->references, 1);
    }
    return self;
}

void descriptor_retain(descriptor *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

void descriptor_release(descriptor *self)
{
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) == 1) {
        /* Closing drops this handle's locks too. */
        close(self->fd);
        free(self);
    }
}
