/* Slices: bytes of a mapping that a caller borrows instead of a copy. */
#ifndef EMMAP_CORE_SLICE_H
#define EMMAP_CORE_SLICE_H

#include "emmap.h"

/* Takes a slice of a mapping on which the caller has a pin or a reference. Errors: ENOMEM. */
emmap_error emi_slice_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice);

/* Shortens a slice to `length` bytes. */
void emi_slice_cut(emmap_slice *slice, uint64_t length);

#endif
