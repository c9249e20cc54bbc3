/*
 * A file descriptor that closes when its last user lets go, so that no call in flight meets a number that has
 * come to mean another file.
 *
 * A forked child closes all of its parent's, and fault.h replaces the mappings: with either it would share the locks
 * too, and keep them from everybody where the parent dies and it lives on.
 */
#ifndef EMMAP_CORE_DESCRIPTOR_H
#define EMMAP_CORE_DESCRIPTOR_H

#include <stdatomic.h>

typedef struct descriptor {
    int fd;
    /* What the handle shares with other writers (live.h), or NULL, and what ends that. Set before others know of it. */
    struct live *live;
    void (*leave)(struct descriptor *self);
    atomic_uint references;
    struct descriptor *next, *previous;
} descriptor;

/* How many forks, after the first file was opened, lie between its process and this one. */
extern unsigned int descriptor_forks;

/* Before the first one. */
void descriptor_install(void);

/* Between these, which don't nest, nobody forks: around opening or mapping a file and noting it down, so that no child
 * gets what it doesn't know of. */
void descriptor_forbid_fork(void);
void descriptor_allow_fork(void);

/* Takes over `fd`, with one reference. NULL: no memory, and fd stays the caller's. */
descriptor *descriptor_create(int fd);

void descriptor_retain(descriptor *self);
void descriptor_release(descriptor *self);

#endif
