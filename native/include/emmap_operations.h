/*
 * The operations that the doors share, once each. The NIF, the port program and the core's testee make their tables from
 * this one; an operation has the same name everywhere: emmap_<name> in the core, <name> in requests and in Erlang.
 *
 * X(name, arity, shape, cost)
 *
 * arity   how many arguments a request has, the handle of the file included
 * shape   the types of arguments and result. The parameters of the core's function after the file, and the result:
 *             ACT                (): nothing
 *             ACT_ON             (uint64_t): nothing
 *             TICKET             (uint64_t): nothing; the number is a ticket
 *             MEASURE            (uint64_t *): a number
 *             ASK                (bool *): true or false
 *             TAKE               (const emmap_sink *): bytes
 *             LOAD               (uint64_t place, int64_t *): a 64-bit word
 *             STORE              (uint64_t place, int64_t): nothing
 *             UPDATE             (uint64_t place, int64_t, int64_t *): the word before
 *             COMPARE_EXCHANGE   (uint64_t place, int64_t, int64_t, int64_t *): the word before
 *         For any other shape a door has a function of its own:
 *             APART              not about an open file
 *             OWN                about an open file
 *             READ               about an open file; it returns bytes that alias the mapping if the file has `direct`
 * cost    of a call, for callers that must not wait:
 *             CHEAP              less than 10 µs, whatever happens
 *             WAITS              mostly as cheap; it may find a lock taken, have the file grow, or move many bytes
 *             SLOW               waits for the disk, or its time grows with the file
 */
#ifndef EMMAP_OPERATIONS_H
#define EMMAP_OPERATIONS_H

#define EMMAP_OPERATIONS(X)                                                                                  \
    X(open, 2, APART, SLOW)                                                                                  \
    X(close, 1, APART, SLOW)                                                                                 \
    X(inspect, 2, APART, SLOW)                                                                               \
    X(size, 1, MEASURE, CHEAP)                                                                               \
    X(pread, 3, READ, WAITS)                                                                                 \
    X(pwrite, 3, OWN, WAITS)                                                                                 \
    X(read, 2, READ, WAITS)                                                                                  \
    X(read_line, 1, READ, WAITS)                                                                             \
    X(write, 2, OWN, WAITS)                                                                                  \
    X(position, 3, OWN, CHEAP)                                                                               \
    X(resize, 2, OWN, SLOW)                                                                                  \
    X(truncate, 1, OWN, SLOW)                                                                                \
    X(allocate, 3, OWN, SLOW)                                                                                \
    X(advise, 4, OWN, SLOW)                                                                                  \
    X(flush, 1, ACT, SLOW)                                                                                   \
    X(sync, 1, ACT, SLOW)                                                                                    \
    X(datasync, 1, ACT, SLOW)                                                                                \
    X(backup, 2, OWN, SLOW)                                                                                  \
    X(is_current, 1, ASK, SLOW)                                                                              \
    X(writers, 1, OWN, SLOW)                                                                                 \
    X(patomic_add, 3, UPDATE, CHEAP)                                                                         \
    X(patomic_sub, 3, UPDATE, CHEAP)                                                                         \
    X(patomic_and, 3, UPDATE, CHEAP)                                                                         \
    X(patomic_or, 3, UPDATE, CHEAP)                                                                          \
    X(patomic_xor, 3, UPDATE, CHEAP)                                                                         \
    X(patomic_exchange, 3, UPDATE, CHEAP)                                                                    \
    X(patomic_compare_exchange, 4, COMPARE_EXCHANGE, CHEAP)                                                  \
    X(patomic_load, 2, LOAD, CHEAP)                                                                          \
    X(patomic_store, 3, STORE, CHEAP)                                                                        \
    X(notify, 3, OWN, CHEAP)                                                                                 \
    X(counters_open, 3, APART, SLOW)                                                                         \
    X(counter_add, 3, UPDATE, CHEAP)                                                                         \
    X(counter_sub, 3, UPDATE, CHEAP)                                                                         \
    X(counter_set, 3, UPDATE, CHEAP)                                                                         \
    X(counter_get, 2, LOAD, CHEAP)                                                                           \
    X(counter_compare_exchange, 4, COMPARE_EXCHANGE, CHEAP)                                                  \
    X(counter_notify, 3, OWN, CHEAP)                                                                         \
    X(queue_open, 2, APART, SLOW)                                                                            \
    X(queue_attach, 1, ACT, SLOW)                                                                            \
    X(queue_push, 2, OWN, WAITS)                                                                             \
    X(queue_push_many, 2, OWN, WAITS)                                                                        \
    X(queue_push_once, 4, OWN, SLOW)                                                                         \
    X(queue_pop, 1, TAKE, WAITS)                                                                             \
    X(queue_pop_many, 2, OWN, WAITS)                                                                         \
    X(queue_remove, 2, OWN, WAITS)                                                                           \
    X(queue_pop_begin, 1, OWN, WAITS)                                                                        \
    X(queue_pop_commit, 2, TICKET, WAITS)                                                                    \
    X(queue_pop_abort, 2, TICKET, WAITS)                                                                     \
    X(queue_take, 2, OWN, WAITS)                                                                             \
    X(queue_order, 2, LOAD, CHEAP)                                                                           \
    X(queue_ack, 2, TICKET, WAITS)                                                                           \
    X(queue_release, 3, OWN, WAITS)                                                                          \
    X(queue_put_back, 2, TICKET, WAITS)                                                                      \
    X(queue_release_held, 2, ACT_ON, WAITS)                                                                  \
    X(queue_release_all, 1, MEASURE, SLOW)                                                                   \
    X(queue_in_hand, 1, OWN, SLOW)                                                                           \
    X(queue_repair, 1, MEASURE, SLOW)                                                                        \
    X(queue_peek_front, 1, TAKE, WAITS)                                                                      \
    X(queue_peek_back, 1, TAKE, WAITS)                                                                       \
    X(queue_walk, 4, OWN, WAITS)                                                                             \
    X(queue_length, 1, MEASURE, SLOW)                                                                        \
    X(queue_is_empty, 1, ASK, WAITS)                                                                         \
    X(queue_info, 1, OWN, WAITS)                                                                             \
    X(queue_reset, 1, ASK, WAITS)                                                                            \
    X(queue_purge, 1, ACT, WAITS)                                                                            \
    X(queue_erase, 1, ACT, WAITS)                                                                            \
    X(queue_compact, 1, MEASURE, SLOW)                                                                       \
    X(blocks_open, 4, APART, SLOW)                                                                           \
    X(blocks_init, 3, OWN, SLOW)                                                                             \
    X(block_store, 2, OWN, WAITS)                                                                            \
    X(block_store_many, 2, OWN, WAITS)                                                                       \
    X(block_read, 2, READ, WAITS)                                                                            \
    X(block_free, 2, ACT_ON, WAITS)                                                                          \
    X(block_free_many, 2, OWN, WAITS)                                                                        \
    X(blocks_walk, 3, READ, WAITS)                                                                           \
    X(blocks_count, 1, MEASURE, SLOW)                                                                        \
    X(blocks_info, 1, OWN, CHEAP)                                                                            \
    X(blocks_repair, 3, OWN, SLOW)                                                                           \
    X(blocks_compact, 1, MEASURE, SLOW)                                                                      \
    X(cell_open, 3, APART, SLOW)                                                                             \
    X(cell_publish, 2, OWN, WAITS)                                                                           \
    X(cell_get, 1, OWN, WAITS)                                                                               \
    X(cell_version, 1, MEASURE, CHEAP)                                                                       \
    X(table_open, 3, APART, SLOW)                                                                            \
    X(table_info, 1, OWN, CHEAP)                                                                             \
    X(table_size, 1, MEASURE, CHEAP)                                                                         \
    X(table_repair, 1, ACT, SLOW)                                                                            \
    X(table_add, 4, OWN, WAITS)                                                                              \
    X(table_set, 4, OWN, WAITS)                                                                              \
    X(table_get, 3, OWN, WAITS)                                                                              \
    X(table_compare_exchange, 5, OWN, WAITS)                                                                 \
    X(table_delete, 2, OWN, WAITS)                                                                           \
    X(table_hit, 3, OWN, WAITS)                                                                              \
    X(table_walk, 3, OWN, WAITS)

#endif
