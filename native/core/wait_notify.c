/* Waking waits for a word. */
#include <limits.h>

#include "wait_list.h"

static bool is_for(const emmap_wait *self, const place_t *place)
{
    return self->place.offset == place->offset && self->place.inode == place->inode &&
           self->place.device == place->device;
}

/* Under the lock: finds out which threads sleep in the kernel, where emi_platform_word_wake reaches them, and
 * keeps the others from going to sleep. */
static void sort_sleepers(const place_t *place)
{
    for (emmap_wait *each = emi_waits.first; each; each = each->next) {
        if (!each->asleep || each->queued || !is_for(each, place))
            continue;
        const platform_sleeps_t sleeps = emi_platform_word_sleeps(&each->sleeper);
        each->queued = sleeps == PLATFORM_ASLEEP;
        each->asleep = sleeps != PLATFORM_AWAKE;
    }
}

/* Under the lock: the oldest wait. Its `previous` is the next one. */
static emmap_wait *longest(void)
{
    emmap_wait *each = emi_waits.first;
    while (each && each->next)
        each = each->next;
    return each;
}

uint64_t emi_wait_wake(const void *word, const place_t *place, uint64_t count)
{
    emmap_wait *taken = NULL, **last = &taken;
    if (count == 0)
        return 0;
    pthread_mutex_lock(&emi_waits.lock);
    sort_sleepers(place);
    uint64_t woken = emi_platform_word_wake(word, count < INT_MAX ? (int)count : INT_MAX, false);
    if (woken < count) {
        uint64_t left = count - woken;
        for (emmap_wait *each = longest(), *later; each; each = later) {
            later = each->previous;
            /* A queued thread has been woken by the kernel. An undecided one was counted, or is counted too
             * little. */
            if (!is_for(each, place) || each->queued || (!each->asleep && left == 0))
                continue;
            left -= !each->asleep;
            /* A thread that is about to sleep may still be woken as it turns back. Then it has the notify of
             * another wait. */
            emi_wait_take_to(each, each->asleep ? ENDED_BY_NOTIFY : ENDED_BY_OTHERS, &last);
        }
        woken = count - left;
    }
    pthread_mutex_unlock(&emi_waits.lock);
    emi_wait_tell_all(taken, EMMAP_OK);
    return woken;
}
