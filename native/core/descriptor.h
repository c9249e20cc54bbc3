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
} descriptor_t;

/* How many forks, after the first file was opened, lie between its process and this one. */
extern unsigned int emi_descriptor_forks;

/* Before the first one. */
void emi_descriptor_install(void);

/* Between these, which don't nest, nobody forks: around opening or mapping a file and noting it down, so that no child
 * gets what it doesn't know of. */
void emi_descriptor_forbid_fork(void);
void emi_descriptor_allow_fork(void);

/* Takes over `fd`, with one reference. NULL: no memory, and fd stays the caller's. */
descriptor_t *emi_descriptor_create(int fd);

void emi_descriptor_retain(descriptor_t *self);
void emi_descriptor_release(descriptor_t *self);

#endif
