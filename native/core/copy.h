/* Copying between a mapping and the caller's memory. */
#ifndef EMMAP_CORE_COPY_H
#define EMMAP_CORE_COPY_H

#include "emmap.h"

/* Copies up to `length` bytes at `position` into the sink. Errors: EMMAP_EOF, EINVAL, ENOMEM. */
emmap_error emi_copy_out(emmap_file *file, uint64_t position, uint64_t length, const emmap_sink *sink,
                         uint64_t *transferred);

/* Copies all of a slice into the sink, and releases the slice. Errors: ENOMEM, EFAULT. */
emmap_error emi_copy_slice_out(emmap_file *file, emmap_slice *slice, const emmap_sink *sink);

/* Copies all of the vectors to `position`. Errors: EACCES, EINVAL. */
emmap_error emi_copy_in(emmap_file *file, uint64_t position, const struct iovec *list, size_t count,
                        uint64_t *transferred);

#endif
