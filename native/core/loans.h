/*
 * How many slices of a file are alive and how far the furthest reaches, in one word: 24 bits of count above 40
 * bits of end. Taking and returning one is a single compare-exchange; shrinking below the end is refused. The
 * end falls back when the last slice is returned.
 */
#ifndef EMMAP_CORE_LOANS_H
#define EMMAP_CORE_LOANS_H

#include "file.h"

/* Takes a slice of a mapping that the caller holds a pin or reference on. Errors: ENOMEM past 2^24 - 1. */
emmap_error loans_take(emmap_mapping *mapping, uint64_t position, uint64_t length, emmap_slice *slice);

/* True while a slice that is alive reaches, or may reach, beyond `size`. */
bool loans_beyond(const emmap_file *file, uint64_t size);

#endif
