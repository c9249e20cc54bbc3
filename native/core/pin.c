#include "pin.h"

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>

#include "fault.h"

_Thread_local pin_t *emi_pin_mine PIN_TLS;

/* Records are never freed, since a draining thread may read them. A thread that ends leaves its record to the
 * next one. */
static _Atomic(pin_t *) pins;
static pthread_key_t at_thread_end;
static bool installed;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;

static void give_back(void *record)
{
    pin_t *const mine = record;
    emi_pin_mine = NULL;
    pin_release(mine);
    atomic_store_explicit(&mine->used, false, memory_order_release);
}

/* Only the forking thread lives on in the child. */
static void after_fork(void)
{
    for (pin_t *each = atomic_load(&pins); each; each = each->next)
        if (each != emi_pin_mine) {
            pin_release(each);
            atomic_store(&each->used, false);
        }
}

static void install(void)
{
    emi_fence_install();
    installed =
        pthread_key_create(&at_thread_end, give_back) == 0 && pthread_atfork(NULL, NULL, after_fork) == 0;
}

void emi_pin_install(void)
{
    pthread_once(&install_once, install);
}

static pin_t *reuse(void)
{
    for (pin_t *each = atomic_load_explicit(&pins, memory_order_acquire); each; each = each->next) {
        bool free_one = false;
        if (atomic_compare_exchange_strong(&each->used, &free_one, true))
            return each;
    }
    return NULL;
}

static pin_t *create(void)
{
    pin_t *const record = aligned_alloc(128, sizeof *record);
    if (!record)
        return NULL;
    record->shown = (emmap_pin){.fenced = !emi_fence_asymmetric};
    atomic_init(&record->used, true);
    record->next = atomic_load_explicit(&pins, memory_order_relaxed);
    /* Release: pairs with the acquire of a thread that walks the list. */
    while (!atomic_compare_exchange_weak_explicit(&pins, &record->next, record, memory_order_release,
                                                  memory_order_relaxed))
        ;
    return record;
}

pin_t *emi_pin_register(void)
{
    if (!installed)
        return NULL;
    emi_fault_unblock();
    pin_t *record = reuse();
    if (!record)
        record = create();
    if (record && pthread_setspecific(at_thread_end, record) != 0) {
        give_back(record);
        return NULL;
    }
    emi_pin_mine = record;
    return record;
}

void emi_pin_drain(const void *memory)
{
    /* Now each pin_hold has either shown its record, or will find the memory gone. */
    emi_fence_heavy();
    for (pin_t *each = atomic_load_explicit(&pins, memory_order_acquire); each; each = each->next)
        /* Acquire: pairs with pin_release. It is short: pinned calls copy at most EMMAP_PIECE bytes. */
        while (__atomic_load_n(&each->shown.held, __ATOMIC_ACQUIRE) == memory)
            sched_yield();
}

/* ---- For doors ---- */

emmap_pin *emmap_pin_self(void)
{
    pin_t *const mine = pin_self();
    return mine ? &mine->shown : NULL;
}

void emmap_pin_drain(const void *memory)
{
    emi_pin_drain(memory);
}
