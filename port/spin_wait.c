#include "spin_wait.h"

#include <poll.h>
#include <sched.h>
#include <time.h>

enum {
    LIMIT = 40 * 1000, /* ns: no more than twice what a sleep and a wake-up cost */
    LONGEST =
        2 * LIMIT, /* the most that a wait counts for: one that is interrupted says nothing of the others */
    WEIGHT = 8,    /* of the means: about so many waits make them */
    PERIOD = 128,  /* waits, of which the first */
    TRIALS = 8,    /* are done the other way, to see whether that has become the quicker one */
    SLICE = 200 * 1000,   /* ns: after such a yield another process has the processor, and keeps it */
    FIRST_REST = 1 << 10, /* waits after that, all asleep; twice as many each time, up to */
    LONGEST_REST = 1 << 16
};

static int64_t nanoseconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Another process works on this processor. The kernel wakes a sleeper in time, and lets one that yields wait for a whole slice. */
static void take_a_rest(spin_wait_t *self)
{
    const uint32_t twice = self->last_rest < LONGEST_REST ? 2 * self->last_rest : LONGEST_REST;
    self->rest = self->last_rest = self->last_rest > 0 ? twice : FIRST_REST;
}

/* Returns when there is input, or after LIMIT. */
static void spin(spin_wait_t *self, int descriptor)
{
    struct pollfd input = {.fd = descriptor, .events = POLLIN};
    for (int64_t before = self->since; poll(&input, 1, 0) == 0;) {
        sched_yield(); /* the client may need this processor for its next request */
        const int64_t now = nanoseconds();
        if (now - before > SLICE) {
            take_a_rest(self);
            return;
        }
        if (now - self->since > LIMIT)
            break;
        before = now;
    }
    self->last_rest = 0;
}

void spin_wait_begin(spin_wait_t *self, int descriptor)
{
    self->since = nanoseconds();
    self->spins = false;
    if (self->rest > 0) {
        self->rest--;
        return;
    }
    /* Clearly quicker, or it is not worth the processor's time. */
    const bool is_quicker = self->mean[true] < self->mean[false] / 4 * 3;
    const bool is_trial = self->waits++ % PERIOD < TRIALS;
    self->spins = is_quicker != is_trial;
    if (self->spins)
        spin(self, descriptor);
}

void spin_wait_end(spin_wait_t *self)
{
    const int64_t took = nanoseconds() - self->since;
    int64_t *const mean = &self->mean[self->spins];
    *mean += ((took < LONGEST ? took : LONGEST) - *mean) / WEIGHT;
}
