/* Bringing what was written to the disk; docs/durability.md says when a container does that. */
#ifndef EMMAP_CORE_DURABILITY_H
#define EMMAP_CORE_DURABILITY_H

#include "file.h"

/* What a call on the disk holds, so that a close meanwhile neither waits for it nor pulls anything away from under it. */
typedef struct refs {
    descriptor_t *descriptor;
    emmap_mapping *mapping;
} file_refs_t;

/* References for the caller. Errors: EMMAP_CLOSED, EFAULT. */
emmap_error emi_file_refs_take(emmap_file *file, file_refs_t *self);
void emi_file_refs_release(file_refs_t *self);

/*
 * Brings everything that was written to the mapping before to the disk, and what `sync_descriptor` (`syscall`, for errors) does of
 * the file. Errors: theirs, and once a sync of this file has failed, that.
 */
emmap_error emi_durability_write_out(emmap_file *file, const file_refs_t *refs, int (*sync_descriptor)(int),
                                     const char *syscall);

/* The same for the bytes and the file's size. */
emmap_error emi_durability_sync(emmap_file *file, descriptor_t *descriptor, emmap_mapping *mapping);

/* Brings the name of a file that was created here to the disk. */
emmap_error emi_durability_sync_entry(emmap_file *file);

#endif
