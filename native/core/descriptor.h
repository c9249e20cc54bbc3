/*
 * A file descriptor that closes when its last user lets go, so that no call in flight meets a number that has
 * come to mean another file.
 *
 * A forked child closes all of its parent's: with a descriptor it would share the locks too, and keep them from
 * everybody where the parent dies and it lives on. Its copy of a handle then answers EBADF to what needs the file.
 */
#ifndef EMMAP_CORE_DESCRIPTOR_H
#define EMMAP_CORE_DESCRIPTOR_H

#include <stdatomic.h>

typedef struct descriptor {
    int fd;
    atomic_uint references;
    struct descriptor *next, *previous;
} descriptor;

/* Before the first one. */
void descriptor_install(void);

/* Around an open and the create that goes with it: a fork waits meanwhile, so that no child gets a descriptor that it
 * doesn't know of. */
void descriptor_opening(void);
void descriptor_opened(void);

/* Takes over `fd`, with one reference. NULL: no memory, and fd stays the caller's. */
descriptor *descriptor_create(int fd);

void descriptor_retain(descriptor *self);
void descriptor_release(descriptor *self);

#endif
