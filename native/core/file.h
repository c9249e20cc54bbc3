/*
 * The opened file: what every operation begins with.
 *
 * Who owns what: the caller of emmap_open owns one reference on the file, each mapping another. The file owns
 * one reference on its current mapping and one on its descriptor until it is closed. A slice owns one on its
 * mapping.
 *
 * Locks, in the order in which they are taken: cursor, bytes, resize, a pin, loans. `state` is taken alone.
 *
 * A forked child may find any of them held by a thread that it does not have. So every operation asks file_owned before
 * it takes the first one, and what a child may do, close and release, goes without.
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
    _Atomic(emmap_mapping *) mapping;      /* NULL once closed, and while `resize` is held to replace it */
    uint64_t counters;                     /* how many, in a counters file */
    _Atomic(struct container *) container; /* a queue or block storage; NULL: neither. Set once */
    emmap_options options;                 /* settled; never changes */
    loans_t loans;                         /* live slices */
    thread_lock_t bytes;                   /* copies: reads share it, writes hold it alone */
    pthread_mutex_t cursor;                /* control.cursor */
    pthread_mutex_t resize;                /* who may replace the mapping, but for close */
    pthread_mutex_t state;                 /* descriptor */
    thread_lock_t attaching;               /* who may set `structure`; taken before all others */
    descriptor_t *descriptor;              /* NULL once closed */
    atomic_uint references;
    unsigned int forks; /* emi_descriptor_forks when it was opened */
    bool existed;
    atomic_bool entry_unsynced; /* created here, and its directory entry is not yet known to be on disk */
    atomic_uint files;          /* how often another file has become this one's */
    atomic_int sync_failed;     /* what the first sync that failed answered; 0: none has */
    dev_t device;
    ino_t inode;
    char *path;     /* as given */
    char *named;    /* the same from the root on, which a later chdir does not change; NULL: no path */
    char *absolute; /* of a created or auto_unlink file, so that a later chdir does no harm; else NULL */
};

/* A handle of a file that is not open yet, with one reference. Errors: ENOMEM. */
emmap_error emi_file_create(const char *path, const emmap_options *options, emmap_file **result);

void emi_file_retain(emmap_file *file);
void emi_file_release(emmap_file *file);

/* The descriptor with a reference for the caller. Errors: EMMAP_CLOSED; EFAULT as file_owned. */
emmap_error emi_file_descriptor(emmap_file *file, descriptor_t **result);

static inline bool file_may_write(const emmap_file *file)
{
    return file->options.flags & EMMAP_OPEN_WRITE;
}

/* Writes go to a copy that is this handle's own, and nobody else's changes count in it. */
static inline bool file_is_copy(const emmap_file *file)
{
    return (file->options.flags & (EMMAP_OPEN_PRIVATE | EMMAP_OPEN_ANON)) == EMMAP_OPEN_PRIVATE;
}

/* A private mapping that may be written has bytes of its own, which the file has not. */
static inline bool file_has_own_bytes(const emmap_file *file)
{
    return (file->options.flags & EMMAP_OPEN_PRIVATE) && (file->options.flags & EMMAP_OPEN_WRITE);
}

/* Whether `absolute` still names the file. */
bool emi_file_has_its_name(const emmap_file *file);

/* The handle of a process of which this one is a forked child. */
static inline bool file_inherited(const emmap_file *file)
{
    return file->forks != emi_descriptor_forks;
}

emmap_error emi_file_not_owned(const emmap_file *file);

/* Errors: EFAULT for an inherited handle, or EMMAP_CLOSED. */
static inline emmap_error file_owned(const emmap_file *file)
{
    return file_inherited(file) ? emi_file_not_owned(file) : EMMAP_OK;
}

/* EFAULT if a page of the file's mappings has gone away by now. After an access, so that it counts as failed. */
emmap_error emi_file_check(const emmap_file *file);

/* The same from now on, for a truncation that no access has met. */
emmap_error emi_file_fault(emmap_file *file);

static inline bool file_faulted(const emmap_file *file)
{
    return (__atomic_load_n(&file->control.status, __ATOMIC_ACQUIRE) & EMMAP_STATUS_FAULTED) != 0;
}

/* A mapping under a pin: every short access to it is between visit_begin and visit_end. */
typedef struct visit {
    pin_t *pin;
    emmap_mapping *mapping;
} visit_t;

/* The file's mapping under a pin, faulted or not. Errors: EMMAP_CLOSED, ENOMEM; EFAULT for an inherited file. */
emmap_error emi_visit_pin(emmap_file *file, visit_t *visit);

/* visit_begin where something is in its way; apart from the path that is hot. */
emmap_error emi_visit_begin_slowly(emmap_file *file, visit_t *visit);

/* May wait while the mapping is being replaced. Errors: EMMAP_CLOSED, EFAULT, ENOMEM; then there is nothing to
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
    /* Apart from *visit, whose address nobody has then, so that it is kept in registers. */
    struct visit slow = {0};
    const emmap_error error = emi_visit_begin_slowly(file, &slow);
    *visit = slow;
    return error;
}

/* Errors: EFAULT, where a page went away under the access. */
static inline emmap_error visit_end(emmap_file *file, visit_t *visit)
{
    pin_release(visit->pin);
    return file_faulted(file) ? emi_file_check(file) : EMMAP_OK;
}

#endif
