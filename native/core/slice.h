/* Slices: bytes of a mapping that are lent to a caller instead of copied. */
#ifndef EMMAP_CORE_SLICE_H
#define EMMAP_CORE_SLICE_H

#include "emmap.h"

/* Takes a slice of a mapping that the caller holds a pin or reference on. Errors: ENOMEM. */
emmap_error emi_slice_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice);

/* Makes a slice end after `length` bytes, of which it has at least that many. */
void emi_slice_cut(emmap_slice *slice, uint64_t length);

#endif
