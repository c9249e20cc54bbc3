/*
 * Pins keep a file's mapping in place for the length of a short call, without writing to memory that threads
 * share: each thread says in a record of its own which mapping it is using (hazard pointers: M. Michael, "Hazard
 * Pointers: Safe Memory Reclamation for Lock-Free Objects", 2004), and whoever takes a mapping away waits until
 * no record names it. A reference count would cost two locked instructions a call; a pin costs two plain stores,
 * because the fence that the reader would need is imposed on it by the rare writer (fence.h).
 *
 * A thread holds one pin at a time and waits for no lock while it does, but for that of the loans. Doors pin memory of
 * their own in the same way (emmap_pin_hold).
 */
#ifndef EMMAP_CORE_PIN_H
#define EMMAP_CORE_PIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "emmap.h"
#include "fence.h"

typedef struct pin {
    emmap_pin shown; /* an emmap_mapping, or a door's memory */
    struct pin *next;
    atomic_bool used;
    /* Records of two threads share no pair of cache lines. */
    char padding[128 - sizeof(emmap_pin) - sizeof(void *) - sizeof(atomic_bool)];
} pin_t;

/* Thread-local storage by offset from the thread pointer: glibc keeps room for libraries loaded later, and a
 * call of __tls_get_addr would cost as much as the pin. Other libcs have no such room. */
#if defined(__GLIBC__) && defined(__linux__)
#define PIN_TLS __attribute__((tls_model("initial-exec")))
#else
#define PIN_TLS
#endif

extern _Thread_local pin_t *emi_pin_mine PIN_TLS;

/* Once before the first pin. */
void emi_pin_install(void);

/* The calling thread's record, made at its first call and given back when the thread ends. NULL: no memory. */
pin_t *emi_pin_register(void);

static inline pin_t *pin_self(void)
{
    return emi_pin_mine ? emi_pin_mine : emi_pin_register();
}

/* Shows that the thread is about to use `memory`, if what it loads next from where it found it is still the same. */
static inline void pin_show(pin_t *self, const void *memory)
{
    __atomic_store_n(&self->shown.held, memory, __ATOMIC_RELAXED);
    /* Pairs with emi_pin_drain's fence. */
    fence_light();
}

/* The mapping that *place holds, held there until pin_release; NULL if there is none. */
static inline emmap_mapping *pin_hold(pin_t *self, _Atomic(emmap_mapping *) *place)
{
    emmap_mapping *mapping = atomic_load_explicit(place, memory_order_acquire);
    for (;;) {
        pin_show(self, mapping);
        emmap_mapping *const again = atomic_load_explicit(place, memory_order_acquire);
        if (again == mapping)
            return mapping;
        mapping = again;
    }
}

static inline void pin_release(pin_t *self)
{
    emmap_pin_release(&self->shown);
}

/* Returns when no thread holds a pin on `memory`, which must be out of its place already. */
void emi_pin_drain(const void *memory);

#endif
