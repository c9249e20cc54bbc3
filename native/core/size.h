/* A file's size on disk, and changing it: one at a time among all processes, so that nobody shrinks what another
 * has just grown. */
#ifndef EMMAP_CORE_SIZE_H
#define EMMAP_CORE_SIZE_H

#include <stdbool.h>

#include "emmap.h"

/* Errors: what fstat says. */
emmap_error emi_size_on_disk(int fd, uint64_t *size);

/*
 * Makes the file at least `size` bytes long, with the space reserved unless the options say otherwise. `least` is what
 * the file has to have already: growing one that was cut would put zeros where bytes were, and nobody would notice.
 * Errors: EFAULT for a shorter one; ETIMEDOUT; ENOSPC, EDQUOT, EFBIG, ... with the file as it was.
 */
emmap_error emi_size_extend(int fd, const emmap_options *options, uint64_t least, uint64_t size);

/* Keeps others from changing the size until emi_size_unlock, and may wait for them. Not locked where there are no locks.
 * Errors: ETIMEDOUT. */
emmap_error emi_size_lock(int fd, const emmap_options *options, bool *locked);
void emi_size_unlock(int fd);

/* Cuts the file to `size` bytes if it is longer; under emi_size_lock. Errors: what ftruncate says. */
emmap_error emi_size_cut(int fd, uint64_t size);

/* Reserves space for a range that is within the file. Errors: as emi_size_extend. */
emmap_error emi_size_reserve(int fd, uint64_t from, uint64_t length);

/* How many bytes of disk space the file takes. Errors: what fstat says. */
emmap_error emi_size_taken(int fd, uint64_t *bytes);

/* Gives the space of all pages that lie wholly within a range back to the disk; their bytes are zeros from then on.
 * Errors: ENOTSUP where the file system can't do that; what fallocate says. */
emmap_error emi_size_punch(int fd, uint64_t from, uint64_t to);

#endif
