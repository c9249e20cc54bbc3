/*
 * Messages in hand: `PATH-taken` beside a queue. A message that was taken lies there until it is acknowledged. So the queue
 * keeps emmap 2.x's format, and a message in hand holds up neither its space nor its order.
 *
 * Everything happens under the queue's lock. A take copies the message into cells and then moves the queue's head. The
 * cell notes the head while that is under way (`moved`), so that the next operation can tell on which side of the move a
 * process died.
 *
 * A message belongs to the handle that took it. The handle owns its place in the table of owners while it holds
 * a lock of the kernel on the place's first byte: the kernel tells who is alive. Messages of a dead owner are
 * released.
 *
 *   taken_file.c   finds, makes and opens the file; owners
 *   taken_cells.c  cells, and computing again everything that follows from them
 *   taken_heap.c   released messages, the one that is due first at the top
 *   taken_list.c   all messages
 *   taken_view.c   all messages, for a handle for reading
 *   taken_repair.c keeps the sound messages of a damaged file
 *   taken_former.c sets the file of a removed queue aside
 */
#ifndef EMMAP_CORE_TAKEN_H
#define EMMAP_CORE_TAKEN_H

#include "live.h"
#include "pause.h"
#include "queue.h"
#include "taken_layout.h"

#define TAKEN_HELD 256u

/* A handle's part. Under `threads`, except `file`, which lives as long as the handle, and `looked`. */
typedef struct taken {
    emmap_file *file;
    emmap_mapping *mapping; /* with a reference; NULL before the first use */
    uint64_t identity;
    char *path;              /* NULL: memory of this handle alone */
    _Atomic uint32_t owner;  /* this handle's place in the table; TAKEN_OWNERS: none */
    _Atomic uint64_t looked; /* when it last looked for dead owners, as emi_stale_now */
    struct taken *previous;  /* that of the file that the handle used before it followed its path; closed */
    /* The handle's messages in hand, by their holders modulo TAKEN_HELD. Too high where a message went by another
     * way than its ticket, never too low. */
    uint32_t held[TAKEN_HELD];
} taken_t;

/* An operation's use of it. */
typedef struct hand {
    operation_t *operation;
    taken_t *taken;   /* NULL: there are no messages in hand, or emi_taken_look only looks */
    emmap_file *file; /* PATH-taken; NULL: there is none */
    emmap_mapping *mapping;
    taken_file_t *bytes;
    uint32_t cells; /* the number of cells, all of which are mapped */
    bool wrong;     /* lists or counts contradict each other; the next operation computes them again */
} hand_t;

/* ---- The file (taken_file.c) ---- */

/*
 * Begins to use the messages in hand, under the queue's lock. Finishes what a dead process left, and
 * releases the messages of dead owners if nobody has looked for a while. `makes`: makes the file if it is missing, and
 * takes a place in the table of owners. Otherwise hand->taken may be NULL.
 * Errors: EMMAP_CORRUPT for a damaged file; EBUSY if others use another file of that name; EAGAIN as
 * emi_require_blocking; ENOSPC and the like. On failure there is nothing to end.
 */
emmap_error emi_taken_begin(operation_t *operation, bool makes, hand_t *hand);

/* The same for operations that work without messages in hand, too: a damaged file counts as none. Errors: EAGAIN,
 * ENOMEM. */
emmap_error emi_taken_begin_if_sound(operation_t *operation, hand_t *hand);

/* The handles of a queue agree on one of these: nothing yet; there is no file; the file's identity, from TAKEN_IDENTITIES on. */
enum { TAKEN_UNKNOWN, TAKEN_NONE, TAKEN_IDENTITIES };

/* Whether there are certainly no messages in hand: a queue without them shall cost no call. */
static inline bool taken_is_none(const operation_t *operation)
{
    queue_t *const queue = (queue_t *)operation->container;
    const live_t *const live = operation->descriptor->live;
    const _Atomic uint64_t *const agreed = live ? &live->state->taken : &queue->taken_agreed;
    return (live || queue->base.owns_locks) && !atomic_load_explicit(&queue->taken, memory_order_relaxed) &&
           atomic_load_explicit(agreed, memory_order_relaxed) == TAKEN_NONE;
}

/* Begin and end an operation on a queue that ends deliveries: there may be a message for a waiter afterwards. Errors: as
 * emi_queue_begin and emi_taken_begin; then there is nothing to end. */
emmap_error emi_taken_operation_begin(emmap_file *file, operation_t *operation, queue_header_t *header,
                                      hand_t *hand);
emmap_error emi_taken_operation_end(operation_t *operation, hand_t *hand, emmap_error error);

/* Ends the use. Returns `error`, or the error that has come up meanwhile. */
emmap_error emi_taken_end(hand_t *hand, emmap_error error);

/* Before a queue's first header is stored: gives a file of messages in hand that is there already another name. Errors: those of
 * rename; ENOMEM. */
emmap_error emi_taken_set_aside(const operation_t *operation);

/* Forgets all messages of a damaged file. Errors: EMMAP_CORRUPT if it is no file of messages in hand. */
emmap_error emi_taken_reset(operation_t *operation);

/* Maps the file to read it without a lock, for a handle that may not write, too. hand->taken stays NULL. Ends with
 * emi_taken_looked. Errors: ENOENT if there is none; EMMAP_CORRUPT; EAGAIN as emi_require_blocking; those of open. */
emmap_error emi_taken_look(emmap_file *file, hand_t *hand);
void emi_taken_looked(hand_t *hand);

/* The same for a file that may be damaged, with EMMAP_OPEN_READ and perhaps EMMAP_OPEN_WRITE: nothing in it is checked, and it may
 * be shorter than its header. */
emmap_error emi_taken_open_beside(emmap_file *file, uint32_t flags, hand_t *hand);

/* EMMAP_CORRUPT if pages of the file have gone away: the queue itself goes on. */
emmap_error emi_taken_check(const emmap_file *file);

/* Whether a message may have been released, or an owner may have died, judged without the lock. */
bool emi_taken_may_have(emmap_file *file, const queue_t *queue);

/* The same for the watcher. It asks the kernel whether owners live, and does not use an earlier answer. */
bool emi_taken_is_worth_a_look(emmap_file *file, const queue_t *queue);

/* Takes the mapping after the file has become longer. Errors: EMMAP_CLOSED, EFAULT. */
emmap_error emi_taken_renew(hand_t *hand);

/* Brings the file to the disk. Errors: as emi_durability_sync. */
emmap_error emi_taken_sync(taken_t *self);

/* Before offsets in a synced queue get another meaning: the disk forgets the offsets that messages in hand came from (`moved`). */
emmap_error emi_taken_settle(operation_t *operation);

/* When the queue is closed: ends this handle's ownership. When it goes over to another file: forgets the old one, under
 * `threads`. When it is freed. */
void emi_taken_close(queue_t *queue);
void emi_taken_forget(queue_t *queue);
void emi_taken_free(queue_t *queue);

/* ---- Cells (taken_cells.c) ---- */

/* The cell of a number, or NULL and hand->wrong. */
static inline taken_cell_t *hand_cell(hand_t *hand, uint32_t number)
{
    if (number < hand->cells)
        return &hand->bytes->cell[number];
    hand->wrong = true;
    return NULL;
}

/* Begin and end a change of lists and counts. A process that dies in between has them computed again. */
static inline void hand_change(hand_t *hand)
{
    __atomic_store_n(&hand->bytes->changing, 1, __ATOMIC_RELEASE);
    atomic_signal_fence(memory_order_seq_cst);
}
static inline void hand_changed(hand_t *hand)
{
    atomic_signal_fence(memory_order_seq_cst);
    if (!hand->wrong)
        __atomic_store_n(&hand->bytes->changing, 0, __ATOMIC_RELEASE);
}

/* Marks a cell that is no message's first one. */
static inline void cell_mark(taken_cell_t *cell, taken_state_t state)
{
    __atomic_store_n(&cell->state, (uint32_t)state, __ATOMIC_RELAXED);
}

/* How many cells a message of `length` bytes takes. */
static inline uint64_t cells_of(uint64_t length)
{
    const uint64_t first = sizeof((taken_cell_t *)0)->payload;
    return 1 + (length > first ? (length - first + TAKEN_MORE_BYTES - 1) / TAKEN_MORE_BYTES : 0);
}

/* The number of this handle as an owner; TAKEN_OWNERS: it has never taken a message. */
static inline uint32_t hand_owner(const hand_t *hand)
{
    return hand->taken ? atomic_load_explicit(&hand->taken->owner, memory_order_relaxed) : TAKEN_OWNERS;
}

/* Stores a first cell's state: with this store the message is there, released, or gone. */
static inline void cell_become(taken_cell_t *cell, taken_state_t state)
{
    __atomic_store_n(&cell->state, (uint32_t)state, __ATOMIC_RELEASE);
    atomic_signal_fence(memory_order_seq_cst);
}

/* Makes sure that a message of `length` bytes finds cells. Errors: EMMAP_FULL; EAGAIN as
 * emi_require_blocking; ENOSPC and the like. */
emmap_error emi_taken_reserve(hand_t *hand, uint64_t length);

/* Within a change: fills cells with a payload, and links them. Room was reserved. Returns the number of the
 * first one, whose other words the caller sets. */
uint32_t emi_taken_fill(hand_t *hand, const uint8_t *payload, uint32_t length);

/* Within a change: frees a message's cells. The store of its first cell's state is the one that counts. */
void emi_taken_erase(hand_t *hand, uint32_t number);

/* Copies a message's payload out. Errors: ENOMEM; EMMAP_CORRUPT. */
emmap_error emi_taken_deliver(hand_t *hand, const taken_cell_t *cell, const emmap_sink *sink);

/* Whether the length of a message is possible, and its cells are there. */
bool emi_taken_is_whole(hand_t *hand, const taken_cell_t *cell);

/* Whether a message that is on its way between the files is in the queue. */
bool emi_taken_is_in_queue(hand_t *hand, const taken_cell_t *cell);

/* Whether a cell is the first one of a message. */
static inline bool cell_is_message(const taken_cell_t *cell)
{
    const uint32_t state = __atomic_load_n(&cell->state, __ATOMIC_ACQUIRE);
    return state == TAKEN_IN_HAND || state == TAKEN_RELEASED;
}

/* Whether a message's payload has these bytes. */
bool emi_taken_equals(hand_t *hand, const taken_cell_t *cell, const uint8_t *payload, uint32_t length);

/* A hash of a message's payload, never 0. */
uint64_t emi_taken_digest(hand_t *hand, const taken_cell_t *cell);

/* Computes lists, heap and counts from the cells, and settles a move that was under way. Errors:
 * EMMAP_CORRUPT. */
emmap_error emi_taken_recover(hand_t *hand);

/* Whether erasing the last message gives space back, which takes long. */
bool emi_taken_empties(const hand_t *hand);
void emi_taken_give_back(hand_t *hand);

/* EMMAP_CORRUPT, about this file. */
emmap_error emi_taken_wrong(hand_t *hand, const void *place, const char *reason);

/* ---- All messages (taken_list.c) ---- */

typedef struct taken_entry {
    uint64_t order;
    uint32_t number; /* of the first cell */
} taken_entry_t;

/* All messages, in the order in which they were taken out of the queue. */
typedef struct taken_list {
    taken_entry_t *entries; /* the caller frees it, also after an error */
    size_t count;
    size_t of_others; /* messages that other handles have in hand */
    uint64_t total;   /* bytes of the messages in a queue */
} taken_list_t;

/* Errors: ENOMEM. */
emmap_error emi_taken_list(hand_t *hand, taken_list_t *self);

/* Copies the messages out. Errors: as emi_taken_deliver. */
emmap_error emi_taken_list_deliver(hand_t *hand, const taken_list_t *self, const emmap_sink *sink);

/* ---- The same for a handle for reading, without the lock (taken_view.c) ---- */

/* Lists all messages. hand->file is NULL if there is no file. Ends with emi_taken_looked. Errors: as emi_taken_look and
 * emi_taken_list. On failure there is nothing to end. */
emmap_error emi_taken_view(emmap_file *file, hand_t *hand, taken_list_t *list);

/* Whether two lists have the same messages: then none was added or removed in between. */
bool emi_taken_list_is_same(const taken_list_t *one, const taken_list_t *other);

/* Counts the messages that a take would get from here: released ones that are due, and those of dead owners. `sink` gets the first
 * one, if it is not NULL. A damaged file counts as none. Errors: EAGAIN, ENOMEM. */
emmap_error emi_taken_view_due(emmap_file *file, const emmap_sink *sink, uint64_t *count);

/* ---- Released messages (taken_heap.c) ---- */

/* Within a change: makes the message one that is due at a time, and stores that it is released. */
void emi_taken_release(hand_t *hand, uint32_t number, uint64_t due);

/* The message that is due first, if its time has come. */
bool emi_taken_first(hand_t *hand, uint32_t *number);

/* Whether the heap can be used: its first element is a released message. */
bool emi_taken_heap_is_sound(hand_t *hand);

/* Within a change: takes the first one out of the heap. The caller then changes its state. */
void emi_taken_unrelease_first(hand_t *hand);

/* Within a change: adds a message in hand to the counts, or takes it off. */
void emi_taken_count(hand_t *hand, uint32_t owner, int by);

/* The number of released messages whose time has come. */
uint64_t emi_taken_due(hand_t *hand);

/* Released messages that one operation removes together. */
typedef struct released {
    uint32_t *numbers; /* of their first cells; NULL: none */
    uint64_t count;
} released_t;

/* Begins a change, unless nothing is due, and takes up to `limit` messages out of the heap. It ends with one of the two that
 * follow. Errors: ENOMEM; EMMAP_CORRUPT if a message is damaged; EAGAIN as emi_taken_recover. */
emmap_error emi_taken_collect(hand_t *hand, uint64_t limit, released_t *released);
/* Erases the collected messages. */
void emi_taken_remove(hand_t *hand, released_t *released);
/* Puts them back into the heap. */
void emi_taken_restore(hand_t *hand, released_t *released);

/* Copies the collected messages out, in order. Errors: as emi_taken_deliver. */
emmap_error emi_taken_deliver_all(hand_t *hand, const released_t *released, const emmap_sink *sink);

/* Erases all released messages, due or not; with `all`, those in hand too. */
void emi_taken_clear(hand_t *hand, bool all);

#endif
