/*
 * An open file, with which every operation begins.
 *
 * Ownership: the caller of emmap_open owns one reference to the file, and each mapping owns one. Until it is
 * closed the file owns a reference to its current mapping and one to its descriptor. A slice owns one to its
 * mapping.
 *
 * Order of locks: cursor, bytes, resize, a pin, loans. `state` is taken alone.
 *
 * In a forked child any of them may be held by a thread that the child does not have. So every operation
 * calls file_owned before it takes a lock. Close and release, which a child may call, take none.
 */
#ifndef EMMAP_CORE_FILE_H
#define EMMAP_CORE_FILE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/types.h>

#include "descriptor.h"
#include "emmap.h"
#include "loans.h"
#include "pin.h"
#include "thread_lock.h"

struct emmap_file {
    emmap_control control;
    _Atomic(emmap_mapping *) mapping;      /* NULL once closed, and while `resize` replaces it */
    uint64_t counters;                     /* the number of counters, in a counters file */
    _Atomic(struct container *) container; /* a queue or block storage; NULL: neither. Set once */
    emmap_options options;                 /* settled; never changes */
    loans_t loans;                         /* live slices */
    thread_lock_t bytes;                   /* for copies: reads share it, a write holds it alone */
    pthread_mutex_t cursor;                /* for control.cursor */
    pthread_mutex_t resize;                /* for replacing the mapping, except by close */
    pthread_mutex_t state;                 /* for `descriptor` */
    thread_lock_t attaching;               /* for setting `container`; before all others */
    descriptor_t *descriptor;              /* NULL once closed */
    atomic_uint references;
    unsigned int forks; /* emi_descriptor_forks when it was opened */
    bool existed;
    atomic_bool entry_unsynced; /* created here, and its directory entry may not be on the disk yet */
    atomic_uint files;          /* how often the handle has switched to another file */
    atomic_int sync_failed;     /* the error of the first sync that failed; 0: none */
    dev_t device;
    ino_t inode;
    char *path;     /* as given */
    char *named;    /* the same as an absolute path, which a later chdir does not change; NULL: no path */
    char *absolute; /* the resolved path of a created or auto_unlink file; else NULL */
};

/* Creates a handle for a file that is not open yet, with one reference. Errors: ENOMEM. */
emmap_error emi_file_create(const char *path, const emmap_options *options, emmap_file **result);

void emi_file_retain(emmap_file *file);
void emi_file_release(emmap_file *file);

/* The descriptor, with a reference for the caller. Errors: EMMAP_CLOSED; EFAULT as file_owned. */
emmap_error emi_file_descriptor(emmap_file *file, descriptor_t **result);

/* Sequentially consistent: a close sets the word before it looks for what it has to end. */
static inline bool file_is_closed(const emmap_file *file)
{
    return __atomic_load_n(&file->control.status, __ATOMIC_SEQ_CST) & EMMAP_STATUS_CLOSED;
}

static inline bool file_may_write(const emmap_file *file)
{
    return file->options.flags & EMMAP_OPEN_WRITE;
}

/* Whether writes go to a private copy, in which no change of others counts. */
static inline bool file_is_copy(const emmap_file *file)
{
    return (file->options.flags & (EMMAP_OPEN_PRIVATE | EMMAP_OPEN_ANON)) == EMMAP_OPEN_PRIVATE;
}

/* Whether the mapping may have bytes that the file does not have: it is private and may be written. */
static inline bool file_has_own_bytes(const emmap_file *file)
{
    return (file->options.flags & EMMAP_OPEN_PRIVATE) && file_may_write(file);
}

/* Whether `absolute` still names this file. */
bool emi_file_has_its_name(const emmap_file *file);

/* Whether this process is a forked child of the one that opened the file. */
static inline bool file_inherited(const emmap_file *file)
{
    return file->forks != emi_descriptor_forks;
}

emmap_error emi_file_not_owned(const emmap_file *file);

/* Errors: EFAULT for an inherited handle, or EMMAP_CLOSED if it is closed. */
static inline emmap_error file_owned(const emmap_file *file)
{
    return file_inherited(file) ? emi_file_not_owned(file) : EMMAP_OK;
}

/* EFAULT if a page of the file's mappings has gone away. Called after an access, which then counts as failed. */
emmap_error emi_file_check(const emmap_file *file);

/* Marks the file as faulted, after a truncation that no access has met. */
emmap_error emi_file_fault(emmap_file *file);

static inline bool file_faulted(const emmap_file *file)
{
    return (__atomic_load_n(&file->control.status, __ATOMIC_ACQUIRE) & EMMAP_STATUS_FAULTED) != 0;
}

/* A mapping under a pin. Every short access happens between visit_begin and visit_end. */
typedef struct visit {
    pin_t *pin;
    emmap_mapping *mapping;
} visit_t;

/* Pins the file's mapping, faulted or not. Errors: EMMAP_CLOSED, ENOMEM; EFAULT for an inherited file. */
emmap_error emi_visit_pin(emmap_file *file, visit_t *visit);

/* The slow path of visit_begin. */
emmap_error emi_visit_begin_slowly(emmap_file *file, visit_t *visit);

/* Waits while the mapping is being replaced. Errors: EMMAP_CLOSED, EFAULT, ENOMEM; then there is nothing to
 * end. */
static inline emmap_error visit_begin(emmap_file *file, visit_t *visit)
{
    pin_t *const mine = emi_pin_mine;
    if (mine) {
        emmap_mapping *const mapping = pin_hold(mine, &file->mapping);
        if (mapping && !file_faulted(file)) {
            *visit = (struct visit){mine, mapping};
            return EMMAP_OK;
        }
        pin_release(mine);
    }
    /* Not *visit itself: nobody takes its address then, so the compiler keeps it in registers. */
    struct visit slow = {0};
    const emmap_error error = emi_visit_begin_slowly(file, &slow);
    *visit = slow;
    return error;
}

/* Errors: EFAULT if a page went away during the access. */
static inline emmap_error visit_end(emmap_file *file, visit_t *visit)
{
    pin_release(visit->pin);
    return file_faulted(file) ? emi_file_check(file) : EMMAP_OK;
}

#endif
