#include "queue_wake.h"

#include <errno.h>
#include <pthread.h>

#include "error.h"
#include "wait.h"

enum { NOBODY, ARMED, CALLED };

/* How often a waiter looks that others can't wake, in ms: another handle pushes, and the two share no word. */
enum { LOOK_EVERY = 100 };

/* Where a queue's word is. */
typedef struct bell {
    emmap_file *file;
    uint64_t position;
    word *word;
} bell;

/* With it a handle makes its own word. */
static pthread_mutex_t making = PTHREAD_MUTEX_INITIALIZER;

/* The handle's own word, for its own threads: memory of no file. */
static emmap_error own_bell(queue *self, bell *result)
{
    emmap_error error = EMMAP_OK;
    pthread_mutex_lock(&making);
    if (!self->wake_file) {
        const emmap_options options = {.flags = EMMAP_OPEN_ANON | EMMAP_OPEN_READ | EMMAP_OPEN_WRITE |
                                                EMMAP_OPEN_SHARED,
                                       .size = sizeof(word)};
        error = emmap_open("", &options, &self->wake_file);
        if (!error)
            /* Release: pairs with the acquire in queue_waited, for what the mapping holds. */
            atomic_store_explicit(&self->own_word,
                                  (word *)(void *)atomic_load(&self->wake_file->mapping)->data,
                                  memory_order_release);
    }
    pthread_mutex_unlock(&making);
    *result = (bell){self->wake_file, 0, atomic_load(&self->own_word)};
    return error;
}

word *queue_waited(const hold *hold)
{
    queue *const self = (queue *)hold->structure;
    return atomic_load_explicit(&self->own_word, memory_order_acquire);
}

static emmap_error find_queue(emmap_file *file, queue **result)
{
    structure *there;
    const emmap_error error = structure_of(file, STRUCTURE_QUEUE, &there);
    *result = (queue *)there;
    return error;
}

/* ---- Waking ---- */

static void call(const bell *bell)
{
    int64_t called = CALLED;
    uint64_t woken = 0;
    if (atomic_exchange(bell->word, CALLED) == NOBODY)
        woken = 1; /* somebody else has called, and found nobody */
    else
        (void)emmap_notify(bell->file, bell->position, 1, &woken);
    /* Who arms it meanwhile has looked, or looks. */
    if (woken == 0)
        atomic_compare_exchange_strong(bell->word, &called, NOBODY);
}

/* The word of a queue on which somebody has waited. */
static bool find_bell(emmap_file *file, queue **self, bell *result)
{
    return find_queue(file, self) == EMMAP_OK && atomic_load(&(*self)->own_word) &&
           own_bell(*self, result) == EMMAP_OK;
}

void queue_call(emmap_file *file)
{
    queue *self;
    bell bell;
    if (find_bell(file, &self, &bell))
        call(&bell);
}

void queue_call_next(emmap_file *file)
{
    queue *self;
    bell bell;
    bool empty = true;
    if (!find_bell(file, &self, &bell) || atomic_load(bell.word) == NOBODY)
        return;
    int64_t called = CALLED;
    atomic_compare_exchange_strong(bell.word, &called, ARMED);
    fence_heavy();
    /* Only the lock can tell: one too many is woken, and looks. */
    if (!queue_seen_empty(file))
        empty = self->base.held && emmap_queue_is_empty(file, &empty) == EMMAP_OK && empty;
    if (!empty)
        call(&bell);
}

/* ---- Waiting ---- */

/* Whether there is a message to be taken now. EMMAP_EOF: none; EBUSY: somebody is taking the first one; ETIMEDOUT, EAGAIN:
 * somebody has the lock. */
static emmap_error look(emmap_file *file)
{
    if (queue_seen_empty(file))
        return EMMAP_EOF;
    hold hold;
    queue_header header;
    const emmap_error error = queue_begin(file, LOCK_STRUCTURE_AND_TAKING, &hold, &header);
    return error ? error : hold_end(&hold, header.head == header.tail ? EMMAP_EOF : EMMAP_OK);
}

/* Never blocks, whatever the thread may do. */
static emmap_error look_now(emmap_file *file)
{
    const bool may_wait = patience_for_work();
    emmap_may_wait(false);
    const emmap_error error = look(file);
    emmap_may_wait(may_wait);
    return error;
}

emmap_error emmap_queue_wait_begin(emmap_file *file, uint64_t timeout, const emmap_waiter *waiter,
                                   emmap_wait **result)
{
    *result = NULL;
    queue *self;
    bell bell;
    emmap_error error = find_queue(file, &self);
    if (!error && !(file->options.flags & EMMAP_OPEN_WRITE))
        error = error_set(EACCES, "the file is open for reading only");
    if (!error)
        error = own_bell(self, &bell);
    if (error)
        return error;
    atomic_store(bell.word, ARMED);
    fence_heavy();
    error = look_now(file);
    if (error == EMMAP_OK)
        return error_set(EAGAIN, "there is a message");
    const bool is_certain = error == EMMAP_EOF && self->base.held;
    if (error != EMMAP_EOF && error != EBUSY && error != ETIMEDOUT && error != EAGAIN)
        return error;
    if (timeout == 0)
        return error_set(ETIMEDOUT, NULL);
    const bool looks = !is_certain && timeout > LOOK_EVERY;
    error = wait_begin(bell.file, bell.position, ARMED, looks ? LOOK_EVERY : timeout,
                       looks ? EMMAP_OK : (emmap_error)ETIMEDOUT, waiter, result);
    if (error)
        return error;
    /* A close ends what waits when it comes to that: one of the two sees the other. */
    if ((__atomic_load_n(&file->control.status, __ATOMIC_SEQ_CST) & EMMAP_STATUS_CLOSED) &&
        emmap_wait_cancel(*result)) {
        emmap_wait_free(*result);
        *result = NULL;
        return error_set(EMMAP_CLOSED, NULL);
    }
    return EMMAP_OK;
}

void queue_wake_closing(structure *self)
{
    pthread_mutex_lock(&making);
    emmap_file *const file = ((queue *)self)->wake_file;
    pthread_mutex_unlock(&making);
    if (file)
        wait_end_all(file);
}

void queue_wake_freeing(structure *self)
{
    emmap_free(((queue *)self)->wake_file);
}
