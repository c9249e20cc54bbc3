#include "container.h"

#include <stdlib.h>

void emi_container_free(container_t *self)
{
    if (!self)
        return;
    if (self->freeing)
        self->freeing(self);
    emi_thread_lock_destroy(&self->threads);
    free(self);
}
