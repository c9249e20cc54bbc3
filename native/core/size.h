/* A file's size on disk, and changing it. One process at a time changes it, so that none shrinks a file that
 * another has just grown. */
#ifndef EMMAP_CORE_SIZE_H
#define EMMAP_CORE_SIZE_H

#include <stdbool.h>

#include "emmap.h"

/* Errors: those of fstat. */
emmap_error emi_size_on_disk(int fd, uint64_t *size);

/*
 * Makes the file at least `size` bytes long and reserves the space, unless the options say otherwise. The
 * file must already have `least` bytes: to grow a truncated file would put zeros in place of lost bytes,
 * unnoticed.
 * Errors: EFAULT if it is shorter; ETIMEDOUT; ENOSPC, EDQUOT, EFBIG and the like, with the file unchanged.
 */
emmap_error emi_size_extend(int fd, const emmap_options *options, uint64_t least, uint64_t size);

/* Locks the size until emi_size_unlock. *locked is false where locks do not work. Errors: ETIMEDOUT. */
emmap_error emi_size_lock(int fd, const emmap_options *options, bool *locked);
void emi_size_unlock(int fd);

/* Cuts the file to `size` bytes if it is longer. Under emi_size_lock. Errors: those of ftruncate. */
emmap_error emi_size_cut(int fd, uint64_t size);

/* Reserves space for a range within the file. Errors: as emi_size_extend. */
emmap_error emi_size_reserve(int fd, uint64_t from, uint64_t length);

/* The disk space that the file takes, in bytes. Errors: those of fstat. */
emmap_error emi_size_taken(int fd, uint64_t *bytes);

/* Gives the disk space of all whole pages in a range back; they become zeros. Errors: ENOTSUP if the file
 * system can't; those of fallocate. */
emmap_error emi_size_punch(int fd, uint64_t from, uint64_t to);

#endif
