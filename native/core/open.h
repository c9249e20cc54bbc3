/* Opening a file: finding or creating it by its path, giving it its size, mapping it. */
#ifndef EMMAP_CORE_OPEN_H
#define EMMAP_CORE_OPEN_H

#include "file.h"

/* How often an open is tried again if others create, remove or shrink the file all the time. */
#define OPEN_ATTEMPTS 100

/* Makes a file, which may be empty, ready to be mapped. Errors: its own. */
typedef struct file_preparer {
    emmap_error (*prepare)(const struct file_preparer *self, int fd, const emmap_options *options);
} file_preparer_t;

/* For preparers: makes the file at least `size` bytes long, unless a file of that size could not be mapped.
 * Errors: those of mmap and emi_size_extend. */
emmap_error emi_file_extend(int fd, const emmap_options *options, uint64_t size);

/* As emmap_open, with a preparer to run between open and mmap. */
emmap_error emi_file_open(const char *path, const emmap_options *options, const file_preparer_t *preparer,
                          emmap_file **result);

/* Whether all bytes of the file from an offset on are 0. */
bool emi_file_is_blank(int fd, off_t from);

/* Ends a file of emi_file_open after a later step has failed. A file that it created is removed, unless
 * others use it. */
void emi_file_abandon(emmap_file *file);

/* Gives the file its size and its mapping. Errors: the preparer's; EINVAL; as emi_mapping_create. */
emmap_error emi_open_fill(emmap_file *file, const file_preparer_t *preparer);

/* The preparer of emmap_open: makes the file as long as the options ask for. */
emmap_error emi_open_grow_to_fit(const file_preparer_t *self, int fd, const emmap_options *options);

#endif
