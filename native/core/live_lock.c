/*
 * The lock of a live folder. The steps have the names of native/model/lock.pml.
 *
 *   try      swap the word from 0 to this owner
 *   mark     set LIVE_WAITED, and LIVE_HURRIED after a first sleep in vain
 *   sleep    on the word, for a bounded time, unless it has changed
 *   judge    ask the kernel whether the owner's slot is still locked
 *   rob      swap the word from the dead owner to this one
 *   release  swap the word from this owner to 0, or where a handle is hurried to LIVE_HURRIED | LIVE_WAITED, which
 *            only a waiting handle may take
 *   wake     one sleeper if LIVE_WAITED was set; the woken handle is hurried
 *   bury     take a dead owner out of the word, by the next owner of its slot
 *
 * An unfinished change of a dead owner is marked in the file. The next operation completes it, however it got
 * the lock.
 */
#include "live.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <time.h>

#include "error.h"
#include "pause.h"
#include "platform.h"

/* How often a handle tries before it sleeps. An owner mostly has the lock for less than a microsecond. */
enum { TRIES = 100 };

/* ns. The first sleep is short, since a handle that slept in vain becomes hurried. The second one limits how
 * long a death stays unnoticed. */
enum { FIRST_SLEEP = 1000 * 1000, SLEEP = 10 * 1000 * 1000 };

static bool is_free(uint32_t word)
{
    return (word & LIVE_OWNER) == 0;
}

static bool slot_of(uint32_t word, unsigned *slot)
{
    *slot = (word & LIVE_OWNER_SLOT) - 1;
    return *slot < LIVE_SLOTS;
}

bool emi_live_is_dead(const live_t *self, uint32_t owner)
{
    unsigned slot;
    /* A number that belongs to nobody: some process with write permission stored it. Waiting for it would
     * never end. */
    if (!slot_of(owner, &slot))
        return true;
    if (slot == self->slot)
        return false;
    return !emi_lock_byte_is_held(self->fd,
                                  (off_t)(offsetof(live_state_t, slot) + slot * sizeof(live_slot_t)));
}

/* ---- The owner's name ---- */

enum { SENTENCES = 64, SENTENCE = 200 };

/* The reason of a failure outlives call and thread, so it is in static memory. The oldest one is overwritten. */
static char *sentence(void)
{
    static char sentences[SENTENCES][SENTENCE];
    static atomic_uint next;
    return sentences[atomic_fetch_add_explicit(&next, 1, memory_order_relaxed) % SENTENCES];
}

static emmap_error timed_out(const live_t *self, uint32_t word)
{
    unsigned number;
    if (!slot_of(word, &number))
        return emi_error_set(ETIMEDOUT, "another handle or process has had the lock all the time");
    emmap_writer owner;
    emi_live_describe(&self->state->slot[number], &owner);
    const time_t seconds = (time_t)(owner.since / 1000 % UINT64_C(100000000000));
    struct tm date;
    char when[40] = "an unknown time";
    if (gmtime_r(&seconds, &date))
        strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &date);
    char *const text = sentence();
    snprintf(text, SENTENCE,
             "process %" PRIu64 " (%s), which opened the file at %s, has had the lock all the time",
             owner.process, owner.program[0] ? owner.program : "unknown", when);
    return emi_error_set(ETIMEDOUT, text);
}

/* ---- Taking and releasing ---- */

/* Swaps the word if it holds `*now`; otherwise updates `*now`. Acquire: as in live_lock. */
static bool swap(live_t *self, uint32_t *now, uint32_t next)
{
    return atomic_compare_exchange_strong_explicit(&self->state->lock, now, next, memory_order_acquire,
                                                   memory_order_relaxed);
}

/* Lets the processor's other hardware thread, perhaps the owner's, run faster. */
static void spin_hint(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static bool spin(live_t *self)
{
    for (int i = 0; i < TRIES; i++) {
        uint32_t now = atomic_load_explicit(&self->state->lock, memory_order_relaxed);
        if (now == 0 && swap(self, &now, self->me))
            return true;
        spin_hint();
    }
    return false;
}

/* Steps "judge" and "rob". */
static bool rob(live_t *self, uint32_t word)
{
    if (!emi_live_is_dead(self, word))
        return false;
    PAUSE("live_judged");
    /* With LIVE_WAITED in any case: others may sleep. If the word has changed, it has a living owner, or
     * none. */
    return swap(self, &word, self->me | LIVE_WAITED);
}

emmap_error emi_live_lock_slowly(live_t *self, patience_t *patience)
{
    live_slot_t *const mine = &self->state->slot[self->slot];
    atomic_fetch_add_explicit(&mine->waited, 1, memory_order_relaxed);
    if (spin(self))
        return EMMAP_OK;
    const bool may_sleep = patience->limit > 0;
    uint32_t wishes = LIVE_WAITED, slept = 0;
    for (;;) {
        uint32_t now = atomic_load_explicit(&self->state->lock, memory_order_relaxed);
        const bool mine_to_take = !(now & LIVE_HURRIED) || (wishes & LIVE_HURRIED) || !may_sleep;
        if (is_free(now) && mine_to_take) {
            /* Keeps LIVE_WAITED after a sleep: only one sleeper was woken. LIVE_HURRIED goes; hurried handles
             * set it again. */
            if (swap(self, &now, self->me | (now & LIVE_WAITED) | slept))
                return EMMAP_OK;
            continue;
        }
        if (may_sleep && (now & wishes) != wishes) {
            if (!swap(self, &now, now | wishes))
                continue;
            now |= wishes;
            PAUSE("live_marked");
        }
        const uint64_t left = emi_patience_left(patience);
        if (left == 0) {
            if (!is_free(now) && rob(self, now))
                return EMMAP_OK;
            return timed_out(self, now);
        }
        const uint64_t most = wishes & LIVE_HURRIED ? SLEEP : FIRST_SLEEP;
        const bool woken = emi_platform_futex_wait(&self->state->lock, now, left < most ? left : most);
        PAUSE("live_woken");
        wishes |= LIVE_HURRIED;
        slept = LIVE_WAITED;
        if (!woken && !is_free(now) && rob(self, now))
            return EMMAP_OK;
    }
}

/* Sequentially consistent, as live_unlock. */
void emi_live_unlock_waking(live_t *self)
{
    uint32_t now = atomic_load_explicit(&self->state->lock, memory_order_relaxed), next;
    do {
        /* Only if another program wrote to the word. Then it is not this handle's to free. */
        if ((now & LIVE_OWNER) != self->me)
            return;
        next = now & LIVE_HURRIED ? LIVE_HURRIED | LIVE_WAITED : 0;
    } while (!atomic_compare_exchange_weak_explicit(&self->state->lock, &now, next, memory_order_seq_cst,
                                                    memory_order_relaxed));
    PAUSE("live_released");
    if (now & LIVE_WAITED)
        emi_platform_futex_wake(&self->state->lock, 1);
}

static emmap_error lost(void)
{
    return emi_error_set(EFAULT,
                         "the live folder's state was truncated, or its storage failed, under its mapping");
}

emmap_error emi_live_lock_lost(live_t *self)
{
    live_unlock(self);
    return lost();
}

emmap_error emi_live_check(const live_t *self)
{
    (void)atomic_load_explicit(&self->state->lock, memory_order_relaxed);
    return file_faulted(self->file) ? lost() : EMMAP_OK;
}

/* ---- The queue's first message ---- */

bool emi_live_may_pop(live_t *self)
{
    uint32_t owner = atomic_load_explicit(&self->state->taking, memory_order_acquire);
    if (owner == 0 || owner == self->me)
        return true;
    if (!emi_live_is_dead(self, owner))
        return false;
    /* If it has changed, its owner has given it back. Nobody else can take it, since this handle has the
     * lock. */
    atomic_compare_exchange_strong_explicit(&self->state->taking, &owner, 0, memory_order_acquire,
                                            memory_order_relaxed);
    return true;
}

void emi_live_begin_pop(live_t *self)
{
    atomic_store_explicit(&self->state->taking, self->me, memory_order_release);
}

/* Sequentially consistent: it comes before the load of `waited`, as live_unlock. */
void emi_live_end_pop(live_t *self)
{
    uint32_t owner = self->me;
    atomic_compare_exchange_strong_explicit(&self->state->taking, &owner, 0, memory_order_seq_cst,
                                            memory_order_relaxed);
}

/* ---- A slot's next owner ---- */

static bool names(uint32_t word, unsigned slot)
{
    unsigned named;
    return slot_of(word, &named) && named == slot;
}

void emi_live_bury(live_state_t *state, unsigned slot)
{
    uint32_t word = atomic_load_explicit(&state->taking, memory_order_acquire);
    while (names(word, slot) && !atomic_compare_exchange_weak_explicit(
                                    &state->taking, &word, 0, memory_order_acq_rel, memory_order_acquire))
        ;
    atomic_fetch_and(live_bell_word(state, slot), ~live_bell_bit(slot));
    /* Model step "bury". The woken sleepers mark the word again. */
    word = atomic_load_explicit(&state->lock, memory_order_acquire);
    while (names(word, slot))
        if (atomic_compare_exchange_weak_explicit(&state->lock, &word, 0, memory_order_acq_rel,
                                                  memory_order_acquire)) {
            PAUSE("live_buried");
            emi_platform_futex_wake(&state->lock, INT_MAX);
            return;
        }
}
