/* Direct reads: a slice of the mapping instead of a copy. */
#include <errno.h>

#include "emmap.h"
#include "error.h"
#include "file.h"
#include "loans.h"

emmap_error emmap_pread_direct(emmap_file *file, uint64_t position, uint64_t length, emmap_slice *slice)
{
    *slice = (emmap_slice){0};
    visit visit;
    const emmap_error error = visit_begin(file, &visit);
    if (error)
        return error;
    const uint64_t size = visit.mapping->size;
    const uint64_t left = position < size ? size - position : 0;
    const uint64_t run = length < left ? length : left;
    emmap_error taken = EMMAP_OK;
    if (position > INT64_MAX || length > INT64_MAX)
        taken = error_set(EINVAL, "position and length are from 0 to 2^63 - 1");
    else if (left == 0)
        taken = EMMAP_EOF;
    else if (run > 0)
        taken = loans_take(visit.mapping, position, run, slice);
    pin_release(visit.pin);
    return taken;
}
