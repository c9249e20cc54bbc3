/*
 * The core's functions as a table that travels with every handle.
 *
 * A code upgrade may load this library a second time, from another file, with a core of its own: its own table
 * of mappings for the SIGBUS handler, its own layouts. A handle that the older one opened must go on calling
 * the older core, so each handle says whose it is. (The older library stays mapped: it is linked with
 * -z nodelete.)
 */
#ifndef EMMAP_NIF_CORE_H
#define EMMAP_NIF_CORE_H

#include "emmap.h"

/*
 * The version of what two loaded libraries share: this table's order, struct nif_file, struct nif_window and the ticket of nif_queue.c.
 * Whoever changes one of them counts it up; handles of the other version are then badarg here, and safe there.
 */
#define NIF_LAYOUT "5"

#define NIF_CORE_FUNCTIONS(X)                                                                                \
    X(close)                                                                                                 \
    X(free)                                                                                                  \
    X(size)                                                                                                  \
    X(pread)                                                                                                 \
    X(preadv)                                                                                                \
    X(pwrite)                                                                                                \
    X(read)                                                                                                  \
    X(read_line)                                                                                             \
    X(write)                                                                                                 \
    X(position)                                                                                              \
    X(pread_direct)                                                                                          \
    X(read_direct)                                                                                           \
    X(read_line_direct)                                                                                      \
    X(slice_release)                                                                                         \
    X(pin_hold)                                                                                              \
    X(pin_drain)                                                                                             \
    X(resize)                                                                                                \
    X(truncate)                                                                                              \
    X(allocate)                                                                                              \
    X(advise)                                                                                                \
    X(flush)                                                                                                 \
    X(sync)                                                                                                  \
    X(datasync)                                                                                              \
    X(backup)                                                                                                \
    X(is_current)                                                                                            \
    X(patomic_add)                                                                                           \
    X(patomic_sub)                                                                                           \
    X(patomic_and)                                                                                           \
    X(patomic_or)                                                                                            \
    X(patomic_xor)                                                                                           \
    X(patomic_exchange)                                                                                      \
    X(patomic_compare_exchange)                                                                              \
    X(patomic_load)                                                                                          \
    X(patomic_store)                                                                                         \
    X(counter_add)                                                                                           \
    X(counter_sub)                                                                                           \
    X(counter_set)                                                                                           \
    X(counter_get)                                                                                           \
    X(counter_compare_exchange)                                                                              \
    X(last_failure)                                                                                          \
    X(may_wait)                                                                                              \
    X(queue_attach)                                                                                          \
    X(queue_push)                                                                                            \
    X(queue_push_many)                                                                                       \
    X(queue_pop)                                                                                             \
    X(queue_pop_many)                                                                                        \
    X(queue_pop_begin)                                                                                       \
    X(queue_pop_commit)                                                                                      \
    X(queue_pop_abort)                                                                                       \
    X(queue_peek_front)                                                                                      \
    X(queue_peek_back)                                                                                       \
    X(queue_glance_front)                                                                                    \
    X(queue_remove)                                                                                          \
    X(queue_walk)                                                                                            \
    X(queue_length)                                                                                          \
    X(queue_is_empty)                                                                                        \
    X(queue_info)                                                                                            \
    X(queue_reset)                                                                                           \
    X(queue_purge)                                                                                           \
    X(queue_erase)                                                                                           \
    X(queue_compact)                                                                                         \
    X(blocks_init)                                                                                           \
    X(block_store)                                                                                           \
    X(block_store_many)                                                                                      \
    X(block_read)                                                                                            \
    X(block_free)                                                                                            \
    X(block_free_many)                                                                                       \
    X(blocks_walk)                                                                                           \
    X(blocks_count)                                                                                          \
    X(blocks_info)                                                                                           \
    X(blocks_repair)                                                                                         \
    X(blocks_compact)

#define NIF_CORE_MEMBER(name) __typeof__(emmap_##name) *name;
#define NIF_CORE_ENTRY(name) .name = emmap_##name,

struct nif_core {
    NIF_CORE_FUNCTIONS(NIF_CORE_MEMBER)
};

/* The core that this library was linked with. */
extern const struct nif_core nif_core;

#endif
