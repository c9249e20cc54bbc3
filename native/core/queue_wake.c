#include "queue_wake.h"

#include <errno.h>
#include <pthread.h>

#include "error.h"
#include "live.h"
#include "pause.h"
#include "stale.h"
#include "taken.h"
#include "wait.h"

enum { NOBODY, ARMED, CALLED };

/* The place of a queue's word: in the live folder (live.h), or in the handle's own memory, for its own
 * threads. */
typedef struct waited {
    emmap_file *file;
    uint64_t position;
    word_t *word;
    descriptor_t *descriptor; /* with a reference, which keeps the shared memory */
} waited_t;

/* Held while a handle makes its own word. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

static emmap_error make_own_word(queue_t *self)
{
    emmap_error error = EMMAP_OK;
    pthread_mutex_lock(&making);
    if (!self->wake_file) {
        const emmap_options options = {.flags = EMMAP_OPEN_ANON | EMMAP_OPEN_READ | EMMAP_OPEN_WRITE |
                                                EMMAP_OPEN_SHARED,
                                       .size = sizeof(word_t)};
        error = emmap_open("", &options, &self->wake_file);
        if (!error)
            /* Release: the contents of the mapping. Pairs with the acquire in emi_queue_waited. */
            atomic_store_explicit(&self->own_word,
                                  (word_t *)(void *)atomic_load(&self->wake_file->mapping)->data,
                                  memory_order_release);
    }
    pthread_mutex_unlock(&making);
    return error;
}

word_t *emi_queue_waited(const operation_t *operation)
{
    queue_t *const self = (queue_t *)operation->container;
    if (operation->descriptor && operation->descriptor->live)
        return &operation->descriptor->live->state->waited;
    return atomic_load_explicit(&self->own_word, memory_order_acquire);
}

static emmap_error find_queue(emmap_file *file, queue_t **result)
{
    container_t *there;
    const emmap_error error = emi_container_get(file, CONTAINER_QUEUE, &there);
    *result = (queue_t *)there;
    return error;
}

/* `makes`: makes the handle's own word if it has none. Otherwise result->word may be NULL. Ends with
 * waited_end. */
static emmap_error waited_begin(emmap_file *file, queue_t *self, bool makes, waited_t *result)
{
    *result = (waited_t){0};
    emmap_error error = emi_file_descriptor(file, &result->descriptor);
    if (error)
        return error;
    live_t *const live = result->descriptor->live;
    if (live) {
        result->file = live->file;
        result->position = offsetof(live_state_t, waited);
        result->word = &live->state->waited;
        return EMMAP_OK;
    }
    if (makes && (error = make_own_word(self))) {
        emi_descriptor_release(result->descriptor);
        return error;
    }
    result->word = atomic_load_explicit(&self->own_word, memory_order_acquire);
    result->file = self->wake_file;
    return EMMAP_OK;
}

static void waited_end(const waited_t *self)
{
    emi_descriptor_release(self->descriptor);
}

/* Between this side's store and its look. In the live folder the lock's release is a full fence of the other side. An exclusive
 * handle's is not, so its threads are made to pass one. */
static void fence(const waited_t *at, const queue_t *self)
{
    if (at->descriptor->live && !self->base.owns_locks)
        atomic_thread_fence(memory_order_seq_cst);
    else
        emi_fence_heavy();
}

/* ---- Waking ---- */

/* Those that sleep in a thread take their turn after the bells of all slots. */
static bool wake_one(const waited_t *at)
{
    live_t *const live = at->descriptor->live;
    const unsigned turn =
        live ? atomic_load_explicit(&live->state->turn, memory_order_relaxed) % (LIVE_SLOTS + 1) : 0;
    uint64_t woken = 0;
    if (live && emi_live_ring(live, turn, LIVE_SLOTS))
        return true;
    (void)emmap_notify(at->file, at->position, 1, &woken);
    if (live && woken > 0)
        atomic_store_explicit(&live->state->turn, 0, memory_order_relaxed);
    return woken > 0 || (live && emi_live_ring(live, 0, turn));
}

static void call(const waited_t *at)
{
    int64_t called = CALLED;
    bool woken = false;
    PAUSE("wake_calling");
    if (atomic_exchange(at->word, CALLED) !=
        NOBODY) /* else another thread has called since, and found nobody */
        woken = wake_one(at);
    PAUSE("wake_called");
    /* A waiter that arms the word meanwhile has looked already, or will look. */
    if (!woken)
        atomic_compare_exchange_strong(at->word, &called, NOBODY);
}

void emi_queue_call(emmap_file *file)
{
    queue_t *self;
    waited_t at;
    if (find_queue(file, &self) != EMMAP_OK || waited_begin(file, self, false, &at) != EMMAP_OK)
        return;
    if (at.word)
        call(&at);
    waited_end(&at);
}

/* Whether a waiter would find a message. If only another handle's lock can tell, a waiter is woken in vain. */
static bool has_message(emmap_file *file, const queue_t *self)
{
    bool empty = false;
    if (self->base.owns_locks)
        return emmap_queue_is_empty(file, &empty) != EMMAP_OK || !empty;
    return !emi_queue_is_surely_empty(file);
}

void emi_queue_call_next(emmap_file *file)
{
    queue_t *self;
    waited_t at;
    int64_t called = CALLED;
    if (find_queue(file, &self) != EMMAP_OK || waited_begin(file, self, false, &at) != EMMAP_OK)
        return;
    if (at.word && atomic_load(at.word) != NOBODY) {
        atomic_compare_exchange_strong(at.word, &called, ARMED);
        fence(&at, self);
        if (has_message(file, self))
            call(&at);
    }
    waited_end(&at);
}

/* ---- Waiting ---- */

/* Whether a message can be popped now. EMMAP_EOF: there is none. EBUSY: another handle is popping in two
 * steps. ETIMEDOUT, EAGAIN: another handle has the lock. */
static emmap_error look(emmap_file *file)
{
    if (emi_queue_is_surely_empty(file))
        return EMMAP_EOF;
    operation_t operation;
    queue_header_t header;
    hand_t hand;
    uint32_t number;
    emmap_error error = emi_queue_begin(file, LOCK_CONTAINER_AND_POP, &operation, &header);
    if (error)
        return error;
    bool empty = header.head == header.tail;
    error = empty ? emi_taken_begin_if_sound(&operation, &hand) : EMMAP_OK;
    if (!error && empty) {
        /* A pop and a peek go on without a damaged message, too. */
        empty = !hand.taken || !emi_taken_first(&hand, &number) ||
                !emi_taken_is_whole(&hand, &hand.bytes->cell[number]);
        error = emi_taken_end(&hand, EMMAP_OK);
    }
    return emi_operation_end(&operation, !error && empty ? EMMAP_EOF : error);
}

/* Does not block, even if the thread may. */
static emmap_error look_now(emmap_file *file)
{
    const bool may_block = emi_thread_may_block();
    emmap_set_may_block(false);
    const emmap_error error = look(file);
    emmap_set_may_block(may_block);
    return error;
}

/* Whether an exclusive handle's queue has a message. False if a thread of the handle has its lock. */
static bool has_message_now(emmap_file *file, container_t *container)
{
    bool result = false;
    visit_t visit;
    if (!thread_lock_try(&container->threads))
        return false;
    if (visit_begin(file, &visit) == EMMAP_OK) {
        const queue_header_t header = queue_header_load(visit.mapping->data);
        result = visit_end(file, &visit) == EMMAP_OK && header.head != header.tail;
    }
    thread_lock_give(&container->threads);
    return result;
}

/* Whether an operation would find something that nobody told this process. The producer may have died before
 * it called, share no word with this handle, or have held the lock during the last look. The path may name
 * another file. The file may be truncated. */
static bool is_worth_a_look(emmap_file *file)
{
    container_t *const container = atomic_load(&file->container);
    return (container->owns_locks ? has_message_now(file, container)
                                  : !emi_queue_file_is_surely_empty(file)) ||
           emi_taken_is_worth_a_look(file, (const queue_t *)container) || emi_stale_is_due(file) ||
           file_faulted(file);
}

/* Looks once more, and enters the wait. The bell, if there is one, is set. */
static emmap_error begin(emmap_file *file, const waited_t *at, uint64_t timeout,
                         const wait_subject_t *subject, const emmap_waiter *waiter, emmap_wait **result)
{
    atomic_store(at->word, ARMED);
    fence(at, (const queue_t *)atomic_load(&file->container));
    const emmap_error seen = look_now(file);
    if (seen == EMMAP_OK)
        return emi_error_set(EAGAIN, "there is a message");
    if (seen != EMMAP_EOF && seen != EBUSY && seen != ETIMEDOUT && seen != EAGAIN)
        return seen;
    if (timeout == 0)
        return emi_error_set(ETIMEDOUT, NULL);
    const emmap_error error = emi_wait_begin(at->file, at->position, ARMED, timeout, subject, waiter, result);
    if (error == EMMAP_CLOSED && !file_is_closed(file))
        return emi_error_set(EAGAIN, "the handle uses another file by now");
    if (error)
        return error;
    /* A close ends all waits later on. Either it sees this wait, or this thread sees the close. */
    if (file_is_closed(file) && emmap_wait_cancel(*result)) {
        emmap_wait_free(*result);
        *result = NULL;
        return emi_error_set(EMMAP_CLOSED, NULL);
    }
    return EMMAP_OK;
}

/* Whether the wait needs no thread. A look must not come later than its end. */
static bool has_bell(const waited_t *at, uint64_t timeout, const emmap_waiter *waiter)
{
    return waiter->watches && timeout > EMI_WAIT_LOOK_EVERY && at->descriptor->live &&
           emi_live_has_bell(at->descriptor->live);
}

static emmap_error begin_with_bell(emmap_file *file, const waited_t *at, uint64_t timeout,
                                   wait_subject_t *subject, const emmap_waiter *waiter, emmap_wait **result)
{
    live_t *const live = at->descriptor->live;
    subject->bell = live_bell_word(live->state, live->slot);
    subject->bell_bit = live_bell_bit(live->slot);
    atomic_fetch_or(subject->bell, subject->bell_bit);
    PAUSE("wake_bell_set");
    const emmap_error error = begin(file, at, timeout, subject, waiter, result);
    /* After EAGAIN the caller looks for the message anyway. */
    if (error && !(atomic_fetch_and(subject->bell, ~subject->bell_bit) & subject->bell_bit) &&
        error != EAGAIN) {
        const emmap_failure failure = *emmap_last_failure();
        call(at);
        emi_error_restore(&failure);
    }
    return error;
}

emmap_error emmap_queue_wait_begin(emmap_file *file, uint64_t timeout, const emmap_waiter *waiter,
                                   emmap_wait **result)
{
    *result = NULL;
    queue_t *self;
    waited_t at;
    emmap_error error = find_queue(file, &self);
    if (!error && !file_may_write(file))
        error = emi_error_set(EACCES, "the file is open for reading only");
    if (!error)
        error = waited_begin(file, self, true, &at);
    if (error)
        return error;
    live_t *const live = at.descriptor->live;
    wait_subject_t subject = {.owner = file,
                              .is_over = is_worth_a_look,
                              .count = live ? &live->state->slot[live->slot].waiting : NULL,
                              .pass_on = emi_queue_call};
    error = has_bell(&at, timeout, waiter) ? begin_with_bell(file, &at, timeout, &subject, waiter, result)
                                           : begin(file, &at, timeout, &subject, waiter, result);
    waited_end(&at);
    return error;
}

emmap_error emmap_queue_wait_descriptor(emmap_file *file, int *fd)
{
    queue_t *self;
    descriptor_t *descriptor;
    emmap_error error = find_queue(file, &self);
    if (!error && !file_may_write(file))
        error = emi_error_set(EACCES, "the file is open for reading only");
    if (!error)
        error = emi_file_descriptor(file, &descriptor);
    if (error)
        return error;
    error = descriptor->live ? emi_live_bell(descriptor->live, fd)
                             : emi_error_set(ENOTSUP, "the queue's writers share no live folder");
    emi_descriptor_release(descriptor);
    return error;
}

void emi_queue_closing(container_t *self)
{
    emi_taken_close((queue_t *)self);
    pthread_mutex_lock(&making);
    emmap_file *const file = ((queue_t *)self)->wake_file;
    pthread_mutex_unlock(&making);
    if (file)
        emi_wait_end_all(file);
}

void emi_queue_freeing(container_t *self)
{
    emi_taken_free((queue_t *)self);
    emmap_free(((queue_t *)self)->wake_file);
}
