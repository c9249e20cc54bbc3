/* The lock between threads, whose release is a plain store, and memory under pins. */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "pin.h"
#include "support.h"
#include "thread_lock.h"

enum { THREADS = 4, ROUNDS = 20000 };

typedef struct shared {
    thread_lock_t lock;
    uint64_t one, other; /* plain: equal whenever the lock is free */
    void *place;         /* atomic: a uint64_t of its own memory, or NULL */
    int stop;            /* atomic */
    int looks;           /* atomic: the number of reads of memory under a pin */
} shared;

static int setup(void **state)
{
    shared *const self = calloc(1, sizeof *self);
    emi_fence_install();
    emi_pin_install();
    emi_thread_lock_init(&self->lock);
    *state = self;
    return 0;
}

static int teardown(void **state)
{
    shared *const self = *state;
    emi_thread_lock_destroy(&self->lock);
    free(self);
    return 0;
}

static pthread_t start(void *(*body)(void *), void *context)
{
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, body, context), 0);
    return thread;
}

static void join(const pthread_t *threads, size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
}

static bool stopped(shared *self)
{
    return __atomic_load_n(&self->stop, __ATOMIC_ACQUIRE);
}

static void stop(shared *self)
{
    __atomic_store_n(&self->stop, 1, __ATOMIC_RELEASE);
}

static unsigned sleepers(shared *self)
{
    return atomic_load(&self->lock.sleepers);
}

/* ---- The lock ---- */

/* Yields the processor now and then while it has the lock, so that others sleep. */
static void *change(void *context)
{
    shared *const self = context;
    for (int round = 0; round < ROUNDS; round++) {
        thread_lock_take(&self->lock);
        self->one++;
        if (round % 64 == 0)
            sched_yield();
        self->other++;
        thread_lock_give(&self->lock);
    }
    return NULL;
}

static void *compare(void *context)
{
    shared *const self = context;
    for (int round = 0; round < ROUNDS; round++) {
        const bool alone = thread_lock_share(&self->lock);
        if (round % 64 == 0)
            sched_yield();
        require(self->one == self->other);
        thread_lock_unshare(&self->lock, alone);
    }
    return NULL;
}

static void nobody_is_let_in_with_one_who_holds_it_alone(void **state)
{
    shared *const self = *state;
    pthread_t threads[2 * THREADS];
    for (int i = 0; i < THREADS; i++) {
        threads[2 * i] = start(change, self);
        threads[2 * i + 1] = start(compare, self);
    }
    join(threads, 2 * THREADS);
    assert_int_equal(self->one, THREADS * ROUNDS);
    assert_int_equal(sleepers(self), 0);
    assert_true(thread_lock_try(&self->lock));
    thread_lock_give(&self->lock);
}

static void *take_once(void *context)
{
    shared *const self = context;
    thread_lock_take(&self->lock);
    self->one++;
    thread_lock_give(&self->lock);
    return NULL;
}

static void *share_once(void *context)
{
    shared *const self = context;
    thread_lock_unshare(&self->lock, thread_lock_share(&self->lock));
    return NULL;
}

static void wait_for_sleepers(shared *self, unsigned count)
{
    while (sleepers(self) < count)
        sched_yield();
}

static void a_thread_that_sleeps_is_woken(void **state)
{
    shared *const self = *state;
    for (int round = 0; round < 100; round++) {
        thread_lock_take(&self->lock);
        const pthread_t threads[] = {start(take_once, self), start(share_once, self), start(take_once, self),
                                     start(share_once, self)};
        wait_for_sleepers(self, 4);
        assert_false(thread_lock_try(&self->lock));
        thread_lock_give(&self->lock);
        join(threads, 4);
    }
    assert_int_equal(self->one, 200);
}

/* The state shortly after another thread was in the way. */
static void share_in_crowd(shared *self)
{
    atomic_store(&self->lock.crowd, 2);
    assert_false(thread_lock_share(&self->lock));
}

static void a_lock_that_nobody_else_shares_is_held_alone(void **state)
{
    shared *const self = *state;
    assert_true(thread_lock_share(&self->lock));
    const pthread_t other = start(share_once, self);
    wait_for_sleepers(self, 1);
    thread_lock_unshare(&self->lock, true);
    join(&other, 1);
    /* From now on they share it, */
    for (unsigned left = atomic_load(&self->lock.crowd); left > 0; left--) {
        assert_false(thread_lock_share(&self->lock));
        thread_lock_unshare(&self->lock, false);
    }
    /* and after a long time without contention one thread holds it alone again. */
    assert_true(thread_lock_share(&self->lock));
    thread_lock_unshare(&self->lock, true);
}

static void the_last_of_several_who_share_it_wakes(void **state)
{
    shared *const self = *state;
    share_in_crowd(self);
    assert_false(thread_lock_share(&self->lock));
    const pthread_t taker = start(take_once, self);
    wait_for_sleepers(self, 1);
    thread_lock_unshare(&self->lock, false);
    assert_int_equal(sleepers(self), 1);
    thread_lock_unshare(&self->lock, false);
    join(&taker, 1);
    assert_int_equal(self->one, 1);
}

/* The holders overlap: there is always at least one. */
static void *share_on_and_on(void *context)
{
    shared *const self = context;
    while (!stopped(self)) {
        const bool alone = thread_lock_share(&self->lock);
        for (int i = 0; i < 20; i++)
            sched_yield();
        thread_lock_unshare(&self->lock, alone);
    }
    return NULL;
}

static void those_who_share_it_in_turn_starve_nobody(void **state)
{
    shared *const self = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(share_on_and_on, self);
    for (int round = 0; round < 20; round++)
        take_once(self);
    stop(self);
    join(threads, THREADS);
    assert_int_equal(self->one, 20);
}

static void *take_on_and_on(void *context)
{
    shared *const self = context;
    while (!stopped(self)) {
        thread_lock_take(&self->lock);
        for (int i = 0; i < 1000; i++)
            __atomic_fetch_add(&self->looks, 1, __ATOMIC_RELAXED);
        thread_lock_give(&self->lock);
    }
    return NULL;
}

static void those_who_hold_it_alone_in_turn_starve_nobody(void **state)
{
    shared *const self = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(take_on_and_on, self);
    for (int round = 0; round < 1000; round++) {
        share_once(self);
        take_once(self);
    }
    stop(self);
    join(threads, THREADS);
    assert_int_equal(self->one, 1000);
    assert_int_equal(sleepers(self), 0);
    assert_true(thread_lock_try(&self->lock));
}

static unsigned hurried(shared *self)
{
    pthread_mutex_lock(&self->lock.mutex);
    const unsigned count = self->lock.hurried;
    pthread_mutex_unlock(&self->lock.mutex);
    return count;
}

static void *share_until_stopped(void *context)
{
    shared *const self = context;
    const bool alone = thread_lock_share(&self->lock);
    while (!stopped(self))
        sched_yield();
    thread_lock_unshare(&self->lock, alone);
    return NULL;
}

static void the_lock_is_reserved_for_one_who_was_woken_in_vain(void **state)
{
    shared *const self = *state;
    thread_lock_take(&self->lock);
    const pthread_t sleeper = start(share_until_stopped, self);
    wait_for_sleepers(self, 1);
    while (hurried(self) == 0) {
        emi_thread_lock_wake(&self->lock);
        sched_yield();
    }
    thread_lock_give(&self->lock);
    assert_false(thread_lock_try(&self->lock)); /* the sleeper owns it from now on, awake or not */
    stop(self);
    join(&sleeper, 1);
    assert_true(thread_lock_try(&self->lock));
}

/* ---- Pins ---- */

/* Memory stays valid under the pin, though other threads replace and free it all the time. */
static void *look(void *context)
{
    shared *const self = context;
    emmap_pin *const pin = emmap_pin_self();
    require(pin);
    while (!stopped(self)) {
        const uint64_t *const memory = emmap_pin_hold(pin, &self->place);
        if (!memory)
            continue;
        require(*memory == 42);
        emmap_pin_release(pin);
        __atomic_fetch_add(&self->looks, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void *fresh(void)
{
    uint64_t *const memory = malloc(sizeof *memory);
    *memory = 42;
    return memory;
}

static void replace(shared *self, void *memory)
{
    uint64_t *const former = __atomic_exchange_n(&self->place, memory, __ATOMIC_ACQ_REL);
    if (!former)
        return;
    emmap_pin_drain(former);
    *former = 0;
    free(former);
}

static void memory_under_a_pin_stays(void **state)
{
    shared *const self = *state;
    pthread_t threads[THREADS];
    for (int i = 0; i < THREADS; i++)
        threads[i] = start(look, self);
    while (__atomic_load_n(&self->looks, __ATOMIC_RELAXED) < ROUNDS) {
        replace(self, fresh());
        sched_yield();
        replace(self, NULL);
        replace(self, fresh());
    }
    stop(self);
    join(threads, THREADS);
    replace(self, NULL);
}

int main(void)
{
#define lock_test(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        lock_test(nobody_is_let_in_with_one_who_holds_it_alone),
        lock_test(a_thread_that_sleeps_is_woken),
        lock_test(a_lock_that_nobody_else_shares_is_held_alone),
        lock_test(the_last_of_several_who_share_it_wakes),
        lock_test(those_who_share_it_in_turn_starve_nobody),
        lock_test(those_who_hold_it_alone_in_turn_starve_nobody),
        lock_test(the_lock_is_reserved_for_one_who_was_woken_in_vain),
        lock_test(memory_under_a_pin_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
