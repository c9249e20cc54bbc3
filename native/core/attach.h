/* Making an open file a queue or a block storage. */
#ifndef EMMAP_CORE_ATTACH_H
#define EMMAP_CORE_ATTACH_H

#include "open.h"
#include "operation.h"

/* Completes the options for a queue or storage. *fresh: the caller wants an empty one. Errors: EINVAL for
 * options that it can't have. */
emmap_error emi_container_options(const emmap_options *given, emmap_options *settled, bool *fresh);

/* Prepares the file of a queue or storage for emi_file_open: a new file gets `size` bytes, any other stays as
 * it is. */
typedef struct container_preparer {
    file_preparer_t base;
    uint64_t size;
    const char *lacking; /* an error for a new file: what its creation needs and does not have; or NULL */
    bool fresh;          /* refuse a file that has bytes */
    off_t blank_from; /* not 0: the format decides the size. Until its creator has written the magic, in the
                            first 8 bytes, the file is zeros from here on, and gets its size */
} container_preparer_t;

/* Refuses a file whose header is zeros, unless EMMAP_OPEN_CREATE allows to make it a container. Errors:
 * EMMAP_CORRUPT with `reason`. */
emmap_error emi_container_require_made(emmap_file *file, const char *reason);

emmap_error emi_container_prepare(const file_preparer_t *base, int fd, const emmap_options *options);

/* Makes `self` (from malloc, with its kind) the file's container. First `check` decides within an operation
 * whether the file's bytes fit, or makes them fit if the handle may write. The file owns `self` then; on
 * failure `self` is freed. */
emmap_error emi_container_attach(emmap_file *file, container_t *self,
                                 emmap_error (*check)(container_t *self, operation_t *operation));

#endif
