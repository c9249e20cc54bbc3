#define _GNU_SOURCE
#include "fault.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "error.h"
#include "fence.h"
#include "platform.h"

/*
 * A truncated file faults once per page, and each replaced page can split a mapping into three. The kernel
 * limits the mappings of a process (vm.max_map_count). So single pages have a budget: REGION_SINGLES for a
 * region; for all regions together PROCESS_SINGLES or a 16th of the limit, if that is less. Past the budget
 * the handler replaces the rest of the region at once, which splits it at most once more.
 */
#define REGION_SINGLES 1024u
#define PROCESS_SINGLES 4096u

/* At the limit of mappings every mmap fails, even one that adds none. So the handler keeps spare mappings
 * that it can give up. Neighbours have different protections, or they would be one mapping. */
#define SPARE_MAPPINGS 16u

/* How often a handler tries to get the spare mappings while another thread's handler uses them. */
#define SPARE_ATTEMPTS 1000

/* A signal handler reads regions without a lock, so they are never freed: a forgotten one waits in a list for
 * the next mapping. `version` is odd while the fields change (a seqlock; its writers hold `writers`). */
struct fault_region {
    struct fault_region *next;
    atomic_uint version;
    atomic_uintptr_t base;
    atomic_size_t length;
    atomic_size_t unit;
    _Atomic(uint32_t *) status;
    atomic_uint singles;            /* pages replaced one by one; also counted in `all_singles` */
    struct fault_region *next_free; /* under `writers` */
};

static _Atomic(fault_region_t *) regions;
static fault_region_t *free_regions; /* under `writers` */
static pthread_mutex_t writers = PTHREAD_MUTEX_INITIALIZER;

static atomic_uint all_singles;
static unsigned int most_singles;
static _Atomic(void *) spare; /* NULL while a handler uses it, and without memory */
static size_t spare_page;

static struct sigaction previous;
static pthread_once_t install_once = PTHREAD_ONCE_INIT;
static int install_errno;

static void set(fault_region_t *region, uintptr_t base, size_t length, size_t unit, uint32_t *status)
{
    atomic_fetch_add_explicit(&region->version, 1, memory_order_acq_rel);
    atomic_store_explicit(&region->base, base, memory_order_release);
    atomic_store_explicit(&region->length, length, memory_order_release);
    atomic_store_explicit(&region->unit, unit, memory_order_release);
    atomic_store_explicit(&region->status, status, memory_order_release);
    atomic_fetch_sub_explicit(&all_singles, atomic_exchange(&region->singles, 0), memory_order_relaxed);
    atomic_fetch_add_explicit(&region->version, 1, memory_order_release);
}

/* Puts zeros in place of the mapping. Async-signal-safe. Always writable, since the pages may have been made
 * so (emmap_slice_copy_on_write). Private memory counts against RLIMIT_DATA; shared memory is the second try. */
static bool put_zeros(uintptr_t base, size_t length)
{
    const int protection = PROT_READ | PROT_WRITE;
    const int flags = MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE;
    return mmap((void *)base, length, protection, flags | MAP_PRIVATE, -1, 0) != MAP_FAILED ||
           mmap((void *)base, length, protection, flags | MAP_SHARED, -1, 0) != MAP_FAILED;
}

/* Makes as many mappings as it can. Async-signal-safe. */
static void make_spare(void)
{
    void *const made = mmap(NULL, SPARE_MAPPINGS * spare_page, PROT_NONE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (made == MAP_FAILED)
        return;
    for (size_t i = 1; i < SPARE_MAPPINGS; i += 2)
        (void)mprotect((uint8_t *)made + i * spare_page, spare_page, PROT_READ);
    void *none = NULL;
    if (!atomic_compare_exchange_strong(&spare, &none, made))
        munmap(made, SPARE_MAPPINGS * spare_page);
}

/* Replaces the whole region, which leaves fewer mappings than before. Async-signal-safe. */
static bool put_zeros_at_limit(uintptr_t base, size_t length)
{
    bool done = false;
    for (int attempt = 0; !done && attempt < SPARE_ATTEMPTS; attempt++) {
        void *const given_up = atomic_exchange(&spare, NULL);
        if (given_up)
            munmap(given_up, SPARE_MAPPINGS * spare_page);
        done = put_zeros(base, length);
        if (given_up)
            make_spare();
        if (!done)
            sched_yield();
    }
    return done;
}

/* True if the budget has room for one more page. */
static bool take_single(fault_region_t *region)
{
    if (atomic_load_explicit(&all_singles, memory_order_relaxed) >= most_singles ||
        atomic_load_explicit(&region->singles, memory_order_relaxed) >= REGION_SINGLES)
        return false;
    /* Threads that fault at the same time may exceed the budget by a page each. */
    atomic_fetch_add_explicit(&all_singles, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&region->singles, 1, memory_order_relaxed);
    return true;
}

/* Replaces the page that holds `address`, if it is in the region. Async-signal-safe. */
static bool serve(fault_region_t *region, uintptr_t address)
{
    const unsigned int version = atomic_load_explicit(&region->version, memory_order_acquire);
    const uintptr_t base = atomic_load_explicit(&region->base, memory_order_acquire);
    const size_t length = atomic_load_explicit(&region->length, memory_order_acquire);
    const size_t unit = atomic_load_explicit(&region->unit, memory_order_acquire);
    uint32_t *const status = atomic_load_explicit(&region->status, memory_order_acquire);
    /* The faulting access keeps its own region unchanged. Only another region can be changing now. */
    if (version % 2 != 0 || atomic_load_explicit(&region->version, memory_order_relaxed) != version)
        return false;
    if (address < base || address - base >= length)
        return false;

    /* Before the page changes: a thread that reads the new page must find the word set. */
    __atomic_fetch_or(status, EMMAP_STATUS_FAULTED, __ATOMIC_SEQ_CST);
    /* A thread that stores to the new page must find the word set, too, although it makes no full fence
     * between the store and the load of the word (copy.c). */
    emi_fence_heavy();
    const uintptr_t page = address - (address - base) % unit;
    return (take_single(region) && put_zeros(page, unit)) || put_zeros(page, base + length - page) ||
           put_zeros_at_limit(base, length);
}

static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal_number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal_number);
    } else if (previous.sa_handler == SIG_DFL || info->si_code > 0) {
        /* The kernel does not let a real fault be ignored either. The instruction runs again and ends the
         * process. A signal that was sent has to be sent again. */
        signal(signal_number, SIG_DFL);
        if (info->si_code <= 0)
            raise(signal_number);
    }
}

static void on_sigbus(int signal_number, siginfo_t *info, void *context)
{
    const int saved = errno;
    bool served = false;
    if (emi_platform_page_is_gone(info))
        for (fault_region_t *region = atomic_load_explicit(&regions, memory_order_acquire); region && !served;
             region = region->next)
            served = serve(region, (uintptr_t)info->si_addr);
    if (!served)
        pass_on(signal_number, info, context);
    errno = saved;
}

static void lock_writers(void)
{
    pthread_mutex_lock(&writers);
}

static void unlock_writers(void)
{
    pthread_mutex_unlock(&writers);
}

/* A mapping keeps its file open, and with it the locks of its opener. So a child gets zeros in its place, and
 * EFAULT. */
static void let_go(fault_region_t *region)
{
    uint32_t *const status = atomic_load_explicit(&region->status, memory_order_relaxed);
    if (!status)
        return;
    __atomic_fetch_or(status, EMMAP_STATUS_FAULTED, __ATOMIC_SEQ_CST);
    void *const base = (void *)atomic_load_explicit(&region->base, memory_order_relaxed);
    const size_t length = atomic_load_explicit(&region->length, memory_order_relaxed);
    if (!put_zeros((uintptr_t)base, length) && !put_zeros_at_limit((uintptr_t)base, length))
        munmap(base, length);
}

static void in_child(void)
{
    for (fault_region_t *each = atomic_load(&regions); each; each = each->next)
        let_go(each);
    unlock_writers();
}

void emi_fault_unblock(void)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void install(void)
{
    const unsigned int share = emi_platform_mapping_limit() / 16;
    most_singles = share < PROCESS_SINGLES ? share : PROCESS_SINGLES;
    spare_page = emi_platform_page_size();
    make_spare();
    struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    install_errno = sigaction(SIGBUS, &action, &previous) == 0 ? 0 : errno;
    /* If a child is forked while another thread holds the lock, it could never open a file. */
    if (install_errno == 0)
        install_errno = pthread_atfork(lock_writers, unlock_writers, in_child);
}

emmap_error emi_fault_install(void)
{
    emi_fence_install();
    pthread_once(&install_once, install);
    errno = install_errno;
    return install_errno == 0 ? EMMAP_OK : emi_error_from_errno("sigaction");
}

fault_region_t *emi_fault_watch(void *base, size_t length, size_t unit, uint32_t *status)
{
    pthread_mutex_lock(&writers);
    fault_region_t *region = free_regions;
    if (region) {
        free_regions = region->next_free;
    } else if ((region = calloc(1, sizeof *region)) != NULL) {
        region->next = atomic_load_explicit(&regions, memory_order_relaxed);
        atomic_store_explicit(&regions, region, memory_order_release);
    }
    if (region)
        set(region, (uintptr_t)base, length, unit, status);
    pthread_mutex_unlock(&writers);
    return region;
}

void emi_fault_forget(fault_region_t *region)
{
    pthread_mutex_lock(&writers);
    set(region, 0, 0, 1, NULL);
    region->next_free = free_regions;
    free_regions = region;
    pthread_mutex_unlock(&writers);
}
