/*
 * A file descriptor with a reference count. It is closed by its last user, so no running call meets a number
 * that another file has got since.
 *
 * A forked child closes all descriptors of its parent, and fault.h replaces the mappings. Otherwise the child
 * would share the parent's locks, and keep them if the parent dies first.
 */
#ifndef EMMAP_CORE_DESCRIPTOR_H
#define EMMAP_CORE_DESCRIPTOR_H

#include <stdatomic.h>

typedef struct descriptor {
    int fd;
    /* What the handle shares with other writers (live.h), or NULL; and the function that ends it. Set before
     * other threads see the descriptor. */
    struct live *live;
    void (*leave)(struct descriptor *self);
    atomic_uint references;
    struct descriptor *next, *previous;
} descriptor_t;

/* The number of forks between the process that opened its first file and this one. */
extern unsigned int emi_descriptor_forks;

/* To be called before the first descriptor. */
void emi_descriptor_install(void);

/* Between these two calls, which do not nest, no fork happens. They enclose opening or mapping a file and
 * recording it, so that a child knows of everything that it inherits. */
void emi_descriptor_forbid_fork(void);
void emi_descriptor_allow_fork(void);

/* Takes over `fd`, with one reference. NULL: no memory; the caller keeps fd. */
descriptor_t *emi_descriptor_create(int fd);

void emi_descriptor_retain(descriptor_t *self);
void emi_descriptor_release(descriptor_t *self);

#endif
