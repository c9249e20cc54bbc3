#include "lookout.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

enum {
    LIMIT = 40 * 1000, /* ns: no more than twice what a sleep and a wake-up cost */
    LONGEST =
        2 * LIMIT, /* what a wait counts for at most: one that is interrupted says nothing of the others */
    WEIGHT = 8,    /* of the means: about so many waits make them */
    PERIOD = 128,  /* waits, of which the first */
    TRIALS = 8,    /* are done the other way, to see whether that has become the quicker one */
    SLICE = 200 * 1000,   /* ns: somebody has had the processor who does not give it back soon */
    FIRST_REST = 1 << 10, /* waits after that, all asleep; twice as many each time, up to */
    LONGEST_REST = 1 << 16
};

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Somebody else works on this processor: who sleeps is woken up in time, who gives way waits for a whole slice. */
static void take_a_rest(lookout *l)
{
    const uint32_t twice = l->last_rest < LONGEST_REST ? 2 * l->last_rest : LONGEST_REST;
    l->rest = l->last_rest = l->last_rest > 0 ? twice : FIRST_REST;
}

/* Looks until there is something, or has looked for long enough. */
static void look(lookout *l, int descriptor)
{
    struct pollfd input = {.fd = descriptor, .events = POLLIN};
    for (int64_t before = l->since; poll(&input, 1, 0) == 0;) {
        sched_yield(); /* whoever brings the client's next request may need this processor */
        const int64_t now = nanoseconds();
        if (now - before > SLICE) {
            take_a_rest(l);
            return;
        }
        if (now - l->since > LIMIT)
            break;
        before = now;
    }
    l->last_rest = 0;
}

void lookout_begin(lookout *l, int descriptor)
{
    l->since = nanoseconds();
    l->looking = false;
    if (l->rest > 0) {
        l->rest--;
        return;
    }
    /* Clearly quicker: it is not worth the processor's time otherwise. */
    const bool is_quicker = l->mean[true] < l->mean[false] / 4 * 3;
    const bool is_trial = l->waits++ % PERIOD < TRIALS;
    l->looking = is_quicker != is_trial;
    if (l->looking)
        look(l, descriptor);
}

void lookout_end(lookout *l)
{
    const int64_t took = nanoseconds() - l->since;
    int64_t *const mean = &l->mean[l->looking];
    *mean += ((took < LONGEST ? took : LONGEST) - *mean) / WEIGHT;
}
