/* Copying between a mapping and the caller's memory, whatever asked for it. */
#ifndef EMMAP_CORE_COPY_H
#define EMMAP_CORE_COPY_H

#include "emmap.h"

/* Up to `length` bytes at `position` into what the sink allocates. Errors: EMMAP_EOF, EINVAL, ENOMEM. */
emmap_error emi_copy_out(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink,
                         uint64_t *transferred);

/* All of a slice into what the sink allocates; releases the slice. Errors: ENOMEM, EFAULT. */
emmap_error emi_copy_slice_out(emmap_file *file, emmap_slice *slice, const emmap_sink *sink);

/* All of the vectors to `position`. Errors: EACCES, EINVAL. */
emmap_error emi_copy_in(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                        uint64_t *transferred);

#endif
