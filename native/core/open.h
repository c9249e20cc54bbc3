/* Opening a file: by its path, in its size, and under a mapping. */
#ifndef EMMAP_CORE_OPEN_H
#define EMMAP_CORE_OPEN_H

#include "file.h"

/* How often a file is tried again that others create, remove and shrink all the time. */
#define OPEN_ATTEMPTS 100

/* Makes a file that exists (perhaps empty) ready to be mapped. Errors: its own. */
typedef struct file_preparer {
    emmap_error (*prepare)(const struct file_preparer *self, int fd, const emmap_options *options);
} file_preparer_t;

/* For those: makes the file at least `size` bytes long, unless it could not be mapped then. Errors: what mmap and
 * emi_size_extend say. */
emmap_error emi_file_extend(int fd, const emmap_options *options, uint64_t size);

/* emmap_open, with what is to be done between open and mmap. */
emmap_error emi_file_open(const char *path, const emmap_options *options, const file_preparer_t *preparer,
                          emmap_file **result);

/* Ends what emi_file_open gave, after a failure of what was to be done next: a file that it created goes, unless somebody else
 * has begun to use it. */
void emi_file_abandon(emmap_file *file);

/* Gives the file its size and its mapping. Errors: the preparer's; EINVAL; as emi_mapping_create. */
emmap_error emi_open_fill(emmap_file *file, const file_preparer_t *preparer);

/* For emmap_open: makes the file as long as the options ask for. */
emmap_error emi_open_grow_to_fit(const file_preparer_t *self, int fd, const emmap_options *options);

#endif
