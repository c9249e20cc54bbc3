/* Keeping the sound messages of a damaged file of messages in hand. Nothing but the cells is believed, and a message is sound if its
 * cells are: there are as many as its length says, no other message has one of them, and a digest fits them. */
#include <errno.h>
#include <stdlib.h>

#include "clock.h"
#include "error.h"
#include "platform.h"
#include "taken.h"

#define CELLS_AT offsetof(taken_file_t, cell)

static bool has_header(const hand_t *hand)
{
    return hand->bytes->magic == TAKEN_MAGIC;
}

/* Makes hand->cells all cells that may have a message. Those behind the header's number are free, unless the number is wrong. */
static void find_cells(hand_t *hand)
{
    const uint64_t room = (hand->mapping->size - CELLS_AT) / TAKEN_CELL;
    const uint32_t counted = hand->cells;
    hand->cells = (uint32_t)(room < TAKEN_CELLS_MAX ? room : TAKEN_CELLS_MAX);
    while (hand->cells > counted && hand->bytes->cell[hand->cells - 1].state == TAKEN_FREE)
        hand->cells--;
}

/* Goes on to the next cell of a message. False: there is none, or it is the first one of another message. */
static bool go_on(const hand_t *hand, uint32_t *number)
{
    const uint32_t next = hand->bytes->cell[*number].next;
    if (next == 0 || next > hand->cells || cell_is_message(&hand->bytes->cell[next - 1]))
        return false;
    *number = next - 1;
    return true;
}

/* What repair knows of each cell. */
typedef struct known {
    uint32_t *left; /* cells from it to the end of its chain; 0: not known yet */
    uint8_t *users; /* complete messages that have it; 2 stands for more */
} known_t;

#define LEFT_NO_END UINT32_MAX
#define LEFT_ON_THE_WAY (UINT32_MAX - 1)

/* Follows a chain to its end, to a cell that is known, or round a circle. Each cell is passed twice at the most, however a hostile
 * file links them. */
static void measure_chain(const hand_t *hand, uint32_t first, uint32_t *left)
{
    uint32_t number = first, passed = 0, rest;
    do {
        left[number] = LEFT_ON_THE_WAY;
        passed++;
        rest = hand->bytes->cell[number].next == 0 ? 0 : LEFT_NO_END;
    } while (go_on(hand, &number) && (rest = left[number]) == 0);
    if (rest == LEFT_ON_THE_WAY)
        rest = LEFT_NO_END;
    for (number = first; passed > 0; passed--) {
        left[number] = rest == LEFT_NO_END ? LEFT_NO_END : rest + passed;
        go_on(hand, &number);
    }
}

/* Whether a cell is the first one of a message that has all its cells. */
static bool is_complete(const hand_t *hand, uint32_t number, const known_t *known)
{
    const taken_cell_t *const cell = &hand->bytes->cell[number];
    return cell_is_message(cell) && cell->length > 0 && known->left[number] == cells_of(cell->length);
}

/* Counts the users of a complete message's cells. Where two chains meet they stay together, so a cell that has two users is followed
 * by such cells alone. */
static void count_users(const hand_t *hand, uint32_t number, uint8_t *users)
{
    do
        users[number]++;
    while (go_on(hand, &number) && users[number] < 2);
}

static void forget(known_t *known)
{
    free(known->left);
    free(known->users);
}

/* The caller forgets it. */
static emmap_error learn(const hand_t *hand, known_t *known)
{
    known->left = calloc((size_t)hand->cells + 1, sizeof *known->left);
    known->users = calloc((size_t)hand->cells + 1, sizeof *known->users);
    if (!known->left || !known->users)
        return emi_error_set(ENOMEM, "no memory to know the cells of the messages in hand");
    for (uint32_t i = 0; i < hand->cells; i++)
        if (known->left[i] == 0)
            measure_chain(hand, i, known->left);
    for (uint32_t i = 0; i < hand->cells; i++)
        if (is_complete(hand, i, known))
            count_users(hand, i, known->users);
    return EMMAP_OK;
}

static bool has_a_message(const hand_t *hand, const known_t *known)
{
    for (uint32_t i = 0; i < hand->cells; i++)
        if (is_complete(hand, i, known))
            return true;
    return false;
}

static bool is_sound(const hand_t *hand, uint32_t number, const known_t *known)
{
    bool result = is_complete(hand, number, known);
    for (bool more = result; result && more; more = go_on(hand, &number))
        result = known->users[number] == 1;
    return result;
}

/* Frees the messages that are not sound, and releases those of owners that cannot be. Recovery frees those whose digest is wrong. */
static void drop_the_others(hand_t *hand, const known_t *known)
{
    enum { UNSOUND = UINT8_MAX };
    for (uint32_t i = 0; i < hand->cells; i++) {
        taken_cell_t *const cell = &hand->bytes->cell[i];
        if (!cell_is_message(cell))
            continue;
        if (!is_sound(hand, i, known))
            /* Its state decides only about its own cell, so the others are judged as before. */
            known->users[i] = UNSOUND;
        else if (cell->state == TAKEN_IN_HAND && cell->owner >= TAKEN_OWNERS) {
            cell->due = 0;
            cell_become(cell, TAKEN_RELEASED);
        }
    }
    for (uint32_t i = 0; i < hand->cells; i++)
        if (known->users[i] == UNSOUND)
            cell_become(&hand->bytes->cell[i], TAKEN_FREE);
}

/* The next use computes lists and counts again. */
static void mend_header(hand_t *hand)
{
    taken_file_t *const bytes = hand->bytes;
    if (!has_header(hand)) {
        bytes->version = TAKEN_VERSION;
        bytes->owners = TAKEN_OWNERS;
        bytes->order = clock_now() << 20;
        bytes->moves_all = 0;
    }
    if (bytes->identity < TAKEN_IDENTITIES)
        bytes->identity = emi_random_number() | TAKEN_IDENTITIES;
    atomic_store_explicit(&bytes->owner_end, TAKEN_OWNERS, memory_order_relaxed);
    atomic_store_explicit(&bytes->cells, hand->cells, memory_order_relaxed);
    bytes->changing = 1;
    PAUSE("taken_repair_mended");
    __atomic_store_n(&bytes->magic, TAKEN_MAGIC, __ATOMIC_RELEASE);
}

static emmap_error count_messages(hand_t *hand, uint64_t *count)
{
    taken_list_t list;
    const emmap_error error = emi_taken_list(hand, &list);
    *count = list.count;
    free(list.entries);
    return error;
}

/* The header counts the messages that were in hand or released. A file that was cut contains fewer. */
static uint64_t counted_before(const hand_t *hand)
{
    const taken_file_t *const bytes = hand->bytes;
    const uint64_t counted = atomic_load_explicit(&bytes->in_hand, memory_order_relaxed) + bytes->released;
    const bool told = has_header(hand) && bytes->changing == 0;
    return told && counted <= atomic_load_explicit(&bytes->cells, memory_order_relaxed) ? counted : 0;
}

static emmap_error mend_known(hand_t *hand, const known_t *known, uint64_t *before)
{
    const uint64_t counted = counted_before(hand);
    /* A file of another kind stays as it is. */
    if (!has_header(hand) && !has_a_message(hand, known))
        return emi_taken_wrong(hand, hand->bytes,
                               "the file beside the queue has no header and no message in hand");
    const emmap_error error = count_messages(hand, before);
    if (error)
        return error;
    if (*before < counted)
        *before = counted;
    PAUSE("taken_repair_begin");
    drop_the_others(hand, known);
    mend_header(hand);
    return EMMAP_OK;
}

/* Mends the file, and counts the messages that it had. */
static emmap_error mend(hand_t *hand, uint64_t *before)
{
    known_t known;
    find_cells(hand);
    emmap_error error = learn(hand, &known);
    if (!error)
        error = mend_known(hand, &known, before);
    forget(&known);
    return error;
}

/* Gives a file that was cut within its header or its owners their bytes back: zeros. */
static emmap_error lengthen(operation_t *operation, hand_t *hand)
{
    emmap_error error = has_header(hand)
                            ? emmap_resize(hand->file, CELLS_AT, NULL)
                            : emi_taken_wrong(hand, hand->bytes, "this is no file of messages in hand");
    const emmap_failure failure = *emmap_last_failure();
    emi_taken_looked(hand);
    if (error)
        emi_error_restore(&failure);
    else
        error = emi_taken_open_beside(operation->file, EMMAP_OPEN_READ | EMMAP_OPEN_WRITE, hand);
    return error;
}

static emmap_error repair(operation_t *operation, uint64_t *before)
{
    queue_t *const queue = (queue_t *)operation->container;
    const taken_t *const self = atomic_load_explicit(&queue->taken, memory_order_relaxed);
    hand_t hand;
    *before = 0;
    /* A mapping that has lost a page serves no more. */
    if (self && file_faulted(self->file))
        emi_taken_forget(queue);
    emmap_error error = emi_taken_open_beside(operation->file, EMMAP_OPEN_READ | EMMAP_OPEN_WRITE, &hand);
    if (!error && hand.mapping->size < CELLS_AT)
        error = lengthen(operation, &hand);
    if (error)
        return error == ENOENT ? EMMAP_OK : error;
    hand.operation = operation;
    /* Another version is no damage: the next use says so. */
    if (!has_header(&hand) || (hand.bytes->version == TAKEN_VERSION && hand.bytes->owners == TAKEN_OWNERS))
        error = mend(&hand, before);
    const emmap_failure failure = *emmap_last_failure();
    emi_taken_looked(&hand);
    if (error)
        emi_error_restore(&failure);
    return error;
}

emmap_error emmap_queue_repair(emmap_file *file, uint64_t *lost)
{
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint64_t before, after = 0;
    *lost = 0;
    emmap_error error = emi_require_blocking();
    if (!error)
        error = emi_queue_begin(file, LOCK_CONTAINER, &operation, &header);
    if (error)
        return error;
    error = repair(&operation, &before);
    if (!error)
        error = emi_taken_begin(&operation, false, &hand);
    if (error)
        return emi_operation_end(&operation, error);
    if (hand.taken)
        error = count_messages(&hand, &after);
    error = emi_taken_operation_end(&operation, &hand, error);
    *lost = !error && before > after ? before - after : 0;
    return error;
}
