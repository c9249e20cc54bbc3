/* A file descriptor that closes when its last user lets go, so that no call in flight meets a number that has
 * come to mean another file. */
#ifndef EMMAP_CORE_DESCRIPTOR_H
#define EMMAP_CORE_DESCRIPTOR_H

#include <stdatomic.h>

typedef struct descriptor {
    int fd;
    atomic_uint references;
} descriptor;

/* Takes over `fd`, with one reference. NULL: no memory, and fd stays the caller's. */
descriptor *descriptor_create(int fd);

void descriptor_retain(descriptor *self);
void descriptor_release(descriptor *self);

#endif
