#include "container.h"

#include <stdlib.h>

void structure_free(structure *self)
{
    if (!self)
        return;
    if (self->freeing)
        self->freeing(self);
    thread_lock_destroy(&self->threads);
    free(self);
}
