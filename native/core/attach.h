/* Making a file that is open a queue or a block storage. */
#ifndef EMMAP_CORE_ATTACH_H
#define EMMAP_CORE_ATTACH_H

#include "open.h"
#include "operation.h"

/* Fills in what a queue or storage file is opened with. Errors: EINVAL for options that do not go with it. */
emmap_error emi_container_options(const emmap_options *given, emmap_options *settled, bool *fresh);

/* What opens a queue or storage file: gives a new file `size` bytes, and leaves any other as it is. */
typedef struct container_preparer {
    file_preparer_t base;
    uint64_t size;
    const char *lacking; /* what a new file can't be made without; NULL: nothing */
    bool fresh;          /* a file that has bytes is refused */
} container_preparer_t;

/* Without EMMAP_OPEN_CREATE a file whose header is zeros is not made a structure. Errors: EMMAP_CORRUPT with `reason`. */
emmap_error emi_container_require_made(emmap_file *file, const char *reason);

emmap_error emi_container_prepare(const file_preparer_t *base, int fd, const emmap_options *options);

/*
 * Makes `self` (malloc'd, kind set) what the file holds, after `check` has found the file's bytes fit for it or,
 * where it may write, made them so. `check` runs under the hold. Ownership of `self` passes to the file, or ends
 * here on failure.
 */
emmap_error emi_container_attach(emmap_file *file, container_t *self,
                                 emmap_error (*check)(container_t *self, operation_t *operation));

#endif
