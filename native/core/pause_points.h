/* The pause points, for tests that stop or kill at each of them: those of every open for writing, and those
 * of each kind of file. */
#ifndef EMMAP_CORE_PAUSE_POINTS_H
#define EMMAP_CORE_PAUSE_POINTS_H

#define FILE_PAUSE_POINTS(X)                                                                                 \
    X(open_created)                                                                                          \
    X(open_announce)                                                                                         \
    X(size_extend_begin)                                                                                     \
    X(size_extend_done)                                                                                      \
    X(open_sized)

#define COUNTERS_PAUSE_POINTS(X)                                                                             \
    X(counters_create_begin)                                                                                 \
    X(counters_create_sized)                                                                                 \
    X(counters_create_counted)                                                                               \
    X(counters_create_done)

/* When counters grow. */
#define COUNTERS_GROW_PAUSE_POINTS(X)                                                                        \
    X(counters_grow_begin)                                                                                   \
    X(counters_grow_marked)                                                                                  \
    X(counters_grow_sized)                                                                                   \
    X(counters_grow_done)                                                                                    \
    X(counters_ungrow_cut)                                                                                   \
    X(counters_ungrow_done)

#define QUEUE_PAUSE_POINTS(X)                                                                                \
    X(structure_create_begin)                                                                                \
    X(structure_create_sized)                                                                                \
    X(queue_create_begin)                                                                                    \
    X(queue_create_done)                                                                                     \
    X(queue_open_torn)                                                                                       \
    X(queue_open_mended)                                                                                     \
    X(queue_noted)                                                                                           \
    X(queue_push_begin)                                                                                      \
    X(queue_push_grown)                                                                                      \
    X(queue_push_reserved)                                                                                   \
    X(queue_shrunk)                                                                                          \
    X(queue_given_back)                                                                                      \
    X(queue_push_length)                                                                                     \
    X(queue_push_payload)                                                                                    \
    X(queue_push_copied)                                                                                     \
    X(queue_push_done)                                                                                       \
    X(queue_pop_copied)                                                                                      \
    X(queue_pop_done)                                                                                        \
    X(queue_restart)                                                                                         \
    X(queue_commit_begin)                                                                                    \
    X(queue_commit_done)                                                                                     \
    X(queue_move_begin)                                                                                      \
    X(queue_move_copied)                                                                                     \
    X(queue_move_done)                                                                                       \
    X(queue_restarted)                                                                                       \
    X(queue_era)                                                                                             \
    X(queue_slide_begin)                                                                                     \
    X(queue_slide_copied)                                                                                    \
    X(queue_slide_advanced)                                                                                  \
    X(queue_slide_done)                                                                                      \
    X(queue_purge_begin)                                                                                     \
    X(queue_purge_done)                                                                                      \
    X(queue_reset_begin)                                                                                     \
    X(queue_reset_done)                                                                                      \
    X(queue_erase_begin)                                                                                     \
    X(queue_erase_done)

/* Of messages in hand. */
#define TAKE_PAUSE_POINTS(X)                                                                                 \
    X(taken_opened)                                                                                          \
    X(taken_made)                                                                                            \
    X(taken_named)                                                                                           \
    X(taken_place_locked)                                                                                    \
    X(taken_growing)                                                                                         \
    X(taken_grown)                                                                                           \
    X(take_begin)                                                                                            \
    X(take_copied)                                                                                           \
    X(take_in_hand)                                                                                          \
    X(take_moved)                                                                                            \
    X(take_again_begin)                                                                                      \
    X(take_again_owned)                                                                                      \
    X(take_again_done)                                                                                       \
    X(ack_begin)                                                                                             \
    X(taken_erased)                                                                                          \
    X(ack_done)                                                                                              \
    X(taken_giving_back)                                                                                     \
    X(taken_given_back)                                                                                      \
    X(release_begin)                                                                                         \
    X(taken_release_timed)                                                                                   \
    X(taken_released)                                                                                        \
    X(taken_burying)                                                                                         \
    X(put_back_noted)                                                                                        \
    X(put_back_moved)                                                                                        \
    X(release_all_noted)                                                                                     \
    X(release_all_moved)                                                                                     \
    X(taken_repair_begin)                                                                                    \
    X(taken_repair_mended)                                                                                   \
    X(taken_recovering)                                                                                      \
    X(taken_recovered)

/* Of numbered pushes. */
#define RELAYED_PAUSE_POINTS(X)                                                                              \
    X(relayed_opened)                                                                                        \
    X(relayed_made)                                                                                          \
    X(relayed_named)                                                                                         \
    X(relayed_origin)                                                                                        \
    X(relayed_pending)                                                                                       \
    X(relayed_number)                                                                                        \
    X(relayed_done)

#define BLOCKS_PAUSE_POINTS(X)                                                                               \
    X(structure_create_begin)                                                                                \
    X(structure_create_sized)                                                                                \
    X(blocks_create_begin)                                                                                   \
    X(blocks_create_limo)                                                                                    \
    X(blocks_create_word)                                                                                    \
    X(blocks_create_done)                                                                                    \
    X(blocks_levels_said)                                                                                    \
    X(blocks_noted)                                                                                          \
    X(block_store_growing)                                                                                   \
    X(blocks_prepared)                                                                                       \
    X(block_store_begin)                                                                                     \
    X(block_store_copied)                                                                                    \
    X(blocks_marked)                                                                                         \
    X(block_store_group_begun)                                                                               \
    X(block_store_group)                                                                                     \
    X(block_store_limo)                                                                                      \
    X(blocks_leaf_changed)                                                                                   \
    X(blocks_settle_free)                                                                                    \
    X(blocks_settle_used)                                                                                    \
    X(blocks_unmarked)                                                                                       \
    X(blocks_mend_begin)                                                                                     \
    X(blocks_mend_done)                                                                                      \
    X(blocks_compact_noted)                                                                                  \
    X(blocks_compact_lowered)                                                                                \
    X(blocks_compact_cut)                                                                                    \
    X(blocks_compact_done)                                                                                   \
    X(blocks_repair_unit)

#define CELL_PAUSE_POINTS(X)                                                                                 \
    X(structure_create_begin)                                                                                \
    X(structure_create_sized)                                                                                \
    X(cell_create_begin)                                                                                     \
    X(cell_create_shaped)                                                                                    \
    X(cell_create_done)                                                                                      \
    X(cell_noted)                                                                                            \
    X(cell_publish_begin)                                                                                    \
    X(cell_publish_length)                                                                                   \
    X(cell_publish_bytes)                                                                                    \
    X(cell_publish_filled)                                                                                   \
    X(cell_publish_done)                                                                                     \
    X(cell_copied)

/* When a cell is opened whose last version is not whole, after a power cut. */
#define CELL_RECOVER_PAUSE_POINTS(X)                                                                         \
    X(cell_recover_begin)                                                                                    \
    X(cell_recover_done)

#define TABLE_PAUSE_POINTS(X)                                                                                \
    X(structure_create_begin)                                                                                \
    X(structure_create_sized)                                                                                \
    X(table_create_begin)                                                                                    \
    X(table_create_shaped)                                                                                   \
    X(table_create_freed)                                                                                    \
    X(table_create_done)                                                                                     \
    X(table_journal_filled)                                                                                  \
    X(table_journal_written)                                                                                 \
    X(table_journal_cleared)                                                                                 \
    X(table_insert_words)                                                                                    \
    X(table_insert_filled)                                                                                   \
    X(table_insert_alive)                                                                                    \
    X(table_insert_linked)                                                                                   \
    X(table_insert_counted)                                                                                  \
    X(table_insert_done)                                                                                     \
    X(table_undo_dead)                                                                                       \
    X(table_undo_done)                                                                                       \
    X(table_delete_dead)                                                                                     \
    X(table_delete_unlinked)                                                                                 \
    X(table_delete_told)                                                                                     \
    X(table_delete_freed)                                                                                    \
    X(table_delete_counted)                                                                                  \
    X(table_delete_done)                                                                                     \
    X(table_hit_expiry)                                                                                      \
    X(table_hit_done)

/* When a table is opened for the first time after a restart of the system. */
#define TABLE_REPAIR_PAUSE_POINTS(X)                                                                         \
    X(table_repair_begin)                                                                                    \
    X(table_repair_begun)                                                                                    \
    X(table_repair_linked)                                                                                   \
    X(table_repair_freed)                                                                                    \
    X(table_repair_done)

/* Of emmap_backup. */
#define BACKUP_PAUSE_POINTS(X)                                                                               \
    X(backup_piece)                                                                                          \
    X(backup_copied)                                                                                         \
    X(backup_written)                                                                                        \
    X(backup_named)

#endif
