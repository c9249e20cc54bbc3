/* The watcher, which checks all waits every EMI_WAIT_LOOK_EVERY ms. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <time.h>

#include "patience.h"
#include "wait.h"
#include "wait_threads.h"

enum {
    FIRST_LOOK = 1, /* ms; doubles with each look. Used if threads can't sleep on words */
    IDLE_LOOKS = 50 /* the watcher ends after this many looks without a wait */
};

static const long millisecond = 1000000; /* ns */

/* Under the lock: all waits, with a reference each. NULL: no memory. */
static emmap_wait **all_waits(size_t *count)
{
    emmap_wait **const all = malloc((emi_waits.waiting + 1) * sizeof(emmap_wait *));
    *count = 0;
    for (emmap_wait *each = emi_waits.first; all && each; each = each->next) {
        emi_wait_retain(each);
        all[(*count)++] = each;
    }
    return all;
}

static void look_at_all(void)
{
    size_t count;
    pthread_mutex_lock(&emi_waits.lock);
    emmap_wait **const all = all_waits(&count);
    pthread_mutex_unlock(&emi_waits.lock);
    for (size_t i = 0; i < count; i++) {
        (void)emi_wait_look(all[i], ENDED_BY_OTHERS);
        emi_wait_release(all[i]);
    }
    free(all);
}

/* Under the lock: ms until the first wait without a thread is over, at most `most`. */
static long first_end(long most)
{
    const uint64_t now = emi_monotonic_now();
    for (const emmap_wait *each = emi_waits.first; each; each = each->next)
        if (each->bell && each->deadline < now + (uint64_t)(most * millisecond))
            most = each->deadline > now ? (long)((each->deadline - now) / (uint64_t)millisecond) + 1 : 1;
    return most;
}

/* Whether the watcher goes on. */
static bool is_needed(unsigned int *looks_at_nothing, long *pause)
{
    pthread_mutex_lock(&emi_waits.lock);
    *looks_at_nothing = emi_waits.first ? 0 : *looks_at_nothing + 1;
    emi_waits.watched = *looks_at_nothing < IDLE_LOOKS;
    const bool goes_on = emi_waits.watched;
    if (emi_platform_word_can_sleep() || (*pause *= 2) > EMI_WAIT_LOOK_EVERY)
        *pause = EMI_WAIT_LOOK_EVERY;
    if (emi_waits.has_news && !emi_platform_word_can_sleep())
        *pause = FIRST_LOOK;
    *pause = first_end(*pause);
    emi_waits.has_news = false;
    pthread_mutex_unlock(&emi_waits.lock);
    return goes_on;
}

static void *run_watcher(void *context)
{
    (void)context;
    unsigned int looks_at_nothing = 0;
    long pause = FIRST_LOOK;
    while (is_needed(&looks_at_nothing, &pause)) {
        nanosleep(&(struct timespec){0, pause * millisecond}, NULL);
        look_at_all();
    }
    return NULL;
}

bool emi_wait_watch(void)
{
    emi_waits.has_news = true;
    if (!emi_waits.watched)
        emi_waits.watched = emi_wait_start_thread(run_watcher, NULL);
    return emi_waits.watched;
}
