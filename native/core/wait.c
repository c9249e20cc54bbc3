#include "wait.h"

#include <errno.h>
#include <stdlib.h>

#include "error.h"
#include "mapping.h"
#include "patience.h"
#include "wait_list.h"
#include "wait_threads.h"
#include "word.h"

static const uint64_t millisecond = 1000000; /* ns */

static bool is_inherited(const emmap_wait *self)
{
    return self->forks != emi_descriptor_forks;
}

static uint64_t deadline_of(uint64_t milliseconds)
{
    const uint64_t from = emi_monotonic_now();
    return milliseconds > (UINT64_MAX - from) / millisecond ? UINT64_MAX : from + milliseconds * millisecond;
}

/* Finds the word and its mapping, with a reference, and compares it with the expected value. Errors: EAGAIN
 * if it differs; as word_begin. */
static emmap_error find_word(emmap_file *file, uint64_t position, const int64_t *expected,
                             emmap_mapping **mapping, const void **result)
{
    visit_t visit;
    word_t *word;
    const emmap_error error = word_begin(file, position, false, &visit, &word);
    if (error)
        return error;
    const bool differs = expected && atomic_load(word) != *expected;
    *mapping = visit.mapping;
    *result = word;
    if (!differs)
        emi_mapping_retain(visit.mapping);
    const emmap_error fault = visit_end(file, &visit);
    if (fault && !differs)
        emi_mapping_release(*mapping);
    return fault     ? fault
           : differs ? emi_error_set((emmap_error)EAGAIN, "the word holds another value")
                     : EMMAP_OK;
}

/* Identifies the word at this position for all handles of the file. */
static place_t identify(emmap_file *file, uint64_t position)
{
    if (file->options.flags & EMMAP_OPEN_ANON)
        return (place_t){0, (ino_t)(uintptr_t)file, position};
    pthread_mutex_lock(&file->state);
    const place_t result = {file->device, file->inode, file->options.offset + position};
    pthread_mutex_unlock(&file->state);
    return result;
}

/* Enters the wait into the list and gives it a thread. Errors: EMMAP_CLOSED, ENOMEM. */
static emmap_error begin(emmap_wait *self)
{
    emmap_error error = EMMAP_OK;
    const void *rests = NULL;
    pthread_mutex_lock(&emi_waits.lock);
    /* emmap_close sets the status word first and then takes the lock: one of the two sees the other. */
    if (file_is_closed(self->file))
        error = EMMAP_CLOSED;
    else if (!emi_wait_watch() ||
             (!self->bell && emi_platform_word_can_sleep() && !emi_wait_give_to_sleeper(self, &rests)))
        error = (emmap_error)ENOMEM;
    if (!error) {
        self->next = emi_waits.first;
        if (emi_waits.first)
            emi_waits.first->previous = self;
        emi_waits.first = self;
        emi_waits.waiting++;
        if (self->count)
            atomic_fetch_add_explicit(self->count, 1, memory_order_relaxed);
    }
    pthread_mutex_unlock(&emi_waits.lock);
    /* If the thread has ended since, nobody sleeps at this address. */
    if (rests)
        emi_platform_word_wake(rests, 1, true);
    return error ? emi_error_set(error, error == EMMAP_CLOSED
                                            ? NULL
                                            : "this process has 1024 waits, or gets no thread for another")
                 : EMMAP_OK;
}

emmap_error emi_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                           const wait_subject_t *subject, const emmap_waiter *waiter, emmap_wait **result)
{
    const wait_subject_t about = subject ? *subject : (wait_subject_t){0};
    emi_wait_list_install();
    emmap_mapping *mapping;
    const void *word;
    *result = NULL;
    emmap_error error = find_word(file, position, &expected, &mapping, &word);
    if (error)
        return error;
    emmap_wait *self = NULL;
    if (file_has_own_bytes(file))
        error = emi_error_set((emmap_error)EINVAL, "no other handle changes the bytes of a private mapping");
    else if (timeout == 0)
        error = emi_error_set((emmap_error)ETIMEDOUT, NULL);
    else if (!(self = calloc(1, sizeof *self)))
        error = emi_error_set((emmap_error)ENOMEM, NULL);
    if (error) {
        emi_mapping_release(mapping);
        return error;
    }
    *self = (emmap_wait){.file = file,
                         .mapping = mapping,
                         .position = position,
                         .word = word,
                         .expected = expected,
                         .deadline = deadline_of(timeout),
                         .owner = about.owner,
                         .is_over = about.is_over,
                         .count = about.count,
                         .bell = about.bell,
                         .bell_bit = about.bell_bit,
                         .pass_on = about.pass_on,
                         .waiter = *waiter,
                         .place = identify(file, position),
                         .forks = emi_descriptor_forks};
    atomic_init(&self->references, 2); /* of the caller and of the list */
    if (about.owner)
        emi_file_retain(about.owner);
    *result = self;
    error = begin(self);
    if (error) {
        *result = NULL;
        emi_mapping_release(mapping);
        if (about.owner)
            emi_file_release(about.owner);
        free(self);
    }
    return error;
}

emmap_error emmap_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                             const emmap_waiter *waiter, emmap_wait **result)
{
    return emi_wait_begin(file, position, expected, timeout, NULL, waiter, result);
}

static bool take(emmap_wait *self, bool passes_on)
{
    /* Its thread is in the parent, and never calls the child's door. */
    if (is_inherited(self))
        return true;
    pthread_mutex_lock(&emi_waits.lock);
    const bool taken = emi_wait_take(self, ENDED_BY_OTHERS);
    pthread_mutex_unlock(&emi_waits.lock);
    if (taken && passes_on)
        emi_wait_pass_on(self);
    if (taken)
        emi_wait_release(self);
    return taken;
}

bool emmap_wait_cancel(emmap_wait *self)
{
    return take(self, true);
}

bool emmap_wait_woken(emmap_wait *self)
{
    return take(self, false);
}

void emmap_wait_free(emmap_wait *self)
{
    if (!self || is_inherited(self))
        return;
    emmap_wait_cancel(self);
    emi_wait_release(self);
}

void emi_wait_end_all(emmap_file *file)
{
    emmap_wait *taken = NULL, **last = &taken;
    pthread_mutex_lock(&emi_waits.lock);
    for (emmap_wait *each = emi_waits.first, *next; each; each = next) {
        next = each->next;
        if (each->file == file)
            emi_wait_take_to(each, ENDED_BY_OTHERS, &last);
    }
    pthread_mutex_unlock(&emi_waits.lock);
    emi_wait_tell_all(taken, EMMAP_CLOSED);
}

emmap_error emmap_notify(emmap_file *file, uint64_t position, uint64_t count, uint64_t *woken)
{
    emmap_mapping *mapping;
    const void *word;
    if (woken)
        *woken = 0;
    const emmap_error error = find_word(file, position, NULL, &mapping, &word);
    if (error)
        return error;
    const place_t where = identify(file, position);
    const uint64_t reached = emi_wait_wake(word, &where, count);
    emi_mapping_release(mapping);
    if (woken)
        *woken = reached;
    return EMMAP_OK;
}
