/*
 * Pins keep a file's mapping in place during a short call, without a write to memory that threads share. Each
 * thread records in memory of its own which mapping it uses, and a thread that takes a mapping away waits
 * until no record names it (hazard pointers: M. Michael, "Hazard Pointers: Safe Memory Reclamation for
 * Lock-Free Objects", 2004). A reference count would cost two locked instructions per call, a pin costs two
 * plain stores: the rare writer imposes the fence that the reader needs (fence.h).
 *
 * A thread has one pin at a time. Under it it waits for no lock, except that of the loans. Doors can pin
 * memory of their own (emmap_pin_hold).
 */
#ifndef EMMAP_CORE_PIN_H
#define EMMAP_CORE_PIN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>

#include "emmap.h"
#include "fence.h"

typedef struct pin {
    emmap_pin shown; /* an emmap_mapping, or memory of a door */
    struct pin *next;
    atomic_bool used;
    /* Keeps two threads' records off the same pair of cache lines. */
    char padding[128 - sizeof(emmap_pin) - sizeof(void *) - sizeof(atomic_bool)];
} pin_t;

/* Thread-local storage at a fixed offset from the thread pointer: glibc keeps room for libraries that are
 * loaded later, and a call of __tls_get_addr would cost as much as the pin. Other libcs have no such room. */
#if defined(__GLIBC__) && defined(__linux__)
#define PIN_TLS __attribute__((tls_model("initial-exec")))
#else
#define PIN_TLS
#endif

extern _Thread_local pin_t *emi_pin_mine PIN_TLS;

/* To be called before the first pin. */
void emi_pin_install(void);

/* The calling thread's record, made by its first call and given back when the thread ends. NULL: no memory. */
pin_t *emi_pin_register(void);

static inline pin_t *pin_self(void)
{
    return emi_pin_mine ? emi_pin_mine : emi_pin_register();
}

/* Announces that the thread will use `memory`, if the place where it was found still holds it afterwards. */
static inline void pin_show(pin_t *self, const void *memory)
{
    __atomic_store_n(&self->shown.held, memory, __ATOMIC_RELAXED);
    /* Pairs with emi_pin_drain's fence. */
    fence_light();
}

/* Pins the mapping that *place holds until pin_release. NULL: *place is NULL. */
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

/* Returns when no thread has a pin on `memory`. *place must hold something else already. */
void emi_pin_drain(const void *memory);

#endif
