#include "wait.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

#include "error.h"
#include "file.h"
#include "mapping.h"
#include "platform.h"
#include "word.h"

enum {
    STACK = 128 << 10, /* bytes, of which a thread touches two pages */
    LOOK_EVERY = 100,  /* ms */
    FIRST_LOOK = 1,    /* ms: where threads can't sleep on words; then it takes twice as long each time */
    IDLE_LOOKS = 50,   /* after so many looks at nothing the watcher ends */
    /* So often in a row the kernel finds another value and a look the expected one: then the handle has another file mapped by
     * now than the one that the thread sleeps on. */
    CHANGES = 1000
};

static const uint64_t millisecond = 1000000; /* ns */
/* How long a thread stays that has nothing to sleep on. */
static const uint64_t idle_time = 5000 * UINT64_C(1000000);

/* Who has ended a wait. */
typedef enum ender {
    ENDED_BY_NOBODY,
    ENDED_BY_ITS_THREAD,
    ENDED_BY_NOTIFY, /* of this process: if the kernel woke its thread too, that was the same notify */
    ENDED_BY_OTHERS  /* if the kernel woke its thread too, that was for somebody else */
} ender;

typedef struct sleeper sleeper;

/* A word, in whichever mapping. */
typedef struct place {
    dev_t device;
    ino_t inode;
    uint64_t offset;
} place;

struct emmap_wait {
    /* These do not change. */
    emmap_file *file;
    emmap_mapping *mapping; /* with a reference, which the file and the memory of the word live by */
    uint64_t position;
    const void *word; /* in that mapping; only the kernel looks at it there */
    int64_t expected;
    uint64_t deadline; /* ns of the monotonic clock; UINT64_MAX: none */
    /* NULL, or the file that is waited for, with a reference, where that is another one than the word's; and whether what it is
     * waited for is there, whatever the word holds. */
    emmap_file *owner;
    wait_is_over *is_over;
    emmap_waiter waiter;
    place place;
    unsigned int forks; /* descriptor_forks when it began */

    atomic_uint references;      /* the door's, the list's, its thread's, the watcher's while it looks */
    platform_sleeper sleeper;    /* its thread's; kicked when somebody else ends it */
    emmap_wait *next, *previous; /* with the lock: the list of all that wait */
    ender ended_by;              /* with the lock */
    bool asleep;                 /* with the lock: its thread sleeps in the kernel, or is about to */
    bool queued;                 /* with the lock: that is certain; it may have been woken by now */
};

/* A thread that sleeps for one wait after the other. */
struct sleeper {
    emmap_wait *wait;        /* with the lock; NULL: it has nothing to do */
    _Atomic(uint32_t) begun; /* counts the waits that it was given */
    sleeper *next;           /* of the idle ones */
};

/* All of this with the lock. No other lock is taken under it, and no function of a door is called under it. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static emmap_wait *first;
static size_t waiting; /* in the list */
static sleeper *idle;
static unsigned int sleepers;
static bool watched;  /* the watcher runs */
static bool has_news; /* a wait began since the watcher has looked */

/* ---- Forks ---- */

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}

static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}

/* The child has none of the threads. It forgets its parent's waits, whose files it can't use. */
static void in_child(void)
{
    first = NULL;
    waiting = 0;
    idle = NULL;
    sleepers = 0;
    watched = false;
    pthread_mutex_unlock(&lock);
}

static void install(void)
{
    pthread_atfork(before_fork, after_fork, in_child);
}

static bool is_inherited(const emmap_wait *self)
{
    return self->forks != descriptor_forks;
}

/* ---- Lifetime ---- */

static void retain(emmap_wait *self)
{
    atomic_fetch_add_explicit(&self->references, 1, memory_order_relaxed);
}

static void release(emmap_wait *self)
{
    /* Release on each decrement, acquire on the last: all accesses come before the free. */
    if (atomic_fetch_sub_explicit(&self->references, 1, memory_order_acq_rel) != 1)
        return;
    mapping_release(self->mapping);
    if (self->owner)
        file_release(self->owner);
    free(self);
}

/* With the lock. False where somebody has ended it before; else the caller has the list's reference. */
static bool take(emmap_wait *self, ender by)
{
    if (self->ended_by != ENDED_BY_NOBODY)
        return false;
    self->ended_by = by;
    if (self->next)
        self->next->previous = self->previous;
    *(self->previous ? &self->previous->next : &first) = self->next;
    waiting--;
    if (by != ENDED_BY_ITS_THREAD && self->asleep) {
        /* The kernel compares the kick as it puts the thread to sleep: either it finds the new one, or the thread sleeps
         * already and is woken. */
        atomic_fetch_add(&self->sleeper.kick, 1);
        platform_word_wake(&self->sleeper.kick, 1, true);
    }
    return true;
}

/* Tells the door, and gives the list's reference back. Without the lock. */
static void tell(emmap_wait *self, emmap_error result)
{
    /* What the owner says counts: where it is open it has another word by now. */
    if (self->owner && (result == EMMAP_OK || result == EMMAP_CLOSED))
        result = __atomic_load_n(&self->owner->control.status, __ATOMIC_SEQ_CST) & EMMAP_STATUS_CLOSED
                     ? EMMAP_CLOSED
                     : EMMAP_OK;
    self->waiter.done(self->waiter.context, result);
    release(self);
}

static bool end(emmap_wait *self, ender by, emmap_error result)
{
    pthread_mutex_lock(&lock);
    const bool taken = take(self, by);
    pthread_mutex_unlock(&lock);
    if (taken)
        tell(self, result);
    return taken;
}

/* ---- Looks ---- */

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000 + (uint64_t)time.tv_nsec;
}

static uint64_t deadline_of(uint64_t milliseconds)
{
    const uint64_t from = now();
    return milliseconds > (UINT64_MAX - from) / millisecond ? UINT64_MAX : from + milliseconds * millisecond;
}

/* Ends a wait that needs no notify to end; whether it did. */
static bool look_at(emmap_wait *self, ender by)
{
    int64_t value = self->expected;
    /* It looks in the mapping that the file has now: a page of an earlier one may be gone since the file was shortened. It is
     * sequentially consistent, as the stores before a notify are, and sees them. */
    const emmap_error error = emmap_patomic_load(self->file, self->position, &value);
    if (error || value != self->expected)
        return end(self, by, error);
    if (self->is_over && self->is_over(self->owner))
        return end(self, by, EMMAP_OK);
    return self->deadline != UINT64_MAX && now() >= self->deadline && end(self, by, (emmap_error)ETIMEDOUT);
}

/* ---- Notifies ---- */

/* Takes a wait out of the list, and puts it behind others that are to be told. With the lock. */
static void take_to(emmap_wait *self, ender by, emmap_wait ***last)
{
    take(self, by);
    self->next = NULL;
    **last = self;
    *last = &self->next;
}

/* Without the lock. */
static void tell_all(emmap_wait *taken, emmap_error result)
{
    for (emmap_wait *next; taken; taken = next) {
        next = taken->next;
        tell(taken, result);
    }
}

static bool is_for(const emmap_wait *self, const place *place)
{
    return self->place.offset == place->offset && self->place.inode == place->inode &&
           self->place.device == place->device;
}

/* With the lock. Finds out which threads are in the kernel, where platform_word_wake reaches them, and keeps the others from
 * getting there. */
static void sort_sleepers(const place *place)
{
    for (emmap_wait *each = first; each; each = each->next) {
        if (!each->asleep || each->queued || !is_for(each, place))
            continue;
        const platform_sleeps sleeps = platform_word_sleeps(&each->sleeper);
        each->queued = sleeps == PLATFORM_ASLEEP;
        each->asleep = sleeps != PLATFORM_AWAKE;
    }
}

/* With the lock. The next one who has waited longer. */
static emmap_wait *longest(void)
{
    emmap_wait *each = first;
    while (each && each->next)
        each = each->next;
    return each;
}

/*
 * Wakes up to `count` of those who wait for a word, and answers how many: first those whose threads the kernel has, of all
 * processes, then those of this process whose threads are still on their way. `word` is where it is in memory.
 */
static uint64_t wake(const void *word, const place *place, uint64_t count)
{
    emmap_wait *taken = NULL, **last = &taken;
    if (count == 0)
        return 0;
    pthread_mutex_lock(&lock);
    sort_sleepers(place);
    uint64_t woken = platform_word_wake(word, count < INT_MAX ? (int)count : INT_MAX, false);
    if (woken < count) {
        uint64_t left = count - woken;
        for (emmap_wait *each = longest(), *later; each; each = later) {
            later = each->previous;
            /* One that is queued has been woken. One that may be or not has been counted, or is counted too little. */
            if (!is_for(each, place) || each->queued || (!each->asleep && left == 0))
                continue;
            left -= !each->asleep;
            /* A thread that is on its way may be reached as it turns back: it then has another one's notify. */
            take_to(each, each->asleep ? ENDED_BY_NOTIFY : ENDED_BY_OTHERS, &last);
        }
        woken = count - left;
    }
    pthread_mutex_unlock(&lock);
    tell_all(taken, EMMAP_OK);
    return woken;
}

/* ---- The threads that sleep ---- */

/* Its thread was woken for a wait that others have ended in the same moment: the next one gets the notify. */
static void pass_on(const emmap_wait *self)
{
    wake(self->word, &self->place, 1);
}

/* With what the thread's own words hold; false where the wait has ended. */
static bool fall_asleep(emmap_wait *self, uint32_t seen[2])
{
    pthread_mutex_lock(&lock);
    const bool goes_on = self->ended_by == ENDED_BY_NOBODY;
    self->asleep = goes_on;
    self->queued = false;
    seen[0] = atomic_load(&self->sleeper.kick);
    seen[1] = atomic_load(&self->sleeper.guard);
    pthread_mutex_unlock(&lock);
    return goes_on;
}

/* Leaves the wait, if it goes on, to the watcher: the kernel does not let threads sleep on this memory. */
static void leave(emmap_wait *self)
{
    pthread_mutex_lock(&lock);
    self->asleep = false;
    pthread_mutex_unlock(&lock);
}

static void was_notified(emmap_wait *self)
{
    pthread_mutex_lock(&lock);
    const bool taken = take(self, ENDED_BY_ITS_THREAD);
    const ender by = self->ended_by;
    pthread_mutex_unlock(&lock);
    if (taken)
        tell(self, EMMAP_OK);
    else if (by == ENDED_BY_OTHERS)
        pass_on(self);
}

static void sleep_for(emmap_wait *self)
{
    uint32_t seen[2];
    for (int changes = 0; changes < CHANGES && fall_asleep(self, seen);) {
        /* An old kernel compares half of the word only: this leaves it a microsecond in which the other one may change. */
        if (look_at(self, ENDED_BY_ITS_THREAD))
            return;
        switch (platform_word_sleep(self->word, self->expected, &self->sleeper, seen, self->deadline)) {
        case PLATFORM_SLEEP_WOKEN:
            was_notified(self);
            return;
        case PLATFORM_SLEEP_REFUSED:
            changes = CHANGES;
            break;
        case PLATFORM_SLEEP_CHANGED:
            changes += seen[1] == atomic_load(&self->sleeper.guard);
            break;
        case PLATFORM_SLEEP_OVER:
            changes = 0;
            break;
        }
    }
    leave(self);
}

/* With the lock. Takes the thread out of the idle ones; false where it has been given something to do. */
static bool retire(sleeper *self)
{
    if (self->wait)
        return false;
    sleeper **place = &idle;
    while (*place != self)
        place = &(*place)->next;
    *place = self->next;
    sleepers--;
    return true;
}

/* The next wait, or NULL when none has come for a while. */
static emmap_wait *next_wait(sleeper *self)
{
    const uint64_t deadline = now() + idle_time;
    pthread_mutex_lock(&lock);
    self->wait = NULL;
    self->next = idle;
    idle = self;
    while (!self->wait) {
        const uint32_t seen = atomic_load(&self->begun);
        pthread_mutex_unlock(&lock);
        const bool is_over = !platform_word_rest(&self->begun, seen, deadline);
        pthread_mutex_lock(&lock);
        if (is_over && retire(self))
            break;
    }
    emmap_wait *const wait = self->wait;
    pthread_mutex_unlock(&lock);
    return wait;
}

static void *run_sleeper(void *context)
{
    sleeper *const self = context;
    emmap_wait *wait = self->wait;
    while (wait) {
        sleep_for(wait);
        release(wait);
        wait = next_wait(self);
    }
    free(self);
    return NULL;
}

/* Starts a thread that takes no signals but those that its own instructions cause. */
static bool start(void *(*body)(void *), void *context)
{
    static const int own[] = {SIGBUS, SIGSEGV, SIGFPE, SIGILL, SIGTRAP, SIGABRT};
    sigset_t blocked, before;
    pthread_attr_t attributes;
    pthread_t thread;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        sigdelset(&blocked, own[i]);
    if (pthread_attr_init(&attributes) != 0)
        return false;
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attributes, STACK);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    int error = pthread_create(&thread, &attributes, body, context);
    if (error == EINVAL) /* a system where a stack has to be larger */
        error = pthread_attr_setstacksize(&attributes, 8 * STACK) == 0
                    ? pthread_create(&thread, &attributes, body, context)
                    : error;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

/* With the lock. False where there is no thread to be had. */
static bool give_to_sleeper(emmap_wait *wait)
{
    sleeper *self = idle;
    if (self) {
        idle = self->next;
        self->wait = wait;
        atomic_fetch_add(&self->begun, 1);
        platform_word_wake(&self->begun, 1, true);
    } else {
        if (sleepers >= EMMAP_WAIT_LIMIT || !(self = calloc(1, sizeof *self)))
            return false;
        self->wait = wait;
        if (!start(run_sleeper, self)) {
            free(self);
            return false;
        }
        sleepers++;
    }
    retain(wait);
    return true;
}

/* ---- The watcher ---- */

/* With the lock. The waits that there are, with a reference each; NULL where there is no memory. */
static emmap_wait **all_waits(size_t *count)
{
    emmap_wait **const all = malloc((waiting + 1) * sizeof(emmap_wait *));
    *count = 0;
    for (emmap_wait *each = first; all && each; each = each->next) {
        retain(each);
        all[(*count)++] = each;
    }
    return all;
}

static void look_at_all(void)
{
    size_t count;
    pthread_mutex_lock(&lock);
    emmap_wait **const all = all_waits(&count);
    pthread_mutex_unlock(&lock);
    for (size_t i = 0; i < count; i++) {
        (void)look_at(all[i], ENDED_BY_OTHERS);
        release(all[i]);
    }
    free(all);
}

/* Whether the watcher is to go on. */
static bool is_needed(unsigned int *looks_at_nothing, long *pause)
{
    pthread_mutex_lock(&lock);
    *looks_at_nothing = first ? 0 : *looks_at_nothing + 1;
    watched = *looks_at_nothing < IDLE_LOOKS;
    const bool goes_on = watched;
    if (platform_word_can_sleep() || (*pause *= 2) > LOOK_EVERY)
        *pause = LOOK_EVERY;
    if (has_news && !platform_word_can_sleep())
        *pause = FIRST_LOOK;
    has_news = false;
    pthread_mutex_unlock(&lock);
    return goes_on;
}

static void *run_watcher(void *context)
{
    (void)context;
    unsigned int looks_at_nothing = 0;
    long pause = FIRST_LOOK;
    while (is_needed(&looks_at_nothing, &pause)) {
        nanosleep(&(struct timespec){0, pause * (long)millisecond}, NULL);
        look_at_all();
    }
    return NULL;
}

/* With the lock. */
static bool watch(void)
{
    has_news = true;
    if (!watched)
        watched = start(run_watcher, NULL);
    return watched;
}

/* ---- For doors ---- */

/* The mapping that the word is in, with a reference, once the word holds what was expected. Errors: EAGAIN where it does
 * not; word_begin's. */
static emmap_error find_word(emmap_file *file, uint64_t position, const int64_t *expected,
                             emmap_mapping **mapping, const void **result)
{
    visit visit;
    word *word;
    const emmap_error error = word_begin(file, position, false, &visit, &word);
    if (error)
        return error;
    const bool differs = expected && atomic_load(word) != *expected;
    *mapping = visit.mapping;
    *result = word;
    if (!differs)
        mapping_retain(visit.mapping);
    const emmap_error fault = visit_end(file, &visit);
    if (fault && !differs)
        mapping_release(*mapping);
    return fault     ? fault
           : differs ? error_set((emmap_error)EAGAIN, "the word holds another value")
                     : EMMAP_OK;
}

/* Which word of which file a handle's position means. */
static place identify(emmap_file *file, uint64_t position)
{
    if (file->options.flags & EMMAP_OPEN_ANON)
        return (place){0, (ino_t)(uintptr_t)file, position};
    pthread_mutex_lock(&file->state);
    const place result = {file->device, file->inode, file->options.offset + position};
    pthread_mutex_unlock(&file->state);
    return result;
}

static bool shows_its_own_bytes(const emmap_file *file)
{
    return (file->options.flags & EMMAP_OPEN_PRIVATE) && (file->options.flags & EMMAP_OPEN_WRITE);
}

/* Enters a wait into the list, and has a thread sleep for it. Errors: EMMAP_CLOSED, ENOMEM. */
static emmap_error begin(emmap_wait *self)
{
    emmap_error error = EMMAP_OK;
    pthread_mutex_lock(&lock);
    /* emmap_close sets the word first and then takes the lock: one of the two sees the other. */
    if (__atomic_load_n(&self->file->control.status, __ATOMIC_SEQ_CST) & EMMAP_STATUS_CLOSED)
        error = EMMAP_CLOSED;
    else if (!watch() || (platform_word_can_sleep() && !give_to_sleeper(self)))
        error = (emmap_error)ENOMEM;
    if (!error) {
        self->next = first;
        if (first)
            first->previous = self;
        first = self;
        waiting++;
    }
    pthread_mutex_unlock(&lock);
    return error ? error_set(error, error == EMMAP_CLOSED
                                        ? NULL
                                        : "1024 waits go on in this process, or it gets no thread")
                 : EMMAP_OK;
}

emmap_error wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                       emmap_file *owner, wait_is_over *is_over, const emmap_waiter *waiter,
                       emmap_wait **result)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, install);
    emmap_mapping *mapping;
    const void *word;
    *result = NULL;
    emmap_error error = find_word(file, position, &expected, &mapping, &word);
    if (error)
        return error;
    emmap_wait *self = NULL;
    if (shows_its_own_bytes(file))
        error = error_set((emmap_error)EINVAL, "nobody else changes the bytes of a private mapping");
    else if (timeout == 0)
        error = error_set((emmap_error)ETIMEDOUT, NULL);
    else if (!(self = calloc(1, sizeof *self)))
        error = error_set((emmap_error)ENOMEM, NULL);
    if (error) {
        mapping_release(mapping);
        return error;
    }
    *self = (emmap_wait){.file = file,
                         .mapping = mapping,
                         .position = position,
                         .word = word,
                         .expected = expected,
                         .deadline = deadline_of(timeout),
                         .owner = owner,
                         .is_over = is_over,
                         .waiter = *waiter,
                         .place = identify(file, position),
                         .forks = descriptor_forks};
    atomic_init(&self->references, 2); /* the caller's and the list's */
    if (owner)
        file_retain(owner);
    *result = self;
    error = begin(self);
    if (error) {
        *result = NULL;
        mapping_release(mapping);
        if (owner)
            file_release(owner);
        free(self);
    }
    return error;
}

emmap_error emmap_wait_begin(emmap_file *file, uint64_t position, int64_t expected, uint64_t timeout,
                             const emmap_waiter *waiter, emmap_wait **result)
{
    return wait_begin(file, position, expected, timeout, NULL, NULL, waiter, result);
}

bool emmap_wait_cancel(emmap_wait *self)
{
    /* Its thread is the parent's, which never calls the child's door. */
    if (is_inherited(self))
        return true;
    pthread_mutex_lock(&lock);
    const bool taken = take(self, ENDED_BY_OTHERS);
    pthread_mutex_unlock(&lock);
    if (taken)
        release(self);
    return taken;
}

void emmap_wait_free(emmap_wait *self)
{
    if (!self || is_inherited(self))
        return;
    emmap_wait_cancel(self);
    release(self);
}

void wait_end_all(emmap_file *file)
{
    emmap_wait *taken = NULL, **last = &taken;
    pthread_mutex_lock(&lock);
    for (emmap_wait *each = first, *next; each; each = next) {
        next = each->next;
        if (each->file == file)
            take_to(each, ENDED_BY_OTHERS, &last);
    }
    pthread_mutex_unlock(&lock);
    tell_all(taken, EMMAP_CLOSED);
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
    const place where = identify(file, position);
    const uint64_t reached = wake(word, &where, count);
    mapping_release(mapping);
    if (woken)
        *woken = reached;
    return EMMAP_OK;
}
