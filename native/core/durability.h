/* Bringing bytes to the disk. docs/durability.md tells when a container does that. */
#ifndef EMMAP_CORE_DURABILITY_H
#define EMMAP_CORE_DURABILITY_H

#include "file.h"

/* References that a call on the disk holds: a close meanwhile neither waits nor takes anything away. */
typedef struct file_refs {
    descriptor_t *descriptor;
    emmap_mapping *mapping;
} file_refs_t;

/* Takes both references for the caller. Errors: EMMAP_CLOSED, EFAULT. */
emmap_error emi_file_refs_take(emmap_file *file, file_refs_t *self);
void emi_file_refs_release(file_refs_t *self);

/* Writes out all earlier stores to the mapping, then calls `sync_descriptor` (named `syscall` in errors).
 * Errors: those of the two. After a failed sync of this file, always the same error. */
emmap_error emi_durability_write_out(emmap_file *file, const file_refs_t *refs, int (*sync_descriptor)(int),
                                     const char *syscall);

/* Writes out all earlier stores and the file's size. */
emmap_error emi_durability_sync(emmap_file *file, descriptor_t *descriptor, emmap_mapping *mapping);

/* Writes out the directory entry of a file that this handle created. */
emmap_error emi_durability_sync_entry(emmap_file *file);

#endif
