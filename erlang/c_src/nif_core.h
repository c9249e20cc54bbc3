/*
 * A table of the core's functions. Each handle points to the table of the core that opened it.
 *
 * A code upgrade may load this library a second time, from another file, with a core of its own, which has
 * its own table of mappings for the SIGBUS handler and its own layouts. A handle that the older library
 * opened must go on calling the older core. (The older library stays mapped: it is linked with -z nodelete.)
 */
#ifndef EMMAP_NIF_CORE_H
#define EMMAP_NIF_CORE_H

#include "emmap.h"
#include "emmap_operations.h"

/*
 * The version of the structures that two loaded libraries share: the order of this table, struct nif_file,
 * struct nif_window, the ticket of nif_queue.c and the wait of nif_wait.c. Count it up when you change one of
 * them. Handles of another version are badarg in this library, and safe in theirs.
 */
#define NIF_LAYOUT "13"

/* X(name): the functions that the NIF calls besides the operations. */
#define NIF_CORE_OTHERS(X)                                                                                   \
    X(describe)                                                                                              \
    X(free)                                                                                                  \
    X(preadv)                                                                                                \
    X(pread_direct)                                                                                          \
    X(read_direct)                                                                                           \
    X(read_line_direct)                                                                                      \
    X(slice_release)                                                                                         \
    X(pin_self)                                                                                              \
    X(pin_drain)                                                                                             \
    X(wait_begin)                                                                                            \
    X(wait_cancel)                                                                                           \
    X(wait_free)                                                                                             \
    X(queue_wait_begin)                                                                                      \
    X(counter_wait_begin)                                                                                    \
    X(cell_wait_begin)                                                                                       \
    X(queue_glance_front)                                                                                    \
    X(last_failure)                                                                                          \
    X(set_may_block)

#define NIF_CORE_MEMBER(name) __typeof__(emmap_##name) *name;
#define NIF_CORE_OPERATION(name, arity, shape, cost) NIF_CORE_MEMBER(name)

struct nif_core {
    EMMAP_OPERATIONS(NIF_CORE_OPERATION)
    NIF_CORE_OTHERS(NIF_CORE_MEMBER)
};

/* The core that this library is linked with. */
extern const struct nif_core nif_core;

#endif
